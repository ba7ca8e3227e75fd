//! Credentials that docker, podman and their helpers keep.

use std::time::Duration;

use banger_tree::ChildSetup;
use camino::{Utf8Path, Utf8PathBuf};

use super::config_file::{Found, RUN_DIR, read};
use super::credential::Credential;
use super::helper::Helper;
use crate::registry::error::PullError;

/// Time limit of a credential helper. It may have to ask the user to unlock a keychain.
pub(super) const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// Sources of user names and passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialSource {
    /// No credentials: every pull is anonymous. This is the default.
    #[default]
    Anonymous,
    /// The files that docker and podman use: `$REGISTRY_AUTH_FILE`, podman's `auth.json` below
    /// `$XDG_RUNTIME_DIR` or `/run/containers`, then below `$XDG_CONFIG_HOME` or `~/.config`, and
    /// `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`. Reads the environment, and runs the
    /// credential helpers that these files name.
    User,
    /// One for the registry asked. Mirrors do not get it, nor the registries that a short name is searched in.
    Fixed(Credential),
    /// These files instead of the user's.
    Files {
        /// The files, in the order of the search.
        files: Vec<Utf8PathBuf>,
        /// The directory that holds the helpers; `None` is `$PATH`.
        helper_dir: Option<Utf8PathBuf>,
        /// How long a helper may take.
        helper_timeout: Duration,
    },
}

impl CredentialSource {
    /// Returns the names of the credential helpers that the files name, each with the file: `pass` for the program
    /// `docker-credential-pass`.
    ///
    /// # Errors
    /// A file exists and cannot be read or understood.
    pub fn named_helpers(&self) -> Result<Vec<(String, Utf8PathBuf)>, PullError> {
        let user_files;
        let files = match self {
            Self::Anonymous | Self::Fixed(_) => return Ok(Vec::new()),
            Self::User => {
                user_files = self::user_files();
                &user_files
            }
            Self::Files { files, .. } => files,
        };
        let mut found = Vec::new();
        for path in files {
            let Some(config) = read(path)? else { continue };
            found.extend(config.helpers().map(|name| (name.to_owned(), path.clone())));
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// Returns the source without a credential that is the same for every host.
    pub(crate) fn of_each_host(&self) -> Self {
        match self {
            Self::Fixed(_) => Self::Anonymous,
            other => other.clone(),
        }
    }

    /// Looks up the credential for a repository; `None` is an anonymous pull.
    pub(crate) async fn find(
        &self,
        registry: &str,
        repository: &str,
        child_setup: ChildSetup,
    ) -> Result<Option<Credential>, PullError> {
        let user_files;
        let (files, helper_dir, timeout) = match self {
            Self::Anonymous => return Ok(None),
            Self::Fixed(credential) => return Ok(Some(credential.clone())),
            Self::User => {
                user_files = self::user_files();
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
                Found::Helper { name, server, is_certain } => {
                    let helper = Helper { name: &name, dir: helper_dir, timeout, config: path, child_setup };
                    // A store that is not installed has no login for a registry that nobody logged in to.
                    if !is_certain && helper.is_missing() {
                        continue;
                    }
                    if let Some(credential) = helper.get(&server).await? {
                        return Ok(Some(credential));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// Returns the file for logins to new registries: that of `$REGISTRY_AUTH_FILE`, or docker's, which podman reads, too.
pub(super) fn user_login_file() -> Option<Utf8PathBuf> {
    let files = user_files();
    match std::env::var("REGISTRY_AUTH_FILE").is_ok_and(|file| !file.is_empty()) {
        true => files.into_iter().next(),
        false => files.into_iter().next_back().filter(|file| file.file_name() == Some("config.json")),
    }
}

/// Returns the files of the user, by the environment.
pub(super) fn user_files() -> Vec<Utf8PathBuf> {
    user_files_from(rustix::process::getuid().as_raw(), &|name| std::env::var(name).ok())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn password(user: &str, password: &str) -> Option<Credential> {
        Some(Credential::Password { user: user.to_owned(), password: password.to_owned() })
    }

    /// Go programs write `null` for an empty map, and docker treats an empty file as an empty configuration.
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
            assert_eq!(source.find("r.io", "x", ChildSetup::default()).await.unwrap(), found, "{text:?}");
            assert_eq!(source.find("s.io", "x", ChildSetup::default()).await.unwrap(), None, "{text:?}");
        }
        std::fs::write(&path, "{").unwrap();
        assert!(source.find("r.io", "x", ChildSetup::default()).await.is_err());
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
