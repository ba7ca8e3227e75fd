//! What lies beside a pushed image: its signature, and the statement where it comes from.

use banger_oci::manifest::{Descriptor, OCI_MANIFEST};
use banger_oci::{ArtifactToPush, Digest, Progress, Puller, PushError, PushedArtifact, Reference, SignError};
use banger_tree::{Cancellation, Existing, NewFile};
use camino::Utf8Path;

use super::error::RootfsArtifactError;
use super::provenance::{attestation, provenance};
use super::request::ImagePushRequest;
use crate::error::Error;
use crate::output::OutputError;
use crate::store::ImageRecord;

/// The mode of a new file, before the umask.
const MODE: u32 = 0o666;

/// What a request wants beside the image.
pub(super) struct BesideImage<'a> {
    request: &'a ImagePushRequest,
    /// The file of the statement, empty until the image is pushed.
    file: Option<(&'a Utf8Path, NewFile)>,
}

/// The digests of the manifests beside an image.
#[derive(Debug, Default)]
pub(super) struct PushedBeside {
    pub(super) signature: Option<String>,
    pub(super) attestation: Option<String>,
}

impl<'a> BesideImage<'a> {
    /// Fails before the push if something cannot lie beside the image, or the file cannot be made.
    pub(super) fn prepare(request: &'a ImagePushRequest) -> Result<Self, Error> {
        let target = &request.target;
        if !matches!(target, Reference::Registry(_) | Reference::OciLayout { .. }) {
            if request.sign_key.is_some() {
                let reason = "a signature cannot be added to it";
                return Err(SignError::Target { target: target.to_string(), reason }.into());
            }
            if request.attest.is_some() {
                let reason = "a statement cannot be added to it".to_owned();
                return Err(PushError::Target { target: target.to_string(), reason }.into());
            }
        }
        let create = |path: &'a camino::Utf8PathBuf| {
            let file = NewFile::create(path.as_std_path(), MODE).map_err(OutputError::new_file(path))?;
            Ok::<_, OutputError>((path.as_path(), file))
        };
        let file = request.attest.as_ref().map(create).transpose()?;
        Ok(Self { request, file })
    }

    /// Signs the pushed image, writes the statement, and pushes it.
    pub(super) fn push(
        self,
        record: &ImageRecord,
        pushed: &PushedArtifact,
        puller: &Puller,
        progress: &Progress,
        cancellation: &Cancellation,
    ) -> Result<PushedBeside, Error> {
        let Self { request, file } = self;
        let ImagePushRequest { target, pull, .. } = request;
        let mut beside = PushedBeside::default();
        if let Some(key) = &request.sign_key {
            let signed = puller.sign_artifact(target, &pushed.digest, key, pull, progress, cancellation);
            let signed = signed.map_err(|source| unsigned(target, &pushed.digest, source))?;
            beside.signature = Some(signed.digest.to_string());
        }
        if let Some((path, mut file)) = file {
            let statement = provenance(record, target, &pushed.digest, request.source_date_epoch)?;
            let written = file.write_bytes(&statement).and_then(|()| file.publish(Existing::Replace));
            written.map_err(OutputError::new_file(path))?;
            let subject = Descriptor::new(OCI_MANIFEST, pushed.digest.clone(), pushed.size_bytes);
            let (manifest, config, blobs) = attestation(statement, subject);
            let artifact = ArtifactToPush::new(&manifest, config, &blobs);
            let attested = puller.push_referrer(target, &artifact, pull, progress, cancellation);
            let attested = attested.map_err(|source| unattested(target, &pushed.digest, source))?;
            beside.attestation = Some(attested.digest.to_string());
        }
        Ok(beside)
    }
}

fn unsigned(target: &Reference, digest: &Digest, source: SignError) -> RootfsArtifactError {
    let (target, digest) = (target.to_string(), digest.to_string());
    RootfsArtifactError::Unsigned { target, digest, source: Box::new(source) }
}

fn unattested(target: &Reference, digest: &Digest, source: PushError) -> RootfsArtifactError {
    let (target, digest) = (target.to_string(), digest.to_string());
    RootfsArtifactError::Unattested { target, digest, source: Box::new(source) }
}
