//! The inputs, each with the code that makes it and the bound that holds for it.

use std::io::Write as _;
use std::process::Stdio;

use anyhow::{Context as _, bail};
use banger_testkit::{
    Compression, Entry, ImageBuilder, Layer, LayerBuilder, LayoutBuilder, SparseFile, SparseFormat, TAG,
    docker_archive, gzip, tools, zstd,
};

use super::case::{CostBound, CostCase, Ending, MIB};
use super::http;
use super::layouts::{end, file_at, pull, pull_arguments, pull_of, winding};
use super::run::{CostCommand, in_home};

/// The documented memory: 150 MiB, and 300 bytes an entry.
const fn bound(cpu_seconds: f64, entries: u64, written_mib: u64) -> CostBound {
    CostBound { cpu_seconds, peak_bytes: 150 * MIB + 300 * entries, written_bytes: written_mib * MIB }
}

const COMPONENTS: &str = "--max-path-components";
/// Files without content below winding parents.
const WINDING_ENTRIES: usize = 20_000;
/// Entries that each imply a thousand directories.
const IMPLYING_ENTRIES: usize = 3_000;
/// Names in one directory that is deep down.
const DEEP_NAMES: usize = 150_000;
/// Entries of an archive.
const ARCHIVE_ENTRIES: usize = 1_000_000;

pub(super) const CASES: &[CostCase] = &[
    CostCase {
        name: "winding-symlinks",
        make: |home, _| {
            let mut tar = winding("l0");
            for number in 0..WINDING_ENTRIES {
                tar.extend(file_at(&format!("l0/{}/x", ["a", "b"][number % 2]), b""));
            }
            Ok(pull_of(home, tar, &["--no-inject"]))
        },
        bound: bound(8.0, WINDING_ENTRIES as u64, 64),
        ending: Ending::DoneOr(COMPONENTS),
    },
    CostCase {
        name: "winding-pending-links",
        make: |home, _| {
            let mut tar = winding("l0");
            for number in 0..WINDING_ENTRIES {
                tar.extend(Entry::hardlink(format!("h{number}"), "x").pax("linkpath", "l0/late").encode());
            }
            tar.extend(Entry::file("end/late", b"1").encode());
            Ok(pull_of(home, tar, &["--no-inject"]))
        },
        bound: bound(8.0, WINDING_ENTRIES as u64, 64),
        ending: Ending::DoneOr(COMPONENTS),
    },
    CostCase {
        name: "pending-links-in-the-wrong-order",
        make: |home, _| {
            let mut tar = Vec::new();
            for number in 0..WINDING_ENTRIES {
                tar.extend(Entry::hardlink(format!("h{number}"), format!("h{}", number + 1)).encode());
            }
            tar.extend(Entry::file(format!("h{WINDING_ENTRIES}"), b"1").encode());
            Ok(pull_of(home, tar, &["--no-inject"]))
        },
        bound: bound(8.0, WINDING_ENTRIES as u64, 64),
        ending: Ending::Done,
    },
    CostCase {
        name: "winding-etc-while-pulling",
        make: |home, _| {
            let mut tar = winding("etc");
            tar.extend(Entry::dir("usr/").encode());
            Ok(pull_of(home, tar, &["--init", "banger"]))
        },
        bound: bound(15.0, 0, 128),
        ending: Ending::DoneOr(COMPONENTS),
    },
    CostCase {
        name: "winding-etc-in-rootfs-inject",
        make: |home, banger| {
            let command = pull_of(home, winding("etc"), &["--no-inject"]);
            run(in_home(banger, home).args(&command.arguments))?;
            let arguments = ["rootfs", "inject", "out.ext4", "--init", "banger"].map(str::to_owned).to_vec();
            Ok(CostCommand { arguments, ..command })
        },
        bound: bound(15.0, 0, 128),
        ending: Ending::DoneOr(COMPONENTS),
    },
    CostCase {
        name: "implied-directories",
        make: |home, _| Ok(pull_of(home, implying(), &["--no-inject"])),
        bound: bound(15.0, IMPLYING_ENTRIES as u64, 64),
        ending: Ending::Refused("--max-metadata"),
    },
    CostCase {
        name: "implied-directories-in-blocks",
        make: |home, _| {
            Ok(pull_of(home, implying(), &["--no-inject", "--max-metadata", "1T", "--max-content", "256M"]))
        },
        bound: CostBound { cpu_seconds: 60.0, peak_bytes: 1200 * MIB, written_bytes: 300 * MIB },
        ending: Ending::Refused("--max-content"),
    },
    CostCase {
        name: "deep-parents-in-turn",
        make: |home, _| {
            let mut tar = Vec::new();
            for number in 0..WINDING_ENTRIES {
                let path = format!("{}/{}{number}", ["a", "b"][number % 2], "d/".repeat(900));
                tar.extend(file_at(&path, b""));
            }
            Ok(pull_of(home, tar, &["--no-inject"]))
        },
        bound: bound(10.0, WINDING_ENTRIES as u64, 64),
        ending: Ending::DoneOr(COMPONENTS),
    },
    CostCase {
        name: "many-names-deep-down",
        make: |home, _| {
            let dir = "dd/".repeat(1000);
            let mut tar = Vec::new();
            for number in 0..DEEP_NAMES {
                tar.extend(file_at(&format!("{dir}{number}"), b""));
            }
            let blob = gzip(&end(tar));
            std::fs::write(home.join("root.tar.gz"), &blob)?;
            let arguments = ["rootfs", "build", "root.tar.gz", "out.ext4"].map(str::to_owned).to_vec();
            Ok(CostCommand { arguments, input_bytes: blob.len() as u64, ..CostCommand::default() })
        },
        bound: bound(30.0, DEEP_NAMES as u64, 128),
        ending: Ending::DoneOr(COMPONENTS),
    },
    CostCase {
        name: "sparse-pieces-of-one-byte",
        make: |home, _| {
            let segments = (0..1_000_000).map(|piece| (piece * 8192, vec![b'x'])).collect();
            let sparse = SparseFile { size_bytes: 8192 * 1_000_000, segments };
            let tar = LayerBuilder::new().sparse("big", SparseFormat::Pax10, &sparse).unfinished();
            Ok(pull_of(home, tar, &["--no-inject", "--max-content", "8M"]))
        },
        bound: bound(10.0, 0, 72),
        ending: Ending::Refused("--max-content"),
    },
    CostCase {
        name: "empty-gzip-members-600-layers",
        make: |home, _| Ok(pull(home, &vec![members(); 600], &["--no-inject"])),
        bound: bound(10.0, 0, 64),
        ending: Ending::Refused("--max-layers"),
    },
    CostCase {
        name: "empty-gzip-members-512-layers",
        make: |home, _| Ok(pull(home, &vec![members(); 512], &["--no-inject"])),
        bound: bound(20.0, 0, 64),
        ending: Ending::Done,
    },
    CostCase {
        name: "docker-archive-lists-a-layer-3000-times",
        make: |home, _| {
            let noise: Vec<u8> =
                (0..500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
            let tar = end(Entry::file("noise", &noise).encode());
            let layer = Layer::of_blob(gzip(&tar), gzip(&tar), "");
            let digest = banger_testkit::sha256_digest(&tar);
            let layer = layer.diff_id(digest);
            let image = (0..3000).fold(ImageBuilder::new(), |image, _| image.layer_as(layer.clone()));
            let archive = docker_archive(&[(&image, &["a:latest"])]);
            std::fs::write(home.join("a.tar"), &archive)?;
            let arguments = pull_arguments("docker-archive:a.tar", &["--no-inject"]);
            Ok(CostCommand { arguments, input_bytes: archive.len() as u64, ..CostCommand::default() })
        },
        bound: bound(10.0, 0, 64),
        ending: Ending::Refused("--max-layers"),
    },
    CostCase {
        name: "foreign-layer-with-20000-urls",
        make: |_, _| {
            let (host, requests) = http::foreign_layer(20_000)?;
            let arguments = pull_arguments(&format!("{host}/a:latest"), &["--no-inject"]);
            Ok(CostCommand { arguments, requests, ..CostCommand::default() })
        },
        bound: bound(10.0, 0, 64),
        ending: Ending::NoCrash,
    },
    CostCase {
        name: "oci-archive-of-6-gigabytes-of-zeros",
        make: |home, _| {
            let frame = zstd(&vec![0; 64 << 20]);
            let archive =
                [zstd(&Entry::file("zeros", b"").size(6 << 30).encode()), frame.repeat(96)].concat();
            std::fs::write(home.join("a.tar.zst"), &archive)?;
            let arguments = pull_arguments("oci-archive:a.tar.zst", &["--no-inject", "--max-tar", "128M"]);
            Ok(CostCommand { arguments, input_bytes: archive.len() as u64, ..CostCommand::default() })
        },
        bound: bound(20.0, 0, 192),
        ending: Ending::Refused("--max-tar"),
    },
    CostCase {
        name: "archive-with-a-million-entries",
        make: |home, _| {
            let mut archive = Vec::new();
            for part in 0..ARCHIVE_ENTRIES / 10_000 {
                let mut tar = Vec::new();
                for number in 0..10_000 {
                    tar.extend(Entry::file(format!("{part}-{number}"), b"").encode());
                }
                archive.extend(zstd(&tar));
            }
            archive.extend(zstd(&[0; 1024]));
            std::fs::write(home.join("a.tar.zst"), &archive)?;
            let arguments = pull_arguments("oci-archive:a.tar.zst", &["--no-inject"]);
            Ok(CostCommand { arguments, input_bytes: archive.len() as u64, ..CostCommand::default() })
        },
        bound: bound(20.0, 0, 600),
        ending: Ending::NoCrash,
    },
    CostCase {
        name: "config-with-nested-ports",
        make: |home, _| {
            let nested = serde_json::Value::Array(vec![serde_json::Value::Array(Vec::new()); 5_300_000]);
            let config = serde_json::json!({ "ExposedPorts": { "1/tcp": { "a": nested } } });
            let image = ImageBuilder::new().layer(end(Vec::new())).config("config", config);
            let layout = LayoutBuilder::of(&image);
            layout.write(&home.join("layout"));
            let arguments = pull_arguments(&format!("oci:layout:{TAG}"), &["--no-inject"]);
            Ok(CostCommand { arguments, input_bytes: 16 << 20, ..CostCommand::default() })
        },
        bound: CostBound { cpu_seconds: 20.0, peak_bytes: (20 * 16 + 64) * MIB, written_bytes: 64 * MIB },
        ending: Ending::NoCrash,
    },
    CostCase {
        name: "xz-dictionary-of-4-gigabytes",
        make: |home, _| {
            let bytes = xz_header(40);
            std::fs::write(home.join("root.tar.xz"), &bytes)?;
            let arguments = ["rootfs", "build", "root.tar.xz", "out.ext4"].map(str::to_owned).to_vec();
            Ok(CostCommand { arguments, input_bytes: bytes.len() as u64, ..CostCommand::default() })
        },
        bound: bound(5.0, 0, 8),
        ending: Ending::Refused("dictionary"),
    },
    CostCase {
        name: "rootfs-cat-json-of-a-terabyte",
        make: |home, banger| {
            let sparse = SparseFile { size_bytes: 1 << 40, segments: Vec::new() };
            let tar = LayerBuilder::new().sparse("big", SparseFormat::Pax10, &sparse).unfinished();
            let command = pull_of(home, tar, &["--no-inject"]);
            run(in_home(banger, home).args(&command.arguments))?;
            let arguments = ["--json", "rootfs", "cat", "out.ext4", "/big"].map(str::to_owned).to_vec();
            Ok(CostCommand { arguments, ..command })
        },
        bound: bound(20.0, 0, 8),
        ending: Ending::Refused(""),
    },
    CostCase {
        name: "rootfs-ls-of-30000-names-in-a-list",
        make: |home, banger| {
            let dir = home.join("tree/d");
            std::fs::create_dir_all(&dir)?;
            for number in 0..30_000 {
                std::fs::File::create(dir.join(format!("name-{number}")))?;
            }
            let mkfs = tools::tool("mkfs.ext4").map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
            run(in_home(&mkfs, home).args([
                "-q",
                "-O",
                "^dir_index",
                "-N",
                "40000",
                "-d",
                "tree",
                "out.ext4",
                "256M",
            ]))?;
            let _ = banger;
            let arguments = ["rootfs", "ls", "-l", "out.ext4", "/d"].map(str::to_owned).to_vec();
            Ok(CostCommand { arguments, input_bytes: 30_000, ..CostCommand::default() })
        },
        bound: bound(10.0, 30_000, 8),
        ending: Ending::Done,
    },
];

/// Entries whose paths imply a thousand directories each.
fn implying() -> Vec<u8> {
    (0..IMPLYING_ENTRIES)
        .flat_map(|number| file_at(&format!("{number}/{}x", "d/".repeat(1000)), b""))
        .collect()
}

/// A layer of 4 MB that holds nothing.
fn members() -> Layer {
    let tar = vec![0; 1024];
    let blob = [gzip(&tar), gzip(b"").repeat(200_000)].concat();
    Layer::of_blob(tar, blob, Compression::Gzip.oci_media_type())
}

/// The start of an xz stream whose dictionary has the size that `code` stands for; 40 is 4 GiB.
fn xz_header(code: u8) -> Vec<u8> {
    let with_crc = |bytes: &[u8], covered: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(covered);
        [bytes, &crc.sum().to_le_bytes()].concat()
    };
    let flags = [0, 4];
    let stream = with_crc(&[b"\xfd7zXZ\0", &flags[..]].concat(), &flags);
    // 12 bytes of header, one filter: LZMA2 with one byte of properties.
    let block = [2, 0, 0x21, 1, code, 0, 0, 0];
    [stream, with_crc(&block, &block), vec![1, 0, 0, b'x', 0, 0, 0, 0]].concat()
}

/// Runs a command that prepares an input.
fn run(command: &mut std::process::Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().context("cannot start what prepares the input")?;
    if !output.status.success() {
        std::io::stderr().write_all(&output.stderr)?;
        bail!("the command that prepares the input failed");
    }
    Ok(())
}
