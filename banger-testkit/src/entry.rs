//! One tar entry with every field of its header in the test's hands.

/// The size of a tar header and the unit that content is padded to.
pub const BLOCK_BYTES: usize = 512;

/// The dialect that a header is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// POSIX ustar: long paths are split at the prefix, nothing else can grow.
    Ustar,
    /// ustar with a PAX extended header for what does not fit.
    Pax,
    /// GNU: `L` and `K` entries for long names, base-256 for large numbers.
    Gnu,
}

/// A tar entry. What is not set says root's, mode 0644 or 0755, time 0.
///
/// Values that the header has no room for are written as the [`Format`] has it;
/// [`patch`](Self::patch) and [`checksum`](Self::checksum) write what no archiver does.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link_target: Vec<u8>,
    type_flag: u8,
    mode: u64,
    uid: u64,
    gid: u64,
    size_bytes: Option<u64>,
    mtime_seconds: i64,
    mtime_nanoseconds: u32,
    device: Option<(u64, u64)>,
    owner_names: (Vec<u8>, Vec<u8>),
    format: Format,
    pax: Vec<(Vec<u8>, Vec<u8>)>,
    patches: Vec<(usize, Vec<u8>)>,
    checksum: Option<u32>,
    content: Vec<u8>,
}

impl Entry {
    /// An entry of any type flag, with mode 0644.
    pub fn new(type_flag: u8, path: impl AsRef<[u8]>) -> Self {
        Self {
            path: path.as_ref().to_vec(),
            link_target: Vec::new(),
            type_flag,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size_bytes: None,
            mtime_seconds: 0,
            mtime_nanoseconds: 0,
            device: None,
            owner_names: (Vec::new(), Vec::new()),
            format: Format::Pax,
            pax: Vec::new(),
            patches: Vec::new(),
            checksum: None,
            content: Vec::new(),
        }
    }

    /// A regular file.
    pub fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Self::new(b'0', path).content(content)
    }

    /// A directory, mode 0755. The path is written as given, with or without a slash at its end.
    pub fn dir(path: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', path).mode(0o755)
    }

    /// A symlink, mode 0777.
    pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'2', path).link_target(target).mode(0o777)
    }

    /// A hard link to the entry named `target`.
    pub fn hardlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(b'1', path).link_target(target)
    }

    /// A character device.
    pub fn char_device(path: impl AsRef<[u8]>, major: u64, minor: u64) -> Self {
        Self::new(b'3', path).device(major, minor)
    }

    /// A block device.
    pub fn block_device(path: impl AsRef<[u8]>, major: u64, minor: u64) -> Self {
        Self::new(b'4', path).device(major, minor)
    }

    /// A FIFO.
    pub fn fifo(path: impl AsRef<[u8]>) -> Self {
        Self::new(b'6', path)
    }

    /// The whiteout that hides `path`: an empty file `.wh.NAME` beside it.
    pub fn whiteout(path: impl AsRef<[u8]>) -> Self {
        let path = path.as_ref();
        let name_at = path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        let (parent, name) = path.split_at(name_at);
        Self::file([parent, b".wh.", name].concat(), b"")
    }

    /// The marker that hides what lower layers have in the directory `path`
    /// (empty: the root).
    pub fn opaque(path: impl AsRef<[u8]>) -> Self {
        let path = path.as_ref();
        let slash: &[u8] = if path.is_empty() || path.ends_with(b"/") { b"" } else { b"/" };
        Self::file([path, slash, b".wh..wh..opq"].concat(), b"")
    }

    /// Sets the type flag.
    #[must_use]
    pub fn type_flag(mut self, type_flag: u8) -> Self {
        self.type_flag = type_flag;
        self
    }

    /// Sets the mode field; file-type bits are written as given.
    #[must_use]
    pub fn mode(mut self, mode: u64) -> Self {
        self.mode = mode;
        self
    }

    /// Sets uid and gid.
    #[must_use]
    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.uid = uid;
        self.gid = gid;
        self
    }

    /// Sets the owner's and the group's names.
    #[must_use]
    pub fn owner_names(mut self, user: impl AsRef<[u8]>, group: impl AsRef<[u8]>) -> Self {
        self.owner_names = (user.as_ref().to_vec(), group.as_ref().to_vec());
        self
    }

    /// Sets the time in whole seconds since 1970.
    #[must_use]
    pub fn mtime(self, seconds: i64) -> Self {
        self.mtime_exact(seconds, 0)
    }

    /// Sets the time: `nanoseconds` after `seconds`, also before 1970.
    #[must_use]
    pub fn mtime_exact(mut self, seconds: i64, nanoseconds: u32) -> Self {
        self.mtime_seconds = seconds;
        self.mtime_nanoseconds = nanoseconds;
        self
    }

    /// Sets the device numbers.
    #[must_use]
    pub fn device(mut self, major: u64, minor: u64) -> Self {
        self.device = Some((major, minor));
        self
    }

    /// Sets the link's target.
    #[must_use]
    pub fn link_target(mut self, target: impl AsRef<[u8]>) -> Self {
        self.link_target = target.as_ref().to_vec();
        self
    }

    /// Sets the content.
    #[must_use]
    pub fn content(mut self, content: impl AsRef<[u8]>) -> Self {
        self.content = content.as_ref().to_vec();
        self
    }

    /// Sets the size field, whatever the content's length is.
    #[must_use]
    pub fn size(mut self, size_bytes: u64) -> Self {
        self.size_bytes = Some(size_bytes);
        self
    }

    /// Sets the dialect; [`Format::Pax`] unless set.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// Adds a PAX record for this entry, also one that contradicts the header.
    #[must_use]
    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds an xattr as a `SCHILY.xattr.` record.
    #[must_use]
    pub fn xattr(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let key = [b"SCHILY.xattr.", name.as_ref()].concat();
        self.pax(key, value)
    }

    /// Overwrites header bytes at `offset`, before the checksum is computed.
    #[must_use]
    pub fn patch(mut self, offset: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.patches.push((offset, bytes.as_ref().to_vec()));
        self
    }

    /// Writes this checksum in place of the right one.
    #[must_use]
    pub fn checksum(mut self, checksum: u32) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// The entry's bytes: extension headers, header, padded content.
    ///
    /// # Panics
    ///
    /// When a value does not fit [`Format::Ustar`], or a fraction of a second
    /// is asked of a format without one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut header = [0_u8; BLOCK_BYTES];
        let mut records = self.pax.clone();
        let mut before = Vec::new();

        self.put_path(&mut header, &mut records, &mut before);
        self.put_link_target(&mut header, &mut records, &mut before);
        self.put_number(&mut header[100..108], self.mode, None, &mut records);
        self.put_number(&mut header[108..116], self.uid, Some("uid"), &mut records);
        self.put_number(&mut header[116..124], self.gid, Some("gid"), &mut records);
        let size_bytes =
            self.size_bytes.unwrap_or_else(|| self.content.len().try_into().expect("a length fits u64"));
        self.put_number(&mut header[124..136], size_bytes, Some("size"), &mut records);
        self.put_mtime(&mut header[136..148], &mut records);
        header[156] = self.type_flag;
        header[257..265].copy_from_slice(match self.format {
            Format::Ustar | Format::Pax => b"ustar\x0000",
            Format::Gnu => b"ustar  \0",
        });
        put_text(&mut header[265..297], &self.owner_names.0);
        put_text(&mut header[297..329], &self.owner_names.1);
        if let Some((major, minor)) = self.device {
            let device_records = (Some("SCHILY.devmajor"), Some("SCHILY.devminor"));
            self.put_number(&mut header[329..337], major, device_records.0, &mut records);
            self.put_number(&mut header[337..345], minor, device_records.1, &mut records);
        }
        for (offset, bytes) in &self.patches {
            header[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        seal(&mut header, self.checksum);

        let mut out = before;
        if !records.is_empty() {
            let body: Vec<u8> = records.iter().flat_map(|(k, v)| pax_record(k, v)).collect();
            out.extend(extension(b'x', b"PaxHeaders/entry", &body));
        }
        out.extend(header);
        out.extend(padded(&self.content));
        out
    }

    fn put_path(
        &self,
        header: &mut [u8; BLOCK_BYTES],
        records: &mut Vec<(Vec<u8>, Vec<u8>)>,
        before: &mut Vec<u8>,
    ) {
        if self.path.len() <= 100 {
            put_text(&mut header[0..100], &self.path);
            return;
        }
        match self.format {
            Format::Pax => records.insert(0, (b"path".to_vec(), self.path.clone())),
            Format::Gnu => before.extend(gnu_long(b'L', &self.path)),
            Format::Ustar => {
                let (prefix, name) = split_ustar(&self.path)
                    .unwrap_or_else(|| panic!("a path too long for ustar: {:?}", self.path));
                put_text(&mut header[345..500], prefix);
                put_text(&mut header[0..100], name);
                return;
            }
        }
        put_text(&mut header[0..100], &self.path[..100]);
    }

    fn put_link_target(
        &self,
        header: &mut [u8; BLOCK_BYTES],
        records: &mut Vec<(Vec<u8>, Vec<u8>)>,
        before: &mut Vec<u8>,
    ) {
        let target = &self.link_target;
        if target.len() > 100 {
            match self.format {
                Format::Pax => records.push((b"linkpath".to_vec(), target.clone())),
                Format::Gnu => before.extend(gnu_long(b'K', target)),
                Format::Ustar => panic!("a link target too long for ustar"),
            }
        }
        put_text(&mut header[157..257], &target[..target.len().min(100)]);
    }

    fn put_number(
        &self,
        field: &mut [u8],
        value: u64,
        key: Option<&str>,
        records: &mut Vec<(Vec<u8>, Vec<u8>)>,
    ) {
        if put_octal(field, value) {
            return;
        }
        match (self.format, key) {
            (Format::Gnu, _) => put_base_256(field, value.into()),
            (Format::Pax, Some(key)) => {
                records.push((key.into(), value.to_string().into_bytes()));
                put_octal(field, 0);
            }
            _ => panic!("{value} does not fit the header's field"),
        }
    }

    fn put_mtime(&self, field: &mut [u8], records: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        let fits = u64::try_from(self.mtime_seconds).is_ok_and(|value| put_octal(field, value));
        match self.format {
            Format::Pax if !fits || self.mtime_nanoseconds != 0 => {
                if !fits {
                    put_octal(field, 0);
                }
                let text = pax_time(self.mtime_seconds, self.mtime_nanoseconds);
                records.push((b"mtime".to_vec(), text.into_bytes()));
            }
            Format::Gnu if !fits => put_base_256(field, self.mtime_seconds.into()),
            Format::Ustar if !fits => panic!("a time that ustar has no room for"),
            _ => {}
        }
        assert!(
            self.mtime_nanoseconds == 0 || self.format == Format::Pax,
            "only PAX has fractions of seconds"
        );
    }
}

/// `LENGTH KEY=VALUE\n` with the right length.
#[must_use]
pub fn pax_record(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let (key, value) = (key.as_ref(), value.as_ref());
    // Space, equals sign and newline; the length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    pax_record_of_length(&length.to_string(), key, value)
}

/// `LENGTH KEY=VALUE\n` with any text for the length.
#[must_use]
pub fn pax_record_of_length(length: &str, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut record = format!("{length} ").into_bytes();
    record.extend(key.as_ref());
    record.push(b'=');
    record.extend(value.as_ref());
    record.push(b'\n');
    record
}

/// A time as PAX writes it: decimal, and before 1970 with the fraction counted
/// towards zero, as in `-0.25`.
fn pax_time(seconds: i64, nanoseconds: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let sign = if total < 0 { "-" } else { "" };
    let (whole, fraction) = (total.unsigned_abs() / 1_000_000_000, total.unsigned_abs() % 1_000_000_000);
    if fraction == 0 {
        format!("{sign}{whole}")
    } else {
        let text = format!("{sign}{whole}.{fraction:09}");
        text.trim_end_matches('0').to_owned()
    }
}

/// An extension entry (`x`, `g`, `L`, `K`) of `body`.
pub(crate) fn extension(type_flag: u8, name: &[u8], body: &[u8]) -> Vec<u8> {
    let format = if matches!(type_flag, b'L' | b'K') { Format::Gnu } else { Format::Ustar };
    Entry::new(type_flag, name).format(format).content(body).encode()
}

/// GNU's long name (`L`) or link target (`K`), with its NUL.
pub(crate) fn gnu_long(type_flag: u8, name: &[u8]) -> Vec<u8> {
    extension(type_flag, b"././@LongLink", &[name, b"\0"].concat())
}

/// `content` with zeros up to the next block.
pub(crate) fn padded(content: &[u8]) -> Vec<u8> {
    let mut out = content.to_vec();
    out.resize(content.len().next_multiple_of(BLOCK_BYTES), 0);
    out
}

/// Fills in the checksum: the sum of all bytes, its own field taken as spaces.
pub(crate) fn seal(header: &mut [u8; BLOCK_BYTES], forced: Option<u32>) {
    header[148..156].fill(b' ');
    let sum = forced.unwrap_or_else(|| header.iter().map(|&byte| u32::from(byte)).sum());
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn put_text(field: &mut [u8], text: &[u8]) {
    field[..text.len()].copy_from_slice(text);
}

/// Writes `value` in octal with a NUL at the end; false if there is no room.
pub(crate) fn put_octal(field: &mut [u8], value: u64) -> bool {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    if text.len() > digits {
        return false;
    }
    field[..digits].copy_from_slice(text.as_bytes());
    field[digits] = 0;
    true
}

/// GNU's binary numbers: two's complement, the first byte's top bit set.
fn put_base_256(field: &mut [u8], value: i128) {
    let bytes = value.to_be_bytes();
    let start = bytes.len() - field.len();
    field.copy_from_slice(&bytes[start..]);
    field[0] |= 0x80;
}

fn split_ustar(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = (0..path.len())
        .find(|&at| path[at] == b'/' && at <= 155 && (1..=100).contains(&(path.len() - at - 1)))?;
    Some((&path[..at], &path[at + 1..]))
}
