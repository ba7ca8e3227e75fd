//! Images of the native backend in use: mounted, written to, grown.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use banger_ext4::{Ext4Options, ImageSize, NativeBackend};
use banger_testkit::{assert_silent, require};
use camino::Utf8Path;

use crate::e2fsprogs::{Workplace, build, options};
use crate::support::{Fixture, is_root, skip};

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

#[test]
fn t14_used_and_grown_online_to_four_times_the_size() {
    if !is_root() {
        return skip("only root can mount the image");
    }
    let mut fixture = Fixture::default();
    fixture.dir("/many");
    for number in 0..3000 {
        fixture.file(format!("/many/a-name-of-some-length-{number}"), b"x");
    }
    fixture.file("/large", &[5; 9_000_000]);
    for size_bytes in [48 << 20, 96 << 20, 1 << 30, (9 << 27) + (40 << 20)] {
        let place = Workplace::new();
        let image = place.image("image");
        let options = Ext4Options { size: ImageSize::Bytes(size_bytes), inodes: Some(4096), ..options() };
        let report = build(&NativeBackend, &image, &options, &fixture).unwrap();
        {
            let mounted = Mounted::new(&image);
            let root = mounted.path();
            let free = rustix::fs::statvfs(root).unwrap();
            assert_eq!(free.f_bfree * 4096, report.free_bytes, "what the size promised");
            // The kernel sets a fiftieth aside for itself, at most 16 MiB.
            assert!(free.f_bavail * 50 >= free.f_bfree * 49 - 50, "{} blocks", free.f_bavail);
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

            File::options().write(true).open(&image).unwrap().set_len(size_bytes * 4).unwrap();
            run("losetup", &["-c", &mounted.device]);
            run("resize2fs", &[&mounted.device]);
            let grown = rustix::fs::statvfs(root).unwrap();
            assert!(grown.f_blocks * 4096 > size_bytes * 7 / 2, "{} blocks", grown.f_blocks);
            std::fs::write(root.join("after"), vec![1; (size_bytes * 2).min(50 << 20) as usize]).unwrap();
        }
        require!(assert_silent(image.as_std_path()));
    }
}
