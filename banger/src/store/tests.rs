use std::fs;

use camino::Utf8PathBuf;

use super::*;

struct Fixture {
    _dir: tempfile::TempDir,
    store: ImageStore,
    state: Utf8PathBuf,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let state = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    Fixture { _dir: dir, store: ImageStore::new(&state), state }
}

fn record(name: &str) -> ImageRecord {
    ImageRecord {
        version: ImageRecord::VERSION,
        id: "000000000000".parse().unwrap(),
        name: name.parse().unwrap(),
        source: "docker.io/library/debian:bookworm".to_owned(),
        digest: format!("sha256:{}", "0".repeat(64)),
        index_digest: None,
        platform: "linux/amd64".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        banger_version: "0.1.0".to_owned(),
        build: BuildOptions {
            backend: "native".to_owned(),
            size_bytes: None,
            inodes: None,
            timestamp_seconds: 0,
            guest: None,
        },
        config: ImageConfigRecord::default(),
        layers: Vec::new(),
        size_bytes: 7,
        free_bytes: 0,
        inodes: 16,
        used_inodes: 11,
        boot_contract: None,
        first_boot_pending: false,
        injected: Vec::new(),
        fixups: Vec::new(),
        warnings: Vec::new(),
        cloned_from: None,
        replaces: None,
    }
}

fn publish(store: &ImageStore, name: &str, content: &str) -> ImageRecord {
    let staged = store.stage().unwrap();
    fs::write(staged.rootfs_path(), content).unwrap();
    store.publish(staged, record(name)).unwrap()
}

fn entries(fixture: &Fixture) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(fixture.state.join("images"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

#[test]
fn an_image_appears_with_its_record_or_not_at_all() {
    let fixture = fixture();
    assert!(fixture.store.list().unwrap().images.is_empty());
    let staged = fixture.store.stage().unwrap();
    fs::write(staged.rootfs_path(), "half").unwrap();
    assert!(fixture.store.list().unwrap().images.is_empty());
    drop(staged);
    assert_eq!(entries(&fixture), [""; 0]);
    let image = publish(&fixture.store, "debian", "whole");
    assert_eq!(fs::read_to_string(fixture.store.rootfs_path(&image.id)).unwrap(), "whole");
    assert_eq!(fixture.store.list().unwrap().images, std::slice::from_ref(&image));
    let mut files: Vec<_> = fs::read_dir(fixture.state.join("images").join(image.id.as_str()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, [RECORD_FILE, ROOTFS_FILE]);
}

#[test]
fn a_newer_image_takes_the_name_of_the_older() {
    let fixture = fixture();
    let old = publish(&fixture.store, "debian", "old");
    let new = publish(&fixture.store, "debian", "new");
    assert_eq!(new.replaces, Some(old.id));
    assert_eq!(fixture.store.list().unwrap().images, std::slice::from_ref(&new));
    assert_eq!(entries(&fixture), [new.id.as_str()]);
}

#[test]
fn a_crash_between_publishing_and_replacing_is_mended() {
    let fixture = fixture();
    let old = publish(&fixture.store, "debian", "old");
    let other = publish(&fixture.store, "other", "new");
    // As if the process died after the rename: both directories are there.
    let path = fixture.state.join("images").join(other.id.as_str());
    staged::write_record(
        &path,
        &ImageRecord { name: old.name.clone(), replaces: Some(old.id), ..other.clone() },
    )
    .unwrap();
    assert_eq!(fixture.store.find("debian").unwrap().id, other.id);
    drop(fixture.store.stage().unwrap());
    assert_eq!(entries(&fixture), [other.id.as_str()]);
}

#[test]
fn sweeps_what_no_live_process_holds() {
    let fixture = fixture();
    let live = fixture.store.stage().unwrap();
    let images = fixture.state.join("images");
    for stale in ["0123456789ab.staging", "ba9876543210.removed"] {
        fs::create_dir(images.join(stale)).unwrap();
        fs::write(images.join(stale).join(ROOTFS_FILE), "x").unwrap();
    }
    let second = fixture.store.stage().unwrap();
    let locked = |id: &ImageId| [format!("{id}.staging"), format!("{id}.staging.lock")];
    let mut expected = [locked(live.id()), locked(second.id())].concat();
    expected.sort();
    assert_eq!(entries(&fixture), expected);
}

#[test]
fn finds_by_name_id_and_unique_prefix() {
    let fixture = fixture();
    let a = publish(&fixture.store, "one", "1");
    let b = publish(&fixture.store, "two", "2");
    assert_eq!(fixture.store.find("one").unwrap(), a);
    assert_eq!(fixture.store.find(b.id.as_str()).unwrap(), b);
    let common = a.id.as_str().bytes().zip(b.id.as_str().bytes()).take_while(|(x, y)| x == y).count();
    assert_eq!(fixture.store.find(&a.id.as_str()[..=common]).unwrap(), a);
    if common > 0 {
        assert!(matches!(fixture.store.find(&a.id.as_str()[..common]), Err(StoreError::Ambiguous { .. })));
    }
    assert!(matches!(fixture.store.find(""), Err(StoreError::NotFound { .. })));
    assert!(matches!(fixture.store.find("zz"), Err(StoreError::NotFound { .. })));
    assert!(matches!(fixture.store.rename("one", "two".parse().unwrap()), Err(StoreError::NameTaken { .. })));
    assert_eq!(fixture.store.rename("one", "three".parse().unwrap()).unwrap().id, a.id);
    assert_eq!(fixture.store.remove("three").unwrap(), a.id.as_str());
    assert_eq!(fixture.store.list().unwrap().images, [b]);
}

#[test]
fn a_damaged_record_is_shown_and_can_be_removed() {
    let fixture = fixture();
    let good = publish(&fixture.store, "good", "1");
    let bad = publish(&fixture.store, "bad", "2");
    let path = fixture.state.join("images").join(bad.id.as_str()).join(RECORD_FILE);
    for text in ["{", r#"{"version": 99}"#, "[]"] {
        fs::write(&path, text).unwrap();
        let listing = fixture.store.list().unwrap();
        assert_eq!((listing.images, listing.damaged.len()), (vec![good.clone()], 1), "{text}");
        assert!(matches!(fixture.store.find(bad.id.as_str()), Err(StoreError::Damaged { .. })));
    }
    fixture.store.remove(bad.id.as_str()).unwrap();
    assert!(fixture.store.list().unwrap().damaged.is_empty());
}
