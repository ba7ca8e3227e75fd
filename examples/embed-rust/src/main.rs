//! `embed-rust REFERENCE DIRECTORY [GUEST_DIRECTORY]`: what a VM manager does with banger.
//!
//! Prints a JSON object; any surprise ends the program with a message.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use banger::rootfs::{Destination, Put, PutSource, View};
use banger::{Cancellation, Dirs, Error, Event, EventHandler, ImageStore, InjectRequest, PullRequest};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const THREADS: usize = 8;
const HOSTNAME: &[u8] = b"embedded\n";
/// Code of "there is no guest binary for this processor".
const NO_GUEST: u32 = 810;
/// Code of "the caller cancelled".
const CANCELLED: u32 = 505;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(reference), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: embed-rust REFERENCE DIRECTORY [GUEST_DIRECTORY]".into());
    };
    let guests = arguments.next().map(Utf8PathBuf::from);
    let directory = Utf8PathBuf::from(directory);
    let dirs = |name: &str| Dirs::new(directory.join(name), directory.join(name).join("cache"));

    cancel(&reference, &dirs("cancelled"))?;
    let (progress, file) = pull_file(&reference, &dirs("file"), &directory.join("rootfs.ext4"))?;
    edit(&file)?;
    let report = json!({
        "progress_events": progress,
        "in_runtime": pull_in_runtime(&reference, &dirs("runtime"))?,
        "in_threads": pull_in_threads(&reference, &dirs("threads"))?,
        "injected": inject(&file, guests)?,
    });
    println!("{report:#}");
    Ok(())
}

/// A request for the image as it is, without a guest.
fn request(reference: &str) -> Result<PullRequest, Failure> {
    let mut request = PullRequest::new(reference.parse()?);
    request.guest = None;
    Ok(request)
}

/// Cancels a pull at its first layer: nothing is published.
fn cancel(reference: &str, dirs: &Dirs) -> Result<(), Failure> {
    let events = EventHandler::new(|event| match event {
        Event::LayerProgress { .. } | Event::LayerDone { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    match banger::pull(&request(reference)?, dirs, &events, &Cancellation::default()) {
        Err(error) if error.code() == CANCELLED => {}
        other => return Err(format!("a cancelled pull returned {other:?}").into()),
    }
    let left = ImageStore::new(&dirs.state).list()?.images.len();
    if left == 0 { Ok(()) } else { Err(format!("{left} images after a cancelled pull").into()) }
}

/// Pulls into one file; returns the number of progress events.
fn pull_file(reference: &str, dirs: &Dirs, file: &Utf8Path) -> Result<(u64, Utf8PathBuf), Failure> {
    let seen = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&seen);
    let events = EventHandler::new(move |event| {
        if matches!(event, Event::BlobDone { .. } | Event::LayerProgress { .. } | Event::LayerDone { .. }) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        ControlFlow::Continue(())
    });
    let pulled = banger::pull_to_file(&request(reference)?, file, dirs, &events, &Cancellation::default())?;
    match seen.load(Ordering::Relaxed) {
        0 => Err("a pull told of no progress".into()),
        seen => Ok((seen, pulled.path)),
    }
}

/// Calls the blocking function inside an async context.
fn pull_in_runtime(reference: &str, dirs: &Dirs) -> Result<Value, Failure> {
    let request = request(reference)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let image = runtime
        .block_on(async { banger::pull(&request, dirs, &EventHandler::none(), &Cancellation::default()) })?;
    Ok(serde_json::to_value(&image.record)?)
}

/// Pulls one reference from eight threads at once: one builds, and each gets a file that exists while it
/// holds the result.
fn pull_in_threads(reference: &str, dirs: &Dirs) -> Result<usize, Failure> {
    let pulled = std::thread::scope(|scope| {
        let pull = |_number: usize| {
            scope.spawn(move || -> Result<_, Failure> {
                let request = request(reference)?;
                Ok(banger::pull(&request, dirs, &EventHandler::none(), &Cancellation::default())?)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(pull).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<_>, _>>()
    })?;
    let built = pulled.iter().filter(|image| !image.unchanged).count();
    if built != 1 {
        return Err(format!("{built} of {THREADS} threads built the image").into());
    }
    match pulled.iter().find(|image| !image.path.is_file()) {
        Some(image) => Err(format!("{} does not exist", image.path).into()),
        None => Ok(pulled.len()),
    }
}

/// Writes a file into the image and reads it back.
fn edit(file: &Utf8Path) -> Result<(), Failure> {
    let now = banger::rootfs::timestamp()?;
    banger::rootfs::edit(file, now, &Cancellation::default(), |edit| {
        let mut content = HOSTNAME;
        let hostname = vec![PutSource::Reader(&mut content)];
        edit.put(hostname, &Destination::parse(b"/etc/hostname")?, &Put::default())
    })?;
    let image = banger::rootfs::open(file)?;
    let mut written = Vec::new();
    View::new(&image)?.copy_to(&banger::rootfs::parse_path(b"/etc/hostname")?, &mut written)?;
    if written == HOSTNAME { Ok(()) } else { Err(format!("read back {written:?}").into()) }
}

/// Makes the image boot, with the guest of `guests` or the embedded one; `null` if there is none.
fn inject(file: &Utf8Path, guests: Option<Utf8PathBuf>) -> Result<Value, Failure> {
    let has_guest = guests.is_some() || banger::embedded_guest("amd64").is_some();
    let mut request = InjectRequest::default();
    request.architecture = Some("amd64".to_owned());
    request.guest.dir = guests;
    match banger::inject_file(file, &request, &Cancellation::default()) {
        Ok(report) if has_guest => Ok(serde_json::to_value(&report)?),
        Err(error @ Error::GuestBinary(_)) if !has_guest && error.code() == NO_GUEST => Ok(Value::Null),
        other => Err(format!("has guest: {has_guest}; injecting returned {other:?}").into()),
    }
}
