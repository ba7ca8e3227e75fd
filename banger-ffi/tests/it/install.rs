//! What `scripts/install-ffi` lays out, and programs that know it by pkg-config alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::build::{Workplace, library_dir, root, run};
use crate::header;

const PREFIX: &str = "/opt/banger";

fn install(destination: &Path) {
    run(Command::new(root().join("scripts/install-ffi"))
        .args(["--prefix", PREFIX, "--from"])
        .arg(library_dir())
        .arg("--destdir")
        .arg(destination));
}

/// Returns the words of `pkg-config` for the library below `destination`.
fn pkg_config(destination: &Path, arguments: &[&str]) -> Vec<String> {
    let output = run(Command::new("pkg-config")
        .args(arguments)
        .arg("banger")
        .env("PKG_CONFIG_SYSROOT_DIR", destination)
        .env("PKG_CONFIG_PATH", destination.join("opt/banger/lib/pkgconfig")));
    String::from_utf8(output.stdout).expect("text").split_whitespace().map(str::to_owned).collect()
}

/// Returns the functions and data that a file shows to those who link it.
fn globals(file: &Path, options: &[&str]) -> BTreeSet<String> {
    let output = run(Command::new("nm").args(options).args(["--defined-only", "--extern-only"]).arg(file));
    let text = String::from_utf8(output.stdout).expect("text");
    let names = text.lines().filter_map(|line| line.split_whitespace().nth(2));
    names.map(str::to_owned).collect()
}

#[test]
fn the_installed_library_serves_programs() {
    let place = Workplace::new();
    let destination = place.path("destination");
    install(&destination);
    let lib = destination.join("opt/banger/lib");
    let names: BTreeSet<String> = header::names().into_iter().collect();
    assert_eq!(globals(&lib.join("libbanger.so"), &["--dynamic"]), names, "of the shared library");
    assert_eq!(globals(&lib.join("libbanger.a"), &[]), names, "of the static library");
    let dynamic = run(Command::new("readelf").arg("--dynamic").arg(lib.join("libbanger.so"))).stdout;
    let dynamic = String::from_utf8(dynamic).expect("text");
    assert!(dynamic.contains("soname: [libbanger.so.0]"), "{dynamic}");
    assert!(!dynamic.contains("libssl") && !dynamic.contains("libzstd"), "{dynamic}");
    let pc = std::fs::read_to_string(lib.join("pkgconfig/banger.pc")).expect("it is installed");
    assert!(!pc.contains(place.dir.path().to_str().expect("UTF-8")), "{pc}");

    let source = root().join("examples/c/pull.c");
    for (name, before, arguments) in [
        ("shared", &[][..], &["--cflags", "--libs"][..]),
        ("static", &["-static"], &["--cflags", "--libs", "--static"]),
    ] {
        let place = Workplace::new();
        let program = place.path(name);
        run(Command::new("cc")
            .args(before)
            .arg("-o")
            .arg(&program)
            .arg(&source)
            .args(pkg_config(&destination, arguments)));
        place.run_example(&program, &lib);
    }
}
