//! Addresses of guest agents.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use banger_guest::protocol::DEFAULT_PORT;
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use camino::Utf8PathBuf;

/// The text is not the address of a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the address of a guest: {reason}")]
pub struct AddressError {
    text: String,
    reason: &'static str,
}

impl AddressError {
    /// Returns a number that stays the same in all versions.
    pub fn code(&self) -> u32 {
        900
    }
}

impl Failure for AddressError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Argument
    }

    fn advice(&self) -> Option<Advice> {
        Some(Advice::new("use PATH:PORT, unix:PATH, vsock:CID:PORT or tcp:ADDRESS:PORT"))
    }

    fn context(&self) -> ErrorContext {
        ErrorContext::default().with("address", &self.text)
    }
}

/// The address of a guest agent, as seen from the host.
///
/// ```
/// use banger::guest::GuestAddress;
///
/// let address: GuestAddress = "/run/vm/vsock.sock".parse()?;
/// assert_eq!(address, GuestAddress::Hybrid { path: "/run/vm/vsock.sock".into(), port: 5000 });
/// assert_eq!(address.to_string(), "/run/vm/vsock.sock:5000");
/// assert_eq!("vsock:3".parse::<GuestAddress>()?, GuestAddress::Vsock { cid: 3, port: 5000 });
/// # Ok::<(), banger::guest::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuestAddress {
    /// `PATH[:PORT]`: the Unix socket in which a VMM offers the guest's vsock, with
    /// `CONNECT <port>` as the first line: Firecracker, Cloud Hypervisor, vhost-device-vsock.
    Hybrid {
        /// The socket of the VMM.
        path: Utf8PathBuf,
        /// The agent's port in the guest.
        port: u32,
    },
    /// `unix:PATH`: a Unix socket with the agent itself behind it, or a virtio port of QEMU.
    Unix(Utf8PathBuf),
    /// `vsock:CID[:PORT]`: the host's own vsock, as QEMU with vhost-vsock has it.
    Vsock {
        /// The guest.
        cid: u32,
        /// The agent's port in it.
        port: u32,
    },
    /// `tcp:ADDRESS:PORT`, without any protection: only for networks without other users.
    Tcp(SocketAddr),
}

impl FromStr for GuestAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let invalid = |reason| AddressError { text: text.to_owned(), reason };
        let path = |path: &str| match path {
            "" => Err(invalid("the path is empty")),
            path => Ok(Utf8PathBuf::from(path)),
        };
        let number = |text: &str, reason| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u32>().map_err(|_| invalid(reason)),
            false => Err(invalid(reason)),
        };
        if let Some(rest) = text.strip_prefix("unix:") {
            return path(rest).map(Self::Unix);
        }
        if let Some(rest) = text.strip_prefix("tcp:") {
            return tcp(rest).map(Self::Tcp).ok_or_else(|| invalid("tcp: takes an IP address and a port"));
        }
        if let Some(rest) = text.strip_prefix("vsock:") {
            let (cid, port) = rest.split_once(':').map_or((rest, None), |(cid, port)| (cid, Some(port)));
            let port = port.map_or(Ok(DEFAULT_PORT), |port| number(port, "the port is not a number"))?;
            return Ok(Self::Vsock { cid: number(cid, "the CID is not a number")?, port });
        }
        // A path may have colons in it: only a number behind the last one is a port.
        match text.rsplit_once(':') {
            Some((before, digits))
                if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Ok(Self::Hybrid { path: path(before)?, port: number(digits, "the port is too large")? })
            }
            _ => Ok(Self::Hybrid { path: path(text)?, port: DEFAULT_PORT }),
        }
    }
}

/// An address with its port; `localhost` is the only name, because nothing else is looked up.
fn tcp(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    match host {
        "localhost" => Some(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port.parse().ok()?)),
        _ => text.parse().ok(),
    }
}

impl fmt::Display for GuestAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hybrid { path, port } => write!(formatter, "{path}:{port}"),
            Self::Unix(path) => write!(formatter, "unix:{path}"),
            Self::Vsock { cid, port } => write!(formatter, "vsock:{cid}:{port}"),
            Self::Tcp(address) => write!(formatter, "tcp:{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GuestAddress;

    #[test]
    fn every_form_is_read_and_written() {
        for (text, written) in [
            ("/run/vsock.sock:52", "/run/vsock.sock:52"),
            ("/run/vsock.sock", "/run/vsock.sock:5000"),
            ("relative:with:colons", "relative:with:colons:5000"),
            ("relative:with:7", "relative:with:7"),
            ("unix:/run/agent.sock", "unix:/run/agent.sock"),
            ("unix:/run/agent:5000", "unix:/run/agent:5000"),
            ("vsock:3", "vsock:3:5000"),
            ("vsock:4294967295:1", "vsock:4294967295:1"),
            ("tcp:10.0.0.2:5000", "tcp:10.0.0.2:5000"),
            ("tcp:[::1]:5000", "tcp:[::1]:5000"),
            ("tcp:localhost:5000", "tcp:127.0.0.1:5000"),
        ] {
            let address: GuestAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse::<GuestAddress>().unwrap(), address);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "unix:",
            ":5000",
            "/run/vsock.sock:4294967296",
            "vsock:",
            "vsock:x",
            "vsock:3:",
            "vsock:+3",
            "vsock:3:65536:1",
            "tcp:10.0.0.2",
            "tcp:example.org:1",
            "tcp:10.0.0.2:65536",
        ] {
            let parsed = text.parse::<GuestAddress>();
            let error = parsed.expect_err(text);
            assert!(error.to_string().starts_with(&format!("`{text}` is not")), "{error}");
        }
    }
}
