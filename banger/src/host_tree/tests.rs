use std::fs::{self, OpenOptions};
use std::io::Write as _;

use banger_tree::{Budget, MemoryStore};
use camino::Utf8PathBuf;

use super::*;

/// A store that changes the host before it takes the first bytes.
struct Meddling<F: FnMut() + Send> {
    store: MemoryStore,
    meddle: Option<F>,
}

impl<F: FnMut() + Send> ContentStore for Meddling<F> {
    fn begin(&mut self, layer: LayerIndex, size_bytes: u64) -> Result<ContentId, ContentError> {
        if let Some(mut meddle) = self.meddle.take() {
            meddle();
        }
        self.store.begin(layer, size_bytes)
    }
    fn append(&mut self, id: ContentId, bytes: &[u8]) -> Result<(), ContentError> {
        self.store.append(id, bytes)
    }
    fn append_hole(&mut self, id: ContentId, length_bytes: u64) -> Result<(), ContentError> {
        self.store.append_hole(id, length_bytes)
    }
    fn finish(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.store.finish(id)
    }
    fn release(&mut self, id: ContentId) -> Result<(), ContentError> {
        self.store.release(id)
    }
    fn read_at(&self, id: ContentId, offset: u64, buffer: &mut [u8]) -> Result<usize, ContentError> {
        self.store.read_at(id, offset, buffer)
    }
}

fn directory_with(names: &[&str]) -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8PathBuf::from_path_buf(dir.path().join("root")).unwrap();
    for name in names {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![7; 100_000]).unwrap();
    }
    (dir, root)
}

/// Reads the directory, with `meddle` called before the first file's bytes are read.
fn read_while(root: &Utf8Path, meddle: impl FnMut() + Send) -> Result<HostTree, DirectoryError> {
    let mut store = Meddling { store: MemoryStore::default(), meddle: Some(meddle) };
    read_directory(
        root,
        &mut store,
        &Limits::default(),
        &Budget::default(),
        &Cancellation::default(),
        &|_| {},
    )
}

#[test]
fn files_that_change_while_they_are_read_are_errors() {
    let (_dir, root) = directory_with(&["a/file"]);
    let file = root.join("a/file");
    let open = || OpenOptions::new().append(true).open(&file).unwrap();
    let cases: [(&str, &(dyn Fn() + Sync)); 4] = [
        ("grown", &|| open().write_all(b"more").unwrap()),
        ("cut", &|| open().set_len(10).unwrap()),
        ("emptied", &|| open().set_len(0).unwrap()),
        ("written to in place", &|| {
            std::os::unix::fs::FileExt::write_all_at(
                &OpenOptions::new().write(true).open(&file).unwrap(),
                b"x",
                5,
            )
            .unwrap();
            // Clocks of file systems are coarse.
            open().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }),
    ];
    for (what, meddle) in cases {
        fs::write(&file, vec![7; 100_000]).unwrap();
        let error = read_while(&root, meddle).expect_err(what);
        let DirectoryError::Changed { path } = &error else { panic!("{what}: {error}") };
        assert_eq!(*path, file.as_str(), "{what}");
    }
    fs::write(&file, vec![7; 100_000]).unwrap();
    assert_eq!(read_while(&root, || {}).unwrap().tree.inode_count(), 3);
}

/// A directory that becomes a symlink after it was listed does not lead out of the root.
#[test]
fn no_symlink_leads_out() {
    let (dir, root) = directory_with(&["a", "b/inside"]);
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "1").unwrap();
    let read = read_while(&root, || {
        fs::rename(root.join("b"), root.join("was-b")).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("b")).unwrap();
    });
    // Listed before and read after the change: it is a symlink by then, and taken as one.
    let tree = read.unwrap().tree;
    let paths: Vec<String> = tree.walk().map(|(path, _)| path.to_string()).collect();
    assert_eq!(paths, ["/", "/a", "/b"]);
    let b = tree.child(tree.root(), b"b").unwrap();
    assert!(matches!(tree.inode(b).kind, NodeKind::Symlink { .. }));
}

/// A directory that the walk leaves must be at its old place.
#[test]
fn a_directory_moved_while_it_is_read_is_an_error() {
    let deep = vec!["d"; MAX_OPEN + 5].join("/");
    let (dir, root) = directory_with(&[&format!("{deep}/file"), "z"]);
    let moved = dir.path().join("moved");
    // So high up that it is no longer open when the file is read.
    let read = read_while(&root, || fs::rename(root.join("d/d"), &moved).unwrap());
    let error = read.map(|_| ()).expect_err("it was moved");
    assert!(matches!(error, DirectoryError::Changed { .. }), "{error}");
}

#[test]
fn a_cancelled_reading_stops() {
    let (_dir, root) = directory_with(&["a", "b"]);
    let cancellation = Cancellation::default();
    let flag = cancellation.clone();
    let mut store = Meddling { store: MemoryStore::default(), meddle: Some(move || flag.cancel()) };
    let read =
        read_directory(&root, &mut store, &Limits::default(), &Budget::default(), &cancellation, &|_| {});
    assert!(matches!(read, Err(DirectoryError::Cancelled)));
}
