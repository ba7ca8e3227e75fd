//! Registries that are right in their own way: challenges, digests, types, HEAD.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use banger_oci::{Credential, CredentialSource, Digest, PullError};
use serde_json::json;

use crate::pull_support::*;

fn simple() -> (Store, Vec<Vec<u8>>) {
    let mut store = Store::default();
    let layers = vec![noise(1, 300_000), noise(2, 10)];
    store.image(Some("t"), "linux/amd64", &layers);
    (store, layers)
}

fn with_password() -> Bench {
    let mut bench = Bench::new();
    bench.options.credentials = CredentialSource::Fixed(Credential::Password {
        user: "user".to_owned(),
        password: "secret".to_owned(),
    });
    bench
}

const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";

fn is_root(asked: &Asked) -> bool {
    asked.path() == "/v2/"
}

#[test]
fn b47_credentials_are_sent_where_only_the_root_asks_for_them() {
    let (store, layers) = simple();
    for status in [404, 403, 401] {
        let server = Server::start(store.clone(), move |asked| {
            if asked.header("authorization") == Some(BASIC) {
                return None;
            }
            Some(match is_root(asked) {
                true => Answer::new(401, "{}").with("WWW-Authenticate", "Basic realm=\"r\""),
                false => Answer::new(status, r#"{"errors":[{"code":"DENIED"}]}"#),
            })
        });
        assert_eq!(with_password().read(&format!("{}/r:t", server.host())).unwrap(), layers, "{status}");
        assert_eq!(
            server.count("GET", "/v2/r/"),
            2 + layers.len(),
            "manifest, configuration, layers: {status}"
        );
        let asked = server.asked();
        assert_eq!(asked.iter().filter(|asked| is_root(asked)).count(), 1, "{status}");
        // Who has none is told what is missing, and what the registry said.
        let error = Bench::new().read(&format!("{}/r:t", server.host())).unwrap_err();
        let is_right = match status {
            404 => matches!(&error, PullError::UnknownImage { .. }),
            _ => matches!(&error, PullError::Unauthorized { .. }),
        };
        assert!(is_right, "{status}: {error}");
        let text = error.to_string();
        assert!(text.contains("user name and a password") && text.contains("DENIED"), "{status}: {text}");
    }
}

#[test]
fn b47_a_token_is_fetched_where_only_the_root_asks_for_one() {
    let (store, layers) = simple();
    let port = Arc::new(AtomicUsize::new(0));
    let known = Arc::clone(&port);
    let server = Server::start(store, move |asked| {
        if asked.path() == "/token" {
            assert!(asked.target.contains("scope=repository%3Ar%3Apull"), "{}", asked.target);
            return Some(Answer::new(200, r#"{"token":"good-token"}"#));
        }
        if asked.header("authorization") == Some("Bearer good-token") {
            return None;
        }
        let realm = format!("Bearer realm=\"http://127.0.0.1:{}/token\"", known.load(Ordering::SeqCst));
        Some(match is_root(asked) {
            true => Answer::new(401, "").with("WWW-Authenticate", realm),
            false => Answer::new(404, ""),
        })
    });
    port.store(server.port.into(), Ordering::SeqCst);
    assert_eq!(Bench::new().read(&format!("{}/r:t", server.host())).unwrap(), layers);
}

/// Nobody says that a password is wanted, and there is one for this registry.
#[test]
fn b47_a_bare_401_gets_the_password_there_is() {
    let (store, layers) = simple();
    let server = Server::start(store, move |asked| {
        let is_open = is_root(asked) || asked.header("authorization") == Some(BASIC);
        (!is_open).then(|| Answer::new(401, ""))
    });
    assert_eq!(with_password().read(&format!("{}/r:t", server.host())).unwrap(), layers);
    let error = Bench::new().read(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(error.to_string().contains("does not say what kind of login"), "{error}");
}

#[test]
fn b35_a_wrong_password_is_not_sent_again_and_again() {
    let server = Server::start(simple().0, |_| {
        Some(Answer::new(401, "the account is locked").with("WWW-Authenticate", "Basic realm=\"r\""))
    });
    let error = with_password().read(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(error.to_string().contains("the account is locked"), "{error}");
    let sent = server.asked().iter().filter(|asked| asked.header("authorization").is_some()).count();
    assert_eq!(sent, 2, "once by HEAD, once by GET, whose answer explains itself");
}

/// What is not there costs one question more, not one for each answer.
#[test]
fn b47_the_root_is_asked_once() {
    let (mut store, layers) = simple();
    let (image, _) = store.image(None, "linux/amd64", &layers);
    store.manifest(Some("t"), MANIFEST, &image);
    for layer in &layers {
        store.blobs.remove(&Digest::of(layer).to_string());
    }
    let server = Server::plain(store);
    Bench::new().read(&format!("{}/r:t", server.host())).unwrap_err();
    assert_eq!(server.asked().iter().filter(|asked| is_root(asked)).count(), 1);
}

#[test]
fn b47_head_may_fail_in_any_way() {
    let (store, layers) = simple();
    for status in [301, 400, 401, 404, 405, 408, 418, 429, 500, 501, 502, 503, 504] {
        let server = Server::start(store.clone(), move |asked| {
            (asked.method == "HEAD").then(|| Answer::new(status, "").with("Retry-After", "60"))
        });
        let bench = Bench::new();
        assert_eq!(bench.read(&format!("{}/r:t", server.host())).unwrap(), layers, "{status}");
        assert_eq!((bench.retries(), server.count("HEAD", "")), (0, 1), "{status}");
    }
    // Or not answer at all.
    let server = Server::start(store, move |asked| {
        (asked.method == "HEAD").then(|| Answer::new(200, "").length(BodyLength::Claimed(1 << 60)).cut(0))
    });
    assert_eq!(Bench::new().read(&format!("{}/r:t", server.host())).unwrap(), layers);
}

#[test]
fn b47_by_tag_where_by_digest_is_refused() {
    let (mut store, layers) = simple();
    let (_, descriptor) = store.image(Some("t"), "linux/amd64", &layers);
    let digest = descriptor["digest"].as_str().unwrap().to_owned();
    for status in [400, 403, 404, 405, 501] {
        let server = Server::start(store.clone(), move |asked| {
            asked.path().contains("/manifests/sha256:").then(|| Answer::new(status, ""))
        });
        let host = server.host();
        assert_eq!(Bench::new().read(&format!("{host}/r:t")).unwrap(), layers, "{status}");
        // The tag is as good where it still leads there.
        assert_eq!(Bench::new().read(&format!("{host}/r:t@{digest}")).unwrap(), layers, "{status}");
        let other = Digest::of(b"another");
        Bench::new().read(&format!("{host}/r:t@{other}")).map(drop).unwrap_err();
        Bench::new().read(&format!("{host}/r@{digest}")).map(drop).unwrap_err();
    }
}

#[test]
fn b47_digests_and_types_that_say_nothing() {
    let (store, layers) = simple();
    for (content_type, digest) in [
        (MANIFEST, ""),
        (MANIFEST, "blake3:0123"),
        ("binary/octet-stream", "right"),
        ("application/octet-stream", ""),
        ("text/html", ""),
        ("", ""),
        ("application/vnd.docker.distribution.manifest.v2+json; charset=utf-8", "right"),
    ] {
        let copy = store.clone();
        let server = Server::start(store.clone(), move |asked| {
            let mut answer = copy.answer(asked);
            if asked.path().contains("/manifests/") && answer.status == 200 {
                for (name, value) in &mut answer.headers {
                    match name.as_str() {
                        "Content-Type" => content_type.clone_into(value),
                        _ if digest != "right" => digest.clone_into(value),
                        _ => {}
                    }
                }
            }
            Some(answer)
        });
        let outcome = Bench::new().read(&format!("{}/r:t", server.host()));
        if content_type.contains("docker") {
            // Docker's type on an OCI document is judged where documents are read.
            continue;
        }
        assert_eq!(outcome.unwrap(), layers, "{content_type} {digest}");
    }
}

const PAGE: &str =
    "<!DOCTYPE html>\n<html><head><title>Sign in\nto Proxy</title></head><body>…</body></html>";

#[test]
fn web_pages_are_called_that() {
    let (store, layers) = simple();
    let layer = Digest::of(&layers[0]).to_string();
    type Where = fn(&Asked, &str) -> bool;
    let cases: [(&str, u16, Where); 5] = [
        ("manifest", 200, |asked, _| asked.path().contains("/manifests/")),
        ("manifest", 404, |asked, _| asked.path().contains("/manifests/")),
        ("everything", 403, |_, _| true),
        ("configuration", 200, |asked, layer| {
            asked.path().contains("/blobs/") && !asked.path().ends_with(layer)
        }),
        ("layer", 200, |asked, layer| asked.path().ends_with(layer)),
    ];
    for (name, status, is_hit) in cases {
        let layer = layer.clone();
        let server = Server::start(store.clone(), move |asked| {
            is_hit(asked, &layer)
                .then(|| Answer::new(status, PAGE).with("Content-Type", "text/html; charset=utf-8"))
        });
        let bench = Bench::new();
        let error = bench.read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("the registry answered with a web page titled `Sign in to Proxy`"),
            "{name}: {text}"
        );
        assert_one_line(&error);
        assert_eq!(bench.retries(), 0, "{name}");
    }
}

#[test]
fn web_pages_of_token_servers_are_called_that() {
    let port = Arc::new(AtomicUsize::new(0));
    let known = Arc::clone(&port);
    let server = Server::start(simple().0, move |asked| {
        let realm = format!("Bearer realm=\"http://127.0.0.1:{}/token\"", known.load(Ordering::SeqCst));
        Some(match asked.path() {
            "/token" => Answer::new(200, PAGE),
            _ => Answer::new(401, "").with("WWW-Authenticate", realm),
        })
    });
    port.store(server.port.into(), Ordering::SeqCst);
    let error = Bench::new().pull(&format!("{}/r:t", server.host())).unwrap_err();
    assert!(error.to_string().contains("the token server answered with a web page"), "{error}");
}

#[test]
fn a_refusal_is_told_in_the_words_of_the_registry() {
    for (challenge, body, shown) in [
        (
            "Basic realm=\"r\"",
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"tokens are at example.com/me"}]}"#,
            "UNAUTHORIZED tokens are at example.com/me",
        ),
        ("Negotiate", "join the domain first", "join the domain first"),
        ("", "come back tomorrow", "come back tomorrow"),
    ] {
        let server = Server::start(simple().0, move |_| {
            let answer = Answer::new(401, body);
            Some(if challenge.is_empty() { answer } else { answer.with("WWW-Authenticate", challenge) })
        });
        let error = Bench::new().pull(&format!("{}/r:t", server.host())).unwrap_err();
        assert!(matches!(&error, PullError::Unauthorized { .. }), "{error}");
        assert!(error.to_string().contains(shown), "{challenge}: {error}");
    }
}

#[test]
fn what_cannot_be_reached_says_the_next_step() {
    let nobody = "127.0.0.1:1/r:t";
    let error = told(&Bench::new().pull(nobody).unwrap_err());
    assert!(error.contains("nothing listens there") && error.contains("port"), "{error}");
    let mut bench = Bench::new();
    bench.options.attempts = 1;
    let error = told(&bench.pull("no-such-host.invalid/r:t").unwrap_err());
    assert!(error.contains("check the spelling") && error.contains("DNS"), "{error}");
    // A server that speaks no TLS.
    let server = Server::plain(simple().0);
    bench.options.plain_http = false;
    let error = told(&bench.pull(&format!("localhost.localdomain:{}/r:t", server.port)).unwrap_err());
    assert!(error.contains("check") || error.contains("plain_http"), "{error}");
}

#[test]
fn b40_a_part_that_is_the_whole_is_taken() {
    let (store, layers) = simple();
    for (from, fits) in [(0_usize, true), (1, false)] {
        let copy = store.clone();
        let server = Server::start(store.clone(), move |asked| {
            let mut answer = copy.answer(asked);
            if asked.method == "GET" && answer.status == 200 && !is_root(asked) {
                let len = answer.body.len();
                answer.status = 206;
                answer.headers.push(("Content-Range".into(), format!("bytes {from}-{}/{len}", len - 1)));
                answer.body.drain(..from);
            }
            Some(answer)
        });
        let outcome = Bench::new().read(&format!("{}/r:t", server.host()));
        match fits {
            true => assert_eq!(outcome.unwrap(), layers),
            false => {
                assert!(matches!(outcome, Err(PullError::Unreachable { .. })), "{:?}", outcome.map(drop))
            }
        }
    }
}

/// Nobody asks for it, and some proxies do it all the same; some stores say it of gzip layers.
#[test]
fn documents_that_were_compressed_on_the_way() {
    let (store, layers) = simple();
    for really in [true, false] {
        let copy = store.clone();
        let server = Server::start(store.clone(), move |asked| {
            let mut answer = copy.answer(asked);
            if asked.path().contains("/blobs/") || asked.path().contains("/manifests/") {
                answer.headers.push(("Content-Encoding".into(), "gzip".into()));
                if really && answer.body.first() == Some(&b'{') {
                    answer.body = banger_testkit::gzip(&answer.body);
                }
            }
            Some(answer)
        });
        assert_eq!(Bench::new().read(&format!("{}/r:t", server.host())).unwrap(), layers, "{really}");
    }
    // A layer that was compressed again has another size, and the error says why.
    let (copy, target) = (store.clone(), Digest::of(&layers[0]).to_string());
    let server = Server::start(store, move |asked| {
        let mut answer = copy.answer(asked);
        if asked.path().ends_with(&target) {
            answer.headers.push(("Content-Encoding".into(), "gzip".into()));
            answer.body = banger_testkit::gzip(&answer.body);
        }
        Some(answer)
    });
    let error = Bench::new().read(&format!("{}/r:t", server.host())).map(drop).unwrap_err();
    assert!(error.to_string().contains("encoded as `gzip` on the way"), "{error}");
}

#[test]
fn b45_a_layer_listed_many_times_is_downloaded_once() {
    let mut store = Store::default();
    let layer = noise(1, 1000);
    store.image(Some("t"), "linux/amd64", &vec![layer.clone(); 300]);
    let server = Server::plain(store);
    assert_eq!(Bench::new().read(&format!("{}/r:t", server.host())).unwrap().len(), 300);
    assert_eq!(server.count("GET", Digest::of(&layer).hex()), 1);
}

#[test]
fn tokens_of_all_kinds() {
    let (store, layers) = simple();
    for (answer, is_good) in [
        (json!({ "token": "good-token", "expires_in": "300" }), true),
        (json!({ "token": "good-token", "expires_in": -1 }), true),
        (json!({ "token": "good-token", "expires_in": 0.5 }), true),
        (json!({ "token": "good-token", "expires_in": null }), true),
        (json!({ "token": "good-token", "expires_in": u64::MAX }), true),
        (json!({ "token": null, "access_token": "good-token" }), true),
        (json!({ "token": "", "access_token": "good-token" }), true),
        (json!({ "token": "" }), false),
        (json!({ "token": 5 }), false),
        (json!({ "token": "two\nlines" }), false),
        (json!({ "token": "x".repeat(300_000) }), false),
        (json!([]), false),
    ] {
        let port = Arc::new(AtomicUsize::new(0));
        let (known, body) = (Arc::clone(&port), answer.to_string());
        let server = Server::start(store.clone(), move |asked| {
            if asked.header("authorization") == Some("Bearer good-token") {
                return None;
            }
            let realm = format!("Bearer realm=\"http://127.0.0.1:{}/token\"", known.load(Ordering::SeqCst));
            Some(match asked.path() {
                "/token" => Answer::new(200, body.clone()),
                _ => Answer::new(401, "").with("WWW-Authenticate", realm),
            })
        });
        port.store(server.port.into(), Ordering::SeqCst);
        let outcome = Bench::new().read(&format!("{}/r:t", server.host()));
        match is_good {
            true => assert_eq!(outcome.unwrap(), layers, "{answer}"),
            false => {
                let error = outcome.map(drop).unwrap_err();
                assert!(matches!(&error, PullError::Unauthorized { .. }), "{error}");
                assert!(error.to_string().len() < 1000, "{error}");
            }
        }
    }
}
