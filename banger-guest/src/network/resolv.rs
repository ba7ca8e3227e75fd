//! Writes `/etc/resolv.conf`, if no other program writes it.

use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::bounded;
use crate::durable;
use crate::root::Root;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Number of bytes that are read to check whether it is empty.
const LOOK_BYTES: u64 = 64 * 1024;

/// Marks a file as ours, to be written anew.
const MARK: &str = "# Written by banger-network-bootstrap.\n";

/// Writes the name servers if the file is missing, empty, or was written here before. Returns whether the
/// file has them now.
pub(crate) fn write(root: &Root, servers: &[IpAddr]) -> io::Result<bool> {
    if servers.is_empty() {
        return Ok(true);
    }
    let path = root.path(RESOLV_CONF);
    let mut text = String::from(MARK);
    for server in servers {
        writeln!(text, "nameserver {server}").expect("a string takes everything");
    }
    // One byte more than expected: a file that only begins like it is a different file.
    let enough = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_add(1).max(LOOK_BYTES);
    match bounded::read_start(&path, enough) {
        Ok(now) if now == text.as_bytes() => return Ok(true),
        Ok(now) if !now.trim_ascii().is_empty() && !now.starts_with(MARK.as_bytes()) => return Ok(false),
        _ => {}
    }
    durable::replace(&target(root, path), text.as_bytes(), 0o644)?;
    Ok(true)
}

/// Returns the path to write to. A link into `/run` is followed: a resolver that starts later takes the file
/// over. Another dead link is replaced.
fn target(root: &Root, path: PathBuf) -> PathBuf {
    let Ok(link) = std::fs::read_link(&path) else {
        return path;
    };
    let absolute = durable::directory_of(std::path::Path::new(RESOLV_CONF)).join(link);
    let mut clean = PathBuf::from("/");
    for component in absolute.components() {
        match component {
            std::path::Component::ParentDir => drop(clean.pop()),
            std::path::Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    match clean.to_str() {
        Some(text) if clean.starts_with("/run") => root.path(text),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_what_is_nobodys_is_written() {
        let ours = format!("{MARK}nameserver 10.0.0.1\nnameserver ::1\n");
        let cases = [
            (None, Some(ours.as_str())),
            (Some(""), Some(ours.as_str())),
            (Some(" \n"), Some(ours.as_str())),
            (Some("# Written by banger-network-bootstrap.\nnameserver 9.9.9.9\n"), Some(ours.as_str())),
            (Some("nameserver 1.1.1.1\n"), None),
            (Some("# comment\n"), None),
        ];
        for (before, after) in cases {
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::create_dir(directory.path().join("etc")).expect("a directory");
            let path = directory.path().join("etc/resolv.conf");
            if let Some(before) = before {
                std::fs::write(&path, before).expect("a file");
            }
            let root = Root::at(directory.path().into());
            let servers = ["10.0.0.1".parse().expect("address"), "::1".parse().expect("address")];
            let written = write(&root, &servers).expect("it can be written");
            assert_eq!(written, after.is_some(), "{before:?}");
            let now = std::fs::read_to_string(&path).ok();
            assert_eq!(now.as_deref(), after.or(before), "{before:?}");
        }
    }

    #[test]
    fn links_are_followed_into_run_only() {
        let cases = [
            ("../run/systemd/resolve/stub-resolv.conf", "run/systemd/resolve/stub-resolv.conf", true),
            ("/run/resolv.conf", "run/resolv.conf", true),
            ("/var/nothing", "etc/resolv.conf", false),
        ];
        for (link, file, stays) in cases {
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::create_dir(directory.path().join("etc")).expect("a directory");
            let path = directory.path().join("etc/resolv.conf");
            symlink(link, &path).expect("a link");
            let root = Root::at(directory.path().into());
            assert!(write(&root, &["10.0.0.1".parse().expect("address")]).expect("it can be written"));
            let written = std::fs::read_to_string(directory.path().join(file)).expect(link);
            assert!(written.contains("10.0.0.1"), "{link}");
            assert_eq!(path.is_symlink(), stays, "{link}");
        }
    }
}
