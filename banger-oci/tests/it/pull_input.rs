//! Archives from pipes and open files.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _, pipe};
use std::thread;
use std::time::Duration;

use banger_oci::{ArchiveInput, PullError};
use banger_testkit::docker_archive;

use crate::pull_local::compressed;
use crate::pull_support::*;
use crate::source_support::*;

/// Pulls `reference` while another thread writes `bytes` into a pipe.
fn pull_piped(bench: &mut Bench, reference: &str, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, PullError> {
    let (reader, mut writer) = pipe().unwrap();
    let writing = thread::spawn(move || {
        // Who stops reading closes the pipe.
        let _closed = writer.write_all(&bytes);
    });
    bench.options.input = Some(ArchiveInput::from_file(reader));
    let pulled = bench.pull(reference);
    bench.options.input = None;
    writing.join().unwrap();
    let image = pulled?;
    let layers = tars(&image);
    Ok(layers)
}

fn only_the_cache_is_left(bench: &Bench) {
    let names: Vec<_> = std::fs::read_dir(bench.path().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["CACHEDIR.TAG", "blobs", "locks"].contains(&name.as_str()))
        .collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn archives_come_through_pipes() {
    let mut bench = Bench::new();
    let dir = bench.path().join("layout");
    write_two_layers(&dir);
    let wanted = bench.pull(&format!("oci:{dir}:2")).unwrap();
    let layers = tars(&wanted);
    let mut layout = banger_testkit::LayoutBuilder::new();
    layout.add_tagged(&two_layers(), "2");
    for (name, bytes) in compressed(&layout.archive()) {
        for reference in ["oci-archive:-", "oci-archive:-:2"] {
            assert_eq!(pull_piped(&mut bench, reference, bytes.clone()).unwrap(), layers, "{name}");
        }
        // An input is no file of the working directory.
        let error = pull_piped(&mut bench, "oci-archive:-:3", bytes.clone()).unwrap_err();
        assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
        for cut in [1, bytes.len() / 3, bytes.len() * 2 / 3] {
            let error = pull_piped(&mut bench, "oci-archive:-", bytes[..cut].to_vec()).unwrap_err();
            assert!(matches!(&error, PullError::Layout { .. }), "{name} cut at {cut}: {error}");
            assert!(error.to_string().starts_with("the given input"), "{error}");
        }
        only_the_cache_is_left(&bench);
    }
    let saved = docker_archive(&[(&two_layers(), &[NAME])]);
    for (name, bytes) in compressed(&saved) {
        assert_eq!(pull_piped(&mut bench, "docker-archive:-:app:2", bytes).unwrap(), layers, "{name}");
    }
}

#[test]
fn an_input_is_a_file_or_a_reader_too() {
    let mut bench = Bench::new();
    let saved = docker_archive(&[(&two_layers(), &[NAME])]);
    let path = bench.path().join("saved.tar");
    std::fs::write(&path, &saved).unwrap();
    bench.options.input = Some(ArchiveInput::from_file(File::open(&path).unwrap()));
    let whole = bench.pull("docker-archive:-").unwrap();
    assert_eq!(bench.pull("docker-archive:-").unwrap().digest, whole.digest, "it is there for another pull");
    bench.options.input = Some(ArchiveInput::from_reader(std::io::Cursor::new(saved.clone())));
    assert_eq!(bench.pull("docker-archive:-").unwrap().digest, whole.digest);
    // A file whose first bytes were taken by somebody else.
    let shifted = bench.path().join("shifted.tar");
    std::fs::write(&shifted, [b"header", &saved[..]].concat()).unwrap();
    let mut file = File::open(&shifted).unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    bench.options.input = Some(ArchiveInput::from_file(file));
    assert_eq!(bench.pull("docker-archive:-").unwrap().digest, whole.digest);
    assert_eq!(tars(&whole).len(), 2);
}

#[test]
fn an_input_without_an_archive_is_said() {
    let mut bench = Bench::new();
    let cases: [(Option<ArchiveInput>, &str); 5] = [
        (None, "none is given"),
        (Some(ArchiveInput::from_file(File::open("/dev/null").unwrap())), "empty"),
        (Some(ArchiveInput::from_reader(std::io::empty())), "empty"),
        (Some(ArchiveInput::from_file(File::open("/dev/ptmx").unwrap())), "terminal"),
        (Some(ArchiveInput::from_file(File::open("/").unwrap())), "directory"),
    ];
    for (input, says) in cases {
        bench.options.input = input;
        let error = bench.pull("docker-archive:-").unwrap_err();
        assert!(matches!(&error, PullError::Input { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!told(&error).ends_with(&error.to_string()), "it has advice: {error}");
    }
    bench.options.input = None;
    bench.options.max_download_bytes = 1000;
    let error = pull_piped(&mut bench, "docker-archive:-", vec![0; 100_000]).unwrap_err();
    assert!(
        matches!(&error, PullError::TooLarge { setting, .. } if setting.0 == "max_download_bytes"),
        "{error}"
    );
    only_the_cache_is_left(&bench);
    // The bytes of a pipe come once.
    bench.options.input = Some(ArchiveInput::from_reader(std::io::repeat(7)));
    assert!(matches!(bench.pull("docker-archive:-"), Err(PullError::TooLarge { .. })));
    let error = bench.pull("docker-archive:-").unwrap_err();
    assert!(error.to_string().contains("read before"), "{error}");
}

#[test]
fn a_silent_pipe_does_not_hold_a_cancelled_pull() {
    let mut bench = Bench::new();
    let (reader, writer) = pipe().unwrap();
    bench.options.input = Some(ArchiveInput::from_file(reader));
    let cancel = bench.cancel.clone();
    let stopping = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        cancel.cancel();
    });
    let error = bench.pull("docker-archive:-").unwrap_err();
    assert!(matches!(&error, PullError::Cancelled), "{error}");
    stopping.join().unwrap();
    drop(writer);
}
