//! A damaged image is an error: no panic, no endless loop, no access beyond its end.
//!
//! The bytes say which of a few sound images is damaged, and where: blocks that hold something, a
//! place in them, and new bytes. Checksums are not looked at in a fuzzer's build.
#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use banger_ext4::{Ext4Backend as _, Ext4Editor, Ext4Options, ImageSize, NativeBackend, Storage};
use banger_tree::{AttributeChange, Attributes, FileType, GuestPath, NodeKind, Rootfs, RootfsError, Tree};
use camino::{Utf8Path, Utf8PathBuf};
use libfuzzer_sys::fuzz_target;

const PIECE: usize = 1024;
/// Bytes read for one input: many times an image, as structures are looked at again and again.
const READ_MAX: u64 = 1 << 31;

/// An image in memory, with what differs from the sound one.
#[derive(Clone, Debug)]
struct Patched {
    base: Arc<Vec<u8>>,
    size: u64,
    changed: BTreeMap<usize, [u8; PIECE]>,
    read: Arc<AtomicU64>,
}

impl Patched {
    fn patch(&mut self, offset: usize, bytes: &[u8]) {
        for (at, byte) in bytes.iter().enumerate() {
            let (piece, within) = ((offset + at) / PIECE, (offset + at) % PIECE);
            let base = self.base.get(piece * PIECE..(piece + 1) * PIECE);
            let sound = base.map_or([0; PIECE], |base| base.try_into().expect("a whole piece"));
            self.changed.entry(piece).or_insert(sound)[within] = *byte;
        }
    }
}

impl Storage for Patched {
    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        assert!(offset + buffer.len() as u64 <= self.size, "a read beyond the end");
        let read = self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        assert!(read < READ_MAX, "it reads without end");
        let (start, end) = (offset as usize, offset as usize + buffer.len());
        buffer.fill(0);
        let base = &self.base[start.min(self.base.len())..end.min(self.base.len())];
        buffer[..base.len()].copy_from_slice(base);
        for (number, piece) in self.changed.range(start / PIECE..end.div_ceil(PIECE)) {
            let (from, to) = ((number * PIECE).max(start), ((number + 1) * PIECE).min(end));
            buffer[from - start..to - start]
                .copy_from_slice(&piece[from - number * PIECE..to - number * PIECE]);
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(offset + bytes.len() as u64 <= self.size, "a write beyond the end");
        self.patch(offset as usize, bytes);
        Ok(())
    }

    fn set_size(&mut self, size_bytes: u64) -> io::Result<()> {
        self.size = size_bytes;
        Ok(())
    }

    fn next_data(&self, offset: u64) -> io::Result<u64> {
        Ok(if offset >= self.base.len() as u64 { u64::MAX } else { offset })
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A sound image, and the pieces of it that are not all zeros.
struct Base {
    image: Patched,
    used: Vec<usize>,
}

fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).expect("a good path")
}

/// Puts one of everything into the image.
fn fill(image: &Utf8Path) -> Result<(), RootfsError> {
    let mut editor = Ext4Editor::open(image)?;
    let mut attributes = Attributes::with_mode(0o755);
    editor.create_dir(&path("/many"), &attributes)?;
    for at in 0..60 {
        let name = format!("/many/{at:-<200}");
        editor.mknod(&path(&name), &NodeKind::Fifo, &attributes)?;
    }
    editor.create_dir(&path("/a"), &attributes)?;
    editor.create_dir(&path("/a/b"), &attributes)?;
    editor.symlink(&path("/a/link"), "l".repeat(100).as_bytes(), &attributes)?;
    editor.symlink(&path("/a/short"), b"../many", &attributes)?;
    // Enough extents for a tree.
    let sparse: Vec<u8> = (1..12).flat_map(|at| [[at; 4096], [0; 4096]].concat()).collect();
    editor.write_file(&path("/sparse"), &mut &sparse[..], &attributes)?;
    attributes.xattrs.insert("user.small", "value");
    attributes.xattrs.insert("trusted.large", vec![7; 600]);
    editor.write_file(&path("/xattrs"), &mut &b"x"[..], &attributes)?;
    editor.hard_link(&path("/xattrs"), &path("/a/another"))?;
    editor.commit()
}

fn bases() -> &'static [Base] {
    static BASES: OnceLock<Vec<Base>> = OnceLock::new();
    BASES.get_or_init(|| {
        let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory can be made");
        let path = Utf8PathBuf::from_path_buf(dir.path().join("image")).expect("a temporary name is UTF-8");
        let mut bases = Vec::new();
        let mke2fs = banger_testkit::tools::tool("mke2fs").expect("e2fsprogs is installed");
        for options in [
            None,
            Some(["-b", "1024", "-O", "^metadata_csum,^64bit", "8M"]),
            Some(["-b", "1024", "-O", "metadata_csum,64bit", "12M"]),
            Some(["-b", "2048", "-O", "^flex_bg,^metadata_csum,uninit_bg,^resize_inode", "8M"]),
            Some(["-b", "4096", "-O", "^dir_index,^metadata_csum", "16M"]),
        ] {
            match options {
                None => {
                    let options = Ext4Options::default().with_size(ImageSize::Bytes(8 << 20));
                    let builder = NativeBackend.create(&path, &options).expect("an image can be begun");
                    builder.build_ext4(&Tree::new()).expect("an empty image can be made");
                }
                Some([a, b, c, d, size]) => {
                    let mut mke2fs = Command::new(&mke2fs);
                    mke2fs.args(["-q", "-F", "-t", "ext4", "-N", "800", a, b, c, d]).arg(&path).arg(size);
                    banger_testkit::tools::run(&mut mke2fs);
                }
            }
            fill(&path).expect("a sound image can be edited");
            let bytes = std::fs::read(&path).expect("the image can be read");
            let used = (0..bytes.len() / PIECE)
                .filter(|at| bytes[at * PIECE..][..PIECE].iter().any(|byte| *byte != 0))
                // The bytes of files mean nothing.
                .filter(|at| bytes[at * PIECE..][..PIECE].windows(2).any(|pair| pair[0] != pair[1]))
                .collect();
            std::fs::remove_file(&path).expect("the image can be removed");
            let size = bytes.len() as u64;
            let image =
                Patched { base: Arc::new(bytes), size, changed: BTreeMap::new(), read: Arc::default() };
            bases.push(Base { image, used });
        }
        bases
    })
}

/// Looks at all there is.
fn look(rootfs: &dyn Rootfs) -> Result<(), RootfsError> {
    // Loops of directories end where paths do.
    let mut pending = vec![GuestPath::root()];
    let mut seen = 0;
    while let Some(at) = pending.pop() {
        seen += 1;
        if seen > 200 {
            return Ok(());
        }
        let Ok(Some(stat)) = rootfs.stat(&at) else { continue };
        match stat.file_type {
            FileType::Regular => {
                let mut start = vec![0; 1 << 13];
                let _ = rootfs.read_at(&at, 0, &mut start);
                let _ = rootfs.read_at(&at, stat.size_bytes.saturating_sub(5), &mut start);
            }
            FileType::Symlink => drop(rootfs.read_link(&at)),
            FileType::Directory => {
                for entry in rootfs.read_dir(&at).unwrap_or_default() {
                    pending.extend(at.join(&entry.name));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn change(editor: &mut Ext4Editor, grows: bool) -> Result<(), RootfsError> {
    let attributes = Attributes::with_mode(0o644);
    let mut rich = attributes.clone();
    rich.xattrs.insert("user.new", vec![1; 400]);
    let _ = [
        editor.write_file(&path("/new"), &mut &[1; 5000][..], &rich),
        editor.write_file(&path("/xattrs"), &mut &b"y"[..], &attributes),
        editor.set_attributes(&path("/a/another"), &AttributeChange::from(&rich)),
        editor.mknod(&path("/many/and one more with a long name"), &NodeKind::Fifo, &attributes),
        editor.create_dir(&path("/a/new"), &attributes),
        editor.rename(&path("/a"), &path("/many/a")),
        editor.hard_link(&path("/sparse"), &path("/many/sparse")),
        editor.remove(&path("/sparse")),
        editor.remove(&path("/many")),
    ];
    let _ = look(editor);
    editor.commit()?;
    if grows {
        editor.grow(200 << 20)?;
    }
    look(editor)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((head, mut rest)) = bytes.split_first() else { return };
    let bases = bases();
    let base = &bases[usize::from(*head >> 1) % bases.len()];
    let mut image = Patched { read: Arc::default(), ..base.image.clone() };
    while let [a, b, c, d, length, after @ ..] = rest {
        let length = (usize::from(*length) % 9).min(after.len());
        let (new, after) = after.split_at(length);
        let piece = base.used[usize::from(u16::from_le_bytes([*a, *b])) % base.used.len()];
        let within = usize::from(u16::from_le_bytes([*c, *d])) % (PIECE - 8);
        image.patch(piece * PIECE + within, new);
        rest = after;
    }
    if let Ok(mut editor) = Ext4Editor::open_on(Box::new(image), "damaged") {
        let _ = editor.verify();
        let _ = look(&editor);
        let _ = change(&mut editor, head & 1 == 1);
    }
});
