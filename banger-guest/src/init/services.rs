//! Services of init besides the entry point: network, agent, first boot.

use std::process::Stdio;
use std::time::{Duration, Instant};

use banger_guest::config::GuestConfig;
use banger_guest::protocol::ExitStatus;
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::first_boot;
use crate::options::Role;
use crate::report::say;
use crate::root::Root;
use crate::spawn::{self, Input};
use crate::sys::signal::{self, Target};

const NAME: &str = Role::Init.name();

/// Time limit of the network: it takes milliseconds, or waits for a missing card.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an agent that ended waits to be started again.
const AGENT_PAUSE: Duration = Duration::from_secs(1);

/// Attempts of a first boot in one boot, and the pauses between them: an address or a repository may appear a
/// moment later.
const FIRST_BOOT_TRIES: u32 = 3;
const FIRST_BOOT_PAUSE: Duration = Duration::from_secs(20);

/// Which service a child was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Agent,
    /// It will not be tried again in this boot.
    FirstBoot,
}

/// The services.
#[derive(Debug)]
pub(super) struct Services {
    root: Root,
    agent: Option<Pid>,
    agent_due: Instant,
    first_boot: Option<Pid>,
    first_boot_tries: u32,
    /// Time of the next attempt; `None` if there is none.
    first_boot_due: Option<Instant>,
}

impl Services {
    pub(super) fn new(root: &Root) -> Self {
        Self {
            root: root.clone(),
            agent: None,
            agent_due: Instant::now(),
            first_boot: None,
            first_boot_tries: 0,
            first_boot_due: None,
        }
    }

    /// Configures the network, and waits until that is done.
    pub(super) fn run_network(&self) {
        let Some(pid) = self.start(Role::Network) else {
            return;
        };
        let deadline = Instant::now() + NETWORK_TIMEOUT;
        loop {
            match waitpid(Some(pid), WaitOptions::NOHANG) {
                Ok(None) if Instant::now() >= deadline => {
                    say(NAME, format_args!("the network takes too long"));
                    let _ = signal::send(Target::Process(pid), libc::SIGKILL);
                    // Its end is reaped with the orphans'.
                    return;
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                // It has reported its failures itself.
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }

    pub(super) fn start_agent(&mut self) {
        self.agent = self.start(Role::Agent);
        self.agent_due = Instant::now() + AGENT_PAUSE;
    }

    /// Begins a pending first boot, or starts the programs that it has installed.
    pub(super) fn start_first_boot(&mut self, config: &GuestConfig) {
        if first_boot::is_needed(&self.root, config) {
            self.first_boot_tries += 1;
            self.first_boot = self.start(Role::FirstBoot);
        }
    }

    /// Whether the first boot runs, or will be tried again.
    pub(super) fn first_boot_runs(&self) -> bool {
        self.first_boot.is_some() || self.first_boot_due.is_some()
    }

    /// Takes notice of a child's end; which service it was.
    pub(super) fn ended(&mut self, pid: Pid, status: ExitStatus) -> Option<Ended> {
        if self.agent == Some(pid) {
            say(NAME, format_args!("the agent ended ({status:?}); it is started again"));
            self.agent = None;
            return Some(Ended::Agent);
        }
        if self.first_boot != Some(pid) {
            return None;
        }
        self.first_boot = None;
        if status != (ExitStatus::Exited { status: 0 }) && self.first_boot_tries < FIRST_BOOT_TRIES {
            self.first_boot_due = Some(Instant::now() + FIRST_BOOT_PAUSE);
            return None;
        }
        Some(Ended::FirstBoot)
    }

    /// Starts services that are due.
    pub(super) fn tend(&mut self, config: &GuestConfig) {
        let now = Instant::now();
        if self.agent.is_none() && now >= self.agent_due {
            self.start_agent();
        }
        if self.first_boot_due.is_some_and(|due| now >= due) {
            self.first_boot_due = None;
            self.start_first_boot(config);
        }
    }

    fn start(&self, role: Role) -> Option<Pid> {
        let mut command = spawn::role(role.name(), &self.root);
        command.env_clear().env("PATH", spawn::DEFAULT_PATH).stdin(Stdio::null());
        spawn::detach(&mut command, None, Input::Other);
        match command.spawn() {
            // Init reaps it by its number, with all others.
            Ok(child) => Some(Pid::from_child(&child)),
            Err(error) => {
                say(NAME, format_args!("cannot start {}: {error}", role.name()));
                None
            }
        }
    }
}
