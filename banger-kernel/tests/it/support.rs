//! Imports into a directory of their own.

use std::fs;
use std::path::Path;

use banger_kernel::{ImportedKernel, KernelError, KernelLimits, KernelSource, PlainFiles, import_kernel};
use banger_testkit::{Codec, KernelBuilder, PackageBuilder, kernel_module};
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

pub(crate) const RELEASE: &str = "6.1.0-50-test";
pub(crate) const CONFIG: &str =
    "# Linux/x86 6.1 Kernel Configuration\nCONFIG_EXT4_FS=y\nCONFIG_VIRTIO_BLK=m\n";

/// A directory for sources and results.
pub(crate) struct Fixture {
    dir: TempDir,
    imports: std::cell::Cell<u32>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), imports: std::cell::Cell::default() }
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.dir.path().join(name)).unwrap()
    }

    /// Writes a source with missing directories.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Utf8PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn import_all(&self, sources: &[KernelSource<'_>]) -> Result<ImportedKernel, KernelError> {
        self.import_within(sources, &KernelLimits::default())
    }

    pub(crate) fn import_within(
        &self,
        sources: &[KernelSource<'_>],
        limits: &KernelLimits,
    ) -> Result<ImportedKernel, KernelError> {
        self.imports.set(self.imports.get() + 1);
        let dir = self.path(&format!("import-{}", self.imports.get()));
        fs::create_dir(&dir).unwrap();
        import_kernel(sources, &dir, limits, &|_| {}, &Cancellation::new())
    }

    pub(crate) fn import(&self, path: &Utf8Path) -> Result<ImportedKernel, KernelError> {
        self.import_all(&[KernelSource::Path(path)])
    }

    pub(crate) fn import_files(&self, files: &PlainFiles) -> Result<ImportedKernel, KernelError> {
        self.import_all(&[KernelSource::Files(files)])
    }
}

/// The kernel of most tests.
pub(crate) fn kernel() -> KernelBuilder {
    KernelBuilder::new(RELEASE).filler(20_000)
}

/// A package of a distribution like Debian, `lib` being `lib` or `usr/lib`.
pub(crate) fn package(lib: &str) -> PackageBuilder {
    let module = |name: &str, depends: &str| kernel_module(name, depends, RELEASE);
    let base = format!("{lib}/modules/{RELEASE}");
    PackageBuilder::new("linux-image-test", "6.1.90-1")
        .file("usr/share/doc/linux-image-test/copyright", "GPL-2\n")
        .file(&format!("boot/vmlinuz-{RELEASE}"), kernel().bz_image(Codec::Xz))
        .file(&format!("boot/config-{RELEASE}"), CONFIG)
        .file(&format!("boot/System.map-{RELEASE}"), "ffffffff81000000 T _text\n")
        .file(&format!("{base}/kernel/drivers/virtio/virtio.ko"), module("virtio", ""))
        .file(&format!("{base}/kernel/drivers/virtio/virtio_ring.ko"), module("virtio_ring", "virtio"))
        .file(
            &format!("{base}/kernel/drivers/block/virtio-blk.ko.xz"),
            Codec::Xz.apply(&module("virtio_blk", "virtio-ring,virtio")),
        )
        .file(&format!("{base}/modules.order"), "kernel/drivers/virtio/virtio.ko\n")
        .file(&format!("{base}/modules.builtin"), "kernel/fs/ext4/ext4.ko\n")
}

/// The files of a directory, relative to it, in order.
pub(crate) fn files(dir: &Utf8Path) -> Vec<String> {
    fn walk(dir: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(dir.as_std_path(), dir.as_std_path(), &mut found);
    found.sort();
    found
}

/// Checks everything that comes out of [`package`].
#[track_caller]
pub(crate) fn assert_package(imported: &ImportedKernel) {
    let kernel = &imported.kernel;
    assert_eq!(kernel.release, RELEASE);
    assert!(kernel.has_pvh_entry);
    assert_eq!(imported.warnings, [""; 0]);
    assert_eq!(fs::read(&kernel.files.image).unwrap(), self::kernel().vmlinux());
    assert_eq!(fs::read_to_string(kernel.files.config.as_ref().unwrap()).unwrap(), CONFIG);
    let modules = kernel.files.modules.as_ref().unwrap();
    assert_eq!(
        files(modules),
        [
            "kernel/drivers/block/virtio-blk.ko.xz",
            "kernel/drivers/virtio/virtio.ko",
            "kernel/drivers/virtio/virtio_ring.ko",
            "modules.builtin",
            "modules.dep",
            "modules.order",
        ]
    );
    let (ring, virtio) = ("kernel/drivers/virtio/virtio_ring.ko", "kernel/drivers/virtio/virtio.ko");
    assert_eq!(
        fs::read_to_string(modules.join("modules.dep")).unwrap(),
        format!("kernel/drivers/block/virtio-blk.ko.xz: {ring} {virtio}\n{virtio}:\n{ring}: {virtio}\n")
    );
    assert_eq!((imported.modules, imported.made_dependencies), (3, true));
    let dir = kernel.files.image.parent().unwrap();
    assert!(!dir.join("scratch").exists());
}
