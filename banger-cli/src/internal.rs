//! Faults of banger itself: exit status 2.

use std::any::Any;
use std::io::Write as _;
use std::panic::{UnwindSafe, catch_unwind};
use std::process::ExitCode;

use banger::ErrorKind;

use crate::printer::{ErrorDocument, raw_error_output};
use crate::usage::asks_for_json;

/// Exit status that tells a fault of banger from one of its user.
const INTERNAL_STATUS: u8 = 2;

/// Returns what `run` returns, or, where it panics, the status of an internal error. Where the panic
/// came from is on standard error then.
pub(crate) fn guard(run: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    catch_unwind(run).unwrap_or_else(|payload| {
        let message = message(payload.as_ref());
        if asks_for_json(std::env::args_os()) {
            // A closed standard output must not hide the message on standard error.
            let _ = ErrorDocument::new(banger::Error::INTERNAL_CODE, ErrorKind::Internal, message.clone())
                .print();
        }
        // Nobody is left to tell when standard error is gone.
        let _ = writeln!(raw_error_output(), "error: {message}");
        ExitCode::from(INTERNAL_STATUS)
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = banger::escape_text(text.unwrap_or("it panicked"));
    format!("internal error: {text}; please report it, with what was printed before this")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_internal_error() {
        let status = guard(|| panic!("two\nlines"));
        assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::from(2)));
        let status = guard(|| ExitCode::from(7));
        assert_eq!(format!("{status:?}"), format!("{:?}", ExitCode::from(7)));
        for (payload, want) in
            [(&"two\nlines" as &(dyn Any + Send), r"two\x0alines"), (&"one".to_owned(), "one")]
        {
            assert!(
                message(payload).starts_with(&format!("internal error: {want}; ")),
                "{}",
                message(payload)
            );
        }
    }
}
