//! s6-overlay's services.

use crate::edit::Edit;
use crate::error::InjectError;

const DIR: &str = "/etc/s6-overlay/s6-rc.d";

/// Files of the services: path below [`DIR`], content, permissions.
const FILES: [(&str, &str, u16); 8] = [
    ("banger-network/type", include_str!("../assets/s6/banger-network/type"), 0o644),
    ("banger-network/up", include_str!("../assets/s6/banger-network/up"), 0o644),
    ("banger-first-boot/type", include_str!("../assets/s6/banger-first-boot/type"), 0o644),
    ("banger-first-boot/run", include_str!("../assets/s6/banger-first-boot/run"), 0o755),
    ("banger-first-boot/dependencies.d/banger-network", "", 0o644),
    ("banger-vsock-agent/type", include_str!("../assets/s6/banger-vsock-agent/type"), 0o644),
    ("banger-vsock-agent/run", include_str!("../assets/s6/banger-vsock-agent/run"), 0o755),
    ("banger-network/dependencies.d/base", "", 0o644),
];

/// Every text of this module.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().map(|(_, text, _)| text)
}

pub(crate) fn install(edit: &mut Edit<'_>) -> Result<(), InjectError> {
    for (name, text, mode) in FILES {
        edit.file(&format!("{DIR}/{name}"), text.as_bytes(), mode)?;
    }
    for name in ["banger-network", "banger-first-boot", "banger-vsock-agent"] {
        edit.file(&format!("{DIR}/user/contents.d/{name}"), b"", 0o644)?;
    }
    // The bundle is of this type wherever s6-overlay brings it itself.
    if edit.lookup(&format!("{DIR}/user/type"))?.is_none() {
        edit.file(&format!("{DIR}/user/type"), b"bundle\n", 0o644)?;
    }
    Ok(())
}
