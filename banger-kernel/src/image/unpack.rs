//! Takes the vmlinux or the Image out of a kernel of any format.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use banger_oci::decompress::{Compression, detect};
use camino::{Utf8Path, Utf8PathBuf};

use super::HEAD_BYTES;
use super::arm64::{ZbootHeader, is_image};
use super::bz_image::{SetupHeader, release_in_head};
use super::notes::{ElfFault, read_vmlinux};
use super::payload::{Payload, is_alone_compressed};
use super::scan::{find_texts, read_config};
use crate::error::KernelError;
use crate::find::{MAX_CONFIG_BYTES, StagedFile};
use crate::kernel::{KernelArchitecture, KernelFormat};
use crate::run::ImportRun;

/// File name of a bzImage that is kept beside its vmlinux.
const BZ_IMAGE: &str = "bzImage";
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// The kernel in a file.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) architecture: KernelArchitecture,
    pub(crate) format: KernelFormat,
    pub(crate) image: Utf8PathBuf,
    pub(crate) bz_image: Option<Utf8PathBuf>,
    pub(crate) has_pvh_entry: bool,
    /// The release that the kernel itself says.
    pub(crate) release: Option<String>,
    /// The configuration inside the kernel.
    pub(crate) config: Option<Vec<u8>>,
}

/// Returns whether a file with these first bytes is a kernel that is not compressed as a whole.
pub(crate) fn is_kernel_head(head: &[u8]) -> bool {
    SetupHeader::is_there(head)
        || head.starts_with(ELF_MAGIC)
        || is_image(head)
        || ZbootHeader::parse(head).is_some()
}

/// Moves the kernel out of the file `path` into the directory `dir`, under the name of its format. Messages
/// call it `name`.
pub(crate) fn unpack_image(
    run: &ImportRun<'_>,
    path: &Utf8Path,
    dir: &Utf8Path,
    name: &str,
) -> Result<Unpacked, KernelError> {
    let head = head_of(path)?;
    if is_kernel_head(&head) {
        return unpack_plain(run, path, &head, dir, name);
    }
    let is_compressed = is_alone_compressed(&head) || !matches!(detect(&head), Ok(Compression::None));
    if !is_compressed {
        let reason = match head.starts_with(b"MZ") {
            true => "it is an EFI program without a kernel that banger knows",
            false => "it is not a bzImage, vmlinux or arm64 Image",
        };
        return Err(KernelError::unsupported(name, reason));
    }
    let file = open(path)?;
    let length = file.metadata().map_err(KernelError::io("read", path))?.len();
    let unpacked = dir.join("unpacked");
    let mut sink = kernel_file(run, &unpacked, name)?;
    Payload { file: &file, offset: 0, length, name }.unpack(run, &mut sink)?;
    let head = std::mem::take(&mut sink.head);
    if !is_kernel_head(&head) {
        return Err(KernelError::unsupported(
            name,
            "it is not a bzImage, vmlinux or arm64 Image after decompression",
        ));
    }
    unpack_plain(run, &unpacked, &head, dir, name)
}

fn unpack_plain(
    run: &ImportRun<'_>,
    path: &Utf8Path,
    head: &[u8],
    dir: &Utf8Path,
    name: &str,
) -> Result<Unpacked, KernelError> {
    let file = open(path)?;
    let length = file.metadata().map_err(KernelError::io("read", path))?.len();
    if SetupHeader::is_there(head) {
        let header = SetupHeader::parse(head, length).map_err(|reason| KernelError::damaged(name, reason))?;
        if !header.is_64 {
            return Err(KernelError::unsupported(name, "it is a kernel for 32-bit x86"));
        }
        let image = dir.join(KernelFormat::Vmlinux.name());
        let payload =
            Payload { file: &file, offset: header.payload_offset, length: header.payload_length, name };
        let mut sink = kernel_file(run, &image, name)?;
        payload.unpack_sized(run, &mut sink)?;
        if !sink.head.starts_with(ELF_MAGIC) {
            return Err(KernelError::damaged(name, "the payload of the bzImage is not a vmlinux"));
        }
        let mut unpacked = vmlinux(run, image, name)?;
        unpacked.release = release_in_head(head).or(unpacked.release);
        unpacked.bz_image = Some(rename(path, dir, BZ_IMAGE)?);
        return Ok(unpacked);
    }
    if head.starts_with(ELF_MAGIC) {
        return vmlinux(run, rename(path, dir, KernelFormat::Vmlinux.name())?, name);
    }
    if is_image(head) {
        return arm64_image(run, rename(path, dir, KernelFormat::Image.name())?);
    }
    let zboot =
        ZbootHeader::parse(head).ok_or_else(|| KernelError::damaged(name, "it has no kernel header"))?;
    if zboot.payload_offset + zboot.payload_length > length {
        let reason = format!("it ends inside its payload, which is compressed with {}", zboot.compression);
        return Err(KernelError::damaged(name, reason));
    }
    let image = dir.join(KernelFormat::Image.name());
    let payload = Payload { file: &file, offset: zboot.payload_offset, length: zboot.payload_length, name };
    let mut sink = kernel_file(run, &image, name)?;
    payload.unpack(run, &mut sink)?;
    if !is_image(&sink.head) {
        return Err(KernelError::unsupported(name, "the payload of the EFI program is not an arm64 Image"));
    }
    fs::remove_file(path).map_err(KernelError::write(path))?;
    arm64_image(run, image)
}

/// Starts the file of a kernel, which may have the size that the limits allow.
fn kernel_file<'a>(
    run: &'a ImportRun<'a>,
    path: &Utf8Path,
    name: &str,
) -> Result<StagedFile<'a>, KernelError> {
    let mut file = StagedFile::create(run, path.to_owned(), name.to_owned())?;
    file.limit_bytes = run.limits.max_kernel_bytes;
    Ok(file)
}

fn vmlinux(run: &ImportRun<'_>, image: Utf8PathBuf, name: &str) -> Result<Unpacked, KernelError> {
    let facts = read_vmlinux(&open(&image)?).map_err(|fault| match fault {
        ElfFault::Io(error) => KernelError::io("read", &image)(error),
        ElfFault::Damaged(reason) => KernelError::damaged(name, reason),
        ElfFault::Unsupported(reason) => KernelError::unsupported(name, reason),
    })?;
    let unpacked = with_texts(run, image, facts.architecture, KernelFormat::Vmlinux)?;
    Ok(Unpacked { has_pvh_entry: facts.has_pvh_entry, ..unpacked })
}

fn arm64_image(run: &ImportRun<'_>, image: Utf8PathBuf) -> Result<Unpacked, KernelError> {
    with_texts(run, image, KernelArchitecture::Arm64, KernelFormat::Image)
}

fn with_texts(
    run: &ImportRun<'_>,
    image: Utf8PathBuf,
    architecture: KernelArchitecture,
    format: KernelFormat,
) -> Result<Unpacked, KernelError> {
    enum Stop {
        Io(io::Error),
        Kernel(KernelError),
    }
    impl From<io::Error> for Stop {
        fn from(error: io::Error) -> Self {
            Self::Io(error)
        }
    }
    let file = open(&image)?;
    let texts = find_texts(&file, || run.check().map_err(Stop::Kernel)).map_err(|stop| match stop {
        Stop::Io(error) => KernelError::io("read", &image)(error),
        Stop::Kernel(error) => error,
    })?;
    let config = texts.config_offset.and_then(|offset| read_config(&file, offset, MAX_CONFIG_BYTES));
    let (bz_image, has_pvh_entry, release) = (None, false, texts.release);
    Ok(Unpacked { architecture, format, image, bz_image, has_pvh_entry, release, config })
}

fn rename(path: &Utf8Path, dir: &Utf8Path, name: &str) -> Result<Utf8PathBuf, KernelError> {
    let to = dir.join(name);
    fs::rename(path, &to).map_err(KernelError::write(&to))?;
    Ok(to)
}

fn open(path: &Utf8Path) -> Result<File, KernelError> {
    File::open(path).map_err(KernelError::io("open", path))
}

fn head_of(path: &Utf8Path) -> Result<Vec<u8>, KernelError> {
    let file = open(path)?;
    let mut head = vec![0; HEAD_BYTES];
    let mut length = 0;
    loop {
        match file.read_at(&mut head[length..], length as u64).map_err(KernelError::io("read", path))? {
            0 => break,
            more => length += more,
        }
    }
    head.truncate(length);
    Ok(head)
}
