//! Changes of the files in which docker and podman keep credentials. Everything else in them stays.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::time::{Duration, Instant};

use banger_tree::{Existing, LockedFile, NewFile};
use base64::Engine as _;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};

use super::config_file::{DOCKER_IO_KEY, normalise, without_mark};
use super::credential::Credential;
use crate::registry::error::PullError;
use crate::registry::missing::is_missing;

/// Only its user may read a file with passwords.
const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// Links that lead to the file; more are a circle.
const MAX_LINKS: u32 = 40;
/// How long another login may take, with the questions of its helper.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// The content of a `config.json` or `auth.json`, to be changed.
pub(super) struct AccountFile {
    path: Utf8PathBuf,
    content: Map<String, Value>,
    /// The directory of the file: a lock on the file itself would end with the file, which is replaced.
    _lock: Option<LockedFile>,
}

impl AccountFile {
    /// Waits for other logins and logouts, then reads the file. They wait for this one.
    pub(super) async fn lock(path: &Utf8Path) -> Result<Self, PullError> {
        let lock = lock_directory(path).await?;
        Ok(Self { _lock: lock, ..Self::open(path)? })
    }

    /// Reads the file; a missing or empty one has no entries.
    pub(super) fn open(path: &Utf8Path) -> Result<Self, PullError> {
        let failed = |reason: String| PullError::CredentialFile { path: path.to_owned(), reason };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) => return Err(failed(error.to_string())),
        };
        let text = without_mark(&text);
        let content = match text.trim_ascii().is_empty() {
            true => Map::new(),
            false => serde_json::from_slice(text).map_err(|error| failed(error.to_string()))?,
        };
        Ok(Self { path: path.to_owned(), content, _lock: None })
    }

    /// Returns the helper of a registry, and the name that the helper knows the registry by.
    pub(super) fn helper(&self, registry: &str) -> Option<(String, String)> {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let helpers = self.content.get("credHelpers").and_then(Value::as_object);
        let own = helpers.into_iter().flatten().find(|(key, _)| normalise(key) == registry);
        if let Some((key, name)) = own.and_then(|(key, value)| Some((key, text(value)?))) {
            return Some((
                name,
                if registry == "docker.io" { DOCKER_IO_KEY.to_owned() } else { key.clone() },
            ));
        }
        let store = self.content.get("credsStore").and_then(text)?;
        Some((store, key_of(registry).to_owned()))
    }

    /// Returns whether the file has a credential for a registry, or a helper of its own for it.
    pub(super) fn knows(&self, registry: &str) -> bool {
        let fits = |table: &str| {
            let table = self.content.get(table).and_then(Value::as_object);
            table.into_iter().flatten().any(|(key, value)| {
                normalise(key) == registry && value.as_object().is_none_or(|entry| !entry.is_empty())
            })
        };
        fits("auths") || fits("credHelpers")
    }

    /// Returns the registries that have an entry.
    pub(super) fn registries(&self) -> Vec<String> {
        let auths = self.content.get("auths").and_then(Value::as_object);
        auths.into_iter().flatten().map(|(key, _)| normalise(key)).collect()
    }

    /// Returns the names of all helpers.
    pub(super) fn helpers(&self) -> Vec<String> {
        let helpers = self.content.get("credHelpers").and_then(Value::as_object);
        let names = helpers.into_iter().flatten().map(|(_, name)| name);
        let mut names: Vec<String> = names
            .chain(self.content.get("credsStore"))
            .filter_map(|name| name.as_str().filter(|name| !name.is_empty()).map(str::to_owned))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// Puts a credential in the place of all entries for the registry.
    pub(super) fn set(&mut self, registry: &str, credential: &Credential) {
        self.remove(registry);
        let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let entry = match credential {
            Credential::Password { user, password } => {
                json!({ "auth": encode(format!("{user}:{password}")) })
            }
            // Docker reads the user name of such an entry, too.
            Credential::IdentityToken(token) => {
                json!({ "auth": encode("<token>:".to_owned()), "identitytoken": token })
            }
        };
        let auths = self.content.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key_of(registry).to_owned(), entry);
        }
    }

    /// Removes all entries for the registry. Returns whether there was one.
    pub(super) fn remove(&mut self, registry: &str) -> bool {
        let Some(auths) = self.content.get_mut("auths").and_then(Value::as_object_mut) else { return false };
        let before = auths.len();
        auths.retain(|key, _| normalise(key) != registry);
        auths.len() != before
    }

    /// Writes the file in one step. Symlinks to it stay.
    pub(super) fn write(&self) -> Result<(), PullError> {
        let failed = |reason: String| PullError::CredentialFile { path: self.path.clone(), reason };
        let target = target_of(&self.path).map_err(|error| failed(error.to_string()))?;
        if let Some(dir) = target.parent() {
            let made = make_directory(dir);
            made.map_err(|error| failed(format!("cannot make the directory {dir}: {error}")))?;
        }
        let mut text = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
        serde::Serialize::serialize(&self.content, &mut writer).map_err(|error| failed(error.to_string()))?;
        text.push(b'\n');
        // Also where the file that it replaces is open to others.
        let written = NewFile::create(target.as_std_path(), FILE_MODE).and_then(|file| {
            let mut file = file.limited_to(FILE_MODE);
            file.write_bytes(&text)?;
            file.publish(Existing::Replace)
        });
        written.map_err(|error| failed(error.to_string()))
    }
}

fn make_directory(dir: &Utf8Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)
}

/// Locks the directory of the file at `path`, and makes it if it is missing. `None` if it cannot be locked: whether
/// the file can be written shows later.
async fn lock_directory(path: &Utf8Path) -> Result<Option<LockedFile>, PullError> {
    let Ok(target) = target_of(path) else { return Ok(None) };
    let Some(dir) = target.parent() else { return Ok(None) };
    let dir = if dir.as_str().is_empty() { Utf8Path::new(".") } else { dir };
    let Ok(directory) = make_directory(dir).and_then(|()| File::open(dir)) else { return Ok(None) };
    let end = Instant::now() + LOCK_TIMEOUT;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(Some(LockedFile::of(directory))),
            Err(TryLockError::WouldBlock) if Instant::now() < end => tokio::time::sleep(LOCK_INTERVAL).await,
            Err(TryLockError::WouldBlock) => {
                let reason = format!("another program has locked {dir}; end it, then try again");
                return Err(PullError::CredentialFile { path: path.to_owned(), reason });
            }
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

/// The key under which docker and podman look for a registry.
pub(super) fn key_of(registry: &str) -> &str {
    if registry == "docker.io" { DOCKER_IO_KEY } else { registry }
}

/// Returns the path at the end of the symlinks at `path`, which need not exist.
fn target_of(path: &Utf8Path) -> io::Result<Utf8PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match path.read_link_utf8() {
            Ok(next) => path = path.parent().map_or_else(|| next.clone(), |dir| dir.join(&next)),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::NotFound) => {
                return Ok(path);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("its symlinks lead in a circle"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn password(user: &str) -> Credential {
        Credential::Password { user: user.to_owned(), password: "p".to_owned() }
    }

    #[test]
    fn other_entries_fields_and_symlinks_stay() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let (real, link) = (dir.join("real.json"), dir.join("link.json"));
        let before = "\u{feff}{\"psFormat\": \"x\", \"auths\": {\"a.io\": {\"auth\": \"YTpi\", \"email\": \"e\"}, \
                      \"https://b.io/v2/\": {\"auth\": \"YTpi\"}}, \"proxies\": {\"n\": 1}}";
        std::fs::write(&real, before).unwrap();
        std::os::unix::fs::symlink("real.json", &link).unwrap();
        let mut file = AccountFile::open(&link).unwrap();
        file.set("b.io", &password("c"));
        file.set("docker.io", &Credential::IdentityToken("t".to_owned()));
        file.write().unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o077, 0);
        let after: Value = serde_json::from_slice(&std::fs::read(&real).unwrap()).unwrap();
        assert_eq!(
            after,
            json!({
                "psFormat": "x", "proxies": {"n": 1},
                "auths": {
                    "a.io": {"auth": "YTpi", "email": "e"},
                    "b.io": {"auth": "Yzpw"},
                    DOCKER_IO_KEY: {"auth": "PHRva2VuPjo=", "identitytoken": "t"},
                },
            })
        );
        let mut file = AccountFile::open(&link).unwrap();
        assert!(file.remove("docker.io") && file.remove("b.io") && !file.remove("b.io"));
        assert_eq!(file.registries(), ["a.io"]);
    }

    #[test]
    fn a_new_file_is_for_its_user_only_also_behind_a_dangling_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let link = dir.join("link.json");
        std::os::unix::fs::symlink("deep/er/real.json", &link).unwrap();
        let mut file = AccountFile::open(&link).unwrap();
        file.set("a.io", &password("u"));
        file.write().unwrap();
        let mode = |path: &str| std::fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("deep/er/real.json"), mode("deep/er")), (0o600, 0o700));
        let (a, b) = (dir.join("a"), dir.join("b"));
        std::os::unix::fs::symlink(&a, &b).unwrap();
        std::os::unix::fs::symlink(&b, &a).unwrap();
        assert!(AccountFile::open(&a).is_err());
    }

    #[test]
    fn helpers_of_a_registry() {
        let file = |text: &str| AccountFile {
            path: "f".into(),
            content: serde_json::from_str(text).unwrap(),
            _lock: None,
        };
        let both = file(r#"{"credsStore": "store", "credHelpers": {"https://a.io": "own", "b.io": ""}}"#);
        for (registry, expected) in [
            ("a.io", ("own", "https://a.io")),
            ("b.io", ("store", "b.io")),
            ("docker.io", ("store", DOCKER_IO_KEY)),
        ] {
            let found = both.helper(registry).unwrap();
            assert_eq!((found.0.as_str(), found.1.as_str()), expected);
        }
        assert_eq!(file("{}").helper("a.io"), None);
        assert_eq!(both.helpers(), ["own", "store"]);
        assert!(both.knows("a.io") && !both.knows("c.io"));
    }
}
