//! Modes in the syntax of `chmod`.

use std::str::FromStr;

use super::error::EditError;

const ALL: u16 = 0o7777;
const SET_IDS: u16 = 0o6000;

/// A change of a mode: octal (`644`, `4755`) or symbolic (`u+x`, `go-w`, `a=rX`, `g=u`), as GNU `chmod` reads
/// it. A clause without `ugoa` means all three; the umask does not count.
///
/// As with GNU, setuid and setgid of a directory stay unless they are mentioned; an octal mode of
/// five digits mentions them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeChange {
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    operation: Operation,
    /// The bits that the step may touch.
    affected: u16,
    value: Value,
    /// Bits that were asked for by name.
    mentioned: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Bits {
        bits: u16,
        /// `X`: execute or search permission, if it is a directory or any user may execute it.
        search: bool,
    },
    /// The permissions of the owner, the group or the others, by their bits.
    Copy(u16),
}

impl FromStr for ModeChange {
    type Err = EditError;

    fn from_str(text: &str) -> Result<Self, EditError> {
        let malformed = || EditError::Mode { text: text.to_owned() };
        let is_octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        if is_octal {
            let bits = u16::from_str_radix(text, 8).ok().filter(|bits| *bits <= ALL).ok_or_else(malformed)?;
            let mentioned = if text.len() < 5 { bits & SET_IDS | 0o1777 } else { ALL };
            let value = Value::Bits { bits, search: false };
            let step = Step { operation: Operation::Set, affected: ALL, value, mentioned };
            return Ok(Self { steps: vec![step] });
        }
        let mut steps = Vec::new();
        for clause in text.split(',') {
            parse_clause(clause, &mut steps).ok_or_else(malformed)?;
        }
        Ok(Self { steps })
    }
}

fn parse_clause(clause: &str, steps: &mut Vec<Step>) -> Option<()> {
    let whose = clause.find(['+', '-', '='])?;
    let (who, mut rest) = clause.split_at(whose);
    let mut affected = 0;
    for letter in who.chars() {
        affected |= match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => ALL,
            _ => return None,
        };
    }
    if who.is_empty() {
        affected = ALL;
    }
    while let Some(sign) = rest.chars().next() {
        let operation = match sign {
            '+' => Operation::Add,
            '-' => Operation::Remove,
            '=' => Operation::Set,
            _ => return None,
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
        let letters = &rest[1..end];
        rest = &rest[end..];
        let value = match letters {
            "u" => Value::Copy(0o700),
            "g" => Value::Copy(0o070),
            "o" => Value::Copy(0o007),
            letters => permissions(letters)?,
        };
        let mentioned = match value {
            Value::Bits { bits, .. } => bits & affected,
            Value::Copy(_) => 0,
        };
        steps.push(Step { operation, affected, value, mentioned });
    }
    Some(())
}

fn permissions(letters: &str) -> Option<Value> {
    let (mut bits, mut search) = (0, false);
    for letter in letters.chars() {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            's' => bits |= SET_IDS,
            't' => bits |= 0o1000,
            'X' => search = true,
            _ => return None,
        }
    }
    Some(Value::Bits { bits, search })
}

impl ModeChange {
    /// Returns the changed `mode`, permission bits from `0` to `0o7777`.
    pub fn applied_to(&self, mode: u16, is_directory: bool) -> u16 {
        self.steps.iter().fold(mode & ALL, |mode, step| step.applied_to(mode, is_directory))
    }
}

impl Step {
    fn applied_to(self, mode: u16, is_directory: bool) -> u16 {
        let kept = if is_directory { SET_IDS & !self.mentioned } else { 0 };
        let bits = match self.value {
            Value::Bits { bits, search } if search && (is_directory || mode & 0o111 != 0) => bits | 0o111,
            Value::Bits { bits, .. } => bits,
            Value::Copy(of) => {
                let given = mode & of;
                [0o444, 0o222, 0o111].into_iter().filter(|kind| given & kind != 0).sum()
            }
        };
        let bits = bits & self.affected & !kept;
        match self.operation {
            Operation::Add => mode | bits,
            Operation::Remove => mode & !bits,
            Operation::Set => mode & (!self.affected | kept) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_modes_as_gnu_chmod_does() {
        for (text, before, is_directory, want) in [
            ("644", 0o777, false, 0o644),
            ("0", 0o6777, false, 0),
            ("4755", 0o644, false, 0o4755),
            ("755", 0o2700, true, 0o2755),
            ("00755", 0o2700, true, 0o755),
            ("2755", 0o700, true, 0o2755),
            ("755", 0o6700, false, 0o755),
            ("1777", 0o755, true, 0o1777),
            ("u+x", 0o644, false, 0o744),
            ("+x", 0o644, false, 0o755),
            ("a-x", 0o755, false, 0o644),
            ("go-rwx", 0o755, false, 0o700),
            ("u=rw,go=r", 0o777, false, 0o644),
            ("u=rwx,g=rx,o=", 0o2755, true, 0o2750),
            ("a+rX", 0o600, false, 0o644),
            ("a+rX", 0o700, false, 0o755),
            ("a+rX", 0o600, true, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("o+g", 0o650, false, 0o655),
            ("ug+s", 0o755, false, 0o6755),
            ("o+s", 0o755, false, 0o755),
            ("+t", 0o777, true, 0o1777),
            ("u-s", 0o4755, false, 0o755),
            ("g-s", 0o2755, true, 0o755),
            ("u+w-x", 0o555, false, 0o655),
            ("=", 0o755, false, 0),
        ] {
            let change: ModeChange = text.parse().unwrap();
            let after = change.applied_to(before, is_directory);
            assert_eq!(after, want, "{text} on {before:o}: {after:o}, not {want:o}");
        }
        for bad in ["", "8", "77777", "x", "u", "u+q", "z+x", "u+x,", "-1", "u+gr", "ü+x"] {
            assert!(bad.parse::<ModeChange>().is_err(), "{bad:?}");
        }
    }
}
