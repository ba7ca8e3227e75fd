//! A reference that parses is written in its canonical form, which parses to the same value.
#![no_main]

use banger_oci::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let canonical = reference.to_string();
        assert_eq!(canonical.parse::<Reference>().as_ref(), Ok(&reference), "{canonical}");
        let name = reference.suggested_name();
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{name}");
    }
});
