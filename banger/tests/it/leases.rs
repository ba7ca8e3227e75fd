//! Many pulls of one reference into one store: each gets an image that stays at its path.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use banger::{
    Cancellation, Dirs, Event, EventHandler, ImageRecord, ImageStore, PullRequest, PulledFile, pull,
    pull_to_file,
};
use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

const THREADS: usize = 8;
/// Rounds of [`every_path_that_is_returned_exists`], where the environment does not say how many.
const ROUNDS: u32 = 50;
const ROUNDS_VARIABLE: &str = "BANGER_TEST_LEASE_ROUNDS";

struct Fixture {
    _dir: TempDir,
    layout: Utf8PathBuf,
    dirs: Dirs,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let layer = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").finish();
        let layout = path.join("layout");
        LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(layout.as_std_path());
        let dirs = Dirs::new(path.join("state"), path.join("cache"));
        Self { _dir: dir, layout, dirs }
    }

    fn request(&self) -> PullRequest {
        PullRequest::new(format!("oci:{}", self.layout).parse().unwrap()).with_guest(None)
    }

    fn store(&self) -> ImageStore {
        ImageStore::new(&self.dirs.state)
    }

    /// Pulls with all threads at once.
    fn pull_at_once(&self, request: &PullRequest) -> Vec<PulledFile> {
        let start = Barrier::new(THREADS);
        thread::scope(|scope| {
            let pulls: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        pull(request, &self.dirs, &EventHandler::none(), &Cancellation::new()).unwrap()
                    })
                })
                .collect();
            pulls.into_iter().map(|pull| pull.join().unwrap()).collect()
        })
    }

    fn images(&self) -> Vec<ImageRecord> {
        self.store().list().unwrap().images
    }

    /// Names of all that is in the store's directory.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dirs.state.join("images")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Sweeps; a test beside this one may be about to start a program, which has all locks until it runs.
    fn assert_swept(&self) {
        let image = self.images().pop().unwrap();
        for _ in 0..100 {
            self.store().sweep(&Cancellation::new()).unwrap();
            if self.entries() == [".lock", image.id.as_str()] {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{:?} is left", self.entries());
    }
}

fn assert_usable(pulled: &[PulledFile]) {
    for file in pulled {
        let length = fs::metadata(&file.path).map(|metadata| metadata.len());
        assert_eq!(length.unwrap(), file.record.size_bytes, "{}", file.path);
    }
    let digests: BTreeSet<&str> = pulled.iter().map(|file| file.record.digest.as_str()).collect();
    assert_eq!(digests.len(), 1);
}

#[test]
fn every_path_that_is_returned_exists() {
    let rounds = std::env::var(ROUNDS_VARIABLE).map_or(ROUNDS, |text| text.parse().expect("a number"));
    for round in 0..rounds {
        let fixture = Fixture::new();
        let pulled = fixture.pull_at_once(&fixture.request());
        assert_usable(&pulled);
        let built = pulled.iter().filter(|file| !file.unchanged).count();
        assert_eq!(built, 1, "round {round}: one builds and the others take its result");
        let paths: BTreeSet<&Utf8Path> = pulled.iter().map(|file| file.path.as_path()).collect();
        assert_eq!(paths.len(), 1);
        assert_eq!(fixture.images(), [pulled[0].record.clone()]);
        drop(pulled);
        fixture.assert_swept();
    }
}

#[test]
fn images_that_replace_each_other_stay_while_they_are_leased() {
    for _ in 0..5 {
        let fixture = Fixture::new();
        let pulled = fixture.pull_at_once(&fixture.request().with_force(true));
        assert_usable(&pulled);
        assert!(pulled.iter().all(|file| !file.unchanged));
        let paths: BTreeSet<&Utf8Path> = pulled.iter().map(|file| file.path.as_path()).collect();
        assert_eq!(paths.len(), THREADS);
        assert_eq!(fixture.images().len(), 1);
        fixture.store().sweep(&Cancellation::new()).unwrap();
        assert_usable(&pulled);
        drop(pulled);
        fixture.assert_swept();
    }
}

#[test]
fn pulls_of_files_at_once_do_not_meet() {
    let fixture = Fixture::new();
    let request = fixture.request();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (fixture, request) = (&fixture, &request);
            scope.spawn(move || {
                let output = fixture.layout.with_file_name(format!("{number}.ext4"));
                let events = EventHandler::none();
                let pulled = pull_to_file(request, &output, &fixture.dirs, &events, &Cancellation::new());
                assert!(pulled.unwrap().lease.is_none());
                assert!(output.exists());
            });
        }
    });
    assert!(!fixture.dirs.state.exists());
}

#[test]
fn a_wait_for_another_pull_is_told_and_can_be_cancelled() {
    let fixture = Fixture::new();
    // Another process pulls.
    let images = fixture.dirs.state.join("images");
    fs::create_dir_all(&images).unwrap();
    let private: fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&images, private).unwrap();
    let lock = fs::File::create(images.join(".pull-app.lock")).unwrap();
    lock.lock().unwrap();
    let request = fixture.request().with_name("app".parse::<banger::ImageName>().unwrap());
    let told = Arc::new(AtomicU32::new(0));
    let events = {
        let told = Arc::clone(&told);
        EventHandler::new(move |event| {
            if let Event::PullWaiting { name } = event {
                assert_eq!(name, "app");
                told.fetch_add(1, Ordering::SeqCst);
            }
            std::ops::ControlFlow::Continue(())
        })
    };
    let cancellation = Cancellation::new();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| pull(&request, &fixture.dirs, &events, &cancellation));
        while told.load(Ordering::SeqCst) == 0 {
            assert!(!waiter.is_finished(), "it does not wait");
            thread::sleep(Duration::from_millis(1));
        }
        cancellation.cancel();
        assert!(matches!(waiter.join().unwrap(), Err(banger::Error::Cancelled)));
    });
    assert!(fixture.images().is_empty());
    assert_eq!(fixture.entries(), [".pull-app.lock"]);
    // The other one dies: its lock goes, its file stays.
    drop(lock);
    let pulled = pull(&request, &fixture.dirs, &events, &Cancellation::new()).unwrap();
    assert!(!pulled.unchanged);
    assert_eq!(told.load(Ordering::SeqCst), 1, "a stale file keeps nobody waiting");
    fixture.assert_swept();
}
