//! The mke2fs pass: an image with every name and every byte of the staging directory.

use std::ffi::OsString;
use std::io;

use crate::debugfs::IMAGE_LINK;
use crate::layout::Geometry;
use crate::staging;
use crate::tools::{Tool, ToolRun};
use banger_ext4::Ext4Error;
use banger_ext4::Ext4Options;
use banger_ext4::on_disk::{BLOCK_BYTES, INODE_BYTES};

/// Exactly these features, independent of the host's configuration and the version.
const FEATURES: &str = "none,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// How mke2fs ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// The image exists.
    Whole,
    /// The file system is full.
    Full,
}

/// Makes the image that the link in the scratch directory points to; its file has the length
/// already.
///
/// # Errors
/// mke2fs fails, the disk of the host is full, or the build is cancelled.
pub(crate) fn make(
    mke2fs: &Tool,
    geometry: Geometry,
    options: &Ext4Options,
    run: &ToolRun<'_>,
) -> Result<Made, Ext4Error> {
    let outcome = mke2fs.run(&arguments(geometry, options), run)?;
    if outcome.status.success() {
        return Ok(Made::Whole);
    }
    let complaints = outcome.complaints("mke2fs");
    let full = ["Could not allocate block in ext2 filesystem", "journal size too big for filesystem"];
    if full.iter().any(|words| complaints.contains(words)) {
        return Ok(Made::Full);
    }
    if complaints.contains("No space left on device") {
        let link = run.directory.join(IMAGE_LINK);
        // The link lies on another disk than the image.
        let image = link.read_link_utf8().unwrap_or(link);
        return Err(super::host::failed("write", &image, io::ErrorKind::StorageFull));
    }
    Err(mke2fs.failed(&format!("{}\n{complaints}", outcome.ending())))
}

fn arguments(geometry: Geometry, options: &Ext4Options) -> Vec<OsString> {
    // Only the last -E counts, so there is one. Nothing is left for the guest's kernel to
    // initialise, and nothing of the file is discarded: it is new. For the same reason the journal
    // is zero already and its blocks stay holes of the file.
    let extended = format!(
        "hash_seed={},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=1,nodiscard",
        uuid(options.hash_seed)
    );
    // mke2fs takes whole mebibytes.
    let (features, journal) = match (geometry.journal_blocks * BLOCK_BYTES) >> 20 {
        0 => (FEATURES.to_owned(), Vec::new()),
        size => (format!("{FEATURES},has_journal"), vec!["-J".to_owned(), format!("size={size}")]),
    };
    let rest = [
        "-q".to_owned(),
        "-F".to_owned(),
        "-O".to_owned(),
        features,
        "-b".to_owned(),
        BLOCK_BYTES.to_string(),
        "-I".to_owned(),
        INODE_BYTES.to_string(),
        "-N".to_owned(),
        geometry.inodes.to_string(),
        // No blocks are reserved for root: all users of the guest can use the free space.
        "-m".to_owned(),
        "0".to_owned(),
        "-U".to_owned(),
        uuid(options.uuid),
        "-L".to_owned(),
        options.label.clone(),
        "-E".to_owned(),
        extended,
        "-d".to_owned(),
        staging::ROOT.to_owned(),
        IMAGE_LINK.to_owned(),
        geometry.blocks.to_string(),
    ];
    journal.into_iter().chain(rest).map(OsString::from).collect()
}

/// Returns the usual text of a UUID.
fn uuid(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(nibble.into(), 16).expect("a nibble is one hexadecimal digit"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn uuids_are_written_as_usual() {
        let bytes = std::array::from_fn(|index| u8::try_from(index * 17).unwrap());
        assert_eq!(super::uuid(bytes), "00112233-4455-6677-8899-aabbccddeeff");
    }
}
