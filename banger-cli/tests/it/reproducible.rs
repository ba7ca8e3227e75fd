//! The same image makes the same bytes, whatever happens to its downloads and whoever pulls it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use banger_testkit::{Image, Registry, Skip, TAG, require};
use sha2::{Digest as _, Sha256};

use crate::support::{Home, text};

/// Connections that are cut in one pull: fewer than the attempts that a download has.
const CUTS_PER_PULL: u32 = 3;

/// Numbers without a pattern, the same in every run (xorshift).
#[derive(Clone, Debug)]
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// A bad network before a registry: what comes from it comes in pieces of any length, late, and
/// sometimes not at all.
struct BadNetwork {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    registry: String,
    connections: AtomicU64,
    cuts_left: AtomicU32,
    cuts: AtomicU32,
    closed: AtomicBool,
}

impl BadNetwork {
    fn before(registry: &Registry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            registry: registry.host(),
            connections: AtomicU64::new(0),
            cuts_left: AtomicU32::new(0),
            cuts: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.closed.load(Ordering::Relaxed) {
                    break;
                }
                let shared = Arc::clone(&of_thread);
                // A connection ends when either side closes it.
                thread::spawn(move || shared.serve(client));
            }
        });
        Self { address, shared }
    }

    /// Allows for more cuts, for the next pull.
    fn refill(&self) {
        self.shared.cuts_left.store(CUTS_PER_PULL, Ordering::Relaxed);
    }

    fn cuts(&self) -> u32 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for BadNetwork {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, client: TcpStream) {
        let mut numbers = Numbers::new(1 + self.connections.fetch_add(1, Ordering::Relaxed));
        let server = TcpStream::connect(&self.registry).unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        // Either end may be gone by now.
        let _ = self.answer(server.try_clone().unwrap(), client.try_clone().unwrap(), &mut numbers);
        for end in [client, server] {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Hands on what the registry answers, until it is done or the connection is cut.
    fn answer(&self, mut server: TcpStream, mut client: TcpStream, numbers: &mut Numbers) -> io::Result<()> {
        // More than any answer but a blob has.
        let cut_at = (256 << 10) + numbers.below(4 << 20);
        let may_cut = numbers.below(3) > 0;
        let mut buffer = vec![0; 256 << 10];
        let mut handed_on = 0;
        thread::sleep(Duration::from_millis(numbers.below(30)));
        loop {
            let most = 1 + usize::try_from(numbers.below(256 << 10)).unwrap();
            let count = server.read(&mut buffer[..most])?;
            if count == 0 {
                return Ok(());
            }
            if numbers.below(8) == 0 {
                thread::sleep(Duration::from_millis(numbers.below(10)));
            }
            client.write_all(&buffer[..count])?;
            handed_on += count as u64;
            let take_one = |left: u32| left.checked_sub(1);
            if may_cut
                && handed_on >= cut_at
                && self.cuts_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one).is_ok()
            {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
    }
}

struct Setup {
    registry: Registry,
    network: BadNetwork,
    reference: String,
}

fn setup(image: Image) -> Result<Setup, Skip> {
    let registry = Registry::start()?;
    registry.push(&image.layout()?, TAG, "app", "1")?;
    let network = BadNetwork::before(&registry);
    let reference = format!("{}/app:1", network.address);
    Ok(Setup { registry, network, reference })
}

fn sha256_of(path: &Path) -> String {
    let mut file = File::open(path).unwrap();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// Runs the pull that `command` begins, into a file of `home`; returns the file's SHA-256.
fn pull(home: &Home, mut command: Command, reference: &str, options: &[&str]) -> String {
    let file = home.path("out/rootfs.ext4");
    command.args(["image", "pull", reference, "--size", "640M", "--output"]).arg(&file).args(options);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    sha256_of(&file)
}

/// Pulls `times` times, each with an empty cache and any number of jobs.
fn pulls_are_equal(backend: &str, times: u64) {
    let Setup { registry, network, reference } = require!(setup(Image::DebianLayers));
    let mut numbers = Numbers::new(times);
    let mut digests = BTreeSet::new();
    let mut all_jobs = BTreeSet::new();
    for _ in 0..times {
        network.refill();
        let jobs = (1 + numbers.below(16)).to_string();
        let home = Home::new();
        let options = ["--backend", backend, "--jobs", &jobs];
        digests.insert(pull(&home, home.banger([""; 0]), &reference, &options));
        all_jobs.insert(jobs);
    }
    assert_eq!(digests.len(), 1, "{backend}: {digests:?}");
    assert!(all_jobs.len() > 1);
    assert!(u64::from(network.cuts()) >= times / 4, "only {} connections were cut", network.cuts());
    assert!(registry.log().contains("http.response.status=206"), "no download was resumed");
}

#[test]
fn twenty_pulls_over_a_bad_network() {
    pulls_are_equal("native", 20);
}

#[test]
fn three_pulls_with_e2fsprogs() {
    pulls_are_equal("e2fsprogs", 3);
}

#[test]
fn whoever_pulls_and_wherever() {
    let Setup { registry, network: _network, reference } = require!(setup(Image::DebianLayers));
    let here = Home::new();
    let want = pull(&here, here.banger([""; 0]), &reference, &[]);
    // Another name for the registry, directories elsewhere, no bad network.
    let home = Home::new();
    let reference = registry.reference("app", "1");
    let mut command = Command::new("sh");
    home.environment(&mut command);
    command
        .args(["-c", "umask 077; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_banger")])
        .env("TZ", "Pacific/Chatham")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "tr_TR.UTF-8");
    assert_eq!(pull(&home, command, &reference, &[]), want, "another time zone, umask and language");
    let home = Home::new();
    let command = require!(home.banger_as_nobody());
    assert_eq!(pull(&home, command, &reference, &[]), want, "another user");
}
