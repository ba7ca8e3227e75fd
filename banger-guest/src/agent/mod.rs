//! The agent: answers the protocol of `docs/guest-protocol.md` on vsock, and on TCP, Unix sockets and virtio
//! ports if configured.
//!
//! A thread a connection and a fixed number of slots for them; a peer that stalls costs its slot
//! until its time is up, and nothing else.

mod connection;
mod context;
mod copy;
mod error;
mod exec;
mod exec_child;
mod grow;
mod info;
mod listen;
mod serial;
mod session;
mod shutdown;
mod slots;
mod wait;

use std::process::ExitCode;
use std::sync::Arc;

use banger_guest::config::{ListenAddress, VSOCK_MODULE};

use crate::kernel_module;
use crate::options::{Options, Role};
use crate::report::say;

use context::Agent;
use slots::Slots;

/// Serves until the process is killed.
pub(crate) fn run(options: &Options) -> ExitCode {
    let name = Role::Agent.name();
    let addresses = if options.listen.is_empty() {
        ListenAddress::from_command_line(&options.root.command_line())
    } else {
        Ok(options.listen.clone())
    };
    let addresses = match addresses {
        Ok(addresses) => addresses,
        Err(error) => {
            say(name, format_args!("kernel command line: {error}"));
            // An agent on the default port is better than no agent.
            vec![ListenAddress::Vsock(banger_guest::protocol::DEFAULT_PORT)]
        }
    };
    if options.root.prefix().is_none() {
        // The way into a guest that is out of memory. Not everybody may ask for this.
        let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
        if addresses.iter().any(|address| matches!(address, ListenAddress::Vsock(_))) {
            // Few images load it by themselves.
            kernel_module::load(&options.root, name, VSOCK_MODULE);
        }
    }
    let agent = Arc::new(Agent { root: options.root.clone(), slots: Arc::<Slots>::default() });
    let listeners: Vec<_> = addresses
        .into_iter()
        .filter_map(|address| {
            let agent = Arc::clone(&agent);
            let listener = std::thread::Builder::new().spawn(move || listen::serve(&agent, &address));
            listener.inspect_err(|error| say(name, format_args!("cannot start a thread: {error}"))).ok()
        })
        .collect();
    for listener in listeners {
        let _ = listener.join();
    }
    // A listener ends only by a panic; the init then starts the agent again.
    ExitCode::FAILURE
}
