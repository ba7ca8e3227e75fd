//! Builds tars byte by byte, right ones and wrong ones.

/// Fields of one header; [`Head::block`] makes the 512 bytes.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) name: Vec<u8>,
    pub(crate) prefix: Vec<u8>,
    pub(crate) mode: u64,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) magic: [u8; 8],
    pub(crate) device: (u64, u64),
}

pub(crate) const USTAR: [u8; 8] = *b"ustar\x0000";
pub(crate) const GNU: [u8; 8] = *b"ustar  \0";
pub(crate) const V7: [u8; 8] = [0; 8];

impl Head {
    pub(crate) fn new(flag: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            prefix: Vec::new(),
            mode: if flag == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            size: 0,
            mtime: octal(0, 12),
            flag,
            link: Vec::new(),
            magic: USTAR,
            device: (0, 0),
        }
    }

    pub(crate) fn link(self, target: impl AsRef<[u8]>) -> Self {
        Self { link: target.as_ref().to_vec(), ..self }
    }

    pub(crate) fn mtime(self, seconds: u64) -> Self {
        Self { mtime: octal(seconds, 12), ..self }
    }

    pub(crate) fn owner(self, uid: u64, gid: u64) -> Self {
        Self { uid, gid, ..self }
    }

    pub(crate) fn mode(self, mode: u64) -> Self {
        Self { mode, ..self }
    }

    pub(crate) fn size(self, size: u64) -> Self {
        Self { size, ..self }
    }

    pub(crate) fn magic(self, magic: [u8; 8]) -> Self {
        Self { magic, ..self }
    }

    pub(crate) fn device(self, major: u64, minor: u64) -> Self {
        Self { device: (major, minor), ..self }
    }

    pub(crate) fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        put(&mut block, 0, &self.name);
        put(&mut block, 100, &octal(self.mode, 8));
        put(&mut block, 108, &octal(self.uid, 8));
        put(&mut block, 116, &octal(self.gid, 8));
        put(&mut block, 124, &octal(self.size, 12));
        put(&mut block, 136, &self.mtime);
        block[156] = self.flag;
        put(&mut block, 157, &self.link);
        put(&mut block, 257, &self.magic);
        if self.magic != V7 {
            put(&mut block, 329, &octal(self.device.0, 8));
            put(&mut block, 337, &octal(self.device.1, 8));
            put(&mut block, 345, &self.prefix);
        }
        seal(&mut block);
        block
    }
}

/// Writes the checksum of a header.
pub(crate) fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    put(block, 148, format!("{sum:06o}\0 ").as_bytes());
}

pub(crate) fn put(block: &mut [u8; 512], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A number as octal digits and a NUL, or in base 256 where they do not fit.
pub(crate) fn octal(number: u64, width: usize) -> Vec<u8> {
    let digits = format!("{number:0width$o}", width = width - 1);
    match digits.len() < width {
        true => [digits.as_bytes(), b"\0"].concat(),
        false => base256(i64::try_from(number).unwrap(), width),
    }
}

/// A number in base 256.
pub(crate) fn base256(number: i64, width: usize) -> Vec<u8> {
    let mut bytes = vec![if number < 0 { 0xff } else { 0 }; width - 8];
    bytes.extend(number.to_be_bytes());
    bytes[0] |= 0x80;
    bytes
}

/// One pax record.
pub(crate) fn record(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let body = [b" ", key.as_bytes(), b"=", value.as_ref(), b"\n"].concat();
    let mut length = body.len();
    while length != body.len() + length.to_string().len() {
        length = body.len() + length.to_string().len();
    }
    [length.to_string().as_bytes(), &body].concat()
}

/// A tar that grows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tar {
    pub(crate) bytes: Vec<u8>,
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self
    }

    /// A header alone.
    pub(crate) fn head(self, head: Head) -> Self {
        self.raw(head.block())
    }

    /// Data with its padding.
    pub(crate) fn data(mut self, data: impl AsRef<[u8]>) -> Self {
        self = self.raw(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// A header with the size of `data`, and the data.
    pub(crate) fn with_data(self, head: Head, data: impl AsRef<[u8]>) -> Self {
        let size = data.as_ref().len() as u64;
        self.head(head.size(size)).data(data)
    }

    pub(crate) fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        self.with_data(Head::new(b'0', name), data)
    }

    pub(crate) fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.head(Head::new(b'5', name))
    }

    pub(crate) fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.head(Head::new(b'2', name).link(target))
    }

    pub(crate) fn hard_link(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.head(Head::new(b'1', name).link(target))
    }

    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        self.with_data(Head::new(b'x', "PaxHeaders/x"), records)
    }

    /// A GNU `L` or `K` record.
    pub(crate) fn long(self, flag: u8, name: impl AsRef<[u8]>) -> Self {
        let name = [name.as_ref(), b"\0"].concat();
        self.with_data(Head::new(flag, "././@LongLink").magic(GNU), name)
    }

    /// The two blocks of zeros.
    pub(crate) fn end(self) -> Vec<u8> {
        self.raw([0; 1024]).bytes
    }
}
