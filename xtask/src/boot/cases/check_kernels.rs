//! What `check_kernel` says of kernels that lack an option which Debian's has built in, shown by machines.
//!
//! `scripts/make-check-kernels` compiles these kernels. It takes an hour, so this case runs when it is asked for
//! by its name, and CI leaves it out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use banger::boot::{CheckRequest, Finding, InitramfsOptions, Outcome, Profile, RootDisk, Subject, Vmm};
use banger::{Cancellation, Kernel};
use banger_kernel::initramfs::{ModuleDirectory, make_initramfs};
use banger_kernel::{KernelLimits, KernelSource, PlainFiles, import_kernel};
use banger_testkit::{Image, TAG, tools};
use camino::Utf8PathBuf;
use serde_json::json;

use super::checks::{CheckedBoot, boot, expect};
use crate::boot::bench::Bench;
use crate::boot::guest::ensure_that;
use crate::boot::paths::utf8;
use crate::boot::qemu::Machine;
use crate::boot::{disk, images};

/// How long a machine may take to its goal.
const TIMEOUT: Duration = Duration::from_secs(240);

/// When a machine that does not end hangs: the good ones are up in 25 s.
const HANG: Duration = Duration::from_secs(120);
const SILENCE: Duration = Duration::from_secs(60);

/// What the program of the image says when it runs, and when it has ended.
const UP: &str = "program: it is up";
const DONE: &str = "program: it has ended";

/// What a systemd says that has come up.
const LOGIN: &str = "login:";

/// The kernel that lacks nothing.
const ALL: &str = "all";

/// The kernel without 32-bit programs, NVMe and some features of ext4.
const FEW: &str = "bare-groups";

/// What shows that Docker or k3s can work with an option: a command that succeeds with it alone.
const PROBES: &[(&str, &str)] = &[
    // The mount namespace does not need it.
    ("NAMESPACES", "[ -e /proc/self/ns/time ]"),
    ("NET_NS", "[ -e /proc/self/ns/net ]"),
    ("PID_NS", "[ -e /proc/self/ns/pid ]"),
    ("IPC_NS", "[ -e /proc/self/ns/ipc ]"),
    ("UTS_NS", "[ -e /proc/self/ns/uts ]"),
    ("CGROUP_DEVICE", "$b grep -q ^devices /proc/cgroups"),
    ("CGROUP_PIDS", "$b grep -q ^pids /proc/cgroups"),
    ("MEMCG", "$b grep -q ^memory /proc/cgroups"),
    ("CPUSETS", "$b grep -q ^cpuset /proc/cgroups"),
    ("KEYS", "[ -e /proc/keys ]"),
    ("OVERLAY_FS", "$b grep -q overlay /proc/filesystems"),
    ("VETH", "$b ip link add v0 type veth"),
    ("BRIDGE", "$b ip link add b0 type bridge"),
    ("BRIDGE_NETFILTER", "[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]"),
    ("NF_NAT", "$b grep -q -e MASQUERADE -e DNAT /proc/net/ip_tables_targets"),
    ("NETFILTER_XT_MATCH_ADDRTYPE", "$b grep -q addrtype /proc/net/ip_tables_matches"),
    ("NETFILTER_XT_MATCH_CONNTRACK", "$b grep -q conntrack /proc/net/ip_tables_matches"),
    // A vxlan needs a number, which busybox cannot give: the kernel then says so, or that there is no such kind.
    ("VXLAN", "$b ip link add x0 type vxlan 2>&1 | $b grep -q -v 'not supported'"),
    ("NETFILTER_XT_MATCH_COMMENT", "$b grep -q comment /proc/net/ip_tables_matches"),
    ("NETFILTER_XT_MATCH_MULTIPORT", "$b grep -q multiport /proc/net/ip_tables_matches"),
    ("NETFILTER_XT_MARK", "$b grep -q mark /proc/net/ip_tables_matches"),
    ("NETFILTER_XT_MATCH_STATISTIC", "$b grep -q statistic /proc/net/ip_tables_matches"),
];

/// Kernels that stop a static program, with the option of the error.
const STOP_EVERY_IMAGE: &[(&str, &str)] = &[
    ("no-pci", "PCI"),
    ("no-ext4", "EXT4_FS"),
    ("no-devtmpfs", "DEVTMPFS"),
    ("no-elf", "BINFMT_ELF"),
    ("no-proc", "PROC_FS"),
    ("no-sysfs", "SYSFS"),
    ("no-unix", "UNIX"),
];

/// Kernels that stop systemd, with the option of the error.
const STOP_SYSTEMD: &[(&str, &str)] = &[
    ("no-cgroups", "CGROUPS"),
    ("no-inotify", "INOTIFY_USER"),
    ("no-signalfd", "SIGNALFD"),
    ("no-timerfd", "TIMERFD"),
    ("no-epoll", "EPOLL"),
    ("no-net", "NET"),
    ("no-unix", "UNIX"),
    ("no-tmpfs", "TMPFS"),
];

/// Programs that compress an initrd, as a kernel reads it.
const COMPRESSORS: &[(&str, &[&str])] = &[
    ("RD_BZIP2", &["bzip2"]),
    ("RD_LZMA", &["xz", "--format=lzma"]),
    ("RD_XZ", &["xz", "--check=crc32"]),
    ("RD_LZ4", &["lz4", "-l"]),
    ("RD_LZO", &["lzop"]),
    ("RD_ZSTD", &["zstd"]),
];

/// The kernels and images of the rows.
struct Table<'a> {
    bench: &'a Bench,
    initrd: Utf8PathBuf,
    program: PathBuf,
    systemd: PathBuf,
    failures: Vec<String>,
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table {
        bench,
        initrd: initrd(bench)?,
        program: program(bench)?,
        systemd: bench.pull(Image::DebianSystemd, "check-kernels-systemd", &[])?,
        failures: Vec::new(),
    };
    table.row("good", |table| {
        let boot = table.program_on("good", ALL)?;
        let everything = boot.check.clone().with_profiles(vec![Profile::K3s]);
        expect(&CheckedBoot { check: everything, ..table.program_on("good", ALL)? }, None)?;
        table.probes(&boot, &BTreeSet::new())
    });
    table.row("good systemd", |table| {
        let boot = table.systemd_on("good-systemd", ALL)?;
        expect(&boot, None)?;
        table.comes_up(&boot, LOGIN)
    });
    for (kernel, option) in STOP_EVERY_IMAGE {
        table.row(kernel, |table| table.stays_down(&table.program_on(kernel, kernel)?, option, UP));
    }
    table.row("no-tmpfs, no systemd", |table| {
        table.comes_up_with_a_warning(&table.program_on("tmpfs", "no-tmpfs")?, "TMPFS", UP)
    });
    for (kernel, option) in [("no-fhandle", "FHANDLE"), ("no-eventfd", "EVENTFD")] {
        table.row(kernel, |table| {
            table.comes_up_with_a_warning(&table.systemd_on(kernel, kernel)?, option, LOGIN)
        });
    }
    for (kernel, option) in STOP_SYSTEMD {
        table.row(kernel, |table| table.stays_down(&table.systemd_on(kernel, kernel)?, option, LOGIN));
    }
    // All drivers are built in: a kernel that cannot read the initrd comes up without it. Where they are modules, the
    // case `checks` shows that it does not.
    table.row("no-initrd", |table| {
        let boot = table.program_on("no-initrd", "no-initrd")?;
        table.comes_up_with_a_warning(&boot, "BLK_DEV_INITRD", UP)
    });
    for (option, program) in COMPRESSORS {
        table.row(option, |table| {
            table.shows(&table.compressed(option, program, ALL)?, None)?;
            table.comes_up_with_a_warning(&table.compressed(option, program, "no-rd")?, option, UP)
        });
    }
    table.row("gzip", |table| table.shows(&table.compressed("RD_GZIP", &["gzip"], ALL)?, None));
    table.row("NVMe", |table| {
        for (kernel, fails) in [(ALL, false), (FEW, true)] {
            let boot = table.program_on("nvme", kernel)?;
            let check = boot.check.clone().with_disk(RootDisk::Nvme);
            table.shows(&CheckedBoot { check, ..boot }, fails.then_some("BLK_DEV_NVME"))?;
        }
        Ok(())
    });
    table.row("32 bits", |table| {
        let disk = program_of_32_bits(table.bench)?;
        for (kernel, fails) in [(ALL, false), (FEW, true)] {
            let boot = CheckedBoot { disk: disk.clone(), ..table.program_on("32", kernel)? };
            table.shows(&boot, fails.then_some("architecture"))?;
        }
        Ok(())
    });
    for feature in ["casefold", "project", "quota"] {
        table.row(feature, |table| {
            let disk = with_feature(&table.program, feature)?;
            for (kernel, fails) in [(ALL, false), (FEW, true)] {
                let boot = CheckedBoot { disk: disk.clone(), ..table.program_on(feature, kernel)? };
                table.shows(&boot, fails.then_some(feature))?;
            }
            Ok(())
        });
    }
    table
        .row("an old kernel", |table| table.shows(&on_old_kernel(table.bench, "old", &table.program)?, None));
    table.row("orphan_file", |table| {
        let disk = with_feature(&table.program, "orphan_file")?;
        let boot = CheckedBoot { disk: disk.clone(), ..table.program_on("orphan", ALL)? };
        table.shows(&boot, None)?;
        table.shows(&on_old_kernel(table.bench, "old-orphan", &disk)?, Some("orphan_file"))
    });
    for kernel in ["bare-net", FEW, "no-cgroups"] {
        table.row(kernel, |table| {
            let boot = table.program_on(kernel, kernel)?;
            let check = boot.check.clone().with_profiles(vec![Profile::K3s]);
            let asked = CheckedBoot { check, ..table.program_on(kernel, kernel)? };
            let errors = errors(&asked)?;
            ensure_that!(!errors.is_empty(), "{kernel} has no error");
            table.probes(&boot, &errors)
        });
    }
    match table.failures.is_empty() {
        true => Ok(()),
        false => bail!("{} rows failed:\n{}", table.failures.len(), table.failures.join("\n")),
    }
}

impl Table<'_> {
    /// Runs one row; a failure does not stop the others.
    fn row(&mut self, name: &str, run: impl FnOnce(&Self) -> anyhow::Result<()>) {
        let started = Instant::now();
        let outcome = run(self);
        let seconds = started.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("check-kernels: {name} ... ok ({seconds} s)"),
            Err(error) => {
                println!("check-kernels: {name} ... FAILED ({seconds} s): {error:#}");
                self.failures.push(format!("{name}: {error:#}"));
            }
        }
    }

    fn program_on(&self, name: &'static str, kernel: &str) -> anyhow::Result<CheckedBoot> {
        self.boot(name, kernel, &self.program)
    }

    fn systemd_on(&self, name: &'static str, kernel: &str) -> anyhow::Result<CheckedBoot> {
        self.boot(name, kernel, &self.systemd)
    }

    fn boot(&self, name: &'static str, kernel: &str, disk: &Path) -> anyhow::Result<CheckedBoot> {
        let check = CheckRequest::new(Vmm::Qemu).with_disk(RootDisk::VirtioPci);
        let disk = disk::clone(disk, &format!("check-kernels-{name}-{kernel}"))?;
        let initrd = Some(self.initrd.clone());
        let append = vec!["rootwait=2".to_owned()];
        let mut kernel = import(self.bench, kernel)?;
        kernel.files.initrd.clone_from(&initrd);
        Ok(CheckedBoot { name, kernel, file: None, disk, initrd, check, append })
    }

    /// The boot of the program with a compressed initrd.
    fn compressed(&self, name: &'static str, program: &[&str], kernel: &str) -> anyhow::Result<CheckedBoot> {
        let initrd = self.initrd.with_extension(name);
        let program_path = tools::tool(program[0]).map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
        let status = Command::new(program_path)
            .args(&program[1..])
            .stdin(fs::File::open(&self.initrd)?)
            .stdout(fs::File::create(&initrd)?)
            .stderr(Stdio::inherit())
            .status()?;
        ensure_that!(status.success(), "{program:?}: {status}");
        let mut boot = self.program_on(name, kernel)?;
        boot.kernel.files.initrd = Some(initrd.clone());
        Ok(CheckedBoot { initrd: Some(initrd), ..boot })
    }

    /// Shows that a boot comes up, or that it does not for the error `subject`.
    fn shows(&self, boot: &CheckedBoot, subject: Option<&str>) -> anyhow::Result<()> {
        match subject {
            Some(subject) => self.stays_down(boot, subject, UP),
            None => {
                expect(boot, None)?;
                self.comes_up(boot, UP)
            }
        }
    }

    fn start(&self, boot: &CheckedBoot) -> anyhow::Result<Machine> {
        let name = format!("check-kernels-{}", boot.name);
        self.bench.start_plan(&name, &boot.plan(self.bench)?)
    }

    fn comes_up(&self, boot: &CheckedBoot, up: &str) -> anyhow::Result<()> {
        self.start(boot)?.wait_for(up, TIMEOUT)
    }

    /// Shows that a boot without errors and with the warning `subject` comes up.
    fn comes_up_with_a_warning(&self, boot: &CheckedBoot, subject: &str, up: &str) -> anyhow::Result<()> {
        expect(boot, None)?;
        let is_warned =
            |finding: &Finding| finding.outcome == Outcome::Warning && finding.subject.to_string() == subject;
        let findings = boot.findings()?;
        ensure_that!(findings.iter().any(is_warned), "there is no warning {subject}");
        self.comes_up(boot, up)
    }

    /// Shows that the error `subject` is found, and that the machine does not reach `up`.
    fn stays_down(&self, boot: &CheckedBoot, subject: &str, up: &str) -> anyhow::Result<()> {
        expect(boot, Some(subject))?;
        let mut machine = self.start(boot)?;
        let ended = ends(&mut machine);
        let console = machine.console_text();
        ensure_that!(!console.contains(up), "it came up, and the check has the error {subject}");
        let last: Vec<&str> = console.lines().rev().take(2).collect();
        println!("    {}: {} {last:?}", boot.name, if ended { "it ended:" } else { "it hangs:" });
        Ok(())
    }

    /// Runs the probes: they fail for the options in `errors`, and for no other.
    fn probes(&self, boot: &CheckedBoot, errors: &BTreeSet<String>) -> anyhow::Result<()> {
        let mut machine = self.start(boot)?;
        machine.wait_for(DONE, TIMEOUT)?;
        let console = machine.console_text();
        let failed: BTreeSet<String> = PROBES
            .iter()
            .filter(|(option, _)| !console.contains(&format!("probe {option} works")))
            .map(|(option, _)| (*option).to_owned())
            .collect();
        let known = |name: &&String| PROBES.iter().any(|(option, _)| option == name);
        let expected: BTreeSet<String> = errors.iter().filter(known).cloned().collect();
        ensure_that!(failed == expected, "without {failed:?}, and the errors are {expected:?}");
        Ok(())
    }
}

/// Returns whether a machine ends before it hangs.
fn ends(machine: &mut Machine) -> bool {
    let started = Instant::now();
    let (mut length, mut said) = (0, started);
    while started.elapsed() < HANG && said.elapsed() < SILENCE {
        if machine.wait(Duration::from_secs(1)).is_ok() {
            return true;
        }
        let now = machine.console_text().len();
        if now != length {
            (length, said) = (now, Instant::now());
        }
    }
    false
}

/// The options of the errors of a check.
fn errors(boot: &CheckedBoot) -> anyhow::Result<BTreeSet<String>> {
    let findings = boot.findings()?;
    let errors = findings.into_iter().filter(|finding| finding.outcome == Outcome::Error);
    Ok(errors
        .filter_map(|finding| match finding.subject {
            Subject::Option(names) => Some(names.join("|")),
            _ => None,
        })
        .collect())
}

/// The kernel `name`, imported.
fn import(bench: &Bench, name: &str) -> anyhow::Result<Kernel> {
    let built = built(name)?;
    let files =
        PlainFiles::new(utf8(&built.join("bzImage"))?).with_config(Some(utf8(&built.join("config"))?));
    import_source(bench, name, &KernelSource::Files(&files))
}

/// Imports a kernel into a new directory.
fn import_source(bench: &Bench, name: &str, source: &KernelSource<'_>) -> anyhow::Result<Kernel> {
    let directory = bench.directory().join(format!("check-kernels-{name}.kernel"));
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir(&directory)?;
    let limits = KernelLimits::default();
    let source = std::slice::from_ref(source);
    let imported = import_kernel(source, &utf8(&directory)?, &limits, &|_| {}, &Cancellation::new())?;
    Ok(imported.kernel)
}

/// The boot of a disk with Debian 11's kernel and its modules.
fn on_old_kernel(bench: &Bench, name: &'static str, disk: &Path) -> anyhow::Result<CheckedBoot> {
    let from = utf8(&built("old")?)?;
    let kernel = import_source(bench, name, &KernelSource::Path(&from))?;
    let disk = disk::clone(disk, &format!("check-kernels-{name}"))?;
    boot(bench, name, kernel, &disk, RootDisk::VirtioPci)
}

/// The directory of the kernel `name`.
fn built(name: &str) -> anyhow::Result<PathBuf> {
    let built = tools::cache_dir().join("check-kernels").join(name);
    ensure_that!(built.is_dir(), "there is no kernel {name}: run scripts/make-check-kernels");
    Ok(built)
}

/// The small initramfs, without modules.
fn initrd(bench: &Bench) -> anyhow::Result<Utf8PathBuf> {
    let guest = banger::embedded_guest("amd64").context("no guest binary is embedded")?;
    let empty = bench.directory().join("check-kernels.modules");
    fs::create_dir(&empty)?;
    let drivers = ["virtio_blk", "virtio_pci", "nvme", "ext4"].map(str::to_owned).to_vec();
    let options = InitramfsOptions::default().with_builtin(drivers);
    let made = make_initramfs("6.1.0", &ModuleDirectory::new(empty), guest, &options)?;
    let path = utf8(&bench.directory().join("check-kernels.cpio"))?;
    fs::write(&path, &made.bytes)?;
    Ok(path)
}

/// An image whose program says that it is up, and which probes succeed.
fn program(bench: &Bench) -> anyhow::Result<PathBuf> {
    let layout = bench.directory().join("check-kernels.layout");
    let mut script = format!("b=/busybox; echo {UP};");
    for (option, probe) in PROBES {
        script += &format!("{{ {probe}; }} 2>/dev/null && echo probe {option} works;");
    }
    script += &format!("echo {DONE}");
    images::write_static_program(&layout, json!({"Entrypoint": ["/busybox", "sh", "-c", script]}))?;
    bench.pull_reference(&format!("oci:{}:{TAG}", layout.display()), "check-kernels", &["--size", "64M"])
}

/// An image whose program is for processors of 32 bits, and says that it is up.
fn program_of_32_bits(bench: &Bench) -> anyhow::Result<PathBuf> {
    let layout = bench.directory().join("check-kernels-32.layout");
    images::write_program_of_32_bits(&layout, UP);
    let reference = format!("oci:{}:{TAG}", layout.display());
    let options = ["--size", "64M", "--platform", "linux/386", "--no-inject"];
    bench.pull_reference(&reference, "check-kernels-32", &options)
}

/// A copy of the disk that has a feature of mke2fs.
fn with_feature(disk: &Path, feature: &str) -> anyhow::Result<PathBuf> {
    let copy = disk::clone(disk, &format!("check-kernels-{feature}"))?;
    let tune2fs = tools::tool("tune2fs").map_err(|skip| anyhow::anyhow!("{}", skip.reason()))?;
    let output = Command::new(tune2fs).args(["-O", feature]).arg(&copy).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure_that!(output.status.success(), "tune2fs -O {feature}: {said}");
    Ok(copy)
}
