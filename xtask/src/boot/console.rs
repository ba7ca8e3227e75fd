//! The serial console of a virtual machine: kept in a file, and waited on.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// What a machine wrote so far, and whether it can still write.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    closed: bool,
}

/// The output side of a console; a thread of its own reads it to the end.
#[derive(Debug)]
pub(crate) struct Console {
    shared: Arc<(Mutex<Output>, Condvar)>,
    /// What `wait_for` has gone past.
    seen: usize,
}

impl Console {
    /// Reads `source` to its end, with a copy in the file `log`.
    pub(crate) fn read(mut source: impl Read + Send + 'static, log: &Path) -> anyhow::Result<Self> {
        let mut file = File::create(log).with_context(|| log.display().to_string())?;
        let shared = Arc::new((Mutex::new(Output::default()), Condvar::new()));
        let writer = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let count = source.read(&mut buffer).unwrap_or(0);
                // The log is for humans: the test goes on without it.
                let _ = file.write_all(&buffer[..count]);
                let mut output = lock(&writer.0);
                output.bytes.extend_from_slice(&buffer[..count]);
                output.closed = count == 0;
                writer.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Ok(Self { shared, seen: 0 })
    }

    /// Waits until `text` appears after what an earlier call found.
    pub(crate) fn wait_for(&mut self, text: &str, timeout: Duration) -> anyhow::Result<()> {
        self.seen = self.find_from(self.seen, text, timeout)?;
        Ok(())
    }

    /// Waits until `text` is somewhere in the output, and goes past nothing.
    pub(crate) fn wait_until_said(&self, text: &str, timeout: Duration) -> anyhow::Result<()> {
        self.find_from(0, text, timeout).map(drop)
    }

    /// Where `text` ends that is, or appears within `timeout`, behind `start`.
    fn find_from(&self, start: usize, text: &str, timeout: Duration) -> anyhow::Result<usize> {
        let deadline = Instant::now() + timeout;
        let mut output = lock(&self.shared.0);
        loop {
            if let Some(at) = find(&output.bytes[start..], text.as_bytes()) {
                return Ok(start + at + text.len());
            }
            if output.closed {
                bail!("the machine ended before its console said {text:?}");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the console did not say {text:?} within {} s", timeout.as_secs());
            }
            output = self.shared.1.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything written so far, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared.0).bytes).into_owned()
    }
}

fn lock(output: &Mutex<Output>) -> MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
