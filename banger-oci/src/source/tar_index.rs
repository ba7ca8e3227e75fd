//! The table of contents of a tar: names, places and links. No content is read.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::archive::normalise;

const BLOCK: u64 = 512;
/// The largest record of long names or pax attributes that is read.
const MAX_RECORD: u64 = 1 << 20;

/// What a name of a tar stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    File {
        offset: u64,
        len: u64,
    },
    /// Its target, relative to the directory of the link.
    Symlink(Vec<u8>),
    /// Its target, relative to the root of the archive.
    HardLink(Vec<u8>),
    /// A directory, device or FIFO.
    Other,
}

/// Attributes of the next entry that come in records before it.
#[derive(Default)]
struct Overrides {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

fn invalid(reason: &str, offset: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{reason}, at byte {offset} of the tar"))
}

/// Indexes a tar. Of entries with the same name the last one counts.
pub(crate) fn index(file: &File) -> io::Result<HashMap<Vec<u8>, Entry>> {
    let total = file.metadata()?.len();
    let mut entries = HashMap::new();
    let mut overrides = Overrides::default();
    let mut at = 0;
    let mut any = false;
    while at < total {
        let mut header = [0; BLOCK as usize];
        file.read_exact_at(&mut header, at).map_err(|_| invalid("a header is cut short", at))?;
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        check_sum(&header).ok_or_else(|| invalid("no tar header", at))?;
        any = true;
        let kind = header[156];
        let own_size = number(&header[124..136]).ok_or_else(|| invalid("a bad size", at))?;
        // Records describe the next entry of another kind, so the size they carry is not theirs.
        let is_record = matches!(kind, b'x' | b'g' | b'L' | b'K');
        let size = if is_record { own_size } else { overrides.size.unwrap_or(own_size) };
        let has_data = !matches!(kind, b'1' | b'2' | b'3' | b'4' | b'5' | b'6');
        let data = at + BLOCK;
        let len = if has_data { size } else { 0 };
        let end = data.checked_add(len).filter(|end| *end <= total);
        let end = end.ok_or_else(|| invalid("an entry is cut short", at))?;
        let record = || -> io::Result<Vec<u8>> {
            if len > MAX_RECORD {
                return Err(invalid("a name record is too large", at));
            }
            let mut bytes = vec![0; usize::try_from(len).expect("checked to be small")];
            file.read_exact_at(&mut bytes, data)?;
            Ok(bytes)
        };
        match kind {
            b'g' => {}
            b'L' => overrides.name = Some(until_nul(&record()?).to_vec()),
            b'K' => overrides.link = Some(until_nul(&record()?).to_vec()),
            b'x' => pax(&record()?, &mut overrides).ok_or_else(|| invalid("a malformed pax record", at))?,
            _ => {
                let own = std::mem::take(&mut overrides);
                let name = own.name.unwrap_or_else(|| header_name(&header));
                let link = own.link.unwrap_or_else(|| until_nul(&header[157..257]).to_vec());
                let entry = match kind {
                    b'0' | 0 | b'7' if !name.ends_with(b"/") => Entry::File { offset: data, len },
                    b'1' => Entry::HardLink(link),
                    b'2' => Entry::Symlink(link),
                    _ => Entry::Other,
                };
                // Names that lead out of the archive cannot be asked for.
                if let Some(name) = normalise(&name, b"") {
                    entries.insert(name, entry);
                }
            }
        }
        at = end.next_multiple_of(BLOCK);
    }
    if any { Ok(entries) } else { Err(invalid("not a tar archive, or an empty one", 0)) }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

fn header_name(header: &[u8; 512]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    // Only the POSIX format has a prefix; GNU keeps times there.
    let prefix = if &header[257..263] == b"ustar\0" { until_nul(&header[345..500]) } else { &b""[..] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// An octal number, or a binary one where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (first, rest) = field.split_first()?;
        return rest.iter().try_fold(u64::from(first & 0x7f), |value, byte| {
            value.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let digits = field.iter().filter(|byte| !matches!(byte, b' ' | 0));
    digits.copied().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// The sum of all bytes, with the field of the sum itself as spaces.
fn check_sum(header: &[u8; 512]) -> Option<()> {
    let stated = number(&header[148..156])?;
    let byte = |(at, byte): (usize, &u8)| {
        if (148..156).contains(&at) { u64::from(b' ') } else { u64::from(*byte) }
    };
    (header.iter().enumerate().map(byte).sum::<u64>() == stated).then_some(())
}

/// Reads `LEN KEY=VALUE\n` records.
fn pax(mut bytes: &[u8], overrides: &mut Overrides) -> Option<()> {
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => overrides.name = Some(value.to_vec()),
            b"linkpath" => overrides.link = Some(value.to_vec()),
            b"size" => overrides.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            _ => {}
        }
        bytes = &bytes[len..];
    }
    Some(())
}
