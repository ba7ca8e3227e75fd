//! Where daemons and storages of this machine are.

use std::env::var;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::reference::ImageDaemon;
use crate::registry::error::PullError;
use crate::registry::missing::is_missing;

/// The storage of root's podman.
const ROOT_STORAGE: &str = "/var/lib/containers/storage";
/// The configuration of the storage, the first one that exists.
const SYSTEM_CONF: [&str; 2] = ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"];

/// Where the daemons and the storage of this machine are, for `docker-daemon:NAME`, `podman:NAME` and
/// `containers-storage:NAME`.
///
/// ```
/// use banger_oci::{LocalSources, PullOptions};
///
/// let local = LocalSources::default().with_docker_host("unix:///run/docker.sock".to_owned());
/// let options = PullOptions::default().with_local(local);
/// assert!(!options.local.of_user);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalSources {
    /// The socket of docker: a path, or `unix://` and a path.
    pub docker_host: Option<String>,
    /// The socket of podman, in the same form.
    pub podman_host: Option<String>,
    /// The directory of the storage of podman, buildah and CRI-O.
    pub storage_root: Option<Utf8PathBuf>,
    /// Look for the places that are not set where the user's programs have them. Default: no. Reads the environment:
    ///
    /// - docker: `$DOCKER_HOST`, else `/var/run/docker.sock`, else `$XDG_RUNTIME_DIR/docker.sock`;
    /// - podman: `$CONTAINER_HOST`, else `$XDG_RUNTIME_DIR/podman/podman.sock`, else `/run/podman/podman.sock`;
    /// - storage: `graphroot` of `$CONTAINERS_STORAGE_CONF`, of `storage.conf` below `$XDG_CONFIG_HOME/containers` or
    ///   `~/.config/containers`, or, for root, of `/etc/containers/storage.conf` or `/usr/share/containers/storage.conf`;
    ///   else `/var/lib/containers/storage` for root, and `containers/storage` below `$XDG_DATA_HOME` or
    ///   `~/.local/share` for others.
    pub of_user: bool,
}

banger_tree::setters! {
    LocalSources {
        with_docker_host => docker_host: Option<String>,
        with_podman_host => podman_host: Option<String>,
        with_storage_root => storage_root: Option<Utf8PathBuf>,
        with_of_user => of_user: bool,
    }
}

/// The part of `storage.conf` that is used.
#[derive(Debug, Default, Deserialize)]
struct StorageConf {
    #[serde(default)]
    storage: StorageTable,
}

#[derive(Debug, Default, Deserialize)]
struct StorageTable {
    #[serde(default)]
    graphroot: Option<String>,
}

impl LocalSources {
    /// Returns the address of a daemon, if it is known.
    pub(crate) fn host_of(&self, daemon: ImageDaemon) -> Option<String> {
        let given = match daemon {
            ImageDaemon::Docker => &self.docker_host,
            ImageDaemon::Podman => &self.podman_host,
        };
        given.clone().or_else(|| self.of_user.then(|| user_host(daemon)))
    }

    /// Returns the directory of the storage, if it is known.
    pub(crate) fn storage(&self) -> Result<Option<Utf8PathBuf>, PullError> {
        match &self.storage_root {
            Some(root) => Ok(Some(root.clone())),
            None if self.of_user => user_storage().map(Some),
            None => Ok(None),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    var(name).ok().filter(|value| !value.is_empty())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the socket that the client of a daemon takes.
fn user_host(daemon: ImageDaemon) -> String {
    let run = |name: &str| variable("XDG_RUNTIME_DIR").map(|dir| format!("{dir}/{name}"));
    let (variable_name, system, of_user) = match daemon {
        ImageDaemon::Docker => ("DOCKER_HOST", "/var/run/docker.sock", run("docker.sock")),
        ImageDaemon::Podman => ("CONTAINER_HOST", "/run/podman/podman.sock", run("podman/podman.sock")),
    };
    if let Some(given) = variable(variable_name) {
        return given;
    }
    let own = of_user.filter(|path| Utf8Path::new(path).exists());
    match (daemon, own) {
        // Podman is a daemon of its user, docker one of the system.
        (ImageDaemon::Podman, Some(own)) if !is_root() => own,
        (_, Some(own)) if !Utf8Path::new(system).exists() => own,
        _ => system.to_owned(),
    }
}

/// Returns the storage that podman takes.
fn user_storage() -> Result<Utf8PathBuf, PullError> {
    let home = |path: &str| variable("HOME").map(|home| format!("{home}/{path}"));
    let below = |variable_name: &str, default: &str| variable(variable_name).or_else(|| home(default));
    let own = below("XDG_CONFIG_HOME", ".config").map(|dir| format!("{dir}/containers/storage.conf"));
    let system = SYSTEM_CONF.iter().filter(|_| is_root()).map(|path| (*path).to_owned());
    let files = match variable("CONTAINERS_STORAGE_CONF") {
        Some(file) => vec![file],
        None => own.into_iter().chain(system).collect(),
    };
    for file in files {
        let path = Utf8Path::new(&file);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if is_missing(&error) => continue,
            Err(error) => return Err(PullError::io("read", path)(error)),
        };
        let conf: StorageConf = toml::from_str(&text).map_err(|error| PullError::Malformed {
            what: path.to_string(),
            reason: crate::one_line::one_line(error.message()),
        })?;
        if let Some(root) = conf.storage.graphroot.filter(|root| !root.is_empty()) {
            return Ok(with_variables(&root).into());
        }
        break;
    }
    let default = match is_root() {
        true => None,
        false => below("XDG_DATA_HOME", ".local/share").map(|dir| format!("{dir}/containers/storage")),
    };
    Ok(default.unwrap_or_else(|| ROOT_STORAGE.to_owned()).into())
}

/// Replaces the variables that `storage.conf` may have: `$HOME`, `$USER` and `$UID`.
fn with_variables(path: &str) -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let mut path = path.to_owned();
    for (name, value) in [("HOME", variable("HOME")), ("USER", variable("USER")), ("UID", Some(uid))] {
        let value = value.unwrap_or_default();
        path = path.replace(&format!("${{{name}}}"), &value).replace(&format!("${name}"), &value);
    }
    path
}
