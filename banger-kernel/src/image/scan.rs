//! Texts inside a kernel: its release, and the configuration that `CONFIG_IKCONFIG` puts into it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use memchr::memmem::Finder;

use crate::find::is_release;

const BANNER: &[u8] = b"Linux version ";
/// In front of the configuration, which is compressed with gzip (`kernel/configs.c`).
const CONFIG_START: &[u8] = b"IKCFG_ST\x1f\x8b";
/// Bytes of the magic number within [`CONFIG_START`].
const CONFIG_START_LEN: u64 = 8;
/// Bytes that are looked at together, and how many of them are looked at again.
const WINDOW: usize = 1 << 20;
const OVERLAP: usize = 128;

/// The texts that were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KernelTexts {
    pub(super) release: Option<String>,
    /// Position of the compressed configuration.
    pub(super) config_offset: Option<u64>,
}

/// Looks for the texts in a kernel that is not compressed; `stop` is asked between two pieces.
pub(super) fn find_texts<E: From<io::Error>>(
    file: &File,
    stop: impl Fn() -> Result<(), E>,
) -> Result<KernelTexts, E> {
    let (banner, config) = (Finder::new(BANNER), Finder::new(CONFIG_START));
    let mut texts = KernelTexts::default();
    let mut window = vec![0; WINDOW + OVERLAP];
    let mut offset = 0;
    loop {
        stop()?;
        let length = read_full(file, &mut window, offset)?;
        let bytes = &window[..length];
        if texts.release.is_none() {
            texts.release = banner.find_iter(bytes).find_map(|at| release_at(&bytes[at + BANNER.len()..]));
        }
        if texts.config_offset.is_none() {
            texts.config_offset = config.find(bytes).map(|at| offset + at as u64 + CONFIG_START_LEN);
        }
        let is_complete = texts.release.is_some() && texts.config_offset.is_some();
        if is_complete || length < window.len() {
            return Ok(texts);
        }
        offset += WINDOW as u64;
    }
}

/// Returns the release that a banner names.
fn release_at(text: &[u8]) -> Option<String> {
    let end = text.iter().take(OVERLAP).position(|byte| *byte == b' ')?;
    let release = str::from_utf8(&text[..end]).ok()?;
    (release.starts_with(|c: char| c.is_ascii_digit()) && is_release(release)).then(|| release.to_owned())
}

/// Returns the configuration at `offset`, of at most `limit_bytes`, or `None` if it cannot be decoded.
pub(super) fn read_config(file: &File, offset: u64, limit_bytes: u64) -> Option<Vec<u8>> {
    let mut config = Vec::new();
    let compressed = FileFrom { file, offset };
    flate2::read::GzDecoder::new(compressed).take(limit_bytes + 1).read_to_end(&mut config).ok()?;
    (config.len() as u64 <= limit_bytes).then_some(config)
}

/// Reads a file from a position on.
struct FileFrom<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for FileFrom<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
