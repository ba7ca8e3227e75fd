//! `copy_in` and `copy_out`: one file, in frames.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use banger_guest::protocol::{
    Accepted, CopyIn, CopyOut, CopyTaken, CopyTarget, DATA_CHUNK_BYTES, ErrorCode, FrameKind, ProtocolError,
};

use super::connection::{Connection, ConnectionError};
use super::error::OperationError;
use crate::durable;

/// How long the host may pause between two frames of content.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Symlinks that are followed to the place of a file.
const MAX_SYMLINKS: usize = 40;

/// Bits of a mode that a file can be given.
const MODE_BITS: u32 = 0o7777;

/// Makes names of files under construction unique.
static NEXT_TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// A file under construction; it vanishes unless it is kept.
struct Temporary {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Takes a file from the host.
pub(crate) fn copy_in(connection: &mut Connection, target: &CopyIn) -> Result<CopyTaken, OperationError> {
    let failed = |error: io::Error| OperationError::of_io(&target.path, &error);
    if target.mode.is_some_and(|mode| mode & !MODE_BITS != 0) {
        return Err(OperationError::new(ErrorCode::Invalid, "the mode has bits outside 07777"));
    }
    if [target.uid, target.gid].contains(&Some(u32::MAX)) {
        return Err(OperationError::new(ErrorCode::Invalid, "4294967295 is not a user or group id"));
    }
    let path = place(absolute(&target.path)?).map_err(failed)?;
    let directory = durable::directory_of(&path);
    if target.parents {
        std::fs::create_dir_all(&directory).map_err(failed)?;
    }
    let replaced = match std::fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => Some(metadata),
        Ok(_) => {
            return Err(OperationError::new(
                ErrorCode::Invalid,
                format!("{}: not a regular file; only those are replaced", target.path),
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let mut temporary = temporary_in(&directory).map_err(failed)?;
    connection.send_message(&Accepted::CopyIn)?;
    let bytes = take_content(connection, &mut temporary.file, target)?;
    finish(&mut temporary, &path, target, replaced.as_ref()).map_err(failed)?;
    durable::sync_directory(&directory).map_err(failed)?;
    Ok(CopyTaken::default().with_bytes(bytes))
}

/// Writes the bytes of the host, up to their end.
fn take_content(
    connection: &mut Connection,
    file: &mut File,
    target: &CopyIn,
) -> Result<u64, OperationError> {
    let mut bytes = 0_u64;
    loop {
        let frame = connection.next_frame(Some(CONTENT_TIMEOUT))?;
        match frame.kind {
            FrameKind::Input => {
                bytes = bytes.saturating_add(frame.payload.len() as u64);
                if target.size_bytes.is_some_and(|size| bytes > size) {
                    return Err(wrong_size(target, bytes));
                }
                file.write_all(&frame.payload)
                    .map_err(|error| OperationError::of_io(&target.path, &error))?;
            }
            FrameKind::InputEnd => break,
            found => {
                let expected = FrameKind::Input;
                return Err(ConnectionError::Message(ProtocolError::Unexpected { found, expected }).into());
            }
        }
    }
    if target.size_bytes.is_some_and(|size| bytes != size) {
        return Err(wrong_size(target, bytes));
    }
    Ok(bytes)
}

fn wrong_size(target: &CopyIn, bytes: u64) -> OperationError {
    let expected = target.size_bytes.unwrap_or_default();
    OperationError::new(
        ErrorCode::Invalid,
        format!("the host announced {expected} bytes and sent {bytes} or more"),
    )
}

fn finish(
    temporary: &mut Temporary,
    path: &Path,
    target: &CopyIn,
    replaced: Option<&Metadata>,
) -> io::Result<()> {
    let uid = target.uid.or(replaced.map(MetadataExt::uid)).unwrap_or(0);
    let gid = target.gid.or(replaced.map(MetadataExt::gid)).unwrap_or(0);
    let mode = target.mode.or(replaced.map(MetadataExt::mode)).unwrap_or(0o644) & MODE_BITS;
    let now = temporary.file.metadata()?;
    if (now.uid(), now.gid()) != (uid, gid) {
        fchown(&temporary.file, Some(uid), Some(gid))?;
    }
    // After the owner: changing that takes set-id bits off.
    temporary.file.set_permissions(Permissions::from_mode(mode))?;
    temporary.file.sync_all()?;
    std::fs::rename(&temporary.path, path)?;
    temporary.kept = true;
    Ok(())
}

fn temporary_in(directory: &Path) -> io::Result<Temporary> {
    loop {
        let number = NEXT_TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!(".banger-copy-{}-{number}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok(Temporary { file, path, kept: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Hands a file to the host.
pub(crate) fn copy_out(connection: &mut Connection, source: &CopyOut) -> Result<CopyTaken, OperationError> {
    let failed = |error: io::Error| OperationError::of_io(&source.path, &error);
    // Opening a fifo would wait for its writer otherwise.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(absolute(&source.path)?)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(OperationError::new(
            ErrorCode::Invalid,
            format!("{}: not a regular file; only those are copied", source.path),
        ));
    }
    let target = CopyTarget::default()
        .with_size_bytes(metadata.len())
        .with_mode(metadata.mode() & MODE_BITS)
        .with_uid(metadata.uid())
        .with_gid(metadata.gid())
        .with_mtime_seconds(metadata.mtime());
    connection.send_message(&Accepted::CopyOut(target))?;
    let mut buffer = vec![0; DATA_CHUNK_BYTES];
    let mut bytes = 0_u64;
    loop {
        let read = match (&file).read(&mut buffer) {
            Ok(0) => return Ok(CopyTaken::default().with_bytes(bytes)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        connection.send(FrameKind::Output, &buffer[..read])?;
        bytes = bytes.saturating_add(read as u64);
    }
}

fn absolute(path: &str) -> Result<&Path, OperationError> {
    let error =
        || OperationError::new(ErrorCode::Invalid, format!("`{path}` is not the absolute path of a file"));
    let named = matches!(Path::new(path).components().next_back(), Some(Component::Normal(_)));
    if !path.starts_with('/') || path.contains('\0') || path.ends_with('/') || !named {
        return Err(error());
    }
    Ok(Path::new(path))
}

/// Returns the real place of a file: a rename onto a symlink would replace the link.
fn place(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_SYMLINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = durable::directory_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}
