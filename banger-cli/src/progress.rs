//! Progress of a pull: bars, or one JSON document a line.

use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use banger::{Event, EventHandler, escape_text};
use indicatif::{ProgressBar, ProgressStyle as BarStyle};

use crate::args::ProgressStyle;
use crate::printer::Printer;
use crate::units::Size;

/// Least time between two JSON lines about the same blob.
const JSON_INTERVAL: Duration = Duration::from_millis(200);

/// Returns what shows the events of a run in the way the user chose.
pub(crate) fn handler(style: ProgressStyle, printer: &Printer) -> EventHandler {
    let style = match style {
        ProgressStyle::Auto if io::stderr().is_terminal() => ProgressStyle::Bar,
        ProgressStyle::Auto => ProgressStyle::None,
        chosen => chosen,
    };
    let show: Box<dyn Fn(&Event) + Send + Sync> = match style {
        ProgressStyle::Bar => {
            let bars = Bars::new(printer.clone());
            Box::new(move |event| bars.show(event))
        }
        ProgressStyle::Json => {
            let lines = Lines { printer: printer.clone(), last: Mutex::default() };
            Box::new(move |event| lines.show(event))
        }
        ProgressStyle::Auto | ProgressStyle::None => {
            let printer = printer.clone();
            Box::new(move |event| note(&printer, event))
        }
    };
    EventHandler::new(move |event| {
        show(event);
        ControlFlow::Continue(())
    })
}

/// Tells what a user has to know whether or not progress is shown.
fn note(printer: &Printer, event: &Event) {
    match event {
        Event::Warning { message } => printer.warning(message),
        Event::PullWaiting { name } => printer.note(&format!("waiting for another pull of {name}")),
        Event::EndpointChosen { endpoint } => printer.note(&format!("the image comes from {endpoint}")),
        Event::WindowsCopied { windows, size_bytes } => {
            let size = Size(*size_bytes);
            printer.note(&format!("{windows} parts of the image ({size}) are copied from other images here"));
        }
        Event::EndpointSkipped { endpoint, reason } => {
            printer.warning(&format!("{endpoint} is passed over: {reason}"));
        }
        Event::Step { step, steps, text, cached } => {
            let state = if *cached { " (done before)" } else { "" };
            printer.note(&format!("step {step}/{steps}: {text}{state}"));
        }
        Event::StepOutput { text, .. } => printer.program_output(text),
        Event::Retry { what, attempt, reason, delay_ms } => {
            let seconds = delay_ms.div_ceil(1000);
            printer.warning(&format!("{what}: {reason}; attempt {attempt} in {seconds} s"));
        }
        _ => {}
    }
}

/// One bar for what is downloaded, one line for the stage the run is in.
struct Bars {
    printer: Printer,
    stage: ProgressBar,
    blobs: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn new(printer: Printer) -> Self {
        let stage = printer.bars().add(ProgressBar::new_spinner());
        stage.set_style(style("{spinner} {msg}"));
        Self { printer, stage, blobs: Mutex::default() }
    }

    /// Shows what the run does. Parts of it are a registry's or an image's.
    fn say(&self, text: String) {
        self.stage.set_message(escape_text(&text));
    }

    fn show(&self, event: &Event) {
        let mut blobs = self.blobs.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Resolving { reference } => {
                self.stage.enable_steady_tick(Duration::from_millis(100));
                self.say(format!("resolving {reference}"));
            }
            Event::Resolved { digest, platform, layers, .. } => {
                self.say(format!("{} {platform}, {layers} layers", short(digest)));
            }
            Event::BlobStarted { digest, size_bytes, cached: false, resumed_bytes } => {
                let bar = self.printer.bars().add(ProgressBar::new(*size_bytes));
                bar.set_style(style(
                    "  {prefix} {bar:30} {bytes:>11}/{total_bytes:11} {bytes_per_sec:>12} {msg}",
                ));
                bar.set_prefix(escape_text(short(digest)));
                bar.set_position(*resumed_bytes);
                blobs.insert(digest.clone(), bar);
            }
            Event::BlobProgress { digest, done_bytes, .. } => {
                if let Some(bar) = blobs.get(digest) {
                    bar.set_position(*done_bytes);
                }
            }
            Event::BlobDone { digest } => {
                if let Some(bar) = blobs.remove(digest) {
                    bar.finish_and_clear();
                }
            }
            Event::LayerProgress { layer, done_bytes, size_bytes } => {
                let percent = done_bytes * 100 / size_bytes.max(&1);
                self.say(format!("applying layer {} ({percent}%)", layer + 1));
            }
            Event::DirectoryProgress { entries, done_bytes } => {
                self.stage.enable_steady_tick(Duration::from_millis(100));
                self.say(format!("reading: {entries} entries, {}", Size(*done_bytes)));
            }
            Event::KernelProgress { source, done_bytes, size_bytes } => {
                self.stage.enable_steady_tick(Duration::from_millis(100));
                self.say(match (done_bytes * 100).checked_div(*size_bytes) {
                    Some(percent) => format!("reading {source} ({percent}%)"),
                    None => format!("reading {source}: {}", Size(*done_bytes)),
                });
            }
            Event::Step { .. } | Event::StepOutput { .. } => {
                // The output of programs and a line that moves do not go together.
                self.stage.disable_steady_tick();
                self.stage.set_message("");
                note(&self.printer, event);
            }
            Event::PullWaiting { name } => self.say(format!("waiting for another pull of {name}")),
            Event::Building { backend } => self.say(format!("writing the file system ({backend})")),
            Event::Done { .. } => self.stage.finish_and_clear(),
            other => note(&self.printer, other),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.stage.finish_and_clear();
        for bar in self.blobs.lock().unwrap_or_else(PoisonError::into_inner).values() {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> BarStyle {
    BarStyle::with_template(template).expect("the templates of this file are well-formed")
}

/// The first digits of a digest, enough for people.
fn short(digest: &str) -> &str {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

/// One JSON document a line on standard error, progress of a blob a few times a second.
struct Lines {
    printer: Printer,
    last: Mutex<HashMap<String, Instant>>,
}

impl Lines {
    fn show(&self, event: &Event) {
        let key = match event {
            Event::BlobProgress { digest, .. } => Some(digest.clone()),
            Event::LayerProgress { layer, .. } => Some(layer.to_string()),
            Event::DirectoryProgress { .. } | Event::KernelProgress { .. } => Some(String::new()),
            _ => None,
        };
        if let Some(key) = key {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if last.get(&key).is_some_and(|then| now.duration_since(*then) < JSON_INTERVAL) {
                return;
            }
            last.insert(key, now);
        }
        self.printer.json_line(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_shortened() {
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short("sha256:01"), "01");
        assert_eq!(short("odd"), "odd");
    }
}
