//! Where the data of a file is: holes are found without a read.

use banger_ext4::{Ext4Backend as _, Ext4Editor, Ext4Options, ImageSize, NativeBackend};
use banger_testkit::require;
use banger_tree::{Inode, LayerIndex, NodeKind, Rootfs, Tree};

use crate::editor::{Maker, Place, make, path};
use crate::support::fixture::mode;

/// Returns the pieces of data of a file, next to each other joined.
fn pieces(rootfs: &dyn Rootfs, at: &str) -> Vec<(u64, u64)> {
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    let mut offset = 0;
    while let Some((start, end)) = rootfs.data_from(&path(at), offset).unwrap() {
        assert!(offset <= start && start < end, "{offset}: {start}..{end}");
        match pieces.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => pieces.push((start, end)),
        }
        offset = end;
    }
    pieces
}

#[test]
fn holes_of_a_terabyte_are_found() {
    const HOLE: u64 = (1 << 40) - 4096;
    let place = Place::new();
    let image = place.root.join("image");
    let options = Ext4Options::default().with_size(ImageSize::Bytes(1 << 30));
    let mut builder = NativeBackend.create(&image, &options).unwrap();
    let size_bytes = 2 * HOLE + 4096 + 3;
    let id = builder.begin(LayerIndex(0), size_bytes).unwrap();
    builder.append_hole(id, HOLE).unwrap();
    builder.append(id, &[7; 4096]).unwrap();
    builder.append_hole(id, HOLE).unwrap();
    builder.append(id, &[7; 3]).unwrap();
    builder.finish(id).unwrap();
    let mut tree = Tree::new();
    let kind = NodeKind::Regular { size_bytes, content: Some(id) };
    tree.insert(tree.root(), b"file", Inode::new(kind, mode(0o644))).unwrap();
    builder.build_ext4(&tree).unwrap();
    let editor = Ext4Editor::open(&image).unwrap();
    assert_eq!(pieces(&editor, "/file"), [(HOLE, HOLE + 4096), (size_bytes - 3, size_bytes)]);
    assert_eq!(editor.data_from(&path("/file"), size_bytes).unwrap(), None);
    assert_eq!(editor.data_from(&path("/file"), HOLE + 5).unwrap(), Some((HOLE + 5, HOLE + 4096)));
    assert!(editor.data_from(&path("/"), 0).is_err() && editor.data_from(&path("/none"), 0).is_err());
}

#[test]
fn files_of_every_kind_of_map_tell_their_data() {
    let place = Place::new();
    for (options, block) in [
        (&["-b", "4096"][..], 4096),
        (&["-b", "1024"], 1024),
        (&["-b", "1024", "-O", "^extents,^64bit"], 1024),
        (&["-O", "inline_data", "-I", "256", "-b", "4096"], 4096),
    ] {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(&Maker::Mkfs { newer: false, size: "32M", options }, &image));
        let mut editor = Ext4Editor::open(&image).unwrap();
        let mut bytes = vec![0; 3_000_000];
        bytes[700_000] = 1;
        bytes[2_999_999] = 1;
        for (name, bytes) in [
            ("/a", &bytes[..]),
            ("/zeros", &bytes[1_000_000..2_000_000]),
            ("/small", b"small"),
            ("/none", b""),
        ] {
            editor.write_file(&path(name), &mut &bytes[..], &mode(0o644)).unwrap();
        }
        let at = 700_000 / block * block;
        assert_eq!(
            pieces(&editor, "/a"),
            [(at, at + block), (2_999_999 / block * block, 3_000_000)],
            "{options:?}"
        );
        assert_eq!(pieces(&editor, "/small"), [(0, 5)], "{options:?}");
        assert!(pieces(&editor, "/zeros").is_empty() && pieces(&editor, "/none").is_empty(), "{options:?}");
    }
}
