//! The log: `-v`, `-vv` and BANGER_LOG.

use banger_testkit::{
    Fault, Forecast, ImageBuilder, LayerBuilder, LayoutBuilder, Registry, RegistryOptions, Weather,
    WeatherOptions, require,
};
use serde_json::Value;

use crate::support::{Home, text};

fn layout(home: &Home) -> std::path::PathBuf {
    let layout = home.path("layout");
    LayoutBuilder::of(&ImageBuilder::new().layer(LayerBuilder::new().file("a", "x").finish())).write(&layout);
    layout
}

/// A registry with an image, and a proxy with a token server that redirects to addresses with a signature.
fn weather(home: &Home) -> Result<(Registry, Weather), banger_testkit::Skip> {
    let registry = Registry::start()?;
    registry.push(&layout(home), "latest", "app", "1")?;
    let forecast = Forecast { seed: 1, faults: vec![Fault::OtherHost], percent: 100 };
    let options = WeatherOptions { forecast, token: true, ..WeatherOptions::default() };
    let weather = Weather::start(&registry.host(), options);
    Ok((registry, weather))
}

fn pull(home: &Home, host: &str, more: &[&str]) -> std::process::Command {
    let reference = format!("{host}/app:1");
    let mut command = home.banger(["image", "pull", &reference, "--no-inject", "--force", "--output"]);
    command.arg(home.path("out/x.ext4")).args(more);
    command
}

#[test]
fn requests_are_logged_and_nothing_else_changes() {
    let home = Home::new();
    let (_registry, weather) = require!(weather(&home));
    let quiet = pull(&home, &weather.host(), &[]).output().unwrap();
    assert!(quiet.status.success() && !text(&quiet.stderr).contains("DEBUG"), "{}", text(&quiet.stderr));
    for (flags, variable, is_trace) in [
        (&["-v"][..], None, false),
        (&["-vv"], None, true),
        (&["--verbose", "--verbose"], Some("off"), true),
        (&[], Some("debug"), false),
        (&[], Some("TRACE"), true),
    ] {
        home.run(["image", "cache", "prune", "--all"]);
        let mut command = pull(&home, &weather.host(), &[flags, &["--json"]].concat());
        if let Some(level) = variable {
            command.env("BANGER_LOG", level);
        }
        let output = command.output().unwrap();
        let log = text(&output.stderr);
        assert!(output.status.success(), "{log}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["version"], 1, "one document, with or without a log");
        for part in [
            "DEBUG request{registry=\"127.0.0.1:",
            "method=\"GET\"",
            "path=\"/v2/app/blobs/sha256:",
            "attempt=1",
            "status=200",
            "status=307",
            "status=401",
            "bytes=",
            "elapsed_ms=",
        ] {
            assert!(log.contains(part), "{flags:?} {variable:?}: {part} is not in: {log}");
        }
        assert_eq!(log.contains("TRACE"), is_trace, "{flags:?} {variable:?}: {log}");
        let mut lines = log.lines().filter(|line| line.contains(" DEBUG ") || line.contains(" TRACE "));
        assert!(lines.all(|line| line.contains(" banger")), "no other crate: {log}");
        for secret in ["of-the-weather", "signature"] {
            assert!(!log.contains(secret), "{flags:?}: {secret} is in: {log}");
        }
    }
    assert!(weather.requests_for("/token") > 4, "tokens were asked for");
    assert!(weather.injected()[&Fault::OtherHost] > 4, "signatures were sent");
}

#[test]
fn lines_of_the_log_are_documents_where_all_lines_are() {
    let home = Home::new();
    let (_registry, weather) = require!(weather(&home));
    let output = pull(&home, &weather.host(), &["-vv", "--progress", "json"]).output().unwrap();
    let lines: Vec<Value> =
        text(&output.stderr).lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let logged = lines.iter().filter(|line| line["event"] == "log");
    assert!(logged.filter(|line| line["message"].as_str().unwrap().contains("request{")).count() > 3);
    assert!(lines.iter().any(|line| line["event"] == "done"), "the events come as well");
}

#[test]
fn passwords_are_not_logged() {
    let options = RegistryOptions {
        basic_auth: Some(("user".to_owned(), "very-secret".to_owned())),
        ..RegistryOptions::default()
    };
    let registry = require!(Registry::start_with(options));
    let home = Home::new();
    require!(registry.push(&layout(&home), "latest", "app", "1"));
    // user:very-secret and user:other-secret in base64.
    for (encoded, password) in
        [("dXNlcjp2ZXJ5LXNlY3JldA==", "very-secret"), ("dXNlcjpvdGhlci1zZWNyZXQ=", "other-secret")]
    {
        let config = home.path(".docker");
        std::fs::create_dir_all(&config).unwrap();
        let auths = format!(r#"{{"auths": {{"{}": {{"auth": "{encoded}"}}}}}}"#, registry.host());
        std::fs::write(config.join("config.json"), auths).unwrap();
        let output = pull(&home, &registry.host(), &["-vv"]).output().unwrap();
        let log = text(&output.stderr);
        assert_eq!(output.status.success(), password == "very-secret", "{log}");
        assert!(log.contains("status=401"), "{log}");
        assert!(!log.contains(password) && !log.contains(encoded) && !log.contains("Basic"), "{log}");
    }
}

#[test]
fn a_level_that_does_not_exist_is_an_error() {
    let home = Home::new();
    let output = home.banger(["image", "list"]).env("BANGER_LOG", "loud").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("BANGER_LOG loud: there is no such level; set it to off, error"), "{error}");
}
