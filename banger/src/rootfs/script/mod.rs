//! Scripts of edits: one JSON document of operations, which are one commit. `docs/edit-script.md` describes it.

mod action;
mod fields;
mod run;

use std::io::Read;

use serde::Deserialize;

use self::action::ScriptOperation;
use self::fields::OperationFields;
use super::error::EditError;

pub use run::{OperationReport, ScriptReport, edit_by_script, run_script};

/// The version of the format.
const SCHEMA_VERSION: u32 = 1;
/// The longest script.
const SCRIPT_MAX_BYTES: u64 = 64 << 20;

/// Operations on a root file system, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct EditScript {
    operations: Vec<ScriptOperation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScriptFields {
    /// For editors.
    #[serde(rename = "$schema", default)]
    _schema: Option<String>,
    schema_version: u32,
    operations: Vec<OperationFields>,
}

impl EditScript {
    /// Parses a script.
    ///
    /// # Errors
    /// It is not JSON, has an unknown field, or an operation is malformed.
    pub fn parse(json: &[u8]) -> Result<Self, EditError> {
        if json.len() as u64 > SCRIPT_MAX_BYTES {
            return Err(EditError::LongScript { limit_bytes: SCRIPT_MAX_BYTES });
        }
        let fields: ScriptFields = serde_json::from_slice(json).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            // The position has fields of its own.
            let text = error.to_string();
            let place = format!(" at line {line} column {column}");
            let reason = text.strip_suffix(&place).unwrap_or(&text).to_owned();
            EditError::Script { line, column, reason }
        })?;
        if fields.schema_version != SCHEMA_VERSION {
            let reason = format!("is {}, and this version knows {SCHEMA_VERSION}", fields.schema_version);
            return Err(EditError::ScriptField { field: "schemaVersion", reason });
        }
        let operations = fields.operations.into_iter().enumerate();
        let operations = operations.map(|(index, fields)| fields.into_operation(index));
        Ok(Self { operations: operations.collect::<Result<_, _>>()? })
    }

    /// Reads a script.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), or the input fails.
    pub fn read(input: &mut dyn Read) -> Result<Self, EditError> {
        let mut json = Vec::new();
        let read = input.take(SCRIPT_MAX_BYTES + 1).read_to_end(&mut json);
        let failed = |source| EditError::Host { action: "read", path: "the script".to_owned(), source };
        read.map_err(failed)?;
        Self::parse(&json)
    }

    /// Returns the number of operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Returns whether the script has no operation.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

#[cfg(test)]
mod tests;
