//! A tar as a set of named files, read in place if it is not compressed.
//!
//! Memory and disk of an archive do not depend on its claims. Only names that can matter are kept, up to a
//! limit. Little of a compressed archive is unpacked while its table of contents is read; of the rest only
//! requested files.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use banger_tree::{Budget, Cost};
use camino::{Utf8Path, Utf8PathBuf};

use super::NoImage;
use super::archive_reading::{Metered, SharedFile};
use super::window::{WINDOW_LEN, Window};
use crate::decompress::{Compression, decompressor, detect};
use crate::foreign_format::{ForeignFormat, ROOT_NAMES};
use crate::registry::cache::{BlobCache, READ_LEN};
use crate::registry::error::PullError;
use crate::registry::layer::Stored;
use crate::registry::options::PullOptions;
use crate::registry::stop::PullStop;
use crate::tar::{Data, TarEntry, TarEntryKind, TarError, TarLimits, TarReader};

/// Number of links after which a chain counts as a circle.
const MAX_LINKS: u32 = 40;
/// Bytes that are read to recognise a tar and its compression.
const HEAD_LEN: u64 = 1 << 20;
/// Names that are kept; an image has 512 layers, and few layouts hold a hundred images.
const MAX_NAMES: usize = 100_000;
/// Bytes of names and targets that are kept.
const MAX_NAME_BYTES: usize = 32 << 20;
/// The longest name that can be asked for.
const MAX_NAME_LEN: usize = 4096;
/// Bytes of a compressed archive that are unpacked in the first pass: a fixed amount, and a multiple of its
/// length. Most archives fit; the rest is unpacked on request.
const EAGER_BYTES: u64 = 16 << 20;
const EAGER_FACTOR: u64 = 4;
/// Pieces of zeros of this length are not stored when a file is unpacked.
const SPARSE_LEN: usize = 4096;

/// Which names of an archive can matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArchiveKind {
    /// Names of an OCI layout.
    Layout,
    /// Any: `manifest.json` decides.
    Docker,
}

/// The target of a name in the archive.
#[derive(Debug)]
enum Member {
    /// A file; `offset` is the position of its bytes in the archive, if they are not compressed.
    File { header: u64, offset: Option<u64>, len: u64 },
    /// Its target, relative to the directory of the link.
    Symlink(Box<[u8]>),
    /// Its target, relative to the root of the archive.
    HardLink(Box<[u8]>),
    /// A directory, device or FIFO.
    Other,
}

/// An indexed tar. Its names are only keys of a map and never reach a host path.
#[derive(Debug)]
pub(crate) struct Archive {
    path: Utf8PathBuf,
    file: Arc<File>,
    index: ArchiveIndex,
    unpacked: Mutex<Unpacked>,
    cache: BlobCache,
    budget: Budget,
    cancel: PullStop,
}

/// Files that are not in the archive as they are.
#[derive(Debug, Default)]
struct Unpacked {
    /// The file for unpacked bytes: beside the cache, without a name.
    file: Option<Arc<File>>,
    /// Offset and length of each there, by the offset of its header in the archive.
    places: HashMap<u64, (u64, u64)>,
    end: u64,
}

/// The table of contents.
#[derive(Debug)]
struct ArchiveIndex {
    kind: ArchiveKind,
    members: HashMap<Box<[u8]>, Member>,
    name_bytes: usize,
    /// Whether there were more names than are kept.
    is_cut: bool,
    /// Whether it has names as root file systems have them.
    is_like_a_root: bool,
    any: bool,
}

impl Archive {
    /// Reads the table of contents of a tar. Unpacked bytes of a compressed tar go to an unnamed file beside
    /// the cache, which vanishes with the process.
    pub(crate) fn open(
        path: &Utf8Path,
        kind: ArchiveKind,
        cache: &BlobCache,
        options: &PullOptions,
        cancel: &PullStop,
    ) -> Result<Self, PullError> {
        let metadata = std::fs::metadata(path).map_err(PullError::io("open", path))?;
        let unusable = |reason: String| PullError::layout(path, reason);
        if metadata.is_dir() {
            return Err(unusable("it is a directory; write oci: before one with an OCI layout".to_owned()));
        }
        if !metadata.is_file() {
            return Err(unusable("it is not a regular file".to_owned()));
        }
        let file = File::open(path).map_err(PullError::io("open", path))?;
        Self::of_file(path, file, kind, cache, options, cancel)
    }

    /// Reads the table of contents of a tar in an open regular file; `path` names it in errors.
    pub(crate) fn of_file(
        path: &Utf8Path,
        file: File,
        kind: ArchiveKind,
        cache: &BlobCache,
        options: &PullOptions,
        cancel: &PullStop,
    ) -> Result<Self, PullError> {
        let unusable = |reason: String| PullError::layout(path, reason);
        let total = file.metadata().map_err(PullError::io("read", path))?.len();
        let mut head = Vec::new();
        Window::new(&file).take(HEAD_LEN).read_to_end(&mut head).map_err(PullError::io("read", path))?;
        if let Some((format, compression)) = ForeignFormat::of_compressed(&head) {
            let how = match compression {
                "" => String::new(),
                name => format!(", compressed with {name}"),
            };
            return Err(unusable(format!("it is {format}{how}, not a tar that holds a container image")));
        }
        let compression = detect(&head).map_err(|error| unusable(error.to_string()))?;
        let mut archive = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            index: ArchiveIndex::new(kind),
            unpacked: Mutex::default(),
            cache: cache.clone(),
            budget: options.budget.clone(),
            cancel: cancel.clone(),
        };
        if compression == Compression::None {
            archive.index_in_place(total)?;
        } else {
            let eager = total.saturating_mul(EAGER_FACTOR).saturating_add(EAGER_BYTES);
            archive.index_packed(eager)?;
        }
        match archive.index.any {
            true => Ok(archive),
            false => Err(archive.unusable("not a tar archive, or an empty one")),
        }
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Returns the kind of the archive, if it has no image of the wanted format.
    pub(crate) fn instead(&self) -> NoImage {
        let has = |name: &str| self.index.members.contains_key(name.as_bytes());
        match self.index.kind {
            ArchiveKind::Layout if has("manifest.json") || has("repositories") => NoImage::DockerArchive,
            ArchiveKind::Docker if has("index.json") || has("oci-layout") => NoImage::OciArchive,
            _ if self.index.is_like_a_root => NoImage::RootTar,
            _ => NoImage::OtherTar,
        }
    }

    pub(crate) fn unusable(&self, reason: impl Into<String>) -> PullError {
        PullError::layout(&self.path, reason)
    }

    /// Returns a file of the archive by its name; `None` if it is missing.
    pub(crate) fn file(&self, name: &str) -> Result<Option<Stored>, PullError> {
        Ok(self.files(&[name])?.pop().flatten())
    }

    /// Returns files of the archive by their names; unpacks them in one pass.
    pub(crate) fn files<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<Option<Stored>>, PullError> {
        let found = names.iter().map(|name| self.find(name.as_ref().as_bytes()));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: HashSet<u64> = found
            .iter()
            .flatten()
            .filter(|file| file.offset.is_none() && !unpacked.places.contains_key(&file.header))
            .map(|file| file.header)
            .collect();
        if !missing.is_empty() {
            self.unpack(&missing, &mut unpacked)?;
        }
        let stored = |place: FilePlace| {
            let (file, offset, len) = match place.offset {
                Some(offset) => (&self.file, offset, place.len),
                None => {
                    let (offset, len) = unpacked.places.get(&place.header).copied()?;
                    (unpacked.file.as_ref()?, offset, len)
                }
            };
            Some(Stored {
                file: Arc::clone(file),
                path: self.path.clone(),
                offset,
                len,
                cached: None,
                verified: AtomicBool::new(false),
            })
        };
        found
            .into_iter()
            .map(|place| match place {
                None => Ok(None),
                Some(place) => match stored(place) {
                    Some(stored) => Ok(Some(stored)),
                    None => Err(self.unusable("it was changed while it was read")),
                },
            })
            .collect()
    }

    /// The place of a file; links are followed inside the archive.
    fn find(&self, name: &[u8]) -> Result<Option<FilePlace>, PullError> {
        let unusable = |reason: &str| {
            self.unusable(format!("{} {reason}", String::from_utf8_lossy(name).escape_debug()))
        };
        let mut current = normalise(name, b"").ok_or_else(|| unusable("leads out of it"))?;
        for _ in 0..MAX_LINKS {
            current = match self.index.members.get(&current[..]) {
                None if self.index.is_cut && !is_special(&current) => {
                    return Err(unusable(&format!(
                        "is not among the first {} names of it, and no more are kept",
                        self.index.members.len()
                    )));
                }
                None => return Ok(None),
                Some(Member::File { header, offset, len }) => {
                    return Ok(Some(FilePlace { header: *header, offset: *offset, len: *len }));
                }
                Some(Member::Symlink(target)) => {
                    let dir = match current.iter().rposition(|byte| *byte == b'/') {
                        Some(at) => &current[..at],
                        None => b"",
                    };
                    normalise(target, dir).ok_or_else(|| unusable("is a link out of it"))?
                }
                Some(Member::HardLink(target)) => {
                    normalise(target, b"").ok_or_else(|| unusable("is a link out of it"))?
                }
                Some(Member::Other) => return Err(unusable("is not a file")),
            };
        }
        Err(unusable("is a link to itself"))
    }

    /// Counts one entry against the limits of the run.
    fn charge_entry(&self) -> Result<(), PullError> {
        self.cancel.check()?;
        self.budget.charge(Cost::Entries, 1).map_err(PullError::over_budget(self.path.as_str()))
    }

    /// Indexes a tar that is not compressed, without a look at the bytes of its files.
    fn index_in_place(&mut self, total: u64) -> Result<(), PullError> {
        let file = Arc::clone(&self.file);
        let mut base = 0;
        let mut reader = TarReader::new(Window::new(&file), TarLimits::default());
        let mut entry = TarEntry::default();
        while reader.next_entry(&mut entry).map_err(|error| self.tar_error(error, base))? {
            self.charge_entry()?;
            let data = base + reader.position();
            // A sparse file is not in the archive as it is.
            let offset = (entry.data_bytes == entry.size_bytes).then_some(data);
            self.index.add(&entry, base + entry.offset, offset);
            if entry.data_bytes > WINDOW_LEN as u64 {
                let end = data.checked_add(entry.data_bytes).filter(|end| *end <= total);
                let end =
                    end.ok_or_else(|| self.unusable(format!("an entry is cut short, at byte {data}")))?;
                let mut window = reader.into_input();
                base = end.next_multiple_of(512).min(total);
                window.seek(base);
                reader = TarReader::new(window, TarLimits::default());
            }
        }
        Ok(())
    }

    /// Indexes a compressed tar, and unpacks up to `eager` bytes of its files.
    fn index_packed(&mut self, eager: u64) -> Result<(), PullError> {
        let mut reader = self.unpacking()?;
        let mut entry = TarEntry::default();
        let mut unpacked = Unpacked::default();
        while reader.next_entry(&mut entry).map_err(|error| self.tar_error(error, 0))? {
            self.charge_entry()?;
            let kept = self.index.add(&entry, entry.offset, None);
            if kept && entry.size_bytes <= eager.saturating_sub(unpacked.end) {
                self.copy(&mut reader, &entry, &mut unpacked)?;
            }
        }
        // A damaged end is noticed, as it is in layers.
        let mut rest = reader.into_input();
        let mut buffer = vec![0; READ_LEN];
        loop {
            if rest.read(&mut buffer).map_err(|error| self.read_error(error))? == 0 {
                break;
            }
        }
        *self.unpacked.get_mut().unwrap_or_else(PoisonError::into_inner) = unpacked;
        Ok(())
    }

    /// Unpacks the files with these headers.
    fn unpack(&self, headers: &HashSet<u64>, unpacked: &mut Unpacked) -> Result<(), PullError> {
        let mut reader = self.unpacking()?;
        let mut entry = TarEntry::default();
        let mut left = headers.len();
        while left > 0 && reader.next_entry(&mut entry).map_err(|error| self.tar_error(error, 0))? {
            self.cancel.check()?;
            if headers.contains(&entry.offset) {
                self.copy(&mut reader, &entry, unpacked)?;
                left -= 1;
            }
        }
        Ok(())
    }

    /// Copies the current file of `reader` to the end of the unpacked bytes; zeros stay holes.
    fn copy(
        &self,
        reader: &mut TarReader<BufReader<Metered>>,
        entry: &TarEntry,
        unpacked: &mut Unpacked,
    ) -> Result<(), PullError> {
        let file = match &unpacked.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(unpacked.file.insert(Arc::new(self.cache.scratch_file()?))),
        };
        let start = unpacked.end;
        let write_error = || PullError::io("write what is unpacked of", &self.path);
        loop {
            self.cancel.check()?;
            match reader.next_data().map_err(|error| self.tar_error(error, 0))? {
                None => break,
                Some(Data::Hole(len)) => unpacked.end = unpacked.end.saturating_add(len),
                Some(Data::Bytes(bytes)) => {
                    for piece in bytes.chunks(SPARSE_LEN) {
                        if piece.iter().any(|byte| *byte != 0) {
                            file.write_all_at(piece, unpacked.end).map_err(write_error())?;
                        }
                        unpacked.end += piece.len() as u64;
                    }
                }
            }
        }
        file.set_len(unpacked.end).map_err(write_error())?;
        unpacked.places.insert(entry.offset, (start, unpacked.end - start));
        Ok(())
    }

    /// A reader of the archive from its start, decompressed.
    fn unpacking(&self) -> Result<TarReader<BufReader<Metered>>, PullError> {
        let inner = decompressor(SharedFile::new(Arc::clone(&self.file)))
            .map_err(|error| self.unusable(error.to_string()))?;
        let metered = Metered::new(inner, &self.budget, &self.cancel, &self.path);
        Ok(TarReader::new(BufReader::with_capacity(READ_LEN, metered), TarLimits::default()))
    }

    fn read_error(&self, error: std::io::Error) -> PullError {
        match PullError::from_io(&error) {
            Some(cause) => cause.clone(),
            None => self.unusable(error.to_string()),
        }
    }

    /// Returns the error of a tar whose reader started at `base`.
    fn tar_error(&self, error: TarError, base: u64) -> PullError {
        match error {
            TarError::Read { source, .. } => self.read_error(source),
            other if base == 0 => self.unusable(other.to_string()),
            other => self.unusable(format!("behind byte {base}: {other}")),
        }
    }
}

/// The position of a file in an archive.
#[derive(Clone, Copy, Debug)]
struct FilePlace {
    header: u64,
    offset: Option<u64>,
    len: u64,
}

impl ArchiveIndex {
    fn new(kind: ArchiveKind) -> Self {
        let members = HashMap::new();
        Self { kind, members, name_bytes: 0, is_cut: false, is_like_a_root: false, any: false }
    }

    /// Adds an entry; of entries with the same name the last one counts. Returns whether it is a file that
    /// may be needed.
    fn add(&mut self, entry: &TarEntry, header: u64, offset: Option<u64>) -> bool {
        self.any = true;
        // Names that lead out of the archive and endless names cannot be requested.
        let Some(name) = normalise(&entry.path, b"").filter(|name| name.len() <= MAX_NAME_LEN) else {
            return false;
        };
        let top = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        self.is_like_a_root |= top == b".dockerenv" || ROOT_NAMES.iter().any(|name| name.as_bytes() == top);
        let is_special = is_special(&name);
        if self.kind == ArchiveKind::Layout && !is_special && top != b"blobs" {
            return false;
        }
        let target_len = entry.link_target.len();
        let cost = name.len() + target_len;
        if !is_special && (self.members.len() >= MAX_NAMES || self.name_bytes + cost > MAX_NAME_BYTES) {
            self.is_cut |= entry.kind != TarEntryKind::Directory;
            return false;
        }
        let member = match entry.kind {
            TarEntryKind::Regular => Member::File { header, offset, len: entry.size_bytes },
            TarEntryKind::Symlink if target_len <= MAX_NAME_LEN => {
                Member::Symlink(entry.link_target.as_slice().into())
            }
            TarEntryKind::HardLink if target_len <= MAX_NAME_LEN => {
                Member::HardLink(entry.link_target.as_slice().into())
            }
            // A directory is never requested, but it replaces a file of its name.
            TarEntryKind::Directory if !self.members.contains_key(&name[..]) => return false,
            _ => Member::Other,
        };
        let is_file = matches!(member, Member::File { .. });
        self.name_bytes += cost;
        self.members.insert(name.into(), member);
        is_file
    }
}

/// Returns whether a name identifies the kind of an archive: these names are always kept.
fn is_special(name: &[u8]) -> bool {
    [&b"index.json"[..], b"oci-layout", b"manifest.json", b"repositories"].contains(&name)
}

/// Returns a name in the spelling of the index: no leading slash, no empty, `.` or `..` components. `None` if
/// it climbs above the root.
fn normalise(name: &[u8], dir: &[u8]) -> Option<Vec<u8>> {
    let dir = if name.starts_with(b"/") { b"" } else { dir };
    let mut components: Vec<&[u8]> = Vec::new();
    for component in dir.split(|byte| *byte == b'/').chain(name.split(|byte| *byte == b'/')) {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop()?;
            }
            other => components.push(other),
        }
    }
    Some(components.join(&b'/'))
}
