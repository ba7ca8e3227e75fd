//! Images of the native backend in use: mounted, written to, grown.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use banger_ext4::{ImageSize, NativeBackend};
use banger_testkit::{assert_silent, assert_silent_after_kernel, require};
use camino::Utf8Path;

use crate::e2fsprogs::{Workplace, build, options};
use crate::support::{Fixture, check_image, is_root, skip};

/// Bit of the capability to resize, among others.
const CAP_SYS_RESOURCE: u32 = 24;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

/// A loop device with the image mounted writable; both go when dropped.
struct Mounted {
    device: String,
    point: tempfile::TempDir,
}

impl Mounted {
    fn new(image: &Utf8Path) -> Self {
        let device = run("losetup", &["--find", "--show", image.as_str()]).trim().to_owned();
        let point = tempfile::tempdir().unwrap();
        run("mount", &["-t", "ext4", &device, point.path().to_str().unwrap()]);
        Self { device, point }
    }

    fn path(&self) -> &Path {
        self.point.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.point.path()).status();
        let _ = Command::new("losetup").args(["-d", &self.device]).status();
    }
}

/// Returns whether the kernel lets this process resize a mounted file system.
fn may_resize() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let has = u64::from_str_radix(effective.trim(), 16).unwrap() & (1 << CAP_SYS_RESOURCE) != 0;
    if !has {
        eprintln!("skipped: growing online needs CAP_SYS_RESOURCE; growing offline is tested");
    }
    has
}

/// Writes to a file system that has grown to four times `size_bytes`.
fn fill_grown(root: &Path, size_bytes: u64) {
    let blocks = rustix::fs::statvfs(root).unwrap().f_blocks;
    assert!(blocks * 4096 > size_bytes * 7 / 2, "{blocks} blocks");
    std::fs::write(root.join("after"), vec![1; (size_bytes * 2).min(50 << 20) as usize]).unwrap();
}

#[test]
fn t14_used_and_grown_to_four_times_the_size() {
    if !is_root() {
        return skip("only root can mount the image");
    }
    let mut fixture = Fixture::default();
    fixture.dir("/many");
    for number in 0..3000 {
        fixture.file(format!("/many/a-name-of-some-length-{number}"), b"x");
    }
    fixture.file("/large", &[5; 9_000_000]);
    for size_bytes in [48 << 20, 96 << 20, 1 << 30, (9 << 27) + (40 << 20), 4 << 30] {
        let place = Workplace::new();
        let image = place.image("image");
        let options = options().with_size(ImageSize::Bytes(size_bytes)).with_inodes(Some(4096));
        let report = build(&NativeBackend, &image, &options, &fixture).unwrap();
        {
            let mounted = Mounted::new(&image);
            let root = mounted.path();
            let free = rustix::fs::statvfs(root).unwrap();
            assert_eq!(free.f_bfree * 4096, report.free_bytes, "what the size promised");
            // The kernel sets a fiftieth aside for itself, at most 16 MiB.
            let aside = (size_bytes / 4096 / 50).min(4096);
            assert!(free.f_bavail + aside >= free.f_bfree, "{} blocks", free.f_bavail);
            for number in 0..2000 {
                let name = format!("many/a-name-of-some-length-{number}");
                std::fs::remove_file(root.join(name)).unwrap();
                std::fs::write(root.join(format!("many/new-{number}")), b"new").unwrap();
            }
            std::fs::remove_file(root.join("large")).unwrap();
            let file = File::create(root.join("allocated")).unwrap();
            let mode = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&file, mode, 0, 3 << 20).unwrap();
            drop(file);

            if may_resize() {
                File::options().write(true).open(&image).unwrap().set_len(size_bytes * 4).unwrap();
                run("losetup", &["-c", &mounted.device]);
                run("resize2fs", &[&mounted.device]);
                fill_grown(root, size_bytes);
            }
        }
        require!(assert_silent_after_kernel(image.as_std_path()));

        // The same without a kernel: resize2fs moves what is in its way.
        std::fs::remove_file(&image).unwrap();
        build(&NativeBackend, &image, &options, &fixture).unwrap();
        run("resize2fs", &[image.as_str(), &format!("{}K", size_bytes * 4 / 1024)]);
        require!(assert_silent(image.as_std_path()));
        check_image(&image, &fixture.tree, &fixture.store);
        fill_grown(Mounted::new(&image).path(), size_bytes);
        require!(assert_silent_after_kernel(image.as_std_path()));
    }
}
