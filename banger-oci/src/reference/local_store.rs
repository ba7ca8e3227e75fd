//! References to what other programs keep on this machine: daemons, the storage of podman, containerd.

use camino::{Utf8Path, Utf8PathBuf};

use super::error::Unfit;
use super::local::{PathKind, is_name, look, split_local};
use super::registry::RegistryReference;
use super::selector::Selector;
use crate::digest::Digest;

/// The driver of a storage whose layers can be read.
const DRIVER: &str = "overlay";

/// The namespace of a reference to containerd that names none.
pub(super) const DEFAULT_NAMESPACE: &str = "default";

/// A daemon that exports its images over a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageDaemon {
    /// The Docker engine.
    Docker,
    /// The service of podman.
    Podman,
}

impl ImageDaemon {
    /// Returns the word before the colon of a reference.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Docker => "docker-daemon",
            Self::Podman => "podman",
        }
    }

    /// Returns the daemon that a reference names, and the rest of the text.
    pub(super) fn of(text: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = text.split_once(':')?;
        [Self::Docker, Self::Podman]
            .into_iter()
            .find(|daemon| daemon.scheme() == scheme)
            .map(|daemon| (daemon, rest))
    }
}

/// Reads the name of an image of a daemon. It becomes a part of a URL.
pub(super) fn daemon_name(text: &str) -> Result<String, Unfit> {
    if text.is_empty() {
        return Err("there is no name behind the colon".to_owned().into());
    }
    if text.contains('@') {
        return Err(Unfit::new(
            "the export of a daemon has no manifest, so a digest cannot be checked",
            "choose the image by its id, as in docker-daemon:sha256:…",
        ));
    }
    let is_id = text.parse::<Digest>().is_ok() || text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id && let Err(reason) = RegistryReference::parse(text) {
        return Err(Unfit::new(
            reason,
            "write docker-daemon:NAME or podman:NAME, as in podman:debian:bookworm",
        ));
    }
    Ok(text.to_owned())
}

/// Splits `[DRIVER@ROOT+RUN:OPTIONS]NAME`; the brackets may be missing.
pub(super) fn containers_storage(text: &str) -> Result<(Option<Utf8PathBuf>, Selector), Unfit> {
    let (root, name) = match text.strip_prefix('[') {
        None => (None, text),
        Some(inside) => {
            let (place, name) = inside.split_once(']').ok_or_else(|| "a bracket is not closed".to_owned())?;
            (Some(storage_root(place)?), name)
        }
    };
    Ok((root, storage_selector(name)?))
}

fn storage_root(place: &str) -> Result<Utf8PathBuf, Unfit> {
    let (driver, dirs) = place.split_once('@').unwrap_or((DRIVER, place));
    if !["", DRIVER, "overlay2"].contains(&driver) {
        return Err(Unfit::new(
            format!("the storage driver `{driver}` is not read here"),
            "push the image to an OCI layout, and give oci:DIR",
        ));
    }
    let end = dirs.find('+').or_else(|| dirs.find(':')).unwrap_or(dirs.len());
    let root = Utf8Path::new(&dirs[..end]);
    match root.is_absolute() {
        true => Ok(root.to_owned()),
        false => Err(format!("the directory of the storage, `{root}`, is not an absolute path").into()),
    }
}

/// Reads `NAME`, `@ID`, `NAME@ID` or `NAME@sha256:HEX`.
fn storage_selector(text: &str) -> Result<Selector, Unfit> {
    let (name, digest) = match text.rsplit_once('@') {
        None => (text, None),
        Some((name, id)) => {
            let digest = if id.contains(':') { id.to_owned() } else { format!("sha256:{id}") };
            (name, Some(digest.parse::<Digest>().map_err(|error| error.to_string())?))
        }
    };
    match (name, digest) {
        ("", None) => Err("there is no name of an image".to_owned().into()),
        ("", Some(digest)) => Ok(Selector::Digest(digest)),
        (name, _) if !is_name(name) => Err(format!("`{name}` cannot be the name of an image").into()),
        (name, None) => Ok(Selector::Name(name.to_owned())),
        (name, Some(digest)) => Ok(Selector::Pinned { name: name.to_owned(), digest }),
    }
}

/// Splits `DIR[:NAMESPACE][:NAME][@DIGEST]`.
pub(super) fn containerd(text: &str) -> Result<(Utf8PathBuf, String, Selector), Unfit> {
    let (dir, selector) = split_local(text, |path| look(path, PathKind::Directory))?;
    let (namespace, selector) = match selector {
        Selector::Name(name) => {
            let (namespace, name) = split_namespace(&name);
            (namespace, Selector::Name(name))
        }
        Selector::Pinned { name, digest } => {
            let (namespace, name) = split_namespace(&name);
            (namespace, Selector::Pinned { name, digest })
        }
        selector => (DEFAULT_NAMESPACE.to_owned(), selector),
    };
    Ok((dir, namespace, selector))
}

/// Splits `[NAMESPACE:]NAME`. A text that is an image name as a whole has no namespace.
fn split_namespace(text: &str) -> (String, String) {
    let is_image = |name: &str| RegistryReference::parse(name).is_ok();
    let is_namespace =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    match text.split_once(':') {
        Some((namespace, name)) if is_namespace(namespace) && !is_image(text) && is_image(name) => {
            (namespace.to_owned(), name.to_owned())
        }
        _ => (DEFAULT_NAMESPACE.to_owned(), text.to_owned()),
    }
}
