//! A committed image as an OCI layout (image-spec, `image-layout.md`).

use std::fs::{self, File};
use std::io;

use banger_oci::Digest;
use banger_oci::manifest::OCI_INDEX;
use banger_tree::Cancellation;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::blob_copy::copy_blob;
use super::error::CommitError;
use super::parts::ImageParts;
use crate::error::Error;
use crate::output::OutputError;

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Writes the image into the new directory `dir`, with the tag `tag`. The new layer is moved there.
pub(super) fn write_layout(
    parts: &ImageParts,
    dir: &Utf8Path,
    tag: &str,
    cancellation: &Cancellation,
) -> Result<(), Error> {
    for (descriptor, file) in &parts.base_layers {
        let path = new_blob(dir, &descriptor.digest)?;
        // An image may have a layer twice.
        if path.exists() {
            continue;
        }
        let copied = File::create_new(&path)
            .and_then(|mut to| copy_blob(file, &mut to, &descriptor.digest, cancellation));
        match copied {
            Ok(true) => {}
            Ok(false) => {
                let (base, digest) = (parts.base.clone(), descriptor.digest.to_string());
                return Err(CommitError::DamagedBlob { base, what: "the layer", digest }.into());
            }
            Err(_) if cancellation.is_cancelled() => return Err(Error::Cancelled),
            Err(error) => return Err(OutputError::io("write", &path)(error).into()),
        }
    }
    let path = new_blob(dir, &parts.layer.digest)?;
    fs::rename(&parts.layer_path, &path).map_err(OutputError::io("write", &path))?;
    for blob in [&parts.config, &parts.manifest] {
        write(&new_blob(dir, &blob.descriptor.digest)?, &blob.bytes)?;
    }
    let mut entry = parts.manifest.descriptor.clone();
    entry.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
    entry.platform = Some(parts.platform.clone());
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] });
    write(&dir.join("index.json"), index.to_string().as_bytes())?;
    write(&dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
}

/// Returns the path of a blob, whose directory exists.
fn new_blob(dir: &Utf8Path, digest: &Digest) -> Result<Utf8PathBuf, Error> {
    let blobs = dir.join("blobs").join(digest.algorithm().as_str());
    fs::create_dir_all(&blobs).map_err(OutputError::io("create", &blobs))?;
    Ok(blobs.join(digest.hex()))
}

fn write(path: &Utf8Path, bytes: &[u8]) -> Result<(), Error> {
    let written: io::Result<()> = fs::write(path, bytes);
    Ok(written.map_err(OutputError::io("write", path))?)
}
