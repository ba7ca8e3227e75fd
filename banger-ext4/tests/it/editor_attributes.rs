//! Attributes that are stored in unusual places or ways.

use std::fs::File;
use std::os::unix::fs::FileExt;

use banger_ext4::Ext4Editor;
use banger_testkit::{assert_silent, require};
use banger_tree::{AttributeChange, Attributes, Rootfs, RootfsError, Timestamp};

use crate::editor::{Maker, Place, make, path};
use crate::editor_damage::{Map, number_of};
use crate::support::fixture::mode;

/// Bytes above 127 count as negative in the hashes of some versions of e2fsprogs and the kernel.
#[test]
fn t09_names_of_attributes_beyond_ascii() {
    let place = Place::new();
    for maker in [Maker::Native, Maker::Mkfs { newer: true, size: "64M", options: &[] }] {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(&maker, &image));
        let mut attributes = mode(0o644);
        for at in 0..3 {
            attributes.xattrs.insert(format!("user.größe {at}").as_bytes(), vec![0xe9; 300]);
        }
        let mut editor = Ext4Editor::open(&image).unwrap();
        editor.write_file(&path("/file"), &mut &b"x"[..], &attributes).unwrap();
        editor.commit().unwrap();
        drop(editor);
        require!(assert_silent(image.as_std_path()));
        let stat = Ext4Editor::open(&image).unwrap().stat(&path("/file")).unwrap().unwrap();
        assert_eq!(stat.attributes.xattrs, attributes.xattrs);
    }
}

/// Old kernels gave inodes fewer extra fields, and xattrs begin where those end.
#[test]
fn t07_t09_inodes_with_few_extra_fields() {
    let place = Place::new();
    let later = Timestamp { seconds: 1 << 33, nanoseconds: 123_456_789 };
    for extra_isize in [4_usize, 8, 12, 24, 28] {
        for with_xattrs in [false, true] {
            let image = place.root.join("image");
            let _ = std::fs::remove_file(&image);
            let options = &["-b", "1024", "-O", "^metadata_csum,^extra_isize"];
            require!(make(&Maker::Mkfs { newer: false, size: "16M", options }, &image));
            let mut editor = Ext4Editor::open(&image).unwrap();
            let mut attributes = mode(0o644);
            attributes.xattrs.insert("user.a", b"12345");
            editor.write_file(&path("/file"), &mut &b"x"[..], &attributes).unwrap();
            editor.commit().unwrap();
            let map = Map::new(std::fs::read(&image).unwrap());
            let at = map.inode(number_of(&editor, "/file"));
            drop(editor);
            let mut inode = map.bytes[at..at + 256].to_vec();
            let xattrs = inode[0xa0..].to_vec();
            inode[0x80..].fill(0);
            inode[0x80] = u8::try_from(extra_isize).unwrap();
            let start = 0x80 + extra_isize;
            // The magic, one entry of 20 bytes, and at the end its value.
            inode[start..start + 24].copy_from_slice(&xattrs[..24]);
            inode[248..].copy_from_slice(&xattrs[88..]);
            let offset = u16::try_from(248 - start - 4).unwrap();
            inode[start + 6..start + 8].copy_from_slice(&offset.to_le_bytes());
            let file = File::options().write(true).open(&image).unwrap();
            file.write_all_at(&inode, at as u64).unwrap();
            drop(file);
            require!(assert_silent(image.as_std_path()));

            let mut editor = Ext4Editor::open(&image).unwrap();
            let stat = editor.stat(&path("/file")).unwrap().unwrap();
            assert_eq!(stat.attributes.xattrs, attributes.xattrs, "{extra_isize}");
            let mut change = AttributeChange { mtime: Some(later), ..AttributeChange::default() };
            if with_xattrs {
                attributes.xattrs.insert("user.b", b"6");
                change.xattrs = Some(attributes.xattrs.clone());
            }
            editor.set_attributes(&path("/file"), &change).unwrap();
            editor.commit().unwrap();
            drop(editor);
            require!(assert_silent(image.as_std_path()));
            let stat = Ext4Editor::open(&image).unwrap().stat(&path("/file")).unwrap().unwrap();
            let want = Attributes { mtime: later, ..attributes };
            assert_eq!(stat.attributes, want, "{extra_isize} {with_xattrs}");
        }
    }
}

#[test]
fn the_lock_outlives_other_opens_in_the_process() {
    let place = Place::new();
    let image = place.root.join("locked.ext4");
    require!(make(&Maker::Native, &image));
    let editor = banger_ext4::Ext4Editor::open_to_edit(&image).unwrap();
    drop(std::fs::File::open(&image).unwrap());
    // Another process, since locks of one process did not always meet.
    let script = "import fcntl, sys\nwith open(sys.argv[1], 'r+b') as f:\n try:\n  fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n except OSError:\n  sys.exit(7)\n";
    let locked_elsewhere = || {
        let status = std::process::Command::new("python3").args(["-c", script, image.as_str()]).status();
        status.expect("tests need python3").code()
    };
    assert_eq!(locked_elsewhere(), Some(7));
    let refused = banger_ext4::Ext4Editor::open_to_edit(&image).unwrap_err();
    assert!(matches!(refused, banger_tree::RootfsError::InUse { .. }), "{refused}");
    drop(editor);
    assert_eq!(locked_elsewhere(), Some(0));
}

/// The key of encrypted content is an attribute that is not shown: it must not get lost with the others.
#[test]
fn attributes_that_are_not_shown_are_kept() {
    let place = Place::new();
    let image = place.root.join("image");
    require!(make(&Maker::Mkfs { newer: false, size: "16M", options: &["-O", "^metadata_csum"] }, &image));
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    let mut attributes = mode(0o644);
    attributes.xattrs.insert("user.hidden-one", "value");
    editor.write_file(&path("/file"), &mut &b"x"[..], &attributes).unwrap();
    editor.commit().unwrap();
    drop(editor);
    let mut bytes = std::fs::read(&image).unwrap();
    let places: Vec<usize> =
        (0..bytes.len() - 10).filter(|at| bytes[*at..].starts_with(b"hidden-one")).collect();
    for at in &places {
        // The namespace of encryption, `e_name_index`.
        bytes[at - 15] = 9;
    }
    assert!(!places.is_empty());
    std::fs::write(&image, &bytes).unwrap();
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    assert!(editor.stat(&path("/file")).unwrap().unwrap().attributes.xattrs.is_empty());
    let error = editor.set_attributes(&path("/file"), &(&attributes).into()).unwrap_err();
    assert!(matches!(error, RootfsError::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("namespace 9"), "{error}");
    let change = AttributeChange { mode: Some(0o600), ..AttributeChange::default() };
    editor.set_attributes(&path("/file"), &change).unwrap();
    editor.commit().unwrap();
    drop(editor);
    let bytes = std::fs::read(&image).unwrap();
    let kept = (0..bytes.len() - 10).filter(|at| bytes[*at..].starts_with(b"hidden-one"));
    assert!(kept.filter(|at| bytes[at - 15] == 9).count() > 0);
    let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
    editor.remove(&path("/file")).unwrap();
    editor.commit().unwrap();
}
