//! Gives the shared library the name that programs load it by.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The number is that of the ABI; `scripts/install-ffi` and docs/ffi.md have it, too.
    let arguments: &[&str] = match std::env::var("CARGO_CFG_TARGET_OS").as_deref() {
        // Threads of the library may still end when a program unloads it: it stays.
        Ok("linux") => &["-Wl,-soname,libbanger.so.0", "-Wl,-z,nodelete"],
        Ok("macos") => &["-Wl,-install_name,@rpath/libbanger.0.dylib"],
        _ => &[],
    };
    for argument in arguments {
        println!("cargo::rustc-cdylib-link-arg={argument}");
    }
}
