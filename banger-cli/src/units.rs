//! Sizes as people write and read them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A size in bytes, written `512M`, `4G`, `4GiB` (powers of 1024) or `4GB` (powers of 1000).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed =
            || format!("{text:?} is not a size; write a number with K, M, G or T, such as 512M or 4GiB");
        let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, unit) = text.split_at(digits);
        let (prefix, base) = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => return number.parse().map(Self).map_err(|_| malformed()),
            unit => {
                match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b').is_none().then_some(unit)) {
                    Some(prefix) => (prefix.to_owned(), 1024_u64),
                    None => (unit.trim_end_matches('b').to_owned(), 1000),
                }
            }
        };
        let power = match prefix.as_str() {
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            _ => return Err(malformed()),
        };
        let factor = base.pow(power);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().map_err(|_| malformed())?;
        let part: u64 = match fraction {
            "" => 0,
            // Three digits after the point are as fine as anybody means.
            digits if digits.len() <= 3 => {
                let thousandths: u64 = format!("{digits:0<3}").parse().map_err(|_| malformed())?;
                (factor / 1000).checked_mul(thousandths).ok_or_else(malformed)?
                    + factor % 1000 * thousandths / 1000
            }
            _ => return Err(malformed()),
        };
        let bytes = whole.checked_mul(factor).and_then(|bytes| bytes.checked_add(part));
        bytes.map(Self).ok_or_else(|| format!("{text} is more than any disk holds"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut unit = 0;
        let mut tenths = u128::from(self.0) * 10;
        while tenths >= 10_240 && unit + 1 < units.len() {
            tenths /= 1024;
            unit += 1;
        }
        match unit {
            0 => write!(formatter, "{} B", self.0),
            _ => write!(formatter, "{}.{} {}", tenths / 10, tenths % 10, units[unit]),
        }
    }
}

/// Returns the length of time that `12h`, `7d` or `4w` means.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    let malformed =
        || format!("{text:?} is not an age; write a number with s, m, h, d or w, such as 12h or 7d");
    let unit = text.chars().next_back().ok_or_else(malformed)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(malformed()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| malformed())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(malformed)
}

/// Returns a length of time in the largest unit that it has one of, as [`parse_age`] reads it.
pub(crate) fn age_text(seconds: u64) -> String {
    let (length, unit) = match seconds {
        0..60 => (1, 's'),
        60..3600 => (60, 'm'),
        3600..86_400 => (3600, 'h'),
        _ => (86_400, 'd'),
    };
    format!("{}{unit}", seconds / length)
}

/// A size, a size behind a plus or minus, or `min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewSize(pub(crate) banger::rootfs::NewSize);

impl FromStr for NewSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use banger::rootfs::NewSize as Wanted;
        Ok(Self(match (text, text.as_bytes().first()) {
            ("min", _) => Wanted::Min,
            (_, Some(b'+')) => Wanted::More(text[1..].parse::<Size>()?.0),
            (_, Some(b'-')) => Wanted::Less(text[1..].parse::<Size>()?.0),
            _ => Wanted::Bytes(text.parse::<Size>()?.0),
        }))
    }
}

/// The size of a new file system: a size, `min`, or how much shall be free, behind a plus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystemSize(pub(crate) banger::ImageSize);

impl FromStr for FileSystemSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use banger::ImageSize;
        Ok(Self(match (text, text.strip_prefix('+')) {
            ("min", _) => ImageSize::Fit { headroom_bytes: 0 },
            (_, Some(headroom)) => ImageSize::Fit { headroom_bytes: headroom.parse::<Size>()?.0 },
            _ => ImageSize::Bytes(text.parse::<Size>()?.0),
        }))
    }
}

/// The size of a journal, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalSize(pub(crate) banger::JournalSize);

impl FromStr for JournalSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "none" => banger::JournalSize::None,
            _ => banger::JournalSize::Bytes(text.parse::<Size>()?.0),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        for (text, want) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("1K", 1024),
            ("512M", 512 << 20),
            ("4G", 4 << 30),
            ("4GiB", 4 << 30),
            ("4gib", 4 << 30),
            ("4GB", 4_000_000_000),
            ("1.5G", 3 << 29),
            ("16T", 16 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(want)), "{text}");
        }
        for bad in ["", "G", "4X", "-1", "4 G", "1.2.3G", "99999999999T", "1.5", "4i", "0x10", "4GiBB"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn writes_sizes() {
        for (bytes, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536 << 10, "1.5 MiB"),
            (1 << 30, "1.0 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), want);
        }
    }

    #[test]
    fn writes_ages() {
        for (seconds, want) in
            [(0, "0s"), (59, "59s"), (60, "1m"), (3599, "59m"), (86_399, "23h"), (864_000, "10d")]
        {
            assert_eq!(age_text(seconds), want);
        }
    }

    #[test]
    fn reads_ages() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("12h", 43_200), ("7d", 604_800), ("1w", 604_800)] {
            assert_eq!(parse_age(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "7", "d", "7y", "-1d", "7ü", "99999999999999999999w"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }
}
