//! Documents about logins.

use banger_oci::{KeptLogin, RemovedLogins};
use camino::Utf8Path;
use serde::Serialize;

/// A login that was kept, as `banger login --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct LoginDocument<'a> {
    version: u32,
    registry: &'a str,
    path: &'a Utf8Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    helper: Option<&'a str>,
    checked: bool,
}

impl<'a> From<&'a KeptLogin> for LoginDocument<'a> {
    fn from(login: &'a KeptLogin) -> Self {
        let (registry, path, helper) = (&login.registry, &login.path, login.helper.as_deref());
        Self { version: 1, registry, path, helper, checked: login.is_checked }
    }
}

/// Logins that were removed, as `banger logout --json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct LogoutDocument<'a> {
    version: u32,
    registries: &'a [String],
    paths: Vec<&'a Utf8Path>,
}

impl<'a> From<&'a RemovedLogins> for LogoutDocument<'a> {
    fn from(removed: &'a RemovedLogins) -> Self {
        let paths = removed.paths.iter().map(|path| path.as_path()).collect();
        Self { version: 1, registries: &removed.registries, paths }
    }
}
