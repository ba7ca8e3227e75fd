//! The initramfs maker on a kernel of a distribution. The boots are in `cargo xtask boot-test`.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Instant;

use banger_kernel::initramfs::{
    Initramfs, InitramfsCompression, InitramfsOptions, ModuleDirectory, RootDisk, make_initramfs,
};
use banger_testkit::{Skip, require, tools};

/// The guest binary has about 1.5 MiB. This one has the header of a program for x86-64, and nothing to compress.
fn guest() -> Vec<u8> {
    let mut guest: Vec<u8> =
        (0..400_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    guest[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
    guest
}

/// The module directory of Debian's cloud kernel, as its package brings it: without `modules.dep`.
fn cloud_kernel() -> Result<PathBuf, Skip> {
    let missing = || Skip::new("no kernel in the test cache: run scripts/make-boot-tools");
    let mut kernels =
        std::fs::read_dir(tools::cache_dir().join("boot/kernel/lib/modules")).map_err(|_| missing())?;
    Ok(kernels.next().ok_or_else(missing)?.map_err(|_| missing())?.path())
}

fn make(directory: &PathBuf, options: &InitramfsOptions) -> Initramfs {
    let release = directory.file_name().unwrap().to_str().unwrap();
    make_initramfs(release, &ModuleDirectory::new(directory), &guest(), options).unwrap()
}

#[test]
fn the_initramfs_of_debians_cloud_kernel_is_small_and_always_the_same() {
    let directory = require!(cloud_kernel());
    for compression in [InitramfsCompression::None, InitramfsCompression::Zstd] {
        let options = InitramfsOptions::default().with_compression(compression);
        let begun = Instant::now();
        let initramfs = make(&directory, &options);
        println!("{compression:?}: {} bytes in {:?}", initramfs.bytes.len(), begun.elapsed());
        println!("{:?}", initramfs.modules);
        assert_eq!(initramfs.disks, RootDisk::ALL);
        for module in ["virtio", "virtio_ring", "virtio_pci", "virtio_mmio", "virtio_blk"] {
            assert!(initramfs.modules.iter().any(|name| name == module), "{module}");
        }
        assert!(!initramfs.modules.iter().any(|name| name == "ext4"), "it is built in");
        assert!(initramfs.bytes.len() < 3 << 20, "{} bytes", initramfs.bytes.len());
        assert_eq!(initramfs, make(&directory, &options));
    }
}

#[test]
fn the_archive_has_the_modules_in_their_order() {
    let directory = require!(cloud_kernel());
    let initramfs = make(&directory, &InitramfsOptions::default());
    let mut archive = initramfs.bytes.as_slice();
    let mut names = Vec::new();
    loop {
        let mut reader = cpio::NewcReader::new(archive).unwrap();
        if reader.entry().is_trailer() {
            break;
        }
        names.push(reader.entry().name().to_owned());
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        if names.last().unwrap().ends_with(".ko") {
            assert!(content.starts_with(b"\x7fELF"), "{names:?}");
        }
        archive = reader.finish().unwrap();
    }
    let modules = names.iter().filter(|name| name.ends_with(".ko"));
    for (number, (name, module)) in modules.zip(&initramfs.modules).enumerate() {
        assert_eq!(*name, format!("banger/modules/{number:03}-{module}.ko"));
    }
}
