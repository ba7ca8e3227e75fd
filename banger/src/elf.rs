//! The header of ELF files (gABI): which processor a program is for, and whether it is static.
//!
//! `build.rs` compiles this file, too.

/// Processors by their OCI name and their `e_machine`.
const MACHINES: [(&str, u16); 7] = [
    ("amd64", 62),
    ("arm64", 183),
    ("386", 3),
    ("arm", 40),
    ("ppc64le", 21),
    ("riscv64", 243),
    ("s390x", 22),
];
const PT_INTERP: u32 = 3;

/// Returns the OCI name of the processor that an ELF file is for.
pub(crate) fn architecture_of(elf: &[u8]) -> Option<&'static str> {
    let header = Elf::parse(elf)?;
    MACHINES.iter().find(|(_, machine)| *machine == header.machine).map(|(name, _)| *name)
}

/// Checks that a file is a static executable for a processor.
pub(crate) fn check_executable(bytes: &[u8], architecture: &str) -> Result<(), &'static str> {
    let elf = Elf::parse(bytes).ok_or("it is not an ELF file")?;
    let machine = MACHINES.iter().find(|(name, _)| *name == architecture).map(|(_, machine)| *machine);
    if machine.is_some_and(|machine| machine != elf.machine) {
        return Err("it is for another processor");
    }
    match elf.has_interpreter(bytes) {
        None => Err("its program headers are cut off"),
        Some(true) => Err("it is linked dynamically, and a guest may have no libraries"),
        Some(false) => Ok(()),
    }
}

/// The needed fields of an ELF header (gABI, "ELF Header" and "Program Header").
struct Elf {
    is_64: bool,
    big_endian: bool,
    machine: u16,
}

impl Elf {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"\x7fELF")?;
        let (is_64, big_endian) = (*rest.first()? == 2, *rest.get(1)? == 2);
        let elf = Self { is_64, big_endian, machine: 0 };
        Some(Self { machine: u16::try_from(elf.number(bytes, 18, 2)?).ok()?, ..elf })
    }

    /// Returns the number of `length` bytes at `offset`.
    fn number(&self, bytes: &[u8], offset: usize, length: usize) -> Option<u64> {
        let bytes = bytes.get(offset..offset.checked_add(length)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.big_endian {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        })
    }

    /// Returns whether a program header names a dynamic linker.
    fn has_interpreter(&self, bytes: &[u8]) -> Option<bool> {
        let (table, entry_size, count) = match self.is_64 {
            true => (self.number(bytes, 32, 8)?, self.number(bytes, 54, 2)?, self.number(bytes, 56, 2)?),
            false => (self.number(bytes, 28, 4)?, self.number(bytes, 42, 2)?, self.number(bytes, 44, 2)?),
        };
        for index in 0..count {
            let at = usize::try_from(table.checked_add(index.checked_mul(entry_size)?)?).ok()?;
            if self.number(bytes, at, 4)? == u64::from(PT_INTERP) {
                return Some(true);
            }
        }
        Some(false)
    }
}
