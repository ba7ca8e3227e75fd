//! What is fetched once is not fetched again.

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, Registry, require};

use crate::support::Home;

fn image() -> LayoutBuilder {
    let layer = |name: &str| LayerBuilder::new().file(name, vec![7; 100_000]).finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer("a")).layer(layer("b")))
}

fn blob_requests(registry: &Registry) -> usize {
    registry.log().lines().filter(|line| line.contains("GET /v2/app/blobs/")).count()
}

#[test]
fn a_cached_pull_asks_for_the_digest_only() {
    let registry = require!(Registry::start());
    let home = Home::new();
    let layout = home.path("layout");
    image().write(&layout);
    require!(registry.push(&layout, "latest", "app", "1"));
    let reference = registry.reference("app", "1");
    let first = home.json(&["image", "pull", &reference]);
    assert_eq!(first["unchanged"], false);
    let fetched = blob_requests(&registry);
    assert_eq!(fetched, 3, "two layers and the configuration, each once:\n{}", registry.log());

    let again = home.json(&["image", "pull", &reference]);
    assert_eq!((&again["unchanged"], &again["id"]), (&true.into(), &first["id"]));
    let forced = home.json(&["image", "pull", &reference, "--force"]);
    assert_eq!(forced["unchanged"], false);
    assert_ne!(forced["id"], first["id"]);
    assert_eq!(forced["digest"], first["digest"]);
    assert_eq!(blob_requests(&registry), fetched, "{}", registry.log());

    // With a digest, nobody has to be asked at all.
    let by_digest = format!("{}/app@{}", registry.host(), first["digest"].as_str().unwrap());
    drop(registry);
    let offline = home.json(&["image", "pull", &by_digest, "--name", "offline"]);
    assert_eq!(offline["digest"], first["digest"]);
    let refused = home.banger(["image", "pull", &reference, "--force"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "a tag has to be asked for");
}

#[test]
fn a_moved_tag_is_pulled_again_and_takes_the_name() {
    let registry = require!(Registry::start());
    let home = Home::new();
    let (old, new) = (home.path("old"), home.path("new"));
    image().write(&old);
    let layer = LayerBuilder::new().file("c", "new").finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&new);
    require!(registry.push(&old, "latest", "app", "1"));
    let reference = registry.reference("app", "1");
    let before = home.json(&["image", "pull", &reference]);
    require!(registry.push(&new, "latest", "app", "1"));
    let after = home.json(&["image", "pull", &reference]);
    assert_ne!(before["digest"], after["digest"]);
    let images = home.json(&["image", "list"]);
    let images = images["images"].as_array().unwrap();
    assert_eq!(images.len(), 1);
    assert_eq!(images[0]["id"], after["id"]);
}

#[test]
fn prune_empties_the_cache() {
    let home = Home::new();
    let layout = home.path("layout");
    image().write(&layout);
    let registry = require!(Registry::start());
    require!(registry.push(&layout, "latest", "app", "1"));
    home.run(["image", "pull", &registry.reference("app", "1")]);
    let blobs = |document: serde_json::Value| document["blobs"].as_array().unwrap().len();
    let held = blobs(home.json(&["image", "cache", "list"]));
    assert!(held >= 3, "{held}");
    let dry = home.json(&["image", "cache", "prune", "--all", "--dry-run"]);
    assert_eq!(dry["removed"].as_array().unwrap().len(), held);
    assert_eq!(blobs(home.json(&["image", "cache", "list"])), held);
    home.run(["image", "cache", "prune", "--all"]);
    assert_eq!(blobs(home.json(&["image", "cache", "list"])), 0);
    for verb in [&["list"][..], &["prune", "--all"]] {
        home.run(["image", "cache"].iter().chain(verb).chain(&["--cache-dir", "nowhere"]));
        assert!(!home.path("nowhere").exists(), "looking makes no directories");
    }
}
