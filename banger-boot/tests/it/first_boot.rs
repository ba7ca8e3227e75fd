//! `assets/first-boot.sh` under dash and busybox sh, with package managers that only write down
//! how they were called.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use banger_testkit::tools::tool;
use banger_testkit::{Skip, require};

/// What the script itself needs of a guest.
const TOOLS: [&str; 17] = [
    "cat", "chmod", "date", "dirname", "grep", "ln", "mkdir", "mktemp", "printf", "rm", "sed", "sleep",
    "tail", "tee", "timeout", "tr", "true",
];

/// Writes down its name and arguments, then does what the case says; installing works by default.
const FAKE: &str = r#"#!/bin/sh
name=${0##*/}
echo "$name $*" >>"$FAKES/calls"
if [ -e "$FAKES/$name.sh" ]; then
    . "$FAKES/$name.sh"
fi
case "$*" in
    *openssh*)
        mkdir -p "$BANGER_ROOT_PREFIX/usr/sbin"
        printf '%s\n' '#!/bin/sh' 'echo "sshd $*" >>"$FAKES/calls"' >"$BANGER_ROOT_PREFIX/usr/sbin/sshd"
        chmod 755 "$BANGER_ROOT_PREFIX/usr/sbin/sshd"
        ;;
esac
exit 0
"#;

#[derive(Clone, Copy, Debug)]
enum Shell {
    Dash,
    Busybox,
}

/// A guest's root, and its programs.
struct Guest {
    dir: tempfile::TempDir,
    shell: PathBuf,
    arguments: &'static [&'static str],
}

impl Guest {
    fn new(shell: Shell, os_release: &str, fakes: &[&str]) -> Result<Self, Skip> {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "fakes", "tmp", "root/etc", "root/proc/net"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("root/etc/os-release"), os_release).unwrap();
        let (program, arguments): (_, &[&str]) = match shell {
            Shell::Dash => (tool("dash")?, &[]),
            Shell::Busybox => (tool("busybox")?, &["sh"]),
        };
        for name in TOOLS {
            let target = match shell {
                Shell::Dash => tool(name)?,
                Shell::Busybox => program.clone(),
            };
            symlink(target, dir.path().join("bin").join(name)).unwrap();
        }
        // What fakes are run by.
        let guest = Self { dir, shell: program, arguments };
        for name in fakes {
            guest.program(name, FAKE);
        }
        guest.route(true);
        Ok(guest)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Lets a fake run `script` before it does what it does by default.
    fn behave(&self, name: &str, script: &str) {
        fs::write(self.path("fakes").join(format!("{name}.sh")), script).unwrap();
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.path("root").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn route(&self, exists: bool) {
        let header = "Iface\tDestination\tGateway\n";
        let route = if exists { "eth0\t00000000\t0202000A\n" } else { "" };
        self.file("proc/net/route", &format!("{header}{route}"));
    }

    fn command(&self, stage: &str) -> Command {
        let mut command = Command::new(&self.shell);
        command
            .args(self.arguments)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/first-boot.sh"))
            .arg(stage)
            .env_clear()
            .env("BANGER_PATH", self.path("bin"))
            .env("PATH", self.path("bin"))
            .env("BANGER_ROOT_PREFIX", self.path("root"))
            .env("BANGER_RETRY_DELAY", "0")
            .env("TMPDIR", self.path("tmp"))
            .env("FAKES", self.path("fakes"));
        command
    }

    fn run(&self, stage: &str) -> Outcome {
        Outcome::of(&self.command(stage).output().unwrap(), self)
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("fakes/calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[derive(Debug)]
struct Outcome {
    status: i32,
    /// What came out, in the script's own words.
    reason: String,
    output: String,
    calls: Vec<String>,
}

impl Outcome {
    fn of(output: &Output, guest: &Guest) -> Self {
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        let reason = text.lines().rev().find_map(|line| line.strip_prefix("banger-first-boot: "));
        let left: Vec<_> = fs::read_dir(guest.path("tmp")).unwrap().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        Self {
            status: output.status.code().expect("not killed"),
            reason: reason.unwrap_or_default().to_owned(),
            output: text,
            calls: guest.calls(),
        }
    }

    /// Fails unless it ended with `status` and `words` are in its reason.
    fn expect(&self, status: i32, words: &str) {
        assert!(self.status == status && self.reason.contains(words), "want {status} {words:?}: {self:#?}");
    }
}

/// Calls `test` with each shell, if it is there.
fn with_each_shell(test: impl Fn(Shell) -> Result<(), Skip>) {
    for shell in [Shell::Dash, Shell::Busybox] {
        eprintln!("{shell:?}");
        require!(test(shell));
    }
}

const APT_OPTIONS: &str = "-y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
                           -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold";
const DNF: &str = "-y --setopt=install_weak_deps=False install openssh-server";

fn apt() -> Vec<String> {
    vec![
        "dpkg --force-confdef --force-confold --configure -a".to_owned(),
        format!("apt-get {APT_OPTIONS} update"),
        format!("apt-get {APT_OPTIONS} --no-install-recommends install openssh-server"),
    ]
}

#[test]
fn every_family_installs_with_its_package_manager() {
    let calls = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let dnf = || calls(&[&format!("dnf {DNF}")]);
    let dnf5 = || calls(&[&format!("dnf5 {DNF}")]);
    let microdnf = || calls(&["microdnf -y --setopt=install_weak_deps=0 install openssh-server"]);
    let tdnf = || calls(&["tdnf -y makecache", "tdnf -y install openssh-server"]);
    let yum = || calls(&["yum -y install openssh-server"]);
    let zypper = || {
        calls(&[
            "zypper --non-interactive --gpg-auto-import-keys refresh",
            "zypper --non-interactive install --no-recommends openssh",
        ])
    };
    let apk = || calls(&["apk --wait 300 fix", "apk --wait 300 --no-cache add openssh"]);
    let pacman =
        || calls(&["pacman-key --init", "pacman-key --populate", "pacman -Syu --noconfirm --needed openssh"]);
    let xbps = || calls(&["xbps-install -Syu xbps", "xbps-install -Sy openssh"]);
    let cases: Vec<(&str, &[&str], Vec<String>)> = vec![
        ("ID=debian", &["apt-get", "dpkg", "dnf"], apt()),
        ("ID=ubuntu\nID_LIKE=debian", &["apt-get", "dpkg"], apt()),
        ("ID=kali", &["apt-get", "dpkg"], apt()),
        ("ID=raspbian", &["apt-get", "dpkg"], apt()),
        ("ID=linuxmint", &["apt-get", "dpkg"], apt()),
        ("ID=pop", &["apt-get", "dpkg"], apt()),
        ("ID=fedora", &["dnf5", "dnf"], dnf5()),
        ("ID=fedora", &["dnf"], dnf()),
        ("ID=\"rhel\"\nID_LIKE=\"fedora\"", &["microdnf"], microdnf()),
        ("ID=rhel", &["dnf", "yum"], dnf()),
        ("ID='centos'", &["yum"], yum()),
        ("ID=\"rocky\"", &["dnf", "microdnf"], dnf()),
        ("ID=almalinux", &["microdnf"], microdnf()),
        ("ID=ol", &["microdnf"], microdnf()),
        ("ID=amzn", &["dnf"], dnf()),
        ("ID=amzn", &["yum"], yum()),
        ("ID=azurelinux", &["tdnf"], tdnf()),
        ("ID=opensuse-tumbleweed", &["zypper"], zypper()),
        ("ID=\"opensuse-leap\"", &["zypper"], zypper()),
        ("ID=suse", &["zypper"], zypper()),
        ("ID=alpine", &["apk"], apk()),
        ("ID=arch", &["pacman", "pacman-key"], pacman()),
        ("ID=archlinux", &["pacman", "pacman-key"], pacman()),
        ("ID=manjaro", &["pacman", "pacman-key"], pacman()),
        ("ID=void", &["xbps-install"], xbps()),
        // An unknown one that says what it is like, in the order it says it.
        ("ID=neon\nID_LIKE=\"ubuntu debian\"", &["apt-get", "dpkg", "yum"], apt()),
        ("ID=clearos\nID_LIKE=\"mystery rhel fedora\"", &["dnf", "apk"], dnf()),
        ("ID=sle-micro\nID_LIKE=\"suse opensuse\"", &["zypper"], zypper()),
        // A known one without its package manager, and nothing known at all: what is there.
        ("ID=debian", &["apk"], apk()),
        ("ID=mystery", &["apt-get", "dpkg"], apt()),
        ("ID=mystery", &["dnf5"], dnf5()),
        ("ID=mystery", &["dnf"], dnf()),
        ("ID=mystery", &["microdnf"], microdnf()),
        ("ID=mystery", &["tdnf"], tdnf()),
        ("ID=mystery", &["yum"], yum()),
        ("ID=mystery", &["zypper"], zypper()),
        ("ID=mystery", &["apk"], apk()),
        ("", &["pacman", "pacman-key"], pacman()),
        ("", &["xbps-install"], xbps()),
    ];
    with_each_shell(|shell| {
        for (os_release, fakes, want) in &cases {
            let guest = Guest::new(shell, os_release, fakes)?;
            let outcome = guest.run("install");
            outcome.expect(0, "installed with");
            assert_eq!(outcome.calls, *want, "{os_release}, {fakes:?}");
        }
        Ok(())
    });
}

#[test]
fn an_init_is_installed_with_every_package_manager() {
    let cases = [
        ("apt-get", "--no-install-recommends install systemd-sysv udev dbus", "usr/lib/systemd/systemd"),
        ("dnf5", "install systemd", "usr/lib/systemd/systemd"),
        ("dnf", "install systemd", "usr/lib/systemd/systemd"),
        ("microdnf", "install systemd", "usr/lib/systemd/systemd"),
        ("tdnf", "install systemd", "usr/lib/systemd/systemd"),
        ("yum", "install systemd", "usr/lib/systemd/systemd"),
        ("zypper", "install --no-recommends systemd", "lib/systemd/systemd"),
        ("apk", "add openrc", "sbin/openrc"),
        ("pacman", "--needed systemd-sysvcompat", "usr/lib/systemd/systemd"),
        ("xbps-install", "-Sy runit-void", "usr/bin/runit-init"),
    ];
    with_each_shell(|shell| {
        for (manager, words, init) in cases {
            let guest = Guest::new(shell, "", &[manager, "dpkg"])?;
            guest.run("init").expect(13, "ended well, but there is no init");
            fs::remove_file(guest.path("fakes/calls")).unwrap();
            let installs = format!(
                "case \"$*\" in *\"{words}\")\n\
                 mkdir -p \"$BANGER_ROOT_PREFIX/$(dirname {init})\"; : >\"$BANGER_ROOT_PREFIX/{init}\"\n\
                 chmod 755 \"$BANGER_ROOT_PREFIX/{init}\";; esac"
            );
            guest.behave(manager, &installs);
            let outcome = guest.run("init");
            outcome.expect(0, "installed with");
            assert!(outcome.calls.last().unwrap().ends_with(words), "{outcome:?}");
            guest.run("init").expect(0, "an init is installed already");
        }
        Ok(())
    });
}

/// The next boot after a power cut: the files are there, whether they are set up nobody knows.
#[test]
fn what_was_cut_off_is_set_up_by_the_next_attempt() {
    let configures = || vec![apt()[0].clone()];
    let repairs = || vec![apt()[0].clone(), format!("apt-get {APT_OPTIONS} -f install")];
    let cases: [(&str, &str, &str, Vec<String>); 5] = [
        ("1", "apt-get", "", vec![]),
        ("2", "apt-get", "", configures()),
        ("2", "apt-get", "exit 1", repairs()),
        ("2", "dnf", "", vec![format!("dnf {DNF}")]),
        ("2", "", "", vec![]),
    ];
    with_each_shell(|shell| {
        for (attempt, manager, dpkg, want) in &cases {
            let fakes: &[&str] = if manager.is_empty() { &[] } else { &[manager, "dpkg"] };
            let guest = Guest::new(shell, "", fakes)?;
            guest.file("usr/sbin/sshd", "");
            fs::set_permissions(guest.path("root/usr/sbin/sshd"), fs::Permissions::from_mode(0o755)).unwrap();
            guest.behave("dpkg", dpkg);
            let output = guest.command("install").env("BANGER_ATTEMPT", attempt).output().unwrap();
            let outcome = Outcome::of(&output, &guest);
            outcome.expect(0, "installed");
            assert_eq!(outcome.calls, *want, "attempt {attempt}, {manager}, {dpkg}");
        }
        Ok(())
    });
}

/// dpkg refuses to set up what it was unpacking when the power went, and so does apt with it.
#[test]
fn what_was_half_unpacked_is_unpacked_again() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=debian", &["apt-get", "dpkg", "dpkg-query"])?;
        guest.behave("dpkg", "exit 1");
        guest.behave("dpkg-query", "echo ok bash; echo reinstreq libcbor0.8:amd64; echo reinstreq libx");
        let mut outcome = guest.run("install");
        outcome.expect(0, "installed with");
        // Its argument has a backslash, of which shells write down different things.
        outcome.calls.retain(|call| !call.is_empty() && !call.starts_with("dpkg-query "));
        let mut want = apt();
        want.insert(1, format!("apt-get {APT_OPTIONS} -f install"));
        let by_name = format!("apt-get {APT_OPTIONS} --reinstall install libcbor0.8:amd64 libx");
        want.insert(3, by_name.clone());
        assert_eq!(outcome.calls, want);

        // What they depend on is not there: it comes with `-f`, and so do they.
        let guest = Guest::new(shell, "ID=debian", &["apt-get", "dpkg", "dpkg-query"])?;
        guest.behave("dpkg-query", "echo reinstreq libcbor0.8:amd64; echo reinstreq libx");
        guest.behave("apt-get", "case \"$*\" in *reinstall*) exit 100 ;; esac");
        let mut outcome = guest.run("install");
        outcome.expect(0, "installed with");
        outcome.calls.retain(|call| !call.is_empty() && !call.starts_with("dpkg-query "));
        let mut want = apt();
        want.splice(2..2, [by_name, format!("apt-get {APT_OPTIONS} -f install")]);
        assert_eq!(outcome.calls, want);
        Ok(())
    });
}

#[test]
fn the_environment_says_what_the_distribution_is() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=alpine", &["apk", "dnf", "zypper"])?;
        let outcome = |id: &str, like: &str| {
            let _ = fs::remove_file(guest.path("root/usr/sbin/sshd"));
            let _ = fs::remove_file(guest.path("fakes/calls"));
            let mut command = guest.command("install");
            let output = command.env("BANGER_OS_ID", id).env("BANGER_OS_ID_LIKE", like).output().unwrap();
            Outcome::of(&output, &guest)
        };
        assert_eq!(outcome("rocky", "").calls, [format!("dnf {DNF}")]);
        assert_eq!(outcome("mystery", "suse").calls.len(), 2);
        Ok(())
    });
}

#[test]
fn a_guest_without_package_manager_is_not_one_without_network() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=wolfi", &[])?;
        guest.route(false);
        let outcome = guest.run("install");
        outcome.expect(10, "no package manager: none is known for ID=wolfi");
        Ok(())
    });
}

#[test]
fn what_package_managers_say_without_network_is_named_so() {
    let cases = [
        (
            "apt-get",
            "Err:1 http://deb.debian.org/debian bookworm InRelease\\n  \
             Temporary failure resolving 'deb.debian.org'",
        ),
        ("apt-get", "E: Failed to fetch http://10.0.2.2/x.deb  Could not connect to 10.0.2.2:80"),
        ("dnf5", ">>> Curl error (7): Could not connect to server for https://mirrors/ [Failed to connect]"),
        ("dnf", "Errors during downloading metadata: - Curl error (6): Couldn't resolve host name"),
        ("microdnf", "error: cannot update repo: Cannot download repomd.xml: Timeout was reached"),
        ("tdnf", "Error(1207) : Couldn't connect to server"),
        ("yum", "Could not resolve host: mirrorlist.centos.org; Unknown error"),
        ("zypper", "Download (curl) error for 'http://download.opensuse.org/'"),
        ("apk", "WARNING: fetching https://dl-cdn.alpinelinux.org: temporary error (try again later)"),
        (
            "pacman",
            "error: failed retrieving file 'core.db' from geo.mirror.pkgbuild.com : Resolving timed out",
        ),
        ("xbps-install", "ERROR: [reposync] failed to fetch file: Transient resolver failure"),
    ];
    with_each_shell(|shell| {
        for (manager, words) in cases {
            let guest = Guest::new(shell, "", &[manager, "dpkg"])?;
            guest.behave(manager, &format!("printf '%b\\n' \"{words}\" >&2; exit 1"));
            let outcome = guest.run("install");
            outcome.expect(11, "no network: ");
            let tried = outcome.calls.iter().filter(|call| call.contains("openssh")).count();
            assert_eq!(tried, 3, "{manager}: {outcome:#?}");
        }
        Ok(())
    });
}

#[test]
fn a_failure_without_any_route_is_one_of_the_network() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=debian", &["apt-get", "dpkg"])?;
        // The lists are empty, and apt does not say why.
        guest.behave("apt-get", "echo 'E: Unable to locate package openssh-server'; exit 100");
        guest.run("install").expect(13, "apt-get failed with status 100: E: Unable to locate package");
        guest.route(false);
        guest.run("install").expect(11, "no network: apt-get");
        let loopback = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 \
                        00000000000000000000000000000000 00000000 00000001 00000000 80200001       lo\n";
        let link_local = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 \
                          00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n";
        guest.file("proc/net/ipv6_route", &format!("{loopback}{link_local}"));
        guest.run("install").expect(11, "no network: apt-get");
        let global = link_local.replace("fe80", "2001");
        guest.file("proc/net/ipv6_route", &format!("{loopback}{link_local}{global}"));
        guest.run("install").expect(13, "apt-get failed");
        Ok(())
    });
}

#[test]
fn a_failure_of_the_first_attempt_is_tried_again() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=alpine", &["apk"])?;
        guest.behave(
            "apk",
            "if [ ! -e \"$FAKES/once\" ]; then : >\"$FAKES/once\"; echo broken; exit 0; fi\n\
             if [ ! -e \"$FAKES/twice\" ]; then : >\"$FAKES/twice\"; echo 'ERROR: disk I/O' ; exit 9; fi",
        );
        let outcome = guest.run("install");
        outcome.expect(0, "installed with apk");
        assert_eq!(outcome.calls.len(), 4, "{outcome:#?}");
        assert!(outcome.output.contains("attempt 2 of 3"), "{}", outcome.output);
        Ok(())
    });
}

#[test]
fn a_failing_package_manager_is_reported_with_its_reason() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=fedora", &["dnf5"])?;
        guest.behave("dnf5", "echo 'Failed to resolve the transaction: nothing provides libx'; exit 1");
        // "Failed to resolve the transaction" is no failing resolver.
        let outcome = guest.run("install");
        outcome.expect(13, "nothing provides libx");
        guest.behave("dnf5", "exit 0");
        guest.run("install").expect(13, "dnf5 ended well, but there is no sshd");
        Ok(())
    });
}

#[test]
fn locks_are_waited_for_and_use_up_no_attempt() {
    let cases = [
        ("apt-get", "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 12 (apt-get)"),
        ("zypper", "System management is locked by the application with pid 12 (zypper)."),
        ("apk", "ERROR: Unable to lock database: Resource temporarily unavailable"),
        ("pacman", "error: failed to init transaction (unable to lock database)"),
        ("tdnf", "ERROR: failed to acquire tdnf_instance lock"),
        ("microdnf", "error: Failed to obtain the transaction lock"),
        ("yum", "Existing lock /var/run/yum.pid: another copy is running as pid 12."),
    ];
    with_each_shell(|shell| {
        for (manager, words) in cases {
            let guest = Guest::new(shell, "", &[manager, "dpkg"])?;
            let held = format!(
                "case \"$*\" in *openssh*) ;; *) exit 0;; esac\n\
                 echo x >>\"$FAKES/seen\"\n\
                 if [ \"$(grep -c x \"$FAKES/seen\")\" -le 5 ]; then echo \"{words}\" >&2; exit 7; fi"
            );
            guest.behave(manager, &held);
            guest.run("install").expect(0, "installed with");
            let _ = fs::remove_file(guest.path("root/usr/sbin/sshd"));
            guest.behave(manager, &format!("echo \"{words}\" >&2; exit 7"));
            let mut command = guest.command("install");
            let output = command.env("BANGER_LOCK_TIMEOUT", "0").output().unwrap();
            Outcome::of(&output, &guest).expect(12, "was held for 0 s");
        }
        Ok(())
    });
}

#[test]
fn a_package_manager_that_hangs_is_stopped() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=alpine", &["apk"])?;
        guest.behave("apk", "exec sleep 60");
        let started = std::time::Instant::now();
        let output = guest.command("install").env("BANGER_TIMEOUT", "1").output().unwrap();
        Outcome::of(&output, &guest).expect(12, "apk did not finish within 1 s");
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
        Ok(())
    });
}

#[test]
fn an_interrupted_installation_is_finished() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=debian", &["apt-get", "dpkg"])?;
        // Half unpacked: dpkg alone cannot, and with what it lacks it can.
        guest.behave("dpkg", "echo 'dpkg: dependency problems'; exit 1");
        let outcome = guest.run("install");
        outcome.expect(0, "installed with apt-get");
        let mut want = apt();
        want.insert(1, format!("apt-get {APT_OPTIONS} -f install"));
        assert_eq!(outcome.calls, want);

        // A lock that no living pacman holds goes; one that is held stays.
        for (comm, stays) in [("bash", false), ("pacman", true)] {
            let guest = Guest::new(shell, "ID=arch", &["pacman"])?;
            guest.file("var/lib/pacman/db.lck", "");
            guest.file("proc/7/comm", &format!("{comm}\n"));
            guest.run("install").expect(0, "installed with pacman");
            assert_eq!(guest.path("root/var/lib/pacman/db.lck").exists(), stays, "{comm}");
        }
        Ok(())
    });
}

#[test]
fn what_is_installed_already_is_left_alone() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=debian", &["apt-get", "dpkg"])?;
        sshd(&guest);
        let outcome = guest.run("install");
        outcome.expect(0, "installed already");
        assert_eq!(outcome.calls, [""; 0]);
        Ok(())
    });
}

fn sshd(guest: &Guest) {
    guest.file("usr/sbin/sshd", "#!/bin/sh\necho \"sshd $*\" >>\"$FAKES/calls\"\n");
    let path = guest.path("root/usr/sbin/sshd");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn host_keys_are_made() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=debian", &["ssh-keygen"])?;
        let outcome = guest.run("keys");
        outcome.expect(0, "host keys are there");
        assert_eq!(outcome.calls, ["ssh-keygen -A"]);
        assert!(guest.path("root/run/sshd").is_dir());
        guest.behave("ssh-keygen", "exit 1");
        guest.run("keys").expect(13, "ssh-keygen -A failed");
        Guest::new(shell, "", &[])?.run("keys").expect(13, "no ssh-keygen");
        Ok(())
    });
}

fn enable(guest: &Guest, contract: &str) -> Outcome {
    let _ = fs::remove_file(guest.path("fakes/calls"));
    let mut command = guest.command("enable");
    // Never this machine's process 1.
    command.env("BANGER_CONTRACT", contract).env("BANGER_INIT_PID", "0x");
    Outcome::of(&command.output().unwrap(), guest)
}

#[test]
fn the_init_of_each_contract_is_told_to_start_sshd() {
    with_each_shell(|shell| {
        let guest = |files: &[(&str, &str)]| {
            let guest = Guest::new(shell, "", &["systemctl", "rc-update", "rc-service"])?;
            sshd(&guest);
            for (path, text) in files {
                guest.file(path, text);
            }
            Ok::<Guest, Skip>(guest)
        };
        for (file, unit) in [
            ("usr/lib/systemd/system/sshd.service", "sshd.service"),
            ("lib/systemd/system/ssh.service", "ssh.service"),
            ("etc/systemd/system/sshd.service", "sshd.service"),
        ] {
            let calls = enable(&guest(&[(file, "")])?, "systemd").calls;
            assert_eq!(
                calls,
                [format!("systemctl enable {unit}"), format!("systemctl --no-block start {unit}")]
            );
        }
        enable(&guest(&[])?, "systemd").expect(13, "there is no ssh.service");
        let failing = guest(&[("usr/lib/systemd/system/ssh.service", "")])?;
        failing.behave("systemctl", "exit 1");
        enable(&failing, "systemd").expect(13, "systemctl cannot enable ssh.service");

        let calls = enable(&guest(&[("etc/init.d/sshd", "")])?, "openrc").calls;
        assert_eq!(calls, ["rc-update add sshd default", "rc-service sshd start"]);
        enable(&guest(&[])?, "openrc").expect(13, "there is no /etc/init.d/sshd");

        let void = guest(&[("etc/sv/sshd/run", ""), ("etc/runit/runsvdir/default/x", "")])?;
        enable(&void, "runit").expect(0, "enabled");
        let link = fs::read_link(void.path("root/etc/runit/runsvdir/default/sshd")).unwrap();
        assert_eq!(link, Path::new("/etc/sv/sshd"));
        let debian = guest(&[("etc/service/x", "")])?;
        for _ in 0..2 {
            enable(&debian, "runit").expect(0, "enabled");
        }
        assert_eq!(fs::read_link(debian.path("root/etc/service/sshd")).unwrap(), Path::new("/etc/sv/sshd"));
        let run = fs::metadata(debian.path("root/etc/sv/sshd/run")).unwrap();
        assert_eq!(run.permissions().mode() & 0o777, 0o755);
        enable(&guest(&[])?, "runit").expect(13, "no directory of runit services");

        let s6 = guest(&[])?;
        assert_eq!(enable(&s6, "s6").calls, ["sshd "]);
        assert!(s6.path("root/etc/s6-overlay/s6-rc.d/user/contents.d/sshd").is_file());
        assert!(s6.path("root/etc/s6-overlay/s6-rc.d/sshd/run").is_file());

        let busybox = guest(&[("etc/inittab", "::sysinit:/bin/true\n")])?;
        for _ in 0..2 {
            enable(&busybox, "busybox").expect(0, "enabled");
        }
        let inittab = fs::read_to_string(busybox.path("root/etc/inittab")).unwrap();
        let line = "::respawn:/usr/local/libexec/banger-first-boot.sh serve\n";
        assert_eq!(inittab, format!("::sysinit:/bin/true\n{line}"));

        let banger = guest(&[])?;
        assert_eq!(enable(&banger, "banger").calls, ["sshd "]);
        banger.file("proc/9/comm", "sshd\n");
        assert_eq!(enable(&banger, "banger").calls, [""; 0], "it runs already");
        assert_eq!(guest(&[])?.run("serve").calls, ["sshd -D"]);
        Ok(())
    });
}

#[test]
fn all_stages_run_in_their_order() {
    with_each_shell(|shell| {
        let guest = Guest::new(shell, "ID=alpine", &["apk", "ssh-keygen", "rc-update", "rc-service"])?;
        guest.file("etc/init.d/sshd", "");
        let output = guest.command("all").env("BANGER_CONTRACT", "openrc").output().unwrap();
        let outcome = Outcome::of(&output, &guest);
        outcome.expect(0, "the ssh server is enabled");
        let names: Vec<&str> = outcome.calls.iter().map(|call| call.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["apk", "apk", "ssh-keygen", "rc-update", "rc-service"]);
        assert_eq!(guest.run("nonsense").status, 2);
        Ok(())
    });
}

#[test]
fn shellcheck_has_no_complaint() {
    let shellcheck = require!(tool("shellcheck"));
    let output = Command::new(shellcheck)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/first-boot.sh"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
