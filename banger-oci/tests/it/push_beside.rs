//! Signatures of pushed artifacts, and artifacts that refer to them.

use std::sync::{Arc, Mutex};

use banger_oci::{
    Digest, Progress, PublicKey, PullError, PulledArtifact, Puller, PullerOptions, PushedArtifact,
    PushedSignature, Reference, SignError, SigningKey, TrustPolicy,
};
use banger_testkit::{Registry, Skip, require, tools};
use banger_tree::Failure as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8PathBuf;
use serde_json::{Value, json};

use crate::pull_support::*;
use crate::push_support::*;

const ALGORITHMS: [(&str, &[&str]); 4] = [
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("ed25519", &["-algorithm", "ED25519"]),
    ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
];
const STATEMENT: &str = "application/vnd.in-toto+json";

/// A key pair that openssl made.
struct KeyFiles {
    private: Utf8PathBuf,
    public: Utf8PathBuf,
}

impl KeyFiles {
    fn make(bench: &Bench, name: &str, arguments: &[&str]) -> Result<Self, Skip> {
        let files = Self {
            private: bench.path().join(format!("{name}.key")),
            public: bench.path().join(format!("{name}.pub")),
        };
        let mut openssl = tools::command("openssl")?;
        tools::run(openssl.arg("genpkey").args(arguments).arg("-out").arg(&files.private));
        let mut openssl = tools::command("openssl")?;
        tools::run(
            openssl.args(["pkey", "-pubout", "-in"]).arg(&files.private).arg("-out").arg(&files.public),
        );
        Ok(files)
    }

    fn p256(bench: &Bench, name: &str) -> Result<Self, Skip> {
        Self::make(bench, name, ALGORITHMS[0].1)
    }

    fn signing(&self) -> SigningKey {
        SigningKey::read(&self.private, None).unwrap()
    }

    fn trusted(&self) -> TrustPolicy {
        TrustPolicy::of_keys([PublicKey::read(&self.public).unwrap()])
    }

    /// A policy whose rule for everything wants a signature by this key with this identity.
    fn policy(&self, identity: &Value) -> TrustPolicy {
        let mut rule = json!({ "type": "sigstoreSigned", "keyPath": self.public });
        if !identity.is_null() {
            rule["signedIdentity"] = identity.clone();
        }
        TrustPolicy::parse(json!({ "default": [rule] }).to_string().as_bytes(), "policy.json").unwrap()
    }
}

fn puller() -> Puller {
    Puller::new(PullerOptions::default())
}

impl Bench {
    fn sign(&self, target: &str, digest: &Digest, key: &KeyFiles) -> Result<PushedSignature, SignError> {
        let target: Reference = target.parse().unwrap();
        puller().sign_artifact(
            &target,
            digest,
            &key.signing(),
            &self.options,
            &Progress::none(),
            &self.cancel,
        )
    }

    fn refer(&self, target: &str, referrer: &Artifact) -> PushedArtifact {
        let target: Reference = target.parse().unwrap();
        let artifact = banger_oci::ArtifactToPush::new(&referrer.manifest, &referrer.config, referrer);
        let progress = Progress::none();
        puller().push_referrer(&target, &artifact, &self.options, &progress, &self.cancel).unwrap()
    }

    /// Pulls an artifact into a new cache, under a policy.
    fn pull_trusting(&self, reference: &str, trust: TrustPolicy) -> Result<PulledArtifact, PullError> {
        let mut fresh = Self::new();
        fresh.options = self.options.clone();
        fresh.options.trust = Some(trust);
        fresh.options.referrers = true;
        let reference = reference.parse().unwrap();
        let (progress, cancel) = (Progress::none(), &fresh.cancel);
        let found =
            puller().pull_artifact(&reference, TYPE, &fresh.cache, &fresh.options, &progress, cancel)?;
        Ok(found.expect("an artifact of this type"))
    }

    fn refusal(&self, reference: &str, trust: TrustPolicy) -> u32 {
        self.pull_trusting(reference, trust).unwrap_err().code()
    }
}

/// A blob of a registry, or a manifest by its digest.
fn stored(registry: &Registry, digest: &str) -> Vec<u8> {
    std::fs::read(registry.blob_path(digest)).unwrap()
}

fn stored_json(registry: &Registry, digest: &str) -> Value {
    serde_json::from_slice(&stored(registry, digest)).unwrap()
}

/// The document under a tag, as skopeo sees it.
fn tagged(registry: &Registry, tag: &str) -> Result<Value, Skip> {
    let mut skopeo = tools::command("skopeo")?;
    skopeo.args(["--insecure-policy", "inspect", "--raw"]).arg("--tls-verify=false");
    skopeo.arg(format!("docker://{}", registry.reference("team/app", tag)));
    Ok(serde_json::from_slice(&tools::run(&mut skopeo).stdout).unwrap())
}

#[test]
fn each_kind_of_key_signs_what_its_public_key_accepts() {
    let registry = require!(Registry::start());
    let bench = Bench::new();
    let other = require!(KeyFiles::p256(&bench, "other"));
    for (at, (name, arguments)) in ALGORITHMS.into_iter().enumerate() {
        let key = require!(KeyFiles::make(&bench, name, arguments));
        let artifact = Artifact::new(&blobs(at as u32 * 10, 2, 1000));
        let reference = registry.reference("team/app", name);
        let pushed = bench.push(&reference, &artifact).unwrap();
        assert_eq!(bench.refusal(&reference, key.trusted()), 1220, "{name}: it is not signed yet");
        let signed = bench.sign(&reference, &pushed.digest, &key).unwrap();
        assert_eq!(signed.tag, format!("sha256-{}.sig", pushed.digest.hex()));
        assert_eq!((&signed.key, signed.is_present), (key.signing().public_key().fingerprint(), false));
        assert_eq!(signed.key, *PublicKey::read(&key.public).unwrap().fingerprint(), "{name}");
        let again = bench.sign(&reference, &pushed.digest, &key).unwrap();
        assert_eq!((again.digest, again.is_present), (signed.digest, true), "{name}");

        let pulled = bench.pull_trusting(&reference, key.trusted()).unwrap();
        let [signature] = pulled.signatures() else { panic!("{name}: {:?}", pulled.signatures()) };
        assert_eq!((&signature.key, &signature.digest), (&signed.key, &pushed.digest), "{name}");
        assert_eq!(signature.identity.as_deref(), Some(reference.as_str()), "{name}");
        assert_eq!(bench.refusal(&reference, other.trusted()), 1221, "{name}");
        let repository = json!({ "type": "matchRepository" });
        for identity in [Value::Null, repository.clone()] {
            assert!(bench.pull_trusting(&reference, key.policy(&identity)).is_ok(), "{name}: {identity}");
        }
        assert_eq!(bench.refusal(&reference, other.policy(&repository)), 1221, "{name}");
        let elsewhere = json!({ "type": "exactRepository", "dockerRepository": "registry.example/x" });
        assert_eq!(bench.refusal(&reference, key.policy(&elsewhere)), 1223, "{name}");
    }
}

#[test]
fn openssl_accepts_the_signatures() {
    let registry = require!(Registry::start());
    let bench = Bench::new();
    let reference = registry.reference("team/app", "1");
    let pushed = bench.push(&reference, &Artifact::new(&blobs(1, 2, 1000))).unwrap();
    for (name, arguments, hash) in [
        ("p256", ALGORITHMS[0].1, "-sha256"),
        ("p384", ALGORITHMS[1].1, "-sha384"),
        ("rsa", ALGORITHMS[3].1, "-sha256"),
    ] {
        let key = require!(KeyFiles::make(&bench, name, arguments));
        let signed = bench.sign(&reference, &pushed.digest, &key).unwrap();
        let document = stored_json(&registry, &signed.digest.to_string());
        let layer = document["layers"].as_array().unwrap().last().unwrap();
        let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
        let digest = layer["digest"].as_str().unwrap();
        let (payload_file, signature_file) = (bench.path().join("payload"), bench.path().join("signature"));
        std::fs::write(&payload_file, stored(&registry, digest)).unwrap();
        std::fs::write(&signature_file, STANDARD.decode(signature).unwrap()).unwrap();
        let mut openssl = tools::command("openssl").unwrap();
        openssl.args(["dgst", hash, "-verify"]).arg(&key.public).arg("-signature").arg(&signature_file);
        tools::run(openssl.arg(&payload_file));
    }
}

#[test]
fn signatures_by_several_keys_lie_side_by_side() {
    let registry = require!(Registry::start());
    let bench = Bench::new();
    let (first, second) = (require!(KeyFiles::p256(&bench, "a")), require!(KeyFiles::p256(&bench, "b")));
    let reference = registry.reference("team/app", "1");
    let pushed = bench.push(&reference, &Artifact::new(&blobs(1, 2, 1000))).unwrap();
    let signed = bench.sign(&reference, &pushed.digest, &first).unwrap();
    let both = bench.sign(&reference, &pushed.digest, &second).unwrap();
    assert_ne!(signed.digest, both.digest);
    for key in [&first, &second] {
        assert!(bench.pull_trusting(&reference, key.trusted()).is_ok());
        assert_eq!(bench.sign(&reference, &pushed.digest, key).unwrap().digest, both.digest);
    }
    // Another tag of the same artifact is another name, which an exact policy wants.
    let renamed = registry.reference("team/app", "2");
    let again = bench.push(&renamed, &Artifact::new(&blobs(1, 2, 1000))).unwrap();
    assert_eq!(again.digest, pushed.digest);
    assert_eq!(bench.refusal(&renamed, first.policy(&Value::Null)), 1223);
    assert!(!bench.sign(&renamed, &pushed.digest, &first).unwrap().is_present);
    assert!(bench.pull_trusting(&renamed, first.policy(&Value::Null)).is_ok());
    assert!(bench.pull_trusting(&reference, second.trusted()).is_ok());
    // cosign reads the configuration as that of an image with these layers.
    let document = require!(tagged(&registry, &both.tag));
    let config = stored_json(&registry, document["config"]["digest"].as_str().unwrap());
    let layers: Vec<&Value> =
        document["layers"].as_array().unwrap().iter().map(|layer| &layer["digest"]).collect();
    assert_eq!(layers.len(), 3);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().iter().collect::<Vec<_>>(), layers);
}

#[test]
fn a_layout_has_signatures_and_referrers_and_an_archive_has_none() {
    let bench = Bench::new();
    let key = require!(KeyFiles::p256(&bench, "a"));
    let other = require!(KeyFiles::p256(&bench, "b"));
    let artifact = Artifact::new(&blobs(1, 2, 1000));
    for name in ["", ":1"] {
        let target = format!("oci:{}{name}", bench.path().join(format!("layout{}", name.len())));
        let pushed = bench.push(&target, &artifact).unwrap();
        let signed = bench.sign(&target, &pushed.digest, &key).unwrap();
        let again = bench.sign(&target, &pushed.digest, &key).unwrap();
        assert_eq!((&again.digest, again.is_present), (&signed.digest, true));
        let referrer = statement(&pushed, b"{}");
        bench.refer(&target, &referrer);
        let pulled = bench.pull_trusting(&target, key.trusted()).unwrap();
        assert_eq!(pulled.signatures()[0].identity, None);
        assert_eq!(pulled.referrers().len(), 1);
        assert_eq!(pulled.referrers()[0].artifact_type, STATEMENT);
        assert_eq!(bench.refusal(&target, other.trusted()), 1221);
    }
    let archive = format!("oci-archive:{}", bench.path().join("new.tar"));
    let pushed = bench.push(&archive, &artifact).unwrap();
    let error = bench.sign(&archive, &pushed.digest, &key).unwrap_err();
    assert_eq!(error.code(), 1312, "{error}");
}

#[test]
fn a_full_or_taken_tag_is_refused() {
    let bench = Bench::new();
    let key = require!(KeyFiles::p256(&bench, "a"));
    let target = format!("oci:{}:1", bench.path().join("layout"));
    let pushed = bench.push(&target, &Artifact::new(&blobs(1, 2, 1000))).unwrap();
    let tag = format!("sha256-{}.sig", pushed.digest.hex());
    let beside = format!("oci:{}:{tag}", bench.path().join("layout"));
    let taken = bench.push(&beside, &Artifact::new(&blobs(7, 1, 10))).unwrap();
    let error = bench.sign(&target, &pushed.digest, &key).unwrap_err();
    assert!(error.code() == 1314 && error.to_string().contains(WINDOW), "{error}");
    assert!(bench.pull_trusting(&beside, key.trusted()).is_err());
    let payloads: Vec<Vec<u8>> = (0..64_u8).map(|number| vec![number]).collect();
    let mut full = Artifact::new(&payloads);
    for layer in &mut full.manifest.layers {
        layer.media_type = "application/vnd.dev.cosign.simplesigning.v1+json".to_owned();
    }
    assert_ne!(bench.push(&beside, &full).unwrap().digest, taken.digest);
    assert_eq!(bench.sign(&target, &pushed.digest, &key).unwrap_err().code(), 1313);
}

/// An artifact that says something about another one.
fn statement(about: &PushedArtifact, bytes: &[u8]) -> Artifact {
    let mut referrer = Artifact::new(&[bytes.to_vec()]);
    referrer.manifest.artifact_type = Some(STATEMENT.to_owned());
    referrer.manifest.subject =
        Some(banger_oci::Descriptor::new(MANIFEST, about.digest.clone(), about.size_bytes));
    referrer
}

#[test]
fn a_registry_without_lists_of_referrers_gets_a_tag() {
    let registry = require!(Registry::start());
    let bench = Bench::new();
    let key = require!(KeyFiles::p256(&bench, "a"));
    let reference = registry.reference("team/app", "1");
    let pushed = bench.push(&reference, &Artifact::new(&blobs(1, 2, 1000))).unwrap();
    bench.sign(&reference, &pushed.digest, &key).unwrap();
    let first = bench.refer(&reference, &statement(&pushed, b"one"));
    let tag = format!("sha256-{}", pushed.digest.hex());
    let list = require!(tagged(&registry, &tag));
    assert_eq!(list["manifests"][0]["digest"], first.digest.to_string());
    assert_eq!(list["manifests"][0]["artifactType"], STATEMENT);
    assert_eq!(list["manifests"][0]["annotations"]["made"], "by hand");
    // The same once more changes nothing; another one is added.
    assert_eq!(bench.refer(&reference, &statement(&pushed, b"one")).digest, first.digest);
    assert_eq!(require!(tagged(&registry, &tag)), list);
    let second = bench.refer(&reference, &statement(&pushed, b"two"));
    let pulled = bench.pull_trusting(&reference, key.trusted()).unwrap();
    let found: Vec<&Digest> = pulled.referrers().iter().map(|referrer| &referrer.digest).collect();
    assert_eq!(found, [&first.digest, &second.digest]);
    assert!(pulled.referrers().iter().all(|referrer| referrer.subject == pushed.digest));
    // A list that is no list is not written over.
    let other = bench.push(&reference, &Artifact::new(&blobs(2, 2, 1000))).unwrap();
    let taken = registry.reference("team/app", &format!("sha256-{}", other.digest.hex()));
    bench.push(&taken, &Artifact::new(&blobs(3, 1, 10))).unwrap();
    let referrer = statement(&other, b"three");
    let artifact = banger_oci::ArtifactToPush::new(&referrer.manifest, &referrer.config, &referrer);
    let target = reference.parse().unwrap();
    let refused =
        puller().push_referrer(&target, &artifact, &bench.options, &Progress::none(), &bench.cancel);
    assert!(refused.unwrap_err().to_string().contains(&format!("sha256-{}", other.digest.hex())));
}

#[test]
fn a_registry_with_lists_of_referrers_gets_no_tag() {
    let entries: Arc<Mutex<Vec<Value>>> = Arc::default();
    let listed = Arc::clone(&entries);
    let server = PushServer::start(move |asked| {
        if asked.method == "PUT"
            && let Ok(manifest) = serde_json::from_slice::<Value>(&asked.bytes)
            && manifest["subject"].is_object()
        {
            listed.lock().unwrap().push(json!({
                "mediaType": MANIFEST, "digest": Digest::of(&asked.bytes), "size": asked.bytes.len(),
                "artifactType": manifest["artifactType"],
            }));
        }
        asked.path().contains("/referrers/").then(|| {
            let index =
                json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": *listed.lock().unwrap() });
            Answer::new(200, index.to_string()).with("Content-Type", INDEX)
        })
    });
    let bench = Bench::new();
    let pushed = bench.push(&server.app(), &Artifact::new(&blobs(1, 2, 1000))).unwrap();
    let referrer = bench.refer(&server.app(), &statement(&pushed, b"one"));
    assert_eq!(entries.lock().unwrap()[0]["digest"], referrer.digest.to_string());
    assert_eq!(server.store.manifest("app", &format!("sha256-{}", pushed.digest.hex())), None);
    assert!(server.store.manifest("app", &referrer.digest.to_string()).is_some());
}

#[test]
fn an_artifact_without_a_subject_refers_to_nothing() {
    let bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 1, 10));
    let to_push = banger_oci::ArtifactToPush::new(&artifact.manifest, &artifact.config, &artifact);
    let target = format!("oci:{}", bench.path().join("layout")).parse().unwrap();
    let refused = puller().push_referrer(&target, &to_push, &bench.options, &Progress::none(), &bench.cancel);
    assert_eq!(refused.unwrap_err().code(), 1261);
    assert!(!bench.path().join("layout").exists());
}

#[test]
fn a_registry_that_refuses_the_signature_is_named() {
    let server = PushServer::start(|asked| {
        let is_signature = asked.method == "PUT" && asked.path().ends_with(".sig");
        is_signature.then(|| Answer::new(403, r#"{"errors":[{"code":"DENIED","message":"tags are fixed"}]}"#))
    });
    let bench = Bench::new();
    let key = require!(KeyFiles::p256(&bench, "a"));
    let pushed = bench.push(&server.app(), &Artifact::new(&blobs(1, 1, 10))).unwrap();
    let error = bench.sign(&server.app(), &pushed.digest, &key).unwrap_err();
    assert!(error.code() != 1312 && error.to_string().contains("tags are fixed"), "{error}");
    bench.cancel.cancel();
    let error = bench.sign(&server.app(), &pushed.digest, &key).unwrap_err();
    assert_eq!(error.kind(), banger_tree::ErrorKind::Cancelled, "{error}");
}
