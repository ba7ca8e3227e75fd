//! The ELF header and notes of a vmlinux.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use elf::abi::{EM_386, EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, PT_NOTE};
use elf::endian::AnyEndian;
use elf::file::{Class, FileHeader, parse_ident};
use elf::note::{Note, NoteIterator};
use elf::segment::SegmentTable;

use crate::kernel::KernelArchitecture;

/// Type of the note that gives the PVH entry point (`include/xen/interface/elfnote.h`).
const XEN_ELFNOTE_PHYS32_ENTRY: u64 = 18;
/// Largest segment of notes that is read; a kernel has less than 1 KiB.
const MAX_NOTES_BYTES: u64 = 1 << 20;
/// Bytes of the largest ELF header.
const HEADER_LEN: usize = 64;

/// Facts about a vmlinux.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Vmlinux {
    pub(super) architecture: KernelArchitecture,
    pub(super) has_pvh_entry: bool,
}

/// Why a file is not a vmlinux that banger takes.
pub(super) enum ElfFault {
    Io(io::Error),
    Damaged(&'static str),
    Unsupported(&'static str),
}

impl From<io::Error> for ElfFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("the vmlinux is cut short"),
            _ => Self::Io(error),
        }
    }
}

/// Reads the headers of a vmlinux.
pub(super) fn read_vmlinux(file: &File) -> Result<Vmlinux, ElfFault> {
    let length = file.metadata()?.len();
    let mut head = [0; HEADER_LEN];
    file.read_exact_at(&mut head, 0)?;
    let bad = |_| ElfFault::Damaged("its ELF header is malformed");
    let ident = parse_ident::<AnyEndian>(&head).map_err(bad)?;
    let tail = match ident.1 {
        Class::ELF64 => &head[16..64],
        Class::ELF32 => &head[16..52],
    };
    let header = FileHeader::parse_tail(ident, tail).map_err(bad)?;
    let architecture = match header.e_machine {
        EM_X86_64 => KernelArchitecture::Amd64,
        EM_AARCH64 => {
            return Err(ElfFault::Unsupported(
                "it is an arm64 vmlinux, and virtual machines start the Image of it",
            ));
        }
        EM_386 => return Err(ElfFault::Unsupported("it is a kernel for 32-bit x86")),
        _ => return Err(ElfFault::Unsupported("it is a program for another processor")),
    };
    if header.e_type != ET_EXEC && header.e_type != ET_DYN {
        return Err(ElfFault::Unsupported("it is an object file or a module, not a kernel"));
    }
    let table_len = u64::from(header.e_phnum) * u64::from(header.e_phentsize);
    if header.e_phnum == 0 {
        return Err(ElfFault::Damaged("it has no program headers"));
    }
    if header.e_phoff.checked_add(table_len).is_none_or(|end| end > length) {
        return Err(ElfFault::Damaged("its program headers are cut off"));
    }
    let table = read_part(file, header.e_phoff, table_len)?;
    let mut has_pvh_entry = false;
    for segment in SegmentTable::new(header.endianness, header.class, &table).iter() {
        let end = segment.p_offset.checked_add(segment.p_filesz);
        if end.is_none_or(|end| end > length) {
            return Err(ElfFault::Damaged("the vmlinux is cut short: a segment ends behind its end"));
        }
        if segment.p_type == PT_NOTE && segment.p_filesz <= MAX_NOTES_BYTES {
            let bytes = read_part(file, segment.p_offset, segment.p_filesz)?;
            // Linux pads its notes to 4 bytes, whatever the segment says.
            let notes = NoteIterator::new(header.endianness, header.class, 4, &bytes);
            has_pvh_entry |= notes.into_iter().any(|note| is_pvh_entry(&note));
        }
    }
    Ok(Vmlinux { architecture, has_pvh_entry })
}

fn is_pvh_entry(note: &Note<'_>) -> bool {
    match note {
        Note::Unknown(note) => {
            note.n_type == XEN_ELFNOTE_PHYS32_ENTRY
                && note.name.strip_suffix(b"\0").unwrap_or(note.name) == b"Xen"
        }
        _ => false,
    }
}

fn read_part(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}
