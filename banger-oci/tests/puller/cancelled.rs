//! Pulls that are cancelled at each of their steps, and at any time: they leave nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use banger_oci::{FlattenOptions, Progress, Puller, PullerOptions, flatten, pull};
use banger_testkit::LayerBuilder;
use banger_tree::{Cancellation, ErrorKind, Failure as _, MemoryStore};

use crate::pull_support::*;
use crate::{assert_settles, descriptors, threads};

/// Tag of the image. Each round reads it from a repository of its own, so that it needs a new token.
const TAG: &str = "t";
/// Rounds where the environment does not say how many: each step comes up more than once.
const ROUNDS: u64 = 120;

/// What a pull does at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Token,
    Manifest,
    Config,
    Blob,
    Flatten,
}

const STEPS: [Step; 5] = [Step::Token, Step::Manifest, Step::Config, Step::Blob, Step::Flatten];

/// Counts the steps of the pull of one round, and cancels it at one of them.
#[derive(Debug, Default)]
struct Trigger {
    round: u64,
    cancellation: Cancellation,
    /// The step to cancel at, counted from 1.
    at: Option<u64>,
    steps: u64,
    /// What the pull was doing when it was cancelled.
    hit: Option<Step>,
}

impl Trigger {
    fn step(&mut self, step: Step) {
        self.steps += 1;
        if Some(self.steps) == self.at {
            self.hit = Some(step);
            self.cancellation.cancel();
        }
    }
}

/// How a round ended.
struct Round {
    outcome: Result<(), ErrorKind>,
    steps: u64,
    hit: Option<Step>,
}

/// A registry that wants a token, and the pulls from it.
struct Rounds {
    bench: Bench,
    server: Server,
    trigger: Arc<Mutex<Trigger>>,
    puller: Puller,
}

impl Rounds {
    fn start() -> Self {
        let mut store = Store::default();
        let layers: Vec<Vec<u8>> = (0..3)
            .map(|layer| {
                let name = format!("file{layer}");
                LayerBuilder::new().file(name, noise(layer, 300_000)).file("small", "x").finish()
            })
            .collect();
        let (manifest, _) = store.image(Some(TAG), "linux/amd64", &layers);
        let config = manifest["config"]["digest"].as_str().unwrap().to_owned();
        let trigger = Arc::new(Mutex::new(Trigger::default()));
        let armed = Arc::clone(&trigger);
        let server = Server::start(store, move |asked| {
            let mut armed = armed.lock().unwrap();
            let challenged = asked.header("authorization").is_none();
            let step = match asked.path() {
                "/token" => Step::Token,
                _ if challenged => Step::Token,
                path if path.contains("/manifests/") => Step::Manifest,
                path if path.ends_with(&config) => Step::Config,
                _ => Step::Blob,
            };
            // A request of an earlier round may still be on its way.
            let round = armed.round;
            if [format!("/r{round}/"), format!("r{round}%3A"), format!("r{round}:")]
                .iter()
                .any(|part| asked.target.contains(part))
            {
                armed.step(step);
            }
            if asked.path() == "/token" {
                return Some(Answer::new(200, r#"{"token":"t"}"#));
            }
            let host = asked.header("host").unwrap();
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            challenged.then(|| Answer::new(401, "").with("WWW-Authenticate", challenge))
        });
        Self { bench: Bench::new(), server, trigger, puller: Puller::new(PullerOptions::default()) }
    }

    /// Pulls and flattens; cancels at a step, or after a time, or never.
    fn run(&self, round: u64, at: Option<u64>, after: Option<Duration>) -> Round {
        self.bench.cache.prune(&banger_oci::PruneOptions::default().with_all(true)).unwrap();
        let cancellation = Cancellation::new();
        *self.trigger.lock().unwrap() =
            Trigger { round, cancellation: cancellation.clone(), at, ..Trigger::default() };
        let outcome = std::thread::scope(|scope| {
            if let Some(after) = after {
                let cancellation = &cancellation;
                scope.spawn(move || {
                    std::thread::sleep(after);
                    cancellation.cancel();
                });
            }
            self.pull(round, &cancellation)
        });
        let trigger = self.trigger.lock().unwrap();
        Round { outcome, steps: trigger.steps, hit: trigger.hit }
    }

    fn pull(&self, round: u64, cancellation: &Cancellation) -> Result<(), ErrorKind> {
        let (cache, options, progress) = (&self.bench.cache, &self.bench.options, Progress::none());
        let reference = format!("{}/r{round}:{TAG}", self.server.host()).parse().unwrap();
        // The shared puller, and one for each pull.
        let image = match round % 2 {
            0 => self.puller.pull(&reference, cache, options, &progress, cancellation),
            _ => pull(&reference, cache, options, &progress, cancellation),
        };
        let image = image.map_err(|error| error.kind())?;
        let flattening = FlattenOptions::default().with_cancellation(cancellation.clone());
        let flattened = flatten(&image.layers, &mut MemoryStore::default(), &flattening, &|_event| {
            self.trigger.lock().unwrap().step(Step::Flatten);
        });
        assert_eq!(flattened.map_err(|error| error.kind())?.layers.len(), 3);
        image.finish().map_err(|error| error.kind())
    }
}

pub(crate) fn cancelled_pulls_leave_nothing(_host: &str) {
    let rounds: u64 =
        std::env::var("BANGER_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let seed = banger_testkit::seed();
    let mut state = seed | 1;
    // The first runtime of a process opens two descriptors for signals, which tokio never closes.
    let warm = Rounds::start();
    assert_eq!(warm.run(0, None, None).outcome, Ok(()));
    drop(warm);
    assert_settles("threads", threads, 1);
    let (threads_before, descriptors_before) = (threads(), descriptors());

    let pulls = Rounds::start();
    let began = Instant::now();
    let whole = pulls.run(0, None, None);
    let whole_time = began.elapsed();
    assert_eq!((whole.outcome, whole.hit), (Ok(()), None));
    let (mut cancelled, mut finished) = (0_u64, 0_u64);
    let mut hits: BTreeMap<Step, u64> = BTreeMap::new();
    for round in 1..=rounds {
        // Two of three at a step, each one in turn: a third of these steps is behind the last one, so
        // that no speed of a machine decides how many finish. The others at a time, which tells nothing.
        let at = (round % 3 != 0).then(|| (seed.wrapping_add(round) % (whole.steps * 3 / 2)) + 1);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let after = at.is_none().then(|| whole_time.mul_f64((state >> 11) as f64 / (1_u64 << 52) as f64));
        let Round { outcome, hit, .. } = pulls.run(round, at, after);
        match outcome {
            Ok(()) => finished += 1,
            Err(ErrorKind::Cancelled) => cancelled += 1,
            Err(kind) => panic!("round {round}: {kind:?}"),
        }
        if let Some(step) = hit {
            *hits.entry(step).or_default() += 1;
            // What its last step cancels may be done already.
            assert!(
                outcome.is_err() || step == Step::Flatten,
                "round {round}: finished in spite of {step:?}"
            );
        } else if at.is_some() {
            assert_eq!(outcome, Ok(()), "round {round}: nothing cancelled it");
        }
    }
    drop(pulls);
    let mut said = String::new();
    for (step, count) in &hits {
        write!(said, ", {count} at {step:?}").unwrap();
    }
    println!("({rounds} rounds: {cancelled} cancelled{said}; {finished} finished;");
    if rounds >= ROUNDS {
        assert_eq!(hits.keys().copied().collect::<Vec<_>>(), STEPS);
        assert!(finished >= rounds / 8 && cancelled >= rounds / 8, "{cancelled} and {finished}");
    }
    assert_settles("threads", threads, threads_before);
    assert_settles("file descriptors", descriptors, descriptors_before);
    println!("{threads_before} threads and {descriptors_before} descriptors before, as many after)");
}
