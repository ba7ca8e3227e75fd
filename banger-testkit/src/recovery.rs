//! What e2fsck makes of the disk of a machine that was killed.

use std::path::Path;

use crate::{Skip, copy_sparse, tools};

/// What `e2fsck -fy` did to a copy.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// All that it printed.
    pub said: String,
    /// Whether it replayed the journal and found no damage after that. Not damage: counts of free blocks and inodes
    /// (a kernel counts them in memory, and again with the next mount) and extent trees that could be shorter.
    pub is_plain: bool,
    /// Whether it shortened a file that keeps its name, and took the block of its extended attributes as well: a fault
    /// of e2fsck 1.47.0. The kernel leaves the attributes.
    pub has_lost_attributes: bool,
}

/// Copies an image and has e2fsck recover the copy.
///
/// # Errors
///
/// A [`Skip`] when there is no e2fsck.
///
/// # Panics
///
/// When the image cannot be copied.
pub fn recover_copy(image: &Path, copy: &Path) -> Result<Recovery, Skip> {
    copy_sparse(image, copy);
    let mut command = tools::command("e2fsck")?;
    let output = command.arg("-fy").arg(copy).output().expect("e2fsck was found and can be run");
    // Its name may look like a complaint.
    let name = copy.display().to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&name, "the copy");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    // Status 1 says that it changed something.
    let is_recovered = output.status.code().is_some_and(|code| code <= 1);
    // It passes over a copy of a block with a wrong checksum; others drop its transaction, or name the damage.
    let has_wrong_checksum = stdout.contains("hecksum") || stderr.contains("hecksum");
    let is_plain =
        is_recovered && !has_wrong_checksum && !without_answers_of_kernels(&stdout).contains("yes");
    let has_lost_attributes = has_lost_attributes(&stdout);
    Ok(Recovery { said: format!("{stdout}{stderr}"), is_plain, has_lost_attributes })
}

/// Returns whether a file that e2fsck shortened has fewer blocks than it counts after that.
fn has_lost_attributes(text: &str) -> bool {
    let shortened = text.lines().filter_map(|line| line.strip_prefix("Truncating orphaned inode "));
    let mut inodes = shortened.filter_map(|rest| rest.split(' ').next());
    inodes.any(|inode| text.contains(&format!("\nInode {inode}, i_blocks is ")))
}

/// Returns what e2fsck says but what it corrects after every kernel.
fn without_answers_of_kernels(text: &str) -> String {
    // Of each file system with the feature that was not unmounted.
    let text = text.replace("Feature orphan_present is set but orphan file is clean.\nClear? yes", "");
    let text = without_free_counts(&text);
    let lines: Vec<&str> = text.lines().collect();
    let is_offer = |line: &str| line.contains(" extent tree (at level ") && line.ends_with("Optimize? yes");
    // It frees the orphans of the file, and empties the file later.
    let is_of_orphans =
        |line: &str| line.starts_with("Orphan file (inode ") && line.ends_with(" is not clean.");
    let has_orphans = text.contains("orphaned inode");
    let kept = lines.iter().enumerate().filter(|(at, line)| {
        let is_answer =
            has_orphans && *at > 0 && line.starts_with("Clear? yes") && is_of_orphans(lines[at - 1]);
        !is_offer(line) && !is_answer
    });
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

/// Returns what e2fsck says but that it corrects counts of what is free.
#[must_use]
pub fn without_free_counts(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_count = |line: &str| line.starts_with("Free ") && line.contains(" count wrong ");
    let kept = lines.iter().enumerate().filter(|(at, line)| {
        let is_answer = line.starts_with("Fix? yes") && *at > 0 && is_count(lines[at - 1]);
        !is_count(line) && !is_answer
    });
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::{has_lost_attributes, without_answers_of_kernels};

    #[test]
    fn files_that_e2fsck_shortens_lose_attributes() {
        let shortened =
            "Truncating orphaned inode 448 (uid=0, gid=0, mode=0100640, size=0)\nPass 1: Checking\n";
        assert!(!has_lost_attributes(shortened));
        assert!(has_lost_attributes(&format!(
            "{shortened}Inode 448, i_blocks is 2, should be 0.  Fix? yes\n"
        )));
        assert!(!has_lost_attributes(&format!(
            "{shortened}Inode 44, i_blocks is 2, should be 0.  Fix? yes\n"
        )));
    }

    #[test]
    fn damage_is_not_taken_for_what_every_kernel_leaves() {
        let of_kernels = "Free blocks count wrong (4, counted=3).\nFix? yes\n\
                          Inode 12 extent tree (at level 1) could be shorter.  Optimize? yes\n\
                          Feature orphan_present is set but orphan file is clean.\nClear? yes\n";
        let orphans = "Clearing orphaned inode 66 (uid=0, gid=0, mode=0100644, size=0)\n";
        let of_kernels =
            format!("{orphans}{of_kernels}Orphan file (inode 12) block 0 is not clean.\nClear? yes\n");
        assert!(without_answers_of_kernels(&of_kernels.replace(orphans, "")).contains("yes"));
        let of_kernels = of_kernels.as_str();
        assert!(!without_answers_of_kernels(of_kernels).contains("yes"));
        for damage in ["Block bitmap differences:  -33\nFix? yes\n", "Free inode 12\nFix? yes\n"] {
            assert!(without_answers_of_kernels(&format!("{of_kernels}{damage}")).contains("yes"), "{damage}");
        }
    }
}
