//! References to files on this machine: `PATH[:NAME][@DIGEST]`.
//!
//! Paths and names may both contain colons, so the file system decides: the way to split the text that gives
//! an existing path counts.

use camino::{Utf8Path, Utf8PathBuf};

use super::error::Unfit;
use super::selector::Selector;
use crate::digest::{Digest, DigestError};

/// The path of an archive that the caller gives as an open file.
pub(super) const INPUT: &str = "-";
/// The longest name of an image that is looked for.
const NAME_LEN_MAX: usize = 4096;

/// The expected kind of file at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathKind {
    Directory,
    File,
}

/// Returns how well a path fits the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Presence {
    Missing,
    OfAnotherKind,
    Fits,
}

/// Looks at the file system.
pub(super) fn look(path: &Utf8Path, kind: PathKind) -> Presence {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() == (kind == PathKind::Directory) => Presence::Fits,
        Ok(_) => Presence::OfAnotherKind,
        Err(_) => Presence::Missing,
    }
}

/// Splits `FILE[:NAME][@DIGEST]`. `-` is no file.
pub(super) fn split_archive(text: &str) -> Result<(Utf8PathBuf, Selector), Unfit> {
    let is_input =
        text.strip_prefix(INPUT).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']));
    split_local(text, |path| match (is_input, path == INPUT) {
        (false, _) => look(path, PathKind::File),
        (true, true) => Presence::Fits,
        (true, false) => Presence::Missing,
    })
}

/// Splits `PATH[:NAME][@DIGEST]`; `look` returns which paths exist.
pub(super) fn split_local(
    text: &str,
    look: impl Fn(&Utf8Path) -> Presence,
) -> Result<(Utf8PathBuf, Selector), Unfit> {
    if text.is_empty() {
        return Err("there is no path".to_owned().into());
    }
    let mut splits = vec![(text, Selector::Only)];
    let head = match split_digest(text) {
        None => text,
        Some((head, Ok(digest))) => {
            splits.push((head, Selector::Digest(digest.clone())));
            push_names(&mut splits, head, Some(&digest));
            head
        }
        // A path may look like a digest that is wrong.
        Some((_, Err(error))) if look(Utf8Path::new(text)) == Presence::Missing => return Err(error.into()),
        Some((head, Err(_))) => head,
    };
    if head == text {
        push_names(&mut splits, text, None);
    }
    splits.retain(|(path, _)| !path.is_empty());
    let found: Vec<Presence> = splits.iter().map(|(path, _)| look(Utf8Path::new(path))).collect();
    let best = found.iter().copied().max().unwrap_or(Presence::Missing);
    if best == Presence::Missing {
        return Ok(guess(text, head, splits)?);
    }
    let mut fitting =
        splits.into_iter().zip(&found).filter(|(_, presence)| **presence == best).map(|(split, _)| split);
    let (path, selector) = fitting.next().expect("the best one is among them");
    if let Some((other, _)) = fitting.next() {
        return Err(Unfit::new(
            format!("both `{other}` and `{path}` exist"),
            "rename one of them, or give the path by another link",
        ));
    }
    Ok((path.into(), selector))
}

/// Returns the meaning of the text if none of its paths exists.
fn guess(text: &str, head: &str, splits: Vec<(&str, Selector)>) -> Result<(Utf8PathBuf, Selector), String> {
    if head.is_empty() || head.starts_with(':') {
        return Err("there is no path".to_owned());
    }
    // The shortest path is the one that most people mean.
    let named = |selector: &Selector| !matches!(selector, Selector::Only);
    let shortest =
        splits.into_iter().filter(|(_, selector)| named(selector)).min_by_key(|(path, _)| path.len());
    if let Some((path, selector)) = shortest {
        return Ok((path.into(), selector));
    }
    match text.split_once(':') {
        Some((_, "")) => Err("there is no name behind the colon".to_owned()),
        Some((_, name)) if !name.starts_with('/') => {
            Err(format!("there is no such path, and `{name}` cannot be the name of an image"))
        }
        _ => Ok((text.into(), Selector::Only)),
    }
}

/// Adds the meanings of `text` with a name behind each of its colons.
fn push_names<'a>(splits: &mut Vec<(&'a str, Selector)>, text: &'a str, digest: Option<&Digest>) {
    for (at, _) in text.match_indices(':') {
        let (path, name) = (&text[..at], &text[at + 1..]);
        if is_name(name) {
            let selector = match digest {
                None => Selector::Name(name.to_owned()),
                Some(digest) => Selector::Pinned { name: name.to_owned(), digest: digest.clone() },
            };
            splits.push((path, selector));
        }
    }
}

/// Splits off the part that is meant as a digest, valid or not.
fn split_digest(text: &str) -> Option<(&str, Result<Digest, String>)> {
    let (head, digest) = text.rsplit_once('@')?;
    let (algorithm, hex) = digest.split_once(':')?;
    let is_word =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte));
    let meant = algorithm.starts_with("sha")
        || (is_word(algorithm) && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    meant.then(|| (head, digest.parse().map_err(|error: DigestError| error.to_string())))
}

/// Whether an image may have this name: image-spec `annotations.md` on `ref.name`, and hosts.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '['))
        && !name.ends_with(['/', ':', '@'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:@/+[]~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    /// Splits where `there` exists and fits, and `odd` exists and is of another kind.
    fn split(text: &str, there: &[&str], odd: &[&str]) -> Result<(String, String), String> {
        let look = |path: &Utf8Path| match path.as_str() {
            path if there.contains(&path) => Presence::Fits,
            path if odd.contains(&path) => Presence::OfAnotherKind,
            _ => Presence::Missing,
        };
        let (path, selector) = split_local(text, look).map_err(|unfit| unfit.reason)?;
        let selector = match selector {
            Selector::Only => String::new(),
            Selector::Name(name) => format!(":{name}"),
            Selector::Digest(digest) => format!("@{digest}"),
            Selector::Pinned { name, digest } => format!(":{name}@{digest}"),
        };
        Ok((path.into_string(), selector))
    }

    #[test]
    fn b46_the_path_that_exists_decides_what_is_a_name() {
        let digest = format!("@sha256:{HEX}");
        let pinned = format!("d:app:1{digest}");
        let by_digest = format!("d:1{digest}");
        let cases: &[(&str, &[&str], &str, &str)] = &[
            ("d:docker.io/library/b:1.0", &["d"], "d", ":docker.io/library/b:1.0"),
            ("d:localhost/x", &["d"], "d", ":localhost/x"),
            ("d:localhost:5000/x:1", &["d"], "d", ":localhost:5000/x:1"),
            ("d:1.0+build.5", &["d"], "d", ":1.0+build.5"),
            ("d:busybox:1.38.0-musl", &["d"], "d", ":busybox:1.38.0-musl"),
            ("d:_cosign:sha256-abc.sig", &["d"], "d", ":_cosign:sha256-abc.sig"),
            ("d:1.0", &["d:1.0"], "d:1.0", ""),
            ("/a:b/c:d/e:f", &["/a:b/c:d/e"], "/a:b/c:d/e", ":f"),
            ("/a:b/c:d/e:f", &["/a:b/c:d/e:f"], "/a:b/c:d/e:f", ""),
            ("/a:b/c:x/y:f", &["/a:b/c"], "/a:b/c", ":x/y:f"),
            ("d:a b:c", &["d:a b"], "d:a b", ":c"),
            ("a:", &["a:"], "a:", ""),
            (&pinned, &["d"], "d", &pinned[1..]),
            (&by_digest, &["d:1"], "d:1", &digest),
            (&by_digest, &["d"], "d", &by_digest[1..]),
            (&by_digest, &[&by_digest], &by_digest, ""),
            // Nothing exists: the shortest path.
            ("d:x/y:1", &[], "d", ":x/y:1"),
            ("/a/d", &[], "/a/d", ""),
            ("/a b:/d", &[], "/a b:/d", ""),
        ];
        for (text, there, path, selector) in cases {
            let found = split(text, there, &[]);
            assert_eq!(found, Ok(((*path).to_owned(), (*selector).to_owned())), "{text} with {there:?}");
        }
        // A path of the right kind wins over an existing path of another kind, and that wins over a missing
        // one.
        assert_eq!(split("a:b:c", &["a:b"], &["a"]), Ok(("a:b".to_owned(), ":c".to_owned())));
        assert_eq!(split("a:b:c", &[], &["a:b"]), Ok(("a:b".to_owned(), ":c".to_owned())));
    }

    #[test]
    fn b46_two_paths_that_exist_are_an_error() {
        let error = split("a:b", &["a", "a:b"], &[]).unwrap_err();
        assert!(error.contains("`a`") && error.contains("`a:b`"), "{error}");
        assert_eq!(split("a/:b", &["a/", "a", "a:b"], &[]), Ok(("a/".to_owned(), ":b".to_owned())));
    }

    #[test]
    fn what_is_no_name_is_said() {
        for (text, says) in [
            ("", "no path"),
            (":tag", "no path"),
            ("d:", "behind the colon"),
            ("d:bad tag", "`bad tag`"),
            ("d@sha256:00", "digits"),
            ("d@blake3:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "algorithm"),
        ] {
            let error = split(text, &["d"], &[]).err().or_else(|| split(text, &[], &[]).err());
            let error = error.unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
