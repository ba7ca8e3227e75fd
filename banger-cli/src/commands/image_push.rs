//! `banger image push`.

use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::Instant;

use banger::{Dirs, ImagePushRequest, PushedImage, Reference, SigningKey};
use camino::Utf8Path;

use super::{limits, registry};
use crate::args::ProgressStyle;
use crate::args::registry::ImagePushArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;
use crate::progress;
use crate::units::Size;

pub(super) fn push(
    arguments: &ImagePushArguments,
    dirs: &Dirs,
    style: ProgressStyle,
    printer: &Printer,
) -> Result<(), CommandError> {
    let target = arguments.target.parse::<Reference>()?;
    let mount_from = arguments.mount_from.as_deref().map(str::parse::<Reference>).transpose()?;
    let mut pull = registry::pull_options(&arguments.registry, matches!(target, Reference::Registry(_)))?;
    pull.jobs = usize::from(arguments.jobs);
    limits::apply_patience(&arguments.patience, &mut pull);
    let sign_key = arguments.sign_key.as_deref().map(sign_key).transpose()?;
    let request = ImagePushRequest::new(&arguments.name, target)
        .with_mount_from(mount_from)
        .with_sign_key(sign_key)
        .with_attest(arguments.attest.clone())
        .with_source_date_epoch(banger::source_date_epoch()?)
        .with_pull(pull);
    let started = Instant::now();
    let cancellation = cancel_on_signal(printer);
    let events = progress::handler(style, printer);
    let pushed = banger::push_image(&request, dirs, &events, &cancellation)?;
    // Bars are gone before the last words.
    drop(events);
    printer.note(&summary(&arguments.name, &pushed, started));
    output(printer.result(&pushed, &format!("{}\n", pushed.digest)))
}

/// Reads a private key, with the password that cosign takes.
fn sign_key(path: &Utf8Path) -> Result<Arc<SigningKey>, CommandError> {
    let password = std::env::var_os("COSIGN_PASSWORD");
    Ok(Arc::new(SigningKey::read(path, password.as_ref().map(|password| password.as_bytes()))?))
}

fn summary(name: &str, pushed: &PushedImage, started: Instant) -> String {
    let seconds = started.elapsed().as_secs_f64();
    let mounted = match pushed.mounted_blobs {
        0 => String::new(),
        mounted => format!(", {mounted} from the other repository"),
    };
    let beside = match (&pushed.signature, &pushed.attestation) {
        (None, None) => "",
        (Some(_), None) => "; signed",
        (None, Some(_)) => "; attested",
        (Some(_), Some(_)) => "; signed and attested",
    };
    format!(
        "pushed {name} to {} in {seconds:.1} s: sent {} of {}; {} of {} parts were there{mounted}{beside}",
        pushed.target,
        Size(pushed.sent_bytes),
        Size(pushed.blob_bytes),
        pushed.present_blobs,
        // The configuration is one more.
        pushed.windows + 1,
    )
}
