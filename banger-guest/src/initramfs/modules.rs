//! Loads the modules of the initramfs.

use std::path::Path;

use banger_guest::config::{KernelCommandLine, paths};
use rustix::io::Errno;

use crate::kernel_module;
use crate::options::Role;
use crate::report::say;
use crate::root::Root;

/// What became of the modules.
#[derive(Debug, Default)]
pub(super) struct Loading {
    /// The kernel release of the initramfs and that of the running kernel, if they differ.
    pub(super) other_kernel: Option<(String, String)>,
    /// The modules that were not loaded, with the reasons.
    pub(super) failed: Vec<(String, Errno)>,
}

/// Loads all modules in the order of their file names.
pub(super) fn load_all(root: &Root, line: &KernelCommandLine) -> Loading {
    let mut loading = Loading::default();
    if let (Some(own), Some(running)) =
        (root.text(paths::INITRAMFS_KERNEL), root.text("/proc/sys/kernel/osrelease"))
        && own != running
    {
        loading.other_kernel = Some((own, running));
    }
    let mut files: Vec<_> = std::fs::read_dir(root.path(paths::INITRAMFS_MODULES))
        .map(|files| files.flatten().map(|file| file.path()).collect())
        .unwrap_or_default();
    files.sort();
    for file in files {
        let name = module_name(&file);
        match kernel_module::load_file(&file, &parameters(line, &name)) {
            // Built into this kernel, or loaded by a driver.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                // `ENODEV`: the machine has nothing that the module is for.
                if error != Errno::NODEV {
                    say(Role::Initramfs.name(), format_args!("cannot load module {name}: {error}"));
                }
                loading.failed.push((name, error));
            }
        }
    }
    loading
}

/// The name in `000-virtio_blk.ko`.
fn module_name(file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    name.split_once('-').map_or(name.as_ref(), |(_, name)| name).to_owned()
}

/// The parameters of a module on the kernel command line, `virtio_mmio.device=4K@0xd0000000:5`. The kernel
/// takes those of built-in drivers only.
fn parameters(line: &KernelCommandLine, module: &str) -> String {
    let words = line.iter().filter_map(|(key, value)| {
        let (owner, parameter) = key.split_once('.')?;
        let value = match (value, value.contains(char::is_whitespace)) {
            ("", _) => String::new(),
            (value, false) => format!("={value}"),
            (value, true) => format!("=\"{value}\""),
        };
        (owner.replace('-', "_") == module).then(|| format!("{parameter}{value}"))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_get_their_parameters() {
        let line = KernelCommandLine::parse(
            "quiet virtio_mmio.device=1K@0x1000:5 virtio-mmio.device=1K@0x2000:6 nvme.poll_queues=2 \
             \"virtio_blk.name=a b\" virtio_blk.flag",
        );
        let cases = [
            ("virtio_mmio", "device=1K@0x1000:5 device=1K@0x2000:6"),
            ("virtio_blk", "name=\"a b\" flag"),
            ("virtio", ""),
        ];
        for (module, expected) in cases {
            assert_eq!(parameters(&line, module), expected, "{module}");
        }
    }

    #[test]
    fn file_names_begin_with_the_place_in_the_order() {
        assert_eq!(module_name(Path::new("/banger/modules/000-virtio_blk.ko")), "virtio_blk");
        assert_eq!(module_name(Path::new("plain.ko")), "plain");
    }
}
