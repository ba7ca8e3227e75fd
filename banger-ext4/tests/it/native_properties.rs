//! Random trees: written, then read back by another reader, `ext4-view`; a sample of them goes to
//! e2fsck and to the kernel, too. `BANGER_CASES` says how many (300).

use std::path::Path as HostPath;
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_ext4::{Ext4Backend, Ext4Builder, ImageSize, NativeBackend};
use banger_testkit::{assert_clean, property_config, require};
use banger_tree::{
    Attributes, ContentError, ContentId, ContentStore, Inode, InodeId, LayerIndex, MemoryStore, NodeKind,
    Timestamp, Tree, Xattrs,
};
use camino::{Utf8Path, Utf8PathBuf};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::e2fsprogs::options;
use crate::support::check_image;
use crate::support::view::compare_view;

/// One step in the making of a tree. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Add { dir: usize, name: Vec<u8>, kind: Kind, attributes: Attributes },
    Link { dir: usize, name: Vec<u8>, target: usize },
    Remove { dir: usize, entry: usize },
    Many { dir: usize, count: usize, name_length: usize },
}

#[derive(Clone, Debug)]
enum Kind {
    /// Bytes and holes in turn, and the length of the slices they are written in.
    File {
        parts: Vec<(u16, u8, u16)>,
        cut: usize,
    },
    Node(NodeKind),
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let xattr = ("(user|trusted|security)\\.[a-zé]{1,20}", vec(any::<u8>(), 0..200));
    let xattrs = prop_oneof![4 => Just(Vec::new()), 1 => vec(xattr, 1..6)];
    let owner = prop_oneof![Just(0), 0..70_000_u32, any::<u32>()];
    // `ext4-view` 1.0 refuses times whose lower 32 bits are negative, and e2fsck doubts those after
    // 2310; the kernel is shown all of them in `cases`.
    let seconds = (0..3_i64, 0..1_i64 << 31).prop_map(|(epoch, low)| (epoch << 32) + low);
    let mtime = (seconds, 0..1_000_000_000_u32);
    (0..0o10000_u16, owner.clone(), owner, mtime, xattrs).prop_map(
        |(mode, uid, gid, (seconds, nanoseconds), xattrs)| Attributes {
            mode,
            uid,
            gid,
            mtime: Timestamp { seconds, nanoseconds },
            xattrs: Xattrs::from_iter(xattrs),
        },
    )
}

fn kind() -> impl Strategy<Value = Kind> {
    let part = (prop_oneof![0..200_u16, 0..20_000_u16], 0..4_u8, prop_oneof![Just(0), 0..30_000_u16]);
    let cut = prop_oneof![1..200_usize, Just(4096), 4000..70_000_usize];
    let file = (vec(part, 0..6), cut).prop_map(|(parts, cut)| Kind::File { parts, cut });
    // `ext4-view` takes no component over 255 bytes, the kernel's business when it is followed.
    let target = prop_oneof![1..70_usize, 1..4096_usize]
        .prop_map(|length| (0..length).map(|at| if at % 100 == 99 { b'/' } else { b't' }).collect());
    let node = prop_oneof![
        5 => Just(NodeKind::empty_directory()),
        2 => target.prop_map(|target: Vec<u8>| NodeKind::Symlink { target: target.into() }),
        1 => (0..4096_u32, 0..1_048_576_u32).prop_map(|(major, minor)| NodeKind::CharDevice { major, minor }),
        1 => (0..300_u32, 0..300_u32).prop_map(|(major, minor)| NodeKind::BlockDevice { major, minor }),
        1 => Just(NodeKind::Fifo),
        1 => Just(NodeKind::Socket),
    ];
    prop_oneof![3 => file, 2 => node.prop_map(Kind::Node)]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-e]{1,2}".prop_map(String::into_bytes),
        1 => vec(any::<u8>().prop_map(|byte| if matches!(byte, 0 | b'/' | b'.') { b'_' } else { byte }), 1..255),
        1 => Just(b"lost+found".to_vec()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (any::<usize>(), name(), kind(), attributes())
            .prop_map(|(dir, name, kind, attributes)| Step::Add { dir, name, kind, attributes }),
        2 => (any::<usize>(), name(), any::<usize>())
            .prop_map(|(dir, name, target)| Step::Link { dir, name, target }),
        3 => (any::<usize>(), any::<usize>()).prop_map(|(dir, entry)| Step::Remove { dir, entry }),
        1 => (any::<usize>(), 1..400_usize, 4..200_usize)
            .prop_map(|(dir, count, name_length)| Step::Many { dir, count, name_length }),
    ]
}

/// Two stores that are told the same, and so number their contents alike.
struct Both {
    native: Box<dyn Ext4Builder>,
    memory: MemoryStore,
}

impl ContentStore for Both {
    fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        let id = self.memory.begin(layer, size_bytes)?;
        assert_eq!(self.native.begin(layer, size_bytes)?, id);
        Ok(id)
    }
    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        self.memory.append(id, bytes)?;
        self.native.append(id, bytes)
    }
    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
        self.memory.append_hole(id, length_bytes)?;
        self.native.append_hole(id, length_bytes)
    }
    fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.memory.finish(id)?;
        self.native.finish(id)
    }
    fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.memory.release(id)?;
        self.native.release(id)
    }
    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
        let length = self.native.read_at(id, offset, buffer)?;
        let mut expected = vec![0; buffer.len()];
        assert_eq!(self.memory.read_at(id, offset, &mut expected)?, length);
        assert_eq!(buffer[..length], expected[..length]);
        Ok(length)
    }
}

/// Makes the tree that `steps` tell; steps that make no sense are left out.
fn make(steps: &[Step], store: &mut Both) -> Tree {
    let mut tree = Tree::new();
    for step in steps {
        let all: Vec<InodeId> = tree.walk().map(|(_, id)| id).collect();
        let dirs: Vec<InodeId> = all.iter().copied().filter(|id| tree.inode(*id).is_dir()).collect();
        let dir_at = |number: usize| dirs[number % dirs.len()];
        match step {
            Step::Add { dir, name, kind, attributes } => {
                let reserved = dir_at(*dir) == tree.root() && name == b"lost+found";
                let is_dir = matches!(kind, Kind::Node(NodeKind::Directory { .. }));
                if tree.child(dir_at(*dir), name).is_some() || (reserved && !is_dir) {
                    continue;
                }
                let kind = match kind {
                    Kind::Node(node) => node.clone(),
                    Kind::File { parts, cut } => put(parts, *cut, store),
                };
                let mut attributes = attributes.clone();
                if !is_dir && !matches!(kind, NodeKind::Regular { .. }) {
                    // The kernel shows `user.` on files and directories only.
                    let kept = attributes.xattrs.iter().filter(|(name, _)| !name.starts_with(b"user."));
                    attributes.xattrs = kept.collect();
                }
                tree.insert(dir_at(*dir), name, Inode::new(kind, attributes)).unwrap();
            }
            Step::Link { dir, name, target } => {
                if name != b"lost+found" {
                    let _ = tree.link(dir_at(*dir), name, all[target % all.len()]);
                }
            }
            Step::Remove { dir, entry } => {
                let names: Vec<_> = tree.inode(dir_at(*dir)).children().unwrap().keys().cloned().collect();
                if let Some(name) = names.get(entry % names.len().max(1)) {
                    for content in tree.remove(dir_at(*dir), name) {
                        store.read_at(content, 1, &mut [0; 10_000]).unwrap();
                        store.release(content).unwrap();
                    }
                }
            }
            Step::Many { dir, count, name_length } => {
                for number in 0..*count {
                    let name = format!("{number:0name_length$}");
                    let inode = Inode::new(NodeKind::Fifo, Attributes::with_mode(0o600));
                    let _ = tree.insert(dir_at(*dir), name.as_bytes(), inode);
                }
            }
        }
    }
    tree
}

fn put(parts: &[(u16, u8, u16)], cut: usize, store: &mut Both) -> NodeKind {
    let size_bytes = parts.iter().map(|(data, _, hole)| u64::from(*data) + u64::from(*hole)).sum();
    if size_bytes == 0 {
        return NodeKind::Regular { size_bytes, content: None };
    }
    let id = store.begin(LayerIndex(0), size_bytes).unwrap();
    for (data, byte, hole) in parts {
        let bytes = vec![*byte; usize::from(*data)];
        bytes.chunks(cut).for_each(|part| store.append(id, part).unwrap());
        store.append_hole(id, u64::from(*hole)).unwrap();
    }
    store.finish(id).unwrap();
    NodeKind::Regular { size_bytes, content: Some(id) }
}

fn judge(image: &Utf8Path) {
    require!(assert_clean(image.as_std_path()));
}

fn directory_in_memory() -> tempfile::TempDir {
    let memory = HostPath::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

#[test]
fn random_trees_read_back_equal() {
    let config = property_config(300);
    let done = AtomicUsize::new(0);
    let sizes = prop_oneof![
        Just(ImageSize::Auto { at_least_bytes: 0 }),
        Just(ImageSize::Bytes(40 << 20)),
        Just(ImageSize::Bytes(200 << 20)),
    ];
    proptest!(config, |(steps in vec(step(), 0..60), size in sizes, seed in any::<[u8; 16]>())| {
        let place = directory_in_memory();
        let image = Utf8PathBuf::from_path_buf(place.path().join("image")).unwrap();
        let options = options().with_size(size).with_hash_seed(seed);
        let native = NativeBackend.create(&image, &options).unwrap();
        let mut store = Both { native, memory: MemoryStore::default() };
        let tree = make(&steps, &mut store);
        let Both { native, memory } = store;
        let report = native.build_ext4(&tree).unwrap();
        prop_assert_eq!(report.size_bytes, image.metadata().unwrap().len());
        assert_eq!(compare_view(image.as_std_path(), &tree, &memory, true), Ok(0));
        let number = done.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(25) {
            judge(&image);
        }
        if number.is_multiple_of(50) {
            check_image(&image, &tree, &memory);
        }
    });
}
