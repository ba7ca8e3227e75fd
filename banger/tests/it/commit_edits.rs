//! Random edits of root file systems, for tests of commits.

use banger::{AttributeChange, Attributes, GuestPath, NodeKind, Rootfs};

/// Numbers that look random and are the same for the same seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

pub(crate) fn path(bytes: impl AsRef<[u8]>) -> GuestPath {
    GuestPath::parse(bytes).unwrap()
}

fn attributes(numbers: &mut Numbers) -> Attributes {
    let mut attributes = Attributes::with_mode(*numbers.pick(&[0o644, 0o755, 0o4711, 0o1777, 0, 0o600]));
    attributes.uid = *numbers.pick(&[0, 0, 7, 70_000, 3_000_000]);
    attributes.gid = *numbers.pick(&[0, 0, 12, u32::MAX - 1]);
    attributes.mtime.seconds = *numbers.pick(&[0, 1_700_000_000, -3, 1 << 32, 1_234_567_890]);
    attributes.mtime.nanoseconds = *numbers.pick(&[0, 0, 1, 500_000_000, 999_999_999]);
    if numbers.below(4) == 0 {
        let names = ["trusted.a", "trusted.with=sign", "security.x", "trusted.empty"];
        let name = *numbers.pick(&names);
        let value = if name.ends_with("empty") { Vec::new() } else { vec![b'v'; 1 + numbers.below(300)] };
        attributes.xattrs.insert(name, value);
    }
    attributes
}

/// Attributes that only files and directories may have.
fn rich(numbers: &mut Numbers) -> Attributes {
    let mut attributes = attributes(numbers);
    if numbers.below(6) == 0 {
        let mut acl = vec![2, 0, 0, 0];
        for (tag, perm, id) in
            [(1_u16, 6_u16, u32::MAX), (2, 7, 1000), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 4, u32::MAX)]
        {
            acl.extend_from_slice(&tag.to_le_bytes());
            acl.extend_from_slice(&perm.to_le_bytes());
            acl.extend_from_slice(&id.to_le_bytes());
        }
        attributes.xattrs.insert("system.posix_acl_access", acl);
        attributes.xattrs.insert("user.note", "line\nend\0");
    }
    if numbers.below(8) == 0 {
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        attributes.xattrs.insert("security.capability", capability);
    }
    attributes
}

fn content(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..numbers.below(5) {
        let length = *numbers.pick(&[0, 1, 511, 512, 4096, 9000, 40_000, 300_000]);
        let value = if numbers.below(2) == 0 { 0 } else { b'a' + u8::try_from(numbers.below(26)).unwrap() };
        bytes.resize(bytes.len() + length, value);
    }
    bytes
}

fn name(numbers: &mut Numbers) -> Vec<u8> {
    let long = vec![b'n'; 255];
    let names: [&[u8]; 12] =
        [b"a", b"b", b"c", b"d", b"e", b"f", b"link", b"not \xff utf-8", b"line\nend", b" ", b"\\", &long];
    numbers.pick(&names).to_vec()
}

fn place(numbers: &mut Numbers) -> GuestPath {
    let dirs: [&[u8]; 9] =
        [b"/", b"/", b"/a", b"/b", b"/a/c", b"/link", b"/b/d/e", b"/f/not \xff utf-8", b"/a/c/a"];
    let dir = *numbers.pick(&dirs);
    path(dir).join(&name(numbers)).unwrap()
}

/// Makes one random edit. Edits that are not possible change nothing.
pub(crate) fn step(numbers: &mut Numbers, rootfs: &mut dyn Rootfs) {
    let (first, second) = (place(numbers), place(numbers));
    let plain = attributes(numbers);
    let attributes = rich(numbers);
    let content = content(numbers);
    let target = vec![b't'; 1 + numbers.below(200)];
    let _impossible = match numbers.below(20) {
        0..=3 => rootfs.create_dir(&first, &attributes),
        4..=8 => rootfs.write_file(&first, &mut &content[..], &attributes),
        9 => {
            let target = [&target[..], b"/b", b"../a"][numbers.below(3)];
            rootfs.symlink(&first, target, &plain)
        }
        10 | 11 => rootfs.hard_link(&first, &second),
        12 => {
            let kinds = [
                NodeKind::Fifo,
                NodeKind::CharDevice { major: 1, minor: 3 },
                NodeKind::BlockDevice { major: 259, minor: 70_000 },
            ];
            rootfs.mknod(&first, numbers.pick(&kinds), &plain)
        }
        13 | 14 => rootfs.remove(&first),
        15 | 16 => rootfs.rename(&first, &second),
        17 => {
            let change = AttributeChange { xattrs: None, ..AttributeChange::from(&plain) };
            rootfs.set_attributes(&first, &change)
        }
        18 => replace_directory(rootfs, &first, &attributes),
        _ => swap_type(numbers, rootfs, &first, &attributes),
    };
}

/// Removes a directory with all that is in it, and makes one with another file.
fn replace_directory(
    rootfs: &mut dyn Rootfs,
    at: &GuestPath,
    attributes: &Attributes,
) -> Result<(), banger::RootfsError> {
    rootfs.remove(at)?;
    rootfs.create_dir(at, attributes)?;
    rootfs.write_file(&at.join(b"new").unwrap(), &mut &b"new"[..], attributes)
}

/// Replaces whatever is there by something of another type.
fn swap_type(
    numbers: &mut Numbers,
    rootfs: &mut dyn Rootfs,
    at: &GuestPath,
    attributes: &Attributes,
) -> Result<(), banger::RootfsError> {
    rootfs.remove(at)?;
    match numbers.below(4) {
        0 => rootfs.write_file(at, &mut &b"a file now"[..], attributes),
        1 => rootfs.symlink(at, b"/b", &Attributes::with_mode(0o777)),
        2 => rootfs.mknod(at, &NodeKind::Fifo, &Attributes::with_mode(0o600)),
        _ => replace_by_directory(rootfs, at, attributes),
    }
}

fn replace_by_directory(
    rootfs: &mut dyn Rootfs,
    at: &GuestPath,
    attributes: &Attributes,
) -> Result<(), banger::RootfsError> {
    rootfs.create_dir(at, attributes)?;
    rootfs.write_file(&at.join(b"a").unwrap(), &mut &b"below"[..], attributes)
}
