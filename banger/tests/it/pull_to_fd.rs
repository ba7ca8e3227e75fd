//! Pulls into open files: the bytes of a pull to a path, and nothing half-made.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use banger::{
    Backend, Cancellation, Dirs, Error, ErrorKind, EventHandler, ImageSize, OutputFd, PullRequest,
    PulledFile, pull_to_fd, pull_to_file,
};
use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, Skip};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

const SIZE: u64 = 32 << 20;
const OLD: &[u8] = &[0xaa; 100_000];

struct Fixture {
    dir: TempDir,
    request: PullRequest,
    dirs: Dirs,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap();
        let noise: Vec<u8> =
            (0..8_u64 << 20).map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]).collect();
        let base = LayerBuilder::new().dir("etc").file("hidden", &noise).file("noise", &noise[..2 << 20]);
        // The blocks of the first layer are freed again.
        let top = LayerBuilder::new().whiteout("hidden").file("etc/hostname", "vm\n");
        let layout = path.join("layout");
        let image = ImageBuilder::new().layer(base.finish()).layer(top.finish());
        LayoutBuilder::of(&image).write(layout.as_std_path());
        let request = PullRequest::new(format!("oci:{layout}").parse().unwrap())
            .with_guest(None)
            .with_size(ImageSize::Bytes(SIZE));
        let dirs = Dirs::new(path.join("state"), path.join("cache"));
        Self { dir, request, dirs }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.dir.path()).unwrap().join(name)
    }

    /// A file with old bytes.
    fn old_file(&self, name: &str) -> File {
        fs::write(self.path(name), OLD).unwrap();
        OpenOptions::new().read(true).write(true).open(self.path(name)).unwrap()
    }

    fn pull(&self, file: &File) -> Result<PulledFile, Error> {
        let output = OutputFd::new(file)?;
        pull_to_fd(&self.request, &output, &self.dirs, &EventHandler::none(), &Cancellation::new())
    }

    /// The bytes of a pull to a path.
    fn wanted(&self) -> Vec<u8> {
        let file = self.path("wanted.ext4");
        let none = EventHandler::none();
        pull_to_file(&self.request, &file, &self.dirs, &none, &Cancellation::new()).unwrap();
        fs::read(file).unwrap()
    }
}

/// Reads a file from its start, by a position of its own.
fn content(file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::open(format!("/dev/fd/{}", file.as_raw_fd())).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn files_of_all_kinds_get_the_bytes_of_a_pull_to_a_path() {
    let fixture = Fixture::new();
    let wanted = fixture.wanted();
    let without_name = tempfile::tempfile_in(fixture.dir.path()).unwrap();
    let in_memory = File::from(rustix::fs::memfd_create("disk", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    let mut old = fixture.old_file("old");
    old.seek(SeekFrom::Start(17)).unwrap();
    for file in [&old, &without_name, &in_memory] {
        let pulled = fixture.pull(file).unwrap();
        assert_eq!(pulled.path, format!("/dev/fd/{}", file.as_raw_fd()));
        assert!(!pulled.unchanged && pulled.lease.is_none());
        assert_eq!(pulled.record.size_bytes, SIZE);
        assert!(content(file) == wanted, "{}", pulled.path);
    }
    assert_eq!(old.stream_position().unwrap(), 17);
}

/// A loop device that is taken down at the end.
struct LoopDevice(String);

impl LoopDevice {
    /// Makes one of `file`; `None` without the rights or the program for it.
    fn of(file: &Utf8Path) -> Option<Self> {
        let output = Command::new("losetup").args(["--find", "--show", file.as_str()]).output().ok()?;
        output.status.success().then(|| Self(String::from_utf8(output.stdout).unwrap().trim().to_owned()))
    }

    fn open(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.0).unwrap()
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[test]
fn a_block_device_gets_them_wherever_it_had_bytes() {
    let fixture = Fixture::new();
    let wanted = fixture.wanted();
    fs::write(fixture.path("large"), vec![0xaa; SIZE as usize + (1 << 20)]).unwrap();
    fs::write(fixture.path("small"), vec![0xaa; SIZE as usize - (1 << 20)]).unwrap();
    let devices = [LoopDevice::of(&fixture.path("large")), LoopDevice::of(&fixture.path("small"))];
    let [Some(large), Some(small)] = devices else {
        Skip::new("no loop devices: they need root and losetup").report();
        return;
    };
    let file = large.open();
    fixture.pull(&file).unwrap();
    let found = content(&file);
    assert!(found[..SIZE as usize] == wanted, "the file system");

    let mut larger = fixture.request.clone();
    larger.file_system.size = ImageSize::Auto { at_least_bytes: SIZE };
    let file = small.open();
    let output = OutputFd::new(&file).unwrap();
    let error = pull_to_fd(&larger, &output, &fixture.dirs, &EventHandler::none(), &Cancellation::new());
    let error = error.unwrap_err();
    assert_eq!((error.code(), error.kind()), (504, ErrorKind::NoSpace), "{error}");
    assert!(content(&file).iter().all(|byte| *byte == 0xaa), "nothing was written");

    // It fails while it writes: the content does not fit into the file system.
    larger.file_system.size = ImageSize::Bytes(8 << 20);
    let error = pull_to_fd(&larger, &output, &fixture.dirs, &EventHandler::none(), &Cancellation::new());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(content(&file)[..4096].iter().all(|byte| *byte == 0), "no superblock");
}

#[test]
fn a_pull_that_fails_leaves_the_file_as_it_was_or_empty() {
    let mut fixture = Fixture::new();
    let file = fixture.old_file("disk");
    fixture.request.reference = format!("oci:{}", fixture.path("missing")).parse().unwrap();
    fixture.pull(&file).unwrap_err();
    assert_eq!(content(&file), OLD, "there was no image");

    fixture.request.reference = format!("oci:{}", fixture.path("layout")).parse().unwrap();
    fixture.request.limits.max_file_bytes = 1 << 20;
    fixture.pull(&file).unwrap_err();
    assert_eq!(content(&file).len(), 0, "it had begun");
}

#[test]
fn a_pull_that_is_cancelled_at_any_event_leaves_the_file_as_it_was_or_empty() {
    let fixture = Fixture::new();
    let run = |file: &File, last: u32| {
        let seen = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&seen);
        let events = EventHandler::new(move |_| match counted.fetch_add(1, Ordering::Relaxed) >= last {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        });
        let output = OutputFd::new(file).unwrap();
        let result = pull_to_fd(&fixture.request, &output, &fixture.dirs, &events, &Cancellation::new());
        (result, seen.load(Ordering::Relaxed))
    };
    let (whole, events) = run(&fixture.old_file("whole"), u32::MAX);
    whole.unwrap();
    let mut emptied = 0;
    for last in 0..events {
        let file = fixture.old_file("disk");
        match run(&file, last).0 {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
                let left = content(&file);
                assert!(left == OLD || left.is_empty(), "{} bytes after event {last}", left.len());
                emptied += u32::from(left.is_empty());
            }
            // The number of events of progress differs from run to run, and the last event is the end.
            Ok(_) => assert!(last + 1 >= events || last > 5, "of {events}, {last} was the end"),
        }
    }
    assert!(emptied > 0, "no event came while the file was written");
}

#[test]
fn what_cannot_hold_an_image_is_refused_before_anything_is_done() {
    let fixture = Fixture::new();
    let (_reader, writer) = std::io::pipe().unwrap();
    let error = fixture.pull(&File::from(OwnedFd::from(writer))).unwrap_err();
    assert_eq!((error.code(), error.kind()), (508, ErrorKind::Argument));
    assert!(error.message().contains("is a pipe"), "{error}");
    assert!(error.context().get("path").is_some_and(|path| path.starts_with("/dev/fd/")));

    let mut archive = fixture.request.clone();
    archive.reference = format!("docker-archive:{}", fixture.path("archive")).parse().unwrap();
    let output = OutputFd::new(fixture.old_file("archive")).unwrap();
    let error = pull_to_fd(&archive, &output, &fixture.dirs, &EventHandler::none(), &Cancellation::new());
    assert_eq!(error.unwrap_err().code(), 507, "the source itself");
    assert_eq!(fs::read(fixture.path("archive")).unwrap(), OLD);

    let mut tools = fixture.request.clone();
    tools.backend = Backend::E2fsprogs;
    let error = pull_to_fd(&tools, &output, &fixture.dirs, &EventHandler::none(), &Cancellation::new());
    let error = error.unwrap_err();
    assert_eq!(error.code(), 502, "{error}");
    assert!(error.message().contains("backend e2fsprogs"), "{error}");
    assert_eq!(fs::read(fixture.path("archive")).unwrap(), OLD);
}

#[cfg(feature = "tokio")]
#[test]
fn the_future_writes_the_same_bytes() {
    let fixture = Fixture::new();
    let file = fixture.old_file("disk");
    let output = OutputFd::new(&file).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (none, stop) = (EventHandler::none(), Cancellation::new());
    let pull = banger::pull_to_fd_async(&fixture.request, output, &fixture.dirs, &none, &stop);
    runtime.block_on(pull).unwrap();
    assert!(content(&file) == fixture.wanted());
}
