//! The comparison sees every kind of difference.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use banger_testkit::{Ignore, diff, diff_ignoring, require, snapshot, tools};
use rustix::fs::{Mode, OFlags};

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("dir")).unwrap();
    fs::write(at("dir/file"), "content").unwrap();
    fs::write(at("one"), "linked").unwrap();
    fs::hard_link(at("one"), at("two")).unwrap();
    fs::write(at("three"), "linked").unwrap();
    symlink("target", at("link")).unwrap();
    tools::run(Command::new("mkfifo").arg(at("fifo")));
    tools::run(Command::new("find").arg(dir.path()).args([
        "-exec",
        "touch",
        "-h",
        "-d",
        "@1000000000.5",
        "{}",
        "+",
    ]));
    dir
}

fn sh(dir: &Path, script: &str) {
    tools::run(Command::new("sh").args(["-ec", script]).current_dir(dir));
}

#[test]
fn equal_trees_do_not_differ() {
    let (a, b) = (tree(), tree());
    let (a, b) = (snapshot(a.path()), snapshot(b.path()));
    assert_eq!(diff(&a, &b), [""; 0]);
    assert_eq!(a.len(), 8, "{:?}", a.keys());
}

#[test]
fn each_kind_of_difference_is_found() {
    // Each script keeps the times, so that only its own change shows.
    let cases = [
        ("chmod 600 dir/file", "dir/file: mode 0644 != 0600"),
        ("printf Content >dir/file", "dir/file: content ed7002b439e9ac84 !="),
        ("printf longer-content >dir/file", "dir/file: size 7 != 14"),
        ("ln -sfn other link", "link: target \"target\" != \"other\""),
        ("rm dir/file; mkdir dir/file", "dir/file: type Regular != Directory"),
        ("rm fifo", "fifo: only on the left (Fifo)"),
        ("echo >new", "new: only on the right (File)"),
        ("rm two; cp -p one two", "one: link count 2 != 1"),
        ("ln -f three two", "two: first name \"one\" != \"three\""),
        (
            "touch -d @1000000000.5 one; touch -d @1000000000.500000001 dir/file",
            "dir/file: mtime 1000000000+500000000ns != 1000000000+500000001ns",
        ),
        ("touch -d @-5 dir", "dir: mtime 1000000000+500000000ns != -5+000000000ns"),
        ("touch -d @7 .", "(root): mtime 1000000000+500000000ns != 7+000000000ns"),
    ];
    for (script, expected) in cases {
        let (a, b) = (tree(), tree());
        sh(b.path(), script);
        if !script.starts_with("touch") {
            sh(b.path(), "touch -h -d @1000000000.5 dir/* dir link one two three .");
        }
        let lines = diff(&snapshot(a.path()), &snapshot(b.path()));
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{script}: {lines:?}");
    }
}

#[test]
fn owners_devices_and_xattrs_are_compared() {
    require!(tools::root("chown, mknod and trusted xattrs"));
    require!(tools::tool("setfattr"));
    let cases = [
        ("chown 5:0 dir/file", "dir/file: uid 0 != 5"),
        ("chown -h 0:70000 link", "link: gid 0 != 70000"),
        ("setfattr -n user.x -v 1 dir", "dir: xattr user.x none != \"1\""),
        ("setfattr -h -n trusted.x -v 1 link", "link: xattr trusted.x none != \"1\""),
        ("setcap cap_net_raw+ep one", "one: xattr security.capability none != "),
        ("rm fifo; mknod fifo c 1 3", "fifo: type Fifo != CharDevice"),
    ];
    for (script, expected) in cases {
        let (a, b) = (tree(), tree());
        sh(b.path(), script);
        let lines = diff(&snapshot(a.path()), &snapshot(b.path()));
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{script}: {lines:?}");
    }
    let (a, b) = (tree(), tree());
    sh(a.path(), "mknod dev b 8 1");
    sh(b.path(), "mknod dev b 300 70000");
    let lines = diff(&snapshot(a.path()), &snapshot(b.path()));
    assert!(lines.contains(&"dev: device Some((8, 1)) != Some((300, 70000))".to_owned()), "{lines:?}");
}

#[test]
fn only_what_mkfs_adds_is_ignored() {
    let (a, b) = (tree(), tree());
    sh(b.path(), "mkdir -m 700 lost+found");
    let before = snapshot(a.path());
    assert_eq!(diff(&before, &snapshot(b.path())).len(), 2);
    let ignoring = |b: &Path| diff_ignoring(&before, &snapshot(b), Ignore::MKFS);
    assert_eq!(ignoring(b.path()), [""; 0]);
    sh(b.path(), "echo >lost+found/orphan");
    assert_eq!(ignoring(b.path()).len(), 2);
}

#[test]
fn names_and_permissions_do_not_stop_it() {
    let dir = tempfile::tempdir().unwrap();
    // Longer than the kernel takes in one path, so made one step at a time.
    let name = "d".repeat(200);
    let mut at = File::open(dir.path()).unwrap();
    for _ in 0..25 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = File::from(rustix::fs::openat(&at, &name, OFlags::DIRECTORY, Mode::empty()).unwrap());
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    rustix::fs::openat(&at, "file", flags, Mode::RUSR).unwrap();
    fs::write(dir.path().join("closed"), "").unwrap();
    fs::set_permissions(dir.path().join("closed"), fs::Permissions::from_mode(0o400)).unwrap();
    sh(dir.path(), r#"echo x >"$(printf 'two\nlines\377')""#);
    let tree = snapshot(dir.path());
    assert_eq!(tree.len(), 1 + 25 + 1 + 2);
    assert!(tree.contains_key(&b"two\nlines\xff"[..]));
    sh(dir.path(), "rm -rf ./*");
}
