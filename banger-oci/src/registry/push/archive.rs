//! A push to an OCI archive: a new file with the tar of a layout.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use banger_tree::{Budget, Existing, NewFile};
use camino::Utf8Path;

use super::error::PushError;
use super::layout::FILE_MODE;
use super::layout_index::{OCI_LAYOUT, name_of, with_entry};
use super::plan::{PushPlan, PushTally};
use super::target_kind::TargetKind;
use super::workers::{Turns, Workers};
use crate::reference::Selector;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::source::blob_name;
use crate::tar::{TarEntry, TarWriter};

/// Writes an artifact as a new archive. The same artifact gives the same bytes.
pub(super) fn push(
    path: &Utf8Path,
    selector: &Selector,
    plan: &PushPlan<'_>,
    progress: &Progress,
    workers: &Workers<'_>,
    tally: &PushTally,
) -> Result<(), PushError> {
    TargetKind::Archive(path, selector).check_vacant()?;
    let file = NewFile::create(path.as_std_path(), FILE_MODE).map_err(PushError::file(path))?;
    let failed = |error: io::Error| PushError::from(PullError::io("write", path)(error));
    let mut tar = TarWriter::new(file);
    append(&mut tar, "oci-layout", OCI_LAYOUT.as_bytes()).map_err(failed)?;
    let tar = Mutex::new(tar);
    let turns = Turns::default();
    workers.each(&plan.blobs, |at, blob| {
        let (digest, size_bytes) = (blob.digest.clone(), blob.size);
        let bytes = plan.read(blob, workers.stop)?;
        turns.in_turn(at, workers.stop, || {
            progress.emit(PullEvent::UploadStarted { digest: digest.clone(), size_bytes });
            let mut tar = tar.lock().unwrap_or_else(PoisonError::into_inner);
            begin(&mut tar, &blob_name(&digest), bytes.len()).map_err(failed)?;
            bytes.copy_to(
                &mut FileData(&mut tar),
                || workers.stop.check().map_err(PushError::from),
                failed,
            )?;
            progress.emit(PullEvent::UploadDone { digest });
            tally.note_sent(blob);
            Ok(())
        })
    })?;
    let mut tar = tar.into_inner().unwrap_or_else(PoisonError::into_inner);
    append(&mut tar, &blob_name(&plan.digest), &plan.manifest).map_err(failed)?;
    let index = with_entry(None, plan.descriptor(), name_of(selector), "index.json", &Budget::default())?;
    append(&mut tar, "index.json", &index).map_err(failed)?;
    let file = tar.finish().map_err(failed)?;
    workers.stop.check()?;
    file.publish(Existing::Keep).map_err(PushError::file(path))
}

/// Begins a file without owner and time, so that the same content gives the same bytes.
fn begin<W: Write>(tar: &mut TarWriter<W>, name: &str, size_bytes: u64) -> io::Result<()> {
    let path = name.as_bytes().to_vec();
    tar.entry(&TarEntry { path, mode: 0o644, size_bytes, ..TarEntry::default() })
}

fn append<W: Write>(tar: &mut TarWriter<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    begin(tar, name, bytes.len() as u64)?;
    tar.data(bytes)
}

/// The bytes of the current file of a tar.
struct FileData<'a, W>(&'a mut TarWriter<W>);

impl<W: Write> Write for FileData<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.data(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
