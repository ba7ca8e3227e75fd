//! Effects of a change of a mode on an access ACL.

/// Name of the xattr that the ACL is in.
pub(super) const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// Name of the xattr with the ACL that new entries of a directory get.
pub(super) const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";

const HEADER_SIZE: usize = 4;
const ENTRY_SIZE: usize = 8;
const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Puts the permissions of `mode` into an ACL in the form of system calls, as chmod(2) does. The group's
/// permissions go to the mask, if there is one.
pub(super) fn with_mode(acl: &[u8], mode: u16) -> Vec<u8> {
    let mut acl = acl.to_vec();
    let Some(entries) = acl.get_mut(HEADER_SIZE..) else { return acl };
    let tag = |entry: &[u8]| u16::from_le_bytes([entry[0], entry[1]]);
    let has_mask = entries.chunks_exact(ENTRY_SIZE).any(|entry| tag(entry) == MASK);
    for entry in entries.chunks_exact_mut(ENTRY_SIZE) {
        let permissions = match tag(entry) {
            USER_OBJ => mode >> 6,
            GROUP_OBJ if !has_mask => mode >> 3,
            MASK => mode >> 3,
            OTHER => mode,
            _ => continue,
        };
        entry[2..4].copy_from_slice(&(permissions & 7).to_le_bytes());
    }
    acl
}

/// Returns mode and access ACL of a file that is made with `mode` in a directory with the default ACL
/// `default`, as `posix_acl_create` does. The access ACL is missing if the mode is enough.
pub(super) fn inherited(default: &[u8], mode: u16) -> (u16, Option<Vec<u8>>) {
    let mut acl = default.to_vec();
    let Some(entries) = acl.get_mut(HEADER_SIZE..) else { return (mode, None) };
    let tag = |entry: &[u8]| u16::from_le_bytes([entry[0], entry[1]]);
    let has_mask = entries.chunks_exact(ENTRY_SIZE).any(|entry| tag(entry) == MASK);
    let (mut after, mut is_more) = (mode, false);
    for entry in entries.chunks_exact_mut(ENTRY_SIZE) {
        let shift = match tag(entry) {
            USER_OBJ => 6,
            GROUP_OBJ if !has_mask => 3,
            MASK => 3,
            OTHER => 0,
            GROUP_OBJ => continue,
            _ => {
                is_more = true;
                continue;
            }
        };
        is_more |= tag(entry) == MASK;
        let permissions = u16::from_le_bytes([entry[2], entry[3]]) & (mode >> shift) & 7;
        entry[2..4].copy_from_slice(&permissions.to_le_bytes());
        after = after & !(7 << shift) | permissions << shift;
    }
    (after, is_more.then_some(acl))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl_of(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_default_acl_is_masked_by_the_mode() {
        const NOBODY: u32 = u32::MAX;
        let minimal = acl_of(&[(USER_OBJ, 7, NOBODY), (GROUP_OBJ, 5, NOBODY), (OTHER, 0, NOBODY)]);
        assert_eq!(inherited(&minimal, 0o2666), (0o2640, None));
        let of = |user, mask, other| {
            acl_of(&[
                (USER_OBJ, user, NOBODY),
                (0x02, 6, 1000),
                (GROUP_OBJ, 5, NOBODY),
                (MASK, mask, NOBODY),
                (OTHER, other, NOBODY),
            ])
        };
        assert_eq!(inherited(&of(7, 7, 1), 0o640), (0o640, Some(of(6, 4, 0))));
        assert_eq!(inherited(&of(7, 5, 5), 0o777), (0o755, Some(of(7, 5, 5))));
    }
}
