//! The guest binary: init, network bootstrap, driver of the first boot and agent, by the name it is
//! called with; and `/init` of an initramfs, which it knows by the files there. Statically linked, so that
//! it needs nothing of the guest.
//!
//! Nothing here may panic the kernel: see [`init`].

mod agent;
mod bounded;
mod contract;
mod durable;
mod first_boot;
mod init;
mod initramfs;
mod kernel_module;
mod machine_id;
mod mounts;
mod network;
mod options;
mod os_release;
mod report;
mod root;
mod run_state;
mod spawn;
mod sys;
mod users;

use std::process::ExitCode;

use options::{Options, Role};

fn main() -> ExitCode {
    let is_init_process = std::process::id() == 1;
    let options = match Options::parse(std::env::args_os(), is_init_process) {
        Ok(options) => options,
        Err(error) => {
            report::say("banger-guest", format_args!("{error}"));
            return ExitCode::from(2);
        }
    };
    let role = match options.role {
        Role::Init if is_init_process && initramfs::is_here(&options.root) => Role::Initramfs,
        role => role,
    };
    report::set_process_name(role.name());
    match role {
        Role::Initramfs => initramfs::run(&options.root),
        Role::Init if is_init_process => init::run(&options),
        Role::Init => {
            report::say(options.role.name(), format_args!("runs as process 1 only"));
            ExitCode::from(2)
        }
        Role::Network => network::run(&options),
        Role::FirstBoot => first_boot::run(&options),
        Role::Agent => agent::run(&options),
    }
}
