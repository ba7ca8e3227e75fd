//! Registries that mean harm: what they get printed, and what they make us do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use banger_oci::{Credential, CredentialSource, Digest, PullError};
use banger_tree::{Cost, Setting};
use serde_json::{Value, json};

use crate::pull_support::*;

const PASSWORD: &str = "correct-horse-battery";
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl";

fn image() -> (Store, Vec<u8>, Value) {
    let mut store = Store::default();
    let layer = noise(1, 300_000);
    let (image, _) = store.image(Some("t"), "linux/amd64", std::slice::from_ref(&layer));
    (store, layer, image)
}

/// Pieces of all secrets, none of which may be shown.
fn is_told(text: &str) -> bool {
    let encoded = "dXNlcjpjb3JyZWN0LWhvcnNlLWJhdHRlcnk=";
    let text = text.to_ascii_lowercase();
    [PASSWORD, encoded, TOKEN].iter().any(|secret| {
        let secret = secret.to_ascii_lowercase();
        secret.as_bytes().windows(12).any(|piece| text.contains(std::str::from_utf8(piece).unwrap()))
    })
}

/// A server that makes an answer of the Authorization header it was sent.
fn echo(store: Store, bearer: bool, answer: fn(&Asked, &str) -> Option<Answer>) -> Server {
    let port = Arc::new(AtomicUsize::new(0));
    let known = Arc::clone(&port);
    let server = Server::start(store, move |asked| {
        if asked.path() == "/token" {
            return Some(Answer::new(200, json!({ "token": TOKEN }).to_string()));
        }
        let realm = format!("Bearer realm=\"http://127.0.0.1:{}/token\"", known.load(Ordering::SeqCst));
        let challenge = if bearer { realm } else { "Basic realm=\"r\"".to_owned() };
        match asked.header("authorization") {
            None => Some(Answer::new(401, "").with("WWW-Authenticate", challenge)),
            Some(header) => answer(asked, header),
        }
    });
    port.store(server.port.into(), Ordering::SeqCst);
    server
}

#[test]
fn a_registry_that_repeats_what_it_was_sent_does_not_get_it_printed() {
    let (store, _, _) = image();
    let is_manifest = |asked: &Asked| asked.path().contains("/manifests/");
    assert!(is_told(&format!("x {TOKEN}")) && !is_told("nothing of it"));
    type Echo = fn(&Asked, &str) -> Option<Answer>;
    let echoes: [(&str, Echo); 12] = [
        ("text", |_, header| Some(Answer::new(403, format!("you sent {header}")))),
        ("password", |_, _| Some(Answer::new(403, format!("your password is {PASSWORD}!")))),
        ("error", |_, header| {
            let errors = json!({ "errors": [{ "code": header, "message": header }] });
            Some(Answer::new(401, errors.to_string()))
        }),
        ("cut off", |_, header| Some(Answer::new(404, format!("{}{header}", "x".repeat(180))))),
        ("page", |_, header| Some(Answer::new(403, format!("<html><title>{header}</title>")))),
        ("retried", |_, header| Some(Answer::new(500, header))),
        ("digest", |_, header| {
            let digest = header.split(' ').nth(1).unwrap_or_default();
            Some(Answer::new(200, "{}").with("Docker-Content-Digest", format!("sha256:{digest}")))
        }),
        ("location", |asked, header| {
            let location = format!("ftp://{}/?{header}", header.replace(' ', "/"));
            Some(Answer::new(307, "").with("Location", location)).filter(|_| asked.method == "GET")
        }),
        ("circle", |asked, header| {
            let token = header.split(' ').nth(1).unwrap_or_default().trim_end_matches('=');
            Some(Answer::new(307, "").with("Location", format!("/{token}"))).filter(|_| asked.method == "GET")
        }),
        ("host", |asked, header| {
            let token = header.split(' ').nth(1).unwrap_or_default().trim_end_matches('=');
            let location = format!("http://{token}.invalid/");
            Some(Answer::new(307, "").with("Location", location)).filter(|_| asked.method == "GET")
        }),
        ("type", |asked, header| {
            let manifest = json!({ "schemaVersion": 2, "mediaType": header, "layers": [], "config": {} });
            Some(Answer::new(200, manifest.to_string())).filter(|_| asked.path().contains("/manifests/"))
        }),
        ("range", |asked, header| {
            let part = Answer::new(206, "x").with("Content-Range", header);
            Some(part).filter(|_| asked.path().contains("/blobs/"))
        }),
    ];
    for (name, answer) in echoes {
        for bearer in [true, false] {
            let server = echo(store.clone(), bearer, answer);
            let mut bench = Bench::new();
            bench.options.credentials = CredentialSource::Fixed(Credential::Password {
                user: "user".to_owned(),
                password: PASSWORD.to_owned(),
            });
            bench.options.attempts = 2;
            let error = bench.read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
            let all = format!("{error} {error:?} {:?}", bench.events());
            assert!(!is_told(&all), "{name}, bearer {bearer}: {all}");
            assert_one_line(&error);
            assert!(
                server
                    .asked()
                    .iter()
                    .any(|asked| is_manifest(asked) && asked.header("authorization").is_some())
            );
        }
    }
}

#[test]
fn a_challenge_that_repeats_what_it_was_sent_does_not_get_it_printed() {
    let server = echo(image().0, false, |_, header| {
        let realm = format!("Bearer realm=\"ftp://x/{}\"", header.replace(' ', "/"));
        Some(Answer::new(401, "").with("WWW-Authenticate", realm))
    });
    let mut bench = Bench::new();
    bench.options.credentials = CredentialSource::Fixed(Credential::Password {
        user: "user".to_owned(),
        password: PASSWORD.to_owned(),
    });
    let error = bench.pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(!is_told(&format!("{error} {error:?}")), "{error}");
}

#[test]
fn messages_are_short_whatever_was_written() {
    let (mut store, _, image) = image();
    let long = "long ".repeat(60_000);
    let mut add = |tag: &str, change: &dyn Fn(&mut Value)| {
        let mut changed = image.clone();
        change(&mut changed);
        store.manifest(Some(tag), MANIFEST, &changed);
    };
    add("type", &|image| image["mediaType"] = json!(long));
    add("config", &|image| image["config"]["mediaType"] = json!(long));
    add("layer", &|image| image["layers"][0]["mediaType"] = json!(long));
    add("digest", &|image| image["layers"][0]["digest"] = json!(long));
    add("data", &|image| image["layers"][0]["data"] = json!(long));
    add("urls", &|image| {
        image["layers"][0]["digest"] = json!(Digest::of(b"nobody has it"));
        image["layers"][0]["urls"] = json!([long]);
    });
    let entries: Vec<Value> = (0..3000)
        .map(|at| {
            let platform = json!({ "os": "linux", "architecture": format!("{at}{}", "y".repeat(500)) });
            json!({ "mediaType": MANIFEST, "digest": Digest::of(b"x"), "size": 1, "platform": platform })
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
    store.manifest(Some("platforms"), INDEX, &index);
    let (text, many) = (long.clone(), "z".repeat(60_000));
    let server = Server::start(store, move |asked| {
        let errors: Vec<Value> =
            (0..500).map(|_| json!({ "code": "X", "message": "m".repeat(600) })).collect();
        Some(match asked.path().rsplit('/').next()? {
            "text" => Answer::new(404, text.clone()),
            "json" => Answer::new(404, json!({ "errors": errors }).to_string()),
            "denied" => Answer::new(403, text.clone()),
            "failed" => Answer::new(500, text.clone()),
            "page" => Answer::new(404, format!("<html><title>{text}</title>")),
            "realm" => Answer::new(401, "").with("WWW-Authenticate", format!("Bearer realm=\"{many}\"")),
            "away" => Answer::new(307, "").with("Location", format!("ftp://x/{many}")),
            "path" => Answer::new(307, "").with("Location", format!("/v2/{many}/gone")),
            "gone" => Answer::new(410, text.clone()),
            "host" => Answer::new(307, "").with("Location", format!("http://{many}/")),
            "stated" => Answer::new(200, "{}").with("Docker-Content-Digest", format!("sha256:{many}")),
            _ => return None,
        })
    });
    for tag in [
        "type",
        "config",
        "layer",
        "digest",
        "data",
        "urls",
        "platforms",
        "text",
        "json",
        "denied",
        "failed",
        "page",
        "realm",
        "away",
        "path",
        "host",
        "stated",
    ] {
        let mut bench = Bench::new();
        bench.options.attempts = 2;
        let error = bench.read(&format!("{}/r:{tag}", server.host())).map(drop).unwrap_err();
        assert_one_line(&error);
        let events = format!("{:?}", bench.events());
        assert!(error.to_string().len() < 6000, "{tag}: {} bytes", error.to_string().len());
        assert!(events.len() < 6000, "{tag}: {} bytes", events.len());
    }
}

#[test]
fn b43_foreign_addresses_are_not_asked_without_end() {
    let (mut store, layer, mut image) = image();
    let elsewhere = Server::start(Store::default(), |_| Some(Answer::new(404, "")));
    let urls: Vec<String> = (0..20_000).map(|at| format!("http://{}/{at}", elsewhere.host())).collect();
    image["layers"][0]["urls"] = json!(urls);
    store.manifest(Some("t"), MANIFEST, &image);
    store.blobs.remove(&Digest::of(&layer).to_string());
    let server = Server::plain(store);
    for (limit, requests) in [(None, 64), (Some(3), 3), (Some(0), 0)] {
        let before = elsewhere.asked().len();
        let mut bench = Bench::new();
        if let Some(limit) = limit {
            bench.options.budget = bench.options.budget.with_limit(Cost::Urls, limit);
        }
        let error = bench.read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
        let PullError::OverBudget { over, .. } = &error else { panic!("{error}") };
        assert_eq!(over.cost, Cost::Urls);
        assert!(told(&error).contains("`max_urls`"), "{error}");
        assert_eq!(elsewhere.asked().len() - before, requests);
    }
}

/// Bodies without an end, or with another one than they said.
#[test]
fn bodies_have_an_end() {
    let (store, layer, _) = image();
    let digest = Digest::of(&layer).to_string();
    let started = Instant::now();
    type Case = (&'static str, fn(&Asked, &str) -> Option<Answer>, fn(&PullError) -> bool);
    let chunk = || vec![b' '; 60_000];
    assert_eq!(chunk().len(), 60_000);
    let cases: [Case; 9] = [
        (
            "manifest",
            |asked, _| endless(asked, 200, "/manifests/"),
            |error| matches!(error, PullError::TooLarge { setting: Setting("max_manifest_bytes"), .. }),
        ),
        (
            "error",
            |asked, _| endless(asked, 404, "/manifests/"),
            |error| matches!(error, PullError::UnknownImage { .. }),
        ),
        (
            "denied",
            |asked, _| endless(asked, 403, "/manifests/"),
            |error| matches!(error, PullError::Unauthorized { .. }),
        ),
        (
            "blob",
            |asked, digest| endless(asked, 200, digest),
            |error| matches!(error, PullError::Mismatch { .. }),
        ),
        (
            "short",
            |asked, digest| claimed(asked, digest, 100),
            |error| matches!(error, PullError::Mismatch { .. }),
        ),
        (
            "long",
            |asked, digest| claimed(asked, digest, 1 << 50),
            |error| matches!(error, PullError::Mismatch { .. }),
        ),
        (
            "empty",
            |asked, digest| asked.path().ends_with(digest).then(|| Answer::new(200, "")),
            |error| matches!(error, PullError::Mismatch { .. }),
        ),
        (
            "nothing",
            |asked, _| asked.path().contains("/manifests/").then(|| Answer::new(200, "")),
            |error| {
                matches!(error, PullError::Malformed { .. }) && error.to_string().contains("empty answer")
            },
        ),
        (
            "bomb",
            |asked, _| {
                let bomb = banger_testkit::gzip(&vec![b' '; 20 << 20]);
                let answer = Answer::new(200, bomb).with("Content-Encoding", "gzip");
                asked.path().contains("/manifests/").then_some(answer)
            },
            |error| matches!(error, PullError::TooLarge { .. }),
        ),
    ];
    for (name, answer, is_right) in cases {
        let digest = digest.clone();
        let server = Server::start(store.clone(), move |asked| answer(asked, &digest));
        let error = Bench::new().read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
        assert!(is_right(&error), "{name}: {error}");
        assert_one_line(&error);
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

fn endless(asked: &Asked, status: u16, part: &str) -> Option<Answer> {
    let answer = Answer::new(status, vec![b' '; 60_000]).length(BodyLength::Endless);
    (asked.method == "GET" && asked.path().contains(part)).then_some(answer)
}

fn claimed(asked: &Asked, digest: &str, len: u64) -> Option<Answer> {
    let answer = Answer::new(200, noise(1, 300_000)).length(BodyLength::Claimed(len));
    asked.path().ends_with(digest).then_some(answer)
}

#[test]
fn b38_redirects_lead_to_the_web_and_end() {
    let (store, _, _) = image();
    for (location, reason) in [
        ("/v2/r/manifests/t", "too many redirects"),
        ("file:///etc/passwd", "only web addresses"),
        ("data:text/plain,x", "only web addresses"),
        ("javascript:alert(1)", "only web addresses"),
        ("http://", "not a URL"),
    ] {
        let server = Server::start(store.clone(), move |asked| {
            asked.path().contains("/manifests/").then(|| Answer::new(307, "").with("Location", location))
        });
        let error = Bench::new().pull(&format!("{}/r:t", server.host())).unwrap_err();
        assert!(matches!(&error, PullError::Redirect { .. }), "{location}: {error}");
        assert!(error.to_string().contains(reason), "{location}: {error}");
        assert!(server.asked().len() < 25, "{location}: {}", server.asked().len());
    }
}

#[test]
fn b37_realms_that_lead_elsewhere() {
    let (store, _, _) = image();
    for realm in ["file:///etc/passwd", "nothing", "ftp://127.0.0.1/x", "http:", "", "data:,x", "https://"] {
        let server = Server::start(store.clone(), move |_| {
            Some(Answer::new(401, "").with("WWW-Authenticate", format!("Bearer realm=\"{realm}\"")))
        });
        let error = Bench::new().pull(&format!("{}/r:t", server.host())).unwrap_err();
        assert!(matches!(&error, PullError::Realm { .. }), "{realm}: {error}");
        assert_one_line(&error);
    }
}

#[test]
fn b34_head_and_get_that_differ() {
    let (mut store, _, _) = image();
    let (other, _) = store.image(Some("other"), "linux/amd64", &[noise(9, 10)]);
    let other = serde_json::to_vec(&other).unwrap();
    let server = Server::start(store, move |asked| {
        (asked.method == "GET" && asked.path().contains("/manifests/sha256:"))
            .then(|| Answer::new(200, other.clone()).with("Content-Type", MANIFEST))
    });
    let error = Bench::new().pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Mismatch { .. }), "{error}");
}
