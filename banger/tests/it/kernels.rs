//! The kernel store: equal records, leases, and many imports at once.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use banger::{
    Cancellation, Dirs, Error, ErrorKind, Event, EventHandler, ImportedKernelFile, KernelImportRequest,
    KernelRecord, KernelSourceName, KernelStore, StoreError, import_kernel,
};
use banger_testkit::{Codec, KernelBuilder, PackageBuilder, kernel_module};
use camino::Utf8PathBuf;
use tempfile::TempDir;

const RELEASE: &str = "6.1.0-50-test";
const THREADS: usize = 8;

struct Fixture {
    _dir: TempDir,
    dirs: Dirs,
    deb: Utf8PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let package = PackageBuilder::new("linux-image", "6.1-1")
            .file(&format!("boot/vmlinuz-{RELEASE}"), KernelBuilder::new(RELEASE).bz_image(Codec::Zstd))
            .file(&format!("boot/config-{RELEASE}"), "CONFIG_EXT4_FS=y\n")
            .file(&format!("lib/modules/{RELEASE}/kernel/a.ko"), kernel_module("a", "", RELEASE));
        let deb = path.join("linux.deb");
        fs::write(&deb, package.deb(Codec::Xz)).unwrap();
        Self { _dir: dir, dirs: Dirs::new(path.join("state"), path.join("cache")), deb }
    }

    fn store(&self) -> KernelStore {
        KernelStore::new(&self.dirs.state)
    }

    fn request(&self, name: &str) -> KernelImportRequest {
        KernelImportRequest::new(KernelSourceName::Path(self.deb.clone()))
            .with_name(name.parse::<banger::ImageName>().unwrap())
    }

    fn import(&self, name: &str) -> Result<ImportedKernelFile, Error> {
        import_kernel(&self.request(name), &self.dirs, &EventHandler::none(), &Cancellation::new())
    }

    /// The names in the directory of the kernels, without the lock of names.
    fn entries(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.dirs.state.join("kernels")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".lock").collect()
    }
}

#[test]
fn a_record_is_the_same_bytes_after_it_was_read() {
    let fixture = Fixture::new();
    let imported = fixture.import("one").unwrap();
    let json = fs::read(imported.stored.path.join(banger::KERNEL_RECORD_FILE)).unwrap();
    let record = KernelRecord::from_json(&json).unwrap();
    assert_eq!(record, imported.stored.record);
    let mut again = serde_json::to_vec_pretty(&record).unwrap();
    again.push(b'\n');
    assert_eq!(String::from_utf8(again), String::from_utf8(json));
    // Another import of the same source differs in what is new, and in nothing else.
    let mut second = fixture.import("two").unwrap().stored.record;
    (second.id, second.name) = (record.id.clone(), record.name.clone());
    second.created.clone_from(&record.created);
    assert_eq!(second, record);
}

#[test]
fn a_kernel_in_use_stays() {
    let fixture = Fixture::new();
    drop(fixture.import("one").unwrap());
    let (store, goes_on) = (fixture.store(), Cancellation::new());
    let opened = store.open("one", &goes_on).unwrap();
    let files = &opened.kernel.files;
    for file in [Some(&files.image), files.bz_image.as_ref(), files.config.as_ref(), files.modules.as_ref()] {
        assert!(file.unwrap().exists());
    }
    let clone = opened.lease.clone();
    drop(opened);
    assert_eq!(store.remove("one", &goes_on).unwrap_err().kind_of(), ErrorKind::InUse);
    drop(clone);
    store.remove("one", &goes_on).unwrap();
    assert_eq!(fixture.entries(), BTreeSet::new());
}

trait KindOf {
    fn kind_of(self) -> ErrorKind;
}

impl KindOf for StoreError {
    fn kind_of(self) -> ErrorKind {
        Error::from(self).kind()
    }
}

#[test]
fn imports_at_once_make_one_kernel_a_name() {
    let fixture = Fixture::new();
    let start = Barrier::new(THREADS);
    let imports: Vec<ImportedKernelFile> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (fixture, start) = (&fixture, &start);
                scope.spawn(move || {
                    start.wait();
                    fixture.import(["even", "odd"][number % 2]).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let ids: BTreeSet<String> = imports.iter().map(|import| import.stored.record.id.to_string()).collect();
    assert_eq!(imports.iter().filter(|import| !import.unchanged).count(), 2);
    assert_eq!(fixture.entries(), ids, "and nothing else is left");
    assert_eq!(fixture.store().list().unwrap().kernels.len(), 2);
}

#[test]
fn a_handler_can_stop_an_import_and_nothing_is_left() {
    let fixture = Fixture::new();
    let steps: Arc<Mutex<Vec<Event>>> = Arc::default();
    for stop_at in 0..3 {
        let (seen, told) = (std::sync::atomic::AtomicUsize::new(0), Arc::clone(&steps));
        let events = EventHandler::new(move |event: &Event| {
            told.lock().unwrap().push(event.clone());
            match seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == stop_at {
                true => std::ops::ControlFlow::Break(()),
                false => std::ops::ControlFlow::Continue(()),
            }
        });
        let stopped = import_kernel(&fixture.request("one"), &fixture.dirs, &events, &Cancellation::new());
        match stopped {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
                assert_eq!(fixture.entries(), BTreeSet::new());
            }
            // The last event comes when the kernel is published.
            Ok(_) => assert!(matches!(steps.lock().unwrap().last(), Some(Event::Done { .. }))),
        }
    }
}

#[test]
fn sources_are_what_users_write() {
    let path = |text: &str| KernelSourceName::Path(text.into());
    for (text, want) in [
        ("host", Some(KernelSourceName::Host)),
        ("image:debian", Some(KernelSourceName::Image("debian".to_owned()))),
        ("a.deb", Some(path("a.deb"))),
        ("./host", Some(path("./host"))),
        ("a:b", Some(path("a:b"))),
        ("image:", None),
        ("", None),
        ("host:5000/linux", Some(path("host:5000/linux"))),
        ("./oci:a:b", Some(path("./oci:a:b"))),
        ("oci:a:b", Some(KernelSourceName::Reference("oci:a:b".parse().unwrap()))),
        (
            "docker://host:5000/linux:6",
            Some(KernelSourceName::Reference("host:5000/linux:6".parse().unwrap())),
        ),
        (
            "https://example.org/a.deb",
            Some(KernelSourceName::Address("https://example.org/a.deb".parse().unwrap())),
        ),
        (
            "http://127.0.0.1:80/a.deb",
            Some(KernelSourceName::Address("http://127.0.0.1:80/a.deb".parse().unwrap())),
        ),
        ("http://example.org/a.deb", None),
        ("podman:", None),
        ("podman:a", Some(KernelSourceName::Reference("podman:a".parse().unwrap()))),
        ("oci:", None),
    ] {
        assert_eq!(text.parse().ok(), want, "{text}");
        if let Some(source) = want {
            assert_eq!(source.to_string(), text);
        }
    }
}
