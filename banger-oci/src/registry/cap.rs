//! How large a document may be that is read into memory.

use banger_tree::Setting;

use crate::registry::error::PullError;

/// How large a document may be that is read into memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cap {
    bytes: u64,
    /// The option that raises it.
    setting: Setting,
}

impl Cap {
    pub(crate) fn check(self, size_bytes: u64, what: &str) -> Result<(), PullError> {
        let Self { bytes: limit_bytes, setting } = self;
        if size_bytes <= limit_bytes {
            return Ok(());
        }
        Err(PullError::TooLarge { what: what.to_owned(), size_bytes, limit_bytes, setting })
    }

    /// One that the option `setting` raises.
    pub(crate) const fn new(bytes: u64, setting: Setting) -> Self {
        Self { bytes, setting }
    }

    pub(crate) fn bytes(self) -> u64 {
        self.bytes
    }

    /// One that no option raises, whose error the caller replaces.
    pub(crate) const fn fixed(bytes: u64) -> Self {
        Self { bytes, setting: Setting("") }
    }
}
