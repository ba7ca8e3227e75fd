//! Behaviours 20 to 22: hard links, and 31: devices.

use crate::layers::{error_of, tree_of};
use crate::tarball::{Head, Tar};

#[test]
fn b20_links_share_the_inode_across_layers() {
    let base = Tar::new().with_data(Head::new(b'0', "a").mode(0o4755).owner(1, 2), "text").end();
    let link = Tar::new().head(Head::new(b'1', "d/b").link("a").mode(0o600).owner(9, 9)).end();
    let outcome = tree_of(&[base.clone(), link.clone()]);
    assert_eq!(outcome.listing(), ["/a=text", "/d/", "/d/b=text"]);
    assert_eq!((outcome.names("/a"), outcome.store.len()), (2, 1));
    // The attributes are the inode's, not what the link's header repeats.
    assert_eq!((outcome.attributes("/d/b").mode, outcome.attributes("/d/b").uid), (0o4755, 1));
    // Replacing or hiding one name leaves the other alone.
    for (top, want) in [
        (Tar::new().file("a", "new"), vec!["/a=new", "/d/", "/d/b=text"]),
        (Tar::new().file(".wh.a", ""), vec!["/d/", "/d/b=text"]),
        (Tar::new().file(".wh.d", ""), vec!["/a=text"]),
        (Tar::new().dir("d/b"), vec!["/a=text", "/d/", "/d/b/"]),
    ] {
        assert_eq!(tree_of(&[base.clone(), link.clone(), top.end()]).listing(), want);
    }
}

#[test]
fn b20_targets_are_found_through_symlinks_in_their_parents() {
    let base = Tar::new().file("usr/bin/x", "1").symlink("bin", "usr/bin").end();
    let outcome = tree_of(&[base, Tar::new().hard_link("bin/y", "bin/x").end()]);
    assert_eq!(outcome.names("/usr/bin/y"), 2);
}

#[test]
fn b21_link_to_a_symlink_links_the_symlink() {
    let tar = Tar::new().file("f", "1").symlink("s", "f").hard_link("t", "s").end();
    let outcome = tree_of(&[tar]);
    assert_eq!(outcome.listing(), ["/f=1", "/s->f", "/t->f"]);
    assert_eq!((outcome.names("/s"), outcome.names("/f")), (2, 1));
    // Devices and FIFOs have names like any other.
    let tar = Tar::new().head(Head::new(b'6', "p")).hard_link("q", "p").end();
    assert_eq!(tree_of(&[tar]).names("/p"), 2);
}

#[test]
fn b21_link_to_a_directory_is_an_error() {
    for target in ["d", "/", "."] {
        let error = error_of(&[Tar::new().dir("d").hard_link("x", target).end()], 0);
        assert!(error.contains(" x: ") && error.contains("is a directory"), "{error}");
    }
}

#[test]
fn b21_link_to_itself_is_nothing() {
    let one = Tar::new().file("x", "1").hard_link("./x", "/x").end();
    assert_eq!(tree_of(&[one]).listing(), ["/x=1"]);
    let two = [Tar::new().file("x", "1").end(), Tar::new().hard_link("x", "x").end()];
    assert_eq!((tree_of(&two).listing(), tree_of(&two).names("/x")), (vec!["/x=1".to_owned()], 1));
    assert!(error_of(&[Tar::new().hard_link("x", "x").end()], 0).contains("does not exist"));
}

#[test]
fn b21_forward_references_wait_for_the_end_of_the_layer() {
    let tar = Tar::new().hard_link("d/a", "z").file("y", "").hard_link("b", "d/a").file("z", "1").end();
    let outcome = tree_of(&[tar]);
    assert_eq!(outcome.listing(), ["/b=1", "/d/", "/d/a=1", "/y=", "/z=1"]);
    assert_eq!(outcome.names("/z"), 3);
    // In the wrong order, over a lower file, and against a later entry of the same path.
    let tar = Tar::new().hard_link("a", "b").hard_link("b", "c").hard_link("c", "f").file("f", "1").end();
    assert_eq!(tree_of(&[tar]).names("/f"), 4);
    let layers = [
        Tar::new().file("a", "0").end(),
        Tar::new().hard_link("a", "f").file(".wh.a", "").file("f", "1").end(),
    ];
    assert_eq!(tree_of(&layers).listing(), ["/a=1", "/f=1"]);
    let tar = Tar::new().hard_link("a", "f").file("a", "2").file("f", "1").end();
    assert_eq!(tree_of(&[tar]).listing(), ["/a=2", "/f=1"]);
    let tar = Tar::new().file("a", "2").hard_link("a", "f").file("f", "1").end();
    assert_eq!(tree_of(&[tar]).listing(), ["/a=1", "/f=1"]);
    // The next layer is too late.
    let layers = [Tar::new().hard_link("d/a", "z").end(), Tar::new().file("z", "").end()];
    let error = error_of(&layers, 0);
    assert!(error.contains("d/a") && error.contains("/z, does not exist"), "{error}");
    assert!(error_of(&[Tar::new().hard_link("a", "z").dir("z").end()], 0).contains("is a directory"));
}

#[test]
fn b21_a_link_may_replace_the_directory_its_target_is_in() {
    let layers = [Tar::new().file("d/x", "1").file("d/y", "2").end(), Tar::new().hard_link("d", "d/x").end()];
    let outcome = tree_of(&layers);
    assert_eq!((outcome.listing(), outcome.names("/d")), (vec!["/d=1".to_owned()], 1));
}

#[test]
fn b22_targets_are_confined_to_the_image() {
    for target in ["/etc/x", "etc/x", "./etc//x", "/a/../etc/x", "etc/d/../x"] {
        let outcome = tree_of(&[Tar::new().file("etc/x", "1").hard_link("l", target).end()]);
        assert_eq!(outcome.names("/l"), 2, "{target}");
    }
    for target in ["../etc/x", "/..", "a/../../etc/x"] {
        let error = error_of(&[Tar::new().file("etc/x", "1").hard_link("l", target).end()], 0);
        assert!(error.contains(" l: ") && error.contains("climbs above the root"), "{error}");
    }
    // A symlink on the way cannot lead out, either.
    let tar = Tar::new().file("etc/x", "1").symlink("s", "../../../../etc").hard_link("l", "s/x").end();
    assert_eq!(tree_of(&[tar]).names("/l"), 2);
}

#[test]
fn b31_devices_fifos_and_sockets_are_kept() {
    let tar = Tar::new()
        .head(Head::new(b'3', "null").device(1, 3).mode(0o666))
        .head(Head::new(b'4', "disk").device(4095, 1_048_575))
        .head(Head::new(b'6', "fifo"))
        .pax(&[("SCHILY.devmajor", b"259"), ("SCHILY.devminor", b"70000")])
        .head(Head::new(b'4', "nvme"))
        .pax(&[("SCHILY.filetype", b"socket")])
        .file("sock", "")
        .end();
    let outcome = tree_of(&[tar]);
    let want = ["/disk b4095:1048575", "/fifo fifo", "/null c1:3", "/nvme b259:70000", "/sock socket"];
    assert_eq!(outcome.listing(), want);
    for (major, minor) in [(4096, 0), (0, 1 << 20), (u64::from(u32::MAX), 0)] {
        let error = error_of(&[Tar::new().head(Head::new(b'3', "dev/x").device(major, minor)).end()], 0);
        assert!(error.contains("dev/x") && error.contains("out of range"), "{error}");
    }
}
