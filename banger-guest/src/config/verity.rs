//! The root file system that dm-verity verifies, on the kernel's command line.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::command_line::KernelCommandLine;

/// The word of the kernel command line.
const KEY: &str = "banger.verity";

/// A root file system that dm-verity verifies: `banger.verity=ROOT_HASH:DATA:TREE:OFFSET:BLOCKS` on the kernel command
/// line. The hash is SHA-256, and blocks have 4096 bytes.
///
/// ```
/// use banger_guest::config::{KernelCommandLine, VerityRoot};
///
/// let hash = "5f".repeat(32);
/// let line = KernelCommandLine::parse(&format!("banger.verity={hash}:/dev/vda:/dev/vdb:0:262144"));
/// let root = VerityRoot::from_command_line(&line)?.expect("the line has one");
/// assert_eq!((root.tree.as_str(), root.data_blocks), ("/dev/vdb", 262_144));
/// # Ok::<(), banger_guest::config::VerityRootError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerityRoot {
    /// The root hash: 64 hexadecimal digits in lower case.
    pub root_hash: String,
    /// The device with the file system, named as in `root=`.
    pub data: String,
    /// The device with the hash tree, which may be the same one.
    pub tree: String,
    /// Where the superblock of the tree begins on its device.
    pub offset_bytes: u64,
    /// Blocks of the file system.
    pub data_blocks: u64,
}

/// Why a text does not name a verified root.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("banger.verity={text} is not understood; give ROOT_HASH:DATA:TREE:OFFSET:BLOCKS")]
pub struct VerityRootError {
    text: String,
}

impl VerityRoot {
    /// Returns the root with the hash `root_hash` of a file system of so many blocks.
    ///
    /// # Errors
    ///
    /// The hash is not 64 hexadecimal digits, the offset is not a multiple of 4096, there are no blocks, or the name
    /// of a device has a colon or white space.
    pub fn new(
        root_hash: impl Into<String>,
        (data, data_blocks): (impl Into<String>, u64),
        (tree, offset_bytes): (impl Into<String>, u64),
    ) -> Result<Self, VerityRootError> {
        let (root_hash, data, tree) = (root_hash.into(), data.into(), tree.into());
        let root = Self { root_hash, data, tree, offset_bytes, data_blocks };
        let is_hash = root.root_hash.len() == 64
            && root.root_hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_name = |name: &String| {
            !name.is_empty() && !name.contains(|one: char| one == ':' || one == '"' || one.is_whitespace())
        };
        // The kernel counts sectors of 512 bytes in 64 bits.
        let is_possible = (1..=1 << 52).contains(&data_blocks) && offset_bytes % 4096 == 0;
        match is_hash && is_possible && is_name(&root.data) && is_name(&root.tree) {
            true => Ok(root),
            false => Err(VerityRootError { text: root.text() }),
        }
    }

    /// Returns the root of the command line; `None` if it names none.
    ///
    /// # Errors
    ///
    /// The word does not parse.
    pub fn from_command_line(line: &KernelCommandLine) -> Result<Option<Self>, VerityRootError> {
        line.value(KEY).map(str::parse).transpose()
    }

    fn text(&self) -> String {
        let Self { root_hash, data, tree, offset_bytes, data_blocks } = self;
        format!("{root_hash}:{data}:{tree}:{offset_bytes}:{data_blocks}")
    }
}

/// The word of the kernel command line.
impl fmt::Display for VerityRoot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{KEY}={}", self.text())
    }
}

impl FromStr for VerityRoot {
    type Err = VerityRootError;

    fn from_str(text: &str) -> Result<Self, VerityRootError> {
        let bad = || VerityRootError { text: text.to_owned() };
        let fields: Vec<&str> = text.split(':').collect();
        let [root_hash, data, tree, offset, blocks] = fields.as_slice() else { return Err(bad()) };
        let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
        Self::new(*root_hash, (*data, number(blocks)?), (*tree, number(offset)?)).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        let hash = "0a".repeat(32);
        for (data, tree, offset) in [
            ("/dev/vda", "/dev/vdb", 0),
            ("/dev/vda", "/dev/vda", 1 << 30),
            ("PARTUUID=0011-22", "UUID=1234", 4096),
        ] {
            let root = VerityRoot::new(hash.clone(), (data, 7), (tree, offset)).expect("it is right");
            let line = KernelCommandLine::parse(&format!("quiet {root} ro"));
            assert_eq!(VerityRoot::from_command_line(&line), Ok(Some(root)));
        }
        assert_eq!(VerityRoot::from_command_line(&KernelCommandLine::parse("ro")), Ok(None));
    }

    #[test]
    fn malformed_words_are_refused() {
        let hash = "0a".repeat(32);
        for text in [
            "".to_owned(),
            hash.clone(),
            format!("{hash}:/dev/vda:/dev/vdb:0"),
            format!("{hash}:/dev/vda:/dev/vdb:0:1:2"),
            format!("{}:/dev/vda:/dev/vdb:0:1", &hash[1..]),
            format!("{}:/dev/vda:/dev/vdb:0:1", hash.to_uppercase()),
            format!("{hash}::/dev/vdb:0:1"),
            format!("{hash}:/dev/vda:/dev/vdb:1:1"),
            format!("{hash}:/dev/vda:/dev/vdb:0:0"),
            format!("{hash}:/dev/vda:/dev/vdb:0:18446744073709551615"),
            format!("{hash}:/dev/vda:/dev/vdb:-4096:1"),
        ] {
            let error = text.parse::<VerityRoot>().expect_err(&text);
            assert_eq!(error, VerityRootError { text });
        }
    }
}
