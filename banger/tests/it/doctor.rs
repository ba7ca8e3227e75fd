//! The examination of machines that are directories.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use banger::doctor::{DoctorHost, DoctorItem, DoctorReport, DoctorStatus, examine_host};
use banger::{CredentialSource, Dirs};
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

struct Machine {
    _dir: TempDir,
    path: Utf8PathBuf,
    host: DoctorHost,
}

impl Machine {
    /// A machine of this distribution with nothing else.
    fn new(os_release: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        for name in ["dev", "etc", "bin", "boot", "proc/sys/kernel"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        fs::write(path.join("etc/os-release"), os_release).unwrap();
        let host = DoctorHost::new(Dirs::new(path.join("state"), path.join("cache")))
            .with_root(path.clone())
            .with_program_dirs(vec![path.join("bin"), path.join("missing")]);
        Self { _dir: dir, path, host }
    }

    fn program(&self, name: &str, script: &str) {
        write_program(&self.path.join("bin").join(name), script);
    }

    fn report(&self) -> DoctorReport {
        examine_host(&self.host)
    }

    #[track_caller]
    fn item(&self, name: &str) -> DoctorItem {
        let report = self.report();
        report.items.into_iter().find(|item| item.name == name).expect(name)
    }

    #[track_caller]
    fn status(&self, name: &str) -> DoctorStatus {
        self.item(name).status
    }
}

fn write_program(path: &Utf8Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn each_distribution_has_its_command() {
    for (os_release, want) in [
        ("ID=debian\n", "sudo apt-get install qemu-system-x86"),
        ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "sudo apt-get install qemu-system-x86"),
        ("ID=fedora\n", "sudo dnf install qemu-system-x86-core"),
        ("ID=alpine\n", "sudo apk add qemu-system-x86_64"),
        ("ID=arch\n", "sudo pacman -S qemu-system-x86"),
        ("ID=own\n", "install the package qemu-system-x86 of your distribution"),
        ("", "install the package qemu-system-x86 of your distribution"),
    ] {
        let item = Machine::new(os_release).item("qemu-system-x86_64");
        assert_eq!(
            (item.status, item.advice.as_deref()),
            (DoctorStatus::Missing, Some(want)),
            "{os_release}"
        );
    }
    assert_eq!(
        Machine::new("PRETTY_NAME=\"Own 1\"\nID=own\n").report().distribution.as_deref(),
        Some("Own 1")
    );
}

#[test]
fn programs_are_found() {
    let machine = Machine::new("ID=debian\n");
    for name in ["qemu-system-x86_64", "firecracker", "cloud-hypervisor"] {
        assert_eq!(machine.status(name), DoctorStatus::Missing, "{name}");
        // What cannot be run is no program.
        fs::write(machine.path.join("bin").join(name), "").unwrap();
        assert_eq!(machine.status(name), DoctorStatus::Missing, "{name}");
        machine.program(name, "exit 0");
        let item = machine.item(name);
        assert_eq!(item.status, DoctorStatus::Ok, "{name}");
        assert_eq!(item.found, machine.path.join("bin").join(name));
    }
}

#[cfg(feature = "e2fsprogs")]
#[test]
fn the_version_of_e2fsprogs_counts() {
    let machine = Machine::new("ID=alpine\n");
    let item = machine.item("e2fsprogs");
    assert_eq!(
        (item.status, item.found.as_str()),
        (DoctorStatus::Missing, "not installed: mke2fs, debugfs, e2fsck")
    );
    assert_eq!(item.advice.as_deref(), Some("sudo apk add e2fsprogs e2fsprogs-extra"));
    // Programs for administrators are found without PATH.
    fs::create_dir(machine.path.join("sbin")).unwrap();
    write_program(&machine.path.join("sbin/mke2fs"), "echo 'mke2fs 1.47.0 (5-Feb-2023)' >&2");
    assert_eq!(machine.item("e2fsprogs").found, "not installed: debugfs, e2fsck");
    machine.program("debugfs", "echo 'debugfs 1.47.0 (5-Feb-2023)' >&2");
    machine.program("e2fsck", "echo 'e2fsck 1.47.0 (5-Feb-2023)' >&2");
    let item = machine.item("e2fsprogs");
    assert_eq!(item.status, DoctorStatus::Ok);
    assert!(item.found.ends_with("sbin/mke2fs, version 1.47.0"), "{}", item.found);
    machine.program("debugfs", "echo 'debugfs 1.47.3 (8-Jul-2025)' >&2");
    let item = machine.item("e2fsprogs");
    assert_eq!(item.status, DoctorStatus::Unusable);
    assert!(item.found.contains("1.47.3"), "{}", item.found);
}

#[cfg(target_os = "linux")]
#[test]
fn devices_are_opened() {
    let machine = Machine::new("");
    for (name, file) in [("KVM", "dev/kvm"), ("vhost-vsock", "dev/vhost-vsock")] {
        let path = machine.path.join(file);
        assert_eq!(machine.status(name), DoctorStatus::Missing, "{name}");
        assert!(machine.item(name).advice.unwrap().contains("modprobe"), "{name}");
        fs::write(&path, "").unwrap();
        let item = machine.item(name);
        assert_eq!(item.status, DoctorStatus::Unusable, "{name}");
        assert!(item.found.contains("not a device"), "{}", item.found);
        fs::remove_file(&path).unwrap();
        symlink("/dev/null", &path).unwrap();
        assert_eq!(machine.status(name), DoctorStatus::Ok, "{name}");
    }
}

#[test]
fn directories_are_tried() {
    let mut machine = Machine::new("");
    let report = machine.report();
    assert!(report.usable);
    assert!(report.items[0].found.contains("state (not made yet), "), "{}", report.items[0].found);
    // The examination made neither.
    assert!(!machine.path.join("state").exists() && !machine.path.join("cache").exists());
    // A directory that every user can write to is not trusted.
    let state = machine.path.join("state");
    fs::create_dir_all(state.join("images")).unwrap();
    fs::set_permissions(state.join("images"), fs::Permissions::from_mode(0o777)).unwrap();
    let item = machine.item("state directory");
    assert_eq!(item.status, DoctorStatus::Unusable);
    assert!(item.found.contains("not trusted"), "{}", item.found);
    assert!(!machine.report().usable);
    fs::set_permissions(state.join("images"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(machine.report().usable);
    fs::write(machine.path.join("file"), "").unwrap();
    machine.host.dirs.cache = "/proc/nowhere".into();
    let item = machine.item("cache directory");
    assert_eq!(item.status, DoctorStatus::Unusable, "{item:?}");
    assert!(item.advice.unwrap().contains("XDG_CACHE_HOME"));
}

#[test]
fn the_kernel_of_the_host_may_be_unreadable() {
    let machine = Machine::new("");
    let find = || machine.report().items.into_iter().find(|item| item.name == "host's kernel");
    assert_eq!(find(), None);
    fs::write(machine.path.join("proc/sys/kernel/osrelease"), "6.1.0-own\n").unwrap();
    assert_eq!(find(), None);
    fs::write(machine.path.join("boot/vmlinuz-6.1.0-own"), "").unwrap();
    assert_eq!(find().unwrap().status, DoctorStatus::Ok);
}

#[test]
fn helpers_that_a_file_names_must_be_there() {
    let mut machine = Machine::new("");
    assert_eq!(machine.item("credential helpers").found, "none is needed");
    machine.program("docker-credential-own", "exit 0");
    assert_eq!(machine.item("credential helpers").found, "docker-credential-own");
    let file = machine.path.join("config.json");
    machine.host.credentials = CredentialSource::Files {
        files: vec![file.clone(), machine.path.join("none.json")],
        helper_dir: None,
        helper_timeout: std::time::Duration::from_secs(1),
    };
    fs::write(&file, r#"{"credsStore": "own"}"#).unwrap();
    assert_eq!(machine.status("credential helpers"), DoctorStatus::Ok);
    fs::write(&file, r#"{"credsStore": "own", "credHelpers": {"r.io": "pass", "s.io": ""}}"#).unwrap();
    let item = machine.item("credential helpers");
    assert_eq!(item.status, DoctorStatus::Missing);
    assert_eq!(item.found, format!("not installed: docker-credential-pass, which {file} names"));
    fs::write(&file, "{").unwrap();
    assert_eq!(machine.status("credential helpers"), DoctorStatus::Unusable);
}
