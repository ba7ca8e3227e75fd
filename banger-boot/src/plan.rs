//! The decision how a root file system boots.

use banger_guest::config::{BootContract, Entrypoint, InitMode};

use crate::agents::GuestAgents;
use crate::detect::{Facts, INIT, InitKind, S6_INIT};
use crate::error::InjectError;

/// New path of the image's init if banger-init takes its place. By this name busybox and sysvinit know that
/// they are init.
pub(crate) const MOVED_INIT: &str = "/usr/local/libexec/banger/init";

/// The needed state of `/sbin/init`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitLink {
    /// Its present state.
    Keep,
    /// banger-init; an init of the image is kept under another name.
    Banger,
    /// OpenRC's init, without a link to it so far.
    OpenrcInit,
}

/// How the guest boots.
#[derive(Debug)]
pub(crate) struct BootPlan {
    pub(crate) contract: BootContract,
    /// The init that services are written for.
    pub(crate) pieces: BootContract,
    pub(crate) init: InitLink,
    /// Whether the image's init must be kept under [`MOVED_INIT`].
    pub(crate) move_init: bool,
    pub(crate) init_is_symlink: bool,
    /// The old target of the moved symlink.
    pub(crate) init_path: Option<String>,
    pub(crate) handover: Option<String>,
    pub(crate) entrypoint: Option<Entrypoint>,
    pub(crate) warnings: Vec<String>,
}

impl BootPlan {
    pub(crate) fn new(facts: &Facts, agents: &GuestAgents) -> Result<Self, InjectError> {
        let own = own_contract(facts);
        let plan = Self {
            contract: BootContract::Banger,
            pieces: BootContract::Banger,
            init: InitLink::Banger,
            move_init: false,
            init_is_symlink: facts.init_is_symlink,
            init_path: facts.init_path.as_ref().map(ToString::to_string),
            handover: None,
            entrypoint: None,
            warnings: Vec::new(),
        };
        match (agents.init, own) {
            (InitMode::Banger, _) => Ok(plan.banger(facts, agents)),
            (_, Some(contract)) => Ok(plan.own(facts, contract)),
            (InitMode::Image, None) => Err(InjectError::NoInit { found: describe(facts) }),
            (InitMode::Install, None) => {
                let pieces = contract_to_install(facts);
                let mut plan = plan.banger(facts, agents);
                if !(facts.shell && facts.package_manager) {
                    plan.warnings.push(
                        "no init can be installed on the first boot: the image has no package manager"
                            .to_owned(),
                    );
                }
                // An installed init takes over, and nothing runs the entry point then.
                plan.entrypoint = None;
                Ok(Self { pieces, ..plan })
            }
            (_, None) => Ok(plan.banger(facts, agents)),
        }
    }

    /// The image's init is used.
    fn own(self, facts: &Facts, contract: BootContract) -> Self {
        let init = match contract {
            // s6-overlay expects the mounts of a container runtime; banger-init makes them first.
            BootContract::S6 => InitLink::Banger,
            BootContract::Openrc if matches!(facts.init, InitKind::Missing | InitKind::Unusable) => {
                InitLink::OpenrcInit
            }
            _ => InitLink::Keep,
        };
        let handover = (contract == BootContract::S6).then(|| S6_INIT.to_owned());
        let move_init = init == InitLink::Banger && is_image_program(facts);
        Self { contract, pieces: contract, init, move_init, handover, ..self }
    }

    /// banger-init is used, and runs the entry point, hands over to the image's init, or keeps a
    /// shell.
    fn banger(self, facts: &Facts, agents: &GuestAgents) -> Self {
        let is_program = is_image_program(facts);
        let entrypoint = agents.entrypoint.clone().filter(|entrypoint| {
            !entrypoint.argv.is_empty() && !is_bare_shell(&entrypoint.argv) && !is_init(&entrypoint.argv[0])
        });
        // s6-overlay's init works as process 1 only.
        let is_s6 = |entrypoint: &Entrypoint| facts.s6_overlay && entrypoint.argv[0] == S6_INIT;
        let (entrypoint, s6) = match entrypoint {
            Some(entrypoint) if is_s6(&entrypoint) => (None, true),
            other => (other, false),
        };
        let handover = match (&entrypoint, facts.init) {
            (Some(_), _) => None,
            (None, _) if s6 => Some(S6_INIT.to_owned()),
            (None, InitKind::Banger) => facts.earlier_handover.clone(),
            (None, _) if is_program => Some(MOVED_INIT.to_owned()),
            (None, _) => None,
        };
        Self { move_init: is_program, handover, entrypoint, ..self }
    }
}

/// Returns whether `/sbin/init` is a program that the image brought.
fn is_image_program(facts: &Facts) -> bool {
    facts.init_path.is_some() && facts.init != InitKind::Banger
}

/// Returns the contract of the image's init, or `None` if it has no known init.
pub(crate) fn own_contract(facts: &Facts) -> Option<BootContract> {
    let openrc_starts = match facts.init {
        InitKind::Busybox | InitKind::Openrc | InitKind::Other => true,
        InitKind::Missing | InitKind::Unusable => facts.openrc_init,
        InitKind::Systemd | InitKind::Runit | InitKind::Banger => false,
    };
    match facts.init {
        InitKind::Systemd => Some(BootContract::Systemd),
        _ if facts.openrc && openrc_starts => Some(BootContract::Openrc),
        InitKind::Runit => Some(BootContract::Runit),
        _ if facts.s6_overlay => Some(BootContract::S6),
        InitKind::Busybox => Some(BootContract::Busybox),
        _ => None,
    }
}

/// Returns the contract of the init that the distribution's package manager will install.
fn contract_to_install(facts: &Facts) -> BootContract {
    for id in &facts.os_ids {
        match id.as_str() {
            "alpine" => return BootContract::Openrc,
            "void" => return BootContract::Runit,
            _ => {}
        }
    }
    BootContract::Systemd
}

fn describe(facts: &Facts) -> String {
    match (facts.init, &facts.init_path) {
        (InitKind::Missing, _) => format!("the image has no {INIT}"),
        (InitKind::Banger, _) => format!("{INIT} is banger-init already"),
        (_, Some(real)) => format!("{INIT} leads to {real}, which is no init that banger has services for"),
        (_, None) => format!("{INIT} leads to no program"),
    }
}

/// Returns whether a command is only an interactive shell. Images without a particular program have this
/// command, and the console shows a shell anyway.
fn is_bare_shell(argv: &[String]) -> bool {
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let flags = ["-l", "-i", "--login"];
    ["sh", "bash", "ash", "dash", "zsh", "ksh"].contains(&name(&argv[0]).as_str())
        && argv[1..].iter().all(|word| flags.contains(&word.as_str()))
}

/// Returns whether a program is the init that is replaced: it would start itself again.
fn is_init(program: &str) -> bool {
    ["/sbin/init", "/usr/sbin/init", "init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"]
        .contains(&program)
}

#[cfg(test)]
mod tests {
    use super::is_bare_shell;

    #[test]
    fn a_shell_with_something_to_run_is_an_entry_point() {
        let argv = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for text in ["bash", "/bin/sh", "/bin/bash -l", "sh -i"] {
            assert!(is_bare_shell(&argv(text)), "{text}");
        }
        for text in ["bash -c true", "/bin/sh /start.sh", "python3", "/usr/sbin/nginx -g x"] {
            assert!(!is_bare_shell(&argv(text)), "{text}");
        }
    }
}
