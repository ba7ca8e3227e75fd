//! Finished images that are pushed to a registry and pulled by another machine.

use std::path::Path;

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, Registry, first_difference, require};
use serde_json::{Value, json};

use crate::support::{Home, text};

fn layout(home: &Home) -> String {
    let layer = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").finish();
    let path = home.path("image");
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&path);
    format!("oci:{}", path.display())
}

fn path_of(image: &Value) -> &Path {
    Path::new(image["path"].as_str().unwrap())
}

#[test]
fn one_machine_converts_and_others_fetch() {
    let registry = require!(Registry::start());
    let (first, second) = (Home::new(), Home::new());
    let converted = first.json(&["image", "pull", &layout(&first), "--name", "app"]);
    let target = registry.reference("machines/app", "1");
    let pushed = first.json(&["image", "push", "app", &target]);
    assert_eq!(pushed["sent_blobs"], json!(pushed["windows"].as_u64().unwrap() + 1), "{pushed}");
    let again = first.run(["image", "push", "app", &target]);
    assert_eq!(text(&again.stdout).trim(), pushed["digest"].as_str().unwrap());
    assert!(text(&again.stderr).contains("sent 0 B of "), "{}", text(&again.stderr));
    let other = registry.reference("machines/other", "1");
    let mounted = first.json(&["image", "push", "app", &other, "--mount-from", &target]);
    assert_eq!((&mounted["sent_blobs"], &mounted["digest"]), (&json!(0), &pushed["digest"]), "{mounted}");

    let pulled = second.json(&["image", "pull", &other, "--name", "app"]);
    assert_eq!(first_difference(path_of(&converted), path_of(&pulled)), None);
    assert_eq!(pulled["boot_contract"], converted["boot_contract"]);
    assert_eq!(pulled["artifact"], json!({"digest": pushed["digest"], "source": converted["source"]}));
    let shown = second.run(["image", "show", "app"]);
    assert!(text(&shown.stdout).contains(pushed["digest"].as_str().unwrap()), "{}", text(&shown.stdout));
    // It is an image like others.
    second.run(["image", "verify", "app"]);
    second.run(["image", "clone", "app", "mine"]);
    assert_eq!(second.json(&["image", "show", "mine"])["artifact"], pulled["artifact"]);
    assert!(second.json(&["image", "pull", &other, "--name", "app"])["unchanged"].as_bool().unwrap());
    let unasked = second.json(&["image", "pull", &other, "--name", "app", "--pull", "never"]);
    assert!(unasked["unchanged"].as_bool().unwrap());
    second.run(["image", "rm", "mine", "app"]);
    assert_eq!(second.leftovers(), [""; 0]);
}
