//! Another UUID for finished images: what e2fsck and the kernel say of it.

use std::process::Command;

use banger_ext4::Ext4Editor;
use banger_testkit::{Access, Mounted, assert_equal, assert_silent, copy_sparse, require, tools};
use banger_tree::Rootfs;

use crate::editor::{MAKERS, Maker, Place, make, path};
use crate::support::fixture::mode;
use crate::support::is_root;

const NEW: [u8; 16] = *b"another identity";

/// Makers whose checksums depend on the UUID in other ways.
const MORE: [Maker; 3] = [
    Maker::Mkfs {
        newer: false,
        size: "300M",
        options: &["-b", "1024", "-O", "uninit_bg,^metadata_csum,^flex_bg"],
    },
    Maker::Mkfs { newer: false, size: "64M", options: &["-b", "1024", "-O", "meta_bg,^resize_inode"] },
    Maker::Mkfs { newer: true, size: "300M", options: &["-O", "sparse_super2,quota,inline_data,ea_inode"] },
];

#[test]
fn all_checksums_fit_a_new_uuid() {
    let place = Place::new();
    for maker in MAKERS.iter().chain(&MORE) {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        require!(make(maker, &image));
        let mut editor = Ext4Editor::open(&image).unwrap();
        let is_edited = editor.create_dir(&path("/dir"), &mode(0o755)).is_ok();
        if !is_edited {
            eprintln!("{maker:?} is not edited");
            continue;
        }
        editor.write_file(&path("/dir/file"), &mut &vec![7; 300_000][..], &mode(0o644)).unwrap();
        editor.commit().unwrap();
        drop(editor);
        let before = place.root.join("before");
        copy_sparse(image.as_std_path(), before.as_std_path());

        let mut editor = Ext4Editor::open_to_edit(&image).unwrap();
        editor.set_uuid(NEW).unwrap();
        assert_eq!(editor.uuid(), NEW);
        editor.write_file(&path("/dir/later"), &mut &b"x"[..], &mode(0o644)).unwrap();
        editor.remove(&path("/dir/later")).unwrap();
        let features = editor.features().to_vec();
        editor.commit().unwrap();
        drop(editor);
        assert_silent(image.as_std_path()).unwrap();
        let editor = Ext4Editor::open(&image).unwrap();
        assert_eq!((editor.uuid(), editor.features()), (NEW, &features[..]));
        assert!(editor.verify().unwrap().problems.is_empty());
        assert_equal(&Ext4Editor::open(&before).unwrap(), &editor);
        drop(editor);
        // The copies are as good as the first superblock.
        check_copy(&image);
        if is_root() && mounts(&features) {
            let mounted = require!(Mounted::new(image.as_std_path(), Access::ReadWrite));
            std::fs::write(mounted.path().join("dir/kernel"), "x").unwrap();
            mounted.unmount();
            assert_silent(image.as_std_path()).unwrap();
        }
    }
}

/// Returns whether the kernel of any machine mounts it.
fn mounts(features: &[String]) -> bool {
    !features.iter().any(|feature| feature == "quota" || feature == "casefold")
}

/// Fails unless e2fsck is silent from the first copy of the superblock, where there is one.
fn check_copy(image: &camino::Utf8Path) {
    let dump = tools::run(Command::new(tools::tool("dumpe2fs").unwrap()).arg(image));
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    let number = |start: &str| {
        dump.lines().find_map(|line| line.strip_prefix(start)).map(|rest| rest.trim().to_owned())
    };
    let block_size = number("Block size:").unwrap();
    let copy = dump.lines().find_map(|line| line.trim().strip_prefix("Backup superblock at "));
    let Some(copy) = copy.and_then(|rest| rest.split([',', ' ']).next()) else { return };
    let dumpe2fs = tools::run(
        Command::new(tools::tool("dumpe2fs").unwrap())
            .args(["-h", "-o", &format!("superblock={copy}"), "-o", &format!("blocksize={block_size}")])
            .arg(image),
    );
    let text = String::from_utf8_lossy(&dumpe2fs.stdout).into_owned();
    let uuid =
        text.lines().find_map(|line| line.strip_prefix("Filesystem UUID:")).unwrap().trim().replace('-', "");
    let wanted: String = NEW.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(uuid, wanted);
}
