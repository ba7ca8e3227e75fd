//! What a file system takes from the image it is made of, so that equal images make equal bytes.

use banger_oci::digest::{Algorithm, Hasher};
use banger_oci::{Digest, ImageConfig};
use banger_tree::{Advice, NodeKind, Setting, Tree};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::argument::ArgumentError;

/// Returns 16 bytes that depend on the image's digest and on what they are for alone, in the form
/// of a custom UUID (RFC 9562, version 8).
pub(crate) fn uuid_of(digest: &Digest, purpose: &str) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update("banger/")
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(digest.to_string());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.finalize()[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// Returns a digest of all that a tree says of its files but their bytes: paths, types, sizes,
/// targets, device numbers, modes, owners, times, extended attributes, and which names are links
/// of one file.
pub(crate) fn digest_of(tree: &Tree) -> Digest {
    let mut hasher = TreeHasher(Hasher::new(Algorithm::Sha256));
    // Number of the first path that led to an inode, from 1 on.
    let mut first_paths = vec![0_u64; tree.inode_bound()];
    for (number, (path, id)) in (1..).zip(tree.walk()) {
        hasher.bytes(path.as_bytes());
        let first_path = &mut first_paths[id.index()];
        if *first_path != 0 {
            hasher.number(*first_path);
            continue;
        }
        *first_path = number;
        let inode = tree.inode(id);
        hasher.number(0);
        match &inode.kind {
            NodeKind::Regular { size_bytes, .. } => hasher.kind(b'f', *size_bytes, 0),
            NodeKind::Directory { .. } => hasher.kind(b'd', 0, 0),
            NodeKind::Symlink { target } => {
                hasher.kind(b'l', 0, 0);
                hasher.bytes(target);
            }
            NodeKind::CharDevice { major, minor } => hasher.kind(b'c', (*major).into(), (*minor).into()),
            NodeKind::BlockDevice { major, minor } => hasher.kind(b'b', (*major).into(), (*minor).into()),
            NodeKind::Fifo => hasher.kind(b'p', 0, 0),
            NodeKind::Socket => hasher.kind(b's', 0, 0),
        }
        let attributes = &inode.attributes;
        hasher.number(attributes.mode.into());
        hasher.number(attributes.uid.into());
        hasher.number(attributes.gid.into());
        hasher.number(attributes.mtime.seconds.cast_unsigned());
        hasher.number(attributes.mtime.nanoseconds.into());
        hasher.number(attributes.xattrs.len() as u64);
        for (name, value) in attributes.xattrs.iter() {
            hasher.bytes(name);
            hasher.bytes(value);
        }
    }
    hasher.0.finish()
}

/// Hashes fields so that no two sequences of fields are the same bytes.
struct TreeHasher(Hasher);

impl TreeHasher {
    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn kind(&mut self, letter: u8, first: u64, second: u64) {
        self.0.update(&[letter]);
        self.number(first);
        self.number(second);
    }
}

/// Returns the second an image was created, or 0 where it does not say.
pub(crate) fn created_seconds(config: &ImageConfig) -> i64 {
    let created = config.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    created.map_or(0, Timestamp::as_second)
}

/// Returns the value of `SOURCE_DATE_EPOCH`, or `None` where it is not set.
///
/// # Errors
/// It is set to something that is not a number of seconds.
pub fn source_date_epoch() -> Result<Option<i64>, ArgumentError> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let seconds = value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        ArgumentError::new(
            Setting("source_date_epoch"),
            value.to_string_lossy(),
            "not a number of seconds since 1970",
        )
        .with_advice(Advice::new("unset it or correct it"))
    })?;
    Ok(Some(seconds))
}

/// Returns the time now, RFC 3339 in whole seconds.
pub(crate) fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use banger_tree::{Attributes, Inode};

    use super::*;

    #[test]
    fn trees_differ_by_what_they_say_of_files() {
        let tree = |change: &dyn Fn(&mut Tree)| {
            let mut tree = Tree::new();
            let root = tree.root();
            let kind = NodeKind::Regular { size_bytes: 0, content: None };
            for name in [b"a", b"b"] {
                let inode = Inode::new(kind.clone(), Attributes::with_mode(0o644));
                tree.insert(root, name, inode).unwrap();
            }
            change(&mut tree);
            digest_of(&tree)
        };
        let changes: [&dyn Fn(&mut Tree); 6] = [
            &|_| {},
            &|tree| tree.attributes_mut(tree.root()).mtime.nanoseconds = 1,
            &|tree| drop(tree.remove(tree.root(), b"b")),
            &|tree| tree.rename(tree.root(), b"b", tree.root(), b"c").unwrap(),
            &|tree| {
                let a = tree.child(tree.root(), b"a").unwrap();
                tree.relink(tree.root(), b"b", a).unwrap();
            },
            &|tree| {
                let a = tree.child(tree.root(), b"a").unwrap();
                tree.attributes_mut(a).xattrs.insert("user.x", "1");
            },
        ];
        let digests: std::collections::HashSet<String> =
            changes.iter().map(|change| tree(change).to_string()).collect();
        assert_eq!(digests.len(), changes.len());
        assert_eq!(tree(&|_| {}), tree(&|_| {}));
    }

    #[test]
    fn uuids_differ_by_image_and_purpose_only() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        assert_eq!(uuid_of(&digest("a"), "uuid"), uuid_of(&digest("a"), "uuid"));
        assert_ne!(uuid_of(&digest("a"), "uuid"), uuid_of(&digest("a"), "hash-seed"));
        assert_ne!(uuid_of(&digest("a"), "uuid"), uuid_of(&digest("b"), "uuid"));
        let uuid = uuid_of(&digest("a"), "uuid");
        assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (8, 2));
    }
}
