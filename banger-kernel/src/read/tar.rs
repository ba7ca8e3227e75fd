//! Tars: Alpine packages, and the tars in other packages.
//!
//! An `.apk` is one tar in several gzip streams: the signature, the control files, the files of the package.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};

use banger_oci::decompress::decompressor;
use banger_oci::tar::{Data, TarEntry, TarEntryKind, TarError, TarLimits, TarReader};
use banger_tree::Cost;

use super::package::MAX_INFO_BYTES;
use super::{Entries, Member, Memory, PackageInfo, Sink, drain};
use crate::error::KernelError;
use crate::run::{ImportRun, Metered, PIECE_BYTES};

type TarStream<'a, R> = TarReader<BufReader<Metered<'a, R>>>;

/// Reads an `.apk` or another tar, compressed or not.
pub(crate) fn read_tar(
    run: &ImportRun<'_>,
    file: &mut File,
    entries: &mut dyn Entries,
) -> Result<(), KernelError> {
    let fail = |error| run.read_error(error);
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    let bytes = run.counted(file.try_clone().map_err(fail)?);
    read_tar_stream(run, run.metered(decompressor(bytes).map_err(fail)?), entries)
}

/// Passes the entries of a tar on.
pub(crate) fn read_tar_stream<R: Read>(
    run: &ImportRun<'_>,
    stream: Metered<'_, R>,
    entries: &mut dyn Entries,
) -> Result<(), KernelError> {
    let mut reader = TarReader::new(BufReader::with_capacity(PIECE_BYTES, stream), TarLimits::default());
    let mut entry = TarEntry::default();
    while reader.next_entry(&mut entry).map_err(|error| tar_error(run, error))? {
        run.charge(Cost::Entries, 1)?;
        match entry.kind {
            TarEntryKind::Regular if entry.path == b".PKGINFO" => {
                let mut text = Memory::new(".PKGINFO", MAX_INFO_BYTES);
                TarMember { run, reader: &mut reader }.copy_to(&mut text)?;
                entries.package(PackageInfo::from_lines(&text.bytes, "=", "pkgname", "pkgver"));
            }
            TarEntryKind::Regular => {
                entries.file(&entry.path, &mut TarMember { run, reader: &mut reader })?
            }
            TarEntryKind::HardLink => entries.link(&entry.path, true)?,
            TarEntryKind::Symlink => entries.link(&entry.path, false)?,
            _ => {}
        }
    }
    if entry.offset == 0 && reader.position() == 0 {
        return Err(run.damaged("the tar in it is empty"));
    }
    if reader.lacks_end_blocks() {
        return Err(run.damaged("the tar in it is cut short: it has no end"));
    }
    drain(run, &mut reader.into_input())
}

/// Returns the content of the file `name` at the top of a tar.
pub(super) fn read_small_file<R: Read>(
    run: &ImportRun<'_>,
    stream: Metered<'_, R>,
    name: &[u8],
    limit_bytes: usize,
) -> Result<Option<Vec<u8>>, KernelError> {
    let mut reader = TarReader::new(BufReader::new(stream), TarLimits::default());
    let mut entry = TarEntry::default();
    while reader.next_entry(&mut entry).map_err(|error| tar_error(run, error))? {
        run.charge(Cost::Entries, 1)?;
        let path = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
        if entry.kind == TarEntryKind::Regular && path == name {
            let mut text = Memory::new(String::from_utf8_lossy(name), limit_bytes);
            TarMember { run, reader: &mut reader }.copy_to(&mut text)?;
            return Ok(Some(text.bytes));
        }
    }
    Ok(None)
}

fn tar_error(run: &ImportRun<'_>, error: TarError) -> KernelError {
    match error {
        TarError::Read { source, .. } => run.read_error(source),
        other => run.damaged(other.to_string()),
    }
}

/// The file that a reader stands at.
struct TarMember<'a, 'b, R> {
    run: &'a ImportRun<'a>,
    reader: &'a mut TarStream<'b, R>,
}

impl<R: Read> Member for TarMember<'_, '_, R> {
    fn copy_to(&mut self, sink: &mut dyn Sink) -> Result<(), KernelError> {
        while let Some(data) = self.reader.next_data().map_err(|error| tar_error(self.run, error))? {
            match data {
                Data::Bytes(bytes) => sink.put(bytes)?,
                Data::Hole(mut left) => {
                    let zeros = [0; 4096];
                    while left > 0 {
                        self.run.check()?;
                        let length = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
                        sink.put(&zeros[..length])?;
                        left -= length as u64;
                    }
                }
            }
        }
        Ok(())
    }
}
