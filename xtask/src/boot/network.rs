//! The network of a machine: QEMU's own, cut off from everything but what a case opens.

use std::fmt::Write as _;
use std::net::TcpListener;

/// The guest's address in QEMU's user network.
pub(crate) const GUEST_ADDRESS: &str = "10.0.2.15";
/// Where the guest finds the package repository.
pub(crate) const REPOSITORY_ADDRESS: &str = "10.0.2.100";

/// What a guest's network card leads to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Network {
    /// The port of this host that leads to the guest's port 22.
    pub(crate) ssh: Option<u16>,
    /// The port of this host that the guest sees as port 80 of [`REPOSITORY_ADDRESS`].
    pub(crate) repository: Option<u16>,
}

impl Network {
    /// The argument of `-netdev`. `restrict` keeps out the host and the world.
    pub(crate) fn netdev(&self) -> String {
        let mut text = "user,id=net,restrict=on".to_owned();
        let mut add = |option: std::fmt::Arguments<'_>| {
            text.write_fmt(option).expect("writing to a String cannot fail");
        };
        if let Some(port) = self.ssh {
            add(format_args!(",hostfwd=tcp:127.0.0.1:{port}-{GUEST_ADDRESS}:22"));
        }
        if let Some(port) = self.repository {
            // A program for each connection; with a socket there would be one connection in all.
            add(format_args!(",guestfwd=tcp:{REPOSITORY_ADDRESS}:80-cmd:busybox nc 127.0.0.1 {port}"));
        }
        text
    }

    /// The words of the kernel's command line that configure the guest for this network.
    pub(crate) fn kernel_words() -> Vec<String> {
        vec![
            format!("banger.net.address={GUEST_ADDRESS}/24"),
            "banger.net.gateway=10.0.2.2".to_owned(),
            "banger.net.dns=10.0.2.3".to_owned(),
        ]
    }
}

/// A port of this host that was free a moment ago.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
