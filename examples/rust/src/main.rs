//! Makes the disk of a virtual machine: pulls an image into FILE with a progress bar, writes hostname, ssh key and
//! network into it, makes it boot, and prints the image's record as JSON. PROGRAM is what runs in the machine if the
//! image has no init. Ctrl-C stops it and leaves no file. With `SOURCE_DATE_EPOCH` the disk is reproducible.
//!
//! `examples/c`, `examples/go/pull` and `examples/python` are the same program.

use std::fmt::Display;
use std::io::{IsTerminal as _, stderr};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use banger::guest::NetworkConfig;
use banger::{
    ArgumentError, Attributes, Cancellation, Dirs, Entrypoint, Error, ErrorKind, Event, EventHandler,
    Ext4Editor, Failure as _, GuestPath, ImageDocument, InjectRequest, PullRequest, Rootfs, RootfsError,
    Setting, Timestamp,
};
use camino::Utf8Path;

const WIDTH: usize = 40;

/// The arguments.
struct Machine {
    reference: String,
    file: String,
    hostname: String,
    key: String,
    address: String,
    gateway: String,
    program: Vec<String>,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mut next = || words.next();
    let machine = (|| {
        Some(Machine {
            reference: next()?,
            file: next()?,
            hostname: next()?,
            key: next()?,
            address: next()?,
            gateway: next()?,
            program: Vec::new(),
        })
    })();
    let Some(machine) = machine.map(|machine| Machine { program: words.collect(), ..machine }) else {
        eprintln!("usage: pull REFERENCE FILE HOSTNAME KEY ADDRESS GATEWAY [PROGRAM ARGUMENT...]");
        return ExitCode::from(2);
    };
    let stop = Cancellation::new();
    let handler = stop.clone();
    ctrlc::set_handler(move || handler.cancel()).expect("no other handler is set");
    match run(&machine, &stop) {
        Ok(record) => {
            println!("{record}");
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == ErrorKind::Cancelled => ExitCode::from(130),
        Err(error) => {
            eprintln!("error {}: {error}", error.code());
            if let Some(advice) = error.advice() {
                eprintln!("  {advice}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Returns the record of the image.
fn run(machine: &Machine, stop: &Cancellation) -> Result<String, Error> {
    let mut request = PullRequest::new(machine.reference.parse()?);
    // What makes it boot comes below, in one commit with the rest.
    request.guest = None;
    request.source_date_epoch = banger::source_date_epoch()?;
    let bar = Arc::new(Mutex::new(Bar { is_terminal: stderr().is_terminal(), ..Bar::default() }));
    let own = Arc::clone(&bar);
    let events = EventHandler::new(move |event| {
        own.lock().unwrap_or_else(PoisonError::into_inner).tell(event);
        ControlFlow::Continue(())
    });
    let file = Utf8Path::new(&machine.file);
    let pulled = banger::pull_to_file(&request, file, &Dirs::of_user()?, &events, stop);
    bar.lock().unwrap_or_else(PoisonError::into_inner).end_line();
    let pulled = pulled?;
    prepare(machine, stop)?;
    Ok(serde_json::to_string(&ImageDocument::from(&pulled)).expect("every key is text"))
}

/// Writes all that is the machine's own, and makes the file system boot: all of it, or nothing.
fn prepare(machine: &Machine, stop: &Cancellation) -> Result<(), Error> {
    let file = Utf8Path::new(&machine.file);
    let failed = |source: RootfsError| Error::Rootfs { file: file.to_owned(), source: source.into() };
    let now = banger::rootfs::timestamp()?;
    let mut rootfs = Ext4Editor::open_to_edit(file).map_err(failed)?;
    rootfs.set_cancellation(stop);
    write_texts(&mut rootfs, machine, now).map_err(failed)?;
    let network = NetworkConfig::default()
        .with_addresses(vec![parsed("address", &machine.address)?])
        .with_gateways(vec![parsed("gateway", &machine.gateway)?])
        .with_hostname(machine.hostname.clone());
    banger::write_network_config(&mut rootfs, &network, now)?;
    let program = Entrypoint::default().with_argv(machine.program.clone());
    let boot = InjectRequest::default()
        .with_timestamp_seconds(now.seconds)
        .with_entrypoint((!machine.program.is_empty()).then_some(program));
    banger::inject_rootfs(&mut rootfs, &boot)?;
    rootfs.commit().map_err(failed)
}

/// Writes hostname and key.
fn write_texts(rootfs: &mut dyn Rootfs, machine: &Machine, now: Timestamp) -> Result<(), RootfsError> {
    let attributes = |mode| Attributes { mtime: now, ..Attributes::with_mode(mode) };
    let hostname = format!("{}\n", machine.hostname);
    rootfs.write_file(&GuestPath::parse("/etc/hostname")?, &mut hostname.as_bytes(), &attributes(0o644))?;
    let mut directory = GuestPath::root();
    for name in ["root", ".ssh"] {
        directory = directory.join(name.as_bytes())?;
        match rootfs.create_dir(&directory, &attributes(0o700)) {
            Err(error) if error.kind() != ErrorKind::Exists => return Err(error),
            _ => {}
        }
    }
    let key = format!("{}\n", machine.key);
    rootfs.write_file(&directory.join(b"authorized_keys")?, &mut key.as_bytes(), &attributes(0o600))
}

fn parsed<T: FromStr<Err: Display>>(name: &'static str, text: &str) -> Result<T, ArgumentError> {
    text.parse().map_err(|error: T::Err| ArgumentError::new(Setting(name), text, error.to_string()))
}

/// How much of all layers is unpacked, on standard error.
#[derive(Default)]
struct Bar {
    is_terminal: bool,
    is_drawn: bool,
    total: u64,
    done: Vec<u64>,
}

impl Bar {
    fn tell(&mut self, event: &Event) {
        match event {
            Event::Resolved { layers, size_bytes, .. } => {
                self.total = *size_bytes;
                self.done = vec![0; *layers];
            }
            Event::LayerProgress { layer, done_bytes, .. } => {
                if let Some(done) = self.done.get_mut(*layer as usize) {
                    *done = *done_bytes;
                }
                let done: u64 = self.done.iter().sum();
                self.draw(done.min(self.total) * 100 / self.total.max(1));
            }
            Event::Warning { message } => self.note(message),
            Event::Retry { what, reason, .. } => self.note(&format!("{what}: {reason}")),
            Event::Done { .. } => self.draw(100),
            _ => {}
        }
    }

    fn draw(&mut self, percent: u64) {
        if self.is_terminal {
            let filled = "#".repeat(percent as usize * WIDTH / 100);
            eprint!("\r[{filled:WIDTH$}] {percent:3} %");
            self.is_drawn = true;
        }
    }

    fn note(&mut self, text: &str) {
        self.end_line();
        eprintln!("note: {text}");
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            eprintln!();
        }
    }
}
