//! Behaviours 9 to 17: whiteouts, opaque markers, AUFS bookkeeping.

use banger_tree::Timestamp;

use crate::layers::{error_of, tree_of};
use crate::tarball::{Head, Tar};

const OPAQUE: &str = "a/.wh..wh..opq";

#[test]
fn b09_opaque_marker_around_siblings() {
    let base = || Tar::new().file("a/low", "0").file("a/d/low", "0").file("z", "0").end();
    let tops = [
        Tar::new().dir("a").file(OPAQUE, "").file("a/own", "1").file("a/d/own", "1"),
        Tar::new().dir("a").file("a/own", "1").file("a/d/own", "1").file(OPAQUE, ""),
        Tar::new().dir("a").file("a/own", "1").file(OPAQUE, "").file("a/d/own", "1"),
        Tar::new().file("a/d/own", "1").file(OPAQUE, "").file("a/own", "1").file(OPAQUE, ""),
        Tar::new().dir("a/d").file("a/d/own", "1").file("a/own", "1").file(OPAQUE, ""),
    ];
    for top in tops {
        let outcome = tree_of(&[base(), top.end()]);
        assert_eq!(outcome.listing(), ["/a/", "/a/d/", "/a/d/own=1", "/a/own=1", "/z=0"]);
    }
}

#[test]
fn b09_opaque_markers_hide_lower_layers_only() {
    // What hides and what is hidden is decided by layers: a marker's own and later layers stay.
    let layers = [
        Tar::new().file("a/0", "0").end(),
        Tar::new().file("a/1", "1").file(OPAQUE, "").end(),
        Tar::new().file("a/2", "2").end(),
    ];
    assert_eq!(tree_of(&layers).listing(), ["/a/", "/a/1=1", "/a/2=2"]);
    let root = [Tar::new().file("x", "0").file("d/y", "0").end(), Tar::new().file(".wh..wh..opq", "").end()];
    assert_eq!(tree_of(&root).listing(), Vec::<String>::new());
    // The directory itself keeps its attributes; where it does not exist it is not made.
    let base = Tar::new().head(Head::new(b'5', "a").mode(0o711).owner(3, 4)).file("a/x", "").end();
    let outcome = tree_of(&[base, Tar::new().file(OPAQUE, "").file("b/.wh..wh..opq", "").end()]);
    assert_eq!(outcome.listing(), ["/a/"]);
    assert_eq!((outcome.attributes("/a").mode, outcome.attributes("/a").uid), (0o711, 3));
}

#[test]
fn b09_implied_parents_lose_what_lower_layers_said_of_them() {
    let base = || Tar::new().head(Head::new(b'5', "a/d").mode(0o700).owner(3, 4)).file("a/d/low", "0").end();
    let own = || Head::new(b'0', "a/d/own").mtime(42);
    for top in [Tar::new().head(own()).file(OPAQUE, ""), Tar::new().file(OPAQUE, "").head(own())] {
        let outcome = tree_of(&[base(), top.end()]);
        assert_eq!(outcome.listing(), ["/a/", "/a/d/", "/a/d/own="]);
        let attributes = outcome.attributes("/a/d");
        assert_eq!((attributes.mode, attributes.uid, attributes.gid), (0o755, 0, 0));
        assert_eq!(attributes.mtime, Timestamp::from_seconds(42));
    }
    // Without the marker the lower layer's word stands.
    assert_eq!(tree_of(&[base(), Tar::new().head(own()).end()]).attributes("/a/d").mode, 0o700);
}

#[test]
fn b10_whiteout_around_the_path_it_names() {
    let base = || Tar::new().file("x", "0").end();
    for top in [Tar::new().file(".wh.x", "").file("x", "1"), Tar::new().file("x", "1").file(".wh.x", "")] {
        assert_eq!(tree_of(&[base(), top.end()]).listing(), ["/x=1"]);
    }
    // Also where this layer's name is one more of a lower file.
    let base = || Tar::new().file("x", "0").file("y", "1").end();
    for top in [
        Tar::new().hard_link("x", "y").file(".wh.x", ""),
        Tar::new().file(".wh.x", "").hard_link("x", "y"),
        Tar::new().hard_link("x", "y").file(".wh.x", "").file(".wh.x", ""),
    ] {
        assert_eq!(tree_of(&[base(), top.end()]).listing(), ["/x=1", "/y=1"]);
    }
    let top = Tar::new().hard_link("n", "y").file(".wh.y", "").end();
    assert_eq!(tree_of(&[base(), top]).listing(), ["/n=1", "/x=0"]);
}

/// The prefix is the layer's and not the image's: a name of 255 bytes can be hidden, too.
#[test]
fn b10_whiteouts_of_the_longest_names() {
    let name = "n".repeat(255);
    let with_path = |tar: Tar, path: &str| tar.pax(&[("path", path.as_bytes())]).file("x", "");
    let base = || with_path(with_path(Tar::new(), &name), &format!("d/{name}")).end();
    for path in [format!("d/.wh.{name}"), format!("./d//.wh.{name}/."), format!("e/.wh.{name}")] {
        let layers = [base(), Tar::new().symlink("e", "d").end(), with_path(Tar::new(), &path).end()];
        assert_eq!(tree_of(&layers).listing(), ["/d/".into(), "/e->d".into(), format!("/{name}=")], "{path}");
    }
    let layers = [base(), with_path(Tar::new(), &format!(".wh.{name}")).end()];
    assert_eq!(tree_of(&layers).listing(), ["/d/".into(), format!("/d/{name}=")]);
    // Anything else that is too long stays an error.
    for path in
        [format!(".wh.{name}n"), format!(".wh.{name}/x"), format!(".wx.{name}"), format!("../.wh.{name}")]
    {
        assert!(!error_of(&[with_path(Tar::new(), &path).end()], 0).is_empty(), "{path}");
    }
}

#[test]
fn b11_only_what_is_added_survives_below_a_whiteout() {
    let base = || Tar::new().file("a/bar", "0").file("a/d/e", "0").end();
    for top in
        [Tar::new().file(".wh.a", "").file("a/baz", "1"), Tar::new().file("a/baz", "1").file(".wh.a", "")]
    {
        assert_eq!(tree_of(&[base(), top.end()]).listing(), ["/a/", "/a/baz=1"]);
    }
    let later = [base(), Tar::new().file(".wh.a", "").end(), Tar::new().file("a/baz", "1").end()];
    assert_eq!(tree_of(&later).listing(), ["/a/", "/a/baz=1"]);
    // A described directory keeps its description.
    let top = Tar::new().head(Head::new(b'5', "a").mode(0o700)).file(".wh.a", "").end();
    let outcome = tree_of(&[base(), top]);
    assert_eq!(outcome.listing(), ["/a/"]);
    assert_eq!(outcome.attributes("/a").mode, 0o700);
}

#[test]
fn b12_whiteouts_without_a_name_are_errors() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh.", "a/.wh..", "./a/.wh..."] {
        let error = error_of(&[Tar::new().file("a/x", "").end(), Tar::new().file(name, "").end()], 1);
        assert!(error.contains(name) && error.contains("without a name"), "{error}");
    }
}

#[test]
fn b13_whiteouts_of_nothing_do_nothing() {
    let base = Tar::new().file("x", "0").symlink("dead", "no/where").symlink("loop", "loop").end();
    let want = ["/dead->no/where", "/loop->loop", "/x=0"];
    let names =
        [".wh.y", "y/.wh.z", "dead/.wh.z", "loop/.wh.z", "x/.wh.z", "y/.wh..wh..opq", "dead/.wh..wh..opq"];
    for name in names {
        assert_eq!(tree_of(&[base.clone(), Tar::new().file(name, "").end()]).listing(), want, "{name}");
    }
}

#[test]
fn b14_whiteouts_and_symlinks() {
    let base = Tar::new().file("usr/lib/x", "0").file("usr/lib/y", "0").symlink("lib", "usr/lib").end();
    let top = Tar::new().file(".wh.lib", "").end();
    assert_eq!(
        tree_of(&[base.clone(), top]).listing(),
        ["/usr/", "/usr/lib/", "/usr/lib/x=0", "/usr/lib/y=0"]
    );
    let top = Tar::new().file("lib/.wh.x", "").end();
    assert_eq!(
        tree_of(&[base.clone(), top]).listing(),
        ["/lib->usr/lib", "/usr/", "/usr/lib/", "/usr/lib/y=0"]
    );
    let top = Tar::new().file("lib/.wh..wh..opq", "").file("lib/z", "1").end();
    assert_eq!(tree_of(&[base, top]).listing(), ["/lib->usr/lib", "/usr/", "/usr/lib/", "/usr/lib/z=1"]);
}

#[test]
fn b15_directories_with_a_whiteouts_name_are_errors() {
    for name in [".wh.a/b", "a/.wh.b/c", ".wh.a/.wh.b", "a/.wh..wh..opq/x", ".wh./x"] {
        let error = error_of(&[Tar::new().file(name, "").end()], 0);
        assert!(error.contains(name) && error.contains("directory on the way"), "{error}");
    }
    // Nor is there a way in through a symlink.
    for target in [".wh.a", "d/../.wh.a/b", "/.wh..wh.plnk"] {
        let tar = Tar::new().file(".wh..wh.plnk/1", "").symlink("l", target);
        let error = error_of(&[tar.clone().file("l/x", "").end()], 0);
        assert!(error.contains("l/x") && error.contains("directory on the way"), "{error}");
        assert_eq!(tree_of(&[tar.file("l/.wh.x", "").end()]).listing(), [format!("/l->{target}")]);
    }
}

#[test]
fn b16_aufs_bookkeeping_is_skipped_and_its_links_resolve() {
    let tar = Tar::new()
        .file(".wh..wh.aufs", "")
        .dir(".wh..wh.orph")
        .file(".wh..wh.orph/x", "orphan")
        .dir(".wh..wh.plnk")
        .with_data(Head::new(b'0', ".wh..wh.plnk/12.34").mode(0o640).owner(7, 8), "shared")
        .file(".wh..wh.plnk/unused", "gone")
        .hard_link("a", ".wh..wh.plnk/12.34")
        .hard_link("d/b", "/.wh..wh.plnk/12.34")
        .end();
    let outcome = tree_of(&[Tar::new().file("low", "0").end(), tar]);
    assert_eq!(outcome.listing(), ["/a=shared", "/d/", "/d/b=shared", "/low=0"]);
    assert_eq!((outcome.names("/a"), outcome.attributes("/a").uid), (2, 7));
    assert_eq!(outcome.warnings().len(), 4);
    // The bookkeeping is of one layer: the next one has none.
    let next = Tar::new().file(".wh..wh.plnk/1", "x").end();
    let layers = [next, Tar::new().hard_link("a", ".wh..wh.plnk/1").end()];
    assert!(error_of(&layers, 1).contains("does not exist"));
}

#[test]
fn b17_whiteouts_in_the_base_layer_and_of_any_type() {
    let single =
        Tar::new().file(".wh.x", "").file("a/.wh..wh..opq", "").file("b/.wh.c", "").file("d", "1").end();
    assert_eq!(tree_of(&[single]).listing(), ["/d=1"]);
    let whiteouts = [
        Tar::new().dir(".wh.x"),
        Tar::new().dir(".wh.x/"),
        Tar::new().symlink(".wh.x", "y"),
        Tar::new().head(Head::new(b'3', ".wh.x")),
        Tar::new().head(Head::new(b'6', ".wh.x")),
        Tar::new().hard_link(".wh.x", "no/such/file"),
        Tar::new().file(".wh.x", "data that is passed over"),
    ];
    for whiteout in whiteouts {
        let layers = [Tar::new().file("x/y", "0").end(), whiteout.file("z", "1").end()];
        assert_eq!(tree_of(&layers).listing(), ["/z=1"]);
    }
}

#[test]
fn hidden_content_is_released_at_once() {
    // The layer that hides goes on to need room: the store may hold one of the two files only.
    let layers = [Tar::new().file("big", vec![b'0'; 9000]).end(), Tar::new().file(".wh.big", "").end()];
    assert!(tree_of(&layers).store.is_empty());
}
