//! Finished images of which a machine has parts already, and other targets than the store.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::{Arc, Mutex};

use banger::{
    Cancellation, Event, EventHandler, OutputFd, PullRequest, PulledFile, pull, pull_to_fd, pull_to_file,
};
use camino::Utf8Path;

use crate::fleet::{Fleet, MIB};

/// The windows that a pull copied and fetched.
#[derive(Clone, Debug, Default)]
struct Counts(Arc<Mutex<(usize, usize)>>);

impl Counts {
    fn events(&self) -> EventHandler {
        let counts = self.clone();
        EventHandler::new(move |event| {
            let mut counts = counts.0.lock().unwrap();
            match event {
                Event::WindowsCopied { windows, .. } => counts.0 += windows,
                Event::Resolved { layers, .. } => counts.1 = *layers,
                _ => {}
            }
            ControlFlow::Continue(())
        })
    }

    fn seen(&self) -> (usize, usize) {
        *self.0.lock().unwrap()
    }
}

/// Pulls on the second machine, and returns how many windows were copied and fetched.
fn pull_and_count(fleet: &Fleet) -> (PulledFile, usize, usize) {
    let counts = Counts::default();
    let pulled = pull(&fleet.request(), &fleet.second, &counts.events(), &Cancellation::new()).unwrap();
    let (copied, fetched) = counts.seen();
    (pulled, copied, fetched)
}

fn are_equal(one: &Utf8Path, two: &Utf8Path) -> bool {
    fs::read(one).unwrap() == fs::read(two).unwrap()
}

#[test]
fn windows_of_other_images_are_copied() {
    let fleet = Fleet::new();
    drop(fleet.convert(2));
    let windows = usize::try_from(fleet.push().windows).unwrap();
    let (first, copied, fetched) = pull_and_count(&fleet);
    assert_eq!((copied, fetched), (0, windows));
    let converted = fleet.convert(3);
    let windows = usize::try_from(fleet.push().windows).unwrap();
    let (second, copied, fetched) = pull_and_count(&fleet);
    assert!(are_equal(&converted.path, &second.path) && !are_equal(&first.path, &second.path));
    assert_eq!(copied + fetched, windows);
    // The 28 MiB of the base, but for the window that the top layer begins in.
    assert!(copied >= 5, "{copied} of {windows}");
    let blocks = |path: &Utf8Path| fs::metadata(path).unwrap().blocks();
    assert!(blocks(&second.path) <= blocks(&converted.path) + 64);
    // To a file, all of it is here.
    let output = fleet.path.join("out.ext4");
    let counts = Counts::default();
    pull_to_file(&fleet.request(), &output, &fleet.second, &counts.events(), &Cancellation::new()).unwrap();
    assert!(are_equal(&converted.path, &output));
    assert_eq!(counts.seen(), (windows, 0));
}

#[test]
fn a_changed_image_and_a_damaged_list_are_fetched_anew() {
    let fleet = Fleet::new();
    drop(fleet.convert(2));
    fleet.push();
    let first = pull_and_count(&fleet).0;
    // The list says that all windows are here; the guest of a careless manager wrote into two of them.
    let file = fs::OpenOptions::new().write(true).open(&first.path).unwrap();
    for offset in [3 * MIB, 6 * MIB + 5] {
        file.write_all_at(b"changed", offset as u64).unwrap();
    }
    let converted = fleet.convert(3);
    fleet.push();
    let (second, copied, _) = pull_and_count(&fleet);
    assert!(copied > 0 && are_equal(&converted.path, &second.path));
    let list = second.path.with_file_name("windows.json");
    for bytes in ["", "{", r#"{"version":1,"windows":[{"offset":99,"digest":"x"}]}"#] {
        fs::write(&list, bytes).unwrap();
        drop(fleet.convert(4));
        fleet.push();
        let request = fleet.request().with_name(Some("other".parse().unwrap())).with_force(true);
        let third = pull(&request, &fleet.second, &EventHandler::none(), &Cancellation::new()).unwrap();
        assert!(are_equal(&fleet.convert(4).path, &third.path), "{bytes}");
    }
}

#[test]
fn an_open_file_takes_a_finished_image() {
    let fleet = Fleet::new();
    let converted = fleet.convert(2);
    fleet.push();
    let path = fleet.path.join("mine");
    let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
    // Old bytes, and more of them than the image has.
    file.write_all_at(&vec![0xaa; 4 * MIB], 0).unwrap();
    file.write_all_at(&[0xaa; 9], fs::metadata(&converted.path).unwrap().len() + 77).unwrap();
    let (output, none, goes_on) = (OutputFd::new(&file).unwrap(), EventHandler::none(), Cancellation::new());
    let pulled = pull_to_fd(&fleet.request(), &output, &fleet.second, &none, &goes_on).unwrap();
    assert!(are_equal(&converted.path, &path));
    assert!(pulled.record.artifact.is_some());
    // A pull that fails leaves the file empty.
    let cancelled = Cancellation::new();
    cancelled.cancel();
    pull_to_fd(&fleet.request(), &output, &fleet.second, &none, &cancelled).unwrap_err();
    let blob =
        fs::read_dir(fleet.path.join("artifact/blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let blob = blob.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    fs::write(&blob, vec![1; usize::try_from(fs::metadata(&blob).unwrap().len()).unwrap()]).unwrap();
    let error = pull_to_fd(&fleet.request(), &output, &fleet.second, &none, &goes_on).unwrap_err();
    assert!(error.to_string().contains("digest"), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn only_a_finished_image_is_taken_if_that_is_asked() {
    let fleet = Fleet::new();
    let converted = fleet.convert(2);
    let image = format!("oci:{}", fleet.path.join("image-2"));
    let (none, goes_on) = (EventHandler::none(), Cancellation::new());
    let request = PullRequest::new(image.parse().unwrap()).with_rootfs_only(true);
    let error = pull(&request, &fleet.second, &none, &goes_on).unwrap_err();
    assert!(error.to_string().ends_with("is not a finished root file system"), "{error}");
    assert_eq!(error.code(), 1275);
    assert!(fleet.images().is_empty());
    fleet.push();
    let request = fleet.request().with_rootfs_only(true);
    let pulled = pull(&request, &fleet.second, &none, &goes_on).unwrap();
    assert!(are_equal(&converted.path, &pulled.path));
}
