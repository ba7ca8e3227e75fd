//! The e2fsprogs backend.

use banger_ext4::{BuildReport, E2fsprogsBackend, Ext4Backend, Ext4Error, Ext4Options, ImageSize};
use banger_tree::Timestamp;
use camino::{Utf8Path, Utf8PathBuf};

use crate::support::cases::cases;
use crate::support::{Fixture, check_image, skip};

/// A directory for images and one for scratch directories, removed when dropped.
struct Workplace {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
}

impl Workplace {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        std::fs::create_dir(root.join("scratch")).unwrap();
        std::fs::create_dir(root.join("images")).unwrap();
        Self { _dir: dir, root }
    }

    fn image(&self, name: &str) -> Utf8PathBuf {
        self.root.join("images").join(name)
    }

    fn backend(&self) -> E2fsprogsBackend {
        E2fsprogsBackend::new().with_scratch_directory(self.root.join("scratch"))
    }

    /// Returns what is in the two directories.
    fn leftovers(&self) -> Vec<String> {
        ["scratch", "images"]
            .into_iter()
            .flat_map(|dir| self.root.join(dir).read_dir_utf8().unwrap())
            .map(|entry| entry.unwrap().path().to_string())
            .collect()
    }
}

fn options() -> Ext4Options {
    Ext4Options {
        size: ImageSize::Bytes(96 << 20),
        uuid: *b"uuid of an image",
        hash_seed: *b"seed for hashing",
        label: "a label".to_owned(),
        timestamp: Timestamp::from_seconds(1_700_000_000),
        ..Ext4Options::default()
    }
}

fn build(
    backend: &dyn Ext4Backend,
    image: &Utf8Path,
    options: &Ext4Options,
    fixture: &Fixture,
) -> Result<BuildReport, Ext4Error> {
    let mut builder = backend.create(image, options)?;
    let tree = fixture.transplanted(&mut *builder);
    builder.build_ext4(&tree)
}

fn has_tools() -> bool {
    let has = E2fsprogsBackend::new().create(Utf8Path::new("/nonexistent/image"), &options());
    if matches!(has, Err(Ext4Error::ToolMissing { .. })) {
        skip("no e2fsprogs on this machine");
        return false;
    }
    true
}

#[test]
fn every_case_reads_back_as_its_tree_says() {
    if !has_tools() {
        return;
    }
    for (name, fixture) in cases() {
        eprintln!("case: {name}");
        let place = Workplace::new();
        let image = place.image("image");
        let report = build(&place.backend(), &image, &options(), &fixture)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(report.size_bytes, image.metadata().unwrap().len());
        check_image(&image, &fixture.tree, &fixture.store);
        assert_eq!(place.leftovers(), [image.as_str()], "{name}");
    }
}
