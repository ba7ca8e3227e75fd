//! Messages of the binary: whole lines on standard error, which is the console or the journal.

use std::ffi::CString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;

/// Writes `name: message` as one line in one call: lines of several processes meet on the console.
pub(crate) fn say(name: &str, message: fmt::Arguments<'_>) {
    let line = format!("{name}: {message}\n");
    if std::io::stderr().write_all(line.as_bytes()).is_err() {
        // Standard error can be a terminal that was hung up with its session. If this fails too, nothing can
        // be reported.
        let _ = OpenOptions::new()
            .write(true)
            .open("/dev/console")
            .and_then(|mut it| it.write_all(line.as_bytes()));
    }
}

/// Sets the name in `ps`: a process that was started by its descriptor would be called `exe`.
pub(crate) fn set_process_name(name: &str) {
    // The kernel keeps fifteen bytes.
    if let Ok(name) = CString::new(name) {
        let _ = rustix::thread::set_name(&name);
    }
}
