//! Pushes to a scripted registry: requests, logins, mounts, addresses of uploads.

use std::sync::Mutex;

use banger_oci::{
    Credential, CredentialSource, Digest, PullEvent, PullPhase, PushError, RegistriesConfig,
    RegistryReference,
};
use banger_testkit::ScriptedServer;
use banger_tree::Failure as _;

use crate::pull_support::*;
use crate::push_support::*;

fn repository(server: &PushServer, name: &str) -> RegistryReference {
    match format!("{}/{name}", server.host()).parse().unwrap() {
        banger_oci::Reference::Registry(reference) => reference,
        other => panic!("{other}"),
    }
}

#[test]
fn an_artifact_comes_back_and_is_not_sent_twice() {
    for make in [Artifact::new, Artifact::of_oci_1_0] {
        let server = PushServer::plain();
        let bench = Bench::new();
        let mut content = blobs(1, 6, 300_000);
        // Equal blobs are sent once; an empty one is a blob, too.
        content.extend([content[0].clone(), Vec::new()]);
        let first = make(&content);
        let pushed = bench.push(&server.app(), &first).unwrap();
        assert_eq!(counts(&pushed), [8, 0, 0]);
        assert_eq!(pushed.sent_bytes, 6 * 300_000 + first.config.len() as u64);
        assert_eq!(first.reads().len(), 7, "the configuration is given");
        assert_eq!((bench.uploads(), server.count("PUT", "/blobs/uploads/")), (8, 8));
        let (media_type, manifest) = server.store.manifest("app", "1").unwrap();
        assert_eq!((media_type.as_str(), &Digest::of(&manifest)), (MANIFEST, &pushed.digest));
        assert_eq!(pushed.size_bytes, manifest.len() as u64);
        bench.assert_pulls(&server.app(), &first);
        bench.assert_pulls(&format!("{}/app@{}", server.host(), pushed.digest), &first);

        let again = make(&content);
        assert_eq!(counts(&bench.push(&server.app(), &again).unwrap()), [0, 8, 0]);
        assert!(again.reads().is_empty(), "what is there is not made");

        content[3] = noise(99, 300_000);
        let changed = make(&content);
        let by_digest = format!("{}/app:2", server.host());
        let pushed = bench.push(&by_digest, &changed).unwrap();
        assert_eq!((counts(&pushed), pushed.sent_bytes), ([1, 7, 0], 300_000));
        assert_eq!(changed.reads(), [Digest::of(&content[3])]);
        bench.assert_pulls(&by_digest, &changed);
        bench.assert_pulls(&server.app(), &first);
    }
}

#[test]
fn events_tell_the_whole_story() {
    let server = PushServer::plain();
    let bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 1, 1_000_000));
    server.store.put_blob("app", &artifact.config);
    let pushed = bench.push(&server.app(), &artifact).unwrap();
    let events = bench.events();
    let blob = artifact.manifest.layers[0].digest.clone();
    assert!(events.iter().all(|event| event.phase() == Some(PullPhase::Uploading)), "{events:?}");
    let target = server.app();
    let total_bytes = 1_000_000 + artifact.config.len() as u64;
    assert_eq!(events[0], PullEvent::Pushing { target, digest: pushed.digest, blobs: 2, total_bytes });
    let sent: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            PullEvent::UploadBytes { digest, sent_bytes } if *digest == blob => Some(*sent_bytes),
            _ => None,
        })
        .collect();
    assert!(sent.len() > 2 && sent.is_sorted() && sent.last() == Some(&1_000_000), "{sent:?}");
    let config = &artifact.manifest.config;
    let present =
        PullEvent::BlobPresent { digest: config.digest.clone(), size_bytes: config.size, mounted: false };
    assert!(events.contains(&present));
}

#[test]
fn a_digest_and_a_default_tag_are_targets() {
    let server = PushServer::plain();
    let bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 1, 100));
    let digest = bench.push(&format!("{}/app", server.host()), &artifact).unwrap().digest;
    assert!(server.store.manifest("app", "latest").is_some());
    bench.push(&format!("{}/other@{digest}", server.host()), &artifact).unwrap();
    assert_eq!(server.count("PUT", &format!("/v2/other/manifests/{digest}")), 1);
    bench.push(&format!("{}/third:x@{digest}", server.host()), &artifact).unwrap();
    assert!(server.store.manifest("third", "x").is_some());
    let other = Artifact::new(&blobs(2, 1, 100));
    let error = bench.push(&format!("{}/app@{digest}", server.host()), &other).unwrap_err();
    assert!(matches!(&error, PushError::Target { .. }), "{error}");
}

/// A registry with a token server. The first challenge asks for the right to pull, as a HEAD leads to it.
fn with_tokens(may_push: bool) -> PushServer {
    PushServer::start(move |asked| {
        let host = asked.header("host").unwrap_or_default();
        if asked.path() == "/token" {
            let is_me = asked.header("authorization") == Some("Basic bWU6c2VjcmV0");
            let scope = asked.target.contains("scope=repository%3Aapp%3Apull%2Cpush");
            return Some(match is_me && scope {
                true => Answer::new(200, r#"{"token":"granted-for-push"}"#),
                false => Answer::new(200, r#"{"token":"granted-for-less"}"#),
            });
        }
        match asked.header("authorization") {
            Some("Bearer granted-for-push") if may_push => None,
            Some(_) if asked.method == "HEAD" => None,
            Some(sent) => Some(Answer::new(403, format!("no push with {sent}"))),
            None => {
                let challenge = format!(
                    "Bearer realm=\"http://{host}/token\",service=\"s\",scope=\"repository:app:pull\""
                );
                Some(Answer::new(401, "").with("WWW-Authenticate", challenge))
            }
        }
    })
}

fn me() -> CredentialSource {
    CredentialSource::Fixed(Credential::Password { user: "me".to_owned(), password: "secret".to_owned() })
}

#[test]
fn a_login_asks_for_the_right_to_push() {
    let server = with_tokens(true);
    let mut bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 5, 1000));
    bench.options.credentials = me();
    bench.push(&server.app(), &artifact).unwrap();
    assert_eq!(server.count("GET", "/token"), 1, "all requests share one token");
    assert!(!server.asked().iter().any(|asked| asked.target.contains("scope=repository%3Aapp%3Apull&")));

    let server = with_tokens(true);
    bench.push_mounting(&server.app(), &artifact, Some(&repository(&server, "base/x"))).unwrap();
    let token = server.asked().into_iter().find(|asked| asked.path() == "/token").unwrap();
    assert!(token.target.contains("scope=repository%3Abase%2Fx%3Apull"), "{}", token.target);

    for (server, credentials) in
        [(with_tokens(false), me()), (with_tokens(true), CredentialSource::Anonymous)]
    {
        bench.options.credentials = credentials;
        let artifact = Artifact::new(&blobs(1, 5, 1000));
        let error = bench.push(&server.app(), &artifact).unwrap_err();
        assert!(matches!(&error, PushError::Denied { .. }), "{error}");
        assert!(!error.to_string().contains("granted"), "the token is hidden: {error}");
        assert!(error.advice().unwrap().to_string().contains("log in"), "{error}");
        assert!(artifact.reads().is_empty(), "no blob is made in vain");
    }
}

#[test]
fn blobs_of_another_repository_are_mounted() {
    let all = blobs(1, 4, 1000);
    let artifact = Artifact::new(&all);
    // The status of a refused mount; `None` is a registry that mounts.
    for refusal in [None, Some(405), Some(401), Some(403), Some(404), Some(400)] {
        let server = PushServer::start(move |asked| {
            let is_mount = asked.method == "POST" && asked.target.contains("mount=");
            refusal.filter(|_| is_mount).map(|status| Answer::new(status, ""))
        });
        // The last one is nowhere: the registry answers 202 and takes it.
        all[..3].iter().for_each(|bytes| server.store.put_blob("base/x", bytes));
        let bench = Bench::new();
        let source = repository(&server, "base/x");
        let pushed = bench.push_mounting(&server.app(), &artifact, Some(&source)).unwrap();
        let expected = if refusal.is_none() { [2, 0, 3] } else { [5, 0, 0] };
        assert_eq!(counts(&pushed), expected, "{refusal:?}");
        bench.assert_pulls(&server.app(), &artifact);
        let opened = server.count("POST", "/v2/app/blobs/uploads/");
        match refusal {
            None => assert_eq!(opened, 5, "an answer of 202 opens the upload"),
            Some(_) => assert!((6..=9).contains(&opened), "a mount is not tried again: {opened}"),
        }
        // A repository of another registry, and the target itself, have no effect.
        for source in ["127.0.0.1:1/base/x", &format!("{}/app", server.host())] {
            let banger_oci::Reference::Registry(source) = source.parse().unwrap() else { panic!("{source}") };
            bench.push_mounting(&format!("{}/app:2", server.host()), &artifact, Some(&source)).unwrap();
        }
    }
}

#[test]
fn another_host_gets_bytes_but_no_credentials() {
    // By a Location, and by a redirect.
    for is_redirect in [false, true] {
        let artifact = Artifact::new(&blobs(1, 3, 1000));
        let store = banger_testkit::UploadStore::default();
        let behind = store.clone();
        let other = ScriptedServer::start(move |asked| behind.answer(asked));
        let (host, front) = (other.host(), store.clone());
        let server = ScriptedServer::start(move |asked| {
            if asked.header("authorization") != Some("Basic bWU6c2VjcmV0") {
                return Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\"");
            }
            let is_upload = asked.path().contains("/blobs/uploads/");
            if is_upload && asked.method == "PUT" {
                return Answer::new(307, "").with("Location", format!("http://{host}{}", asked.target));
            }
            let mut answer = front.answer(asked);
            if is_upload && !is_redirect {
                let location = answer.headers.iter_mut().find(|(name, _)| name == "Location").unwrap();
                location.1 = format!("http://{host}{}", location.1);
            }
            answer
        });
        let mut bench = Bench::new();
        bench.options.credentials = me();
        bench.push(&format!("{}/app:1", server.host()), &artifact).unwrap();
        assert_eq!(store.blobs("app").len(), 4);
        assert_eq!(other.count("PUT", "/blobs/uploads/"), 4);
        assert!(other.asked().iter().all(|asked| asked.header("authorization").is_none()));
    }
}

#[test]
fn addresses_of_uploads_that_are_not_followed() {
    for (status, location, says) in [
        (202, Some("ftp://127.0.0.1/x"), "only web addresses"),
        (202, Some("http://[bad"), "not a URL"),
        (202, None, "no Location"),
        (302, Some("/v2/x"), "302"),
        (303, Some("http://127.0.0.1:1/x"), "303"),
    ] {
        let server = PushServer::start(move |asked| {
            let answer = (asked.method == "POST").then(|| Answer::new(status, ""))?;
            Some(match location {
                Some(location) => answer.with("Location", location),
                None => answer,
            })
        });
        let error = Bench::new().push(&server.app(), &Artifact::new(&blobs(1, 1, 10))).unwrap_err();
        assert!(error.to_string().contains(says), "{location:?}: {error}");
    }
}

#[test]
fn a_push_goes_to_the_location_and_to_no_mirror() {
    let (mirror, server) = (PushServer::plain(), PushServer::plain());
    let mut bench = Bench::new();
    let file = bench.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"registry.example/team\"\nlocation = \"{}/moved\"\n\
         [[registry.mirror]]\nlocation = \"{}\"\n",
        server.host(),
        mirror.host()
    );
    std::fs::write(&file, text).unwrap();
    bench.options.registries = RegistriesConfig::read(std::slice::from_ref(&file)).unwrap();
    bench.push("registry.example/team/app:1", &Artifact::new(&blobs(1, 2, 10))).unwrap();
    assert!(server.store.manifest("moved/app", "1").is_some());
    assert!(mirror.asked().is_empty());

    std::fs::write(&file, "unqualified-search-registries = [\"a.example\", \"b.example\"]\n").unwrap();
    bench.options.registries = RegistriesConfig::read(&[file]).unwrap();
    let error = bench.push("app", &Artifact::new(&blobs(1, 2, 10))).unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("one registry")), (1185, true), "{error}");
}

#[test]
fn no_more_blobs_are_in_memory_than_jobs() {
    let running = std::sync::Arc::new(Mutex::new((0_usize, 0_usize)));
    let in_registry = std::sync::Arc::clone(&running);
    let server = PushServer::start(move |asked| {
        if asked.method == "PUT" && asked.path().contains("/blobs/") {
            in_registry.lock().unwrap().0 -= 1;
        }
        None
    });
    let mut bench = Bench::new();
    bench.options.jobs = 3;
    struct Watched(Artifact, std::sync::Arc<Mutex<(usize, usize)>>);
    impl banger_oci::ArtifactBlobs for Watched {
        fn read(&self, blob: &banger_oci::Descriptor) -> std::io::Result<Vec<u8>> {
            let mut running = self.1.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
            drop(running);
            self.0.read(blob)
        }
    }
    let watched = Watched(Artifact::new(&blobs(1, 40, 1000)), running);
    server.store.put_blob("app", &watched.0.config);
    let artifact = banger_oci::ArtifactToPush::new(&watched.0.manifest, &watched.0.config, &watched);
    let puller = banger_oci::Puller::new(banger_oci::PullerOptions::default());
    let progress = banger_oci::Progress::none();
    puller
        .push_artifact(&server.app().parse().unwrap(), &artifact, &bench.options, &progress, &bench.cancel)
        .unwrap();
    let most = watched.1.lock().unwrap().1;
    assert!((1..=3).contains(&most), "{most}");
}
