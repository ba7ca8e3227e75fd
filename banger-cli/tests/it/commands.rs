//! The commands on managed images, as users and scripts read them.

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};
use serde_json::json;

use crate::support::{Home, text};

fn home_with_layout() -> (Home, String) {
    let home = Home::new();
    let layout = home.path("layout");
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("etc/hostname", "vm\n").finish()).config(
        "config",
        json!({"Entrypoint": ["/bin/app"], "Cmd": ["--serve", "a b"], "Env": ["A=1"], "User": "7", "WorkingDir": "/srv",
               "Labels": {"k": "v"}}),
    );
    LayoutBuilder::of(&image).write(&layout);
    let reference = format!("oci:{}:latest", layout.display());
    (home, reference)
}

#[test]
fn pull_list_show_rename_and_remove() {
    let (home, reference) = home_with_layout();
    let output = home.run(["image", "pull", &reference, "--name", "app", "--size", "64M"]);
    let path = text(&output.stdout);
    let path = path.strip_suffix('\n').expect("one line on standard output");
    assert_eq!(std::fs::metadata(path).unwrap().len(), 64 << 20);
    assert!(text(&output.stderr).contains("pulled oci:"), "{}", text(&output.stderr));

    let list = text(&home.run(["image", "list"]).stdout);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "ID", "PLATFORM", "SIZE", "USED", "KERNEL", "CREATED", "SOURCE"]);
    assert_eq!((rows.len(), rows[1][0]), (2, "app"), "{list}");

    let show = text(&home.run(["image", "show", "app"]).stdout);
    for line in [
        "entrypoint   /bin/app",
        "cmd          --serve 'a b'",
        "user         7",
        "workdir      /srv",
        "env          A=1",
        "label        k=v",
    ] {
        assert!(show.contains(line), "{line:?} is not in\n{show}");
    }
    let document = home.json(&["image", "show", "app"]);
    assert_eq!(document["version"], 1);
    assert_eq!(document["config"]["entrypoint"], json!(["/bin/app"]));
    assert_eq!(document["path"], path);
    let id = document["id"].as_str().unwrap();
    assert_eq!(home.json(&["image", "show", &id[..11]])["id"], id);

    home.run(["image", "rename", "app", "web"]);
    assert_eq!(home.json(&["image", "list"])["images"][0]["name"], "web");
    let missing = home.banger(["image", "rm", "web", "nothing"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(std::path::Path::new(path).exists(), "nothing is removed when one name is wrong");
    home.run(["image", "rm", "web"]);
    assert_eq!(home.json(&["image", "list"])["images"], json!([]));
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn output_files_are_not_replaced_unasked() {
    let (home, reference) = home_with_layout();
    let file = home.path("out/x.ext4");
    std::fs::write(&file, "precious").unwrap();
    let file_name = file.to_str().unwrap();
    let refused = home.banger(["image", "pull", &reference, "--output", file_name]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--force"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    home.run(["image", "pull", &reference, "--output", file_name, "--force", "--size", "64M"]);
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 64 << 20);
    // A bare file name is written where the user is.
    home.run(["image", "pull", &reference, "--output", "here.ext4", "--size", "64M"]);
    assert!(home.path("here.ext4").exists());
    assert_eq!(home.leftovers(), ["out/x.ext4"]);
}

#[test]
fn json_is_one_document_also_for_errors() {
    let home = Home::new();
    let output = home.banger(["image", "show", "nothing", "--json"]).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["version"], &document["error"]["code"]), (&json!(1), &json!(400)));
    assert!(document["error"]["message"].as_str().unwrap().contains("nothing"));
}

#[test]
fn progress_as_json_lines() {
    let (home, reference) = home_with_layout();
    let output = home.run(["image", "pull", &reference, "--progress", "json"]);
    let events: Vec<serde_json::Value> =
        text(&output.stderr).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    for name in ["resolving", "resolved", "layer-done", "building", "done"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}

#[test]
fn help_version_and_completions_go_to_standard_output() {
    let home = Home::new();
    for arguments in [&["--help"][..], &["--version"], &["image", "pull", "--help"], &["completions", "bash"]]
    {
        let output = home.run(arguments);
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    let unknown = home.banger(["image", "frobnicate"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(1));
}
