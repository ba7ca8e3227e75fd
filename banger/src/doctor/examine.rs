//! The examination.

use banger_guest::files::os_release::{MAX_FILE_BYTES, OS_RELEASE_FILES, OsRelease};
use banger_oci::Platform;

use super::credentials::credentials;
use super::devices::devices;
use super::directories::{directories, reflink};
use super::host::DoctorHost;
use super::item::{DoctorReport, DoctorStatus};
use super::kernels::{guest_binaries, kernels};
use super::packages::PackageManager;
use super::programs::programs;

/// Returns what `host` has and lacks.
///
/// It opens the devices for a moment, makes temporary files without a name in the directories for state and cache
/// or above them, and runs the programs of e2fsprogs with `-V`. If `/dev/kvm` opens and the store has a kernel for this
/// processor, QEMU starts it once; the cache keeps the result, see [`kvm_works`](crate::vm::kvm_works).
pub fn examine_host(host: &DoctorHost) -> DoctorReport {
    let os_release = os_release(host);
    let manager = PackageManager::of(&os_release);
    let mut items = directories(host);
    let usable = items.iter().all(|item| item.status == DoctorStatus::Ok);
    items.push(reflink(host));
    items.extend(kernels(host));
    items.push(guest_binaries());
    items.extend(devices(host));
    items.extend(programs(host, manager));
    items.push(credentials(host));
    DoctorReport {
        version: 1,
        banger_version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        architecture: Platform::host().architecture,
        distribution: os_release.pretty_name.or(os_release.id),
        usable,
        items,
    }
}

fn os_release(host: &DoctorHost) -> OsRelease {
    for file in OS_RELEASE_FILES {
        if let Ok(text) = read_start(host.at(file).as_std_path()) {
            return OsRelease::parse(&text);
        }
    }
    OsRelease::default()
}

fn read_start(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES as u64).read_to_end(&mut text)?;
    Ok(text)
}
