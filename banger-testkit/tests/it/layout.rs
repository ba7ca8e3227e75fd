//! Layouts and archives that skopeo and umoci read.

use banger_testkit::{
    Compression, Entry, Ignore, ImageBuilder, Layer, LayerBuilder, LayoutBuilder, OCI_INDEX,
    assert_same_tree, docker_archive, require, sha256_digest, snapshot, tools, umoci_unpack,
};

fn image() -> ImageBuilder {
    let lower = LayerBuilder::new()
        .dir("etc")
        .file("etc/gone", "1")
        .entry(Entry::file("etc/kept", "2").mtime(7))
        .finish();
    let upper = LayerBuilder::new().whiteout("etc/gone").file("new", "3").finish();
    ImageBuilder::new().layer(lower).layer_as(Layer::new(upper, Compression::Zstd))
}

fn skopeo(arguments: &[&str]) -> Result<Result<String, String>, banger_testkit::Skip> {
    let mut command = tools::command("skopeo")?;
    command.arg("--insecure-policy").args(arguments);
    Ok(tools::try_run(&mut command).map(|output| String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn umoci_unpacks_both_compressions_alike() {
    let dir = tempfile::tempdir().unwrap();
    LayoutBuilder::of(&image()).write(dir.path());
    let tree = require!(umoci_unpack(dir.path(), "latest"));
    let mixed = snapshot(&tree.path());
    let names: Vec<&[u8]> = mixed.keys().map(Vec::as_slice).collect();
    assert_eq!(names, [&b""[..], b"etc", b"etc/kept", b"new"]);

    let plain = tempfile::tempdir().unwrap();
    let lower =
        LayerBuilder::new().dir("etc").entry(Entry::file("etc/kept", "2").mtime(7)).file("new", "3").finish();
    LayoutBuilder::of(&ImageBuilder::new().layer_as(Layer::new(lower, Compression::None)))
        .write(plain.path());
    let tree = require!(umoci_unpack(plain.path(), "latest"));
    let mut plain = snapshot(&tree.path());
    // No layer has the root's entry, so each unpacking leaves its own time there.
    let ignore = Ignore { root_mtime: true, ..Ignore::default() };
    if let Some(etc) = plain.get_mut(&b"etc"[..]) {
        etc.mtime = mixed[&b"etc"[..]].mtime;
    }
    assert_same_tree(&mixed, &plain, ignore);
}

#[test]
fn skopeo_reads_layouts_and_archives() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&image(), "one");
    let amd64 = layout.add(&image());
    let arm64 = layout.add(&image().platform("linux", "arm64", Some("v8")));
    assert_eq!(arm64["platform"]["variant"], "v8");
    let index = layout.index(OCI_INDEX, &[arm64, amd64]);
    layout.tag(index, "multi");
    layout.write(&dir.path().join("layout"));
    std::fs::write(at("archive.tar"), layout.archive()).unwrap();
    let saved = docker_archive(&[(&image(), &["example/saved:1"])]);
    std::fs::write(at("saved.tar"), saved).unwrap();

    let raw = |source: &str| skopeo(&["inspect", "--raw", source]);
    let one = require!(raw(&format!("oci:{}:one", at("layout")))).unwrap();
    assert_eq!(one.as_bytes(), image().manifest_bytes());
    let multi = require!(raw(&format!("oci:{}:multi", at("layout")))).unwrap();
    assert!(multi.contains("arm64"), "{multi}");
    let archived = require!(raw(&format!("oci-archive:{}:one", at("archive.tar")))).unwrap();
    assert_eq!(archived, one);

    let copy = at("copied");
    let source = format!("docker-archive:{}:example/saved:1", at("saved.tar"));
    require!(skopeo(&["copy", "--quiet", &source, &format!("oci:{copy}:saved")])).unwrap();
    let config = require!(skopeo(&["inspect", "--config", &format!("oci:{copy}:saved")])).unwrap();
    let diff_ids: Vec<String> =
        serde_json::from_str::<serde_json::Value>(&config).unwrap()["rootfs"]["diff_ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
    let expected: serde_json::Value = serde_json::from_slice(&image().config_bytes()).unwrap();
    let expected: Vec<String> =
        expected["rootfs"]["diff_ids"].as_array().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(diff_ids, expected);
}

#[test]
fn wrong_layouts_are_refused_by_skopeo() {
    let mut missing = LayoutBuilder::of(&image());
    let tar = LayerBuilder::new().file("a", "1").finish();
    let layer = Layer::new(tar, Compression::None);
    let wrong_digest = sha256_digest(b"something else");
    let wrong =
        LayoutBuilder::of(&ImageBuilder::new().layer_as(layer.clone().describe("digest", wrong_digest)));
    missing.remove_blob(&sha256_digest(&image().config_bytes()));
    for (what, layout) in [("missing config", missing), ("wrong digest", wrong)] {
        let dir = tempfile::tempdir().unwrap();
        layout.write(&dir.path().join("in"));
        let source = format!("oci:{}:latest", dir.path().join("in").display());
        let target = format!("dir:{}", dir.path().join("out").display());
        let copied = require!(skopeo(&["copy", "--quiet", &source, &target]));
        assert!(copied.is_err(), "{what} went unnoticed");
    }
}
