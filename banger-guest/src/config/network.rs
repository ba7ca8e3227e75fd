//! The network of a guest: `/etc/banger-network.conf`, and `banger.net.*` and
//! `ip=` on the kernel command line.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::command_line::KernelCommandLine;

/// The file that the VM manager writes.
pub const NETWORK_FILE: &str = "/etc/banger-network.conf";

/// The network of a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// The interface; by default the only one that is not loopback.
    pub interface: Option<String>,
    /// Its addresses.
    pub addresses: Vec<InterfaceAddress>,
    /// The default routes, at most one for each family.
    pub gateways: Vec<IpAddr>,
    /// The name servers.
    pub dns: Vec<IpAddr>,
    /// The hostname.
    pub hostname: Option<String>,
}

setters! {
    NetworkConfig {
        with_interface => interface: Option<String>,
        with_addresses => addresses: Vec<InterfaceAddress>,
        with_gateways => gateways: Vec<IpAddr>,
        with_dns => dns: Vec<IpAddr>,
        with_hostname => hostname: Option<String>,
    }
}

/// The content of `/etc/banger-network.conf`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkFile {
    /// The configuration.
    pub config: NetworkConfig,
    /// Unknown keys, for a warning.
    pub unknown_keys: Vec<String>,
}

/// Why a network configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NetworkConfigError {
    /// A line of the file has no `=`.
    #[error("line {line} is not key=value")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// A value does not fit its key.
    #[error("`{value}` is not a valid {expected} for {key}")]
    Value {
        /// The key, or the parameter of the kernel.
        key: String,
        /// The given value.
        value: String,
        /// The needed form.
        expected: &'static str,
    },
    /// Two default routes of one family.
    #[error("two gateways of one family: {first} and {second}")]
    Gateways {
        /// The first one.
        first: IpAddr,
        /// The second one.
        second: IpAddr,
    },
}

impl NetworkConfig {
    /// Reads the content of `/etc/banger-network.conf`: `key=value` lines. `#` begins a comment line, and
    /// values may be quoted. Lists are separated by commas or spaces, or repeat the key. Keys: `interface`,
    /// `address` (with `/prefix`), `gateway`, `dns`, `hostname`.
    ///
    /// # Errors
    ///
    /// A line or a value does not parse.
    pub fn parse_file(text: &str) -> Result<NetworkFile, NetworkConfigError> {
        let mut file = NetworkFile::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or(NetworkConfigError::Line { line: index + 1 })?;
            let (key, value) = (key.trim().to_ascii_lowercase(), unquote(value.trim()));
            if !file.config.set(&key, value)? {
                file.unknown_keys.push(key);
            }
        }
        Ok(file)
    }

    /// Returns the content of `/etc/banger-network.conf` for this configuration.
    #[must_use]
    pub fn to_file(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn fmt::Display| {
            text.push_str(&format!("{key}={value}\n"));
        };
        if let Some(interface) = &self.interface {
            line("interface", interface);
        }
        self.addresses.iter().for_each(|address| line("address", address));
        self.gateways.iter().for_each(|gateway| line("gateway", gateway));
        self.dns.iter().for_each(|server| line("dns", server));
        if let Some(hostname) = &self.hostname {
            line("hostname", hostname);
        }
        text
    }

    /// Returns words for the kernel command line that configure this network; the reverse of
    /// [`from_command_line`](Self::from_command_line).
    pub fn to_command_line(&self) -> Vec<String> {
        let file = self.to_file();
        let words = file.lines().map(|line| match line.strip_prefix("hostname=") {
            Some(hostname) => format!("banger.hostname={hostname}"),
            None => format!("banger.net.{line}"),
        });
        words.collect()
    }

    /// Returns the network configuration on the kernel command line: `ip=` first, then
    /// `banger.net.interface`, `.address`, `.gateway`, `.dns` and `banger.hostname`, which win. `None`
    /// without these parameters.
    ///
    /// # Errors
    ///
    /// A value does not parse.
    pub fn from_command_line(line: &KernelCommandLine) -> Result<Option<Self>, NetworkConfigError> {
        let mut config = Self::default();
        for value in line.list("ip") {
            config.set_ip_parameter(value)?;
        }
        for key in ["interface", "address", "gateway", "dns"] {
            let parameter = format!("banger.net.{key}");
            if line.value(&parameter).is_none() {
                continue;
            }
            match key {
                "address" => config.addresses.clear(),
                "gateway" => config.gateways.clear(),
                "dns" => config.dns.clear(),
                _ => {}
            }
            for value in line.list(&parameter) {
                config.set(key, value)?;
            }
        }
        if let Some(hostname) = line.value("banger.hostname") {
            config.set("hostname", hostname)?;
        }
        Ok((config != Self::default()).then_some(config))
    }

    /// Returns this configuration with the values of `over`, which win.
    #[must_use]
    pub fn overridden_by(self, over: Self) -> Self {
        fn list<T>(under: Vec<T>, over: Vec<T>) -> Vec<T> {
            if over.is_empty() { under } else { over }
        }
        Self {
            interface: over.interface.or(self.interface),
            addresses: list(self.addresses, over.addresses),
            gateways: list(self.gateways, over.gateways),
            dns: list(self.dns, over.dns),
            hostname: over.hostname.or(self.hostname),
        }
    }

    /// Returns whether it has no setting for an interface.
    #[must_use]
    pub fn has_no_addresses(&self) -> bool {
        self.addresses.is_empty() && self.gateways.is_empty()
    }

    /// Makes the checks of [`parse_file`](Self::parse_file), for a configuration from another source.
    ///
    /// # Errors
    ///
    /// A name is invalid, or one family has two gateways.
    pub fn check(&self) -> Result<(), NetworkConfigError> {
        let mut again = Self::default();
        if let Some(interface) = &self.interface {
            again.set("interface", interface)?;
        }
        if let Some(hostname) = &self.hostname {
            again.set("hostname", hostname)?;
        }
        self.gateways.iter().try_for_each(|gateway| again.add_gateway(*gateway))
    }

    /// Sets the value of a key or adds to it; `false` for an unknown key.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, NetworkConfigError> {
        let error =
            |expected| NetworkConfigError::Value { key: key.to_owned(), value: value.to_owned(), expected };
        match key {
            "interface" if value.is_empty() => self.interface = None,
            "interface" => {
                let allowed = |byte: u8| byte.is_ascii_graphic() && !b"/:".contains(&byte);
                // IFNAMSIZ is 16 with the zero at the end.
                if value.len() > 15 || !value.bytes().all(allowed) || matches!(value, "." | "..") {
                    return Err(error("interface name"));
                }
                self.interface = Some(value.to_owned());
            }
            "address" | "addresses" => {
                for word in words(value) {
                    let address = word.parse().map_err(|_| error("address/prefix"))?;
                    if !self.addresses.contains(&address) {
                        self.addresses.push(address);
                    }
                }
            }
            "gateway" | "gateways" => {
                for word in words(value) {
                    self.add_gateway(word.parse().map_err(|_| error("address"))?)?;
                }
            }
            "dns" | "nameserver" | "nameservers" => {
                for word in words(value) {
                    let server = word.parse().map_err(|_| error("address"))?;
                    if !self.dns.contains(&server) {
                        self.dns.push(server);
                    }
                }
            }
            "hostname" if value.is_empty() => self.hostname = None,
            "hostname" => {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                // The kernel's limit is 64 bytes.
                if value.len() > 64 || !value.bytes().all(allowed) || value.starts_with(['-', '.']) {
                    return Err(error("hostname"));
                }
                self.hostname = Some(value.to_owned());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn add_gateway(&mut self, gateway: IpAddr) -> Result<(), NetworkConfigError> {
        match self.gateways.iter().find(|known| known.is_ipv4() == gateway.is_ipv4()) {
            Some(known) if *known == gateway => {}
            Some(known) => return Err(NetworkConfigError::Gateways { first: *known, second: gateway }),
            None => self.gateways.push(gateway),
        }
        Ok(())
    }

    /// `ip=client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1:ntp`, as the kernel's
    /// `Documentation/admin-guide/nfs/nfsroot.rst` has it, with IPv6 addresses in brackets and a
    /// prefix in place of the netmask as initramfs generators take them.
    fn set_ip_parameter(&mut self, value: &str) -> Result<(), NetworkConfigError> {
        let error =
            |expected| NetworkConfigError::Value { key: "ip".to_owned(), value: value.to_owned(), expected };
        let fields = colon_fields(value);
        let field = |index: usize| fields.get(index).copied().filter(|field| !field.is_empty());
        // `ip=dhcp` and `ip=eth0:dhcp`: an address that this guest does not ask for.
        let Some(client) = field(0).filter(|first| fields.len() > 2 || first.parse::<IpAddr>().is_ok())
        else {
            let device = if fields.len() == 2 { field(0) } else { field(5) };
            if let Some(device) = device {
                self.set("interface", device)?;
            }
            return Ok(());
        };
        let (client, own_prefix) = match client.split_once('/') {
            Some((client, prefix)) => (client, Some(prefix)),
            None => (client, None),
        };
        let client: IpAddr = client.parse().map_err(|_| error("client address"))?;
        let prefix = match (own_prefix.or(field(3)), client) {
            (Some(mask), _) => prefix_length(mask, client).ok_or_else(|| error("netmask"))?,
            (None, IpAddr::V4(client)) => classful_prefix(client),
            (None, IpAddr::V6(_)) => 64,
        };
        let address = InterfaceAddress::new(client, prefix).ok_or_else(|| error("prefix length"))?;
        self.addresses.push(address);
        if let Some(gateway) = field(2) {
            self.add_gateway(gateway.parse().map_err(|_| error("gateway"))?)?;
        }
        // The kernel takes an address in this place too, which is not a name.
        if let Some(hostname) = field(4).filter(|hostname| hostname.parse::<IpAddr>().is_err()) {
            self.set("hostname", hostname)?;
        }
        if let Some(device) = field(5) {
            self.set("interface", device)?;
        }
        for server in [7, 8].into_iter().filter_map(field) {
            self.set("dns", server)?;
        }
        Ok(())
    }
}

/// An address of an interface and the length of its network's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InterfaceAddress {
    address: IpAddr,
    prefix: u8,
}

impl InterfaceAddress {
    /// Returns an address with a prefix; `None` if the prefix is longer than the address.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// The address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The length of the prefix in bits.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for InterfaceAddress {
    type Err = NetworkConfigError;

    fn from_str(text: &str) -> Result<Self, NetworkConfigError> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            // `+8` is a number to `parse` alone.
            let prefix = prefix.parse().ok().filter(|_| prefix.bytes().all(|byte| byte.is_ascii_digit()))?;
            Self::new(address.parse().ok()?, prefix)
        };
        parse().ok_or_else(|| NetworkConfigError::Value {
            key: "address".to_owned(),
            value: text.to_owned(),
            expected: "address/prefix",
        })
    }
}

impl Serialize for InterfaceAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InterfaceAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn words(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(|character: char| character == ',' || character.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
}

fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

/// Returns the fields between colons. Brackets protect colons and are removed.
fn colon_fields(value: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    value
        .split(|character: char| {
            match character {
                '[' => depth = depth.saturating_add(1),
                ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            character == ':' && depth == 0
        })
        .map(|field| field.strip_prefix('[').and_then(|field| field.strip_suffix(']')).unwrap_or(field))
        .collect()
}

/// Returns the prefix of a netmask, which is a number of bits or, for IPv4, an address of ones and then
/// zeros.
fn prefix_length(mask: &str, address: IpAddr) -> Option<u8> {
    if let Ok(mask) = mask.parse::<Ipv4Addr>() {
        let mask = u32::from(mask);
        let ones = mask.leading_ones();
        return (address.is_ipv4() && mask.count_ones() == ones).then(|| u8::try_from(ones).ok())?;
    }
    mask.parse().ok()
}

/// Returns the prefix that the kernel supposes without a netmask.
fn classful_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}
