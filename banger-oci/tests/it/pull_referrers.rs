//! Artifacts that refer to an image.

use banger_oci::{Digest, PullError, RegistriesConfig};
use serde_json::{Value, json};

use crate::pull_local::write_layout;
use crate::pull_support::*;

const SBOM: &str = "application/spdx+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// An artifact that refers to `subject`; returns its descriptor.
fn refer(store: &mut Store, subject: &Value, kind: &str, bytes: &[u8]) -> Value {
    let config = json!({ "mediaType": EMPTY, "digest": store.blob(b"{}"), "size": 2 });
    let layer = json!({ "mediaType": kind, "digest": store.blob(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": [layer],
        "subject": subject, "annotations": { "made": "by hand" },
    });
    let mut descriptor = store.manifest(None, MANIFEST, &manifest);
    descriptor["artifactType"] = kind.into();
    descriptor
}

fn list(entries: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries })
}

/// A store with an image, and its two artifacts.
fn described() -> (Store, Value, Vec<Value>) {
    let mut store = Store::default();
    let (_, image) = store.image(Some("t"), "linux/amd64", &[noise(1, 100)]);
    let entries = vec![
        refer(&mut store, &image, SBOM, b"{\"spdxVersion\":\"2.3\"}"),
        refer(&mut store, &image, "application/x-notes", &noise(2, 5000)),
    ];
    (store, image, entries)
}

fn tag_of(image: &Value) -> String {
    image["digest"].as_str().unwrap().replace(':', "-")
}

#[test]
fn referrers_come_by_the_api_and_by_the_tag() {
    for by_api in [true, false] {
        let (mut store, image, entries) = described();
        let index = list(&entries);
        let pages: Vec<String> =
            entries.iter().map(|entry| list(std::slice::from_ref(entry)).to_string()).collect();
        if !by_api {
            store.manifest(Some(&tag_of(&image)), INDEX, &index);
        }
        let server = Server::start(store, move |asked| {
            if !by_api || !asked.path().contains("/referrers/sha256:") {
                return None;
            }
            // Two pages.
            Some(match asked.target.contains("page=2") {
                true => Answer::new(200, pages[1].clone()),
                false => Answer::new(200, pages[0].clone()).with("Link", "<?page=2>; rel=\"next\""),
            })
        });
        let mut bench = Bench::new();
        let reference = format!("{}/r:t", server.host());
        assert!(bench.pull(&reference).unwrap().referrers.is_empty());
        assert_eq!(server.asked().iter().filter(|asked| asked.path().contains("/referrers/")).count(), 0);
        bench.options.referrers = true;
        let pulled = bench.pull(&reference).unwrap();
        let kinds: Vec<&str> = pulled.referrers.iter().map(|found| found.artifact_type.as_str()).collect();
        assert_eq!(kinds, [SBOM, "application/x-notes"]);
        let sbom = &pulled.referrers[0];
        assert_eq!(
            (&sbom.subject, sbom.digest.to_string()),
            (&pulled.digest, entries[0]["digest"].as_str().unwrap().to_owned())
        );
        assert_eq!(sbom.annotations["made"], "by hand");
        assert!(sbom.digest.matches(&sbom.manifest));
        assert_eq!(sbom.blobs.len(), 2, "the configuration and the blob");
        assert_eq!(pulled.referrers[1].blobs[1].1, noise(2, 5000));
    }
}

#[test]
fn referrers_of_the_index_and_of_a_layout() {
    let mut store = Store::default();
    let (_, image) = store.image(None, "linux/amd64", &[noise(1, 100)]);
    let index = store.manifest(Some("t"), INDEX, &list(std::slice::from_ref(&image)));
    let (of_image, of_index) = (refer(&mut store, &image, SBOM, b"a"), refer(&mut store, &index, SBOM, b"b"));
    store.manifest(Some(&tag_of(&image)), INDEX, &list(std::slice::from_ref(&of_image)));
    store.manifest(Some(&tag_of(&index)), INDEX, &list(&[of_index.clone(), of_image.clone()]));
    let mut bench = Bench::new();
    bench.options.referrers = true;
    let server = Server::plain(store.clone());
    let pulled = bench.pull(&format!("{}/r:t", server.host())).unwrap();
    let found: Vec<Digest> = pulled.referrers.iter().map(|found| found.subject.clone()).collect();
    assert_eq!(found.first(), pulled.index_digest.as_ref());
    assert_eq!(found.last(), Some(&pulled.digest));
    assert_eq!(found.len(), 2, "one of each");

    let dir = bench.path().join("layout");
    let mut named = image;
    named["annotations"] = json!({ "org.opencontainers.image.ref.name": "t" });
    write_layout(&dir, &store, &list(&[named, of_image, of_index]));
    let pulled = bench.pull(&format!("oci:{dir}:t")).unwrap();
    assert_eq!(pulled.referrers.len(), 1);
    assert_eq!(pulled.referrers[0].subject, pulled.digest);
}

#[test]
fn referrers_are_bounded_and_checked() {
    let (mut store, image, entries) = described();
    let kept = store.manifest(Some(&tag_of(&image)), INDEX, &list(&entries));
    drop(kept);
    let reference = |server: &Server| format!("{}/r:t", server.host());
    let mut bench = Bench::new();
    bench.options.referrers = true;
    let server = Server::plain(store.clone());
    let layer = Digest::of(&noise(1, 100)).to_string();
    bench.options.max_referrers = 1;
    let error = bench.pull(&reference(&server)).unwrap_err();
    assert!(matches!(&error, PullError::TooManyReferrers { limit: 1, .. }), "{error}");
    bench.options.max_referrers = 2;
    bench.options.max_referrer_bytes = 4000;
    let error = bench.pull(&reference(&server)).unwrap_err();
    assert!(matches!(&error, PullError::TooLarge { limit_bytes: 4000, .. }), "{error}");
    assert_eq!(server.count("GET", &Digest::of(&noise(2, 5000)).to_string()), 0, "{error}");
    assert_eq!(server.count("GET", &layer), 0, "nothing was downloaded");
    bench.options.max_referrer_bytes = 1 << 20;
    // A blob with other bytes, and one that is missing.
    let digest = Digest::of(&noise(2, 5000)).to_string();
    let mut wrong = store.clone();
    *wrong.blobs.get_mut(&digest).unwrap() = noise(3, 5000);
    let error = bench.pull(&reference(&Server::plain(wrong))).unwrap_err();
    assert!(matches!(&error, PullError::Mismatch { .. }), "{error}");
    store.blobs.remove(&digest);
    let error = bench.pull(&reference(&Server::plain(store))).unwrap_err();
    assert!(matches!(error.code(), 108 | 110), "{error}");
}

#[test]
fn a_mirror_without_referrers_does_not_hide_those_of_the_registry() {
    let (store, _, entries) = described();
    let answer = |list: String| {
        move |asked: &Asked| {
            asked.path().contains("/referrers/sha256:").then(|| Answer::new(200, list.clone()))
        }
    };
    let mirror = Server::start(store.clone(), answer(list(&[]).to_string()));
    let registry = Server::start(store, answer(list(&entries).to_string()));
    let mut bench = Bench::new();
    let path = bench.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        registry.host(),
        mirror.host()
    );
    std::fs::write(&path, text).unwrap();
    bench.options.registries = RegistriesConfig::read(&[path]).unwrap();
    bench.options.referrers = true;
    let pulled = bench.pull(&format!("{}/r:t", registry.host())).unwrap();
    assert_eq!(pulled.referrers.len(), 2);
    assert_eq!(mirror.count("GET", "/referrers/"), 1);
    assert_eq!(registry.count("GET", "/manifests/t"), 0);
}
