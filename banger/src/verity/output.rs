//! The hash tree of an ext4 file of the caller, under construction.

use std::fs;

use banger_tree::{Advice, Cancellation, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use super::error::VerityError;
use super::place::{VerityPlace, tree_beside};
use super::record::VerityRecord;
use super::write::{append_tree, write_tree};
use crate::argument::ArgumentError;
use crate::error::Error;
use crate::output::{OutputError, OutputFile};

/// The hash tree of the file `output`. Nothing of it is left if it is dropped.
#[derive(Debug)]
pub(crate) struct TreeOutput {
    output: Utf8PathBuf,
    /// The file of the tree; `None` if the tree goes behind the file system.
    beside: Option<OutputFile>,
}

impl TreeOutput {
    /// Starts the tree of `output`. It gets no permission that others do not have on the file with the metadata
    /// `source`.
    pub(crate) fn create(
        place: VerityPlace,
        output: &Utf8Path,
        replace: bool,
        source: Option<&fs::Metadata>,
    ) -> Result<Self, OutputError> {
        let beside = match place {
            VerityPlace::Append => None,
            VerityPlace::Beside => {
                let file = OutputFile::create(&tree_beside(output), replace)?;
                Some(match source {
                    Some(source) => file.limited_to(source),
                    None => file,
                })
            }
        };
        Ok(Self { output: output.to_owned(), beside })
    }

    /// Writes the tree of the ext4 file `partial`, which becomes the output.
    pub(crate) fn write(
        &self,
        partial: &Utf8Path,
        cancellation: &Cancellation,
    ) -> Result<VerityRecord, Error> {
        let (path, written) = match &self.beside {
            Some(file) => {
                let name = file.path().file_name().unwrap_or_default();
                (file.path(), write_tree(partial, &file.partial_path(), name, cancellation))
            }
            None => {
                let name = self.output.file_name().unwrap_or_default();
                (self.output.as_path(), append_tree(partial, name, cancellation))
            }
        };
        // Files under construction have other names.
        written.map_err(|error| match error {
            Error::Verity(VerityError::Io { action, source, .. }) => {
                VerityError::Io { action, path: path.to_owned(), source }.into()
            }
            Error::Verity(VerityError::Size { size_bytes, .. }) => {
                VerityError::Size { path: self.output.clone(), size_bytes }.into()
            }
            other => other,
        })
    }

    /// Publishes the tree, then `file`. If the second fails, the tree goes, too.
    pub(crate) fn publish_with(self, file: OutputFile) -> Result<(), OutputError> {
        let Some(tree) = self.beside else { return file.publish() };
        let path = tree.path().to_owned();
        tree.publish()?;
        file.publish().inspect_err(|_| {
            let _ = fs::remove_file(path);
        })
    }
}

/// Fails if a managed image cannot have its tree in this place.
pub(crate) fn check_managed(place: Option<VerityPlace>) -> Result<(), ArgumentError> {
    let Some(place @ VerityPlace::Append) = place else { return Ok(()) };
    let reason = "a managed image has its hash tree in a file beside the ext4 file";
    let advice = Advice::new("choose beside, or write a single file");
    Err(ArgumentError::new(Setting("verity"), place.name(), reason).with_advice(advice))
}

/// Fails if a tree is asked for an open file of the caller: it has no place for one.
pub(crate) fn check_open_file(place: Option<VerityPlace>) -> Result<(), ArgumentError> {
    let Some(place) = place else { return Ok(()) };
    let advice = Advice::new("write a file with a path");
    let reason = "an open file gets no hash tree";
    Err(ArgumentError::new(Setting("verity"), place.name(), reason).with_advice(advice))
}
