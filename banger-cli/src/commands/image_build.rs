//! `banger image build`.

use std::time::Instant;

use banger::{BuildStep, BuiltImage, Dirs, HostCopy, ImageBuildRequest, ImageDocument, ImageName};

use crate::args::ProgressStyle;
use crate::args::image_build::{GivenStep, ImageBuildArguments};
use crate::commands::vm;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::units::Size;

pub(super) fn build(
    arguments: &ImageBuildArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let steps = arguments.steps.0.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    let name: ImageName = arguments.name.parse()?;
    let request = ImageBuildRequest::new(arguments.from_image.clone(), name)
        .with_steps(steps)
        .with_kernel(arguments.machine.kernel.clone())
        .with_vm(vm::request(&arguments.machine))
        .with_size_bytes(arguments.machine.size.map(|Size(bytes)| bytes))
        .with_verity(arguments.verity.place())
        .with_no_cache(arguments.no_cache);
    let started = Instant::now();
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let built = banger::build_image(&request, dirs, &events, &cancellation)?;
    // Bars are gone before the last words.
    drop(events);
    printer.note(&summary(&built, started));
    let image = &built.image;
    output(printer.result(&ImageDocument::from(image), &format!("{}\n", image.path)))
}

fn step(given: &GivenStep) -> Result<BuildStep, CommandError> {
    Ok(match given {
        GivenStep::Run(command) => BuildStep::Run(command.clone()),
        GivenStep::Script(file) => {
            let text = std::fs::read(file)
                .map_err(|error| CommandError::argument("--script", file, error.to_string()))?;
            BuildStep::Script { name: file.clone(), text }
        }
        GivenStep::Copy(HostCopy { source, destination, .. }) => {
            BuildStep::Copy { source: source.clone(), destination: destination.clone() }
        }
        GivenStep::Env(name, value) => BuildStep::Env { name: name.clone(), value: value.clone() },
        GivenStep::Docker => BuildStep::tools("docker").expect("the library has a script for Docker"),
    })
}

fn summary(built: &BuiltImage, started: Instant) -> String {
    let record = &built.image.record;
    if built.unchanged {
        return format!("{} is up to date", record.name);
    }
    let programs = match built.programs_run {
        0 => "all steps from the cache".to_owned(),
        1 => "1 program run".to_owned(),
        count => format!("{count} programs run"),
    };
    let used = Size(record.size_bytes - record.free_bytes.min(record.size_bytes));
    format!(
        "built {} in {:.1} s: {programs}; {used} of {}",
        record.name,
        started.elapsed().as_secs_f64(),
        Size(record.size_bytes)
    )
}
