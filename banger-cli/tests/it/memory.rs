//! Peak memory of a pull, on an image of a gigabyte.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use banger_testkit::{Entry, ImageBuilder, Layer, LayoutBuilder};

use crate::support::{BACKENDS, Home};

const FILES: u64 = 20_000;
const FILE_BYTES: usize = 54_000;

/// One layer of a gigabyte in 20,000 files, compressible to about half.
fn big_layer() -> Vec<u8> {
    let mut tar = Vec::with_capacity(1 << 30);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for directory in 0..FILES / 100 {
        for file in 0..100 {
            let mut content = vec![b'x'; FILE_BYTES];
            for bytes in content.chunks_exact_mut(16) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes[..8].copy_from_slice(&state.to_le_bytes());
            }
            tar.extend(Entry::file(format!("srv/{directory}/{file}"), content).encode());
        }
    }
    tar.extend([0; 1024]);
    tar
}

#[test]
fn a_gigabyte_in_150_megabytes_and_300_bytes_an_entry() {
    let home = Home::new();
    let layout = home.path("layout");
    {
        let tar = big_layer();
        assert!(tar.len() > 1 << 30);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&tar).unwrap();
        let blob = encoder.finish().unwrap();
        let layer = Layer::of_blob(tar, blob, "application/vnd.oci.image.layer.v1.tar+gzip");
        LayoutBuilder::of(&ImageBuilder::new().layer_as(layer)).write(&layout);
    }
    let reference = format!("oci:{}:latest", layout.display());
    let entries = FILES + FILES / 100 + 2;
    let limit_kib = 150 * 1024 + entries * 300 / 1024;
    for backend in BACKENDS {
        let out = home.path("out/x.ext4");
        let mut child = home
            .banger(["image", "pull", &reference, "--backend", backend, "--force", "--output"])
            .arg(&out)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut peak_kib = 0;
        while child.try_wait().unwrap().is_none() {
            peak_kib = peak_kib.max(resident_peak_kib(child.id()).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(child.wait().unwrap().success());
        println!("{backend}: peak {peak_kib} KiB of {limit_kib} KiB allowed");
        assert!(peak_kib > 1024, "the peak was seen");
        assert!(peak_kib <= limit_kib, "{backend}: peak {peak_kib} KiB, allowed {limit_kib} KiB");
    }
}

/// `VmHWM`: the most memory that the process had resident so far.
pub(crate) fn resident_peak_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
