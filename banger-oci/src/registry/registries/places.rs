//! The places that may have an image, in the order in which they are asked.

use super::RegistriesConfig;
use super::prefix::covered_len;
use super::rule::MirrorUse;
use crate::reference::RegistryReference;
use crate::registry::error::PullError;

/// A repository that may have an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The reference that the configuration maps to this place.
    pub(crate) meaning: RegistryReference,
    /// The reference at this place.
    pub(crate) reference: RegistryReference,
    /// Whether any certificate and plain http are accepted.
    pub(crate) insecure: bool,
    pub(crate) kind: EndpointKind,
    /// Whether the configuration moved the image to another name.
    pub(crate) is_moved: bool,
}

/// The part that a place has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    /// The registry of the image, or the location that the configuration gives it.
    Registry,
    Mirror,
}

impl Endpoint {
    /// The registry that the reference names.
    pub(crate) fn of(reference: &RegistryReference) -> Self {
        Self {
            meaning: reference.clone(),
            reference: reference.clone(),
            insecure: false,
            kind: EndpointKind::Registry,
            is_moved: false,
        }
    }
}

impl RegistriesConfig {
    /// Returns the places that may have an image: mirrors, then its registry. Never empty.
    pub(crate) fn places(&self, reference: &RegistryReference) -> Result<Vec<Endpoint>, PullError> {
        let name = reference.to_string();
        let fits = self.registries.iter().filter_map(|rule| Some((covered_len(&name, &rule.prefix)?, rule)));
        let Some((covered, rule)) = fits.max_by_key(|(covered, rule)| (*covered, rule.prefix.len())) else {
            return Ok(vec![Endpoint::of(reference)]);
        };
        if rule.blocked {
            return Err(PullError::Blocked { reference: name, path: rule.path.clone() });
        }
        let at = |location: &str, insecure, kind| -> Result<Endpoint, PullError> {
            let moved = match location {
                "" => Ok(reference.clone()),
                location => reference.moved_to(&format!("{location}{}", &name[covered..])),
            };
            let moved = moved.map_err(|reason| PullError::RegistriesFile {
                path: rule.path.clone(),
                reason: format!("the location `{location}` for `{name}`: {reason}"),
            })?;
            let (meaning, is_moved) = (reference.clone(), moved != *reference);
            Ok(Endpoint { meaning, reference: moved, insecure, kind, is_moved })
        };
        let by_digest = reference.digest().is_some();
        let mut places = Vec::new();
        for mirror in &rule.mirrors {
            let serves = match mirror.usage {
                MirrorUse::All => true,
                MirrorUse::ByDigest => by_digest,
                MirrorUse::ByTag => !by_digest,
            };
            if serves {
                places.push(at(&mirror.location, mirror.insecure, EndpointKind::Mirror)?);
            }
        }
        places.push(at(&rule.location, rule.insecure, EndpointKind::Registry)?);
        Ok(places)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{config, reference};
    use super::*;

    fn places(text: &str, name: &str) -> Vec<String> {
        let found = config(&[text]).unwrap().places(&reference(name)).unwrap();
        let shown =
            |place: &Endpoint| format!("{}{}", if place.insecure { "!" } else { "" }, place.reference);
        found.iter().map(shown).collect()
    }

    #[test]
    fn mirrors_come_first_and_the_longest_prefix_wins() {
        let text = r#"
            [[registry]]
            location = "docker.io"
            [[registry.mirror]]
            location = "m1.example/proxy"
            [[registry.mirror]]
            location = "m2.example:5000"
            insecure = true
            pull-from-mirror = "digest-only"
            [[registry.mirror]]
            location = "m3.example"
            pull-from-mirror = "tag-only"
            [[registry]]
            prefix = "docker.io/library"
            location = "host.example/proxy/library"
            [[registry]]
            prefix = "*.corp.example"
            insecure = true
            [[registry]]
            prefix = "*.eu.corp.example"
            location = "eu.example/all"
            [[registry]]
            prefix = "r.example/pinned:1"
            location = "s.example/pinned:2"
            [[registry]]
            location = "d.example"
            mirror-by-digest-only = true
            [[registry.mirror]]
            location = "m4.example"
        "#;
        let digest = crate::Digest::of(b"x");
        let by_digest = |name: &str| format!("{name}@{digest}");
        for (name, expected) in [
            (
                "docker.io/owner/x:1".to_owned(),
                vec!["m1.example/proxy/owner/x:1", "m3.example/owner/x:1", "docker.io/owner/x:1"],
            ),
            ("debian:12".to_owned(), vec!["host.example/proxy/library/debian:12"]),
            ("a.corp.example/x".to_owned(), vec!["!a.corp.example/x:latest"]),
            ("b.eu.corp.example/x/y:2".to_owned(), vec!["eu.example/all/x/y:2"]),
            ("r.example/pinned:1".to_owned(), vec!["s.example/pinned:2"]),
            ("r.example/pinned:3".to_owned(), vec!["r.example/pinned:3"]),
            ("d.example/x:1".to_owned(), vec!["d.example/x:1"]),
            ("other.example/x:1".to_owned(), vec!["other.example/x:1"]),
        ] {
            assert_eq!(places(text, &name), expected, "{name}");
        }
        assert_eq!(
            places(text, &by_digest("docker.io/owner/x")),
            [
                by_digest("m1.example/proxy/owner/x"),
                format!("!{}", by_digest("m2.example:5000/owner/x")),
                by_digest("docker.io/owner/x"),
            ]
        );
        assert_eq!(
            places(text, &by_digest("d.example/x:1")),
            [by_digest("m4.example/x:1"), by_digest("d.example/x:1")]
        );
    }

    #[test]
    fn a_location_has_to_have_a_host() {
        let config = config(&["[[registry]]\nprefix = \"r.io\"\nlocation = \"proxy\"\n"]).unwrap();
        let error = config.places(&reference("r.io/x")).unwrap_err();
        assert!(error.to_string().contains("host of a registry"), "{error}");
    }
}
