//! No document makes the parsers of manifests and configurations panic.
#![no_main]

use banger_oci::manifest::Manifest;
use banger_oci::{Digest, ImageConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Manifest::parse(bytes, None, "fuzzed");
    let _ = Manifest::parse(bytes, Some("application/vnd.oci.image.manifest.v1+json"), "fuzzed");
    let _ = ImageConfig::parse(bytes, &Digest::of(bytes));
});
