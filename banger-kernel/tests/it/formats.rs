//! Formats of kernel images: what comes out is the same, byte for byte.

use std::fs;

use banger_kernel::{ConfigOrigin, KernelFormat};
use banger_testkit::{Codec, KernelBuilder, bz_image};

use crate::support::{CONFIG, Fixture, RELEASE, kernel};

#[test]
fn the_vmlinux_comes_out_of_a_bz_image_of_every_compression() {
    let fixture = Fixture::new();
    // Several blocks of lz4, and more than the first buffer of each decoder.
    let kernel = kernel().filler(9 << 20);
    let vmlinux = kernel.vmlinux();
    for codec in Codec::OF_KERNELS {
        let image = bz_image(RELEASE, &vmlinux, codec);
        let imported = fixture.import(&fixture.write("vmlinuz", &image)).unwrap();
        let files = imported.kernel.files;
        assert_eq!(imported.kernel.format, KernelFormat::Vmlinux);
        assert!(fs::read(&files.image).unwrap() == vmlinux, "{codec:?}");
        assert!(fs::read(files.bz_image.unwrap()).unwrap() == image, "{codec:?}");
        assert_eq!(imported.kernel.release, RELEASE);
    }
}

#[test]
fn a_vmlinux_may_be_compressed_as_a_whole() {
    let fixture = Fixture::new();
    let vmlinux = kernel().vmlinux();
    for codec in Codec::OF_KERNELS.into_iter().chain([Codec::None]) {
        let path = fixture.write(&format!("vmlinux{}", codec.suffix()), codec.apply(&vmlinux));
        let imported = fixture.import(&path).unwrap_or_else(|error| panic!("{codec:?}: {error}"));
        assert!(fs::read(&imported.kernel.files.image).unwrap() == vmlinux, "{codec:?}");
        assert_eq!((&*imported.kernel.release, imported.kernel.files.bz_image), (RELEASE, None));
    }
}

#[test]
fn the_image_comes_out_of_an_efi_program() {
    let fixture = Fixture::new();
    let image = kernel().arm64_image();
    for codec in Codec::OF_KERNELS {
        let imported = fixture.import(&fixture.write("vmlinuz", kernel().zboot(codec))).unwrap();
        assert_eq!(imported.kernel.format, KernelFormat::Image);
        assert!(fs::read(&imported.kernel.files.image).unwrap() == image, "{codec:?}");
    }
}

#[test]
fn the_pvh_entry_is_a_note() {
    let fixture = Fixture::new();
    for (kernel, want) in [(kernel(), true), (kernel().without_pvh_entry(), false)] {
        let imported = fixture.import(&fixture.write("vmlinux", kernel.vmlinux())).unwrap();
        assert_eq!(imported.kernel.has_pvh_entry, want);
    }
}

#[test]
fn the_configuration_may_be_in_the_kernel() {
    let fixture = Fixture::new();
    for image in [
        kernel().config(CONFIG).bz_image(Codec::Zstd),
        kernel().config(CONFIG).filler(5 << 20).vmlinux(),
        kernel().config(CONFIG).arm64_image(),
    ] {
        let imported = fixture.import(&fixture.write("kernel", image)).unwrap();
        assert_eq!(imported.config_origin, Some(ConfigOrigin::Embedded));
        assert_eq!(fs::read_to_string(imported.kernel.files.config.unwrap()).unwrap(), CONFIG);
    }
    let none = fixture.import(&fixture.write("kernel", kernel().vmlinux())).unwrap();
    assert_eq!((none.config_origin, none.kernel.files.config), (None, None));
}

/// The texts of a kernel are found wherever they lie to the windows that are looked at.
#[test]
fn texts_are_found_across_windows() {
    let fixture = Fixture::new();
    for before in [(1 << 20) - 40, (1 << 20) + 60, (1 << 20) + 127, (1 << 20) + 130, (2 << 20) - 1] {
        let mut vmlinux = KernelBuilder::new("").filler(0).vmlinux();
        vmlinux.resize(before, 0);
        vmlinux.extend(format!("Linux version {RELEASE} (x)\0").as_bytes());
        vmlinux.resize(before + 3 * (1 << 20) - 70, 0);
        vmlinux.extend(b"IKCFG_ST");
        vmlinux.extend(Codec::Gzip.apply(CONFIG.as_bytes()));
        let imported = fixture.import(&fixture.write("vmlinux", vmlinux)).unwrap();
        assert_eq!(
            (&*imported.kernel.release, imported.config_origin),
            (RELEASE, Some(ConfigOrigin::Embedded))
        );
    }
}
