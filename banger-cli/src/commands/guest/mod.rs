//! `banger guest`: asks the agent of a guest that runs.

pub(super) mod answer;
mod copy;
pub(super) mod exec;
pub(super) mod session_end;
pub(super) mod terminal;

use std::time::Duration;

use banger::guest::{
    AnswerDocument, EntrypointState, ExitStatus, GuestClient, Info, InterfaceAnswer, NetworkConfig,
    ShutdownAction, ShutdownAnswer,
};

use self::answer::ended;
use crate::args::guest::{GuestArguments, GuestCommand, SetNetworkArguments};
use crate::failure::{CommandError, output};
use crate::printer::Printer;
use crate::text::Text;
use crate::units::Size;

pub(super) fn run(command: &GuestCommand, printer: &Printer) -> Result<(), CommandError> {
    match command {
        GuestCommand::Health { guest, wait } => {
            let health = client(guest).wait_until_ready(Duration::from_secs(*wait))?;
            let uptime = Duration::from_millis(health.uptime_ms).as_secs_f64();
            let text = format!("agent {} up {uptime:.1} s\n", health.agent_version);
            output(printer.result(&AnswerDocument::new(health), &text))
        }
        GuestCommand::Info { guest } => {
            let info = client(guest).info()?;
            let text = info_text(&info);
            output(printer.result(&AnswerDocument::new(info), text))
        }
        GuestCommand::Exec(arguments) => exec::exec(arguments, &client(&arguments.guest), printer),
        GuestCommand::Cp(arguments) => {
            let guest = client(&arguments.guest).with_max_copy_bytes(arguments.max_size.0);
            copy::copy(arguments, &guest, printer)
        }
        GuestCommand::SetNetwork(arguments) => set_network(arguments, printer),
        GuestCommand::Grow { guest } => {
            let grown = client(guest).grow()?;
            let text = format!("{} → {}\n", Size(grown.before_bytes), Size(grown.after_bytes));
            output(printer.result(&AnswerDocument::new(grown), &text))
        }
        GuestCommand::Wait { guest, timeout } => {
            let status = client(guest).wait(timeout.map(Duration::from_secs))?;
            output(printer.result(&AnswerDocument::new(status), ""))?;
            ended(status)
        }
        GuestCommand::Shutdown { guest, reboot } => {
            let action = if *reboot { ShutdownAction::Reboot } else { ShutdownAction::PowerOff };
            client(guest).shutdown(action)?;
            output(printer.result(&AnswerDocument::new(ShutdownAnswer { action }), ""))
        }
    }
}

fn client(arguments: &GuestArguments) -> GuestClient {
    GuestClient::new(arguments.socket.clone())
}

fn set_network(arguments: &SetNetworkArguments, printer: &Printer) -> Result<(), CommandError> {
    let network = NetworkConfig::default()
        .with_interface(arguments.interface.clone())
        .with_addresses(arguments.address.clone())
        .with_gateways(arguments.gateway.clone())
        .with_dns(arguments.dns.clone())
        .with_hostname(arguments.hostname.clone());
    let interface = client(&arguments.guest).set_network(&network, arguments.persist)?;
    let text = format!("{interface}\n");
    output(printer.result(&AnswerDocument::new(InterfaceAnswer { interface }), &text))
}

fn info_text(info: &Info) -> Text {
    let mut text = Text::default();
    let mut line = |key: &str, value: &str| text.field(key, value);
    line("agent", &info.agent_version);
    line("contract", info.contract.map_or("unknown", |contract| contract.name()));
    line("init", &info.init);
    let first_boot = &info.first_boot;
    line("first boot", &format!("{:?}, attempt {}", first_boot.state, first_boot.attempt).to_lowercase());
    line("stage", first_boot.stage.as_deref().unwrap_or_default());
    line("error", first_boot.last_error.as_deref().unwrap_or_default());
    line("kernel", &format!("{} {}", info.kernel.release, info.kernel.machine));
    if let Some(os) = &info.os {
        line("system", os.pretty_name.as_deref().unwrap_or(&os.id));
    }
    line("hostname", &info.hostname);
    line("machine id", info.machine_id.as_deref().unwrap_or_default());
    for interface in &info.interfaces {
        let state = if interface.up { "up" } else { "down" };
        line("interface", &format!("{} {state} {}", interface.interface, interface.addresses.join(" ")));
    }
    match info.entrypoint {
        None => {}
        Some(EntrypointState::Running { pid }) => line("entry point", &format!("runs as process {pid}")),
        Some(EntrypointState::Ended(ExitStatus::Exited { status })) => {
            line("entry point", &format!("exited with status {status}"));
        }
        Some(EntrypointState::Ended(ExitStatus::Killed { signal })) => {
            line("entry point", &format!("was killed by signal {signal}"));
        }
        Some(EntrypointState::Failed) => line("entry point", "failed to start"),
        Some(_) => line("entry point", "is being started"),
    }
    line("uptime", &format!("{:.1} s", Duration::from_millis(info.uptime_ms).as_secs_f64()));
    text
}
