//! Documents that Go's tools take, those that nobody should, and what they may cost.

use banger_oci::digest::{Algorithm, Hasher};
use banger_oci::manifest::Manifest;
use banger_oci::{Digest, PullError};
use banger_tree::{Budget, Cost};
use serde_json::{Value, json};

use crate::pull_local::write_layout;
use crate::pull_support::*;

/// Pulls the layout with this index and this image; returns its one layer.
struct OneImage {
    bench: Bench,
    store: Store,
    layer: Vec<u8>,
}

impl OneImage {
    fn new() -> Self {
        Self { bench: Bench::new(), store: Store::default(), layer: noise(7, 100) }
    }

    fn config(&self) -> Value {
        json!({ "os": "linux", "architecture": "amd64", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&self.layer)] } })
    }

    /// The manifest around a configuration.
    fn manifest(&mut self, config: &[u8]) -> Value {
        let digest = self.store.blob(config);
        let layer = self.layer.clone();
        json!({ "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": digest, "size": config.len() },
            "layers": [{ "mediaType": LAYER, "digest": self.store.blob(&layer), "size": layer.len() }] })
    }

    fn pull_index(&self, index: &Value) -> Result<(), PullError> {
        let dir = self.bench.path().join("layout");
        let _old = std::fs::remove_dir_all(&dir);
        write_layout(&dir, &self.store, index);
        let layers = self.bench.read(&format!("oci:{dir}"))?;
        assert_eq!(layers, std::slice::from_ref(&self.layer));
        Ok(())
    }

    /// Pulls the image with this manifest, as text.
    fn pull_manifest(&mut self, manifest: &[u8]) -> Result<(), PullError> {
        let digest = Digest::of(manifest);
        self.store.manifests.insert(digest.to_string(), (MANIFEST.to_owned(), manifest.to_vec()));
        let entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": manifest.len() });
        self.pull_index(&json!({ "schemaVersion": 2, "manifests": [entry] }))
    }

    fn pull_config(&mut self, config: &[u8]) -> Result<(), PullError> {
        let manifest = self.manifest(config).to_string();
        self.pull_manifest(manifest.as_bytes())
    }
}

/// `document` with `field` replaced by the text `value`.
fn with(document: &Value, field: &str, value: &str) -> Vec<u8> {
    let mut document = document.clone();
    document[field] = "@@".into();
    document.to_string().replace("\"@@\"", value).into_bytes()
}

#[test]
fn b42_types_of_configurations_that_say_nothing_are_taken() {
    for (media_type, taken) in [
        ("application/octet-stream", true),
        ("application/json", true),
        ("text/html", true),
        ("text/html; charset=utf-8", true),
        ("binary/octet-stream", true),
        ("", true),
        ("application/vnd.oci.image.config.v1+JSON", true),
        ("application/vnd.oci.empty.v1+json", false),
        ("application/vnd.cncf.helm.config.v1+json", false),
        ("application/vnd.docker.plugin.v1+json", false),
    ] {
        let mut image = OneImage::new();
        let config = image.config().to_string();
        let mut manifest = image.manifest(config.as_bytes());
        manifest["config"]["mediaType"] = media_type.into();
        match image.pull_manifest(manifest.to_string().as_bytes()) {
            Ok(()) => assert!(taken, "{media_type}"),
            Err(error) => assert!(!taken && matches!(error, PullError::NotAnImage { .. }), "{error}"),
        }
    }
}

#[test]
fn b41_entries_of_others_are_passed_over() {
    let hex = |len: usize| "a".repeat(len);
    let sound = format!("sha256:{}", hex(64));
    let others = [
        json!({ "digest": sound, "size": 5, "mediaType": MANIFEST, "platform": { "architecture": "wasm" } }),
        json!({ "digest": sound, "size": 5, "mediaType": MANIFEST, "platform": {} }),
        json!({ "digest": sound, "size": 5, "mediaType": MANIFEST, "platform": { "os": 5, "architecture": [] } }),
        json!({ "digest": sound, "size": 5, "mediaType": MANIFEST, "platform": "linux/amd64" }),
        json!({ "digest": format!("blake3:{}", hex(64)), "size": 5, "mediaType": MANIFEST }),
        json!({ "digest": format!("sha384:{}", hex(96)), "size": 5, "mediaType": MANIFEST }),
        json!({ "digest": "sha256:../../x", "size": 5, "mediaType": MANIFEST }),
        json!({ "digest": null, "size": 5, "mediaType": MANIFEST }),
        json!({ "digest": sound, "size": 5.5, "mediaType": MANIFEST }),
        json!({ "digest": sound, "size": -5, "mediaType": MANIFEST }),
        json!({ "digest": sound, "mediaType": MANIFEST }),
        json!({ "digest": sound, "size": 5, "mediaType": 5, "platform": { "os": "x", "architecture": "y" } }),
        json!({ "digest": sound, "size": 5, "mediaType": "text/html" }),
        json!({ "digest": sound, "size": 5, "mediaType": "application/vnd.x", "platform": null }),
        json!(null),
        json!([]),
        json!({}),
        json!("x"),
        json!(5.5),
        json!(true),
    ];
    for other in &others {
        for nested in [false, true] {
            let mut image = OneImage::new();
            let config = image.config().to_string();
            let manifest = image.manifest(config.as_bytes());
            let mut entry = image.store.manifest(None, MANIFEST, &manifest);
            entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
            let mut index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [other, entry] });
            if nested {
                let entry = image.store.manifest(None, INDEX, &index);
                index = json!({ "schemaVersion": 2, "manifests": [entry] });
            }
            image.pull_index(&index).unwrap_or_else(|error| panic!("{other}: {error}"));
        }
        // Alone, it is what the error is about.
        let image = OneImage::new();
        let error = image.pull_index(&json!({ "schemaVersion": 2, "manifests": [other] })).unwrap_err();
        assert_one_line(&error);
    }
    // A platform that says nothing counts where nothing else does.
    let mut image = OneImage::new();
    let config = image.config().to_string();
    let manifest = image.manifest(config.as_bytes());
    let mut entry = image.store.manifest(None, MANIFEST, &manifest);
    entry["platform"] = json!({ "os": "", "architecture": "" });
    image.pull_index(&json!({ "schemaVersion": 2, "manifests": [entry] })).unwrap();
}

#[test]
fn b48_configurations_that_go_takes_are_taken() {
    let image = OneImage::new();
    let config = image.config();
    let mut texts = vec![
        with(&config, "history", r#"[{"created_by":"x","empty_layer":null}]"#),
        with(&config, "history", "[null]"),
        with(&config, "history", r#"{"a":1}"#),
        with(&config, "config", r#"{"Labels":{"a":null,"b":5}}"#),
        with(&config, "config", r#"{"Labels":{"a":"1","a":"2"},"x":1,"x":2}"#),
        with(&config, "config", "null"),
        with(&config, "history", r#"[{"created_by":"\ud800"}]"#),
        with(&config, "history", "123456789012345678901234567890"),
        with(&config, "history", "1e400"),
        with(&config, "history", &format!("{}{}", "[".repeat(9_990), "]".repeat(9_990))),
    ];
    let latin1 = with(&config, "history", r#"[{"created_by":"cafX"}]"#);
    texts.push(latin1.iter().map(|byte| if *byte == b'X' { 0xe9 } else { *byte }).collect());
    texts.push(texts[texts.len() - 1].iter().copied().chain(*b" \r\n\t").collect());
    for text in texts {
        let name = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        OneImage::new().pull_config(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn b48_manifests_that_go_takes_are_taken() {
    let mut image = OneImage::new();
    let config = image.config().to_string();
    let manifest = image.manifest(config.as_bytes());
    let without = |field: &str| {
        let mut manifest = manifest.clone();
        manifest.as_object_mut().unwrap().remove(field);
        manifest.to_string().into_bytes()
    };
    for text in [
        with(&manifest, "annotations", r#"{"a":null,"b":{}}"#),
        with(&manifest, "annotations", "null"),
        with(&manifest, "annotations", "[]"),
        with(&manifest, "manifests", "null"),
        with(&manifest, "subject", "5"),
        with(&manifest, "mediaType", "\"\""),
        with(&manifest, "mediaType", "null"),
        with(&manifest, "schemaVersion", "null"),
        without("schemaVersion"),
        without("mediaType"),
    ] {
        let name = String::from_utf8_lossy(&text).into_owned();
        image.pull_manifest(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for (field, value) in [
        ("schemaVersion", "3"),
        ("schemaVersion", "\"2\""),
        ("schemaVersion", "2.0"),
        ("mediaType", "5"),
        ("config", "null"),
        ("config", "[]"),
        ("layers", r#"[["application/vnd.oci.image.layer.v1.tar"]]"#),
        ("layers", "{}"),
        ("layers", "[null]"),
        ("manifests", "[]"),
        ("config", r#"{"digest":"sha384:00","size":1}"#),
    ] {
        let error = image.pull_manifest(&with(&manifest, field, value)).unwrap_err();
        assert!(matches!(error, PullError::Malformed { .. }), "{field} {value}: {error}");
    }
    // A size that is none, in the field that is used.
    for size in ["5.0", "-1", "1e2", "null", "\"100\"", "123456789012345678901234567890"] {
        let text = manifest.to_string().replace("\"size\":100", &format!("\"size\":{size}"));
        let error = image.pull_manifest(text.as_bytes()).unwrap_err();
        assert!(matches!(error, PullError::Malformed { .. }), "{size}: {error}");
    }
    // Two answers to one question: nobody may be shown another image than the one that was checked.
    for text in [r#","layers":[]}"#, r#","config":{}}"#, r#","mediaType":""}"#, r#"} {}"#, "}\0"] {
        let doubled = manifest.to_string().trim_end_matches('}').to_owned() + text;
        assert!(image.pull_manifest(doubled.as_bytes()).is_err(), "{text}");
    }
    let marked = [b"\xef\xbb\xbf", manifest.to_string().as_bytes()].concat();
    let error = image.pull_manifest(&marked).unwrap_err();
    assert!(error.to_string().contains("byte order mark"), "{error}");
}

#[test]
fn b48_an_index_needs_nothing_but_its_entries() {
    let mut image = OneImage::new();
    let config = image.config().to_string();
    let manifest = image.manifest(config.as_bytes());
    let entry = image.store.manifest(None, MANIFEST, &manifest);
    for (field, value) in [
        ("schemaVersion", json!(null)),
        ("mediaType", json!("")),
        ("annotations", json!([])),
        ("x", json!(1.5)),
    ] {
        let mut index = json!({ "schemaVersion": 2, "manifests": [entry.clone()] });
        index[field] = value;
        image.pull_index(&index).unwrap_or_else(|error| panic!("{field}: {error}"));
    }
    image.pull_index(&json!({ "manifests": [entry.clone()] })).unwrap();
    for manifests in [json!(null), json!([])] {
        let error = image.pull_index(&json!({ "manifests": manifests })).unwrap_err();
        assert!(matches!(error, PullError::UnknownImage { .. }), "{error}");
    }
}

#[test]
fn b33_types_of_one_kind_may_differ_and_of_two_not() {
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    for (own, declared, taken) in [
        (MANIFEST, docker, true),
        (docker, MANIFEST, true),
        (MANIFEST, INDEX, false),
        (MANIFEST, list, false),
        (INDEX, MANIFEST, false),
        (list, docker, false),
    ] {
        let mut image = OneImage::new();
        let config = image.config().to_string();
        let mut manifest = image.manifest(config.as_bytes());
        manifest["mediaType"] = own.into();
        let entry = image.store.manifest(None, declared, &manifest);
        let outcome = image.pull_index(&json!({ "schemaVersion": 2, "manifests": [entry] }));
        match outcome {
            Ok(()) => assert!(taken, "{own} {declared}"),
            Err(error) => assert!(!taken && matches!(error, PullError::Malformed { .. }), "{own}: {error}"),
        }
        if taken {
            let pulled = image.bench.pull(&format!("oci:{}/layout", image.bench.path())).unwrap();
            assert!(pulled.warnings[0].contains(docker), "{:?}", pulled.warnings);
        }
    }
    // A server that says nothing about what it serves.
    let mut image = OneImage::new();
    let config = image.config().to_string();
    let manifest = image.manifest(config.as_bytes()).to_string();
    for declared in ["", "binary/octet-stream", "application/octet-stream", "text/plain; charset=utf-8"] {
        assert!(Manifest::parse(manifest.as_bytes(), Some(declared), "it").is_ok(), "{declared}");
    }
}

#[test]
fn b32_digests_of_both_kinds_lead_to_blobs() {
    let digest = |bytes: &[u8]| {
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(bytes);
        hasher.finish()
    };
    let bench = Bench::new();
    let dir = bench.path().join("layout");
    write_layout(&dir, &Store::default(), &json!({}));
    std::fs::create_dir(dir.join("blobs/sha512")).unwrap();
    let blob = |bytes: &[u8], media_type: &str| {
        std::fs::write(dir.join("blobs/sha512").join(digest(bytes).hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
    };
    let layer = noise(3, 1000);
    let config = json!({ "os": "linux", "architecture": "amd64",
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] } });
    let manifest = json!({ "schemaVersion": 2, "config": blob(config.to_string().as_bytes(), CONFIG),
        "layers": [blob(&layer, LAYER)] });
    let entry = blob(manifest.to_string().as_bytes(), MANIFEST);
    std::fs::write(dir.join("index.json"), json!({ "manifests": [entry] }).to_string()).unwrap();
    let name = entry["digest"].as_str().unwrap();
    for reference in [format!("oci:{dir}"), format!("oci:{dir}@{name}")] {
        assert_eq!(bench.read(&reference).unwrap(), std::slice::from_ref(&layer), "{reference}");
    }
    std::fs::write(dir.join("blobs/sha512").join(digest(&layer).hex()), noise(4, 1000)).unwrap();
    let error = bench.read(&format!("oci:{dir}")).unwrap_err();
    assert!(matches!(error, PullError::Mismatch { .. }), "{error}");
}

#[test]
fn encrypted_layers_are_called_that() {
    for media_type in [
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/vnd.oci.image.layer.v1.tar+encrypted",
        "application/vnd.oci.image.layer.v1.tar+zstd+encrypted",
    ] {
        let mut image = OneImage::new();
        let config = image.config().to_string();
        let mut manifest = image.manifest(config.as_bytes());
        manifest["layers"][0]["mediaType"] = media_type.into();
        let error = image.pull_manifest(manifest.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, PullError::NotAnImage { .. }), "{error}");
        assert!(error.to_string().contains("encrypted; decrypt"), "{error}");
    }
}

#[test]
fn b29_layers_of_an_image_are_counted() {
    for (count, taken) in [(512, true), (513, false), (3000, false)] {
        let mut image = OneImage::new();
        let mut config = image.config();
        config["rootfs"]["diff_ids"] = vec![config["rootfs"]["diff_ids"][0].clone(); count].into();
        let mut manifest = image.manifest(config.to_string().as_bytes());
        manifest["layers"] = vec![manifest["layers"][0].clone(); count].into();
        image.store.manifest(None, MANIFEST, &manifest);
        let entry = image.store.manifest(None, MANIFEST, &manifest);
        let dir = image.bench.path().join("layout");
        write_layout(&dir, &image.store, &json!({ "manifests": [entry] }));
        match image.bench.pull(&format!("oci:{dir}")) {
            Ok(pulled) => assert!(taken && pulled.layers.len() == count, "{count}"),
            Err(error) => {
                assert!(!taken && matches!(error, PullError::OverBudget { .. }), "{error}");
                assert!(error.to_string().contains("512 layers"), "{error}");
            }
        }
        image.bench.options.budget = Budget::default().with_limit(Cost::Layers, count as u64);
        assert!(image.bench.pull(&format!("oci:{dir}")).is_ok(), "{count}");
    }
}

#[test]
fn b29_values_in_documents_are_counted() {
    let mut image = OneImage::new();
    let config = image.config();
    // What takes a generic reader more than a hundred bytes for each of its own.
    let nested = format!("{{\"ExposedPorts\":{{\"a\":[{}0]}}}}", "{\"a\":[]},".repeat(400_000));
    let error = image.pull_config(&with(&config, "config", &nested)).unwrap_err();
    assert!(matches!(error, PullError::OverBudget { .. }), "{error}");
    let ports = format!("{{\"ExposedPorts\":{{\"a\":[{}0]}}}}", "{\"a\":[]},".repeat(4_000));
    image.pull_config(&with(&config, "config", &ports)).unwrap();
    image.bench.options.budget = Budget::default().with_limit(Cost::DocumentNodes, 5_000);
    let error = image.pull_config(&with(&config, "config", &ports)).unwrap_err();
    assert!(error.to_string().contains("5000 values in its documents"), "{error}");
}
