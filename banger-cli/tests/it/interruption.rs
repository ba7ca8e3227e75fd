//! Pulls that are interrupted or killed at any instant.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::process::Stdio;
use std::time::{Duration, Instant};

use banger_testkit::{Image, Registry, TAG, assert_clean, require, seed};

use crate::support::{BACKENDS, Home, send_signal, text};

/// Random instants between 0 and 1.
pub(crate) fn instants(count: usize) -> impl Iterator<Item = f64> {
    let seed = seed();
    let instant = move |round: usize| {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((seed, round));
        f64::from((hash >> 32) as u32) / f64::from(u32::MAX)
    };
    (0..count).map(instant)
}

fn registry_with(image: Image) -> Result<(Registry, String), banger_testkit::Skip> {
    let registry = Registry::start()?;
    registry.push(&image.layout()?, TAG, "app", "1")?;
    let reference = registry.reference("app", "1");
    Ok((registry, reference))
}

/// Digests of the blobs that were fetched from the registry since `from` bytes of its log.
fn fetched_since(registry: &Registry, from: usize) -> Vec<String> {
    let log = registry.log();
    log[from..]
        .lines()
        .filter_map(|line| {
            line.split_once("GET /v2/app/blobs/")?.1.split([' ', '"']).next().map(str::to_owned)
        })
        .collect()
}

/// Fifty instants of the default backend; fewer of one that takes many times as long.
fn kills(backend: &str) -> usize {
    if backend == BACKENDS[0] { 50 } else { 15 }
}

#[test]
fn killed_at_fifty_instants() {
    let (registry, reference) = require!(registry_with(Image::DebianMinbase));
    for backend in BACKENDS {
        let home = Home::new();
        let pull = || home.banger(["image", "pull", &reference, "--backend", backend]);
        let started = Instant::now();
        assert!(pull().stderr(Stdio::null()).status().unwrap().success());
        let duration = started.elapsed();
        for (round, instant) in instants(kills(backend)).enumerate() {
            let _ = home.banger(["image", "rm", "app-1"]).output();
            if round % 2 == 0 {
                home.run(["image", "cache", "prune", "--all"]);
            }
            let mut child = pull().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(duration.mul_f64(instant));
            child.kill().unwrap();
            child.wait().unwrap();

            // What is listed is whole.
            let images = home.json(&["image", "list"]);
            for image in images["images"].as_array().unwrap() {
                let path = std::path::PathBuf::from(image["path"].as_str().unwrap());
                assert_eq!(std::fs::metadata(&path).unwrap().len(), image["size_bytes"].as_u64().unwrap());
            }
        }
        // The next one works, uses what was downloaded, and sweeps what the killed ones left.
        let cached: Vec<String> = home.json(&["image", "cache", "list"])["blobs"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|blob| blob["partial"] == false)
            .map(|blob| blob["digest"].as_str().unwrap().to_owned())
            .collect();
        let before = registry.log().len();
        let last = home.json(&["image", "pull", &reference, "--force", "--backend", backend]);
        for digest in fetched_since(&registry, before) {
            assert!(!cached.contains(&digest), "{digest} was in the cache and was fetched again");
        }
        let path = std::path::PathBuf::from(last["path"].as_str().unwrap());
        require!(assert_clean(&path));
        let id = last["id"].as_str().unwrap();
        let expected =
            ["", "/image.json", "/rootfs.ext4"].map(|name| format!("state/banger/images/{id}{name}"));
        let mut left = home.leftovers();
        left.sort();
        assert_eq!(left, expected, "{backend}");
    }
}

#[test]
fn a_killed_download_is_resumed() {
    let (registry, reference) = require!(registry_with(Image::DebianMinbase));
    let home = Home::new();
    // Killed as soon as a good part of the layer is there.
    let mut child = home
        .banger(["image", "pull", &reference])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let blobs = home.path("cache/banger/oci/blobs/sha256");
    let started = Instant::now();
    let partial = loop {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing was downloaded");
        let found = std::fs::read_dir(&blobs).into_iter().flatten().flatten().find(|entry| {
            entry.file_name().to_string_lossy().ends_with(".partial")
                && entry.metadata().is_ok_and(|metadata| metadata.len() > 1 << 20)
        });
        if let Some(entry) = found {
            break entry.path();
        }
        if child.try_wait().unwrap().is_some() {
            // Too fast to be caught: as good as killed at the end.
            return;
        }
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let Ok(kept) = std::fs::metadata(&partial).map(|metadata| metadata.len()) else { return };
    let output = home.run(["image", "pull", &reference, "--progress", "json"]);
    let resumed = text(&output.stderr)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["event"] == "blob-started")
        .filter_map(|event| event["resumed_bytes"].as_u64())
        .max();
    assert_eq!(resumed, Some(kept));
    assert!(registry.log().contains("206"), "the registry answered no Range request");
}

#[test]
fn signals_leave_nothing_behind() {
    let (_registry, reference) = require!(registry_with(Image::DebianMinbase));
    for backend in BACKENDS {
        let home = Home::new();
        let file = home.path("out/x.ext4");
        let managed = ["image", "pull", &reference, "--force", "--backend", backend];
        let single = [&managed[..], &["--output", file.to_str().unwrap()]].concat();
        let started = Instant::now();
        home.run(&single);
        let duration = started.elapsed();
        std::fs::remove_file(&file).unwrap();
        for (instant, signal) in instants(12).zip(["INT", "TERM"].into_iter().cycle()) {
            for arguments in [&managed[..], &single] {
                let mut child =
                    home.banger(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
                // The handler is set within the first milliseconds.
                std::thread::sleep(duration.mul_f64(instant).max(Duration::from_millis(100)));
                let signalled = Instant::now();
                send_signal(&child, signal);
                let status = child.wait().unwrap();
                assert!(signalled.elapsed() < Duration::from_secs(5), "{backend}: {:?}", signalled.elapsed());
                if status.code() == Some(0) {
                    // It was faster.
                    let _ = home.banger(["image", "rm", "app-1"]).output();
                    let _ = std::fs::remove_file(&file);
                } else {
                    assert_eq!(status.code(), Some(130), "{signal}");
                }
                assert_eq!(home.leftovers(), [""; 0], "{backend} {signal} at {instant}");
            }
        }
    }
}
