//! The removal of images and kernels by name.

use banger::{Cancellation, ImageId, StoreError};
use serde::Serialize;

use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::text::Text;

/// The ids that were removed.
#[derive(Serialize)]
struct RemovedDocument {
    version: u32,
    removed: Vec<String>,
}

/// Removes what `names` name, and prints the ids. `find` returns an id, and `remove` removes it.
///
/// Nothing is removed if one of the names is wrong. Something with several of the names is removed once.
pub(super) fn remove_each(
    names: &[String],
    find: impl Fn(&str) -> Result<ImageId, StoreError>,
    remove: impl Fn(&str, &Cancellation) -> Result<String, StoreError>,
    printer: &Printer,
) -> Result<(), CommandError> {
    let mut ids: Vec<String> = Vec::new();
    for name in names {
        let id = match find(name) {
            Ok(id) => id.to_string(),
            Err(StoreError::Damaged { id, .. }) => id,
            Err(error) => return Err(error.into()),
        };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let cancellation = cancel_on_signal(printer);
    let removed = ids.iter().map(|id| remove(id, &cancellation)).collect::<Result<Vec<_>, _>>()?;
    let text: Text = removed.iter().collect();
    output(printer.result(&RemovedDocument { version: 1, removed }, text))
}
