//! `image inspect`, `--pull`, mirrors, `login` and `logout`.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Output, Stdio};

use banger_testkit::{Answer, ImageBuilder, LayerBuilder, LayoutBuilder, ScriptedServer};
use serde_json::{Value, json};

use crate::support::{Home, error_text, text};

/// A registry with the image `app:latest`.
fn server() -> ScriptedServer {
    let layer = LayerBuilder::new().file("etc/hostname", "x").finish();
    ScriptedServer::registry(&LayoutBuilder::of(&ImageBuilder::new().layer(layer)), |_| None)
}

/// A registry without images that knows the user `me` with the password `secret`.
fn locked() -> ScriptedServer {
    ScriptedServer::start(|asked| match asked.header("authorization") {
        // me:secret in base64.
        Some("Basic bWU6c2VjcmV0") => Answer::new(200, "{}"),
        _ => Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"r\""),
    })
}

fn login(home: &Home, arguments: &[&str], password: &str) -> Output {
    let mut command = home.banger([&["login", "--username", "me", "--password-stdin"], arguments].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn inspect_reads_manifest_and_configuration_only() {
    let (server, home) = (server(), Home::new());
    let reference = format!("{}/app:latest", server.host());
    let document = home.json(&["image", "inspect", &reference]);
    assert_eq!(
        (document["version"].as_u64(), document["reference"].as_str()),
        (Some(1), Some(reference.as_str()))
    );
    let layer = &document["layers"][0];
    assert_eq!(document["size_bytes"], layer["size_bytes"]);
    assert!(layer["media_type"].as_str().unwrap().starts_with("application/vnd."), "{document}");
    assert_eq!(server.count("GET", layer["digest"].as_str().unwrap()), 0);
    assert_eq!((&document["boot"]["boots"], &document["boot"]["init"]), (&json!(true), &Value::Null));
    let shown = text(&home.run(["image", "inspect", &reference]).stdout);
    for word in [
        document["digest"].as_str().unwrap(),
        "unknown without the layers",
        layer["digest"].as_str().unwrap(),
    ] {
        assert!(shown.contains(word), "{word} is not in:\n{shown}");
    }
    // A built image says the rest.
    let pulled = home.json(&["image", "pull", &reference]);
    let document = home.json(&["image", "inspect", &reference]);
    assert_eq!(document["boot"]["init"], pulled["boot_contract"], "{document}");
    assert!(document["boot"]["reason"].as_str().unwrap().contains(pulled["name"].as_str().unwrap()));
}

#[test]
fn pulled_tags_need_no_registry_with_the_policy_missing() {
    let (server, home) = (server(), Home::new());
    let reference = format!("{}/app:latest", server.host());
    let refused = home.banger(["image", "pull", &reference, "--pull", "never", "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!((refused.status.code(), document["error"]["code"].as_u64()), (Some(1), Some(1183)));
    assert!(error_text(&document).contains("--pull"), "{document}");
    assert_eq!(server.asked().len(), 0);
    let pulled = home.json(&["image", "pull", &reference, "--pull", "missing"]);
    drop(server);
    for policy in ["missing", "never"] {
        let again = home.json(&["image", "pull", &reference, "--pull", policy]);
        assert_eq!((&again["id"], &again["unchanged"]), (&pulled["id"], &json!(true)), "{policy}");
        // Another file is made of the cache alone.
        let file = format!("{policy}.ext4");
        home.json(&["image", "pull", &reference, "--pull", policy, "--output", &file]);
        home.json(&["image", "inspect", &reference, "--pull", policy]);
    }
    // The image is there without the cache, too.
    home.run(["image", "cache", "prune", "--all"]);
    let again = home.json(&["image", "pull", &reference, "--pull", "never"]);
    assert_eq!(again["id"], pulled["id"]);
}

#[test]
fn quiet_pulls_print_the_path_alone() {
    let (server, home) = (server(), Home::new());
    let output = home.run(["image", "pull", "-q", &format!("{}/app:latest", server.host())]);
    assert!(text(&output.stdout).trim_end().ends_with("rootfs.ext4"), "{}", text(&output.stdout));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn mirrors_come_from_the_files_of_podman() {
    let (server, home) = (server(), Home::new());
    let text_of = |server: &ScriptedServer| {
        format!("[[registry]]\nprefix = \"docker.io\"\nlocation = \"{}/proxy\"\n", server.host())
    };
    let dir = home.path(".config/containers");
    std::fs::create_dir_all(dir.join("registries.conf.d")).unwrap();
    std::fs::write(dir.join("registries.conf.d/50-mirror.conf"), text_of(&server)).unwrap();
    let pulled = home.json(&["image", "pull", "docker.io/team/app:latest"]);
    assert_eq!(pulled["source"], "docker.io/team/app:latest");
    assert!(server.asked().iter().any(|asked| asked.path() == "/v2/proxy/team/app/manifests/latest"));
    // A file that is named is the only one.
    std::fs::write(home.path("own.conf"), "[[registry]]\nlocation = \"docker.io\"\nblocked = true\n")
        .unwrap();
    let blocked =
        ["image", "inspect", "docker.io/team/app:latest", "--registries-conf", "own.conf", "--json"];
    let output = home.banger(blocked).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["code"].as_u64(), Some(1181), "{document}");
    std::fs::write(home.path("own.conf"), "[registries.search]\nregistries = []\n").unwrap();
    let output = home.banger(blocked).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["code"].as_u64(), Some(1180), "{document}");
    assert!(error_text(&document).contains("version 1"), "{document}");
}

#[test]
fn logins_are_kept_for_docker_and_podman() {
    let (server, home) = (locked(), Home::new());
    let host = server.host();
    let refused = login(&home, &[&host], "wrong\n");
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(!text(&refused.stderr).contains("wrong"), "{}", text(&refused.stderr));
    let config = home.path(".docker/config.json");
    assert!(!config.exists());
    let kept = login(&home, &[&host, "--json"], "secret\n");
    let document: Value = serde_json::from_slice(&kept.stdout).unwrap();
    let path = config.to_str().unwrap();
    assert_eq!(
        document,
        json!({ "version": 1, "registry": host, "path": path, "checked": true }),
        "{}",
        text(&kept.stderr)
    );
    assert_eq!(std::fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);
    let written: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    assert_eq!(written, json!({ "auths": { &host: { "auth": "bWU6c2VjcmV0" } } }));

    let out = home.json(&["logout", &host]);
    assert_eq!(out, json!({ "version": 1, "registries": [host], "paths": [path] }));
    let output = home.banger(["logout", &host, "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), document["error"]["code"].as_u64()), (Some(1), Some(1186)));

    assert!(login(&home, &[&host, "--authfile", "own.json"], "secret").status.success());
    assert!(home.path("own.json").exists());
    assert_eq!(home.json(&["logout", "--all"])["registries"], json!([]));
    assert_eq!(home.json(&["logout", "--all", "--authfile", "own.json"])["registries"], json!([host]));
    let output = home.banger(["login", &host]).stdin(Stdio::null()).output().unwrap();
    assert!(text(&output.stderr).contains("--username"), "{}", text(&output.stderr));
}
