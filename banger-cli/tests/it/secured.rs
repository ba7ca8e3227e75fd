//! A registry with TLS by a private authority, and a password.

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, Registry, RegistryOptions, require};

use crate::support::{Home, text};

#[test]
fn certificates_and_passwords_are_used_and_needed() {
    let options = RegistryOptions {
        basic_auth: Some(("user".to_owned(), "secret".to_owned())),
        tls: true,
        ..RegistryOptions::default()
    };
    let registry = require!(Registry::start_with(options));
    let home = Home::new();
    let layout = home.path("layout");
    LayoutBuilder::of(&ImageBuilder::new().layer(LayerBuilder::new().file("a", "x").finish())).write(&layout);
    require!(registry.push(&layout, "latest", "app", "1"));
    let reference = registry.reference("app", "1");
    let ca_cert = registry.ca_cert().unwrap();
    let trusting = ["image", "pull", &reference, "--ca-cert", ca_cert.to_str().unwrap()];
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = home.banger(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        for word in words {
            assert!(text(&output.stderr).contains(word), "{word:?} is not in: {}", text(&output.stderr));
        }
    };
    refused(&trusting[..3], &[&registry.host(), "certificate"]);
    refused(&trusting, &[&registry.host(), "refuses access"]);
    let config = home.path(".docker");
    std::fs::create_dir(&config).unwrap();
    let write = |user_and_password: &str| {
        let auths = format!(r#"{{"auths": {{"{}": {{"auth": "{user_and_password}"}}}}}}"#, registry.host());
        std::fs::write(config.join("config.json"), auths).unwrap();
    };
    // user:wrong, then user:secret, in base64.
    write("dXNlcjp3cm9uZw==");
    refused(&trusting, &["refuses access"]);
    write("dXNlcjpzZWNyZXQ=");
    home.run(trusting);
    assert!(!registry.log().contains("user:secret"));
}
