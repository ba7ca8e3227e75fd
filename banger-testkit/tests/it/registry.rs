//! The registry child process: pushed to, pulled from, protected, ended.

use std::net::TcpStream;

use banger_testkit::{
    Compression, DOCKER_INDEX, ImageBuilder, Layer, LayerBuilder, LayoutBuilder, OCI_INDEX, Registry,
    RegistryOptions, require, sha256_digest, tools,
};

fn layout() -> LayoutBuilder {
    let tar = LayerBuilder::new().file("bin/sh", "#!").finish();
    let image = ImageBuilder::new().layer(tar.clone()).layer_as(Layer::new(tar, Compression::Zstd));
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&image, "latest");
    let amd64 = layout.add(&image);
    let arm64 = layout.add(&image.platform("linux", "arm64", None));
    let index = layout.index(OCI_INDEX, &[amd64, arm64]);
    layout.tag(index, "multi");
    layout
}

#[test]
fn what_is_pushed_can_be_pulled_with_the_same_digests() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout();
    layout.write(&dir.path().join("in"));
    let options = |tls, auth: bool| RegistryOptions {
        tls,
        basic_auth: auth.then(|| ("user".to_owned(), "pass word".to_owned())),
        ..RegistryOptions::default()
    };
    for (tls, auth) in [(false, false), (true, false), (false, true), (true, true)] {
        let registry = require!(Registry::start_with(options(tls, auth)));
        for tag in ["latest", "multi"] {
            require!(registry.push(&dir.path().join("in"), tag, "some/name", tag));
            let mut skopeo = require!(tools::command("skopeo"));
            let out = dir.path().join(format!("out-{tls}-{auth}-{tag}"));
            skopeo
                .args(["--insecure-policy", "copy", "--quiet", "--all"])
                .args(registry.skopeo_options("--src"))
                .arg(format!("docker://{}", registry.reference("some/name", tag)))
                .arg(format!("oci:{}:{tag}", out.display()));
            tools::run(&mut skopeo);
            let files = layout.files();
            let mut blobs = 0;
            for entry in std::fs::read_dir(out.join("blobs/sha256")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(files.contains_key(&format!("blobs/sha256/{name}")), "{name}");
                assert!(registry.blob_path(&format!("sha256:{name}")).is_file());
                blobs += 1;
            }
            assert!(blobs >= 4, "{blobs}");
        }
    }
}

#[test]
fn uploads_keep_what_clients_would_convert() {
    let registry = require!(Registry::start());
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("a", "1").finish()).docker();
    let mut layout = LayoutBuilder::new();
    let docker = layout.add(&image);
    let list = layout.index(DOCKER_INDEX, std::slice::from_ref(&docker));
    registry.upload(&layout, &docker, "some/name", "docker");
    registry.upload(&layout, &list, "some/name", "list");
    for (tag, expected) in [("docker", docker), ("list", list)] {
        let mut skopeo = require!(tools::command("skopeo"));
        skopeo
            .args(["inspect", "--raw", "--no-creds", "--tls-verify=false"])
            .arg(format!("docker://{}", registry.reference("some/name", tag)));
        let raw = tools::run(&mut skopeo).stdout;
        assert_eq!(sha256_digest(&raw), expected["digest"].as_str().unwrap());
    }
}

#[test]
fn a_protected_registry_refuses_strangers() {
    let registry = require!(Registry::start_with(RegistryOptions {
        tls: true,
        basic_auth: Some(("user".into(), "secret".into())),
        ..RegistryOptions::default()
    }));
    let ca = registry.ca_cert().unwrap();
    assert!(std::fs::read_to_string(&ca).unwrap().contains("BEGIN CERTIFICATE"));
    let cert_dir = format!("--cert-dir={}", ca.parent().unwrap().display());
    let cases = [
        (vec!["--no-creds"], "certificate"),
        (vec![&cert_dir, "--no-creds"], "authentication required"),
        (vec![&cert_dir, "--creds=user:wrong"], "authentication required"),
    ];
    for (arguments, expected) in cases {
        let mut skopeo = require!(tools::command("skopeo"));
        skopeo.arg("inspect").args(arguments);
        skopeo.arg(format!("docker://{}", registry.reference("a", "b")));
        let report = tools::try_run(&mut skopeo).unwrap_err();
        assert!(report.contains(expected), "{report}");
    }
}

#[test]
fn it_ends_when_dropped_and_registries_do_not_meet() {
    let first = require!(Registry::start());
    let second = require!(Registry::start());
    assert_ne!(first.port(), second.port());
    let (host, storage) = (first.host(), first.blob_path("sha256:aabb"));
    assert!(TcpStream::connect(&host).is_ok());
    drop(first);
    assert!(TcpStream::connect(&host).is_err());
    let dir = storage.ancestors().nth(8).unwrap();
    assert!(!dir.exists(), "{}", dir.display());
    assert!(TcpStream::connect(second.host()).is_ok());
}
