//! Checks that an image has the user of its program.

use banger_tree::Rootfs;

use crate::accounts::{Accounts, GROUP, PASSWD};

/// Returns a warning if `user` (in the form of an image's `USER`) names a user or group that the image does
/// not have. Numbers need no entry.
pub(crate) fn user_warning(rootfs: &dyn Rootfs, user: &str) -> Option<String> {
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, group),
        None => (user, ""),
    };
    let missing = [("user", name, PASSWD), ("group", group, GROUP)].into_iter().find(|(_, name, file)| {
        !name.is_empty() && name.parse::<u32>().is_err() && !has_name(rootfs, file, name)
    });
    missing.map(|(what, name, file)| {
        let name = banger_tree::escape_text(name);
        format!(
            "the image runs its program as {what} `{name}`, which its {file} does not have; containers of it \
             cannot start either"
        )
    })
}

/// Returns whether `file` has the name. An unreadable file has no names. If only a part was read, the name
/// may be in the rest.
fn has_name(rootfs: &dyn Rootfs, file: &str, name: &str) -> bool {
    Accounts::read(rootfs, file).is_ok_and(|accounts| accounts.has_name(name.as_bytes()) != Some(false))
}

#[cfg(test)]
mod tests {
    use banger_tree::{Attributes, GuestPath, MemoryStore, Tree, TreeRootfs};

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
