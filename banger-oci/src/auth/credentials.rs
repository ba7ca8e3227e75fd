//! Credentials that docker, podman and their helpers keep.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::error::PullError;
use crate::json::nullable;

/// How long a credential helper may take. It may have to ask the user to unlock a keychain.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// The key under which docker keeps the credentials for docker.io.
const DOCKER_IO_KEY: &str = "https://index.docker.io/v1/";

/// Where podman keeps the credentials of users without a runtime directory.
const RUN_DIR: &str = "/run/containers";

/// Where user names and passwords come from.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum CredentialSource {
    /// The files that docker and podman use: `$REGISTRY_AUTH_FILE`, podman's `auth.json`,
    /// `$DOCKER_CONFIG/config.json`, `~/.docker/config.json`.
    #[default]
    User,
    /// None: every pull is anonymous.
    Anonymous,
    /// One for every registry asked.
    Fixed(Credential),
    /// These files instead of the user's.
    Files {
        /// In the order they are looked at.
        files: Vec<Utf8PathBuf>,
        /// The directory that holds the helpers; `None` is `$PATH`.
        helper_dir: Option<Utf8PathBuf>,
        /// How long a helper may take.
        helper_timeout: Duration,
    },
}

/// What proves who somebody is.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// User name and password, or a personal access token in its place.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// A refresh token that the token server exchanges for access tokens.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets stay out of logs.
        match self {
            Self::Password { user, .. } => write!(f, "Password({user})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

/// A `config.json` or `auth.json`.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct ConfigFile {
    #[serde(deserialize_with = "nullable")]
    auths: BTreeMap<String, Entry>,
    #[serde(deserialize_with = "nullable")]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl CredentialSource {
    /// Looks up the credential for a repository; `None` is an anonymous pull.
    pub(crate) async fn find(
        &self,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Credential>, PullError> {
        let user_files;
        let (files, helper_dir, timeout) = match self {
            Self::Anonymous => return Ok(None),
            Self::Fixed(credential) => return Ok(Some(credential.clone())),
            Self::User => {
                let uid = rustix::process::getuid().as_raw();
                user_files = user_files_from(uid, &|name| std::env::var(name).ok());
                (&user_files, None, HELPER_TIMEOUT)
            }
            Self::Files { files, helper_dir, helper_timeout } => {
                (files, helper_dir.as_deref(), *helper_timeout)
            }
        };
        for path in files {
            let Some(config) = read(path)? else { continue };
            match config.lookup(path, registry, repository)? {
                Found::Nothing => {}
                Found::Credential(credential) => return Ok(Some(credential)),
                Found::Helper { name, server } => {
                    let helper = Helper { name: &name, dir: helper_dir, timeout, config: path };
                    if let Some(credential) = helper.get(&server).await? {
                        return Ok(Some(credential));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The credential files of a user, in the order podman looks at them.
fn user_files_from(uid: u32, env: &dyn Fn(&str) -> Option<String>) -> Vec<Utf8PathBuf> {
    let var = |name| env(name).filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let home = var("HOME");
    let mut files = Vec::new();
    match var("REGISTRY_AUTH_FILE") {
        Some(file) => files.push(file),
        None => {
            files.push(match var("XDG_RUNTIME_DIR") {
                Some(dir) => dir.join("containers/auth.json"),
                None => Utf8Path::new(RUN_DIR).join(uid.to_string()).join("auth.json"),
            });
            let config = var("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
            files.extend(config.map(|dir| dir.join("containers/auth.json")));
        }
    }
    let docker = var("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
    files.extend(docker.map(|dir| dir.join("config.json")));
    files
}

fn read(path: &Utf8Path) -> Result<Option<ConfigFile>, PullError> {
    let error = |reason: String| PullError::CredentialFile { path: path.to_owned(), reason };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // Root's podman makes the directory for itself: nothing of this user is in it.
        Err(problem)
            if problem.kind() == std::io::ErrorKind::PermissionDenied && path.starts_with(RUN_DIR) =>
        {
            return Ok(None);
        }
        Err(problem) => return Err(error(problem.to_string())),
    };
    // Docker takes it for a configuration that says nothing.
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&text).map(Some).map_err(|problem| error(problem.to_string()))
}

enum Found {
    Nothing,
    Credential(Credential),
    Helper { name: String, server: String },
}

impl ConfigFile {
    /// The longest key that fits counts; at the same length a helper counts before an entry. The
    /// store, which serves all registries, comes last.
    fn lookup(&self, path: &Utf8Path, registry: &str, repository: &str) -> Result<Found, PullError> {
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
                Ok(Found::Helper { name: helper.clone(), server: server.to_owned() })
            }
            (_, Some((_, key, entry))) => {
                entry.credential().map(Found::Credential).map_err(|reason| PullError::CredentialFile {
                    path: path.to_owned(),
                    reason: format!("the entry for {key} {reason}"),
                })
            }
            _ => Ok(match self.creds_store.as_deref().filter(|store| !store.is_empty()) {
                Some(store) => Found::Helper { name: store.to_owned(), server: server.to_owned() },
                None => Found::Nothing,
            }),
        }
    }
}

/// A key of the file as `host[/path]`: docker writes URLs, some with the API version behind.
fn normalise(key: &str) -> String {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", path)) => format!("docker.io/{path}"),
        None if matches!(key, "index.docker.io" | "registry-1.docker.io") => "docker.io".to_owned(),
        _ => key.to_owned(),
    }
}

impl Entry {
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

/// A program `docker-credential-NAME` and how to run it.
struct Helper<'a> {
    name: &'a str,
    dir: Option<&'a Utf8Path>,
    timeout: Duration,
    config: &'a Utf8Path,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

impl Helper<'_> {
    /// Asks the helper for a server; `None` where it has nothing for it.
    async fn get(&self, server: &str) -> Result<Option<Credential>, PullError> {
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
        let mut child = tokio::process::Command::new(&path)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A helper that hangs, or whose pull was cancelled, does not survive it.
            .kill_on_drop(true)
            .spawn()
            .map_err(|problem| error(format!("cannot be started: {problem}")))?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let talk = async {
            // A helper that ends without reading has said so by its exit status.
            let _unread = stdin.write_all(server.as_bytes()).await;
            drop(stdin);
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(self.timeout, talk)
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
            return Err(error(format!("failed ({}): {}", output.status, super::one_line(line))));
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
                (Found::Helper { name, server }, Some(expected)) => {
                    assert_eq!((name.as_str(), server.as_str()), expected);
                }
                (Found::Credential(credential), None) => {
                    assert_eq!(Some(credential), password("a", "b"));
                }
                _ => panic!("wrong source for {registry}/{repository}"),
            }
        }
    }

    /// Go programs write `null` for an empty map, and docker takes an empty file for no configuration.
    #[tokio::test]
    async fn b36_empty_files_and_null_maps() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("config.json")).unwrap();
        let source = CredentialSource::Files {
            files: vec![path.clone()],
            helper_dir: None,
            helper_timeout: HELPER_TIMEOUT,
        };
        let auth = r#"{"auths": {"r.io": {"auth": "YTpi"}}, "credHelpers": null}"#;
        for (text, found) in [
            ("", None),
            (" \n", None),
            ("{}", None),
            (r#"{"auths": null, "credHelpers": null, "credsStore": null}"#, None),
            (auth, password("a", "b")),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(source.find("r.io", "x").await.unwrap(), found, "{text:?}");
            assert_eq!(source.find("s.io", "x").await.unwrap(), None, "{text:?}");
        }
        std::fs::write(&path, "{").unwrap();
        assert!(source.find("r.io", "x").await.is_err());
    }

    #[test]
    fn b36_files_in_order() {
        let files = |vars: &[(&str, &str)]| {
            let vars: BTreeMap<_, _> = vars.iter().copied().collect();
            user_files_from(7, &|name| vars.get(name).map(|value| (*value).to_owned()))
        };
        // Where `podman login` writes without a session, as root does.
        let home =
            ["/run/containers/7/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"];
        assert_eq!(files(&[("HOME", "/h")]), home);
        assert_eq!(
            files(&[
                ("HOME", "/h"),
                ("XDG_RUNTIME_DIR", "/run"),
                ("XDG_CONFIG_HOME", "/c"),
                ("DOCKER_CONFIG", "/d")
            ]),
            ["/run/containers/auth.json", "/c/containers/auth.json", "/d/config.json"]
        );
        assert_eq!(
            files(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a.json")]),
            ["/a.json", "/h/.docker/config.json"]
        );
        assert_eq!(files(&[]), ["/run/containers/7/auth.json"]);
    }
}
