//! The console of a machine: read to its end, kept in part.

use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How much of the console is kept.
const KEPT_BYTES: usize = 64 * 1024;
/// How many lines an error shows.
const LAST_LINES: usize = 8;

type HandleBytes = dyn Fn(&[u8]) + Send + Sync;

/// Takes the output of a console as it comes, on a thread of its own.
#[derive(Clone)]
pub struct ConsoleHandler(Arc<HandleBytes>);

impl ConsoleHandler {
    /// Returns the handler that calls `handle`.
    pub fn new(handle: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(handle))
    }
}

impl fmt::Debug for ConsoleHandler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConsoleHandler")
    }
}

/// What a process writes, kept from its end on backwards.
#[derive(Debug)]
pub(super) struct Console {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Console {
    /// Reads `output` on a thread.
    pub(super) fn read(mut output: impl Read + Send + 'static, handler: Option<ConsoleHandler>) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let shared = Arc::clone(&kept);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let bytes = match output.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(length) => &buffer[..length],
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(_) => return,
                };
                {
                    let mut kept = lock(&shared);
                    kept.extend(bytes);
                    let surplus = kept.len().saturating_sub(KEPT_BYTES);
                    kept.drain(..surplus);
                }
                if let Some(ConsoleHandler(handle)) = &handler {
                    handle(bytes);
                }
            }
        });
        Self { kept, reader: Some(reader) }
    }

    /// Returns whether the kept part has `text`.
    pub(super) fn has(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// Returns the kept part.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = lock(&self.kept).iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the process has closed its output.
    pub(super) fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            // The thread does not panic but in the caller's handler, which has told it.
            let _ = reader.join();
        }
    }
}

fn lock(kept: &Mutex<VecDeque<u8>>) -> MutexGuard<'_, VecDeque<u8>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the last lines of a text in one line, without the sequences for terminals.
pub(crate) fn last_lines(text: &str) -> String {
    let lines = text.lines().map(plain).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    lines.get(first..).unwrap_or_default().join(" | ")
}

/// Returns a line without control characters and escape sequences.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            // `ESC [ … letter`
            characters.by_ref().find(|next| next.is_ascii_alphabetic());
        } else if !character.is_control() {
            plain.push(character);
        }
    }
    plain.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_console_is_kept() {
        let mut text = b"lost\n".repeat(KEPT_BYTES / 5);
        text.extend_from_slice(b"one\r\n\x1b[1;31mtwo\x1b[0m\n\nthree\n");
        let heard = Arc::new(Mutex::new(0));
        let sum = Arc::clone(&heard);
        let handler = ConsoleHandler::new(move |bytes| *sum.lock().unwrap() += bytes.len());
        let length = text.len();
        let mut console = Console::read(std::io::Cursor::new(text), Some(handler));
        console.join();
        assert_eq!(*heard.lock().unwrap(), length);
        assert_eq!(console.text().len(), KEPT_BYTES);
        assert!(last_lines(&console.text()).ends_with("lost | one | two | three"), "{}", console.text());
    }
}
