//! Listens: one thread for each address, and one for each connection.

use std::fs::Permissions;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use banger_guest::config::ListenAddress;
use banger_guest::protocol::ErrorCode;

use super::connection::Connection;
use super::context::Agent;
use super::slots::{MAX_CONNECTIONS, Slots};
use super::{serial, session};
use crate::options::Role;
use crate::report::say;
use crate::sys::vsock;

/// How long after a failure to listen or accept it is tried again: a module or an address may
/// come later.
const RETRY: Duration = Duration::from_millis(500);

/// The stack of a connection's thread.
const STACK_BYTES: usize = 256 * 1024;

const BACKLOG: i32 = 128;

#[derive(Debug)]
enum Listener {
    Vsock(OwnedFd),
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn open(address: &ListenAddress) -> std::io::Result<Option<Self>> {
        Ok(Some(match address {
            ListenAddress::Vsock(port) => Self::Vsock(vsock::listener(*port, BACKLOG)?),
            ListenAddress::Tcp(address) => Self::Tcp(tcp_listener(*address)?),
            ListenAddress::Unix(path) => Self::Unix(unix_listener(path)?),
            _ => return Ok(None),
        }))
    }

    /// Returns the next connection; `None` for a rejected one.
    fn accept(&self) -> std::io::Result<Option<OwnedFd>> {
        Ok(match self {
            Self::Vsock(listener) => {
                let (socket, cid) = vsock::accept(listener)?;
                // Another guest, or a process of this one.
                (cid == vsock::HOST_CID).then_some(socket)
            }
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                let _ = stream.set_nodelay(true);
                Some(stream.into())
            }
            Self::Unix(listener) => Some(listener.accept()?.0.into()),
        })
    }
}

/// Serves an address for ever.
pub(crate) fn serve(agent: &Arc<Agent>, address: &ListenAddress) {
    let name = Role::Agent.name();
    if let ListenAddress::Serial(path) = address {
        serial::serve(agent, path);
    }
    let mut reported = false;
    let listener = loop {
        match Listener::open(address) {
            Ok(Some(listener)) => break listener,
            Ok(None) => return,
            Err(error) if !reported => {
                say(name, format_args!("{address}: {error}; trying again"));
                reported = true;
            }
            Err(_) => {}
        }
        std::thread::sleep(RETRY);
    };
    say(name, format_args!("listening on {address}"));
    loop {
        match listener.accept() {
            Ok(Some(socket)) => admit(agent, Arc::new(socket)),
            Ok(None) => {}
            // No descriptors or memory left, as a rule: those who have them will let go.
            Err(error) => {
                say(name, format_args!("{address}: {error}"));
                std::thread::sleep(RETRY);
            }
        }
    }
}

fn admit(agent: &Arc<Agent>, socket: Arc<OwnedFd>) {
    let Ok(mut connection) = Connection::new(Arc::clone(&socket)) else {
        return;
    };
    let Some(slot) = Slots::take(&agent.slots, &socket) else {
        // One write into an empty socket: it does not wait.
        let _ = connection.reply_error(
            0,
            ErrorCode::Busy,
            format!("all {MAX_CONNECTIONS} connections of the agent are in use; try again later"),
        );
        return;
    };
    let agent = Arc::clone(agent);
    // Where no thread can be had the closure is dropped, and with it the connection and its slot.
    let _ = std::thread::Builder::new()
        .stack_size(STACK_BYTES)
        .spawn(move || drop(session::serve(&agent, connection, Some(&slot))));
}

fn tcp_listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address)
}

fn unix_listener(path: &Path) -> std::io::Result<UnixListener> {
    // Left by an earlier agent. Only a socket is removed.
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}
