//! docs/ffi.md names functions that are there, and all of them.

use std::collections::BTreeSet;

use crate::build::root;
use crate::header::{names, prototypes};

fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("banger_")).map(str::to_owned).collect()
}

#[test]
fn functions_that_are_named_exist() {
    let text = std::fs::read_to_string(root().join("docs/ffi.md")).expect("it is committed");
    let header = crate::header::text();
    for name in named(&text) {
        let is_family = text.contains(&format!("{name}…")) || text.contains(&format!("{name}*"));
        assert!(header.contains(&name) && (is_family || named(&header).contains(&name)), "{name}");
    }
}

#[test]
fn functions_that_can_fail_are_named() {
    let text = std::fs::read_to_string(root().join("docs/ffi.md")).expect("it is committed");
    let named = named(&text);
    let fallible = prototypes().into_iter().filter(|function| function.is_fallible());
    let missing: Vec<String> =
        fallible.map(|function| function.name).filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(names().len() > 100);
}
