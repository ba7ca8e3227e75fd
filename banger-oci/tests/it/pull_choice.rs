//! Which image of several is pulled: by platform, by name, by digest, or none of them.

use banger_oci::{Digest, PullError};
use banger_tree::{ErrorKind, Failure as _};
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use crate::pull_local::write_layout;
use crate::pull_support::*;
use crate::tarball::Tar;

const REF: &str = "org.opencontainers.image.ref.name";
const NAME: &str = "io.containerd.image.name";

/// A layout, its tar and what `docker save` would have made of it.
struct Place {
    bench: Bench,
    store: Store,
    entries: Vec<Value>,
    items: Vec<Value>,
}

impl Place {
    fn new() -> Self {
        Self { bench: Bench::new(), store: Store::default(), entries: Vec::new(), items: Vec::new() }
    }

    /// Adds an image with one layer made of `seed`; returns the descriptor of its manifest.
    fn image(&mut self, seed: u32, platform: &str) -> Value {
        let (manifest, descriptor) = self.store.image(None, platform, &[noise(seed, 100)]);
        let file = |value: &Value| value["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
        self.items.push(json!({ "Config": file(&manifest["config"]), "RepoTags": null,
            "Layers": [file(&manifest["layers"][0])] }));
        descriptor
    }

    /// Adds an image with these annotations and `RepoTags`.
    fn add(&mut self, seed: u32, platform: &str, annotations: &[(&str, &str)], tags: &[&str]) -> String {
        let mut descriptor = self.image(seed, platform);
        for (key, value) in annotations {
            descriptor["annotations"][*key] = (*value).into();
        }
        if !tags.is_empty() {
            self.items.last_mut().unwrap()["RepoTags"] = tags.into();
        }
        let digest = descriptor["digest"].as_str().unwrap().to_owned();
        self.entries.push(descriptor);
        digest
    }

    fn dir(&self) -> Utf8PathBuf {
        self.bench.path().join("layout")
    }

    /// Writes `layout`, and `layout.tar`, which is an OCI layout and a docker archive.
    fn write(&self) -> Vec<String> {
        let dir = self.dir();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries });
        write_layout(&dir, &self.store, &index);
        let mut tar = Tar::new().file("oci-layout", "{}").file("index.json", index.to_string());
        tar = tar.file("manifest.json", Value::from(self.items.clone()).to_string());
        let manifests = self.store.manifests.values().map(|(_, bytes)| bytes);
        for bytes in self.store.blobs.values().chain(manifests) {
            tar = tar.file(format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes);
        }
        let file = self.bench.path().join("layout.tar");
        std::fs::write(&file, tar.end()).unwrap();
        let kinds = [("oci", dir), ("oci-archive", file.clone()), ("docker-archive", file)];
        kinds.map(|(kind, path)| format!("{kind}:{path}")).into()
    }

    /// The seed of the image that is pulled.
    fn seed(&self, reference: &str) -> Result<u32, PullError> {
        let layers = self.bench.read(reference)?;
        Ok((0..20).find(|seed| layers == [noise(*seed, 100)]).expect("it is one of the images"))
    }

    /// Fails unless `reference` is refused with a list of all of `parts`.
    #[track_caller]
    fn refused(&self, reference: &str, parts: &[&str]) {
        let error = self.bench.pull(reference).expect_err(reference);
        let PullError::Ambiguous { count, .. } = &error else { panic!("{reference}: {error}") };
        assert!(*count > 1, "{error}");
        let text = told(&error);
        for part in parts.iter().chain(&["@sha256:"]) {
            assert!(text.contains(part), "{reference}: no {part} in {text}");
        }
        assert_one_line(&error);
    }
}

#[test]
fn b46_several_images_are_listed_and_none_is_taken() {
    let mut place = Place::new();
    let (alpha, beta) = ("docker.io/library/alpha:latest", "docker.io/library/beta:latest");
    let one = place.add(1, "linux/amd64", &[(REF, "latest"), (NAME, alpha)], &["alpha:latest"]);
    let two = place.add(2, "linux/amd64", &[(REF, "latest"), (NAME, beta)], &["beta:latest"]);
    for base in place.write() {
        for name in ["", ":latest"] {
            place.refused(&format!("{base}{name}"), &["alpha:latest", "beta:latest", "full name"]);
        }
        for (name, seed) in [("alpha:latest", 1), ("beta", 2), (alpha, 1), ("index.docker.io/beta:latest", 2)]
        {
            assert_eq!(place.seed(&format!("{base}:{name}")).unwrap(), seed, "{base}:{name}");
        }
        let error = place.seed(&format!("{base}:gamma")).unwrap_err();
        assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
        assert!(error.to_string().contains("alpha:latest"), "{error}");
        // What the error lists is taken.
        let PullError::Ambiguous { images, .. } = place.seed(&base).unwrap_err() else { unreachable!() };
        assert_eq!(place.seed(&format!("{base}@{}", images[1].digest)).unwrap(), 2);
        if !base.starts_with("docker") {
            assert_eq!([&images[0].digest, &images[1].digest].map(ToString::to_string), [&*one, &*two]);
        }
    }
}

#[test]
fn b46_whole_names_in_ref_name_count() {
    let mut place = Place::new();
    let (alpha, beta) = ("docker.io/library/alpha:latest", "docker.io/library/beta:latest");
    place.add(1, "linux/amd64", &[(REF, alpha)], &[alpha]);
    place.add(2, "linux/amd64", &[(REF, beta)], &[beta]);
    place.add(3, "linux/amd64", &[(REF, "localhost/x")], &["localhost/x:latest"]);
    place.add(4, "linux/amd64", &[(REF, "1.0+build.5")], &["a:1.0"]);
    place.add(5, "linux/amd64", &[(REF, "team/app")], &["team/app:1"]);
    place.add(6, "linux/amd64", &[(REF, "busybox:1.38.0-musl")], &["busybox:1.38.0-musl"]);
    let bases = place.write();
    for base in &bases[..2] {
        place.refused(&format!("{base}:latest"), &[alpha, beta]);
        for (name, seed) in [(alpha, 1), (beta, 2), ("localhost/x", 3), ("1.0+build.5", 4), ("team/app", 5)] {
            assert_eq!(place.seed(&format!("{base}:{name}")).unwrap(), seed, "{name}");
        }
    }
    for base in &bases {
        for name in ["busybox:1.38.0-musl", "1.38.0-musl", "docker.io/library/busybox:1.38.0-musl"] {
            assert_eq!(place.seed(&format!("{base}:{name}")).unwrap(), 6, "{name}");
        }
        place.refused(base, &[alpha, beta]);
    }
}

#[test]
fn b46_images_without_names_differ_by_platform_or_digest() {
    let mut place = Place::new();
    place.add(1, "linux/amd64", &[], &[]);
    place.add(2, "linux/arm64", &[], &[]);
    for base in place.write() {
        assert_eq!(place.seed(&base).unwrap(), 1, "{base}");
    }
    place.add(3, "linux/amd64", &[], &[]);
    for base in place.write() {
        place.refused(&base, &["without a name"]);
        let PullError::Ambiguous { images, count: 2, .. } = place.seed(&base).unwrap_err() else { panic!() };
        assert_eq!(place.seed(&format!("{base}@{}", images[1].digest)).unwrap(), 3);
    }
    place.bench.options.platform = Some("linux/arm64".parse().unwrap());
    for base in place.write() {
        assert_eq!(place.seed(&base).unwrap(), 2, "{base}");
    }
    // Docker calls an image by the digest of its configuration.
    place.bench.options.platform = Some("linux/amd64".parse().unwrap());
    let base = place.write().pop().unwrap();
    let config = place.items[2]["Config"].as_str().unwrap().replace("blobs/sha256/", "sha256:");
    assert_eq!(place.seed(&format!("{base}@{config}")).unwrap(), 3);
    let error = place.seed(&format!("{base}@sha256:{}", "0".repeat(64))).unwrap_err();
    assert!(matches!(error, PullError::UnknownImage { .. }), "{error}");
}

#[test]
fn b46_several_names_of_one_digest_are_one_image() {
    let mut place = Place::new();
    let digest = place.add(1, "linux/amd64", &[(REF, "latest")], &["a:latest", "b:stable"]);
    let mut again = place.entries[0].clone();
    again["annotations"][REF] = "stable".into();
    place.entries.push(again);
    let item = place.items[0].clone();
    place.items.push(item);
    for base in place.write() {
        for name in ["", ":latest", ":stable"] {
            assert_eq!(place.seed(&format!("{base}{name}")).unwrap(), 1, "{base}{name}");
        }
    }
    let dir = place.dir();
    assert_eq!(place.seed(&format!("oci:{dir}:stable@{digest}")).unwrap(), 1);
    let error = place.seed(&format!("oci:{dir}:other@{digest}")).unwrap_err();
    assert!(matches!(error, PullError::UnknownImage { .. }), "{error}");
}

#[test]
fn b46_variants_of_one_name_are_ranked_and_other_names_are_not() {
    let mut place = Place::new();
    place.bench.options.platform = Some("linux/arm/v7".parse().unwrap());
    let mut add = |seed, variant: &str, name: &str| {
        let mut entry = place.image(seed, "linux/arm");
        entry["platform"] = json!({ "os": "linux", "architecture": "arm", "variant": variant });
        entry["annotations"] = json!({ REF: "1", NAME: name });
        place.entries.push(entry);
    };
    add(1, "v6", "a:1");
    add(2, "v7", "a:1");
    let base = place.write().swap_remove(0);
    assert_eq!(place.seed(&base).unwrap(), 2);
    let mut entry = place.entries[0].clone();
    entry["annotations"][NAME] = "b:1".into();
    place.entries[0] = entry;
    place.write();
    place.refused(&format!("{base}:1"), &["a:1", "b:1", "linux/arm/v6"]);
    assert_eq!(place.seed(&format!("{base}:b:1")).unwrap(), 1);
}

#[test]
fn b46_two_children_of_an_index_that_fit_are_an_error() {
    let mut place = Place::new();
    let children = [1, 2].map(|seed| {
        let mut entry = place.image(seed, "linux/amd64");
        entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        entry
    });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    let mut entry = place.store.manifest(Some("t"), INDEX, &index);
    entry["annotations"] = json!({ REF: "app" });
    place.entries.push(entry);
    let base = place.write().swap_remove(0);
    place.refused(&base, &["app", "linux/amd64"]);
    let second = children[1]["digest"].as_str().unwrap();
    assert_eq!(place.seed(&format!("{base}@{second}")).unwrap(), 2);
    // As at a registry.
    let server = Server::plain(place.store.clone());
    let reference = format!("{}/r:t", server.host());
    let error = place.bench.pull(&reference).unwrap_err();
    assert!(matches!(&error, PullError::Ambiguous { .. }), "{error}");
    assert!(told(&error).contains("NAME@sha256:"), "{error}");
    // One that is exactly what was asked for is better than one that is as good.
    let mut children = children;
    children[0]["platform"]["variant"] = "v1".into();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    place.entries = vec![place.store.manifest(None, INDEX, &index)];
    place.write();
    assert_eq!(place.seed(&base).unwrap(), 2);
}

#[test]
fn b46_one_image_compressed_in_two_ways_is_one() {
    let mut place = Place::new();
    let first = place.image(1, "linux/amd64");
    let (manifest, _) = place.store.image(None, "linux/amd64", &[noise(1, 100)]);
    let mut other = manifest.clone();
    other["annotations"] = json!({ "io.github.containers.compression.zstd": "true" });
    let second = place.store.manifest(None, MANIFEST, &other);
    place.entries = vec![first, second];
    let base = place.write().swap_remove(0);
    assert_eq!(place.seed(&base).unwrap(), 1);
}

#[test]
fn b46_what_is_beside_an_image_does_not_count() {
    for (name, named) in [("app", true), ("", false)] {
        let mut place = Place::new();
        let annotations: &[(&str, &str)] = if named { &[(REF, name)] } else { &[] };
        place.add(1, "linux/amd64", annotations, &["app:1"]);
        let empty = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
            "digest": place.store.blob(b"{}") });
        let config = json!({ "mediaType": CONFIG, "size": 2, "digest": place.store.blob(b"{}") });
        let layer = |store: &mut Store, kind: &str| json!({ "mediaType": kind, "size": 1, "digest": store.blob(b"x") });
        let sbom = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": empty,
            "artifactType": "application/spdx+json", "layers": [layer(&mut place.store, "application/spdx+json")] });
        let mut sbom = place.store.manifest(None, MANIFEST, &sbom);
        place.entries.push(sbom.clone());
        sbom["artifactType"] = "application/spdx+json".into();
        place.entries.insert(0, sbom);
        for kind in ["application/vnd.dev.cosign.simplesigning.v1+json", "application/vnd.in-toto+json"] {
            let signature = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config,
                "layers": [layer(&mut place.store, kind)] });
            let mut entry = place.store.manifest(None, MANIFEST, &signature);
            entry["annotations"] = json!({ REF: "_cosign:sha256-abc.sig" });
            place.entries.insert(0, entry);
        }
        let mut attestation = place.image(9, "linux/amd64");
        attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
        attestation["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        place.entries.insert(0, attestation);
        // By its entry this is the better image for the platform asked for.
        let config = json!({ "mediaType": CONFIG, "size": 2, "digest": place.store.blob(b"{}") });
        let notes = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": [layer(&mut place.store, "text/plain")] });
        let mut notes = place.store.manifest(None, MANIFEST, &notes);
        notes["platform"] = json!({ "os": "linux", "architecture": "amd64" });
        place.entries[4]["platform"] = json!({ "os": "linux", "architecture": "amd64", "variant": "v1" });
        if named {
            notes["annotations"] = json!({ REF: name });
        }
        place.entries.push(notes);
        place.items.truncate(1);
        for base in place.write() {
            assert_eq!(place.seed(&base).unwrap(), 1, "{base} {name}");
        }
        // Asked for by name, it is what it is.
        let base = format!("oci:{}", place.dir());
        let error = place.seed(&format!("{base}:_cosign:sha256-abc.sig")).unwrap_err();
        assert!(matches!(&error, PullError::NotAnImage { .. }), "{error}");
        assert!(error.to_string().contains("cosign") || error.to_string().contains("in-toto"), "{error}");
    }
}

#[test]
fn b46_paths_may_have_colons() {
    let mut place = Place::new();
    let digest = place.add(1, "linux/amd64", &[(REF, "docker.io/library/app:1.0")], &["app:1.0"]);
    let bases = place.write();
    let odd = place.bench.path().join("a:b/lay:out");
    std::fs::create_dir_all(odd.parent().unwrap()).unwrap();
    std::fs::rename(place.dir(), &odd).unwrap();
    for name in ["", ":1.0", ":app:1.0", ":docker.io/library/app:1.0", &format!("@{digest}")] {
        assert_eq!(place.seed(&format!("oci:{odd}{name}")).unwrap(), 1, "{name}");
    }
    let file = place.bench.path().join("save:v1.tar");
    std::fs::rename(bases[2].split_once(':').unwrap().1, &file).unwrap();
    for kind in ["oci-archive", "docker-archive"] {
        for name in ["", ":1.0", ":app:1.0"] {
            assert_eq!(place.seed(&format!("{kind}:{file}{name}")).unwrap(), 1, "{kind} {name}");
        }
    }
}

#[test]
fn a_layout_or_archive_that_is_not_there_is_not_a_damaged_one() {
    let mut place = Place::new();
    place.add(1, "linux/amd64", &[], &[]);
    place.write();
    std::fs::create_dir(place.bench.path().join("empty")).unwrap();
    for kind in ["oci", "oci-archive", "docker-archive"] {
        for name in ["", ":1.0"] {
            let error = place.seed(&format!("{kind}:{}/none{name}", place.bench.path())).unwrap_err();
            assert_eq!((error.code(), error.kind()), (117, ErrorKind::NotFound), "{error}");
            assert!(error.to_string().contains("/none: No such file or directory"), "{error}");
            assert_eq!(error.advice(), None);
        }
        let error = place.seed(&format!("{kind}://none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.advice().is_some_and(|advice| advice.to_string().contains("slashes")), "{error}");
    }
    let error = place.seed(&format!("oci:{}/empty", place.bench.path())).unwrap_err();
    assert_eq!((error.code(), error.kind()), (116, ErrorKind::Damaged), "{error}");
    assert!(error.to_string().contains("no index.json"), "{error}");
    std::fs::write(place.bench.path().join("file"), "no tar").unwrap();
    let error = place.seed(&format!("oci:{}/file", place.bench.path())).unwrap_err();
    assert_eq!((error.code(), error.kind()), (116, ErrorKind::Damaged), "{error}");
    assert!(error.advice().is_some_and(|advice| advice.to_string().contains("oci-archive:")), "{error}");
    for kind in ["oci-archive", "docker-archive"] {
        let error = place.seed(&format!("{kind}:{}/file", place.bench.path())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged, "{kind}: {error}");
    }
}

#[test]
fn b41_an_index_and_a_configuration_that_differ_are_told() {
    let mut place = Place::new();
    let mut entry = place.image(1, "linux/arm64");
    entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    place.entries.push(entry);
    let base = place.write().swap_remove(0);
    place.bench.options.platform = Some("linux/amd64".parse().unwrap());
    let error = place.bench.pull(&base).unwrap_err();
    assert!(matches!(&error, PullError::PlatformMismatch { .. }), "{error}");
    assert!(error.to_string().contains("linux/arm64"), "{error}");
    if banger_oci::Platform::host().architecture == "amd64" {
        place.bench.options.platform = None;
        let image = place.bench.pull(&base).unwrap();
        assert!(image.warnings[0].contains("linux/arm64"), "{:?}", image.warnings);
        assert_eq!(image.platform.to_string(), "linux/amd64");
    }
    // A variant that only one of them gives is no difference.
    let mut place = Place::new();
    let mut entry = place.image(1, "linux/amd64");
    entry["platform"] = json!({ "os": "linux", "architecture": "amd64", "variant": "v1" });
    place.entries.push(entry);
    let base = place.write().swap_remove(0);
    assert!(place.bench.pull(&base).unwrap().warnings.is_empty());
}

#[test]
fn b41_images_for_windows_are_called_that() {
    let mut place = Place::new();
    place.add(1, "windows/amd64", &[], &[]);
    for base in place.write() {
        for platform in ["linux/amd64", "windows/amd64"] {
            place.bench.options.platform = Some(platform.parse().unwrap());
            let error = told(&place.bench.pull(&base).unwrap_err());
            assert!(error.contains("Windows"), "{base} {platform}: {error}");
        }
    }
}
