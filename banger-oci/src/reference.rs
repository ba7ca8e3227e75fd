//! Image references: the source of an image, and its name there.

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};

use crate::digest::Digest;

mod error;
mod local;
mod local_store;
mod registry;
mod scheme;
mod selector;

pub use error::ReferenceError;
pub use local_store::ImageDaemon;
pub use registry::RegistryReference;
pub use selector::Selector;

use error::Unfit;
use local::{INPUT, PathKind, look, split_archive, split_local};
use local_store::{containerd, containers_storage, daemon_name};
use scheme::not_a_registry;

/// The source of an image.
///
/// [`Display`](fmt::Display) writes the canonical form, which parses to the same value. If paths and names
/// have colons, parsing checks which of the paths exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reference {
    /// A repository of a registry: `debian`, `ghcr.io/o/r:t`, `docker://host:5000/r@sha256:…`.
    Registry(RegistryReference),
    /// A directory with an OCI image layout: `oci:DIR[:NAME]`, `oci:DIR@sha256:…`.
    OciLayout {
        /// The directory that holds `oci-layout` and `index.json`.
        dir: Utf8PathBuf,
        /// Which of its images is meant.
        selector: Selector,
    },
    /// A tar of an OCI image layout, compressed or not: `oci-archive:FILE[:NAME]`. `-` is the input that the caller
    /// gives.
    OciArchive {
        /// The archive.
        file: Utf8PathBuf,
        /// Which of its images is meant.
        selector: Selector,
    },
    /// The output of `docker save`, compressed or not: `docker-archive:FILE[:NAME]`. `-` is the input that the
    /// caller gives.
    DockerArchive {
        /// The archive.
        file: Utf8PathBuf,
        /// Which of its images is meant.
        selector: Selector,
    },
    /// An image of a daemon on this machine: `docker-daemon:NAME`, `podman:NAME`. An id is written `sha256:HEX`.
    Daemon {
        /// The daemon.
        daemon: ImageDaemon,
        /// The name or id of the image there.
        name: String,
    },
    /// An image in the storage of podman, buildah and CRI-O: `containers-storage:NAME`,
    /// `containers-storage:[overlay@ROOT]NAME`.
    ContainersStorage {
        /// The directory of the storage; `None` is the one that the caller sets.
        root: Option<Utf8PathBuf>,
        /// Which of its images is meant.
        selector: Selector,
    },
    /// An image in the directory of containerd: `containerd:DIR[:NAMESPACE][:NAME]`.
    Containerd {
        /// The directory that holds `io.containerd.content.v1.content`.
        dir: Utf8PathBuf,
        /// The namespace of the image.
        namespace: String,
        /// Which of its images is meant.
        selector: Selector,
    },
}

impl Reference {
    /// The namespace of a reference to containerd that names none.
    pub const DEFAULT_NAMESPACE: &str = local_store::DEFAULT_NAMESPACE;

    /// Returns whether the image is in an archive that the caller gives as an open file: `docker-archive:-`,
    /// `oci-archive:-`.
    #[must_use]
    pub fn is_input(&self) -> bool {
        matches!(self, Self::OciArchive { file, .. } | Self::DockerArchive { file, .. } if file == INPUT)
    }

    /// Returns a name for the image, made of the last parts of the reference, for example `debian-bookworm`.
    /// It has only letters, digits, `.`, `_` and `-`.
    #[must_use]
    pub fn suggested_name(&self) -> String {
        let (stem, suffix) = match self {
            Self::Registry(registry) => registry_parts(registry),
            Self::OciArchive { selector, .. } | Self::DockerArchive { selector, .. } if self.is_input() => {
                selector_parts(selector)
            }
            Self::OciLayout { dir: path, selector }
            | Self::OciArchive { file: path, selector }
            | Self::DockerArchive { file: path, selector } => {
                let suffix = match selector {
                    Selector::Only => None,
                    Selector::Name(name) | Selector::Pinned { name, .. } => {
                        let name = name.split('@').next().unwrap_or(name);
                        Some(name.rsplit([':', '/']).next().unwrap_or(name).to_owned())
                    }
                    Selector::Digest(digest) => Some(digest.short().to_owned()),
                };
                (archive_stem(path).to_owned(), suffix)
            }
            Self::Daemon { name, .. } => match name.parse::<Digest>() {
                Ok(digest) => selector_parts(&Selector::Digest(digest)),
                Err(_) => name_parts(name),
            },
            Self::ContainersStorage { selector, .. } | Self::Containerd { selector, .. } => {
                selector_parts(selector)
            }
        };
        let joined = match suffix {
            Some(suffix) => format!("{stem}-{suffix}"),
            None => stem,
        };
        let name: String = joined
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
            .collect();
        let name = name.trim_matches(['.', '-']);
        if name.is_empty() { "image".to_owned() } else { name.to_owned() }
    }

    /// Whether the reference names content, which cannot change, rather than a tag.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Registry(registry) => registry.digest(),
            Self::OciLayout { selector, .. }
            | Self::OciArchive { selector, .. }
            | Self::DockerArchive { selector, .. }
            | Self::ContainersStorage { selector, .. }
            | Self::Containerd { selector, .. } => match selector {
                Selector::Digest(digest) | Selector::Pinned { digest, .. } => Some(digest),
                Selector::Only | Selector::Name(_) => None,
            },
            // An id is the digest of the configuration.
            Self::Daemon { .. } => None,
        }
    }
}

/// The parts of a suggested name: the stem, and what follows it.
type NameParts = (String, Option<String>);

fn registry_parts(registry: &RegistryReference) -> NameParts {
    let last = registry.repository().rsplit('/').next().unwrap_or_default();
    let suffix = match (registry.tag(), registry.digest()) {
        (Some(tag), _) => Some(tag.to_owned()),
        (None, Some(digest)) => Some(digest.short().to_owned()),
        (None, None) => None,
    };
    (last.to_owned(), suffix)
}

fn name_parts(name: &str) -> NameParts {
    match RegistryReference::parse(name) {
        Ok(registry) => registry_parts(&registry),
        Err(_) => (name.to_owned(), None),
    }
}

fn selector_parts(selector: &Selector) -> NameParts {
    match selector {
        Selector::Only => ("image".to_owned(), None),
        Selector::Name(name) | Selector::Pinned { name, .. } => name_parts(name),
        Selector::Digest(digest) => ("image".to_owned(), Some(digest.short().to_owned())),
    }
}

/// The file name without the endings that archives have.
fn archive_stem(path: &Utf8Path) -> &str {
    let mut name = path.file_name().unwrap_or("image");
    for ending in [".gz", ".zst", ".tgz", ".tar", ".oci", ".docker"] {
        name = name.strip_suffix(ending).filter(|rest| !rest.is_empty()).unwrap_or(name);
    }
    name
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let parsed = if let Some(rest) = text.strip_prefix("oci:") {
            let split = split_local(rest, |path| look(path, PathKind::Directory));
            split.map(|(dir, selector)| Self::OciLayout { dir, selector })
        } else if let Some(rest) = text.strip_prefix("oci-archive:") {
            split_archive(rest).map(|(file, selector)| Self::OciArchive { file, selector })
        } else if let Some(rest) = text.strip_prefix("docker-archive:") {
            split_archive(rest).map(|(file, selector)| Self::DockerArchive { file, selector })
        } else if let Some((daemon, rest)) = ImageDaemon::of(text) {
            daemon_name(rest).map(|name| Self::Daemon { daemon, name })
        } else if let Some(rest) = text.strip_prefix("containers-storage:") {
            containers_storage(rest).map(|(root, selector)| Self::ContainersStorage { root, selector })
        } else if let Some(rest) = text.strip_prefix("containerd:") {
            containerd(rest).map(|(dir, namespace, selector)| Self::Containerd { dir, namespace, selector })
        } else if let Some(reason) = not_a_registry(text) {
            Err(reason)
        } else {
            let rest = text.strip_prefix("docker://").unwrap_or(text);
            RegistryReference::parse(rest).map(Self::Registry).map_err(|reason| {
                Unfit::new(reason, "write one like debian:bookworm, ghcr.io/owner/name:tag or oci:DIR")
            })
        };
        parsed.map_err(|unfit: Unfit| unfit.into_error(text))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, selector) = match self {
            Self::Registry(registry) => return registry.fmt(f),
            Self::OciLayout { dir, selector } => ("oci", dir, selector),
            Self::OciArchive { file, selector } => ("oci-archive", file, selector),
            Self::DockerArchive { file, selector } => ("docker-archive", file, selector),
            Self::Daemon { daemon, name } => return write!(f, "{}:{name}", daemon.scheme()),
            Self::ContainersStorage { root, selector } => {
                f.write_str("containers-storage:")?;
                if let Some(root) = root {
                    write!(f, "[overlay@{root}]")?;
                }
                return selector.fmt_bare(f);
            }
            Self::Containerd { dir, namespace, selector } => {
                write!(f, "containerd:{dir}")?;
                if namespace != Self::DEFAULT_NAMESPACE {
                    write!(f, ":{namespace}")?;
                }
                return selector.fmt(f);
            }
        };
        write!(f, "{scheme}:{path}")?;
        selector.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::Failure as _;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_are_completed() {
        let at = format!("@sha256:{HEX}");
        let cases = [
            ("debian", "docker.io/library/debian:latest", "debian-latest"),
            ("debian:bookworm", "docker.io/library/debian:bookworm", "debian-bookworm"),
            ("docker://debian:bookworm", "docker.io/library/debian:bookworm", "debian-bookworm"),
            ("index.docker.io/a/b", "docker.io/a/b:latest", "b-latest"),
            ("a/b:1", "docker.io/a/b:1", "b-1"),
            ("ghcr.io/o/r:t", "ghcr.io/o/r:t", "r-t"),
            ("localhost/r", "localhost/r:latest", "r-latest"),
            ("localhost:5000/r:t", "localhost:5000/r:t", "r-t"),
            ("[::1]:5000/r:t", "[::1]:5000/r:t", "r-t"),
            ("127.0.0.1:5000/a/b__c:T.1", "127.0.0.1:5000/a/b__c:T.1", "b__c-T.1"),
            ("Example.com/r", "example.com/r:latest", "r-latest"),
            ("oci:dir", "oci:dir", "dir"),
            ("oci:/a/dir:tag", "oci:/a/dir:tag", "dir-tag"),
            ("oci:/a:b/dir", "oci:/a:b/dir", "a-dir"),
            ("oci:/a/d:docker.io/library/b:1.0", "oci:/a/d:docker.io/library/b:1.0", "d-1.0"),
            ("oci:/a/d:localhost/x", "oci:/a/d:localhost/x", "d-x"),
            ("oci-archive:/x/alpine.oci.tar:3.20", "oci-archive:/x/alpine.oci.tar:3.20", "alpine-3.20"),
            ("docker-archive:a.tar.gz", "docker-archive:a.tar.gz", "a"),
            ("docker-archive:a.tgz:alpine:3.11", "docker-archive:a.tgz:alpine:3.11", "a-3.11"),
            ("docker-archive:-", "docker-archive:-", "image"),
            ("oci-archive:-:team/app:2", "oci-archive:-:team/app:2", "app-2"),
            ("docker-daemon:debian", "docker-daemon:debian", "debian-latest"),
            ("podman:quay.io/a/b:1", "podman:quay.io/a/b:1", "b-1"),
            ("podman:localhost:5000/b:1", "podman:localhost:5000/b:1", "b-1"),
            ("containers-storage:localhost/app:1", "containers-storage:localhost/app:1", "app-1"),
            (
                "containers-storage:[overlay@/s+/run/s:overlay.mountopt=nodev]app:1",
                "containers-storage:[overlay@/s]app:1",
                "app-1",
            ),
            ("containers-storage:[/s+/run]app:1", "containers-storage:[overlay@/s]app:1", "app-1"),
            ("containerd:/c", "containerd:/c", "image"),
            ("containerd:/c:docker.io/library/x:1", "containerd:/c:docker.io/library/x:1", "x-1"),
            ("containerd:/c:x:1", "containerd:/c:x:1", "x-1"),
            ("containerd:/c:localhost:5000/x:1", "containerd:/c:localhost:5000/x:1", "x-1"),
            ("containerd:/c:k8s.io:x:1", "containerd:/c:k8s.io:x:1", "x-1"),
            ("containerd:/c:default:docker.io/a/x:1", "containerd:/c:docker.io/a/x:1", "x-1"),
            ("containerd:/c:moby:localhost:5000/x:1", "containerd:/c:moby:localhost:5000/x:1", "x-1"),
        ];
        for (text, canonical, name) in cases {
            let reference: Reference = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(reference.to_string(), canonical, "{text}");
            assert_eq!(reference.suggested_name(), name, "{text}");
            assert_eq!(canonical.parse::<Reference>().unwrap(), reference, "{text}");
        }
        for (text, canonical) in [
            (format!("host:5000/r{at}"), format!("host:5000/r{at}")),
            (format!("debian:12{at}"), format!("docker.io/library/debian:12{at}")),
            (format!("oci:/a/dir{at}"), format!("oci:/a/dir{at}")),
            (format!("oci:/a/dir:x:1{at}"), format!("oci:/a/dir:x:1{at}")),
            (format!("containers-storage:x:1{at}"), format!("containers-storage:x:1{at}")),
            (format!("containers-storage:@{HEX}"), format!("containers-storage:{at}")),
            (format!("containers-storage:x:1@{HEX}"), format!("containers-storage:x:1{at}")),
            (format!("containerd:/c:k8s.io:x:1{at}"), format!("containerd:/c:k8s.io:x:1{at}")),
            (format!("containerd:/c{at}"), format!("containerd:/c{at}")),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), canonical);
            assert_eq!(reference.digest().unwrap().hex(), HEX);
        }
    }

    #[test]
    fn b32_what_cannot_become_a_path_or_url_is_refused() {
        let long = "a".repeat(256);
        let long_tag = format!("a:{}", "t".repeat(129));
        let bad = [
            "",
            ":",
            "/",
            "a/",
            "/a",
            "a//b",
            "Debian",
            "debian:",
            "debian:-x",
            "debian:a/b",
            "a:é",
            "a:b:c",
            "debian@sha256:00",
            "debian@md5:d41d8cd98f00b204e9800998ecf8427e",
            "../x",
            "a/../b",
            "host:99999/r",
            "host:+80/r",
            "ho st.x/r",
            "-a.b/r",
            "user@host.x/r",
            "a..b",
            "a___b",
            "a-",
            "[::1/r",
            "[zz]:1/r",
            "a?b",
            "a%2fb",
            "a#b",
            "a\n",
            "oci:",
            "oci::tag",
            "oci:dir:bad tag",
            "oci:dir@sha256:00",
            "docker-archive:",
            &long,
            &long_tag,
        ];
        for text in bad {
            let error = text.parse::<Reference>().expect_err(text);
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn what_is_meant_by_something_else_is_said() {
        for (text, says) in [
            ("https://docker.io/library/debian", "docker.io/library/debian"),
            ("http://localhost:5000/r", "leave the scheme out"),
            ("./layout", "oci:DIR"),
            ("/images/debian.tar", "docker-archive:FILE"),
            ("dir:/images/debian", "skopeo copy"),
            ("file:///images/debian.tar", "oci-archive:FILE"),
            ("file:debian.tar", "docker-archive:FILE"),
            ("tar:debian.tar", "docker-archive:FILE"),
            ("ocidir://layout", "oci:DIR"),
            ("oci-layout:layout", "oci:DIR"),
            ("oci-dir:layout:tag", "oci:DIR"),
            ("s3://bucket/image", "oci:DIR"),
            ("docker-tarball:x.tar", "docker-archive:FILE"),
            ("ostree:debian", "docker save"),
            ("podman:", "no name"),
            ("docker-daemon:bad name", "podman:NAME"),
            ("docker-daemon:debian@sha256:00", "by its id"),
            ("containers-storage:", "no name"),
            ("containers-storage:[vfs@/s]x", "`vfs`"),
            ("containers-storage:[overlay@s]x", "absolute"),
            ("containers-storage:[/s", "bracket"),
            ("containers-storage:@12ab", "hexadecimal digits"),
            ("Containers-Storage:x", "in lowercase"),
            ("OCI:layout", "`oci:` in lowercase"),
            ("Docker-Archive:x.tar", "`docker-archive:` in lowercase"),
            ("debian:", "no tag"),
            ("a b", "debian:bookworm"),
        ] {
            let error = text.parse::<Reference>().expect_err(text);
            let advice = error.advice().map(|advice| advice.to_string()).unwrap_or_default();
            let error = format!("{error}; {advice}");
            assert!(error.contains(says), "{says:?} is not in {error}");
        }
        for good in ["docker:dind", "library/dir:1", "registry:2", "archive:5000/debian"] {
            assert!(good.parse::<Reference>().is_ok(), "{good}");
        }
    }

    #[test]
    fn the_canonical_form_means_the_same() {
        for text in
            ["HOST/repo", "INDEX.docker.io/debian", "GHCR.io/o/r", "LOCALHOST/r:t", "[::1]:5000/r", "a/b"]
        {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string().parse(), Ok(reference), "{text}");
        }
    }
}
