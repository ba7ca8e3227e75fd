//! What pulls cost a process: threads and file descriptors. Each case runs in a process of its own, which
//! nothing else disturbs, and whose errors are looked at.
#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is its own test harness")]
#![allow(dead_code, unused_imports, reason = "the support is shared with the other tests")]

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use banger_oci::{CredentialSource, Progress, PullError, PullEvent, PullPhase, Puller, PullerOptions, pull};
use banger_tree::{Cancellation, ErrorKind, Failure as _};
use camino::Utf8Path;

#[path = "../it/pull_support.rs"]
mod pull_support;
use pull_support::*;

mod cancelled;
use cancelled::cancelled_pulls_leave_nothing;

/// Far beyond what any of these takes.
const LONG: Duration = Duration::from_secs(60);
const IMAGES: u32 = 32;

type Case = fn(host: &str);

const CASES: [(&str, Case); 5] = [
    ("thirty_two_pulls_take_few_threads", thirty_two_pulls_take_few_threads),
    ("cancelled_pulls_leave_nothing", cancelled_pulls_leave_nothing),
    ("pulls_run_and_end_inside_a_runtime", pulls_run_and_end_inside_a_runtime),
    ("a_panic_of_the_handler_is_an_error", a_panic_of_the_handler_is_an_error),
    ("a_helper_reads_a_file", a_helper_reads_a_file),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, name, host] = &arguments[..]
        && role == "child"
    {
        let (_, case) = CASES.iter().find(|(known, _)| known == name).expect("a known case");
        return case(host);
    }
    if arguments.iter().any(|argument| argument == "--list") {
        CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let server = Server::plain(store());
    let mut failed = false;
    for (name, _) in CASES.iter().filter(|(name, _)| wanted.is_none_or(|part| name.contains(part.as_str()))) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["child", name, &server.host()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (said, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let ok = output.status.success() && errors.is_empty();
        println!("test {name} ... {} {}", if ok { "ok" } else { "FAILED" }, said.trim());
        if !ok {
            println!("{}\n{errors}", output.status);
        }
        failed |= !ok;
    }
    std::process::exit(i32::from(failed));
}

/// Images that share a base layer.
fn store() -> Store {
    let mut store = Store::default();
    let base = noise(1, 400_000);
    for image in 0..IMAGES {
        let layers = [base.clone(), noise(100 + image, 300_000), noise(200 + image, 50)];
        store.image(Some(&format!("t{image}")), "linux/amd64", &layers);
    }
    store
}

/// The number in a line of `/proc/self/status`.
fn threads() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
    line.trim().parse().unwrap()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until there are no more than these. What ends does so in its own time.
fn assert_settles(what: &str, now: impl Fn() -> usize, most: usize) {
    let started = Instant::now();
    while now() > most {
        assert!(started.elapsed() < LONG, "{} {what}, {most} before", now());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn thirty_two_pulls_take_few_threads(host: &str) {
    let bench = Bench::new();
    let puller = Puller::new(PullerOptions::default());
    let (done, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for image in 0..IMAGES {
            let (bench, puller, done) = (&bench, &puller, &done);
            scope.spawn(move || {
                let reference = format!("{host}/r{image}:t{image}").parse().unwrap();
                let (progress, cancellation) = (Progress::none(), Cancellation::new());
                let pulled = puller.pull(&reference, &bench.cache, &bench.options, &progress, &cancellation);
                let image = pulled.unwrap();
                assert_eq!(read_layers(&image).unwrap().len(), 3);
                image.finish().unwrap();
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        while done.load(Ordering::SeqCst) < IMAGES as usize {
            most.fetch_max(threads(), Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let most = most.into_inner();
    println!("({most} threads)");
    assert!(most > IMAGES as usize / 2, "{most}: the pulls ran at the same time");
    assert!(most < 40, "{most}");
    drop(puller);
    assert_settles("threads", threads, 1);
}

fn pulls_run_and_end_inside_a_runtime(host: &str) {
    let bench = Bench::new();
    let puller = Puller::new(PullerOptions::default());
    for runtime in [
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ] {
        runtime.block_on(async {
            let reference = format!("{host}/r:t0").parse().unwrap();
            let (progress, cancellation) = (Progress::none(), Cancellation::new());
            let pulled = puller.pull(&reference, &bench.cache, &bench.options, &progress, &cancellation);
            assert_eq!(read_layers(&pulled.unwrap()).unwrap().len(), 3);
            // Its puller ends here, too.
            drop(pull(&reference, &bench.cache, &bench.options, &progress, &cancellation).unwrap());
        });
    }
    #[cfg(feature = "tokio")]
    pulls_are_futures(host, &bench, &puller);
    drop(puller);
    assert_settles("threads", threads, 1);
}

#[cfg(feature = "tokio")]
fn pulls_are_futures(host: &str, bench: &Bench, puller: &Puller) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let mut pulls = tokio::task::JoinSet::new();
        for image in 0..IMAGES {
            let reference: banger_oci::Reference = format!("{host}/a{image}:t{image}").parse().unwrap();
            let (puller, cache, options) = (puller.clone(), bench.cache.clone(), bench.options.clone());
            let most = Arc::clone(&most);
            pulls.spawn(async move {
                let (progress, cancellation) = (Progress::none(), Cancellation::new());
                let image = puller.pull_async(&reference, &cache, &options, &progress, &cancellation).await;
                most.fetch_max(threads(), Ordering::SeqCst);
                image.map(drop)
            });
        }
        while let Some(pulled) = pulls.join_next().await {
            pulled.unwrap().unwrap();
        }
        // One that is dropped stops.
        let reference = format!("{host}/r:t1").parse().unwrap();
        let (progress, cancellation) = (Progress::none(), Cancellation::new());
        let unwanted = puller.pull_async(&reference, &bench.cache, &bench.options, &progress, &cancellation);
        drop(tokio::time::timeout(Duration::from_micros(500), unwanted).await);
    });
    let most = most.load(Ordering::SeqCst);
    println!("({most} threads for {IMAGES} futures)");
    assert!(most < 20, "{most}");
}

fn a_panic_of_the_handler_is_an_error(host: &str) {
    // The test panics on purpose.
    std::panic::set_hook(Box::new(|_| {}));
    let at: [fn(&PullEvent) -> bool; 3] = [
        |event| event.phase() == Some(PullPhase::Resolving),
        |event| matches!(event, PullEvent::LayerBytes { .. }),
        |event| matches!(event, PullEvent::LayerDone { .. }),
    ];
    for panics_at in at {
        let bench = Bench::new();
        let calls_after = Arc::new(AtomicUsize::new(0));
        let (panicked, counted) = (AtomicBool::new(false), Arc::clone(&calls_after));
        let progress = Progress::new(move |event| {
            if panicked.load(Ordering::SeqCst) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            if panics_at(&event) {
                panicked.store(true, Ordering::SeqCst);
                panic!("a fault of the handler");
            }
        });
        let cancellation = Cancellation::new();
        let reference = format!("{host}/r:t2").parse().unwrap();
        let outcome = pull(&reference, &bench.cache, &bench.options, &progress, &cancellation)
            .and_then(|image| read_layers(&image).map(drop).and_then(|()| image.finish()));
        let problem = match outcome {
            Err(error) if error.kind() == ErrorKind::Internal => {
                !error.to_string().contains("a fault of the handler")
            }
            _ => true,
        };
        assert!(!problem && !cancellation.is_cancelled());
    }
}

fn a_helper_reads_a_file(_host: &str) {
    let bench = Bench::new();
    let mut store = Store::default();
    let (_, _) = store.image(Some("t"), "linux/amd64", &[noise(1, 10)]);
    let server = Server::start(store, |asked| {
        (asked.header("authorization").is_none())
            .then(|| Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""))
    });
    let helper = bench.path().join("docker-credential-mute");
    // It ends without reading. What it could read is no pipe, so nothing that could break was written to.
    let script =
        "#!/bin/sh\ntest -f /proc/self/fd/0 || exit 9\necho '{\"Username\":\"u\",\"Secret\":\"p\"}'\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = bench.path().join("config.json");
    std::fs::write(&config, r#"{"credsStore":"mute"}"#).unwrap();
    let source =
        CredentialSource::Files { files: vec![config], helper_dir: Some(bench.path()), helper_timeout: LONG };
    let options = bench.options.clone().with_credentials(source);
    let reference = format!("{}/r:t", server.host()).parse().unwrap();
    let (progress, cancellation) = (Progress::none(), Cancellation::new());
    let image = pull(&reference, &bench.cache, &options, &progress, &cancellation).unwrap();
    image.finish().unwrap();
}
