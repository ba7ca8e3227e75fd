//! Whether the user that an image's program runs as is one that the image knows.

use banger_guest::files::accounts::{self, GROUP_FILE, PASSWD_FILE, numeric_id};
use banger_tree::{FileType, GuestPath, Rootfs};

/// The largest file of users that is looked into.
const MAX_LEN: u64 = 16 << 20;

/// Returns a warning where `user`, written as `USER` of an image is, names a user or group that the
/// image does not have. Numbers need no entry.
pub(crate) fn user_warning(rootfs: &dyn Rootfs, user: &str) -> Option<String> {
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, group),
        None => (user, ""),
    };
    let missing =
        [("user", name, PASSWD_FILE), ("group", group, GROUP_FILE)].into_iter().find(|(_, name, file)| {
            !name.is_empty() && numeric_id(name.as_bytes()).is_none() && !has_name(rootfs, file, name)
        });
    missing.map(|(what, name, file)| {
        let name = banger_tree::escape_text(name);
        format!(
            "the image runs its program as {what} `{name}`, which its {file} does not have; containers of it \
             cannot start either"
        )
    })
}

/// Whether `file` has a valid line for `name`. A file that cannot be read has none; of
/// one that is too large nothing is said.
fn has_name(rootfs: &dyn Rootfs, file: &str, name: &str) -> bool {
    let Ok(real) = GuestPath::parse(file).map_err(drop).and_then(|path| rootfs.resolve(&path).map_err(drop))
    else {
        return false;
    };
    let Ok(Some(stat)) = rootfs.stat(&real) else { return false };
    if stat.file_type != FileType::Regular {
        return false;
    }
    if stat.size_bytes > MAX_LEN {
        return true;
    }
    let bytes = rootfs.read(&real).unwrap_or_default();
    match file {
        PASSWD_FILE => accounts::users(&bytes).any(|user| user.name == name.as_bytes()),
        _ => accounts::groups(&bytes).any(|group| group.name == name.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use banger_tree::{Attributes, MemoryStore, Tree, TreeRootfs};

    use super::*;

    #[test]
    fn users_that_the_image_does_not_have_are_told() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        assert!(user_warning(&rootfs, "app").unwrap().contains("/etc/passwd"));
        assert_eq!(user_warning(&rootfs, "1000:1000"), None);
        let etc = GuestPath::parse("/etc").unwrap();
        rootfs.create_dir(&etc, &Attributes::with_mode(0o755)).unwrap();
        for (name, text) in [
            ("passwd", "root:x:0:0::/root:/bin/sh\napp:x:10:10::/:/bin/sh"),
            ("group", "root:x:0:\nwheel:x:1:app\n"),
        ] {
            let path = etc.join(name.as_bytes()).unwrap();
            rootfs.write_file(&path, &mut text.as_bytes(), &Attributes::with_mode(0o644)).unwrap();
        }
        for (user, missing) in [
            ("", None),
            ("root", None),
            ("app", None),
            ("app:wheel", None),
            ("app:0", None),
            ("0:root", None),
            ("1000", None),
            ("ap", Some("user `ap`")),
            ("App", Some("user `App`")),
            ("app:app", Some("group `app`")),
            ("nobody:nogroup", Some("user `nobody`")),
            ("x\u{1b}[2J", Some("user `x")),
        ] {
            let warning = user_warning(&rootfs, user);
            match missing {
                None => assert_eq!(warning, None, "{user}"),
                Some(text) => {
                    assert!(warning.as_ref().is_some_and(|warning| warning.contains(text)), "{user}")
                }
            }
            assert!(!warning.unwrap_or_default().contains('\u{1b}'), "{user}");
        }
    }
}
