//! A push to an OCI archive: a new file with the tar of a layout.

use std::io;
use std::sync::{Mutex, PoisonError};

use banger_tree::{Budget, Existing, NewFile, NewFileError};
use camino::Utf8Path;

use super::error::PushError;
use super::layout::FILE_MODE;
use super::layout_index::{OCI_LAYOUT, name_of, with_entry};
use super::plan::{PushPlan, PushTally};
use super::tar_writer::TarWriter;
use super::workers::{Turns, Workers};
use crate::reference::Selector;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::source::blob_name;

/// Fails if there is something at the path of a new archive.
pub(super) fn check_is_new(path: &Utf8Path) -> Result<(), PushError> {
    match path.symlink_metadata() {
        Ok(_) => Err(PushError::file(path)(NewFileError::Exists)),
        Err(_) => Ok(()),
    }
}

/// Writes an artifact as a new archive. The same artifact gives the same bytes.
pub(super) fn push(
    path: &Utf8Path,
    selector: &Selector,
    plan: &PushPlan<'_>,
    progress: &Progress,
    workers: &Workers<'_>,
    tally: &PushTally,
) -> Result<(), PushError> {
    let file = NewFile::create(path.as_std_path(), FILE_MODE).map_err(PushError::file(path))?;
    let failed = |error: io::Error| PushError::from(PullError::io("write", path)(error));
    let mut tar = TarWriter::new(file);
    tar.file("oci-layout", OCI_LAYOUT.as_bytes()).map_err(failed)?;
    let tar = Mutex::new(tar);
    let turns = Turns::default();
    workers.each(&plan.blobs, |at, blob| {
        let (digest, size_bytes) = (blob.digest.clone(), blob.size);
        let bytes = plan.read(blob, workers.stop)?;
        turns.in_turn(at, workers.stop, || {
            progress.emit(PullEvent::UploadStarted { digest: digest.clone(), size_bytes });
            let mut tar = tar.lock().unwrap_or_else(PoisonError::into_inner);
            tar.file(&blob_name(&digest), &bytes).map_err(failed)?;
            progress.emit(PullEvent::UploadDone { digest });
            tally.note_sent(blob);
            Ok(())
        })
    })?;
    let mut tar = tar.into_inner().unwrap_or_else(PoisonError::into_inner);
    tar.file(&blob_name(&plan.digest), &plan.manifest).map_err(failed)?;
    let index = with_entry(None, plan.descriptor(), name_of(selector), "index.json", &Budget::default())?;
    tar.file("index.json", &index).map_err(failed)?;
    let file = tar.finish().map_err(failed)?;
    workers.stop.check()?;
    file.publish(Existing::Keep).map_err(PushError::file(path))
}
