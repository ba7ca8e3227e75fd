//! `/etc/passwd` and `/etc/group`, as passwd(5) and group(5) specify them.

/// The file of users.
pub const PASSWD_FILE: &str = "/etc/passwd";

/// The file of groups.
pub const GROUP_FILE: &str = "/etc/group";

/// The longest line of both files; a longer line is skipped.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// A line of `/etc/passwd`. Names and paths are bytes: no encoding is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserLine<'a> {
    /// The name of the user; never empty.
    pub name: &'a [u8],
    /// The number of the user.
    pub uid: u32,
    /// The number of the user's primary group.
    pub gid: u32,
    /// The home directory; may be empty.
    pub home: &'a [u8],
    /// The login shell; may be empty.
    pub shell: &'a [u8],
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupLine<'a> {
    /// The name of the group; never empty.
    pub name: &'a [u8],
    /// The number of the group.
    pub gid: u32,
    members: &'a [u8],
}

impl<'a> UserLine<'a> {
    /// Returns the user of one line; `None` if the line does not have seven fields, a name and valid numbers.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let [name, _password, uid, gid, _comment, home, shell] = fields(line)?;
        Some(Self { name: non_empty(name)?, uid: numeric_id(uid)?, gid: numeric_id(gid)?, home, shell })
    }
}

impl<'a> GroupLine<'a> {
    /// Returns the group of one line; `None` if the line does not have four fields, a name and a valid
    /// number.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let [name, _password, gid, members] = fields(line)?;
        Some(Self { name: non_empty(name)?, gid: numeric_id(gid)?, members })
    }

    /// Iterates over the names of the users who have this group as a supplementary one.
    pub fn members(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.members.split(|byte| *byte == b',').filter(|member| !member.is_empty())
    }
}

/// Iterates over the users of a `/etc/passwd`, in its order. Skips invalid lines.
pub fn users(passwd: &[u8]) -> impl Iterator<Item = UserLine<'_>> {
    super::lines(passwd, MAX_LINE_BYTES).filter_map(UserLine::parse)
}

/// Iterates over the groups of a `/etc/group`, in its order. Skips invalid lines.
pub fn groups(group: &[u8]) -> impl Iterator<Item = GroupLine<'_>> {
    super::lines(group, MAX_LINE_BYTES).filter_map(GroupLine::parse)
}

/// Returns the number in a text of decimal digits. All ones is not a valid id: it means "do not change" to
/// the kernel.
///
/// ```
/// use banger_guest::files::accounts::numeric_id;
///
/// assert_eq!(numeric_id(b"1000"), Some(1000));
/// assert_eq!(numeric_id(b"+1000"), None);
/// assert_eq!(numeric_id(b"4294967295"), None);
/// ```
#[must_use]
pub fn numeric_id(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = std::str::from_utf8(text).ok()?;
    digits.parse().ok().filter(|id| *id != u32::MAX)
}

fn non_empty(name: &[u8]) -> Option<&[u8]> {
    (!name.is_empty()).then_some(name)
}

/// The fields of a line that has exactly so many.
fn fields<const N: usize>(line: &[u8]) -> Option<[&[u8]; N]> {
    let mut fields = [&[][..]; N];
    let mut slots = fields.iter_mut();
    for field in line.trim_ascii().split(|byte| *byte == b':') {
        *slots.next()? = field;
    }
    slots.next().is_none().then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_valid_are_passed_over() {
        for (line, want) in [
            (&b"app:x:1000:100:A,B:/srv/app:/bin/sh"[..], Some((1000, 100))),
            (b"  app:x:1:2:::\r", Some((1, 2))),
            (b"app:x:1:2::/", None),
            (b"app:x:1:2::/:/bin/sh:more", None),
            (b":x:1:2::/:", None),
            (b"app:x:-1:2::/:", None),
            (b"app:x:+1:2::/:", None),
            (b"app:x:4294967295:2::/:", None),
            (b"app:x:4294967296:2::/:", None),
            (b"app:x::2::/:", None),
            (b"+::::::", None),
            (b"", None),
        ] {
            let user = UserLine::parse(line);
            assert_eq!(user.map(|user| (user.uid, user.gid)), want, "{}", line.escape_ascii());
        }
        let user = UserLine::parse(b"n\xe9:x:9:9::/h\xff:/bin/sh").expect("it is valid");
        assert_eq!((user.name, user.home, user.shell), (&b"n\xe9"[..], &b"/h\xff"[..], &b"/bin/sh"[..]));
    }

    #[test]
    fn groups_have_members() {
        let text = b"root:x:0:\nbroken:x\nvideo:x:44:other,,app\n:x:1:\nlast:x:7:app";
        let found: Vec<_> = groups(text).map(|group| (group.gid, group.members().count())).collect();
        assert_eq!(found, [(0, 0), (44, 2), (7, 1)]);
        assert!(groups(text).nth(1).is_some_and(|group| group.members().any(|name| name == b"app")));
    }

    #[test]
    fn a_line_that_is_too_long_hides_nobody_else() {
        let mut passwd = b"a:x:1:1::/:\nb:x:2:2::/:".to_vec();
        passwd.resize(passwd.len() + MAX_LINE_BYTES, b'x');
        passwd.extend(b"\nc:x:3:3::/:\n");
        assert_eq!(users(&passwd).map(|user| user.uid).collect::<Vec<_>>(), [1, 3]);
    }
}
