//! The files in which docker and podman keep credentials.

use std::collections::BTreeMap;

use base64::Engine as _;
use camino::Utf8Path;
use serde::Deserialize;

use super::credential::Credential;
use crate::registry::error::PullError;
use crate::registry::json::nullable;
use crate::registry::missing::is_missing;

/// The key under which docker keeps the credentials for docker.io.
pub(super) const DOCKER_IO_KEY: &str = "https://index.docker.io/v1/";

/// The directory in which podman keeps credentials of users without a runtime directory.
pub(super) const RUN_DIR: &str = "/run/containers";

/// A `config.json` or `auth.json`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ConfigFile {
    #[serde(deserialize_with = "nullable")]
    auths: BTreeMap<String, AuthEntry>,
    #[serde(deserialize_with = "nullable")]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

pub(super) fn read(path: &Utf8Path) -> Result<Option<ConfigFile>, PullError> {
    let error = |reason: String| PullError::CredentialFile { path: path.to_owned(), reason };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(problem) if is_missing(&problem) => return Ok(None),
        // Root's podman makes the directory for itself: nothing of this user is in it.
        Err(problem)
            if problem.kind() == std::io::ErrorKind::PermissionDenied && path.starts_with(RUN_DIR) =>
        {
            return Ok(None);
        }
        Err(problem) => return Err(error(problem.to_string())),
    };
    let text = without_mark(&text);
    // Docker takes it for a configuration that says nothing.
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(text).map(Some).map_err(|problem| error(problem.to_string()))
}

/// Returns a text without the byte order mark that editors of Windows put before it.
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// The entry of a file for a repository.
pub(super) enum Found {
    Nothing,
    Credential(Credential),
    /// A helper. `is_certain` is false for a store that serves all registries, if nothing says that it has a credential
    /// for this one.
    Helper {
        name: String,
        server: String,
        is_certain: bool,
    },
}

impl ConfigFile {
    /// Returns the names of all helpers.
    pub(super) fn helpers(&self) -> impl Iterator<Item = &str> {
        let names = self.cred_helpers.values().chain(&self.creds_store).map(String::as_str);
        names.filter(|name| !name.is_empty())
    }

    /// The longest key that fits counts; at the same length a helper counts before an entry. The
    /// store, which serves all registries, comes last.
    pub(super) fn lookup(
        &self,
        path: &Utf8Path,
        registry: &str,
        repository: &str,
    ) -> Result<Found, PullError> {
        let name = format!("{registry}/{repository}");
        let fits = |key: &str| {
            let key = normalise(key);
            let rest = name.strip_prefix(key.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then_some(key.len())
        };
        let helper = self
            .cred_helpers
            .iter()
            .filter(|(_, helper)| !helper.is_empty())
            .filter_map(|(key, helper)| Some((fits(key)?, key, helper)))
            .max_by_key(|(len, ..)| *len);
        let entry = self
            .auths
            .iter()
            .filter(|(_, entry)| entry.has_content())
            .filter_map(|(key, entry)| Some((fits(key)?, key, entry)))
            .max_by_key(|(len, ..)| *len);
        let server = if registry == "docker.io" { DOCKER_IO_KEY } else { registry };
        match (helper, entry) {
            (Some((helper_len, key, helper)), entry) if entry.is_none_or(|(len, ..)| len <= helper_len) => {
                let server = if registry == "docker.io" { server } else { key.as_str() };
                Ok(Found::Helper { name: helper.clone(), server: server.to_owned(), is_certain: true })
            }
            (_, Some((_, key, entry))) => {
                entry.credential().map(Found::Credential).map_err(|reason| PullError::CredentialFile {
                    path: path.to_owned(),
                    reason: format!("the entry for {key} {reason}"),
                })
            }
            _ => Ok(match self.creds_store.as_deref().filter(|store| !store.is_empty()) {
                Some(store) => Found::Helper {
                    name: store.to_owned(),
                    server: server.to_owned(),
                    // Docker leaves an empty entry for each login that its store keeps.
                    is_certain: self.auths.keys().any(|key| normalise(key) == registry),
                },
                None => Found::Nothing,
            }),
        }
    }
}

/// A key of the file as `host[/path]`: docker writes URLs, some with the API version behind.
pub(super) fn normalise(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", path)) => format!("docker.io/{path}"),
        None if matches!(key, "index.docker.io" | "registry-1.docker.io") => "docker.io".to_owned(),
        _ => key.to_owned(),
    }
}

impl AuthEntry {
    fn has_content(&self) -> bool {
        let some = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
        some(&self.auth) || some(&self.username) || some(&self.identitytoken)
    }

    fn credential(&self) -> Result<Credential, String> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Credential::IdentityToken(token.clone()));
        }
        if let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) {
            let decoded = base64::engine::general_purpose::STANDARD
                .decode(auth.trim())
                .map_err(|_| "is not base64".to_owned())?;
            let decoded = String::from_utf8(decoded).map_err(|_| "is not UTF-8".to_owned())?;
            let (user, password) = decoded.split_once(':').ok_or_else(|| "has no colon".to_owned())?;
            // Docker pads passwords with NUL bytes.
            let password = password.trim_end_matches('\0');
            return Ok(Credential::Password { user: user.to_owned(), password: password.to_owned() });
        }
        match (&self.username, &self.password) {
            (Some(user), Some(password)) => {
                Ok(Credential::Password { user: user.clone(), password: password.clone() })
            }
            _ => Err("has a user name and no password".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Option<Credential> {
        Some(Credential::Password { user: user.to_owned(), password: password.to_owned() })
    }

    fn lookup(json: &str, registry: &str, repository: &str) -> Found {
        let config: ConfigFile = serde_json::from_str(json).unwrap();
        config.lookup("f".into(), registry, repository).unwrap()
    }

    #[test]
    fn b36_longest_match_first() {
        // a:b, c:d, e:f
        let json = r#"{"auths": {
            "r.io": {"auth": "YTpi"}, "r.io/team": {"auth": "Yzpk"}, "r.io/team/app": {"auth": "ZTpm"},
            "https://index.docker.io/v1/": {"auth": "Z2g6aWo="},
            "https://h.io/v2/": {"username": "u", "password": "p"},
            "empty.io": {}, "id.io": {"auth": "YTpi", "identitytoken": "refresh"}}}"#;
        let cases = [
            ("r.io", "x", password("a", "b")),
            ("r.io", "team", password("c", "d")),
            ("r.io", "team/other", password("c", "d")),
            ("r.io", "teammate/x", password("a", "b")),
            ("r.io", "team/app", password("e", "f")),
            ("r.io", "team/app/sub", password("e", "f")),
            ("docker.io", "library/debian", password("gh", "ij")),
            ("h.io", "x", password("u", "p")),
            ("id.io", "x", Some(Credential::IdentityToken("refresh".to_owned()))),
            ("empty.io", "x", None),
            ("r.io.evil", "x", None),
        ];
        for (registry, repository, expected) in cases {
            let found = match lookup(json, registry, repository) {
                Found::Credential(credential) => Some(credential),
                Found::Nothing => None,
                Found::Helper { .. } => panic!("no helper is configured"),
            };
            assert_eq!(found, expected, "{registry}/{repository}");
        }
    }

    #[test]
    fn b36_helpers_before_store() {
        let json = r#"{"auths": {"r.io": {}, "s.io/own": {"auth": "YTpi"}}, "credsStore": "store",
            "credHelpers": {"h.io": "special", "s.io": "short"}}"#;
        for (registry, repository, expected) in [
            ("h.io", "x", Some(("special", "h.io"))),
            ("r.io", "x", Some(("store", "r.io"))),
            ("docker.io", "library/x", Some(("store", DOCKER_IO_KEY))),
            ("s.io", "x", Some(("short", "s.io"))),
            ("s.io", "own/x", None),
        ] {
            let found = lookup(json, registry, repository);
            match (found, expected) {
                (Found::Helper { name, server, .. }, Some(expected)) => {
                    assert_eq!((name.as_str(), server.as_str()), expected);
                }
                (Found::Credential(credential), None) => {
                    assert_eq!(Some(credential), password("a", "b"));
                }
                _ => panic!("wrong source for {registry}/{repository}"),
            }
        }
    }
}
