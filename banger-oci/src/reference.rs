//! Image references: where an image comes from, and which one is meant.

use std::fmt;
use std::str::FromStr;

use camino::{Utf8Path, Utf8PathBuf};

use crate::digest::{Digest, DigestError};

mod local;

use local::{PathKind, look, split_local};

/// The longest repository name that registries have to take.
const NAME_LEN_MAX: usize = 255;
/// The longest tag (distribution-spec, "Pulling manifests").
const TAG_LEN_MAX: usize = 128;

/// Where an image is read from.
///
/// [`Display`](fmt::Display) writes the canonical form, which parses to the same value. Where paths
/// and names have colons, parsing looks which of the paths exists.
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
    /// A tar of an OCI image layout, compressed or not: `oci-archive:FILE[:NAME]`.
    OciArchive {
        /// The archive.
        file: Utf8PathBuf,
        /// Which of its images is meant.
        selector: Selector,
    },
    /// What `docker save` writes, compressed or not: `docker-archive:FILE[:NAME]`.
    DockerArchive {
        /// The archive.
        file: Utf8PathBuf,
        /// Which of its images is meant.
        selector: Selector,
    },
}

/// Which image of a layout or archive is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The only one there is.
    Only,
    /// The one with this name: a whole reference, or a tag that no other image has.
    Name(String),
    /// The one whose manifest, index or (in a docker archive) configuration has this digest.
    Digest(Digest),
    /// The one with this name and this digest.
    Pinned {
        /// The name.
        name: String,
        /// The digest.
        digest: Digest,
    },
}

/// A repository of a registry, with a tag, a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// A string that is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an image reference: {reason}")]
pub struct ReferenceError {
    /// The string.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Reference {
    /// A name for the image made of the last parts of the reference, such as `debian-bookworm`;
    /// it consists of letters, digits, `.`, `_` and `-` only.
    #[must_use]
    pub fn suggested_name(&self) -> String {
        let (stem, suffix) = match self {
            Self::Registry(registry) => {
                let last = registry.repository.rsplit('/').next().unwrap_or_default();
                let suffix = match (&registry.tag, &registry.digest) {
                    (Some(tag), _) => Some(tag.clone()),
                    (None, Some(digest)) => Some(digest.short().to_owned()),
                    (None, None) => None,
                };
                (last, suffix)
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
                (archive_stem(path), suffix)
            }
        };
        let joined = match suffix {
            Some(suffix) => format!("{stem}-{suffix}"),
            None => stem.to_owned(),
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
            | Self::DockerArchive { selector, .. } => match selector {
                Selector::Digest(digest) | Selector::Pinned { digest, .. } => Some(digest),
                Selector::Only | Selector::Name(_) => None,
            },
        }
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

impl RegistryReference {
    /// The registry as it is written, `docker.io` where none is: a host name or address, with a
    /// port where one was given.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The host and port that answer requests for this registry.
    #[must_use]
    pub fn api_host(&self) -> &str {
        if self.registry == "docker.io" { "registry-1.docker.io" } else { &self.registry }
    }

    /// The repository, with `library/` filled in for docker.io.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, `latest` where neither tag nor digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, which decides where there is a tag too.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|error: DigestError| error.to_string())?))
            }
            None => (text, None),
        };
        let (registry, remainder) = split_registry(rest);
        let (path, tag) = match remainder.rsplit_once(':') {
            Some((path, tag)) => {
                check_tag(tag)?;
                (path, Some(tag.to_owned()))
            }
            None => (remainder, None),
        };
        let registry = match registry.map(canonical_host).as_deref() {
            None | Some("index.docker.io" | "registry-1.docker.io") => "docker.io".to_owned(),
            Some(registry) => {
                check_registry(registry)?;
                registry.to_owned()
            }
        };
        check_repository(path)?;
        let repository = if registry == "docker.io" && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if repository.len() > NAME_LEN_MAX {
            return Err(format!("the repository name is longer than {NAME_LEN_MAX} bytes"));
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Self { registry, repository, tag, digest })
    }
}

/// Splits off the first component where it is a host: it holds a dot or a colon, is `localhost`,
/// or has uppercase letters, which no repository may have.
fn split_registry(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if is_surely_host(first) || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (Some(first), rest)
        }
        _ => (None, text),
    }
}

fn is_surely_host(component: &str) -> bool {
    component.contains(['.', ':']) || component == "localhost"
}

/// A host in lowercase, unless its letters are all that tell it from a repository.
fn canonical_host(host: &str) -> String {
    let lowercase = host.to_ascii_lowercase();
    if is_surely_host(&lowercase) { lowercase } else { host.to_owned() }
}

fn check_registry(registry: &str) -> Result<(), String> {
    let (host, port) = if let Some(bracketed) = registry.strip_prefix('[') {
        let (host, rest) =
            bracketed.split_once(']').ok_or_else(|| "the `[` of the host is not closed".to_owned())?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("`{host}` is not an IPv6 address"))?;
        match rest.strip_prefix(':') {
            Some(port) => (None, Some(port)),
            None if rest.is_empty() => (None, None),
            None => return Err(format!("`{registry}` is not a host")),
        }
    } else {
        match registry.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(registry), None),
        }
    };
    if let Some(host) = host {
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !host.split('.').all(label) {
            return Err(format!("`{host}` is not a host name"));
        }
    }
    if let Some(port) = port
        && (port.parse::<u16>().is_err() || port.starts_with('+'))
    {
        return Err(format!("`{port}` is not a port"));
    }
    Ok(())
}

/// distribution-spec: components of lowercase letters and digits, joined by one of `.`, `_`, `__`
/// or any number of `-`.
fn check_repository(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("there is no repository name".to_owned());
    }
    for component in path.split('/') {
        let mut separator = String::new();
        let mut ok = component.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        for c in component.chars() {
            match c {
                'a'..='z' | '0'..='9' => {
                    ok &= matches!(separator.as_str(), "" | "." | "_" | "__")
                        || separator.bytes().all(|byte| byte == b'-');
                    separator.clear();
                }
                '.' | '_' | '-' => separator.push(c),
                'A'..='Z' => {
                    return Err(format!("repository names are lowercase, `{component}` is not"));
                }
                _ => ok = false,
            }
        }
        if !ok || !separator.is_empty() {
            return Err(format!("`{component}` cannot be part of a repository name"));
        }
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), String> {
    match tag {
        "" => Err("there is no tag behind the colon".to_owned()),
        tag if is_tag(tag) => Ok(()),
        tag => Err(format!("`{tag}` is not a tag")),
    }
}

/// What there is to write before a name or a path.
const SCHEMES: &str = "write a name such as debian:bookworm or docker://host/name:tag for a registry, or oci:DIR, \
                       oci-archive:FILE or docker-archive:FILE for what is on this machine";

/// Words before a colon that other tools take for the kind of a source, and that no image on Docker
/// Hub is called like.
const OTHER_SCHEMES: [&str; 24] = [
    "archive",
    "containerd",
    "containers-storage",
    "dir",
    "docker-daemon",
    "docker-dir",
    "docker-image",
    "docker-tar",
    "docker-tarball",
    "file",
    "oci-dir",
    "oci-image",
    "oci-layout",
    "oci-registry",
    "oci-tar",
    "ocidir",
    "ociarchive",
    "ostree",
    "podman",
    "sif",
    "singularity",
    "tar",
    "tarball",
    "dockerarchive",
];

/// Says what to write in the place of what other tools, or other commands, take for a reference.
fn not_a_registry(text: &str) -> Option<String> {
    let scheme = text.split_once(':').map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    let (scheme, rest) = match &scheme {
        Some((scheme, rest)) => (scheme.as_str(), *rest),
        None => ("", ""),
    };
    if matches!(scheme, "https" | "http") && rest.starts_with("//") {
        return Some("it is a URL; leave the scheme out, as in docker.io/library/debian".to_owned());
    }
    if text.starts_with(['/', '.', '~']) {
        return Some(
            "it is a path; write oci:DIR, oci-archive:FILE or docker-archive:FILE for what is on this machine"
                .to_owned(),
        );
    }
    // A registry may be called anything: `archive:5000/debian`.
    if rest.split_once('/').is_some_and(|(port, _)| port.parse::<u16>().is_ok()) {
        return None;
    }
    if matches!(scheme, "containers-storage" | "docker-daemon" | "podman" | "containerd" | "ostree" | "dir") {
        return Some(format!(
            "`{scheme}:` is not read here; write the image to a file, with `docker save` or `skopeo copy`, and \
             give docker-archive:FILE or oci-archive:FILE"
        ));
    }
    let is_known = ["oci", "oci-archive", "docker-archive", "docker"].contains(&scheme);
    if OTHER_SCHEMES.contains(&scheme) || (rest.starts_with("//") && scheme != "docker") {
        return Some(format!("`{scheme}:` is no kind of source; {SCHEMES}"));
    }
    // The right word in the wrong case.
    (is_known && !text.starts_with(scheme)).then(|| format!("write `{scheme}:` in lowercase"))
}

fn is_tag(tag: &str) -> bool {
    (1..=TAG_LEN_MAX).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let parsed = if let Some(rest) = text.strip_prefix("oci:") {
            let split = split_local(rest, |path| look(path, PathKind::Directory));
            split.map(|(dir, selector)| Self::OciLayout { dir, selector })
        } else if let Some(rest) = text.strip_prefix("oci-archive:") {
            let split = split_local(rest, |path| look(path, PathKind::File));
            split.map(|(file, selector)| Self::OciArchive { file, selector })
        } else if let Some(rest) = text.strip_prefix("docker-archive:") {
            let split = split_local(rest, |path| look(path, PathKind::File));
            split.map(|(file, selector)| Self::DockerArchive { file, selector })
        } else if let Some(reason) = not_a_registry(text) {
            Err(reason)
        } else {
            let rest = text.strip_prefix("docker://").unwrap_or(text);
            RegistryReference::parse(rest).map(Self::Registry).map_err(|reason| {
                format!("{reason}; write one like debian:bookworm, ghcr.io/owner/name:tag or oci:DIR")
            })
        };
        parsed.map_err(|reason| ReferenceError { text: text.to_owned(), reason })
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, selector) = match self {
            Self::Registry(registry) => return registry.fmt(f),
            Self::OciLayout { dir, selector } => ("oci", dir, selector),
            Self::OciArchive { file, selector } => ("oci-archive", file, selector),
            Self::DockerArchive { file, selector } => ("docker-archive", file, selector),
        };
        write!(f, "{scheme}:{path}")?;
        selector.fmt(f)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => Ok(()),
            Self::Name(name) => write!(f, ":{name}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
            Self::Pinned { name, digest } => write!(f, ":{name}@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
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
            ("docker-daemon:debian", "docker save"),
            ("dir:/images/debian", "skopeo copy"),
            ("file:///images/debian.tar", "oci-archive:FILE"),
            ("file:debian.tar", "docker-archive:FILE"),
            ("tar:debian.tar", "docker-archive:FILE"),
            ("ocidir://layout", "oci:DIR"),
            ("oci-layout:layout", "oci:DIR"),
            ("oci-dir:layout:tag", "oci:DIR"),
            ("s3://bucket/image", "oci:DIR"),
            ("docker-tarball:x.tar", "docker-archive:FILE"),
            ("podman:debian", "docker save"),
            ("OCI:layout", "`oci:` in lowercase"),
            ("Docker-Archive:x.tar", "`docker-archive:` in lowercase"),
            ("debian:", "no tag"),
            ("a b", "debian:bookworm"),
        ] {
            let error = text.parse::<Reference>().expect_err(text).to_string();
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
