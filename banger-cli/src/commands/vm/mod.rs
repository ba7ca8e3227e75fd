//! `banger vm run`.

mod console;
mod machine;
mod program;

use std::time::Duration;

use banger::vm::{Machine, TimeLimit, VmDisk, VmError, choose_kernel};
use banger::{
    Dirs, Error, EventHandler, ImageName, ImageStore, PullRequest, Setting, StoreError, StoredImage,
};

pub(super) use self::machine::{log_of_boot, request};

use super::guest::answer::ended;
use super::guest::session_end::{SessionEnd, SignalFlag};
use super::registry;
use crate::args::ProgressStyle;
use crate::args::vm::VmRunArguments;
use crate::failure::CommandError;
use crate::printer::Printer;
use crate::progress;

/// How long a guest may take to power off.
const DOWN: Duration = Duration::from_secs(90);

/// How the user takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// By the console of the machine.
    Console,
    /// By a program that the agent starts.
    Program,
}

pub(super) fn run(
    arguments: &VmRunArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let flag = SignalFlag::watch().map_err(CommandError::Output)?;
    let limit = TimeLimit::start(arguments.timeout.map(Duration::from_secs), flag.cancellation());
    let outcome = run_until(arguments, dirs, style, &flag, printer);
    match (outcome, limit.is_over()) {
        (Err(CommandError::Banger(Error::Cancelled)), Some(after)) => Err(VmError::TimedOut { after }.into()),
        (outcome, _) => outcome,
    }
}

fn run_until(
    arguments: &VmRunArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    flag: &SignalFlag,
    printer: &Printer,
) -> Result<(), CommandError> {
    let cancellation = flag.cancellation();
    let events = progress::handler(style, printer);
    let kept_name = match (arguments.keep, &arguments.name) {
        (true, Some(name)) => Some(name.parse::<ImageName>()?),
        _ => None,
    };
    let part = match arguments.command.is_empty() && !arguments.session.tty && !arguments.session.stdin {
        true => Part::Console,
        false => Part::Program,
    };
    let image = image(arguments, dirs, &events, flag)?;
    if part == Part::Program && image.record.boot_contract.is_none() {
        return Err(VmError::NoAgent { image: image.record.name.to_string() }.into());
    }
    let wanted = arguments.machine.kernel.as_deref();
    let kernel = choose_kernel(wanted, &image.clone().into(), dirs, &events, cancellation)?;
    let disk = VmDisk::of_image(&image, dirs, cancellation)?;
    if let Some(name) = &kept_name {
        disk.check_changeable(Setting("keep"), name.as_str())?;
    }
    let ssh = program::prepare(&disk, arguments, cancellation)?;
    let mut request = request(&arguments.machine)
        .with_hostname(arguments.name.clone())
        .with_first_boot(arguments.first_boot || arguments.ssh.is_some())
        // A program takes the place of that of the image, as with containers.
        .with_entrypoint(part == Part::Console);
    request.forwards.clone_from(&arguments.publish);
    request.forwards.extend(ssh);
    if part == Part::Console {
        request = console::attached(request);
    }
    // Bars are gone before the first words of the guest.
    drop(events);
    let mut machine = Machine::start(disk, &kernel.kernel, &request, dirs, cancellation)?;
    log_of_boot(&machine, printer);
    if let Some(forward) = ssh {
        printer.note(&format!("ssh -p {} root@{}", forward.host.port(), forward.host.ip()));
    }
    let status = match part {
        Part::Console => {
            console::attach(&mut machine, flag)?;
            None
        }
        Part::Program => {
            machine.wait_until_ready()?;
            let session = program::run(arguments, &image, &machine, &SessionEnd::Flag(flag.clone()), printer);
            let status = session.map_err(|error| match error {
                CommandError::Banger(Error::Guest(error)) => machine.cause(error).into(),
                other => other,
            })?;
            Some(status)
        }
    };
    if let Some(name) = kept_name {
        let disk = match part {
            Part::Console => machine.into_disk()?,
            Part::Program => machine.shut_down(DOWN)?,
        };
        let kept = disk.publish(name, &image, dirs, cancellation)?;
        printer.note(&format!("kept the disk as the image {}", kept.record.name));
    }
    status.map_or(Ok(()), ended)
}

/// Returns the managed image of this name, or pulls the image that the reference means.
fn image(
    arguments: &VmRunArguments,
    dirs: &Dirs,
    events: &EventHandler,
    flag: &SignalFlag,
) -> Result<StoredImage, CommandError> {
    let (store, name) = (ImageStore::new(&dirs.state), arguments.image.as_str());
    let trust = arguments.trust.policy()?;
    match store.open(name, flag.cancellation()) {
        Err(StoreError::NotFound { .. }) => {}
        Ok(_) if trust.is_some() => {
            let reason = "it is a managed image: signatures are checked when an image is pulled".to_owned();
            return Err(CommandError::argument("IMAGE", name, reason));
        }
        found => return Ok(found?),
    }
    let mut request = PullRequest::new(name.parse::<banger::Reference>()?);
    request.pull = registry::pull_options(&arguments.registry, registry::is_of_registry(&request.reference))?;
    request.pull.policy = arguments.policy.pull.into();
    request.pull.trust = trust;
    request.source_date_epoch = banger::source_date_epoch()?;
    let pulled = banger::pull(&request, dirs, events, flag.cancellation())?;
    Ok(store.open(pulled.record.id.as_str(), flag.cancellation())?)
}
