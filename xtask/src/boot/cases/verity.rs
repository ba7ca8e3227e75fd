//! An image with a dm-verity hash tree: it boots and keeps nothing, and one changed bit of its disk stops it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use anyhow::Context as _;
use banger_testkit::TAG;

use crate::boot::bench::Bench;
use crate::boot::commands::{User, path};
use crate::boot::guest::ensure_that;
use crate::boot::images;

/// Bytes of a block.
const BLOCK: usize = 4096;
/// The message of the initramfs.
const CHANGED: &str =
    "cannot start the system: /dev/vda was changed: its bytes or its hash tree do not have the root hash";
/// The message of the kernel when it resets the machine.
const CORRUPTED: &str = "dm-verity device corrupted";

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let user = User::new(bench, "verity")?;
    let layout = user.file("busybox.layout");
    images::write_busybox(&layout, false)?;
    let reference = format!("oci:{}:{TAG}", layout.display());
    let pull = ["image", "pull", &reference, "--name", "small", "--size", "64M", "--verity"];
    let rootfs = user.succeeds(&pull)?.trim().to_owned();
    let show = |name: &str| -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_str(&user.succeeds(&["--json", "image", "show", name])?)?)
    };
    let root_hash =
        show("small")?["verity"]["root_hash"].as_str().context("there is no root hash")?.to_owned();

    // Changes are in memory: of files, directories and links of the image, too.
    let script = "mount | grep ' / '; cat /proc/cmdline; echo new > /etc/new; echo root:x:0:0::/:/bin/sh > /etc/passwd; \
                  cat /etc/new; stat -c %a /";
    let out = user.succeeds(&["vm", "run", "small", "--", "sh", "-c", script])?;
    ensure_that!(out.starts_with("overlay on / type overlay (rw,"), "{out}");
    ensure_that!(out.contains(&format!("banger.verity={root_hash}:/dev/vda:/dev/vdb:0:16384")), "{out}");
    ensure_that!(out.ends_with("new\n755\n"), "{out}");
    user.has_no_machine()?;
    user.succeeds(&["image", "verify", "small"])?;
    for (option, value) in [("--copy", "/etc/hostname:/etc/"), ("--size", "128M")] {
        let (_, error) = user.ends_with(1, &["vm", "run", "small", option, value, "--", "true"])?;
        ensure_that!(error.contains(option) && error.contains("hash tree"), "{error}");
    }

    // One bit of a program, which the guest reads: a page of it never arrives.
    let at = program_in(&rootfs)?;
    flip(&rootfs, at)?;
    let (_, error) = user.ends_with(1, &["vm", "run", "small", "--", "true"])?;
    ensure_that!(error.contains(CORRUPTED), "a changed program: {error}");
    let (out, _) = user.ends_with(1, &["image", "verify", "small"])?;
    ensure_that!(out.contains("small: damaged"), "{out}");
    flip(&rootfs, at)?;
    // One bit of the first block, before the superblock, which the host would miss; and one of the hash tree.
    let tree = path(std::path::Path::new(&rootfs).with_file_name("rootfs.verity").as_path())?;
    for (file, at) in [(&rootfs, 100), (&tree, BLOCK as u64 + 7)] {
        flip(file, at)?;
        let (_, error) = user.ends_with(1, &["vm", "run", "small", "--", "true"])?;
        ensure_that!(error.contains(&format!("{CHANGED} {root_hash}")), "{file}, byte {at}: {error}");
        flip(file, at)?;
    }
    user.has_no_machine()?;
    user.succeeds(&["image", "verify", "small"])?;
    Ok(())
}

/// Returns where a program begins in an ext4 file: the guest binary and busybox both run before anything else.
fn program_in(rootfs: &str) -> anyhow::Result<u64> {
    let bytes = std::fs::read(rootfs)?;
    let block = bytes.chunks(BLOCK).position(|block| block.starts_with(b"\x7fELF"));
    Ok((block.context("there is no program on the disk")? * BLOCK) as u64)
}

fn flip(file: &str, at: u64) -> anyhow::Result<()> {
    let file = File::options().read(true).write(true).open(file)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    file.write_all_at(&[byte[0] ^ 1], at)?;
    Ok(())
}
