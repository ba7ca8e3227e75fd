//! Real images: those `scripts/make-test-images` makes, and others' as data.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Skip, tools};

/// The tag of every made image in its layout.
pub const TAG: &str = "latest";

/// A made image: an OCI layout directory in the test cache, tagged [`TAG`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// mmdebstrap's Debian minbase in one gzip layer.
    DebianMinbase,
    /// The same in zstd.
    DebianMinbaseZstd,
    /// Two gzip layers: minbase, and systemd, udev, dbus and sshd above it.
    DebianSystemd,
    /// The same in zstd.
    DebianSystemdZstd,
    /// Two gzip layers: minbase, and systemd, udev and dbus above it, without sshd.
    DebianNosshd,
    /// Eight gzip layers with all that layers can carry; see the script.
    DebianLayers,
    /// The same in zstd.
    DebianLayersZstd,
    /// Two gzip layers: minbase, and openrc above it with busybox as init.
    DebianOpenrc,
    /// Two gzip layers: minbase, and runit as init above it.
    DebianRunit,
    /// Two gzip layers: minbase, and s6 above it with an `/init` as s6-overlay has it.
    DebianS6,
    /// 700 MB in 40,000 files and three gzip layers; for benchmarks.
    Bench,
    /// The same in zstd.
    BenchZstd,
}

impl Image {
    /// The images that tests walk through; those of benchmarks and boots are left out.
    pub const ALL: [Self; 6] = [
        Self::DebianMinbase,
        Self::DebianMinbaseZstd,
        Self::DebianSystemd,
        Self::DebianSystemdZstd,
        Self::DebianLayers,
        Self::DebianLayersZstd,
    ];

    /// The name of its directory in the cache.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DebianMinbase => "debian-minbase",
            Self::DebianMinbaseZstd => "debian-minbase-zstd",
            Self::DebianSystemd => "debian-systemd",
            Self::DebianSystemdZstd => "debian-systemd-zstd",
            Self::DebianNosshd => "debian-nosshd",
            Self::DebianLayers => "debian-layers",
            Self::DebianLayersZstd => "debian-layers-zstd",
            Self::DebianOpenrc => "debian-openrc",
            Self::DebianRunit => "debian-runit",
            Self::DebianS6 => "debian-s6",
            Self::Bench => "bench",
            Self::BenchZstd => "bench-zstd",
        }
    }

    /// The same image with gzip layers: itself, or the one it is the twin of.
    ///
    /// Both have the same `diff_id`s and so the same root file system.
    #[must_use]
    pub fn gzip_twin(self) -> Self {
        match self {
            Self::DebianMinbaseZstd => Self::DebianMinbase,
            Self::DebianSystemdZstd => Self::DebianSystemd,
            Self::DebianLayersZstd => Self::DebianLayers,
            Self::BenchZstd => Self::Bench,
            gzip => gzip,
        }
    }

    /// The layout directory, made first when the cache does not have it.
    ///
    /// # Errors
    ///
    /// A [`Skip`] with the script's last line when it cannot be made here.
    pub fn layout(self) -> Result<PathBuf, Skip> {
        let dir = tools::cache_dir().join("images").join(self.name());
        let stamp = std::fs::read_to_string(dir.join(".recipe")).unwrap_or_default();
        if stamp.trim() == recipe() {
            return Ok(dir);
        }
        let script = tools::workspace_root().join("scripts/make-test-images");
        let output = Command::new(&script)
            .arg(self.gzip_twin().name())
            .env("BANGER_TEST_CACHE", tools::cache_dir())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Skip::new(format!("cannot run {}: {error}", script.display())))?;
        if output.status.success() {
            return Ok(dir);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().last().unwrap_or("it printed nothing");
        Err(Skip::new(format!("cannot make {}: {}: {last}", self.name(), output.status)))
    }
}

/// The stamp that images of the present recipe carry.
fn recipe() -> &'static str {
    static RECIPE: OnceLock<String> = OnceLock::new();
    RECIPE.get_or_init(|| {
        let script = tools::workspace_root().join("scripts/make-test-images");
        let output = tools::run(Command::new(script).arg("--print-recipe"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

/// [`Image::DebianMinbase`]'s layout.
///
/// # Errors
///
/// As [`Image::layout`].
pub fn debian_minbase() -> Result<PathBuf, Skip> {
    Image::DebianMinbase.layout()
}

/// [`Image::DebianSystemd`]'s layout.
///
/// # Errors
///
/// As [`Image::layout`].
pub fn debian_systemd() -> Result<PathBuf, Skip> {
    Image::DebianSystemd.layout()
}

/// [`Image::DebianLayers`]'s layout.
///
/// # Errors
///
/// As [`Image::layout`].
pub fn debian_layers() -> Result<PathBuf, Skip> {
    Image::DebianLayers.layout()
}

/// The path of an image file made by others, such as `busybox.oci.tar`, from
/// `$BANGER_TEST_IMAGES_DIR` or `shared/images` beside the workspace.
///
/// # Errors
///
/// An [optional](Skip::optional) skip: tests pass without these.
pub fn third_party(file_name: &str) -> Result<PathBuf, Skip> {
    let dir = std::env::var_os("BANGER_TEST_IMAGES_DIR")
        .map_or_else(|| tools::workspace_root().join("../shared/images"), PathBuf::from);
    let path = dir.join(file_name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(Skip::optional(format!("{file_name} is not in {}: set BANGER_TEST_IMAGES_DIR", dir.display())))
    }
}
