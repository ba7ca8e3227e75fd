//! `--verify-key` and `--policy`.

use std::path::{Path, PathBuf};

use banger_testkit::{KernelBuilder, LayerBuilder, require, tools};
use base64::Engine as _;
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

/// Signs the image or bundle `subject` of a layout as cosign does, with a new key; returns the file of the public key.
fn sign(openssl: &dyn Fn() -> std::process::Command, home: &Home, layout: &Path, subject: &str) -> String {
    let (private, public) = (home.path("signer.pem"), home.path("signer.pub").display().to_string());
    let words = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"];
    tools::run(openssl().args(words).arg(&private));
    tools::run(openssl().args(["pkey", "-pubout", "-in"]).arg(&private).args(["-out", &public]));
    let payload = json!({ "critical": {
        "identity": { "docker-reference": "" },
        "image": { "docker-manifest-digest": subject },
        "type": "cosign container image signature",
    }, "optional": null });
    std::fs::write(home.path("payload"), payload.to_string()).unwrap();
    let signed =
        tools::run(openssl().args(["dgst", "-sha256", "-sign"]).arg(&private).arg(home.path("payload")));
    let signature = base64::engine::general_purpose::STANDARD.encode(signed.stdout);
    let put = |bytes: &[u8], media_type: &str| {
        let digest = banger::Digest::of(bytes);
        std::fs::write(layout.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let config = put(b"{}", "application/vnd.oci.image.config.v1+json");
    let mut layer = put(payload.to_string().as_bytes(), "application/vnd.dev.cosign.simplesigning.v1+json");
    layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
    let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
    let mut entry = put(manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
    entry["annotations"] = json!({ TAG: format!("{}.sig", subject.replace(':', "-")) });
    let path = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    index["manifests"].as_array_mut().unwrap().push(entry);
    std::fs::write(&path, index.to_string()).unwrap();
    public
}

#[test]
fn kernels_are_checked_too() {
    require!(tools::command("openssl"));
    let openssl = || tools::command("openssl").unwrap();
    let home = Home::new();
    let kernel = home.path("Image").display().to_string();
    std::fs::write(&kernel, KernelBuilder::new("6.1.0-test").arm64_image()).unwrap();
    home.run(["kernel", "import", &kernel, "--name", "arm"]);
    let layout = home.path("bundle");
    let packed = home.json(&["kernel", "pack", "arm", layout.to_str().unwrap(), "--tag", "1"]);
    home.run(["kernel", "rm", "arm"]);
    let reference = format!("oci:{}:1", layout.display());
    let refused = |words: &[String]| {
        let output = home.banger(words).arg("--json").output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{document}");
        assert_eq!(home.leftovers(), Vec::<String>::new());
        document["error"]["code"].as_u64().unwrap()
    };
    let other = vectors().join("p256.pub").display().to_string();
    let words = |command: &'static str, key: &str| {
        let words = ["kernel", command, &reference, "--platform", "linux/arm64", "--verify-key", key];
        words.map(str::to_owned)
    };
    for command in ["pull", "import"] {
        assert_eq!(refused(&words(command, &other)), 1220, "{command}");
    }
    let key = sign(&openssl, &home, &layout, packed["kernels"][0]["digest"].as_str().unwrap());
    for command in ["pull", "import"] {
        assert_eq!(refused(&words(command, &other)), 1221, "{command}");
        home.run(words(command, &key).iter().map(String::as_str).chain(["--name", command]));
        home.run(["kernel", "rm", command]);
    }
    // Nobody can have signed these.
    for source in [kernel.as_str(), "host", "https://127.0.0.1:1/linux.deb", "image:app"] {
        let output =
            home.banger(["kernel", "import", source, "--verify-key", &key, "--json"]).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["error"]["code"], 502, "{source}: {document}");
    }
}

#[test]
fn machines_start_from_trusted_images_only() {
    let home = Home::new();
    let layout = home.path("layout");
    signed_layout(&layout);
    let reference = format!("oci:{}:1", layout.display());
    let key = |name: &str| vectors().join(name).display().to_string();
    let refused = |image: &str, key: &str| {
        let output = home.banger(["vm", "run", image, "--verify-key", key]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(home.leftovers(), Vec::<String>::new());
        String::from_utf8(output.stderr).unwrap()
    };
    let told = refused(&reference, &key("rsa.pub"));
    assert!(told.contains("did not make it"), "{told}");
    home.run(["image", "pull", &reference, "--name", "app", "--no-inject"]);
    let output = home.banger(["vm", "run", "app", "--verify-key", &key("p256.pub")]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("signatures are checked when an image is pulled"), "{told}");
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
    let problems = |name: &str| {
        let output = home.banger(["image", "verify", name, "--json"]).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let problems = document["images"][0]["problems"].as_array().unwrap().clone();
        assert_eq!(output.status.success(), problems.is_empty(), "{document}");
        problems
    };
    let shown = home.json(&["image", "show", "copy"]);
    let beside = PathBuf::from(shown["referrers_path"].as_str().unwrap());
    assert!(problems("copy").is_empty());
    for descriptor in [&entry, &sbom, &empty] {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = beside.join("blobs/sha256").join(digest.split(':').next_back().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        // The images share the file.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"other").unwrap();
        let found = problems("copy");
        assert_eq!(found.len(), 1);
        let expected = format!("{digest} of the referrers has the digest {}", banger::Digest::of(b"other"));
        assert_eq!(found[0], expected);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(problems("copy"), [format!("{digest} of the referrers is missing")]);
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!((problems("copy"), problems("app")), (Vec::new(), Vec::new()));
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
