//! Digests of the plain bytes of windows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PREFIX: &str = "blake3:";

/// The BLAKE3 digest of the bytes of a window, written as `blake3:` and 64 hexadecimal digits.
///
/// The blob of a window has a SHA-256 digest, as the specification wants. This one is for the bytes in the file, of
/// which there are several times as many: BLAKE3 is several times faster.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WindowDigest(blake3::Hash);

impl WindowDigest {
    /// Returns the digest of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }
}

impl fmt::Display for WindowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0.to_hex())
    }
}

impl fmt::Debug for WindowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no digest of a window.
#[derive(Debug, thiserror::Error)]
#[error("it is not `blake3:` and 64 hexadecimal digits in lower case")]
pub(super) struct NoWindowDigest;

impl FromStr for WindowDigest {
    type Err = NoWindowDigest;

    fn from_str(text: &str) -> Result<Self, NoWindowDigest> {
        let digits = text.strip_prefix(PREFIX).ok_or(NoWindowDigest)?;
        // One digest has one text.
        if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
            return Err(NoWindowDigest);
        }
        blake3::Hash::from_hex(digits).map(Self).map_err(|_| NoWindowDigest)
    }
}

impl Serialize for WindowDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WindowDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_one_text() {
        // From the test vectors of BLAKE3: no bytes.
        let empty = "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(WindowDigest::of(b"").to_string(), empty);
        assert_eq!(empty.parse::<WindowDigest>().unwrap(), WindowDigest::of(b""));
        for text in [
            "",
            "blake3:",
            "blake3:af13",
            "sha256:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            "blake3:AF1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
            "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f32620",
        ] {
            assert!(text.parse::<WindowDigest>().is_err(), "{text}");
        }
    }
}
