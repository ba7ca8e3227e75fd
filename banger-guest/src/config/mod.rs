//! The configuration of a guest:
//!
//! - [`GuestConfig`]: how the guest boots; the injection writes it.
//! - [`NetworkConfig`]: the network; the VM manager writes it.
//! - [`KernelCommandLine`]: the parameters of the kernel.

mod command_line;
mod guest;
mod listen;
mod network;
mod verity;

pub use command_line::KernelCommandLine;
pub use guest::{
    BootContract, CONFIG_VERSION, Entrypoint, FirstBootMarker, GuestConfig, GuestConfigError, InitMode,
    InitModeError, VSOCK_MODULE, paths,
};
pub use listen::{ListenAddress, ListenAddressError};
pub use network::{InterfaceAddress, NETWORK_FILE, NetworkConfig, NetworkConfigError, NetworkFile};
pub use verity::{VerityRoot, VerityRootError};
