//! The e2fsprogs backend as a content store.

use std::os::unix::fs::MetadataExt;

use banger_ext4::{Ext4Backend, Ext4Error};
use banger_tree::{ContentError, Inode, LayerIndex, NodeKind, Tree};

use crate::e2fsprogs::{Workplace, for_each_backend, has_tools, options};
use crate::support::fixture::mode;

#[test]
fn holds_what_was_announced_and_nothing_else() {
    for_each_backend(|place, backend| {
        let mut store = backend.create(&place.image("image"), &options()).unwrap();
        let id = store.begin(LayerIndex(0), 8).unwrap();
        store.append(id, b"abc").unwrap();
        let wrong = store.finish(id);
        assert!(matches!(wrong, Err(ContentError::WrongLength { declared_bytes: 8, written_bytes: 3 })));
        store.append_hole(id, 4).unwrap();
        assert!(matches!(store.append(id, b"de"), Err(ContentError::WrongLength { written_bytes: 9, .. })));
        store.append(id, b"d").unwrap();
        let mut buffer = [9; 16];
        assert!(matches!(store.read_at(id, 0, &mut buffer), Err(ContentError::Unknown { .. })));
        store.finish(id).unwrap();
        assert_eq!(store.read_at(id, 2, &mut buffer).unwrap(), 6);
        assert_eq!(&buffer[..6], b"c\0\0\0\0d");
        assert_eq!(store.read_at(id, 8, &mut buffer).unwrap(), 0);
        store.release(id).unwrap();
        assert!(store.read_at(id, 0, &mut buffer).is_err() && store.release(id).is_err());
    });
}

#[test]
fn t16_holes_and_released_contents_take_no_disk() {
    if !has_tools() {
        return;
    }
    let place = Workplace::new();
    let mut store = place.backend().create(&place.image("image"), &options()).unwrap();
    let id = store.begin(LayerIndex(0), 1 << 40).unwrap();
    store.append_hole(id, (1 << 40) - 1).unwrap();
    store.append(id, b"x").unwrap();
    store.finish(id).unwrap();
    let scratch = place.root.join("scratch").read_dir_utf8().unwrap().next().unwrap().unwrap();
    assert_eq!(scratch.metadata().unwrap().mode() & 0o7777, 0o700);
    let path = scratch.path().join("contents/0/0");
    assert!(path.metadata().unwrap().blocks() <= 64);
    store.release(id).unwrap();
    assert!(!path.exists());
    // Released while it is written, as when its layer turns out to be broken.
    let id = store.begin(LayerIndex(0), 10).unwrap();
    store.append(id, b"12345").unwrap();
    store.release(id).unwrap();
    assert!(store.append(id, b"6").is_err());
    assert_eq!(scratch.path().join("contents/0").read_dir_utf8().unwrap().count(), 0);
}

#[test]
fn a_content_that_is_not_there_is_named() {
    for_each_backend(|place, backend| {
        for unfinished in [false, true] {
            let mut store = backend.create(&place.image("image"), &options()).unwrap();
            let id = store.begin(LayerIndex(0), 1).unwrap();
            if !unfinished {
                store.release(id).unwrap();
            }
            let mut tree = Tree::new();
            let kind = NodeKind::Regular { size_bytes: 1, content: Some(id) };
            tree.insert(tree.root(), b"x", Inode::new(kind, mode(0o644))).unwrap();
            let error = store.build_ext4(&tree).unwrap_err();
            assert!(matches!(error, Ext4Error::Content(ContentError::Unknown { .. })), "{error}");
            assert_eq!(place.leftovers(), [""; 0]);
        }
    });
}
