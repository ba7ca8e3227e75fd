//! The one owner of standard output and standard error.

use std::io::{self, IsTerminal as _, Write};

use indicatif::MultiProgress;
use serde::Serialize;

/// Prints data, notes and errors, around the progress bars where there are any.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    json: bool,
    colour: bool,
    bars: MultiProgress,
}

/// An error as `--json` prints it.
#[derive(Serialize)]
struct ErrorDocument<'a> {
    version: u32,
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: u32,
    message: &'a str,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        let colour =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, colour, bars: MultiProgress::new() }
    }

    /// Whether the result is to be a document.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Where progress bars are to be drawn, so that notes do not tear them.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Prints the result of a command: `document` with `--json`, else `text`.
    pub(crate) fn result(&self, document: &impl Serialize, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self.json {
            true => {
                serde_json::to_writer_pretty(&mut out, document)?;
                out.write_all(b"\n")?;
            }
            false => out.write_all(text.as_bytes())?,
        }
        out.flush()
    }

    /// Where a command that is not asked for JSON writes bytes as they are.
    pub(crate) fn bytes(&self) -> impl Write {
        io::stdout().lock()
    }

    /// Prints one line for the user on standard error.
    pub(crate) fn note(&self, text: &str) {
        self.bars.suspend(|| {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    /// Prints a warning on standard error.
    pub(crate) fn warning(&self, text: &str) {
        self.note(&format!("{} {text}", self.paint("33", "warning:")));
    }

    /// Prints an error on standard error, and as a document on standard output with `--json`.
    pub(crate) fn error(&self, code: u32, message: &str) {
        if self.json {
            let document = ErrorDocument { version: 1, error: ErrorBody { code, message } };
            // A closed standard output must not hide the message on standard error.
            let _ = self.result(&document, "");
        }
        self.problem(message);
    }

    /// Prints what is wrong on standard error.
    pub(crate) fn problem(&self, message: &str) {
        self.note(&format!("{} {message}", self.paint("31", "error:")));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[1;{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
