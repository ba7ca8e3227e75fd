//! The changes that make a copy the disk of one machine.

use banger_boot::{RenewedIdentity, renew_identity, set_env, set_up_machine};
use banger_ext4::Ext4Editor;
use banger_guest::config::{NETWORK_FILE, NetworkConfig};
use banger_tree::{Cancellation, GuestPath, Rootfs, Timestamp};
use camino::Utf8Path;
use uuid::Uuid;

use super::identity::Identity;
use super::request::CloneRequest;
use crate::error::Error;
use crate::host_copy::HostCopy;
use crate::network_file::write_network_config;
use crate::rootfs::{Edit, EditError, NewSize, in_file, parse_path, read_up_to, timestamp, write_over};
use crate::store::ImageRecord;

const FSTAB: &str = "/etc/fstab";
/// The longest file of settings that is looked at.
const TEXT_BYTES: u64 = 1 << 20;

/// Changes the copy of an image at `path`, which nobody else knows, and its record; returns warnings. Does not flush.
pub(super) fn change(
    path: &Utf8Path,
    record: &mut ImageRecord,
    request: &CloneRequest,
    cancellation: &Cancellation,
) -> Result<Vec<String>, Error> {
    let time = timestamp()?;
    let mut editor = Ext4Editor::open_unpublished(path).map_err(in_file(path))?;
    editor.set_cancellation(cancellation);
    // The smallest size is known when all is in.
    let (size_now, size_last) = match request.size {
        Some(NewSize::Min) => (None, Some(NewSize::Min)),
        size => (size, None),
    };
    if let Some(size) = size_now {
        size.set(&mut editor).map_err(in_file(path))?;
    }
    let renewed = match request.identity {
        Identity::New => renew_identity(&mut editor, time)?,
        Identity::Keep => RenewedIdentity::default(),
    };
    record.first_boot_pending |= renewed.first_boot_pending;
    let fresh = (request.identity == Identity::New).then(Uuid::new_v4);
    if let Some(uuid) = request.uuid.or(fresh) {
        let before = Uuid::from_bytes(editor.uuid());
        editor.set_uuid(*uuid.as_bytes()).map_err(in_file(path))?;
        rename_in_fstab(&mut editor, before, uuid, time).map_err(in_file(path))?;
        record.uuid = Some(uuid);
    }
    set_up_machine(&mut editor, &request.settings, time)?;
    set_env(&mut record.config.env, &request.settings.env);
    let hostname = request.settings.hostname.as_deref();
    if let Some(network) = network_of(&editor, request.network.as_ref(), hostname).map_err(in_file(path))? {
        write_network_config(&mut editor, &network, time)?;
    }
    copy_in(&mut editor, &request.copies, time, cancellation).map_err(in_file(path))?;
    editor.commit().map_err(in_file(path))?;
    if let Some(size) = size_last {
        size.set(&mut editor).map_err(in_file(path))?;
    }
    record.set_usage(editor.usage().map_err(in_file(path))?);
    record.ran = true;
    Ok(renewed.warnings)
}

/// Gives the file system its new UUID in `/etc/fstab`, too.
fn rename_in_fstab(
    rootfs: &mut dyn Rootfs,
    before: Uuid,
    after: Uuid,
    time: Timestamp,
) -> Result<(), EditError> {
    let Some(text) = text_of(rootfs, FSTAB)? else { return Ok(()) };
    let before = before.to_string();
    let lower = text.to_ascii_lowercase();
    if !lower.contains(&before) {
        return Ok(());
    }
    let mut changed = String::new();
    let mut rest = 0;
    for (at, found) in lower.match_indices(&before) {
        changed.push_str(&text[rest..at]);
        changed.push_str(&after.to_string());
        rest = at + found.len();
    }
    changed.push_str(&text[rest..]);
    let place = rootfs.resolve(&parse_path(FSTAB.as_bytes())?)?;
    write_over(rootfs, &place, &mut changed.as_bytes(), time)
}

/// Returns the network that the clone gets: the requested one, or that of the file in it with another hostname.
fn network_of(
    rootfs: &dyn Rootfs,
    wanted: Option<&NetworkConfig>,
    hostname: Option<&str>,
) -> Result<Option<NetworkConfig>, EditError> {
    if let Some(wanted) = wanted {
        let hostname = wanted.hostname.as_deref().or(hostname).map(str::to_owned);
        return Ok(Some(wanted.clone().with_hostname(hostname)));
    }
    let Some(hostname) = hostname else { return Ok(None) };
    // The guest reports a file that does not parse.
    let file = text_of(rootfs, NETWORK_FILE)?.and_then(|text| NetworkConfig::parse_file(&text).ok());
    let named = file.map(|file| file.config).filter(|config| config.hostname.is_some());
    Ok(named.map(|config| config.with_hostname(Some(hostname.to_owned()))))
}

/// Returns the text of a file, if it is there and is a text.
fn text_of(rootfs: &dyn Rootfs, path: &str) -> Result<Option<String>, EditError> {
    let path: GuestPath = parse_path(path.as_bytes())?;
    Ok(read_up_to(rootfs, &path, TEXT_BYTES).ok().and_then(|bytes| String::from_utf8(bytes).ok()))
}

fn copy_in(
    editor: &mut Ext4Editor,
    copies: &[HostCopy],
    time: Timestamp,
    cancellation: &Cancellation,
) -> Result<(), EditError> {
    if copies.is_empty() {
        return Ok(());
    }
    let mut edit = Edit::new(editor, time, cancellation);
    copies.iter().try_for_each(|copy| copy.put_into(&mut edit))?;
    edit.commit()
}
