//! What `scripts/install-ffi` lays out, and programs that know it by pkg-config alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::build::{Workplace, library_dir, root, run};
use crate::header;

const PREFIX: &str = "/opt/banger";

pub(crate) fn install(destination: &Path) {
    run(Command::new(root().join("scripts/install-ffi"))
        .args(["--prefix", PREFIX, "--from"])
        .arg(library_dir())
        .arg("--destdir")
        .arg(destination));
}

/// Returns the words of `pkg-config` for the library below `destination`.
pub(crate) fn pkg_config(destination: &Path, arguments: &[&str]) -> Vec<String> {
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

/// Returns the files and links below `directory`, as paths in it.
fn files(directory: &Path) -> BTreeSet<String> {
    let output = run(Command::new("find").args([".", "-not", "-type", "d"]).current_dir(directory)).stdout;
    String::from_utf8(output).expect("text").lines().map(|line| line[2..].to_owned()).collect()
}

/// What `cargo cinstall` does is written in the metadata of the package. It is run by hand: it builds all crates
/// again.
#[test]
fn cargo_c_is_told_to_lay_out_the_same_files() {
    let place = Workplace::new();
    let destination = place.path("destination");
    install(&destination);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = run(Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root()));
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).expect("it is JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let package = packages.iter().find(|package| package["name"] == "banger-ffi").expect("this one");
    let capi = &package["metadata"]["capi"];
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let (library, pkg_config) = (&capi["library"], &capi["pkg_config"]);
    let (name, version) = (text(&library["name"]), text(&library["version"]));
    assert_eq!(library["version_suffix_components"], 1);
    let abi = version.split('.').next().expect("a number");
    assert_eq!(capi["header"], serde_json::json!({ "generation": false, "subdirectory": false }));
    let header = &capi["install"]["include"]["asset"][0];
    assert_eq!(header["to"], "");
    let header = text(&header["from"]);
    assert!(root().join("banger-ffi").join(&header).exists(), "{header}");
    let header = Path::new(&header).file_name().expect("a file").to_str().expect("UTF-8");
    let expected = [
        format!("include/{header}"),
        format!("lib/lib{name}.a"),
        format!("lib/lib{name}.so"),
        format!("lib/lib{name}.so.{abi}"),
        format!("lib/lib{name}.so.{version}"),
        format!("lib/pkgconfig/{}.pc", text(&pkg_config["filename"])),
    ];
    assert_eq!(files(&destination.join("opt/banger")), BTreeSet::from(expected));
    let pc = destination.join("opt/banger/lib/pkgconfig/banger.pc");
    let pc = std::fs::read_to_string(pc).expect("it is installed");
    for (field, key) in [("Name", "name"), ("Description", "description"), ("Version", "version")] {
        assert!(pc.contains(&format!("{field}: {}\n", text(&pkg_config[key]))), "{field}: {pc}");
    }
    // The number of the ABI is that of the name that programs load the library by.
    let build = std::fs::read_to_string(root().join("banger-ffi/build.rs")).expect("it is there");
    assert!(build.contains(&format!("-soname,lib{name}.so.{abi}\"")));
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
