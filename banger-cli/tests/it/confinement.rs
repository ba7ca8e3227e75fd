//! Hostile layers have no host to escape to: no call of theirs names a path outside.

use std::path::Path;
use std::process::Command;

use banger_testkit::{Entry, ImageBuilder, LayerBuilder, LayoutBuilder, require, tools};

use crate::support::{BACKENDS, Home, text};

/// Layers that try to reach the host in every way a tar has; those that must be refused apart.
fn hostile_layers(target: &str) -> Vec<(&'static str, Vec<u8>, bool)> {
    let layer = LayerBuilder::new;
    let absolute = target.strip_prefix('/').unwrap();
    vec![
        ("absolute name", layer().file(target, "x").finish(), true),
        ("climbing name", layer().file(format!("a/../../../../../../../..{target}"), "x").finish(), false),
        (
            "through an absolute symlink",
            layer().symlink("out", target).file("out/x", "x").dir("out/y").finish(),
            true,
        ),
        (
            "through a climbing symlink",
            layer()
                .symlink("out", format!("../../../../../../../../../..{target}"))
                .file("out/x", "x")
                .finish(),
            true,
        ),
        (
            "replacing a symlink",
            layer().symlink("out", format!("{target}/victim")).file("out", "x").finish(),
            true,
        ),
        ("hard link to the host", layer().hardlink("grab", format!("{target}/victim")).finish(), false),
        (
            "hard link through a symlink",
            layer().symlink("out", target).hardlink("grab", "out/victim").finish(),
            false,
        ),
        (
            "whiteout through a symlink",
            layer().symlink("out", target).whiteout("out/victim").opaque("out").finish(),
            true,
        ),
        ("devices", layer().block_device("sda", 8, 0).char_device("mem", 1, 1).finish(), true),
        (
            "mode and owner through a symlink",
            layer()
                .symlink("out", format!("{target}/victim"))
                .entry(Entry::symlink("out2", format!("{target}/victim")).mode(0o4777).owner(7, 7))
                .finish(),
            true,
        ),
        (
            "dot dot root",
            layer().symlink("x", "..").file(format!("x/x/x/x/x/x/{absolute}/new"), "x").finish(),
            true,
        ),
        (
            "odd names",
            layer().file("a\n/tmp/b", "x").file("\"; touch x", "x").file("$(touch y)", "x").finish(),
            true,
        ),
    ]
}

fn prepare() -> (Home, Home, String) {
    let (home, host) = (Home::new(), Home::new());
    let target = host.path("out");
    std::fs::write(target.join("victim"), "untouched").unwrap();
    let target = target.to_str().unwrap().to_owned();
    (home, host, target)
}

fn layout(home: &Home, tar: Vec<u8>) -> String {
    let dir = home.path("layout");
    // A file below, so that whiteouts have something to reach for.
    let base = LayerBuilder::new().file("base", "x").finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(base).layer(tar)).write(&dir);
    format!("oci:{}:latest", dir.display())
}

fn assert_untouched(host: &Home, what: &str) {
    let mut names: Vec<_> =
        std::fs::read_dir(host.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["victim"], "{what}");
    assert_eq!(std::fs::read_to_string(host.path("out/victim")).unwrap(), "untouched", "{what}");
}

#[test]
fn hostile_layers_do_not_touch_the_host() {
    let (_, _, example) = prepare();
    for index in 0..hostile_layers(&example).len() {
        for backend in BACKENDS {
            let (home, host, target) = prepare();
            let (what, tar, accepted) = hostile_layers(&target).swap_remove(index);
            let reference = layout(&home, tar);
            let output = home
                .banger(["image", "pull", &reference, "--backend", backend, "--output", "out/x.ext4"])
                .output()
                .unwrap();
            assert_eq!(output.status.success(), accepted, "{what}: {}", text(&output.stderr));
            assert_untouched(&host, what);
            let expected: &[&str] = if accepted { &["out/x.ext4"] } else { &[] };
            assert_eq!(home.leftovers(), expected, "{what} {backend}");
        }
    }
}

/// Every path that the pull and its children name in a call that could change it.
#[test]
fn no_system_call_names_a_path_outside() {
    let strace = require!(tools::tool("strace"));
    let (_, _, example) = prepare();
    for index in 0..hostile_layers(&example).len() {
        for backend in BACKENDS {
            let (home, host, target) = prepare();
            let (what, tar, _) = hostile_layers(&target).swap_remove(index);
            let reference = layout(&home, tar);
            let trace = host.path("trace");
            let mut command = Command::new(&strace);
            home.environment(&mut command);
            let calls = "trace=open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,\
                         unlink,unlinkat,rmdir,rename,renameat,renameat2,chmod,fchmodat,chown,lchown,fchownat,\
                         truncate,utimensat,utime,utimes,setxattr,lsetxattr,removexattr,mount,chroot,pivot_root";
            command
                .args(["-ff", "-y", "-s", "8192", "-e", calls, "-o"])
                .arg(&trace)
                .arg(env!("CARGO_BIN_EXE_banger"))
                .args(["image", "pull", &reference, "--backend", backend, "--output", "out/x.ext4"]);
            let _ = command.output().unwrap();
            assert_untouched(&host, what);
            // A file for each thread, so that no call of one is cut in two by another's.
            let trace: String = std::fs::read_dir(host.path("."))
                .unwrap()
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("trace."))
                .map(|entry| text(&std::fs::read(entry.path()).unwrap()))
                .collect();
            assert!(trace.contains("out/"), "the trace shows the output being written");
            for line in trace.lines().map(without_symlink_target) {
                // By name, as a directory that a call starts from, or as what it really opened.
                for form in ["\"", "<"].map(|before| format!("{before}{target}")) {
                    assert!(!line.contains(&form), "{what} {backend}: {line}");
                }
                if let Some(outside) = written_outside(line, &home) {
                    panic!("{what} {backend}: {outside} in {line}");
                }
            }
        }
    }
}

/// A traced call without a symlink's target, which is what the link says and not where a call goes.
fn without_symlink_target(line: &str) -> &str {
    match line.split_once("symlinkat(\"").or_else(|| line.split_once("symlink(\"")) {
        Some((_, call)) => call.split_once("\", ").map_or(line, |(_, rest)| rest),
        None => line,
    }
}

/// The absolute path outside of the test's home that a traced call may change, if it names one.
fn written_outside(line: &str, home: &Home) -> Option<String> {
    let failed = line.contains(" = -1 ");
    let reads_only = ["open(", "openat("].iter().any(|call| line.contains(call))
        && !["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| line.contains(flag));
    if reads_only || failed {
        return None;
    }
    let inside = home.path("");
    let harmless = ["/dev/null", "/dev/tty", "/proc/self/", "/proc/thread-self/"];
    let is_outside = |path: &str| match Path::new(path) {
        absolute if absolute.is_absolute() => {
            !absolute.starts_with(&inside) && !harmless.iter().any(|prefix| path.starts_with(prefix))
        }
        relative => relative.components().any(|part| part == std::path::Component::ParentDir),
    };
    let named = line.split('"').skip(1).step_by(2);
    let opened = line.rsplit_once(" = ").and_then(|(_, result)| result.split_once('<')?.1.strip_suffix('>'));
    named.chain(opened).find(|path| is_outside(path)).map(str::to_owned)
}
