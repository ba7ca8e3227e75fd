//! The import of a kernel ends on every input, and all that it makes lies in its directory: regular files and
//! directories only.
#![no_main]

use std::fs;
use std::path::Path;

use banger_kernel::{KernelLimits, KernelSource, ModuleSet, import_kernel};
use banger_tree::Cancellation;
use camino::Utf8PathBuf;
use libfuzzer_sys::fuzz_target;

fn check(dir: &Path) {
    for entry in fs::read_dir(dir).expect("the directory is there") {
        let entry = entry.expect("it can be read");
        let kind = entry.file_type().expect("it has a type");
        assert!(kind.is_file() || kind.is_dir(), "{:?}", entry.path());
        if kind.is_dir() {
            check(&entry.path());
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let work = tempfile::tempdir().expect("there is room for one");
    let path = Utf8PathBuf::from_path_buf(work.path().to_owned()).expect("the name is UTF-8");
    let (source, dir) = (path.join("source"), path.join("kernel"));
    fs::write(&source, bytes).expect("it can be written");
    fs::create_dir(&dir).expect("it can be made");
    let limits = KernelLimits::default()
        .with_max_kernel_bytes(1 << 20)
        .with_max_content_bytes(4 << 20)
        .with_max_tar_bytes(16 << 20)
        .with_max_entries(1000);
    let sources = [KernelSource::Path(&source)];
    if let Ok(imported) = import_kernel(&sources, &dir, &limits, &|_| {}, &Cancellation::new()) {
        assert!(imported.kernel.files.image.starts_with(&dir));
        if let Some(modules) = &imported.kernel.files.modules {
            // Modules are read for the first time here if the source had a modules.dep.
            let _ = ModuleSet::read(modules, &Cancellation::new());
        }
    }
    check(dir.as_std_path());
    assert_eq!(fs::read_dir(&path).expect("it is there").count(), 2, "something else was made");
});
