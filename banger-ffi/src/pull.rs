//! Pulls and builds: blocking calls, and tasks for event loops.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::RawFd;
use std::time::Duration;

use camino::Utf8PathBuf;
use pipeline::{BuildRequest, Cancellation, EventHandler, PullRequest};

use crate::call::{borrowed, borrowed_mut, guarded, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::event::{banger_event, banger_progress_fn};
use crate::image::banger_image;
use crate::option_reader::OptionReader;
use crate::options::banger_options;
use crate::request::{build_request, pull_request};
use crate::store::banger_store;
use crate::string::{banger_string, host_path, text};
use crate::task::{Step, Task};

/// A pull that is ready to run on a thread of its own.
struct PreparedPull {
    request: PullRequest,
    /// The file to write; `None` is the store.
    file: Option<Utf8PathBuf>,
    dirs: pipeline::Dirs,
}

impl PreparedPull {
    /// # Safety
    /// The pointers are as the header says.
    unsafe fn of(
        store: *const banger_store,
        reference: *const c_char,
        file: Option<*const c_char>,
        options: *const banger_options,
        call: &str,
    ) -> Result<Self, Fault> {
        // SAFETY: as the function's own condition.
        let (store, reference, file, given) = unsafe {
            let file = file.map(|file| host_path(file, "file")).transpose()?;
            (borrowed(store, "store")?, text(reference, "reference")?, file, OptionReader::of(options))
        };
        let mut request = pull_request(reference.parse()?, given, file.is_some(), call)?;
        request.puller = Some(store.puller.clone());
        Ok(Self { request, file: file.map(ToOwned::to_owned), dirs: store.dirs.clone() })
    }

    fn run(&self, events: &EventHandler, stop: &Cancellation) -> Result<Box<banger_image>, Fault> {
        banger_image::pulled(match &self.file {
            Some(file) => pipeline::pull_to_file(&self.request, file, &self.dirs, events, stop)?,
            None => pipeline::pull(&self.request, &self.dirs, events, stop)?,
        })
    }
}

/// A build that is ready to run on a thread of its own.
struct PreparedBuild {
    request: BuildRequest,
    file: Utf8PathBuf,
}

impl PreparedBuild {
    /// # Safety
    /// The pointers are as the header says.
    unsafe fn of(
        source: *const c_char,
        file: *const c_char,
        options: *const banger_options,
        call: &str,
    ) -> Result<Self, Fault> {
        // SAFETY: as the function's own condition.
        let (source, file, given) =
            unsafe { (host_path(source, "source")?, host_path(file, "file")?, OptionReader::of(options)) };
        Ok(Self { request: build_request(source, given, call)?, file: file.to_owned() })
    }

    fn run(&self, events: &EventHandler, stop: &Cancellation) -> Result<Box<banger_string>, Fault> {
        banger_string::json(&pipeline::build_rootfs(&self.request, &self.file, events, stop)?)
    }
}

/// Pulls an image into the store, in the place of an older image of its name. `reference` is as for
/// `banger image pull`: "debian:bookworm", "oci:DIR:NAME", "docker-archive:FILE". `options`, `cancel` and
/// `progress` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_pull(
    store: *const banger_store,
    reference: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    progress: banger_progress_fn,
    user_data: *mut c_void,
    image: *mut *mut banger_image,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, image, || {
            let pull = PreparedPull::of(store, reference, None, options, "banger_pull")?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| pull.run(events, stop))
        })
    }
}

/// Pulls an image into the ext4 file `file`, as `banger image pull --output` does. The file is complete when
/// this succeeds and absent when it fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_pull_to_file(
    store: *const banger_store,
    reference: *const c_char,
    file: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    progress: banger_progress_fn,
    user_data: *mut c_void,
    image: *mut *mut banger_image,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, image, || {
            let pull = PreparedPull::of(store, reference, Some(file), options, "banger_pull_to_file")?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| pull.run(events, stop))
        })
    }
}

/// Builds the ext4 file `file` from `source`, a directory or a tar, as `banger rootfs build --json` does. The
/// file is complete when this succeeds and absent when it fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_build(
    source: *const c_char,
    file: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    progress: banger_progress_fn,
    user_data: *mut c_void,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let build = PreparedBuild::of(source, file, options, "banger_build")?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| build.run(events, stop))
        })
    }
}

/// A pull or a build that runs on a thread of the library, for programs with an event loop. One thread at a
/// time may use it. Free it with banger_task_free.
#[derive(Debug)]
pub struct banger_task {
    work: TaskWork,
    /// Told last; lives until the next one.
    event: Option<banger_event>,
}

#[derive(Debug)]
enum TaskWork {
    Image(Task<Box<banger_image>>),
    Json(Task<Box<banger_string>>),
    Finished,
}

impl TaskWork {
    fn fd(&self) -> RawFd {
        match self {
            Self::Image(task) => task.fd(),
            Self::Json(task) => task.fd(),
            Self::Finished => -1,
        }
    }

    fn next(&mut self, timeout: Duration) -> Step {
        match self {
            Self::Image(task) => task.next(timeout),
            Self::Json(task) => task.next(timeout),
            Self::Finished => Step::Ended,
        }
    }

    /// The error of a call that wants another result than `self` has.
    fn unfit(&self, wanted: &str) -> Fault {
        Fault::argument(match self {
            Self::Finished => "the task was finished before".to_owned(),
            _ => format!("the result of the task is not {wanted}"),
        })
    }
}

/// Starts banger_pull, or banger_pull_to_file where `file` is not NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_pull_start(
    store: *const banger_store,
    reference: *const c_char,
    file: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    task: *mut *mut banger_task,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, task, || {
            let file = (!file.is_null()).then_some(file);
            let pull = PreparedPull::of(store, reference, file, options, "banger_pull_start")?;
            let task = Task::start(&cancellation(cancel), move |events, stop| pull.run(events, stop))?;
            Ok(Box::new(banger_task { work: TaskWork::Image(task), event: None }))
        })
    }
}

/// Starts banger_build.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_build_start(
    source: *const c_char,
    file: *const c_char,
    options: *const banger_options,
    cancel: *const banger_cancel,
    task: *mut *mut banger_task,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, task, || {
            let build = PreparedBuild::of(source, file, options, "banger_build_start")?;
            let task = Task::start(&cancellation(cancel), move |events, stop| build.run(events, stop))?;
            Ok(Box::new(banger_task { work: TaskWork::Json(task), event: None }))
        })
    }
}

/// Returns a file descriptor that is readable while there is an event or the end, for poll, select or epoll. It
/// belongs to the task: do not read from it, and do not close it. -1 for NULL and after the finish.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_task_fd(task: *const banger_task) -> c_int {
    // SAFETY: the caller's pointer is NULL or alive.
    unsafe { task.as_ref() }.map_or(-1, |task| task.work.fd())
}

/// Writes the next event to `event`: it lives until the next call for this task. Waits for it up to `timeout_ms`;
/// 0 does not wait. An event of the kind BANGER_EVENT_IDLE says that the time has passed; NULL says that the work
/// has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_task_next(
    task: *mut banger_task,
    timeout_ms: u32,
    event: *mut *const banger_event,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded(error, event, || {
            let task = borrowed_mut(task, "task")?;
            task.event = match task.work.next(Duration::from_millis(timeout_ms.into())) {
                Step::Event(event) => Some(banger_event::of(&event)),
                Step::Nothing => Some(banger_event::idle()),
                Step::Ended => None,
            };
            Ok(task.event.as_ref().map_or(std::ptr::null(), |event| event as *const banger_event))
        })
    }
}

/// Waits for the end of a pull and hands out its image, or its error. Events that were not taken are lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_task_finish_image(
    task: *mut banger_task,
    image: *mut *mut banger_image,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, image, || {
            let work = &mut borrowed_mut(task, "task")?.work;
            match std::mem::replace(work, TaskWork::Finished) {
                TaskWork::Image(task) => task.finish(),
                other => {
                    *work = other;
                    Err(work.unfit("an image"))
                }
            }
        })
    }
}

/// Waits for the end of a build and hands out its document, or its error. Events that were not taken are lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_task_finish_json(
    task: *mut banger_task,
    json: *mut *mut banger_string,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, json, || {
            let work = &mut borrowed_mut(task, "task")?.work;
            match std::mem::replace(work, TaskWork::Finished) {
                TaskWork::Json(task) => task.finish(),
                other => {
                    *work = other;
                    Err(work.unfit("a document"))
                }
            }
        })
    }
}

/// Frees a task. Work that still runs is cancelled, and this waits for its end. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_task_free(task: *mut banger_task) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(task) };
}
