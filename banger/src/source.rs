//! The source of a file system: a directory, or a stream that is a tar.

use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::sync::{Mutex, PoisonError};

use banger_oci::{Digest, ForeignFormat, ImageContainer, LayerName, LayerSource, Reference};
use banger_tree::{Cancellation, ContentStore, GuestPath, Rootfs as _, Tree, TreeRootfs};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::host_file::{open_plain, read_at_most};
use crate::host_tree::DirectoryError;

/// Bytes of a stream that are checked before it is read as a tar.
const HEAD_LEN: u64 = 1 << 20;
/// Interval at which a waiting read checks the stop flag.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// The path that means standard input.
const STANDARD_INPUT: &str = "/dev/stdin";

/// A source, opened once, so the check and the read use the same file.
pub(crate) struct Source {
    path: Utf8PathBuf,
    file: File,
    pub(crate) metadata: Metadata,
}

impl Source {
    /// Opens the source, without a wait for the writer of a FIFO.
    pub(crate) fn open(path: &Utf8Path) -> Result<Self, DirectoryError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound if looks_like_an_image(path) => {
                DirectoryError::Reference { reference: path.to_string() }
            }
            _ => DirectoryError::Io { action: "open", path: path.to_string(), source },
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match path.as_str() {
            // The descriptor itself: a socket cannot be opened by its name.
            STANDARD_INPUT => rustix::stdio::stdin().try_clone_to_owned(),
            path => openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from),
        };
        let file = File::from(opened.map_err(failed)?);
        let metadata = file.metadata().map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, metadata })
    }

    /// Fails if a directory holds a container image.
    pub(crate) fn check_directory(&self) -> Result<(), DirectoryError> {
        let has = |name: &str| self.path.join(name).as_std_path().symlink_metadata().is_ok();
        let read = |name: &str| {
            let file = open_plain(&self.file, name).ok()?;
            read_at_most(&file, ImageContainer::MAX_FILE_BYTES).ok()
        };
        match ImageContainer::of(&has, &read) {
            Some(container) => {
                Err(self.not_a_root(container.to_string(), container.advice(self.path.as_str(), true)))
            }
            None => Ok(()),
        }
    }

    /// Returns the stream as the only layer. Fails if it has another known format than tar.
    pub(crate) fn into_tar(self, cancellation: &Cancellation) -> Result<TarSource, DirectoryError> {
        let failed = |source| DirectoryError::Io { action: "read", path: self.path.to_string(), source };
        let mut head = Vec::new();
        let file = self.file.try_clone().map_err(failed)?;
        let mut reader = PatientReader { file, cancellation: cancellation.clone() };
        reader.by_ref().take(HEAD_LEN).read_to_end(&mut head).map_err(|error| {
            if cancellation.is_cancelled() { DirectoryError::Cancelled } else { failed(error) }
        })?;
        let found = ForeignFormat::of_compressed(&head).or_else(|| self.by_its_end());
        if let Some((format, compression)) = found {
            let compressed = |how| format!("{format}, compressed with {how}");
            let (shown, advice) = match compression {
                "" => (format.to_string(), format.advice(self.path.as_str())),
                how => (compressed(how), format!("decompress it first; then {}", format.advice("FILE"))),
            };
            return Err(self.not_a_root(shown, advice));
        }
        Ok(TarSource {
            size_bytes: self.metadata.len(),
            reader: Mutex::new(Some(Box::new(Cursor::new(head).chain(reader)))),
            source: self,
        })
    }

    /// Returns the format of a file that has its magic number at its end.
    fn by_its_end(&self) -> Option<(ForeignFormat, &'static str)> {
        const FOOTER_LEN: u64 = 512;
        if !self.metadata.is_file() {
            return None;
        }
        let mut footer = [0; 8];
        let at = self.metadata.len().checked_sub(FOOTER_LEN)?;
        std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut footer, at).ok()?;
        (footer == *b"conectix").then_some((ForeignFormat::VirtualDisk("VHD"), ""))
    }

    fn not_a_root(&self, format: String, advice: String) -> DirectoryError {
        DirectoryError::Format { path: self.path.to_string(), format, advice }
    }
}

/// Returns whether a missing path is the name of a container image.
fn looks_like_an_image(path: &Utf8Path) -> bool {
    let text = path.as_str();
    let is_path = text.starts_with(['/', '.']);
    let has_tag = text.contains([':', '@']);
    !is_path && (has_tag || !text.contains(['/', '.'])) && text.parse::<Reference>().is_ok()
}

/// A tar of the host, as the only layer.
pub(crate) struct TarSource {
    source: Source,
    size_bytes: u64,
    reader: Mutex<Option<Box<dyn Read + Send>>>,
}

impl TarSource {
    /// Fails if the tar, which became `tree`, holds a container image.
    pub(crate) fn check_tree(
        &self,
        tree: &mut Tree,
        store: &mut dyn ContentStore,
    ) -> Result<(), DirectoryError> {
        let rootfs = TreeRootfs::new(tree, store);
        let stat = |name: &str| rootfs.stat(&GuestPath::root().join(name.as_bytes()).ok()?).ok().flatten();
        let read = |name: &str| {
            let is_small = stat(name)?.size_bytes <= ImageContainer::MAX_FILE_BYTES;
            let path = GuestPath::root().join(name.as_bytes()).ok().filter(|_| is_small)?;
            rootfs.read(&path).ok()
        };
        match ImageContainer::of(&|name| stat(name).is_some(), &read) {
            Some(container) => {
                let advice = container.advice(self.source.path.as_str(), false);
                Err(self.source.not_a_root(container.to_string(), advice))
            }
            None => Ok(()),
        }
    }
}

impl LayerSource for &TarSource {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        reader.ok_or_else(|| io::Error::other("a stream can be read once"))
    }

    fn name(&self) -> LayerName {
        LayerName::Archive(self.source.path.to_string())
    }

    fn diff_id(&self) -> Option<&Digest> {
        None
    }

    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// Reads a file that may be silent for as long as it likes, until it is cancelled.
struct PatientReader {
    file: File,
    cancellation: Cancellation,
}

impl Read for PatientReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.cancellation.is_cancelled() {
                return Err(io::Error::other("cancelled"));
            }
            // A FIFO has no end before it had a writer, and says so to `poll` only.
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&PAUSE)) {
                Ok(0) | Err(Errno::INTR) => continue,
                ready => ready?,
            };
            match self.file.read(bytes) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return done,
            }
        }
    }
}
