//! UUID, hash seed and times of a file system, made from its image. So equal images make equal bytes.

use banger_oci::Digest;
use banger_oci::digest::{Algorithm, Hasher};
use banger_tree::{Advice, NodeKind, Setting, Tree};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::argument::ArgumentError;

/// Returns the custom UUID (RFC 9562, version 8) that depends on the image's digest and on its purpose
/// alone.
pub(crate) fn uuid_of(digest: &Digest, purpose: &str) -> Uuid {
    let hash = Sha256::new()
        .chain_update("banger/")
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(digest.to_string());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

/// Returns the UUID that `text` is: 32 hexadecimal digits, with or without the hyphens of RFC 9562.
///
/// # Errors
/// It is not a UUID.
pub fn parse_uuid(text: &str) -> Result<Uuid, ArgumentError> {
    Uuid::parse_str(text).map_err(|_| {
        ArgumentError::new(Setting("uuid"), text, "not a UUID")
            .with_advice(Advice::new("write one as in 01234567-89ab-cdef-0123-456789abcdef"))
    })
}

/// Returns a digest of the files of a tree without their bytes. It covers paths, types, sizes, targets,
/// device numbers, modes, owners, times, extended attributes and hard links.
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

    /// The bytes of images depend on these.
    #[test]
    fn uuids_are_those_of_all_versions() {
        for (text, purpose, want) in [
            ("a", "uuid", "d2b831ae-1bba-87ee-a447-99c9e1a23c9e"),
            ("a", "hash-seed", "de536e99-bfed-86aa-8224-c3b16d7d967f"),
            ("b", "uuid", "792c5ef4-e1eb-8a93-a924-af7f70d31a71"),
            ("b", "hash-seed", "4d6dc667-cc05-8243-a4d7-43bec0c8d20c"),
            ("", "uuid", "4e7004a0-c3ad-8705-b2c1-0844b55d9d1a"),
            ("", "hash-seed", "6ba8db9e-8f6a-8b79-9a22-1c7453ca3c48"),
        ] {
            let digest = Digest::of(text.as_bytes());
            assert_eq!(uuid_of(&digest, purpose).to_string(), want, "{text} {purpose}");
        }
    }

    #[test]
    fn uuids_are_read_as_people_write_them() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        let uuid = parse_uuid(text).unwrap();
        assert_eq!(uuid.as_bytes()[..5], [0x01, 0x23, 0x45, 0x67, 0x89]);
        assert_eq!(uuid.to_string(), text);
        assert_eq!(parse_uuid(&text.replace('-', "").to_uppercase()).unwrap(), uuid);
        for bad in ["", "0123", "0123456789abcdef-0123456789abcdef", &text[1..], &text.replace('f', "g")] {
            assert!(parse_uuid(bad).is_err(), "{bad}");
        }
    }
}
