//! Programs that know passwords for registries.

use super::host::DoctorHost;
use super::item::{DoctorItem, DoctorStatus};

/// What the name of every such program begins with.
const START: &str = "docker-credential-";

/// Returns whether the helpers that the credential files name are there.
pub(super) fn credentials(host: &DoctorHost) -> DoctorItem {
    let needed_for = "pulls from private registries, where the files of docker or podman name helpers";
    let item = |status, found| DoctorItem::new("credential helpers", status, found, needed_for);
    let named = match host.credentials.named_helpers() {
        Ok(named) => named,
        Err(error) => return item(DoctorStatus::Unusable, error.to_string()),
    };
    let installed = host.programs(START);
    let missing: Vec<String> = named
        .iter()
        .map(|(name, file)| (format!("{START}{name}"), file))
        .filter(|(program, _)| !installed.contains(program))
        .map(|(program, file)| format!("{program}, which {file} names"))
        .collect();
    if !missing.is_empty() {
        return item(DoctorStatus::Missing, format!("not installed: {}", missing.join("; ")))
            .with_advice("install it, or remove it from the file");
    }
    match installed.is_empty() {
        true => item(DoctorStatus::Ok, "none is needed".to_owned()),
        false => item(DoctorStatus::Ok, installed.join(", ")),
    }
}
