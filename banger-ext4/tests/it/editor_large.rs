//! Large directories, large images, journals that the kernel has used.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_ext4::{Ext4Editor, Storage};
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

#[test]
fn what_is_not_known_is_refused_by_its_name() {
    let place = Place::new();
    for (options, want) in [
        (&["-O", "bigalloc"][..], "bigalloc"),
        (&["-O", "encrypt"], "encrypt"),
        (&["-O", "casefold"], "casefold"),
        (&["-O", "inline_data"], "inline_data"),
        (&["-O", "meta_bg,^resize_inode"], "meta_bg"),
        (&["-O", "quota"], "quota"),
        (&["-O", "ea_inode"], "ea_inode"),
        (&["-O", "mmp"], "mmp"),
        (&["-O", "fast_commit"], "fast_commit"),
        (&["-O", "^extents,^64bit"], "extents"),
        (&["-I", "128"], "128"),
    ] {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(&Maker::Mkfs { newer: false, size: "64M", options }, &image));
        let text = Ext4Editor::open(&image).unwrap_err().to_string();
        assert!(text.contains(want) && text.contains("cannot be edited"), "{options:?}: {text}");
    }
    let image = place.root.join("no-journal");
    require!(make(&Maker::Mkfs { newer: false, size: "16M", options: &["-O", "^has_journal"] }, &image));
    let mut editor = Ext4Editor::open(&image).unwrap();
    editor.create_dir(&path("/dir"), &mode(0o755)).unwrap();
    assert!(editor.commit().unwrap_err().to_string().contains("tune2fs -j"));
}

/// Counts what goes to and from a file.
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

#[test]
fn a_small_file_into_a_large_image_touches_few_blocks() {
    let place = Place::new();
    let image = place.root.join("image");
    require!(make(&Maker::Mkfs { newer: false, size: "20G", options: &[] }, &image));
    let allocated = || std::os::unix::fs::MetadataExt::blocks(&image.metadata().unwrap());
    let before = allocated();
    let (reads, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let file = std::fs::File::options().read(true).write(true).open(&image).unwrap();
    let counter = Counter { file, reads: Arc::clone(&reads), writes: Arc::clone(&writes) };
    let started = std::time::Instant::now();
    let mut editor = Ext4Editor::open_on(Box::new(counter), "large").unwrap();
    editor.write_file(&path("/hostname"), &mut &b"guest\n"[..], &mode(0o644)).unwrap();
    editor.commit().unwrap();
    let (reads, writes) = (reads.load(Ordering::Relaxed), writes.load(Ordering::Relaxed));
    eprintln!("{reads} blocks read, {writes} written in {:?}", started.elapsed());
    assert!(reads <= 36 && writes <= 36, "{reads} blocks read, {writes} written");
    assert!(allocated() - before <= 36 * 8, "the image stays sparse");
    drop(editor);
    require!(assert_silent(image.as_std_path()));
    assert_eq!(Ext4Editor::open(&image).unwrap().read(&path("/hostname")).unwrap(), b"guest\n");
}
