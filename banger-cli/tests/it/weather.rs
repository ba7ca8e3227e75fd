//! Pulls through a proxy that counts: killed at any instant, and many at the same time.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use banger_testkit::{
    Compression, ImageBuilder, Layer, LayerBuilder, LayoutBuilder, Registry, Skip, Weather, WeatherOptions,
    require,
};
use serde_json::Value;

use crate::interruption::instants;
use crate::support::{Home, text};

/// Kills in a run of the tests; `BANGER_KILLS` for more.
const KILLS: usize = 8;
const PROCESSES: usize = 16;
/// Far beyond what a pull here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A registry with an image of layers of these sizes, which do not compress.
struct Upstream {
    registry: Registry,
    layers: Vec<(String, u64)>,
}

fn noise(mut state: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn upstream(sizes: &[usize]) -> Result<Upstream, Skip> {
    let registry = Registry::start()?;
    let mut image = ImageBuilder::new();
    for (index, size) in sizes.iter().enumerate() {
        let content = noise(index as u64 + 1, *size);
        let tar = LayerBuilder::new().file(format!("file-{index}"), content).finish();
        image = image.layer_as(Layer::new(tar, Compression::None));
    }
    let layout = LayoutBuilder::of(&image);
    let files = layout.files();
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let entry = json(&files["index.json"])["manifests"][0].clone();
    let digest = entry["digest"].as_str().unwrap().replace(':', "/");
    let manifest = json(&files[&format!("blobs/{digest}")]);
    let layers = manifest["layers"].as_array().unwrap().iter();
    let layers = layers
        .map(|layer| (layer["digest"].as_str().unwrap().to_owned(), layer["size"].as_u64().unwrap()))
        .collect();
    registry.upload(&layout, &entry, "app", "1");
    Ok(Upstream { registry, layers })
}

impl Upstream {
    fn bytes(&self) -> u64 {
        self.layers.iter().map(|(_, size)| size).sum()
    }

    fn weather(&self, rate: Option<u64>) -> Weather {
        Weather::start(&self.registry.host(), WeatherOptions { rate, ..WeatherOptions::default() })
    }
}

fn pull(home: &Home, weather: &Weather, out: &str, more: &[&str]) -> std::process::Command {
    let out = home.path(out);
    let reference = format!("{}/app:1", weather.host());
    let mut command = home.banger(["image", "pull", &reference, "--no-inject", "--force", "--output"]);
    command.arg(out).args(more).stdout(Stdio::null());
    command
}

#[test]
fn a_killed_pull_and_the_next_one_transfer_the_image_once() {
    let upstream = require!(upstream(&[9_000_000, 3_000_000, 500_000]));
    let kills = std::env::var("BANGER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    for (round, instant) in instants(kills).enumerate() {
        let home = Home::new();
        let weather = upstream.weather(Some(6_000_000));
        let mut child = pull(&home, &weather, "out/x.ext4", &[]).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(instant * 1.8));
        child.kill().unwrap();
        child.wait().unwrap();
        let before = weather.sent_bytes();
        let output = pull(&home, &weather, "out/x.ext4", &[]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let (sent, size) = (weather.sent_bytes(), upstream.bytes());
        assert!(
            sent * 10 < size * 12,
            "round {round}, killed after {instant}: {before} and then {sent} of {size} bytes"
        );
    }
}

#[test]
fn sixteen_processes_download_an_image_once() {
    let upstream = require!(upstream(&[2_000_000, 700_000, 1_000]));
    let home = Home::new();
    // Slow enough that all of them come before the end.
    let weather = upstream.weather(Some(1_500_000));
    let mut children: Vec<Child> = (0..PROCESSES)
        .map(|number| {
            let out = format!("out/{number}.ext4");
            pull(&home, &weather, &out, &[]).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in &mut children {
        let status = child.wait().unwrap();
        let mut errors = String::new();
        std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut errors).unwrap();
        assert!(status.success(), "{errors}");
    }
    for (digest, size) in &upstream.layers {
        assert_eq!(weather.sent_for(digest), *size, "{digest}");
        assert_eq!(weather.requests_for(digest), 1, "{digest}");
    }
    let images: Vec<u64> = (0..PROCESSES)
        .map(|number| std::fs::metadata(home.path(&format!("out/{number}.ext4"))).unwrap().len())
        .collect();
    assert!(images.iter().all(|len| *len == images[0] && *len > 0), "{images:?}");
}

#[test]
fn the_download_of_a_killed_process_is_taken_over_at_once() {
    let upstream = require!(upstream(&[4_000_000]));
    let home = Home::new();
    let weather = upstream.weather(Some(1_000_000));
    let mut first = pull(&home, &weather, "out/1.ext4", &[]).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while weather.sent_bytes() < 1_500_000 {
        assert!(started.elapsed() < PATIENCE, "nothing is downloaded");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut second =
        pull(&home, &weather, "out/2.ext4", &["--progress", "json"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(second.stderr.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert!(events.any(|event| event["event"] == "blob-waiting"), "it does not wait");
    first.kill().unwrap();
    first.wait().unwrap();
    let killed = Instant::now();
    let resumed = events.find(|event| event["event"] == "blob-started").expect("it takes the download over");
    let delay = killed.elapsed();
    assert!(resumed["resumed_bytes"].as_u64().unwrap() > 500_000, "{resumed}");
    // It looks 20 times a second.
    assert!(delay < Duration::from_secs(10), "{delay:?}");
    events.for_each(drop);
    assert!(second.wait().unwrap().success());
    assert!(weather.sent_bytes() * 10 < upstream.bytes() * 12, "{}", weather.sent_bytes());
}

#[test]
fn the_rate_can_be_limited() {
    let upstream = require!(upstream(&[300_000, 300_000]));
    let home = Home::new();
    let weather = upstream.weather(None);
    let started = Instant::now();
    let output = pull(&home, &weather, "out/x.ext4", &["--limit-rate", "500KB"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Both layers together: 600,000 bytes at 500,000 a second.
    assert!(started.elapsed() >= Duration::from_millis(1200), "{:?}", started.elapsed());
    assert!(started.elapsed() < PATIENCE);
}
