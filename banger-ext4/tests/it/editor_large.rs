//! Large directories, large images, journals that the kernel has used.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use banger_e2fsprogs::E2fsprogsBackend;
use banger_ext4::{Ext4Backend as _, Ext4Editor, Storage};
use banger_testkit::{assert_silent, require, tools};
use banger_tree::{NodeKind, Rootfs};

use crate::editor::{Maker, Place, make, path};
use crate::support::fixture::mode;
use crate::support::is_root;

#[test]
fn directories_grow_to_two_levels_of_index() {
    let place = Place::new();
    for (options, name_length, count) in [
        (&["-b", "1024"][..], 200, 2000),
        (&["-b", "1024", "-O", "^metadata_csum"], 200, 2000),
        (&["-b", "4096", "-N", "20000"], 20, 9000),
    ] {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(&Maker::Mkfs { newer: false, size: "128M", options }, &image));
        let mut editor = Ext4Editor::open(&image).unwrap();
        editor.create_dir(&path("/many"), &mode(0o755)).unwrap();
        editor.mknod(&path("/fifo"), &NodeKind::Fifo, &mode(0o644)).unwrap();
        let name = |at: usize| path(&format!("/many/{at:0name_length$}"));
        for at in 0..count {
            editor.hard_link(&path("/fifo"), &name(at)).unwrap();
            if at % 1000 == 0 {
                editor.commit().unwrap();
            }
        }
        for at in (0..count).step_by(3) {
            editor.remove(&name(at)).unwrap();
        }
        editor.commit().unwrap();
        drop(editor);
        require!(assert_silent(image.as_std_path()));
        let editor = Ext4Editor::open(&image).unwrap();
        for at in 0..count {
            assert_eq!(editor.stat(&name(at)).unwrap().is_some(), at % 3 != 0, "{at}");
        }
        assert_eq!(editor.read_dir(&path("/many")).unwrap().len(), count - count.div_ceil(3));
        assert_eq!(
            editor.stat(&path("/fifo")).unwrap().unwrap().nlink as usize,
            1 + count - count.div_ceil(3)
        );
    }
}

#[test]
fn a_journal_that_the_kernel_has_used() {
    if !is_root() {
        return crate::support::skip("only root can mount the image");
    }
    let place = Place::new();
    for options in [&["-b", "4096"][..], &["-b", "1024"], &["-b", "4096", "-O", "^metadata_csum,^64bit"]] {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(&Maker::Mkfs { newer: false, size: "64M", options }, &image));
        let point = place.root.join("mnt");
        let _ = std::fs::create_dir(&point);
        let script = "mount -o loop \"$1\" \"$2\" && mkdir \"$2/dir\" && echo kernel > \"$2/dir/file\" && \
                      seq -f 'a long name of a file number %.0f' 2000 | (cd \"$2/dir\" && xargs -d '\\n' touch); \
                      umount \"$2\"";
        tools::run(Command::new("sh").args(["-ec", script, "sh"]).arg(&image).arg(&point));
        let mut editor = Ext4Editor::open(&image).unwrap();
        assert_eq!(editor.read(&path("/dir/file")).unwrap(), b"kernel\n");
        assert_eq!(editor.read_dir(&path("/dir")).unwrap().len(), 2001);
        for at in 0..300 {
            let name = path(&format!("/dir/another name, number {at}"));
            editor.write_file(&name, &mut &[7; 100][..], &mode(0o644)).unwrap();
        }
        editor.remove(&path("/dir/a long name of a file number 77")).unwrap();
        editor.commit().unwrap();
        drop(editor);
        require!(assert_silent(image.as_std_path()));
        let script = "mount -o loop \"$1\" \"$2\"; ls \"$2/dir\" | wc -l; umount \"$2\"";
        let output = tools::run(Command::new("sh").args(["-ec", script, "sh"]).arg(&image).arg(&point));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "2300");
    }
}

/// As a kernel leaves it that has mounted the image and not written to it yet: the journal is empty.
#[test]
fn an_image_that_may_be_mounted_is_looked_into_and_not_changed() {
    let place = Place::new();
    let image = place.root.join("image");
    require!(make(&Maker::Mkfs { newer: false, size: "64M", options: &[] }, &image));
    let mut debugfs = require!(tools::command("debugfs"));
    tools::run(debugfs.args(["-w", "-R", "feature needs_recovery"]).arg(&image));
    let mut editor = Ext4Editor::open(&image).unwrap();
    assert_eq!(editor.read_dir(&path("/")).unwrap().len(), 1);
    for error in [
        editor.create_dir(&path("/dir"), &mode(0o755)).unwrap_err(),
        editor.write_file(&path("/file"), &mut &[7; 5000][..], &mode(0o644)).unwrap_err(),
        editor.grow(100 << 20).unwrap_err(),
    ] {
        assert!(error.to_string().contains("it is mounted, or was not unmounted"), "{error}");
    }
    drop(editor);
    let mut by_debugfs = E2fsprogsBackend::new().open(&image).unwrap();
    by_debugfs.create_dir(&path("/dir"), &mode(0o755)).unwrap();
    let error = by_debugfs.commit().unwrap_err().to_string();
    assert!(error.contains("it is mounted, or was not unmounted"), "{error}");
    drop(by_debugfs);
    let mut e2fsck = require!(tools::command("e2fsck"));
    tools::run(e2fsck.arg("-fp").arg(&image));
    Ext4Editor::open(&image).unwrap().create_dir(&path("/dir"), &mode(0o755)).unwrap();
}

/// Counts the blocks that go to and from a file.
#[derive(Debug)]
struct Counter {
    file: std::fs::File,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl Storage for Counter {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.reads.fetch_add(buffer.len().div_ceil(4096), Ordering::Relaxed);
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.writes.fetch_add(bytes.len().div_ceil(4096), Ordering::Relaxed);
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Makes a file system of 20 GiB, by mkfs and by growth.
fn large_images(place: &Place) -> Result<Vec<camino::Utf8PathBuf>, banger_testkit::Skip> {
    let images = vec![place.root.join("made"), place.root.join("grown")];
    make(&Maker::Mkfs { newer: false, size: "20G", options: &[] }, &images[0])?;
    make(&Maker::Native, &images[1])?;
    Ext4Editor::open(&images[1]).unwrap().grow(20 << 30).unwrap();
    Ok(images)
}

fn blocks_on_host(image: &camino::Utf8Path) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(&image.metadata().unwrap()) / 8
}

fn cpu_time() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)).unwrap()
}

#[test]
fn a_small_file_into_a_large_image_touches_few_blocks() {
    let place = Place::new();
    for image in require!(large_images(&place)) {
        let before = blocks_on_host(&image);
        let (reads, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let file = std::fs::File::options().read(true).write(true).open(&image).unwrap();
        let counter = Counter { file, reads: Arc::clone(&reads), writes: Arc::clone(&writes) };
        let mut editor = Ext4Editor::open_on(Box::new(counter), "large").unwrap();
        editor.write_file(&path("/hostname"), &mut &b"guest\n"[..], &mode(0o644)).unwrap();
        editor.commit().unwrap();
        let (reads, writes) = (reads.load(Ordering::Relaxed), writes.load(Ordering::Relaxed));
        eprintln!("{reads} blocks read, {writes} written");
        assert!(reads <= 36 && writes <= 36, "{reads} blocks read, {writes} written");
        assert!(blocks_on_host(&image) - before <= 36, "the image stays sparse");
        drop(editor);

        // What one command of a VM manager takes, from opening to the last flush.
        let mut times: Vec<Duration> = (0..9)
            .map(|at| {
                let started = cpu_time();
                let mut editor = Ext4Editor::open(&image).unwrap();
                let name = path(&format!("/put-{at}"));
                editor.write_file(&name, &mut &b"guest\n"[..], &mode(0o644)).unwrap();
                editor.commit().unwrap();
                drop(editor);
                cpu_time() - started
            })
            .collect();
        times.sort_unstable();
        eprintln!("CPU time of a put: {times:?}");
        // Without optimisation it is no measure.
        let most = Duration::from_millis(if cfg!(debug_assertions) { 50 } else { 5 });
        assert!(times[4] < most, "{times:?}");
        assert!(blocks_on_host(&image) - before <= 100, "the image stays sparse");
        require!(assert_silent(image.as_std_path()));
        assert_eq!(Ext4Editor::open(&image).unwrap().read(&path("/hostname")).unwrap(), b"guest\n");
    }
}

#[test]
fn the_space_of_what_is_removed_goes_back_to_the_host() {
    let place = Place::new();
    let image = place.root.join("image");
    require!(make(&Maker::Native, &image));
    let mut editor = Ext4Editor::open(&image).unwrap();
    editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
    editor.write_file(&path("/kept"), &mut &vec![1; 1 << 20][..], &mode(0o644)).unwrap();
    editor.commit().unwrap();
    let before = blocks_on_host(&image);
    for at in 0..4 {
        let name = path(&format!("/dir/{at}"));
        editor.write_file(&name, &mut &vec![at + 1; 5 << 20][..], &mode(0o644)).unwrap();
    }
    editor.commit().unwrap();
    let full = blocks_on_host(&image);
    assert!(full >= before + 5000, "{before}, {full}");
    editor.remove(&path("/dir")).unwrap();
    // What is taken and given back within one commit was never anybody's.
    editor.write_file(&path("/short"), &mut &vec![9; 3 << 20][..], &mode(0o644)).unwrap();
    editor.remove(&path("/short")).unwrap();
    editor.write_file(&path("/new"), &mut &vec![8; 1 << 20][..], &mode(0o644)).unwrap();
    // Not before it is certain that nobody needs it.
    assert!(blocks_on_host(&image) >= full);
    editor.commit().unwrap();
    let after = blocks_on_host(&image);
    assert!(after < before + 256 + 100, "{before}, {full}, {after}");
    assert_eq!(editor.read(&path("/kept")).unwrap(), vec![1; 1 << 20]);
    assert_eq!(editor.read(&path("/new")).unwrap(), vec![8; 1 << 20]);
    drop(editor);
    require!(assert_silent(image.as_std_path()));
}
