//! The cases, each with what it shows.

mod bare;
mod check_kernels;
mod checks;
mod clones;
mod commit;
mod first_boot;
mod ground;
mod grow;
mod image_build;
mod initramfs;
mod initramfs_failures;
mod inits;
mod install_init;
mod kills;
mod robustness;
mod small;
mod systemd;
mod verity;
mod vm_run;

use super::bench::Bench;

/// One case; the names of its machines begin with its own.
#[derive(Debug)]
pub(crate) struct Case {
    /// How it is asked for.
    pub(crate) name: &'static str,
    /// What it shows, in one line.
    pub(crate) shows: &'static str,
    /// Does it.
    pub(crate) run: fn(&Bench) -> anyhow::Result<()>,
}

const fn case(name: &'static str, shows: &'static str, run: fn(&Bench) -> anyhow::Result<()>) -> Case {
    Case { name, shows, run }
}

/// All cases, those that take longest first: with two machines at a time none is waited for alone.
pub(crate) const CASES: &[Case] = &[
    case(
        "install-init-cut",
        "an installation of systemd that two power cuts stopped is finished",
        install_init::power_cuts,
    ),
    case(
        "install-init",
        "systemd is installed on the first boot, takes over in it, and is the init of the second",
        install_init::online,
    ),
    case(
        "systemd-first-boot",
        "a unit of systemd installs an ssh server, and a key logs in",
        first_boot::install_under_systemd,
    ),
    case(
        "image-build",
        "an image is built with a package, a file and a variable, and has nothing of the build",
        image_build::build,
    ),
    case(
        "commit",
        "a package that a machine installed before its power was cut is in the container image of its disk",
        commit::package,
    ),
    case("vm-run", "programs of six kinds of images run by one command", vm_run::images),
    case(
        "vm-run-ends",
        "a signal, a killed banger or QEMU, a time limit: no machine is left after the next command",
        vm_run::ends,
    ),
    case(
        "image-build-failures",
        "a failing step and interruptions leave no image and no machine",
        image_build::failures,
    ),
    case("vm-run-options", "files, variables, ports, input, console and a kept disk", vm_run::options),
    case("first-boot-cut", "an installation that a power cut stopped is finished", first_boot::power_cut),
    case(
        "first-boot",
        "an ssh server is installed from a repository, and a key logs in",
        first_boot::install,
    ),
    case("systemd", "no failed unit, units in order, a second boot without a first boot", systemd::run),
    case("clones", "two clones have different machine-ids and host keys", clones::run),
    case("first-boot-offline", "the marker stays, the reason is the network", first_boot::offline),
    case(
        "install-init-offline",
        "without a network no init is installed: the marker stays, agent and shell are there",
        install_init::offline,
    ),
    case(
        "robustness",
        "the agent among malformed frames, 1000 connections and peers that stall",
        robustness::run,
    ),
    case("grow", "the root file system grows online to 4 times its size", grow::run),
    case("bare", "a Debian without any init has network, console shell and agent", bare::run),
    case(
        "initramfs",
        "banger's initramfs finds roots over PCI, MMIO and NVMe, by UUID, LABEL, PARTUUID and device",
        initramfs::run,
    ),
    case(
        "initramfs-failures",
        "without a driver, a root, a writable disk or an init, the reason is shown and the machine goes down",
        initramfs_failures::run,
    ),
    case(
        "checks",
        "what a check of a kernel calls an error does not boot, and what it calls ok does",
        checks::run,
    ),
    case(
        "verity",
        "an image with a hash tree boots and keeps no change; with one bit changed it does not, and says why",
        verity::run,
    ),
    case(
        "kills",
        "disks of killed machines, of 11 formats, are read as e2fsck leaves a copy, and edited without a complaint",
        kills::run,
    ),
    case("openrc", "OpenRC starts the services", inits::openrc),
    case("runit", "runit starts the services", inits::runit),
    case("s6", "s6 starts the services", inits::s6),
    case("busybox-init", "busybox as init starts the services", small::busybox_init),
    case("alpine", "Alpine as it is published boots on a kernel that mounts nothing", small::alpine),
    case("busybox", "busybox without an init has a shell on the console", small::busybox),
    case("scratch", "a static program runs with ENV, USER and WORKDIR; its status arrives", small::scratch),
    case("reboot", "a guest that is told to reboots, with everything on its disk", bare::reboot),
];

/// Cases that run only if they are asked for by their whole name, as what they need is not made by
/// `scripts/make-boot-tools`.
pub(crate) const CASES_BY_NAME: &[Case] = &[case(
    "check-kernels",
    "kernels without one option: an error of the check does not boot, or what it is for does not work",
    check_kernels::run,
)];
