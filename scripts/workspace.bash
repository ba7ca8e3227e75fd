# shellcheck shell=bash
# The workspace as scripts/test builds it, for scripts that test programs with it: they source this file. It sets root,
# target, cache and features.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
# shellcheck disable=SC2034 # for those who source this
cache=${BANGER_TEST_CACHE:-$root/target/test-cache}
# The features that scripts/test builds everything with, so that nothing is built twice.
features=(${BANGER_TEST_FEATURES:+--features "$BANGER_TEST_FEATURES"})

# Ends the script with the reason why it cannot test; with CI=true it fails.
skip() {
    printf 'skipped: %s\n' "$*"
    [[ ${CI:-} != true ]] || exit 1
    exit 0
}

build_workspace() { (cd "$root" && cargo build --locked --workspace "${features[@]}" "$@"); }

xtask() { (cd "$root" && cargo run --quiet --locked "${features[@]}" --bin xtask -- "$@"); }

# Writes the image that the examples pull to the directory $1, and prints its reference.
example_layout() {
    rm -rf "$1"
    xtask example-layout "$1"
}

# Sets the environment so that compilers and programs find the library that build_workspace has built.
use_library() {
    local lib key
    lib=$(realpath "$target")/test-library
    mkdir -p "$lib"
    ln -sf ../debug/libbanger.so "$lib/libbanger.so"
    ln -sf libbanger.so "$lib/libbanger.so.0"
    cat >"$lib/banger.pc" <<PC
includedir=$root/include
libdir=$lib
Name: banger
Description: the C library of banger
Version: 0
Cflags: -I\${includedir}
Libs: -L\${libdir} -lbanger
PC
    export PKG_CONFIG_PATH=$lib LD_LIBRARY_PATH=$lib CGO_ENABLED=1
    # The cache of Go sees neither another header nor other flags of pkg-config; this it sees.
    key=$(cat "$root/include/banger.h" "$lib/banger.pc" | sha256sum | cut -c -15)
    export CGO_CFLAGS="-O2 -g -DBANGER_TEST_GO=0x$key"
}
