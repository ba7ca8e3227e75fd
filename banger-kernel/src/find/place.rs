//! The meaning of paths in a root file system: kernels, configurations, modules.

use banger_tree::GuestPath;

use super::release::is_release;

/// The meaning of a file's path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A kernel; the label is the text behind `vmlinuz-`, or the name of the directory of modules.
    Kernel { label: Option<&'a str>, rank: KernelRank },
    /// A configuration, with the release in its path.
    Config { label: &'a str },
    /// A file of the directory of modules of a release.
    Module { release: &'a str, below: Vec<&'a [u8]> },
}

/// Which of two kernels of one release is taken: the higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KernelRank {
    /// In the root directory.
    Root,
    /// In `/boot`.
    Boot,
    /// In the directory of its modules.
    Modules,
}

/// Names of kernels; a suffix with a dash in front may follow.
const KERNEL_NAMES: [&str; 3] = ["vmlinuz", "vmlinux", "Image"];
/// Ends of names of files that are not kernels of the release in the name.
const OTHER_ENDS: [&str; 5] = [".old", ".bak", ".hmac", ".sig", ".p7s"];
/// The start of the label of a kernel that is a copy of another one.
const RESCUE: &str = "0-rescue";

/// Returns the meaning of a regular file at `path`.
pub(super) fn place_of(path: &GuestPath) -> Option<Place<'_>> {
    let parts: Vec<&[u8]> = path.components().collect();
    let parts = match parts.as_slice() {
        [b"usr", rest @ ..] if rest.first() == Some(&&b"lib"[..]) => rest,
        all => all,
    };
    match parts {
        [b"boot", name] => boot_file(name, KernelRank::Boot),
        [b"lib", b"modules", release, rest @ ..] => {
            let release = str::from_utf8(release).ok().filter(|release| is_release(release))?;
            match rest {
                [b"vmlinuz"] => Some(Place::Kernel { label: Some(release), rank: KernelRank::Modules }),
                [b"config"] => Some(Place::Config { label: release }),
                // Beside the modules lie links to sources, an initramfs, and more.
                [name] if !name.starts_with(b"modules.") => None,
                [] | [b"build" | b"source", ..] => None,
                _ => Some(Place::Module { release, below: rest.to_vec() }),
            }
        }
        [name] => boot_file(name, KernelRank::Root),
        _ => None,
    }
}

fn boot_file(name: &[u8], rank: KernelRank) -> Option<Place<'_>> {
    let name = str::from_utf8(name).ok()?;
    if OTHER_ENDS.iter().any(|end| name.ends_with(end)) {
        return None;
    }
    if let Some(label) = name.strip_prefix("config-") {
        return Some(Place::Config { label });
    }
    let rest = KERNEL_NAMES.iter().find_map(|kernel| name.strip_prefix(kernel))?;
    // `vmlinux-6.4.0-1-default.xz`, `Image.gz`
    let rest = [".gz", ".xz", ".zst"].iter().find_map(|end| rest.strip_suffix(end)).unwrap_or(rest);
    let label = match rest {
        "" => None,
        _ => Some(rest.strip_prefix('-')?),
    };
    match label.is_some_and(|label| label.starts_with(RESCUE)) {
        true => None,
        false => Some(Place::Kernel { label, rank }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_paths() {
        let kernel = |label, rank| Some(Place::Kernel { label, rank });
        for (path, want) in [
            ("boot/vmlinuz-6.1.0-50-cloud-amd64", kernel(Some("6.1.0-50-cloud-amd64"), KernelRank::Boot)),
            ("boot/vmlinuz-virt", kernel(Some("virt"), KernelRank::Boot)),
            ("boot/vmlinux-6.4.0-1-default.xz", kernel(Some("6.4.0-1-default"), KernelRank::Boot)),
            ("boot/Image", kernel(None, KernelRank::Boot)),
            ("vmlinuz", kernel(None, KernelRank::Root)),
            ("Image.gz", kernel(None, KernelRank::Root)),
            ("usr/lib/modules/6.9/vmlinuz", kernel(Some("6.9"), KernelRank::Modules)),
            ("lib/modules/6.9/vmlinuz", kernel(Some("6.9"), KernelRank::Modules)),
            ("lib/modules/6.9/config", Some(Place::Config { label: "6.9" })),
            ("boot/config-6.9", Some(Place::Config { label: "6.9" })),
            (
                "usr/lib/modules/6.9/kernel/a.ko",
                Some(Place::Module { release: "6.9", below: vec![b"kernel", b"a.ko"] }),
            ),
            (
                "lib/modules/6.9/modules.order",
                Some(Place::Module { release: "6.9", below: vec![b"modules.order"] }),
            ),
            ("lib/modules/6.9/initramfs.img", None),
            ("lib/modules/6.9", None),
            ("lib/modules/6.9/build/kernel/a.ko", None),
            ("boot/vmlinuz-0-rescue-0123", None),
            ("boot/vmlinuz-6.9.old", None),
            ("boot/.vmlinuz-6.9.hmac", None),
            ("boot/vmlinuzx", None),
            ("boot/initrd.img-6.9", None),
            ("usr/boot/vmlinuz-6.9", None),
            ("usr/share/doc/vmlinuz", None),
            ("etc/vmlinuz", None),
        ] {
            let path = GuestPath::parse(path).unwrap();
            assert_eq!(place_of(&path), want, "{path}");
        }
    }
}
