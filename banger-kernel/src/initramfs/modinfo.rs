//! What a module says of itself: the section `.modinfo` of its ELF file, `key=value` texts with zeros between.

use std::ops::Range;

use super::index::NEEDS_MAX;

/// The section header table has at most so many entries; larger ones (gABI, `SHN_UNDEF`) are not read.
const SECTIONS_MAX: u64 = 0xff00;

/// The longest section with texts.
const TEXT_BYTES: usize = 1 << 20;

/// The needed parts of `.modinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModuleInfo {
    /// The first word of `vermagic`: the release of the kernel.
    pub(super) release: String,
    /// `depends`: the modules whose symbols it uses.
    pub(super) needs: Vec<String>,
    /// `softdep=pre:`: the modules, or aliases of modules, that it uses otherwise.
    pub(super) wants: Vec<String>,
    /// `e_machine` of the ELF header.
    pub(super) machine: u16,
}

/// Returns `e_machine` of an ELF file.
pub(super) fn machine(elf: &[u8]) -> Option<u16> {
    u16::try_from(Elf::parse(elf)?.number(18, 2)?).ok()
}

/// Reads the `.modinfo` of a module.
pub(super) fn module_info(bytes: &[u8]) -> Result<ModuleInfo, &'static str> {
    let elf = Elf::parse(bytes).ok_or("it is not an ELF file")?;
    let machine = machine(bytes).ok_or("its header is cut off")?;
    let section = elf.section(b".modinfo").ok_or("it has no section .modinfo")?;
    let mut info = ModuleInfo { machine, ..ModuleInfo::default() };
    let texts = section.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    for (key, value) in texts.filter_map(|text| text.split_once('=')) {
        match key {
            "vermagic" => info.release = value.split(' ').next().unwrap_or_default().to_owned(),
            "depends" => {
                info.needs.extend(value.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
            }
            "softdep" => info.wants.extend(wanted_before(value)),
            _ => {}
        }
    }
    match info.release.is_empty() {
        true => Err("it does not say which kernel it is for"),
        false if info.needs.len().max(info.wants.len()) > NEEDS_MAX => Err("it needs more than 256 modules"),
        false => Ok(info),
    }
}

/// The names behind `pre:` in `pre: a b post: c`.
fn wanted_before(value: &str) -> impl Iterator<Item = String> + '_ {
    let mut is_before = false;
    value.split_ascii_whitespace().filter_map(move |word| {
        match word {
            "pre:" => is_before = true,
            "post:" => is_before = false,
            name if is_before => return Some(name.to_owned()),
            _ => {}
        }
        None
    })
}

/// An ELF file (gABI, "ELF Header" and "Sections").
struct Elf<'a> {
    bytes: &'a [u8],
    is_64: bool,
    is_big_endian: bool,
}

impl<'a> Elf<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"\x7fELF")?;
        Some(Self { bytes, is_64: *rest.first()? == 2, is_big_endian: *rest.get(1)? == 2 })
    }

    /// Returns the number of `length` bytes at `offset`.
    fn number(&self, offset: u64, length: u64) -> Option<u64> {
        let bytes = self.bytes.get(range(offset, length)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(match self.is_big_endian {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        })
    }

    /// Returns the content of the first section with a name.
    fn section(&self, name: &[u8]) -> Option<&'a [u8]> {
        // Offsets of e_shoff, e_shentsize, e_shnum, e_shstrndx; sizes of addresses.
        let (table, entry, count, names, word) =
            if self.is_64 { (0x28, 0x3a, 0x3c, 0x3e, 8) } else { (0x20, 0x2e, 0x30, 0x32, 4) };
        let (table, entry) = (self.number(table, word)?, self.number(entry, 2)?);
        let count = self.number(count, 2)?.min(SECTIONS_MAX);
        // It is at the end of the file: one that is cut off lacks it.
        self.bytes.get(range(table, count.checked_mul(entry)?)?)?;
        let header = |index: u64| table.checked_add(index.checked_mul(entry)?);
        let names = self.content(header(self.number(names, 2)?)?)?;
        for index in 0..count {
            let header = header(index)?;
            let at = usize::try_from(self.number(header, 4)?).ok()?;
            let found = names.get(at..)?.strip_prefix(name);
            if found.is_some_and(|rest| rest.first() == Some(&0)) {
                let content = self.content(header)?;
                return (content.len() <= TEXT_BYTES).then_some(content);
            }
        }
        None
    }

    /// Returns the content of the section whose header is at an offset: `sh_offset` and `sh_size`.
    fn content(&self, header: u64) -> Option<&'a [u8]> {
        let (offset, size, word) = if self.is_64 { (0x18, 0x20, 8) } else { (0x10, 0x14, 4) };
        let offset = self.number(header.checked_add(offset)?, word)?;
        let size = self.number(header.checked_add(size)?, word)?;
        self.bytes.get(range(offset, size)?)
    }
}

fn range(offset: u64, length: u64) -> Option<Range<usize>> {
    let end = usize::try_from(offset.checked_add(length)?).ok()?;
    Some(usize::try_from(offset).ok()?..end)
}

/// Returns a little ELF file whose `.modinfo` has these texts.
#[cfg(test)]
pub(super) fn fake_module(machine: u16, texts: &[&str]) -> Vec<u8> {
    let info: Vec<u8> = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[18..20].copy_from_slice(&machine.to_le_bytes());
    elf.extend_from_slice(&info);
    elf.extend_from_slice(names);
    let table = elf.len() as u64;
    let sections = [(0, 0, 0), (1, 64, info.len()), (10, 64 + info.len(), names.len())];
    for (name, offset, size) in sections {
        let mut header = vec![0; 64];
        header[..4].copy_from_slice(&u32::to_le_bytes(name));
        header[0x18..0x20].copy_from_slice(&(offset as u64).to_le_bytes());
        header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
        elf.extend_from_slice(&header);
    }
    elf[0x28..0x30].copy_from_slice(&table.to_le_bytes());
    for (at, value) in [(0x3a, 64_u16), (0x3c, 3), (0x3e, 2)] {
        elf[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    elf
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_say_what_they_need() {
        let module = fake_module(
            62,
            &[
                "license=GPL",
                "depends=mbcache,jbd2",
                "softdep=pre: crc32c post: later pre: more",
                "vermagic=6.1.0-50-cloud-amd64 SMP preempt mod_unload modversions ",
            ],
        );
        let info = module_info(&module).expect("it is a module");
        assert_eq!(info.release, "6.1.0-50-cloud-amd64");
        assert_eq!(info.needs, ["mbcache", "jbd2"]);
        assert_eq!(info.wants, ["crc32c", "more"]);
        assert_eq!(info.machine, 62);
        let none = module_info(&fake_module(62, &["depends=", "vermagic=6"])).expect("it is a module");
        assert!(none.needs.is_empty() && none.wants.is_empty());
    }

    #[test]
    fn damage_is_found() {
        let whole = fake_module(62, &["vermagic=6.1.0 SMP"]);
        for length in 0..whole.len() {
            assert!(module_info(&whole[..length]).is_err(), "{length} bytes of it");
        }
        assert!(module_info(b"\x7fELF").is_err());
        assert_eq!(
            module_info(&fake_module(62, &["depends=a"])),
            Err("it does not say which kernel it is for")
        );
        let many = format!("depends={}", "a,".repeat(257));
        let error = module_info(&fake_module(62, &["vermagic=6", &many]));
        assert_eq!(error, Err("it needs more than 256 modules"));
        // No byte makes the parser panic.
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = module_info(&changed);
            }
        }
    }
}
