//! Real registries behind TLS, client certificates, proxies and pull-through mirrors.

use banger_oci::{ProxySettings, PullError, PullOptions, RegistriesConfig};
use banger_testkit::{
    ImageBuilder, LayerBuilder, LayoutBuilder, ProxyKind, Registry, RegistryOptions, Skip, TestProxy, require,
};
use camino::Utf8PathBuf;

use crate::pull_support::{Bench, Server, Store, noise};

/// Puts the image `app:1` into a registry.
fn push(registry: &Registry, bench: &Bench) -> Result<(), Skip> {
    let layout = bench.path().join("layout");
    LayoutBuilder::of(&ImageBuilder::new().layer(LayerBuilder::new().file("a", "x").finish()))
        .write(layout.as_std_path());
    registry.push(layout.as_std_path(), "latest", "app", "1")
}

fn over_tls() -> Bench {
    let mut bench = Bench::new();
    bench.options.plain_http = false;
    bench.options.attempts = 1;
    bench
}

fn utf8(path: std::path::PathBuf) -> Utf8PathBuf {
    path.try_into().unwrap()
}

#[test]
fn a_registry_that_signed_its_own_certificate_is_trusted_by_it() {
    let options = RegistryOptions { tls: true, self_signed: true, ..RegistryOptions::default() };
    let registry = require!(Registry::start_with(options));
    require!(push(&registry, &over_tls()));
    for (trusted, expected) in [(registry.ca_cert().map(utf8), None), (None, Some("certificate"))] {
        let mut bench = over_tls();
        bench.options.ca_cert = trusted;
        let outcome = bench.read(&registry.reference("app", "1"));
        match expected {
            None => drop(outcome.unwrap()),
            Some(expected) => assert!(outcome.unwrap_err().to_string().contains(expected)),
        }
    }
}

#[test]
fn client_certificates_come_from_options_and_directories() {
    let options = RegistryOptions { tls: true, client_auth: true, ..RegistryOptions::default() };
    let registry = require!(Registry::start_with(options));
    require!(push(&registry, &over_tls()));
    let ca_cert = utf8(registry.ca_cert().unwrap());
    let dir = ca_cert.parent().unwrap().to_owned();
    let certs_d = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&dir, certs_d.path().join(registry.host())).unwrap();
    let (certs_d, missing) = (utf8(certs_d.path().to_owned()), Utf8PathBuf::from("/nowhere/certs.d"));
    let (cert, key) = (Some(dir.join("client.cert")), Some(dir.join("client.key")));
    let base = over_tls().options;
    let trusting = base.clone().with_ca_cert(Some(ca_cert));
    let cases: [(&str, PullOptions, Option<&str>); 8] = [
        ("nothing", base.clone(), Some("certificate")),
        ("no certificate of the client", trusting.clone(), Some("")),
        ("options", trusting.clone().with_client_cert(cert.clone()).with_client_key(key.clone()), None),
        ("a certificate without its key", trusting.clone().with_client_cert(cert), Some("go together")),
        (
            "a key as the certificate",
            trusting.with_client_cert(key.clone()).with_client_key(key),
            Some("there are none"),
        ),
        ("a directory", base.clone().with_cert_dir(Some(dir)), None),
        ("a directory of registries", base.clone().with_certs_dirs(vec![missing.clone(), certs_d]), None),
        ("a directory without this registry", base.with_certs_dirs(vec![missing]), Some("certificate")),
    ];
    for (name, options, expected) in cases {
        let mut bench = over_tls();
        bench.options = options;
        let outcome = bench.read(&registry.reference("app", "1"));
        match expected {
            None => assert_eq!(
                outcome.map(|layers| layers.len()).map_err(|error| error.to_string()),
                Ok(1),
                "{name}"
            ),
            Some(words) => {
                let error = outcome.expect_err(name).to_string();
                assert!(error.contains(words), "{name}: {error}");
            }
        }
    }
}

#[test]
fn insecure_registries_may_show_any_certificate_or_none() {
    let registry =
        require!(Registry::start_with(RegistryOptions { tls: true, ..RegistryOptions::default() }));
    require!(push(&registry, &over_tls()));
    let configured = |insecure: bool| {
        let mut bench = over_tls();
        let file = bench.path().join("registries.conf");
        let text = format!("[[registry]]\nlocation = \"{}\"\ninsecure = {insecure}\n", registry.host());
        std::fs::write(&file, text).unwrap();
        bench.options.registries = RegistriesConfig::read(&[file]).unwrap();
        bench
    };
    let error = configured(false).read(&registry.reference("app", "1")).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(configured(true).read(&registry.reference("app", "1")).unwrap().len(), 1);
}

#[test]
fn a_pull_through_registry_is_a_mirror() {
    let upstream = require!(Registry::start());
    require!(push(&upstream, &over_tls()));
    let extra_config = format!("proxy: {{remoteurl: \"http://{}\"}}\n", upstream.host());
    let mirror =
        require!(Registry::start_with(RegistryOptions { extra_config, ..RegistryOptions::default() }));
    let mut bench = over_tls();
    let file = bench.path().join("registries.conf");
    let text = format!(
        "[[registry]]\nprefix = \"docker.io/team\"\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}\"\n",
        upstream.host(),
        mirror.host()
    );
    std::fs::write(&file, text).unwrap();
    bench.options.registries = RegistriesConfig::read(&[file]).unwrap();
    let image = bench.pull("team/app:1").unwrap();
    image.finish().unwrap();
    assert_eq!(image.reference.to_string(), "docker.io/team/app:1");
    let blob = image.layers[0].descriptor.digest.to_string();
    assert!(mirror.log().contains(&blob), "the mirror was asked");
    drop(image);
    // What the mirror lacks comes from the registry.
    drop(mirror);
    let mut again = over_tls();
    again.options.registries = bench.options.registries.clone();
    assert_eq!(again.read("team/app:1").unwrap().len(), 1);
}

#[test]
fn proxies_are_used_for_what_they_are_set_for() {
    let registry =
        require!(Registry::start_with(RegistryOptions { tls: true, ..RegistryOptions::default() }));
    require!(push(&registry, &over_tls()));
    let mut store = Store::default();
    store.image(Some("1"), "linux/amd64", &[noise(1, 100_000)]);
    let plain = Server::plain(store);
    let ca_cert = utf8(registry.ca_cert().unwrap());
    // Only a proxy knows this name.
    let name = |port: u16| format!("registry.test:{port}");
    let cases = [
        (ProxyKind::Http, "http", "http", true),
        (ProxyKind::Http, "http", "https", true),
        (ProxyKind::Socks5, "socks5h", "http", true),
        (ProxyKind::Socks5, "socks5h", "https", true),
        // The name is looked up here, and nobody knows it.
        (ProxyKind::Socks5, "socks5", "https", false),
    ];
    for (kind, scheme, target, works) in cases {
        let (port, is_plain) = match target {
            "http" => (plain.port, true),
            _ => (registry.port(), false),
        };
        let proxy = TestProxy::start(kind, port);
        let address = Some(format!("{scheme}://127.0.0.1:{}", proxy.port));
        let settings = match is_plain {
            true => ProxySettings::default().with_http(address),
            false => ProxySettings::default().with_https(address),
        };
        let pull = |proxy: ProxySettings| {
            let mut bench = over_tls();
            bench.options.plain_http = is_plain;
            bench.options.ca_cert = Some(ca_cert.clone());
            bench.options.proxy = proxy;
            bench.read(&format!("{}/app:1", name(port)))
        };
        match works {
            true => {
                assert_eq!(pull(settings.clone()).unwrap().len(), 1, "{scheme} {target}");
                assert!(proxy.asked().iter().all(|asked| *asked == name(port)), "{:?}", proxy.asked());
            }
            false => {
                assert!(matches!(pull(settings.clone()), Err(PullError::Unreachable { .. })), "{scheme}")
            }
        }
        let asked = proxy.asked().len();
        assert_eq!(asked > 0, works, "{scheme} {target}");
        for no_proxy in ["registry.test", ".test", "other.example, registry.test", "*"] {
            let error = pull(settings.clone().with_no_proxy(Some(no_proxy.to_owned()))).unwrap_err();
            assert!(matches!(&error, PullError::Unreachable { .. }), "{no_proxy}: {error}");
        }
        assert_eq!(proxy.asked().len(), asked, "{scheme} {target}");
    }
}

#[test]
fn this_machine_is_never_behind_a_proxy() {
    let mut store = Store::default();
    store.image(Some("1"), "linux/amd64", &[noise(1, 1000)]);
    let server = Server::plain(store);
    let mut bench = Bench::new();
    bench.options.proxy = ProxySettings::default().with_http(Some("http://127.0.0.1:1".to_owned()));
    assert_eq!(bench.read(&format!("{}/app:1", server.host())).unwrap().len(), 1);
    bench.options.proxy = ProxySettings::default().with_https(Some("gopher://p".to_owned()));
    let error = bench.read("registry.test/app:1").unwrap_err();
    assert!(matches!(&error, PullError::Proxy { .. }), "{error}");
}
