//! What the kernel command line asks for: which root file system, how it is mounted, and which init it starts.
//!
//! The parameters are those of `Documentation/admin-guide/kernel-parameters.rst`.

use std::fmt;
use std::time::Duration;

use banger_guest::config::{KernelCommandLine, VerityRoot, VerityRootError};
use thiserror::Error;

/// How long a root disk may take to appear. The drivers are loaded before; NVMe answers a moment later.
const WAIT: Duration = Duration::from_secs(10);

/// The same with `rootwait`, which means "for ever" to the kernel.
const ROOTWAIT: Duration = Duration::from_secs(120);

/// The longest time that the command line can ask for.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// How `root=` names the root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RootName {
    /// The device node, without `/dev/`.
    Device(String),
    /// The UUID of the file system, in lower case.
    Uuid(String),
    /// The label of the file system.
    Label(String),
    /// The UUID of the partition in a GPT, or the disk signature and the number in an MBR; in lower case.
    PartUuid(String),
}

impl fmt::Display for RootName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(name) => write!(formatter, "/dev/{name}"),
            Self::Uuid(uuid) => write!(formatter, "UUID={uuid}"),
            Self::Label(label) => write!(formatter, "LABEL={label}"),
            Self::PartUuid(uuid) => write!(formatter, "PARTUUID={uuid}"),
        }
    }
}

/// A root file system that dm-verity verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VerifiedRoot {
    pub(super) root: VerityRoot,
    /// The device with the hash tree.
    pub(super) tree: RootName,
}

/// The requested root file system and init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RootRequest {
    pub(super) name: RootName,
    /// `banger.verity=`. The file system is on the device that it names, whatever `root=` says.
    pub(super) verity: Option<VerifiedRoot>,
    /// The file systems to try, in this order; empty for those that the kernel knows.
    pub(super) types: Vec<String>,
    /// `ro` or `rw`, the later one; read-only without them, as with the kernel.
    pub(super) writable: bool,
    /// `rootflags=`, in the form of mount(8).
    pub(super) flags: String,
    /// `init=`.
    pub(super) init: Option<String>,
    /// How long the disk may take to appear.
    pub(super) wait: Duration,
}

/// Error of the words on the command line that name the root file system.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum RootRequestError {
    #[error("the kernel command line has no root=; give one, for example root=/dev/vda")]
    Missing,
    #[error(
        "root={value} is not understood; give a device like /dev/vda, UUID=, PARTUUID= or LABEL= with a value"
    )]
    Unknown { value: String },
    #[error(transparent)]
    Verity(#[from] VerityRootError),
}

impl RootRequest {
    pub(super) fn parse(line: &KernelCommandLine) -> Result<Self, RootRequestError> {
        let parse = |value: &str| {
            root_name(value).ok_or_else(|| RootRequestError::Unknown { value: value.to_owned() })
        };
        let verity = match VerityRoot::from_command_line(line)? {
            Some(root) => Some(VerifiedRoot { tree: parse(&root.tree)?, root }),
            None => None,
        };
        let given = line.value("root").filter(|value| !value.is_empty());
        let value = verity.as_ref().map(|verity| verity.root.data.as_str()).or(given);
        let name = parse(value.ok_or(RootRequestError::Missing)?)?;
        let writable = line.iter().filter_map(|(key, _)| match key {
            "ro" => Some(false),
            "rw" => Some(true),
            _ => None,
        });
        Ok(Self {
            name,
            verity,
            types: line.list("rootfstype").map(str::to_owned).collect(),
            writable: writable.last().unwrap_or(false),
            flags: line.value("rootflags").unwrap_or_default().to_owned(),
            init: line.value("init").filter(|init| !init.is_empty()).map(str::to_owned),
            wait: wait(line),
        })
    }
}

fn root_name(value: &str) -> Option<RootName> {
    if let Some(device) = value.strip_prefix("/dev/") {
        let is_inside = device.split('/').all(|component| !["", ".", ".."].contains(&component));
        return is_inside.then(|| RootName::Device(device.to_owned()));
    }
    let (key, value) = value.split_once('=')?;
    if value.is_empty() {
        return None;
    }
    match key {
        "UUID" => Some(RootName::Uuid(value.to_ascii_lowercase())),
        "LABEL" => Some(RootName::Label(value.to_owned())),
        "PARTUUID" => Some(RootName::PartUuid(value.to_ascii_lowercase())),
        _ => None,
    }
}

/// `rootwait`, `rootwait=SECONDS` and `rootdelay=SECONDS`. The disk is taken as soon as it is there.
fn wait(line: &KernelCommandLine) -> Duration {
    let seconds = |key: &str| line.value(key).and_then(|value| value.parse().ok()).map(Duration::from_secs);
    let wait = match (line.value("rootwait"), seconds("rootwait")) {
        (_, Some(wait)) => wait,
        (Some(_), None) => ROOTWAIT,
        (None, None) => WAIT,
    };
    wait.max(seconds("rootdelay").unwrap_or_default()).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<RootRequest, RootRequestError> {
        RootRequest::parse(&KernelCommandLine::parse(line))
    }

    #[test]
    fn roots_have_names() {
        let cases = [
            ("root=/dev/vda1", RootName::Device("vda1".into())),
            ("root=/dev/mapper/x", RootName::Device("mapper/x".into())),
            ("root=/dev/vda root=/dev/vdb", RootName::Device("vdb".into())),
            ("root=UUID=ABCD-ef", RootName::Uuid("abcd-ef".into())),
            ("root=\"LABEL=my disk\"", RootName::Label("my disk".into())),
            ("root=LABEL=a=b", RootName::Label("a=b".into())),
            ("root=PARTUUID=0012ABCD-01", RootName::PartUuid("0012abcd-01".into())),
        ];
        for (line, name) in cases {
            assert_eq!(parse(line).map(|request| request.name), Ok(name), "{line}");
        }
        for line in ["", "root=", "quiet -- root=/dev/vda"] {
            assert_eq!(parse(line), Err(RootRequestError::Missing), "{line}");
        }
        for value in ["vda", "/dev/", "/dev/../etc", "UUID=", "PARTLABEL=x", "08:01", "nfs"] {
            let error = parse(&format!("root={value}")).expect_err(value);
            assert_eq!(error, RootRequestError::Unknown { value: value.into() });
        }
    }

    #[test]
    fn the_later_word_wins() {
        for (words, writable) in [("", false), ("rw", true), ("ro", false), ("ro rw", true), ("rw ro", false)]
        {
            let request = parse(&format!("root=/dev/vda {words}")).expect("it is right");
            assert_eq!(request.writable, writable, "{words}");
        }
    }

    #[test]
    fn a_verified_root_is_on_its_own_device() {
        let word = format!("banger.verity={}:/dev/vda:PARTUUID=0A-1:0:7", "0a".repeat(32));
        for root in ["root=/dev/dm-0", ""] {
            let request = parse(&format!("{root} {word}")).expect("it is right");
            assert_eq!(request.name, RootName::Device("vda".into()));
            let verity = request.verity.expect("the line has it");
            assert_eq!(verity.tree, RootName::PartUuid("0a-1".into()));
            assert_eq!(verity.root.data_blocks, 7);
        }
        // Never the device of `root=`, unverified.
        let error = parse("root=/dev/vda banger.verity=off").expect_err("it is wrong");
        assert!(matches!(error, RootRequestError::Verity(_)), "{error:?}");
        let error = parse(&word.replace("/dev/vda", "vda")).expect_err("it is wrong");
        assert_eq!(error, RootRequestError::Unknown { value: "vda".into() });
    }

    #[test]
    fn everything_else_has_a_default() {
        let request = parse("root=/dev/vda").expect("it is right");
        assert_eq!((request.types.len(), request.flags.as_str(), request.init), (0, "", None));
        let request =
            parse("root=/dev/vda rootfstype=ext4,ext3 rootflags=data=journal,noatime init=/bin/x -- y")
                .expect("it is right");
        assert_eq!(request.types, ["ext4", "ext3"]);
        assert_eq!(request.flags, "data=journal,noatime");
        assert_eq!(request.init.as_deref(), Some("/bin/x"));
    }

    #[test]
    fn waiting_has_a_bound() {
        let cases = [
            ("", 10),
            ("rootwait", 120),
            ("rootwait=3", 3),
            ("rootdelay=5", 10),
            ("rootdelay=60", 60),
            ("rootwait rootdelay=600", 600),
            ("rootwait=99999999", 3600),
            ("rootdelay=soon", 10),
        ];
        for (words, seconds) in cases {
            let request = parse(&format!("root=/dev/vda {words}")).expect("it is right");
            assert_eq!(request.wait, Duration::from_secs(seconds), "{words}");
        }
    }
}
