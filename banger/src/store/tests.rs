use std::fs;

use camino::Utf8PathBuf;

use banger_tree::{Cancellation, ErrorKind, Failure as _};

use super::staged_image::write_record;
use super::*;
use crate::id::ImageId;

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
        platform: "linux/amd64".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        size_bytes: 7,
        inodes: 16,
        used_inodes: 11,
        ..ImageRecord::new(
            name.parse().unwrap(),
            "docker.io/library/debian:bookworm",
            format!("sha256:{}", "0".repeat(64)),
            BuildOptions::new("native"),
        )
    }
}

fn goes_on() -> Cancellation {
    Cancellation::new()
}

/// Publishes an image that is in use.
fn publish_leased(store: &ImageStore, name: &str, content: &str) -> StoredImage {
    let staged = store.stage(&goes_on()).unwrap();
    fs::write(staged.rootfs_path(), content).unwrap();
    store.publish(staged, record(name), &goes_on()).unwrap()
}

fn publish(store: &ImageStore, name: &str, content: &str) -> ImageRecord {
    publish_leased(store, name, content).record
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
    let staged = fixture.store.stage(&goes_on()).unwrap();
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
    // As if the process died after the rename: both directories exist.
    let path = fixture.state.join("images").join(other.id.as_str());
    write_record(&path, &ImageRecord { name: old.name.clone(), replaces: Some(old.id), ..other.clone() })
        .unwrap();
    assert_eq!(fixture.store.find("debian").unwrap().id, other.id);
    drop(fixture.store.stage(&goes_on()).unwrap());
    assert_eq!(entries(&fixture), [other.id.as_str()]);
}

#[test]
fn sweeps_what_no_live_process_holds() {
    let fixture = fixture();
    let live = fixture.store.stage(&goes_on()).unwrap();
    let images = fixture.state.join("images");
    for stale in ["0123456789ab.staging", "ba9876543210.removed"] {
        fs::create_dir(images.join(stale)).unwrap();
        fs::write(images.join(stale).join(ROOTFS_FILE), "x").unwrap();
    }
    let second = fixture.store.stage(&goes_on()).unwrap();
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
    assert!(matches!(
        fixture.store.rename("one", "two".parse().unwrap(), &goes_on()),
        Err(StoreError::NameTaken { .. })
    ));
    assert_eq!(fixture.store.rename("one", "three".parse().unwrap(), &goes_on()).unwrap().id, a.id);
    assert_eq!(fixture.store.remove("three", &goes_on()).unwrap(), a.id.as_str());
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
    fixture.store.remove(bad.id.as_str(), &goes_on()).unwrap();
    assert!(fixture.store.list().unwrap().damaged.is_empty());
}

#[test]
fn a_leased_image_stays_at_its_path_until_the_sweep_after() {
    let fixture = fixture();
    let store = &fixture.store;
    let first = publish_leased(store, "debian", "first");
    let error = store.remove("debian", &goes_on()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse, "{error}");
    // Replaced twice: the first image stays hidden after the removal of the second.
    publish(store, "debian", "second");
    let third = publish(store, "debian", "third");
    assert_eq!(store.list().unwrap().images, std::slice::from_ref(&third));
    assert!(matches!(store.find(first.record.id.as_str()), Err(StoreError::NotFound { .. })));
    store.sweep(&goes_on()).unwrap();
    assert_eq!(fs::read_to_string(&first.path).unwrap(), "first");
    let clone = first.lease.clone();
    drop(first);
    store.sweep(&goes_on()).unwrap();
    assert_eq!(entries(&fixture).len(), 2, "a clone of the lease is one");
    drop(clone);
    store.sweep(&goes_on()).unwrap();
    assert_eq!(entries(&fixture), [third.id.as_str()]);
    store.remove("debian", &goes_on()).unwrap();
    assert_eq!(entries(&fixture), [""; 0]);
}

#[test]
fn an_opened_image_is_in_use_and_so_is_one_that_is_edited() {
    let fixture = fixture();
    let store = &fixture.store;
    let image = publish(store, "debian", "bytes");
    let opened = [(); 2].map(|()| store.open("debian", &goes_on()).unwrap());
    assert!(matches!(store.remove("debian", &goes_on()), Err(StoreError::InUse { .. })));
    // The lease holds the directory, not the name.
    store.rename("debian", "other".parse().unwrap(), &goes_on()).unwrap();
    assert!(matches!(store.remove("other", &goes_on()), Err(StoreError::InUse { .. })));
    drop(opened);
    let edited = fs::File::open(store.rootfs_path(&image.id)).unwrap();
    edited.lock().unwrap();
    assert!(matches!(store.remove("other", &goes_on()), Err(StoreError::InUse { .. })));
    drop(edited);
    store.remove("other", &goes_on()).unwrap();
    assert!(matches!(store.open("other", &goes_on()), Err(StoreError::NotFound { .. })));
}

#[test]
fn a_wait_for_the_names_ends_when_it_is_cancelled() {
    let fixture = fixture();
    let image = publish(&fixture.store, "debian", "bytes");
    let names = fs::File::open(fixture.state.join("images/.lock")).unwrap();
    names.lock().unwrap();
    let cancellation = Cancellation::new();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| fixture.store.remove("debian", &cancellation));
        assert!(!cancellation.sleep(std::time::Duration::from_millis(20)));
        assert!(!waiter.is_finished(), "the names are locked");
        cancellation.cancel();
        assert!(matches!(waiter.join().unwrap(), Err(StoreError::Cancelled)));
    });
    assert_eq!(fixture.store.list().unwrap().images, [image]);
}

#[test]
fn a_reader_sees_the_old_image_or_the_new_one() {
    let fixture = fixture();
    let store = &fixture.store;
    publish(store, "debian", "0");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..40 {
                publish(store, "debian", &round.to_string());
            }
        });
        while !writer.is_finished() {
            let image = store.open("debian", &goes_on()).unwrap();
            let number: u32 = fs::read_to_string(&image.path).unwrap().parse().unwrap();
            assert!(number < 40);
            assert!(store.list().unwrap().damaged.is_empty());
        }
    });
}

#[test]
fn locks_of_killed_pulls_are_swept_and_those_of_live_ones_are_not() {
    let fixture = fixture();
    publish(&fixture.store, "debian", "bytes");
    let name = "live".parse().unwrap();
    let live = fixture.store.lock_pull(&name, &goes_on(), || panic!("nobody pulls")).unwrap();
    fs::write(fixture.state.join("images/.pull-killed.lock"), "").unwrap();
    fixture.store.sweep(&goes_on()).unwrap();
    let locks =
        || entries(&fixture).into_iter().filter(|name| name.starts_with(".pull-")).collect::<Vec<_>>();
    assert_eq!(locks(), [".pull-live.lock"]);
    drop(live);
    assert_eq!(locks(), [""; 0]);
}
