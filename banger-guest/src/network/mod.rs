//! The network bootstrap: configures one interface, as in `/etc/banger-network.conf` and on the kernel
//! command line. Everything else is left to the image.

pub(crate) mod netlink;
mod resolv;

use std::io;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use banger_guest::config::{BootContract, NETWORK_FILE, NetworkConfig, NetworkConfigError};
use banger_guest::protocol::{ErrorCode, NetworkSet, SetNetwork};
use rustix::io::Errno;
use thiserror::Error;

use crate::options::{Options, Role};
use crate::report::say;
use crate::root::Root;
use crate::{bounded, durable, kernel_module, machine_id, mounts};

use netlink::{Link, Netlink};

/// The driver of a virtual network card.
const NETWORK_MODULE: &str = "virtio_net";

/// How long an interface that is named may take to appear: its driver may be a module.
const INTERFACE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest configuration.
const NETWORK_FILE_BYTES: u64 = 1024 * 1024;

/// Why the network is not as it should be.
#[derive(Debug, Error)]
pub(crate) enum NetworkError {
    #[error("{NETWORK_FILE}: {0}")]
    File(#[source] io::Error),
    #[error("{origin}: {source}")]
    Config { origin: &'static str, source: NetworkConfigError },
    #[error("the guest has no interface {name}")]
    NoInterface { name: String },
    #[error("the guest has no network card")]
    NoCard,
    #[error("there is nothing to configure: no address and no name server are given")]
    Nothing,
    #[error("{what}: {errno}")]
    Kernel { what: String, errno: Errno },
    #[error("/etc/resolv.conf: {0}")]
    Resolv(#[source] io::Error),
}

impl NetworkError {
    /// The agent's code for this error.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Config { .. } | Self::Nothing => ErrorCode::Invalid,
            Self::NoInterface { .. } | Self::NoCard => ErrorCode::NotFound,
            Self::Kernel { errno: Errno::PERM | Errno::ACCESS, .. } => ErrorCode::Denied,
            _ => ErrorCode::Failed,
        }
    }

    fn kernel(what: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        let what = what.into();
        move |errno| Self::Kernel { what, errno }
    }
}

/// The role: applies the configuration.
pub(crate) fn run(options: &Options) -> ExitCode {
    let name = Role::Network.name();
    if options.root.prefix().is_none() {
        mounts::mount_base(name);
        // Few images have udev, which would load it.
        kernel_module::load(&options.root, name, NETWORK_MODULE);
        let contract = options.root.guest_config(name).map(|config| config.contract);
        // busybox init mounts nothing by itself, and other inits do what /etc/fstab says.
        if contract == Some(BootContract::Busybox) {
            mounts::make_root_writable(name);
        }
        name_machine(&options.root);
    }
    if let Err(error) = machine_id::fill(&options.root) {
        say(name, format_args!("/etc/machine-id: {error}"));
    }
    match bootstrap(&options.root) {
        Ok(done) => {
            say(name, format_args!("{done}"));
            ExitCode::SUCCESS
        }
        Err(error @ (NetworkError::Nothing | NetworkError::NoCard)) => {
            say(name, format_args!("{error}; interfaces are left to the image"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say(name, format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}

/// Brings the loopback interface up.
pub(crate) fn loopback() -> Result<(), NetworkError> {
    let mut netlink = Netlink::open().map_err(NetworkError::kernel("netlink"))?;
    let links = netlink.links().map_err(NetworkError::kernel("interfaces"))?;
    for link in links.iter().filter(|link| link.is_loopback() && !link.is_up()) {
        netlink.set_up(link.index).map_err(NetworkError::kernel(&link.name))?;
    }
    Ok(())
}

/// Applies a configuration for the agent.
pub(crate) fn set(root: &Root, set: &SetNetwork) -> Result<NetworkSet, NetworkError> {
    set.network.check().map_err(|source| NetworkError::Config { origin: "set_network", source })?;
    if let Some(hostname) = &set.network.hostname {
        set_hostname(hostname);
    }
    let interface = apply(root, &set.network)?;
    if set.persist {
        durable::replace(&root.path(NETWORK_FILE), set.network.to_file().as_bytes(), 0o644)
            .map_err(NetworkError::File)?;
    }
    Ok(NetworkSet::default().with_interface(interface))
}

fn bootstrap(root: &Root) -> Result<String, NetworkError> {
    // Before anything that can fail: programs count on it.
    let loopback = loopback();
    let config = configured(root)?;
    loopback?;
    if let Some(hostname) = &config.hostname {
        set_hostname(hostname);
    }
    if config.has_no_addresses() && config.dns.is_empty() {
        return Err(NetworkError::Nothing);
    }
    let interface = apply(root, &config)?;
    let addresses: Vec<String> = config.addresses.iter().map(ToString::to_string).collect();
    Ok(format!("{interface} has {}", addresses.join(", ")))
}

/// Returns the configuration: the file, and the kernel command line, which wins.
fn configured(root: &Root) -> Result<NetworkConfig, NetworkError> {
    let file = match bounded::read_whole(&root.path(NETWORK_FILE), NETWORK_FILE_BYTES).and_then(text) {
        Ok(text) => NetworkConfig::parse_file(&text)
            .map_err(|source| NetworkError::Config { origin: NETWORK_FILE, source })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
        Err(error) => return Err(NetworkError::File(error)),
    };
    for key in &file.unknown_keys {
        say(Role::Network.name(), format_args!("{NETWORK_FILE}: `{key}` has no meaning here"));
    }
    let line = NetworkConfig::from_command_line(&root.command_line())
        .map_err(|source| NetworkError::Config { origin: "kernel command line", source })?;
    Ok(file.config.overridden_by(line.unwrap_or_default()))
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Makes the kernel and resolv.conf as configured; doing it again changes nothing. The name of the interface.
fn apply(root: &Root, config: &NetworkConfig) -> Result<String, NetworkError> {
    let mut netlink = Netlink::open().map_err(NetworkError::kernel("netlink"))?;
    let link = find_interface(&mut netlink, config.interface.as_deref())?;
    let about = |what: &dyn std::fmt::Display| NetworkError::kernel(format!("{}: {what}", link.name));
    if !link.is_up() {
        netlink.set_up(link.index).map_err(about(&"up"))?;
    }
    remove_others(&mut netlink, &link, config)?;
    for address in &config.addresses {
        match netlink.add_address(link.index, *address) {
            // It has it already.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(about(address)(errno)),
        }
    }
    for gateway in &config.gateways {
        let on_link = !is_reachable(config, *gateway);
        match netlink.set_default_route(link.index, *gateway, on_link) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(about(&format_args!("gateway {gateway}"))(errno)),
        }
    }
    if !resolv::write(root, &config.dns).map_err(NetworkError::Resolv)? {
        say(Role::Network.name(), format_args!("/etc/resolv.conf is the image's, and stays"));
    }
    Ok(link.name)
}

/// Removes other addresses in the configured families: they come from an earlier configuration.
fn remove_others(netlink: &mut Netlink, link: &Link, config: &NetworkConfig) -> Result<(), NetworkError> {
    let addresses = netlink.addresses().map_err(NetworkError::kernel("addresses"))?;
    for address in addresses {
        let own = address.address.address();
        let configured = config.addresses.contains(&address.address);
        let family = config.addresses.iter().any(|other| other.address().is_ipv4() == own.is_ipv4());
        if address.index == link.index && address.scope == 0 && family && !configured {
            // The kernel may have removed it with the address before it.
            let _ = netlink.remove_address(address);
        }
    }
    Ok(())
}

/// Returns whether a gateway is in the network of a configured address, or does not need to be.
fn is_reachable(config: &NetworkConfig, gateway: IpAddr) -> bool {
    let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
    link_local
        || config.addresses.iter().any(|address| same_network(address.address(), gateway, address.prefix()))
}

fn same_network(address: IpAddr, other: IpAddr, prefix: u8) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    address.is_ipv4() == other.is_ipv4() && (bits(address) ^ bits(other)) & mask == 0
}

/// The interface that is named, or the first network card.
fn find_interface(netlink: &mut Netlink, name: Option<&str>) -> Result<Link, NetworkError> {
    let deadline = Instant::now() + INTERFACE_TIMEOUT;
    loop {
        let mut links = netlink.links().map_err(NetworkError::kernel("interfaces"))?;
        links.sort_by_key(|link| link.index);
        let found = match name {
            Some(name) => links.into_iter().find(|link| link.name == name),
            None => links.into_iter().find(Link::is_ethernet),
        };
        if let Some(link) = found {
            return Ok(link);
        }
        if Instant::now() >= deadline {
            return Err(
                name.map_or(NetworkError::NoCard, |name| NetworkError::NoInterface { name: name.to_owned() })
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Gives a machine without a hostname that of `/etc/hostname`: not every init of an image does.
fn name_machine(root: &Root) {
    let is_nameless = matches!(rustix::system::uname().nodename().to_bytes(), b"" | b"(none)");
    if is_nameless && let Some(hostname) = root.text("/etc/hostname") {
        set_hostname(&hostname);
    }
}

/// Sets the hostname of the kernel; that it may not is reported.
pub(crate) fn set_hostname(hostname: &str) {
    if let Err(error) = rustix::system::sethostname(hostname.as_bytes()) {
        say(Role::Network.name(), format_args!("cannot set the hostname to {hostname}: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let cases = [
            ("10.0.2.15", "10.0.2.2", 24, true),
            ("10.0.2.15", "10.0.3.2", 24, false),
            ("10.0.2.15", "10.0.2.2", 32, false),
            ("10.0.2.15", "192.0.2.1", 0, true),
            ("fd00::2", "fd00::1", 64, true),
            ("fd00::2", "fd00:0:0:1::1", 64, false),
            ("fd00::2", "fd00::1", 128, false),
            ("10.0.2.15", "::1", 0, false),
        ];
        for (address, other, prefix, expected) in cases {
            let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert_eq!(
                same_network(parse(address), parse(other), prefix),
                expected,
                "{address}/{prefix} {other}"
            );
        }
    }
}
