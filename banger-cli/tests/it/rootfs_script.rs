//! `banger rootfs edit` and `put --if-match`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use banger_testkit::{assert_silent, require, tools};
use serde_json::{Value, json};

use crate::support::{Home, text};

/// An ext4 file made by mkfs, with a user database.
fn disk(home: &Home, options: &[&str]) -> Result<PathBuf, banger_testkit::Skip> {
    let model = home.path("model");
    fs::create_dir_all(model.join("etc")).unwrap();
    fs::write(model.join("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n").unwrap();
    fs::write(model.join("etc/motd"), "old").unwrap();
    let image = home.path("out/disk.ext4");
    let mut mkfs = tools::command("mkfs.ext4")?;
    tools::run(mkfs.args(["-q", "-F", "-d"]).arg(&model).args(options).arg(&image).arg("64M"));
    Ok(image)
}

fn edit(home: &Home, arguments: &[&str], script: &str) -> Output {
    let mut command = home.banger(["rootfs", "edit", "out/disk.ext4", "--script", "-"]);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that refuses to start does not read it.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes());
    child.wait_with_output().unwrap()
}

fn script(operations: &Value) -> String {
    json!({ "schemaVersion": 1, "operations": operations }).to_string()
}

fn cat(home: &Home, path: &str) -> String {
    text(&home.run(["rootfs", "cat", "out/disk.ext4", path]).stdout)
}

#[test]
fn a_script_is_one_commit_with_a_report() {
    let home = Home::new();
    let image = require!(disk(&home, &[]));
    let operations = json!([
        { "op": "mkdir", "path": "/etc/app", "owner": "app:" },
        { "op": "write", "path": "/etc/app/name", "content": "vm1\n", "mode": "600", "owner": "app" },
        { "op": "rename", "path": "/etc/motd", "to": "/etc/old" },
        { "op": "remove", "path": "/nothing", "force": true },
    ]);
    let before = fs::read(&image).unwrap();
    let trial = edit(&home, &["--json", "--dry-run"], &script(&operations));
    assert!(trial.status.success(), "{}", text(&trial.stderr));
    assert!(fs::read(&image).unwrap() == before, "a trial changes no byte");
    let done = edit(&home, &["--json"], &script(&operations));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let (trial, done): (Value, Value) =
        (serde_json::from_slice(&trial.stdout).unwrap(), serde_json::from_slice(&done.stdout).unwrap());
    assert_eq!((&trial["dry_run"], &done["dry_run"]), (&json!(true), &json!(false)));
    assert_eq!(trial["operations"], done["operations"]);
    let digest = "sha256:e6fdc4d1d8d571c6d7dcc5ba0d3b8b2bdd8c5b3b1ac3fb1f0ad2dd6a8f3b2e8f";
    let mut reports = done["operations"].clone();
    assert_eq!(reports[1]["digest"].as_str().unwrap().len(), digest.len());
    reports[1].as_object_mut().unwrap().remove("digest");
    assert_eq!(
        reports,
        json!([
            { "index": 0, "op": "mkdir", "paths": ["/etc/app"] },
            { "index": 1, "op": "write", "paths": ["/etc/app/name"] },
            { "index": 2, "op": "rename", "paths": ["/etc/old"] },
            { "index": 3, "op": "remove", "paths": [] },
        ])
    );
    require!(assert_silent(&image));
    assert_eq!((cat(&home, "/etc/app/name"), cat(&home, "/etc/old")), ("vm1\n".to_owned(), "old".to_owned()));
    let stat = home.json(&["rootfs", "stat", "out/disk.ext4", "/etc/app/name", "/etc/app"]);
    let owners: Vec<_> =
        stat["entries"].as_array().unwrap().iter().map(|entry| (&entry["uid"], &entry["gid"])).collect();
    assert_eq!(owners, [(&json!(1000), &json!(0)), (&json!(1000), &json!(1001))]);
}

#[test]
fn a_script_that_fails_changes_no_file() {
    let home = Home::new();
    let image = require!(disk(&home, &[]));
    let listing = || home.json(&["rootfs", "ls", "out/disk.ext4", "-R", "/"]);
    let before = listing();
    let operations = json!([
        { "op": "write", "path": "/etc/motd", "content": "x".repeat(100_000) },
        { "op": "remove", "path": "/etc/passwd" },
        { "op": "mkdir", "path": "/no/where" },
    ]);
    for arguments in [&["--json"][..], &["--json", "--dry-run"]] {
        let failed = edit(&home, arguments, &script(&operations));
        assert_eq!(failed.status.code(), Some(1));
        let document: Value = serde_json::from_slice(&failed.stdout).unwrap();
        let error = &document["error"];
        assert_eq!((&error["code"], &error["context"]["index"]), (&json!(700), &json!("2")), "{error}");
        assert_eq!(error["context"]["operation_path"], "/no/where");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("operation 2, mkdir /no/where: /no does not exist"), "{message}");
    }
    assert_eq!(listing(), before);
    require!(assert_silent(&image));
    let failed =
        edit(&home, &[], r#"{"schemaVersion":1,"operations":[{"op":"mkdir","path":"/a","mod":"7"}]}"#);
    let error = text(&failed.stderr);
    assert!(error.contains("line 1, column ") && error.contains("unknown field `mod`"), "{error}");
}

/// A journal of 1024 blocks of 1 KiB holds the inodes of about 4000 files, not those of all.
#[test]
fn a_script_that_one_commit_cannot_hold_is_refused() {
    let home = Home::new();
    let image = require!(disk(&home, &["-b", "1024", "-J", "size=1", "-N", "20000"]));
    let tree = home.path("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..9000 {
        fs::write(tree.join(format!("file-{number}")), "").unwrap();
    }
    let many = script(&json!([{ "op": "copy-in", "path": "/tree", "source": "tree" }]));
    let failed = edit(&home, &["--json"], &many);
    let document: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(document["error"]["code"], 725, "{document}");
    assert!(!home.banger(["rootfs", "stat", "out/disk.ext4", "/tree"]).output().unwrap().status.success());
    require!(assert_silent(&image));
    // In several commits it fits.
    home.run(["rootfs", "put", "out/disk.ext4", "tree", "/tree"]);
    require!(assert_silent(&image));
}

#[test]
fn put_compares_the_content_first() {
    let home = Home::new();
    let image = require!(disk(&home, &[]));
    fs::write(home.path("new"), "new").unwrap();
    let put = |destination: &str, wanted: &str| {
        let arguments =
            ["rootfs", "put", "out/disk.ext4", "new", destination, "--if-match", wanted, "--json"];
        let output = home.banger(arguments).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.success(), document)
    };
    let old = "a4d9d8b5ee8f7b3c9d1d3a4d"; // Not a digest.
    let (_, document) = put("/etc/motd", old);
    assert_eq!(document["error"]["code"], 1344);
    let (_, document) = put("/etc/motd", "absent");
    assert_eq!(document["error"]["code"], 1342);
    let found = document["error"]["context"]["found"].as_str().unwrap().to_owned();
    assert_eq!(cat(&home, "/etc/motd"), "old");
    assert!(put("/etc/motd", &found).0);
    assert_eq!(cat(&home, "/etc/motd"), "new");
    let (_, document) = put("/etc/motd", &found);
    assert_eq!(
        (&document["error"]["code"], &document["error"]["context"]["wanted"]),
        (&json!(1342), &json!(found))
    );
    let (_, document) = put("/etc/other", &found);
    assert_eq!(document["error"]["context"]["found"], "absent");
    assert!(put("/etc/other", "absent").0);
    // A directory is compared with nothing, and several files neither.
    let (_, document) = put("/etc", "absent");
    assert!(document["error"].is_null(), "into the directory, under its name: {document}");
    fs::create_dir(home.path("dir")).unwrap();
    let output = home
        .banger(["rootfs", "put", "out/disk.ext4", "dir", "/x", "--if-match", "absent"])
        .output()
        .unwrap();
    assert!(text(&output.stderr).contains("only one file"), "{}", text(&output.stderr));
    require!(assert_silent(&image));
}

/// The schema in the documentation and the parser know the same operations and fields.
#[test]
fn the_schema_has_what_the_parser_takes() {
    let home = Home::new();
    require!(disk(&home, &[]));
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/edit-script.schema.json");
    let schema: Value = serde_json::from_slice(&fs::read(schema).unwrap()).unwrap();
    let kinds = schema["properties"]["operations"]["items"]["oneOf"].as_array().unwrap();
    assert_eq!(kinds.len(), 12);
    let every: Vec<&String> =
        kinds.iter().flat_map(|kind| kind["properties"].as_object().unwrap().keys()).collect();
    for kind in kinds {
        let (properties, name) = (&kind["properties"], &kind["properties"]["op"]["const"]);
        for field in &every {
            let value = match field.as_str() {
                "op" | "path" => continue,
                "parents" | "noFollow" | "force" | "noClobber" | "recursive" => json!(true),
                "major" | "minor" => json!(1),
                "type" => json!("fifo"),
                _ => json!("x"),
            };
            let mut operation = json!({ "op": name, "path": "/a" });
            operation[field.as_str()] = value;
            let output = edit(&home, &["--dry-run", "--json"], &script(&json!([operation])));
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            let message = document["error"]["message"].as_str().unwrap_or_default();
            let is_foreign = message.contains(&format!("{field:?} does not belong"));
            let is_known = properties.get(field.as_str()).is_some();
            // A field that is missing comes first.
            let is_incomplete = message.contains("is missing");
            assert!(is_foreign != is_known || is_incomplete, "{name} {field}: {message}");
        }
    }
}
