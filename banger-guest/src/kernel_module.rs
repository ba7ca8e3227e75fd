//! Loads modules of the kernel without modprobe, which few container images have.

use std::ffi::CString;
use std::ops::ControlFlow;
use std::path::Path;

use banger_guest::config::paths;
use rustix::io::Errno;
use rustix::system::finit_module;

use crate::bounded::{self, LineLimits};
use crate::report::say;
use crate::root::Root;

/// Limits of `modules.dep`. Distributions have about 6000 modules, each with up to 40 others.
const DEP_LIMITS: LineLimits = LineLimits { file_bytes: 16 << 20, line_bytes: 64 << 10 };

/// `MODULE_INIT_COMPRESSED_FILE` of finit_module(2), Linux 5.17: the kernel decompresses the file.
const COMPRESSED: i32 = 4;

/// Loads the module `name` of the running kernel, and the modules that it needs. A kernel that has no such
/// module may have it built in; a failure is reported.
pub(crate) fn load(root: &Root, reporter: &str, name: &str) {
    let Some(release) = root.text("/proc/sys/kernel/osrelease") else { return };
    if root.path(&format!("/sys/module/{name}")).exists() {
        return;
    }
    let directory = root.path(&format!("{}/{release}", paths::MODULES));
    for file in files_of(&directory.join("modules.dep"), name) {
        match load_file(&directory.join(&file), "") {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                say(reporter, format_args!("cannot load module {file}: {error}"));
                return;
            }
        }
    }
}

/// Returns the files to load for a module, in the order of loading; nothing if `modules.dep` has no such module.
fn files_of(modules_dep: &Path, name: &str) -> Vec<String> {
    let mut files = Vec::new();
    // Without the file there are no modules.
    let _ = bounded::for_each_line(modules_dep, DEP_LIMITS, |line| {
        let line = String::from_utf8_lossy(line);
        match line.split_once(':') {
            // `kernel/a.ko: kernel/b.ko kernel/c.ko`: the last one is loaded first.
            Some((file, needs)) if name_of(file) == name => {
                files.extend(needs.split_ascii_whitespace().rev().chain([file]).map(str::to_owned));
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    });
    files
}

/// Returns the name of the module in a file, with `_` for each `-`.
fn name_of(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or_default();
    file.split(".ko").next().unwrap_or_default().replace('-', "_")
}

/// Loads the module in a file.
pub(crate) fn load_file(file: &Path, parameters: &str) -> Result<(), Errno> {
    let is_compressed = file.extension().is_some_and(|ending| ending != "ko");
    let file =
        bounded::open_regular(file).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let parameters = CString::new(parameters).map_err(|_| Errno::INVAL)?;
    finit_module(file, &parameters, if is_compressed { COMPRESSED } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_is_loaded_first() {
        let dir = tempfile::tempdir().unwrap();
        let dep = dir.path().join("modules.dep");
        std::fs::write(
            &dep,
            "kernel/a.ko:\nkernel/net/b-c.ko.xz: kernel/d.ko kernel/a.ko\nkernel/d.ko: kernel/a.ko\n",
        )
        .unwrap();
        for (name, want) in [
            ("b_c", &["kernel/a.ko", "kernel/d.ko", "kernel/net/b-c.ko.xz"][..]),
            ("a", &["kernel/a.ko"]),
            ("other", &[]),
        ] {
            assert_eq!(files_of(&dep, name), want, "{name}");
        }
        assert_eq!(files_of(&dir.path().join("missing"), "a"), [""; 0]);
    }
}
