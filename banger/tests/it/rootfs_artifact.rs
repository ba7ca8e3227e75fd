//! Finished images that are pushed and pulled as artifacts.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use banger::{
    Cancellation, Error, EventHandler, ImagePushRequest, ImageRecord, pull, pull_to_file, push_image,
};
use banger_oci::Digest;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::fleet::{Fleet, MIB};

/// The layout of an artifact, to spoil it.
struct Layout(Utf8PathBuf);

impl Layout {
    fn of(fleet: &Fleet) -> Self {
        Self(fleet.path.join("artifact"))
    }

    fn blob(&self, digest: &str) -> Utf8PathBuf {
        self.0.join("blobs").join(digest.replace(':', "/"))
    }

    fn read(&self, path: &Utf8Path) -> Value {
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    fn manifest(&self) -> Value {
        let index = self.read(&self.0.join("index.json"));
        self.read(&self.blob(index["manifests"][0]["digest"].as_str().unwrap()))
    }

    fn put(&self, bytes: &[u8]) -> (String, usize) {
        let digest = Digest::of(bytes).to_string();
        fs::write(self.blob(&digest), bytes).unwrap();
        (digest, bytes.len())
    }

    fn set_manifest(&self, manifest: &Value) {
        let (digest, size) = self.put(&serde_json::to_vec(manifest).unwrap());
        let path = self.0.join("index.json");
        let mut index = self.read(&path);
        (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = (json!(digest), json!(size));
        fs::write(path, serde_json::to_vec(&index).unwrap()).unwrap();
    }

    fn set_config(&self, change: impl FnOnce(&mut Value)) {
        let mut manifest = self.manifest();
        let mut config = self.read(&self.blob(manifest["config"]["digest"].as_str().unwrap()));
        change(&mut config);
        let (digest, size) = self.put(&serde_json::to_vec(&config).unwrap());
        (manifest["config"]["digest"], manifest["config"]["size"]) = (json!(digest), json!(size));
        self.set_manifest(&manifest);
    }
}

#[test]
fn a_pushed_image_is_pulled_byte_for_byte() {
    let fleet = Fleet::new();
    let converted = fleet.convert(2);
    let pushed = fleet.push();
    let windows = pushed.windows;
    assert!((12..40).contains(&windows), "{pushed:?}");
    assert_eq!((pushed.sent_blobs, pushed.present_blobs), (windows + 1, 0), "{pushed:?}");
    let pulled = fleet.pull().unwrap();
    assert!(fs::read(&converted.path).unwrap() == fs::read(&pulled.path).unwrap());
    // Holes stay holes.
    let blocks = |path: &Utf8Path| fs::metadata(path).unwrap().blocks();
    assert!(blocks(&pulled.path) <= blocks(&converted.path) + 64);
    assert_eq!(fs::metadata(&pulled.path).unwrap().mode() & 0o777, 0o600);
    let origin = pulled.record.artifact.clone().unwrap();
    assert_eq!((origin.digest, origin.source), (pushed.digest.clone(), converted.record.source.clone()));
    let facts = |record: &ImageRecord| {
        (record.digest.clone(), record.build.clone(), record.config.clone(), record.layers.clone())
    };
    assert_eq!(facts(&pulled.record), facts(&converted.record));
    assert_eq!(pulled.record.source, fleet.target());
    // Again: nothing is sent, nothing is made.
    assert_eq!((fleet.push().sent_blobs, fleet.push().digest), (0, pushed.digest));
    let again = fleet.pull().unwrap();
    assert!(again.unchanged && again.path == pulled.path);
    // To a file of the caller, too.
    let output = fleet.path.join("out.ext4");
    pull_to_file(&fleet.request(), &output, &fleet.second, &EventHandler::none(), &Cancellation::new())
        .unwrap();
    assert!(fs::read(&converted.path).unwrap() == fs::read(&output).unwrap());
}

#[test]
fn a_changed_top_layer_moves_little() {
    let fleet = Fleet::new();
    drop(fleet.convert(2));
    let first = fleet.push();
    drop(fleet.pull().unwrap());
    let converted = fleet.convert(3);
    let second = fleet.push();
    // The 7 MiB of the layer, a window that it shares with others, and metadata, which is compressed well.
    assert!(second.sent_bytes < 12 * MIB as u64, "{second:?}");
    assert!(first.sent_bytes > 35 * MIB as u64, "{first:?}");
    let pulled = fleet.pull().unwrap();
    assert!(!pulled.unchanged && fs::read(&converted.path).unwrap() == fs::read(&pulled.path).unwrap());
}

/// A change of a layout that makes the artifact wrong, and a part of the message.
type Spoiled = (&'static str, fn(&Layout), &'static str);

const SPOILED: &[Spoiled] = &[
    ("a damaged blob", |layout| damage(layout, |bytes| bytes[40] ^= 1), "digest"),
    ("a cut blob", |layout| damage(layout, |bytes| bytes.truncate(50)), "bytes"),
    ("a missing blob", |layout| fs::remove_file(layout.blob(&blob_of(layout, 3))).unwrap(), "lacks the blob"),
    ("two windows with their blobs swapped", swap_blobs, "the window at byte"),
    ("an offset twice", |layout| annotate(layout, 4, "offset", |offsets| offsets[3].clone()), "out of order"),
    (
        "an offset inside a window",
        |layout| annotate(layout, 3, "offset", |_| "4096".into()),
        "overlaps another",
    ),
    (
        "an offset behind the end",
        |layout| annotate(layout, 3, "offset", |_| (1_u64 << 40).to_string()),
        "and the image 134217728",
    ),
    (
        "an offset of 2^63",
        |layout| annotate(layout, 3, "offset", |_| (1_u64 << 63).to_string()),
        "and the image 134217728",
    ),
    (
        "an offset of 2^64",
        |layout| annotate(layout, 3, "offset", |_| "18446744073709551616".into()),
        "not a number",
    ),
    ("a negative offset", |layout| annotate(layout, 3, "offset", |_| "-1048576".into()), "not a number"),
    (
        "an offset between blocks",
        |layout| {
            annotate(layout, 3, "offset", |offsets| (offsets[3].parse::<u64>().unwrap() + 512).to_string())
        },
        "begins at byte",
    ),
    ("a short window", |layout| annotate(layout, 3, "length", |_| "4096".into()), "bytes, not 4096"),
    ("an empty window", |layout| annotate(layout, 3, "length", |_| "0".into()), "has 0 bytes"),
    ("a long window", |layout| annotate(layout, 3, "length", |_| (7 << 20).to_string()), "bytes"),
    (
        "a length of 2^64 - 4096",
        |layout| annotate(layout, 3, "length", |_| (u64::MAX - 4095).to_string()),
        "and the image",
    ),
    (
        "a digest of other bytes",
        |layout| annotate(layout, 3, "digest", |digests| digests[4].clone()),
        "have the digest",
    ),
    ("no digest", |layout| annotate(layout, 3, "digest", |_| "blake3:1".into()), "is no digest"),
    (
        "a digest of another kind",
        |layout| annotate(layout, 3, "digest", |_| Digest::of(b"x").to_string()),
        "is no digest",
    ),
    (
        "a blob of another type",
        |layout| change(layout, 3, |blob| blob["mediaType"] = json!("text/plain")),
        "not of the type",
    ),
    (
        "a window without annotations",
        |layout| change(layout, 3, |blob| blob["annotations"] = json!({})),
        "no annotation",
    ),
    ("a blob that unpacks to more than a window", bomb, "cannot be decompressed"),
    (
        "another size",
        |layout| layout.set_config(|config| config["size_bytes"] = json!(1_u64 << 60)),
        "not possible",
    ),
    (
        "windows of 64 MiB",
        |layout| layout.set_config(|config| config["max_window_bytes"] = json!(64 << 20)),
        "not possible",
    ),
    (
        "windows of nothing",
        |layout| layout.set_config(|config| config["max_window_bytes"] = json!(0)),
        "the window at byte",
    ),
    ("a later version", |layout| layout.set_config(|config| config["version"] = json!(2)), "version 2"),
    ("no record", |layout| layout.set_config(|config| config["record"] = json!(null)), "configuration"),
    ("many windows", many, "more than the"),
];

fn change(layout: &Layout, number: usize, change: impl FnOnce(&mut Value)) {
    let mut manifest = layout.manifest();
    change(&mut manifest["layers"][number]);
    layout.set_manifest(&manifest);
}

fn annotation(name: &str) -> String {
    format!("dev.banger.window.{name}")
}

fn annotate(layout: &Layout, number: usize, name: &str, value: impl FnOnce(&[String]) -> String) {
    let name = annotation(name);
    let manifest = layout.manifest();
    let values = manifest["layers"].as_array().unwrap().iter();
    let values: Vec<String> =
        values.map(|blob| blob["annotations"][&name].as_str().unwrap().to_owned()).collect();
    change(layout, number, |blob| blob["annotations"][&name] = json!(value(&values)));
}

fn blob_of(layout: &Layout, number: usize) -> String {
    layout.manifest()["layers"][number]["digest"].as_str().unwrap().to_owned()
}

fn damage(layout: &Layout, change: impl FnOnce(&mut Vec<u8>)) {
    let path = layout.blob(&blob_of(layout, 3));
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// The blobs of two windows change places, with sizes and digests of blobs that are right.
fn swap_blobs(layout: &Layout) {
    let mut manifest = layout.manifest();
    let (one, two) = (manifest["layers"][3].clone(), manifest["layers"][5].clone());
    for key in ["digest", "size"] {
        (manifest["layers"][3][key], manifest["layers"][5][key]) = (two[key].clone(), one[key].clone());
    }
    layout.set_manifest(&manifest);
}

/// A blob that unpacks to more than a window.
fn bomb(layout: &Layout) {
    let (digest, size) = layout.put(&banger_testkit::zstd(&vec![7; 40 * MIB]));
    change(layout, 3, |blob| (blob["digest"], blob["size"]) = (json!(digest), json!(size)));
}

/// 100,000 windows.
fn many(layout: &Layout) {
    let mut manifest = layout.manifest();
    let one = manifest["layers"][0].clone();
    let layers = (0..100_000_u64).map(|number| {
        let mut blob = one.clone();
        blob["annotations"][annotation("offset")] = json!((number << 20).to_string());
        blob
    });
    manifest["layers"] = layers.collect();
    layout.set_manifest(&manifest);
}

#[test]
fn a_spoiled_artifact_is_refused() {
    let fleet = Fleet::new();
    drop(fleet.convert(2));
    fleet.push();
    let layout = Layout::of(&fleet);
    let index = fs::read(layout.0.join("index.json")).unwrap();
    // The only blob that is changed in its place.
    let path = layout.blob(&blob_of(&layout, 3));
    let blob = fs::read(&path).unwrap();
    for (name, spoil, expected) in SPOILED {
        spoil(&layout);
        let error = fleet.pull().expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(fleet.images().is_empty(), "{name}: {:?}", fleet.images());
        let output = fleet.path.join("out.ext4");
        let outcome = pull_to_file(
            &fleet.request(),
            &output,
            &fleet.second,
            &EventHandler::none(),
            &Cancellation::new(),
        );
        assert!(outcome.is_err() && !output.exists(), "{name}");
        fs::write(layout.0.join("index.json"), &index).unwrap();
        fs::write(&path, &blob).unwrap();
    }
    assert!(fleet.pull().is_ok());
}

#[test]
fn each_spoiled_window_is_refused() {
    let fleet = Fleet::new();
    drop(fleet.convert(2));
    let windows = fleet.push().windows;
    let layout = Layout::of(&fleet);
    let good = layout.manifest();
    let blob_path = |number: usize| layout.blob(&blob_of(&layout, number));
    for number in 0..usize::try_from(windows).unwrap() {
        let bytes = fs::read(blob_path(number)).unwrap();
        let other = if number == 0 { 1 } else { 0 };
        let spoils: [(&str, &dyn Fn()); 4] = [
            ("damaged", &|| {
                let mut bytes = bytes.clone();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(blob_path(number), bytes).unwrap();
            }),
            ("missing", &|| fs::remove_file(blob_path(number)).unwrap()),
            ("swapped", &|| {
                let manifest = layout.manifest();
                let other = &manifest["layers"][other];
                change(&layout, number, |blob| {
                    for key in ["digest", "size"] {
                        blob[key] = other[key].clone();
                    }
                });
            }),
            ("of another size", &|| {
                let (digest, size) = layout.put(&banger_testkit::zstd(&[7; 4 * MIB - 4096]));
                change(&layout, number, |blob| (blob["digest"], blob["size"]) = (json!(digest), json!(size)));
            }),
        ];
        for (name, spoil) in spoils {
            spoil();
            let error = fleet.pull().expect_err(name).to_string();
            assert!(error.contains("sha256:"), "window {number} is {name}: {error}");
            assert!(fleet.images().is_empty(), "window {number} is {name}: {:?}", fleet.images());
            layout.set_manifest(&good);
            fs::write(blob_path(number), &bytes).unwrap();
        }
    }
    assert!(fleet.pull().is_ok());
}

#[test]
fn a_request_for_what_is_made_elsewhere_is_refused() {
    let fleet = Fleet::new();
    drop(fleet.convert(2));
    fleet.push();
    let mut request = fleet.request();
    request.file_system.inodes = Some(100_000);
    let error = pull(&request, &fleet.second, &EventHandler::none(), &Cancellation::new()).unwrap_err();
    assert!(error.to_string().contains("finished image"), "{error}");
    assert!(fleet.images().is_empty());
}

#[test]
fn a_cancelled_push_and_pull_leave_nothing() {
    let fleet = Fleet::new();
    let converted = fleet.convert(2);
    let cancelled = Cancellation::new();
    cancelled.cancel();
    let request = ImagePushRequest::new("app", fleet.target().parse().unwrap());
    let error = push_image(&request, &fleet.first, &EventHandler::none(), &cancelled).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    fleet.push();
    let error = pull(&fleet.request(), &fleet.second, &EventHandler::none(), &cancelled).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert!(fleet.images().is_empty());
    // A change of the pushed file does not go unnoticed: its windows have other digests.
    let file = fs::OpenOptions::new().write(true).open(&converted.path).unwrap();
    file.write_all_at(b"x", 5 * MIB as u64).unwrap();
    assert_eq!(fleet.push().sent_blobs, 1);
}
