//! What a change of a mode does to an access ACL.

/// Name of the xattr that the ACL is in.
pub(super) const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

const HEADER_SIZE: usize = 4;
const ENTRY_SIZE: usize = 8;
const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Puts the permissions of `mode` into an ACL in the form of system calls, as chmod(2) does: those
/// of the group are the mask's, where there is one.
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
