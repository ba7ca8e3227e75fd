//! Debian packages: an ar archive with two tars, as in deb(5).

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, SeekFrom};

use banger_oci::decompress::decompressor;

use super::ar::{AR_MAGIC, read_header, read_magic};
use super::lzma::lzma_decoder;
use super::package::MAX_INFO_BYTES;
use super::tar::{read_small_file, read_tar_stream};
use super::{Entries, PackageInfo};
use crate::error::KernelError;
use crate::run::ImportRun;

/// Members of a package, which has 3.
const MAX_MEMBERS: usize = 64;

/// Reads a package: its control file, then all files in it.
pub(crate) fn read_deb(
    run: &ImportRun<'_>,
    file: &mut File,
    entries: &mut dyn Entries,
) -> Result<(), KernelError> {
    let fail = |error| run.read_error(error);
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    read_magic(run, file)?;
    let mut offset = AR_MAGIC.len() as u64;
    let mut names: Vec<String> = Vec::new();
    while let Some(header) = read_header(run, file, offset)? {
        let begin = offset + 60;
        let name = header.name;
        if begin.checked_add(header.size_bytes).is_none_or(|end| end > length) {
            return Err(run.damaged(format!("it ends inside {name}")));
        }
        if names.is_empty() && name != "debian-binary" {
            return Err(KernelError::unsupported(
                &run.source,
                format!("an ar archive that begins with {name:?} is not a Debian package"),
            ));
        }
        let member = || -> Result<_, KernelError> {
            Ok(run.counted(file.try_clone().map_err(fail)?).take(header.size_bytes))
        };
        if name == "debian-binary" {
            let mut version = String::new();
            member()?.take(16).read_to_string(&mut version).map_err(fail)?;
            if !version.starts_with("2.") {
                let reason = format!("version {:?} of the package format", version.trim_end());
                return Err(KernelError::unsupported(&run.source, reason));
            }
        } else if name.starts_with("control.tar") {
            let tar = run.metered(tar_of(run, &name, member()?)?);
            let control = read_small_file(run, tar, b"control", MAX_INFO_BYTES)?.unwrap_or_default();
            entries.package(PackageInfo::from_lines(&control, ":", "Package", "Version"));
        } else if name.starts_with("data.tar") {
            return read_tar_stream(run, run.metered(tar_of(run, &name, member()?)?), entries);
        }
        if names.len() == MAX_MEMBERS {
            return Err(run.damaged("the package has no data.tar among its first members"));
        }
        names.push(name);
        // Members begin at even offsets.
        offset = (begin + header.size_bytes).next_multiple_of(2);
        file.seek(SeekFrom::Start(offset)).map_err(fail)?;
    }
    Err(run.damaged("the package has no data.tar"))
}

/// Returns the tar in the member `name`.
fn tar_of(
    run: &ImportRun<'_>,
    name: &str,
    member: impl Read + Send + 'static,
) -> Result<Box<dyn Read>, KernelError> {
    let opened: Result<Box<dyn Read>, _> = match name.strip_suffix(".lzma") {
        Some(_) => lzma_decoder(BufReader::new(member)).map(|reader| Box::new(reader) as _),
        None => decompressor(member).map(|reader| reader as _),
    };
    opened.map_err(|error| run.read_error(error))
}
