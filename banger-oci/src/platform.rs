//! Platforms: operating system, architecture and variant.

use std::fmt;
use std::str::FromStr;

use banger_tree::{Advice, ErrorKind, Failure};
use serde::{Deserialize, Serialize};

/// The platform of an image, in the spelling of the image specification (`linux/arm64/v8`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The operating system, `linux` for everything banger builds.
    pub os: String,
    /// The architecture under its Go name: `amd64`, `arm64`, `arm`, `riscv64`, …
    pub architecture: String,
    /// The variant of the architecture: `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A string that is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a platform")]
#[non_exhaustive]
pub struct PlatformError {
    /// The string.
    pub text: String,
}

impl PlatformError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        506
    }
}

impl Failure for PlatformError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Argument
    }

    fn advice(&self) -> Option<Advice> {
        Some(Advice::new("write OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64"))
    }
}

impl Platform {
    /// The platform of the machine this runs on.
    #[must_use]
    pub fn host() -> Self {
        Self::normalised("linux", std::env::consts::ARCH, None)
    }

    fn normalised(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let os = os.to_ascii_lowercase();
        let (architecture, implied) = match architecture.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => ("amd64".to_owned(), None),
            "aarch64" => ("arm64".to_owned(), None),
            "armhf" => ("arm".to_owned(), Some("v7")),
            "armel" => ("arm".to_owned(), Some("v6")),
            "i386" | "i686" | "x86" => ("386".to_owned(), None),
            "powerpc64le" | "ppc64el" => ("ppc64le".to_owned(), None),
            "loongarch64" => ("loong64".to_owned(), None),
            other => (other.to_owned(), None),
        };
        let variant = variant
            .filter(|variant| !variant.is_empty())
            .or(implied)
            .map(str::to_ascii_lowercase)
            .map(|v| if v.starts_with(|c: char| c.is_ascii_digit()) { format!("v{v}") } else { v });
        Self { os, architecture, variant }
    }

    /// Returns how well an image for `offered` runs on `self`: higher is better, `None` is not at all.
    ///
    /// Older variants of arm and amd64 run on newer ones; a missing variant means the baseline
    /// of the architecture (arm: v7, arm64: v8, amd64: v1).
    #[must_use]
    pub fn rank(&self, offered: &Self) -> Option<u32> {
        let wanted = Self::normalised(&self.os, &self.architecture, self.variant.as_deref());
        let offered = Self::normalised(&offered.os, &offered.architecture, offered.variant.as_deref());
        if wanted.os != offered.os || wanted.architecture != offered.architecture {
            return None;
        }
        let baseline = match wanted.architecture.as_str() {
            "arm" => "v7",
            "arm64" => "v8",
            "amd64" => "v1",
            _ => "",
        };
        let wanted_variant = wanted.variant.as_deref().unwrap_or(baseline);
        let offered_variant = offered.variant.as_deref().unwrap_or(baseline);
        if wanted_variant == offered_variant {
            // Said in so many words is better than meant.
            return Some(u32::MAX - u32::from(wanted.variant != offered.variant));
        }
        match (level(wanted_variant), level(offered_variant)) {
            (Some(wanted), Some(offered)) if offered < wanted => Some(offered),
            _ => None,
        }
    }
}

impl Platform {
    /// Returns whether two platforms of an image agree. A variant that only one of them gives does not
    /// matter.
    #[cfg(feature = "registry")]
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let [one, other] = [self, other].map(|platform| {
            Self::normalised(&platform.os, &platform.architecture, platform.variant.as_deref())
        });
        let variants = (one.variant.as_deref(), other.variant.as_deref());
        one.os == other.os
            && one.architecture == other.architecture
            && !matches!(variants, (Some(one), Some(other)) if one != other)
    }
}

/// `v8` and `v8.2` as numbers that compare.
fn level(variant: &str) -> Option<u32> {
    let (major, minor) = match variant.strip_prefix('v')?.split_once('.') {
        Some((major, minor)) => (major, minor.parse::<u8>().ok()?),
        None => (variant.strip_prefix('v')?, 0),
    };
    let major: u8 = major.parse().ok()?;
    Some(u32::from(major) * 256 + u32::from(minor))
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        let sound = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if !parts.iter().all(sound) {
            return Err(PlatformError { text: text.to_owned() });
        }
        match parts[..] {
            [os, architecture] => Ok(Self::normalised(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::normalised(os, architecture, Some(variant))),
            _ => Err(PlatformError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn spellings_are_normalised() {
        for (text, canonical) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
        ] {
            assert_eq!(platform(text).to_string(), canonical);
        }
        for text in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/am d64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
        assert_eq!(Platform::host().os, "linux");
    }

    #[test]
    fn b41_variants_are_ranked() {
        let order = |wanted: &str, offered: &[&str]| {
            let wanted = platform(wanted);
            let mut ranked: Vec<_> = offered
                .iter()
                .filter_map(|text| wanted.rank(&platform(text)).map(|rank| (rank, *text)))
                .collect();
            ranked.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
            ranked.into_iter().map(|(_, text)| text.to_owned()).collect::<Vec<_>>()
        };
        let arm = ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/amd64"];
        assert_eq!(order("linux/arm/v7", &arm), ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]);
        assert_eq!(order("linux/arm", &arm), ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]);
        assert_eq!(order("linux/arm/v6", &arm), ["linux/arm/v6", "linux/arm/v5"]);
        assert_eq!(order("linux/arm64", &arm), ["linux/arm64/v8"]);
        assert_eq!(order("linux/arm64/v8", &["linux/arm64", "linux/arm64/v9"]), ["linux/arm64"]);
        assert_eq!(order("linux/amd64", &["linux/amd64/v3", "linux/amd64"]), ["linux/amd64"]);
        assert_eq!(
            order("linux/amd64/v3", &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"]),
            ["linux/amd64/v2", "linux/amd64"]
        );
        assert!(order("linux/riscv64", &arm).is_empty());
        assert!(order("windows/amd64", &arm).is_empty());
    }
}
