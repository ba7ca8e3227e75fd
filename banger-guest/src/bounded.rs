//! Reads files of the guest up to a limit: a guest may put anything in their place, and the agent uses little
//! memory. Only regular files are read: a FIFO would block, and a device has no end.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file. Files of `/proc` and `/sys` count as regular.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    // Opening a FIFO would wait for its writer otherwise.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// The whole of a file.
///
/// # Errors
///
/// [`io::ErrorKind::FileTooLarge`] if it is longer than `max_bytes`.
pub(crate) fn read_whole(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= max_bytes) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {max_bytes} bytes")))
}

/// The beginning of a file, at most so many bytes.
pub(crate) fn read_start(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The limits of [`for_each_line`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineLimits {
    /// Nothing is read beyond so many bytes of the file.
    pub(crate) file_bytes: u64,
    /// A longer line is skipped.
    pub(crate) line_bytes: usize,
}

/// Calls `take` with each line of a file, without its end, until it breaks. One line is in memory at a
/// time.
///
/// # Errors
///
/// The file cannot be read; or [`io::ErrorKind::FileTooLarge`] if the limit came before the end and the
/// caller did not stop.
pub(crate) fn for_each_line(
    path: &Path,
    limits: LineLimits,
    mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut reader = BufReader::new(open_regular(path)?.take(limits.file_bytes));
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let piece = match reader.fill_buf() {
            Ok(piece) => piece,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let at_end = piece.is_empty();
        let (bytes, used, ends) = match piece.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&piece[..end], end + 1, true),
            None => (piece, piece.len(), at_end),
        };
        is_too_long |= line.len().saturating_add(bytes.len()) > limits.line_bytes;
        if !is_too_long {
            line.extend_from_slice(bytes);
        }
        reader.consume(used);
        let is_line = ends && !is_too_long && !(at_end && line.is_empty());
        if is_line && take(&line).is_break() {
            return Ok(());
        }
        if at_end {
            break;
        }
        if ends {
            line.clear();
            is_too_long = false;
        }
    }
    // A byte more than the limit says that there was a limit.
    let mut file = reader.into_inner();
    if file.limit() == 0 && file.get_mut().read(&mut [0])? > 0 {
        let message = format!("it has more than {} bytes", limits.file_bytes);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(())
}

/// Returns at most this number of characters of a text, with a mark if it was cut.
pub(crate) fn clip(text: String, max_characters: usize) -> String {
    match text.char_indices().nth(max_characters) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LineLimits = LineLimits { file_bytes: 64, line_bytes: 8 };

    fn lines_of(content: &[u8]) -> (Vec<String>, Option<io::ErrorKind>) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("it can be written");
        let mut lines = Vec::new();
        let read = for_each_line(file.path(), LIMITS, |line| {
            lines.push(String::from_utf8_lossy(line).into_owned());
            ControlFlow::Continue(())
        });
        (lines, read.err().map(|error| error.kind()))
    }

    #[test]
    fn lines_are_bounded_and_so_is_the_file() {
        let at_limit = [b"x\n".repeat(31), b"ab".to_vec()].concat();
        let over = [b"x\n".repeat(32), b"y\n".to_vec()].concat();
        let many: Vec<&str> = std::iter::repeat_n("x", 32).collect();
        assert_eq!(lines_of(b""), (vec![], None));
        assert_eq!(lines_of(b"a\n\nb"), (vec!["a".into(), "".into(), "b".into()], None));
        assert_eq!(lines_of(b"12345678\n123456789\nc\n"), (vec!["12345678".into(), "c".into()], None));
        assert_eq!(lines_of(b"123456789"), (vec![], None));
        assert_eq!(lines_of(&at_limit).1, None);
        assert_eq!(
            lines_of(&over),
            (many.into_iter().map(String::from).collect(), Some(io::ErrorKind::FileTooLarge))
        );
        assert_eq!(lines_of(&[b'x'; 1000]).1, Some(io::ErrorKind::FileTooLarge));
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .expect("a FIFO");
        for path in [fifo.as_path(), Path::new("/dev/zero"), directory.path()] {
            let error = read_start(path, 10).expect_err("it is no file");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{}", path.display());
        }
        let file = directory.path().join("file");
        std::fs::write(&file, "0123456789").expect("it can be written");
        assert_eq!(read_start(&file, 4).expect("it can be read"), b"0123");
        assert_eq!(read_whole(&file, 10).expect("it can be read"), b"0123456789");
        assert_eq!(read_whole(&file, 9).expect_err("it is too long").kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(clip("äöü".into(), 3), "äöü");
        assert_eq!(clip("äöü".into(), 2), "äö…");
    }
}
