//! pax extended headers: records of `length key=value`.

use std::collections::HashSet;

use banger_tree::{Timestamp, Xattrs};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::number::{decimal, pax_time};
use super::sparse::Extent;

/// The useful records of one `x` header.
#[derive(Debug, Default)]
pub(super) struct PaxFields {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) device_major: Option<u32>,
    pub(super) device_minor: Option<u32>,
    pub(super) is_socket: bool,
    pub(super) has_acl_text: bool,
    pub(super) xattrs: Xattrs,
    pub(super) sparse: SparseFields,
    /// The first key that came more than once.
    pub(super) repeated: Option<Vec<u8>>,
    /// Names of extended attributes that came as their bytes, not in libarchive's encoded form.
    raw_xattrs: HashSet<Vec<u8>>,
}

/// The `GNU.sparse.*` records.
#[derive(Debug, Default)]
pub(super) struct SparseFields {
    /// Format version; absent in 0.0 and 0.1.
    pub(super) version: (Option<u64>, Option<u64>),
    /// The file's real name (0.1 and 1.0); the name in the header is an invented one.
    pub(super) name: Option<Vec<u8>>,
    /// The file's size, holes included: in 0.0 and 0.1, and in 1.0.
    size: Option<u64>,
    real_size: Option<u64>,
    /// Whether the map came as pairs of records.
    has_pairs: bool,
    /// How many pieces the map has (0.0 and 0.1).
    pub(super) block_count: Option<u64>,
    /// The map in the header itself (0.0 and 0.1).
    pub(super) map: Option<Vec<Extent>>,
}

/// Why a header is refused: a reason, or the key of a record whose number is out of range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PaxError {
    Malformed(&'static str),
    Number(&'static str),
}

use PaxError::{Malformed, Number};

impl PaxFields {
    /// Reads all records of one header.
    pub(super) fn parse(mut records: &[u8]) -> Result<Self, PaxError> {
        let mut fields = Self::default();
        let mut seen = HashSet::new();
        let mut offset_of_next = None;
        while !records.is_empty() {
            let Record { key, value, rest } = split_record(records)?;
            records = rest;
            match key {
                // Format 0.0 has one pair of these for every piece of the file.
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                    fields.sparse.add_pair(key, value, &mut offset_of_next)?;
                }
                _ => {
                    // The last one holds, as everywhere.
                    if !seen.insert(key) && fields.repeated.is_none() {
                        fields.repeated = Some(key.to_vec());
                    }
                    match value.is_empty() && !key.starts_with(b"SCHILY.xattr.") {
                        true => fields.take_back(key),
                        false => fields.take(key, value)?,
                    }
                }
            }
        }
        if offset_of_next.is_some() {
            return Err(Malformed("a sparse offset without its length"));
        }
        Ok(fields)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), PaxError> {
        let text = |value: &[u8]| match value.contains(&0) {
            true => Err(Malformed("a name holds a NUL byte")),
            false => Ok(Some(value.to_vec())),
        };
        match key {
            b"path" => self.path = text(value)?,
            b"linkpath" => self.link_path = text(value)?,
            b"size" => self.size = Some(decimal(value).ok_or(Number("size"))?),
            b"uid" => self.uid = Some(narrow(value, "uid")?),
            b"gid" => self.gid = Some(narrow(value, "gid")?),
            b"mtime" => self.mtime = Some(pax_time(value).ok_or(Number("mtime"))?),
            b"SCHILY.devmajor" => self.device_major = Some(narrow(value, "SCHILY.devmajor")?),
            b"SCHILY.devminor" => self.device_minor = Some(narrow(value, "SCHILY.devminor")?),
            b"SCHILY.filetype" => self.is_socket = value == b"socket",
            b"GNU.sparse.major" => self.sparse.version.0 = Some(sparse_number(value)?),
            b"GNU.sparse.minor" => self.sparse.version.1 = Some(sparse_number(value)?),
            b"GNU.sparse.name" => self.sparse.name = text(value)?,
            b"GNU.sparse.size" => self.sparse.size = Some(sparse_number(value)?),
            b"GNU.sparse.realsize" => self.sparse.real_size = Some(sparse_number(value)?),
            b"GNU.sparse.numblocks" => self.sparse.block_count = Some(sparse_number(value)?),
            b"GNU.sparse.map" => self.sparse.set_map(value)?,
            _ => return self.take_prefixed(key, value),
        }
        Ok(())
    }

    /// POSIX: an empty value removes the earlier record; then the header's own field holds again.
    fn take_back(&mut self, key: &[u8]) {
        match key {
            b"path" => self.path = None,
            b"linkpath" => self.link_path = None,
            b"size" => self.size = None,
            b"uid" => self.uid = None,
            b"gid" => self.gid = None,
            b"mtime" => self.mtime = None,
            b"SCHILY.devmajor" => self.device_major = None,
            b"SCHILY.devminor" => self.device_minor = None,
            b"SCHILY.filetype" => self.is_socket = false,
            b"GNU.sparse.major" => self.sparse.version.0 = None,
            b"GNU.sparse.minor" => self.sparse.version.1 = None,
            b"GNU.sparse.name" => self.sparse.name = None,
            b"GNU.sparse.size" => self.sparse.size = None,
            b"GNU.sparse.realsize" => self.sparse.real_size = None,
            b"GNU.sparse.numblocks" => self.sparse.block_count = None,
            b"GNU.sparse.map" => self.sparse.map = None,
            _ => {}
        }
    }

    fn take_prefixed(&mut self, key: &[u8], value: &[u8]) -> Result<(), PaxError> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            check_xattr_name(name)?;
            // The bytes themselves: they win over libarchive's encoded form of the same.
            self.raw_xattrs.insert(name.to_vec());
            self.xattrs.insert(name, value);
        } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let name = percent_decoded(name).ok_or(Malformed("a malformed LIBARCHIVE.xattr name"))?;
            check_xattr_name(&name)?;
            let value = BASE64.decode(value).map_err(|_| Malformed("a malformed LIBARCHIVE.xattr value"))?;
            if !self.raw_xattrs.contains(&name) {
                self.xattrs.insert(name, value);
            }
        } else if key.starts_with(b"SCHILY.acl.") {
            self.has_acl_text = true;
        }
        Ok(())
    }
}

impl SparseFields {
    /// Returns whether any record speaks of a sparse file.
    pub(super) fn is_present(&self) -> bool {
        let Self { version, name, block_count, map, .. } = self;
        version.0.is_some()
            || version.1.is_some()
            || name.is_some()
            || self.file_size().is_some()
            || block_count.is_some()
            || map.is_some()
    }

    /// Returns the file's size, holes included.
    pub(super) fn file_size(&self) -> Option<u64> {
        self.real_size.or(self.size)
    }

    fn add_pair(
        &mut self,
        key: &[u8],
        value: &[u8],
        offset_of_next: &mut Option<u64>,
    ) -> Result<(), PaxError> {
        let number = sparse_number(value)?;
        if key == b"GNU.sparse.offset" {
            return match offset_of_next.replace(number) {
                None => Ok(()),
                Some(_) => Err(Malformed("a sparse offset without its length")),
            };
        }
        let offset = offset_of_next.take().ok_or(Malformed("a sparse length without its offset"))?;
        self.has_pairs = true;
        self.map.get_or_insert_default().push(Extent { offset, length: number });
        Ok(())
    }

    fn set_map(&mut self, value: &[u8]) -> Result<(), PaxError> {
        if self.has_pairs {
            return Err(Malformed("two maps of a sparse file"));
        }
        let mut map = Vec::new();
        let mut numbers = value.split(|byte| *byte == b',').map(sparse_number);
        while let Some(offset) = numbers.next() {
            let length = numbers.next().ok_or(Malformed("a sparse offset without its length"))?;
            map.push(Extent { offset: offset?, length: length? });
        }
        self.map = Some(map);
        Ok(())
    }
}

/// libarchive leaves the padding out; others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One record, and the rest.
struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    rest: &'a [u8],
}

/// Splits the first record off.
fn split_record(records: &[u8]) -> Result<Record<'_>, PaxError> {
    // A length has at most 20 digits.
    let space =
        records.iter().take(21).position(|byte| *byte == b' ').ok_or(Malformed("a record without length"))?;
    let length = decimal(&records[..space])
        .and_then(|length| usize::try_from(length).ok())
        .filter(|length| (space + 1..=records.len()).contains(length))
        .ok_or(Malformed("a record's length is wrong"))?;
    let (record, rest) = records.split_at(length);
    let body = record[space + 1..].strip_suffix(b"\n").ok_or(Malformed("a record's length is wrong"))?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or(Malformed("a record without `=`"))?;
    let (key, value) = (&body[..equals], &body[equals + 1..]);
    if key.is_empty() || key.contains(&0) {
        return Err(Malformed("a record without a proper key"));
    }
    Ok(Record { key, value, rest })
}

fn narrow(value: &[u8], key: &'static str) -> Result<u32, PaxError> {
    decimal(value).and_then(|number| u32::try_from(number).ok()).ok_or(Number(key))
}

fn sparse_number(value: &[u8]) -> Result<u64, PaxError> {
    decimal(value).ok_or(Number("GNU.sparse"))
}

fn check_xattr_name(name: &[u8]) -> Result<(), PaxError> {
    match name.is_empty() || name.contains(&0) {
        true => Err(Malformed("an extended attribute without a proper name")),
        false => Ok(()),
    }
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let [high, low, tail @ ..] = tail else { return None };
        decoded.push(digit(*high)? << 4 | digit(*low)?);
        rest = tail;
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> String {
        let body = key.len() + value.len() + 3;
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        format!("{length} {key}={value}\n")
    }

    #[test]
    fn reads_records() {
        let text = [
            record("path", "a=b\nc"),
            record("comment", ""),
            record("size", "8589934592"),
            record("uid", "4294967295"),
            record("mtime", "-1.5"),
            record("LIBARCHIVE.xattr.user.%41", "YWJj"),
            record("LIBARCHIVE.xattr.user.b", "bm8="),
            record("SCHILY.xattr.user.b", "yes"),
            record("SCHILY.xattr.user.empty", ""),
            record("linkpath", ""),
        ]
        .concat();
        let fields = PaxFields::parse(text.as_bytes()).unwrap();
        assert_eq!(fields.path.as_deref(), Some(&b"a=b\nc"[..]));
        assert_eq!((fields.size, fields.uid, fields.gid), (Some(1 << 33), Some(u32::MAX), None));
        assert_eq!(fields.mtime, Some(Timestamp { seconds: -2, nanoseconds: 500_000_000 }));
        assert_eq!(fields.link_path, None);
        let xattrs = [("user.A", "abc"), ("user.b", "yes"), ("user.empty", "")];
        assert_eq!(fields.xattrs, Xattrs::from_iter(xattrs));
    }

    #[test]
    fn b24_the_last_of_repeated_records_holds() {
        let text = [
            record("path", "a"),
            record("LIBARCHIVE.xattr.user.b", "bm8="),
            record("LIBARCHIVE.xattr.user.b", "YWJj"),
            record("SCHILY.xattr.user.a", "1"),
            record("LIBARCHIVE.xattr.user.a", "YWJj"),
            record("SCHILY.xattr.user.a", "2"),
            record("uid", "7"),
            record("uid", ""),
            record("GNU.sparse.map", "0,1"),
            record("GNU.sparse.map", "2,3"),
            record("path", "b"),
        ]
        .concat();
        let fields = PaxFields::parse(text.as_bytes()).unwrap();
        assert_eq!((fields.path.as_deref(), fields.uid), (Some(&b"b"[..]), None));
        assert_eq!(fields.xattrs, Xattrs::from_iter([("user.a", "2"), ("user.b", "abc")]));
        assert_eq!(fields.sparse.map, Some(vec![Extent { offset: 2, length: 3 }]));
        assert_eq!(fields.repeated.as_deref(), Some(&b"LIBARCHIVE.xattr.user.b"[..]));
        assert_eq!(PaxFields::parse(record("path", "a").as_bytes()).unwrap().repeated, None);
        assert!(PaxFields::parse(b"").unwrap().path.is_none());
    }

    #[test]
    fn refuses_malformed_records() {
        let cases = [
            "6 a=b",
            "7 a=b\n",
            "5 a=b\n",
            "06x a=b\n",
            "a=b\n",
            " a=b\n",
            "-6 a=b\n",
            "99999999999999999999 a=b\n",
            "5 ab\n",
            "5 =b\n",
            "0 ",
            &record("path", "a\0b"),
            &record("size", "-1"),
            &record("size", "1.5"),
            &record("uid", "4294967296"),
            &record("mtime", "yesterday"),
            &record("SCHILY.xattr.", "x"),
            &record("LIBARCHIVE.xattr.user.%4", "YWJj"),
            &record("LIBARCHIVE.xattr.user.a", "*"),
            &record("GNU.sparse.map", "0,1,2"),
            &record("GNU.sparse.offset", "1"),
            &record("GNU.sparse.numbytes", "1"),
        ];
        for text in cases {
            assert!(PaxFields::parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
