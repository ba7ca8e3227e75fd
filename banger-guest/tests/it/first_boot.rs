//! The driver of the first boot with a script that plays the package manager's part.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use banger_guest::config::{BootContract, FirstBootMarker, GuestConfig, InitMode, paths};
use tempfile::TempDir;

use crate::support::{BINARY, Killed, read, wait_until};

struct Guest {
    directory: TempDir,
}

impl Guest {
    /// A guest whose first boot is pending, and whose script is this.
    fn new(script: &str) -> Self {
        let guest = Self { directory: tempfile::tempdir().unwrap() };
        guest.write(paths::FIRST_BOOT_PENDING, "");
        guest.write(paths::FIRST_BOOT_SCRIPT, &format!("#!/bin/sh\n{script}\n"));
        let executable = PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(guest.path(paths::FIRST_BOOT_SCRIPT), executable).unwrap();
        guest
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, content: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), content).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("first-boot").arg("--root").arg(self.directory.path()).stdin(Stdio::null());
        command
    }

    fn boot(&self) -> Output {
        self.command().output().unwrap()
    }

    fn marker(&self) -> Option<FirstBootMarker> {
        std::fs::read(self.path(paths::FIRST_BOOT_PENDING)).ok().map(|json| FirstBootMarker::from_json(&json))
    }

    fn is_done(&self) -> bool {
        self.path(paths::FIRST_BOOT_DONE).exists()
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(self.path("/calls")).unwrap_or_default()
    }
}

const RECORD: &str = r#"echo "$1 $BANGER_ATTEMPT $BANGER_CONTRACT $BANGER_OS_ID/$BANGER_OS_ID_LIKE" >>"$BANGER_ROOT_PREFIX/calls""#;

#[test]
fn nothing_is_done_without_a_marker() {
    let guest = Guest::new(RECORD);
    std::fs::remove_file(guest.path(paths::FIRST_BOOT_PENDING)).unwrap();
    assert!(guest.boot().status.success());
    assert_eq!(guest.calls(), "");
    assert!(!guest.is_done() && !guest.path(paths::FIRST_BOOT_LOG).exists());
}

#[test]
fn stages_run_in_order_and_the_marker_goes() {
    let guest = Guest::new(&format!(
        "{RECORD}\ncat \"$BANGER_ROOT_PREFIX{}\" >>\"$BANGER_ROOT_PREFIX/markers\"\necho said by $1",
        paths::FIRST_BOOT_PENDING
    ));
    guest.write("/etc/os-release", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n");
    let config = GuestConfig::new(BootContract::Systemd);
    guest.write(paths::GUEST_CONFIG, &String::from_utf8(config.to_json()).unwrap());
    let boot = guest.boot();
    assert!(boot.status.success(), "{boot:?}");
    let line = |stage: &str| format!("{stage} 1 systemd linuxmint/ubuntu debian\n");
    assert_eq!(guest.calls(), ["install", "keys", "enable"].map(line).concat());
    assert_eq!(guest.marker(), None);
    assert!(guest.is_done());
    let stages: Vec<_> = read(&guest.path("/markers"))
        .lines()
        .map(|json| FirstBootMarker::from_json(json.as_bytes()))
        .map(|marker| (marker.attempt, marker.stage.unwrap()))
        .collect();
    assert_eq!(stages, [(1, "install".to_owned()), (1, "keys".to_owned()), (1, "enable".to_owned())]);
    let log = read(&guest.path(paths::FIRST_BOOT_LOG));
    for expected in ["stage install", "said by install\n", "said by enable\n", "banger-first-boot: done\n"] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    assert!(guest.boot().status.success(), "a second boot has nothing to do");
    assert_eq!(guest.calls().lines().count(), 3);
}

#[test]
fn with_sshd_there_only_keys_are_made_and_it_is_enabled() {
    let guest = Guest::new(RECORD);
    guest.write("/usr/sbin/sshd", "");
    assert!(guest.boot().status.success());
    assert_eq!(guest.calls(), "keys 1  /\nenable 1  /\n");
    assert!(guest.is_done());
}

#[test]
fn an_init_is_installed_first_where_it_is_asked_for() {
    let guest = Guest::new(RECORD);
    let config = GuestConfig::new(BootContract::Banger).with_init(InitMode::Install);
    guest.write(paths::GUEST_CONFIG, &String::from_utf8(config.to_json()).unwrap());
    assert!(guest.boot().status.success());
    let stages: Vec<_> =
        guest.calls().lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(stages, ["init", "install", "keys"]);
}

/// A power cut after the init was there: the next boot is that init's, and it starts the server.
#[test]
fn an_installed_init_that_runs_is_told_to_start_the_server() {
    let guest = Guest::new(RECORD);
    let config = GuestConfig::new(BootContract::Banger).with_init(InitMode::Install);
    guest.write(paths::GUEST_CONFIG, &String::from_utf8(config.to_json()).unwrap());
    std::fs::create_dir_all(guest.path("/proc/1")).unwrap();
    std::os::unix::fs::symlink("/usr/lib/systemd/systemd", guest.path("/proc/1/exe")).unwrap();
    assert!(guest.boot().status.success());
    let line = |stage: &str| format!("{stage} 1 systemd /\n");
    assert_eq!(guest.calls(), ["init", "install", "keys", "enable"].map(line).concat());
}

/// An sshd may be unpacked and its package not set up.
#[test]
fn an_installation_that_was_cut_off_is_gone_through_again() {
    for (stage, calls) in
        [("install", "install 2  /\nkeys 2  /\nenable 2  /\n"), ("keys", "keys 2  /\nenable 2  /\n")]
    {
        let guest = Guest::new(RECORD);
        guest.write("/usr/sbin/sshd", "");
        let marker = FirstBootMarker { attempt: 1, stage: Some(stage.to_owned()), last_error: None };
        guest.write(paths::FIRST_BOOT_PENDING, &String::from_utf8(marker.to_json()).unwrap());
        assert!(guest.boot().status.success());
        assert_eq!(guest.calls(), calls, "cut off in {stage}");
        assert!(guest.is_done());
    }
}

#[test]
fn failures_are_named_and_the_marker_stays() {
    let cases = [
        ("exit 10", "no package manager"),
        ("exit 11", "no network"),
        (
            "echo 'banger-first-boot: cannot reach deb.debian.org'; exit 11",
            "no network: cannot reach deb.debian.org",
        ),
        ("exit 12", "the package manager is locked"),
        (
            "echo banger-first-boot: first; echo other; printf 'banger-first-boot: last' >&2; exit 13",
            "installing failed: last",
        ),
        ("exit 3", "stage install exited with status 3"),
        ("kill -9 $$", "stage install was killed by signal 9"),
    ];
    for (script, reason) in cases {
        let guest = Guest::new(&format!("{RECORD}\n{script}"));
        let boot = guest.boot();
        assert_eq!(boot.status.code(), Some(1), "{script}");
        let marker = guest.marker().unwrap();
        assert_eq!(marker.last_error.as_deref(), Some(reason), "{script}");
        assert_eq!((marker.attempt, marker.stage.as_deref()), (1, Some("install")), "{script}");
        assert!(!guest.is_done(), "{script}");
        assert!(read(&guest.path(paths::FIRST_BOOT_LOG)).contains(reason), "{script}");
        assert_eq!(guest.calls().lines().count(), 1, "no stage follows one that failed: {script}");
    }
}

#[test]
fn the_next_boot_tries_again() {
    let guest = Guest::new(&format!("{RECORD}\n[ $BANGER_ATTEMPT -ge 3 ] || exit 11"));
    for attempt in 1..=2 {
        assert!(!guest.boot().status.success());
        assert_eq!(guest.marker().unwrap().attempt, attempt);
    }
    assert!(guest.boot().status.success());
    assert!(guest.is_done() && guest.marker().is_none());
    let done = FirstBootMarker::from_json(&std::fs::read(guest.path(paths::FIRST_BOOT_DONE)).unwrap());
    assert_eq!((done.attempt, done.last_error), (3, None));
}

/// Where banger-init is the init, nobody else would start what was installed.
#[test]
fn later_boots_start_the_server_where_no_init_does() {
    let handed_over = GuestConfig::new(BootContract::Banger).with_handover(Some("/init".into()));
    let cases = [
        (GuestConfig::new(BootContract::Banger), "start 0 banger /\n"),
        (GuestConfig::new(BootContract::Systemd), ""),
        (handed_over, ""),
    ];
    for (config, calls) in cases {
        let guest = Guest::new(RECORD);
        guest.write(paths::GUEST_CONFIG, &String::from_utf8(config.to_json()).unwrap());
        std::fs::rename(guest.path(paths::FIRST_BOOT_PENDING), guest.path(paths::FIRST_BOOT_DONE)).unwrap();
        assert!(guest.boot().status.success());
        assert_eq!(guest.calls(), calls, "{config:?}");
        assert!(guest.is_done() && guest.marker().is_none());
    }
}

#[test]
fn a_guest_without_the_script_says_so() {
    let guest = Guest::new("");
    std::fs::remove_file(guest.path(paths::FIRST_BOOT_SCRIPT)).unwrap();
    assert!(!guest.boot().status.success());
    let error = guest.marker().unwrap().last_error.unwrap();
    assert!(error.starts_with("cannot run /usr/local/libexec/banger-first-boot.sh"), "{error}");
}

#[test]
fn a_driver_that_is_killed_is_followed_by_another() {
    let guest = Guest::new(&format!("{RECORD}\n[ $BANGER_ATTEMPT -ge 2 ] || sleep 60"));
    let mut driver = Killed(guest.command().stderr(Stdio::null()).spawn().unwrap());
    wait_until("the script runs", || !guest.calls().is_empty());
    let second = guest.boot();
    assert!(!second.status.success(), "two at a time");
    assert_eq!(guest.calls().lines().count(), 1);
    assert_eq!(guest.marker().unwrap().attempt, 1, "who was refused leaves the marker alone");
    driver.0.kill().unwrap();
    driver.0.wait().unwrap();
    let marker = guest.marker().unwrap();
    assert_eq!((marker.attempt, marker.stage.as_deref()), (1, Some("install")));
    assert!(guest.boot().status.success());
    assert!(guest.is_done());
}

/// Whoever asks the agent looks at the driver's lock, as often as he likes.
#[test]
fn a_driver_is_not_kept_away_by_those_who_look() {
    use rustix::fs::{FlockOperation, flock};
    let guest = Guest::new(RECORD);
    guest.write("/run/banger/first-boot.lock", "");
    let looker = std::fs::File::open(guest.path("/run/banger/first-boot.lock")).unwrap();
    flock(&looker, FlockOperation::NonBlockingLockShared).unwrap();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(looker);
    });
    assert!(guest.boot().status.success());
    assert!(guest.is_done());
}

#[test]
fn services_that_the_script_leaves_are_not_waited_for() {
    let guest = Guest::new("sleep 60 & echo left $!");
    let begun = std::time::Instant::now();
    let boot = guest.boot();
    assert!(boot.status.success() && begun.elapsed().as_secs() < 20);
    for line in read(&guest.path(paths::FIRST_BOOT_LOG)).lines() {
        if let Some(pid) = line.strip_prefix("left ") {
            let _ = Command::new("kill").arg(pid).status();
        }
    }
}
