//! The ABI: what a program that was compiled with the header depends on, against `banger-ffi/abi/`.
//!
//! `abidw` reads types from debug information, and that of the library is of Rust's types. So it reads a library that
//! the test makes of the header: a function for each prototype, in C.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use banger_testkit::{Skip, require};
use tempfile::TempDir;

use crate::build::{root, run};
use crate::header;

const UPDATE: &str = "BANGER_UPDATE_ABI";

fn committed(name: &str) -> PathBuf {
    root().join("banger-ffi/abi").join(name)
}

/// Returns the source of a library with every function of `header`, and with its constants as enumerations.
fn source(header: &str) -> String {
    let mut text = "#include \"banger.h\"\n#include <stdlib.h>\n".to_owned();
    let mut types = Vec::new();
    for name in header::constants(header) {
        writeln!(text, "enum constant_{name} {{ value_{name} = {name} }};").expect("a string grows");
        types.push(format!("enum constant_{name}"));
    }
    types.extend(header::enumerations(header).into_iter().map(|name| format!("enum {name}")));
    for (at, kind) in types.iter().enumerate() {
        writeln!(text, "void use_{at}({kind} *value) {{ (void)value; }}").expect("a string grows");
    }
    for prototype in header::declarations(header) {
        writeln!(text, "{prototype} {{ abort(); }}").expect("a string grows");
    }
    text
}

/// Describes the ABI of `header` in `place`.
fn describe(header: &str, place: &Path) -> Result<PathBuf, Skip> {
    let (source_file, library, description) =
        (place.join("abi.c"), place.join("abi.so"), place.join("banger.abi"));
    std::fs::write(place.join("banger.h"), header).expect("it can be written");
    std::fs::write(&source_file, source(header)).expect("it can be written");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=gnu17", "-g", "-w", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source_file);
    run(&mut compiler);
    let mut abidw = Command::new("abidw");
    abidw.args(["--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--out-file"]);
    abidw.arg(&description).arg(&library);
    match abidw.output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => return Err(Skip::new(format!("abidw: {error}; scripts/setup-tests installs it"))),
    }
    Ok(description)
}

/// Returns the report of `abidiff`, or `None` if both are equal.
fn difference(before: &Path, after: &Path) -> Option<String> {
    let output = Command::new("abidiff").arg(before).arg(after).output().expect("it comes with abidw");
    let text = String::from_utf8(output.stdout).expect("text");
    // Bits: 1 and 2 are failures of the tool, 4 a change, 8 one that breaks programs.
    match output.status.code().expect("it ends by itself") {
        0 => None,
        code if code & 3 == 0 => Some(text),
        _ => panic!("abidiff: {text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn the_abi_is_the_committed_one() {
    let place = TempDir::new().expect("a directory");
    let now = require!(describe(&header::text(), place.path()));
    let names = header::names().join("\n") + "\n";
    if std::env::var_os(UPDATE).is_some() {
        std::fs::copy(&now, committed("banger.abi")).expect("it can be written");
        std::fs::write(committed("symbols.txt"), &names).expect("it can be written");
    }
    let change = difference(&committed("banger.abi"), &now);
    assert!(
        change.is_none(),
        "raise the number in banger-ffi/build.rs if programs break, and run this test with {UPDATE}=1:\n{}",
        change.unwrap_or_default()
    );
    let symbols = std::fs::read_to_string(committed("symbols.txt")).expect("it is committed");
    assert_eq!(symbols, names, "run this test with {UPDATE}=1");
}

#[test]
fn a_change_of_the_abi_is_seen() {
    let text = header::text();
    let place = TempDir::new().expect("a directory");
    let before = require!(describe(&text, place.path()));
    let changed = |from: &str, to: &str| {
        let place = TempDir::new().expect("a directory");
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "the header has no {from:?}");
        difference(&before, &describe(&other, place.path()).expect("it ran before"))
    };
    for (what, from, to) in [
        ("the value of a kind", "BANGER_KIND_EXISTS = 3", "BANGER_KIND_EXISTS = 4"),
        ("the value of a constant", "#define BANGER_STRLEN SIZE_MAX", "#define BANGER_STRLEN 0"),
        ("the width of a parameter", "uint32_t timeout_ms", "uint64_t timeout_ms"),
        ("the width of a field", "    uint64_t inode;", "    uint32_t inode;"),
        ("the order of fields", "    uint32_t uid;", "    uint32_t gid_before;\n    uint32_t uid;"),
        ("a function that is gone", "void banger_dir_free(struct banger_dir *dir);", ""),
        ("a new function", "void banger_dir_free(", "void banger_dir_new(void);\nvoid banger_dir_free("),
        ("the result of a function", "bool banger_error_is_transient", "int banger_error_is_transient"),
    ] {
        assert!(changed(from, to).is_some(), "abidiff does not see {what}");
    }
    assert_eq!(changed("/**", "/** A word."), None);
}
