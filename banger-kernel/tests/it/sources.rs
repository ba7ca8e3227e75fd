//! One kernel out of every kind of source.

use std::fs;
use std::os::unix::fs::symlink;

use banger_kernel::{ConfigOrigin, KernelArchitecture, KernelFormat, KernelSource, PlainFiles, SourceFormat};
use banger_testkit::{Codec, KernelBuilder, PackageBuilder, kernel_module};
use banger_tree::{Attributes, GuestPath, MemoryStore, Rootfs as _, Tree, TreeRootfs};

use crate::support::{CONFIG, Fixture, RELEASE, assert_package, kernel, package};

#[test]
fn debian_packages_of_every_compression() {
    let fixture = Fixture::new();
    for codec in Codec::OF_PACKAGES {
        for lib in ["lib", "usr/lib"] {
            let path = fixture.write("kernel.deb", package(lib).deb(codec));
            assert_eq!(SourceFormat::of(&path).unwrap(), SourceFormat::Deb);
            let imported = fixture.import(&path).unwrap_or_else(|error| panic!("{codec:?} {lib}: {error}"));
            assert_package(&imported);
            let package = imported.package.unwrap();
            assert_eq!((&*package.name, &*package.version), ("linux-image-test", "6.1.90-1"));
        }
    }
}

#[test]
fn rpm_packages_of_every_compression() {
    let fixture = Fixture::new();
    for codec in Codec::OF_PACKAGES {
        let path = fixture.write("kernel.rpm", package("usr/lib").rpm(codec));
        assert_eq!(SourceFormat::of(&path).unwrap(), SourceFormat::Rpm);
        let imported = fixture.import(&path).unwrap_or_else(|error| panic!("{codec:?}: {error}"));
        assert_package(&imported);
        assert_eq!(imported.package.unwrap().version, "6.1.90-1");
    }
}

/// As in Fedora: everything is in the directory of the modules.
#[test]
fn rpm_packages_with_the_kernel_beside_the_modules() {
    let fixture = Fixture::new();
    let base = format!("lib/modules/{RELEASE}");
    let package = PackageBuilder::new("kernel-core", "6.1-1")
        .file(&format!("{base}/vmlinuz"), kernel().bz_image(Codec::Zstd))
        .file(&format!("{base}/config"), CONFIG)
        .file(&format!("{base}/symvers.xz"), "x")
        .file(&format!("{base}/kernel/a.ko.zst"), Codec::Zstd.apply(&kernel_module("a", "", RELEASE)))
        .file(&format!("{base}/modules.dep"), "kernel/a.ko.zst:\n")
        .symlink(&format!("{base}/build"), "/usr/src/kernels/x")
        .symlink(&format!("boot/vmlinuz-{RELEASE}"), "../lib/modules/x/vmlinuz");
    let imported = fixture.import(&fixture.write("kernel.rpm", package.rpm(Codec::Zstd))).unwrap();
    assert_eq!(
        (&*imported.kernel.release, imported.modules, imported.made_dependencies),
        (RELEASE, 1, false)
    );
    let modules = imported.kernel.files.modules.unwrap();
    assert_eq!(crate::support::files(&modules), ["kernel/a.ko.zst", "modules.dep"]);
    assert_eq!(imported.config_origin, Some(ConfigOrigin::File));
    assert_eq!(imported.warnings, [""; 0]);
}

#[test]
fn alpine_packages() {
    let fixture = Fixture::new();
    let base = format!("lib/modules/{RELEASE}");
    let package = PackageBuilder::new("linux-virt", "6.1.90-r0")
        .file("boot/vmlinuz-virt", kernel().bz_image(Codec::Gzip))
        .file(&format!("boot/config-{RELEASE}"), CONFIG)
        .file(&format!("{base}/kernel/a.ko.gz"), Codec::Gzip.apply(&kernel_module("a", "", RELEASE)))
        .file("usr/share/kernel/virt/kernel.release", RELEASE);
    let path = fixture.write("linux-virt.apk", package.apk());
    assert_eq!(SourceFormat::of(&path).unwrap(), SourceFormat::Tar);
    let imported = fixture.import(&path).unwrap();
    assert_eq!((&*imported.kernel.release, imported.modules), (RELEASE, 1));
    assert_eq!(imported.config_origin, Some(ConfigOrigin::File));
    assert_eq!(imported.package.unwrap().name, "linux-virt");
    // On arm64 only the kernel itself says its release.
    let package = PackageBuilder::new("linux-virt", "6.1.90-r0")
        .file("boot/vmlinuz-virt", Codec::Gzip.apply(&kernel().arm64_image()))
        .file(&format!("boot/config-{RELEASE}"), CONFIG)
        .file(&format!("{base}/modules.order"), "");
    let imported = fixture.import(&fixture.write("arm64.apk", package.apk())).unwrap();
    assert_eq!(imported.kernel.architecture, KernelArchitecture::Arm64);
    assert_eq!((&*imported.kernel.release, imported.kernel.format), (RELEASE, KernelFormat::Image));
    assert_eq!(fs::read(imported.kernel.files.image).unwrap(), kernel().arm64_image());
    assert!(imported.kernel.files.modules.is_some());
}

#[test]
fn tars_of_root_file_systems() {
    let fixture = Fixture::new();
    for codec in [Codec::None, Codec::Gzip, Codec::Zstd, Codec::Xz] {
        let path = fixture.write("root.tar", codec.apply(&package("usr/lib").tar("")));
        assert_package(&fixture.import(&path).unwrap());
    }
}

/// As in Ubuntu: kernel and modules are in two packages.
#[test]
fn several_packages_of_one_kernel() {
    let fixture = Fixture::new();
    let image = PackageBuilder::new("linux-image", "1")
        .file(&format!("boot/vmlinuz-{RELEASE}"), kernel().bz_image(Codec::Zstd));
    let modules = PackageBuilder::new("linux-modules", "1")
        .file(&format!("boot/config-{RELEASE}"), CONFIG)
        .file(&format!("lib/modules/{RELEASE}/kernel/a.ko"), kernel_module("a", "", RELEASE));
    let (image, modules) =
        (fixture.write("a.deb", image.deb(Codec::Zstd)), fixture.write("b.deb", modules.deb(Codec::Xz)));
    let alone = fixture.import(&image).unwrap();
    assert_eq!((alone.modules, alone.config_origin), (0, None));
    for order in [[&image, &modules], [&modules, &image]] {
        let imported = fixture.import_all(&order.map(|path| KernelSource::Path(path))).unwrap();
        assert_eq!((imported.modules, imported.config_origin), (1, Some(ConfigOrigin::File)));
    }
    let error = fixture.import(&modules).unwrap_err();
    assert_eq!(error.code(), 1005, "{error}");
}

/// Makes a root directory with the files of a package.
fn unpack(fixture: &Fixture, root: &str, lib: &str) {
    let module = |name: &str, depends: &str| kernel_module(name, depends, RELEASE);
    let base = format!("{root}/{lib}/modules/{RELEASE}");
    fixture.write(&format!("{root}/boot/vmlinuz-{RELEASE}"), kernel().bz_image(Codec::Xz));
    fixture.write(&format!("{root}/boot/config-{RELEASE}"), CONFIG);
    fixture.write(&format!("{base}/kernel/drivers/virtio/virtio.ko"), module("virtio", ""));
    fixture.write(&format!("{base}/kernel/drivers/virtio/virtio_ring.ko"), module("virtio_ring", "virtio"));
    let block = Codec::Xz.apply(&module("virtio_blk", "virtio-ring,virtio"));
    fixture.write(&format!("{base}/kernel/drivers/block/virtio-blk.ko.xz"), block);
    fixture.write(&format!("{base}/modules.order"), "kernel/drivers/virtio/virtio.ko\n");
    fixture.write(&format!("{base}/modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
    symlink("/usr/src/linux", fixture.path(&format!("{base}/build"))).unwrap();
}

#[test]
fn directories_with_one_kernel() {
    let fixture = Fixture::new();
    unpack(&fixture, "old", "lib");
    assert_package(&fixture.import(&fixture.path("old")).unwrap());
    unpack(&fixture, "new", "usr/lib");
    symlink("usr/lib", fixture.path("new/lib")).unwrap();
    symlink(format!("boot/vmlinuz-{RELEASE}"), fixture.path("new/vmlinuz")).unwrap();
    assert_package(&fixture.import(&fixture.path("new")).unwrap());
}

#[test]
fn the_newest_kernel_of_a_directory() {
    let fixture = Fixture::new();
    unpack(&fixture, "root", "usr/lib");
    for release in ["6.1.0-9-test", "5.10.0-200-test"] {
        let image = KernelBuilder::new(release).bz_image(Codec::Gzip);
        fixture.write(&format!("root/boot/vmlinuz-{release}"), &image);
        fixture.write(&format!("root/usr/lib/modules/{release}/vmlinuz"), &image);
        fixture.write(&format!("root/usr/lib/modules/{release}/modules.order"), "");
    }
    fixture.write("root/boot/vmlinuz-0-rescue-12", KernelBuilder::new("9.9").bz_image(Codec::Gzip));
    fixture.write("root/boot/vmlinuz-8.0.old", KernelBuilder::new("8.0").bz_image(Codec::Gzip));
    assert_package(&fixture.import(&fixture.path("root")).unwrap());
    // And one that only the directory of modules has.
    let newer = "6.12.1";
    fixture.write(
        &format!("root/usr/lib/modules/{newer}/vmlinuz"),
        KernelBuilder::new(newer).bz_image(Codec::Gzip),
    );
    assert_eq!(fixture.import(&fixture.path("root")).unwrap().kernel.release, newer);
}

#[test]
fn symlinks_of_a_directory_lead_nowhere() {
    let fixture = Fixture::new();
    let secret = fixture.write("secret", kernel().bz_image(Codec::Gzip));
    fs::create_dir_all(fixture.path("root/boot")).unwrap();
    symlink(&secret, fixture.path(&format!("root/boot/vmlinuz-{RELEASE}"))).unwrap();
    assert_eq!(fixture.import(&fixture.path("root")).unwrap_err().code(), 1005);
    unpack(&fixture, "elsewhere", "lib");
    symlink(fixture.path("elsewhere/boot"), fixture.path("root/other")).unwrap();
    fs::remove_dir_all(fixture.path("root/boot")).unwrap();
    symlink(fixture.path("elsewhere/boot"), fixture.path("root/boot")).unwrap();
    assert_eq!(fixture.import(&fixture.path("root")).unwrap_err().code(), 1005);
    // A module that is a symlink is left out with a warning.
    let module = format!("elsewhere/lib/modules/{RELEASE}/kernel/evil.ko");
    symlink("/etc/passwd", fixture.path(&module)).unwrap();
    let imported = fixture.import(&fixture.path("elsewhere")).unwrap();
    assert_eq!(imported.warnings.len(), 1);
    assert!(imported.warnings[0].contains("kernel/evil.ko"), "{:?}", imported.warnings);
}

#[test]
fn root_file_systems_of_images() {
    let fixture = Fixture::new();
    for (boot, lib) in [(true, "lib"), (false, "usr/lib")] {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let mut write = |path: &str, content: &[u8]| {
            let path = GuestPath::parse(path).unwrap();
            let mut parents: Vec<GuestPath> =
                std::iter::successors(path.parent(), GuestPath::parent).collect();
            parents.reverse();
            for parent in parents {
                if rootfs.stat(&parent).unwrap().is_none() {
                    rootfs.create_dir(&parent, &Attributes::with_mode(0o755)).unwrap();
                }
            }
            rootfs.write_file(&path, &mut &*content, &Attributes::with_mode(0o644)).unwrap();
        };
        let base = format!("{lib}/modules/{RELEASE}");
        let image = kernel().bz_image(Codec::Lz4);
        match boot {
            true => write(&format!("boot/vmlinuz-{RELEASE}"), &image),
            false => write(&format!("{base}/vmlinuz"), &image),
        }
        write(&format!("{base}/kernel/a.ko"), &kernel_module("a", "", RELEASE));
        write(&format!("{base}/config"), CONFIG.as_bytes());
        if !boot {
            let lib = GuestPath::parse("/lib").unwrap();
            rootfs.symlink(&lib, b"usr/lib", &Attributes::with_mode(0o777)).unwrap();
        }
        let imported =
            fixture.import_all(&[KernelSource::Rootfs { rootfs: &rootfs, name: "disk.ext4" }]).unwrap();
        assert_eq!((&*imported.kernel.release, imported.modules), (RELEASE, 1));
        assert_eq!(fs::read(imported.kernel.files.image).unwrap(), kernel().vmlinux());
        assert_eq!(imported.config_origin, Some(ConfigOrigin::File));
    }
}

#[test]
fn plain_files() {
    let fixture = Fixture::new();
    unpack(&fixture, "root", "lib");
    let image = fixture.path(&format!("root/boot/vmlinuz-{RELEASE}"));
    let imported = fixture.import(&image).unwrap();
    assert_eq!((&*imported.kernel.release, imported.modules, imported.config_origin), (RELEASE, 0, None));
    let initrd = fixture.write("initrd", "0707");
    let config = fixture.write("config.gz", Codec::Gzip.apply(CONFIG.as_bytes()));
    for modules in ["root", "root/lib/modules", &format!("root/lib/modules/{RELEASE}")] {
        let files = PlainFiles::new(image.clone())
            .with_initrd(initrd.clone())
            .with_config(config.clone())
            .with_modules(fixture.path(modules));
        let imported = fixture.import_files(&files).unwrap();
        assert_package(&imported);
        assert_eq!(fs::read(imported.kernel.files.initrd.unwrap()).unwrap(), b"0707");
    }
    // Modules of another kernel.
    let other = fixture.write("vmlinux", KernelBuilder::new("6.2.0").vmlinux());
    let files = PlainFiles::new(other).with_modules(fixture.path(&format!("root/lib/modules/{RELEASE}")));
    let error = fixture.import_files(&files).unwrap_err();
    assert_eq!(error.code(), 1006, "{error}");
    let files = PlainFiles::new(image.clone()).with_modules(fixture.path("root/boot"));
    assert_eq!(fixture.import_files(&files).unwrap_err().code(), 1005);
    let files = PlainFiles::new(image.clone()).with_config(initrd);
    assert_eq!(fixture.import_files(&files).unwrap_err().code(), 1004);
    let files = PlainFiles::new(fixture.path("none"));
    assert_eq!(fixture.import_files(&files).unwrap_err().code(), 1001);
}

#[test]
fn modules_of_another_kernel_are_not_taken() {
    let fixture = Fixture::new();
    let package = PackageBuilder::new("mixed", "1")
        .file("boot/vmlinuz-6.2.0", KernelBuilder::new("6.2.0").bz_image(Codec::Gzip))
        .file(&format!("lib/modules/{RELEASE}/kernel/a.ko"), kernel_module("a", "", RELEASE));
    let imported = fixture.import(&fixture.write("mixed.deb", package.deb(Codec::Gzip))).unwrap();
    assert_eq!(imported.modules, 0);
    assert!(imported.warnings[0].contains(RELEASE), "{:?}", imported.warnings);
}

#[test]
fn modules_that_need_missing_ones_are_named() {
    let fixture = Fixture::new();
    let base = format!("lib/modules/{RELEASE}/kernel");
    let package = PackageBuilder::new("x", "1")
        .file(&format!("boot/vmlinuz-{RELEASE}"), kernel().bz_image(Codec::Gzip))
        .file(&format!("{base}/a.ko"), kernel_module("a", "b,gone", RELEASE))
        .file(&format!("{base}/b.ko"), kernel_module("b", "a", RELEASE));
    let imported = fixture.import(&fixture.write("x.deb", package.deb(Codec::Gzip))).unwrap();
    assert_eq!(imported.warnings, ["modules need gone, which the source does not have"]);
    let dep = fs::read_to_string(imported.kernel.files.modules.unwrap().join("modules.dep")).unwrap();
    assert_eq!(dep, "kernel/a.ko: kernel/b.ko\nkernel/b.ko: kernel/a.ko\n");
}
