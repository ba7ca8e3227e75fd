//! UUIDs as people write them.

use std::fmt;
use std::str::FromStr;

use banger_tree::{Advice, Setting};

use crate::argument::ArgumentError;

/// A UUID, written as 32 hexadecimal digits, with or without the four hyphens of RFC 9562.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let malformed = || {
            ArgumentError::new(Setting("uuid"), text, "not a UUID")
                .with_advice(Advice::new("write one as in 01234567-89ab-cdef-0123-456789abcdef"))
        };
        let hyphens: Vec<usize> = text.match_indices('-').map(|(at, _)| at).collect();
        if !hyphens.is_empty() && hyphens != [8, 13, 18, 23] {
            return Err(malformed());
        }
        let digits: Option<Vec<u8>> = text
            .chars()
            .filter(|digit| *digit != '-')
            .map(|digit| digit.to_digit(16).and_then(|value| u8::try_from(value).ok()))
            .collect();
        let digits: [u8; 32] = digits.and_then(|digits| digits.try_into().ok()).ok_or_else(malformed)?;
        let mut uuid = [0; 16];
        for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Ok(Self(uuid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        let uuid: Uuid = text.parse().unwrap();
        assert_eq!(uuid.0[..5], [0x01, 0x23, 0x45, 0x67, 0x89]);
        assert_eq!(uuid.to_string(), text);
        assert_eq!(text.replace('-', "").to_uppercase().parse::<Uuid>().unwrap(), uuid);
        for bad in ["", "0123", "0123456789abcdef-0123456789abcdef", &text[1..], &text.replace('f', "g")] {
            assert!(bad.parse::<Uuid>().is_err(), "{bad}");
        }
    }
}
