//! Makes a root file system boot: it adds the guest binary, services for its init, and fix-ups.
//!
//! [`inject_guest_agents`] has three steps: it inspects the root file system (`detect`), chooses one boot
//! contract (`plan`), and writes through `Edit`. `Edit` makes only needed changes, and records every changed
//! path.
//!
//! ```
//! use banger_boot::{BootContract, GuestAgents, inject_guest_agents};
//! use banger_tree::{MemoryStore, Tree, TreeRootfs};
//!
//! let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
//! let agents = GuestAgents::new(*b"bytes of banger-guest for the guest's processor");
//! let report = inject_guest_agents(&mut TreeRootfs::new(&mut tree, &mut store), &agents)?;
//! assert_eq!(report.contract, BootContract::Banger);
//! # Ok::<(), banger_boot::InjectError>(())
//! ```

mod agents;
mod busybox;
mod customize;
mod detect;
mod edit;
mod error;
mod files;
mod first_boot;
mod first_boot_script;
mod fixups;
mod identity;
mod init;
mod inittab;
mod machine;
mod openrc;
mod plan;
mod report;
mod runit;
mod s6;
mod systemd;

pub use banger_guest::config::{BootContract, Entrypoint, InitMode, VSOCK_MODULE};
use banger_guest::config::{GuestConfig, paths};
use banger_tree::Rootfs;
pub use customize::customize_script;

pub use agents::GuestAgents;
use detect::Facts;
pub use detect::find_program;
use edit::Edit;
pub use error::InjectError;
pub use files::merge_files;
pub use identity::{MACHINE_FILES, RenewedIdentity, renew_identity};
pub use machine::{MachineSettings, SettingsError, set_env, set_up_machine};
use plan::{BootPlan, own_contract};
pub use report::{Change, Fixup, FixupKind, InjectReport};

/// Makes `rootfs` boot as a virtual machine. Chooses the boot contract, adds the guest binary and services
/// for that contract, and repairs settings that keep container images from booting.
///
/// Files are written through existing symlinks (`/lib -> usr/lib` stays a symlink). Only needed changes are
/// made: a second run changes and reports nothing. The caller commits.
///
/// # Errors
/// The requested init is missing, a file that cannot be replaced is in the way, or the root file system
/// cannot be read or changed.
pub fn inject_guest_agents(
    rootfs: &mut dyn Rootfs,
    agents: &GuestAgents,
) -> Result<InjectReport, InjectError> {
    let facts = Facts::of(rootfs)?;
    let plan = BootPlan::new(&facts, agents)?;
    let mut edit = Edit::new(rootfs, agents.timestamp);
    fixups::apply(&mut edit, agents)?;
    edit.file(paths::AGENT, &agents.binary, 0o755)?;
    for link in [paths::NETWORK, paths::FIRST_BOOT, paths::INIT] {
        edit.hard_link(paths::AGENT, link)?;
    }
    edit.file(paths::GUEST_CONFIG, &config(&plan, agents).to_json(), 0o644)?;
    init::install(&mut edit, &plan)?;
    match plan.pieces {
        BootContract::Systemd => {
            systemd::install(&mut edit, &facts)?;
            // An init that is not installed yet needs no fix.
            if plan.contract == BootContract::Systemd {
                systemd::fix(&mut edit, &facts, agents)?;
            }
        }
        BootContract::Openrc => openrc::install(&mut edit, &facts, agents)?,
        BootContract::Runit => runit::install(&mut edit)?,
        BootContract::S6 => s6::install(&mut edit)?,
        BootContract::Busybox => busybox::install(&mut edit, &facts)?,
        // banger-init runs the services itself.
        _ => {}
    }
    let first_boot_pending = first_boot::install(&mut edit, &facts)?;
    Ok(edit.into_report(plan.contract, first_boot_pending, plan.warnings))
}

/// Returns how `rootfs` boots as it is: by the contract of its injection, or by its own init. `None` if it has no
/// known init.
///
/// # Errors
/// The root file system cannot be read.
pub fn boot_contract(rootfs: &dyn Rootfs) -> Result<Option<BootContract>, InjectError> {
    let config = edit::read_text(rootfs, paths::GUEST_CONFIG)?;
    match config.and_then(|json| GuestConfig::from_json(&json).ok()) {
        Some(config) => Ok(Some(config.contract)),
        None => Ok(own_contract(&Facts::of(rootfs)?)),
    }
}

/// Returns every text that an injection may write, for digests that distinguish images of different versions
/// of banger.
pub fn injected_texts() -> impl Iterator<Item = &'static str> {
    let scripts = [first_boot_script::SCRIPT].into_iter();
    scripts
        .chain(systemd::texts())
        .chain(openrc::texts())
        .chain(runit::texts())
        .chain(s6::texts())
        .chain(busybox::texts())
}

fn config(plan: &BootPlan, agents: &GuestAgents) -> GuestConfig {
    GuestConfig::new(plan.contract)
        .with_init(agents.init)
        .with_handover(plan.handover.clone())
        .with_entrypoint(plan.entrypoint.clone())
        .with_console_shell(agents.console_shell)
}
