//! Features of the ext4 file system, against the version and the options of a kernel.

use super::facts::{GuestFacts, KernelFacts, Presence};
use super::finding::{Finding, Subject};
use super::option::KernelOption;
use super::request::CheckRequest;
use crate::kernel::Kernel;

/// Features by the names of mke2fs, with the first kernel that mounts them for writing, and the option it needs
/// besides (`Documentation/filesystems/ext4` and the history of `fs/ext4/ext4.h`).
const FEATURES: [(&str, (u32, u32), Option<&str>); 12] = [
    ("64bit", (2, 6), None),
    ("metadata_csum", (3, 5), None),
    ("bigalloc", (3, 2), None),
    ("inline_data", (3, 8), None),
    ("metadata_csum_seed", (4, 4), None),
    ("project", (4, 5), Some("QUOTA")),
    ("ea_inode", (4, 13), None),
    ("large_dir", (4, 13), None),
    ("encrypt", (4, 1), None),
    ("casefold", (5, 2), Some("UNICODE")),
    ("verity", (5, 4), None),
    ("orphan_file", (5, 15), None),
];

/// Features with which no kernel mounts for writing (`ext4_feature_set_ok` in `fs/ext4/super.c`).
const READ_ONLY: [&str; 4] = ["has_snapshot", "read-only", "replica", "shared_blocks"];

/// How the names of features without a name begin, that matter for writing.
const UNNAMED: &str = "FEATURE_R";

pub(super) fn check(
    kernel: &Kernel,
    facts: &KernelFacts,
    guest: &GuestFacts,
    request: &CheckRequest,
) -> Vec<Finding> {
    let mut findings = known(kernel, facts, guest);
    if !request.read_only {
        findings.extend(guest.features.iter().filter_map(|name| writing(name)));
    }
    findings
}

/// Checks a feature that keeps a kernel from writing.
fn writing(name: &str) -> Option<Finding> {
    let subject = Subject::Feature(name.to_owned());
    if READ_ONLY.contains(&name) {
        let text = format!("the file system has the feature {name}, and no kernel mounts it for writing");
        return Some(Finding::error(subject, text));
    }
    let text = format!("whether the kernel mounts a file system with {name} for writing is not known");
    name.starts_with(UNNAMED).then(|| Finding::unknown(subject, text))
}

fn known(kernel: &Kernel, facts: &KernelFacts, guest: &GuestFacts) -> Vec<Finding> {
    let version = version(&kernel.release);
    let rows = FEATURES.iter().filter(|(name, ..)| guest.features.iter().any(|feature| feature == name));
    rows.map(|(name, since, option)| {
        let subject = Subject::Feature((*name).to_owned());
        let (major, minor) = since;
        match version {
            None => Finding::unknown(subject, format!("{:?} is no version of Linux", kernel.release)),
            Some(version) if version < *since => Finding::error(
                subject,
                format!("the file system has the feature {name}, which Linux {major}.{minor} is the first to mount"),
            ),
            Some(_) => match option.map(|name| (name, facts.presence(&KernelOption::yes(name)))) {
                Some((option, Presence::Absent)) => Finding::error(
                    subject,
                    format!("the file system has the feature {name}, and the kernel does not have CONFIG_{option}"),
                ),
                Some((option, Presence::Unknown)) => {
                    Finding::unknown(subject, format!("whether the kernel has CONFIG_{option} is not known"))
                }
                _ => Finding::ok(subject, format!("the kernel mounts file systems with {name}")),
            },
        }
    })
    .collect()
}

/// Returns major and minor version of a release such as `6.1.0-50-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}
