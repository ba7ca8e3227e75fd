//! The name of an image in its signature, and the name that a policy wants: containers-policy.json(5),
//! `signedIdentity`.

use crate::one_line::one_line;
use crate::reference::{Reference, RegistryReference};

/// Which name a signature must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IdentityRule {
    /// The repository of the image, if the image has one and the signature names any.
    IfNamed,
    /// The whole reference of the image, with its tag or digest.
    Exact,
    /// The whole reference; or the repository, for an image by digest.
    RepoDigestOrExact,
    /// The repository of the image.
    Repository,
    /// This reference.
    ExactReference(String),
    /// This repository.
    ExactRepository(String),
    /// The reference of the image, with another beginning.
    Remap { prefix: String, signed_prefix: String },
}

/// A name as a signature or a policy writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WrittenName {
    reference: RegistryReference,
    /// Neither tag nor digest.
    is_bare: bool,
}

impl WrittenName {
    fn parse(text: &str) -> Option<Self> {
        let reference = RegistryReference::parse(text).ok()?;
        let last = text.rsplit('/').next().unwrap_or_default();
        Some(Self { reference, is_bare: !last.contains([':', '@']) })
    }

    fn repository(&self) -> (&str, &str) {
        repository_of(&self.reference)
    }

    /// Whether tag and digest are the same, too.
    fn is_whole(&self, wanted: &RegistryReference) -> bool {
        !self.is_bare && self.reference == *wanted
    }
}

fn repository_of(reference: &RegistryReference) -> (&str, &str) {
    (reference.registry(), reference.repository())
}

impl IdentityRule {
    /// Returns whether a signature with the name `signed` is for the image that `reference` means.
    pub(super) fn accepts(&self, reference: &Reference, signed: Option<&str>) -> bool {
        let own = match reference {
            Reference::Registry(registry) => Some(registry),
            _ => None,
        };
        if let (Self::IfNamed, None) = (self, signed) {
            return true;
        }
        let Some(signed) = signed.and_then(WrittenName::parse) else { return false };
        let by_repository = |own: &RegistryReference| repository_of(own) == signed.repository();
        match self {
            Self::IfNamed => own.is_none_or(by_repository),
            Self::Repository => own.is_some_and(by_repository),
            Self::Exact => own.is_some_and(|own| signed.is_whole(own)),
            Self::RepoDigestOrExact => own.is_some_and(|own| matches_digest_or_whole(own, &signed)),
            Self::ExactReference(wanted) => WrittenName::parse(wanted)
                .is_some_and(|wanted| !wanted.is_bare && signed.is_whole(&wanted.reference)),
            Self::ExactRepository(wanted) => {
                WrittenName::parse(wanted).is_some_and(|wanted| wanted.repository() == signed.repository())
            }
            Self::Remap { prefix, signed_prefix } => own.is_some_and(|own| {
                let own = remapped(own, prefix, signed_prefix);
                own.is_some_and(|own| matches_digest_or_whole(&own, &signed))
            }),
        }
    }

    /// Returns why the rule can never be met.
    pub(super) fn fault(&self) -> Option<String> {
        let is_name = |text: &str, what: &str, is_bare: Option<bool>| match WrittenName::parse(text) {
            Some(name) if is_bare.is_none_or(|is_bare| name.is_bare == is_bare) => None,
            _ => Some(format!("{what} cannot be {}", one_line(text))),
        };
        match self {
            Self::ExactReference(reference) => is_name(reference, "dockerReference", Some(false)),
            Self::ExactRepository(repository) => is_name(repository, "dockerRepository", Some(true)),
            Self::Remap { prefix, signed_prefix } => {
                let is_prefix = |text: &str| !text.is_empty() && !text.contains(['@', ' ']);
                match (is_prefix(prefix), is_prefix(signed_prefix)) {
                    (true, true) => None,
                    (false, _) => Some(format!("prefix cannot be {}", one_line(prefix))),
                    (_, false) => Some(format!("signedPrefix cannot be {}", one_line(signed_prefix))),
                }
            }
            _ => None,
        }
    }

    /// Says which name is wanted for an image.
    pub(super) fn wanted(&self, reference: &Reference) -> String {
        match (self, reference) {
            (Self::ExactReference(name) | Self::ExactRepository(name), _) => one_line(name),
            (Self::IfNamed | Self::Repository, Reference::Registry(own)) => {
                format!("{}/{}", own.registry(), own.repository())
            }
            (Self::Exact | Self::RepoDigestOrExact, Reference::Registry(own)) => format!("{own}"),
            (Self::Remap { prefix, signed_prefix }, Reference::Registry(own)) => {
                remapped(own, prefix, signed_prefix).map_or_else(|| format!("{own}"), |name| name.to_string())
            }
            _ => format!("a name that {reference} does not have"),
        }
    }
}

/// The repository for an image by digest alone, else the whole reference.
fn matches_digest_or_whole(own: &RegistryReference, signed: &WrittenName) -> bool {
    match own.tag() {
        Some(_) => signed.is_whole(own),
        None => !signed.is_bare && repository_of(own) == signed.repository(),
    }
}

/// The reference with another beginning; as it is where the prefix does not fit. `None` if the new text is no
/// reference.
fn remapped(own: &RegistryReference, prefix: &str, signed_prefix: &str) -> Option<RegistryReference> {
    let name = format!("{}/{}", own.registry(), own.repository());
    let fits = name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !fits {
        return Some(own.clone());
    }
    let whole = own.to_string();
    let rest = whole.strip_prefix(prefix)?;
    RegistryReference::parse(&format!("{signed_prefix}{rest}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_the_rule_says() {
        use IdentityRule::*;
        let digest = crate::digest::Digest::of(b"");
        let by_digest = format!("h.example/a@{digest}");
        let both = format!("h.example/a:1@{digest}");
        let reference = |name: &str| ExactReference(name.to_owned());
        let repository = |name: &str| ExactRepository(name.to_owned());
        let remap = |prefix: &str, signed: &str| Remap {
            prefix: prefix.to_owned(),
            signed_prefix: signed.to_owned(),
        };
        for (rule, image, signed, accepted) in [
            (IfNamed, "h.example/a:1", None, true),
            (IfNamed, "h.example/a:1", Some("h.example/a"), true),
            (IfNamed, "h.example/a:1", Some("h.example/a:2"), true),
            (IfNamed, "h.example/a:1", Some("h.example/b"), false),
            (IfNamed, "h.example/a:1", Some(""), false),
            (IfNamed, "oci:/d", Some("h.example/b"), true),
            (IfNamed, "oci:/d", Some("no name"), false),
            (Repository, "debian:12", Some("index.docker.io/library/debian"), true),
            (Repository, "debian:12", Some("docker.io/library/debian:11"), true),
            (Repository, "debian:12", Some("docker.io/library/debian2"), false),
            (Repository, "debian:12", None, false),
            (Repository, "oci:/d", Some("h.example/b"), false),
            (Exact, "h.example/a:1", Some("h.example/a:1"), true),
            (Exact, "h.example/a:1", Some("h.example/a"), false),
            (Exact, "h.example/a:latest", Some("h.example/a"), false),
            (Exact, &by_digest, Some("h.example/a:1"), false),
            (Exact, &by_digest, Some(&by_digest), true),
            (RepoDigestOrExact, "h.example/a:1", Some("h.example/a:1"), true),
            (RepoDigestOrExact, "h.example/a:1", Some("h.example/a:2"), false),
            (RepoDigestOrExact, "h.example/a:latest", Some("h.example/a"), false),
            (RepoDigestOrExact, &by_digest, Some("h.example/a:2"), true),
            (RepoDigestOrExact, &by_digest, Some("h.example/a"), false),
            (RepoDigestOrExact, &both, Some("h.example/a:1"), false),
            (RepoDigestOrExact, &both, Some(&both), true),
            (reference("h.example/x:1"), "oci:/d", Some("h.example/x:1"), true),
            (reference("h.example/x:1"), "h.example/a:1", Some("h.example/x:2"), false),
            (repository("h.example/x"), "oci:/d", Some("h.example/x:2"), true),
            (repository("h.example/x"), "oci:/d", Some("h.example/x"), true),
            (repository("h.example/x"), "oci:/d", Some("h.example/xy"), false),
            (repository("h.example/x"), "oci:/d", None, false),
            (remap("m.example/p", "h.example"), "m.example/p/a:1", Some("h.example/a:1"), true),
            (remap("m.example/p", "h.example"), "m.example/p/a:1", Some("m.example/p/a:1"), false),
            (remap("m.example/p", "h.example"), "m.example/pa:1", Some("m.example/pa:1"), true),
            (remap("m.example", "h.example"), "m.example/a:1", Some("h.example/a:2"), false),
        ] {
            let parsed: Reference = image.parse().unwrap();
            assert_eq!(rule.accepts(&parsed, signed), accepted, "{rule:?} {image} {signed:?}");
            assert_eq!(rule.fault(), None, "{rule:?}");
        }
        for rule in [reference("a"), repository("a:1"), repository("A/b c"), remap("", "b"), remap("a", "")] {
            assert!(rule.fault().is_some(), "{rule:?}");
        }
    }
}
