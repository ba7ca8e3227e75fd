//! `banger rootfs get`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use banger_testkit::{Ignore, Skip, assert_same_tree, require, snapshot, tools};
use serde_json::{Value, json};

use crate::support::{Home, text};

/// A directory with everything that a file system can hold; made by root.
fn model(home: &Home) -> Result<std::path::PathBuf, Skip> {
    tools::root("devices and owners")?;
    let model = home.path("model");
    for dir in ["etc", "closed/below", "dev", "empty"] {
        fs::create_dir_all(model.join(dir)).unwrap();
    }
    fs::write(model.join("etc/hostname"), "vm\n").unwrap();
    fs::write(model.join("etc/\u{fc}ml\\aut"), "name").unwrap();
    fs::hard_link(model.join("etc/hostname"), model.join("closed/below/alias")).unwrap();
    fs::write(model.join("closed/set-id"), "x").unwrap();
    symlink("/etc", model.join("link")).unwrap();
    symlink("../../../../../../outside", model.join("closed/below/dangling")).unwrap();
    let sparse = fs::File::create(model.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 300 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"begin", 64 << 10).unwrap();
    for arguments in [
        "mknod dev/null c 1 3",
        "mknod dev/disk b 259 300",
        "mkfifo -m 640 dev/pipe",
        "chown -h 1000:1001 link closed/set-id dev/pipe",
        "chmod 6755 closed/set-id",
        "setfattr -n user.note -v kept etc/hostname",
        "setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 sparse",
        "setfacl -m u:5:rw etc",
        "touch -h -d 1999-12-31T23:59:59.123456789Z link dev/null sparse closed/below/dangling",
        "chown 70000:70001 closed/below",
        "chmod 555 closed/below closed",
        "touch -d 2001-02-03T04:05:06.7Z closed/below empty",
    ] {
        let (tool, rest) = arguments.split_once(' ').unwrap();
        tools::run(tools::command(tool)?.args(rest.split(' ')).current_dir(&model));
    }
    Ok(model)
}

fn build(home: &Home, source: &str, image: &str) {
    home.run(["rootfs", "build", source, image, "--size", "64M"]);
}

/// Compares two ext4 files as the library reads them.
fn assert_equal_trees(home: &Home, one: &str, two: &str) {
    let listing = |image: &str| {
        let mut document = home.json(&["rootfs", "ls", image, "-R", "/"]);
        let mut links: std::collections::HashMap<u64, usize> = std::collections::HashMap::new();
        for listing in document["directories"].as_array_mut().unwrap() {
            for entry in listing["entries"].as_array_mut().unwrap() {
                // Equal for links of one file, whatever its number is.
                let (known, number) = (links.len(), entry["inode"].as_u64().unwrap());
                let first = *links.entry(number).or_insert(known);
                entry["inode"] = json!(first);
            }
        }
        document["directories"].take()
    };
    assert_eq!(listing(one), listing(two));
}

#[test]
fn what_was_got_builds_an_equal_tree() {
    let home = Home::new();
    let model = require!(model(&home));
    build(&home, "model", "disk.ext4");
    let report = home.json(&["rootfs", "get", "disk.ext4", "/", "out/tree"]);
    assert_eq!(
        (&report["paths"], &report["without_owner"], &report["not_made"]),
        (&json!(["out/tree"]), &json!(0), &json!(0))
    );
    assert_eq!(report["warnings"], json!([]));
    fs::remove_dir(home.path("out/tree/lost+found")).unwrap();
    // What was removed changed the time.
    let time = fs::metadata(&model).unwrap().modified().unwrap();
    fs::File::open(home.path("out/tree")).unwrap().set_modified(time).unwrap();
    assert_same_tree(&snapshot(&model), &snapshot(&home.path("out/tree")), Ignore::MKFS);
    let sparse = fs::metadata(home.path("out/tree/sparse")).unwrap();
    assert!(sparse.len() > 300 << 20 && sparse.blocks() < 1024, "{sparse:?}");
    assert_eq!(fs::metadata(home.path("out/tree/etc/hostname")).unwrap().nlink(), 2);
    build(&home, "out/tree", "again.ext4");
    assert_equal_trees(&home, "disk.ext4", "again.ext4");
    fs::write(home.path("tree.tar"), home.run(["rootfs", "get", "disk.ext4", "/", "-"]).stdout).unwrap();
    build(&home, "tree.tar", "by-tar.ext4");
    assert_equal_trees(&home, "disk.ext4", "by-tar.ext4");
}

#[test]
fn without_root_the_tar_keeps_everything() {
    let home = Home::new();
    require!(model(&home));
    build(&home, "model", "disk.ext4");
    fs::set_permissions(home.path("disk.ext4"), fs::Permissions::from_mode(0o644)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let output = require_output(home.banger_as_nobody().unwrap().args(arguments));
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        output
    };
    let report = as_nobody(&["rootfs", "get", "disk.ext4", "/", "out/tree", "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["not_made"], 2);
    assert!(report["without_owner"].as_u64().unwrap() > 10 && report["without_xattrs"] == 1, "{report}");
    let tree = home.path("out/tree");
    let set_id = fs::metadata(tree.join("closed/set-id")).unwrap();
    assert_eq!((set_id.uid(), set_id.mode() & 0o7777), (65534, 0o755));
    assert_eq!(fs::metadata(tree.join("closed/below")).unwrap().mode() & 0o7777, 0o555);
    assert_eq!(fs::read_link(tree.join("link")).unwrap(), Path::new("/etc"));
    assert!(!tree.join("dev/null").exists());
    let tar = as_nobody(&["rootfs", "get", "disk.ext4", "/", "-"]).stdout;
    fs::write(home.path("tree.tar"), tar).unwrap();
    as_nobody(&["rootfs", "build", "tree.tar", "out/again.ext4", "--size", "64M"]);
    assert_equal_trees(&home, "disk.ext4", "out/again.ext4");
}

fn require_output(command: &mut Command) -> std::process::Output {
    command.output().unwrap()
}

#[test]
fn names_are_those_of_cp_and_nothing_is_replaced() {
    let home = Home::new();
    require!(model(&home));
    build(&home, "model", "disk.ext4");
    fs::create_dir(home.path("into")).unwrap();
    let outside = home.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, home.path("into/link")).unwrap();
    let get = |arguments: &[&str]| {
        home.json(&[&["rootfs", "get", "disk.ext4"], arguments].concat())["paths"].clone()
    };
    assert_eq!(get(&["/etc/hostname", "out/name"]), json!(["out/name"]));
    assert_eq!(get(&["/etc/hostname", "/closed", "into"]), json!(["into/hostname", "into/closed"]));
    assert_eq!(get(&["/link", "out/"]), json!(["out/link"]));
    assert_eq!(get(&["/empty", "out/slash/"]), json!(["out/slash/"]));
    assert_eq!(fs::read_link(home.path("out/link")).unwrap(), Path::new("/etc"));
    assert_eq!(get(&["/link/", "out/copied"]), json!(["out/copied"]));
    assert!(home.path("out/copied/hostname").is_file());
    fs::create_dir(home.path("fresh")).unwrap();
    assert_eq!(get(&["/", "fresh"]), json!(["fresh"]));
    let before = snapshot(&home.path("into"));
    for (arguments, word) in [
        // A symlink of the host at the place is not followed.
        (&["/link", "into"][..], "into/link exists already"),
        (&["/dev", "/etc/hostname", "into"], "into/hostname exists already"),
        (&["/dev", "/etc/hostname", "out/new"], "copy several paths into out/new"),
        (&["/etc/hostname", "/closed/below/../../etc/hostname", "out"], "would both become out/hostname"),
        (&["/nothing", "out/new"], "/nothing does not exist"),
        (&["/etc/hostname/", "out/new"], "not a directory"),
        (&["/", "into"], "into exists already"),
        (&["/etc", "no/where"], "no"),
        (&["/etc", "/proc/new"], "/proc"),
        (&["/etc", "/dev", "-"], "single PATH"),
    ] {
        let output = home.banger([&["rootfs", "get", "disk.ext4"], arguments].concat()).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains(word), "{arguments:?}: {error}");
    }
    assert_same_tree(&before, &snapshot(&home.path("into")), Ignore::MKFS);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let mut left: Vec<_> =
        fs::read_dir(home.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["copied", "link", "name", "slash"]);
}

/// A limit on the size of files stops the copy in the middle. Nothing stays, not even below directories that are
/// closed for their owner.
#[test]
fn a_copy_that_fails_leaves_nothing() {
    let home = Home::new();
    let model = require!(model(&home));
    fs::create_dir(model.join("zz")).unwrap();
    fs::write(model.join("zz/large"), vec![b'x'; 1 << 20]).unwrap();
    build(&home, "model", "disk.ext4");
    fs::set_permissions(home.path("disk.ext4"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = home.banger_as_nobody().unwrap();
    let program = command.get_program().to_owned();
    let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    // The signal would end the program in the middle.
    let mut limited = Command::new("sh");
    home.environment(&mut limited);
    limited.args(["-c", "trap '' XFSZ; ulimit -f 600; exec \"$@\"", "sh"]).arg(program).args(arguments);
    limited.args(["rootfs", "get", "disk.ext4", "/", "out/tree"]);
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let left: Vec<_> =
        fs::read_dir(home.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}: {}", text(&output.stderr));
    command.args(["rootfs", "get", "disk.ext4", "/etc", "out/etc"]);
    assert!(command.output().unwrap().status.success());
}
