//! Extended attributes that ext4 can hold, and their form.

use banger_tree::Xattrs;

use banger_ext4::on_disk::{ACL_ACCESS, ACL_DEFAULT, acl_to_disk};
use banger_ext4::on_disk::{BLOCK_BYTES, INODE_BYTES};

/// Room behind the fields of an inode and the magic number, with the 4 zero bytes at the end.
const IN_INODE_MAX: u64 = INODE_BYTES - 128 - 32 - 4;
/// Room in the xattr block of an inode, with the 4 zero bytes at the end.
const IN_BLOCK_MAX: u64 = BLOCK_BYTES - 32;
const END_MARK: u64 = 4;

/// Prefixes by their number on disk (`e_name_index`); longer ones first.
const PREFIXES: [(u8, &[u8]); 7] = [
    (2, ACL_ACCESS),
    (3, ACL_DEFAULT),
    (8, b"system.richacl"),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
    (7, b"system."),
];

/// Returns the full name of an attribute on disk.
pub(crate) fn full_name(index: u8, suffix: &[u8]) -> Vec<u8> {
    let prefix = PREFIXES.iter().find(|(number, _)| *number == index).map_or(&b""[..], |(_, prefix)| prefix);
    [prefix, suffix].concat()
}

/// Returns the value in the form of the disk.
///
/// # Errors
/// Why ext4 cannot hold it.
pub(crate) fn disk_value(name: &[u8], value: &[u8]) -> Result<Vec<u8>, String> {
    if name != ACL_ACCESS && name != ACL_DEFAULT {
        return Ok(value.to_vec());
    }
    acl_to_disk(value).ok_or_else(|| format!("a POSIX ACL of {} bytes is malformed", value.len()))
}

/// Checks that ext4 can hold `xattrs`.
///
/// # Errors
/// Why it cannot.
pub(crate) fn check(xattrs: &Xattrs) -> Result<(), String> {
    for (name, value) in xattrs.iter() {
        let shown = banger_tree::escape_bytes(name);
        let suffix = suffix(name).ok_or_else(|| format!("xattr {shown} is of no namespace that ext4 has"))?;
        let is_acl = name == ACL_ACCESS || name == ACL_DEFAULT;
        if suffix.len() > 255 || (suffix.is_empty() && !is_acl) {
            return Err(format!("xattr {shown} has a name of {} bytes", suffix.len()));
        }
        if name.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            return Err(format!("xattr {shown} has a name that debugfs cannot be told"));
        }
        disk_value(name, value)?;
    }
    let (_, in_block) = placed(xattrs);
    if in_block > IN_BLOCK_MAX {
        let total: usize = xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        return Err(format!(
            "its {} xattrs of {total} bytes are more than the inode and one block of {BLOCK_BYTES} bytes hold",
            xattrs.len()
        ));
    }
    Ok(())
}

/// Returns whether `xattrs` need a block besides the inode.
pub(crate) fn needs_block(xattrs: &Xattrs) -> bool {
    placed(xattrs).1 > END_MARK
}

/// Returns the bytes taken in the inode and in the block, filled in the order of the names.
fn placed(xattrs: &Xattrs) -> (u64, u64) {
    let (mut in_inode, mut in_block) = (END_MARK, END_MARK);
    for (name, value) in xattrs.iter() {
        let length = disk_value(name, value).map_or(value.len(), |value| value.len()) as u64;
        let suffix = suffix(name).unwrap_or(name).len() as u64;
        let bytes = 16 + suffix.next_multiple_of(4) + length.next_multiple_of(4);
        if in_inode + bytes <= IN_INODE_MAX {
            in_inode += bytes;
        } else {
            in_block += bytes;
        }
    }
    (in_inode, in_block)
}

/// Returns the stored form of a name of a layer.
fn suffix(name: &[u8]) -> Option<&[u8]> {
    match name {
        ACL_ACCESS | ACL_DEFAULT => Some(b""),
        _ => [&b"user."[..], b"trusted.", b"security."].iter().find_map(|prefix| name.strip_prefix(*prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t09_what_fits_and_what_does_not() {
        let one = |name: &str, length: usize| Xattrs::from_iter([(name, vec![7; length])]);
        for (xattrs, fits, block) in [
            (Xattrs::default(), true, false),
            (one("security.capability", 20), true, false),
            // 16 bytes of entry, 4 of name, 68 of value, 4 of end: all 92 behind the magic.
            (one("user.a", 68), true, false),
            (one("user.a", 69), true, true),
            (one("user.a", 4040), true, true),
            (one("user.a", 4041), false, true),
            (one("lustre.x", 1), false, false),
            (one("user.", 1), false, false),
            (one("user.a\nb", 1), false, false),
            (one("system.posix_acl_access", 4), false, false),
        ] {
            assert_eq!(check(&xattrs).is_ok(), fits, "{xattrs:?}");
            assert_eq!(needs_block(&xattrs), block, "{xattrs:?}");
        }
    }
}
