//! Making an image boot, before it is written and after.

use banger_boot::{Entrypoint, GuestAgents, InjectError, InjectReport, find_program, inject_guest_agents};
use banger_oci::Platform;
use banger_tree::{Cancellation, GuestPath, Rootfs, RootfsError, Timestamp};

use crate::elf::architecture_of;
use crate::error::Error;
use crate::guest_binary::{GuestOptions, guest_binary};
use crate::rootfs::{RootfsPlace, in_file, open_to_edit};
use crate::store::ImageConfigRecord;

/// Options of an injection into a finished image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InjectRequest {
    /// Which init and which guest binary.
    pub guest: GuestOptions,
    /// The guest's processor, as OCI calls it. `None` detects it from the programs in the image, or takes the
    /// host's processor if the image has no programs.
    pub architecture: Option<String>,
    /// The program that banger-init runs, if it is the init.
    pub entrypoint: Option<Entrypoint>,
    /// Host name, for an image without one; `None` for `banger`.
    pub hostname: Option<String>,
    /// Time of the written files, in seconds since the epoch; `None` for now.
    pub timestamp_seconds: Option<i64>,
}

banger_tree::setters! {
    InjectRequest {
        with_guest => guest: GuestOptions,
        with_architecture => architecture: Option<String>,
        with_entrypoint => entrypoint: Option<Entrypoint>,
        with_hostname => hostname: Option<String>,
        with_timestamp_seconds => timestamp_seconds: Option<i64>,
    }
}

/// Makes the ext4 file system at `place` boot: all of it or, when this fails, nothing.
///
/// # Errors
/// The caller asked to stop, the image cannot be opened or changed, no guest binary fits its processor, or
/// the requested init is missing.
pub fn inject_file(
    place: impl Into<RootfsPlace>,
    request: &InjectRequest,
    cancellation: &Cancellation,
) -> Result<InjectReport, Error> {
    let place = place.into();
    let path = &place.file;
    let mut editor = open_to_edit(&place)?;
    editor.set_cancellation(cancellation);
    let report = inject_rootfs(&mut editor, request).map_err(|error| match error {
        Error::Inject(InjectError::Rootfs(source)) => in_file(path)(source),
        other => other,
    })?;
    if cancellation.is_cancelled() {
        return Err(Error::Cancelled);
    }
    editor.commit().map_err(in_file(path))?;
    Ok(report)
}

/// Makes a root file system boot; the caller commits.
///
/// # Errors
/// As [`inject_file`].
pub fn inject_rootfs(rootfs: &mut dyn Rootfs, request: &InjectRequest) -> Result<InjectReport, Error> {
    let architecture = match &request.architecture {
        Some(architecture) => architecture.clone(),
        None => match architecture_in(rootfs).map_err(InjectError::Rootfs)? {
            Some(architecture) => architecture.to_owned(),
            None => Platform::host().architecture,
        },
    };
    let binary = guest_binary(&request.guest, &architecture)?;
    let seconds = request.timestamp_seconds.unwrap_or_else(|| jiff::Timestamp::now().as_second());
    let mut agents = GuestAgents::new(binary)
        .with_init(request.guest.init)
        .with_entrypoint(request.entrypoint.clone())
        .with_timestamp(Timestamp::from_seconds(seconds).clamped_to_ext4());
    if let Some(hostname) = &request.hostname {
        agents.hostname.clone_from(hostname);
    }
    Ok(inject_guest_agents(rootfs, &agents)?)
}

/// Returns the agents for an image that is being built.
pub(crate) fn agents_for(
    options: &GuestOptions,
    architecture: &str,
    config: &ImageConfigRecord,
    timestamp: Timestamp,
) -> Result<GuestAgents, Error> {
    let binary = guest_binary(options, architecture)?;
    Ok(GuestAgents::new(binary)
        .with_init(options.init)
        .with_entrypoint(entrypoint_of(config))
        .with_timestamp(timestamp))
}

fn entrypoint_of(config: &ImageConfigRecord) -> Option<Entrypoint> {
    let argv: Vec<String> = config.entrypoint.iter().chain(&config.cmd).cloned().collect();
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    (!argv.is_empty()).then(|| {
        Entrypoint::default()
            .with_argv(argv)
            .with_env(config.env.clone())
            .with_user(given(&config.user))
            .with_working_dir(given(&config.working_dir))
    })
}

/// Returns the OCI name of the processor that the programs of a root file system are for.
pub(crate) fn architecture_in(rootfs: &dyn Rootfs) -> Result<Option<&'static str>, RootfsError> {
    const PROGRAMS: [&str; 8] = [
        "/sbin/init",
        "/bin/sh",
        "/bin/busybox",
        "/usr/bin/env",
        "/usr/lib/systemd/systemd",
        "/sbin/apk",
        "/usr/bin/dpkg",
        "/usr/bin/rpm",
    ];
    for program in PROGRAMS {
        let path = GuestPath::parse(program)?;
        if let Some(real) = find_program(rootfs, &path)? {
            let mut head = [0; 64];
            let length = rootfs.read_at(&real, 0, &mut head)?;
            if let Some(architecture) = architecture_of(&head[..length]) {
                return Ok(Some(architecture));
            }
        }
    }
    Ok(None)
}
