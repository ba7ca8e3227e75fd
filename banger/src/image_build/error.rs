//! Why an image is not built.

use banger_guest::protocol::ExitStatus;
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use camino::Utf8PathBuf;

/// Why an image is not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageBuildError {
    /// The program of a step failed.
    #[error("step {step} ({text}) {}{}", how(.status), said(.last_lines))]
    Step {
        /// The number of the step, from 1.
        step: usize,
        /// The step, in one line.
        text: String,
        /// How the program ended.
        status: ExitStatus,
        /// The last lines of its output.
        last_lines: String,
    },
    /// A file of a step cannot be read.
    #[error("cannot read {path}: {source}")]
    Source {
        /// The file or directory of the host.
        path: Utf8PathBuf,
        /// The host's error.
        source: std::io::Error,
    },
    /// A text is not a step.
    #[error("{text:?} is not a step")]
    NoStep {
        /// The text.
        text: String,
    },
    /// A variable has no name.
    #[error("{text:?} does not set a variable")]
    Variable {
        /// The text.
        text: String,
    },
}

fn how(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Exited { status } => format!("ended with status {status}"),
        ExitStatus::Killed { signal } => format!("was killed by signal {signal}"),
        _ => "failed".to_owned(),
    }
}

fn said(last_lines: &str) -> String {
    match last_lines {
        "" => String::new(),
        lines => format!("; it said: {lines}"),
    }
}

impl ImageBuildError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Step { .. } => 1150,
            Self::Source { .. } => 1151,
            Self::Variable { .. } => 1152,
            Self::NoStep { .. } => 1153,
        }
    }
}

impl Failure for ImageBuildError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Step { .. } => ErrorKind::Guest,
            Self::Source { source, .. } => ErrorKind::of_io(source),
            Self::Variable { .. } | Self::NoStep { .. } => ErrorKind::Argument,
        }
    }

    fn advice(&self) -> Option<Advice> {
        match self {
            Self::Step { .. } => {
                Some(Advice::new("mend the step and build again: the steps before it are not done again"))
            }
            Self::Source { .. } => None,
            Self::Variable { .. } => Some(Advice::new("write it as NAME=VALUE")),
            Self::NoStep { .. } => Some(Advice::new(
                "write run:COMMAND, script:FILE, copy:FILE:/PATH, env:NAME=VALUE or tools:docker",
            )),
        }
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Step { step, text, status, last_lines } => context
                .with("step", step)
                .with("text", text)
                .with("status", how(status))
                .with("last_lines", last_lines),
            Self::Source { path, .. } => context.with("path", path),
            Self::Variable { text } => context.with("variable", text),
            Self::NoStep { text } => context.with("step", text),
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Source { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
