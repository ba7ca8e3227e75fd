//! A reader of ext4 that somebody else wrote.

use std::collections::BTreeMap;
use std::path::Path as HostPath;

use banger_tree::{ContentStore, FileType, NodeKind, Tree};
use ext4_view::{Ext4, Ext4Error, Path};

/// Compares all that the reader `ext4-view` reads with the tree, times only if `has_times`. Returns how many inodes it
/// could not read: it refuses times whose lower 32 bits are negative.
///
/// # Errors
/// It does not know a feature of the file system.
pub(crate) fn compare_view(
    image: &HostPath,
    tree: &Tree,
    store: &dyn ContentStore,
    has_times: bool,
) -> Result<usize, String> {
    let ext4 = match Ext4::load_from_path(image) {
        Ok(ext4) => ext4,
        Err(error @ Ext4Error::Incompatible(_)) => return Err(error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let mut passed_over = 0;
    let mut listed: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
    for (path, id) in tree.walk() {
        let inode = tree.inode(id);
        let at = Path::try_from(path.as_bytes()).unwrap();
        let metadata = match ext4.symlink_metadata(at) {
            Ok(metadata) => metadata,
            Err(error) if format!("{error:?}").contains("InodeTimestamp") => {
                passed_over += 1;
                continue;
            }
            Err(error) => panic!("{path}: {error}"),
        };
        let found = metadata.file_type();
        let is_right_type = match inode.kind.file_type() {
            FileType::Regular => found.is_regular_file(),
            FileType::Directory => found.is_dir(),
            FileType::Symlink => found.is_symlink(),
            FileType::CharDevice => found.is_char_dev(),
            FileType::BlockDevice => found.is_block_dev(),
            FileType::Fifo => found.is_fifo(),
            FileType::Socket => found.is_socket(),
        };
        assert!(is_right_type, "{path}: {found:?}");
        let attributes = &inode.attributes;
        let mtime = (metadata.modified().seconds(), metadata.modified().nanoseconds());
        assert_eq!(metadata.mode() & 0o7777, attributes.mode, "{path}");
        assert_eq!((metadata.uid(), metadata.gid()), (attributes.uid, attributes.gid), "{path}");
        if has_times {
            assert_eq!(mtime, (attributes.mtime.seconds, attributes.mtime.nanoseconds), "{path}");
        }
        match &inode.kind {
            NodeKind::Regular { size_bytes, content } => {
                let mut expected = vec![0; usize::try_from(*size_bytes).unwrap()];
                if let Some(id) = content {
                    assert_eq!(store.read_at(*id, 0, &mut expected).unwrap(), expected.len());
                }
                assert!(ext4.read(at).unwrap() == expected, "bytes of {path}");
            }
            NodeKind::Symlink { target } => {
                assert_eq!(ext4.read_link(at).unwrap().as_ref(), &target[..], "{path}");
            }
            NodeKind::Directory { children } => {
                let names = ext4.read_dir(at).unwrap().map(|e| e.unwrap().file_name().as_ref().to_vec());
                let mut names: Vec<Vec<u8>> = names.filter(|name| name != b"." && name != b"..").collect();
                names.sort();
                listed.insert(path.as_bytes().to_vec(), names);
                let mut expected: Vec<Vec<u8>> = children.keys().map(|name| name.to_vec()).collect();
                if path.is_root() && !children.contains_key(&b"lost+found"[..]) {
                    expected.push(b"lost+found".to_vec());
                    expected.sort();
                }
                assert_eq!(listed[path.as_bytes()], expected, "{path}");
            }
            _ => {}
        }
    }
    Ok(passed_over)
}
