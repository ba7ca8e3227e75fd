//! The one owner of standard output and standard error.

use std::io::{self, IsTerminal as _, Write};

use banger::escape_text;
use indicatif::MultiProgress;
use serde::Serialize;

use crate::args::{GlobalArguments, ProgressStyle};

/// Prints data, notes and errors, around the progress bars where there are any.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    json: bool,
    /// Whether each line on standard error is a JSON document.
    json_lines: bool,
    colour: bool,
    bars: MultiProgress,
}

/// An error as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct ErrorDocument {
    version: u32,
    error: ErrorBody,
}

#[derive(Serialize)]
struct ErrorBody {
    code: u32,
    message: String,
}

impl ErrorDocument {
    pub(crate) fn new(code: u32, message: String) -> Self {
        Self { version: 1, error: ErrorBody { code, message } }
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        print_document(self)
    }
}

fn print_document(document: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// What is told on standard error with `--progress json`, beside the events of a run.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Note { message: &'a str },
    Warning { message: &'a str },
    Problem { message: &'a str },
    Error { code: u32, message: &'a str },
}

impl Printer {
    pub(crate) fn new(arguments: &GlobalArguments) -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            json: arguments.json,
            json_lines: arguments.progress == ProgressStyle::Json,
            colour: io::stderr().is_terminal() && !is_set("NO_COLOR") && !is_dumb,
            bars: MultiProgress::new(),
        }
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
        if self.json {
            return print_document(document);
        }
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Where a command that is not asked for JSON writes bytes as they are.
    pub(crate) fn bytes(&self) -> impl Write {
        io::stdout().lock()
    }

    /// Prints one line for the user on standard error.
    pub(crate) fn note(&self, text: &str) {
        self.line("", text, &Line::Note { message: text });
    }

    /// Prints a warning on standard error.
    pub(crate) fn warning(&self, text: &str) {
        self.line(&self.paint("33", "warning:"), text, &Line::Warning { message: text });
    }

    /// Prints an error on standard error, and as a document on standard output with `--json`.
    pub(crate) fn error(&self, code: u32, message: &str) {
        if self.json {
            // A closed standard output must not hide the message on standard error.
            let _ = ErrorDocument::new(code, message.to_owned()).print();
        }
        self.line(&self.paint("31", "error:"), message, &Line::Error { code, message });
    }

    /// Prints what is wrong with something on standard error.
    pub(crate) fn problem(&self, message: &str) {
        self.line(&self.paint("31", "error:"), message, &Line::Problem { message });
    }

    /// Prints `text`, some of which may be a registry's or an image's, so that it is one line and
    /// tells the terminal nothing.
    fn line(&self, prefix: &str, text: &str, document: &Line<'_>) {
        let line = match self.json_lines {
            true => serde_json::to_string(document).expect("lines have only string keys"),
            false if prefix.is_empty() => escape_text(text),
            false => format!("{prefix} {}", escape_text(text)),
        };
        self.bars.suspend(|| {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(io::stderr(), "{line}");
        });
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        match self.colour {
            true => format!("\x1b[1;{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
