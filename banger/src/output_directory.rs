//! The place of a directory that a run makes as a whole.

use std::fs;
use std::io;

use banger_tree::{Advice, HostPlace, Setting};
use camino::{Utf8Path, Utf8PathBuf};

use crate::argument::ArgumentError;
use crate::error::Error;
use crate::host_file::parent_of;
use crate::output::OutputError;

/// Returns the place of the new directory `output`, which `setting` names. Fails if the directory has files, or is
/// something else.
pub(crate) fn new_directory_place(output: &Utf8Path, setting: Setting) -> Result<Utf8PathBuf, Error> {
    HostPlace::check_path(output.as_std_path()).map_err(OutputError::new_file(output))?;
    let bad = |reason: &str| {
        let advice = Advice::new("choose another directory, or remove it first");
        Err(ArgumentError::new(setting, output.to_string(), reason).with_advice(advice).into())
    };
    let Some(name) = output.file_name() else { return bad("it ends without a name") };
    let (parent, failed) = (parent_of(output), OutputError::io("create", output));
    match fs::symlink_metadata(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::metadata(&parent).map_err(failed)?;
        }
        Err(error) => return Err(failed(error).into()),
        Ok(metadata) if !metadata.is_dir() => return bad("it exists already, and is not a directory"),
        Ok(_) => {
            if fs::read_dir(output).map_err(OutputError::io("read", output))?.next().is_some() {
                return bad("the directory is not empty");
            }
        }
    }
    Ok(parent.join(name))
}
