//! Registries and proxies before them that fail, limit, stand still or know parts only.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use banger_oci::{PullEvent, PushError};

use crate::pull_support::*;
use crate::push_support::*;

/// How many requests of each method and target came before this one; tokens of uploads count as one.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<String, usize>>);

impl Seen {
    fn before(&self, asked: &Asked) -> usize {
        let path = asked.path().split("/uploads/").next().unwrap_or_default().to_owned();
        let mut seen = self.0.lock().unwrap();
        let count = seen.entry(format!("{} {path}", asked.method)).or_default();
        *count += 1;
        *count - 1
    }
}

#[test]
fn answers_that_promise_a_later_success() {
    let artifact = Artifact::new(&blobs(1, 1, 200_000));
    for method in ["HEAD", "POST", "PUT"] {
        for status in [429, 500, 502, 503, 504] {
            let seen = Seen::default();
            let server = PushServer::start(move |asked| {
                let early = asked.method == method && seen.before(asked) < 3;
                early.then(|| Answer::new(status, "").with("Retry-After", "0"))
            });
            let bench = Bench::new();
            let pushed = bench.push(&server.app(), &artifact).unwrap();
            assert_eq!(counts(&pushed), [2, 0, 0], "{method} {status}");
            assert!(bench.retries() >= 3, "{method} {status}");
            bench.assert_pulls(&server.app(), &artifact);
        }
        let server = PushServer::start(move |asked| (asked.method == method).then(|| Answer::new(503, "")));
        let error = Bench::new().push(&server.app(), &artifact).unwrap_err();
        assert_eq!(error.code(), 108, "{error}");
    }
}

#[test]
fn connections_that_break_in_the_middle_of_an_upload() {
    let artifact = Artifact::new(&blobs(1, 2, 3_000_000));
    for at in [0, 1, 1_000_000] {
        let seen = Seen::default();
        let breaks = move |asked: &Asked| (asked.method == "PUT" && seen.before(asked) < 3).then_some(at);
        let server = PushServer::start_breaking(|_| None, breaks);
        let bench = Bench::new();
        let pushed = bench.push(&server.app(), &artifact).unwrap();
        assert_eq!((counts(&pushed), bench.retries() >= 3), ([3, 0, 0], true), "{at}");
        bench.assert_pulls(&server.app(), &artifact);
    }
    let server = PushServer::start_breaking(|_| None, |asked| (asked.method == "PATCH").then_some(7));
    let mut bench = Bench::new();
    bench.options.attempts = 2;
    bench.push(&server.app(), &artifact).unwrap();
    // A proxy that ends the connection where it should answer 413.
    let large = |asked: &Asked| {
        let len: usize = asked.header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
        (len > 1 << 20).then_some(100_000)
    };
    let server = PushServer::start_breaking(|_| None, large);
    let bench = Bench::new();
    bench.push(&server.app(), &artifact).unwrap();
    assert!(server.count("PATCH", "/blobs/uploads/") >= 6);
    bench.assert_pulls(&server.app(), &artifact);
    let server = PushServer::start_breaking(|_| None, |asked| (asked.method == "PUT").then_some(0));
    let error = Bench::new().push(&server.app(), &artifact).unwrap_err();
    assert_eq!(error.code(), 107, "{error}");
}

#[test]
fn limits_lead_to_parts() {
    let artifact = Artifact::new(&blobs(1, 3, 1_000_000));
    for (limit, parts) in [(500_000, 4), (100_000, 16)] {
        let server = PushServer::start(move |asked| {
            (asked.bytes.len() > limit).then(|| Answer::new(413, "<html>too large</html>"))
        });
        let mut bench = Bench::new();
        bench.options.jobs = 1;
        let pushed = bench.push(&server.app(), &artifact).unwrap();
        assert_eq!(counts(&pushed), [4, 0, 0]);
        let patches = server.asked().iter().filter(|asked| asked.method == "PATCH").count();
        // Once learned, the limit is kept to; the configuration is one part.
        assert!((3 * parts + 1..=3 * parts + 3).contains(&patches), "{limit}: {patches}");
        let too_large = server.asked().iter().filter(|asked| asked.bytes.len() > limit).count();
        assert!((1..=2).contains(&too_large), "{limit}: {too_large}");
        bench.assert_pulls(&server.app(), &artifact);
    }
    let server = PushServer::start(|asked| (asked.bytes.len() > 10_000).then(|| Answer::new(413, "")));
    let error = Bench::new().push(&server.app(), &artifact).unwrap_err();
    assert!(matches!(&error, PushError::TooLarge { size_bytes: 1_000_000, .. }), "{error}");
}

#[test]
fn registries_that_want_parts() {
    let artifact = Artifact::new(&blobs(1, 3, 1_000_000));
    for status in [400, 405, 411, 415, 416, 501] {
        let server = PushServer::start(move |asked| {
            let is_whole =
                asked.method == "PUT" && !asked.bytes.is_empty() && asked.path().contains("/blobs/");
            is_whole.then(|| Answer::new(status, ""))
        });
        let bench = Bench::new();
        bench.push(&server.app(), &artifact).unwrap();
        assert_eq!(server.count("PATCH", "/blobs/uploads/"), 4, "{status}");
        bench.assert_pulls(&server.app(), &artifact);
    }
    // The smallest part that the registry takes.
    let seen = Seen::default();
    let server = PushServer::start(move |asked| {
        if asked.method == "POST" {
            let number = seen.before(asked);
            let location = format!("/v2/app/blobs/uploads/s{number}?_state=a%2Bb%3D");
            return Some(
                Answer::new(202, "").with("Location", location).with("OCI-Chunk-Min-Length", "600000"),
            );
        }
        match (asked.method.as_str(), asked.bytes.len()) {
            ("PUT", 700_000..) => Some(Answer::new(413, "")),
            ("PATCH", len @ (600_000 | 400_000)) => {
                let last = if len == 600_000 { 599_999 } else { 999_999 };
                Some(Answer::new(202, "").with("Range", format!("bytes=0-{last}")))
            }
            ("PUT", _) => Some(Answer::new(201, "")),
            ("PATCH", 0..=100) => Some(Answer::new(202, "")),
            ("PATCH", _) => Some(Answer::new(418, "")),
            _ => None,
        }
    });
    let mut bench = Bench::new();
    bench.options.jobs = 1;
    bench.push(&server.app(), &Artifact::new(&blobs(1, 1, 1_000_000))).unwrap();
    assert_eq!(server.count("PATCH", "/blobs/uploads/"), 3, "two parts, and the configuration");
}

#[test]
fn parts_that_the_registry_lost_are_sent_again() {
    // It says that it has less; then it forgets the upload.
    for forgets in [false, true] {
        let artifact = Artifact::new(&blobs(1, 1, 1_000_000));
        let seen = Seen::default();
        let server = PushServer::start(move |asked| match asked.method.as_str() {
            "PUT" if asked.bytes.len() > 100_000 => Some(Answer::new(413, "")),
            "PATCH" if asked.bytes.len() > 300_000 => Some(Answer::new(413, "")),
            "PATCH" if seen.before(asked) == 2 => Some(match forgets {
                true => Answer::new(404, ""),
                false => Answer::new(202, "").with("Range", "0-5"),
            }),
            _ => None,
        });
        let bench = Bench::new();
        bench.push(&server.app(), &artifact).unwrap();
        assert_eq!(bench.retries(), 1, "{forgets}");
        bench.assert_pulls(&server.app(), &artifact);
    }
}

#[test]
fn a_slow_upload_that_moves_on_is_not_broken() {
    let server = PushServer::plain();
    let mut bench = Bench::new();
    // It takes five seconds, longer than a transfer may stand still. A busy machine stands still for less than that.
    bench.options.limit_rate_bytes = 50_000;
    bench.options.stall_timeout = Duration::from_secs(3);
    let started = std::time::Instant::now();
    bench.push(&server.app(), &Artifact::new(&blobs(1, 1, 250_000))).unwrap();
    assert!(started.elapsed() >= Duration::from_secs(4), "the limit holds: {:?}", started.elapsed());
    assert_eq!(bench.retries(), 0);
}

#[test]
fn a_registry_that_stands_still_is_asked_again() {
    for method in ["HEAD", "POST", "PUT"] {
        let seen = Seen::default();
        let server = PushServer::start(move |asked| {
            let stands = asked.method == method && seen.before(asked) == 0;
            stands.then(|| Answer { delay: Duration::from_secs(5), ..Answer::new(500, "") })
        });
        let mut bench = Bench::new();
        bench.options.stall_timeout = Duration::from_secs(1);
        bench.push(&server.app(), &Artifact::new(&blobs(1, 1, 100_000))).unwrap();
        let retry = |event: &PullEvent| matches!(event, PullEvent::Retry { reason, .. } if reason == "no answer in time");
        assert!(bench.events().iter().any(retry), "{method}: {:?}", bench.events());
    }
}

#[test]
fn random_weather_does_no_harm() {
    let seed = banger_testkit::seed();
    let artifact = Artifact::new(&blobs(1, 12, 150_000));
    for round in 0..10 {
        let (of_answers, of_breaks) =
            (Mutex::new(seed.wrapping_add(2 * round)), Mutex::new(seed.wrapping_add(2 * round + 1)));
        // A number below `bound`; the order of the requests has a part in it.
        fn draw(state: &Mutex<u64>, bound: u64) -> u64 {
            let mut state = state.lock().unwrap();
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*state >> 33) % bound
        }
        let server = PushServer::start_breaking(
            move |asked| {
                let statuses = [429, 500, 502, 503, 504];
                match (asked.method.as_str(), draw(&of_answers, 40)) {
                    (_, at @ 0..=4) => Some(Answer::new(statuses[at as usize], "")),
                    ("PUT", 5) if asked.bytes.len() > 100_000 => Some(Answer::new(413, "")),
                    ("PATCH" | "PUT", 6) if asked.path().contains("/blobs/") => Some(Answer::new(404, "")),
                    _ => None,
                }
            },
            move |asked| {
                let is_hit = asked.method != "GET" && draw(&of_breaks, 12) == 0;
                is_hit.then(|| draw(&of_breaks, 100_000) as usize)
            },
        );
        let mut bench = Bench::new();
        bench.options.attempts = 60;
        bench.options.max_backoff = Duration::from_millis(5);
        let pushed =
            bench.push(&server.app(), &artifact).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(pushed.sent_blobs + pushed.present_blobs, 13, "seed {seed}, round {round}");
        let stored = server.store.blobs("app").len();
        assert_eq!(stored, 13, "seed {seed}, round {round}");
        let (_, manifest) = server.store.manifest("app", "1").unwrap();
        assert!(pushed.digest.matches(&manifest), "seed {seed}, round {round}");
    }
}
