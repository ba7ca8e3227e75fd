//! Pulls under a policy: signatures by the real cosign, and all that must be refused.

use std::collections::BTreeMap;

use banger_oci::{Digest, PublicKey, PullError, PulledImage, SignaturePlace, TrustError, TrustPolicy};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::Utf8PathBuf;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::pull_local::write_layout;
use crate::pull_support::*;

const SIGNED_NAME: &str = "registry.example/team/app";
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

fn vectors() -> Utf8PathBuf {
    Utf8PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cosign")
}

fn files(dir: &str) -> BTreeMap<String, Vec<u8>> {
    let path = vectors().join(dir);
    let Ok(entries) = path.read_dir_utf8() else { return BTreeMap::new() };
    entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_owned(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

fn media_type(document: &[u8]) -> String {
    let document: Value = serde_json::from_slice(document).unwrap();
    document["mediaType"].as_str().unwrap().to_owned()
}

/// A store with the image, and with the documents of `dirs`.
fn store_of(dirs: &[&str]) -> Store {
    let mut store = Store::default();
    for dir in ["image"].iter().chain(dirs) {
        for (name, bytes) in files(&format!("{dir}/manifests")) {
            for name in [name, Digest::of(&bytes).to_string()] {
                store.manifests.insert(name, (media_type(&bytes), bytes.clone()));
            }
        }
        for bytes in files(&format!("{dir}/digests")).into_values() {
            store.manifests.insert(Digest::of(&bytes).to_string(), (media_type(&bytes), bytes));
        }
        for bytes in files(&format!("{dir}/blobs")).into_values() {
            store.blob(&bytes);
        }
    }
    store
}

fn key(name: &str) -> PublicKey {
    PublicKey::read(&vectors().join(format!("{name}.pub"))).unwrap()
}

/// A policy that wants a signature by the key `name` with the name of the signed repository.
fn policy(name: &str) -> TrustPolicy {
    policy_with(name, &json!({ "type": "exactRepository", "dockerRepository": SIGNED_NAME }))
}

fn policy_with(name: &str, identity: &Value) -> TrustPolicy {
    let path = vectors().join(format!("{name}.pub"));
    let requirement = json!({ "type": "sigstoreSigned", "keyPath": path, "signedIdentity": identity });
    TrustPolicy::parse(json!({ "default": [requirement] }).to_string().as_bytes(), "p.json").unwrap()
}

/// Pulls the image under a policy. Fails the test if a blob of the image was asked for before it was trusted.
fn pull_with(store: Store, policy: TrustPolicy) -> Result<PulledImage, PullError> {
    let server = Server::plain(store);
    let mut bench = Bench::new();
    bench.options.trust = Some(policy);
    let pulled = bench.pull(&format!("{}/team/app:1", server.host()));
    if let Err(error) = &pulled {
        assert_one_line(error);
        for name in files("image/blobs").keys() {
            assert_eq!(server.count("GET", name), 0, "{error}");
        }
        assert!(bench.cache.list().unwrap().len() <= 2, "nothing but the manifest and the index");
    }
    pulled
}

fn code(store: Store, policy: TrustPolicy) -> u32 {
    pull_with(store, policy).unwrap_err().code()
}

fn image_digest() -> Digest {
    Digest::of(&files("image/manifests")["1"])
}

fn signature_tag() -> String {
    format!("sha256-{}.sig", image_digest().hex())
}

/// Changes the document under a name of the store; it gets the right digest.
fn edit(store: &mut Store, name: &str, change: impl FnOnce(&mut Value)) {
    let (kind, bytes) = store.manifests[name].clone();
    let mut document = serde_json::from_slice(&bytes).unwrap();
    change(&mut document);
    store.manifests.insert(name.to_owned(), (kind, serde_json::to_vec(&document).unwrap()));
}

#[test]
fn signatures_by_cosign_are_accepted() {
    for (dir, key_name, found_by) in [
        ("p256", "p256", SignaturePlace::Tag),
        ("p384", "p384", SignaturePlace::Tag),
        ("ed25519", "ed25519", SignaturePlace::Tag),
        ("rsa", "rsa", SignaturePlace::Tag),
        ("referrers", "p256", SignaturePlace::ReferrersTag),
    ] {
        let image =
            pull_with(store_of(&[dir]), policy(key_name)).unwrap_or_else(|error| panic!("{dir}: {error}"));
        let [signature] = &image.signatures[..] else { panic!("{dir}: {:?}", image.signatures) };
        assert_eq!(signature.key, *key(key_name).fingerprint(), "{dir}");
        assert_eq!((&signature.digest, signature.found_by), (&image.digest, found_by), "{dir}");
        assert_eq!(signature.identity.as_deref(), Some(SIGNED_NAME), "{dir}");
        let payload = files(&format!("{dir}/blobs"));
        assert!(payload.contains_key(signature.payload_digest.hex()), "{dir}");
        for other in
            ["p256", "p384", "ed25519", "rsa", "bundle"].into_iter().filter(|other| *other != key_name)
        {
            assert_eq!(code(store_of(&[dir]), policy(other)), 1221, "{dir} by {other}");
        }
    }
}

#[test]
fn signatures_by_other_schemes_are_accepted() {
    for (scheme, key_name) in [
        ("p384-sha256", "p384"),
        ("p384-sha384", "p384"),
        ("rsa-pkcs1", "rsa"),
        ("rsa-pss", "rsa"),
        ("ed25519", "ed25519"),
    ] {
        let signature = String::from_utf8(files("openssl")[&format!("{scheme}.sig")].clone()).unwrap();
        let mut store = store_of(&["p256"]);
        edit(&mut store, &signature_tag(), |document| {
            document["layers"][0]["annotations"][SIGNATURE] = signature.clone().into();
        });
        pull_with(store.clone(), policy(key_name)).unwrap_or_else(|error| panic!("{scheme}: {error}"));
        assert_eq!(code(store, policy("p256")), 1221, "{scheme}");
    }
}

#[test]
fn a_signature_of_the_index_is_enough() {
    let index = Digest::of(&files("index/manifests")["1"]);
    let image = pull_with(store_of(&["index"]), policy("p256")).unwrap();
    assert_eq!(image.index_digest.as_ref(), Some(&index));
    assert_eq!(image.signatures[0].digest, index);
    let image = pull_with(store_of(&["index", "p384"]), policy("p384")).unwrap();
    assert_eq!(image.signatures[0].digest, image.digest, "that of the manifest counts, too");
    let mut store = store_of(&["index", "p256"]);
    store.manifests.retain(|name, _| !name.ends_with(".sig"));
    assert_eq!(code(store, policy("p256")), 1220);
}

#[test]
fn bundles_are_accepted_where_no_name_is_wanted() {
    let image = pull_with(store_of(&["bundle"]), TrustPolicy::of_keys([key("p256"), key("bundle")])).unwrap();
    let [signature] = &image.signatures[..] else { panic!("{:?}", image.signatures) };
    assert_eq!((signature.identity.as_deref(), signature.found_by), (None, SignaturePlace::ReferrersTag));
    assert_eq!(code(store_of(&["bundle"]), policy("bundle")), 1223, "it names no image");
    assert_eq!(code(store_of(&["bundle"]), TrustPolicy::of_keys([key("p256")])), 1221);
    assert_eq!(code(store_of(&["bundle-attested"]), TrustPolicy::of_keys([key("bundle")])), 1224);
    for (field, wanted) in
        [("verificationMaterial", 1231), ("messageSignature", 1231), ("dsseEnvelope", 1225)]
    {
        let mut store = store_of(&["bundle"]);
        let (_, bundle) = files("bundle/blobs").into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
        let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
        bundle[field] = match field {
            "verificationMaterial" => json!({ "certificate": { "rawBytes": "AA==" } }),
            "messageSignature" => json!({ "signature": "AA==" }),
            _ => Value::Null,
        };
        let bytes = serde_json::to_vec(&bundle).unwrap();
        let digest = store.blob(&bytes);
        let name = files("bundle/digests").into_keys().next().unwrap();
        edit(&mut store, &format!("sha256:{name}"), |document| {
            document["layers"][0]["digest"] = digest.to_string().into();
            document["layers"][0]["size"] = bytes.len().into();
        });
        let (kind, manifest) = store.manifests.remove(&format!("sha256:{name}")).unwrap();
        let (manifest_digest, size) = (Digest::of(&manifest).to_string(), manifest.len());
        store.manifests.insert(manifest_digest.clone(), (kind, manifest));
        edit(&mut store, &format!("sha256-{}", image_digest().hex()), |document| {
            document["manifests"][0]["digest"] = manifest_digest.into();
            document["manifests"][0]["size"] = size.into();
        });
        assert_eq!(code(store, TrustPolicy::of_keys([key("bundle")])), wanted, "{field}");
    }
}

#[test]
fn one_changed_bit_anywhere_is_refused() {
    let payload = files("p256/blobs").into_values().find(|bytes| bytes.starts_with(b"{\"critical")).unwrap();
    let signature = {
        let document: Value = serde_json::from_slice(&files("p256/manifests")[&signature_tag()]).unwrap();
        STANDARD.decode(document["layers"][0]["annotations"][SIGNATURE].as_str().unwrap()).unwrap()
    };
    let replaced = |payload: &[u8], signature: &[u8]| {
        let mut store = store_of(&["p256"]);
        let digest = store.blob(payload);
        edit(&mut store, &signature_tag(), |document| {
            document["layers"][0]["digest"] = digest.to_string().into();
            document["layers"][0]["annotations"][SIGNATURE] = STANDARD.encode(signature).into();
        });
        store
    };
    pull_with(replaced(&payload, &signature), policy("p256")).unwrap();
    for at in (0..payload.len()).step_by(19) {
        let mut payload = payload.clone();
        payload[at] ^= 1;
        assert_eq!(code(replaced(&payload, &signature), policy("p256")), 1221, "byte {at} of the payload");
    }
    for at in 0..signature.len() {
        let mut signature = signature.clone();
        signature[at] ^= 1;
        assert_eq!(code(replaced(&payload, &signature), policy("p256")), 1221, "byte {at} of the signature");
    }
    // A payload that is not the blob that the document names.
    let mut store = store_of(&["p256"]);
    *store.blobs.get_mut(&Digest::of(&payload).to_string()).unwrap() = vec![b'x'; payload.len()];
    assert_eq!(code(store, policy("p256")), 1225);
    let pem = std::fs::read_to_string(vectors().join("p256.pub")).unwrap();
    for at in (0..pem.len()).filter(|at| pem.as_bytes()[*at].is_ascii_alphanumeric()) {
        let mut changed = pem.clone().into_bytes();
        changed[at] ^= 1;
        let accepted = PublicKey::parse(&changed, "changed.pub")
            .map(|key| pull_with(store_of(&["p256"]), TrustPolicy::of_keys([key])).is_ok());
        assert_ne!(accepted, Ok(true), "byte {at} of the key");
    }
    // Another manifest under the tag has no signature.
    let mut store = store_of(&["p256"]);
    edit(&mut store, "1", |document| document["annotations"] = json!({ "a": "b" }));
    assert_eq!(code(store, policy("p256")), 1220);
}

#[test]
fn an_attestation_is_no_signature() {
    let mut store = store_of(&["attested"]);
    assert_eq!(code(store.clone(), policy("p256")), 1220, "it is under a tag of its own");
    let (_, attestation) = store.manifests.iter().find(|(name, _)| name.ends_with(".att")).unwrap();
    let attestation = attestation.clone();
    store.manifests.insert(signature_tag(), attestation);
    assert_eq!(code(store, policy("p256")), 1224);
}

/// A key of this test, which signs any payload.
struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        Self { pair, random }
    }

    fn key(&self) -> PublicKey {
        // The head of a SubjectPublicKeyInfo of a point on P-256.
        let mut der = vec![
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        der.extend_from_slice(self.pair.public_key().as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
        PublicKey::parse(pem.as_bytes(), "test.pub").unwrap()
    }

    fn layer(&self, store: &mut Store, payload: &[u8]) -> Value {
        let signature = self.pair.sign(&self.random, payload).unwrap();
        json!({
            "mediaType": PAYLOAD, "digest": store.blob(payload), "size": payload.len(),
            "annotations": { SIGNATURE: STANDARD.encode(signature.as_ref()) },
        })
    }

    /// Puts signatures of these names and digests under the tag.
    fn sign(&self, store: &mut Store, payloads: &[Vec<u8>]) {
        let layers: Vec<Value> = payloads.iter().map(|payload| self.layer(store, payload)).collect();
        put_signatures(store, &layers);
    }
}

fn put_signatures(store: &mut Store, layers: &[Value]) {
    let config = json!({ "mediaType": CONFIG, "digest": store.blob(b"{}"), "size": 2 });
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    store.manifest(Some(&signature_tag()), MANIFEST, &manifest);
}

fn payload(name: &str, digest: &Digest, kind: &str) -> Vec<u8> {
    let critical = json!({
        "identity": { "docker-reference": name }, "image": { "docker-manifest-digest": digest }, "type": kind,
    });
    json!({ "critical": critical, "optional": null }).to_string().into_bytes()
}

const KIND: &str = "cosign container image signature";

#[test]
fn what_a_right_key_signed_is_judged_by_its_words() {
    let signer = Signer::new();
    let host_policy = || TrustPolicy::of_keys([signer.key()]);
    let server = |store: &Store| Server::plain(store.clone());
    let pull = |store: &Store, host_in: &dyn Fn(&str) -> Vec<Vec<u8>>| {
        let mut store = store.clone();
        // The name in a signature has the port of the server, so the server comes first.
        let slot: std::sync::Arc<std::sync::Mutex<Store>> = std::sync::Arc::default();
        let shared = std::sync::Arc::clone(&slot);
        let running =
            Server::start(Store::default(), move |asked| Some(shared.lock().unwrap().answer(asked)));
        signer.sign(&mut store, &host_in(&running.host()));
        *slot.lock().unwrap() = store;
        let mut bench = Bench::new();
        bench.options.trust = Some(host_policy());
        bench.pull(&format!("{}/team/app:1", running.host())).map(|_| ()).map_err(|error| error.code())
    };
    let store = store_of(&[]);
    drop(server(&store));
    let own = image_digest();
    let other = Digest::of(b"other");
    let one = |bytes: Vec<u8>| vec![bytes];
    assert_eq!(pull(&store, &|host| one(payload(&format!("{host}/team/app"), &own, KIND))), Ok(()));
    assert_eq!(pull(&store, &|host| one(payload(&format!("{host}/team/app:9"), &own, KIND))), Ok(()));
    assert_eq!(
        pull(&store, &|host| one(payload(&format!("{host}/team/app"), &own, "atomic container signature"))),
        Ok(())
    );
    assert_eq!(pull(&store, &|host| one(payload(&format!("{host}/team/app"), &other, KIND))), Err(1222));
    assert_eq!(pull(&store, &|host| one(payload(&format!("{host}/team/other"), &own, KIND))), Err(1223));
    assert_eq!(pull(&store, &|_| one(payload(EVIL, &own, KIND))), Err(1223));
    assert_eq!(
        pull(&store, &|host| one(payload(&format!("{host}/team/app"), &own, "attestation"))),
        Err(1224)
    );
    assert_eq!(pull(&store, &|_| one(b"{}".to_vec())), Err(1225));
    // A right one among others.
    let mixed = |host: &str| {
        let name = format!("{host}/team/app");
        vec![
            b"x".to_vec(),
            payload(&name, &other, KIND),
            payload("z", &own, KIND),
            payload(&name, &own, KIND),
        ]
    };
    assert_eq!(pull(&store, &mixed), Ok(()));
}

#[test]
fn signatures_are_bounded() {
    let signer = Signer::new();
    let mut store = store_of(&[]);
    let many: Vec<Vec<u8>> = (0..70).map(|number| payload("a/b", &Digest::of(&[number]), KIND)).collect();
    signer.sign(&mut store, &many);
    let server = Server::plain(store);
    let mut bench = Bench::new();
    bench.options.trust = Some(TrustPolicy::of_keys([signer.key()]));
    let error = bench.pull(&format!("{}/team/app:1", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Trust(TrustError::TooManySignatures { .. })), "{error}");
    let blobs = server.asked().iter().filter(|asked| asked.target.contains("/blobs/")).count();
    assert_eq!(blobs, 64);
    // A payload that is too large is not fetched.
    let mut store = store_of(&[]);
    let large = vec![b' '; 300 << 10];
    signer.sign(&mut store, std::slice::from_ref(&large));
    let server = Server::plain(store);
    let error = bench.pull(&format!("{}/team/app:1", server.host())).unwrap_err();
    assert_eq!(error.code(), 1225, "{error}");
    assert_eq!(server.count("GET", &Digest::of(&large).to_string()), 0);
}

#[test]
fn the_rule_of_the_policy_decides() {
    let accept = json!([{ "type": "insecureAcceptAnything" }]);
    let reject = json!([{ "type": "reject" }]);
    let signed_by = json!([{ "type": "signedBy", "keyType": "GPGKeys", "keyPath": "/none" }]);
    let fulcio =
        json!([{ "type": "sigstoreSigned", "fulcio": { "caPath": "/none" }, "rekorPublicKeyPath": "/none" }]);
    let missing = json!([{ "type": "sigstoreSigned", "keyPath": "/no/such/key" }]);
    let key_data = STANDARD.encode(std::fs::read(vectors().join("p256.pub")).unwrap());
    let identity = json!({ "type": "exactRepository", "dockerRepository": SIGNED_NAME });
    let signed = json!([
        { "type": "insecureAcceptAnything" },
        { "type": "sigstoreSigned", "keyDatas": ["eA==", key_data], "signedIdentity": identity },
    ]);
    let good = json!([{ "type": "sigstoreSigned", "keyData": key_data, "signedIdentity": identity }]);
    for (default, docker, wanted) in [
        (&accept, json!({}), None),
        (&reject, json!({}), Some(1226)),
        (&reject, json!({ "": accept }), None),
        (&reject, json!({ "127.0.0.1:PORT/team": accept, "": reject }), None),
        (
            &accept,
            json!({ "127.0.0.1:PORT/team/app:1": reject, "127.0.0.1:PORT/team/app": accept }),
            Some(1226),
        ),
        (&accept, json!({ "127.0.0.1:PORT/tea": reject }), None),
        (&accept, json!({ "*.0.0.1": signed_by }), Some(1227)),
        (&accept, json!({ "127.0.0.1:PORT": fulcio }), Some(1227)),
        (&accept, json!({ "127.0.0.1:PORT": missing }), Some(1229)),
        (&accept, json!({ "127.0.0.1:PORT": signed }), Some(1229)),
        (&accept, json!({ "127.0.0.1:PORT": good }), None),
        (&signed_by, json!({ "": good }), None),
    ] {
        let server = Server::plain(store_of(&["p256"]));
        let port = server.host().split(':').next_back().unwrap().to_owned();
        let text = json!({ "default": default, "transports": { "docker": docker } }).to_string();
        let policy = TrustPolicy::parse(text.replace("PORT", &port).as_bytes(), "p.json").unwrap();
        let mut bench = Bench::new();
        bench.options.trust = Some(policy);
        let pulled = bench.pull(&format!("{}/team/app:1", server.host()));
        let found = pulled.as_ref().err().map(banger_tree::Failure::code);
        assert_eq!(found, wanted, "{text}");
        if matches!(wanted, Some(1226 | 1227 | 1229)) {
            assert_eq!(server.asked().len(), 0, "nothing is asked for: {text}");
        }
    }
}

#[test]
fn policy_files_and_keys_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().join("p.json")).unwrap();
    assert_eq!(TrustPolicy::read(&path).unwrap_err().code(), 1228);
    std::fs::write(&path, r#"{"default":[{"type":"new"}]}"#).unwrap();
    let error = TrustPolicy::read(&path).unwrap_err();
    assert!(error.code() == 1228 && error.to_string().contains("new"), "{error}");
    assert_eq!(TrustPolicy::read(&path.with_file_name("")).unwrap_err().code(), 1228, "a directory");
    let p256 = std::fs::read_to_string(vectors().join("p256.pub")).unwrap();
    for (text, reason) in [
        (String::new(), "no PEM"),
        ("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned(), "certificate"),
        ("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAA==\n".to_owned(), "private key"),
        (format!("{p256}{p256}"), "more than one"),
        (p256.replace("END", "ENDE"), "damaged"),
        (p256.replace("MFkw", "MFkx"), "not a SubjectPublicKeyInfo"),
    ] {
        let error = PublicKey::parse(text.as_bytes(), "k.pub").unwrap_err();
        assert!(error.code() == 1229 && error.to_string().contains(reason), "{reason}: {error}");
    }
}

#[test]
fn signatures_in_layouts_and_archives() {
    let bench_dir = tempfile::tempdir().unwrap();
    let dir = Utf8PathBuf::from_path_buf(bench_dir.path().join("layout")).unwrap();
    let entry = |store: &Store, name: &str, tag: Option<&str>| {
        let (kind, bytes) = &store.manifests[name];
        let mut entry = json!({ "mediaType": kind, "digest": Digest::of(bytes), "size": bytes.len() });
        if let Some(tag) = tag {
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        }
        entry
    };
    let mut bench = Bench::new();
    let reference = format!("oci:{dir}:1");
    for (vector, key_name, found_by) in [
        ("p256", "p256", Some(SignaturePlace::Tag)),
        ("referrers", "p256", Some(SignaturePlace::Referrers)),
        ("bundle", "bundle", Some(SignaturePlace::Referrers)),
        ("attested", "p256", None),
    ] {
        let store = store_of(&[vector]);
        let mut entries = vec![entry(&store, "1", Some("1"))];
        if vector == "p256" {
            entries.push(entry(&store, &signature_tag(), Some(&signature_tag())));
        }
        for name in files(&format!("{vector}/digests")).keys() {
            entries.push(entry(&store, &format!("sha256:{name}"), None));
        }
        write_layout(&dir, &store, &json!({ "schemaVersion": 2, "manifests": entries }));
        bench.options.trust = Some(TrustPolicy::of_keys([key(key_name)]));
        match (bench.pull(&reference), found_by) {
            (Ok(image), Some(found_by)) => assert_eq!(image.signatures[0].found_by, found_by, "{vector}"),
            (Err(error), None) => assert_eq!(error.code(), 1220, "{error}"),
            (pulled, _) => panic!("{vector}: {pulled:?}"),
        }
        bench.options.trust = Some(TrustPolicy::of_keys([key("rsa")]));
        let wanted = if found_by.is_some() { 1221 } else { 1220 };
        assert_eq!(bench.pull(&reference).unwrap_err().code(), wanted, "{vector}");
    }
    // A layout has no name of its own.
    bench.options.trust = Some(policy_with("p256", &json!({ "type": "matchRepository" })));
    let store = store_of(&["p256"]);
    let entries = [entry(&store, "1", Some("1")), entry(&store, &signature_tag(), Some(&signature_tag()))];
    write_layout(&dir, &store, &json!({ "schemaVersion": 2, "manifests": entries }));
    assert_eq!(bench.pull(&reference).unwrap_err().code(), 1223);
    bench.options.trust = Some(policy("p256"));
    bench.pull(&reference).unwrap();
    bench.options.trust = Some(policy("p256"));
    let archive = dir.join("a.tar");
    std::fs::write(&archive, [0; 1024]).unwrap();
    let error = bench.pull(&format!("docker-archive:{archive}")).unwrap_err();
    assert!(matches!(error.code(), 1232 | 116), "{error}");
}

#[test]
fn the_api_of_referrers_is_asked_and_its_failures_end_the_pull() {
    let document = files("referrers/digests").into_values().next().unwrap();
    let artifact = "application/vnd.dev.cosign.artifact.sig.v1+json";
    let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        { "mediaType": MANIFEST, "digest": Digest::of(b"no"), "size": 2, "artifactType": "application/spdx+json" },
        { "mediaType": MANIFEST, "digest": Digest::of(&document), "size": document.len(), "artifactType": artifact },
    ]});
    for (status, wanted) in [
        (200, Ok(SignaturePlace::Referrers)),
        (404, Ok(SignaturePlace::ReferrersTag)),
        (405, Ok(SignaturePlace::ReferrersTag)),
        (403, Err(103)),
    ] {
        let list = list.to_string();
        let server = Server::start(store_of(&["referrers"]), move |asked| {
            asked
                .path()
                .contains("/referrers/sha256:")
                .then(|| Answer::new(status, list.clone()).with("Content-Type", INDEX))
        });
        let mut bench = Bench::new();
        bench.options.trust = Some(policy("p256"));
        let pulled = bench.pull(&format!("{}/team/app:1", server.host()));
        let found = pulled.map(|image| image.signatures[0].found_by).map_err(|error| error.code());
        assert_eq!(found, wanted, "{status}");
    }
}
