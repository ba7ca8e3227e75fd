//! Credential helpers (docker's `docker-credential-helpers` protocol).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use banger_tree::ChildSetup;
use camino::Utf8Path;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HelperEntry<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    username: &'a str,
    secret: &'a str,
}

impl Helper<'_> {
    /// Asks the helper for the credential of a server; `None` if it has none.
    pub(super) async fn get(&self, server: &str) -> Result<Option<Credential>, PullError> {
        let Some(said) = self.run("get", server.as_bytes()).await? else { return Ok(None) };
        let answer: HelperAnswer = serde_json::from_slice(&said)
            .map_err(|_| self.error("answered something that is no credential".to_owned()))?;
        Ok(Some(match answer.username.as_str() {
            "<token>" => Credential::IdentityToken(answer.secret),
            "" if answer.secret.is_empty() => return Ok(None),
            _ => Credential::Password { user: answer.username, password: answer.secret },
        }))
    }

    /// Gives the helper a credential to keep.
    pub(super) async fn store(&self, server: &str, credential: &Credential) -> Result<(), PullError> {
        let (username, secret) = match credential {
            Credential::Password { user, password } => (user.as_str(), password.as_str()),
            Credential::IdentityToken(token) => ("<token>", token.as_str()),
        };
        let entry = HelperEntry { server_url: server, username, secret };
        let entry =
            serde_json::to_vec(&entry).map_err(|error| self.error(format!("cannot be told: {error}")))?;
        self.run("store", &entry).await.map(|_| ())
    }

    /// Makes the helper forget the credential of a server.
    pub(super) async fn erase(&self, server: &str) -> Result<(), PullError> {
        self.run("erase", server.as_bytes()).await.map(|_| ())
    }

    /// Returns the servers that the helper has credentials for.
    pub(super) async fn list(&self) -> Result<Vec<String>, PullError> {
        let Some(said) = self.run("list", b"").await? else { return Ok(Vec::new()) };
        let servers: BTreeMap<String, IgnoredAny> = serde_json::from_slice(&said)
            .map_err(|_| self.error("answered something that is no list of servers".to_owned()))?;
        Ok(servers.into_keys().collect())
    }

    /// Returns whether the program does not exist.
    pub(super) fn is_missing(&self) -> bool {
        let program = self.program();
        match self.dir {
            Some(dir) => !dir.join(program).exists(),
            None => {
                let path = std::env::var_os("PATH").unwrap_or_default();
                !std::env::split_paths(&path).any(|dir| dir.join(&program).exists())
            }
        }
    }

    fn program(&self) -> String {
        format!("docker-credential-{}", self.name)
    }

    fn error(&self, reason: String) -> PullError {
        PullError::CredentialHelper { helper: self.program(), reason, config: self.config.to_owned() }
    }

    /// Runs the helper and returns its output; `None` if it knows no such credential.
    async fn run(&self, action: &str, input: &[u8]) -> Result<Option<Vec<u8>>, PullError> {
        let program = self.program();
        if !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err(self.error("has a name that no program may have".to_owned()));
        }
        let path = self.dir.map_or_else(|| program.clone().into(), |dir| dir.join(&program));
        // A file is never broken as a pipe is, whether the helper reads or not: no signal comes of it.
        let question =
            question(input).map_err(|problem| self.error(format!("cannot be asked: {problem}")))?;
        let mut command = tokio::process::Command::new(&path);
        self.child_setup.apply(command.as_std_mut());
        let child = command
            .arg(action)
            .stdin(question)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A helper that hangs, or whose pull was cancelled, does not survive it.
            .kill_on_drop(true)
            .spawn()
            .map_err(|problem| self.error(format!("cannot be started: {problem}")))?;
        let output = tokio::time::timeout(self.timeout, child.wait_with_output())
            .await
            .map_err(|_| self.error(format!("did not answer within {:?}", self.timeout)))?
            .map_err(|problem| self.error(format!("failed: {problem}")))?;
        if output.status.success() {
            return Ok(Some(output.stdout));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        // The protocol has no status for "nothing there", only this text.
        if said.contains("credentials not found") || errors.contains("credentials not found") {
            return Ok(None);
        }
        let said = if said.trim().is_empty() { errors } else { said };
        let line = said.lines().next().unwrap_or_default();
        Err(self.error(format!("failed ({}): {}", output.status, one_line(line))))
    }
}

/// Returns the input of a helper: an unnamed file.
fn question(input: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input)?;
    file.rewind()?;
    Ok(file)
}
