//! `/etc/os-release`, as os-release(5) has it.

use std::ops::ControlFlow;
use std::path::Path;

use crate::bounded::{LineLimits, for_each_line};
use crate::root::Root;

/// os-release(5) has short lines, and few of them.
const LIMITS: LineLimits = LineLimits { file_bytes: 1024 * 1024, line_bytes: 4096 };

/// What a distribution says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OsRelease {
    pub(crate) id: Option<String>,
    /// Its relatives, nearest first, apart by spaces.
    pub(crate) id_like: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) pretty_name: Option<String>,
}

impl OsRelease {
    /// Reads it where it is: `/etc/os-release`, or `/usr/lib/os-release`. What is beyond the limits is as
    /// if it were not there.
    pub(crate) fn of_guest(root: &Root) -> Self {
        ["/etc/os-release", "/usr/lib/os-release"]
            .into_iter()
            .map(|path| Self::read(&root.path(path)))
            .find(|release| *release != Self::default())
            .unwrap_or_default()
    }

    fn read(path: &Path) -> Self {
        let mut release = Self::default();
        // One that is missing, or longer than the limit, says what was read.
        let _ = for_each_line(path, LIMITS, |line| {
            release.take(&String::from_utf8_lossy(line));
            ControlFlow::Continue(())
        });
        release
    }

    /// Takes a line; the last one with a key wins.
    fn take(&mut self, line: &str) {
        let Some((key, value)) = line.trim().split_once('=') else {
            return;
        };
        let field = match key {
            "ID" => &mut self.id,
            "ID_LIKE" => &mut self.id_like,
            "VERSION_ID" => &mut self.version_id,
            "PRETTY_NAME" => &mut self.pretty_name,
            _ => return,
        };
        let value = unquote(value.trim());
        *field = (!value.is_empty()).then_some(value);
    }
}

/// A value as the shell would read it: quotes off, and backslashes before what they protect.
fn unquote(value: &str) -> String {
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    if value.starts_with('\'') {
        return inner.to_owned();
    }
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            plain.extend(characters.next());
        } else {
            plain.push(character);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted() {
        let text = "# x\nID=wrong\nNAME=\"A\"\nID=debian\nID_LIKE='rhel fedora'\nVERSION_ID=\"12\"\nPRETTY_NAME=\"A \\\"b\\\" \\$c\"\n";
        let file = tempfile::NamedTempFile::new().expect("a file");
        let parse = |text: &str| {
            std::fs::write(file.path(), text).expect("it can be written");
            OsRelease::read(file.path())
        };
        let release = parse(text);
        assert_eq!(release.id.as_deref(), Some("debian"));
        assert_eq!(release.id_like.as_deref(), Some("rhel fedora"));
        assert_eq!(release.version_id.as_deref(), Some("12"));
        assert_eq!(release.pretty_name.as_deref(), Some("A \"b\" $c"));
        assert_eq!(parse("ID=\nIDX=1\n\"\n"), OsRelease::default());
        // A line that is too long is none, and what is beyond the limit is not read.
        let long =
            format!("ID=a\nPRETTY_NAME={}\nVERSION_ID=1\n{}ID=b\n", "x".repeat(5000), "#\n".repeat(1 << 20));
        let release = parse(&long);
        assert_eq!((release.id.as_deref(), release.version_id.as_deref()), (Some("a"), Some("1")));
        assert_eq!(release.pretty_name, None);
    }
}
