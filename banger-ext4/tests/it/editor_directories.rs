//! Directories of other makers, and ones larger than a journal.

use banger_ext4::{Ext4Backend, Ext4Editor, Ext4Options, ImageSize, NativeBackend};
use banger_testkit::{assert_silent, require, tools};
use banger_tree::{Inode, NodeKind, Rootfs, Tree};

use crate::editor::{Place, path};
use crate::support::fixture::mode;

/// The native writer and e2fsck -D fill index blocks to the last entry.
#[test]
fn t03_a_directory_with_full_index_blocks_takes_names_through_a_small_journal() {
    let place = Place::new();
    for (name_length, count, added) in [(200, 20_000, 400), (200, 8050, 400)] {
        let image = place.root.join("image");
        let _ = std::fs::remove_file(&image);
        let size = ImageSize::Bytes(100 << 20);
        let options = Ext4Options::default().with_size(size).with_hash_seed([3; 16]);
        let mut tree = Tree::new();
        let root = tree.root();
        let dir = tree.insert(root, b"many", Inode::new(NodeKind::empty_directory(), mode(0o755))).unwrap();
        let fifo = tree.insert(root, b"fifo", Inode::new(NodeKind::Fifo, mode(0o644))).unwrap();
        let name = |at: usize| format!("{at:0name_length$}");
        for at in 0..count {
            tree.link(dir, name(at).as_bytes(), fifo).unwrap();
        }
        NativeBackend.create(&image, &options).unwrap().build_ext4(&tree).unwrap();
        let mut editor = Ext4Editor::open(&image).unwrap();
        for at in count..count + added {
            editor.hard_link(&path("/fifo"), &path(&format!("/many/{}", name(at)))).unwrap();
            if at % 100 == 99 {
                editor.commit().unwrap();
            }
        }
        editor.commit().unwrap();
        assert_eq!(editor.verify().unwrap().problems, [""; 0]);
        drop(editor);
        require!(assert_silent(image.as_std_path()));
        let editor = Ext4Editor::open(&image).unwrap();
        for at in 0..count + added {
            assert!(editor.stat(&path(&format!("/many/{}", name(at)))).unwrap().is_some(), "{at}");
        }
        assert_eq!(editor.read_dir(&path("/many")).unwrap().len(), count + added);
    }
}

/// As mkfs.ext4 -d leaves them: a list of many blocks, without an index.
#[test]
fn t03_a_list_larger_than_the_journal_takes_names() {
    let place = Place::new();
    let (image, source) = (place.root.join("image"), place.root.join("source"));
    std::fs::create_dir_all(source.join("many")).unwrap();
    let name = |at: usize| format!("{at:0240}");
    std::fs::write(source.join("many").join(name(0)), b"").unwrap();
    for at in 1..18_000 {
        std::fs::hard_link(source.join("many").join(name(0)), source.join("many").join(name(at))).unwrap();
    }
    let mut mke2fs = require!(tools::command("mke2fs"));
    let arguments = ["-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^metadata_csum", "-J", "size=4", "-d"];
    tools::run(mke2fs.args(arguments).arg(&source).arg(&image).arg("64M"));
    let mut editor = Ext4Editor::open(&image).unwrap();
    for at in 18_000..18_100 {
        editor
            .hard_link(
                &path("/many").join(name(0).as_bytes()).unwrap(),
                &path("/many").join(name(at).as_bytes()).unwrap(),
            )
            .unwrap();
    }
    editor.commit().unwrap();
    assert_eq!(editor.read_dir(&path("/many")).unwrap().len(), 18_100);
    drop(editor);
    require!(assert_silent(image.as_std_path()));
}

/// Indexes by other hashes than the one that is written here, and by bytes without sign.
#[test]
fn t03_indexes_by_other_hashes_stay_indexes() {
    let place = Place::new();
    for (hash, flags) in [("tea", "1"), ("legacy", "1"), ("half_md4", "2"), ("tea", "2")] {
        let (image, source) = (place.root.join("image"), place.root.join("source"));
        let _ = std::fs::remove_file(&image);
        let _ = std::fs::remove_dir_all(&source);
        std::fs::create_dir_all(source.join("many")).unwrap();
        let name = |at: usize| format!("{at}-\u{e9}-{at:060}");
        for at in 0..400 {
            std::fs::write(source.join("many").join(name(at)), b"").unwrap();
        }
        let mut mke2fs = require!(tools::command("mke2fs"));
        let arguments = ["-q", "-F", "-t", "ext4", "-b", "1024", "-N", "2000", "-d"];
        tools::run(mke2fs.args(arguments).arg(&source).arg(&image).arg("16M"));
        let mut debugfs = require!(tools::command("debugfs"));
        let script = place.root.join("script");
        std::fs::write(&script, format!("ssv def_hash_version {hash}\nssv flags {flags}\n")).unwrap();
        tools::run(debugfs.args(["-w", "-f"]).arg(&script).arg(&image));
        // It makes the index, and says by its status that it did.
        let mut e2fsck = require!(tools::command("e2fsck"));
        let _ = e2fsck.args(["-fyD"]).arg(&image).output().unwrap();
        require!(assert_silent(image.as_std_path()));

        let mut editor = Ext4Editor::open(&image).unwrap();
        assert_eq!(editor.verify().unwrap().problems, [""; 0], "{hash} {flags}");
        for at in 400..700 {
            let name = path(&format!("/many/{}", name(at)));
            editor.write_file(&name, &mut &b"x"[..], &mode(0o644)).unwrap();
        }
        for at in (0..700).step_by(7) {
            editor.remove(&path(&format!("/many/{}", name(at)))).unwrap();
        }
        editor.commit().unwrap();
        assert_eq!(editor.verify().unwrap().problems, [""; 0], "{hash} {flags}");
        drop(editor);
        require!(assert_silent(image.as_std_path()));
        let mut debugfs = require!(tools::command("debugfs"));
        let told = tools::run(debugfs.args(["-R", "htree_dump /many"]).arg(&image)).stdout;
        let told = String::from_utf8_lossy(&told).to_lowercase();
        let version = ["legacy", "half_md4", "tea"].iter().position(|known| *known == hash).unwrap();
        assert!(told.contains(&format!("hash version: {version}")), "{told:.300}");
    }
}
