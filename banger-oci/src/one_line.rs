//! Foreign text on one line of a message.

use banger_tree::escape_text;

/// Number of characters of a foreign text that a message shows.
const SHOWN_LEN: usize = 200;

/// Returns foreign text as one short line without control characters and invisible ones.
pub(crate) fn one_line(text: &str) -> String {
    // Only the shown part is read: a text may be as long as a document.
    let printable =
        text.trim_start().chars().take(SHOWN_LEN * 4).map(|c| if c.is_control() { ' ' } else { c });
    let joined = printable.collect::<String>();
    let words = joined.split_whitespace().collect::<Vec<_>>().join(" ");
    escape_text(&words.chars().take(SHOWN_LEN).collect::<String>())
}
