//! Limits the number of connections, and chooses which one ends when there are too many.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};

/// Connections at a time.
pub(crate) const MAX_CONNECTIONS: usize = 64;

/// Time that a new connection waits for the slot of an ended one.
const EVICTION_TIMEOUT: Duration = Duration::from_secs(1);

/// The current connections.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    state: Mutex<SlotState>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct SlotState {
    next_id: u64,
    connections: Vec<OpenConnection>,
}

#[derive(Debug)]
struct OpenConnection {
    id: u64,
    socket: Arc<OwnedFd>,
    /// Start of the wait for a request; `None` while an operation runs, or after it was told to end.
    idle_since: Option<Instant>,
}

/// A connection's place; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    id: u64,
}

impl Slots {
    /// Returns a slot for a connection. If no slot is free, the connection that has been idle longest ends;
    /// `None` if all of them are busy.
    pub(crate) fn take(slots: &Arc<Self>, socket: &Arc<OwnedFd>) -> Option<Slot> {
        let mut state = slots.lock();
        if state.connections.len() >= MAX_CONNECTIONS {
            let idlest = state
                .connections
                .iter_mut()
                .filter(|entry| entry.idle_since.is_some())
                .min_by_key(|entry| entry.idle_since)?;
            idlest.idle_since = None;
            // Its thread sees the end of the stream and frees the slot.
            let _ = shutdown(&idlest.socket, Shutdown::Both);
            state = slots
                .freed
                .wait_timeout_while(state, EVICTION_TIMEOUT, |state| {
                    state.connections.len() >= MAX_CONNECTIONS
                })
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if state.connections.len() >= MAX_CONNECTIONS {
                return None;
            }
        }
        let id = state.next_id;
        state.next_id = id.wrapping_add(1);
        let entry = OpenConnection { id, socket: Arc::clone(socket), idle_since: Some(Instant::now()) };
        state.connections.push(entry);
        Some(Slot { slots: Arc::clone(slots), id })
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        // A thread that panicked left a list that is whole: every change to it is one statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Tells that an operation begins, or has ended.
    pub(crate) fn set_busy(&self, busy: bool) {
        let idle_since = (!busy).then(Instant::now);
        let mut state = self.slots.lock();
        if let Some(entry) = state.connections.iter_mut().find(|entry| entry.id == self.id) {
            entry.idle_since = idle_since;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().connections.retain(|entry| entry.id != self.id);
        self.slots.freed.notify_all();
    }
}
