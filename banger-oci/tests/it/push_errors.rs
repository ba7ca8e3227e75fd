//! Pushes that fail: the registry refuses, the blobs are wrong, the caller stops.

use std::io;
use std::sync::Mutex;

use banger_oci::{
    ArtifactBlobs, ArtifactToPush, Descriptor, Digest, Progress, PullError, PullEvent, Puller, PullerOptions,
    PushError,
};
use banger_tree::{ErrorKind, Failure as _};

use crate::pull_support::*;
use crate::push_support::*;

fn status(method: &'static str, part: &'static str, status: u16) -> PushServer {
    PushServer::start(move |asked| {
        let fits = asked.method == method && asked.path().contains(part);
        fits.then(|| {
            Answer::new(status, r#"{"errors":[{"code":"X","message":"not today"}]}"#)
                .with("Location", "/v2/app/blobs/uploads/x")
        })
    })
}

#[test]
fn what_a_registry_refuses_is_said() {
    let (uploads, manifests) = ("/blobs/uploads/", "/manifests/");
    for (method, part, refused, code, kind) in [
        ("POST", uploads, 401, 1260, ErrorKind::Access),
        ("POST", uploads, 403, 1260, ErrorKind::Access),
        ("POST", uploads, 404, 1263, ErrorKind::Unsupported),
        ("POST", uploads, 405, 1263, ErrorKind::Unsupported),
        ("POST", uploads, 507, 1265, ErrorKind::NoSpace),
        ("POST", uploads, 400, 108, ErrorKind::Network),
        ("PUT", uploads, 403, 1260, ErrorKind::Access),
        ("PUT", uploads, 507, 1265, ErrorKind::NoSpace),
        ("PUT", uploads, 422, 108, ErrorKind::Network),
        ("PUT", uploads, 413, 1264, ErrorKind::Limit),
        ("PUT", manifests, 403, 1260, ErrorKind::Access),
        ("PUT", manifests, 404, 1263, ErrorKind::Unsupported),
        ("PUT", manifests, 405, 1263, ErrorKind::Unsupported),
        ("PUT", manifests, 413, 1264, ErrorKind::Limit),
        ("PUT", manifests, 507, 1265, ErrorKind::NoSpace),
        ("PUT", manifests, 400, 108, ErrorKind::Network),
    ] {
        let server = status(method, part, refused);
        let bench = Bench::new();
        let error = bench.push(&server.app(), &Artifact::new(&blobs(1, 3, 1000))).unwrap_err();
        assert_eq!((error.code(), error.kind()), (code, kind), "{method} {part} {refused}: {error}");
        assert!(error.to_string().contains("not today"), "{error}");
        assert!(server.store.manifest("app", "1").is_none());
        assert_eq!(bench.retries(), 0, "{method} {part} {refused}: it will not learn it");
        if method == "POST" {
            assert!(!bench.events().iter().any(|event| matches!(event, PullEvent::UploadStarted { .. })));
        }
    }
}

#[test]
fn another_digest_in_an_answer_is_an_error() {
    for part in ["/blobs/uploads/", "/manifests/"] {
        let server = PushServer::start(move |asked| {
            let fits = asked.method == "PUT" && asked.path().contains(part);
            fits.then(|| Answer::new(201, "").with("Docker-Content-Digest", Digest::of(b"odd").to_string()))
        });
        let error = Bench::new().push(&server.app(), &Artifact::new(&blobs(1, 1, 10))).unwrap_err();
        assert!(
            matches!(&error, PushError::WrongDigest { stated, .. } if *stated == Digest::of(b"odd")),
            "{error}"
        );
    }
    // One with another algorithm, or none, says nothing.
    for value in ["blake3:00", "", &format!("sha512:{}", "0".repeat(128))] {
        let value = value.to_owned();
        let server = PushServer::start(move |asked| {
            let fits = asked.method == "PUT" && asked.path().contains("/manifests/");
            fits.then(|| Answer::new(201, "").with("Docker-Content-Digest", value.clone()))
        });
        Bench::new().push(&server.app(), &Artifact::new(&blobs(1, 1, 10))).unwrap();
    }
}

#[test]
fn a_lost_blob_is_sent_again_once() {
    for losses in [1, usize::MAX] {
        let artifact = Artifact::new(&blobs(1, 5, 1000));
        let lost = artifact.manifest.layers[2].digest.clone();
        let store = banger_testkit::UploadStore::default();
        let (shared, digest) = (store.clone(), lost.to_string());
        let count = Mutex::new(0);
        let server = banger_testkit::ScriptedServer::start(move |asked| {
            let mut count = count.lock().unwrap();
            if asked.method == "PUT" && asked.path().contains("/manifests/") && *count < losses {
                *count += 1;
                assert!(shared.remove_blob("app", &digest));
            }
            shared.answer(asked)
        });
        let bench = Bench::new();
        let target = format!("{}/app:1", server.host());
        match losses {
            1 => {
                let pushed = bench.push(&target, &artifact).unwrap();
                assert_eq!(counts(&pushed), [7, 0, 0]);
                bench.assert_pulls(&target, &artifact);
            }
            _ => {
                let error = bench.push(&target, &artifact).unwrap_err();
                assert!(matches!(&error, PushError::BlobLost { digest, .. } if *digest == lost), "{error}");
                assert!(store.manifest("app", "1").is_none());
            }
        }
    }
}

#[test]
fn a_registry_that_does_not_see_its_blobs_at_once_is_asked_again() {
    for (failures, is_good) in [(3, true), (usize::MAX, false)] {
        let count = Mutex::new(0);
        let server = PushServer::start(move |asked| {
            let mut count = count.lock().unwrap();
            let fails = asked.method == "PUT" && asked.path().contains("/manifests/") && *count < failures;
            *count += usize::from(fails);
            fails.then(|| Answer::new(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#))
        });
        let bench = Bench::new();
        match bench.push(&server.app(), &Artifact::new(&blobs(1, 2, 10))) {
            Ok(pushed) => assert_eq!((is_good, counts(&pushed), bench.retries()), (true, [3, 0, 0], 3)),
            Err(error) => assert_eq!((is_good, error.code(), bench.retries()), (false, 108, 4), "{error}"),
        }
    }
}

#[test]
fn a_failed_push_goes_on_where_it_was() {
    let artifact = Artifact::new(&blobs(1, 8, 1000));
    let puts = Mutex::new(0);
    let server = PushServer::start(move |asked| {
        let is_put = asked.method == "PUT" && asked.path().contains("/blobs/");
        let mut puts = puts.lock().unwrap();
        *puts += usize::from(is_put);
        (is_put && *puts == 5).then(|| Answer::new(403, "not now"))
    });
    let mut bench = Bench::new();
    bench.options.jobs = 1;
    let error = bench.push(&server.app(), &artifact).unwrap_err();
    assert!(matches!(error, PushError::Denied { .. }), "{error}");
    let pushed = bench.push(&server.app(), &artifact).unwrap();
    assert_eq!(counts(&pushed), [5, 4, 0]);
    bench.assert_pulls(&server.app(), &artifact);
}

#[test]
fn an_artifact_that_contradicts_itself_is_not_sent() {
    let good = || Artifact::new(&blobs(1, 2, 10));
    type Change = fn(&mut Artifact);
    let changes: [(Change, u32); 7] = [
        (|artifact| artifact.manifest.schema_version = 1, 1261),
        (|artifact| artifact.manifest.media_type = Some("text/plain".to_owned()), 1261),
        (|artifact| artifact.config.push(b' '), 110),
        (
            |artifact| {
                let twice = artifact.manifest.layers[0].clone();
                artifact.manifest.layers.push(Descriptor { size: 11, ..twice });
            },
            1261,
        ),
        (|artifact| artifact.manifest.layers[0].size = ArtifactToPush::MAX_BLOB_BYTES + 1, 1261),
        (
            |artifact| {
                artifact.manifest.annotations.insert("x".to_owned(), "y".repeat(4 << 20));
            },
            115,
        ),
        (|artifact| artifact.manifest.media_type = None, 0),
    ];
    for (at, (change, code)) in changes.into_iter().enumerate() {
        let server = PushServer::plain();
        let mut artifact = good();
        change(&mut artifact);
        match (Bench::new().push(&server.app(), &artifact), code) {
            (Ok(_), 0) => {}
            (Err(error), code) => {
                assert_eq!(error.code(), code, "{at}: {error}");
                assert!(server.asked().is_empty(), "{at}");
            }
            (Ok(_), _) => panic!("{at}"),
        }
    }
    for target in ["docker-archive:x.tar", "oci-archive:-", "docker-daemon:x", "containerd:/c:x"] {
        let error = Bench::new().push(target, &good()).unwrap_err();
        assert!(matches!(&error, PushError::Target { .. }), "{target}: {error}");
    }
}

/// Blobs of which one cannot be had.
struct Broken<'a> {
    artifact: &'a Artifact,
    bad: Digest,
    how: fn(Vec<u8>) -> io::Result<Vec<u8>>,
}

impl ArtifactBlobs for Broken<'_> {
    fn read(&self, blob: &Descriptor) -> io::Result<Vec<u8>> {
        let bytes = self.artifact.read(blob)?;
        if blob.digest == self.bad { (self.how)(bytes) } else { Ok(bytes) }
    }
}

fn push_broken(
    bench: &Bench,
    target: &str,
    artifact: &Artifact,
    how: fn(Vec<u8>) -> io::Result<Vec<u8>>,
) -> PushError {
    let broken = Broken { artifact, bad: artifact.manifest.layers[3].digest.clone(), how };
    let pushed = ArtifactToPush::new(&artifact.manifest, &artifact.config, &broken);
    let (puller, progress) = (Puller::new(PullerOptions::default()), Progress::none());
    let target = target.parse().unwrap();
    puller.push_artifact(&target, &pushed, &bench.options, &progress, &bench.cancel).unwrap_err()
}

#[test]
fn blobs_that_cannot_be_had_and_wrong_ones() {
    let artifact = Artifact::new(&blobs(1, 6, 1000));
    let server = PushServer::plain();
    let bench = Bench::new();
    let targets = [
        server.app(),
        format!("oci:{}", bench.path().join("layout")),
        format!("oci-archive:{}", bench.path().join("a.tar")),
    ];
    for target in &targets {
        let error = push_broken(&bench, target, &artifact, |_| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!((error.code(), error.kind()), (1163, ErrorKind::Access), "{error}");
        for how in [
            |bytes: Vec<u8>| Ok(bytes[1..].to_vec()),
            |bytes: Vec<u8>| Ok(bytes.iter().map(|byte| byte ^ 1).collect()),
        ] {
            let error = push_broken(&bench, target, &artifact, how);
            assert!(matches!(&error, PushError::Pull(PullError::Mismatch { .. })), "{error}");
        }
    }
    assert!(server.store.manifest("app", "1").is_none());
    let left: Vec<_> = bench.path().read_dir_utf8().unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(left.len(), 1, "only the cache: {left:?}");
}

#[test]
#[should_panic(expected = "a scoped thread panicked")]
fn blobs_that_panic_end_the_push() {
    // Other than the first thread, which is that of the test.
    struct Panicking(std::thread::ThreadId, std::sync::Barrier);
    impl ArtifactBlobs for Panicking {
        fn read(&self, _: &Descriptor) -> io::Result<Vec<u8>> {
            self.1.wait();
            match std::thread::current().id() == self.0 {
                true => Err(io::ErrorKind::Other.into()),
                false => panic!("of the caller"),
            }
        }
    }
    let (server, artifact) = (PushServer::plain(), Artifact::new(&blobs(1, 2, 10)));
    server.store.put_blob("app", &artifact.config);
    let mut bench = Bench::new();
    bench.options.jobs = 2;
    let panicking = Panicking(std::thread::current().id(), std::sync::Barrier::new(2));
    let pushed = ArtifactToPush::new(&artifact.manifest, &artifact.config, &panicking);
    let (puller, progress) = (Puller::new(PullerOptions::default()), Progress::none());
    let _ended = puller.push_artifact(
        &server.app().parse().unwrap(),
        &pushed,
        &bench.options,
        &progress,
        &bench.cancel,
    );
}

#[test]
fn a_push_can_be_cancelled_at_any_event() {
    let artifact = Artifact::new(&blobs(1, 6, 300_000));
    for target in ["registry", "oci", "oci-archive"] {
        for at in 0.. {
            let server = PushServer::plain();
            let mut bench = Bench::new();
            bench.options.jobs = 2;
            let target = match target {
                "registry" => server.app(),
                other => format!("{other}:{}", bench.path().join("target")),
            };
            let (cancel, seen) = (bench.cancel.clone(), Mutex::new(0));
            let progress = Progress::new(move |_| {
                let mut seen = seen.lock().unwrap();
                *seen += 1;
                if *seen > at {
                    cancel.cancel();
                }
            });
            let outcome = bench.push_telling(&target, &artifact, None, &progress);
            if !bench.cancel.is_cancelled() {
                outcome.unwrap();
                assert!(at > 10);
                break;
            }
            match outcome {
                // The last events come before the last requests.
                Ok(_) => assert!(at > 10),
                Err(error) => {
                    assert!(matches!(error, PushError::Cancelled), "{error}");
                    assert!(server.store.manifest("app", "1").is_none());
                    assert!(!bench.path().join("target").exists());
                }
            }
        }
    }
}

#[test]
fn a_handler_that_panics_ends_the_push() {
    let server = PushServer::plain();
    let progress = Progress::new(|event| {
        assert!(!matches!(event, PullEvent::UploadDone { .. }), "no more of it");
    });
    let error = Bench::new()
        .push_telling(&server.app(), &Artifact::new(&blobs(1, 3, 10)), None, &progress)
        .unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("the push's events")), (135, true), "{error}");
}
