//! A program in a machine, and what the disk needs before it.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::PathBuf;

use banger::guest::{Exec, ExitStatus};
use banger::rootfs::{GuestPath, NewSize, View};
use banger::vm::{Machine, VmDisk, with_image_config};
use banger::{Cancellation, HostCopy, MachineSettings, PortForward, Setting, StoredImage};
use camino::Utf8PathBuf;

use crate::args::vm::VmRunArguments;
use crate::commands::guest::exec;
use crate::commands::guest::session_end::SessionEnd;
use crate::failure::CommandError;
use crate::printer::Printer;
use crate::units::Size;

/// The port of SSH servers.
const SSH_PORT: u16 = 22;

/// Makes the disk ready: its size, the files of the user, the keys. Returns the port for SSH.
pub(super) fn prepare(
    disk: &VmDisk,
    arguments: &VmRunArguments,
    cancellation: &Cancellation,
) -> Result<Option<PortForward>, CommandError> {
    let path = disk.path();
    if let Some(size) = arguments.machine.size {
        disk.check_changeable(Setting("size"), &size.to_string())?;
        let Size(bytes) = size;
        banger::rootfs::resize(&path, NewSize::Bytes(bytes), cancellation)?;
    }
    for HostCopy { source, destination, .. } in &arguments.copy {
        disk.copy_in(source, destination, cancellation)?;
    }
    let Some(key) = &arguments.ssh else { return Ok(None) };
    disk.check_changeable(Setting("ssh"), "")?;
    let keys = own_keys(key.as_ref())?;
    disk.set_up(&MachineSettings::default().with_ssh_keys(vec![keys]), cancellation)?;
    Ok(Some(PortForward::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, free_port()?), SSH_PORT)))
}

/// Returns the text of a key, or of all keys of the user.
fn own_keys(file: Option<&Utf8PathBuf>) -> Result<String, CommandError> {
    let bad = |value: &str, reason: String| CommandError::argument("--ssh", value, reason);
    let read = |path: &std::path::Path| {
        std::fs::read_to_string(path).map_err(|error| bad(&path.to_string_lossy(), error.to_string()))
    };
    if let Some(file) = file {
        return read(file.as_std_path());
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut keys = String::new();
    for entry in std::fs::read_dir(home.join(".ssh")).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            keys.push_str(&read(&path)?);
            keys.push('\n');
        }
    }
    match keys.is_empty() {
        true => Err(bad("", "there is no key in ~/.ssh".to_owned())
            .advised("make one with ssh-keygen, or give a file with --ssh=FILE.pub")),
        false => Ok(keys),
    }
}

/// Returns a port of this host that was free a moment ago.
fn free_port() -> Result<u16, CommandError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(CommandError::Output)
}

/// Runs the program of the arguments, or a shell, with the environment of the image.
pub(super) fn run(
    arguments: &VmRunArguments,
    image: &StoredImage,
    machine: &Machine,
    end: &SessionEnd,
    printer: &Printer,
) -> Result<ExitStatus, CommandError> {
    let argv = match arguments.command.is_empty() {
        true => vec![shell(image)?, "-l".to_owned()],
        false => arguments.command.clone(),
    };
    let request = Exec::default()
        .with_argv(argv)
        .with_env(arguments.session.env.clone())
        .with_user(arguments.user.clone())
        .with_working_dir(arguments.workdir.clone());
    let request = with_image_config(request, &image.record);
    let (session, limit) = (&arguments.session, arguments.max_output);
    exec::run(request, session, limit, machine.client(), end, printer)
}

/// Returns the best shell of the image.
fn shell(image: &StoredImage) -> Result<String, CommandError> {
    let rootfs = banger::rootfs::open(&image.path)?;
    let view = View::new(&rootfs).map_err(banger::rootfs::in_file(&image.path))?;
    let has = |path: &str| {
        GuestPath::parse(path)
            .is_ok_and(|path| view.resolve(&path).is_ok_and(|path| view.check_file(&path).is_ok()))
    };
    let found = ["/bin/bash", "/bin/sh"].into_iter().find(|path| has(path));
    found.map(str::to_owned).ok_or_else(|| {
        CommandError::argument("PROGRAM", "", "the image has no shell")
            .advised("give the program to run after --")
    })
}
