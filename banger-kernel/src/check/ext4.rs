//! Features of the ext4 file system, against the version and the options of a kernel.

use super::facts::{GuestFacts, KernelFacts, Presence};
use super::finding::{Finding, Subject};
use super::option::KernelOption;
use super::request::CheckRequest;
use crate::kernel::Kernel;

/// A feature that not every kernel mounts for writing.
struct Feature {
    /// The name of mke2fs.
    name: &'static str,
    /// The first kernel that mounts it for writing.
    since: (u32, u32),
    /// Options that it needs besides.
    options: &'static [KernelOption],
}

const fn feature(name: &'static str, since: (u32, u32), options: &'static [KernelOption]) -> Feature {
    Feature { name, since, options }
}

/// `Documentation/filesystems/ext4`, the history of `fs/ext4/ext4.h`, and `ext4_feature_set_ok` in
/// `fs/ext4/super.c`. With `quota` the mount fails without the format of quotas, and nothing loads a module so early;
/// `project` alone asks only that the kernel was built with it.
const FEATURES: [Feature; 13] = [
    feature("64bit", (2, 6), &[]),
    feature("metadata_csum", (3, 5), &[]),
    feature("bigalloc", (3, 2), &[]),
    feature("quota", (3, 6), &[KernelOption::yes("QUOTA"), KernelOption::yes("QFMT_V2")]),
    feature("inline_data", (3, 8), &[]),
    feature("metadata_csum_seed", (4, 4), &[]),
    feature("project", (4, 5), &[KernelOption::yes("QUOTA"), KernelOption::driver("QFMT_V2", "quota_v2")]),
    feature("ea_inode", (4, 13), &[]),
    feature("large_dir", (4, 13), &[]),
    feature("encrypt", (4, 1), &[]),
    feature("casefold", (5, 2), &[KernelOption::yes("UNICODE")]),
    feature("verity", (5, 4), &[]),
    feature("orphan_file", (5, 15), &[]),
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
    let has = |name| guest.features.iter().any(|feature| feature == name);
    FEATURES.iter().filter(|row| has(row.name)).map(|row| mounting(row, version, kernel, facts)).collect()
}

/// Checks a feature that old or small kernels do not mount.
fn mounting(row: &Feature, version: Option<(u32, u32)>, kernel: &Kernel, facts: &KernelFacts) -> Finding {
    let Feature { name, since: (major, minor), options } = row;
    let subject = Subject::Feature((*name).to_owned());
    let Some(version) = version else {
        return Finding::unknown(subject, format!("{:?} is no version of Linux", kernel.release));
    };
    if version < row.since {
        return Finding::error(
            subject,
            format!(
                "the file system has the feature {name}, which Linux {major}.{minor} is the first to mount"
            ),
        );
    }
    let lacks = |option: &&KernelOption| match facts.presence(option) {
        Presence::Absent => true,
        Presence::Module => option.module.is_none(),
        _ => false,
    };
    if let Some(option) = options.iter().find(lacks) {
        let found = match facts.presence(option) {
            Presence::Module => format!("CONFIG_{} is a module that nothing loads in time", option.name),
            _ => format!("the kernel does not have CONFIG_{}", option.name),
        };
        return Finding::error(subject, format!("the file system has the feature {name}, and {found}"));
    }
    match options.iter().find(|option| facts.presence(option) == Presence::Unknown) {
        Some(option) => {
            Finding::unknown(subject, format!("whether the kernel has CONFIG_{} is not known", option.name))
        }
        None => Finding::ok(subject, format!("the kernel mounts file systems with {name}")),
    }
}

/// Returns major and minor version of a release such as `6.1.0-50-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let (major, rest) = release.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}
