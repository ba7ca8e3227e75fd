//! Credential helpers (docker's `docker-credential-helpers` protocol).

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use banger_tree::ChildSetup;
use camino::Utf8Path;
use serde::Deserialize;

use super::credential::Credential;
use crate::one_line::one_line;
use crate::registry::error::PullError;

/// A program `docker-credential-NAME` and how to run it.
pub(super) struct Helper<'a> {
    pub(super) name: &'a str,
    pub(super) dir: Option<&'a Utf8Path>,
    pub(super) timeout: Duration,
    /// The file that names it.
    pub(super) config: &'a Utf8Path,
    pub(super) child_setup: ChildSetup,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl Helper<'_> {
    /// Asks the helper for the credential of a server; `None` if it has none.
    pub(super) async fn get(&self, server: &str) -> Result<Option<Credential>, PullError> {
        let program = format!("docker-credential-{}", self.name);
        let error = |reason: String| PullError::CredentialHelper {
            helper: program.clone(),
            reason,
            config: self.config.to_owned(),
        };
        if !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err(error("has a name that no program may have".to_owned()));
        }
        let path = self.dir.map_or_else(|| program.clone().into(), |dir| dir.join(&program));
        // A file is never broken as a pipe is, whether the helper reads or not: no signal comes of it.
        let question = question(server).map_err(|problem| error(format!("cannot be asked: {problem}")))?;
        let mut command = tokio::process::Command::new(&path);
        self.child_setup.apply(command.as_std_mut());
        let child = command
            .arg("get")
            .stdin(question)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A helper that hangs, or whose pull was cancelled, does not survive it.
            .kill_on_drop(true)
            .spawn()
            .map_err(|problem| error(format!("cannot be started: {problem}")))?;
        let output = tokio::time::timeout(self.timeout, child.wait_with_output())
            .await
            .map_err(|_| error(format!("did not answer within {:?}", self.timeout)))?
            .map_err(|problem| error(format!("failed: {problem}")))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            // The protocol has no status for "nothing there", only this text.
            if said.contains("credentials not found") || errors.contains("credentials not found") {
                return Ok(None);
            }
            let said = if said.trim().is_empty() { errors } else { said };
            let line = said.lines().next().unwrap_or_default();
            return Err(error(format!("failed ({}): {}", output.status, one_line(line))));
        }
        let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
            .map_err(|_| error("answered something that is no credential".to_owned()))?;
        Ok(Some(match answer.username.as_str() {
            "<token>" => Credential::IdentityToken(answer.secret),
            "" if answer.secret.is_empty() => return Ok(None),
            _ => Credential::Password { user: answer.username, password: answer.secret },
        }))
    }
}

/// Returns the input of a helper: an unnamed file with the name of the server.
fn question(server: &str) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(server.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
