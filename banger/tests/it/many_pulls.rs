//! Many pulls at a time that share a puller, from the registry to finished images: what they cost in threads.
//!
//! The threads are those of a process of its own, which this binary becomes once more ([`process`]).

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use banger::{
    Cancellation, Dirs, Event, EventHandler, ImageName, ImageSize, PullRequest, Puller, PullerOptions, pull,
};
use banger_testkit::{Compression, ImageBuilder, Layer, LayerBuilder, LayoutBuilder, ScriptedServer};
use camino::Utf8Path;

/// The registry's host, for the process that pulls.
const HOST: &str = "BANGER_TEST_MANY_PULLS";
const PULLS: usize = 32;
/// Threads of the process, those that call `pull` among them.
const THREADS_MAX: usize = 40;

/// The process that pulls; an ordinary run of the tests has nothing to do here.
#[test]
fn process() {
    let Ok(host) = std::env::var(HOST) else { return };
    let before = threads();
    // The harness of the tests may have a thread beside this one.
    let most = pull_at_once(&host, before) - (before - 1);
    println!("\n{PULLS} pulls: {most} threads");
    assert!(most > PULLS, "{most}: the pulls do not run at the same time");
    assert!(most < THREADS_MAX, "{most} threads");
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

fn request(host: &str, number: usize, puller: &Puller) -> PullRequest {
    let name: ImageName = format!("t{number}").parse().unwrap();
    let mut request =
        PullRequest::new(format!("{host}/app:{name}").parse().unwrap()).with_guest(None).with_name(name);
    request.file_system.size = ImageSize::Bytes(64 << 20);
    request.pull.plain_http = true;
    request.pull.platform = Some("linux/amd64".parse().unwrap());
    request.puller = Some(puller.clone());
    request
}

/// Returns the most threads that there were.
fn pull_at_once(host: &str, before: usize) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(dir.path()).unwrap();
    let dirs = Dirs::new(path.join("state"), path.join("cache"));
    let puller = Puller::new(PullerOptions::default());
    let (together, most, done) = (Arc::new(Barrier::new(PULLS)), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                // This thread is not the pulls'.
                most.fetch_max(threads() - 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let pulls: Vec<_> = (0..PULLS)
            .map(|number| {
                let request = request(host, number, &puller);
                let (dirs, together) = (&dirs, Arc::clone(&together));
                scope.spawn(move || {
                    // All know their image before the first one is read.
                    let events = EventHandler::new(move |event| {
                        if let Event::Resolved { .. } = event {
                            together.wait();
                        }
                        ControlFlow::Continue(())
                    });
                    let pulled = pull(&request, dirs, &events, &Cancellation::new()).unwrap();
                    let length = std::fs::metadata(&pulled.path).unwrap().len();
                    assert_eq!(length, pulled.record.size_bytes);
                })
            })
            .collect();
        pulls.into_iter().for_each(|pull| pull.join().unwrap());
        done.store(true, Ordering::SeqCst);
        counting.join().unwrap();
    });
    check_alone(host, path, &puller);
    drop(puller);
    for _ in 0..10_000 {
        if threads() <= before {
            return most.into_inner();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{} threads are left, {before} before", threads());
}

/// Fails unless a pull that has all threads makes the image that one of many made.
fn check_alone(host: &str, path: &Utf8Path, puller: &Puller) {
    let dirs = Dirs::new(path.join("state"), path.join("cache"));
    let (events, cancellation) = (EventHandler::none(), Cancellation::new());
    let request = request(host, 0, puller);
    let one_of_many = pull(&request, &dirs, &events, &cancellation).unwrap();
    assert!(one_of_many.unchanged);
    let alone = pull(&request.with_force(true), &dirs, &events, &cancellation).unwrap();
    assert!(!alone.unchanged);
    let same = std::fs::read(&alone.path).unwrap() == std::fs::read(&one_of_many.path).unwrap();
    assert!(same, "threads change what is written");
}

/// Bytes that do not compress and differ by seed.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut bytes = Vec::with_capacity(len + 4);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn thirty_two_pulls_take_few_threads() {
    let tar = |seed: u32, len| {
        let layer = LayerBuilder::new().dir(format!("d{seed}"));
        let layer = layer.file(format!("d{seed}/noise"), noise(seed, len));
        layer.file(format!("d{seed}/zeros"), vec![0; 2 << 20]).finish()
    };
    let base = tar(0, 1 << 20);
    let mut layout = LayoutBuilder::new();
    for number in 0..PULLS {
        let seed = u32::try_from(number).unwrap() + 1;
        let image = [base.clone(), tar(seed, 1 << 20), tar(100 + seed, 1000)]
            .into_iter()
            .fold(ImageBuilder::new(), |image, tar| image.layer_as(Layer::new(tar, Compression::Gzip)));
        layout.add_tagged(&image, &format!("t{number}"));
    }
    let server = ScriptedServer::registry(&layout, |_| None);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["many_pulls::process", "--exact", "--nocapture", "--test-threads=1"])
        .env(HOST, server.host())
        .output()
        .unwrap();
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    write!(said, "{}", String::from_utf8_lossy(&output.stderr)).unwrap();
    assert!(output.status.success(), "{said}");
    let line = said
        .lines()
        .find(|line| line.starts_with(&format!("{PULLS} pulls: ")))
        .expect("the process tells what it took");
    println!("{line}");
}
