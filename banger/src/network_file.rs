//! The network of a guest, written into its image before it boots.

use banger_boot::InjectError;
use banger_guest::config::{NETWORK_FILE, NetworkConfig};
use banger_tree::{Attributes, FileType, GuestPath, Rootfs, RootfsError, Setting, Timestamp};

use crate::argument::ArgumentError;
use crate::error::Error;

/// Writes `/etc/banger-network.conf`, which the guest reads at each boot; the caller commits.
///
/// It replaces an earlier file. The guest needs the agents of [`inject_rootfs`](crate::inject_rootfs) to use it.
///
/// ```no_run
/// use banger::guest::NetworkConfig;
/// use banger::rootfs::{Rootfs, timestamp};
///
/// # fn example(rootfs: &mut dyn Rootfs) -> Result<(), Box<dyn std::error::Error>> {
/// let network = NetworkConfig::default()
///     .with_addresses(vec!["10.0.0.2/24".parse()?])
///     .with_gateways(vec!["10.0.0.1".parse()?]);
/// banger::write_network_config(rootfs, &network, timestamp()?)?;
/// rootfs.commit()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A name in `network` is invalid, one family has two gateways, or the file system cannot take the file.
pub fn write_network_config(
    rootfs: &mut dyn Rootfs,
    network: &NetworkConfig,
    timestamp: Timestamp,
) -> Result<(), Error> {
    network.check().map_err(|error| ArgumentError::new(Setting("network"), "", error.to_string()))?;
    write(rootfs, network, timestamp).map_err(|error| InjectError::Rootfs(error).into())
}

fn write(rootfs: &mut dyn Rootfs, network: &NetworkConfig, timestamp: Timestamp) -> Result<(), RootfsError> {
    let file = GuestPath::parse(NETWORK_FILE)?;
    let attributes = |mode| Attributes { mtime: timestamp, ..Attributes::with_mode(mode) };
    if let Some(directory) = file.parent()
        && rootfs.stat(&directory)?.is_none()
    {
        rootfs.create_dir(&directory, &attributes(0o755))?;
    }
    // A symlink of the image is followed, as the guest follows it.
    let place = match rootfs.stat(&file)? {
        Some(stat) if stat.file_type == FileType::Symlink => rootfs.resolve(&file)?,
        _ => file,
    };
    rootfs.write_file(&place, &mut network.to_file().as_bytes(), &attributes(0o644))
}

#[cfg(test)]
mod tests {
    use banger_tree::{MemoryStore, Tree, TreeRootfs};

    use super::*;

    #[test]
    fn the_guest_reads_what_was_written() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let time = Timestamp::from_seconds(7);
        let first = NetworkConfig::default().with_hostname(Some("first".to_owned()));
        let second = NetworkConfig::default()
            .with_interface(Some("eth0".to_owned()))
            .with_addresses(vec!["10.0.0.2/24".parse().unwrap(), "fd00::2/64".parse().unwrap()])
            .with_gateways(vec!["10.0.0.1".parse().unwrap()])
            .with_dns(vec!["::1".parse().unwrap()])
            .with_hostname(Some("guest".to_owned()));
        let path = GuestPath::parse(NETWORK_FILE).unwrap();
        for network in [first, second] {
            write_network_config(&mut rootfs, &network, time).unwrap();
            let text = String::from_utf8(rootfs.read(&path).unwrap()).unwrap();
            let read = NetworkConfig::parse_file(&text).unwrap();
            assert_eq!((read.config, read.unknown_keys.len()), (network, 0));
            let stat = rootfs.stat(&path).unwrap().unwrap();
            assert_eq!((stat.attributes.mode, stat.attributes.mtime), (0o644, time));
        }
    }

    #[test]
    fn a_network_that_no_guest_takes_is_not_written() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        for network in [
            NetworkConfig::default().with_interface(Some("eth0\nhostname=x".to_owned())),
            NetworkConfig::default()
                .with_gateways(vec!["10.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap()]),
        ] {
            let error = write_network_config(&mut rootfs, &network, Timestamp::from_seconds(7)).unwrap_err();
            assert_eq!(error.code(), 502, "{error}");
        }
        assert_eq!(rootfs.stat(&GuestPath::parse(NETWORK_FILE).unwrap()).unwrap(), None);
    }
}
