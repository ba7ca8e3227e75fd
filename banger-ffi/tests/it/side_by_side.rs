//! The static library beside the zstd of the host and another static library in Rust, in one program.

use std::process::Command;

use crate::build::{Language, Workplace, compiler, run};
use crate::install::{install, pkg_config};

/// A library that has all of Rust's own library with it: threads, maps, panics that are caught.
const OTHER: &str = r#"
use std::collections::HashMap;

#[unsafe(no_mangle)]
pub extern "C" fn other_count(number: u32) -> u32 {
    let threads: Vec<_> = (0..number).map(|at| std::thread::spawn(move || (at % 3, at))).collect();
    let found: HashMap<u32, u32> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let caught = std::panic::catch_unwind(|| {
        if found.len() != 7 {
            std::panic::resume_unwind(Box::new("not seven"));
        }
    });
    found.len() as u32 + 10 * caught.is_err() as u32
}
"#;

const PROGRAM: &str = r#"
#include "check.h"
#include <zstd.h>

uint32_t other_count(uint32_t number);

int main(int count, char **arguments)
{
    static char text[100000], packed[100000], unpacked[100000];
    banger_error *error = NULL;
    banger_options *options = plain_options();
    banger_image *image = NULL;
    banger_store *store;
    size_t at, length;
    CHECK(count == 3);
    for (at = 0; at < sizeof text; at++)
        text[at] = (char)(at % 251);
    /* The header and the library are of the same version: that of the host, which differs from banger's own. */
    CHECK(ZSTD_versionNumber() == ZSTD_VERSION_NUMBER);
    length = ZSTD_compress(packed, sizeof packed, text, sizeof text, 3);
    CHECK(!ZSTD_isError(length) && length < 10000);
    CHECK(ZSTD_decompress(unpacked, sizeof unpacked, packed, length) == sizeof text);
    CHECK(memcmp(text, unpacked, sizeof text) == 0);
    CHECK(other_count(9) == 13);
    store = open_store(arguments[2]);
    CHECK_OK(banger_pull(store, arguments[1], options, NULL, NULL, NULL, &image, &error));
    CHECK(banger_image_size_bytes(image) > 0);
    CHECK(other_count(3) == 13);
    banger_image_free(image);
    banger_options_free(options);
    banger_store_free(store);
    return 0;
}
"#;

#[test]
fn one_program_has_two_zstds_and_two_libraries_in_rust() {
    // One of its layers is compressed with zstd.
    let place = Workplace::new();
    let destination = place.path("destination");
    install(&destination);
    let (other, source) = (place.path("other.rs"), place.path("program.c"));
    std::fs::write(&other, OTHER).expect("it is new");
    std::fs::write(&source, PROGRAM).expect("it is new");
    let other_library = place.path("libother.a");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    run(Command::new(rustc)
        .args(["--edition=2024", "--crate-type=staticlib", "-O", "-o"])
        .args([&other_library, &other]));
    let library = destination.join("opt/banger/lib/libbanger.a");
    let private = pkg_config(&destination, &["--libs-only-l", "--static"]);
    // In both orders: the first library gives what both have.
    for (name, libraries) in [("before", [&library, &other_library]), ("after", [&other_library, &library])] {
        let place = Workplace::new();
        let program = place.path(name);
        run(compiler(Language::C99, &source, &program)
            .args(libraries)
            .arg("-lzstd")
            .args(private.iter().filter(|word| *word != "-lbanger")));
        place.run(&[], &program);
    }
}
