//! Sources of images on this machine, made from options.

use std::os::fd::RawFd;
use std::sync::Arc;

use camino::Utf8PathBuf;
use pipeline::{ArchiveInput, BlobSource, Digest, FileBlobs, LocalSources, PullOptions};

use crate::error::Fault;
use crate::option_reader::OptionReader;
use crate::options::banger_option::*;
use crate::rootfs_edit::file_of;

/// Sets where a pull finds daemons, storages, an archive and blobs.
pub(crate) fn set_sources(options: &mut PullOptions, given: &OptionReader<'_>) -> Result<(), Fault> {
    options.local = LocalSources::default()
        .with_docker_host(given.text(BANGER_OPT_DOCKER_HOST).map(str::to_owned))
        .with_podman_host(given.text(BANGER_OPT_PODMAN_HOST).map(str::to_owned))
        .with_storage_root(given.text(BANGER_OPT_STORAGE_ROOT).map(Utf8PathBuf::from))
        .with_of_user(given.flag(BANGER_OPT_USER_SOURCES).unwrap_or(false));
    if let Some(fd) = given.number::<RawFd>(BANGER_OPT_INPUT_FD)? {
        options.input = Some(ArchiveInput::from_file(file_of(fd)?));
    }
    let mut blobs = FileBlobs::default();
    for text in given.list(BANGER_OPT_BLOB_FD) {
        let (digest, fd) = blob(text)?;
        blobs.insert(digest, file_of(fd)?);
    }
    if !blobs.is_empty() {
        let source: Arc<dyn BlobSource> = Arc::new(blobs);
        options.blob_source = Some(source);
    }
    Ok(())
}

/// Reads `sha256:HEX=FD`.
fn blob(text: &str) -> Result<(Digest, RawFd), Fault> {
    let parts = text.rsplit_once('=').and_then(|(digest, fd)| Some((digest.parse().ok()?, fd.parse().ok()?)));
    parts.ok_or_else(|| {
        Fault::argument(format!("{BANGER_OPT_BLOB_FD:?} cannot be {text:?}: it is sha256:HEX=FD"))
    })
}
