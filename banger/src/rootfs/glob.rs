//! Patterns for names, as find(1) has them.

use std::str::FromStr;

use super::error::EditError;

/// A pattern for a whole name: `*` means any characters, `?` one, `[a-z]` one of a set, `[!a-z]` one that is not in it;
/// a backslash takes away the meaning of the next character. `*` and `?` match a slash, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Any,
    One,
    Literal(char),
    Set { ranges: Vec<(char, char)>, is_negated: bool },
}

impl FromStr for Glob {
    type Err = EditError;

    fn from_str(text: &str) -> Result<Self, EditError> {
        let malformed = |reason| EditError::Pattern { text: text.to_owned(), reason };
        let mut parts = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            parts.push(match character {
                // Two of them mean the same as one.
                '*' if parts.last() == Some(&Part::Any) => continue,
                '*' => Part::Any,
                '?' => Part::One,
                '[' => set(&mut rest).ok_or_else(|| malformed("has a [ without a ]"))?,
                '\\' => Part::Literal(rest.next().ok_or_else(|| malformed("ends with a backslash"))?),
                literal => Part::Literal(literal),
            });
        }
        Ok(Self(parts))
    }
}

/// Parses a set behind its opening bracket.
fn set(rest: &mut std::str::Chars<'_>) -> Option<Part> {
    let mut next = rest.next()?;
    let is_negated = matches!(next, '!' | '^');
    if is_negated {
        next = rest.next()?;
    }
    let (mut ranges, mut is_first) = (Vec::new(), true);
    // A bracket that comes first is a member.
    while is_first || next != ']' {
        is_first = false;
        let start = if next == '\\' { rest.next()? } else { next };
        let mut ahead = rest.clone();
        let end = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(end)) if end != ']' => {
                *rest = ahead;
                end
            }
            _ => start,
        };
        ranges.push((start, end));
        next = rest.next()?;
    }
    Some(Part::Set { ranges, is_negated })
}

impl Part {
    /// Whether it matches one character; `None` stands for a byte that is not UTF-8.
    fn takes(&self, character: Option<char>) -> bool {
        match (self, character) {
            (Self::Any | Self::One, _) => true,
            (Self::Literal(literal), character) => Some(*literal) == character,
            (Self::Set { ranges, is_negated }, Some(character)) => {
                ranges.iter().any(|(start, end)| (*start..=*end).contains(&character)) != *is_negated
            }
            (Self::Set { is_negated, .. }, None) => *is_negated,
        }
    }
}

impl Glob {
    /// Returns whether it matches all of `name`. The time is at most the product of both lengths.
    pub fn matches(&self, name: &[u8]) -> bool {
        let mut characters: Vec<Option<char>> = Vec::with_capacity(name.len());
        for chunk in name.utf8_chunks() {
            characters.extend(chunk.valid().chars().map(Some));
            characters.extend(chunk.invalid().iter().map(|_| None));
        }
        let (mut part, mut at) = (0, 0);
        // Where to go on if the last star takes one more character.
        let mut retry: Option<(usize, usize)> = None;
        while at < characters.len() || part < self.0.len() {
            match self.0.get(part) {
                Some(Part::Any) => {
                    retry = Some((part, at + 1));
                    part += 1;
                    continue;
                }
                Some(one) if at < characters.len() && one.takes(characters[at]) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                _ => {}
            }
            match retry {
                Some((star, next)) if next <= characters.len() => {
                    (part, at) = (star + 1, next);
                    retry = Some((star, next + 1));
                }
                _ => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_those_of_find() {
        for (pattern, matching, others) in [
            ("", &[""][..], &["a"][..]),
            ("abc", &["abc"], &["ab", "abcd", "xabc", ""]),
            ("*", &["", "a", "a/b", "\u{fc}"], &[]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*.conf", &[".conf", "a.conf", "a.conf.conf"], &["a.conf~", "conf"]),
            ("a**b", &["ab", "axxb"], &["a", "b"]),
            ("a*b*c", &["abc", "a-b-b-c-c"], &["acb", "ab"]),
            ("?", &["a", "\u{fc}"], &["", "ab"]),
            ("a?c", &["abc"], &["ac", "abbc"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x", "-x"]),
            ("[!a-c]", &["d", "-"], &["a", ""]),
            ("[]]", &["]"], &["["]),
            ("[a-]", &["a", "-"], &["b"]),
            ("[\\]x]", &["]", "x"], &["\\"]),
            ("\\*", &["*"], &["a", "\\*"]),
        ] {
            let glob: Glob = pattern.parse().expect(pattern);
            for name in matching {
                assert!(glob.matches(name.as_bytes()), "{pattern} {name}");
            }
            for name in others {
                assert!(!glob.matches(name.as_bytes()), "{pattern} {name}");
            }
        }
        let glob: Glob = "a?b".parse().expect("a pattern");
        assert!(glob.matches(b"a\xffb") && !glob.matches(b"a\xff\xffb"));
        for bad in ["[", "[a", "a\\", "[!", "[]"] {
            assert!(bad.parse::<Glob>().is_err(), "{bad}");
        }
    }

    /// A matcher that tries everything would not end.
    #[test]
    fn many_stars_are_fast() {
        let glob: Glob = "*a".repeat(100).parse().expect("a pattern");
        assert!(!glob.matches(&[b'a'; 4000].iter().copied().chain([b'b']).collect::<Vec<_>>()));
    }
}
