//! Reference trees: what `umoci unpack` makes of an image.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::images::{Image, TAG};
use crate::{Skip, tools};

/// The root file system that `umoci unpack` makes, in a temporary directory.
#[derive(Debug)]
pub struct ReferenceTree {
    dir: TempDir,
}

impl ReferenceTree {
    /// The root of the tree.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("bundle/rootfs")
    }
}

/// Unpacks the image tagged `tag` of an OCI layout, as root.
///
/// Layers in zstd are turned into gzip first, since Debian's umoci reads no zstd.
/// Large trees are better taken from [`reference_tree`], which keeps them.
///
/// # Errors
///
/// A [`Skip`] without root, `umoci` or `skopeo`.
///
/// # Panics
///
/// When a tool fails.
pub fn umoci_unpack(layout: &Path, tag: &str) -> Result<ReferenceTree, Skip> {
    let dir = tempfile::Builder::new()
        .prefix("banger-reference-")
        .tempdir()
        .expect("a temporary directory can be made");
    unpack_into(dir.path(), layout, tag)?;
    Ok(ReferenceTree { dir })
}

/// The reference tree of a made image, kept in the test cache: for reading only.
///
/// Kept because unpacking takes longer than everything else a test does with the
/// tree, and because ext4 is slow for minutes after a large tree was removed.
///
/// # Errors
///
/// A [`Skip`] without root, `umoci` or the image.
///
/// # Panics
///
/// When a tool fails.
pub fn reference_tree(image: Image) -> Result<PathBuf, Skip> {
    // Also for a tree that is there: it has files that root alone can read.
    tools::root("a tree with its owners")?;
    let layout = image.gzip_twin().layout()?;
    let index = std::fs::read(layout.join("index.json")).expect("a layout has an index");
    let digest = crate::layout::sha256_digest(&index).replace(':', "-");
    let trees = tools::cache_dir().join("trees");
    std::fs::create_dir_all(&trees).expect("the cache can be written");
    let lock = std::fs::File::create(trees.join(".lock")).expect("the cache can be written");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
        .expect("a file of ours can be locked");
    let name = image.gzip_twin().name();
    let tree = trees.join(format!("{name}-{digest}"));
    if !tree.exists() {
        // Trees of a former recipe, and what a killed run left half unpacked.
        for entry in std::fs::read_dir(&trees).expect("the cache can be read").flatten() {
            let stale = entry.file_name();
            let stale = stale.to_string_lossy();
            let of_this_image = stale.strip_prefix(name).is_some_and(|rest| rest.starts_with("-sha256-"));
            if of_this_image || stale.starts_with(".unpacking-") {
                std::fs::remove_dir_all(entry.path()).expect("a tree of ours can be removed");
            }
        }
        let work = tempfile::Builder::new()
            .prefix(".unpacking-")
            .tempdir_in(&trees)
            .expect("the cache can be written");
        unpack_into(work.path(), &layout, TAG)?;
        std::fs::rename(work.path().join("bundle"), &tree).expect("a rename inside a directory");
    }
    Ok(tree.join("rootfs"))
}

fn unpack_into(dir: &Path, layout: &Path, tag: &str) -> Result<(), Skip> {
    tools::root("unpacking an image with its owners")?;
    let mut umoci = tools::command("umoci")?;
    let gzip = dir.join("gzip");
    let source = if has_zstd(layout) {
        let mut skopeo = tools::command("skopeo")?;
        skopeo
            .args(["--insecure-policy", "copy", "--quiet", "--dest-compress-format=gzip"])
            .arg(format!("oci:{}:{tag}", layout.display()))
            .arg(format!("oci:{}:{tag}", gzip.display()));
        tools::run(&mut skopeo);
        gzip
    } else {
        layout.to_path_buf()
    };
    umoci.arg("unpack").arg("--image").arg(format!("{}:{tag}", source.display())).arg(dir.join("bundle"));
    tools::run(&mut umoci);
    Ok(())
}

fn has_zstd(layout: &Path) -> bool {
    const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
    let blobs = std::fs::read_dir(layout.join("blobs/sha256")).expect("a layout has blobs");
    blobs.flatten().any(|blob| {
        let mut magic = [0; 4];
        std::fs::File::open(blob.path())
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic))
            .is_ok()
            && magic == MAGIC
    })
}
