//! `banger image clone`.

use banger::guest::NetworkConfig;
use banger::{CloneRequest, CloneTarget, Dirs, ImageDocument, MachineSettings, clone_image};

use crate::args::clone::CloneArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::printer::Printer;

/// The longest file of public keys that is read.
const KEYS_BYTES: u64 = 1 << 20;

pub(super) fn clone(arguments: &CloneArguments, dirs: &Dirs, printer: &Printer) -> Result<(), CommandError> {
    let request = request(arguments)?;
    let image = clone_image(&request, dirs, &cancel_on_signal(printer))?;
    for warning in &image.warnings {
        printer.warning(warning);
    }
    output(printer.result(&ImageDocument::from(&image), &format!("{}\n", image.path)))
}

fn request(arguments: &CloneArguments) -> Result<CloneRequest, CommandError> {
    let ssh_keys = arguments.ssh_key.iter().map(|file| keys_in(file)).collect::<Result<Vec<_>, _>>()?;
    let settings = MachineSettings::default()
        .with_hostname(arguments.hostname.clone())
        .with_ssh_keys(ssh_keys)
        .with_env(arguments.env.clone());
    let uuid = arguments.uuid.as_deref().map(banger::parse_uuid).transpose()?;
    Ok(CloneRequest::new(&arguments.name, CloneTarget::parse(&arguments.target, arguments.force)?)
        .with_identity(arguments.identity)
        .with_uuid(uuid)
        .with_size(arguments.size.map(|size| size.0))
        .with_settings(settings)
        .with_network(network(&arguments.network)?)
        .with_copies(arguments.put.clone()))
}

/// Returns the text of a file of public keys.
fn keys_in(file: &camino::Utf8Path) -> Result<String, CommandError> {
    let bad = |reason: String| CommandError::argument("--ssh-key", file.as_str(), reason);
    let metadata = std::fs::metadata(file).map_err(|error| bad(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > KEYS_BYTES {
        return Err(bad("it is not a file of public keys".to_owned()));
    }
    std::fs::read_to_string(file).map_err(|error| bad(error.to_string()))
}

/// Returns the network that the words describe, as the lines of `/etc/banger-network.conf` do.
fn network(words: &[String]) -> Result<Option<NetworkConfig>, CommandError> {
    if words.is_empty() {
        return Ok(None);
    }
    let mut text = String::new();
    for word in words {
        match word.split_once('=') {
            Some((key, _)) if !key.is_empty() && !word.contains('\n') => text.push_str(&format!("{word}\n")),
            _ => return Err(CommandError::argument("--network", word, "write it as KEY=VALUE")),
        }
    }
    let bad = |reason: String| CommandError::argument("--network", words.join(" "), reason);
    let file = NetworkConfig::parse_file(&text).map_err(|error| bad(error.to_string()))?;
    match file.unknown_keys.first() {
        Some(key) => {
            Err(bad(format!("{key} is not a key: use interface, address, gateway, dns or hostname")))
        }
        None => Ok(Some(file.config)),
    }
}
