//! A Unix socket where every connection is answered by a script.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

/// What an agent does with a connection; `None` where the other end has gone.
pub type AgentScript = fn(&mut UnixStream) -> Option<()>;

/// Serves every connection with a script, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct ScriptedAgent {
    path: PathBuf,
    ends: Arc<AtomicBool>,
    _directory: TempDir,
}

impl ScriptedAgent {
    /// Listens in a directory of its own.
    ///
    /// # Panics
    /// Where the host has no room for a socket or a thread.
    pub fn new(script: AgentScript) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("agent");
        let listener = UnixListener::bind(&path).expect("a new path can be listened at");
        let ends = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::clone(&ends);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if has_ended.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = stream.expect("a connection");
                // It ends with the client's end of the connection.
                std::thread::spawn(move || script(&mut stream));
            }
        });
        Self { path, ends, _directory: directory }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScriptedAgent {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let _ = UnixStream::connect(&self.path);
    }
}
