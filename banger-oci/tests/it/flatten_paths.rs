//! Behaviours 1 to 8: paths, and 18, 19: entries that replace one another.

use banger_oci::flatten::WarningKind;
use banger_tree::Timestamp;

use crate::layers::{error_of, tree_of};
use crate::tarball::{GNU, Head, Tar};

#[test]
fn b01_spellings_of_one_path() {
    for name in ["etc/x", "/etc/x", "./etc/x", "etc//x", "etc/./x", "//etc///x", "etc/a/../x"] {
        assert_eq!(tree_of(&[Tar::new().file(name, "1").end()]).listing(), ["/etc/", "/etc/x=1"], "{name}");
        let base = Tar::new().file("etc/x", "0").end();
        assert_eq!(tree_of(&[base, Tar::new().file(name, "1").end()]).listing(), ["/etc/", "/etc/x=1"]);
    }
    // A trailing slash names the same path; a file keeps its bytes.
    assert_eq!(tree_of(&[Tar::new().file("etc/x/", "1").end()]).listing(), ["/etc/", "/etc/x=1"]);
    assert_eq!(tree_of(&[Tar::new().dir("etc").dir("etc/").dir("./etc/").end()]).listing(), ["/etc/"]);
    assert_eq!(tree_of(&[Tar::new().symlink("a/", "x").end()]).listing(), ["/a->x"]);
}

#[test]
fn b02_paths_above_the_root_are_errors() {
    for name in ["../x", "a/../../x", "/..", "/../x", "./..", "a/b/../../../etc/x"] {
        let error = error_of(&[Tar::new().file("ok", "").end(), Tar::new().file(name, "1").end()], 1);
        assert!(error.contains(name) && error.contains("climbs above the root"), "{error}");
    }
    for whiteout in ["../.wh.x", "a/../../.wh..wh..opq"] {
        assert!(error_of(&[Tar::new().file(whiteout, "").end()], 0).contains("climbs"));
    }
}

#[test]
fn b03_root_entry_describes_the_root() {
    let none = tree_of(&[Tar::new().file("x", "").end()]);
    let root = none.attributes("/");
    assert_eq!((root.mode, root.uid, root.gid), (0o755, 0, 0));
    for name in ["./", "/", ".", "a/.."] {
        let entry = Head::new(b'5', name).mode(0o1700).owner(5, 6).mtime(77);
        let outcome = tree_of(&[Tar::new().file("x", "").head(entry).end()]);
        let root = outcome.attributes("/");
        assert_eq!((root.mode, root.uid, root.gid, root.mtime.seconds), (0o1700, 5, 6, 77), "{name}");
        assert_eq!(outcome.listing(), ["/x="]);
    }
    // A later layer that says nothing of the root keeps it.
    let layers = [Tar::new().head(Head::new(b'5', "./").mode(0o700)).end(), Tar::new().file("x", "").end()];
    assert_eq!(tree_of(&layers).attributes("/").mode, 0o700);
    for flag in [b'0', b'1', b'2', b'3', b'6'] {
        let error = error_of(&[Tar::new().with_data(Head::new(flag, ".").link("x"), "").end()], 0);
        assert!(error.contains("root is not a directory"), "{error}");
    }
}

#[test]
fn b04_missing_parents_are_made() {
    let entry = Head::new(b'0', "a/b/c").mtime(1234).owner(9, 9).mode(0o600);
    let outcome = tree_of(&[Tar::new().head(entry).head(Head::new(b'0', "a/d").mtime(5)).end()]);
    for parent in ["/a", "/a/b"] {
        let attributes = outcome.attributes(parent);
        assert_eq!((attributes.mode, attributes.uid, attributes.gid), (0o755, 0, 0));
        assert_eq!(attributes.mtime, Timestamp::from_seconds(1234));
    }
    // Links and hard links have parents, too; a described parent comes late without a warning.
    let tar = Tar::new().file("f", "1").hard_link("p/q", "f").symlink("r/s", "t").dir("p").end();
    let outcome = tree_of(&[tar]);
    assert_eq!(outcome.listing(), ["/f=1", "/p/", "/p/q=1", "/r/", "/r/s->t"]);
    assert_eq!(outcome.warnings(), []);
}

#[test]
fn b05_symlinked_parents_are_followed_inside_the_root() {
    let usr = || Tar::new().dir("usr/lib");
    for (link, target) in [
        ("lib", "usr/lib"),
        ("lib", "/usr/lib"),
        ("lib", "../../usr/lib/"),
        ("lib", "./usr/../usr//lib/."),
        ("lib", "/../../../usr/lib"),
    ] {
        let layers = [usr().symlink(link, target).end(), Tar::new().file("lib/x", "1").end()];
        let want = [format!("/lib->{target}"), "/usr/".into(), "/usr/lib/".into(), "/usr/lib/x=1".into()];
        assert_eq!(tree_of(&layers).listing(), want);
    }
    // Within one layer, through a chain, and into a directory that is not there yet.
    let tar = usr().symlink("lib", "l2").symlink("l2", "usr/lib").file("lib/x", "1").end();
    assert_eq!(tree_of(&[tar]).bytes("/usr/lib/x"), b"1");
    let dead = [Tar::new().symlink("a", "/no/where").end(), Tar::new().file("a/x", "1").end()];
    assert_eq!(tree_of(&dead).listing(), ["/a->/no/where", "/no/", "/no/where/", "/no/where/x=1"]);
    // A chain of 40 is followed, of 41 not; a loop is an error that names the path.
    for (hops, good) in [(40, true), (41, false)] {
        let mut tar = Tar::new().dir("d").symlink("l1", "d");
        for hop in 2..=hops {
            tar = tar.symlink(format!("l{hop}"), format!("l{}", hop - 1));
        }
        let tars = [tar.file(format!("l{hops}/x"), "1").end()];
        match good {
            true => assert_eq!(tree_of(&tars).bytes("/d/x"), b"1"),
            false => assert!(error_of(&tars, 0).contains("l41/x: the path leads through more than 40")),
        }
    }
    let error = error_of(&[Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", "").end()], 0);
    assert!(error.contains("a/x") && error.contains("symlinks"), "{error}");
    // The last component is never followed.
    let layers = [Tar::new().file("f", "1").symlink("l", "f").end(), Tar::new().file("l", "2").end()];
    assert_eq!(tree_of(&layers).listing(), ["/f=1", "/l=2"]);
}

#[test]
fn b05_targets_that_grow_beyond_a_path_are_errors() {
    let long = "n".repeat(200);
    let mut tar = Tar::new();
    let mut target = String::new();
    for _ in 0..15 {
        target = format!("{target}/{long}");
    }
    tar = tar.long(b'K', &target).head(Head::new(b'2', "l").link("l").magic(GNU));
    tar = tar.long(b'L', format!("l{target}/x")).head(Head::new(b'0', "x").magic(GNU));
    let error = error_of(&[tar.end()], 0);
    assert!(error.contains("longer than 4096 bytes"), "{error}");
    let component = format!("a/{}", "n".repeat(300));
    let tar = Tar::new().long(b'K', &component).head(Head::new(b'2', "l").magic(GNU)).file("l/x", "");
    assert!(error_of(&[tar.end()], 0).contains("bad target"));
}

#[test]
fn b06_a_parent_that_is_no_directory_is_replaced() {
    let base = || Tar::new().file("a", "old").head(Head::new(b'6', "p")).end();
    let outcome = tree_of(&[base(), Tar::new().file("a/b", "1").file("p/q/r", "2").end()]);
    assert_eq!(outcome.listing(), ["/a/", "/a/b=1", "/p/", "/p/q/", "/p/q/r=2"]);
    assert_eq!(outcome.attributes("/a").mode, 0o755);
    assert_eq!(outcome.store.len(), 2);
    // Where a symlink leads to a file, the file is replaced and the link stays.
    let outcome = tree_of(&[Tar::new().file("f", "1").symlink("l", "f").file("l/x", "2").end()]);
    assert_eq!(outcome.listing(), ["/f/", "/f/x=2", "/l->f"]);
}

#[test]
fn b06_a_file_of_the_same_layer_is_not_replaced_in_silence() {
    let tar = Tar::new().file("a", "1").file("a/b/c", "2").file("f", "3").symlink("l", "f").file("l/x", "4");
    let outcome = tree_of(&[tar.end()]);
    assert_eq!(outcome.listing(), ["/a/", "/a/b/", "/a/b/c=2", "/f/", "/f/x=4", "/l->f"]);
    assert_eq!(
        outcome.warnings(),
        [("a/b/c", &WarningKind::ReplacedByParent), ("l/x", &WarningKind::ReplacedByParent)]
    );
    // A lower layer's is.
    let layers = [Tar::new().file("a", "1").end(), Tar::new().file("a/b", "2").end()];
    assert_eq!(tree_of(&layers).warnings(), []);
}

#[test]
fn b07_symlink_targets_are_verbatim() {
    let targets = ["/etc/shadow", "../../../../host", "a//b/./c/", "..", "/", ".wh.x", "\u{fc}"];
    let tar = targets
        .iter()
        .enumerate()
        .fold(Tar::new(), |tar, (index, target)| tar.symlink(format!("l{index}"), target));
    let want: Vec<String> =
        targets.iter().enumerate().map(|(index, target)| format!("/l{index}->{target}")).collect();
    assert_eq!(tree_of(&[tar.end()]).listing(), want);
    for (target, reason) in [(Vec::new(), "empty"), (vec![b'x'; 4096], "4095")] {
        let tar = match target.is_empty() {
            true => Tar::new().symlink("l", ""),
            false => Tar::new().long(b'K', &target).head(Head::new(b'2', "l").magic(GNU)),
        };
        assert!(error_of(&[tar.end()], 0).contains(reason));
    }
    let longest = vec![b'x'; 4095];
    let tar = Tar::new().long(b'K', &longest).head(Head::new(b'2', "l").magic(GNU)).end();
    assert_eq!(tree_of(&[tar]).listing()[0].len(), "/l->".len() + 4095);
}

#[test]
fn b08_names_are_bytes_with_limits() {
    let tar = Tar::new().file(b"caf\xe9/\xff\x01\n", "1").pax(&[("path", b"p\xfe")]).file("x", "2").end();
    assert_eq!(tree_of(&[tar]).listing(), ["/caf\\xe9/", "/caf\\xe9/\\xff\\x01\\x0a=1", "/p\\xfe=2"]);
    let name = |length: usize| Tar::new().long(b'L', "n".repeat(length)).file("x", "").end();
    assert_eq!(tree_of(&[name(255)]).listing().len(), 1);
    assert!(error_of(&[name(256)], 0).contains("256 bytes, more than 255"));
    let path = |length: usize| Tar::new().long(b'L', "a/".repeat(length / 2)).dir("x").end();
    assert!(error_of(&[path(4098)], 0).contains("more than 4096"));
    assert!(error_of(&[Tar::new().pax(&[("path", b"a\0b")]).file("x", "").end()], 0).contains("NUL"));
}

#[test]
fn b18_types_replace_one_another() {
    type AddEntry = fn(Tar) -> Tar;
    // Each type as an entry, and as the line it makes.
    let types: [(AddEntry, &str); 7] = [
        (|tar| tar.file("x", "new"), "/x=new"),
        (|tar| tar.dir("x"), "/x/"),
        (|tar| tar.symlink("x", "y"), "/x->y"),
        (|tar| tar.head(Head::new(b'3', "x").device(1, 3)), "/x c1:3"),
        (|tar| tar.head(Head::new(b'4', "x").device(8, 1)), "/x b8:1"),
        (|tar| tar.head(Head::new(b'6', "x")), "/x fifo"),
        (|tar| tar.hard_link("x", "z"), "/x=hard"),
    ];
    for (first, first_line) in types {
        for (second, line) in types {
            let base = first(Tar::new().file("z", "hard")).end();
            assert_eq!(tree_of(std::slice::from_ref(&base)).listing(), [first_line, "/z=hard"]);
            let two = tree_of(&[base, second(Tar::new()).end()]);
            assert_eq!(two.listing(), [line, "/z=hard"]);
            let one = tree_of(&[second(first(Tar::new().file("z", "hard"))).end()]);
            assert_eq!(one.listing(), [line, "/z=hard"]);
        }
    }
    // A full directory goes with all below it.
    let base = Tar::new().file("d/e/f", "1").file("d/g", "2").hard_link("k", "d/g").end();
    let outcome = tree_of(&[base, Tar::new().file("d", "3").end()]);
    assert_eq!(outcome.listing(), ["/d=3", "/k=2"]);
}

#[test]
fn b18_directory_over_directory_keeps_the_children() {
    let base = Tar::new()
        .pax(&[("SCHILY.xattr.user.old", b"1")])
        .head(Head::new(b'5', "d").mode(0o700).owner(1, 1))
        .file("d/x", "1")
        .end();
    let top = Tar::new().head(Head::new(b'5', "d").mode(0o2775).owner(2, 3).mtime(9)).end();
    let outcome = tree_of(&[base, top]);
    assert_eq!(outcome.listing(), ["/d/", "/d/x=1"]);
    let attributes = outcome.attributes("/d");
    assert_eq!((attributes.mode, attributes.uid, attributes.gid), (0o2775, 2, 3));
    assert!(attributes.xattrs.is_empty() && attributes.mtime.seconds == 9);
    assert_eq!(outcome.warnings(), []);
}

#[test]
fn b19_the_last_of_a_path_wins_with_a_warning() {
    let cases = [
        (Tar::new().file("x", "1").file("./x", "2"), vec!["/x=2"]),
        (Tar::new().dir("x").file("x/y", "1").file("x", "2"), vec!["/x=2"]),
        (Tar::new().file("x", "1").symlink("x", "y"), vec!["/x->y"]),
        (Tar::new().dir("x").file("x/y", "1").dir("x"), vec!["/x/", "/x/y=1"]),
        (Tar::new().file("y", "1").file("x", "2").hard_link("x", "y"), vec!["/x=1", "/y=1"]),
        (Tar::new().dir("./").dir("."), vec![]),
    ];
    for (tar, want) in cases {
        let outcome = tree_of(&[tar.end()]);
        assert_eq!(outcome.listing(), want);
        let warnings = outcome.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(warnings[0].1, &WarningKind::Duplicate);
        assert_eq!(outcome.flattened.warning_count, 1);
    }
    // The same path in two layers is what layers are for.
    let layers = [Tar::new().file("x", "1").end(), Tar::new().file("x", "2").end()];
    assert_eq!(tree_of(&layers).warnings(), []);
}

#[test]
fn b19_warnings_are_bounded() {
    let tar = (0..500).fold(Tar::new(), |tar, _| tar.dir("d")).end();
    let outcome = tree_of(&[tar]);
    assert_eq!((outcome.flattened.warnings.len(), outcome.flattened.warning_count), (100, 499));
}
