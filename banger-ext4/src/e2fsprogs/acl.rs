//! POSIX ACLs: from the form of system calls and tars (version 2) to the form on disk (version 1).
//!
//! Both start with a little-endian `u32` version. An entry of version 2 is `e_tag: u16, e_perm:
//! u16, e_id: u32`; on disk the id is there for named users and groups only. The kernel refuses to
//! open a file whose ACL on disk is in the wrong form, and e2fsck does not notice.

/// Name of a file's own ACL.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// Name of the ACL that a directory hands down.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const XATTR_VERSION: u32 = 2;
const DISK_VERSION: u32 = 1;

const ACL_USER_OBJ: u16 = 0x01;
const ACL_USER: u16 = 0x02;
const ACL_GROUP_OBJ: u16 = 0x04;
const ACL_GROUP: u16 = 0x08;
const ACL_MASK: u16 = 0x10;
const ACL_OTHER: u16 = 0x20;

/// Returns the on-disk form of an ACL in the form of tars, or why it is none.
pub(super) fn to_disk(value: &[u8]) -> Result<Vec<u8>, String> {
    let malformed = || format!("a POSIX ACL of {} bytes is malformed", value.len());
    let (version, entries) = value.split_first_chunk::<4>().ok_or_else(malformed)?;
    let version = u32::from_le_bytes(*version);
    if version != XATTR_VERSION {
        return Err(format!("a POSIX ACL has version {version}, not {XATTR_VERSION}"));
    }
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(malformed());
    }
    let mut disk = DISK_VERSION.to_le_bytes().to_vec();
    for [tag_low, tag_high, perm_low, perm_high, id @ ..] in entries {
        let tag = u16::from_le_bytes([*tag_low, *tag_high]);
        disk.extend_from_slice(&[*tag_low, *tag_high, *perm_low, *perm_high]);
        match tag {
            ACL_USER | ACL_GROUP => disk.extend_from_slice(id),
            ACL_USER_OBJ | ACL_GROUP_OBJ | ACL_MASK | ACL_OTHER => {}
            _ => return Err(format!("a POSIX ACL has an entry of unknown tag {tag:#x}")),
        }
    }
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = 2_u32.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&perm.to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    }

    #[test]
    fn t08_ids_stay_only_with_named_users_and_groups() {
        let none = u32::MAX;
        let value = version_2(&[
            (1, 6, none),
            (2, 7, 1000),
            (4, 4, none),
            (8, 5, 70_000),
            (16, 7, none),
            (32, 4, none),
        ]);
        let want = [
            &[1, 0, 0, 0][..],
            &[1, 0, 6, 0],
            &[2, 0, 7, 0, 0xe8, 3, 0, 0],
            &[4, 0, 4, 0],
            &[8, 0, 5, 0, 0x70, 0x11, 1, 0],
            &[16, 0, 7, 0],
            &[32, 0, 4, 0],
        ];
        assert_eq!(to_disk(&value).unwrap(), want.concat());
    }

    #[test]
    fn t08_refuses_what_is_no_acl() {
        let mut cut = version_2(&[(1, 6, 0)]);
        cut.pop();
        for value in [&[][..], &[2, 0, 0], &[1, 0, 0, 0], &cut, &version_2(&[(3, 6, 0)])] {
            assert!(to_disk(value).is_err(), "{value:?}");
        }
    }
}
