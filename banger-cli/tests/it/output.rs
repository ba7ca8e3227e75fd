//! What the command prints, and where: one document, one line a message, nothing that tells a terminal
//! anything.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, require};
use serde_json::{Value, json};

use crate::support::{Home, text};

/// A home with the layout of a small image whose configuration wants to be more than text.
fn home_with_layout() -> Home {
    let home = Home::new();
    let layer = LayerBuilder::new().file("etc/hostname", "vm\n").finish();
    let labels = json!({"a\nid           forged": "\u{1b}[31mred\u{1b}[0m"});
    let image = ImageBuilder::new()
        .layer(layer)
        .config("config", json!({"Cmd": ["/bin/app"], "Env": ["A=\u{1b}]0;title\u{7}"], "Labels": labels}));
    LayoutBuilder::of(&image).write(&home.path("layout"));
    home
}

fn pull(home: &Home) {
    home.run(["image", "pull", "oci:layout:latest", "--name", "app", "--size", "64M"]);
}

#[test]
fn json_also_for_arguments_that_are_none() {
    let home = Home::new();
    for (arguments, words) in [
        (&["image", "frobnicate", "--json"][..], "frobnicate"),
        (&["--json", "image", "pull"], "<REF>"),
        (&["image", "list", "--nonsense", "--json"], "--nonsense"),
        (&["image", "pull", "debian", "--size", "much", "--json"], "not a size"),
        (&["image", "pull", "debian", "--output", "-", "--json"], "standard output"),
    ] {
        let output = home.banger(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
        assert_eq!((&document["version"], &document["error"]["code"]), (&json!(1), &json!(509)));
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains('\n'), "{message:?}");
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    for arguments in [&["completions", "bash"][..], &["man", "out/man"]] {
        assert_eq!(home.json(arguments)["version"], 1, "{arguments:?}");
    }
}

#[test]
fn every_line_is_json_with_progress_as_json() {
    let home = home_with_layout();
    let commands = [
        (&["image", "pull", "oci:layout:latest", "--size", "64M"][..], "note"),
        (&["image", "pull", "oci:nothing"], "error"),
        (&["image", "cache", "prune", "--all"], "note"),
    ];
    for (arguments, last) in commands {
        let output = home.banger(arguments).args(["--progress", "json"]).output().unwrap();
        let lines: Vec<Value> = text(&output.stderr)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect();
        assert_eq!(lines.last().unwrap()["event"], last, "{arguments:?}");
        assert!(lines.iter().all(|line| line["event"].is_string()), "{lines:?}");
    }
}

#[test]
fn what_an_image_says_is_no_line_and_no_escape_sequence() {
    let home = home_with_layout();
    pull(&home);
    let show = text(&home.run(["image", "show", "app"]).stdout);
    assert!(!show.contains('\u{1b}') && !show.contains('\u{7}'), "{show:?}");
    assert_eq!(show.lines().filter(|line| line.starts_with("id ")).count(), 1, "{show}");
    assert!(show.contains(r"label        a\x0aid           forged=\x1b[31mred\x1b[0m"), "{show}");
    // JSON has it as it is.
    assert_eq!(home.json(&["image", "show", "app"])["config"]["env"], json!(["A=\u{1b}]0;title\u{7}"]));

    symlink("layout", home.path("lay\nout\u{1b}[31m")).unwrap();
    let reference = "oci:lay\nout\u{1b}[31m:latest";
    let pulled = home.run(["image", "pull", reference, "--name", "odd", "--size", "64M"]);
    let list = text(&home.run(["image", "list"]).stdout);
    assert_eq!(list.lines().count(), 3, "{list}");
    let unknown = home.banger(["image", "pull", "oci:lay\nout\u{1b}[31m:nothing"]).output().unwrap();
    for said in [text(&pulled.stderr), list, text(&unknown.stderr)] {
        assert!(!said.contains('\u{1b}') && said.contains(r"lay\x0aout\x1b[31m"), "{said:?}");
    }
    assert_eq!(text(&unknown.stderr).lines().count(), 1, "{}", text(&unknown.stderr));
}

#[test]
fn a_reader_that_has_gone_ends_a_command_quietly() {
    let home = home_with_layout();
    for arguments in [
        &["--help"][..],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["image", "list"],
        &["image", "list", "--json"],
        &["image", "pull", "oci:layout:latest", "--progress", "none"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = home.banger(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{arguments:?}: {stderr}");
    }
    // A disk that is full is something else.
    for arguments in
        [&["--help"][..], &["completions", "bash"], &["image", "list"], &["image", "list", "--json"]]
    {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = home.banger(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn what_is_no_file_is_not_replaced() {
    let home = home_with_layout();
    pull(&home);
    let (socket, link) = (home.path("out/socket"), home.path("out/link"));
    let _listener = UnixListener::bind(&socket).unwrap();
    symlink("/dev/null", &link).unwrap();
    for (target, words) in [
        ("out/socket", "socket"),
        ("out/link", "leads into /dev"),
        ("out", "directory"),
        ("out/new/", "directory"),
        ("", "path"),
    ] {
        for command in [
            &["image", "export", "app", target, "--force"][..],
            &["image", "pull", "oci:layout:latest", "--output", target, "--force"],
            &["rootfs", "build", "layout", target, "--force"],
        ] {
            let output = home.banger(command).output().unwrap();
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{command:?}: {stderr}");
            assert!(stderr.contains(words), "{command:?}: {words:?} is not in {stderr}");
        }
    }
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_dir(home.path("out")).unwrap().count(), 2);
}

#[test]
fn an_image_with_two_names_on_the_line_is_removed_once() {
    let home = home_with_layout();
    pull(&home);
    let id = home.json(&["image", "show", "app"])["id"].as_str().unwrap().to_owned();
    let output = home.run(["image", "rm", "app", &id, &id[..10]]);
    assert_eq!(text(&output.stdout), format!("{id}\n"));
    assert_eq!(home.json(&["image", "list"])["images"], json!([]));
}

#[test]
fn images_that_cannot_be_read_are_told_apart() {
    let home = home_with_layout();
    pull(&home);
    let show = home.json(&["image", "show", "app"]);
    let (id, path) = (show["id"].as_str().unwrap(), show["path"].as_str().unwrap());
    let record = home.path(&format!("state/banger/images/{id}/image.json"));
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(record.as_path()), mode(path.as_ref()), "a record is as readable as its image");

    // Private to their user as a whole, unless an older version of banger made them.
    let mut nobody = require!(home.banger_as_nobody());
    let output = nobody.args(["image", "list", "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["code"], 408, "{document}");
    let directory = record.parent().unwrap();
    for path in directory.ancestors().take(3) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut nobody = home.banger_as_nobody().unwrap();
    let output = nobody.args(["image", "list", "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["damaged"][0]["id"], &document["damaged"][0]["denied"]),
        (&json!(id), &json!(true))
    );
    assert!(!text(&output.stderr).contains("image rm"), "{}", text(&output.stderr));
    let output = home.banger_as_nobody().unwrap().args(["image", "rm", "app"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--state-dir"), "{}", text(&output.stderr));

    fs::write(&record, "{").unwrap();
    let output = home.banger(["image", "list", "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&document["damaged"][0]["id"], &document["damaged"][0]["denied"]),
        (&json!(id), &json!(false))
    );
    assert!(text(&output.stderr).contains("image rm"), "{}", text(&output.stderr));
    home.run(["image", "rm", id]);
}

#[test]
fn an_image_without_its_file_is_damaged() {
    let home = home_with_layout();
    pull(&home);
    home.run(["image", "clone", "app", "whole"]);
    let path = home.json(&["image", "show", "app"])["path"].as_str().unwrap().to_owned();
    fs::remove_file(path).unwrap();
    let output = home.banger(["image", "verify", "app", "whole"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "app: damaged\nwhole: sound\n", "one does not hide the other");
    assert!(text(&output.stderr).contains("missing"), "{}", text(&output.stderr));
}

#[test]
fn manual_pages_are_there_for_whoever_asks() {
    let home = Home::new();
    let output = home.run(["man", "out/man1"]);
    assert_eq!(text(&output.stdout), "out/man1/banger.1\n");
    for page in ["banger.1", "banger-image-pull.1", "banger-rootfs-put.1", "banger-guest-exec.1"] {
        let text = fs::read_to_string(home.path("out/man1").join(page)).unwrap();
        assert!(text.contains(".SH NAME") && text.contains("Example"), "{page}: {text}");
    }
    assert!(text(&home.run(["--help"]).stdout).contains("\n  man "), "help tells of them");
}

/// Adds the names of all fields of a document, but those that an image or a user chooses.
fn fields(document: &Value, found: &mut BTreeSet<String>) {
    match document {
        Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                if !["labels", "xattrs"].contains(&name.as_str()) {
                    fields(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_and_event_is_in_the_documentation() {
    let home = home_with_layout();
    fs::create_dir(home.path("tree")).unwrap();
    fs::write(home.path("tree/file"), "x").unwrap();
    symlink("file", home.path("tree/link")).unwrap();
    let mut found = BTreeSet::new();
    for arguments in [
        &["image", "pull", "oci:layout:latest", "--name", "app", "--size", "64M"][..],
        &["image", "clone", "app", "copy"],
        &["image", "list"],
        &["image", "verify", "app"],
        &["image", "export", "app", "out/app.ext4"],
        &["image", "rm", "copy"],
        &["image", "cache", "list"],
        &["image", "cache", "prune", "--all"],
        &["rootfs", "build", "tree", "out/tree.ext4", "--size", "64M"],
        &["rootfs", "ls", "out/tree.ext4", "/", "/file"],
        &["rootfs", "stat", "out/tree.ext4", "/link"],
        &["rootfs", "cat", "out/tree.ext4", "/file"],
        &["rootfs", "rm", "out/tree.ext4", "/link"],
        &["rootfs", "inject", "out/tree.ext4"],
        &["rootfs", "resize", "out/tree.ext4", "+64M"],
        &["completions", "bash"],
        &["man", "out/man"],
    ] {
        let document = home.json(arguments);
        assert_eq!(document["version"], 1, "{arguments:?}");
        fields(&document, &mut found);
    }
    let failed = home.banger(["image", "show", "nothing", "--json"]).output().unwrap();
    fields(&serde_json::from_slice(&failed.stdout).unwrap(), &mut found);
    let pulled = home
        .run(["image", "pull", "oci:layout:latest", "--progress", "json", "--force", "--size", "64M"])
        .stderr;
    let events = text(&pulled);
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    found.extend(events.map(|event| event["event"].as_str().unwrap().to_owned()));

    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
    let docs = fs::read_to_string(docs).unwrap();
    let missing: Vec<&String> = found.iter().filter(|name| !docs.contains(&format!("`{name}`"))).collect();
    assert!(found.len() > 50 && missing.is_empty(), "{missing:?} of {found:?}");
}
