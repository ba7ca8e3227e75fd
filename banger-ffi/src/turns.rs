//! Whose turn it is to use something that one call at a time may use.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeline::{Cancellation, RootfsError};

use crate::error::Fault;

/// How often a call that waits looks at its flag.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Something that calls use in turns. A lock of the standard library cannot be waited for with a flag.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    seat: Mutex<Seat<T>>,
    freed: Condvar,
}

#[derive(Debug)]
enum Seat<T> {
    Free(Box<T>),
    Taken,
    /// A call panicked with it: its state is not known.
    Broken,
}

/// The turn of a call. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a, T> {
    turns: &'a Turns<T>,
    /// `None` only while this is dropped.
    value: Option<Box<T>>,
}

impl<T> Turns<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { seat: Mutex::new(Seat::Free(Box::new(value))), freed: Condvar::new() }
    }

    fn seat(&self) -> MutexGuard<'_, Seat<T>> {
        // No code panics while it holds this lock.
        self.seat.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of this call, until `cancellation` is set.
    pub(crate) fn wait(&self, cancellation: &Cancellation) -> Result<Turn<'_, T>, Fault> {
        let mut seat = self.seat();
        loop {
            match std::mem::replace(&mut *seat, Seat::Taken) {
                Seat::Free(value) => return Ok(Turn { turns: self, value: Some(value) }),
                Seat::Taken if cancellation.is_cancelled() => return Err(RootfsError::Cancelled.into()),
                Seat::Taken => {}
                Seat::Broken => {
                    *seat = Seat::Broken;
                    return Err(Fault::panic(&"an earlier call on this file system ended in the middle"));
                }
            }
            seat = self.freed.wait_timeout(seat, LOOK_PAUSE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until the drop")
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until the drop")
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let after = match self.value.take() {
            Some(value) if !std::thread::panicking() => Seat::Free(value),
            _ => Seat::Broken,
        };
        *self.turns.seat() = after;
        self.turns.freed.notify_one();
    }
}
