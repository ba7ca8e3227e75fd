//! What makes a file system that of one machine: its name, the keys of its users, its environment.

use banger_guest::config::{GuestConfig, NetworkConfig, paths};
use banger_tree::{GuestPath, Rootfs, Timestamp};

use crate::edit::Edit;
use crate::error::InjectError;

const HOSTNAME: &str = "/etc/hostname";
const HOSTS: &str = "/etc/hosts";
/// The address of the machine's own name, as Debian has it.
const OWN_ADDRESS: &str = "127.0.1.1";
const ROOT_HOME: &str = "/root";
const SSH_DIRECTORY: &str = "/root/.ssh";
const AUTHORIZED_KEYS: &str = "/root/.ssh/authorized_keys";
const ENVIRONMENT: &str = "/etc/environment";
/// Beginnings of the types of keys.
const TYPES: [&str; 4] = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-sha2-"];

/// The settings of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineSettings {
    /// The hostname, for `/etc/hostname` and `/etc/hosts`.
    pub hostname: Option<String>,
    /// Public keys that may log in as root, one a line, as in the files that `ssh-keygen` makes.
    pub ssh_keys: Vec<String>,
    /// Variables, name and value: for logins in `/etc/environment`, and for the program that banger-init starts.
    pub env: Vec<(String, String)>,
}

banger_tree::setters! {
    MachineSettings {
        with_hostname => hostname: Option<String>,
        with_ssh_keys => ssh_keys: Vec<String>,
        with_env => env: Vec<(String, String)>,
    }
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The text is not a hostname.
    #[error("{0:?} is not a hostname")]
    Hostname(String),
    /// The text has no public key, or something else besides.
    #[error("it is not a list of public keys")]
    NoKey,
    /// The text has a private key.
    #[error("it is a private key")]
    PrivateKey,
    /// The name of a variable is invalid, or its value has more than a line.
    #[error("{0:?} cannot be a variable: a name has no `=`, and a value is one line")]
    Variable(String),
}

impl MachineSettings {
    /// Checks the values.
    ///
    /// # Errors
    /// A value cannot be used.
    pub fn check(&self) -> Result<(), SettingsError> {
        if let Some(hostname) = &self.hostname {
            let network = NetworkConfig::default().with_hostname(Some(hostname.clone()));
            if hostname.is_empty() || network.check().is_err() {
                return Err(SettingsError::Hostname(hostname.clone()));
            }
        }
        self.ssh_keys.iter().try_for_each(|text| check_keys(text))?;
        let is_text = |text: &str| !text.contains(['\n', '\0']);
        match self.env.iter().find(|(name, value)| {
            name.is_empty() || name.contains(['=', ' ']) || !is_text(name) || !is_text(value)
        }) {
            Some((name, _)) => Err(SettingsError::Variable(name.clone())),
            None => Ok(()),
        }
    }
}

/// Checks that `text` has public keys, as a file for `authorized_keys`.
fn check_keys(text: &str) -> Result<(), SettingsError> {
    if text.contains("PRIVATE KEY-----") {
        return Err(SettingsError::PrivateKey);
    }
    let mut lines = key_lines(text).peekable();
    match lines.peek().is_some() && lines.all(is_key) {
        true => Ok(()),
        false => Err(SettingsError::NoKey),
    }
}

fn key_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Returns whether a line has a type of keys and a key, perhaps after options.
fn is_key(line: &str) -> bool {
    let is_type = |word: &str| TYPES.iter().any(|start| word.starts_with(start));
    let words: Vec<&str> = line.split_whitespace().collect();
    // All keys begin with the length of their type, whose first three bytes are zeros.
    words.windows(2).any(|pair| is_type(pair[0]) && pair[1].starts_with("AAAA"))
}

/// Writes the settings into a root file system, and returns the changed paths; the caller commits. Other lines of the
/// files stay, and a line is not added twice.
///
/// # Errors
/// A file that cannot be replaced is in the way, or the file system cannot be read or changed.
pub fn set_up_machine(
    rootfs: &mut dyn Rootfs,
    settings: &MachineSettings,
    timestamp: Timestamp,
) -> Result<Vec<GuestPath>, InjectError> {
    let mut edit = Edit::new(rootfs, timestamp);
    if let Some(hostname) = &settings.hostname {
        edit.content(HOSTNAME, format!("{hostname}\n").as_bytes(), 0o644)?;
        let hosts = text_of(&edit, HOSTS)?;
        edit.content(HOSTS, hosts_with(&hosts, hostname).as_bytes(), 0o644)?;
    }
    if !settings.ssh_keys.is_empty() {
        edit.dir_with_mode(ROOT_HOME, 0o700)?;
        edit.dir_with_mode(SSH_DIRECTORY, 0o700)?;
        let mut keys = text_of(&edit, AUTHORIZED_KEYS)?;
        for line in settings.ssh_keys.iter().flat_map(|text| key_lines(text)) {
            if !keys.lines().any(|known| known.trim() == line) {
                push_line(&mut keys, line);
            }
        }
        edit.content(AUTHORIZED_KEYS, keys.as_bytes(), 0o600)?;
    }
    if !settings.env.is_empty() {
        let mut environment = text_of(&edit, ENVIRONMENT)?;
        for (name, value) in &settings.env {
            environment = environment_with(&environment, name, value);
        }
        edit.content(ENVIRONMENT, environment.as_bytes(), 0o644)?;
        set_program_env(&mut edit, &settings.env)?;
    }
    Ok(edit.into_injected())
}

/// Sets the variables of the program that banger-init starts, if there is one.
fn set_program_env(edit: &mut Edit<'_>, env: &[(String, String)]) -> Result<(), InjectError> {
    // A configuration of a newer banger, or a damaged one, is not touched.
    let Some(mut config) =
        edit.read(paths::GUEST_CONFIG)?.and_then(|json| GuestConfig::from_json(&json).ok())
    else {
        return Ok(());
    };
    let Some(entrypoint) = &mut config.entrypoint else { return Ok(()) };
    set_env(&mut entrypoint.env, env);
    edit.content(paths::GUEST_CONFIG, &config.to_json(), 0o644)
}

/// Sets variables in a list of `NAME=value`.
pub fn set_env(list: &mut Vec<String>, env: &[(String, String)]) {
    for (name, value) in env {
        let variable = format!("{name}={value}");
        match list.iter_mut().find(|known| known.split('=').next() == Some(name)) {
            Some(known) => *known = variable,
            None => list.push(variable),
        }
    }
}

fn text_of(edit: &Edit<'_>, path: &str) -> Result<String, InjectError> {
    Ok(edit.read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
}

/// The `/etc/hosts` of a machine without one.
pub(crate) fn new_hosts(hostname: &str) -> String {
    format!("127.0.0.1\tlocalhost\n{OWN_ADDRESS}\t{hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n")
}

/// Returns `/etc/hosts` with the machine's own name, in the place of another one.
fn hosts_with(hosts: &str, hostname: &str) -> String {
    if hosts.trim().is_empty() {
        return new_hosts(hostname);
    }
    let own = format!("{OWN_ADDRESS}\t{hostname}");
    let is_own = |line: &str| line.split_whitespace().next() == Some(OWN_ADDRESS);
    let mut changed = String::new();
    for line in hosts.lines() {
        push_line(&mut changed, if is_own(line) { &own } else { line });
    }
    if !hosts.lines().any(is_own) {
        push_line(&mut changed, &own);
    }
    changed
}

/// Returns `/etc/environment` with a variable, in the place of its older value. PAM takes off the quotes.
fn environment_with(environment: &str, name: &str, value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    let variable = match value.chars().all(is_plain) {
        true => format!("{name}={value}"),
        false => format!("{name}=\"{value}\""),
    };
    let name_of = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        line.split_once('=').map(|(name, _)| name.trim().to_owned())
    };
    let mut changed = String::new();
    for line in environment.lines().filter(|line| name_of(line).as_deref() != Some(name)) {
        push_line(&mut changed, line);
    }
    push_line(&mut changed, &variable);
    changed
}

#[cfg(test)]
mod tests {
    use banger_tree::{Attributes, MemoryStore, Tree, TreeRootfs};

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@here";

    #[test]
    fn lines_of_others_stay() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1 old old.example\n10.0.0.9 other\n";
        assert_eq!(hosts_with(hosts, "new"), "127.0.0.1 localhost\n127.0.1.1\tnew\n10.0.0.9 other\n");
        assert_eq!(hosts_with("10.0.0.9 other", "new"), "10.0.0.9 other\n127.0.1.1\tnew\n");
        assert!(hosts_with(" \n", "new").contains("127.0.1.1\tnew\n"));
        assert_eq!(environment_with("A=1\nexport B=2\n# C=3", "B", "x y"), "A=1\n# C=3\nB=\"x y\"\n");
        assert_eq!(environment_with("", "A", "/bin:/usr/bin"), "A=/bin:/usr/bin\n");
        let mut env = vec!["A=1".to_owned(), "AB=2".to_owned()];
        set_env(&mut env, &[("A".to_owned(), "3".to_owned()), ("C".to_owned(), "4".to_owned())]);
        assert_eq!(env, ["A=3", "AB=2", "C=4"]);
    }

    #[test]
    fn values_that_no_machine_takes_are_refused() {
        let check = |settings: MachineSettings| settings.check();
        let keys = |text: &str| MachineSettings::default().with_ssh_keys(vec![text.to_owned()]).check();
        assert_eq!(keys(KEY), Ok(()));
        assert_eq!(keys(&format!("# a comment\nfrom=\"10.0.0.0/8\",no-pty {KEY}\n")), Ok(()));
        for bad in ["# a comment\n", "", "no key", &format!("{KEY}\nno key"), "ssh-ed25519 me@here"] {
            assert_eq!(keys(bad), Err(SettingsError::NoKey), "{bad}");
        }
        assert_eq!(keys("-----BEGIN OPENSSH PRIVATE KEY-----\nx y\n"), Err(SettingsError::PrivateKey));
        for bad in ["", "a b", "x\ny"] {
            let settings = MachineSettings::default().with_hostname(Some(bad.to_owned()));
            assert!(matches!(check(settings), Err(SettingsError::Hostname(_))), "{bad:?}");
        }
        for (name, value) in [("", "x"), ("A=B", "x"), ("A", "x\ny"), ("A B", "x")] {
            let settings = MachineSettings::default().with_env(vec![(name.to_owned(), value.to_owned())]);
            assert!(matches!(check(settings), Err(SettingsError::Variable(_))), "{name:?} {value:?}");
        }
    }

    #[test]
    fn settings_are_written_once() {
        let (mut tree, mut store) = (Tree::new(), MemoryStore::default());
        let mut rootfs = TreeRootfs::new(&mut tree, &mut store);
        let path = |text: &str| GuestPath::parse(text).unwrap();
        rootfs.create_dir(&path("/root"), &Attributes::with_mode(0o750)).unwrap();
        let settings = MachineSettings::default()
            .with_hostname(Some("guest".to_owned()))
            .with_ssh_keys(vec![format!("{KEY}\n{KEY}\n")])
            .with_env(vec![("A".to_owned(), "1".to_owned())]);
        let time = Timestamp::from_seconds(7);
        assert!(!set_up_machine(&mut rootfs, &settings, time).unwrap().is_empty());
        let read = |rootfs: &TreeRootfs<'_>, text: &str| {
            (rootfs.read(&path(text)).unwrap(), rootfs.stat(&path(text)).unwrap().unwrap().attributes.mode)
        };
        assert_eq!(read(&rootfs, AUTHORIZED_KEYS), (format!("{KEY}\n").into_bytes(), 0o600));
        assert_eq!(rootfs.stat(&path(SSH_DIRECTORY)).unwrap().unwrap().attributes.mode, 0o700);
        assert_eq!(rootfs.stat(&path("/root")).unwrap().unwrap().attributes.mode, 0o750);
        assert_eq!(read(&rootfs, HOSTNAME), (b"guest\n".to_vec(), 0o644));
        assert_eq!(read(&rootfs, ENVIRONMENT), (b"A=1\n".to_vec(), 0o644));
        assert_eq!(set_up_machine(&mut rootfs, &settings, time).unwrap(), []);
    }
}
