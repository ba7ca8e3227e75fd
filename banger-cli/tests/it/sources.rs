//! Images from the standard input, from daemons and from storages of this machine.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use banger_testkit::{Entry, ImageBuilder, LayerBuilder, LayoutBuilder, docker_archive, require, tools};
use serde_json::Value;

use crate::support::{Home, error_text, send_signal, text};

fn image() -> ImageBuilder {
    let noise: Vec<u8> = (0..2_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let layer = LayerBuilder::new().dir("etc").file("etc/marker", "here").file("noise", noise);
    ImageBuilder::new().layer(layer.entry(Entry::file("etc/secret", "x").mode(0o600)).finish())
}

/// Runs the command with these bytes on its standard input.
fn piped(mut command: Command, bytes: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that fails early closes it.
    let _closed = child.stdin.take().unwrap().write_all(bytes);
    child.wait_with_output().unwrap()
}

fn failure(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The files of the cache, but for those that every cache has.
fn cached(home: &Home) -> Vec<String> {
    let find = tools::run(Command::new("find").arg(home.path("cache")).args(["-type", "f", "-size", "+0"]));
    text(&find.stdout).lines().filter(|line| !line.ends_with("CACHEDIR.TAG")).map(str::to_owned).collect()
}

#[test]
fn an_archive_comes_by_the_standard_input() {
    let home = Home::new();
    let saved = docker_archive(&[(&image(), &["app:1"])]);
    std::fs::write(home.path("saved.tar"), &saved).unwrap();
    home.run(["image", "pull", "docker-archive:saved.tar", "--no-inject", "--output", "out/file.ext4"]);
    let wanted = std::fs::read(home.path("out/file.ext4")).unwrap();
    for (reference, name) in [("docker-archive:-", "a"), ("docker-archive:-:app:1", "b")] {
        let out = format!("out/{name}.ext4");
        let pull = ["image", "pull", reference, "--no-inject", "--output", &out, "--json"];
        let output = piped(home.banger(pull), &saved);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["source"], reference);
        assert!(std::fs::read(home.path(&out)).unwrap() == wanted, "{reference}");
    }
    // A redirected file.
    let mut command = home.banger(["image", "pull", "docker-archive:-", "--no-inject", "--name", "app"]);
    let file = File::open(home.path("saved.tar")).unwrap();
    let output = command.stdin(file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(home.json(&["image", "show", "app"])["source"], "docker-archive:-");
    for (bytes, code, says) in [
        (&saved[..0], 1160, "empty"),
        (&saved[..saved.len() / 2], 116, "cut short"),
        (b"text", 116, "ends early"),
    ] {
        let output = piped(home.banger(["image", "pull", "docker-archive:-", "--json"]), bytes);
        let document = failure(&output);
        assert_eq!(document["error"]["code"], code);
        assert!(error_text(&document).contains(says), "{}", error_text(&document));
    }
    assert!(cached(&home).is_empty(), "{:?}", cached(&home));
}

#[test]
fn a_killed_pull_leaves_nothing_of_its_input() {
    let home = Home::new();
    let saved = docker_archive(&[(&image(), &["app:1"])]);
    for (signal, code) in [("KILL", None), ("INT", Some(130))] {
        let mut command = home.banger(["image", "pull", "docker-archive:-"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // More than a pipe holds: so some of it was taken.
        input.write_all(&saved[..1_000_000]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        send_signal(&child, signal);
        // The pipe stays open: nobody waits for its end.
        assert_eq!(child.wait().unwrap().code(), code, "{signal}");
        drop(input);
        assert!(cached(&home).is_empty(), "{:?}", cached(&home));
        assert!(home.leftovers().is_empty(), "{:?}", home.leftovers());
    }
}

#[test]
fn sources_are_where_other_programs_have_them() {
    let home = Home::new();
    let nowhere = home.path("none.sock").display().to_string();
    for (reference, variable, value) in [
        ("docker-daemon:app", "DOCKER_HOST", format!("unix://{nowhere}")),
        ("podman:app", "CONTAINER_HOST", format!("unix://{nowhere}")),
    ] {
        let mut command = home.banger(["image", "pull", reference, "--json"]);
        let document = failure(&command.env(variable, value).output().unwrap());
        assert_eq!(document["error"]["code"], 1161);
        let said = error_text(&document);
        assert!(said.contains(&nowhere) && said.contains(variable), "{said}");
    }
    let conf = home.path("storage.conf");
    for (content, code) in
        [("[storage]\ngraphroot = \"/none/at/all\"\n", 1162), ("[storage\n", 111), ("[storage]\n", 1162)]
    {
        std::fs::write(&conf, content).unwrap();
        let mut command = home.banger(["image", "pull", "containers-storage:none:1", "--json"]);
        // Without a place in the file it is that of the user, which has no such image either.
        let output = command.env("CONTAINERS_STORAGE_CONF", &conf).output().unwrap();
        let document = failure(&output);
        let found = document["error"]["code"].as_u64().unwrap();
        assert!(found == code || (content == "[storage]\n" && found == 101), "{content}: {document}");
    }
}

#[test]
fn a_user_is_told_what_he_may_not_read_in_a_storage() {
    let home = Home::new();
    let mut pull = require!(home.banger_as_nobody());
    require!(tools::tool("skopeo"));
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&image(), "1");
    layout.write(&home.path("layout"));
    let (storage, run) = (home.path("storage"), home.path("run"));
    let (storage, run) = (storage.display(), run.display());
    let mut copy = require!(tools::command("unshare"));
    copy.args(["--mount", "skopeo", "--insecure-policy", "copy", "--quiet", "oci:layout:1"]);
    copy.arg(format!("containers-storage:[overlay@{storage}+{run}]docker.io/library/app:1"));
    tools::run(copy.current_dir(home.path("")));
    let reference = format!("containers-storage:[overlay@{storage}]app:1");
    pull.args(["image", "pull", &reference, "--no-inject", "--json"]);
    let refused = |pull: &mut Command, says: &str| {
        let document = failure(&pull.output().unwrap());
        assert_eq!(document["error"]["code"], 1162, "{document}");
        assert_eq!(document["error"]["kind"], "access");
        assert!(error_text(&document).contains(says), "{}", error_text(&document));
    };
    refused(&mut pull, "as its owner");
    open_up(Path::new(&home.path("storage")));
    refused(&mut pull, "etc/secret");
    // Root reads it.
    let layout = format!("oci:{}:1", home.path("layout").display());
    let root = Home::new();
    root.run(["image", "pull", &reference, "--no-inject", "--name", "app"]);
    let shown = root.json(&["image", "show", "app"]);
    assert_eq!(shown["source"], reference);
    let layout = root.json(&["image", "pull", &layout, "--no-inject", "--name", "other"]);
    assert_eq!(shown["digest"], layout["digest"]);
}

/// Lets everybody read a storage, but for the files of its layers that only their owner reads.
fn open_up(dir: &Path) {
    std::fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(dir).unwrap() {
        let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type().unwrap())).unwrap();
        if kind.is_dir() {
            open_up(&path);
        } else if kind.is_file() && !path.ends_with("etc/secret") {
            std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        }
    }
}
