//! A virtio port: one peer at a time. The guest does not see when it comes and goes.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{OptionalActions, isatty, tcgetattr, tcsetattr};

use super::connection::{Connection, ConnectionError};
use super::context::Agent;
use super::session;
use crate::bounded;
use crate::options::Role;
use crate::report::say;
use crate::root::Root;

/// How long to wait for the other end of a port, which nothing announces.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a port for ever.
pub(crate) fn serve(agent: &Arc<Agent>, path: &Path) -> ! {
    let name = Role::Agent.name();
    let mut reported = false;
    loop {
        match open_port(&device(&agent.root, path)) {
            Ok(port) => {
                if !reported {
                    say(name, format_args!("listening on serial:{}", path.display()));
                    reported = true;
                }
                serve_port(agent, Arc::new(port));
            }
            Err(error) if !reported => {
                say(name, format_args!("serial:{}: {error}; trying again", path.display()));
                reported = true;
            }
            Err(_) => {}
        }
        std::thread::sleep(PAUSE);
    }
}

/// Serves the peers of an open port until it breaks. The port stays open between them: bytes to a closed port
/// are lost.
fn serve_port(agent: &Arc<Agent>, port: Arc<OwnedFd>) {
    while let Ok(connection) = Connection::new(Arc::clone(&port)) {
        if let ConnectionError::Io(_) = session::serve(agent, connection, None) {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The device of a port. The links of `/dev/virtio-ports` are made by udev; without it the names
/// are found in sysfs.
fn device(root: &Root, path: &Path) -> PathBuf {
    if path.exists() {
        return path.to_owned();
    }
    let port = path.strip_prefix("/dev/virtio-ports").ok().and_then(Path::to_str);
    let named = port.and_then(|port| {
        let ports = std::fs::read_dir(root.path("/sys/class/virtio-ports")).ok()?;
        ports.flatten().find_map(|entry| {
            let name = String::from_utf8(bounded::read_start(&entry.path().join("name"), 4096).ok()?).ok()?;
            (name.trim() == port).then(|| Path::new("/dev").join(entry.file_name()))
        })
    });
    named.unwrap_or_else(|| path.to_owned())
}

fn open_port(path: &Path) -> rustix::io::Result<OwnedFd> {
    let port = open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    if isatty(&port) {
        let mut settings = tcgetattr(&port)?;
        settings.make_raw();
        tcsetattr(&port, OptionalActions::Flush, &settings)?;
    }
    Ok(port)
}
