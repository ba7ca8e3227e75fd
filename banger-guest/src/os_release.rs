//! `/etc/os-release`, as os-release(5) has it.

use crate::root::Root;

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
    /// Reads it where it is: `/etc/os-release`, or `/usr/lib/os-release`.
    pub(crate) fn of_guest(root: &Root) -> Self {
        let text = root.text("/etc/os-release").or_else(|| root.text("/usr/lib/os-release"));
        Self::parse(&text.unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let value = |key: &str| {
            let value =
                text.lines().rev().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
            let value = unquote(value.trim());
            (!value.is_empty()).then_some(value)
        };
        Self {
            id: value("ID"),
            id_like: value("ID_LIKE"),
            version_id: value("VERSION_ID"),
            pretty_name: value("PRETTY_NAME"),
        }
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
        let release = OsRelease::parse(text);
        assert_eq!(release.id.as_deref(), Some("debian"));
        assert_eq!(release.id_like.as_deref(), Some("rhel fedora"));
        assert_eq!(release.version_id.as_deref(), Some("12"));
        assert_eq!(release.pretty_name.as_deref(), Some("A \"b\" $c"));
        assert_eq!(OsRelease::parse("ID=\nIDX=1\n\"\n"), OsRelease::default());
    }
}
