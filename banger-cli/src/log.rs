//! The log on standard error: `-v`, `-vv` and BANGER_LOG.

use std::io;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::failure::CommandError;
use crate::printer::Printer;

/// The variable that has a level.
const VARIABLE: &str = "BANGER_LOG";
/// The targets that are logged begin so. Other crates log the headers of requests.
const TARGETS: &str = "banger";

/// Starts the log, if it was asked for. Without that, nothing is set up.
pub(crate) fn start(verbose: u8, printer: &Printer) -> Result<(), CommandError> {
    let level = match verbose {
        0 => level_of(std::env::var_os(VARIABLE).unwrap_or_default().to_string_lossy().trim())?,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    if level == LevelFilter::OFF {
        return Ok(());
    }
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(LogWriter(printer.clone()));
    let wanted = Targets::new().with_target(TARGETS, level);
    // Only a second log could fail, and there is one call.
    let _first = tracing_subscriber::registry().with(lines.with_filter(wanted)).try_init();
    Ok(())
}

fn level_of(text: &str) -> Result<LevelFilter, CommandError> {
    let levels = [
        ("", LevelFilter::OFF),
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    let found = levels.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, level)| *level).ok_or_else(|| {
        CommandError::argument(VARIABLE, text, "there is no such level")
            .advised("set it to off, error, warn, info, debug or trace")
    })
}

/// Passes lines of the log to the printer, which owns standard error.
struct LogWriter(Printer);

/// One line of the log.
struct LogLine<'a>(&'a Printer);

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(&self.0)
    }
}

impl io::Write for LogLine<'_> {
    /// Gets a whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.log(String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        assert_eq!(level_of("").unwrap(), LevelFilter::OFF);
        assert_eq!(level_of("Debug").unwrap(), LevelFilter::DEBUG);
        let error = level_of("loud").unwrap_err();
        assert_eq!(error.to_string(), "BANGER_LOG loud: there is no such level");
    }
}
