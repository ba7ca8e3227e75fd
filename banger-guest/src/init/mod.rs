//! Process 1 of a guest without an init: prepares the system, runs the entry point, and powers off in order.
//!
//! The kernel panics if process 1 ends. So it never returns: a panic or fault of this process is reported on
//! the console, and the machine powers off.

pub(crate) mod console;
mod entrypoint;
pub(crate) mod power;
mod services;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use banger_guest::config::{BootContract, Entrypoint, GuestConfig, InitMode};
use banger_guest::protocol::{EntrypointState, ExitStatus};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions, wait};
use rustix::system::{RebootCommand, reboot};

use crate::options::{Options, Role};
use crate::report::say;
use crate::root::Root;
use crate::run_state::RunState;
use crate::sys::signal::{self, Target};
use crate::{first_boot, machine_id, mounts, network};

use console::Console;
use entrypoint::Program;
use power::Power;
use services::{Ended, Services};

/// How long the agent's peers may take to learn how the entry point ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// Time for the entry point to end after it was told to.
const ENTRYPOINT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a shell that ended waits to be started again.
const SHELL_PAUSE: Duration = Duration::from_millis(500);

/// The signals that init reads. Faults keep their default action.
const SIGNALS: [i32; 11] = [
    libc::SIGCHLD,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGUSR2,
    libc::SIGPWR,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGQUIT,
    libc::SIGWINCH,
    libc::SIGCONT,
    libc::SIGTSTP,
];

const NAME: &str = Role::Init.name();

/// Is process 1 to the end.
pub(crate) fn run(options: &Options) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        say(NAME, format_args!("{panic}"));
        power::at_once(Power::Off)
    }));
    if let Err(error) = signal::power_off_on_faults() {
        say(NAME, format_args!("cannot watch for faults: {error}"));
    }
    let power = Init::new(&options.root).main();
    power::down(power)
}

struct Init {
    root: Root,
    state: RunState,
    config: GuestConfig,
    console: Console,
    services: Services,
    entrypoint: Option<Program>,
    /// On the console, if there is no entry point or a shell is asked for beside it.
    shell: Option<Program>,
    wants_shell: bool,
    shell_due: Instant,
}

/// The request of a signal to init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    GoDown(Power),
    Forward(i32),
    Nothing,
}

impl Init {
    fn new(root: &Root) -> Self {
        mounts::mount_all(NAME);
        let line = root.command_line();
        let console = Console::open();
        // Ctrl-Alt-Del is a SIGINT to this process then, and not a reset.
        let _ = reboot(RebootCommand::CadOff);
        if let Err(error) = machine_id::fill(root) {
            say(NAME, format_args!("/etc/machine-id: {error}"));
        }
        if let Some(hostname) = root.text("/etc/hostname") {
            network::set_hostname(&hostname);
        }
        if let Err(error) = network::loopback() {
            say(NAME, format_args!("loopback: {error}"));
        }
        power::set_off_means_reboot(line.value("banger.poweroff") == Some("reboot"));
        let mut config = root.guest_config(NAME).unwrap_or_else(|| {
            say(NAME, format_args!("no usable guest.json: a shell on the console it is"));
            GuestConfig::new(BootContract::Banger)
        });
        if line.value("banger.entrypoint") == Some("off") {
            config.entrypoint = None;
        }
        Self {
            root: root.clone(),
            state: RunState::of_guest(root),
            config,
            console,
            services: Services::new(root),
            entrypoint: None,
            shell: None,
            wants_shell: false,
            shell_due: Instant::now(),
        }
    }

    fn main(mut self) -> Power {
        // With another contract the image's init runs the services: their units were injected.
        if let Some(init) =
            self.config.handover.clone().filter(|_| self.config.contract != BootContract::Banger)
        {
            self.hand_over(&init);
        }
        let signals = match signal::receive(&SIGNALS) {
            Ok(signals) => signals,
            Err(error) => {
                say(NAME, format_args!("signals: {error}"));
                return Power::Off;
            }
        };
        self.services.start_agent();
        self.services.run_network();
        self.services.start_first_boot(&self.config);
        match self.config.handover.clone() {
            Some(init) if self.config.init != InitMode::Install => self.hand_over(&init),
            _ => {}
        }
        let installs_init = self.config.init == InitMode::Install && !first_boot::is_off(&self.root);
        if installs_init && !self.services.first_boot_runs() {
            self.become_installed_init();
        }
        if !installs_init {
            self.start_program();
        }
        let power = self.supervise(&signals);
        self.end_program(&signals);
        power
    }

    /// Watches over everything until it is time to go down.
    fn supervise(&mut self, signals: &OwnedFd) -> Power {
        loop {
            for number in self.arrived(signals, Duration::from_secs(1)) {
                match meaning(number) {
                    Asked::GoDown(power) => return power,
                    Asked::Forward(number) => self.forward(number),
                    Asked::Nothing => {}
                }
            }
            for (pid, status) in reap() {
                if let Some(power) = self.ended(pid, status) {
                    return power;
                }
            }
            self.services.tend(&self.config);
            if self.wants_shell && self.shell.is_none() && Instant::now() >= self.shell_due {
                self.start_shell();
            }
        }
    }

    /// Handles the end of a child.
    fn ended(&mut self, pid: Pid, status: ExitStatus) -> Option<Power> {
        if self.services.ended(pid, status) == Some(Ended::FirstBoot) && self.config.init == InitMode::Install
        {
            self.become_installed_init();
        }
        if self.shell.as_ref().is_some_and(|shell| shell.pid() == pid) {
            self.shell = None;
            self.shell_due = Instant::now() + SHELL_PAUSE;
            return None;
        }
        self.entrypoint.take_if(|entrypoint| entrypoint.pid() == pid)?;
        match status {
            ExitStatus::Exited { status } => {
                say(NAME, format_args!("entrypoint exited with status {status}"))
            }
            ExitStatus::Killed { signal } => {
                say(NAME, format_args!("entrypoint was killed by signal {signal}"))
            }
            // A process ends only in these two ways.
            _ => {}
        }
        self.tell(EntrypointState::Ended(status));
        self.say_farewell();
        Some(Power::Off)
    }

    /// Waits until clients of the agent have learned the end.
    fn say_farewell(&self) {
        let deadline = Instant::now() + FAREWELL;
        while self.state.is_connected() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the entry point, and a shell if there is no entry point or the shell is asked for.
    fn start_program(&mut self) {
        let entrypoint = self.config.entrypoint.clone().filter(|entrypoint| !entrypoint.argv.is_empty());
        self.wants_shell = entrypoint.is_none() || self.config.console_shell;
        if let Some(entrypoint) = entrypoint {
            self.start_entrypoint(&entrypoint);
        }
        if self.wants_shell {
            self.start_shell();
        }
    }

    fn start_entrypoint(&mut self, entrypoint: &Entrypoint) {
        self.tell(EntrypointState::Starting);
        match Program::entrypoint(&self.root, entrypoint, &self.console, !self.wants_shell) {
            Ok(program) => {
                let pid = program.pid().as_raw_nonzero().get().unsigned_abs();
                self.tell(EntrypointState::Running { pid });
                self.entrypoint = Some(program);
            }
            Err(error) => {
                say(NAME, format_args!("cannot start the entrypoint: {error}"));
                self.tell(EntrypointState::Failed);
                self.wants_shell = true;
            }
        }
    }

    fn start_shell(&mut self) {
        match Program::shell(&self.root, &self.console) {
            Ok(shell) => self.shell = Some(shell),
            Err(error) => {
                say(NAME, format_args!("no shell on the console: {error}"));
                self.wants_shell = false;
            }
        }
    }

    fn forward(&self, number: i32) {
        if let Some(entrypoint) = &self.entrypoint {
            let _ = signal::send(Target::Process(entrypoint.pid()), number);
        }
    }

    /// Tells the entry point to end, and waits for it; [`power::down`] tells other processes.
    fn end_program(&mut self, signals: &OwnedFd) {
        let Some(entrypoint) = self.entrypoint.take() else {
            return;
        };
        let _ = signal::send(Target::Process(entrypoint.pid()), libc::SIGTERM);
        let deadline = Instant::now() + ENTRYPOINT_TIMEOUT;
        while Instant::now() < deadline {
            for (pid, status) in reap() {
                if pid == entrypoint.pid() {
                    self.tell(EntrypointState::Ended(status));
                    return;
                }
            }
            let _ = self.arrived(signals, Duration::from_millis(100));
        }
    }

    fn tell(&self, state: EntrypointState) {
        if let Err(error) = self.state.set_entrypoint(state) {
            say(NAME, format_args!("cannot tell the state of the entrypoint: {error}"));
        }
    }

    /// The signals that arrive within a time.
    fn arrived(&self, signals: &OwnedFd, timeout: Duration) -> Vec<i32> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(1),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let _ = poll(&mut [PollFd::new(signals, PollFlags::IN)], Some(&timeout));
        signal::arrived(signals)
    }

    /// Becomes the image's init; returns if that fails.
    fn hand_over(&self, init: &str) {
        say(NAME, format_args!("handing over to {init}"));
        let error = entrypoint::become_init(&self.root.path(init));
        say(NAME, format_args!("cannot hand over to {init}: {error}"));
    }

    /// Becomes the init that the first boot has installed; without one, starts a shell on the console.
    fn become_installed_init(&mut self) {
        const INITS: [&str; 5] = [
            "/lib/systemd/systemd",
            "/usr/lib/systemd/systemd",
            "/sbin/openrc-init",
            "/usr/sbin/openrc-init",
            "/sbin/init",
        ];
        let own = std::fs::canonicalize("/proc/self/exe").ok();
        for init in INITS {
            let path = self.root.path(init);
            let is_own =
                std::fs::canonicalize(&path).ok() == own || same_file(&path, Path::new("/proc/self/exe"));
            if path.exists() && !is_own {
                // From here on the installed init runs agent, network and ssh server. Running programs that
                // hold their ports, also those of an installation, would make them fail.
                power::end_everyone();
                self.hand_over(init);
                self.services.start_agent();
            }
        }
        say(NAME, format_args!("no init was installed"));
        self.start_program();
    }
}

/// Returns whether two paths are names of one file: the binary has several names.
fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Returns the meaning of a signal to process 1, as in busybox; the entry point gets the rest.
fn meaning(number: i32) -> Asked {
    match number {
        libc::SIGUSR2 | libc::SIGTERM | libc::SIGPWR => Asked::GoDown(Power::Off),
        // Ctrl-Alt-Del.
        libc::SIGINT => Asked::GoDown(Power::Reboot),
        libc::SIGCHLD => Asked::Nothing,
        number => Asked::Forward(number),
    }
}

/// The children that have ended, orphans of others among them.
pub(crate) fn reap() -> Vec<(Pid, ExitStatus)> {
    let mut ended = Vec::new();
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        let status = match (status.exit_status(), status.terminating_signal()) {
            (Some(status), _) => ExitStatus::Exited { status },
            (None, Some(signal)) => ExitStatus::Killed { signal },
            (None, None) => continue,
        };
        ended.push((pid, status));
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_mean_what_other_inits_take_them_for() {
        let cases = [
            (libc::SIGTERM, Asked::GoDown(Power::Off)),
            (libc::SIGUSR2, Asked::GoDown(Power::Off)),
            (libc::SIGPWR, Asked::GoDown(Power::Off)),
            (libc::SIGINT, Asked::GoDown(Power::Reboot)),
            (libc::SIGCHLD, Asked::Nothing),
            (libc::SIGHUP, Asked::Forward(libc::SIGHUP)),
            (libc::SIGWINCH, Asked::Forward(libc::SIGWINCH)),
        ];
        for (number, expected) in cases {
            assert_eq!(meaning(number), expected, "{number}");
            assert!(SIGNALS.contains(&number), "{number} is not received");
        }
    }
}
