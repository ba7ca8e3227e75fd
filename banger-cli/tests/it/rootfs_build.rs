//! Directories and tars of the host made into ext4 files, and compared with what they were.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use banger_testkit::{
    Access, Compression, Entry, Ignore, Image, LayerBuilder, Mounted, assert_same_tree, e2fsck_check, gzip,
    reference_tree, require, snapshot, tools,
};
use serde_json::Value;

use crate::support::{BACKENDS, Home, assert_image, error_text, send_signal, text};

/// A home with an empty directory to build from.
fn home_with_source() -> (Home, PathBuf) {
    let home = Home::new();
    let source = home.path("source");
    fs::create_dir(&source).unwrap();
    (home, source)
}

/// Builds `source` and expects it to succeed; returns the `--json` document.
#[track_caller]
fn build(home: &Home, source: &Path, file: &Path, options: &[&str]) -> Value {
    let paths = [source, file].map(|path| path.to_str().unwrap());
    home.json(&[&["rootfs", "build"], &paths[..], options].concat())
}

/// Builds `source` and expects it to fail; returns exit status, code and message.
#[track_caller]
fn refusal(home: &Home, source: &Path, file: &Path, options: &[&str]) -> (i32, u64, String) {
    let mut command = home.banger(["rootfs", "build", "--json"]);
    let output = command.args([source, file]).args(options).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let error = &document["error"];
    let message = error_text(&document);
    (output.status.code().unwrap(), error["code"].as_u64().unwrap(), message)
}

fn assert_equal_files(left: &Path, right: &Path) {
    assert!(fs::read(left).unwrap() == fs::read(right).unwrap(), "{left:?} and {right:?} differ");
}

/// A small tree of everything that a file system has; as root with owners and devices.
fn make_tree(root: &Path) {
    let is_root = tools::root("owners").is_ok();
    fs::create_dir_all(root.join("etc/deep/er")).unwrap();
    fs::create_dir(root.join("dev")).unwrap();
    fs::write(root.join("etc/hostname"), "vm\n").unwrap();
    fs::write(root.join("etc/empty"), "").unwrap();
    fs::write(root.join("etc/.wh.ordinary"), "not a whiteout").unwrap();
    fs::write(root.join("etc").join(OsStr::from_bytes(b"latin\xe9")), "1").unwrap();
    fs::write(root.join(format!("etc/{}", "n".repeat(255))), "2").unwrap();
    fs::hard_link(root.join("etc/hostname"), root.join("etc/deep/er/linked")).unwrap();
    symlink("/nowhere/at/all", root.join("etc/dangling")).unwrap();
    symlink("..", root.join("etc/up")).unwrap();
    fs::hard_link(root.join("etc/dangling"), root.join("etc/dangling-too")).unwrap();
    drop(UnixListener::bind(root.join("dev/log")).unwrap());
    let node = |arguments: &[&str]| {
        let path = root.join("dev").join(arguments[0]);
        tools::run(tools::command("mknod").unwrap().arg(path).args(&arguments[1..]));
    };
    node(&["pipe", "p"]);
    if is_root {
        node(&["null", "c", "1", "3"]);
        node(&["sda", "b", "259", "70000"]);
        std::os::unix::fs::chown(root.join("etc/empty"), Some(70_000), Some(4_000_000_000)).unwrap();
        std::os::unix::fs::lchown(root.join("etc/up"), Some(5), Some(6)).unwrap();
    }
    fs::set_permissions(root.join("etc/empty"), fs::Permissions::from_mode(0o6711)).unwrap();
    fs::set_permissions(root.join("etc/deep"), fs::Permissions::from_mode(0o1777)).unwrap();
    let mut times = vec![("etc/hostname", -5_i64, 999_999_999_u32), ("etc/deep", 5_000_000_000, 1)];
    times.push(("", 1_600_000_000, 7));
    for (name, seconds, nanoseconds) in times {
        let time = match seconds {
            0.. => std::time::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs()),
            _ => std::time::UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
        };
        let file = File::open(root.join(name)).unwrap();
        file.set_modified(time + Duration::from_nanos(nanoseconds.into())).unwrap();
    }
}

/// All of a tree with its root's time, which only this backend is free to set.
fn ignored(backend: &str) -> Ignore {
    Ignore { root_mtime: backend != "native", lost_and_found: true }
}

#[test]
fn a_directory_comes_out_as_it_is() {
    let (home, source) = home_with_source();
    make_tree(&source);
    let expected = snapshot(&source);
    for backend in BACKENDS {
        let files = ["a", "b"].map(|name| home.path(&format!("out/{name}.ext4")));
        for file in &files {
            let options = ["--backend", backend, "--size", "64M", "--label", "rootfs", "--force"];
            let document = build(&home, &source, file, &options);
            assert_eq!(document["version"], 1);
            assert_eq!(
                (&document["source_kind"], &document["backend"]),
                (&"directory".into(), &backend.into())
            );
            assert_eq!(
                (&document["label"], &document["size_bytes"]),
                (&"rootfs".into(), &(64_u32 << 20).into())
            );
            assert_eq!(document["timestamp_seconds"], 1_600_000_000);
        }
        assert_equal_files(&files[0], &files[1]);
        require!(banger_testkit::assert_clean(&files[0]));
        let mounted = require!(Mounted::new(&files[0], Access::ReadOnly));
        assert_same_tree(&expected, &snapshot(mounted.path()), ignored(backend));
    }
    // Reading has changed nothing.
    assert_same_tree(&expected, &snapshot(&source), Ignore::default());
}

#[test]
fn xattrs_and_acls_come_along() {
    require!(tools::root("all kinds of xattrs"));
    let (home, source) = home_with_source();
    fs::write(source.join("file"), "1").unwrap();
    symlink("file", source.join("link")).unwrap();
    tools::run(require!(tools::command("mknod")).arg(source.join("pipe")).arg("p"));
    let set = |arguments: &[&str], name: &str| {
        let mut command = tools::command("setfattr")?;
        tools::run(command.args(arguments).arg(source.join(name)));
        Ok::<_, banger_testkit::Skip>(())
    };
    require!(set(&["-n", "user.note", "-v", "héllo"], "file"));
    require!(set(&["-n", "security.capability", "-v", "0x0100000200040000000000000000000000000000"], "file"));
    require!(set(&["-h", "-n", "trusted.link", "-v", "on a symlink"], "link"));
    require!(set(&["-n", "trusted.pipe", "-v", "on a pipe"], "pipe"));
    tools::run(require!(tools::command("setfacl")).args(["-m", "u:70000:rw,g:7:r"]).arg(source.join("file")));
    tools::run(require!(tools::command("setfacl")).args(["-d", "-m", "u:5:rwx"]).arg(&source));
    let expected = snapshot(&source);
    assert_eq!(expected[&b"file"[..]].xattrs.len(), 3);
    for backend in BACKENDS {
        let file = home.path(&format!("out/{backend}.ext4"));
        build(&home, &source, &file, &["--backend", backend, "--size", "64M"]);
        require!(assert_image(&file, &source));
    }
}

#[test]
fn a_real_tree_and_its_tar() {
    let source = require!(reference_tree(Image::DebianLayers));
    let home = Home::new();
    let tar = home.path("tree.tar");
    let mut command = require!(tools::command("tar"));
    command.args([
        "--format=pax",
        "--sort=name",
        "--xattrs",
        "--xattrs-include=*",
        "--sparse",
        "--numeric-owner",
    ]);
    tools::run(command.arg("-C").arg(&source).arg("-cf").arg(&tar).arg("."));
    for backend in BACKENDS {
        for from in [&source, &tar] {
            let file = home.path("out/x.ext4");
            build(&home, from, &file, &["--backend", backend, "--force"]);
            require!(assert_image(&file, &source));
            assert_eq!(home.leftovers(), ["out/x.ext4"]);
        }
    }
}

#[test]
fn tars_are_told_by_their_bytes() {
    let home = Home::new();
    let tar = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").finish();
    let mut built = Vec::new();
    for (name, bytes) in
        [("plain", tar.clone()), ("gzip.zst", gzip(&tar)), ("zstd.gz", Compression::Zstd.apply(&tar))]
    {
        let (source, file) = (home.path(name), home.path(&format!("out/{name}.ext4")));
        fs::write(&source, bytes).unwrap();
        assert_eq!(build(&home, &source, &file, &["--size", "16M"])["source_kind"], "tar");
        built.push(file);
    }
    assert_equal_files(&built[0], &built[1]);
    assert_equal_files(&built[0], &built[2]);
    // A pipe cannot be read twice.
    let file = home.path("out/piped.ext4");
    let mut command = home.banger(["rootfs", "build", "-", "out/piped.ext4", "--size", "16M"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&gzip(&tar)).unwrap();
    assert!(child.wait().unwrap().success());
    assert_equal_files(&built[0], &file);
}

#[test]
fn whiteouts_in_a_tar_are_applied() {
    let home = Home::new();
    let (source, file) = (home.path("tar"), home.path("out/x.ext4"));
    let tar = LayerBuilder::new().file("kept", "1").entry(Entry::whiteout("gone")).finish();
    fs::write(&source, tar).unwrap();
    build(&home, &source, &file, &["--size", "16M"]);
    let mounted = require!(Mounted::new(&file, Access::ReadOnly));
    let names: Vec<Vec<u8>> = snapshot(mounted.path()).into_keys().collect();
    assert_eq!(names, [&b""[..], b"kept", b"lost+found"]);
}

#[test]
fn holes_stay_holes() {
    const SIZE: u64 = 10 << 30;
    let (home, source) = home_with_source();
    let sparse = File::create(source.join("sparse")).unwrap();
    sparse.set_len(SIZE).unwrap();
    sparse.write_all_at(b"first", 0).unwrap();
    sparse.write_all_at(&[7; 10_000], 5 << 30).unwrap();
    sparse.write_all_at(b"last", SIZE - 4).unwrap();
    File::create(source.join("hole")).unwrap().set_len(12_345_678).unwrap();
    for backend in BACKENDS {
        let file = home.path(&format!("out/{backend}.ext4"));
        // The content counts without its holes, in the size and against the limit.
        let options = ["--backend", backend, "--size", "64M", "--max-content", "1M"];
        build(&home, &source, &file, &options);
        assert!(file.metadata().unwrap().blocks() * 512 < 32 << 20);
        require!(banger_testkit::assert_clean(&file));
        let mounted = require!(Mounted::new(&file, Access::ReadOnly));
        let inside = mounted.path().join("sparse");
        assert!(inside.metadata().unwrap().blocks() * 512 <= 64 << 10, "{backend}");
        assert_eq!(mounted.path().join("hole").metadata().unwrap().blocks(), 0, "{backend}");
        let inside = File::open(inside).unwrap();
        for (offset, want) in [(0, &b"first\0"[..]), ((5 << 30) - 1, b"\0\x07"), (SIZE - 5, b"\0last")] {
            let mut bytes = vec![1; want.len()];
            inside.read_exact_at(&mut bytes, offset).unwrap();
            assert_eq!(bytes, want, "{backend} at {offset}");
        }
    }
}

/// Deeper than directories are held open, and than a path can be long.
#[test]
fn deep_directories_have_their_way_back() {
    const DEPTH: usize = 300;
    let (home, source) = home_with_source();
    let name = "d".repeat(40);
    let mut dir = File::open(&source).unwrap();
    for depth in 0..DEPTH {
        use rustix::fs::{Mode, OFlags, mkdirat, openat};
        mkdirat(&dir, &name, Mode::from_raw_mode(0o755)).unwrap();
        // Behind the directory in the order of names: taken when it is left again.
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = File::from(openat(&dir, "z", flags, Mode::from_raw_mode(0o644)).unwrap());
        file.write_all_at(depth.to_string().as_bytes(), 0).unwrap();
        dir = File::from(openat(&dir, &name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap());
    }
    let file = home.path("out/x.ext4");
    build(&home, &source, &file, &["--size", "64M"]);
    let e2fsck = require!(tools::tool("e2fsck"));
    e2fsck_check(&e2fsck, &file).unwrap();
    let mounted = require!(Mounted::new(&file, Access::ReadOnly));
    assert_same_tree(&snapshot(&source), &snapshot(mounted.path()), Ignore::MKFS);

    let (status, code, message) = refusal(&home, &source, &home.path("out/y.ext4"), &["--max-depth", "100"]);
    assert_eq!((status, code), (1, 602));
    assert!(message.contains("--max-depth"), "{message}");
}

#[test]
fn refusals_name_what_is_wrong_and_leave_nothing() {
    let home = Home::new();
    let source = home.path("source");
    fs::create_dir_all(source.join("below")).unwrap();
    fs::write(source.join("below/file"), [1; 5000]).unwrap();
    let link = home.path("link");
    symlink(source.join("below"), &link).unwrap();
    let output = home.path("out/x.ext4");
    let taken = home.path("taken.ext4");
    fs::write(&taken, "mine").unwrap();
    let (empty, garbage, cut) = (home.path("empty"), home.path("garbage"), home.path("cut.tar"));
    fs::write(&empty, "").unwrap();
    fs::write(&garbage, [b'x'; 5000]).unwrap();
    // In the middle of a file.
    fs::write(&cut, &Entry::file("a", vec![b'x'; 600]).encode()[..1024]).unwrap();
    let missing = home.path("missing");
    type Case<'a> = (&'a str, &'a Path, &'a Path, &'a [&'a str], u64, &'a str);
    let cases: [Case<'_>; 12] = [
        ("inside", &source, &source.join("below/x.ext4"), &[], 507, "write it somewhere else"),
        ("inside, by a symlink", &source, &link.join("x.ext4"), &[], 507, "write it somewhere else"),
        ("itself", &cut, &cut, &["--force"], 507, "write it somewhere else"),
        ("taken", &source, &taken, &[], 503, "--force"),
        ("missing", &missing, &output, &[], 600, "missing"),
        ("empty", &empty, &output, &[], 208, "is empty"),
        ("garbage", &garbage, &output, &[], 203, "garbage: no tar header"),
        ("cut", &cut, &output, &[], 203, "cut.tar"),
        ("entries", &source, &output, &["--max-entries", "1"], 602, "below/file"),
        ("file", &source, &output, &["--max-file", "4999"], 602, "below/file"),
        ("uuid", &source, &output, &["--uuid", "1234"], 502, "--uuid"),
        ("label", &source, &output, &["--label", "longer than sixteen"], 310, "16 bytes"),
    ];
    let before = snapshot(&source);
    for (what, source, output, options, code, words) in cases {
        let (status, found, message) = refusal(&home, source, output, options);
        assert_eq!((status, found), (1, code), "{what}: {message}");
        assert!(message.contains(words), "{what}: {message}");
    }
    assert_eq!(home.leftovers(), [""; 0]);
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    assert_same_tree(&before, &snapshot(&source), Ignore::default());

    build(&home, &source, &taken, &["--force", "--size", "16M"]);
    assert_eq!(fs::metadata(&taken).unwrap().len(), 16 << 20);
}

#[test]
fn what_cannot_be_read_is_named() {
    let home = Home::new();
    let source = home.path("source");
    fs::create_dir_all(source.join("etc")).unwrap();
    fs::write(source.join("etc/secret"), "1").unwrap();
    fs::set_permissions(source.join("etc/secret"), fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything.
    let mut command = match tools::root("").is_ok() {
        true => require!(home.banger_as_nobody()),
        false => home.banger([""; 0]),
    };
    command.args(["rootfs", "build"]).arg(&source).arg(home.path("out/x.ext4"));
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("source/etc/secret: Permission denied"), "{stderr}");
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn uuid_and_time_are_the_trees_or_the_users() {
    let (home, source) = home_with_source();
    make_tree(&source);
    let own = build(&home, &source, &home.path("out/a.ext4"), &["--size", "16M"]);
    // A copy is the same tree.
    let copy = home.path("copy");
    tools::run(require!(tools::command("cp")).arg("-a").args([&source, &copy]));
    let copied = build(&home, &copy, &home.path("out/b.ext4"), &["--size", "16M"]);
    assert_eq!(own["uuid"], copied["uuid"]);
    assert_equal_files(&home.path("out/a.ext4"), &home.path("out/b.ext4"));

    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    let file = home.path("out/c.ext4");
    let mut command = home.banger(["rootfs", "build", "--json", "--size", "16M", "--uuid", uuid]);
    let output = command.args([&source, &file]).env("SOURCE_DATE_EPOCH", "77").output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["uuid"], &document["timestamp_seconds"]), (&uuid.into(), &77.into()));
    let bytes = fs::read(&file).unwrap();
    assert_eq!(bytes[1024 + 0x68..1024 + 0x6c], [0x01, 0x23, 0x45, 0x67]);

    fs::write(source.join("etc/one-more"), "").unwrap();
    let changed = build(&home, &source, &home.path("out/d.ext4"), &["--size", "16M"]);
    assert_ne!(own["uuid"], changed["uuid"]);
}

#[test]
fn interrupted_builds_leave_nothing() {
    let source = require!(reference_tree(Image::DebianMinbase));
    let home = Home::new();
    let file = home.path("out/x.ext4");
    for backend in BACKENDS {
        let start = || {
            let mut build = home.banger(["rootfs", "build", "--force", "--backend", backend]);
            build.args([&source, &file]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let started = Instant::now();
        assert!(start().wait().unwrap().success());
        let duration = started.elapsed();
        fs::remove_file(&file).unwrap();
        let mut interrupted = 0;
        for (eighth, signal) in (0..8_u32).zip(["INT", "TERM"].into_iter().cycle()) {
            let mut child = start();
            // The handler is set within the first milliseconds.
            std::thread::sleep((duration * eighth / 8).max(Duration::from_millis(50)));
            send_signal(&child, signal);
            match child.wait().unwrap().code() {
                // It was faster.
                Some(0) => fs::remove_file(&file).unwrap(),
                code => {
                    assert_eq!(code, Some(130), "{backend} {signal}");
                    interrupted += 1;
                }
            }
            assert_eq!(home.leftovers(), [""; 0], "{backend} {signal} at {eighth}/8");
        }
        assert!(interrupted > 0, "{backend}: none was caught");
        // Killed, it leaves what the next one removes.
        let mut child = start();
        std::thread::sleep(duration / 2);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(start().wait().unwrap().success());
        assert_eq!(home.leftovers(), ["out/x.ext4"], "{backend}");
        fs::remove_file(&file).unwrap();
    }
}
