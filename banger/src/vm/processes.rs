//! Processes that a killed process left: found by the directory in their arguments.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long a killed process may take to end.
const END: Duration = Duration::from_secs(5);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Kills all processes of this user with `word` in their arguments, and waits until they are gone.
pub(super) fn kill_all_with(word: &str) -> io::Result<()> {
    let started = Instant::now();
    loop {
        let found = with_word(word)?;
        if found.is_empty() {
            return Ok(());
        }
        for pid in found {
            kill(pid, word);
        }
        if started.elapsed() >= END {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "its virtual machine does not end"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// Returns the processes with `word` in their arguments. A process that has ended has no arguments.
fn with_word(word: &str) -> io::Result<Vec<Pid>> {
    let own = std::process::id().to_string();
    let names = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let numbers = names.filter(|name| *name != own && name.bytes().all(|byte| byte.is_ascii_digit()));
    let found = numbers.filter_map(|name| Pid::from_raw(name.parse().ok()?));
    Ok(found.filter(|pid| has_word(*pid, word)).collect())
}

fn has_word(pid: Pid, word: &str) -> bool {
    let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
    fs::read(path).is_ok_and(|line| line.windows(word.len()).any(|part| part == word.as_bytes()))
}

/// Kills a process. Another process that took its number meanwhile is left alone.
fn kill(pid: Pid, word: &str) {
    // It fails where the process has ended, or is another user's.
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
        && has_word(pid, word)
    {
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn processes_are_found_by_their_arguments_and_killed() {
        let word = format!("/banger-test-{}.vm/", std::process::id());
        let mut child = Command::new("sh")
            // It waits for input, without a child that would outlive it.
            .args(["-c", "read line; :", &word])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("there is a shell");
        while with_word(&word).unwrap().is_empty() {
            std::thread::sleep(PAUSE);
        }
        kill_all_with(&word).unwrap();
        assert!(!child.wait().unwrap().success());
        kill_all_with(&word).unwrap();
    }
}
