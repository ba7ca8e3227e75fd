//! Machines that share finished images.

use std::fs;

use banger::{
    Cancellation, Dirs, Error, EventHandler, ImagePushRequest, ImageSize, PullRequest, PulledFile,
    PushedImage, pull, push_image,
};
use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};
use camino::Utf8PathBuf;
use tempfile::TempDir;

pub(crate) const MIB: usize = 1 << 20;

/// One machine that converts, another one that pulls, and a layout between them.
pub(crate) struct Fleet {
    _dir: TempDir,
    pub(crate) path: Utf8PathBuf,
    pub(crate) first: Dirs,
    pub(crate) second: Dirs,
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take(length / 8).flatten().collect()
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let dirs = |name: &str| Dirs::new(path.join(name).join("state"), path.join(name).join("cache"));
        let (first, second) = (dirs("first"), dirs("second"));
        Self { _dir: dir, path, first, second }
    }

    /// Converts an image with a base and a top layer on the first machine.
    pub(crate) fn convert(&self, top: u64) -> PulledFile {
        let base = LayerBuilder::new().dir("opt").file("opt/base", noise(1, 28 * MIB)).finish();
        let upper = LayerBuilder::new().file("opt/app", noise(top, 7 * MIB)).finish();
        let layout = self.path.join(format!("image-{top}"));
        LayoutBuilder::of(&ImageBuilder::new().layer(base).layer(upper)).write(layout.as_std_path());
        let request = PullRequest::new(format!("oci:{layout}").parse().unwrap())
            .with_name(Some("app".parse().unwrap()))
            .with_size(ImageSize::Bytes(128 << 20))
            .with_guest(None);
        pull(&request, &self.first, &EventHandler::none(), &Cancellation::new()).unwrap()
    }

    pub(crate) fn target(&self) -> String {
        format!("oci:{}:app", self.path.join("artifact"))
    }

    pub(crate) fn push(&self) -> PushedImage {
        let request = ImagePushRequest::new("app", self.target().parse().unwrap());
        push_image(&request, &self.first, &EventHandler::none(), &Cancellation::new()).unwrap()
    }

    pub(crate) fn request(&self) -> PullRequest {
        PullRequest::new(self.target().parse().unwrap()).with_name(Some("app".parse().unwrap()))
    }

    pub(crate) fn pull(&self) -> Result<PulledFile, Error> {
        pull(&self.request(), &self.second, &EventHandler::none(), &Cancellation::new())
    }

    /// The directories of images on the second machine.
    pub(crate) fn images(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.second.state.join("images")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }
}
