//! One program in a machine of its own, from the image to its output.

use std::time::Duration;

use banger_guest::protocol::Exec;
use banger_tree::{Cancellation, Setting};

use super::disk::VmDisk;
use super::error::VmError;
use super::machine::Machine;
use super::request::VmRequest;
use super::vm_kernel::choose_kernel;
use crate::boot::BootImage;
use crate::dirs::Dirs;
use crate::error::Error;
use crate::event::EventHandler;
use crate::guest::{DEFAULT_MAX_OUTPUT_BYTES, ExecOutput};
use crate::rootfs::{NewSize, resize};
use crate::store::{ImageRecord, ImageStore};

/// A program to run in a machine of its own.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VmRun {
    /// The managed image: name, id, or unique beginning of an id.
    pub image: String,
    /// The program. What it does not set is as in the image, see [`with_image_config`].
    pub exec: Exec,
    /// The kernel, see [`choose_kernel`].
    pub kernel: Option<String>,
    /// The machine. Its `entrypoint` is off.
    pub vm: VmRequest,
    /// Size of the file system; `None` for that of the image.
    pub size_bytes: Option<u64>,
    /// The limit of the output, which is kept in memory.
    pub max_output_bytes: u64,
    /// The time of the whole run; `None` for no limit.
    pub timeout: Option<Duration>,
}

impl VmRun {
    /// Asks to run `exec` in a copy of the managed image `image`.
    pub fn new(image: impl Into<String>, exec: Exec) -> Self {
        Self {
            image: image.into(),
            exec,
            kernel: None,
            vm: VmRequest::default(),
            size_bytes: None,
            max_output_bytes: DEFAULT_MAX_OUTPUT_BYTES,
            timeout: None,
        }
    }
}

banger_tree::setters! {
    VmRun {
        with_kernel => kernel: Option<String>,
        with_vm => vm: VmRequest,
        with_size_bytes => size_bytes: Option<u64>,
        with_max_output_bytes => max_output_bytes: u64,
        with_timeout => timeout: Option<Duration>,
    }
}

/// Runs a program in a machine with a copy of an image, without input, and returns its output. The machine and the
/// copy are gone when this returns.
///
/// # Errors
/// The image or the kernel does not exist or they do not fit, the machine does not come up, the program cannot be
/// started, a limit is exceeded, or the caller asks to stop. A failed program is not an error.
///
/// # Panics
/// The event handler panicked.
pub fn run_program(
    run: &VmRun,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ExecOutput, Error> {
    events.during(cancellation, |events, cancellation| {
        let limited = TimeLimit::start(run.timeout, cancellation);
        let outcome = run_within(run, dirs, events, cancellation);
        match (outcome, limited.is_over()) {
            (Err(Error::Cancelled), Some(after)) => Err(VmError::TimedOut { after }.into()),
            (outcome, _) => outcome,
        }
    })
}

fn run_within(
    run: &VmRun,
    dirs: &Dirs,
    events: &EventHandler,
    cancellation: &Cancellation,
) -> Result<ExecOutput, Error> {
    let image = ImageStore::new(&dirs.state).open(&run.image, cancellation)?;
    if image.record.boot_contract.is_none() {
        return Err(VmError::NoAgent { image: image.record.name.to_string() }.into());
    }
    let boot_image = BootImage::from(image.clone());
    let kernel = choose_kernel(run.kernel.as_deref(), &boot_image, dirs, events, cancellation)?;
    let disk = VmDisk::of_image(&image, dirs, cancellation)?;
    if let Some(bytes) = run.size_bytes {
        disk.check_changeable(Setting("size"), &bytes.to_string())?;
        resize(disk.path(), NewSize::Bytes(bytes), cancellation)?;
    }
    let request = run.vm.clone().with_entrypoint(false);
    let mut machine = Machine::start(disk, &kernel.kernel, &request, dirs, cancellation)?;
    machine.wait_until_ready()?;
    let exec = with_image_config(run.exec.clone(), &image.record);
    let client = machine.client().clone().with_max_output_bytes(run.max_output_bytes);
    client.run(&exec).map_err(|error| machine.cause(error))
}

/// Returns `exec` with the variables, user and working directory of the image where it sets none of its own.
pub fn with_image_config(mut exec: Exec, record: &ImageRecord) -> Exec {
    let config = &record.config;
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let own = std::mem::take(&mut exec.env);
    let image = config.env.iter().filter_map(|text| text.split_once('='));
    exec.env.extend(image.map(|(name, value)| (name.to_owned(), value.to_owned())));
    exec.env.extend(own);
    exec.user = exec.user.or_else(|| given(&config.user));
    exec.working_dir = exec.working_dir.or_else(|| given(&config.working_dir));
    exec
}

/// Sets a flag when a time is over.
#[derive(Debug)]
pub struct TimeLimit {
    limit: Option<Duration>,
    started: std::time::Instant,
    /// Ends the thread that waits.
    ended: Cancellation,
}

impl TimeLimit {
    /// Sets `cancellation` after `limit`, unless the result is dropped before.
    pub fn start(limit: Option<Duration>, cancellation: &Cancellation) -> Self {
        // Before the thread starts: a limit that has set the flag is over.
        let (ended, started) = (Cancellation::new(), std::time::Instant::now());
        if let Some(limit) = limit {
            let (cancellation, ended) = (cancellation.clone(), ended.clone());
            std::thread::spawn(move || {
                if !ended.sleep(limit) {
                    cancellation.cancel();
                }
            });
        }
        Self { limit, started, ended }
    }

    /// Returns the limit if it is over.
    pub fn is_over(&self) -> Option<Duration> {
        self.limit.filter(|limit| self.started.elapsed() >= *limit)
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{BuildOptions, ImageConfigRecord};

    #[test]
    fn a_program_has_the_configuration_of_its_image() {
        let mut record =
            ImageRecord::new("a".parse().unwrap(), "oci:a", "sha256:0", BuildOptions::new("native"));
        record.config = ImageConfigRecord {
            env: vec!["PATH=/bin".into(), "A=1".into()],
            user: "app".into(),
            working_dir: "/srv".into(),
            ..ImageConfigRecord::default()
        };
        let plain = with_image_config(Exec::new(["id"]), &record);
        assert_eq!((plain.user.as_deref(), plain.working_dir.as_deref()), (Some("app"), Some("/srv")));
        let own = Exec::new(["id"]).with_user(Some("root".into())).with_env(vec![("A".into(), "2".into())]);
        let own = with_image_config(own, &record);
        assert_eq!(own.user.as_deref(), Some("root"));
        // The last one counts.
        assert_eq!(own.env.last(), Some(&("A".to_owned(), "2".to_owned())));
    }

    #[test]
    fn a_time_limit_cancels_once_it_is_over() {
        let cancellation = Cancellation::new();
        let limit = TimeLimit::start(Some(Duration::from_millis(5)), &cancellation);
        assert!(cancellation.sleep(Duration::from_secs(60)));
        assert_eq!(limit.is_over(), Some(Duration::from_millis(5)));
        let (other, none) = (Cancellation::new(), TimeLimit::start(None, &cancellation));
        drop(TimeLimit::start(Some(Duration::from_secs(10)), &other));
        assert!(!other.sleep(Duration::from_millis(60)), "it was dropped before");
        assert_eq!(none.is_over(), None);
    }
}
