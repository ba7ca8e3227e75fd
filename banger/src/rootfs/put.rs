//! Files and directories of the host, put into a root file system.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use banger_oci::digest::{Algorithm, Hasher};
use banger_tree::{Cancellation, FileType, GuestPath, NodeKind, RootfsError, Setting, escape_bytes};
use rustix::fs::OFlags;

use super::acl::ACCESS_ACL;
use super::capability::CAPABILITY;
use super::content_match::ContentMatch;
use super::edit::{Destination, Edit, Target};
use super::error::{EditAdvice, EditError};
use super::inherit::{NewEntry, set_mode};
use super::mode::ModeChange;
use super::owner::{OwnerChange, OwnerIds};
use super::patient::PatientReader;

/// Mode of files whose source has no mode.
const FILE_MODE: u16 = 0o644;
/// Permission bits that a file takes from its source: no setuid, setgid and sticky bit.
const FILE_BITS: u16 = 0o777;
const DIRECTORY_BITS: u16 = 0o1777;

/// A source for a root file system.
pub enum PutSource<'a> {
    /// A file or directory of the host. A path that ends with `/.` stands for the content of the directory.
    Path(PathBuf),
    /// Bytes without a name.
    Reader(&'a mut dyn Read),
}

impl std::fmt::Debug for PutSource<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => formatter.debug_tuple("Path").field(path).finish(),
            Self::Reader(_) => formatter.write_str("Reader"),
        }
    }
}

/// How things are put into a root file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Put {
    /// Change of the mode of files. It starts from the mode of the replaced file, else from the source's
    /// permissions, else from 644. Directories have their source's permissions.
    pub mode: Option<ModeChange>,
    /// Owner of files and new directories: else that of the file they replace, else 0:0.
    pub owner: Option<OwnerChange>,
    /// Make missing directories on the way.
    pub parents: bool,
    /// Replace a symlink at the destination, not its target.
    pub no_dereference: bool,
    /// Keep existing files.
    pub no_clobber: bool,
    /// Write only if the destination has this content now. There is a single source then, which is a file.
    pub if_match: Option<ContentMatch>,
}

banger_tree::setters! {
    Put {
        with_mode => mode: Option<ModeChange>,
        with_owner => owner: Option<OwnerChange>,
        with_parents => parents: bool,
        with_no_dereference => no_dereference: bool,
        with_no_clobber => no_clobber: bool,
        with_if_match => if_match: Option<ContentMatch>,
    }
}

/// Settings of one call.
struct Terms<'a> {
    mode: Option<&'a ModeChange>,
    owner: OwnerIds,
    no_dereference: bool,
    no_clobber: bool,
    if_match: Option<&'a ContentMatch>,
    /// Whether the file is read back after the commit.
    reads_back: bool,
}

impl Edit<'_> {
    /// Copies `sources` to the name `destination` or into that directory, directories with all their content;
    /// returns their paths.
    ///
    /// A new file replaces an existing one and keeps its mode, owner and extended attributes, but not its
    /// capabilities. Other hard links of the old file keep the old content. Directories are merged.
    ///
    /// [`edit`](super::edit) reads a single file back after the commit, and compares its bytes.
    ///
    /// # Errors
    /// A source cannot be read, the destination is missing, of another type, or does not have the content of
    /// [`Put::if_match`]; or the image is full.
    pub fn put(
        &mut self,
        sources: Vec<PutSource<'_>>,
        destination: &Destination,
        how: &Put,
    ) -> Result<Vec<GuestPath>, EditError> {
        let terms = Terms {
            mode: how.mode.as_ref(),
            owner: self.ids(how.owner.as_ref())?,
            no_dereference: how.no_dereference,
            no_clobber: how.no_clobber,
            if_match: how.if_match.as_ref(),
            reads_back: sources.len() == 1,
        };
        if terms.if_match.is_some() && !is_single_file(&sources) {
            return Err(EditError::MatchOfMany);
        }
        if how.parents {
            let needs_all = destination.is_directory || sources.len() > 1;
            let missing = if needs_all { Some(destination.path.clone()) } else { destination.path.parent() };
            if let Some(missing) = missing {
                self.make_parents(&missing)?;
            }
        }
        let target = self.put_target(&sources, destination)?;
        let mut places = Vec::new();
        for source in sources {
            let place = match source {
                PutSource::Path(path) => self.put_path(&path, &target, &terms)?,
                PutSource::Reader(reader) => {
                    let place = target.of(None)?;
                    self.put_file(&place, reader, None, &terms)?
                }
            };
            places.push(place);
        }
        Ok(places)
    }

    /// Returns the targets of sources. As with cp, the new name of a directory may end with a slash.
    fn put_target(&self, sources: &[PutSource<'_>], destination: &Destination) -> Result<Target, EditError> {
        if let [PutSource::Path(source)] = sources
            && destination.is_directory
            && !destination.is_exact
            && source.is_dir()
            && self.rootfs.stat(&destination.path)?.is_none()
        {
            return self.target(&Destination { is_exact: true, ..destination.clone() }, 1);
        }
        self.target(destination, sources.len())
    }

    fn put_path(&mut self, path: &Path, target: &Target, terms: &Terms<'_>) -> Result<GuestPath, EditError> {
        let metadata = fs::metadata(path).map_err(host_error("read", path))?;
        if !metadata.is_dir() {
            let place = target.of(path.file_name().map(OsStrExt::as_bytes))?;
            // Opening a pipe must not wait for a writer, reading it does.
            let file = open(path, OFlags::NONBLOCK)?;
            // Of a pipe or a device only the bytes are meant.
            let mode = metadata.is_file().then(|| permissions(&metadata, FILE_BITS));
            let mut reader = PatientReader::new(file, &self.cancellation);
            return self.put_file(&place, &mut reader, mode, terms);
        }
        let bytes = path.as_os_str().as_bytes();
        let stands_for_content =
            matches!(bytes, b"." | b"..") || bytes.ends_with(b"/.") || bytes.ends_with(b"/..");
        let place = match (target, path.file_name()) {
            (Target::Below(dir), None) => dir.clone(),
            (Target::Below(dir), Some(_)) if stands_for_content => dir.clone(),
            (_, name) => target.of(name.map(OsStrExt::as_bytes))?,
        };
        self.put_directory(path, &metadata, &place, &Terms { reads_back: false, ..*terms })?;
        Ok(place)
    }

    /// Copies a directory to `place`, which is free or has a directory to merge with.
    fn put_directory(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        place: &GuestPath,
        terms: &Terms<'_>,
    ) -> Result<(), EditError> {
        match self.rootfs.stat(place)?.map(|stat| stat.file_type) {
            None => {
                let mode = permissions(metadata, DIRECTORY_BITS);
                let new = NewEntry::of_source(FileType::Directory, mode, terms.owner);
                let attributes = self.new_attributes(place, &new)?;
                self.rootfs.create_dir(place, &attributes)?;
                self.touch_parent(place);
                self.changed()?;
            }
            Some(FileType::Directory) => {}
            Some(FileType::Symlink) if !terms.no_dereference && self.leads_to_directory(place)? => {}
            Some(_) => {
                let advice = EditAdvice::NO_DIRECTORY_REPLACES;
                return Err(EditError::NotADirectory { path: place.clone(), advice });
            }
        }
        let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut names: Vec<_> =
            entries.map_err(host_error("list", path))?.iter().map(fs::DirEntry::file_name).collect();
        // So that equal sources make equal images.
        names.sort_unstable();
        for name in names {
            self.check_cancelled()?;
            let below = place.join(name.as_bytes()).map_err(RootfsError::from)?;
            self.put_entry(&path.join(&name), &below, terms)?;
        }
        Ok(())
    }

    /// Copies an entry of a directory of the host, with its type.
    fn put_entry(&mut self, path: &Path, place: &GuestPath, terms: &Terms<'_>) -> Result<(), EditError> {
        let metadata = fs::symlink_metadata(path).map_err(host_error("read", path))?;
        let file_type = metadata.file_type();
        if file_type.is_dir() {
            return self.put_directory(path, &metadata, place, terms);
        }
        if file_type.is_file() {
            // Without these flags, a replaced file could be a symlink that leads out of the directory, or a
            // FIFO that blocks for ever.
            let file = open(path, OFlags::NOFOLLOW | OFlags::NONBLOCK)?;
            let metadata = file.metadata().map_err(host_error("read", path))?;
            self.put_file(place, &mut &file, Some(permissions(&metadata, FILE_BITS)), terms)?;
            return Ok(());
        }
        if let Some(before) = self.rootfs.stat(place)? {
            if before.file_type == FileType::Directory {
                let advice = EditAdvice::ONLY_DIRECTORY_REPLACES;
                return Err(EditError::Directory { path: place.clone(), advice });
            }
            if terms.no_clobber {
                return Ok(());
            }
            self.rootfs.remove(place)?;
        }
        self.touch_parent(place);
        if file_type.is_symlink() {
            let target = fs::read_link(path).map_err(host_error("read", path))?;
            let new = NewEntry::of_source(FileType::Symlink, 0o777, terms.owner);
            let attributes = self.new_attributes(place, &new)?;
            self.rootfs.symlink(place, target.as_os_str().as_bytes(), &attributes)?;
            return self.changed();
        }
        let number = metadata.rdev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let kind = if file_type.is_char_device() {
            NodeKind::CharDevice { major, minor }
        } else if file_type.is_block_device() {
            NodeKind::BlockDevice { major, minor }
        } else if file_type.is_fifo() {
            NodeKind::Fifo
        } else {
            NodeKind::Socket
        };
        let new = NewEntry::of_source(kind.file_type(), permissions(&metadata, FILE_BITS), terms.owner);
        let attributes = self.new_attributes(place, &new)?;
        self.rootfs.mknod(place, &kind, &attributes)?;
        self.changed()
    }

    /// Writes bytes to `place`, or to the target of a symlink there; returns their path. A `mode` of `None`
    /// is the mode of files whose source has no mode.
    fn put_file(
        &mut self,
        place: &GuestPath,
        content: &mut dyn Read,
        mode: Option<u16>,
        terms: &Terms<'_>,
    ) -> Result<GuestPath, EditError> {
        if terms.no_clobber && self.rootfs.stat(place)?.is_some() {
            return Ok(place.clone());
        }
        let place = self.file_place(place, terms)?;
        if let Some(wanted) = terms.if_match {
            wanted.check(self.rootfs, &place, &self.cancellation)?;
        }
        let before = self.rootfs.stat(&place)?.filter(|stat| stat.file_type == FileType::Regular);
        let (file_type, owner) = (FileType::Regular, OwnerIds::default());
        let mut attributes = match (&before, mode) {
            (Some(stat), _) => stat.attributes.clone(),
            (None, Some(mode)) => {
                self.new_attributes(&place, &NewEntry::of_source(file_type, mode, owner))?
            }
            (None, None) => {
                let new = NewEntry { file_type, mode: FILE_MODE, unmasked_mode: 0o666, owner };
                self.new_attributes(&place, &new)?
            }
        };
        attributes.mtime = self.timestamp;
        attributes.uid = terms.owner.uid.unwrap_or(attributes.uid);
        attributes.gid = terms.owner.gid.unwrap_or(attributes.gid);
        // They were given to the bytes that go.
        attributes.xattrs.remove(CAPABILITY);
        if let Some(change) = terms.mode {
            if before.is_none() {
                // As install has it, the mode then says all.
                attributes.xattrs.remove(ACCESS_ACL);
            }
            let mode = change.applied_to(attributes.mode, false);
            set_mode(&mut attributes, mode);
        }
        let hasher = terms.reads_back.then(|| Hasher::new(Algorithm::Sha256));
        let mut content = Stoppable { content, cancellation: &self.cancellation, hasher };
        let written = self.rootfs.write_file(&place, &mut content, &attributes);
        let hasher = content.hasher;
        self.check_cancelled()?;
        written?;
        if let Some(hasher) = hasher {
            self.read_back_later(place.clone(), hasher.finish());
        }
        if before.is_none() {
            self.touch_parent(&place);
        }
        self.forget_owner();
        self.changed()?;
        Ok(place)
    }

    /// Returns the final place of a file that is put to `place`.
    fn file_place(&self, place: &GuestPath, terms: &Terms<'_>) -> Result<GuestPath, EditError> {
        let Some(stat) = self.rootfs.stat(place)? else { return Ok(place.clone()) };
        let path = || place.clone();
        match stat.file_type {
            FileType::Regular => Ok(path()),
            FileType::Symlink if terms.no_dereference => Ok(path()),
            FileType::Symlink => {
                let advice = EditAdvice::Set(
                    "the symlink that was to be followed leads to nothing: remove it, or replace it with {setting}",
                    Setting("no_dereference"),
                );
                let followed = self.rootfs.resolve(place).map_err(|error| match error {
                    RootfsError::NotFound { path } => EditError::NotFound { path, advice },
                    other => other.into(),
                })?;
                self.file_place(&followed, terms)
            }
            FileType::Directory => {
                let advice = EditAdvice::ONLY_DIRECTORY_REPLACES;
                Err(EditError::Directory { path: path(), advice })
            }
            _ => {
                let advice = EditAdvice::Do("it is a device, FIFO or socket; remove it first");
                Err(EditError::Exists { path: path(), advice })
            }
        }
    }
}

fn permissions(metadata: &Metadata, bits: u16) -> u16 {
    u16::try_from(metadata.mode() & u32::from(bits)).expect("the bits are 16")
}

fn open(path: &Path, flags: OFlags) -> Result<File, EditError> {
    let flags = i32::try_from(flags.bits()).expect("flags of open fit in an int");
    File::options().read(true).custom_flags(flags).open(path).map_err(host_error("open", path))
}

/// Returns the error of a file of the host, which `action` failed on.
pub fn host_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EditError {
    let path = escape_bytes(path.as_os_str().as_bytes());
    move |source| EditError::Host { action, path, source }
}

/// Whether there is one source, which has bytes of its own.
fn is_single_file(sources: &[PutSource<'_>]) -> bool {
    match sources {
        [PutSource::Path(path)] => !path.is_dir(),
        [PutSource::Reader(_)] => true,
        _ => false,
    }
}

/// Bytes that end with an error when the caller asks to stop.
struct Stoppable<'a> {
    content: &'a mut dyn Read,
    cancellation: &'a Cancellation,
    /// Takes the bytes that were read.
    hasher: Option<Hasher>,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancellation.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        let length = self.content.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..length]);
        }
        Ok(length)
    }
}
