//! JSON for a terminal: what is hidden is written as `\uNNNN`, which says the same to a program.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// Writes a document over several lines.
pub(crate) fn write_pretty(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    write_with(out, document, PrettyFormatter::new())
}

/// Writes a document on one line.
pub(crate) fn write_line(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    write_with(out, document, CompactFormatter)
}

fn write_with(out: &mut dyn Write, document: &impl Serialize, layout: impl Formatter) -> io::Result<()> {
    document.serialize(&mut Serializer::with_formatter(&mut *out, Visible(layout)))?;
    out.write_all(b"\n")
}

/// Lays a document out as `F` does, and shows what is hidden in its strings.
struct Visible<F>(F);

/// Hands methods on to the inner formatter.
macro_rules! as_inner {
    ($($method:ident($($name:ident: $kind:ty),*);)*) => {
        $(fn $method<W: ?Sized + Write>(&mut self, out: &mut W, $($name: $kind),*) -> io::Result<()> {
            self.0.$method(out, $($name),*)
        })*
    };
}

impl<F: Formatter> Formatter for Visible<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, hidden)) =
            rest.char_indices().find(|(_, character)| banger::is_hidden(*character))
        {
            out.write_all(&rest.as_bytes()[..at])?;
            // Two of them beyond the basic plane, as JSON has it.
            for unit in hidden.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + hidden.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }

    as_inner! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_document_is_visible_and_means_the_same() {
        let text = "a\u{9b}31m\u{7f}\n\u{1b}\u{202e}\u{2028}\u{e0041}ü\"\\";
        let document = BTreeMap::from([(text, vec![text, ""]), ("empty", vec![])]);
        for is_pretty in [false, true] {
            let mut written = Vec::new();
            match is_pretty {
                true => write_pretty(&mut written, &document).unwrap(),
                false => write_line(&mut written, &document).unwrap(),
            }
            let written = String::from_utf8(written).unwrap();
            let hidden = written.chars().find(|c| banger::is_hidden(*c) && *c != '\n');
            assert_eq!(hidden, None, "{written:?}");
            assert!(written.contains(r"a\u009b31m\u007f\n\u001b\u202e\u2028\udb40\udc41ü"), "{written}");
            let read: BTreeMap<String, Vec<String>> = serde_json::from_str(&written).unwrap();
            assert_eq!(read[text], [text, ""]);
        }
        let mut written = Vec::new();
        write_line(&mut written, &document).unwrap();
        assert_eq!(written.iter().filter(|byte| **byte == b'\n').count(), 1);
        let plain = BTreeMap::from([("a", vec!["b"]), ("c", vec![])]);
        let mut pretty = Vec::new();
        write_pretty(&mut pretty, &plain).unwrap();
        assert_eq!(String::from_utf8(pretty).unwrap(), serde_json::to_string_pretty(&plain).unwrap() + "\n");
    }
}
