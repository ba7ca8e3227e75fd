//! A tree out of a directory of the host, with all that root can see of it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use banger_tree::{
    Attributes, ContentId, ContentStore, FileType, Inode, InodeId, LayerIndex, NodeKind, Timestamp, Tree,
    Xattrs,
};
use rustix::fs::{lgetxattr, llistxattr, major, minor};

/// Returns the tree of the directory `root`, its contents put into `store`.
pub(crate) fn import(root: &Path, store: &mut dyn ContentStore) -> Tree {
    let mut tree = Tree::new();
    *tree.attributes_mut(tree.root()) = attributes(root, &fs::symlink_metadata(root).unwrap());
    let mut linked: HashMap<(u64, u64), InodeId> = HashMap::new();
    let mut pending: Vec<(PathBuf, InodeId)> = vec![(root.to_owned(), tree.root())];
    while let Some((dir, dir_id)) = pending.pop() {
        let mut entries: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap()).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            let metadata = fs::symlink_metadata(&path).unwrap();
            let key = (metadata.dev(), metadata.ino());
            if let Some(id) = linked.get(&key).filter(|_| !metadata.is_dir()) {
                tree.link(dir_id, name.as_bytes(), *id).unwrap();
                continue;
            }
            let inode = Inode::new(kind(&path, &metadata, store), attributes(&path, &metadata));
            let id = tree.insert(dir_id, name.as_bytes(), inode).unwrap();
            linked.insert(key, id);
            if metadata.is_dir() {
                pending.push((path, id));
            }
        }
    }
    tree
}

fn attributes(path: &Path, metadata: &fs::Metadata) -> Attributes {
    let mut names = vec![0; 65536];
    let length = llistxattr(path, &mut names).unwrap_or(0);
    let xattrs = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(|name| {
        let mut value = vec![0; 65536];
        let length = lgetxattr(path, name, &mut value).unwrap();
        value.truncate(length);
        (name, value)
    });
    Attributes {
        mode: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: Timestamp { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 },
        xattrs: Xattrs::from_iter(xattrs),
    }
}

fn kind(path: &Path, metadata: &fs::Metadata, store: &mut dyn ContentStore) -> NodeKind {
    let file_type = metadata.file_type();
    let (major, minor) = (major(metadata.rdev()), minor(metadata.rdev()));
    if file_type.is_dir() {
        NodeKind::empty_directory()
    } else if file_type.is_symlink() {
        NodeKind::Symlink { target: fs::read_link(path).unwrap().into_os_string().into_vec().into() }
    } else if file_type.is_char_device() {
        NodeKind::CharDevice { major, minor }
    } else if file_type.is_block_device() {
        NodeKind::BlockDevice { major, minor }
    } else if file_type.is_fifo() {
        NodeKind::Fifo
    } else if file_type.is_socket() {
        NodeKind::Socket
    } else {
        assert_eq!(FileType::from_mode_bits(metadata.mode() as u16), Some(FileType::Regular));
        let size_bytes = metadata.len();
        NodeKind::Regular { size_bytes, content: content(path, size_bytes, store) }
    }
}

fn content(path: &Path, size_bytes: u64, store: &mut dyn ContentStore) -> Option<ContentId> {
    if size_bytes == 0 {
        return None;
    }
    let mut file = File::open(path).unwrap();
    let id = store.begin(LayerIndex(0), size_bytes).unwrap();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            count => store.append(id, &buffer[..count]).unwrap(),
        }
    }
    store.finish(id).unwrap();
    Some(id)
}
