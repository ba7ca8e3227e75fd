//! rtnetlink(7): links, addresses and routes, without `ip` and without a library.
//!
//! A message is a header of sixteen bytes, a structure of its type, and attributes; numbers have
//! the machine's byte order, addresses the network's.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use banger_guest::config::InterfaceAddress;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// How long the kernel may take for an answer; it does not take any.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Largest datagram of a dump: the kernel makes it as long as the buffer that it sees, up to 32 KiB.
const BUFFER_BYTES: usize = 32 * 1024;

/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
/// Skips duplicate address detection, which would make the address unusable for a second.
const IFA_F_NODAD: u32 = 0x2;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;
const ARPHRD_ETHER: u16 = 1;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    flags: u32,
    kind: u16,
    hardware_address: Vec<u8>,
}

impl Link {
    pub(crate) fn is_up(&self) -> bool {
        self.flags & IFF_UP != 0
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.flags & IFF_LOOPBACK != 0
    }

    /// Whether it is a network card, and not one end of a tunnel.
    pub(crate) fn is_ethernet(&self) -> bool {
        self.kind == ARPHRD_ETHER && !self.is_loopback()
    }

    /// Returns its hardware address as text; `None` if it has none.
    pub(crate) fn mac(&self) -> Option<String> {
        let octets: Vec<String> = self.hardware_address.iter().map(|octet| format!("{octet:02x}")).collect();
        (self.is_ethernet() && octets.len() == 6).then(|| octets.join(":"))
    }
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkAddress {
    pub(crate) index: u32,
    pub(crate) address: InterfaceAddress,
    /// 0 is the whole world, 253 the link, 254 the host.
    pub(crate) scope: u8,
}

/// A connection to the kernel's routing tables.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, Errno> {
        // NETLINK_ROUTE is protocol 0, the value of `None`.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(TIMEOUT))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Every interface.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>, Errno> {
        // `struct ifinfomsg`, all zero: any.
        let messages = self.ask(RTM_GETLINK, NLM_F_DUMP, &[0; 16])?;
        Ok(messages.iter().filter_map(|message| parse_link(message)).collect())
    }

    /// Every address.
    pub(crate) fn addresses(&mut self) -> Result<Vec<LinkAddress>, Errno> {
        // `struct ifaddrmsg`, all zero: any.
        let messages = self.ask(RTM_GETADDR, NLM_F_DUMP, &[0; 8])?;
        Ok(messages.iter().filter_map(|message| parse_address(message)).collect())
    }

    /// Brings an interface up.
    pub(crate) fn set_up(&mut self, index: u32) -> Result<(), Errno> {
        let mut body = vec![0; 4];
        body.extend(index.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        body.extend(IFF_UP.to_ne_bytes());
        self.ask(RTM_NEWLINK, NLM_F_ACK, &body).map(drop)
    }

    /// Gives an interface an address, which it may have already.
    pub(crate) fn add_address(&mut self, index: u32, address: InterfaceAddress) -> Result<(), Errno> {
        let mut body = address_message(index, address);
        if let (IpAddr::V4(v4), prefix @ 0..=30) = (address.address(), address.prefix()) {
            let broadcast = u32::from(v4) | (u32::MAX.checked_shr(prefix.into()).unwrap_or(0));
            attribute(&mut body, IFA_BROADCAST, &broadcast.to_be_bytes());
        }
        if address.address().is_ipv6() {
            attribute(&mut body, IFA_FLAGS, &IFA_F_NODAD.to_ne_bytes());
        }
        self.ask(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, &body).map(drop)
    }

    /// Takes an address from an interface.
    pub(crate) fn remove_address(&mut self, address: LinkAddress) -> Result<(), Errno> {
        self.ask(RTM_DELADDR, NLM_F_ACK, &address_message(address.index, address.address)).map(drop)
    }

    /// Sets the default route over a gateway on an interface; replaces an existing one. `on_link` means that
    /// the gateway is reachable although it is in no network of the interface.
    pub(crate) fn set_default_route(
        &mut self,
        index: u32,
        gateway: IpAddr,
        on_link: bool,
    ) -> Result<(), Errno> {
        // `struct rtmsg`: family, prefix lengths, tos, table, protocol, scope, type, flags.
        let mut body =
            vec![family(gateway), 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST];
        body.extend((if on_link { RTNH_F_ONLINK } else { 0 }).to_ne_bytes());
        attribute(&mut body, RTA_GATEWAY, &octets(gateway));
        attribute(&mut body, RTA_OIF, &index.to_ne_bytes());
        self.ask(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, &body).map(drop)
    }

    /// Sends a request and collects the answer: the bodies of messages up to the last one, each behind its
    /// header.
    fn ask(&mut self, kind: u16, flags: u16, body: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = message(kind, NLM_F_REQUEST | flags, self.sequence, body);
        send(&self.socket, &request, SendFlags::empty())?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let (_, received) = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok(received) => received,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let mut rest = buffer.get(..received).unwrap_or_default();
            while let Some((message, later)) = split_message(rest) {
                rest = later;
                // An answer to a request that timed out.
                if u32_at(message, 8) != Some(self.sequence) {
                    continue;
                }
                match u16_at(message, 4) {
                    Some(NLMSG_DONE) => return Ok(answers),
                    Some(NLMSG_ERROR) => {
                        return match u32_at(message, HEADER_BYTES).map(u32::cast_signed) {
                            Some(0) => Ok(answers),
                            Some(error) => Err(Errno::from_raw_os_error(error.saturating_neg())),
                            None => Err(Errno::BADMSG),
                        };
                    }
                    _ => answers.push(message.to_vec()),
                }
            }
        }
    }
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).expect("a request is some hundred bytes");
    let mut message = Vec::with_capacity(HEADER_BYTES + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// Appends an attribute: length, kind, value, and zeros up to a multiple of four.
fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).expect("a value is an address or a number");
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// `struct ifaddrmsg` and the address.
fn address_message(index: u32, address: InterfaceAddress) -> Vec<u8> {
    let mut body = vec![family(address.address()), address.prefix(), 0, RT_SCOPE_UNIVERSE];
    body.extend(index.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &octets(address.address()));
    attribute(&mut body, IFA_ADDRESS, &octets(address.address()));
    body
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Returns the first message of a datagram, with its header, and the rest.
fn split_message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    if length < HEADER_BYTES {
        return None;
    }
    let message = bytes.get(..length)?;
    Some((message, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn parse_link(message: &[u8]) -> Option<Link> {
    // `struct ifinfomsg`: family, padding, type, index, flags, change.
    let mut link = Link {
        index: u32_at(message, HEADER_BYTES + 4)?,
        name: String::new(),
        flags: u32_at(message, HEADER_BYTES + 8)?,
        kind: u16_at(message, HEADER_BYTES + 2)?,
        hardware_address: Vec::new(),
    };
    if u16_at(message, 4) != Some(RTM_NEWLINK) {
        return None;
    }
    for (kind, value) in attributes(message.get(HEADER_BYTES + 16..)?) {
        match kind {
            IFLA_IFNAME => {
                link.name = String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
            }
            IFLA_ADDRESS => link.hardware_address = value.to_vec(),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn parse_address(message: &[u8]) -> Option<LinkAddress> {
    if u16_at(message, 4) != Some(RTM_NEWADDR) {
        return None;
    }
    // `struct ifaddrmsg`: family, prefix length, flags, scope, index.
    let prefix = *message.get(HEADER_BYTES + 1)?;
    let scope = *message.get(HEADER_BYTES + 3)?;
    let index = u32_at(message, HEADER_BYTES + 4)?;
    let mut own = None;
    for (kind, value) in attributes(message.get(HEADER_BYTES + 8..)?) {
        // On a point-to-point link IFA_ADDRESS is the other end.
        if kind == IFA_LOCAL || (kind == IFA_ADDRESS && own.is_none()) {
            own = parse_ip(value);
        }
    }
    Some(LinkAddress { index, address: InterfaceAddress::new(own?, prefix)?, scope })
}

fn parse_ip(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Returns the attributes in these bytes; stops at a malformed one.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        // The two highest bits are flags.
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded() {
        let mut body = Vec::new();
        attribute(&mut body, 3, b"ab\0");
        attribute(&mut body, 1, b"xyz1");
        assert_eq!(body.len(), 16);
        let read: Vec<_> = attributes(&body).collect();
        assert_eq!(read, [(3, &b"ab\0"[..]), (1, &b"xyz1"[..])]);
    }

    #[test]
    fn broken_answers_are_not_read_past_their_end() {
        let mut body = vec![0; 16];
        attribute(&mut body, IFLA_IFNAME, b"eth0\0");
        let whole = message(RTM_NEWLINK, 0, 1, &body);
        assert_eq!(parse_link(&whole).map(|link| link.name).as_deref(), Some("eth0"));
        for cut in 0..whole.len() {
            // The length in the header counts; a truncated message is not a message.
            assert_eq!(split_message(&whole[..cut]), None, "{cut}");
            let _ = parse_link(&whole[..cut]);
            let _ = parse_address(&whole[..cut]);
        }
        assert_eq!(split_message(&[0; 32]), None, "a length of zero would never end");
        assert_eq!(attributes(&[0; 8]).next(), None);
        assert_eq!(attributes(&[3, 0, 0, 0]).next(), None);
    }

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["10.1.2.3/24", "fd00::7/64", "192.0.2.1/32"] {
            let address: InterfaceAddress = text.parse().expect("an address");
            let written = message(RTM_NEWADDR, 0, 1, &address_message(7, address));
            assert_eq!(parse_address(&written), Some(LinkAddress { index: 7, address, scope: 0 }));
        }
    }
}
