//! Pushes of blobs that are in files: the layers of images.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::sync::Arc;

use banger_oci::{
    ArtifactToPush, BlobFiles, Descriptor, Digest, Platform, Progress, PullError, Puller, PullerOptions,
    PushError, PushedArtifact, check_push_target,
};
use banger_testkit::{Answer, Asked};
use banger_tree::{ErrorKind, Failure as _};
use camino::Utf8PathBuf;

use crate::pull_support::*;
use crate::push_support::*;

/// That of this machine, for which a pull looks.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// A directory with a file for each blob.
struct Files(Utf8PathBuf);

impl Files {
    fn of(bench: &Bench, artifact: &Artifact) -> Self {
        let dir = bench.path().join("files");
        fs::create_dir_all(&dir).unwrap();
        for (digest, bytes) in &artifact.blobs {
            fs::write(dir.join(digest.hex()), bytes).unwrap();
        }
        Self(dir)
    }

    fn path(&self, digest: &Digest) -> Utf8PathBuf {
        self.0.join(digest.hex())
    }
}

impl BlobFiles for Files {
    fn open(&self, blob: &Descriptor) -> io::Result<File> {
        File::open(self.path(&blob.digest))
    }
}

fn push(
    bench: &Bench,
    target: &str,
    artifact: &Artifact,
    files: &Files,
) -> Result<PushedArtifact, PushError> {
    let platform: Platform = format!("linux/{ARCHITECTURE}").parse().unwrap();
    let pushed =
        ArtifactToPush::of_files(&artifact.manifest, &artifact.config, files).with_platform(&platform);
    let (puller, progress) = (Puller::new(PullerOptions::default()), Progress::none());
    puller.push_artifact(&target.parse().unwrap(), &pushed, &bench.options, &progress, &bench.cancel)
}

fn targets(bench: &Bench, server: &PushServer) -> [String; 3] {
    let (layout, archive) = (bench.path().join("layout"), bench.path().join("a.tar"));
    [server.app(), format!("oci:{layout}:1"), format!("oci-archive:{archive}:1")]
}

#[test]
fn files_arrive_as_memory_does() {
    let artifact = Artifact::new(&[blobs(1, 3, 700_001), vec![Vec::new()]].concat());
    let server = PushServer::plain();
    let bench = Bench::new();
    let files = Files::of(&bench, &artifact);
    for target in targets(&bench, &server) {
        let pushed = push(&bench, &target, &artifact, &files).unwrap();
        assert_eq!(counts(&pushed), [5, 0, 0], "{target}");
        bench.assert_pulls(&target, &artifact);
        if !target.starts_with("oci-archive:") {
            // Blobs that are there are not asked for.
            let nothing = Files(bench.path().join("nowhere"));
            assert_eq!(counts(&push(&bench, &target, &artifact, &nothing).unwrap()), [0, 5, 0], "{target}");
        }
    }
    let index = fs::read_to_string(bench.path().join("layout/index.json")).unwrap();
    assert!(index.contains(&format!(r#""architecture":"{ARCHITECTURE}""#)), "{index}");
}

#[test]
fn a_file_may_be_larger_than_memory_allows() {
    let mut artifact = Artifact::new(&[]);
    let bench = Bench::new();
    let files = Files::of(&bench, &artifact);
    let size = ArtifactToPush::MAX_BLOB_BYTES + 1;
    let zeros = files.0.join("zeros");
    File::create(&zeros).unwrap().set_len(size).unwrap();
    let digest = Digest::of(&fs::read(&zeros).unwrap());
    fs::rename(&zeros, files.path(&digest)).unwrap();
    artifact.manifest.layers.push(Descriptor::new(WINDOW, digest.clone(), size));
    let layout = bench.path().join("layout");
    let target = format!("oci:{layout}:1");
    let error = bench.push(&target, &artifact).unwrap_err();
    assert!(matches!(&error, PushError::Artifact { .. }), "{error}");
    push(&bench, &target, &artifact, &files).unwrap();
    assert_eq!(fs::metadata(layout.join("blobs/sha256").join(digest.hex())).unwrap().len(), size);
}

#[test]
fn files_go_in_parts_where_a_registry_wants_them() {
    let artifact = Artifact::new(&blobs(1, 2, 1_000_000));
    let server = PushServer::start(|asked| (asked.bytes.len() > 100_000).then(|| Answer::new(413, "")));
    let bench = Bench::new();
    push(&bench, &server.app(), &artifact, &Files::of(&bench, &artifact)).unwrap();
    bench.assert_pulls(&server.app(), &artifact);
    assert!(server.asked().iter().filter(|asked| asked.method == "PATCH").count() > 20);
}

#[test]
fn wrong_files_are_not_sent() {
    let artifact = Artifact::new(&blobs(1, 3, 1000));
    let server = PushServer::plain();
    let bench = Bench::new();
    let wrong = artifact.manifest.layers[1].digest.clone();
    for target in targets(&bench, &server) {
        let files = Files::of(&bench, &artifact);
        fs::write(files.path(&wrong), noise(9, 1000)).unwrap();
        let error = push(&bench, &target, &artifact, &files).unwrap_err();
        assert!(
            matches!(&error, PushError::Pull(PullError::Mismatch { digest, .. }) if *digest == wrong),
            "{error}"
        );
        fs::write(files.path(&wrong), noise(9, 999)).unwrap();
        let error = push(&bench, &target, &artifact, &files).unwrap_err();
        assert!(error.to_string().contains("999 bytes"), "{error}");
        fs::remove_file(files.path(&wrong)).unwrap();
        let error = push(&bench, &target, &artifact, &files).unwrap_err();
        assert_eq!((error.code(), error.kind()), (1163, ErrorKind::NotFound), "{error}");
    }
    assert!(server.store.manifest("app", "1").is_none());
    assert!(!bench.path().join("layout").exists() && !bench.path().join("a.tar").exists());
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_ends_the_push() {
    let artifact = Artifact::new(&blobs(1, 1, 3_000_000));
    let bench = Bench::new();
    let files = Arc::new(Files::of(&bench, &artifact));
    let path = files.path(&artifact.manifest.layers[0].digest);
    // The file is whole when it is checked: the first attempt breaks off, and the second one finds it cut.
    let server = PushServer::start(move |asked: &Asked| {
        let is_large = asked.bytes.len() > 1_000_000;
        is_large.then(|| {
            OpenOptions::new().write(true).open(&path).unwrap().set_len(5).unwrap();
            Answer::new(503, "")
        })
    });
    let error = push(&bench, &server.app(), &artifact, &files).unwrap_err();
    assert!(matches!(&error, PushError::Pull(PullError::BlobSource { .. })), "{error}");
    assert_eq!(error.code(), 1163);
}

#[test]
fn targets_are_checked_before_blobs_are_made() {
    let bench = Bench::new();
    let archive = bench.path().join("a.tar");
    for (target, is_fit) in [
        ("host.example/app:1".to_owned(), true),
        (format!("oci:{}", bench.path().join("layout")), true),
        (format!("oci-archive:{archive}"), true),
        ("oci-archive:-".to_owned(), false),
        ("docker-daemon:app".to_owned(), false),
    ] {
        assert_eq!(check_push_target(&target.parse().unwrap()).is_ok(), is_fit, "{target}");
    }
    fs::write(&archive, "mine").unwrap();
    let error = check_push_target(&format!("oci-archive:{archive}").parse().unwrap()).unwrap_err();
    assert_eq!((error.code(), error.kind()), (1268, ErrorKind::Exists));
}
