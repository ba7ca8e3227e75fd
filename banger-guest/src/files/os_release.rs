//! `/etc/os-release`, as os-release(5) specifies it.

/// Paths of the file; the first one with content counts.
pub const OS_RELEASE_FILES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// How much of the file is read: os-release(5) has few lines.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The longest line; a longer line is skipped.
pub const MAX_LINE_BYTES: usize = 4096;

/// The names of a distribution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OsRelease {
    /// `ID`: `debian`.
    pub id: Option<String>,
    /// `ID_LIKE`: similar distributions, nearest first, separated by spaces.
    pub id_like: Option<String>,
    /// `VERSION_ID`: `12`.
    pub version_id: Option<String>,
    /// `PRETTY_NAME`: the name for people.
    pub pretty_name: Option<String>,
}

impl OsRelease {
    /// Parses a file. Bytes after [`MAX_FILE_BYTES`] and lines longer than [`MAX_LINE_BYTES`] are skipped.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut release = Self::default();
        let text = &text[..text.len().min(MAX_FILE_BYTES)];
        super::lines(text, MAX_LINE_BYTES).for_each(|line| release.take_line(line));
        release
    }

    /// Adds one line, for callers that read a file line by line. The last line with a key wins.
    pub fn take_line(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
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

    /// Iterates over the names to choose by: `ID`, then the words of `ID_LIKE`.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        [&self.id, &self.id_like].into_iter().flatten().flat_map(|names| names.split_whitespace())
    }
}

/// Returns a value as the shell would read it: without quotes and escaping backslashes.
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
        let text = b"# x\nID=wrong\nNAME=\"A\"\nID=debian\nID_LIKE='rhel fedora'\nVERSION_ID=\"12\"\n\
                     PRETTY_NAME=\"A \\\"b\\\" \\$c\"\n";
        let release = OsRelease::parse(text);
        assert_eq!(release.id.as_deref(), Some("debian"));
        assert_eq!(release.id_like.as_deref(), Some("rhel fedora"));
        assert_eq!(release.version_id.as_deref(), Some("12"));
        assert_eq!(release.pretty_name.as_deref(), Some("A \"b\" $c"));
        assert_eq!(OsRelease::parse(b"ID=\nIDX=1\n\"\n"), OsRelease::default());
    }

    #[test]
    fn the_id_comes_before_the_ids_that_it_is_like() {
        for (text, want) in [
            (
                "NAME=x\nID_LIKE=\"rhel centos fedora\"\nID=\"rocky\"\n",
                &["rocky", "rhel", "centos", "fedora"][..],
            ),
            ("ID=alpine", &["alpine"]),
            ("ID='a b'\r\n", &["a", "b"]),
            ("VERSION_ID=3\n", &[]),
        ] {
            assert_eq!(OsRelease::parse(text.as_bytes()).ids().collect::<Vec<_>>(), want, "{text}");
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_passed_over() {
        let long =
            format!("ID=a\nPRETTY_NAME={}\nVERSION_ID=1\n{}ID=b\n", "x".repeat(5000), "#\n".repeat(1 << 20));
        let release = OsRelease::parse(long.as_bytes());
        assert_eq!((release.id.as_deref(), release.version_id.as_deref()), (Some("a"), Some("1")));
        assert_eq!(release.pretty_name, None);
    }
}
