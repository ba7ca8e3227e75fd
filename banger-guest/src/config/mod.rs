//! The configuration that a guest reads: what the injection wrote
//! ([`GuestConfig`]), what the VM manager wrote ([`NetworkConfig`]), and what
//! the kernel was told ([`KernelCommandLine`]).

mod command_line;
mod guest;
mod listen;
mod network;

pub use command_line::KernelCommandLine;
pub use guest::{
    BootContract, CONFIG_VERSION, Entrypoint, FirstBootMarker, GuestConfig, GuestConfigError, InitMode, paths,
};
pub use listen::{ListenAddress, ListenAddressError};
pub use network::{InterfaceAddress, NETWORK_FILE, NetworkConfig, NetworkConfigError, NetworkFile};
