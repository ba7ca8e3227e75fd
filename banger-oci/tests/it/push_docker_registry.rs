//! Pushes to Debian's docker-registry.

use std::io::Write as _;

use banger_oci::{Credential, CredentialSource, PushError};
use banger_testkit::{Registry, RegistryOptions, ScriptedServer, Skip, require, tools};
use base64::Engine as _;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::pull_support::*;
use crate::push_support::*;

#[test]
fn an_artifact_and_its_next_version() {
    let registry = require!(Registry::start());
    let bench = Bench::new();
    let mut content = blobs(1, 5, 2_000_000);
    content.push(noise(9, 16 << 20));
    let first = Artifact::new(&content);
    let reference = registry.reference("team/app", "1");
    let pushed = bench.push(&reference, &first).unwrap();
    assert_eq!(counts(&pushed), [7, 0, 0]);
    bench.assert_pulls(&reference, &first);

    let again = bench.push(&reference, &first).unwrap();
    assert_eq!((counts(&again), again.sent_bytes, again.digest), ([0, 7, 0], 0, pushed.digest.clone()));

    content[0] = noise(99, 2_000_000);
    let second = Artifact::of_oci_1_0(&content);
    let next = registry.reference("team/app", "2");
    let changed = bench.push(&next, &second).unwrap();
    assert_eq!((counts(&changed), changed.sent_bytes), ([1, 6, 0], 2_000_000));
    bench.assert_pulls(&next, &second);
    bench.assert_pulls(&reference, &first);

    // Into another repository without a byte.
    let banger_oci::Reference::Registry(source) = reference.parse().unwrap() else { panic!("{reference}") };
    let other = registry.reference("copy/of/app", "1");
    let mounted = bench.push_mounting(&other, &first, Some(&source)).unwrap();
    assert_eq!((counts(&mounted), mounted.sent_bytes), ([0, 0, 7], 0));
    bench.assert_pulls(&other, &first);

    // Other tools see the same bytes, and copy them.
    let mut skopeo = require!(tools::command("skopeo"));
    let shown = skopeo
        .args(["--insecure-policy", "inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{reference}"));
    assert!(pushed.digest.matches(&tools::run(shown).stdout));
    require!(registry.push_from(&format!("oci:{}:1", layout_of(&bench, &first)), "by/skopeo", "1"));
    bench.assert_pulls(&registry.reference("by/skopeo", "1"), &first);
}

#[test]
fn oras_copies_an_artifact_to_another_registry() {
    let (from, to) = (require!(Registry::start()), require!(Registry::start()));
    let mut oras = require!(tools::oras());
    let bench = Bench::new();
    let artifact = Artifact::new(&blobs(5, 4, 100_000));
    let (source, copy) = (from.reference("team/app", "1"), to.reference("copy/of/app", "1"));
    bench.push(&source, &artifact).unwrap();
    tools::run(oras.args(["cp", "--from-plain-http", "--to-plain-http", &source, &copy]));
    bench.assert_pulls(&copy, &artifact);
}

fn layout_of(bench: &Bench, artifact: &Artifact) -> Utf8PathBuf {
    let dir = bench.path().join("layout");
    bench.push(&format!("oci:{dir}:1"), artifact).unwrap();
    dir
}

#[test]
fn a_password_is_needed_and_hidden() {
    let basic_auth = Some(("me".to_owned(), "a long secret".to_owned()));
    let registry = require!(Registry::start_with(RegistryOptions { basic_auth, ..Default::default() }));
    let mut bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 4, 100_000));
    let reference = registry.reference("app", "1");
    let login = |password: &str| {
        CredentialSource::Fixed(Credential::Password { user: "me".to_owned(), password: password.to_owned() })
    };
    for credentials in [CredentialSource::Anonymous, login("another secret")] {
        bench.options.credentials = credentials;
        let error = bench.push(&reference, &artifact).unwrap_err();
        assert!(matches!(&error, PushError::Denied { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    bench.options.credentials = login("a long secret");
    assert_eq!(counts(&bench.push(&reference, &artifact).unwrap()), [5, 0, 0]);
    bench.assert_pulls(&reference, &artifact);
}

#[test]
fn uploads_over_tls() {
    let registry = require!(Registry::start_with(RegistryOptions { tls: true, ..Default::default() }));
    let mut bench = Bench::new();
    bench.options.plain_http = false;
    bench.options.ca_cert = registry.ca_cert().map(|path| path.try_into().unwrap());
    let artifact = Artifact::new(&blobs(1, 4, 1_000_000));
    let reference = registry.reference("app", "1");
    assert_eq!(counts(&bench.push(&reference, &artifact).unwrap()), [5, 0, 0]);
    bench.assert_pulls(&reference, &artifact);
}

#[test]
fn a_pull_through_cache_takes_no_push() {
    let behind = require!(Registry::start());
    let extra_config = format!("proxy: {{remoteurl: \"http://{}\"}}\n", behind.host());
    let registry = require!(Registry::start_with(RegistryOptions { extra_config, ..Default::default() }));
    let (bench, artifact) = (Bench::new(), Artifact::new(&blobs(1, 3, 10_000)));
    let error = bench.push(&registry.reference("app", "1"), &artifact).unwrap_err();
    assert!(matches!(&error, PushError::NoPushes { status: 405, .. }), "{error}");
    // What is pushed behind it comes through.
    bench.push(&behind.reference("app", "1"), &artifact).unwrap();
    bench.assert_pulls(&registry.reference("app", "1"), &artifact);
}

/// The files of a token server: a key, and the certificate of it that the registry trusts.
fn token_key(dir: &Utf8Path) -> Result<(), Skip> {
    let request =
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout token.key -out token.crt";
    tools::run(tools::command("openssl")?.current_dir(dir).args(request.split(' ')));
    Ok(())
}

/// A token with the rights that a request asks for (distribution's token specification).
fn token(dir: &Utf8Path, asked: &Asked) -> String {
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let query = asked.target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let scopes = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
    let access: Vec<Value> = scopes
        .map(|scope| {
            let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
            let parts: Vec<&str> = scope.split(':').collect();
            json!({ "type": parts[0], "name": parts[1], "actions": parts[2].split(',').collect::<Vec<_>>() })
        })
        .collect();
    let certificate = std::fs::read_to_string(dir.join("token.crt")).unwrap();
    let body: String = certificate.lines().filter(|line| !line.starts_with('-')).collect();
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [body] });
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "tokens", "sub": "me", "aud": "registry", "exp": now + 300, "nbf": now - 10, "iat": now,
        "jti": "1", "access": access,
    });
    let signed =
        format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let mut file = tempfile::NamedTempFile::new_in(dir).unwrap();
    file.write_all(signed.as_bytes()).unwrap();
    let mut openssl = tools::command("openssl").unwrap();
    openssl.current_dir(dir).args(["dgst", "-sha256", "-sign", "token.key"]).arg(file.path());
    format!("{signed}.{}", encode(&tools::run(&mut openssl).stdout))
}

#[test]
fn tokens_have_the_rights_that_the_push_needs() {
    let kept = tempfile::tempdir().unwrap();
    let dir = Utf8PathBuf::try_from(kept.path().to_path_buf()).unwrap();
    require!(token_key(&dir));
    let place = dir.clone();
    let tokens = ScriptedServer::start(move |asked| match asked.header("authorization") {
        Some("Basic bWU6c2VjcmV0") => Answer::new(200, json!({ "token": token(&place, asked) }).to_string()),
        _ => Answer::new(401, ""),
    });
    let extra_config = format!(
        "auth: {{token: {{realm: \"http://{}/token\", service: registry, issuer: tokens, \
         rootcertbundle: {dir}/token.crt}}}}\n",
        tokens.host()
    );
    let registry = require!(Registry::start_with(RegistryOptions { extra_config, ..Default::default() }));
    let mut bench = Bench::new();
    let artifact = Artifact::new(&blobs(1, 6, 100_000));
    let reference = registry.reference("team/app", "1");
    let error = bench.push(&reference, &artifact).unwrap_err();
    assert!(matches!(&error, PushError::Denied { .. }), "{error}");
    bench.options.credentials = CredentialSource::Fixed(Credential::Password {
        user: "me".to_owned(),
        password: "secret".to_owned(),
    });
    let before = tokens.asked().len();
    assert_eq!(counts(&bench.push(&reference, &artifact).unwrap()), [7, 0, 0]);
    assert_eq!(tokens.asked().len(), before + 1, "one token for everything");
    bench.assert_pulls(&reference, &artifact);
    let banger_oci::Reference::Registry(source) = reference.parse().unwrap() else { panic!("{reference}") };
    let other = registry.reference("other", "1");
    assert_eq!(counts(&bench.push_mounting(&other, &artifact, Some(&source)).unwrap()), [0, 0, 7]);
}

#[test]
fn parallel_pushes_of_the_same_blobs() {
    let registry = require!(Registry::start());
    let artifact = Artifact::new(&blobs(1, 10, 300_000));
    std::thread::scope(|scope| {
        for at in 0..4 {
            let (registry, artifact) = (&registry, &artifact);
            scope.spawn(move || {
                let reference = registry.reference("app", &at.to_string());
                Bench::new().push(&reference, artifact).unwrap();
            });
        }
    });
    for at in 0..4 {
        Bench::new().assert_pulls(&registry.reference("app", &at.to_string()), &artifact);
    }
}
