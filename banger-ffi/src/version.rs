//! Version and features of the library.

use std::ffi::{CStr, c_char};

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no NUL"),
};

/// `banger_features`: the library holds a guest binary for amd64.
pub const BANGER_FEATURE_GUEST_AMD64: u64 = 1;
/// `banger_features`: the library holds a guest binary for arm64.
pub const BANGER_FEATURE_GUEST_ARM64: u64 = 2;
/// `banger_features`: the library has the backend that runs mkfs.ext4 and debugfs.
pub const BANGER_FEATURE_E2FSPROGS: u64 = 4;

/// Returns the version of the library as text, "0.1.0". It lives as long as the program.
#[unsafe(no_mangle)]
pub extern "C" fn banger_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the library as a number: major * 1000000 + minor * 1000 + patch. Compare it with
/// BANGER_VERSION_NUMBER, the version of the header.
#[unsafe(no_mangle)]
pub extern "C" fn banger_version_number() -> u32 {
    const fn number(text: &str) -> u32 {
        let (bytes, mut at, mut value) = (text.as_bytes(), 0, 0);
        while at < bytes.len() {
            value = value * 10 + (bytes[at] - b'0') as u32;
            at += 1;
        }
        value
    }
    const NUMBER: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + number(env!("CARGO_PKG_VERSION_PATCH"));
    NUMBER
}

/// Returns what the library was built with: a set of BANGER_FEATURE_* bits.
#[unsafe(no_mangle)]
pub extern "C" fn banger_features() -> u64 {
    let guest = |architecture, bit| if pipeline::embedded_guest(architecture).is_some() { bit } else { 0 };
    let e2fsprogs = if cfg!(feature = "e2fsprogs") { BANGER_FEATURE_E2FSPROGS } else { 0 };
    guest("amd64", BANGER_FEATURE_GUEST_AMD64) | guest("arm64", BANGER_FEATURE_GUEST_ARM64) | e2fsprogs
}
