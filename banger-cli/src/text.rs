//! Text for a terminal, as a type: nothing foreign gets into it as it is.

use std::fmt::Write as _;

use banger::escape_text;

/// Width of the keys of [`Text::field`].
const KEY_WIDTH: usize = 12;

/// Lines without any character that tells a terminal something. Whatever is put in is escaped, and
/// cannot end its line or begin another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    /// Adds a line.
    pub(crate) fn line(&mut self, text: &str) {
        self.0.push_str(&escape_text(text));
        self.0.push('\n');
    }

    /// Adds a line `key value`, or nothing where the value is empty.
    pub(crate) fn field(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.line(&format!("{key:<KEY_WIDTH$} {value}"));
        }
    }

    /// Adds the lines of another text.
    pub(crate) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Whether there is no line.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines, each with its end.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One line; the newline at its end may be there already. The empty string is no line.
impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut lines = Self::default();
        if !text.is_empty() {
            lines.line(text.strip_suffix('\n').unwrap_or(text));
        }
        lines
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

/// One line each.
impl<T: AsRef<str>> FromIterator<T> for Text {
    fn from_iter<I: IntoIterator<Item = T>>(lines: I) -> Self {
        let mut text = Self::default();
        lines.into_iter().for_each(|line| text.line(line.as_ref()));
        text
    }
}

/// Returns columns two spaces apart, as wide as their widest cell.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> Text {
    let mut widths = [0; N];
    let rows: Vec<[String; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| escape_text(cell))).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = Text::default();
    for row in &rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            write!(line, "{cell:<width$}  ").expect("writing to a String cannot fail");
        }
        text.line(line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["A", "BB"], ["ccc", "d"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows).as_str(), "A    BB\nccc  d\n");
        let rows = [["a\nb", "\x1b[31m"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows).as_str(), "a\\x0ab  \\x1b[31m\n");
    }

    #[test]
    fn what_is_put_in_is_one_line() {
        let mut text = Text::from("one\n");
        text.field("key", "a\nkey          b");
        text.field("none", "");
        text.append(&["x\u{9b}", "y\u{2028}"].iter().collect());
        assert_eq!(text.as_str(), "one\nkey          a\\x0akey          b\nx\\xc2\\x9b\ny\\xe2\\x80\\xa8\n");
        assert!(Text::from("").is_empty());
        assert_eq!(Text::from("a\nb\n").as_str(), "a\\x0ab\n");
    }
}
