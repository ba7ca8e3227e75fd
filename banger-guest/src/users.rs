//! Users and groups out of the guest's own `/etc/passwd` and `/etc/group`. The C library's way would
//! need its plug-ins, which a static binary has not.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use banger_guest::files::accounts::{
    GROUP_FILE, GroupLine, MAX_LINE_BYTES, PASSWD_FILE, UserLine, numeric_id,
};
use banger_guest::protocol::ErrorCode;
use rustix::process::{Gid, Uid};
use thiserror::Error;

use crate::bounded::{LineLimits, for_each_line};
use crate::root::Root;

/// Who a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    /// The supplementary groups.
    pub(crate) groups: Vec<Gid>,
    pub(crate) home: PathBuf,
    /// The login shell; may be empty.
    pub(crate) shell: String,
}

/// Error of a user lookup.
#[derive(Debug, Error)]
pub(crate) enum UserError {
    #[error("no user `{name}` in {PASSWD_FILE}")]
    User { name: String },
    #[error("no group `{name}` in {GROUP_FILE}")]
    Group { name: String },
    #[error("cannot read {file} to its end: {source}")]
    File { file: &'static str, source: io::Error },
}

impl UserError {
    /// The agent's code for this error.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::User { .. } | Self::Group { .. } => ErrorCode::NotFound,
            Self::File { .. } => ErrorCode::Failed,
        }
    }
}

/// How much of the files is read. They are read line by line, and not kept.
const LIMITS: LineLimits = LineLimits { file_bytes: 64 * 1024 * 1024, line_bytes: MAX_LINE_BYTES };

/// How many groups a process can have (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// The two files.
#[derive(Debug)]
pub(crate) struct Accounts {
    passwd: PathBuf,
    group: PathBuf,
}

/// A user that was found, kept beyond the line that it stood in.
#[derive(Debug)]
struct FoundUser {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
    shell: String,
}

impl FoundUser {
    fn of(line: &UserLine<'_>) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            name: text(line.name),
            uid: line.uid,
            gid: line.gid,
            home: text(line.home),
            shell: text(line.shell),
        }
    }
}

impl Accounts {
    /// The files of a guest; a missing one counts as empty.
    pub(crate) fn of_guest(root: &Root) -> Self {
        Self { passwd: root.path(PASSWD_FILE), group: root.path(GROUP_FILE) }
    }

    /// Returns the identity of `user`, `uid`, `user:group` or `uid:gid`, as in OCI's image configuration. A
    /// uid needs no entry; a given group replaces all others.
    pub(crate) fn identity(&self, spec: &str) -> Result<Identity, UserError> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (spec, None),
        };
        let user = if user.is_empty() { "root" } else { user };
        let uid = numeric_id(user.as_bytes());
        let mut identity = match (self.entry(user, uid)?, uid) {
            (Some(entry), _) => Identity {
                uid: Uid::from_raw(entry.uid),
                gid: Gid::from_raw(entry.gid),
                groups: match group {
                    Some(_) => Vec::new(),
                    None => self.groups_of(&entry.name, entry.gid)?,
                },
                home: PathBuf::from(if entry.home.is_empty() { "/" } else { &entry.home }),
                name: entry.name,
                shell: entry.shell,
            },
            (None, Some(uid)) => nobody_known(user, uid),
            // Images without accounts have a root all the same.
            (None, None) if user == "root" => nobody_known(user, 0),
            (None, None) => return Err(UserError::User { name: user.to_owned() }),
        };
        if let Some(group) = group {
            let gid = self.group_id(group)?.ok_or_else(|| UserError::Group { name: group.to_owned() })?;
            identity.gid = Gid::from_raw(gid);
            identity.groups = vec![identity.gid];
        }
        Ok(identity)
    }

    /// The first line of that name, or else the first of that number.
    fn entry(&self, user: &str, uid: Option<u32>) -> Result<Option<FoundUser>, UserError> {
        let (mut by_name, mut by_uid) = (None, None);
        let read = each(&self.passwd, PASSWD_FILE, |line| {
            let Some(found) = UserLine::parse(line) else {
                return ControlFlow::Continue(());
            };
            if found.name == user.as_bytes() {
                by_name = Some(FoundUser::of(&found));
                return ControlFlow::Break(());
            }
            if by_uid.is_none() && uid == Some(found.uid) {
                by_uid = Some(FoundUser::of(&found));
            }
            ControlFlow::Continue(())
        });
        match read {
            // Root and numbers need no entry.
            Err(UserError::File { .. }) if uid.is_some() || user == "root" => {}
            read => read?,
        }
        Ok(by_name.or(by_uid))
    }

    fn groups_of(&self, user: &str, primary: u32) -> Result<Vec<Gid>, UserError> {
        let mut gids = vec![primary];
        let mut known = HashSet::from([primary]);
        let read = each(&self.group, GROUP_FILE, |line| {
            if let Some(group) = GroupLine::parse(line)
                && group.members().any(|member| member == user.as_bytes())
                && known.insert(group.gid)
            {
                gids.push(group.gid);
            }
            // The kernel takes no more.
            if gids.len() < MAX_GROUPS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        match read {
            // Fewer groups are fewer rights; a damaged file must not lock users out.
            Err(UserError::File { .. }) => {}
            read => read?,
        }
        Ok(gids.into_iter().map(Gid::from_raw).collect())
    }

    fn group_id(&self, group: &str) -> Result<Option<u32>, UserError> {
        let mut found = None;
        each(&self.group, GROUP_FILE, |line| {
            match GroupLine::parse(line).filter(|line| line.name == group.as_bytes()) {
                Some(line) => {
                    found = Some(line.gid);
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            }
        })?;
        Ok(found.or_else(|| numeric_id(group.as_bytes())))
    }
}

/// Calls `take` with each line of one of the files, until `take` breaks.
fn each(
    path: &Path,
    file: &'static str,
    take: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> Result<(), UserError> {
    match for_each_line(path, LIMITS, take) {
        // Missing or not a file: it has no users.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput
            ) =>
        {
            Ok(())
        }
        read => read.map_err(|source| UserError::File { file, source }),
    }
}

fn nobody_known(name: &str, uid: u32) -> Identity {
    let home = if uid == 0 { "/root" } else { "/" };
    Identity {
        name: name.to_owned(),
        uid: Uid::from_raw(uid),
        gid: Gid::from_raw(0),
        groups: vec![Gid::from_raw(0)],
        home: PathBuf::from(home),
        shell: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files, in a directory that lives as long as they do.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new(passwd: &[u8], group: &[u8]) -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::create_dir(directory.path().join("etc")).expect("a directory");
            std::fs::write(directory.path().join("etc/passwd"), passwd).expect("a file");
            std::fs::write(directory.path().join("etc/group"), group).expect("a file");
            Self(directory)
        }

        fn identity(&self, spec: &str) -> Result<Identity, UserError> {
            Accounts::of_guest(&Root::at(self.0.path().into())).identity(spec)
        }
    }

    fn accounts() -> Files {
        Files::new(
            b"root:x:0:0:root:/root:/bin/bash\nbroken\napp:x:1000:100::/srv/app:/bin/sh\n\
              1001:x:7:7::/odd:\nbad:x:-1:0::/:\nhuge:x:4294967295:0::/:\nhomeless:x:8:8:::\n\
              n\xe9:x:9:9::/:\n",
            b"root:x:0:\nusers:x:100:\nvideo:x:44:other,app\nwheel:x:10:app,root\nbroken:x\n55:x:56:\n",
        )
    }

    #[test]
    fn users_and_groups_are_found() {
        let cases: [(&str, u32, u32, &[u32], &str); 11] = [
            ("root", 0, 0, &[0, 10], "/root"),
            ("", 0, 0, &[0, 10], "/root"),
            ("app", 1000, 100, &[100, 44, 10], "/srv/app"),
            ("1000", 1000, 100, &[100, 44, 10], "/srv/app"),
            ("app:video", 1000, 44, &[44], "/srv/app"),
            ("app:", 1000, 100, &[100, 44, 10], "/srv/app"),
            ("4242", 4242, 0, &[0], "/"),
            ("4242:4343", 4242, 4343, &[4343], "/"),
            ("1001", 7, 7, &[7], "/odd"),
            ("app:55", 1000, 56, &[56], "/srv/app"),
            ("homeless", 8, 8, &[8], "/"),
        ];
        let accounts = accounts();
        for (spec, uid, gid, groups, home) in cases {
            let identity = accounts.identity(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
            assert_eq!((identity.uid.as_raw(), identity.gid.as_raw()), (uid, gid), "{spec}");
            assert_eq!(identity.groups.iter().map(|gid| gid.as_raw()).collect::<Vec<_>>(), groups, "{spec}");
            assert_eq!(identity.home, PathBuf::from(home), "{spec}");
        }
    }

    #[test]
    fn nobody_is_made_up() {
        let accounts = accounts();
        for spec in ["missing", "bad", "huge", "+5", "-1", "4294967295", "99999999999"] {
            let error = accounts.identity(spec).expect_err(spec);
            assert!(matches!(error, UserError::User { name } if name == spec), "{spec}");
        }
        let error = accounts.identity("app:missing").expect_err("there is no such group");
        assert!(matches!(error, UserError::Group { name } if name == "missing"));
        let nothing = tempfile::tempdir().expect("a directory");
        let empty = Accounts::of_guest(&Root::at(nothing.path().into()));
        assert_eq!(empty.identity("root").expect("root is always there").uid.as_raw(), 0);
        assert!(empty.identity("app").is_err());
    }

    #[test]
    fn files_of_any_size_are_read_line_by_line() {
        // The one who is looked for is behind a line that is too long, and in more groups than there can be.
        let mut passwd = vec![b'x'; 1024 * 1024];
        passwd.extend(b"\nlast:x:5:6::/last:/bin/sh\n");
        let group: String = (0..70_000).map(|gid| format!("g{gid}:x:{gid}:last\n")).collect();
        let files = Files::new(&passwd, group.as_bytes());
        let identity = files.identity("last").expect("it is there");
        assert_eq!((identity.uid.as_raw(), identity.groups.len()), (5, MAX_GROUPS));

        // Beyond the limit a user is not searched, and not reported as missing.
        let sparse = std::fs::OpenOptions::new().write(true).open(files.0.path().join("etc/passwd"));
        sparse.expect("a file").set_len(LIMITS.file_bytes + 1).expect("a hole");
        let error = files.identity("missing").expect_err("it is not there");
        assert!(matches!(error, UserError::File { file: PASSWD_FILE, .. }), "{error}");
        assert_eq!(files.identity("last").expect("it is before the limit").uid.as_raw(), 5);
        assert_eq!(files.identity("root").expect("root needs no entry").uid.as_raw(), 0);
        assert_eq!(files.identity("5").expect("a number needs no entry").name, "last");
    }
}
