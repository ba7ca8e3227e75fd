//! Kernels and modules of a few kilobytes: real headers, and nothing that runs.

use crate::package::Codec;

const EM_X86_64: u16 = 62;
const SECTOR: usize = 512;

/// A vmlinux under construction.
#[derive(Debug, Clone)]
pub struct KernelBuilder {
    release: String,
    has_pvh_entry: bool,
    config: Option<String>,
    machine: u16,
    filler: usize,
}

impl KernelBuilder {
    /// A kernel of this release, with a PVH entry point.
    #[must_use]
    pub fn new(release: &str) -> Self {
        Self {
            release: release.to_owned(),
            has_pvh_entry: true,
            config: None,
            machine: EM_X86_64,
            filler: 200_000,
        }
    }

    /// Without a PVH entry point.
    #[must_use]
    pub fn without_pvh_entry(mut self) -> Self {
        self.has_pvh_entry = false;
        self
    }

    /// With this configuration inside (`CONFIG_IKCONFIG`).
    #[must_use]
    pub fn config(mut self, config: &str) -> Self {
        self.config = Some(config.to_owned());
        self
    }

    /// For another processor, by its `e_machine`.
    #[must_use]
    pub fn machine(mut self, machine: u16) -> Self {
        self.machine = machine;
        self
    }

    /// With this number of bytes that compress to about half.
    #[must_use]
    pub fn filler(mut self, bytes: usize) -> Self {
        self.filler = bytes;
        self
    }

    /// The vmlinux: an ELF header, a PT_LOAD and a PT_NOTE segment, and the texts of a kernel.
    #[must_use]
    pub fn vmlinux(&self) -> Vec<u8> {
        let mut notes = note(b"Linux\0", 257, &[0; 4]);
        notes.extend(note(b"Xen\0", 5, b"linux\0"));
        if self.has_pvh_entry {
            notes.extend(note(b"Xen\0", 18, &0x100_0000_u64.to_le_bytes()));
        }
        let data = self.data();
        let notes_at = 64 + 2 * 56;
        let data_at = notes_at + notes.len();
        let mut elf = elf_header(2, self.machine, 64, 2, 0, 0, 0);
        elf.extend(program_header(4, notes_at, notes.len()));
        elf.extend(program_header(1, data_at, data.len()));
        elf.extend(notes);
        elf.extend(data);
        elf
    }

    fn data(&self) -> Vec<u8> {
        let mut data = self.banner();
        let mut state = 0x2545_f491_u32;
        for _ in 0..self.filler / 8 {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            data.extend(state.to_le_bytes());
            data.extend([0x90; 4]);
        }
        if let Some(config) = &self.config {
            data.extend(b"IKCFG_ST");
            data.extend(crate::gzip(config.as_bytes()));
            data.extend(b"IKCFG_ED");
        }
        data
    }

    fn banner(&self) -> Vec<u8> {
        format!("%s version %s\0Linux version %s\0Linux version {} (test@test) #1 SMP\0", self.release)
            .into_bytes()
    }

    /// A bzImage with the vmlinux as its payload.
    #[must_use]
    pub fn bz_image(&self, codec: Codec) -> Vec<u8> {
        bz_image(&self.release, &self.vmlinux(), codec)
    }

    /// An arm64 `Image`.
    #[must_use]
    pub fn arm64_image(&self) -> Vec<u8> {
        let mut image = vec![0; 64];
        image[16..24].copy_from_slice(&0x10_0000_u64.to_le_bytes());
        image[56..60].copy_from_slice(b"ARM\x64");
        image.extend(self.data());
        image
    }

    /// An EFI program with a compressed arm64 `Image` (`CONFIG_EFI_ZBOOT`).
    #[must_use]
    pub fn zboot(&self, codec: Codec) -> Vec<u8> {
        let payload = codec.apply(&self.arm64_image());
        let mut program = vec![0; 0x400];
        program[..8].copy_from_slice(b"MZ\0\0zimg");
        program[8..12].copy_from_slice(&0x400_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).expect("a test's kernel is small");
        program[12..16].copy_from_slice(&length.to_le_bytes());
        program[24..24 + codec.name().len()].copy_from_slice(codec.name().as_bytes());
        program.extend(payload);
        program.extend([0; 512]);
        program
    }
}

/// A bzImage with `content` as its payload, as `arch/x86/boot` makes it.
///
/// # Panics
///
/// When the payload is 4 GiB or longer.
#[must_use]
pub fn bz_image(release: &str, content: &[u8], codec: Codec) -> Vec<u8> {
    let u32_of = |length: usize| u32::try_from(length).expect("a test's kernel is small").to_le_bytes();
    let mut payload = codec.apply(content);
    if codec != Codec::Gzip {
        payload.extend(u32_of(content.len()));
    }
    let setup_sects: u8 = 7;
    let head_len = 64; // of the code in front of the payload
    let mut image = vec![0; (usize::from(setup_sects) + 1) * SECTOR];
    image[..2].copy_from_slice(b"MZ");
    image[0x1f1] = setup_sects;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x400_u16.to_le_bytes());
    image[0x211] = 1;
    image[0x236..0x238].copy_from_slice(&0x003f_u16.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&u32_of(head_len));
    image[0x24c..0x250].copy_from_slice(&u32_of(payload.len()));
    let version = format!("{release} (test@test) #1 SMP\0");
    image[0x600..0x600 + version.len()].copy_from_slice(version.as_bytes());
    image.resize(image.len() + head_len, 0xcc);
    image.extend(payload);
    // The code behind the payload.
    image.resize(image.len() + 700, 0xcc);
    image
}

/// A module that needs the modules `depends`, a list with commas.
#[must_use]
pub fn kernel_module(name: &str, depends: &str, release: &str) -> Vec<u8> {
    let info = format!(
        "license=GPL\0depends={depends}\0intree=Y\0name={name}\0vermagic={release} SMP preempt mod_unload \0"
    );
    let names = b"\0.modinfo\0.shstrtab\0";
    let sections_at = 64 + info.len() + names.len();
    let mut elf = elf_header(1, EM_X86_64, 0, 0, sections_at, 3, 2);
    elf.extend(info.as_bytes());
    elf.extend(names);
    elf.extend([0; 64]);
    elf.extend(section_header(1, 1, 64, info.len()));
    elf.extend(section_header(10, 3, 64 + info.len(), names.len()));
    elf
}

fn elf_header(
    kind: u16,
    machine: u16,
    segments_at: usize,
    segments: u16,
    sections_at: usize,
    sections: u16,
    names: u16,
) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    header.extend(kind.to_le_bytes());
    header.extend(machine.to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header.extend(0_u64.to_le_bytes());
    header.extend((segments_at as u64).to_le_bytes());
    header.extend((sections_at as u64).to_le_bytes());
    header.extend(0_u32.to_le_bytes());
    for field in [64, 56, segments, 64, sections, names] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn program_header(kind: u32, at: usize, length: usize) -> Vec<u8> {
    let mut header = kind.to_le_bytes().to_vec();
    header.extend(4_u32.to_le_bytes());
    for field in [at as u64, 0, 0, length as u64, length as u64, 4] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn section_header(name: u32, kind: u32, at: usize, length: usize) -> Vec<u8> {
    let mut header = name.to_le_bytes().to_vec();
    header.extend(kind.to_le_bytes());
    for field in [0, 0, at as u64, length as u64] {
        header.extend(field.to_le_bytes());
    }
    header.extend(0_u64.to_le_bytes());
    for field in [1_u64, 0] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn note(name: &[u8], kind: u32, description: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for field in [name.len(), description.len()] {
        note.extend(u32::try_from(field).expect("notes are short").to_le_bytes());
    }
    note.extend(kind.to_le_bytes());
    for part in [name, description] {
        note.extend(part);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}
