//! Registries that fail, and pulls that are stopped while they do: how the process ends.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use banger_testkit::{
    Answer, Asked, BodyLength, Compression, ImageBuilder, Layer, LayerBuilder, LayoutBuilder, ScriptedServer,
};

use crate::interruption::instants;
use crate::support::{Home, send_signal, text};

/// How often a pull fails while others download.
const FAILURES: usize = 200;
/// How often a pull is interrupted.
const INTERRUPTS: usize = 20;

/// Bytes that do not compress and differ by seed.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[3]
    };
    (0..len).map(next).collect()
}

/// An image of `count` layers of `len` bytes, which are not compressed; returns it with the digests
/// of its layers.
fn image(count: u32, len: usize) -> (LayoutBuilder, Vec<String>) {
    let mut image = ImageBuilder::new();
    let mut digests = Vec::new();
    for seed in 1..=count {
        let tar = LayerBuilder::new().file(format!("file-{seed}"), noise(seed, len)).finish();
        digests.push(banger_testkit::sha256_digest(&tar));
        image = image.layer_as(Layer::new(tar, Compression::None));
    }
    let mut layout = LayoutBuilder::new();
    layout.add_tagged(&image, "1");
    (layout, digests)
}

/// Sends blobs in pieces, so that they are on their way for a while.
fn slowly(layout: &LayoutBuilder, asked: &Asked, piece: usize, pause: Duration) -> Option<Answer> {
    let (_, digest) = asked.path().split_once("/blobs/")?;
    let files = layout.files();
    let bytes = files.get(&format!("blobs/{}", digest.replace(':', "/")))?;
    Some(banger_testkit::part_of(bytes, asked).drip(piece, pause))
}

fn pull(home: &Home, reference: &str, more: &[&str]) -> Output {
    let arguments = ["image", "pull", reference, "--no-inject", "--plain-http"];
    home.banger(arguments.iter().chain(more)).output().unwrap()
}

/// One layer fails while others are being written: the process ends with the error, and with nothing
/// else to say.
#[test]
fn failing_pulls_do_not_panic() {
    let (layout, digests) = image(5, 400_000);
    let (copy, missing) = (layout.clone(), digests[0].clone());
    let server = ScriptedServer::registry(&layout, move |asked| {
        if asked.path().ends_with(&missing) {
            // A moment in which the others get going.
            let mut answer = Answer::new(404, "");
            answer.delay = Duration::from_millis(3);
            return Some(answer);
        }
        slowly(&copy, asked, 50_000, Duration::from_micros(300))
    });
    let home = Home::new();
    let reference = format!("{}/app:1", server.host());
    let started = Instant::now();
    for round in 0..FAILURES {
        // The cost of a test is bounded on a machine that is busy.
        if round >= 50 && started.elapsed() > Duration::from_secs(45) {
            break;
        }
        let output = pull(&home, &reference, &[]);
        let said = text(&output.stderr);
        assert!(!said.contains("panicked") && !said.contains("internal error"), "round {round}: {said}");
        assert_eq!(output.status.code(), Some(1), "round {round}: {said}");
        assert!(said.contains("404"), "round {round}: {said}");
        std::fs::remove_dir_all(home.path("cache/banger")).unwrap();
    }
    assert_eq!(home.leftovers(), [""; 0]);
}

/// Whatever a registry does at that instant, and whatever waits for it: SIGINT ends the process.
#[test]
fn interrupted_pulls_end_soon() {
    let (layout, digests) = image(4, 200_000);
    type Script = Box<dyn Fn(&Asked) -> Option<Answer> + Send + Sync>;
    let copy = layout.clone();
    let stalled = digests[1].clone();
    let stalled_len = layout.files()[&format!("blobs/{}", stalled.replace(':', "/"))].len() as u64;
    let slow: Script = Box::new(move |asked| {
        if asked.path().ends_with(&stalled) {
            let endless = Answer::new(200, vec![0; 100]).length(BodyLength::Claimed(stalled_len));
            return Some(endless.drip(1, Duration::from_millis(50)));
        }
        slowly(&copy, asked, 10_000, Duration::from_millis(10))
    });
    let busy: Script =
        Box::new(|asked| (asked.method == "GET").then(|| Answer::new(503, "busy").with("Retry-After", "30")));
    let silent: Script = Box::new(|asked| {
        let mut answer = Answer::new(200, "");
        answer.delay = Duration::from_secs(20);
        asked.path().contains("/manifests/").then_some(answer)
    });
    for script in [slow, busy, silent] {
        let server = ScriptedServer::registry(&layout, script);
        let home = Home::new();
        let reference = format!("{}/app:1", server.host());
        for instant in instants(INTERRUPTS / 3 + 1) {
            let mut child = home
                .banger(["image", "pull", &reference, "--no-inject", "--plain-http"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // The handler is set within the first milliseconds; a busy machine takes longer.
            std::thread::sleep(Duration::from_millis(150) + Duration::from_millis(500).mul_f64(instant));
            let signalled = Instant::now();
            send_signal(&child, "INT");
            let status = child.wait().unwrap();
            let elapsed = signalled.elapsed();
            let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
            assert!(!said.contains("panicked"), "{said}");
            assert_eq!(status.code(), Some(130), "{said}");
            assert!(elapsed < Duration::from_secs(2), "{elapsed:?} at {instant}");
            assert_eq!(home.leftovers(), [""; 0], "at {instant}");
        }
    }
}

fn damage(path: &std::path::Path) {
    let len = std::fs::metadata(path).unwrap().len();
    std::fs::write(path, noise(99, usize::try_from(len).unwrap())).unwrap();
}

/// The layer is a gzip stream, so that the damage shows as one before any digest is known.
#[test]
fn a_damaged_cache_heals_within_the_pull() {
    let tar = LayerBuilder::new().file("file", noise(1, 300_000)).finish();
    let image = ImageBuilder::new().layer(tar);
    let mut layout = LayoutBuilder::new();
    let descriptor = layout.add_tagged(&image, "1");
    let digest = descriptor["digest"].as_str().unwrap().to_owned();
    let server = ScriptedServer::registry(&layout, |_| None);
    let home = Home::new();
    let (tag, by_digest) = (format!("{}/app:1", server.host()), format!("{}/app@{digest}", server.host()));
    for backend in crate::support::BACKENDS {
        let output = |name: &str| home.path("out").join(name);
        let first = output("first.ext4");
        let more = |file: &str| {
            ["--size", "32M", "--backend", backend, "--force", "--output", file].map(str::to_owned)
        };
        let run = |reference: &str, file: &std::path::Path| {
            let more = more(file.to_str().unwrap());
            pull(&home, reference, &more.each_ref().map(String::as_str))
        };
        assert!(run(&tag, &first).status.success());
        let blobs = home.path("cache/banger/oci/blobs/sha256");
        let before = server.asked().len();
        for entry in std::fs::read_dir(&blobs).unwrap() {
            damage(&entry.unwrap().path());
        }
        let second = output("second.ext4");
        let healed = run(&by_digest, &second);
        let said = text(&healed.stderr);
        assert!(healed.status.success(), "{backend}: {said}");
        assert_eq!(said.matches("in the cache was damaged").count(), 3, "{said}");
        assert_eq!(server.asked().len() - before, 3, "manifest, configuration and layer once more");
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap(), "{backend}");
        std::fs::remove_file(&first).unwrap();
        std::fs::remove_file(&second).unwrap();
        assert_eq!(home.leftovers(), [""; 0]);
    }
    // Nobody can mend it without the registry.
    drop(server);
    let layer = image.manifest_bytes();
    let layer: serde_json::Value = serde_json::from_slice(&layer).unwrap();
    let layer = layer["layers"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    damage(&home.path("cache/banger/oci/blobs/sha256").join(layer));
    let output = pull(&home, &by_digest, &["--json"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("in the cache") && said.contains("cache/banger/oci"), "{said}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["error"]["code"], 132, "{document}");
}

#[test]
fn a_cache_that_everybody_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let (layout, _) = image(1, 100);
    let server = ScriptedServer::registry(&layout, |_| None);
    let home = Home::new();
    let reference = format!("{}/app:1", server.host());
    assert!(pull(&home, &reference, &[]).status.success());
    for at in ["cache/banger", "cache/banger/oci", "cache/banger/oci/blobs/sha256"] {
        let set =
            |mode| std::fs::set_permissions(home.path(at), std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o777);
        let output = pull(&home, &reference, &["--force"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{at}: {said}");
        assert!(said.contains("every user can write to it") && said.contains("chmod o-w"), "{at}: {said}");
        set(0o755);
    }
}

/// The options of patience reach the pull.
#[test]
fn patience_is_an_option() {
    let (layout, _) = image(1, 100_000);
    let server = ScriptedServer::registry(&layout, |asked| {
        (asked.method == "GET").then(|| Answer::new(503, "busy").with("Retry-After", "30"))
    });
    let home = Home::new();
    let reference = format!("{}/app:1", server.host());
    for (option, value) in [("--max-wait", "1s"), ("--max-time", "1s")] {
        let started = Instant::now();
        let output = pull(&home, &reference, &[option, value]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{option}: {said}");
        assert!(said.contains(option), "{option}: {said}");
        assert!(started.elapsed() < Duration::from_secs(20), "{option}: {:?}", started.elapsed());
    }
}
