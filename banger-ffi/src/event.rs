//! What a call tells while it goes on.

use std::ffi::{CString, c_char, c_int, c_void};

use pipeline::Event;

use crate::c_text::c_text;
use banger_step_kind::*;

/// What an event tells. Expect kinds that this header does not know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum banger_step_kind {
    /// Nothing happened for 200 ms: the time to look at a signal, or to cancel.
    BANGER_EVENT_IDLE = 1,
    /// The reference is being turned into a digest.
    BANGER_EVENT_RESOLVING = 2,
    /// The image is known: digest, and the size of all layers.
    BANGER_EVENT_RESOLVED = 3,
    /// A blob starts to come in: digest and size.
    BANGER_EVENT_BLOB_STARTED = 4,
    /// Another process downloads the blob; this one waits for it.
    BANGER_EVENT_BLOB_WAITING = 5,
    /// Another thread or process pulls an image of this name; this one waits for it.
    BANGER_EVENT_PULL_WAITING = 6,
    /// More of a blob came in: digest, bytes so far, size.
    BANGER_EVENT_BLOB_PROGRESS = 7,
    /// A blob is whole, checked, and in the cache.
    BANGER_EVENT_BLOB_DONE = 8,
    /// A request failed and is tried again: the message says what and why.
    BANGER_EVENT_RETRY = 9,
    /// A layer is being applied: layer, published bytes so far, published bytes in all.
    BANGER_EVENT_LAYER_PROGRESS = 10,
    /// A layer is applied.
    BANGER_EVENT_LAYER_DONE = 11,
    /// More of a directory of the host was read.
    BANGER_EVENT_DIRECTORY_PROGRESS = 12,
    /// Something was changed or left out: the message says what and why.
    BANGER_EVENT_WARNING = 13,
    /// The file system is being written.
    BANGER_EVENT_BUILDING = 14,
    /// All is done.
    BANGER_EVENT_DONE = 15,
    /// Something that this version has no kind for: read the JSON.
    BANGER_EVENT_OTHER = 16,
    /// A step of a build begins: the message is the step.
    BANGER_EVENT_STEP = 17,
    /// The program of a step writes: the message is a part of its output.
    BANGER_EVENT_STEP_OUTPUT = 18,
    /// Makes the type 32 bits wide; not a kind.
    BANGER_EVENT_FORCE_32BIT = 0x7fff_ffff,
}

/// One event. It lives until the progress function returns, or until the next banger_task_next.
#[derive(Debug)]
pub struct banger_event {
    kind: banger_step_kind,
    layer: u32,
    done_bytes: u64,
    size_bytes: u64,
    digest: CString,
    message: CString,
    json: CString,
}

/// A function of the caller that is told of each event. It runs on the thread that made the call, only during
/// the call. It returns 0 to go on and another number to cancel.
pub type banger_progress_fn =
    Option<unsafe extern "C" fn(event: *const banger_event, user_data: *mut c_void) -> c_int>;

impl banger_event {
    /// The event that says that nothing happened.
    pub(crate) fn idle() -> Self {
        Self {
            kind: BANGER_EVENT_IDLE,
            layer: 0,
            done_bytes: 0,
            size_bytes: 0,
            digest: CString::default(),
            message: CString::default(),
            json: c_text(r#"{"event":"idle"}"#),
        }
    }

    /// The event for C.
    pub(crate) fn of(event: &Event) -> Self {
        let mut made = Self::idle();
        made.json = c_text(serde_json::to_vec(event).expect("every key is text, and nothing else can fail"));
        let named = |made: &mut Self, text: &str| made.digest = c_text(text);
        made.kind = match event {
            Event::Resolving { .. } => BANGER_EVENT_RESOLVING,
            Event::Resolved { digest, size_bytes, .. } => {
                named(&mut made, digest);
                made.size_bytes = *size_bytes;
                BANGER_EVENT_RESOLVED
            }
            Event::BlobStarted { digest, size_bytes, resumed_bytes, .. } => {
                named(&mut made, digest);
                (made.done_bytes, made.size_bytes) = (*resumed_bytes, *size_bytes);
                BANGER_EVENT_BLOB_STARTED
            }
            Event::BlobWaiting { digest } => {
                named(&mut made, digest);
                BANGER_EVENT_BLOB_WAITING
            }
            Event::PullWaiting { .. } => BANGER_EVENT_PULL_WAITING,
            Event::BlobProgress { digest, done_bytes, size_bytes } => {
                named(&mut made, digest);
                (made.done_bytes, made.size_bytes) = (*done_bytes, *size_bytes);
                BANGER_EVENT_BLOB_PROGRESS
            }
            Event::BlobDone { digest } => {
                named(&mut made, digest);
                BANGER_EVENT_BLOB_DONE
            }
            Event::Retry { what, attempt, reason, .. } => {
                made.message = c_text(format!("{what}: attempt {attempt} follows: {reason}"));
                BANGER_EVENT_RETRY
            }
            Event::LayerProgress { layer, done_bytes, size_bytes } => {
                (made.layer, made.done_bytes, made.size_bytes) = (*layer, *done_bytes, *size_bytes);
                BANGER_EVENT_LAYER_PROGRESS
            }
            Event::LayerDone { layer, .. } => {
                made.layer = *layer;
                BANGER_EVENT_LAYER_DONE
            }
            Event::DirectoryProgress { done_bytes, .. } => {
                made.done_bytes = *done_bytes;
                BANGER_EVENT_DIRECTORY_PROGRESS
            }
            Event::Warning { message } => {
                made.message = c_text(message.as_str());
                BANGER_EVENT_WARNING
            }
            Event::Building { .. } => BANGER_EVENT_BUILDING,
            Event::Step { text, .. } => {
                made.message = c_text(text.as_str());
                BANGER_EVENT_STEP
            }
            Event::StepOutput { text, .. } => {
                made.message = c_text(text.as_str());
                BANGER_EVENT_STEP_OUTPUT
            }
            Event::Done { .. } => BANGER_EVENT_DONE,
            _ => BANGER_EVENT_OTHER,
        };
        made
    }
}

/// Returns what the event tells, a banger_step_kind. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_event_kind(event: *const banger_event) -> c_int {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { event.as_ref() }.map_or(0, |event| event.kind as c_int)
}

/// Returns the bytes that are done, where the event tells of bytes; else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_event_done_bytes(event: *const banger_event) -> u64 {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { event.as_ref() }.map_or(0, |event| event.done_bytes)
}

/// Returns the bytes in all, where the event tells of bytes; else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_event_size_bytes(event: *const banger_event) -> u64 {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { event.as_ref() }.map_or(0, |event| event.size_bytes)
}

/// Returns the position of the layer, 0 for the base, where the event tells of a layer; else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_event_layer(event: *const banger_event) -> u32 {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { event.as_ref() }.map_or(0, |event| event.layer)
}

/// Returns the digest of the image or blob that the event tells of, else "".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_event_digest(event: *const banger_event) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { event.as_ref() }.map_or(c"".as_ptr(), |event| event.digest.as_ptr())
}

/// Returns the text of a warning, of a request that is tried again, of a step or of its output, else "".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_event_message(event: *const banger_event) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { event.as_ref() }.map_or(c"".as_ptr(), |event| event.message.as_ptr())
}

/// Returns the event as a JSON object, as `banger --progress json` prints it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_event_json(event: *const banger_event) -> *const c_char {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { event.as_ref() }.map_or(c"".as_ptr(), |event| event.json.as_ptr())
}
