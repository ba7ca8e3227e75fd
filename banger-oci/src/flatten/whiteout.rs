//! The meaning of a path in a layer: an entry, a whiteout, or AUFS bookkeeping.

use banger_tree::{GuestPath, NAME_MAX, check_name};

use super::error::EntryError;

/// Prefix of a whiteout's name (image specification, `layer.md`, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// Prefix of AUFS's own names. Only [`OPAQUE`] is a whiteout.
const AUFS: &[u8] = b".wh..wh.";
/// Name of an opaque marker.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// AUFS's directory of the inodes that several hard links share; at the root of the layer.
pub(super) const AUFS_LINKS: &[u8] = b".wh..wh.plnk";

/// The meaning of a path of a layer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// The root directory itself.
    Root,
    /// An entry called `name` in `parent`.
    Entry { parent: &'a [u8], name: &'a [u8] },
    /// Hides `name` of `parent`.
    Whiteout { parent: &'a [u8], name: &'a [u8] },
    /// Hides everything in `directory`.
    Opaque { directory: &'a [u8] },
    /// A file without a path in the image, which hard links may name.
    AufsLink { parent: &'a [u8], name: &'a [u8] },
    /// Bookkeeping, which is skipped.
    AufsMeta,
}

impl<'a> Meaning<'a> {
    /// Returns the meaning of `path`.
    pub(super) fn of(path: &'a GuestPath) -> Result<Self, EntryError> {
        let bytes = path.as_bytes();
        if path.is_root() {
            return Ok(Self::Root);
        }
        let slash = bytes.iter().rposition(|byte| *byte == b'/').expect("a path starts with a slash");
        let (parent, name) = (&bytes[..slash], &bytes[slash + 1..]);
        // Almost no path has the prefix anywhere.
        if let Some(meaning) = Self::below_bookkeeping(path, parent, name)? {
            return Ok(meaning);
        }
        Ok(match name.strip_prefix(WHITEOUT) {
            None => Self::Entry { parent, name },
            Some(b"" | b"." | b"..") => return Err(EntryError::UnnamedWhiteout),
            Some(_) if name == OPAQUE => Self::Opaque { directory: parent },
            Some(_) if name.starts_with(AUFS) => Self::AufsMeta,
            Some(hidden) => Self::Whiteout { parent, name: hidden },
        })
    }

    /// Looks at the directories on the way.
    fn below_bookkeeping(
        path: &'a GuestPath,
        parent: &'a [u8],
        name: &'a [u8],
    ) -> Result<Option<Self>, EntryError> {
        for (depth, directory) in path.components().rev().skip(1).enumerate() {
            if !directory.starts_with(WHITEOUT) {
                continue;
            }
            let is_aufs = directory.starts_with(AUFS) && directory != OPAQUE;
            return match (is_aufs, depth) {
                (false, _) => Err(EntryError::WhiteoutDirectory),
                // Directly in `/.wh..wh.plnk`.
                (true, 0) if directory == AUFS_LINKS && parent.len() == AUFS_LINKS.len() + 1 => {
                    Ok(Some(Self::AufsLink { parent, name }))
                }
                (true, _) => Ok(Some(Self::AufsMeta)),
            };
        }
        Ok(None)
    }
}

/// Returns the name that a whiteout hides, if only the prefix makes its name too long for a file.
pub(super) fn hidden_by_long_name(path: &[u8]) -> Option<GuestPath> {
    let mut trimmed = path;
    while let Some(rest) = trimmed.strip_suffix(b"/").or_else(|| trimmed.strip_suffix(b"/.")) {
        trimmed = rest;
    }
    let start = trimmed.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (directory, name) = trimmed.split_at(start);
    let hidden = name.strip_prefix(WHITEOUT)?;
    let is_long = name.len() > NAME_MAX && !hidden.starts_with(WHITEOUT) && check_name(hidden).is_ok();
    if is_long { GuestPath::parse(directory).ok()?.join(hidden).ok() } else { None }
}

/// Returns whether the target of a symlink has a part that is a whiteout's name in a layer.
pub(super) fn leads_through_whiteout(target: &[u8]) -> bool {
    target.split(|byte| *byte == b'/').any(|component| component.starts_with(WHITEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meanings_of_paths() {
        let cases: [(&str, Option<Meaning<'_>>); 17] = [
            ("/", Some(Meaning::Root)),
            ("/a", Some(Meaning::Entry { parent: b"", name: b"a" })),
            ("/a/.whx", Some(Meaning::Entry { parent: b"/a", name: b".whx" })),
            ("/a/b.wh.c", Some(Meaning::Entry { parent: b"/a", name: b"b.wh.c" })),
            ("/.wh.a", Some(Meaning::Whiteout { parent: b"", name: b"a" })),
            ("/a/b/.wh....", Some(Meaning::Whiteout { parent: b"/a/b", name: b"..." })),
            ("/.wh..wh..opq", Some(Meaning::Opaque { directory: b"" })),
            ("/a/.wh..wh..opq", Some(Meaning::Opaque { directory: b"/a" })),
            ("/.wh..wh.aufs", Some(Meaning::AufsMeta)),
            ("/.wh..wh.orph/x", Some(Meaning::AufsMeta)),
            ("/.wh..wh.plnk", Some(Meaning::AufsMeta)),
            ("/.wh..wh.plnk/1.2", Some(Meaning::AufsLink { parent: b"/.wh..wh.plnk", name: b"1.2" })),
            ("/.wh.", None),
            ("/a/.wh..", None),
            ("/a/.wh...", None),
            ("/.wh.a/b", None),
            ("/a/.wh..wh..opq/b", None),
        ];
        for (path, want) in cases {
            let path = GuestPath::parse(path).unwrap();
            assert_eq!(Meaning::of(&path).ok(), want, "{path}");
        }
    }
}
