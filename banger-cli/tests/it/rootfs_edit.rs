//! Edits of finished images, step by step the same as coreutils make in a directory.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use banger_testkit::{
    Access, Ignore, Mounted, Skip, Snapshot, assert_same_tree, assert_silent, require, snapshot, tools,
};
use serde_json::{Value, json};

use crate::support::{Home, text};

/// Runs `banger rootfs VERB IMAGE …`, with `input` on standard input.
fn rootfs(home: &Home, image: &Path, verb: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = home.banger(["rootfs", verb]);
    command.arg(image).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that refuses to start does not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn edit(home: &Home, image: &Path, verb: &str, arguments: &[&str]) -> String {
    let output = rootfs(home, image, verb, arguments, "");
    assert!(output.status.success(), "{verb} {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs it and expects one line that has all `words`; returns that.
#[track_caller]
fn refused(home: &Home, image: &Path, verb: &str, arguments: &[&str], words: &[&str]) -> String {
    let output = rootfs(home, image, verb, arguments, "");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{verb} {arguments:?}: {stderr}");
    assert_eq!((stderr.lines().count(), output.stdout.len()), (1, 0), "{verb} {arguments:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{verb} {arguments:?}: {word:?} is not in {stderr}");
    }
    stderr
}

/// The tree that images are made of, and `SRC`, which things are put from.
fn make_model(home: &Home) -> Result<PathBuf, Skip> {
    let (model, source) = (home.path("model"), home.path("SRC"));
    for dir in ["etc", "opt", "srv/set-gid", "tree/below", "full/something"] {
        fs::create_dir_all(model.join(dir)).unwrap();
    }
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n";
    for (name, content, mode) in [
        ("etc/passwd", passwd, 0o644),
        ("etc/group", "root:x:0:\nstaff:x:50:\n", 0o644),
        ("etc/motd", "old", 0o600),
        ("srv/set-id", "x", 0o6755),
        ("srv/locked", "x", 0o2644),
        ("srv/capable", "x", 0o755),
        ("srv/also-capable", "x", 0o755),
        ("srv/listed", "x", 0o640),
        ("srv/masked", "x", 0o640),
        ("tree/script", "x", 0o755),
        ("tree/below/data", "x", 0o644),
        ("full/something/in", "x", 0o644),
    ] {
        fs::write(model.join(name), content).unwrap();
        fs::set_permissions(model.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(model.join("srv/set-gid"), Permissions::from_mode(0o2755)).unwrap();
    symlink("etc", model.join("link")).unwrap();
    symlink("../etc/motd", model.join("opt/motd")).unwrap();
    symlink("below", model.join("tree/dir-link")).unwrap();
    let capability = ["-n", "security.capability", "-v", "0x0100000200040000000000000000000000000000"];
    for name in ["srv/capable", "srv/also-capable"] {
        tools::run(tools::command("setfattr")?.args(capability).arg(model.join(name)));
    }
    tools::run(
        tools::command("setfattr")?.args(["-n", "user.note", "-v", "kept"]).arg(model.join("etc/motd")),
    );
    tools::run(tools::command("setfacl")?.args(["-m", "u:5:rw"]).arg(model.join("srv/masked")));

    fs::create_dir_all(source.join("dir/sub")).unwrap();
    fs::write(source.join("file"), "new\n").unwrap();
    fs::write(source.join("other"), vec![b'o'; 70_000]).unwrap();
    fs::write(source.join("dir/one"), "1").unwrap();
    fs::write(source.join("dir/sub/two"), "2").unwrap();
    fs::write(source.join("dir").join(OsStr::from_bytes(b"latin\xe9")), "3").unwrap();
    fs::set_permissions(source.join("dir/one"), Permissions::from_mode(0o750)).unwrap();
    symlink("/nowhere", source.join("dir/dangling")).unwrap();
    tools::run(tools::command("mkfifo")?.args(["-m", "640"]).arg(source.join("dir/pipe")));
    tools::run(tools::command("mknod")?.arg(source.join("dir/null")).args(["c", "1", "3"]));
    Ok(model)
}

/// Images of the tree, by who made them.
fn make_images(home: &Home, model: &Path) -> Result<Vec<PathBuf>, Skip> {
    let native = home.path("out/native.ext4");
    home.run([
        OsStr::new("rootfs"),
        "build".as_ref(),
        model.as_ref(),
        native.as_ref(),
        "--size=64M".as_ref(),
    ]);
    let mut images = vec![native];
    for (name, options) in [
        ("mkfs", &[][..]),
        ("mkfs-1k", &["-b", "1024"]),
        ("mkfs-old", &["-O", "^metadata_csum,^64bit,^dir_index"]),
        ("mkfs-uninit", &["-O", "^metadata_csum,uninit_bg"]),
    ] {
        let image = home.path(&format!("out/{name}.ext4"));
        let mut mkfs = tools::command("mkfs.ext4")?;
        tools::run(mkfs.args(["-q", "-d"]).arg(model).args(options).arg(&image).arg("64M"));
        images.push(image);
    }
    Ok(images)
}

/// What a tree is but for its times, which are those of the edits.
fn timeless(root: &Path) -> Snapshot {
    let mut tree = snapshot(root);
    for entry in tree.values_mut() {
        entry.mtime = (0, 0);
    }
    tree
}

/// Verb and arguments for the image, and what does the same in the directory.
const STEPS: [(&str, &[&str], &str); 60] = [
    ("put", &["SRC/file", "/etc/motd"], "cp SRC/file etc/motd"),
    ("put", &["SRC/file", "/etc"], "cp SRC/file etc"),
    ("put", &["SRC/file", "/link/by-link"], "cp SRC/file link/by-link"),
    ("put", &["SRC/other", "/opt/motd"], "cp SRC/other opt/motd"),
    ("put", &["SRC/file", "SRC/other", "/srv/"], "cp SRC/file SRC/other srv/"),
    ("put", &["SRC/dir", "/opt"], "cp -r SRC/dir opt"),
    ("put", &["SRC/dir", "/opt"], "rm opt/dir/pipe opt/dir/null; cp -r SRC/dir opt"),
    ("put", &["SRC/dir", "/opt/new"], "cp -r SRC/dir opt/new"),
    ("put", &["SRC/dir/.", "/opt/merged"], "cp -r SRC/dir/. opt/merged"),
    ("put", &["SRC/dir/.", "/srv"], "cp -r SRC/dir/. srv"),
    ("put", &["-", "/etc/standard"], "echo -n input > etc/standard"),
    (
        "put",
        &["SRC/file", "/a/b/c", "--parents", "--mode", "600", "--owner", "app:staff"],
        "install -D -m 600 -o 1000 -g 50 SRC/file a/b/c",
    ),
    ("put", &["SRC/file", "/a/b/d", "--uid", "7"], "install -m 644 -o 7 SRC/file a/b/d"),
    ("put", &["SRC/file", "/a/new/", "--parents"], "install -D -m 644 SRC/file a/new/file"),
    ("put", &["SRC/file", "/a/b/c"], "cp SRC/file a/b/c"),
    ("put", &["SRC/file", "/a/b/c", "--mode", "u=rwx,go=X"], "cp SRC/file a/b/c; chmod 711 a/b/c"),
    ("put", &["SRC/file", "/opt/motd", "--no-dereference"], "cp --remove-destination SRC/file opt/motd"),
    ("put", &["SRC/file", "/srv/capable"], "cp SRC/file srv/capable"),
    ("mkdir", &["/d", "/e"], "mkdir d e"),
    ("mkdir", &["/f/g/h", "--parents", "--mode", "1777"], "mkdir -p -m 1777 f/g/h"),
    ("mkdir", &["-p", "/link", "/f/g/h", "/link/i"], "mkdir -p link f/g/h link/i"),
    ("mkdir", &["/owned", "--owner", "app:"], "mkdir owned; chown 1000:1001 owned"),
    ("ln", &["-s", "no/where", "/sym"], "ln -s no/where sym"),
    ("ln", &["-s", "../etc/passwd", "/opt"], "ln -s ../etc/passwd opt"),
    ("ln", &["-sf", "etc/passwd", "/sym"], "ln -sf etc/passwd sym"),
    ("ln", &["/etc/passwd", "/hard"], "ln etc/passwd hard"),
    ("ln", &["/etc/passwd", "/etc/group", "/d"], "ln etc/passwd etc/group d"),
    ("ln", &["--force", "/etc/group", "/hard"], "ln -f etc/group hard"),
    ("ln", &["--force", "/etc/group", "/hard"], "true"),
    ("ln", &["/sym", "/sym-hard"], "ln -P sym sym-hard"),
    ("mv", &["/hard", "/harder"], "mv hard harder"),
    ("mv", &["/harder", "/d"], "mv harder d"),
    ("mv", &["/opt/new", "/opt/merged", "/d"], "mv opt/new opt/merged d"),
    ("mv", &["/d/new", "/newer"], "mv d/new newer"),
    ("mv", &["/srv/file", "/srv/other"], "mv srv/file srv/other"),
    ("mv", &["/newer", "/link/inner"], "mv newer link/inner"),
    ("mv", &["/sym", "/sym2"], "mv sym sym2"),
    ("mkdir", &["/m", "/n", "/n/m"], "mkdir m n n/m"),
    ("mv", &["/m", "/n"], "mv m n"),
    ("rm", &["/sym2", "/d/passwd"], "rm sym2 d/passwd"),
    ("rm", &["-r", "/opt/dir", "/d"], "rm -r opt/dir d"),
    ("rm", &["-rf", "/nothing", "/no/thing", "/link/inner"], "rm -rf nothing no/thing link/inner"),
    ("rm", &["/tree/dir-link"], "rm tree/dir-link"),
    ("ln", &["-s", "below", "/tree/dir-link"], "ln -s below tree/dir-link"),
    ("chmod", &["u+x,o=", "/etc/passwd", "/etc/group"], "chmod u+x,o= etc/passwd etc/group"),
    ("chmod", &["640", "/link/motd"], "chmod 640 link/motd"),
    ("chmod", &["700", "/srv/set-gid", "/srv/set-id"], "chmod 700 srv/set-gid srv/set-id"),
    ("chmod", &["00750", "/srv/set-gid"], "chmod 00750 srv/set-gid"),
    ("chmod", &["-R", "go-rwx,a+X", "/tree"], "chmod -R go-rwx,a+X tree"),
    ("chmod", &["604", "/srv/masked"], "chmod 604 srv/masked"),
    ("chmod", &["g+rwx", "/srv/masked", "/srv/listed"], "chmod g+rwx srv/masked srv/listed"),
    ("chmod", &["6755", "/srv/set-id"], "chmod 6755 srv/set-id"),
    ("chown", &["app:staff", "/srv/set-id", "/srv/locked"], "chown 1000:50 srv/set-id srv/locked"),
    ("chown", &[":staff", "/srv/also-capable"], "chown :50 srv/also-capable"),
    ("chown", &["70000:4000000000", "/link"], "chown 70000:4000000000 link"),
    ("chown", &["--no-dereference", "5", "/link"], "chown -h 5 link"),
    ("chown", &["-R", "app:", "/tree"], "chown -hR 1000:1001 tree"),
    ("chown", &["6", "/tree/dir-link"], "chown 6 tree/dir-link"),
    ("put", &["SRC/other", "/lost+found/x"], "true"),
    ("rm", &["/lost+found/x"], "true"),
];

#[test]
fn the_same_as_coreutils_do() {
    require!(tools::root("owners and mounts"));
    let home = Home::new();
    let model = require!(make_model(&home));
    let images = require!(make_images(&home, &model));
    for (verb, arguments, script) in STEPS {
        let script = script.replace("SRC/", "../SRC/");
        let mut shell = Command::new("sh");
        tools::run(shell.args(["-ec", &format!("umask 022; {script}")]).current_dir(&model));
        for image in &images {
            let output = rootfs(&home, image, verb, arguments, "input");
            let stderr = text(&output.stderr);
            assert!(output.status.success(), "{image:?}: {verb} {arguments:?}: {stderr}");
            assert_eq!(output.stdout, b"");
        }
    }
    let expected = timeless(&model);
    assert_eq!(expected[&b"srv/masked"[..]].xattrs.len(), 1);
    for image in &images {
        require!(assert_silent(image));
        let mounted = require!(Mounted::new(image, Access::ReadOnly));
        assert_same_tree(&expected, &timeless(mounted.path()), Ignore::MKFS);
    }
}

/// An image with the tree, of a home of its own.
fn image_of_model() -> Result<(Home, PathBuf), Skip> {
    tools::root("devices")?;
    let home = Home::new();
    let model = make_model(&home)?;
    let image = make_images(&home, &model)?.swap_remove(0);
    Ok((home, image))
}

#[test]
fn all_of_a_command_or_nothing() {
    let (home, image) = require!(image_of_model());
    for (verb, arguments, words) in [
        ("put", &["SRC/file", "SRC/nothing", "/etc"][..], &["SRC/nothing", "No such file"][..]),
        ("put", &["SRC/dir", "/etc/motd"], &["/etc/motd", "not a directory"]),
        ("put", &["SRC/file", "/nothing/x"], &["/nothing does not exist", "--parents"]),
        ("put", &["SRC/file", "/nothing/"], &["/nothing does not exist", "mkdir"]),
        ("put", &["SRC/file", "/etc/motd/"], &["/etc/motd", "not a directory"]),
        ("put", &["SRC/file", "SRC/other", "/etc/motd"], &["/etc/motd", "not a directory"]),
        ("put", &["-", "/etc"], &["/etc", "give the whole path"]),
        ("put", &["SRC/file", "/tree/x", "--owner", "nobody"], &["nobody", "/etc/passwd"]),
        ("put", &["SRC/file", "/tree/x", "--mode", "rw"], &["\"rw\"", "not a mode"]),
        ("put", &["SRC/file", "/../x"], &["/../x", "above the root"]),
        ("mkdir", &["/new", "/etc"], &["/etc exists already", "--parents"]),
        ("mkdir", &["/new/er"], &["/new does not exist", "--parents"]),
        ("mkdir", &["-p", "/etc/motd/x"], &["/etc/motd is not a directory"]),
        ("ln", &["/etc/motd", "/etc/passwd"], &["/etc/passwd exists already", "--force"]),
        ("ln", &["-sf", "x", "y", "/nothing"], &["/nothing", "mkdir"]),
        ("ln", &["/nothing", "/x"], &["/nothing does not exist"]),
        ("ln", &["/etc", "/x"], &["/etc is a directory"]),
        ("mv", &["/etc/motd", "/nothing", "/srv"], &["/nothing does not exist"]),
        ("mv", &["/tree", "/tree/below"], &["/tree cannot move below itself"]),
        ("put", &["SRC/file", ""], &["an empty path"]),
        ("chmod", &["-R", "700", ""], &["an empty path"]),
        ("ls", &[""], &["an empty path"]),
        ("mv", &["/tree", "/etc/motd"], &["/etc/motd is not a directory"]),
        ("mv", &["/etc/motd", "/etc/motd"], &["/etc/motd"]),
        ("mv", &["/full/something", "/"], &["/something"]),
        ("rm", &["/etc/motd", "/nothing"], &["/nothing does not exist", "--force"]),
        ("rm", &["/etc/motd", "/etc"], &["/etc is a directory", "--recursive"]),
        ("rm", &["-rf", "/"], &["root directory"]),
        ("chmod", &["600", "/etc/motd", "/nothing"], &["/nothing does not exist", "banger rootfs ls"]),
        ("chmod", &["u+y", "/etc/motd"], &["u+y", "not a mode"]),
        ("chown", &["app", "/etc/motd", "/nothing"], &["/nothing does not exist"]),
        ("chown", &[":", "/etc/motd"], &["not an owner"]),
        ("ls", &["/nothing"], &["/nothing does not exist", "banger rootfs ls"]),
        ("cat", &["/etc/motd", "/etc"], &["/etc is a directory"]),
        ("stat", &["/nothing"], &["/nothing does not exist"]),
    ] {
        if (verb, arguments) == ("mv", &["/full/something", "/"][..]) {
            edit(&home, &image, "mkdir", &["-p", "/something/else"]);
        }
        let before = fs::read(&image).unwrap();
        let message = refused(&home, &image, verb, arguments, words);
        assert!(message.contains("native.ext4: "), "{message}");
        // Free blocks may have got what was to be put.
        if verb != "put" {
            assert!(fs::read(&image).unwrap() == before, "{verb} {arguments:?} changed the image");
        }
    }
    edit(&home, &image, "rm", &["-r", "/something"]);
    require!(assert_silent(&image));
    let mounted = require!(Mounted::new(&image, Access::ReadOnly));
    let expected = timeless(&home.path("model"));
    assert_same_tree(&expected, &timeless(mounted.path()), Ignore::MKFS);
}

#[test]
fn images_that_cannot_be_edited_are_told_by_name() {
    let (home, image) = require!(image_of_model());
    refused(&home, &home.path("debian"), "ls", &["/"], &["debian", "No such file", "banger image show NAME"]);
    refused(&home, &home.path("SRC/other"), "put", &["SRC/file", "/x"], &["SRC/other", "no ext4"]);
    refused(&home, &home.path("SRC"), "put", &["SRC/file", "/x"], &["SRC", "irectory"]);

    // Another edit, a monitor that locks files, and one that locks ranges of bytes.
    let file = fs::File::options().read(true).write(true).open(&image).unwrap();
    file.lock_shared().unwrap();
    refused(&home, &image, "put", &["SRC/file", "/x"], &["native.ext4", "holds a lock", "virtual machine"]);
    edit(&home, &image, "ls", &[]);
    file.unlock().unwrap();
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).unwrap();
    refused(&home, &image, "put", &["SRC/file", "/x"], &["native.ext4", "holds a lock", "virtual machine"]);
    drop(file);

    for access in [Access::ReadOnly, Access::ReadWrite] {
        let mounted = require!(Mounted::new(&image, access));
        refused(&home, &image, "rm", &["/etc/motd"], &["native.ext4", "/dev/loop", "losetup -d"]);
        mounted.unmount();
    }
    edit(&home, &image, "put", &["SRC/file", "/etc/motd"]);

    // Not cleanly unmounted: a copy of it while it was mounted and written to.
    let (dirty, damaged) = (home.path("out/dirty.ext4"), home.path("out/damaged.ext4"));
    let mounted = require!(Mounted::new(&image, Access::ReadWrite));
    fs::write(mounted.path().join("etc/motd"), "from the guest").unwrap();
    rustix::fs::sync();
    fs::copy(&image, &dirty).unwrap();
    mounted.unmount();
    assert_eq!(edit(&home, &dirty, "cat", &["/etc/motd"]), "from the guest");
    edit(&home, &dirty, "put", &["SRC/file", "/x"]);
    require!(assert_silent(&dirty));
    assert_eq!(edit(&home, &dirty, "cat", &["/etc/motd", "/x"]), "from the guestnew\n");
    let mut bytes = fs::read(&image).unwrap();
    bytes[1024 + 0x70] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    refused(&home, &damaged, "ls", &[], &["damaged.ext4 is damaged", "superblock", "e2fsck"]);

    fs::set_permissions(&image, Permissions::from_mode(0o444)).unwrap();
    let mut command = require!(home.banger_as_nobody());
    let output = command.args(["rootfs", "rm"]).arg(&image).arg("/etc/motd").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("native.ext4: Permission denied"), "{}", text(&output.stderr));
    let mut command = require!(home.banger_as_nobody());
    let output = command.args(["rootfs", "cat"]).arg(&image).arg("/etc/motd").output().unwrap();
    assert_eq!(text(&output.stdout), "from the guest");
}

#[test]
fn what_is_in_an_image_as_people_and_programs_read_it() {
    let (home, image) = require!(image_of_model());
    let mut put = home.banger(["rootfs", "put"]);
    put.arg(&image).args(["SRC/dir", "/x"]).env("SOURCE_DATE_EPOCH", "1700000000");
    tools::run(&mut put);
    let names = edit(&home, &image, "ls", &["/x"]);
    assert_eq!(names, "dangling\nlatin\\xe9\nnull\none\npipe\nsub\n");
    assert_eq!(
        edit(&home, &image, "ls", &["-lR", "/x"]),
        "/x:\n\
         lrwxrwxrwx  1  root  root  8     2023-11-14 22:13  dangling -> /nowhere\n\
         -rw-r--r--  1  root  root  1     2023-11-14 22:13  latin\\xe9\n\
         crw-r--r--  1  root  root  1, 3  2023-11-14 22:13  null\n\
         -rwxr-x---  1  root  root  1     2023-11-14 22:13  one\n\
         prw-r-----  1  root  root  0     2023-11-14 22:13  pipe\n\
         drwxr-xr-x  2  root  root  0     2023-11-14 22:13  sub\n\
         \n\
         /x/sub:\n\
         -rw-r--r--  1  root  root  1  2023-11-14 22:13  two\n"
    );
    let script = "/tree/script";
    edit(&home, &image, "chown", &["app:77", script]);
    assert_eq!(
        edit(&home, &image, "ls", &[script, "/link/motd", "/tree/below"]),
        "/tree/script\n/link/motd\n\n/tree/below:\ndata\n"
    );
    assert!(edit(&home, &image, "ls", &["-l", script]).starts_with("-rwxr-xr-x  1  app  77  1  "));
    assert!(edit(&home, &image, "ls", &["-ln", script]).starts_with("-rwxr-xr-x  1  1000  77  1  "));
    assert!(edit(&home, &image, "ls", &["-ld", "/tree"]).starts_with("drwxr-xr-x  3  root  root  0  "));
    assert!(edit(&home, &image, "ls", &["-l", "/srv/masked"]).starts_with("-rw-rw----+  1  "));
    assert!(edit(&home, &image, "ls", &["-l", "/srv/set-id"]).starts_with("-rwsr-sr-x  1  "));
    assert!(edit(&home, &image, "ls", &["-l", "/link"]).ends_with("  /link -> etc\n"));
    assert_eq!(edit(&home, &image, "ls", &["/link"]), "group\nmotd\npasswd\n");

    let stat = edit(&home, &image, "stat", &["/srv/capable", "/opt/motd", "/x/null"]);
    for line in [
        "path         /srv/capable\ntype         file\nsize         1\nmode         0755 (-rwxr-xr-x)\nowner        0 (root)\n",
        "capabilities cap_net_bind_service=ep\n",
        "xattr        security.capability=0x01000002",
        "\n\npath         /opt/motd\ntype         symlink\ntarget       ../etc/motd\n",
        "device       1, 3\n",
        "modified     2023-11-14T22:13:20Z\n",
    ] {
        assert!(stat.contains(line), "{line:?} is not in\n{stat}");
    }
    assert!(edit(&home, &image, "stat", &["-L", "/opt/motd"]).contains("xattr        user.note=\"kept\"\n"));
    assert_eq!(edit(&home, &image, "cat", &["/opt/motd", "/x/sub/two"]), "old2");

    let name = image.to_str().unwrap();
    let document =
        |arguments: &[&str]| home.json(&[&["rootfs", arguments[0], name], &arguments[1..]].concat());
    let ls = document(&["ls", "/x", "/etc/motd"]);
    assert_eq!((&ls["version"], &ls["file"]), (&json!(1), &json!(name)));
    assert_eq!(ls["entries"][0]["path"], "/etc/motd");
    let entry = &ls["directories"][0]["entries"][1];
    assert_eq!(
        (&entry["path"], &entry["type"], &entry["mode"]),
        (&json!("/x/latin\\xe9"), &json!("file"), &json!("0644"))
    );
    let stat = document(&["stat", "/srv/capable", "/x/null"]);
    assert_eq!(stat["version"], 1);
    let entry = &stat["entries"][0];
    assert_eq!((&entry["user"], &entry["gid"], &entry["nlink"]), (&json!("root"), &json!(0), &json!(1)));
    assert_eq!(entry["capabilities"], "cap_net_bind_service=ep");
    assert_eq!(entry["xattrs"]["security.capability"], "AQAAAgAEAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(stat["entries"][1]["device"], json!([1, 3]));
    let cat = document(&["cat", "/etc/motd"]);
    assert_eq!(cat["version"], 1);
    assert_eq!(cat["contents"], json!([{"path": "/etc/motd", "size_bytes": 3, "base64": "b2xk"}]));
    let put = document(&["put", "SRC/file", "SRC/dir", "/opt"]);
    assert_eq!(put, json!({"version": 1, "file": name, "paths": ["/opt/file", "/opt/dir"]}));
    let missing = home.banger(["rootfs", "rm", name, "/nothing", "--json"]).output().unwrap();
    let missing: Value = serde_json::from_slice(&missing.stdout).unwrap();
    assert_eq!(missing["error"]["code"], 700);
}

/// Symlinks of an image lead inside it, wherever they point.
#[test]
fn links_never_lead_out_of_the_image() {
    let (home, image) = require!(image_of_model());
    let outside = home.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "host").unwrap();
    let outside = outside.to_str().unwrap();
    edit(&home, &image, "ln", &["-s", outside, "/trap"]);
    edit(&home, &image, "ln", &["-s", "../../../../../../etc", "/tree/up"]);
    refused(&home, &image, "put", &["SRC/file", "/trap/file"], &["does not exist", "--parents"]);
    refused(&home, &image, "cat", &["/trap/file"], &["does not exist"]);
    refused(&home, &image, "put", &["SRC/file", "/trap"], &["leads to nothing", "--no-dereference"]);
    edit(&home, &image, "put", &["SRC/file", "/tree/up/motd"]);
    assert_eq!(edit(&home, &image, "cat", &["/etc/motd"]), "new\n");
    edit(&home, &image, "mkdir", &["-p", outside]);
    edit(&home, &image, "put", &["SRC/other", "/trap/file"]);
    assert_eq!(fs::read(home.path("outside/file")).unwrap(), b"host");
    assert_eq!(edit(&home, &image, "cat", &["/trap/file"]).len(), 70_000);
    edit(&home, &image, "rm", &["-r", "/tree", "/trap"]);
    assert_eq!(edit(&home, &image, "ls", &["/etc"]), "group\nmotd\npasswd\n");
    require!(assert_silent(&image));
}

/// Two at once: one after the other, or one of them refused, and never half of each.
#[test]
fn edits_do_not_interleave() {
    let (home, image) = require!(image_of_model());
    let mut children: Vec<_> = (0..8)
        .map(|number| {
            let mut command = home.banger(["rootfs", "put"]);
            command.arg(&image).args(["SRC/other", &format!("/srv/number-{number}")]);
            (number, command.stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    let mut done = Vec::new();
    for (number, child) in children.drain(..) {
        let output = child.wait_with_output().unwrap();
        match output.status.success() {
            true => done.push(format!("number-{number}")),
            false => assert!(text(&output.stderr).contains("another edit"), "{}", text(&output.stderr)),
        }
    }
    let there: Vec<String> = edit(&home, &image, "ls", &["/srv"])
        .lines()
        .filter(|name| name.starts_with("number-"))
        .map(str::to_owned)
        .collect();
    assert!(!done.is_empty());
    assert_eq!(there, done);
    require!(assert_silent(&image));
}

#[test]
fn images_grow_and_shrink_and_stay_sparse() {
    let (home, image) = require!(image_of_model());
    let name = image.to_str().unwrap();
    let grown = home.json(&["rootfs", "resize", name, "300M"]);
    assert_eq!(grown, json!({"version": 1, "file": name, "before_bytes": 64 << 20, "size_bytes": 300 << 20}));
    let output = home.run(["rootfs", "resize", name, "+1G"]);
    assert!(text(&output.stderr).contains("had 300.0 MiB and has 1.2 GiB"), "{}", text(&output.stderr));
    let metadata = fs::metadata(&image).unwrap();
    assert_eq!(metadata.len(), (300 << 20) + (1 << 30));
    assert!(metadata.blocks() * 512 < 64 << 20);
    edit(&home, &image, "put", &["SRC/other", "/srv/more"]);
    require!(assert_silent(&image));

    let smaller = home.json(&["rootfs", "resize", name, "-1G"]);
    assert_eq!(smaller["size_bytes"], 300 << 20);
    let least = home.json(&["rootfs", "resize", name, "min"])["size_bytes"].as_u64().unwrap();
    assert!(least < 64 << 20, "{least}");
    assert_eq!(fs::metadata(&image).unwrap().len(), least);
    require!(assert_silent(&image));
    let below = (least - 4096).to_string();
    refused(&home, &image, "resize", &[below.as_str()], &["native.ext4", &least.to_string()]);
    home.json(&["rootfs", "resize", name, "64M"]);
    home.json(&["rootfs", "cat", name, "/srv/more"]);
    require!(assert_silent(&image));
    let wrong = rootfs(&home, &image, "resize", &["+"], "");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("not a size"), "{}", text(&wrong.stderr));
}

#[test]
fn a_finished_image_is_made_to_boot() {
    let (home, image) = require!(image_of_model());
    let name = image.to_str().unwrap();
    let document = home.json(&["rootfs", "inject", name, "--architecture", "amd64", "--hostname", "guest-7"]);
    assert_eq!((&document["version"], &document["file"]), (&json!(1), &json!(name)));
    let injected = document["injected"].as_array().unwrap();
    assert!(injected.contains(&json!("/usr/local/bin/banger-vsock-agent")), "{document:#}");
    assert_eq!(edit(&home, &image, "cat", &["/etc/hostname"]), "guest-7\n");
    assert!(
        edit(&home, &image, "ls", &["-l", "/usr/local/bin/banger-vsock-agent"]).starts_with("-rwxr-xr-x")
    );
    let again = home.run(["rootfs", "inject", name, "--architecture", "amd64", "--hostname", "guest-7"]);
    assert!(text(&again.stderr).contains("all was there"), "{}", text(&again.stderr));
    require!(assert_silent(&image));
    let mounted = require!(Mounted::new(&image, Access::ReadOnly));
    refused(&home, &image, "inject", &["--architecture", "amd64"], &["/dev/loop", "losetup -d"]);
    mounted.unmount();
}

/// What is put comes in as a stream, and a large sparse image stays sparse.
#[test]
fn a_large_image_stays_sparse() {
    let home = Home::new();
    let image = home.path("out/large.ext4");
    let mut mkfs = require!(tools::command("mkfs.ext4"));
    tools::run(mkfs.args(["-q", "-E", "lazy_itable_init=1"]).arg(&image).arg("20G"));
    let before = fs::metadata(&image).unwrap().blocks();
    let output = rootfs(&home, &image, "put", &["-", "/etc/hostname", "--parents"], "guest\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = home.run([OsStr::new("rootfs"), "cat".as_ref(), image.as_ref(), "/etc/hostname".as_ref()]);
    assert_eq!(output.stdout, b"guest\n");
    let grown = (fs::metadata(&image).unwrap().blocks() - before) * 512;
    assert!(grown <= 1 << 20, "{grown} bytes more on the disk");
    require!(assert_silent(&image));
}
