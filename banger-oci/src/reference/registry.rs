//! References to a repository of a registry: `[HOST/]NAME[:TAG][@DIGEST]`.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::digest::{Digest, DigestError};
#[cfg(feature = "registry")]
use crate::reference::ReferenceError;

/// The longest repository name that registries must accept.
const NAME_LEN_MAX: usize = 255;
/// The longest tag (distribution-spec, "Pulling manifests").
const TAG_LEN_MAX: usize = 128;

/// A repository of a registry, with a tag, a digest or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
    short_name: ShortName,
}

/// The name of a repository that was written without a registry. It does not tell two references apart.
#[derive(Clone, Debug)]
struct ShortName(Option<String>);

impl PartialEq for ShortName {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ShortName {}

impl Hash for ShortName {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl RegistryReference {
    /// The registry as it is written, or `docker.io` by default: a host name or address, with its port if
    /// given.
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

    /// The tag; `latest` if no tag and no digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest; it wins over a tag.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The name without tag and digest, if it was written without a registry: `debian`, `owner/name`.
    #[must_use]
    pub fn short_name(&self) -> Option<&str> {
        self.short_name.0.as_deref()
    }

    /// A registry, `HOST[:PORT][/PATH]`, without a repository.
    #[cfg(feature = "registry")]
    pub(crate) fn of_registry(name: &str) -> Result<Self, ReferenceError> {
        let host = name.split('/').next().unwrap_or_default();
        // A host need not have a dot here.
        check_registry(host).map_err(|reason| ReferenceError::of_registry(name, &reason))?;
        let (tag, digest, short_name) = (None, None, ShortName(None));
        Ok(Self { registry: host.to_owned(), repository: String::new(), tag, digest, short_name })
    }

    /// The repository of the name `name`, `HOST/REPOSITORY`, with the tag and the digest of this one. A tag or a
    /// digest in `name` wins.
    #[cfg(feature = "registry")]
    pub(crate) fn moved_to(&self, name: &str) -> Result<Self, String> {
        let mut moved = Self::parse(name)?;
        if moved.short_name.0.is_some() {
            return Err(format!("`{name}` does not begin with the host of a registry"));
        }
        // The tag `latest` is filled in where nothing is written.
        let is_bare = !name.contains('@') && !name.rsplit('/').next().unwrap_or_default().contains(':');
        if is_bare {
            moved.tag.clone_from(&self.tag);
        }
        if moved.digest.is_none() {
            moved.digest.clone_from(&self.digest);
        }
        Ok(moved)
    }

    /// The same repository with this tag alone.
    #[cfg(feature = "registry")]
    pub(crate) fn with_tag(&self, tag: &str) -> Self {
        Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() }
    }

    /// The same repository with this digest alone.
    #[cfg(feature = "registry")]
    pub(crate) fn with_digest(&self, digest: &Digest) -> Self {
        Self { tag: None, digest: Some(digest.clone()), ..self.clone() }
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
        let short_name = ShortName(registry.is_none().then(|| path.to_owned()));
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
        Ok(Self { registry, repository, tag, digest, short_name })
    }
}

/// Splits off the first component if it is a host. A host has a dot or a colon, is `localhost`, or has
/// uppercase letters, which no repository may have.
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

/// Returns a host in lowercase, unless only its uppercase letters distinguish it from a repository.
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

fn is_tag(tag: &str) -> bool {
    (1..=TAG_LEN_MAX).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
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
