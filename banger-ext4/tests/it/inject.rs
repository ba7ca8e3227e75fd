//! Injection into every shape of root file system, through every implementation of `Rootfs`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use banger_ext4::{
    BootContract, Entrypoint, FixupKind, GuestAgents, InitMode, InjectError, InjectReport,
    inject_guest_agents, merge_files,
};
use banger_guest::config::{FirstBootMarker, GuestConfig};
use banger_testkit::listing;
use banger_tree::{
    Attributes, ContentStore, FileType, GuestPath, LayerIndex, NodeKind, Rootfs, Timestamp, TreeRootfs,
};

use crate::support::fixture::mode;
use crate::support::{Fixture, with_each};

/// The head of a static executable for x86-64, and bytes that are not zero.
fn binary() -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    bytes.resize(50_000, b'b');
    bytes
}

fn agents(init: InitMode) -> GuestAgents {
    GuestAgents::new(binary()).with_init(init).with_timestamp(Timestamp::from_seconds(1_650_000_000))
}

fn path(text: &str) -> GuestPath {
    GuestPath::parse(text).unwrap()
}

/// Adds directories for `path`'s parents as needed, then a program or a text.
fn put(fixture: &mut Fixture, path: &str, text: &str, bits: u16) {
    dirs(fixture, &path[..path.rfind('/').unwrap()]);
    fixture.file_with(path, text.as_bytes(), mode(bits));
}

fn dirs(fixture: &mut Fixture, path: &str) {
    for (at, _) in path.match_indices('/').skip(1).chain([(path.len(), "")]) {
        let dir = GuestPath::parse(&path[..at]).unwrap();
        if !dir.is_root() && fixture.tree.resolve(&dir, true).is_ok_and(|found| found.node.is_none()) {
            fixture.dir(dir.as_bytes());
        }
    }
}

fn program(fixture: &mut Fixture, path: &str) {
    put(fixture, path, &format!("the program {path}"), 0o755);
}

fn link(fixture: &mut Fixture, path: &str, target: &str) {
    dirs(fixture, &path[..path.rfind('/').unwrap()]);
    fixture.symlink(path, target.as_bytes());
}

fn merged_usr() -> Fixture {
    let mut fixture = Fixture::default();
    for dir in ["/usr/bin", "/usr/sbin", "/usr/lib", "/etc", "/var/lib", "/var/log", "/usr/local/bin"] {
        dirs(&mut fixture, dir);
    }
    for name in ["bin", "sbin", "lib"] {
        fixture.symlink(format!("/{name}"), format!("usr/{name}").as_bytes());
    }
    for dir in ["/dev", "/proc", "/sys", "/run", "/tmp"] {
        fixture.dir(dir);
    }
    fixture
}

/// `debian:bookworm` of Docker Hub, started once by docker.
fn debian() -> Fixture {
    let mut fixture = merged_usr();
    let f = &mut fixture;
    program(f, "/usr/bin/dash");
    link(f, "/usr/bin/sh", "dash");
    program(f, "/usr/bin/apt-get");
    put(f, "/usr/lib/os-release", "ID=debian\n", 0o644);
    link(f, "/etc/os-release", "../usr/lib/os-release");
    put(f, "/usr/sbin/policy-rc.d", "#!/bin/sh\n\n# For most Docker users\nexit 101\n", 0o755);
    put(f, "/etc/dpkg/dpkg.cfg.d/docker-apt-speedup", "force-unsafe-io\n", 0o644);
    put(f, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444);
    put(f, "/etc/hostname", "", 0o644);
    put(f, "/.dockerenv", "", 0o755);
    fixture
}

fn systemd_parts(f: &mut Fixture) {
    program(f, "/usr/lib/systemd/systemd");
    link(f, "/usr/sbin/init", "/lib/systemd/systemd");
    put(f, "/usr/lib/systemd/libsystemd-shared-252.so", "library", 0o644);
    for unit in ["serial-getty@.service", "getty@.service", "console-getty.service", "systemd-logind.service"]
    {
        put(f, &format!("/usr/lib/systemd/system/{unit}"), "[Unit]\n", 0o644);
    }
}

fn debian_systemd() -> Fixture {
    let mut fixture = debian();
    let f = &mut fixture;
    systemd_parts(f);
    for name in ["/usr/sbin/agetty", "/usr/bin/udevadm", "/usr/bin/dbus-daemon", "/usr/sbin/sshd"] {
        program(f, name);
    }
    link(f, "/usr/lib/systemd/systemd-udevd", "/bin/udevadm");
    for key in ["ssh_host_rsa_key", "ssh_host_rsa_key.pub", "ssh_host_ed25519_key"] {
        put(f, &format!("/etc/ssh/{key}"), "key", 0o600);
    }
    put(f, "/etc/ssh/sshd_config", "Port 22\n", 0o644);
    put(f, "/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n", 0o644);
    link(f, "/etc/systemd/system/getty.target", "/dev/null");
    put(f, "/etc/systemd/system/systemd-logind.service", "", 0o644);
    link(f, "/etc/systemd/system/console-getty.service", "/dev/null");
    link(f, "/etc/systemd/system/other.service", "/dev/null");
    fixture
}

/// systemd 239 without agetty, udev and dbus, and `/lib` a directory of its own.
fn bare_systemd() -> Fixture {
    let mut fixture = Fixture::default();
    let f = &mut fixture;
    for dir in ["/lib/systemd/system", "/usr/lib", "/etc/systemd", "/sbin", "/bin", "/var"] {
        dirs(f, dir);
    }
    program(f, "/lib/systemd/systemd");
    put(f, "/lib/systemd/libsystemd-shared-239.so", "library", 0o644);
    for unit in ["serial-getty@.service", "getty@.service", "systemd-logind.service"] {
        put(f, &format!("/lib/systemd/system/{unit}"), "[Unit]\n", 0o644);
    }
    link(f, "/etc/systemd/system/systemd-logind.service", "/dev/null");
    link(f, "/sbin/init", "../lib/systemd/systemd");
    program(f, "/bin/sh");
    fixture
}

/// No udev: the console's getty belongs to no device.
fn systemd_without_udev() -> Fixture {
    let mut fixture = merged_usr();
    let f = &mut fixture;
    systemd_parts(f);
    program(f, "/usr/sbin/agetty");
    program(f, "/usr/bin/dbus-broker");
    fixture
}

fn busybox_parts(f: &mut Fixture) {
    program(f, "/bin/busybox");
    for name in ["/bin/sh", "/sbin/init", "/sbin/getty"] {
        link(f, name, "/bin/busybox");
    }
}

const ALPINE_INITTAB: &str = "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n#ttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100";

fn alpine() -> Fixture {
    let mut fixture = Fixture::default();
    let f = &mut fixture;
    for dir in ["/dev", "/proc", "/sys", "/run", "/tmp", "/usr/local/bin", "/var/lib", "/var/log"] {
        dirs(f, dir);
    }
    busybox_parts(f);
    program(f, "/sbin/apk");
    put(f, "/etc/os-release", "ID=alpine\n", 0o644);
    put(f, "/etc/inittab", ALPINE_INITTAB, 0o644);
    put(f, "/etc/hostname", "localhost\n", 0o644);
    put(f, "/etc/hosts", "127.0.0.1 localhost\n", 0o644);
    fixture
}

fn alpine_openrc() -> Fixture {
    let mut fixture = alpine();
    let f = &mut fixture;
    program(f, "/sbin/openrc");
    for name in ["devfs", "sysfs", "hostname"] {
        program(f, &format!("/etc/init.d/{name}"));
    }
    link(f, "/etc/runlevels/sysinit/devfs", "/etc/init.d/devfs");
    put(f, "/run/.containerenv", "", 0o644);
    fixture
}

/// OpenRC as Debian packages it, with nothing that is `/sbin/init`.
fn openrc_alone() -> Fixture {
    let mut fixture = debian();
    program(&mut fixture, "/usr/sbin/openrc");
    program(&mut fixture, "/usr/sbin/openrc-init");
    link(&mut fixture, "/usr/sbin/init", "/nowhere/init");
    fixture
}

fn openrc_sysvinit() -> Fixture {
    let mut fixture = debian();
    let f = &mut fixture;
    program(f, "/usr/sbin/openrc");
    program(f, "/usr/sbin/init");
    program(f, "/usr/sbin/getty");
    program(f, "/etc/init.d/rcS");
    put(f, "/etc/inittab", "id:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\n", 0o644);
    fixture
}

fn void() -> Fixture {
    let mut fixture = merged_usr();
    let f = &mut fixture;
    program(f, "/usr/bin/runit-init");
    link(f, "/usr/sbin/init", "../bin/runit-init");
    program(f, "/usr/bin/sh");
    program(f, "/usr/bin/xbps-install");
    put(f, "/etc/sv/agetty-ttyS0/run", "#!/bin/sh\n", 0o755);
    dirs(f, "/etc/runit/runsvdir/default");
    link(f, "/var/service", "/run/runit/runsvdir/current");
    fixture
}

fn debian_runit() -> Fixture {
    let mut fixture = debian();
    let f = &mut fixture;
    program(f, "/usr/lib/runit/runit-init");
    link(f, "/usr/sbin/init", "/lib/runit/runit-init");
    dirs(f, "/etc/service");
    fixture
}

fn s6(mut fixture: Fixture) -> Fixture {
    let f = &mut fixture;
    program(f, "/init");
    dirs(f, "/package/admin/s6-overlay-3.1.5.0");
    link(f, "/package/admin/s6-overlay", "s6-overlay-3.1.5.0");
    fixture
}

fn sysvinit() -> Fixture {
    let mut fixture = debian();
    program(&mut fixture, "/usr/sbin/init");
    fixture
}

fn scratch() -> Fixture {
    let mut fixture = Fixture::default();
    program(&mut fixture, "/app");
    fixture
}

/// `/usr/local` and `/var` as image-based distributions have them: links, one of them dangling.
fn links_everywhere() -> Fixture {
    let mut fixture = Fixture::default();
    let f = &mut fixture;
    link(f, "/usr/local", "../var/usrlocal");
    link(f, "/sbin", "usr/bin");
    link(f, "/bin", "/usr/bin");
    link(f, "/tmp", "var/tmp");
    fixture
}

type Case = (&'static str, fn() -> Fixture, InitMode, BootContract, &'static [&'static str]);

const MOUNT_POINTS: [&str; 5] = ["/dev", "/proc", "/sys", "/run", "/tmp"];

/// Every shape with what is to be found in it, and the fix-ups it needs besides the usual ones.
fn cases() -> Vec<Case> {
    use BootContract::{Banger, Busybox, Openrc, Runit, S6, Systemd};
    use InitMode::{Auto, Image, Install};
    const DEBIAN: [&str; 6] = [
        "machine-id replaced /etc/machine-id",
        "container-marker removed /.dockerenv",
        "service-veto removed /usr/sbin/policy-rc.d",
        "apt-speedup removed /etc/dpkg/dpkg.cfg.d/docker-apt-speedup",
        "hostname replaced /etc/hostname",
        "hosts created /etc/hosts",
    ];
    let leak =
        |more: &[&'static str]| -> &'static [&'static str] { Box::leak([&DEBIAN, more].concat().into()) };
    let missing: &'static [&'static str] = &[
        "machine-id created /etc/machine-id",
        "hostname created /etc/hostname",
        "hosts created /etc/hosts",
        "mount-point created /dev",
        "mount-point created /proc",
        "mount-point created /sys",
        "mount-point created /run",
        "mount-point created /tmp",
    ];
    let with_missing =
        |more: &[&'static str]| -> &'static [&'static str] { Box::leak([missing, more].concat().into()) };
    let no_container = &missing[..3];
    let with_etc = |more: &[&'static str]| -> &'static [&'static str] {
        Box::leak([no_container, more].concat().into())
    };
    vec![
        ("debian", debian, Auto, Banger, leak(&["init created /usr/sbin/init"])),
        ("debian, to install", debian, Install, Banger, leak(&["init created /usr/sbin/init"])),
        (
            "debian with systemd",
            debian_systemd,
            Auto,
            Systemd,
            leak(&[
                "machine-id replaced /var/lib/dbus/machine-id",
                "ssh-host-key removed /etc/ssh/ssh_host_ed25519_key",
                "ssh-host-key removed /etc/ssh/ssh_host_rsa_key",
                "ssh-host-key removed /etc/ssh/ssh_host_rsa_key.pub",
                "ssh-keys-at-boot created /etc/systemd/system/banger-ssh-keys.service",
                "ssh-keys-at-boot created /etc/systemd/system/multi-user.target.wants/banger-ssh-keys.service",
                "unit-unmasked removed /etc/systemd/system/getty.target",
                "unit-unmasked removed /etc/systemd/system/systemd-logind.service",
                "unit-unmasked removed /etc/systemd/system/console-getty.service",
                "serial-getty created /etc/systemd/system/getty.target.wants",
                "serial-getty created /etc/systemd/system/getty.target.wants/serial-getty@ttyS0.service",
            ]),
        ),
        (
            "old systemd with nothing",
            bare_systemd,
            Image,
            Systemd,
            with_missing(&[
                "unit-masked created /etc/systemd/system/serial-getty@.service",
                "unit-masked created /etc/systemd/system/getty@.service",
            ]),
        ),
        (
            "systemd without udev",
            systemd_without_udev,
            Install,
            Systemd,
            with_etc(&[
                "unit-masked created /etc/systemd/system/serial-getty@.service",
                "serial-getty created /etc/systemd/system/getty.target.wants",
                "serial-getty created /etc/systemd/system/getty.target.wants/console-getty.service",
            ]),
        ),
        (
            "alpine",
            alpine,
            Auto,
            Busybox,
            &[
                "machine-id created /etc/machine-id",
                "inittab-line replaced /etc/inittab",
                "serial-getty replaced /etc/inittab",
            ],
        ),
        (
            "alpine with openrc",
            alpine_openrc,
            Auto,
            Openrc,
            &[
                "machine-id created /etc/machine-id",
                "container-marker removed /run/.containerenv",
                "runlevel created /etc/runlevels/sysinit/sysfs",
                "inittab-line replaced /etc/inittab",
                "serial-getty replaced /etc/inittab",
            ],
        ),
        ("openrc alone", openrc_alone, Auto, Openrc, leak(&["init replaced /usr/sbin/init"])),
        ("openrc by sysvinit", openrc_sysvinit, Auto, Openrc, leak(&["serial-getty replaced /etc/inittab"])),
        (
            "void",
            void,
            Auto,
            Runit,
            with_etc(&["serial-getty created /etc/runit/runsvdir/default/agetty-ttyS0"]),
        ),
        ("runit of debian", debian_runit, Auto, Runit, leak(&[])),
        ("s6 on debian", || s6(debian()), Auto, S6, leak(&["init created /usr/sbin/init"])),
        (
            "s6 on alpine",
            || s6(alpine()),
            Image,
            S6,
            &[
                "machine-id created /etc/machine-id",
                "init created /usr/local/libexec/banger",
                "init created /usr/local/libexec/banger/init",
                "init replaced /sbin/init",
            ],
        ),
        (
            "an init that is not known",
            sysvinit,
            Auto,
            Banger,
            leak(&[
                "init created /usr/local/libexec/banger",
                "init removed /usr/sbin/init",
                "init created /usr/local/libexec/banger/init",
                "init created /usr/sbin/init",
            ]),
        ),
        (
            "systemd, and banger asked for",
            systemd_without_udev,
            InitMode::Banger,
            Banger,
            with_etc(&[
                "init created /usr/local/libexec/banger",
                "init created /usr/local/libexec/banger/init",
                "init replaced /usr/sbin/init",
            ]),
        ),
        (
            "scratch",
            scratch,
            Auto,
            Banger,
            with_missing(&["machine-id created /etc", "init created /sbin", "init created /sbin/init"]),
        ),
        (
            "links everywhere",
            links_everywhere,
            Auto,
            Banger,
            Box::leak(
                [
                    &missing[..7],
                    &[
                        "mount-point created /var",
                        "mount-point created /var/tmp",
                        "machine-id created /etc",
                        "init created /usr/bin",
                        "init created /usr/bin/init",
                    ],
                ]
                .concat()
                .into(),
            ),
        ),
    ]
}

fn fixups(report: &InjectReport) -> BTreeSet<String> {
    let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    let one = |fixup: &banger_ext4::Fixup| {
        let json = |value| word(serde_json::to_value(value).unwrap());
        format!(
            "{} {} {}",
            json(serde_json::to_value(fixup.kind).unwrap()),
            json(serde_json::to_value(fixup.change).unwrap()),
            fixup.path
        )
    };
    report.fixups.iter().map(one).collect()
}

/// Returns the paths that are not the same in both, apart from counts of links.
fn changed_paths(before: &dyn Rootfs, after: &dyn Rootfs) -> BTreeSet<GuestPath> {
    let (before, after) = (listing(before).unwrap(), listing(after).unwrap());
    let same = |path: &GuestPath| match (before.get(path), after.get(path)) {
        (Some((a, _, bytes_a)), Some((b, _, bytes_b))) => {
            (a.file_type, &a.attributes, a.device, bytes_a) == (b.file_type, &b.attributes, b.device, bytes_b)
        }
        _ => false,
    };
    before.keys().chain(after.keys()).filter(|path| !same(path)).cloned().collect()
}

#[test]
fn every_shape_gets_what_it_needs_and_nothing_else() {
    for (name, fixture, init, contract, want) in cases() {
        eprintln!("{name}");
        let report = with_each(&fixture, |rootfs| {
            let report = inject_guest_agents(rootfs, &agents(init)).unwrap();
            let again = inject_guest_agents(rootfs, &agents(init)).unwrap();
            assert!(again.is_unchanged(), "{name}: {again:#?}");
            assert_eq!(
                (again.contract, &again.init_path, again.first_boot_pending),
                (report.contract, &report.init_path, report.first_boot_pending)
            );
            report
        });
        assert_eq!(report.contract, contract, "{name}");
        let mut want: BTreeSet<String> = want.iter().map(|text| (*text).to_owned()).collect();
        let found = fixups(&report);
        // A path that is missing in one shape may be there in another.
        want.retain(|text| {
            !MOUNT_POINTS.iter().any(|at| text.ends_with(&format!("created {at}"))) || found.contains(text)
        });
        assert_eq!(found, want, "{name}");

        // What the report lists is what is not the same, path for path.
        let (mut before, mut after) = (fixture(), fixture());
        let before = TreeRootfs::new(&mut before.tree, &mut before.store);
        let mut after = TreeRootfs::new(&mut after.tree, &mut after.store);
        inject_guest_agents(&mut after, &agents(init)).unwrap();
        let listed: BTreeSet<GuestPath> =
            report.injected.iter().chain(report.fixups.iter().map(|fixup| &fixup.path)).cloned().collect();
        assert_eq!(changed_paths(&before, &after), listed, "{name}");
        for at in &listed {
            // What is moved keeps its time.
            if let Some(stat) = after.stat(at).unwrap()
                && *at != path("/usr/local/libexec/banger/init")
                && stat.file_type != FileType::Directory
            {
                assert_eq!(stat.attributes.mtime.seconds, 1_650_000_000, "{name}: {at}");
            }
        }
        let real = after.resolve(&path("/sbin/init")).unwrap();
        assert_eq!(real, report.init_path, "{name}");
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<InjectReport>(&json).unwrap(), report);
    }
}

/// Injects into `fixture` and lets `check` look.
fn injected(mut fixture: Fixture, agents: &GuestAgents, check: impl Fn(&mut dyn Rootfs, &InjectReport)) {
    let mut rootfs = TreeRootfs::new(&mut fixture.tree, &mut fixture.store);
    let report = inject_guest_agents(&mut rootfs, agents).unwrap();
    check(&mut rootfs, &report);
}

fn config(rootfs: &dyn Rootfs) -> GuestConfig {
    GuestConfig::from_json(&rootfs.read(&path("/etc/banger/guest.json")).unwrap()).unwrap()
}

fn text(rootfs: &dyn Rootfs, at: &str) -> String {
    String::from_utf8(rootfs.read(&rootfs.resolve(&path(at)).unwrap()).unwrap()).unwrap()
}

#[test]
fn the_binary_is_one_inode_under_all_its_names() {
    injected(debian(), &agents(InitMode::Auto), |rootfs, report| {
        let agent = rootfs.stat(&path("/usr/local/bin/banger-vsock-agent")).unwrap().unwrap();
        assert_eq!((agent.nlink, agent.attributes.mode, agent.size_bytes), (4, 0o755, 50_000));
        for name in ["banger-init", "banger-first-boot", "banger-network-bootstrap"] {
            let stat = rootfs.stat(&path(&format!("/usr/local/libexec/{name}"))).unwrap().unwrap();
            assert_eq!(stat.inode, agent.inode);
        }
        assert_eq!(report.init_path, path("/usr/local/libexec/banger-init"));
        assert_eq!(rootfs.read_link(&path("/lib")).unwrap(), b"usr/lib");

        // A newer binary takes the place of all of them.
        let newer = agents(InitMode::Auto).with_binary(vec![1; 60_000].into());
        let report = inject_guest_agents(rootfs, &newer).unwrap();
        assert_eq!(report.injected.len(), 4, "{report:?}");
        assert_eq!(report.contract, BootContract::Banger);
        let agent = rootfs.stat(&path("/usr/local/bin/banger-vsock-agent")).unwrap().unwrap();
        assert_eq!((agent.nlink, agent.size_bytes), (4, 60_000));
    });
}

#[test]
fn units_are_ordered_and_enabled() {
    injected(debian_systemd(), &agents(InitMode::Auto), |rootfs, report| {
        let unit = |name: &str| text(rootfs, &format!("/etc/systemd/system/{name}.service"));
        for (name, lines) in [
            (
                "banger-network",
                &[
                    "Type=oneshot",
                    "RemainAfterExit=yes",
                    "DefaultDependencies=no",
                    "After=local-fs.target",
                    // Nothing else pulls these in, and what waits for them would not wait.
                    "Wants=network-pre.target network.target",
                    "Before=network-pre.target network.target",
                ][..],
            ),
            (
                "banger-first-boot",
                &[
                    "Requires=banger-network.service",
                    "After=banger-network.service",
                    "ConditionPathExists=/var/lib/banger/first-boot-pending",
                    "TimeoutStartSec=15min",
                    "Restart=on-failure",
                    "StartLimitBurst=5",
                ],
            ),
            ("banger-vsock-agent", &["After=local-fs.target", "Restart=always", "OOMScoreAdjust=-900"]),
        ] {
            let unit = unit(name);
            for line in lines {
                assert!(unit.lines().any(|found| found == *line), "{name}: {line}");
            }
            let wanted = format!("/etc/systemd/system/multi-user.target.wants/{name}.service");
            assert_eq!(text(rootfs, &wanted), unit);
        }
        let preset = text(rootfs, "/etc/systemd/system-preset/00-banger.preset");
        assert!(preset.contains("enable banger-vsock-agent.service"));
        assert!(!unit("banger-vsock-agent").contains("first-boot"), "the agent never waits for it");
        assert!(report.first_boot_pending, "host keys are to be made");
        assert!(report.warnings.is_empty(), "{report:?}");
        assert_eq!(rootfs.read_link(&path("/etc/systemd/system/other.service")).unwrap(), b"/dev/null");
    });
    injected(bare_systemd(), &agents(InitMode::Auto), |rootfs, report| {
        let unit = text(rootfs, "/etc/systemd/system/banger-first-boot.service");
        assert!(!unit.contains("Restart"), "systemd 239 refuses it: {unit}");
        assert!(unit.contains("Type=oneshot") && unit.contains("StartLimitBurst"));
        let agent = text(rootfs, "/etc/systemd/system/banger-vsock-agent.service");
        assert!(agent.contains("Restart=always"));
        assert!(!report.first_boot_pending);
        assert_eq!(report.warnings.len(), 2, "{report:?}");
    });
}

#[test]
fn inittabs_keep_lines_that_work() {
    let serial =
        "#ttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100\nttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100\n";
    let getty = "# banger: no such terminal: tty1::respawn:/sbin/getty 38400 tty1\n";
    for (fixture, openrc) in [
        (alpine as fn() -> Fixture, "# banger: no such program: ::sysinit:/sbin/openrc sysinit\n"),
        (alpine_openrc, "::sysinit:/sbin/openrc sysinit\n"),
    ] {
        injected(fixture(), &agents(InitMode::Auto), |rootfs, _| {
            let inittab = text(rootfs, "/etc/inittab");
            assert!(inittab.ends_with(&format!("{openrc}{getty}{serial}")), "{inittab}");
        });
    }
    injected(alpine(), &agents(InitMode::Auto), |rootfs, _| {
        let inittab = text(rootfs, "/etc/inittab");
        assert_eq!(inittab.lines().nth(1), Some("::sysinit:/usr/local/libexec/banger-network-bootstrap"));
    });
    let with_umount = || {
        let mut fixture = alpine();
        link(&mut fixture, "/bin/umount", "/bin/busybox");
        fixture
    };
    injected(with_umount(), &agents(InitMode::Auto), |rootfs, _| {
        let inittab = text(rootfs, "/etc/inittab");
        assert!(inittab.lines().any(|line| line == "::shutdown:/bin/umount -a -r"), "{inittab}");
    });
    let without_inittab = || {
        let mut fixture = Fixture::default();
        busybox_parts(&mut fixture);
        fixture
    };
    injected(without_inittab(), &agents(InitMode::Auto), |rootfs, report| {
        assert_eq!(report.contract, BootContract::Busybox);
        let inittab = text(rootfs, "/etc/inittab");
        assert!(
            inittab.contains("::askfirst:-/bin/sh\n") && inittab.contains("::shutdown:/bin/umount -a -r\n")
        );
        assert!(!report.first_boot_pending && report.warnings.len() == 1, "{report:?}");
    });
    injected(openrc_sysvinit(), &agents(InitMode::Auto), |rootfs, _| {
        assert!(
            text(rootfs, "/etc/inittab").ends_with("S0:2345:respawn:/sbin/getty -L 115200 ttyS0 vt100\n")
        );
    });
}

#[test]
fn services_are_linked_where_their_init_looks() {
    injected(alpine_openrc(), &agents(InitMode::Auto), |rootfs, _| {
        for link in ["boot/banger-network", "boot/banger-vsock-agent", "default/banger-first-boot"] {
            assert!(text(rootfs, &format!("/etc/runlevels/{link}")).starts_with("#!/sbin/openrc-run\n"));
        }
    });
    for (fixture, dir) in
        [(void as fn() -> Fixture, "/etc/runit/runsvdir/default"), (debian_runit, "/etc/service")]
    {
        injected(fixture(), &agents(InitMode::Auto), |rootfs, _| {
            for name in ["banger-network", "banger-first-boot", "banger-vsock-agent"] {
                let run = rootfs.resolve(&path(&format!("{dir}/{name}/run"))).unwrap();
                assert_eq!(rootfs.stat(&run).unwrap().unwrap().attributes.mode, 0o755);
            }
        });
    }
    injected(s6(debian()), &agents(InitMode::Auto), |rootfs, _| {
        for name in ["banger-network", "banger-first-boot", "banger-vsock-agent"] {
            assert_eq!(text(rootfs, &format!("/etc/s6-overlay/s6-rc.d/user/contents.d/{name}")), "");
            assert!(text(rootfs, &format!("/etc/s6-overlay/s6-rc.d/{name}/type")).ends_with("\n"));
        }
        assert_eq!(config(rootfs).handover.as_deref(), Some("/init"));
        assert_eq!(config(rootfs).contract, BootContract::S6);
    });
}

fn entrypoint(argv: &[&str]) -> Option<Entrypoint> {
    let argv = argv.iter().map(|word| (*word).to_owned()).collect();
    let env = vec!["A=1".to_owned()];
    Some(
        Entrypoint::default()
            .with_argv(argv)
            .with_env(env)
            .with_user(Some("7:8".to_owned()))
            .with_working_dir(Some("/srv".to_owned())),
    )
}

#[test]
fn banger_init_runs_what_the_image_is_for() {
    let with = |init, argv: &[&str]| agents(init).with_entrypoint(entrypoint(argv));
    injected(scratch(), &with(InitMode::Auto, &["/app", "x"]), |rootfs, report| {
        assert_eq!(config(rootfs).entrypoint, entrypoint(&["/app", "x"]));
        assert!(!report.first_boot_pending);
        assert!(report.warnings[0].contains("no shell"), "{report:?}");
        assert!(rootfs.stat(&path("/usr/local/libexec/banger-first-boot.sh")).unwrap().is_none());
    });
    injected(debian(), &with(InitMode::Auto, &["bash"]), |rootfs, report| {
        assert_eq!(config(rootfs).entrypoint, None, "a bare shell is for the console");
        assert!(report.first_boot_pending);
        let marker = rootfs.read(&path("/var/lib/banger/first-boot-pending")).unwrap();
        assert_eq!(FirstBootMarker::from_json(&marker), FirstBootMarker::default());
        assert!(serde_json::from_slice::<FirstBootMarker>(&marker).is_ok());
    });
    // The image's init has its own ideas of what to run.
    injected(alpine(), &with(InitMode::Auto, &["/app"]), |rootfs, _| {
        assert_eq!(config(rootfs).entrypoint, None);
    });
    injected(systemd_without_udev(), &with(InitMode::Banger, &["/sbin/init"]), |rootfs, _| {
        let config = config(rootfs);
        assert_eq!((config.entrypoint, config.init), (None, InitMode::Banger));
        let handover = config.handover.unwrap();
        assert_eq!(rootfs.resolve(&path(&handover)).unwrap(), path("/usr/lib/systemd/systemd"));
    });
    injected(systemd_without_udev(), &with(InitMode::Banger, &["/app"]), |rootfs, _| {
        assert_eq!(config(rootfs).handover, None);
        assert_eq!(config(rootfs).entrypoint, entrypoint(&["/app"]));
    });
    injected(s6(debian()), &with(InitMode::Banger, &["/init"]), |rootfs, report| {
        assert_eq!((report.contract, config(rootfs).entrypoint), (BootContract::Banger, None));
        assert_eq!(config(rootfs).handover.as_deref(), Some("/init"));
    });
    injected(sysvinit(), &agents(InitMode::Auto), |rootfs, _| {
        assert_eq!(config(rootfs).handover.as_deref(), Some("/usr/local/libexec/banger/init"));
        assert_eq!(text(rootfs, "/usr/local/libexec/banger/init"), "the program /usr/sbin/init");
    });
}

#[test]
fn an_init_to_be_installed_finds_its_services() {
    injected(debian(), &agents(InitMode::Install), |rootfs, report| {
        assert_eq!((report.contract, config(rootfs).init), (BootContract::Banger, InitMode::Install));
        assert!(report.injected.contains(&path("/etc/systemd/system/banger-network.service")));
    });
    let bare_alpine = || {
        let mut fixture = Fixture::default();
        put(&mut fixture, "/etc/os-release", "ID=alpine\n", 0o644);
        fixture
    };
    injected(bare_alpine(), &agents(InitMode::Install), |_, report| {
        assert!(report.injected.contains(&path("/etc/init.d/banger-network")));
        assert!(report.warnings.iter().any(|warning| warning.contains("no package manager")), "{report:?}");
    });
}

#[test]
fn the_images_own_init_may_be_insisted_on() {
    let refused = |mut fixture: Fixture| {
        let mut rootfs = TreeRootfs::new(&mut fixture.tree, &mut fixture.store);
        match inject_guest_agents(&mut rootfs, &agents(InitMode::Image)) {
            Err(InjectError::NoInit { found }) => found,
            other => panic!("{other:?}"),
        }
    };
    assert!(refused(debian()).contains("has no /sbin/init"));
    assert!(refused(sysvinit()).contains("leads to /usr/sbin/init"));
    let mut dangling = debian();
    link(&mut dangling, "/usr/sbin/init", "/nowhere");
    assert!(refused(dangling).contains("leads to no program"));
}

#[test]
fn what_is_in_the_way_is_named() {
    let refused = |change: &dyn Fn(&mut Fixture)| {
        let mut fixture = Fixture::default();
        change(&mut fixture);
        let mut rootfs = TreeRootfs::new(&mut fixture.tree, &mut fixture.store);
        inject_guest_agents(&mut rootfs, &agents(InitMode::Auto)).unwrap_err().to_string()
    };
    assert_eq!(
        refused(&|f| put(f, "/usr", "x", 0o644)),
        "/usr is no directory, and a directory has to be there"
    );
    assert_eq!(
        refused(&|f| dirs(f, "/usr/local/bin/banger-vsock-agent")),
        "/usr/local/bin/banger-vsock-agent is a directory, and a file has to be there"
    );
    assert!(refused(&|f| link(f, "/dev", "dev")).contains("a symlink in a loop"));
    assert!(refused(&|f| link(f, "/tmp", "../../up")).contains("leads nowhere"));
}

#[test]
fn memory_does_not_grow_with_what_an_image_has() {
    let with_holes = |at: &str| {
        let mut fixture = Fixture::default();
        dirs(&mut fixture, "/etc");
        let size_bytes = 1 << 40;
        let content = fixture.store.begin(LayerIndex(0), size_bytes).unwrap();
        fixture.store.append_hole(content, 1 << 20).unwrap();
        let kind = NodeKind::Regular { size_bytes, content: Some(content) };
        fixture.add(at, kind, mode(0o644));
        fixture
    };
    // None of these is read, and a machine-id is replaced whatever it was.
    for at in ["/etc/hosts", "/etc/hostname", "/etc/machine-id"] {
        let agents = agents(InitMode::Auto);
        let mut fixture = with_holes(at);
        if at == "/etc/hostname" {
            put(&mut fixture, "/etc/hosts", "::1 localhost\n", 0o644);
        }
        injected(fixture, &agents, |rootfs, _| {
            let size = rootfs.stat(&path(at)).unwrap().unwrap().size_bytes;
            assert_eq!(size, if at == "/etc/machine-id" { 0 } else { 1 << 40 });
        });
    }
    for at in ["/etc/os-release", "/etc/inittab"] {
        let mut fixture = with_holes(at);
        busybox_parts(&mut fixture);
        let mut rootfs = TreeRootfs::new(&mut fixture.tree, &mut fixture.store);
        let error = inject_guest_agents(&mut rootfs, &agents(InitMode::Auto)).unwrap_err().to_string();
        assert_eq!(error, format!("{at} is a file of more than a mebibyte, and a text has to be there"));
    }
}

#[test]
fn hostnames_and_hosts_are_filled_only_where_empty() {
    let with_hostname = |hostname: Option<&str>, hosts: Option<&str>| {
        let mut fixture = Fixture::default();
        for (at, text) in [("/etc/hostname", hostname), ("/etc/hosts", hosts)] {
            if let Some(text) = text {
                put(&mut fixture, at, text, 0o640);
            }
        }
        fixture
    };
    for (hostname, hosts, want_hostname, want_hosts) in [
        (None, None, "vm\n", "127.0.1.1\tvm\n"),
        (Some("\n"), Some(" \n"), "vm\n", "127.0.1.1\tvm\n"),
        (Some("kept\n"), None, "kept\n", "127.0.1.1\tkept\n"),
        (Some("kept\n"), Some("1.2.3.4 x\n"), "kept\n", "1.2.3.4 x\n"),
    ] {
        let agents = agents(InitMode::Auto).with_hostname("vm".to_owned());
        injected(with_hostname(hostname, hosts), &agents, |rootfs, _| {
            assert_eq!(text(rootfs, "/etc/hostname"), want_hostname);
            assert!(text(rootfs, "/etc/hosts").contains(want_hosts));
            if hostname.is_some() {
                let found = rootfs.stat(&path("/etc/hostname")).unwrap().unwrap();
                assert_eq!(found.attributes.mode, 0o640, "what was there keeps its permissions");
            }
        });
    }
}

#[test]
fn vsock_is_loaded_only_where_modules_come_in() {
    for (kernel_modules, want) in [(false, false), (true, true)] {
        let agents = agents(InitMode::Auto).with_kernel_modules(kernel_modules);
        injected(debian(), &agents, |rootfs, _| {
            let found = rootfs.stat(&path("/etc/modules-load.d/banger-vsock.conf")).unwrap();
            assert_eq!(found.is_some(), want);
        });
    }
}

#[test]
fn openrc_loads_vsock_by_its_own_list() {
    let module = "vmw_vsock_virtio_transport\n";
    for (list, want) in [(None, module.to_owned()), (Some("af_packet"), format!("af_packet\n{module}"))] {
        let mut fixture = alpine_openrc();
        put(&mut fixture, "/etc/init.d/modules", "#!/sbin/openrc-run\n", 0o755);
        if let Some(list) = list {
            put(&mut fixture, "/etc/modules", list, 0o644);
        }
        let agents = agents(InitMode::Auto).with_kernel_modules(true);
        injected(fixture, &agents, |rootfs, report| {
            assert_eq!(text(rootfs, "/etc/modules"), want);
            let link = rootfs.read_link(&path("/etc/runlevels/boot/modules")).unwrap();
            assert_eq!(link, b"/etc/init.d/modules");
            assert!(report.fixups.iter().any(|fixup| fixup.kind == FixupKind::ModulesLoad));
            let again = inject_guest_agents(rootfs, &agents).unwrap();
            assert!(again.is_unchanged(), "{again:?}");
        });
    }
}

#[test]
fn files_are_merged_through_symlinks() {
    let files = [("6.1/kernel/a.ko", "a"), ("6.1/modules.dep", "dep")];
    let merge = |rootfs: &mut dyn Rootfs| {
        let files = files.iter().map(|(path, bytes)| Ok((*path, Cow::from(bytes.as_bytes()))));
        merge_files::<InjectError>(rootfs, "/lib/modules", Timestamp::from_seconds(7), files)
    };
    injected(debian(), &agents(InitMode::Auto), |rootfs, _| {
        merge(rootfs).unwrap();
        assert_eq!(rootfs.read_link(&path("/lib")).unwrap(), b"usr/lib");
        let found = rootfs.stat(&path("/usr/lib/modules/6.1/kernel/a.ko")).unwrap().unwrap();
        assert_eq!((found.attributes.mode, found.attributes.mtime.seconds), (0o644, 7));
        assert_eq!(text(rootfs, "/lib/modules/6.1/modules.dep"), "dep");
        // A directory in the place of a file is left alone.
        rootfs.remove(&path("/usr/lib/modules/6.1/modules.dep")).unwrap();
        rootfs.create_dir(&path("/usr/lib/modules/6.1/modules.dep"), &Attributes::with_mode(0o755)).unwrap();
        let error = merge(rootfs).unwrap_err().to_string();
        assert_eq!(error, "/usr/lib/modules/6.1/modules.dep is a directory, and a file has to be there");
        let bad = [Ok(("a\0b", Cow::from(&b""[..])))];
        merge_files::<InjectError>(rootfs, "/lib/modules", Timestamp::default(), bad).unwrap_err();
    });
}

#[test]
fn a_first_boot_that_is_done_stays_done_unless_keys_went() {
    injected(debian(), &agents(InitMode::Auto), |rootfs, _| {
        rootfs.remove(&path("/var/lib/banger/first-boot-pending")).unwrap();
        let plain = Attributes::with_mode(0o644);
        rootfs.write_file(&path("/var/lib/banger/first-boot-done"), &mut &b""[..], &plain).unwrap();
        let report = inject_guest_agents(rootfs, &agents(InitMode::Auto)).unwrap();
        assert!(!report.first_boot_pending && report.is_unchanged(), "{report:?}");

        rootfs.create_dir(&path("/etc/ssh"), &Attributes::with_mode(0o755)).unwrap();
        let key = path("/etc/ssh/ssh_host_rsa_key");
        rootfs.write_file(&key, &mut &b"key"[..], &plain).unwrap();
        let report = inject_guest_agents(rootfs, &agents(InitMode::Auto)).unwrap();
        assert!(report.first_boot_pending);
        assert!(rootfs.stat(&key).unwrap().is_none());
    });
}
