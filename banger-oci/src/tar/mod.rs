//! A strict reader of tar archives: v7, ustar, pax, GNU and star headers; and a writer, of ustar and pax.
//!
//! The meaning of a layer must not depend on its reader. Where readers are known to disagree, the text of the
//! format decides, or banger returns an error. Examples are numbers that do not parse, repeated or dangling
//! extended headers, sparse maps that do not add up, and two names for one entry. [`TarReader`] lends the
//! bytes of files out of the buffers of its input, without a copy.
//!
//! ```
//! use banger_oci::tar::{TarEntry, TarLimits, TarReader};
//!
//! let mut reader = TarReader::new(&[0_u8; 1024][..], TarLimits::default());
//! assert!(!reader.next_entry(&mut TarEntry::default())?);
//! # Ok::<(), banger_oci::tar::TarError>(())
//! ```
//!
//! Formats: POSIX.1-2017 `pax`, section "ustar Interchange Format" and "pax Header Block"; the GNU
//! tar manual's "Basic Tar Format" and "Storing Sparse Files"; star(5).

mod blocks;
mod entry;
mod error;
mod header;
mod limits;
mod number;
mod pax;
mod reader;
mod sparse;
mod sparse_map;
mod ustar;
mod writer;

pub use entry::{TarEntry, TarEntryKind};
pub use error::TarError;
pub(crate) use header::is_header;
pub use limits::TarLimits;
pub use reader::{Data, TarReader};
pub use sparse::Extent;
pub use writer::TarWriter;
