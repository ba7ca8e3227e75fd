//! Making a clone.

use banger_tree::{Advice, Cancellation, Setting};
use camino::Utf8PathBuf;

use super::machine::change;
use super::request::{CloneRequest, CloneTarget};
use crate::argument::ArgumentError;
use crate::dirs::Dirs;
use crate::document::ImageDocument;
use crate::error::Error;
use crate::machine_settings::check_settings;
use crate::store::{ClonedFrom, ImageLease, ImageRecord, ImageStore};

/// A clone.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClonedImage {
    /// The record. That of a file has the name and the id of the original.
    pub record: ImageRecord,
    /// The ext4 file.
    pub path: Utf8PathBuf,
    /// Keeps a managed image at its path. `None` for a file.
    pub lease: Option<ImageLease>,
    /// What the machine will lack, one sentence each.
    pub warnings: Vec<String>,
}

impl<'a> From<&'a ClonedImage> for ImageDocument<'a> {
    fn from(image: &'a ClonedImage) -> Self {
        match image.lease {
            Some(_) => Self::new(&image.record, image.path.as_path()),
            None => Self::exported(&image.record, image.path.as_path()),
        }
    }
}

/// Copies a managed image for one machine: with another identity, a hostname, keys, a network, files, and the size that
/// it needs. A managed clone has the kernel of the image, too. The copy keeps holes, and uses reflink where the host can.
/// It is complete, or absent.
///
/// ```no_run
/// use banger::{Cancellation, CloneRequest, CloneTarget, Dirs, MachineSettings, clone_image};
///
/// let target = CloneTarget::File { path: "vm7.ext4".into(), replace: false };
/// let settings = MachineSettings::default().with_hostname(Some("vm7".to_owned()));
/// let request = CloneRequest::new("debian-bookworm", target).with_settings(settings);
/// clone_image(&request, &Dirs::of_user()?, &Cancellation::new())?;
/// # Ok::<(), banger::Error>(())
/// ```
///
/// # Errors
/// The image does not exist or is being edited, the name is taken, or the file exists and must not be replaced. Or a
/// value makes no sense, a file of the host cannot be read, the file system has no room, a hash tree protects the image
/// and the request changes it, or the caller asks to stop. Then nothing is published.
pub fn clone_image(
    request: &CloneRequest,
    dirs: &Dirs,
    cancellation: &Cancellation,
) -> Result<ClonedImage, Error> {
    check(request)?;
    let store = ImageStore::new(&dirs.state);
    let mut warnings = Vec::new();
    let changed = |path: &_, original: ImageRecord| {
        let mut record = original;
        if let Some((setting, value)) = request.first_change() {
            check_unprotected(&record, setting, value)?;
            warnings = change(path, &mut record, request, cancellation)?;
        }
        Ok::<_, Error>(record)
    };
    match &request.target {
        CloneTarget::Image(name) => {
            let image = store.clone_with(&request.image, name.clone(), cancellation, changed)?;
            Ok(ClonedImage { record: image.record, path: image.path, lease: Some(image.lease), warnings })
        }
        CloneTarget::File { path, replace } => {
            let original = store.export_with(&request.image, path, *replace, cancellation, changed)?;
            let record = ImageRecord { cloned_from: Some(ClonedFrom::of(&original)), ..original };
            Ok(ClonedImage { record, path: path.clone(), lease: None, warnings })
        }
    }
}

/// Refuses values that no machine takes, before anything is copied.
fn check(request: &CloneRequest) -> Result<(), ArgumentError> {
    if let Some(network) = &request.network {
        let failed =
            |error: &dyn std::fmt::Display| ArgumentError::new(Setting("network"), "", error.to_string());
        network.check().map_err(|error| failed(&error))?;
    }
    check_settings(&request.settings)
}

/// Refuses to change an image that a hash tree protects.
fn check_unprotected(
    record: &ImageRecord,
    setting: &'static str,
    value: String,
) -> Result<(), ArgumentError> {
    if record.verity.is_none() {
        return Ok(());
    }
    let reason = format!("the image {} has a dm-verity hash tree, so its clone stays as it is", record.name);
    let advice = Advice::with_setting("to copy it unchanged, use {setting} keep alone", Setting("identity"));
    Err(ArgumentError::new(Setting(setting), value, reason).with_advice(advice))
}
