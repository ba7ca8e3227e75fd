//! Addresses on which the agent listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

use super::command_line::KernelCommandLine;
use crate::protocol::DEFAULT_PORT;

/// An address on which the agent listens, as in `banger.agent=` on the kernel command line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenAddress {
    /// `vsock:PORT`; from the host only.
    Vsock(u32),
    /// `tcp:ADDRESS:PORT`, without authentication: everybody who reaches the port is root.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `serial:PATH` of a virtio port, by name or by number. One peer at a time.
    Serial(PathBuf),
}

/// Why a text is not an address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot listen on `{text}`; use vsock:PORT, tcp:ADDRESS:PORT, unix:PATH or serial:PATH")]
pub struct ListenAddressError {
    text: String,
}

impl ListenAddress {
    /// Returns the addresses of `banger.agent=`, separated by commas; by default vsock on the default port.
    ///
    /// # Errors
    ///
    /// One of them does not parse.
    pub fn from_command_line(line: &KernelCommandLine) -> Result<Vec<Self>, ListenAddressError> {
        let addresses: Vec<_> = line.list("banger.agent").map(str::parse).collect::<Result<_, _>>()?;
        Ok(if addresses.is_empty() { vec![Self::Vsock(DEFAULT_PORT)] } else { addresses })
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let error = || ListenAddressError { text: text.to_owned() };
        let (kind, rest) = text.split_once(':').ok_or_else(error)?;
        let path = || if rest.starts_with('/') { Ok(PathBuf::from(rest)) } else { Err(error()) };
        Ok(match kind {
            "vsock" => Self::Vsock(rest.parse().map_err(|_| error())?),
            "tcp" => Self::Tcp(rest.parse().map_err(|_| error())?),
            "unix" => Self::Unix(path()?),
            "serial" => Self::Serial(path()?),
            _ => return Err(error()),
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock(port) => write!(formatter, "vsock:{port}"),
            Self::Tcp(address) => write!(formatter, "tcp:{address}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Serial(path) => write!(formatter, "serial:{}", path.display()),
        }
    }
}
