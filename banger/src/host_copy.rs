//! Files of the host that are copied into a file system.

use std::str::FromStr;

use camino::Utf8PathBuf;

use crate::rootfs::{Destination, Edit, EditError, Put, PutSource};

/// A file or directory of the host that is copied into a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostCopy {
    /// The file or directory.
    pub source: Utf8PathBuf,
    /// A path in the file system, or a directory of it. Missing directories are made.
    pub destination: String,
}

impl HostCopy {
    /// Returns the copy of `source` to `destination`.
    pub fn new(source: impl Into<Utf8PathBuf>, destination: impl Into<String>) -> Self {
        Self { source: source.into(), destination: destination.into() }
    }

    /// Copies the file or directory, as [`Edit::put`] does.
    pub(crate) fn put_into(&self, edit: &mut Edit<'_>) -> Result<(), EditError> {
        let source = PutSource::Path(self.source.as_std_path().to_owned());
        let to = Destination::parse(self.destination.as_bytes())?;
        edit.put(vec![source], &to, &Put::default().with_parents(true)).map(drop)
    }
}

/// The text does not name a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write it as FILE:/PATH")]
#[non_exhaustive]
pub struct UnknownCopy;

impl FromStr for HostCopy {
    type Err = UnknownCopy;

    /// Parses `FILE:/PATH`. The last `:/` divides them: paths of the host may have colons.
    fn from_str(text: &str) -> Result<Self, UnknownCopy> {
        match text.rsplit_once(":/") {
            Some((source, path)) if !source.is_empty() => Ok(Self::new(source, format!("/{path}"))),
            _ => Err(UnknownCopy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_divided_at_the_last_absolute_path() {
        let copy = |text: &str| text.parse::<HostCopy>();
        assert_eq!(copy("./app:/srv"), Ok(HostCopy::new("./app", "/srv")));
        assert_eq!(copy("/a:b:/etc/x:y"), Ok(HostCopy::new("/a:b", "/etc/x:y")));
        for bad in ["", "app", "app:srv", ":/srv"] {
            assert_eq!(copy(bad), Err(UnknownCopy), "{bad}");
        }
    }
}
