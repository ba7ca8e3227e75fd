//! Programs of steps, in the machine of a build.

use banger_guest::protocol::{CopyIn, Exec, ExitStatus};
use banger_tree::Cancellation;

use super::error::ImageBuildError;
use super::step::BuildStep;
use crate::error::Error;
use crate::event::{Event, EventHandler};
use crate::guest::{ExecEvent, GuestError};
use crate::vm::{Machine, last_lines};

/// Where scripts are while they run.
const SCRIPT: &str = "/tmp/.banger-build-step";
/// How much of the output is kept for an error.
const KEPT_BYTES: usize = 16 * 1024;

/// What a program of a step needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepContext<'a> {
    /// The number of the step.
    pub(super) number: usize,
    /// Variables of the image and of earlier steps.
    pub(super) env: &'a [String],
    pub(super) events: &'a EventHandler,
    pub(super) cancellation: &'a Cancellation,
}

/// Runs the program of `step` in `machine`, to its end.
pub(super) fn run(machine: &mut Machine, step: &BuildStep, context: StepContext<'_>) -> Result<(), Error> {
    let argv = match step {
        BuildStep::Run(command) => vec!["/bin/sh".to_owned(), "-c".to_owned(), command.clone()],
        BuildStep::Script { text, .. } => {
            let copy = CopyIn::new(SCRIPT).with_mode(Some(0o755)).with_parents(true);
            let copied = machine.client().copy_in(&copy, &mut text.as_slice());
            copied.map_err(|error| machine.cause(error))?;
            match text.starts_with(b"#!") {
                true => vec![SCRIPT.to_owned()],
                false => vec!["/bin/sh".to_owned(), SCRIPT.to_owned()],
            }
        }
        BuildStep::Copy { .. } | BuildStep::Env { .. } => return Ok(()),
    };
    let (status, kept) = follow(machine, argv, context).map_err(|error| machine.cause(error))?;
    match status {
        ExitStatus::Exited { status: 0 } => {}
        status => {
            let last_lines = last_lines(&String::from_utf8_lossy(&kept));
            let (step, text) = (context.number, step.text());
            return Err(ImageBuildError::Step { step, text, status, last_lines }.into());
        }
    }
    Ok(())
}

/// Runs a program and passes its output on; returns how it ended, and the end of its output.
fn follow(
    machine: &Machine,
    argv: Vec<String>,
    context: StepContext<'_>,
) -> Result<(ExitStatus, Vec<u8>), GuestError> {
    let variables = context.env.iter().filter_map(|text| text.split_once('='));
    let env = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut session = machine.client().exec(&Exec::new(argv).with_env(env))?;
    let mut kept: Vec<u8> = Vec::new();
    loop {
        let bytes = match session.next_event()? {
            ExecEvent::Output(bytes) | ExecEvent::ErrorOutput(bytes) => bytes,
            ExecEvent::Ended(status) => return Ok((status, kept)),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        context.events.emit(&Event::StepOutput { step: context.number, text }, context.cancellation);
        kept.extend(bytes);
        let surplus = kept.len().saturating_sub(KEPT_BYTES);
        kept.drain(..surplus);
    }
}

/// Makes everything on the disk of `machine` last, as far as the guest can; returns whether it can.
pub(super) fn sync(machine: &Machine) -> bool {
    let synced = machine.client().run(&Exec::new(["sync"]));
    synced.is_ok_and(|output| output.status == ExitStatus::Exited { status: 0 })
}
