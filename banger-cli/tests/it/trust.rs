//! `--verify-key` and `--policy`.

use std::path::{Path, PathBuf};

use banger_testkit::{LayerBuilder, tools};
use serde_json::{Value, json};

use crate::support::Home;

const TAG: &str = "org.opencontainers.image.ref.name";

/// The vectors of banger-oci.
fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../banger-oci/tests/cosign")
}

/// Writes a layout with the image of the vectors and its signature under a tag.
fn signed_layout(dir: &Path) {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let mut entries = Vec::new();
    for part in ["image", "p256"] {
        for file in std::fs::read_dir(vectors().join(part).join("blobs")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), blobs.join(file.file_name())).unwrap();
        }
        for file in std::fs::read_dir(vectors().join(part).join("manifests")).unwrap() {
            let file = file.unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            let digest = banger::Digest::of(&bytes);
            std::fs::write(blobs.join(digest.hex()), &bytes).unwrap();
            let document: Value = serde_json::from_slice(&bytes).unwrap();
            entries.push(json!({
                "mediaType": document["mediaType"], "digest": digest, "size": bytes.len(),
                "annotations": { TAG: file.file_name().to_str().unwrap() },
            }));
        }
    }
    let index = json!({ "schemaVersion": 2, "manifests": entries });
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn a_signature_gets_into_the_record() {
    let home = Home::new();
    let layout = home.path("layout");
    signed_layout(&layout);
    let reference = format!("oci:{}:1", layout.display());
    let key = vectors().join("p256.pub").display().to_string();
    let before = home.json(&["image", "pull", &reference, "--name", "app", "--no-inject"]);
    assert!(before["signatures"].is_null());
    let pull = |more: &[&str]| {
        let words = ["image", "pull", &reference, "--name", "app", "--no-inject"];
        home.json(&[&words[..], more].concat())
    };
    let pulled = pull(&["--verify-key", &key]);
    assert_eq!(pulled["unchanged"], false, "the record lacked the signature");
    let signature = &pulled["signatures"][0];
    assert_eq!(signature["digest"], pulled["digest"]);
    assert_eq!(signature["identity"], "registry.example/team/app");
    assert_eq!(signature["found_by"], "tag");
    let der = tools::run(
        tools::command("openssl").unwrap().args(["pkey", "-pubin", "-outform", "DER", "-in", &key]),
    );
    assert_eq!(signature["key"], banger::Digest::of(&der.stdout).to_string());
    assert_eq!(pull(&["--verify-key", &key])["unchanged"], true);
    assert_eq!(pull(&[])["unchanged"], true);
    let shown = home.run(["image", "show", "app"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("registry.example/team/app") && shown.contains("(found by tag)"), "{shown}");
}

#[test]
fn an_untrusted_image_leaves_nothing() {
    let home = Home::new();
    let layout = home.path("layout");
    signed_layout(&layout);
    let reference = format!("oci:{}:1", layout.display());
    let policy = home.path("policy.json");
    let key = |name: &str| vectors().join(name).display().to_string();
    let refused = |more: &[&str]| {
        let out = home.path("out/app.ext4").display().to_string();
        let words = ["image", "pull", &reference, "--output", &out, "--json"];
        let output = home.banger([&words[..], more].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(home.leftovers(), Vec::<String>::new());
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["error"]["code"].as_u64().unwrap()
    };
    assert_eq!(refused(&["--verify-key", &key("rsa.pub")]), 1221);
    assert_eq!(refused(&["--verify-key", &key("README.md")]), 1229);
    let path = policy.display().to_string();
    for (text, code) in [
        (r#"{"default":[{"type":"reject"}]}"#, 1226),
        (r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}]}"#, 1227),
        (r#"{"default":[{"type":"other"}]}"#, 1228),
    ] {
        std::fs::write(&policy, text).unwrap();
        assert_eq!(refused(&["--policy", &path]), code, "{text}");
    }
    assert_eq!(refused(&["--policy", &path, "--verify-key", &key("p256.pub")]), 509);
}

#[test]
fn referrers_lie_beside_the_image() {
    let home = Home::new();
    let layout = home.path("layout");
    signed_layout(&layout);
    // An artifact that refers to the image.
    let blobs = layout.join("blobs/sha256");
    let put = |bytes: &[u8]| {
        let digest = banger::Digest::of(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": "application/spdx+json", "digest": digest, "size": bytes.len() })
    };
    let image = std::fs::read(vectors().join("image/manifests/1")).unwrap();
    let (empty, sbom, subject) = (put(b"{}"), put(b"{\"spdx\":1}"), put(&image));
    let artifact = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/spdx+json", "config": empty, "layers": [sbom], "subject": subject,
    });
    let mut entry = put(artifact.to_string().as_bytes());
    entry["mediaType"] = artifact["mediaType"].clone();
    entry["artifactType"] = "application/spdx+json".into();
    let mut index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    index["manifests"].as_array_mut().unwrap().push(entry.clone());
    std::fs::write(layout.join("index.json"), index.to_string()).unwrap();

    let reference = format!("oci:{}:1", layout.display());
    let plain = home.json(&["image", "pull", &reference, "--name", "app", "--no-inject"]);
    assert!(plain["referrers"].is_null() && plain["referrers_path"].is_null());
    let words = ["image", "pull", &reference, "--name", "app", "--no-inject", "--referrers"];
    let pulled = home.json(&words);
    assert_eq!(pulled["unchanged"], false, "the record lacked the referrers");
    assert_eq!(home.json(&words)["unchanged"], true);
    let [found] = &pulled["referrers"].as_array().unwrap()[..] else { panic!("{pulled}") };
    assert_eq!((&found["digest"], &found["subject"]), (&entry["digest"], &pulled["digest"]));
    home.run(["image", "clone", "app", "copy"]);
    for name in ["app", "copy"] {
        let shown = home.json(&["image", "show", name]);
        let beside = PathBuf::from(shown["referrers_path"].as_str().unwrap());
        let index: Value =
            serde_json::from_slice(&std::fs::read(beside.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], entry["digest"]);
        for descriptor in [&entry, &sbom, &empty] {
            let hex = descriptor["digest"].as_str().unwrap().split(':').next_back().unwrap();
            let copy = std::fs::read(beside.join("blobs/sha256").join(hex)).unwrap();
            assert_eq!(copy, std::fs::read(blobs.join(hex)).unwrap());
        }
    }
    let shown = String::from_utf8(home.run(["image", "show", "app"]).stdout).unwrap();
    assert!(shown.contains("application/spdx+json: sha256:"), "{shown}");
    home.run(["image", "rm", "app", "copy"]);
    assert_eq!(home.leftovers(), Vec::<String>::new());
}

#[test]
fn images_are_pruned_but_for_those_that_are_kept_or_used() {
    let home = Home::new();
    let tar = home.path("a.tar");
    std::fs::write(&tar, LayerBuilder::new().file("a", "x").finish()).unwrap();
    let file = home.path("out/a.ext4").display().to_string();
    home.run(["rootfs", "build", tar.to_str().unwrap(), &file, "--size", "16M"]);
    for name in ["one", "two", "three"] {
        home.run(["image", "register", "--rootfs", &file, "--name", name]);
    }
    let refused = |words: &[&str]| {
        let output = home.banger([&["image", "prune", "--json"][..], words].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"]["code"].as_u64().unwrap()
    };
    refused(&[]);
    assert_eq!(refused(&["--keep", "one", "--keep", "tow"]), 400, "a wrong name removes nothing");
    let names = |document: &Value, list: &str| {
        let rows = document[list].as_array().unwrap().iter();
        let mut names: Vec<String> = rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&home.json(&["image", "prune", "--older-than", "1d"]), "removed"), Vec::<String>::new());
    let dry = home.json(&["image", "prune", "--keep", "one", "--dry-run"]);
    assert_eq!(
        (names(&dry, "removed"), &dry["dry_run"]),
        (vec!["three".to_owned(), "two".to_owned()], &json!(true))
    );
    let store = banger::ImageStore::new(home.path("state/banger").to_str().unwrap().into());
    let lease = store.open("two", &banger::Cancellation::new()).unwrap();
    let pruned = home.json(&["image", "prune", "--keep", "one"]);
    assert_eq!(names(&pruned, "removed"), ["three"]);
    assert_eq!((names(&pruned, "in_use"), &pruned["kept"]), (vec!["two".to_owned()], &json!(1)));
    assert!(lease.path.exists());
    drop(lease);
    assert_eq!(names(&home.json(&["image", "prune", "--all"]), "removed"), ["one", "two"]);
    assert!(home.json(&["image", "list"])["images"].as_array().unwrap().is_empty());
}
