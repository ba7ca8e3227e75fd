//! Foreign text made safe to show: on a terminal, in a log, in a message.

use std::fmt::Write as _;

/// Returns `bytes` as text on one line: UTF-8 as it is; other bytes, [hidden](is_hidden)
/// characters and backslashes as `\xNN`.
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match is_hidden(character) || character == '\\' {
                true => escape_character(character, &mut text),
                false => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a String cannot fail");
        }
    }
    text
}

/// Returns `text` on one line, escaped like [`escape_bytes`] but with backslashes unchanged. Use it for
/// messages with parts that may be escaped already, and for text that is never parsed again.
pub fn escape_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match is_hidden(character) {
            true => escape_character(character, &mut escaped),
            false => escaped.push(character),
        }
    }
    escaped
}

/// Returns the original bytes of a `text` from [`escape_bytes`]; `None` if an escape is malformed.
pub fn unescape_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let digits = rest.get(at + 1..at + 4)?.strip_prefix('x')?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// Returns whether a character controls a terminal, is invisible, or changes how the text around it looks.
/// These are control characters (C0, DEL and C1), line and paragraph separators, controls of bidirectional
/// text, and Unicode's `Default_Ignorable_Code_Point`.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

fn escape_character(character: char, text: &mut String) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        write!(text, "\\x{byte:02x}").expect("writing to a String cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_line_and_keeps_what_is_escaped_already() {
        for (text, want) in [
            ("plain ü", "plain ü"),
            ("a\nb", r"a\x0ab"),
            ("\u{1b}[31m", r"\x1b[31m"),
            ("\u{9b}31m", r"\xc2\x9b31m"),
            ("\u{202e}x", r"\xe2\x80\xaex"),
            ("\u{2028}\u{fe0f}", r"\xe2\x80\xa8\xef\xb8\x8f"),
            (r"a\x0ab", r"a\x0ab"),
        ] {
            assert_eq!(escape_text(text), want);
        }
        assert_eq!(escape_bytes(br"a\x0ab"), r"a\x5cx0ab");
    }

    #[test]
    fn escaped_bytes_are_read_back() {
        for bytes in [&b"plain"[..], b"\xff\xfe\n\\", "\u{202e}\u{9b}ü".as_bytes(), b"", br"\x41"] {
            let text = escape_bytes(bytes);
            assert!(!text.chars().any(is_hidden), "{text:?}");
            assert_eq!(unescape_bytes(&text).as_deref(), Some(bytes));
        }
        for malformed in [r"\", r"\x", r"\x4", r"\q41", r"\xgg", r"\x+4"] {
            assert_eq!(unescape_bytes(malformed), None, "{malformed}");
        }
    }
}
