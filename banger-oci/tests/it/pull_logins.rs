//! Logins of every kind at registries of every kind; login and logout.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use banger_oci::{Credential, CredentialSource, KeptLogin, Progress, PullError, Puller, PullerOptions};
use base64::Engine as _;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use crate::pull_support::{Answer, Asked, Bench, Server, Store, noise};

fn encoded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// What a registry asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Basic,
    Bearer,
    Nothing,
}

/// A registry with the image `app:1` that knows the user `me` with the password `secret`, and the refresh token
/// `refresh`. Its token server is itself.
fn registry(wants: Wants) -> (Server, Vec<u8>) {
    let mut store = Store::default();
    let layer = noise(1, 10_000);
    store.image(Some("1"), "linux/amd64", std::slice::from_ref(&layer));
    let server = Server::start(store, move |asked| {
        let sent = asked.header("authorization").unwrap_or_default();
        let is_me = sent == format!("Basic {}", encoded("me:secret"));
        if asked.path() == "/token" {
            let is_refresh = asked.body.contains("grant_type=refresh_token&")
                && asked.body.contains("refresh_token=refresh");
            return Some(match is_me || is_refresh {
                true => Answer::new(200, r#"{"token": "granted"}"#),
                false => Answer::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}"#),
            });
        }
        let (is_in, challenge) = match wants {
            Wants::Nothing => (true, String::new()),
            Wants::Basic => (is_me, "Basic realm=\"r\"".to_owned()),
            Wants::Bearer => {
                let host = asked.header("host").unwrap_or_default();
                (sent == "Bearer granted", format!("Bearer realm=\"http://{host}/token\",service=\"s\""))
            }
        };
        (!is_in).then(|| Answer::new(401, "").with("WWW-Authenticate", challenge))
    });
    (server, layer)
}

/// Writes a helper that keeps what it is given in a file beside it.
fn helper(dir: &Utf8Path, name: &str) {
    let script = "#!/bin/sh\n\
                  file=$(dirname \"$0\")/kept\n\
                  case $1 in\n\
                  store) cat > \"$file\";;\n\
                  get) cat > /dev/null; test -e \"$file\" && cat \"$file\" || { echo credentials not found in native keychain; exit 1; };;\n\
                  erase) cat > /dev/null; rm -f \"$file\";;\n\
                  list) test -e \"$file\" && sed 's/.*\"ServerURL\":\"\\([^\"]*\\)\".*/{\"\\1\":\"me\"}/' \"$file\" || echo '{}';;\n\
                  esac\n";
    let path = dir.join(format!("docker-credential-{name}"));
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn files(file: &Utf8Path, helper_dir: &Utf8Path) -> CredentialSource {
    CredentialSource::Files {
        files: vec![file.to_owned()],
        helper_dir: Some(helper_dir.to_owned()),
        helper_timeout: Duration::from_secs(20),
    }
}

fn log_in(bench: &Bench, host: &str, credential: &Credential) -> Result<KeptLogin, PullError> {
    let puller = Puller::new(PullerOptions::default());
    puller.log_in(host, credential, &bench.options, &Progress::none(), &bench.cancel)
}

fn me(password: &str) -> Credential {
    Credential::Password { user: "me".to_owned(), password: password.to_owned() }
}

/// Puts a login for `host` into `file`, whose directory has the helpers.
type Writer = fn(bench: &Bench, host: &str, file: &Utf8Path);

fn write(file: &Utf8Path, value: &Value) {
    std::fs::write(file, value.to_string()).unwrap();
}

#[test]
fn b36_every_kind_of_login_at_every_kind_of_registry() {
    let sources: [(&str, Writer, bool); 7] = [
        // As docker writes it, with the mark of a Windows editor.
        (
            "docker config",
            |_, host, file| {
                let text =
                    json!({ "auths": { format!("https://{host}/v2/"): { "auth": encoded("me:secret") } } });
                std::fs::write(file, format!("\u{feff}{text}")).unwrap();
            },
            true,
        ),
        (
            "podman auth.json",
            |_, host, file| {
                write(file, &json!({ "auths": { format!("{host}/app"): { "auth": encoded("me:secret") } } }));
            },
            true,
        ),
        (
            "helper of the registry",
            |_, host, file| {
                let dir = file.parent().unwrap();
                helper(dir, "own");
                write(&dir.join("kept"), &json!({ "ServerURL": host, "Username": "me", "Secret": "secret" }));
                write(file, &json!({ "credHelpers": { host: "own", "other.example": "missing" } }));
            },
            true,
        ),
        (
            "helper of all",
            |_, host, file| {
                let dir = file.parent().unwrap();
                helper(dir, "all");
                write(&dir.join("kept"), &json!({ "ServerURL": host, "Username": "me", "Secret": "secret" }));
                write(file, &json!({ "credsStore": "all", "auths": { host: {} } }));
            },
            true,
        ),
        (
            "identity token",
            |_, host, file| {
                write(
                    file,
                    &json!({ "auths": { host: { "auth": encoded("<token>:"), "identitytoken": "refresh" } } }),
                );
            },
            false,
        ),
        (
            "login",
            |bench, host, _| {
                log_in(bench, host, &me("secret")).unwrap();
            },
            true,
        ),
        (
            "login by a helper",
            |bench, host, file| {
                helper(file.parent().unwrap(), "all");
                write(file, &json!({ "credsStore": "all" }));
                let kept = log_in(bench, host, &me("secret")).unwrap();
                assert_eq!(kept.helper.as_deref(), Some("docker-credential-all"));
                assert!(
                    !std::fs::read_to_string(file).unwrap().contains("auth\""),
                    "the helper alone has it"
                );
            },
            true,
        ),
    ];
    for wants in [Wants::Basic, Wants::Bearer, Wants::Nothing] {
        let (server, layer) = registry(wants);
        for (name, writer, is_password) in sources {
            let mut bench = Bench::new();
            let file = bench.path().join("auth.json");
            bench.options.credentials = files(&file, &bench.path());
            writer(&bench, &server.host(), &file);
            let outcome = bench.read(&format!("{}/app:1", server.host()));
            // A refresh token is none for a registry without a token server.
            match is_password || wants != Wants::Basic {
                true => assert_eq!(outcome.unwrap(), std::slice::from_ref(&layer), "{name} {wants:?}"),
                false => assert!(
                    matches!(outcome, Err(PullError::Unauthorized { .. })),
                    "{name} {wants:?}: {outcome:?}"
                ),
            }
        }
        let outcome = Bench::new().read(&format!("{}/app:1", server.host()));
        match wants {
            Wants::Nothing => assert_eq!(outcome.unwrap(), [layer]),
            _ => assert!(matches!(outcome, Err(PullError::Unauthorized { .. })), "{wants:?}: {outcome:?}"),
        }
    }
}

#[test]
fn a_refused_login_is_not_kept() {
    for wants in [Wants::Basic, Wants::Bearer] {
        let (server, _) = registry(wants);
        let mut bench = Bench::new();
        let file = bench.path().join("deep/auth.json");
        bench.options.credentials = files(&file, &bench.path());
        let error = log_in(&bench, &server.host(), &me("wrong")).unwrap_err();
        assert!(matches!(&error, PullError::Unauthorized { .. }), "{wants:?}: {error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
        assert!(!file.exists() && !file.parent().unwrap().exists(), "{wants:?}");
        let kept = log_in(&bench, &server.host(), &me("secret")).unwrap();
        assert!(kept.is_checked && kept.path == file && kept.helper.is_none(), "{kept:?}");
        let mode = |path: &Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    }
    let (server, _) = registry(Wants::Nothing);
    let mut bench = Bench::new();
    bench.options.credentials = files(&bench.path().join("auth.json"), &bench.path());
    assert!(!log_in(&bench, &server.host(), &me("any")).unwrap().is_checked);
    drop(server);
    let error = log_in(&bench, "127.0.0.1:1", &me("any")).unwrap_err();
    assert!(matches!(&error, PullError::Unreachable { .. }), "{error}");
    for name in ["", "a b", "host:port", "-x"] {
        let error = log_in(&bench, name, &me("any")).unwrap_err();
        assert!(matches!(&error, PullError::Reference(_)), "{name}: {error}");
    }
}

#[test]
fn logout_removes_what_login_kept() {
    let (server, _) = registry(Wants::Basic);
    let mut bench = Bench::new();
    let file = bench.path().join("auth.json");
    bench.options.credentials = files(&file, &bench.path());
    let puller = Puller::new(PullerOptions::default());
    let log_out = |registry: Option<&str>| puller.log_out(registry, &bench.options, &bench.cancel);
    let error = log_out(Some("a.example")).unwrap_err();
    assert!(matches!(&error, PullError::NoCredentials { .. }), "{error}");
    assert!(log_out(None).unwrap().registries.is_empty());

    write(
        &file,
        &json!({ "auths": { "a.example": { "auth": encoded("a:b") }, "b.example": { "auth": encoded("a:b") } } }),
    );
    log_in(&bench, &server.host(), &me("secret")).unwrap();
    let removed = log_out(Some(&server.host())).unwrap();
    assert_eq!((removed.registries, removed.paths), (vec![server.host()], vec![file.clone()]));
    let now: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(now["auths"].as_object().unwrap().len(), 2);
    assert_eq!(log_out(None).unwrap().registries, ["a.example", "b.example"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap().matches("auth\"").count(), 0);

    helper(&bench.path(), "all");
    write(&file, &json!({ "credsStore": "all" }));
    for registry in [Some(server.host()), None] {
        log_in(&bench, &server.host(), &me("secret")).unwrap();
        assert!(bench.path().join("kept").exists());
        assert_eq!(log_out(registry.as_deref()).unwrap().registries, [server.host()]);
        assert!(!bench.path().join("kept").exists());
    }
}

#[test]
fn a_missing_helper_is_in_the_way_of_its_own_registries_only() {
    // It asks before it gives anything, as docker.io does.
    let mut store = Store::default();
    let layer = noise(1, 10_000);
    store.image(Some("1"), "linux/amd64", std::slice::from_ref(&layer));
    let open = Server::start(store, |asked: &Asked| {
        if asked.path() == "/token" {
            return Some(Answer::new(200, r#"{"token": "anybody"}"#));
        }
        let challenge = format!("Bearer realm=\"http://{}/token\"", asked.header("host").unwrap_or_default());
        let is_in = asked.header("authorization") == Some("Bearer anybody");
        (!is_in).then(|| Answer::new(401, "").with("WWW-Authenticate", challenge))
    });
    let reference = format!("{}/app:1", open.host());
    let with = |config: Value| {
        let mut bench = Bench::new();
        let file = bench.path().join("config.json");
        write(&file, &config);
        bench.options.credentials = files(&file, &bench.path());
        bench.read(&reference)
    };
    assert_eq!(
        with(json!({ "credHelpers": { "other.example": "missing" } })).unwrap(),
        std::slice::from_ref(&layer)
    );
    assert_eq!(with(json!({ "credsStore": "missing", "auths": { "other.example": {} } })).unwrap(), [layer]);
    for config in [
        json!({ "credHelpers": { open.host(): "missing" } }),
        json!({ "credsStore": "missing", "auths": { open.host(): {} } }),
    ] {
        let error = with(config).unwrap_err();
        assert!(matches!(&error, PullError::CredentialHelper { .. }), "{error}");
    }
}

#[test]
fn parallel_logins_lose_no_entry() {
    let mut bench = Bench::new();
    let file: Utf8PathBuf = bench.path().join("docker/auth.json");
    bench.options.credentials = files(&file, &bench.path());
    let servers: Vec<_> = (0..6).map(|_| registry(Wants::Basic).0).collect();
    std::thread::scope(|scope| {
        for server in servers.iter().chain(&servers) {
            let bench = &bench;
            scope.spawn(move || log_in(bench, &server.host(), &me("secret")).unwrap());
        }
    });
    for server in &servers {
        assert_eq!(bench.read(&format!("{}/app:1", server.host())).unwrap().len(), 1);
    }
    let left = std::fs::read_dir(file.parent().unwrap()).unwrap().filter_map(Result::ok);
    let names: Vec<_> = left.map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["auth.json"]);
}

#[test]
fn a_login_that_waits_for_another_program_can_be_cancelled() {
    let (server, _) = registry(Wants::Basic);
    let mut bench = Bench::new();
    let file: Utf8PathBuf = bench.path().join("docker/auth.json");
    bench.options.credentials = files(&file, &bench.path());
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    let directory = std::fs::File::open(file.parent().unwrap()).unwrap();
    directory.lock().unwrap();
    std::thread::scope(|scope| {
        let login = scope.spawn(|| log_in(&bench, &server.host(), &me("secret")));
        while server.asked().is_empty() {
            std::thread::yield_now();
        }
        bench.cancel.cancel();
        let error = login.join().unwrap().unwrap_err();
        assert!(matches!(&error, PullError::Cancelled), "{error}");
    });
    assert!(!file.exists());
}
