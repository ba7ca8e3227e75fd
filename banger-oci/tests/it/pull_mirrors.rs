//! Mirrors, other locations, short names: where an image comes from by `registries.conf`.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use banger_oci::{
    Credential, CredentialSource, Digest, EndpointFailure, PullError, PullEvent, PulledImage,
    RegistriesConfig,
};
use banger_tree::Failure as _;
use serde_json::json;

use crate::pull_support::{Answer, Asked, Bench, Server, Store, noise, range_start, read_layers};

const MIB: usize = 1 << 20;

/// A store with the image `app:1` of one layer.
fn store(seed: u32) -> (Store, Vec<u8>) {
    let mut store = Store::default();
    let layer = noise(seed, MIB);
    store.image(Some("1"), "linux/amd64", std::slice::from_ref(&layer));
    (store, layer)
}

fn configure(bench: &mut Bench, text: &str) {
    let path = bench.path().join("registries.conf");
    std::fs::write(&path, text).unwrap();
    bench.options.registries = RegistriesConfig::read(&[path]).unwrap();
}

/// Names for `docker.io/library/app` with a mirror, and the registry at another location.
fn mirrored(mirror: &str, registry: &str) -> String {
    format!(
        "[[registry]]\nprefix = \"docker.io/library\"\nlocation = \"{registry}/proxy\"\n\
         [[registry.mirror]]\nlocation = \"{mirror}/m\"\n"
    )
}

/// Reads the layers; where bytes of one place were wrong, again with those of the next.
fn read_all(image: &mut PulledImage) -> Result<Vec<Vec<u8>>, PullError> {
    loop {
        match read_layers(image).and_then(|layers| image.finish().map(|()| layers)) {
            Ok(layers) => return Ok(layers),
            Err(error) if !image.repair()? => return Err(error),
            Err(_) => {}
        }
    }
}

fn chosen(bench: &Bench) -> Vec<String> {
    let name = |event| match event {
        PullEvent::EndpointChosen { endpoint } => Some(endpoint),
        _ => None,
    };
    bench.events().into_iter().filter_map(name).collect()
}

fn skipped(bench: &Bench) -> Vec<(String, String)> {
    let name = |event| match event {
        PullEvent::EndpointSkipped { endpoint, reason } => Some((endpoint, reason)),
        _ => None,
    };
    bench.events().into_iter().filter_map(name).collect()
}

#[test]
fn a_mirror_that_has_the_image_gives_all_of_it() {
    let (content, layer) = store(1);
    let (mirror, registry) = (Server::plain(content.clone()), Server::plain(content));
    let mut bench = Bench::new();
    configure(&mut bench, &mirrored(&mirror.host(), &registry.host()));
    let mut image = bench.pull("app:1").unwrap();
    assert_eq!(read_all(&mut image).unwrap(), [layer]);
    assert_eq!(image.reference.to_string(), "docker.io/library/app:1");
    assert_eq!(image.resolved, image.reference);
    assert_eq!(chosen(&bench), [format!("{}/m/app", mirror.host())]);
    assert_eq!(registry.asked().len(), 0);
    assert!(mirror.asked().iter().all(|asked| asked.path().starts_with("/v2/m/app/")));
    drop((mirror, registry));
    // Another name at the same place is another image: the cache has it under its own name only.
    assert!(bench.read("docker.io/library/app:2").is_err());
}

/// What a mirror does wrong.
type Fault = fn(&Asked, &Answer) -> Option<Answer>;

#[test]
fn a_mirror_that_fails_or_lies_is_passed_over() {
    let faults: &[(&str, Fault)] = &[
        ("404", |_, _| Some(Answer::new(404, r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#))),
        ("500", |_, _| Some(Answer::new(500, ""))),
        ("401", |_, _| Some(Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""))),
        ("web page", |_, _| {
            Some(Answer::new(200, "<html><title>Log in</title></html>").with("Content-Type", "text/html"))
        }),
        ("wrong digest", |asked, answer| {
            (asked.method == "HEAD").then(|| {
                let mut answer = answer.clone();
                answer.headers.retain(|(name, _)| name != "Docker-Content-Digest");
                answer.with("Docker-Content-Digest", Digest::of(b"other").to_string())
            })
        }),
        ("wrong manifest", |asked, answer| {
            let is_get = asked.method == "GET" && asked.path().contains("/manifests/");
            is_get.then(|| Answer { body: b"{}".to_vec(), ..answer.clone() })
        }),
        ("no blobs", |asked, _| asked.path().contains("/blobs/").then(|| Answer::new(404, ""))),
        ("wrong blobs", |asked, answer| {
            asked.path().contains("/blobs/").then(|| {
                let mut answer = answer.clone();
                let last = answer.body.len() - 1;
                answer.body[last] ^= 1;
                answer
            })
        }),
        ("wrong first byte", |asked, answer| {
            asked.path().contains("/blobs/").then(|| {
                let mut answer = answer.clone();
                answer.body[0] ^= 1;
                answer
            })
        }),
        ("longer blobs", |asked, answer| {
            asked.path().contains("/blobs/").then(|| {
                let mut answer = answer.clone();
                answer.body.push(0);
                answer
            })
        }),
        ("half a blob that is wrong", |asked, answer| {
            if range_start(asked).is_some() {
                return Some(Answer::new(500, ""));
            }
            (asked.path().contains("/blobs/") && answer.body.len() == MIB).then(|| {
                let mut answer = answer.clone();
                answer.body[7] ^= 1;
                answer.cut(MIB / 2)
            })
        }),
    ];
    for (name, fault) in faults {
        let (content, layer) = store(2);
        let honest = content.clone();
        let mirror = Server::start(content.clone(), move |asked| fault(asked, &honest.answer(asked)));
        let registry = Server::plain(content);
        let mut bench = Bench::new();
        configure(&mut bench, &mirrored(&mirror.host(), &registry.host()));
        let mut image = bench.pull("app:1").unwrap_or_else(|error| panic!("{name}: {error}"));
        let layers = read_all(&mut image).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(layers, [layer], "{name}");
        assert!(!mirror.asked().is_empty(), "{name}");
        let skipped = skipped(&bench);
        assert!(
            skipped.iter().all(|(endpoint, _)| *endpoint == format!("{}/m/app", mirror.host())),
            "{name}"
        );
        // A wrong digest of a HEAD costs nothing: the manifest has the digest that the tag stands for.
        assert!(!skipped.is_empty() || *name == "wrong digest", "{name}");
    }
}

#[test]
fn a_mirror_that_is_not_there_costs_few_attempts() {
    let (content, layer) = store(3);
    let registry = Server::plain(content);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut bench = Bench::new();
    bench.options.attempts = 50;
    bench.options.backoff = Duration::from_millis(50);
    configure(&mut bench, &mirrored(&free.to_string(), &registry.host()));
    assert_eq!(bench.read("app:1").unwrap(), [layer]);
    assert_eq!(bench.retries(), 1);
    assert_eq!(chosen(&bench), [format!("{}/proxy/app", registry.host())]);
}

#[test]
fn without_any_place_the_error_names_each() {
    let (content, _) = store(4);
    let mirror = Server::start(content.clone(), |_| Some(Answer::new(503, "")));
    let registry = Server::plain(content);
    let mut bench = Bench::new();
    configure(&mut bench, &mirrored(&mirror.host(), &registry.host()));
    let error = bench.pull("app:nothing").unwrap_err();
    let PullError::Endpoints { failures, .. } = &error else { panic!("{error}") };
    let places: Vec<&str> =
        failures.iter().map(|EndpointFailure { endpoint, .. }| endpoint.as_str()).collect();
    assert_eq!(places, [format!("{}/m/app", mirror.host()), format!("{}/proxy/app", registry.host())]);
    let text = error.to_string();
    assert!(text.contains("503") && text.contains("docker.io/library/app:nothing"), "{text}");
    assert_eq!((error.code(), error.kind()), (1182, banger_tree::ErrorKind::NotFound));
}

#[test]
fn blocked_registries_are_not_asked() {
    let (content, _) = store(5);
    let server = Server::plain(content);
    let mut bench = Bench::new();
    configure(&mut bench, &format!("[[registry]]\nlocation = \"{}\"\nblocked = true\n", server.host()));
    let error = bench.pull(&format!("{}/app:1", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::Blocked { .. }) && error.code() == 1181, "{error}");
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn mirrors_for_digests_are_not_asked_for_tags() {
    let (content, layer) = store(6);
    let digest = Digest::of(&content.manifests["1"].1);
    let (mirror, registry) = (Server::plain(content.clone()), Server::plain(content));
    let text = mirrored(&mirror.host(), &registry.host());
    let bench = |usage: &str| {
        let mut bench = Bench::new();
        configure(&mut bench, &format!("{text}pull-from-mirror = \"{usage}\"\n"));
        bench
    };
    assert_eq!(bench("digest-only").read("app:1").unwrap(), std::slice::from_ref(&layer));
    assert_eq!(mirror.asked().len(), 0);
    assert_eq!(bench("digest-only").read(&format!("app@{digest}")).unwrap(), std::slice::from_ref(&layer));
    let with_digest = mirror.asked().len();
    assert!(with_digest > 0);
    assert_eq!(bench("tag-only").read(&format!("app@{digest}")).unwrap(), std::slice::from_ref(&layer));
    assert_eq!(mirror.asked().len(), with_digest);
    assert_eq!(bench("tag-only").read("app:1").unwrap(), [layer]);
    assert!(mirror.asked().len() > with_digest);
}

/// A registry that wants a password, and keeps what it was sent.
fn with_password(content: Store, user: &str) -> Server {
    use base64::Engine as _;
    let wanted =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:secret")));
    Server::start(content, move |asked| {
        let is_right = asked.header("authorization") == Some(wanted.as_str());
        (!is_right).then(|| Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""))
    })
}

/// The users whose passwords a server received.
fn users(server: &Server) -> Vec<String> {
    use base64::Engine as _;
    let user = |asked: &Asked| {
        let encoded = asked.header("authorization")?.strip_prefix("Basic ")?.to_owned();
        let text =
            String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap();
        Some(text.split(':').next().unwrap().to_owned())
    };
    let mut users: Vec<String> = server.asked().iter().filter_map(user).collect();
    users.dedup();
    users
}

#[test]
fn each_place_gets_its_own_credentials_only() {
    use base64::Engine as _;
    let (mut content, layer) = store(7);
    // The mirror has the manifest only, so that both places are asked.
    let registry = with_password(content.clone(), "registry");
    content.blobs.clear();
    let mirror = with_password(content, "mirror");
    let mut bench = Bench::new();
    configure(&mut bench, &mirrored(&mirror.host(), &registry.host()));
    let entry = |user: &str| json!({ "auth": base64::engine::general_purpose::STANDARD.encode(format!("{user}:secret")) });
    let auths = json!({ "auths": {
        "docker.io": entry("docker"),
        format!("{}/m", mirror.host()): entry("mirror"),
        mirror.host(): entry("whole-mirror"),
        format!("{}/proxy/app", registry.host()): entry("registry"),
        format!("{}/other", registry.host()): entry("other"),
    } });
    let file = bench.path().join("auth.json");
    std::fs::write(&file, auths.to_string()).unwrap();
    bench.options.credentials = CredentialSource::Files {
        files: vec![file],
        helper_dir: None,
        helper_timeout: Duration::from_secs(5),
    };
    let mut image = bench.pull("app:1").unwrap();
    assert_eq!(read_all(&mut image).unwrap(), std::slice::from_ref(&layer));
    assert_eq!((users(&mirror), users(&registry)), (vec!["mirror".to_owned()], vec!["registry".to_owned()]));

    // One that the caller gave is for the registry.
    let mut bench = Bench::new();
    configure(&mut bench, &mirrored(&mirror.host(), &registry.host()));
    let credential = Credential::Password { user: "registry".to_owned(), password: "secret".to_owned() };
    bench.options.credentials = CredentialSource::Fixed(credential);
    let mut image = bench.pull("app:1").unwrap();
    assert_eq!(read_all(&mut image).unwrap(), [layer]);
    assert_eq!(users(&mirror), ["mirror"]);
    assert_eq!(chosen(&bench), [format!("{}/proxy/app", registry.host())]);
}

#[test]
fn short_names_are_searched_in_order() {
    let (content, layer) = store(8);
    let (first, second) = (Server::plain(Store::default()), Server::plain(content));
    let mut bench = Bench::new();
    let hosts = format!("unqualified-search-registries = [\"{}\", \"{}\"]\n", first.host(), second.host());
    configure(&mut bench, &hosts);
    let mut image = bench.pull("app:1").unwrap();
    assert_eq!(read_all(&mut image).unwrap(), std::slice::from_ref(&layer));
    assert_eq!(image.resolved.to_string(), format!("{}/app:1", second.host()));
    assert_eq!(chosen(&bench), [format!("{}/app", second.host())]);
    assert!(first.asked().iter().all(|asked| ["/v2/", "/v2/app/manifests/1"].contains(&asked.path())));
    let error = bench.pull("app:nothing").map(|image| image.digest).unwrap_err();
    assert!(matches!(&error, PullError::Endpoints { failures, .. } if failures.len() == 2), "{error}");

    let mut bench = Bench::new();
    configure(&mut bench, &format!("[aliases]\napp = \"{}/a/b\"\n", second.host()));
    let image = bench.pull("app:1").unwrap();
    assert_eq!(image.resolved.to_string(), format!("{}/a/b:1", second.host()));
    assert_eq!(read_layers(&image).unwrap(), [layer]);
}

#[test]
fn many_pulls_share_a_mirror_and_its_failures() {
    let (content, layer) = store(9);
    let mirror = Server::start(content.clone(), |asked| {
        asked.path().contains("/blobs/").then(|| Answer::new(404, ""))
    });
    let registry = Server::plain(content);
    let text = mirrored(&mirror.host(), &registry.host());
    let bench = {
        let mut bench = Bench::new();
        configure(&mut bench, &text);
        Arc::new(bench)
    };
    let pulls: Vec<_> = (0..4)
        .map(|_| {
            let bench = Arc::clone(&bench);
            std::thread::spawn(move || read_all(&mut bench.pull("app:1").unwrap()).unwrap())
        })
        .collect();
    for pull in pulls {
        assert_eq!(pull.join().unwrap(), std::slice::from_ref(&layer));
    }
    let blob = Digest::of(&layer).to_string();
    assert_eq!(registry.count("GET", &blob), 1);
}
