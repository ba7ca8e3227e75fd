//! Arguments that are no command: help that was asked for, and mistakes.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use banger::{escape_text, is_hidden, rootfs::escape_bytes};
use clap::Parser as _;
use clap::error::ErrorKind;

use crate::args::Arguments;
use crate::printer::{ErrorDocument, raw_error_output, raw_output};
use crate::text::Text;

/// Prints what the parser of the arguments has to say; returns the status to end with.
pub(crate) fn tell(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match error.print().and_then(|()| raw_output().flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        };
    }
    if asks_for_json(std::env::args_os()) {
        let text = error.render().to_string();
        let document =
            ErrorDocument::new(banger::Error::USAGE_CODE, banger::ErrorKind::Argument, message(&text));
        // A closed standard output must not hide the message on standard error.
        let _ = document.print();
    }
    // Nobody is left to tell when standard error is gone.
    let _ = print(error);
    ExitCode::FAILURE
}

/// Prints a mistake on standard error. What it repeats of the arguments may be the names of files that
/// somebody else chose.
fn print(error: &clap::Error) -> io::Result<()> {
    if !std::env::args_os().any(|argument| argument.to_string_lossy().chars().any(is_unsafe)) {
        return error.print();
    }
    // The same mistake in arguments that are safe to repeat, which also has its colours.
    let escaped = std::env::args_os().map(|argument| match argument.to_str() {
        Some(text) => escape_text(text),
        None => escape_bytes(argument.as_bytes()),
    });
    match Arguments::try_parse_from(with_modes(escaped.map(OsString::from))) {
        Err(same) if same.kind() == error.kind() => same.print(),
        _ => {
            let text: Text = error.render().to_string().trim_end().lines().collect();
            raw_error_output().write_all(text.as_str().as_bytes())
        }
    }
}

/// Whether a character is not to be repeated; one in the place of bytes that are no text is not either.
fn is_unsafe(character: char) -> bool {
    is_hidden(character) || character == char::REPLACEMENT_CHARACTER
}

/// Returns the arguments with `banger rootfs chmod FILE -x …` as the parser can read it, which takes
/// what starts with a dash for options: without a umask, `-x` is `a-x`.
pub(crate) fn with_modes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let words: Vec<Option<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    let command = words.windows(2).position(|pair| pair == [Some("rootfs"), Some("chmod")]);
    let Some(command) = command else { return arguments };
    let is_mode = |text: &str| {
        text.starts_with('-') && !text.starts_with("--") && text.parse::<banger::rootfs::ModeChange>().is_ok()
    };
    let end = words.iter().position(|word| *word == Some("--")).unwrap_or(words.len());
    let found = (command + 2..end).find(|at| words[*at].is_some_and(is_mode));
    if let Some(at) = found {
        let mode = format!("a{}", words[at].expect("it is text"));
        arguments[at] = mode.into();
    }
    arguments
}

/// Whether `--json` is among arguments that could not be parsed.
pub(crate) fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// The first sentence of what the parser says, without the usage below it.
fn message(text: &str) -> String {
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let lines: Vec<&str> = sentence.lines().map(str::trim).collect();
    let line = lines.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        let text = "error: missing:\n  <REF>\n\nUsage: banger image pull <REF>\n";
        assert_eq!(message(text), "missing: <REF>");
        assert_eq!(message(""), "");
    }

    #[test]
    fn a_mode_may_start_with_a_dash() {
        let read = |line: &str| {
            let words = with_modes(line.split(' ').map(OsString::from));
            words.join(OsString::from(" ").as_os_str()).into_string().unwrap()
        };
        for (line, want) in [
            ("banger rootfs chmod disk -x /a", "banger rootfs chmod disk a-x /a"),
            (
                "banger --json rootfs chmod -R disk -rwx,g+w /a",
                "banger --json rootfs chmod -R disk a-rwx,g+w /a",
            ),
            ("banger rootfs chmod disk -R 755 /a", "banger rootfs chmod disk -R 755 /a"),
            ("banger rootfs chmod disk -- -x /a", "banger rootfs chmod disk -- -x /a"),
            ("banger rootfs rm disk -r /a", "banger rootfs rm disk -r /a"),
        ] {
            assert_eq!(read(line), want);
        }
    }

    #[test]
    fn json_is_asked_for_before_a_command_of_the_guest() {
        let asks = |arguments: &[&str]| asks_for_json(arguments.iter().map(OsString::from));
        assert!(asks(&["banger", "image", "--json"]));
        assert!(!asks(&["banger", "guest", "exec", "--", "ip", "--json"]));
    }
}
