//! Two processes that pull one reference into one store.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};
use serde_json::Value;

use crate::support::{Home, send_signal, text};

/// Attempts to stop a pull while it builds.
const ATTEMPTS: usize = 20;
/// Bytes of the layer, so that its build takes a while.
const CONTENT_BYTES: usize = 48 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// Starts a pull and stops it while it builds; `None` where it was too fast.
fn stopped_pull(home: &Home, reference: &str) -> Option<Child> {
    let arguments = ["image", "pull", reference, "--name", "app", "--no-inject"];
    let mut child = home.banger(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let images = home.path("state/banger/images");
    let is_building = || {
        let entries = std::fs::read_dir(&images).into_iter().flatten().flatten();
        let staged = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(".staging"));
        staged
            .map(|entry| entry.path().join("rootfs.ext4"))
            .any(|file| std::fs::metadata(file).is_ok_and(|file| file.blocks() > 0))
    };
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < PATIENCE, "the pull neither builds nor ends");
        if is_building() {
            send_signal(&child, "STOP");
            // It may have published between the two.
            if is_building() {
                return Some(child);
            }
            send_signal(&child, "KILL");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.wait().unwrap();
    None
}

#[test]
fn one_goes_on_when_the_other_is_killed() {
    let home = Home::new();
    let content: Vec<u8> = (0..CONTENT_BYTES).map(|at| (at % 251) as u8).collect();
    let layer = LayerBuilder::new().dir("opt").file("opt/content", content).finish();
    let layout = home.path("layout");
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&layout);
    let reference = format!("oci:{}", layout.display());
    let first = (0..ATTEMPTS).find_map(|_| {
        let found = stopped_pull(&home, &reference);
        if found.is_none() {
            let _ = home.banger(["image", "rm", "app"]).output();
        }
        found
    });
    let mut first = first.expect("a pull that is stopped while it builds");

    let arguments =
        ["image", "pull", &reference, "--name", "app", "--no-inject", "--json", "--progress", "json"];
    let mut second = home.banger(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(second.stderr.take().unwrap()).lines();
    let waits = events.by_ref().any(|line| {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        event["event"] == "pull-waiting" && event["name"] == "app"
    });
    assert!(waits, "it did not wait");
    std::thread::sleep(Duration::from_millis(200));
    assert!(second.try_wait().unwrap().is_none(), "it goes on while the other holds the name");
    first.kill().unwrap();
    first.wait().unwrap();

    let rest: Vec<String> = events.map(|line| line.unwrap()).collect();
    let mut document = Vec::new();
    second.stdout.take().unwrap().read_to_end(&mut document).unwrap();
    assert!(second.wait().unwrap().success(), "{rest:?}");
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["unchanged"], false, "{}", text(document.to_string().as_bytes()));
    let file = std::path::PathBuf::from(document["path"].as_str().unwrap());
    assert_eq!(std::fs::metadata(&file).unwrap().len(), document["size_bytes"].as_u64().unwrap());
    // What the killed one left is swept already.
    let id = document["id"].as_str().unwrap();
    let mut left = home.leftovers();
    left.sort();
    assert_eq!(
        left,
        ["", "/image.json", "/rootfs.ext4"].map(|name| format!("state/banger/images/{id}{name}"))
    );
}
