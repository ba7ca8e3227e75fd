//! The one owner of standard output and standard error.
//!
//! Both take [`Text`], JSON without anything hidden, or messages that are escaped here; bytes go out
//! as they are only by [`raw_output`], [`output_file`] and [`raw_error_output`], for what a user asked to see as it
//! is.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;

use banger::{ErrorContext, ErrorKind, escape_text};
use indicatif::MultiProgress;
use serde::Serialize;

use crate::args::{GlobalArguments, ProgressStyle};
use crate::failure::CommandError;
use crate::hints::Worded;
use crate::json;
use crate::text::Text;

/// Characters of a message that are printed, and how many of them are from its end.
const MAX_MESSAGE: usize = 4096;
const TAIL: usize = 512;

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

/// What a program is told about an error.
#[derive(Serialize)]
pub(crate) struct ErrorBody {
    code: u32,
    kind: ErrorKind,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    context: ErrorContext,
}

impl ErrorBody {
    pub(crate) fn new(error: &CommandError, words: Worded) -> Self {
        let Worded { message, advice } = words;
        let (message, advice) = (shorten(&message), advice.map(|advice| shorten(&advice)));
        Self { code: error.code(), kind: error.kind(), message, advice, context: error.context() }
    }

    /// Returns the error as people read it.
    fn text(&self) -> String {
        match &self.advice {
            Some(advice) => format!("{}; {advice}", self.message),
            None => self.message.clone(),
        }
    }
}

impl ErrorDocument {
    pub(crate) fn new(code: u32, kind: ErrorKind, message: String) -> Self {
        let (advice, context) = (None, ErrorContext::default());
        Self { version: 1, error: ErrorBody { code, kind, message, advice, context } }
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        print_document(self)
    }
}

/// Returns a message without its middle where it is longer than anybody reads: a part of it may be what
/// a registry, an image or a guest said.
fn shorten(message: &str) -> String {
    let characters = message.chars().count();
    if characters <= MAX_MESSAGE {
        return message.to_owned();
    }
    let cut = |at: usize| message.char_indices().nth(at).map_or(message.len(), |(index, _)| index);
    // The end says what to do.
    let (head, tail) = (cut(MAX_MESSAGE - TAIL), cut(characters - TAIL));
    let left_out = characters - MAX_MESSAGE;
    format!("{}… ({left_out} characters left out) …{}", &message[..head], &message[tail..])
}

fn print_document(document: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    json::write_pretty(&mut out, document)?;
    out.flush()
}

/// Standard output for bytes as they are: the content of a file, what a program in a guest writes.
pub(crate) fn raw_output() -> impl Write {
    io::stdout().lock()
}

/// Returns standard output as a file for bytes as they are; `None` if it is a terminal.
pub(crate) fn output_file() -> io::Result<Option<File>> {
    let out = io::stdout();
    match out.is_terminal() {
        true => Ok(None),
        false => Ok(Some(File::from(out.as_fd().try_clone_to_owned()?))),
    }
}

/// Standard error for bytes as they are: what a program in a guest writes.
pub(crate) fn raw_error_output() -> impl Write {
    io::stderr().lock()
}

/// What is told on standard error with `--progress json`, beside the events of a run.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Note { message: &'a str },
    Warning { message: &'a str },
    Problem { message: &'a str },
    Log { message: &'a str },
    Error(&'a ErrorBody),
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
    pub(crate) fn result(&self, document: &impl Serialize, text: impl Into<Text>) -> io::Result<()> {
        if self.json {
            return print_document(document);
        }
        let mut out = io::stdout().lock();
        out.write_all(text.into().as_str().as_bytes())?;
        out.flush()
    }

    /// Prints a document on a line of standard error.
    pub(crate) fn json_line(&self, document: &impl Serialize) {
        let mut line = Vec::new();
        json::write_line(&mut line, document).expect("writing to a Vec cannot fail, and keys are strings");
        self.bars.suspend(|| {
            // Nobody is left to tell when standard error is gone.
            let _ = io::stderr().lock().write_all(&line);
        });
    }

    /// Prints one line for the user on standard error.
    pub(crate) fn note(&self, text: &str) {
        let text = &shorten(text);
        self.line("", text, &Line::Note { message: text });
    }

    /// Prints a line of the log on standard error.
    pub(crate) fn log(&self, text: &str) {
        let text = &shorten(text);
        self.line("", text, &Line::Log { message: text });
    }

    /// Prints a warning on standard error.
    pub(crate) fn warning(&self, text: &str) {
        let text = &shorten(text);
        self.line(&self.paint("33", "warning:"), text, &Line::Warning { message: text });
    }

    /// Prints a part of what a program in a guest writes on standard error, as text: it tells the terminal nothing.
    pub(crate) fn program_output(&self, text: &str) {
        // Tables of programs have tabs.
        let plain = |line: &str| line.split('\t').map(escape_text).collect::<Vec<_>>().join("\t");
        let lines = text.split_inclusive('\n').map(|line| match line.strip_suffix('\n') {
            Some(line) => plain(line.trim_end_matches('\r')) + "\n",
            None => plain(line),
        });
        let text: String = lines.collect();
        self.bars.suspend(|| {
            // Nobody is left to tell when standard error is gone.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        });
    }

    /// Prints an error on standard error, and as a document on standard output with `--json`.
    pub(crate) fn error(&self, error: ErrorBody) {
        let document = ErrorDocument { version: 1, error };
        if self.json {
            // A closed standard output must not hide the message on standard error.
            let _ = document.print();
        }
        let error = &document.error;
        self.line(&self.paint("31", "error:"), &shorten(&error.text()), &Line::Error(error));
    }

    /// Prints what is wrong with something on standard error.
    pub(crate) fn problem(&self, message: &str) {
        let message = &shorten(message);
        self.line(&self.paint("31", "error:"), message, &Line::Problem { message });
    }

    /// Prints `text`, some of which may be a registry's or an image's, so that it is one line and
    /// tells the terminal nothing.
    fn line(&self, prefix: &str, text: &str, document: &Line<'_>) {
        if self.json_lines {
            return self.json_line(document);
        }
        let text = escape_text(text);
        self.bars.suspend(|| {
            let line = if prefix.is_empty() { text } else { format!("{prefix} {text}") };
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn a_long_message_keeps_its_ends() {
        assert_eq!(shorten("short ü"), "short ü");
        let long = format!("begin {}; do this", "ü".repeat(300_000));
        let short = shorten(&long);
        assert!(short.starts_with("begin ü") && short.ends_with("ü; do this"), "{short}");
        assert!(short.contains("295919 characters left out"), "{short}");
        assert!(short.chars().count() < MAX_MESSAGE + 100);
    }

    /// Nothing else writes to a terminal, so that nothing foreign gets there as it is.
    #[test]
    fn nobody_else_has_standard_output_or_error() {
        let mut pending = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut files = 0;
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            files += 1;
            let source = fs::read_to_string(&path).unwrap();
            for (number, line) in source.lines().enumerate() {
                let writes = ["stdout()", "stderr()", "println!(", "print!("]
                    .iter()
                    .any(|call| line.contains(call) && !line.contains("stderr().is_terminal()"));
                // Terminal sizes are no output.
                let allowed = path.ends_with("printer.rs") || path.ends_with("guest/terminal.rs");
                assert!(!writes || allowed, "{}:{}: {line}", path.display(), number + 1);
            }
        }
        assert!(files > 20, "{files} files");
    }
}
