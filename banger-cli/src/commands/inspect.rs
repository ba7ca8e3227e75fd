//! `banger image inspect`.

use banger::{Dirs, ImageInspection, PullRequest};

use super::images::words;
use super::registry;
use crate::args::ProgressStyle;
use crate::args::registry::InspectArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::text::Text;
use crate::units::Size;

pub(super) fn inspect(
    arguments: &InspectArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let mut request = PullRequest::new(arguments.reference.parse::<banger::Reference>()?);
    request.pull = registry::pull_options(&arguments.registry, registry::is_of_registry(&request.reference))?;
    request.pull.policy = arguments.policy.pull.into();
    request.pull.platform = arguments.platform.as_deref().map(str::parse::<banger::Platform>).transpose()?;
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let inspection = banger::inspect_image(&request, dirs, &events, &cancellation)?;
    drop(events);
    output(printer.result(&inspection, text(&inspection)))
}

fn text(inspection: &ImageInspection) -> Text {
    let mut text = Text::default();
    let mut line = |key: &str, value: &str| text.field(key, value);
    line("reference", &inspection.reference);
    line("digest", &inspection.digest);
    line("index", inspection.index_digest.as_deref().unwrap_or_default());
    line("platform", &inspection.platform);
    line("platforms", &inspection.platforms.join(" "));
    line("created", inspection.created.as_deref().unwrap_or_default());
    line("size", &format!("{} in {} layers", Size(inspection.size_bytes), inspection.layers.len()));
    let boots = match inspection.boot.boots {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown without the layers",
    };
    let init = inspection.boot.init.map_or("unknown without the layers", |init| init.name());
    line("boots", boots);
    if inspection.boot.boots != Some(false) {
        line("init", init);
    }
    line("because", &inspection.boot.reason);
    line("entrypoint", &words(&inspection.config.entrypoint));
    line("cmd", &words(&inspection.config.cmd));
    line("user", &inspection.config.user);
    line("workdir", &inspection.config.working_dir);
    for variable in &inspection.config.env {
        line("env", variable);
    }
    for layer in &inspection.layers {
        line("layer", &format!("{} ({}, {})", layer.digest, Size(layer.size_bytes), layer.media_type));
    }
    text
}
