//! Lines of busybox init's inittab.

use banger_guest::config::BootContract;

use crate::detect::Facts;
use crate::edit::Edit;
use crate::error::InjectError;
use crate::inittab::{self, INITTAB};

const LINES: &str = include_str!("../assets/busybox/inittab");
const DEFAULTS: &str = include_str!("../assets/busybox/inittab-defaults");
const BEGIN: &str = "# banger: begin\n";
const END: &str = "# banger: end\n";

/// Every text of this module.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    [LINES, DEFAULTS].into_iter()
}

pub(crate) fn install(edit: &mut Edit<'_>, facts: &Facts) -> Result<(), InjectError> {
    let found = edit.read(INITTAB)?;
    let rest = match &found {
        Some(text) => without_lines(text),
        // An inittab replaces busybox's defaults.
        None => DEFAULTS.as_bytes().to_vec(),
    };
    // First line: the network bootstrap mounts file systems that the lines of the image may need.
    edit.content(INITTAB, &[LINES.as_bytes(), &rest].concat(), 0o644)?;
    inittab::fix(edit, facts, BootContract::Busybox)
}

/// Returns an inittab without the lines of an earlier injection.
fn without_lines(text: &[u8]) -> Vec<u8> {
    let find = |text: &[u8], what: &str| text.windows(what.len()).position(|part| part == what.as_bytes());
    let Some(begin) = find(text, BEGIN) else { return text.to_vec() };
    let Some(length) = find(&text[begin..], END) else { return text.to_vec() };
    [&text[..begin], &text[begin + length + END.len()..]].concat()
}

#[cfg(test)]
mod tests {
    use super::{LINES, without_lines};

    #[test]
    fn lines_of_an_earlier_injection_go() {
        assert!(LINES.starts_with(super::BEGIN) && LINES.ends_with(super::END));
        for (text, want) in [
            (format!("{LINES}::sysinit:x\n"), "::sysinit:x\n"),
            (format!("a\n{}b\n", LINES.replace("respawn", "once")), "a\nb\n"),
            ("# banger: begin\nno end\n".to_owned(), "# banger: begin\nno end\n"),
            ("plain".to_owned(), "plain"),
        ] {
            assert_eq!(without_lines(text.as_bytes()), want.as_bytes());
        }
    }
}
