//! Users and groups out of the guest's own `/etc/passwd` and `/etc/group`. The C library's way would
//! need its plug-ins, which a static binary has not.

use std::path::PathBuf;

use rustix::process::{Gid, Uid};
use thiserror::Error;

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
    /// The login shell; empty where none is told.
    pub(crate) shell: String,
}

/// Why nobody is meant by a user.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum UserError {
    #[error("no user `{name}` in /etc/passwd")]
    User { name: String },
    #[error("no group `{name}` in /etc/group")]
    Group { name: String },
}

/// The two files.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    passwd: String,
    group: String,
}

#[derive(Debug)]
struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
    shell: &'a str,
}

impl Accounts {
    /// Reads the files; one that is missing has nobody in it.
    pub(crate) fn of_guest(root: &Root) -> Self {
        Self {
            passwd: root.text("/etc/passwd").unwrap_or_default(),
            group: root.text("/etc/group").unwrap_or_default(),
        }
    }

    /// Who `user`, `uid`, `user:group` or `uid:gid` is, as OCI's image configuration has it: a uid
    /// needs no entry, a group that is told takes the place of all others.
    pub(crate) fn identity(&self, spec: &str) -> Result<Identity, UserError> {
        let (user, group) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (spec, None),
        };
        let user = if user.is_empty() { "root" } else { user };
        let uid = numeric_id(user);
        let entry = self
            .entries()
            .find(|entry| entry.name == user)
            .or_else(|| uid.and_then(|uid| self.entries().find(|entry| entry.uid == uid)));
        let mut identity = match (entry, uid) {
            (Some(entry), _) => Identity {
                name: entry.name.to_owned(),
                uid: Uid::from_raw(entry.uid),
                gid: Gid::from_raw(entry.gid),
                groups: self.groups_of(entry.name, entry.gid),
                home: PathBuf::from(if entry.home.is_empty() { "/" } else { entry.home }),
                shell: entry.shell.to_owned(),
            },
            (None, Some(uid)) => nobody_known(user, uid),
            // Images without accounts have a root all the same.
            (None, None) if user == "root" => nobody_known(user, 0),
            (None, None) => return Err(UserError::User { name: user.to_owned() }),
        };
        if let Some(group) = group {
            let gid = self.group_id(group).ok_or_else(|| UserError::Group { name: group.to_owned() })?;
            identity.gid = Gid::from_raw(gid);
            identity.groups = vec![identity.gid];
        }
        Ok(identity)
    }

    fn entries(&self) -> impl Iterator<Item = PasswdEntry<'_>> {
        self.passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.trim().split(':').collect();
            let &[name, _, uid, gid, _, home, shell] = fields.as_slice() else {
                return None;
            };
            Some(PasswdEntry { name, uid: numeric_id(uid)?, gid: numeric_id(gid)?, home, shell })
        })
    }

    /// The lines of `/etc/group`: name, gid, members.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.trim().split(':').collect();
            let &[name, _, gid, members] = fields.as_slice() else {
                return None;
            };
            Some((name, numeric_id(gid)?, members))
        })
    }

    fn groups_of(&self, user: &str, primary: u32) -> Vec<Gid> {
        let mut gids = vec![primary];
        for (_, gid, members) in self.groups() {
            if members.split(',').any(|member| member == user) && !gids.contains(&gid) {
                gids.push(gid);
            }
        }
        gids.into_iter().map(Gid::from_raw).collect()
    }

    fn group_id(&self, group: &str) -> Option<u32> {
        self.groups().find(|(name, _, _)| *name == group).map(|(_, gid, _)| gid).or_else(|| numeric_id(group))
    }
}

/// The id that a text is; all ones means "no change" to the kernel, and is none.
fn numeric_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
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

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/bash\nbroken\napp:x:1000:100::/srv/app:/bin/sh\n\
                     1001:x:7:7::/odd:\nbad:x:-1:0::/:\nhuge:x:4294967295:0::/:\nhomeless:x:8:8:::\n"
                .into(),
            group: "root:x:0:\nusers:x:100:\nvideo:x:44:other,app\nwheel:x:10:app,root\nbroken:x\n55:x:56:\n"
                .into(),
        }
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
        for (spec, uid, gid, groups, home) in cases {
            let identity = accounts().identity(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
            assert_eq!((identity.uid.as_raw(), identity.gid.as_raw()), (uid, gid), "{spec}");
            assert_eq!(identity.groups.iter().map(|gid| gid.as_raw()).collect::<Vec<_>>(), groups, "{spec}");
            assert_eq!(identity.home, PathBuf::from(home), "{spec}");
        }
    }

    #[test]
    fn nobody_is_made_up() {
        for spec in ["missing", "bad", "huge", "+5", "-1", "4294967295", "99999999999"] {
            assert_eq!(accounts().identity(spec), Err(UserError::User { name: spec.into() }), "{spec}");
        }
        assert_eq!(accounts().identity("app:missing"), Err(UserError::Group { name: "missing".into() }));
        let empty = Accounts::default();
        assert_eq!(empty.identity("root").map(|root| root.uid.as_raw()), Ok(0));
        assert!(empty.identity("app").is_err());
    }
}
