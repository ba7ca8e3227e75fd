//! Pulls from layouts and archives.

use std::io::{Read as _, Write as _};

use banger_oci::{Digest, PullError};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use crate::pull_support::*;

/// Writes an entry of a tar; `kind` is its type flag.
fn entry(tar: &mut Vec<u8>, name: &str, kind: u8, link: &str, data: &[u8]) {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", data.len()).as_bytes());
    header[156] = kind;
    header[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header[257..263].copy_from_slice(b"ustar\0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(&header);
    tar.extend_from_slice(data);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

pub(crate) fn write_layout(dir: &Utf8Path, store: &Store, index: &serde_json::Value) {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    let manifests = store.manifests.values().map(|(_, bytes)| bytes);
    for bytes in store.blobs.values().chain(manifests) {
        std::fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
    }
}

pub(crate) fn compressed(tar: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(tar).unwrap();
    let zstd = zstd::encode_all(tar, 1).unwrap();
    [("a.tar", tar.to_vec()), ("a.tar.gz", gzip.finish().unwrap()), ("a.tar.zst", zstd)]
}

#[test]
fn layouts_by_tag_digest_and_alone() {
    let mut store = Store::default();
    let (one, two) = (vec![noise(1, 100)], vec![noise(2, 100)]);
    let mut add = |tag: &str, layers: &[Vec<u8>]| {
        let (_, mut descriptor) = store.image(None, "linux/amd64", layers);
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        descriptor
    };
    let (first, second) = (add("one", &one), add("example.com/x:two", &two));
    let bench = Bench::new();
    let dir = bench.path().join("layout");
    write_layout(&dir, &store, &json!({ "schemaVersion": 2, "manifests": [first, second] }));
    assert_eq!(bench.read(&format!("oci:{dir}:one")).unwrap(), one);
    assert_eq!(bench.read(&format!("oci:{dir}:two")).unwrap(), two);
    let digest = second["digest"].as_str().unwrap();
    assert_eq!(bench.read(&format!("oci:{dir}@{digest}")).unwrap(), two);
    let error = bench.pull(&format!("oci:{dir}:three")).unwrap_err();
    assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
    assert!(error.to_string().contains("one"), "{error}");
    let error = bench.pull(&format!("oci:{dir}")).unwrap_err();
    assert!(matches!(&error, PullError::Ambiguous { count: 2, .. }), "{error}");
    assert!(error.to_string().contains("example.com/x:two"), "{error}");
    write_layout(&dir, &store, &json!({ "schemaVersion": 2, "manifests": [first] }));
    assert_eq!(bench.read(&format!("oci:{dir}")).unwrap(), one);
    assert!(bench.cache.list().unwrap().is_empty(), "local images are not copied");
    let mut evil = first.clone();
    evil["annotations"] = json!({ "org.opencontainers.image.ref.name": EVIL });
    write_layout(&dir, &store, &json!({ "schemaVersion": 2, "manifests": [evil] }));
    assert_one_line(&bench.pull(&format!("oci:{dir}:three")).unwrap_err());
    write_layout(&dir, &store, &json!({ "schemaVersion": 2, "manifests": [first] }));

    let blob = dir.join("blobs/sha256").join(Digest::of(&one[0]).hex());
    std::fs::write(&blob, noise(3, 100)).unwrap();
    let error = bench.read(&format!("oci:{dir}")).unwrap_err();
    assert!(matches!(&error, PullError::Mismatch { digest, .. } if *digest == Digest::of(&one[0])));
    assert!(blob.exists(), "a layout is not ours to repair");
}

#[test]
fn archives_of_layouts_in_every_compression() {
    let mut store = Store::default();
    let layers = vec![noise(1, 100_000), noise(2, 5)];
    let (_, descriptor) = store.image(None, "linux/amd64", &layers);
    let mut tar = Vec::new();
    entry(&mut tar, "./oci-layout", b'0', "", b"{}");
    entry(&mut tar, "../../escape", b'0', "", b"x");
    entry(&mut tar, "blobs/", b'5', "", b"");
    let index = json!({ "schemaVersion": 2, "manifests": [descriptor] }).to_string();
    for bytes in store.blobs.values().chain(store.manifests.values().map(|(_, bytes)| bytes)) {
        let name = format!("blobs/sha256/{}", Digest::of(bytes).hex());
        let record = format!(" path={name}\n");
        // The name comes in a pax record, as for long ones.
        let len = record.len() + 2;
        let len = if len >= 100 { len + 1 } else { len };
        entry(&mut tar, "pax", b'x', "", format!("{len}{record}").as_bytes());
        entry(&mut tar, "short", b'0', "", bytes);
    }
    entry(&mut tar, "index.json", b'0', "", index.as_bytes());
    tar.extend_from_slice(&[0; 1024]);
    let bench = Bench::new();
    for (name, bytes) in compressed(&tar) {
        let file = bench.path().join(name);
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(bench.read(&format!("oci-archive:{file}")).unwrap(), layers, "{name}");
        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let error = bench.pull(&format!("oci-archive:{file}")).unwrap_err();
        assert!(matches!(&error, PullError::Layout { .. }), "{name}: {error}");
    }
    assert!(!bench.path().parent().unwrap().join("escape").exists());
}

#[test]
fn docker_archives_with_links() {
    let mut store = Store::default();
    let layers = vec![noise(1, 3000), noise(2, 700), noise(1, 3000)];
    let config = store.config("linux/amd64", &layers);
    let config = &store.blobs[config["digest"].as_str().unwrap()];
    let build = |first: &str, kind: u8, link: &str| {
        let mut tar = Vec::new();
        entry(&mut tar, "a/layer.tar", b'0', "", &layers[0]);
        entry(&mut tar, "b/layer.tar", b'0', "", &layers[1]);
        entry(&mut tar, "c/layer.tar", kind, link, b"");
        entry(&mut tar, "config.json", b'0', "", config);
        let manifest = json!([{ "Config": "config.json", "RepoTags": ["x/y:1"],
            "Layers": [first, "b/layer.tar", "c/layer.tar"] }]);
        entry(&mut tar, "manifest.json", b'0', "", manifest.to_string().as_bytes());
        tar.extend_from_slice(&[0; 1024]);
        tar
    };
    let bench = Bench::new();
    let file = bench.path().join("d.tar");
    for (kind, link) in [(b'2', "../a/layer.tar"), (b'1', "a/layer.tar")] {
        for (name, bytes) in compressed(&build("a/layer.tar", kind, link)) {
            std::fs::write(&file, bytes).unwrap();
            for suffix in ["", ":1", ":x/y:1"] {
                let found = bench.read(&format!("docker-archive:{file}{suffix}")).unwrap();
                assert_eq!(found, layers, "{name}{suffix}");
            }
        }
    }
    let secret = bench.path().join("secret");
    std::fs::write(&secret, &layers[0]).unwrap();
    for (first, kind, link) in [
        ("a/layer.tar", b'2', "../../secret"),
        ("a/layer.tar", b'2', secret.as_str()),
        ("a/layer.tar", b'2', "layer.tar"),
        ("../secret", b'1', "a/layer.tar"),
        (secret.as_str(), b'1', "a/layer.tar"),
    ] {
        std::fs::write(&file, build(first, kind, link)).unwrap();
        let error = bench.pull(&format!("docker-archive:{file}")).unwrap_err();
        assert!(matches!(&error, PullError::Layout { .. }), "{first} {link}: {error}");
    }
}

#[test]
fn b29_documents_of_archives_have_a_largest_size() {
    let layers = [noise(1, 3000)];
    let mut store = Store::default();
    let config = store.config("linux/amd64", &layers);
    let config = &store.blobs[config["digest"].as_str().unwrap()];
    let mut tar = Vec::new();
    entry(&mut tar, "layer.tar", b'0', "", &layers[0]);
    entry(&mut tar, "config.json", b'0', "", config);
    let manifest = json!([{ "Config": "config.json", "RepoTags": null, "Layers": ["layer.tar"] }]);
    entry(&mut tar, "manifest.json", b'0', "", manifest.to_string().as_bytes());
    tar.extend_from_slice(&[0; 1024]);
    let mut bench = Bench::new();
    let file = bench.path().join("d.tar");
    std::fs::write(&file, tar).unwrap();
    let defaults = bench.options.clone();
    for (options, named) in [
        (defaults.clone().with_max_manifest_bytes(10), "max_manifest_bytes"),
        (defaults.with_max_config_bytes(10), "max_config_bytes"),
    ] {
        bench.options = options;
        let error = bench.pull(&format!("docker-archive:{file}")).unwrap_err();
        assert!(matches!(&error, PullError::TooLarge { setting, .. } if setting.0 == named), "{error}");
    }
}

#[test]
fn names_in_docker_archives_stay_on_their_line() {
    let bench = Bench::new();
    let file = bench.path().join("d.tar");
    let modern = json!([{ "Config": "c", "RepoTags": [EVIL], "Layers": [] }]);
    for (name, document) in [("manifest.json", modern), ("repositories", json!({ EVIL: { EVIL: "top" } }))] {
        let mut tar = Vec::new();
        entry(&mut tar, name, b'0', "", document.to_string().as_bytes());
        tar.extend_from_slice(&[0; 1024]);
        std::fs::write(&file, tar).unwrap();
        assert_one_line(&bench.pull(&format!("docker-archive:{file}:3")).unwrap_err());
    }
}

#[test]
fn docker_archives_of_the_old_kind() {
    let layers = [noise(1, 3000), noise(2, 700)];
    let mut tar = Vec::new();
    entry(&mut tar, "base/layer.tar", b'0', "", &layers[0]);
    entry(&mut tar, "base/json", b'0', "", br#"{"id":"base"}"#);
    entry(&mut tar, "top/layer.tar", b'0', "", &layers[1]);
    let top = r#"{"id":"top","parent":"base","os":"linux","architecture":"amd64","config":{"Cmd":["x"]}}"#;
    entry(&mut tar, "top/json", b'0', "", top.as_bytes());
    entry(&mut tar, "repositories", b'0', "", br#"{"r":{"1":"top"}}"#);
    tar.extend_from_slice(&[0; 1024]);
    let bench = Bench::new();
    let file = bench.path().join("old.tar");
    std::fs::write(&file, tar).unwrap();
    assert_eq!(bench.read(&format!("docker-archive:{file}:1")).unwrap(), layers);
    let image = bench.pull(&format!("docker-archive:{file}")).unwrap();
    assert_eq!(image.config.config.cmd, ["x"]);
    let again = bench.pull(&format!("docker-archive:{file}")).unwrap();
    assert_eq!(image.digest, again.digest);
}

/// The directory with images made by others, where there is one.
fn images() -> Option<Utf8PathBuf> {
    let dir = match std::env::var("BANGER_TEST_IMAGES_DIR") {
        Ok(dir) => Utf8PathBuf::from(dir),
        Err(_) => Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/images"),
    };
    if !dir.is_dir() {
        println!("skipped: no directory {dir} with real images");
        return None;
    }
    Some(dir)
}

#[test]
fn real_images_match_their_digests() {
    let Some(dir) = images() else { return };
    for (reference, platform) in [
        (format!("oci-archive:{dir}/busybox.oci.tar:1.38"), "linux/amd64"),
        (format!("oci-archive:{dir}/alpine-3.20.oci.tar:3.20"), "linux/amd64"),
        (format!("oci-archive:{dir}/alpine-3.20.oci.tar"), "linux/s390x"),
        (format!("docker-archive:{dir}/alpine-3.11.docker.tar.gz"), "linux/amd64"),
    ] {
        let mut bench = Bench::new();
        bench.options.platform = Some(platform.parse().unwrap());
        let image = bench.pull(&reference).unwrap();
        assert_eq!(image.platform.to_string(), platform);
        for layer in &image.layers {
            let mut tar = banger_oci::decompress::decompressor(layer.open().unwrap()).unwrap();
            let mut bytes = Vec::new();
            tar.read_to_end(&mut bytes).unwrap();
            assert_eq!(Digest::of(&bytes), layer.diff_id, "{reference}");
        }
        image.finish().unwrap();
    }
}
