//! Random calls on handles of file systems, compared with the same edits of a tree in memory.

use std::ptr::null;

use banger_testkit::{assert_silent, property_config, require, seed};
use banger_tree::{MemoryStore, Tree, TreeRootfs};
use pipeline::rootfs::{EditError, metadata_of, remove_xattr, set_xattr, write_over};
use pipeline::{AttributeChange, Attributes, Cancellation, GuestPath, Metadata, NodeKind, Rootfs, Timestamp};

use super::*;
use crate::metadata::*;
use crate::rootfs_edit::*;

/// The time of all edits.
const NOW: u64 = 77;
const CALLS: usize = 150;
const ATTRS: usize = size_of::<banger_attrs>();

/// Numbers of a seed (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// A path of few, so that calls meet each other.
    fn path(&mut self) -> String {
        let mut path = "/t".to_owned();
        for _ in 0..self.below(4) {
            path.push_str(["/a", "/b", "/c", "/d"][self.below(4)]);
        }
        path
    }

    fn attributes(&mut self) -> Attributes {
        let mode = u16::try_from(self.below(0o10000)).unwrap();
        let mtime = Timestamp { seconds: i64::try_from(self.below(1000)).unwrap() - 500, nanoseconds: 7 };
        Attributes { uid: u32::try_from(self.below(99_999)).unwrap(), mtime, ..Attributes::with_mode(mode) }
    }

    fn edit(&mut self) -> Edit {
        let path = self.path();
        match self.below(14) {
            0..3 => Edit::Directory(path, self.attributes()),
            3..5 => Edit::Write(path, vec![7; self.below(9000)], Some(self.attributes())),
            5 => Edit::Write(path, vec![8; self.below(90)], None),
            6 => {
                let target = match self.below(3) {
                    0 => self.path(),
                    1 => "../a".to_owned(),
                    _ => String::new(),
                };
                Edit::Symlink(path, target, self.attributes())
            }
            7 => Edit::Link(self.path(), path),
            8 => Edit::Fifo(path, self.attributes()),
            9 => Edit::Remove(path),
            10 => Edit::Rename(self.path(), path),
            11 => Edit::Owner(path, self.attributes().uid, BANGER_KEEP_ID),
            12 => Edit::SetXattr(path, vec![9; self.below(40)]),
            _ => Edit::RemoveXattr(path),
        }
    }
}

/// One change, as a function of C makes it.
#[derive(Clone, Debug)]
enum Edit {
    Directory(String, Attributes),
    Write(String, Vec<u8>, Option<Attributes>),
    Symlink(String, String, Attributes),
    Link(String, String),
    Fifo(String, Attributes),
    Remove(String),
    Rename(String, String),
    Owner(String, u32, u32),
    SetXattr(String, Vec<u8>),
    RemoveXattr(String),
}

const XATTR: &CStr = c"user.note";

fn attrs_of(attributes: &Attributes) -> banger_attrs {
    banger_attrs {
        mtime_seconds: attributes.mtime.seconds,
        mtime_nanoseconds: attributes.mtime.nanoseconds,
        mode: attributes.mode.into(),
        uid: attributes.uid,
        gid: attributes.gid,
    }
}

impl Edit {
    /// Makes the change by C; returns the code.
    fn by_c(&self, fs: &Fs) -> c_int {
        let fs = fs.0;
        let result = done(|error| unsafe {
            match self {
                Self::Directory(path, attributes) => {
                    let ((path, length), attrs) = (counted(path), attrs_of(attributes));
                    banger_rootfs_create_dir(fs, path, length, &raw const attrs, ATTRS, error)
                }
                Self::Write(path, data, attributes) => {
                    let ((path, length), attrs) = (counted(path), attributes.as_ref().map(attrs_of));
                    let attrs = attrs.as_ref().map_or(null(), std::ptr::from_ref);
                    banger_rootfs_write(
                        fs,
                        path,
                        length,
                        data.as_ptr(),
                        data.len(),
                        attrs,
                        ATTRS,
                        null(),
                        error,
                    )
                }
                Self::Symlink(path, target, attributes) => {
                    let ((path, length), (target, target_length)) = (counted(path), counted(target));
                    let attrs = attrs_of(attributes);
                    banger_rootfs_symlink(
                        fs,
                        path,
                        length,
                        target,
                        target_length,
                        &raw const attrs,
                        ATTRS,
                        error,
                    )
                }
                Self::Link(existing, path) => {
                    let ((path, length), (existing, existing_length)) = (counted(path), counted(existing));
                    banger_rootfs_hard_link(fs, existing, existing_length, path, length, error)
                }
                Self::Fifo(path, attributes) => {
                    let ((path, length), attrs) = (counted(path), attrs_of(attributes));
                    banger_rootfs_mknod(fs, path, length, 1, 0, 0, &raw const attrs, ATTRS, error)
                }
                Self::Remove(path) => {
                    let (path, length) = counted(path);
                    banger_rootfs_remove(fs, path, length, null(), error)
                }
                Self::Rename(from, path) => {
                    let ((path, length), (from, from_length)) = (counted(path), counted(from));
                    banger_rootfs_rename(fs, from, from_length, path, length, error)
                }
                Self::Owner(path, uid, gid) => {
                    let (path, length) = counted(path);
                    banger_rootfs_set_owner(fs, path, length, *uid, *gid, error)
                }
                Self::SetXattr(path, value) => {
                    let ((path, length), data) = (counted(path), value.as_ptr());
                    banger_rootfs_set_xattr(fs, path, length, XATTR.as_ptr(), data, value.len(), error)
                }
                Self::RemoveXattr(path) => {
                    let (path, length) = counted(path);
                    banger_rootfs_remove_xattr(fs, path, length, XATTR.as_ptr(), error)
                }
            }
        });
        result.map_or_else(|error| error.code, |()| 0)
    }

    /// Makes the change in memory; returns the code.
    fn in_memory(&self, fs: &mut dyn Rootfs) -> c_int {
        let path = |text: &str| GuestPath::parse(text).unwrap();
        let result: Result<(), EditError> = match self {
            Self::Directory(at, attributes) => fs.create_dir(&path(at), attributes).map_err(Into::into),
            Self::Write(at, data, Some(attributes)) => {
                fs.write_file(&path(at), &mut data.as_slice(), attributes).map_err(Into::into)
            }
            Self::Write(at, data, None) => write_over(fs, &path(at), &mut data.as_slice(), now()),
            Self::Symlink(at, target, attributes) => {
                fs.symlink(&path(at), target.as_bytes(), attributes).map_err(Into::into)
            }
            Self::Link(existing, at) => fs.hard_link(&path(existing), &path(at)).map_err(Into::into),
            Self::Fifo(at, attributes) => {
                fs.mknod(&path(at), &NodeKind::Fifo, attributes).map_err(Into::into)
            }
            Self::Remove(at) => fs.remove(&path(at)).map_err(Into::into),
            Self::Rename(from, at) => fs.rename(&path(from), &path(at)).map_err(Into::into),
            Self::Owner(at, uid, _) => {
                let change = AttributeChange { uid: Some(*uid), ..AttributeChange::default() };
                fs.set_attributes(&path(at), &change).map_err(Into::into)
            }
            Self::SetXattr(at, value) => set_xattr(fs, &path(at), XATTR.to_bytes(), value),
            Self::RemoveXattr(at) => remove_xattr(fs, &path(at), XATTR.to_bytes()),
        };
        result.map_or_else(|error| c_int::try_from(error.code()).unwrap(), |()| 0)
    }
}

fn now() -> Timestamp {
    Timestamp::from_seconds(i64::try_from(NOW).unwrap())
}

/// What is at and below `/t`: metadata, and the bytes of files.
fn below_t(metadata: Metadata, read: impl Fn(&GuestPath) -> Vec<u8>) -> Vec<String> {
    let top = GuestPath::parse("/t").unwrap();
    let entries = metadata.entries.into_iter().filter(|entry| entry.path.starts_with(&top));
    entries
        .map(|entry| {
            let content = match entry.kind.file_type() {
                pipeline::FileType::Regular => read(&entry.path),
                _ => Vec::new(),
            };
            format!("{entry:?} {content:?}")
        })
        .collect()
}

fn seen_by_c(fs: &Fs) -> Vec<String> {
    unsafe {
        let metadata = answer(|out, error| banger_metadata_of_rootfs(fs.0, null(), out, error)).unwrap();
        let text = string(|out, error| banger_metadata_json(metadata, out, error)).unwrap();
        banger_metadata_free(metadata);
        let metadata: Metadata = serde_json::from_slice(&text).unwrap();
        below_t(metadata, |path| fs.read(std::str::from_utf8(path.as_bytes()).unwrap()).unwrap())
    }
}

/// A tree in memory with the edits made.
fn model(edits: &[Edit], look: impl FnOnce(&mut dyn Rootfs)) {
    let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
    let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
    for edit in edits {
        edit.in_memory(&mut rootfs);
    }
    look(&mut rootfs);
}

fn seen_in_memory(edits: &[Edit]) -> Vec<String> {
    let mut seen = Vec::new();
    model(edits, |rootfs| {
        let metadata = metadata_of(rootfs, &Cancellation::new()).unwrap();
        seen = below_t(metadata, |path| rootfs.read(path).unwrap());
    });
    seen
}

fn commit(fs: &Fs) {
    done(|error| unsafe { banger_rootfs_commit(fs.0, null(), error) }).unwrap();
}

fn assert_sound(fs: &Fs) {
    let report = json(|out, error| unsafe { banger_rootfs_verify(fs.0, null(), out, error) }).unwrap();
    assert_eq!(report["problem_count"], 0, "{report}");
}

#[test]
fn random_calls_do_what_they_do_in_memory() {
    let mut numbers = Numbers(seed());
    for case in 0..property_config(8).cases {
        let disk = Disk::new();
        let options = || Options::new().number(banger_option::BANGER_OPT_SOURCE_DATE_EPOCH, NOW);
        let mut fs = disk.try_open(BANGER_EDIT, Some(&options())).unwrap();
        // All that was done since the file was made, and how much of it was committed.
        let mut edits = vec![Edit::Directory("/t".to_owned(), Attributes::with_mode(0o755))];
        let mut committed = 0;
        assert_eq!(edits[0].by_c(&fs), 0);
        for call in 0..CALLS {
            match numbers.below(25) {
                0 => {
                    commit(&fs);
                    committed = edits.len();
                }
                1 => {
                    // Freed without a commit, or with one.
                    if numbers.below(2) == 0 {
                        commit(&fs);
                        committed = edits.len();
                    }
                    edits.truncate(committed);
                    drop(fs);
                    fs = disk.try_open(BANGER_EDIT, Some(&options())).unwrap();
                    if committed == 0 {
                        edits.push(Edit::Directory("/t".to_owned(), Attributes::with_mode(0o755)));
                        assert_eq!(edits[0].by_c(&fs), 0);
                    }
                    assert_eq!(seen_by_c(&fs), seen_in_memory(&edits), "case {case}, call {call}");
                }
                2 => {
                    assert_eq!(disk.try_open(BANGER_EDIT, None).err().unwrap().code, 714);
                    let (path, length) = counted("relative/../../..");
                    let climbs =
                        done(|error| unsafe { banger_rootfs_remove(fs.0, path, length, null(), error) });
                    assert_eq!(climbs.unwrap_err().code, 709);
                }
                _ => {
                    let edit = numbers.edit();
                    let mut code = 0;
                    model(&edits, |rootfs| code = edit.in_memory(rootfs));
                    assert_eq!(edit.by_c(&fs), code, "case {case}, call {call}: {edit:?}");
                    if code == 0 {
                        edits.push(edit);
                    }
                }
            }
        }
        commit(&fs);
        assert_eq!(seen_by_c(&fs), seen_in_memory(&edits), "case {case}");
        assert_sound(&fs);
        drop(fs);
        require!(assert_silent(disk.file.as_std_path()));
    }
}

/// The header says that their calls take turns.
#[test]
fn threads_share_a_file_system() {
    struct Shared(Fs);
    /// As the header allows.
    unsafe impl Sync for Shared {}
    impl Shared {
        fn fs(&self) -> &Fs {
            &self.0
        }
    }
    let disk = Disk::new();
    let shared = Shared(disk.edit());
    assert_eq!(Edit::Directory("/t".to_owned(), Attributes::with_mode(0o755)).by_c(shared.fs()), 0);
    let seed = seed();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let shared = &shared;
            scope.spawn(move || {
                let mut numbers = Numbers(seed ^ thread);
                for call in 0..60 {
                    let code = numbers.edit().by_c(shared.fs());
                    assert!(code == 0 || (700..730).contains(&code), "{code}");
                    if call % 20 == 0 {
                        commit(shared.fs());
                    }
                }
                let own = format!("/own-{thread}");
                assert_eq!(Edit::Write(own, vec![1; 10], None).by_c(shared.fs()), 0);
            });
        }
    });
    commit(shared.fs());
    for thread in 0..8 {
        assert_eq!(shared.fs().read(&format!("/own-{thread}")).unwrap(), [1; 10]);
    }
    assert_sound(shared.fs());
}
