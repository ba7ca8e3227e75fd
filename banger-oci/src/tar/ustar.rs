//! The fields of a ustar header that is written (POSIX.1-2017 `pax`, "ustar Interchange Format").

use super::header::BLOCK_LEN;

/// Name of a header of pax records.
pub(super) const PAX_NAME: &[u8] = b"././@PaxHeader";
/// Largest number of the fields of size and time: 11 octal digits.
pub(super) const SIZE_MAX: u64 = 0o777_7777_7777;
/// Largest number of the fields of owners and devices: 7 octal digits.
const ID_MAX: u32 = 0o777_7777;
const PREFIX_MAX: usize = 155;

/// A header under construction.
pub(super) struct UstarHeader([u8; BLOCK_LEN]);

impl UstarHeader {
    /// Longest name, and longest target of a link.
    pub(super) const NAME_MAX: usize = 100;

    /// Returns a header with owner 0, time 0 and size 0.
    pub(super) fn new(flag: u8, mode: u16) -> Self {
        let mut header = Self([0; BLOCK_LEN]);
        header.put(100, format!("{:07o}", mode & 0o7777).as_bytes());
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(0);
        header.put(148, b"        ");
        header.put(156, &[flag]);
        header.put(257, b"ustar\x0000");
        header
    }

    pub(super) fn set_name(&mut self, prefix: &[u8], name: &[u8]) {
        self.put(0, name);
        self.put(345, prefix);
    }

    pub(super) fn set_link(&mut self, target: &[u8]) {
        self.put(157, target);
    }

    /// Returns whether the number fits.
    pub(super) fn set_uid(&mut self, uid: u32) -> bool {
        self.set_id(108, uid)
    }

    /// Returns whether the number fits.
    pub(super) fn set_gid(&mut self, gid: u32) -> bool {
        self.set_id(116, gid)
    }

    pub(super) fn set_size(&mut self, size: u64) {
        self.put(124, format!("{size:011o}").as_bytes());
    }

    /// Returns whether the time fits.
    pub(super) fn set_mtime(&mut self, seconds: i64) -> bool {
        let fitting = u64::try_from(seconds).ok().filter(|seconds| *seconds <= SIZE_MAX);
        self.put(136, format!("{:011o}", fitting.unwrap_or(0)).as_bytes());
        fitting.is_some()
    }

    /// Returns whether the numbers fit.
    pub(super) fn set_device(&mut self, (major, minor): (u32, u32)) -> bool {
        self.set_id(329, major) && self.set_id(337, minor)
    }

    /// Returns the bytes, with the checksum.
    pub(super) fn finish(mut self) -> [u8; BLOCK_LEN] {
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0").as_bytes());
        self.0
    }

    fn set_id(&mut self, at: usize, id: u32) -> bool {
        let fits = id <= ID_MAX;
        self.put(at, format!("{:07o}", if fits { id } else { 0 }).as_bytes());
        fits
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Splits a name into the fields of prefix and name, if it fits.
pub(super) fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= UstarHeader::NAME_MAX {
        return Some((b"", name));
    }
    let fits = |at: &usize| {
        (1..=PREFIX_MAX).contains(at) && (2..=UstarHeader::NAME_MAX + 1).contains(&(name.len() - at))
    };
    let slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let at = slashes.into_iter().find(fits)?;
    Some((&name[..at], &name[at + 1..]))
}
