//! The debugfs pass: one script that makes inodes equal to the tree.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStringExt;

use camino::Utf8PathBuf;

use crate::difference::Difference;
use crate::host;
use crate::scratch::{Scratch, make_directory};
use crate::tools::{Tool, ToolRun};
use banger_ext4::Ext4Error;

/// Name of the link to the image in the scratch directory. Tools get this name, because the path of the image
/// may have characters with a meaning for them.
pub(crate) const IMAGE_LINK: &str = "image";
const SCRIPT: &str = "script";
/// Directory of xattr values.
const VALUES: &str = "values";

/// Longest line of a script: debugfs cuts longer ones in two.
const LINE_MAX: usize = 8000;

/// One command for debugfs.
#[derive(Clone, Debug)]
pub(crate) struct DebugfsCommand {
    line: Vec<u8>,
}

impl DebugfsCommand {
    /// Returns the command `name` without arguments.
    pub(crate) fn new(name: &str) -> Self {
        Self { line: name.as_bytes().to_vec() }
    }

    /// Returns this with one more argument.
    #[must_use]
    pub(crate) fn argument(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.line.push(b' ');
        quote(&mut self.line, argument.as_ref());
        self
    }

    /// Returns whether a line of a script can hold it. Else it is an argument of debugfs.
    fn fits_script(&self) -> bool {
        is_speakable(&self.line) && self.line.len() < LINE_MAX
    }
}

/// Runs `commands` in their order: in scripts where possible, the others one by one. Returns the complaints
/// of debugfs; empty on success.
///
/// # Errors
/// The host fails, debugfs ends badly, or the run is cancelled.
pub(crate) fn run_commands(
    commands: impl Iterator<Item = DebugfsCommand>,
    scratch: &Scratch,
    debugfs: &Tool,
    run: &ToolRun<'_>,
) -> Result<String, Ext4Error> {
    let path = scratch.path().join(SCRIPT);
    let script = |lines: &mut Vec<u8>| {
        std::fs::write(&path, std::mem::take(lines)).map_err(|error| host::failed("write", &path, error))?;
        run_debugfs(debugfs, ["-w", "-f", SCRIPT, IMAGE_LINK].map(OsString::from), run)
    };
    let mut lines = Vec::new();
    for command in commands {
        if command.fits_script() {
            lines.extend_from_slice(&command.line);
            lines.push(b'\n');
            continue;
        }
        let mut complaints = String::new();
        if !lines.is_empty() {
            complaints = script(&mut lines)?;
        }
        if complaints.is_empty() {
            let request = OsString::from_vec(command.line);
            let arguments = ["-w".into(), "-R".into(), request, IMAGE_LINK.into()];
            complaints = run_debugfs(debugfs, arguments, run)?;
        }
        if !complaints.is_empty() {
            return Ok(complaints);
        }
    }
    if lines.is_empty() { Ok(String::new()) } else { script(&mut lines) }
}

/// Runs debugfs; returns what it complains about.
fn run_debugfs(debugfs: &Tool, arguments: [OsString; 4], run: &ToolRun<'_>) -> Result<String, Ext4Error> {
    let outcome = debugfs.run(&arguments, run)?;
    let complaints = outcome.complaints("debugfs");
    if outcome.status.success() || !complaints.is_empty() {
        return Ok(complaints);
    }
    Err(debugfs.failed(&outcome.ending()))
}

/// Appends `word` so that debugfs reads it as one argument.
fn quote(line: &mut Vec<u8>, word: &[u8]) {
    line.push(b'"');
    for byte in word {
        // In quotes, a quote is written twice, and nothing else means anything.
        line.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
    }
    line.push(b'"');
}

/// Commands for debugfs, written to a file as they come.
pub(crate) struct Script {
    file: BufWriter<File>,
    path: Utf8PathBuf,
    values: Utf8PathBuf,
    /// Number of the file that holds a value. Images repeat few values many times.
    written_values: HashMap<Vec<u8>, usize>,
    commands: u64,
    /// Whether the feature `ext_attr` is requested. Without it debugfs silently sets no xattr.
    has_ext_attr: bool,
    /// The directory that the last `cd` went to.
    directory: u32,
}

impl Script {
    /// Starts an empty script in `scratch`.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn create(scratch: &Scratch) -> Result<Self, Ext4Error> {
        let path = scratch.path().join(SCRIPT);
        let values = scratch.path().join(VALUES);
        let file = File::create(&path).map_err(|error| host::failed("create", &path, error))?;
        if !values.is_dir() {
            make_directory(&values).map_err(|error| host::failed("create", &values, error))?;
        }
        Ok(Self {
            file: BufWriter::new(file),
            path,
            values,
            written_values: HashMap::new(),
            commands: 0,
            has_ext_attr: false,
            directory: 0,
        })
    }

    /// Adds the commands that undo `difference`. The comparison after the pass finds differences that no
    /// command undoes.
    ///
    /// # Errors
    /// The host fails to write.
    pub(crate) fn add(&mut self, difference: &Difference<'_>) -> Result<(), Ext4Error> {
        let value = match difference {
            Difference::Xattr { want: Some(value), .. } => Some(self.value_file(value)?),
            _ => None,
        };
        self.write(difference, value).map_err(|error| host::failed("write", &self.path, error))
    }

    fn write(&mut self, difference: &Difference<'_>, value: Option<usize>) -> io::Result<()> {
        match difference {
            Difference::Field { inode, field, want, .. } => {
                self.commands += 1;
                writeln!(self.file, "sif <{inode}> {field} {want}")
            }
            Difference::Xattr { inode, name, .. } if is_speakable(name) => {
                self.commands += 1;
                if value.is_some() && !std::mem::replace(&mut self.has_ext_attr, true) {
                    writeln!(self.file, "feature ext_attr")?;
                }
                match value {
                    Some(value) => write!(self.file, "ea_set -f {VALUES}/{value} <{inode}> ")?,
                    None => write!(self.file, "ea_rm <{inode}> ")?,
                }
                self.quoted(name)?;
                writeln!(self.file)
            }
            // A new entry takes the type that its inode has by then. `unlink` and `ln` leave link
            // counts alone.
            Difference::EntryType { dir, name, inode } if is_speakable(name) => {
                self.commands += 1;
                if self.directory != *dir {
                    writeln!(self.file, "cd <{dir}>")?;
                    self.directory = *dir;
                }
                write!(self.file, "unlink ")?;
                self.quoted(name)?;
                write!(self.file, "\nln <{inode}> ")?;
                self.quoted(name)?;
                writeln!(self.file)
            }
            // The type of an entry whose name no script can hold is left to e2fsck.
            Difference::EntryType { .. } | Difference::Xattr { .. } | Difference::Beyond(_) => Ok(()),
        }
    }

    /// Adds the command that keeps `blocks` blocks for root.
    ///
    /// # Errors
    /// The host refuses.
    pub(crate) fn reserve_blocks(&mut self, blocks: u64) -> Result<(), Ext4Error> {
        self.commands += 1;
        writeln!(self.file, "ssv r_blocks_count {blocks}")
            .map_err(|error| host::failed("write", &self.path, error))
    }

    /// Runs the script; returns the complaints of debugfs; empty on success.
    ///
    /// # Errors
    /// The host fails, debugfs ends badly, or the build is cancelled.
    pub(crate) fn run(mut self, debugfs: &Tool, run: &ToolRun<'_>) -> Result<String, Ext4Error> {
        if self.commands == 0 {
            return Ok(String::new());
        }
        self.file.flush().map_err(|error| host::failed("write", &self.path, error))?;
        run_debugfs(debugfs, ["-w", "-f", SCRIPT, IMAGE_LINK].map(OsString::from), run)
    }

    /// Returns the number of the file that holds `value`.
    fn value_file(&mut self, value: &[u8]) -> Result<usize, Ext4Error> {
        if let Some(number) = self.written_values.get(value) {
            return Ok(*number);
        }
        let number = self.written_values.len();
        let path = self.values.join(number.to_string());
        std::fs::write(&path, value).map_err(|error| host::failed("write", &path, error))?;
        self.written_values.insert(value.to_vec(), number);
        Ok(number)
    }

    /// Writes `word` so that debugfs reads it as one argument.
    fn quoted(&mut self, word: &[u8]) -> io::Result<()> {
        let mut quoted = Vec::new();
        quote(&mut quoted, word);
        self.file.write_all(&quoted)
    }
}

/// Returns whether a line of a script can hold `name`.
fn is_speakable(name: &[u8]) -> bool {
    !name.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}
