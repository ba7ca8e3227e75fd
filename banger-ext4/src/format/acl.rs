//! POSIX ACLs: tar archives have the form of the xattr interface (version 2), ext4 stores a shorter form
//! (version 1). The kernel refuses to open a file with a stored version 2.

/// Name of a file's own ACL.
pub(crate) const ACCESS: &[u8] = b"system.posix_acl_access";
/// Name of the ACL that a directory hands down.
pub(crate) const DEFAULT: &[u8] = b"system.posix_acl_default";

/// Version of the form of the xattr interface.
const XATTR_VERSION: u32 = 2;
/// Version of the form on disk.
const DISK_VERSION: u32 = 1;
/// Tags of entries, `ACL_USER_OBJ` to `ACL_OTHER`; only [`USER`] and [`GROUP`] have an id.
const TAGS: [u16; 6] = [0x01, USER, 0x04, GROUP, 0x10, 0x20];
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
/// The value for "no id" in the form of the xattr interface.
const NO_ID: u32 = 0xffff_ffff;

/// Returns the form on disk of an ACL in the form of the xattr interface, or `None` if it is
/// malformed.
pub(crate) fn to_disk(xattr: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = xattr.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != XATTR_VERSION || entries.len() % 8 != 0 {
        return None;
    }
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    for entry in entries.chunks_exact(8) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        if !TAGS.contains(&tag) {
            return None;
        }
        let has_id = matches!(tag, USER | GROUP);
        disk.extend_from_slice(if has_id { entry } else { &entry[..4] });
    }
    Some(disk)
}

/// Returns the form of the xattr interface of an ACL on disk, or `None` if it is malformed.
pub(crate) fn from_disk(disk: &[u8]) -> Option<Vec<u8>> {
    let (version, mut rest) = disk.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != DISK_VERSION {
        return None;
    }
    let mut xattr = XATTR_VERSION.to_le_bytes().to_vec();
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<4>()?;
        xattr.extend_from_slice(head);
        rest = after;
        if matches!(u16::from_le_bytes([head[0], head[1]]), USER | GROUP) {
            let (id, after) = rest.split_first_chunk::<4>()?;
            xattr.extend_from_slice(id);
            rest = after;
        } else {
            xattr.extend_from_slice(&NO_ID.to_le_bytes());
        }
    }
    Some(xattr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t08_acl_forms() {
        let mut xattr = vec![2, 0, 0, 0];
        let mut disk = vec![1, 0, 0, 0];
        for (tag, perm, id) in [
            (1_u16, 6_u16, None),
            (2, 7, Some(1000_u32)),
            (4, 4, None),
            (8, 5, Some(70000)),
            (16, 7, None),
            (32, 4, None),
        ] {
            for form in [&mut xattr, &mut disk] {
                form.extend_from_slice(&tag.to_le_bytes());
                form.extend_from_slice(&perm.to_le_bytes());
            }
            xattr.extend_from_slice(&id.unwrap_or(NO_ID).to_le_bytes());
            disk.extend(id.iter().flat_map(|id| id.to_le_bytes()));
        }
        assert_eq!(to_disk(&xattr).unwrap(), disk);
        assert_eq!(from_disk(&disk).unwrap(), xattr);
        assert_eq!(to_disk(&disk), None, "version 1 is not the interface's");
        assert_eq!(to_disk(&xattr[..xattr.len() - 1]), None);
        assert_eq!(to_disk(&[2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]), None, "no such tag");
        assert_eq!(from_disk(&disk[..10]), None);
    }
}
