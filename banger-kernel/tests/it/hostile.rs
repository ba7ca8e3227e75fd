//! Wrong, cut and hostile sources: a clear error that names the file, and nothing out of bounds.

use std::fs;

use banger_kernel::{KernelError, KernelLimits, KernelSource};
use banger_testkit::{Codec, KernelBuilder, LayerBuilder, PackageBuilder, ar, bz_image, gzip, zstd};
use banger_tree::{Cancellation, ErrorKind, Failure as _};

use crate::support::{Fixture, RELEASE, files, kernel, package};

/// Imports a file that is not sound, and returns the error after a look at its text.
#[track_caller]
fn refuse(fixture: &Fixture, what: &str, bytes: &[u8]) -> KernelError {
    let path = fixture.write("source", bytes);
    let error = match fixture.import(&path) {
        Ok(imported) => panic!("{what}: it was taken as {}", imported.kernel.release),
        Err(error) => error,
    };
    let text = error.to_string();
    assert!(text.contains("source"), "{what}: the error does not name the file: {text}");
    assert!(!text.contains('\n'), "{what}: {text}");
    error
}

#[test]
fn packages_that_are_cut_anywhere() {
    let fixture = Fixture::new();
    let packages = [
        ("deb", package("lib").deb(Codec::Xz)),
        ("deb", package("lib").deb(Codec::None)),
        ("rpm", package("lib").rpm(Codec::Zstd)),
        ("rpm", package("lib").rpm(Codec::Lzma)),
        ("rpm", package("lib").rpm(Codec::None)),
        ("apk", package("lib").apk()),
    ];
    for (name, bytes) in packages {
        let step = bytes.len() / 23 + 1;
        let cuts = (1..bytes.len()).step_by(step).chain(bytes.len().saturating_sub(24)..bytes.len());
        for cut in cuts.chain(1..bytes.len().min(200)) {
            let what = format!("{name} of {} bytes, cut to {cut}", bytes.len());
            // Zeros that fill the end of a cpio archive, or an end marker of lzma, may be missing.
            let path = fixture.write("source", &bytes[..cut]);
            match fixture.import(&path) {
                Ok(imported) => assert!(bytes.len() - cut <= 8, "{what}: {}", imported.kernel.release),
                Err(error) => assert!(error.to_string().contains("source"), "{what}: {error}"),
            }
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let fixture = Fixture::new();
    for bytes in [package("lib").deb(Codec::None), package("lib").rpm(Codec::None), package("lib").apk()] {
        for at in (0..200).step_by(2).chain((200..bytes.len()).step_by(bytes.len() / 61)) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let _ = fixture.import(&fixture.write("source", damaged));
        }
    }
}

#[test]
fn wrong_files_are_named() {
    let fixture = Fixture::new();
    let data = package("lib").tar("./");
    let control = gzip(&LayerBuilder::new().file("control", "Package: x\n").finish());
    let deb = |members: &[(&str, &[u8])]| ar(members);
    let cases: [(&str, Vec<u8>, &str); 19] = [
        ("text", b"hello, this is no kernel\n".to_vec(), "not a .deb, .rpm or .apk package"),
        ("empty", Vec::new(), "it is empty"),
        ("another ar", deb(&[("a.o", b"x")]), "begins with \"a.o\""),
        ("a version of the future", deb(&[("debian-binary", b"3.0\n")]), "version \"3.0\""),
        ("no data", deb(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control)]), "no data.tar"),
        (
            "data that is no tar",
            deb(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control), ("data.tar", &[b'x'; 2000])]),
            "tar header",
        ),
        (
            "lz4",
            deb(&[("debian-binary", b"2.0\n"), ("data.tar.lz4", b"\x04\x22\x4d\x18....")]),
            "compressed with lz4",
        ),
        (
            "ar with a wrong size",
            {
                let mut bytes = deb(&[("debian-binary", b"2.0\n"), ("data.tar", &data)]);
                bytes[8 + 48..8 + 58].copy_from_slice(b"9999999999");
                bytes
            },
            "ends inside debian-binary",
        ),
        ("apk 3", b"ADBd.......".to_vec(), "Alpine package of version 3"),
        ("gzip of text", gzip(b"text"), "no tar, package or kernel in it"),
        (
            "no kernel",
            PackageBuilder::new("meta", "1").file("usr/x", "y").deb(Codec::Xz),
            "meta may only depend",
        ),
        (
            "rpm without a header",
            [&package("lib").rpm(Codec::Gzip)[..96], &[0; 200]].concat(),
            "magic number",
        ),
        (
            "rpm with a huge header",
            {
                let mut bytes = package("lib").rpm(Codec::Gzip);
                bytes[96 + 8..96 + 16].copy_from_slice(&[0xff; 8]);
                bytes
            },
            "more than",
        ),
        (
            "rpm of large files",
            {
                let mut bytes = package("lib").rpm(Codec::None);
                let at = bytes.windows(6).position(|window| window == b"070701").unwrap();
                bytes[at + 5] = b'X';
                bytes
            },
            "4 GiB",
        ),
        (
            "kernel that is none",
            { PackageBuilder::new("x", "1").file("boot/vmlinuz-6.1", "#!/bin/sh\n").deb(Codec::Gzip) },
            "boot/vmlinuz-6.1",
        ),
        (
            "32-bit",
            {
                let mut image = kernel().bz_image(Codec::Gzip);
                image[0x236] = 0;
                image
            },
            "32-bit",
        ),
        ("an arm64 vmlinux", kernel().machine(183).vmlinux(), "arm64 vmlinux"),
        ("another processor", kernel().machine(243).vmlinux(), "another processor"),
        (
            "two files of one path",
            {
                let image = kernel().bz_image(Codec::Gzip);
                let module = format!("lib/modules/{RELEASE}/modules.order");
                let twice = format!("usr/lib/modules/{RELEASE}/modules.order");
                let package = PackageBuilder::new("x", "1").file("boot/vmlinuz", image);
                package.file(&module, "a").file(&twice, "b").deb(Codec::Gzip)
            },
            "twice",
        ),
    ];
    for (what, bytes, want) in cases {
        let error = refuse(&fixture, what, &bytes);
        assert!(error.to_string().contains(want), "{what}: {error}");
    }
}

#[test]
fn damaged_bz_images_are_named() {
    let fixture = Fixture::new();
    let vmlinux = kernel().vmlinux();
    for codec in Codec::OF_KERNELS {
        let image = bz_image(RELEASE, &vmlinux, codec);
        let payload = 8 * 512 + 64;
        let length = u32::from_le_bytes(image[0x24c..0x250].try_into().unwrap()) as usize;
        let patched = |at: usize, bytes: &[u8]| {
            let mut image = image.clone();
            image[at..at + bytes.len()].copy_from_slice(bytes);
            image
        };
        let cut = image[..payload + length / 2].to_vec();
        let cases = [
            ("cut", cut, "payload ends at byte"),
            ("old", patched(0x206, &[7, 2]), "version 2.07"),
            ("no payload", patched(0x24c, &[0; 4]), "no payload"),
            ("offset outside", patched(0x248, &[0xff; 4]), "payload ends at byte"),
            ("unknown magic", patched(payload, &[1, 2, 3, 4, 5, 6]), "unknown compression"),
            ("damage inside", patched(payload + length / 2, &[0xff, 0, 0x55, 0xaa, 0x13, 0x37, 9, 9]), ""),
        ];
        // These formats have no checksum, zstd as the tests write it.
        let checks = !matches!(codec, Codec::Lz4 | Codec::Lzma | Codec::Zstd);
        for (what, bytes, want) in cases.into_iter().filter(|(_, _, want)| checks || !want.is_empty()) {
            let error = refuse(&fixture, what, &bytes);
            assert!(error.to_string().contains(want), "{codec:?} {what}: {error}");
            assert_eq!(error.kind(), ErrorKind::Damaged, "{codec:?} {what}: {error}");
        }
        // The size behind the payload says another length.
        for size in [vmlinux.len() - 1, vmlinux.len() + 1] {
            let size = u32::try_from(size).unwrap().to_le_bytes();
            let error = refuse(&fixture, "size", &patched(payload + length - 4, &size));
            assert_eq!(error.kind(), ErrorKind::Damaged, "{codec:?}: {error}");
        }
        let error = refuse(&fixture, "huge", &patched(payload + length - 4, &[0xff; 4]));
        assert_eq!(error.kind(), ErrorKind::Limit, "{codec:?}: {error}");
    }
    let not_elf = bz_image(RELEASE, &[b'x'; 5000], Codec::Gzip);
    assert!(refuse(&fixture, "no ELF", &not_elf).to_string().contains("not a vmlinux"));
}

#[test]
fn a_vmlinux_with_wrong_headers() {
    let fixture = Fixture::new();
    let vmlinux = kernel().vmlinux();
    for cut in [5, 40, 100, 200, vmlinux.len() - 1] {
        let error = refuse(&fixture, &format!("cut to {cut}"), &vmlinux[..cut]);
        assert_eq!(error.kind(), ErrorKind::Damaged, "{cut}: {error}");
    }
    // A table of 65,535 program headers, segments behind the end, notes of 4 GiB.
    for (at, bytes) in
        [(56, &[0xff, 0xff][..]), (64 + 8, &[0xff; 8]), (64 + 32, &[0xff; 8]), (32, &[0xff; 8])]
    {
        let mut bad = vmlinux.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(refuse(&fixture, &format!("byte {at}"), &bad).kind(), ErrorKind::Damaged);
    }
    // Notes with wrong lengths hide the entry, and nothing else.
    let mut odd = vmlinux;
    odd[64 + 2 * 56..64 + 2 * 56 + 8].copy_from_slice(&[0xff; 8]);
    let imported = fixture.import(&fixture.write("vmlinux", odd)).unwrap();
    assert!(!imported.kernel.has_pvh_entry);
}

#[test]
fn limits_hold() {
    let fixture = Fixture::new();
    // 1 GiB of zeros in a file of 32 KiB or so.
    let bomb = zstd(&vec![0; 64 << 20]);
    let path = fixture.write("source", ar(&[("debian-binary", b"2.0\n"), ("data.tar.zst", &bomb)]));
    assert!(fixture.import(&path).is_err(), "zeros are no tar");
    let path = fixture.write("source.deb", package("lib").deb(Codec::Xz));
    let small = KernelLimits::default();
    for limits in [
        small.clone().with_max_kernel_bytes(1000),
        small.clone().with_max_kernel_bytes(15_000),
        small.clone().with_max_content_bytes(10_000),
        small.clone().with_max_tar_bytes(10_000),
        small.with_max_entries(3),
    ] {
        let error = fixture.import_within(&[KernelSource::Path(&path)], &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("source.deb"), "{error}");
    }
    // A name of 4 GiB, which a decoder would fill with zeros.
    let mut cpio = b"070701".to_vec();
    for field in [1, 0o100_644, 0, 0, 1, 0, 0, 0, 0, 0, 0, u32::MAX, 0] {
        cpio.extend(format!("{field:08x}").as_bytes());
    }
    let rpm = package("lib").rpm(Codec::None);
    let head = rpm.windows(6).position(|window| window == b"070701").unwrap();
    let error = refuse(&fixture, "long name", &[&rpm[..head], &cpio].concat());
    assert!(error.to_string().contains("4294967295 bytes"), "{error}");
}

/// Each module needs all others: as many ways through them as a computer never walks.
#[test]
fn modules_in_circles_take_no_time() {
    let fixture = Fixture::new();
    let package = |count: usize| {
        let name = |number: usize| format!("m{number}");
        let needs: Vec<String> = (0..count).map(name).collect();
        let mut package = PackageBuilder::new("x", "1")
            .file(&format!("boot/vmlinuz-{RELEASE}"), kernel().bz_image(Codec::Gzip));
        for module in &needs {
            let bytes = banger_testkit::kernel_module(module, &needs.join(","), RELEASE);
            package = package.file(&format!("lib/modules/{RELEASE}/kernel/{module}.ko"), bytes);
        }
        package.deb(Codec::Zstd)
    };
    let imported = fixture.import(&fixture.write("source", package(60))).unwrap();
    let dependencies =
        fs::read_to_string(imported.kernel.files.modules.unwrap().join("modules.dep")).unwrap();
    assert!(dependencies.lines().all(|line| line.split_whitespace().count() == 60), "{dependencies}");
    let mut chain = PackageBuilder::new("x", "1")
        .file(&format!("boot/vmlinuz-{RELEASE}"), kernel().bz_image(Codec::Gzip));
    for number in 0..1100 {
        let bytes = banger_testkit::kernel_module("m", &format!("m{}", number + 1), RELEASE);
        chain = chain.file(&format!("lib/modules/{RELEASE}/kernel/m{number}.ko"), bytes);
    }
    let error = fixture.import(&fixture.write("source", chain.deb(Codec::Zstd))).unwrap_err().to_string();
    assert!(error.contains("needs more than 1024"), "{error}");
}

#[test]
fn paths_stay_inside() {
    let fixture = Fixture::new();
    let image = kernel().bz_image(Codec::Gzip);
    let tar = LayerBuilder::new()
        .file(format!("boot/vmlinuz-{RELEASE}"), image)
        .file(format!("lib/modules/{RELEASE}/../../../../../../../../tmp/banger-escape"), "x")
        .file(format!("lib/modules/{RELEASE}/kernel/../../../../escape"), "x")
        .file("lib/modules/../modules.dep", "x")
        .file(format!("lib/modules/{RELEASE}/modules.order"), "")
        .finish();
    let imported = fixture.import(&fixture.write("source", tar)).unwrap();
    assert_eq!(files(&imported.kernel.files.modules.unwrap()), ["modules.dep", "modules.order"]);
    assert!(!fs::exists("/tmp/banger-escape").unwrap());
    assert!(!fixture.path("escape").exists());
}

#[test]
fn a_cancelled_import_stops() {
    let fixture = Fixture::new();
    let path = fixture.write("source.deb", package("lib").deb(Codec::Xz));
    let dir = fixture.path("out");
    fs::create_dir(&dir).unwrap();
    let cancellation = Cancellation::new();
    let stop = |_: &banger_kernel::KernelProgress| cancellation.cancel();
    let source = [KernelSource::Path(&path)];
    let error = banger_kernel::import_kernel(&source, &dir, &KernelLimits::default(), &stop, &cancellation);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn a_module_of_another_kernel_is_an_error() {
    let fixture = Fixture::new();
    let module = |bytes: &[u8]| {
        PackageBuilder::new("x", "1")
            .file(&format!("boot/vmlinuz-{RELEASE}"), KernelBuilder::new(RELEASE).bz_image(Codec::Gzip))
            .file(&format!("lib/modules/{RELEASE}/kernel/a.ko"), bytes)
            .deb(Codec::Gzip)
    };
    let path = fixture.write("x.deb", module(&banger_testkit::kernel_module("a", "", "6.2.0")));
    let error = fixture.import(&path).unwrap_err().to_string();
    assert!(error.contains("kernel/a.ko") && error.contains("6.2.0") && error.contains(RELEASE), "{error}");
    for bytes in [&b"text"[..], b"", b"\x7fELF\x02\x01\x01"] {
        let error = fixture.import(&fixture.write("x.deb", module(bytes))).unwrap_err();
        assert!(error.to_string().contains("kernel/a.ko"), "{error}");
    }
}
