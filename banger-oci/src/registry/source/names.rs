//! Names of images in layouts and archives, and the choice of an image by name.

use crate::digest::Digest;
use crate::reference::{RegistryReference, Selector};
use crate::registry::manifest::Descriptor;

/// The annotation that holds the name, often only the tag, in an index.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation in which containerd and docker write the whole name.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The names of an entry of an index, the fullest first.
pub(crate) fn names_of(descriptor: &Descriptor) -> Vec<&str> {
    let mut names: Vec<&str> = [CONTAINERD_NAME, REF_NAME]
        .iter()
        .filter_map(|key| descriptor.annotations.get(*key))
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    names.dedup();
    names
}

/// Gives an entry without names its names.
pub(crate) fn set_name(descriptor: &mut Descriptor, name: String) {
    descriptor.annotations.insert(CONTAINERD_NAME.to_owned(), name);
}

/// Returns how much of a name fits the request; more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Agreement {
    Tag,
    Whole,
}

fn agreement(name: &str, wanted: &str) -> Option<Agreement> {
    if name == wanted {
        return Some(Agreement::Whole);
    }
    let same = match (canonical(name), canonical(wanted)) {
        (Some(name), Some(wanted)) => name == wanted,
        _ => false,
    };
    // `app` is `docker.io/library/app:latest`, but may also be a tag.
    if same && has_tag(wanted) {
        return Some(Agreement::Whole);
    }
    (same || tag_of(name) == Some(wanted)).then_some(Agreement::Tag)
}

/// Returns whether two names are one, where a missing host, `library/` and tag are filled in.
pub(super) fn is_same_name(name: &str, wanted: &str) -> bool {
    name == wanted || canonical(name).is_some_and(|name| canonical(wanted) == Some(name))
}

fn canonical(name: &str) -> Option<RegistryReference> {
    RegistryReference::parse(name).ok()
}

fn has_tag(name: &str) -> bool {
    name.contains('@') || tag_of(name).is_some()
}

/// Returns the tag of a name, if it has one.
fn tag_of(name: &str) -> Option<&str> {
    let name = name.split('@').next()?;
    name.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))
}

/// Chooses from `items` by a selector; `names` and `has_digest` describe each item. Items whose whole name
/// agrees come before items whose tag agrees.
pub(crate) fn select<'a, T>(
    items: &'a [T],
    selector: &Selector,
    names: impl Fn(&'a T) -> Vec<&'a str>,
    has_digest: impl Fn(&T, &Digest) -> bool,
) -> Vec<&'a T> {
    let by_name = |wanted: &str| {
        let agreements: Vec<Option<Agreement>> = items
            .iter()
            .map(|item| names(item).into_iter().filter_map(|name| agreement(name, wanted)).max())
            .collect();
        let best = agreements.iter().flatten().max().copied();
        let agreeing = items.iter().zip(agreements).filter(|(_, found)| found.is_some() && *found == best);
        agreeing.map(|(item, _)| item).collect::<Vec<&T>>()
    };
    match selector {
        Selector::Only => items.iter().collect(),
        Selector::Name(name) => by_name(name),
        Selector::Digest(digest) => items.iter().filter(|item| has_digest(item, digest)).collect(),
        Selector::Pinned { name, digest } => {
            // Some tools write the digest into the name.
            let literal = format!("{name}@{digest}");
            let whole: Vec<&T> =
                items.iter().filter(|item| names(item).contains(&literal.as_str())).collect();
            if !whole.is_empty() {
                return whole;
            }
            items
                .iter()
                .filter(|item| has_digest(item, digest))
                .filter(|item| names(item).into_iter().any(|found| agreement(found, name).is_some()))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen<'a>(images: &'a [&'a [&'a str]], wanted: &str) -> Vec<&'a [&'a str]> {
        let selector = Selector::Name(wanted.to_owned());
        select(images, &selector, |names| names.to_vec(), |_, _| false).into_iter().copied().collect()
    }

    #[test]
    fn b46_whole_names_come_before_tags() {
        let images: &[&[&str]] = &[
            &["docker.io/library/alpha:latest", "latest"],
            &["docker.io/library/beta:latest", "latest"],
            &["localhost/x"],
            &["1.0+build.5"],
            &["team/app"],
            &["busybox:1.38.0-musl"],
            &["localhost:5000/y:2"],
            &["2:3"],
        ];
        for (wanted, found) in [
            ("latest", vec![0, 1]),
            ("alpha:latest", vec![0]),
            ("docker.io/library/beta:latest", vec![1]),
            ("index.docker.io/beta:latest", vec![1]),
            ("alpha", vec![0]),
            ("localhost/x", vec![2]),
            ("localhost/x:latest", vec![2]),
            ("1.0+build.5", vec![3]),
            ("team/app", vec![4]),
            ("busybox:1.38.0-musl", vec![5]),
            ("1.38.0-musl", vec![5]),
            ("1.38.0", vec![]),
            ("2", vec![6]),
            ("5000/y:2", vec![]),
            ("y:2", vec![]),
            ("gamma", vec![]),
        ] {
            let expected: Vec<&[&str]> = found.into_iter().map(|at: usize| images[at]).collect();
            assert_eq!(chosen(images, wanted), expected, "{wanted}");
        }
    }

    #[test]
    fn b46_a_digest_behind_a_name_has_to_be_its_own() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let literal = format!("c:3@{two}");
        let images = [("a:1", &one), ("b:2", &two), (literal.as_str(), &one)];
        let select = |name: &str, digest: &Digest| {
            let selector = Selector::Pinned { name: name.to_owned(), digest: digest.clone() };
            let found = select(&images, &selector, |image| vec![image.0], |image, digest| image.1 == digest);
            found.into_iter().map(|image| image.0).collect::<Vec<_>>()
        };
        assert_eq!(select("a:1", &one), ["a:1"]);
        assert_eq!(select("1", &one), ["a:1"]);
        assert!(select("b:2", &one).is_empty());
        assert_eq!(select("c:3", &two), [literal.as_str()]);
    }
}
