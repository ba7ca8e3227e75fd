//! Pulls and builds: blocking calls, and tasks for event loops.

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use camino::Utf8PathBuf;
use pipeline::{BuildRequest, Cancellation, EventHandler, OutputFd, PullRequest};

use crate::call::{borrowed, borrowed_mut, guarded, guarded_object};
use crate::cancel::{banger_cancel, cancellation};
use crate::error::{Fault, banger_error};
use crate::event::{banger_event, banger_progress_fn};
use crate::image::banger_image;
use crate::option_reader::OptionReader;
use crate::options::banger_options;
use crate::request::{PullTarget, build_request, pull_request};
use crate::rootfs_edit::file_of;
use crate::store::banger_store;
use crate::string::{banger_string, host_path, text};
use crate::task::{Step, Task};

/// A pull that is ready to run on a thread of its own.
struct PreparedPull {
    request: PullRequest,
    target: PullTarget,
    dirs: pipeline::Dirs,
}

impl PreparedPull {
    /// # Safety
    /// The pointers are as the header says.
    unsafe fn of(
        store: *const banger_store,
        reference: *const c_char,
        target: impl FnOnce() -> Result<PullTarget, Fault>,
        options: *const banger_options,
        call: &str,
    ) -> Result<Self, Fault> {
        // SAFETY: as the function's own condition.
        let (store, reference, given) =
            unsafe { (borrowed(store, "store")?, text(reference, "reference")?, OptionReader::of(options)) };
        let target = target()?;
        let mut request = pull_request(reference.parse()?, given, &target, call)?;
        request.puller = Some(store.puller.clone());
        Ok(Self { request, target, dirs: store.dirs.clone() })
    }

    fn run(&self, events: &EventHandler, stop: &Cancellation) -> Result<Box<banger_image>, Fault> {
        let Self { request, target, dirs } = self;
        banger_image::pulled(match target {
            PullTarget::Store => pipeline::pull(request, dirs, events, stop)?,
            PullTarget::File(file) => pipeline::pull_to_file(request, file, dirs, events, stop)?,
            PullTarget::Fd(output) => pipeline::pull_to_fd(request, output, dirs, events, stop)?,
        })
    }
}

/// # Safety
/// `file` is NULL or a text that ends.
unsafe fn file_target(file: *const c_char) -> Result<PullTarget, Fault> {
    // SAFETY: as the function's own condition.
    Ok(PullTarget::File(unsafe { host_path(file, "file")? }.to_owned()))
}

fn fd_target(fd: c_int) -> Result<PullTarget, Fault> {
    // A number that is no open file is a wrong argument.
    file_of(fd)?;
    // SAFETY: it is open, as was just seen, and the caller keeps it open during the call.
    Ok(PullTarget::Fd(OutputFd::new(unsafe { BorrowedFd::borrow_raw(fd) })?))
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
        let (file, given) = unsafe { (host_path(file, "file")?, OptionReader::of(options)) };
        // SAFETY: the same.
        let source = (!source.is_null()).then(|| unsafe { host_path(source, "source") }).transpose()?;
        Ok(Self { request: build_request(source, given, call)?, file: file.to_owned() })
    }

    fn run(&self, events: &EventHandler, stop: &Cancellation) -> Result<Box<banger_string>, Fault> {
        banger_string::json(&pipeline::build_rootfs(&self.request, &self.file, events, stop)?)
    }
}

/// Pulls an image into the store, in the place of an older image of its name. `reference` is as for
/// `banger image pull`: "debian:bookworm", "oci:DIR:NAME", "docker-archive:FILE", "containers-storage:NAME". `options`,
/// `cancel` and `progress` may be NULL.
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
            let pull = PreparedPull::of(store, reference, || Ok(PullTarget::Store), options, "banger_pull")?;
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
            let pull =
                PreparedPull::of(store, reference, || file_target(file), options, "banger_pull_to_file")?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| pull.run(events, stop))
        })
    }
}

/// Pulls an image into the open file `fd`, in place: a regular file, also one in memory or without a name, or a block
/// device that is large enough. The bytes are those of banger_pull_to_file. `fd` must be open for reading and writing,
/// without O_APPEND and O_DIRECT; its position is neither used nor moved, and no lock is taken. A pipe, a socket and a
/// mounted device are error 508. banger_image_path of the image is "/dev/fd/N".
///
/// What the file held is lost. If the call fails, a regular file is as it was or empty; a block device is as it was,
/// or its first 4096 bytes are zeros and the others undefined.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_pull_to_fd(
    store: *const banger_store,
    reference: *const c_char,
    fd: c_int,
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
            let pull = PreparedPull::of(store, reference, || fd_target(fd), options, "banger_pull_to_fd")?;
            Task::run(&cancellation(cancel), progress, user_data, move |events, stop| pull.run(events, stop))
        })
    }
}

/// Builds the ext4 file `file` from `source`, a directory or a tar, as `banger rootfs build --json` does. The
/// file is complete when this succeeds and absent when it fails. With OWN_IDENTITY, `source` may be NULL, for a file
/// system with no file.
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
}

impl banger_task {
    /// Ends the work whose result is `wanted`; `take` finds it. Other work goes on.
    fn finish<T>(
        &mut self,
        wanted: &str,
        take: impl FnOnce(TaskWork) -> Result<Task<T>, TaskWork>,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
    {
        match take(std::mem::replace(&mut self.work, TaskWork::Finished)) {
            Ok(task) => task.finish(),
            Err(TaskWork::Finished) => Err(Fault::argument("the task was finished before")),
            Err(other) => {
                self.work = other;
                Err(Fault::argument(format!("the result of the task is not {wanted}")))
            }
        }
    }
}

fn start_pull(pull: PreparedPull, cancellation: &Cancellation) -> Result<Box<banger_task>, Fault> {
    let task = Task::start(cancellation, move |events, stop| pull.run(events, stop))?;
    Ok(Box::new(banger_task { work: TaskWork::Image(task), event: None }))
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
            let target = || if file.is_null() { Ok(PullTarget::Store) } else { file_target(file) };
            let pull = PreparedPull::of(store, reference, target, options, "banger_pull_start")?;
            start_pull(pull, &cancellation(cancel))
        })
    }
}

/// Starts banger_pull_to_fd. The task holds a copy of `fd`: you may close your own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_pull_to_fd_start(
    store: *const banger_store,
    reference: *const c_char,
    fd: c_int,
    options: *const banger_options,
    cancel: *const banger_cancel,
    task: *mut *mut banger_task,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_object(error, task, || {
            let target = || fd_target(fd);
            let pull = PreparedPull::of(store, reference, target, options, "banger_pull_to_fd_start")?;
            start_pull(pull, &cancellation(cancel))
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
            borrowed_mut(task, "task")?.finish("an image", |work| match work {
                TaskWork::Image(task) => Ok(task),
                other => Err(other),
            })
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
            borrowed_mut(task, "task")?.finish("a document", |work| match work {
                TaskWork::Json(task) => Ok(task),
                other => Err(other),
            })
        })
    }
}

/// Frees a task. Work that still runs is cancelled, and this waits for its end. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_task_free(task: *mut banger_task) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(task) };
}
