//! POSIX ACLs as extended attributes have them.

/// The id of an entry that is for no user or group of its own.
pub const ACL_NO_ID: u32 = u32::MAX;

/// Returns the value of an attribute for entries of tag, permissions and id.
#[must_use]
pub fn posix_acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&permissions.to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    value
}
