//! How the file system of an image is made.

use banger_ext4::{Ext4Options, ImageSize, JournalSize};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The file system that a pull or a build makes.
///
/// In a record it has only what differs from the default: `size_bytes`, `size_at_least_bytes` or `headroom_bytes`,
/// `inodes`, `label`, `uuid`, `journal_bytes` (0 for none) and `reserved_blocks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Fields", from = "Fields")]
#[non_exhaustive]
pub struct FileSystemOptions {
    /// How large it is.
    pub size: ImageSize,
    /// Smallest number of inodes; `None` for one for each 16 KiB.
    pub inodes: Option<u32>,
    /// Its name, at most 16 bytes.
    pub label: String,
    /// Its UUID; `None` makes it from the content.
    pub uuid: Option<Uuid>,
    /// How large its journal is.
    pub journal: JournalSize,
    /// Blocks of 4 KiB that only root can fill.
    pub reserved_blocks: u64,
}

banger_tree::setters! {
    FileSystemOptions {
        with_size => size: ImageSize,
        with_inodes => inodes: Option<u32>,
        with_label => label: String,
        with_uuid => uuid: Option<Uuid>,
        with_journal => journal: JournalSize,
        with_reserved_blocks => reserved_blocks: u64,
    }
}

impl FileSystemOptions {
    /// Returns the options for a backend, all but the UUID.
    pub(crate) fn to_ext4(&self) -> Ext4Options {
        Ext4Options::default()
            .with_size(self.size)
            .with_inodes(self.inodes)
            .with_label(self.label.clone())
            .with_journal(self.journal)
            .with_reserved_blocks(self.reserved_blocks)
    }

    /// Returns the first setting that differs from the default, and its value.
    pub(crate) fn first_setting(&self) -> Option<(&'static str, String)> {
        let fields = Fields::from(self.clone());
        let number = |name, value: Option<u64>| Some((name, value?.to_string()));
        number("size", fields.size_bytes.or(fields.size_at_least_bytes))
            .or_else(|| number("headroom", fields.headroom_bytes))
            .or_else(|| number("inodes", fields.inodes.map(u64::from)))
            .or_else(|| Some(("label", fields.label?)))
            .or_else(|| Some(("uuid", fields.uuid?.to_string())))
            .or_else(|| number("journal", fields.journal_bytes))
            .or_else(|| number("reserved_blocks", fields.reserved_blocks))
    }
}

/// The options in JSON.
#[derive(Serialize, Deserialize)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size_at_least_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headroom_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inodes: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uuid: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    journal_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reserved_blocks: Option<u64>,
}

impl From<FileSystemOptions> for Fields {
    fn from(options: FileSystemOptions) -> Self {
        let FileSystemOptions { size, inodes, label, uuid, journal, reserved_blocks } = options;
        Self {
            size_bytes: size.exact_bytes(),
            size_at_least_bytes: match size {
                ImageSize::Auto { at_least_bytes } if size != ImageSize::DEFAULT => Some(at_least_bytes),
                _ => None,
            },
            headroom_bytes: match size {
                ImageSize::Fit { headroom_bytes } => Some(headroom_bytes),
                _ => None,
            },
            inodes,
            label: Some(label).filter(|label| !label.is_empty()),
            uuid,
            journal_bytes: match journal {
                JournalSize::None => Some(0),
                JournalSize::Bytes(bytes) => Some(bytes),
                _ => None,
            },
            reserved_blocks: Some(reserved_blocks).filter(|blocks| *blocks > 0),
        }
    }
}

impl From<Fields> for FileSystemOptions {
    fn from(fields: Fields) -> Self {
        let size = match fields {
            Fields { size_bytes: Some(bytes), .. } => ImageSize::Bytes(bytes),
            Fields { headroom_bytes: Some(headroom_bytes), .. } => ImageSize::Fit { headroom_bytes },
            Fields { size_at_least_bytes: Some(at_least_bytes), .. } => ImageSize::Auto { at_least_bytes },
            _ => ImageSize::DEFAULT,
        };
        Self {
            size,
            inodes: fields.inodes,
            label: fields.label.unwrap_or_default(),
            uuid: fields.uuid,
            journal: fields.journal_bytes.map_or(JournalSize::Usual, JournalSize::of_bytes),
            reserved_blocks: fields.reserved_blocks.unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_what_differs_from_the_default() {
        let base = FileSystemOptions::default;
        for (options, want, setting) in [
            (base(), "{}", None),
            (base().with_size(ImageSize::Bytes(7)), r#"{"size_bytes":7}"#, Some("size")),
            (
                base().with_size(ImageSize::Auto { at_least_bytes: 0 }),
                r#"{"size_at_least_bytes":0}"#,
                Some("size"),
            ),
            (
                base().with_size(ImageSize::Fit { headroom_bytes: 0 }),
                r#"{"headroom_bytes":0}"#,
                Some("headroom"),
            ),
            (base().with_inodes(Some(9)), r#"{"inodes":9}"#, Some("inodes")),
            (base().with_label("data".to_owned()), r#"{"label":"data"}"#, Some("label")),
            (
                base().with_uuid(Some(Uuid::from_bytes([0; 16]))),
                r#"{"uuid":"00000000-0000-0000-0000-000000000000"}"#,
                Some("uuid"),
            ),
            (base().with_journal(JournalSize::None), r#"{"journal_bytes":0}"#, Some("journal")),
            (base().with_journal(JournalSize::Bytes(5)), r#"{"journal_bytes":5}"#, Some("journal")),
            (base().with_reserved_blocks(3), r#"{"reserved_blocks":3}"#, Some("reserved_blocks")),
        ] {
            assert_eq!(serde_json::to_string(&options).unwrap(), want);
            assert_eq!(serde_json::from_str::<FileSystemOptions>(want).unwrap(), options);
            assert_eq!(options.first_setting().map(|(name, _)| name), setting);
        }
    }
}
