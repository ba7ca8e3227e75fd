//! The role of the binary, and its options.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use banger_guest::config::{ListenAddress, ListenAddressError};
use thiserror::Error;

use crate::root::Root;

/// The role of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Initramfs,
    Init,
    Network,
    FirstBoot,
    Agent,
}

impl Role {
    /// Its name in guests and in its messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Initramfs => "banger-initramfs",
            Self::Init => "banger-init",
            Self::Network => "banger-network-bootstrap",
            Self::FirstBoot => "banger-first-boot",
            Self::Agent => "banger-vsock-agent",
        }
    }

    fn of_program(name: &OsStr) -> Option<Self> {
        let roles = [Self::Init, Self::Network, Self::FirstBoot, Self::Agent];
        roles.into_iter().find(|role| name == role.name())
    }

    fn of_argument(name: &OsStr) -> Option<Self> {
        Some(match name.to_str()? {
            "init" => Self::Init,
            "network" => Self::Network,
            "first-boot" => Self::FirstBoot,
            "agent" => Self::Agent,
            _ => return None,
        })
    }
}

/// The command line of the binary.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) role: Role,
    pub(crate) root: Root,
    /// Addresses for the agent; they replace those of the kernel command line.
    pub(crate) listen: Vec<ListenAddress>,
}

/// Why a command line is not understood.
#[derive(Debug, Error)]
pub(crate) enum OptionsError {
    #[error("usage: banger-guest init | network | first-boot | agent [--root DIR] [--listen ADDRESS]…")]
    Usage,
    #[error("unknown argument `{}`", argument.display())]
    Unknown { argument: OsString },
    #[error("`{option}` needs a value")]
    Value { option: &'static str },
    #[error(transparent)]
    Listen(#[from] ListenAddressError),
}

impl Options {
    /// Reads a command line. Process 1 is init under any name but those of the other roles. It ignores
    /// unknown arguments: the kernel passes its own unknown parameters to it.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
        is_init_process: bool,
    ) -> Result<Self, OptionsError> {
        let mut arguments = arguments.into_iter();
        let program = arguments.next().unwrap_or_default();
        let program = Path::new(&program).file_name().unwrap_or_default();
        let role = match Role::of_program(program) {
            Some(role) => role,
            None if is_init_process => Role::Init,
            None => arguments.next().and_then(|name| Role::of_argument(&name)).ok_or(OptionsError::Usage)?,
        };
        let mut options = Self { role, root: Root::default(), listen: Vec::new() };
        if role == Role::Init {
            return Ok(options);
        }
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--root") => {
                    let root = arguments.next().ok_or(OptionsError::Value { option: "--root" })?;
                    options.root = Root::at(root);
                }
                Some("--listen") => {
                    let address = arguments.next().ok_or(OptionsError::Value { option: "--listen" })?;
                    options.listen.push(address.to_string_lossy().parse()?);
                }
                _ => return Err(OptionsError::Unknown { argument }),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(arguments: &[&str], is_init_process: bool) -> Option<Role> {
        Options::parse(arguments.iter().map(OsString::from), is_init_process).ok().map(|options| options.role)
    }

    #[test]
    fn the_name_decides() {
        let cases: [(&[&str], bool, Option<Role>); 13] = [
            (&["/usr/local/bin/banger-vsock-agent"], false, Some(Role::Agent)),
            (&["/usr/local/libexec/banger-network-bootstrap"], false, Some(Role::Network)),
            (&["banger-first-boot"], false, Some(Role::FirstBoot)),
            (&["banger-first-boot"], true, Some(Role::FirstBoot)),
            (&["/sbin/init"], true, Some(Role::Init)),
            (&["/sbin/init", "single", "--x"], true, Some(Role::Init)),
            (&[], true, Some(Role::Init)),
            (&["/sbin/init"], false, None),
            (&["banger-guest", "agent"], false, Some(Role::Agent)),
            (&["banger-guest", "init"], false, Some(Role::Init)),
            (&["banger-guest", "dance"], false, None),
            (&["banger-guest"], false, None),
            (&["banger-vsock-agent", "--dance"], false, None),
        ];
        for (arguments, is_init_process, expected) in cases {
            assert_eq!(role(arguments, is_init_process), expected, "{arguments:?} {is_init_process}");
        }
    }

    #[test]
    fn options_have_values() {
        let arguments = ["banger-vsock-agent", "--root", "/x", "--listen", "vsock:7", "--listen", "unix:/a"];
        let options = Options::parse(arguments.map(OsString::from), false).expect("these are right");
        assert_eq!(options.listen.len(), 2);
        assert_eq!(options.root.path("/etc/passwd"), Path::new("/x/etc/passwd"));
        for wrong in [["banger-vsock-agent", "--listen"], ["banger-vsock-agent", "--root"]] {
            let error = Options::parse(wrong.map(OsString::from), false).expect_err("no value");
            assert!(matches!(error, OptionsError::Value { .. }));
        }
    }
}
