//! Sources of the bytes of a layer.

use std::fmt;
use std::io::{self, Read};

use super::name::LayerName;
use crate::digest::Digest;

/// One layer to apply.
pub trait LayerSource: Send + Sync {
    /// Opens the layer's bytes as they are published, compressed or not.
    ///
    /// Called on the thread that flattens, so it must not wait for a download. The reader may wait: another
    /// thread reads it. The reader is read to its end unless the run fails. An error at its end (a wrong
    /// digest) fails the run.
    ///
    /// # Errors
    /// The layer cannot be opened.
    fn open(&self) -> io::Result<Box<dyn Read + Send>>;

    /// Returns the name of the layer for errors. The source must check the published bytes against their
    /// digest.
    fn name(&self) -> LayerName;

    /// Returns the digest of the tar in the image's configuration, which [`flatten`](super::flatten())
    /// checks; `None` for a tar that belongs to no image.
    fn diff_id(&self) -> Option<&Digest>;

    /// Returns the length of the published bytes; 0 if it is unknown.
    fn size_bytes(&self) -> u64;

    /// Called if the tar does not have its [`diff_id`](Self::diff_id). A source with a cache then removes the
    /// layer from the cache, so that no build uses it again.
    ///
    /// # Errors
    /// It cannot be removed.
    fn discard(&self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: LayerSource + ?Sized> LayerSource for &S {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        (**self).open()
    }
    fn name(&self) -> LayerName {
        (**self).name()
    }
    fn diff_id(&self) -> Option<&Digest> {
        (**self).diff_id()
    }
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }
    fn discard(&self) -> io::Result<()> {
        (**self).discard()
    }
}

impl<S: LayerSource + ?Sized> LayerSource for Box<S> {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        (**self).open()
    }
    fn name(&self) -> LayerName {
        (**self).name()
    }
    fn diff_id(&self) -> Option<&Digest> {
        (**self).diff_id()
    }
    fn size_bytes(&self) -> u64 {
        (**self).size_bytes()
    }
    fn discard(&self) -> io::Result<()> {
        (**self).discard()
    }
}

/// A tar that belongs to no image, compressed or not, as the only layer of a root file system.
///
/// It has no digest, so the checksums of its compression are checked.
#[derive(Clone)]
pub struct TarLayer<F> {
    name: String,
    open: F,
}

impl<F> TarLayer<F> {
    /// Returns the tar that `open` opens; `name` names it in errors.
    pub fn new(name: impl Into<String>, open: F) -> Self {
        Self { name: name.into(), open }
    }
}

impl<F> fmt::Debug for TarLayer<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TarLayer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F, R> LayerSource for TarLayer<F>
where
    F: Fn() -> io::Result<R> + Send + Sync,
    R: Read + Send + 'static,
{
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new((self.open)()?))
    }
    fn name(&self) -> LayerName {
        LayerName::Archive(self.name.clone())
    }
    fn diff_id(&self) -> Option<&Digest> {
        None
    }
    fn size_bytes(&self) -> u64 {
        0
    }
}
