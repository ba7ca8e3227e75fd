//! e2fsck as a judge that can also say no, and mounts.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use banger_testkit::{
    Access, Ignore, Mounted, assert_clean, assert_same_tree, copy_sparse, e2fsck_check, e2fscks,
    first_difference, require, snapshot, tools,
};

/// An ext4 image of a small tree.
fn image(dir: &Path) -> Result<PathBuf, banger_testkit::Skip> {
    let tree = dir.join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("sub/file"), "content").unwrap();
    fs::hard_link(tree.join("sub/file"), tree.join("again")).unwrap();
    // mkfs keeps whole seconds only.
    let mut touch = tools::command("find")?;
    touch.arg(&tree).args(["-exec", "touch", "-h", "-d", "@1000000000", "{}", "+"]);
    tools::run(&mut touch);
    let image = dir.join("image.ext4");
    let mut mkfs = tools::command("mkfs.ext4")?;
    mkfs.arg("-q").arg("-d").arg(&tree).arg(&image).arg("64M");
    tools::run(&mut mkfs);
    Ok(image)
}

#[test]
fn a_sound_image_passes_and_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let image = require!(image(dir.path()));
    let before = fs::read(&image).unwrap();
    require!(assert_clean(&image));
    assert!(fs::read(&image).unwrap() == before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "the copy was left behind");
}

#[test]
fn damage_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let image = require!(image(dir.path()));
    for e2fsck in require!(e2fscks()) {
        let copy = dir.path().join("damaged.ext4");
        // s_free_blocks_count, s_inodes_count and the magic.
        for offset in [1024 + 0x0C, 1024, 1024 + 0x38] {
            copy_sparse(&image, &copy);
            let file = OpenOptions::new().write(true).open(&copy).unwrap();
            file.write_all_at(&[0xAB], offset).unwrap();
            assert!(e2fsck_check(&e2fsck, &copy).is_err(), "{offset:#x}");
        }
    }
}

#[test]
fn a_padding_fault_that_exits_0_is_a_complaint() {
    let dir = tempfile::tempdir().unwrap();
    let image = require!(image(dir.path()));
    let mut debugfs = require!(tools::command("debugfs"));
    // A wrong link count: e2fsck -n says so, whatever its exit status is.
    debugfs.args(["-w", "-R", "sif /sub/file links_count 7"]).arg(&image);
    tools::run(&mut debugfs);
    for e2fsck in require!(e2fscks()) {
        let complaint = e2fsck_check(&e2fsck, &image).unwrap_err();
        assert!(complaint.contains("ref count"), "{complaint}");
    }
}

#[test]
fn copies_keep_holes_and_differences_are_located() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let file = fs::File::create(&a).unwrap();
    file.set_len(1 << 40).unwrap();
    file.write_all_at(b"data", (1 << 39) + 5).unwrap();
    copy_sparse(&a, &b);
    assert_eq!(first_difference(&a, &b), None);
    assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&b).unwrap()) < 1000);
    let other = OpenOptions::new().write(true).open(&b).unwrap();
    // Zeros written into a hole are no difference; the time of a check is none either.
    other.write_all_at(&[0; 4096], 1 << 20).unwrap();
    other.write_all_at(&[1, 2, 3, 4], 1024 + 0x40).unwrap();
    assert_eq!(first_difference(&a, &b), None);
    other.write_all_at(&[9], 1 << 30).unwrap();
    assert_eq!(first_difference(&a, &b), Some(1 << 30));
    other.write_all_at(&[9], 1024 + 0x44).unwrap();
    assert_eq!(first_difference(&a, &b), Some(1024 + 0x44));
}

#[test]
fn a_mounted_image_reads_back_and_is_unmounted() {
    let dir = tempfile::tempdir().unwrap();
    let image = require!(image(dir.path()));
    let mounted = require!(Mounted::new(&image, Access::ReadOnly));
    let point = mounted.path().to_owned();
    let tree = snapshot(&dir.path().join("tree"));
    assert_same_tree(&tree, &snapshot(&point), Ignore::MKFS);
    assert!(fs::write(point.join("new"), "").is_err());
    drop(mounted);
    assert!(!point.exists());

    let mounted = require!(Mounted::new(&image, Access::ReadWrite));
    fs::write(mounted.path().join("new"), "written").unwrap();
    mounted.unmount();
    require!(assert_clean(&image));
    let mounted = require!(Mounted::new(&image, Access::ReadOnly));
    assert_eq!(fs::read(mounted.path().join("new")).unwrap(), b"written");
}
