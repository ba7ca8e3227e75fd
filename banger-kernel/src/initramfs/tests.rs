//! The maker, on module directories in memory.

use std::collections::BTreeMap;
use std::io::{self, Read as _};

use banger_testkit::{gzip, property_config, zstd};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::modinfo::fake_module;
use super::*;

const RELEASE: &str = "6.1.0-test";
const MACHINE: u16 = 62;

/// A module directory in memory.
#[derive(Clone, Debug, Default)]
struct Directory(BTreeMap<String, Vec<u8>>);

impl Directory {
    fn with(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.to_owned(), content.into());
        self
    }

    /// Adds a module to the directory and to `modules.order`.
    fn with_module(self, path: &str, texts: &[&str]) -> Self {
        self.listed(path).with(path, module(texts))
    }

    fn listed(mut self, path: &str) -> Self {
        self.0
            .entry("modules.order".to_owned())
            .or_default()
            .extend_from_slice(format!("{path}\n").as_bytes());
        self
    }
}

impl ModuleSource for Directory {
    fn read(&self, path: &str, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
        let content = self.0.get(path).cloned();
        assert!(content.as_ref().is_none_or(|content| content.len() as u64 <= max_bytes), "{path}");
        Ok(content)
    }
}

fn module(texts: &[&str]) -> Vec<u8> {
    let mut all = vec![format!("vermagic={RELEASE} SMP ")];
    all.extend(texts.iter().map(|&text| text.to_owned()));
    fake_module(MACHINE, &all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn guest() -> Vec<u8> {
    fake_module(MACHINE, &[])
}

/// As Debian's cloud kernel: NVMe and ext4 built in, the parts of virtio are modules.
fn cloud() -> Directory {
    Directory::default()
        .with("modules.builtin", "kernel/drivers/nvme/host/nvme.ko\nkernel/fs/ext4/ext4.ko\n")
        .with_module("kernel/virtio_blk.ko", &["depends=virtio,virtio_ring"])
        .with_module("kernel/virtio-pci.ko", &["depends=virtio_ring,virtio"])
        .with_module("kernel/virtio_mmio.ko", &["depends=virtio_ring,virtio"])
        .with_module("kernel/virtio.ko", &["depends="])
        .with_module("kernel/virtio_ring.ko", &["depends=virtio"])
        .with_module("kernel/extra.ko", &["depends="])
}

fn make(modules: &dyn ModuleSource, options: &InitramfsOptions) -> Result<Initramfs, InitramfsError> {
    make_initramfs(RELEASE, modules, &guest(), options)
}

/// Names, modes and contents of an archive.
fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut rest = archive;
    let mut entries = Vec::new();
    loop {
        let mut reader = cpio::NewcReader::new(rest).unwrap();
        let entry = reader.entry().clone();
        if entry.is_trailer() {
            return entries;
        }
        assert_eq!((entry.uid(), entry.gid(), entry.mtime()), (0, 0, 0), "{}", entry.name());
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        entries.push((entry.name().to_owned(), entry.mode(), content));
        rest = reader.finish().unwrap();
    }
}

#[test]
fn a_verified_root_has_its_modules() {
    let modules = cloud()
        .with_module("kernel/dm-mod.ko", &["depends="])
        .with_module("kernel/dm-bufio.ko", &["depends=dm-mod"])
        .with_module("kernel/dm-verity.ko", &["depends=dm-mod,dm-bufio"])
        .with_module("kernel/sha256_generic.ko", &["depends="])
        .with_module("kernel/overlay.ko", &["depends="]);
    let options = InitramfsOptions::default().with_verity(true);
    let made = make(&modules, &options).unwrap();
    let place = |name: &str| made.modules.iter().position(|module| module == name).expect(name);
    assert!(place("dm_mod") < place("dm_bufio") && place("dm_bufio") < place("dm_verity"));
    assert!(place("overlay") > 0 && place("sha256_generic") > 0);
    assert!(!make(&modules, &InitramfsOptions::default()).unwrap().modules.contains(&"overlay".to_owned()));
    // The hash may be built in; the others have to be somewhere.
    match make(&cloud(), &options) {
        Err(InitramfsError::MissingDriver { driver, .. }) => assert_eq!(driver, "dm_mod"),
        other => panic!("{other:?}"),
    }
    let without_modules = make(&Directory::default(), &options.with_all_builtin()).unwrap();
    assert_eq!((without_modules.modules.len(), without_modules.disks.len()), (0, 3));
}

#[test]
fn needed_modules_come_first_and_others_stay_out() {
    let initramfs = make(&cloud(), &InitramfsOptions::default()).unwrap();
    assert_eq!(initramfs.modules, ["virtio", "virtio_ring", "virtio_pci", "virtio_blk", "virtio_mmio"]);
    assert_eq!(initramfs.disks, RootDisk::ALL);
    let entries = entries(&initramfs.bytes);
    let names: Vec<&str> = entries.iter().map(|(name, ..)| name.as_str()).collect();
    let expected = [
        "dev",
        "proc",
        "sys",
        "root",
        "banger",
        "banger/modules",
        "dev/console",
        "init",
        "banger/kernel",
        "banger/modules/000-virtio.ko",
        "banger/modules/001-virtio_ring.ko",
        "banger/modules/002-virtio_pci.ko",
        "banger/modules/003-virtio_blk.ko",
        "banger/modules/004-virtio_mmio.ko",
    ];
    assert_eq!(names, expected);
    let of = |name: &str| entries.iter().find(|entry| entry.0 == name).unwrap();
    assert_eq!(of("init").1, 0o100_755);
    assert_eq!(of("init").2, guest());
    assert_eq!(of("dev/console").1, 0o020_600);
    assert_eq!(of("banger/kernel").2, b"6.1.0-test\n");
    assert_eq!(of("banger/modules/000-virtio.ko").2, module(&["depends="]));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for compression in [InitramfsCompression::None, InitramfsCompression::Zstd] {
        let options = InitramfsOptions::default().with_compression(compression);
        let first = make(&cloud(), &options).unwrap();
        assert_eq!(first, make(&cloud(), &options).unwrap());
    }
    // On every machine, too.
    let archive = make(&cloud(), &InitramfsOptions::default()).unwrap().bytes;
    let digest: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "b3f0d561bf243cf9bd97f9ce43a24e45c5b481b6bd0dd91788a55fa753bfddc7");
}

#[test]
fn compressed_initramfs_hold_the_same_archive() {
    let plain = make(&cloud(), &InitramfsOptions::default()).unwrap();
    let options = InitramfsOptions::default().with_compression(InitramfsCompression::Zstd);
    let compressed = make(&cloud(), &options).unwrap();
    assert!(compressed.bytes.len() < plain.bytes.len());
    assert_eq!(::zstd::decode_all(compressed.bytes.as_slice()).unwrap(), plain.bytes);
}

#[test]
fn modules_dep_and_all_compressions_are_read() {
    let dep = "kernel/virtio_blk.ko.xz: kernel/virtio_ring.ko.gz kernel/virtio.ko.zst\n\
               kernel/virtio_mmio.ko: kernel/virtio_ring.ko.gz kernel/virtio.ko.zst\n\
               kernel/virtio_ring.ko.gz: kernel/virtio.ko.zst\n\
               kernel/virtio.ko.zst:\nkernel/ext4.ko:\n";
    let mut xz = Vec::new();
    liblzma::read::XzEncoder::new(module(&["name=blk"]).as_slice(), 6).read_to_end(&mut xz).unwrap();
    let directory = Directory::default()
        .with("modules.dep", dep)
        .with("kernel/virtio_blk.ko.xz", xz)
        .with("kernel/virtio_ring.ko.gz", gzip(&module(&[])))
        .with("kernel/virtio.ko.zst", zstd(&module(&[])))
        .with("kernel/virtio_mmio.ko", module(&[]))
        .with("kernel/ext4.ko", module(&[]));
    let initramfs = make(&directory, &InitramfsOptions::default()).unwrap();
    assert_eq!(initramfs.modules, ["virtio", "virtio_ring", "virtio_mmio", "virtio_blk", "ext4"]);
    assert_eq!(initramfs.disks, [RootDisk::VirtioMmio]);
    let entries = entries(&initramfs.bytes);
    let block = entries.iter().find(|entry| entry.0.ends_with("-virtio_blk.ko")).unwrap();
    assert_eq!(block.2, module(&["name=blk"]), "it is decompressed");
}

#[test]
fn modules_order_names_compressed_files_without_their_ending() {
    let mut directory = cloud();
    let plain = directory.0.remove("kernel/virtio_blk.ko").unwrap();
    let directory = directory.with("kernel/virtio_blk.ko.gz", gzip(&plain));
    assert!(
        make(&directory, &InitramfsOptions::default()).unwrap().modules.contains(&"virtio_blk".to_owned())
    );
}

#[test]
fn wanted_modules_come_along_where_they_exist() {
    let ext4 = |directory: Directory| {
        Directory(directory.0.into_iter().filter(|(path, _)| path != "modules.builtin").collect())
            .with_module("kernel/ext4.ko", &["depends=jbd2", "softdep=pre: crypto-crc32c"])
            .with_module("kernel/jbd2.ko", &["softdep=pre: nowhere"])
    };
    let made = |directory: Directory| make(&directory, &InitramfsOptions::default()).unwrap().modules;
    assert_eq!(made(ext4(cloud()))[5..], ["jbd2", "ext4"]);
    // Under the name that the kernel gives its own code.
    let with = ext4(cloud()).with_module("kernel/crc32c_generic.ko", &[]);
    assert_eq!(made(with.clone())[5..], ["jbd2", "crc32c_generic", "ext4"]);
    // Under the one that the list of aliases has.
    let alias =
        with.with("modules.alias", "alias crypto-crc32c crc32c-fast\n").with_module("k/crc32c-fast.ko", &[]);
    assert_eq!(made(alias)[5..], ["jbd2", "crc32c_fast", "ext4"]);
}

#[test]
fn missing_drivers_are_named() {
    let error = |directory: &Directory, disk: RootDisk| {
        make(directory, &InitramfsOptions::default().with_disks(vec![disk])).unwrap_err()
    };
    let without = |path: &str| Directory(cloud().0.into_iter().filter(|(name, _)| name != path).collect());
    let unlisted = |path: &str| {
        let mut directory = without(path);
        let order = String::from_utf8(directory.0["modules.order"].clone()).unwrap();
        directory.0.insert("modules.order".into(), order.replace(&format!("{path}\n"), "").into_bytes());
        directory
    };
    let missing = error(&unlisted("kernel/virtio_blk.ko"), RootDisk::VirtioMmio);
    assert_eq!(
        missing.to_string(),
        "kernel 6.1.0-test has no driver `virtio_blk`, which a virtio disk over MMIO needs: it is neither a \
         module nor built in"
    );
    let missing = error(&without("kernel/virtio_blk.ko"), RootDisk::VirtioPci);
    assert_eq!(
        missing.to_string(),
        "kernel 6.1.0-test has no driver `virtio_blk`, which a virtio disk over PCI needs: the file of its \
         module, `kernel/virtio_blk.ko`, is missing"
    );
    let missing = error(&without("kernel/virtio_ring.ko"), RootDisk::VirtioPci);
    assert!(missing.to_string().contains("`virtio_ring`, which module `virtio_pci` needs"), "{missing}");
    // Another kind of disk still works.
    let initramfs = make(&unlisted("kernel/virtio_blk.ko"), &InitramfsOptions::default()).unwrap();
    assert_eq!(initramfs.disks, [RootDisk::Nvme]);
    assert!(initramfs.modules.is_empty(), "nothing half-needed stays: {:?}", initramfs.modules);
    let nothing = make(&Directory::default(), &InitramfsOptions::default()).unwrap_err();
    assert!(matches!(nothing, InitramfsError::NoRootDisk { .. }), "{nothing}");
    let ext4 = cloud().with("modules.builtin", "kernel/drivers/nvme/host/nvme.ko\n");
    let missing = make(&ext4, &InitramfsOptions::default()).unwrap_err();
    assert!(missing.to_string().contains("`ext4`, which the root file system needs"), "{missing}");
    // The configuration says that it is built in.
    make(&ext4, &InitramfsOptions::default().with_builtin(vec!["ext4".to_owned()])).unwrap();
    let options = InitramfsOptions::default().with_modules(vec!["extra".to_owned(), "no_such".to_owned()]);
    let missing = make(&cloud(), &options).unwrap_err();
    assert!(missing.to_string().contains("no driver `no_such`"), "{missing}");
    let options = InitramfsOptions::default().with_modules(vec!["extra".to_owned()]);
    assert_eq!(make(&cloud(), &options).unwrap().modules.last().unwrap(), "extra");
}

#[test]
fn modules_of_other_kernels_are_refused() {
    let other = fake_module(MACHINE, &["vermagic=6.1.0-other SMP"]);
    let error = make(&cloud().with("kernel/virtio.ko", other), &InitramfsOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "`kernel/virtio.ko` is for kernel 6.1.0-other, not 6.1.0-test");
    let other = fake_module(183, &["vermagic=6.1.0-test SMP"]);
    let error = make(&cloud().with("kernel/virtio.ko", other), &InitramfsOptions::default()).unwrap_err();
    assert!(matches!(error, InitramfsError::WrongProcessor { .. }), "{error}");
    let error = make(&cloud().with("kernel/virtio.ko", b"text"), &InitramfsOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "`kernel/virtio.ko` is not a kernel module: it is not an ELF file");
    let error = make_initramfs(RELEASE, &cloud(), b"#!/bin/sh", &InitramfsOptions::default()).unwrap_err();
    assert!(matches!(error, InitramfsError::Guest), "{error}");
    for release in ["", "a b", "a/b", "a\nb"] {
        let error = make_initramfs(release, &cloud(), &guest(), &InitramfsOptions::default()).unwrap_err();
        assert!(matches!(error, InitramfsError::Release { .. }), "{error}");
    }
}

#[test]
fn circles_and_long_chains_end() {
    let circle = cloud().with_module("kernel/virtio.ko", &["depends=virtio_blk"]);
    let error = make(&circle, &InitramfsOptions::default()).unwrap_err();
    assert!(matches!(&error, InitramfsError::Circle { module } if module == "virtio"), "{error}");
    // Wanted in a circle: loaded once.
    let wanted = cloud().with_module("kernel/virtio.ko", &["softdep=pre: virtio_blk"]);
    make(&wanted, &InitramfsOptions::default()).unwrap();
    let mut chain = cloud().with("kernel/virtio.ko", module(&["depends=m0"]));
    for number in 0..1000 {
        chain = chain.with_module(&format!("k/m{number}.ko"), &[&format!("depends=m{}", number + 1)]);
    }
    let error = make(&chain, &InitramfsOptions::default()).unwrap_err();
    assert!(error.to_string().contains("too long a chain"), "{error}");
    let all: Vec<String> = (0..300).map(|number| format!("m{number}")).collect();
    let mut broad = cloud().with("kernel/virtio.ko", module(&[&format!("depends={}", all[..200].join(","))]));
    for name in &all {
        broad = broad.with_module(&format!("k/{name}.ko"), &[]);
    }
    let broad = broad.with("k/m0.ko", module(&[&format!("depends={}", all[200..].join(","))]));
    let error = make(&broad, &InitramfsOptions::default()).unwrap_err();
    assert!(error.to_string().contains("too many modules"), "{error}");
}

#[test]
fn modules_that_grow_without_end_are_refused() {
    // 65 MiB of zeros in 64 KiB.
    let bomb = zstd(&vec![0; 65 << 20]);
    let error = make(&cloud().with("kernel/virtio.ko", bomb), &InitramfsOptions::default()).unwrap_err();
    assert!(error.to_string().contains("it has more than 67108864 bytes"), "{error}");
    let cut = &gzip(&module(&[]))[..40];
    let error = make(&cloud().with("kernel/virtio.ko", cut), &InitramfsOptions::default()).unwrap_err();
    assert!(matches!(error, InitramfsError::Damaged { .. }), "{error}");
}

#[test]
fn directories_of_the_host_are_sources() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "0123456789").unwrap();
    std::fs::create_dir(directory.path().join("kernel")).unwrap();
    let source = ModuleDirectory::new(directory.path());
    assert_eq!(source.read("file", 10).unwrap().unwrap(), b"0123456789");
    assert_eq!(source.read("file", 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    assert_eq!(source.read("kernel/no", 9).unwrap(), None);
    assert_eq!(source.read("kernel", 9).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

proptest! {
    #![proptest_config(property_config(200))]

    /// Each module is behind those that it needs; a circle is an error.
    #[test]
    fn random_needs_are_in_order(needs in prop::collection::vec(prop::collection::vec(0_usize..20, 0..4), 20), acyclic: bool) {
        let needs: Vec<Vec<usize>> = needs
            .into_iter()
            .enumerate()
            .map(|(number, needs)| match acyclic {
                true => needs.into_iter().filter(|needed| *needed < number).collect(),
                false => needs,
            })
            .collect();
        let mut directory = cloud();
        for (number, needs) in needs.iter().enumerate() {
            let names: Vec<String> = needs.iter().map(|needed| format!("m{needed}")).collect();
            directory = directory.with_module(&format!("k/m{number}.ko"), &[&format!("depends={}", names.join(","))]);
        }
        let modules = (0..20).map(|number| format!("m{number}")).collect();
        match make(&directory, &InitramfsOptions::default().with_modules(modules)) {
            Ok(initramfs) => {
                let place = |number: usize| {
                    initramfs.modules.iter().position(|name| *name == format!("m{number}")).unwrap()
                };
                for (number, needs) in needs.iter().enumerate() {
                    for needed in needs {
                        prop_assert!(place(*needed) < place(number));
                    }
                }
            }
            Err(error) => {
                prop_assert!(!acyclic, "{error}");
                let is_circle = matches!(error, InitramfsError::Circle { .. });
                prop_assert!(is_circle, "{error}");
            }
        }
    }
}
