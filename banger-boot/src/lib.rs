//! What makes a root file system boot: the guest's binary, services for its init, and fix-ups.
//!
//! [`inject_guest_agents`] has three steps: it looks at the root file system (`detect`), chooses one boot
//! contract (`plan`), and writes through `Edit`. `Edit` leaves what is right already, and remembers every
//! path that it changed.
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
mod detect;
mod edit;
mod error;
mod first_boot;
mod first_boot_script;
mod fixups;
mod init;
mod openrc;
mod plan;
mod report;
mod runit;
mod s6;
mod serial;
mod systemd;

pub use banger_guest::config::{BootContract, Entrypoint, InitMode};
use banger_guest::config::{GuestConfig, paths};
use banger_tree::Rootfs;

pub use agents::GuestAgents;
use detect::Facts;
use edit::Edit;
pub use error::InjectError;
use plan::BootPlan;
pub use report::{Change, Fixup, FixupKind, InjectReport};

/// Makes `rootfs` boot as a virtual machine: decides on the boot contract, puts the guest's binary
/// and services for that contract into it, and fixes what keeps container images from booting.
///
/// Everything is written through the symlinks there are (`/lib -> usr/lib` stays one). What is so
/// already is left alone: a second run changes and reports nothing. The caller commits.
///
/// # Errors
/// The init that was asked for is not there, something that cannot be replaced is in the way, or
/// the root file system cannot be read or changed.
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
            // What is not installed yet has nothing to fix.
            if plan.contract == BootContract::Systemd {
                systemd::fix(&mut edit, &facts, agents)?;
            }
        }
        BootContract::Openrc => openrc::install(&mut edit, &facts)?,
        BootContract::Runit => runit::install(&mut edit)?,
        BootContract::S6 => s6::install(&mut edit)?,
        BootContract::Busybox => busybox::install(&mut edit, &facts)?,
        // banger-init runs the services itself.
        _ => {}
    }
    let first_boot_pending = first_boot::install(&mut edit, &facts)?;
    Ok(edit.into_report(plan.contract, first_boot_pending, plan.warnings))
}

/// Returns every text that an injection may write, for digests that tell one banger's images from
/// another's.
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
