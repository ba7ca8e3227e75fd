//! Pulls from a scripted registry.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use banger_oci::flatten::{FlattenError, FlattenOptions};
use banger_oci::{Credential, CredentialSource, Digest, PullError, PullEvent};
use banger_tree::Setting;
use base64::Engine as _;
use serde_json::{Value, json};

use crate::pull_support::*;

const MIB: usize = 1 << 20;

fn simple() -> (Store, Vec<Vec<u8>>) {
    let mut store = Store::default();
    let layers = vec![noise(1, 3 * MIB), noise(2, 10), noise(3, MIB)];
    store.image(Some("t"), "linux/amd64", &layers);
    (store, layers)
}

fn is_layer(asked: &Asked, layer: &[u8]) -> bool {
    asked.target.ends_with(&format!("/blobs/{}", Digest::of(layer)))
}

#[test]
fn pulls_once_and_then_from_the_cache() {
    let (store, layers) = simple();
    let server = Server::plain(store);
    let bench = Bench::new();
    let tag = format!("{}/r:t", server.host());
    let image = bench.pull(&tag).unwrap();
    assert_eq!(read_layers(&image).unwrap(), layers);
    let by_digest = format!("{}/r@{}", server.host(), image.digest);
    image.finish().unwrap();
    for layer in &layers {
        assert_eq!(server.count("GET", &Digest::of(layer).to_string()), 1);
    }
    let before = server.asked().len();
    assert_eq!(bench.read(&tag).unwrap(), layers);
    assert_eq!(server.asked().len(), before + 1, "a tag costs one question");
    drop(server);
    assert_eq!(bench.read(&by_digest).unwrap(), layers, "a digest costs none");
    let error = bench.read(&tag).unwrap_err();
    assert!(matches!(&error, PullError::Unreachable { .. }), "{error}");
    assert!(told(&error).contains("by digest"), "{error}");
}

#[test]
fn local_registries_fall_back_to_plain_http() {
    let (store, layers) = simple();
    let server = Server::plain(store);
    let mut bench = Bench::new();
    bench.options.plain_http = false;
    assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers);
}

#[test]
fn unknown_tags_say_so() {
    let server = Server::plain(simple().0);
    let error = Bench::new().pull(&format!("{}/r:nope", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
    assert!(error.to_string().contains("r:nope") && !error.to_string().contains('\n'), "{error}");
}

#[test]
fn b32_a_digest_header_is_checked_before_use() {
    let server = Server::start(simple().0, |asked| {
        let bad = "sha256:../../../../etc/passwd";
        (asked.method == "HEAD").then(|| Answer::new(200, "").with("Docker-Content-Digest", bad))
    });
    let error = Bench::new().pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Malformed { .. }), "{error}");
}

#[test]
fn b33_ambiguous_manifests_are_refused() {
    let mut store = Store::default();
    let (image, _) = store.image(None, "linux/amd64", &[noise(1, 10)]);
    let mut both = image.clone();
    both["manifests"] = json!([]);
    store.manifest(Some("both"), MANIFEST, &both);
    store.manifest(Some("type"), INDEX, &image);
    let mut untyped = image.clone();
    untyped.as_object_mut().unwrap().remove("mediaType");
    store.manifest(Some("untyped"), INDEX, &untyped);
    untyped["annotations"] = json!({ "another": "digest" });
    store.manifest(Some("good"), MANIFEST, &untyped);
    let server = Server::plain(store);
    for tag in ["both", "type", "untyped"] {
        let error = Bench::new().pull(&format!("{}/r:{tag}", server.host())).unwrap_err();
        assert!(matches!(&error, PullError::Malformed { .. }), "{tag}: {error}");
    }
    Bench::new().read(&format!("{}/r:good", server.host())).unwrap();
}

#[test]
fn b34_wrong_blobs_are_refused_and_not_kept() {
    let (store, layers) = simple();
    let victim = layers[0].clone();
    let same_size = noise(9, victim.len());
    let shorter = victim[..victim.len() - 1].to_vec();
    let longer = [&victim[..], b"x"].concat();
    for wrong in [same_size, shorter, longer] {
        let target = victim.clone();
        let server = Server::start(store.clone(), move |asked| {
            is_layer(asked, &target).then(|| Answer::new(200, wrong.clone()))
        });
        let bench = Bench::new();
        let error = bench.read(&format!("{}/r:t", server.host())).unwrap_err();
        let digest = Digest::of(&victim);
        assert!(matches!(&error, PullError::Mismatch { digest: named, .. } if *named == digest));
        assert!(!bench.cache.contains(&digest));
        assert!(!bench.cache.partial_path(&digest).exists());
    }
}

#[test]
fn b34_a_damaged_cache_is_noticed() {
    let (store, layers) = simple();
    let server = Server::plain(store);
    let bench = Bench::new();
    let reference = format!("{}/r:t", server.host());
    bench.read(&reference).unwrap();
    let digest = Digest::of(&layers[2]);
    std::fs::write(bench.cache.blob_path(&digest), noise(7, layers[2].len())).unwrap();
    let error = bench.read(&reference).unwrap_err();
    assert!(matches!(&error, PullError::Mismatch { digest: named, .. } if *named == digest));
    assert!(!bench.cache.contains(&digest), "it is removed");
    assert_eq!(bench.read(&reference).unwrap(), layers, "and fetched again");
    // Damaged manifests and configurations, and blobs of the wrong size, heal at once.
    for entry in bench.cache.list().unwrap() {
        std::fs::write(&entry.path, b"{}").unwrap();
    }
    assert_eq!(bench.read(&reference).unwrap(), layers);
    assert!(bench.events().iter().any(|event| matches!(event, PullEvent::CacheDamaged { .. })));
}

#[test]
fn b34_a_layer_without_its_diff_id_is_not_kept() {
    let mut store = Store::default();
    let tar = crate::tarball::Tar::new().file("f", "1").end();
    let (mut image, _) = store.image(None, "linux/amd64", std::slice::from_ref(&tar));
    image["config"] = store.config("linux/amd64", &[b"another".to_vec()]);
    store.manifest(Some("t"), MANIFEST, &image);
    let server = Server::plain(store);
    let (bench, digest) = (Bench::new(), Digest::of(&tar));
    let reference = format!("{}/r:t", server.host());
    // As it comes from the network, and as it is found in the cache.
    for cached in [false, true] {
        if cached {
            bench.pull(&reference).unwrap().finish().unwrap();
            assert!(bench.cache.contains(&digest));
        }
        let image = bench.pull(&reference).unwrap();
        let error = crate::layers::apply_layers(&image.layers, &FlattenOptions::default()).unwrap_err();
        assert!(matches!(&error, FlattenError::DiffId { .. }), "{error}");
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
        assert!(!bench.cache.contains(&digest), "cached: {cached}");
    }
}

/// A registry that wants a bearer token, and the token server in it.
fn bearer_script(
    port: Arc<AtomicUsize>,
    token_of: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    accepts: impl Fn(&str, &Asked) -> bool + Send + Sync + 'static,
) -> impl Fn(&Asked) -> Option<Answer> + Send + Sync {
    move |asked| {
        if asked.path() == "/token" {
            return Some(token_of(asked));
        }
        let token = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if token.is_some_and(|token| accepts(token, asked)) {
            return None;
        }
        let port = port.load(Ordering::SeqCst);
        let challenge = format!(
            "bEaReR ReAlM=\"http://127.0.0.1:{port}/token\",Service=\"svc\",SCOPE=\"repository:r:pull,x\""
        );
        Some(
            Answer::new(401, "")
                .with("WWW-Authenticate", "Basic realm=\"x\"")
                .with("www-authenticate", challenge),
        )
    }
}

fn start_bearer(
    store: Store,
    token_of: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    accepts: impl Fn(&str, &Asked) -> bool + Send + Sync + 'static,
) -> Server {
    let port = Arc::new(AtomicUsize::new(0));
    let server = Server::start(store, bearer_script(Arc::clone(&port), token_of, accepts));
    port.store(server.port.into(), Ordering::SeqCst);
    server
}

#[test]
fn b35_bearer_is_preferred_and_the_scope_honoured() {
    let (store, layers) = simple();
    for field in ["token", "access_token"] {
        let answer = move |_: &Asked| Answer::new(200, json!({ field: "secret" }).to_string());
        let server = start_bearer(store.clone(), answer, |token, _| token == "secret");
        assert_eq!(Bench::new().read(&format!("{}/r:t", server.host())).unwrap(), layers);
        let asked = server.asked();
        let tokens: Vec<_> = asked.iter().filter(|asked| asked.path() == "/token").collect();
        assert_eq!(tokens.len(), 1);
        assert!(tokens[0].target.contains("service=svc"), "{}", tokens[0].target);
        assert!(tokens[0].target.contains("scope=repository%3Ar%3Apull%2Cx"), "{}", tokens[0].target);
        assert_eq!(tokens[0].header("authorization"), None, "anonymous");
    }
}

#[test]
fn b35_a_token_that_ends_in_mid_pull_is_renewed_once() {
    let (store, layers) = simple();
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&issued);
    let server = start_bearer(
        store.clone(),
        move |_| {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            Answer::new(200, json!({ "token": format!("t{number}") }).to_string())
        },
        // The first token is good for manifests only.
        |token, asked| token == "t1" || (token == "t0" && asked.path().contains("/manifests/")),
    );
    assert_eq!(Bench::new().read(&format!("{}/r:t", server.host())).unwrap(), layers);
    assert_eq!(issued.load(Ordering::SeqCst), 2);
    // Not every registry repeats what it wants: then it still is what it was.
    let issued = Arc::new(AtomicUsize::new(0));
    let (counter, good) = (Arc::clone(&issued), Arc::clone(&issued));
    let port = Arc::new(AtomicUsize::new(0));
    let script = bearer_script(
        Arc::clone(&port),
        move |_| {
            let number = counter.fetch_add(1, Ordering::SeqCst);
            Answer::new(200, json!({ "token": format!("t{number}") }).to_string())
        },
        move |token, asked| token == "t1" || (token == "t0" && asked.path().contains("/manifests/")),
    );
    let server = Server::start(store.clone(), move |asked| {
        let mut answer = script(asked)?;
        if good.load(Ordering::SeqCst) > 0 && answer.status == 401 {
            answer.headers.clear();
        }
        Some(answer)
    });
    port.store(server.port.into(), Ordering::SeqCst);
    assert_eq!(Bench::new().read(&format!("{}/r:t", server.host())).unwrap(), layers);
    assert_eq!(issued.load(Ordering::SeqCst), 2);
    // One that is never accepted is not asked for again and again.
    let server =
        start_bearer(store, |_| Answer::new(200, json!({ "token": "bad" }).to_string()), |_, _| false);
    let error = Bench::new().pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Unauthorized { .. }), "{error}");
    assert_eq!(server.count("GET", "/token"), 1);
}

#[test]
fn b36_passwords_and_identity_tokens() {
    let (store, layers) = simple();
    let password = Credential::Password { user: "u".to_owned(), password: "p".to_owned() };
    let server = start_bearer(
        store.clone(),
        |asked| match asked.header("authorization") {
            Some("Basic dTpw") => Answer::new(200, json!({ "token": "ok" }).to_string()),
            _ => Answer::new(401, ""),
        },
        |token, _| token == "ok",
    );
    let reference = format!("{}/r:t", server.host());
    let mut bench = Bench::new();
    let error = bench.pull(&reference).unwrap_err();
    assert!(matches!(&error, PullError::Unauthorized { .. }), "{error}");
    bench.options.credentials = CredentialSource::Fixed(password);
    assert_eq!(bench.read(&reference).unwrap(), layers);

    for post_status in [200, 400, 401, 404, 405] {
        let server = start_bearer(
            store.clone(),
            move |asked| {
                let good = match asked.method.as_str() {
                    "POST" if post_status != 200 => return Answer::new(post_status, ""),
                    "POST" => {
                        asked.body.contains("grant_type=refresh_token")
                            && asked.body.contains("refresh_token=refresh%21")
                    }
                    _ => asked.header("authorization").is_some(),
                };
                assert!(good, "{asked:?}");
                Answer::new(200, json!({ "access_token": "ok" }).to_string())
            },
            |token, _| token == "ok",
        );
        let mut bench = Bench::new();
        let identity = Credential::IdentityToken("refresh!".to_owned());
        bench.options.credentials = CredentialSource::Fixed(identity);
        assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers);
    }
}

#[test]
fn b36_helpers_answer_hang_or_fail() {
    let (store, layers) = simple();
    let basic = |asked: &Asked| match asked.header("authorization") {
        Some("Basic dTpw") => None,
        _ => Some(Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\"")),
    };
    let server = Server::start(store, basic);
    let mut bench = Bench::new();
    let dir = bench.path();
    let answer = r#"read server; printf '{"ServerURL":"%s","Username":"u","Secret":"p"}' "$server""#;
    for (name, script) in [
        ("good", answer),
        ("none", "echo 'credentials not found in native keychain'; exit 1"),
        ("bad", "echo 'the keychain is locked'; exit 3"),
        ("hang", "sleep 60"),
        ("junk", "echo hello"),
    ] {
        let path = dir.join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let started = Instant::now();
    for (name, expected) in [
        ("good", None),
        ("none", Some("user name and a password")),
        ("bad", Some("the keychain is locked")),
        ("hang", Some("did not answer")),
        ("junk", Some("no credential")),
        ("absent", Some("cannot be started")),
        ("../../x", Some("name that no program may have")),
    ] {
        let config = dir.join("config.json");
        let value = json!({ "credHelpers": { server.host(): name } });
        std::fs::write(&config, value.to_string()).unwrap();
        bench.options.credentials = CredentialSource::Files {
            files: vec![config],
            helper_dir: Some(dir.clone()),
            helper_timeout: Duration::from_secs(2),
        };
        let outcome = bench.read(&format!("{}/r:t", server.host()));
        match expected {
            None => assert_eq!(outcome.unwrap(), layers),
            Some(text) => {
                let error = told(&outcome.unwrap_err());
                assert!(error.contains(text), "{name}: {error}");
            }
        }
    }
    assert!(started.elapsed() < Duration::from_secs(30), "the hanging helper was not stopped");
}

#[test]
fn b38_credentials_stay_at_the_registry() {
    let (store, layers) = simple();
    let elsewhere = Arc::new(Server::plain(store.clone()));
    let host = elsewhere.host();
    let server = Server::start(store, move |asked| {
        if asked.header("authorization").is_none() {
            return Some(Answer::new(401, "").with("WWW-Authenticate", "Basic"));
        }
        let location = format!("http://{host}{}", asked.target);
        asked.target.contains("/blobs/").then(|| Answer::new(307, "").with("Location", location))
    });
    let mut bench = Bench::new();
    bench.options.credentials =
        CredentialSource::Fixed(Credential::Password { user: "u".to_owned(), password: "p".to_owned() });
    assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers);
    let asked = elsewhere.asked();
    assert_eq!(asked.len(), layers.len() + 1);
    assert!(asked.iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn b38_refresh_tokens_stay_at_the_token_server() {
    let (store, _) = simple();
    let elsewhere = Server::plain(store.clone());
    let location = format!("http://{}/token", elsewhere.host());
    let server = start_bearer(
        store,
        move |asked| match asked.method.as_str() {
            "POST" => Answer::new(307, "").with("Location", location.clone()),
            _ => Answer::new(401, ""),
        },
        |_, _| false,
    );
    let mut bench = Bench::new();
    bench.options.credentials = CredentialSource::Fixed(Credential::IdentityToken("refresh!".to_owned()));
    let error = bench.pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Redirect { .. }), "{error}");
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
}

/// Some registries and proxies answer HEAD worse than GET.
#[test]
fn tags_are_found_where_head_is_refused() {
    let (store, layers) = simple();
    for status in [400, 403, 404, 405, 501] {
        let server = Server::start(store.clone(), move |asked| {
            (asked.method == "HEAD").then(|| Answer::new(status, ""))
        });
        let bench = Bench::new();
        assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers, "{status}");
        assert_eq!(bench.retries(), 0, "{status}");
    }
    // Or give the digest of something else there.
    let wrong = Digest::of(b"another representation").to_string();
    let server = Server::start(store, move |asked| {
        (asked.method == "HEAD").then(|| Answer::new(200, "").with("Docker-Content-Digest", wrong.clone()))
    });
    assert_eq!(Bench::new().read(&format!("{}/r:t", server.host())).unwrap(), layers);
}

#[test]
fn b39_failures_are_retried_visibly_and_not_for_ever() {
    let (store, layers) = simple();
    for (status, header) in
        [(429, "0"), (503, "Sun, 06 Nov 1994 08:49:37 GMT"), (502, ""), (507, ""), (522, "")]
    {
        let calls = AtomicUsize::new(0);
        let server = Server::start(store.clone(), move |_| {
            (calls.fetch_add(1, Ordering::SeqCst) % 3 != 2)
                .then(|| Answer::new(status, "busy").with("Retry-After", header))
        });
        let mut bench = Bench::new();
        bench.options.jobs = 1;
        assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers);
        assert!(bench.retries() >= 2);
    }
    let server = Server::start(store.clone(), |_| Some(Answer::new(503, "down")));
    let bench = Bench::new();
    let error = bench.pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Status { status: 503, .. }), "{error}");
    assert_eq!((server.count("HEAD", ""), server.count("GET", "")), (1, 5));
    assert_eq!(bench.retries(), 4);
}

#[test]
fn b39_stalls_are_noticed() {
    let (store, layers) = simple();
    let slow = AtomicUsize::new(0);
    let server = Server::start(store.clone(), move |asked| {
        let mut answer = store.answer(asked);
        if asked.target.contains("/blobs/") && slow.fetch_add(1, Ordering::SeqCst) == 0 {
            answer.delay = Duration::from_secs(6);
        }
        Some(answer)
    });
    let mut bench = Bench::new();
    // Long enough for a busy machine not to seem to stall.
    bench.options.stall_timeout = Duration::from_secs(2);
    assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers);
    assert_eq!(bench.retries(), 1);
}

#[test]
fn b40_broken_downloads_go_on_where_they_stopped() {
    let (store, layers) = simple();
    let (copy, target) = (store.clone(), layers[0].clone());
    let server =
        Server::start(store, move |asked| is_layer(asked, &target).then(|| copy.answer(asked).cut(MIB)));
    let bench = Bench::new();
    assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers);
    let asked = server.asked();
    let starts: Vec<_> = asked.iter().filter(|asked| is_layer(asked, &layers[0])).map(range_start).collect();
    assert_eq!(starts, [None, Some(MIB), Some(2 * MIB)]);
}

/// Bytes that came before are no progress: a layer is not fetched a hundred times.
#[test]
fn b39_a_server_without_ranges_that_breaks_off_is_given_up() {
    let (store, layers) = simple();
    let target = layers[0].clone();
    let server = Server::start(store, move |asked| {
        is_layer(asked, &target).then(|| Answer::new(200, target.clone()).cut(MIB))
    });
    let bench = Bench::new();
    let error = bench.read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
    assert!(matches!(&error, PullError::Unreachable { .. }), "{error}");
    assert_eq!(server.count("GET", Digest::of(&layers[0]).hex()), 5);
}

#[test]
fn b40_a_partial_file_of_a_killed_process_is_used() {
    let (store, layers) = simple();
    let digest = Digest::of(&layers[0]);
    let kept = 2 * MIB + 123;
    // What was left, and where the download is expected to begin. `None` is the whole.
    let good = layers[0][..kept].to_vec();
    let too_long = noise(1, layers[0].len() + 1);
    for (left, starts) in [
        (good, vec![Some(kept)]),
        (layers[0].clone(), vec![]),
        (too_long, vec![None]),
        (Vec::new(), vec![None]),
    ] {
        let server = Server::plain(store.clone());
        let bench = Bench::new();
        std::fs::write(bench.cache.partial_path(&digest), left).unwrap();
        assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers);
        let asked = server.asked();
        let found: Vec<_> =
            asked.iter().filter(|asked| is_layer(asked, &layers[0])).map(range_start).collect();
        assert_eq!(found, starts);
        assert!(!bench.cache.partial_path(&digest).exists());
    }
    // A damaged beginning is found by its hash, thrown away and fetched again.
    let server = Server::plain(store);
    let bench = Bench::new();
    std::fs::write(bench.cache.partial_path(&digest), noise(99, kept)).unwrap();
    let reference = format!("{}/r:t", server.host());
    bench.pull(&reference).unwrap().finish().unwrap();
    assert_eq!(bench.read(&reference).unwrap(), layers);
}

#[test]
fn b40_servers_that_get_ranges_wrong() {
    let (store, layers) = simple();
    let digest = Digest::of(&layers[0]);
    for case in ["wrong range", "no range", "whole", "not satisfiable", "bad request"] {
        let target = layers[0].clone();
        let server = Server::start(store.clone(), move |asked| {
            let start = range_start(asked).filter(|_| is_layer(asked, &target))?;
            let len = target.len();
            Some(match case {
                "wrong range" => Answer::new(206, &target[start - 1..len - 1])
                    .with("Content-Range", format!("bytes {}-{}/{len}", start - 1, len - 2)),
                "no range" => Answer::new(206, &target[start..]),
                "not satisfiable" => Answer::new(416, ""),
                "bad request" => Answer::new(400, "<Error/>"),
                _ => Answer::new(200, target.clone()),
            })
        });
        let bench = Bench::new();
        std::fs::write(bench.cache.partial_path(&digest), &layers[0][..MIB]).unwrap();
        assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers, "{case}");
        // A wrong range is asked for once more.
        let retries = match case {
            "whole" => 0,
            "wrong range" | "no range" => 2,
            _ => 1,
        };
        assert_eq!(bench.retries(), retries, "{case}");
    }
}

#[test]
fn b41_the_platform_is_found() {
    let mut store = Store::default();
    let mut entry = |platform: &str, seed: u32| {
        let (_, mut descriptor) = store.image(None, platform, &[noise(seed, 100)]);
        let mut parts = platform.split('/');
        descriptor["platform"] = json!({ "os": parts.next(), "architecture": parts.next() });
        if let Some(variant) = parts.next() {
            descriptor["platform"]["variant"] = json!(variant);
        }
        descriptor
    };
    let (v6, v7, amd64) = (entry("linux/arm/v6", 6), entry("linux/arm/v7", 7), entry("linux/amd64", 1));
    let riscv = entry("linux/riscv64", 9);
    let mut attestation = amd64.clone();
    attestation["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    let unknown = json!({ "mediaType": "application/vnd.example", "digest": amd64["digest"], "size": 1 });
    let index =
        |manifests: Vec<Value>| json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    let nested = store.manifest(None, INDEX, &index(vec![riscv]));
    store.manifest(
        Some("t"),
        INDEX,
        &index(vec![attestation.clone(), unknown, v6, v7, amd64, nested.clone()]),
    );
    store.manifest(Some("empty"), INDEX, &index(vec![attestation]));
    let mut deep = nested;
    for _ in 0..5 {
        deep = store.manifest(None, INDEX, &index(vec![deep]));
    }
    store.manifest(Some("deep"), INDEX, &index(vec![deep]));
    let server = Server::plain(store);
    let mut bench = Bench::new();
    for (platform, seed) in [
        ("linux/amd64", 1),
        ("linux/arm/v7", 7),
        ("linux/arm", 7),
        ("linux/arm/v6", 6),
        ("linux/arm/v8", 7),
        ("linux/riscv64", 9),
    ] {
        bench.options.platform = Some(platform.parse().unwrap());
        assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), [noise(seed, 100)]);
    }
    bench.options.platform = Some("linux/s390x".parse().unwrap());
    let error = bench.pull(&format!("{}/r:t", server.host())).unwrap_err();
    let PullError::NoPlatform { available, .. } = &error else { panic!("{error}") };
    assert_eq!(available[..], ["linux/arm/v6", "linux/arm/v7", "linux/amd64", "linux/riscv64"]);
    let error = bench.pull(&format!("{}/r:deep", server.host())).unwrap_err();
    assert!(error.to_string().contains("deep"), "{error}");
    let error = bench.pull(&format!("{}/r:empty", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::NotAnImage { .. }), "{error}");
}

/// Mirrors copy an index and not all that it lists. The tag is there, and is not what to check.
#[test]
fn b41_a_manifest_that_an_index_lists_and_nobody_has_is_named() {
    let mut store = Store::default();
    let (_, mut descriptor) = store.image(None, "linux/amd64", &[noise(1, 10)]);
    descriptor["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let digest = descriptor["digest"].as_str().unwrap().to_owned();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor] });
    store.manifest(Some("t"), INDEX, &index);
    store.manifests.remove(&digest);
    let server = Server::plain(store);
    let error = Bench::new().pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Status { status: 404, .. }), "{error}");
    assert!(error.to_string().contains(&digest), "{error}");
    // One that was asked for by its digest is the image itself.
    let error = Bench::new().pull(&format!("{}/r@{digest}", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
}

#[test]
fn b42_artifacts_and_schema1_are_named() {
    let mut store = Store::default();
    let (image, _) = store.image(None, "linux/amd64", &[noise(1, 10)]);
    let with = |path: &[&str], value: &str| {
        let mut changed = image.clone();
        let slot = path.iter().fold(&mut changed, |at, key| match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[*key],
        });
        *slot = json!(value);
        changed
    };
    let empty = with(&["config", "mediaType"], "application/vnd.oci.empty.v1+json");
    let helm = with(&["config", "mediaType"], "application/vnd.cncf.helm.config.v1+json");
    let intoto = with(&["layers", "0", "mediaType"], "application/vnd.in-toto+json");
    let schema1 = json!({ "schemaVersion": 1, "name": "r", "fsLayers": [], "history": [] });
    store.manifest(Some("empty"), MANIFEST, &empty);
    store.manifest(Some("helm"), MANIFEST, &helm);
    store.manifest(Some("intoto"), MANIFEST, &intoto);
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    store.manifest(Some("schema1"), signed, &schema1);
    store.manifest(Some("schema1b"), "application/json", &schema1);
    // The artifact manifests that came before OCI 1.1 have no schemaVersion.
    for (tag, media_type) in [
        ("oci", "application/vnd.oci.artifact.manifest.v1+json"),
        ("oras", "application/vnd.cncf.oras.artifact.manifest.v1+json"),
    ] {
        let artifact = json!({ "mediaType": media_type, "artifactType": "application/x", "blobs": [] });
        store.manifest(Some(tag), media_type, &artifact);
    }
    let server = Server::plain(store);
    for (tag, text) in [
        ("oci", "is not a container image"),
        ("oras", "is not a container image"),
        ("empty", "is not a container image"),
        ("helm", "is not a container image"),
        ("intoto", "is not a container image"),
        ("schema1", "schema 1 manifest, which is not supported"),
        ("schema1b", "schema 1 manifest, which is not supported"),
    ] {
        let error = Bench::new().pull(&format!("{}/r:{tag}", server.host())).unwrap_err();
        assert!(error.to_string().contains(text), "{tag}: {error}");
    }
}

/// What a registry writes reaches a terminal as text and nothing else.
#[test]
fn texts_of_others_stay_on_their_line() {
    let mut store = Store::default();
    let (image, descriptor) = store.image(None, "linux/amd64", &[noise(1, 10)]);
    let evil = EVIL;
    let mut type_of = image.clone();
    type_of["mediaType"] = json!(evil);
    store.manifest(Some("type"), "application/json", &type_of);
    store.manifest(Some("declared"), MANIFEST, &type_of);
    let mut config = image.clone();
    config["config"]["mediaType"] = json!(evil);
    store.manifest(Some("config"), MANIFEST, &config);
    let mut layer = image.clone();
    layer["layers"][0]["mediaType"] = json!(evil);
    store.manifest(Some("layer"), MANIFEST, &layer);
    let mut digest = image.clone();
    digest["config"]["digest"] = json!(evil);
    store.manifest(Some("digest"), MANIFEST, &digest);
    let mut foreign = image;
    foreign["layers"][0]["size"] = json!(11);
    foreign["layers"][0]["urls"] = json!([evil]);
    foreign["layers"][0]["digest"] = json!(Digest::of(b"nobody has it"));
    store.manifest(Some("foreign"), MANIFEST, &foreign);
    let mut platform = descriptor;
    platform["platform"] = json!({ "os": evil, "architecture": evil, "variant": evil });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [platform] });
    store.manifest(Some("platform"), INDEX, &index);
    let server = Server::start(store, |asked| {
        let error = r#"{"errors": [{"code": "X", "message": "a\n\u001b[2J\u202eb"}]}"#;
        asked.target.ends_with("/status").then(|| Answer::new(404, error))
    });
    for tag in ["type", "declared", "config", "layer", "digest", "foreign", "platform", "status"] {
        assert_one_line(&Bench::new().read(&format!("{}/r:{tag}", server.host())).unwrap_err());
    }
}

#[test]
fn b43_foreign_layers_are_fetched_without_credentials() {
    let (mut store, layers) = simple();
    let elsewhere = Server::plain(store.clone());
    let (mut image, _) = store.image(None, "linux/amd64", &layers);
    image["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let digest = Digest::of(&layers[0]);
    let good = format!("http://{}/v2/x/blobs/{digest}", elsewhere.host());
    let missing = format!("http://{}/v2/x/blobs/{}", elsewhere.host(), Digest::of(b"no"));
    let down = "http://127.0.0.1:1/layer";
    image["layers"][0]["urls"] = json!(["ftp://127.0.0.1/layer", down, missing, good]);
    store.manifest(Some("f"), MANIFEST, &image);
    store.blobs.remove(&digest.to_string());
    let server = Server::start(store, |asked| {
        let basic = || Answer::new(401, "").with("WWW-Authenticate", "Basic");
        asked.header("authorization").is_none().then(basic)
    });
    let mut bench = Bench::new();
    bench.options.credentials =
        CredentialSource::Fixed(Credential::Password { user: "u".to_owned(), password: "p".to_owned() });
    assert_eq!(bench.read(&format!("{}/r:f", server.host())).unwrap(), layers);
    assert_eq!(server.count("GET", digest.hex()), 1, "the registry is asked first");
    assert_eq!(elsewhere.asked().len(), 2);
    assert!(elsewhere.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn b44_embedded_data_is_checked_and_used() {
    let mut store = Store::default();
    let layer = noise(1, 100);
    let (image, _) = store.image(None, "linux/amd64", std::slice::from_ref(&layer));
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let config_digest = image["config"]["digest"].as_str().unwrap().to_owned();
    let mut good = image.clone();
    good["config"]["data"] = json!(encode(&store.blobs[&config_digest]));
    good["layers"][0]["data"] = json!(encode(&layer));
    store.manifest(Some("good"), MANIFEST, &good);
    for (tag, data) in [("digest", encode(&noise(2, 100))), ("size", encode(b"x")), ("text", "!".to_owned())]
    {
        let mut bad = image.clone();
        bad["layers"][0]["data"] = json!(data);
        store.manifest(Some(tag), MANIFEST, &bad);
    }
    let server = Server::plain(store);
    assert_eq!(Bench::new().read(&format!("{}/r:good", server.host())).unwrap(), [layer]);
    assert_eq!(server.count("GET", "/blobs/"), 0);
    for tag in ["digest", "size", "text"] {
        let error = Bench::new().read(&format!("{}/r:{tag}", server.host())).unwrap_err();
        assert!(matches!(&error, PullError::Mismatch { .. }), "{tag}: {error}");
    }
}

#[test]
fn b45_layers_have_to_be_as_many_as_diff_ids() {
    let mut store = Store::default();
    let layer = noise(1, 10);
    let (image, _) = store.image(None, "linux/amd64", std::slice::from_ref(&layer));
    let mut more = image.clone();
    more["layers"] = json!([image["layers"][0], image["layers"][0]]);
    store.manifest(Some("more"), MANIFEST, &more);
    store.image(Some("none"), "linux/amd64", &[]);
    store.image(Some("twice"), "linux/amd64", &[layer.clone(), layer.clone()]);
    let server = Server::plain(store);
    for tag in ["more", "none"] {
        let error = Bench::new().pull(&format!("{}/r:{tag}", server.host())).unwrap_err();
        assert!(matches!(&error, PullError::LayerCount { .. }), "{tag}: {error}");
    }
    let bench = Bench::new();
    assert_eq!(bench.read(&format!("{}/r:twice", server.host())).unwrap(), [layer.clone(), layer]);
    assert_eq!(server.count("GET", "/blobs/"), 2 + 2, "none, more, twice: configs; twice: one layer");
}

#[test]
fn b29_manifests_have_a_largest_size() {
    let server = Server::plain(simple().0);
    let mut bench = Bench::new();
    bench.options.max_manifest_bytes = 100;
    let error = bench.pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::TooLarge { setting: Setting("max_manifest_bytes"), .. }), "{error}");
    // A configuration that is larger than its descriptor says is no manifest.
    let (mut store, layers) = simple();
    let (image, _) = store.image(None, "linux/amd64", &layers);
    let config = image["config"]["digest"].as_str().unwrap().to_owned();
    store.blobs.insert(config, vec![b' '; 5000]);
    store.manifest(Some("t"), MANIFEST, &image);
    let server = Server::plain(store);
    let mut bench = Bench::new();
    bench.options.max_config_bytes = 4000;
    let error = bench.pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::TooLarge { setting: Setting("max_config_bytes"), .. }), "{error}");
}
