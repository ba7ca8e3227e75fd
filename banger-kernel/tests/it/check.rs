//! The table of checks: kernels and images, and what is found.

use std::collections::BTreeSet;

use banger_guest::config::BootContract;
use banger_kernel::check::{
    CheckRequest, Finding, GuestFacts, InitrdCompression, KernelConfig, KernelFacts, Outcome, Profile,
    Subject, check_kernel,
};
use banger_kernel::initramfs::RootDisk;
use banger_kernel::{Kernel, KernelArchitecture, KernelFiles, KernelFormat, Vmm};

const RELEASE: &str = "6.1.0-50-cloud-amd64";

/// Options that a kernel for every monitor and profile has.
const GOOD: &[&str] = &[
    "VIRTIO_BLK",
    "BLK_DEV_NVME",
    "RD_GZIP",
    "IA32_EMULATION",
    "PCI",
    "VIRTIO_PCI",
    "VIRTIO_MMIO",
    "VIRTIO_MMIO_CMDLINE_DEVICES",
    "ACPI",
    "EXT4_FS",
    "BLK_DEV_INITRD",
    "DEVTMPFS",
    "BINFMT_ELF",
    "PROC_FS",
    "SYSFS",
    "TMPFS",
    "UNIX",
    "SERIAL_8250_CONSOLE",
    "SERIAL_AMBA_PL011_CONSOLE",
    "VIRTIO_CONSOLE",
    "CGROUPS",
    "INOTIFY_USER",
    "SIGNALFD",
    "TIMERFD",
    "EPOLL",
    "NET",
    "FHANDLE",
    "EVENTFD",
    "VIRTIO_VSOCKETS",
    "VIRTIO_NET",
    "HW_RANDOM_VIRTIO",
    "NAMESPACES",
    "NET_NS",
    "PID_NS",
    "IPC_NS",
    "UTS_NS",
    "CGROUP_DEVICE",
    "CGROUP_PIDS",
    "MEMCG",
    "CPUSETS",
    "KEYS",
    "OVERLAY_FS",
    "BLK_DEV_DM",
    "DM_VERITY",
    "CRYPTO_SHA256",
    "TMPFS_XATTR",
    "VETH",
    "BRIDGE",
    "BRIDGE_NETFILTER",
    "NF_NAT",
    "NETFILTER_XT_MATCH_ADDRTYPE",
    "NETFILTER_XT_MATCH_CONNTRACK",
    "VXLAN",
    "NETFILTER_XT_MATCH_COMMENT",
    "NETFILTER_XT_MATCH_MULTIPORT",
    "NETFILTER_XT_MARK",
    "NETFILTER_XT_MATCH_STATISTIC",
    "UNICODE",
    "QUOTA",
    "QFMT_V2",
];

/// One row: changes of a good case.
struct Case {
    kernel: Kernel,
    facts: KernelFacts,
    guest: GuestFacts,
    request: CheckRequest,
}

impl Case {
    fn good() -> Self {
        let files = KernelFiles::new("/k/vmlinux").with_bz_image(Some("/k/bzImage".into()));
        let kernel = Kernel::new(RELEASE, KernelArchitecture::Amd64, KernelFormat::Vmlinux, files);
        let config: String = GOOD.iter().map(|name| format!("CONFIG_{name}=y\n")).collect();
        Self {
            kernel: kernel.with_pvh_entry(true),
            facts: KernelFacts::new(RELEASE).with_config(KernelConfig::parse(&config)),
            guest: GuestFacts::default()
                .with_architecture("amd64".to_owned())
                .with_init(true)
                .with_contract(BootContract::Systemd)
                .with_features(["has_journal", "64bit", "metadata_csum"].map(str::to_owned).to_vec()),
            request: CheckRequest::new(Vmm::Qemu).with_profiles(vec![Profile::K3s]),
        }
    }

    fn verified(mut self) -> Self {
        self.request.verity = true;
        self
    }

    /// Gives options other values: `NAME=m`, or `NAME` for one that is gone.
    fn options(mut self, changes: &str) -> Self {
        let mut config: String = GOOD.iter().map(|name| format!("CONFIG_{name}=y\n")).collect();
        for change in changes.split(' ') {
            let name = change.split('=').next().unwrap();
            assert!(GOOD.contains(&name), "{name} is no option of the good kernel");
            config = config.replace(&format!("CONFIG_{name}=y\n"), "");
            if change.contains('=') {
                config += &format!("CONFIG_{change}\n");
            }
        }
        self.facts.config = Some(KernelConfig::parse(&config));
        self
    }

    fn on(mut self, disk: RootDisk) -> Self {
        self.request.disk = Some(disk);
        self
    }

    fn compressed(mut self, compression: InitrdCompression) -> Self {
        self.request.initrd_compression = Some(compression);
        self
    }

    fn of_architecture(mut self, architecture: &str) -> Self {
        self.guest.architecture = Some(architecture.to_owned());
        self
    }

    fn vmm(mut self, vmm: Vmm) -> Self {
        self.request.vmm = vmm;
        self
    }

    fn without_initrd(mut self) -> Self {
        self.request.initrd = false;
        self
    }

    fn modules(mut self, names: &str) -> Self {
        self.facts.modules = Some(names.split(' ').map(str::to_owned).collect());
        self
    }

    fn in_image(mut self, release: &str) -> Self {
        self.guest.module_releases = vec![release.to_owned()];
        self
    }

    fn contract(mut self, contract: BootContract) -> Self {
        self.guest.contract = Some(contract);
        self
    }

    fn feature(mut self, name: &str) -> Self {
        self.guest.features.push(name.to_owned());
        self
    }

    fn release(mut self, release: &str) -> Self {
        self.kernel.release = release.to_owned();
        self.facts.release = release.to_owned();
        self
    }

    fn config_unknown(mut self) -> Self {
        self.facts.config = None;
        self
    }

    fn builtin(mut self, names: &str) -> Self {
        self.facts.builtin = Some(names.split(' ').map(str::to_owned).collect());
        self
    }

    fn kernel(mut self, change: impl FnOnce(&mut Kernel)) -> Self {
        change(&mut self.kernel);
        self
    }

    fn arm64(self) -> Self {
        let mut case = self.kernel(|kernel| {
            kernel.architecture = KernelArchitecture::Arm64;
            kernel.format = KernelFormat::Image;
        });
        case.guest.architecture = Some("arm64".to_owned());
        case
    }

    fn findings(&self) -> Vec<Finding> {
        check_kernel(&self.kernel, &self.facts, &self.guest, &self.request)
    }
}

/// What is found besides "ok": the outcome, and the subject as a word.
fn complaints(findings: &[Finding]) -> BTreeSet<(String, String)> {
    let word = |finding: &Finding| match &finding.subject {
        Subject::Option(names) => names.join("|"),
        Subject::Feature(name) => name.clone(),
        Subject::Architecture => "architecture".to_owned(),
        Subject::Format => "format".to_owned(),
        Subject::Init => "init".to_owned(),
        Subject::Modules => "modules".to_owned(),
        other => panic!("{other:?}"),
    };
    let bad = findings.iter().filter(|finding| finding.outcome != Outcome::Ok);
    bad.map(|finding| (finding.outcome.to_string(), word(finding))).collect()
}

#[test]
fn rows() {
    let good = Case::good;
    let rows: Vec<(&str, Case, &str)> = vec![
        ("good", good(), ""),
        ("good for Firecracker", good().vmm(Vmm::Firecracker), ""),
        ("good for Cloud Hypervisor", good().vmm(Vmm::CloudHypervisor), ""),
        ("good for libkrun", good().vmm(Vmm::Libkrun), ""),
        ("good on arm64", good().arm64(), ""),
        ("good for Virtualization", good().arm64().vmm(Vmm::Virtualization), ""),
        ("arm64 kernel", good().kernel(|k| k.architecture = KernelArchitecture::Arm64), "error architecture"),
        (
            "no architecture",
            {
                let mut c = good();
                c.guest.architecture = None;
                c
            },
            "unknown architecture",
        ),
        ("amd64 for Virtualization", good().vmm(Vmm::Virtualization), "error format"),
        ("no PVH note, bzImage", good().vmm(Vmm::CloudHypervisor).kernel(|k| k.has_pvh_entry = false), ""),
        (
            "no PVH note",
            good().kernel(|k| {
                k.has_pvh_entry = false;
                k.files.bz_image = None;
            }),
            "error format",
        ),
        (
            "no PVH note, Firecracker",
            good().vmm(Vmm::Firecracker).kernel(|k| {
                k.has_pvh_entry = false;
                k.files.bz_image = None;
            }),
            "",
        ),
        ("no virtio_blk", good().options("VIRTIO_BLK"), "error VIRTIO_BLK"),
        (
            "virtio_blk in the initrd",
            good().options("VIRTIO_BLK=m").modules("virtio_blk").in_image(RELEASE),
            "",
        ),
        (
            "virtio_blk without an initrd",
            good().options("VIRTIO_BLK=m").modules("virtio_blk").in_image(RELEASE).without_initrd(),
            "error VIRTIO_BLK",
        ),
        ("virtio_blk without modules", good().options("VIRTIO_BLK=m"), "error VIRTIO_BLK"),
        ("no PCI", good().options("PCI"), "error PCI"),
        ("no PCI for Firecracker", good().options("PCI VIRTIO_PCI").vmm(Vmm::Firecracker), ""),
        ("no MMIO for Firecracker", good().options("VIRTIO_MMIO").vmm(Vmm::Firecracker), "error VIRTIO_MMIO"),
        ("no MMIO for QEMU", good().options("VIRTIO_MMIO"), ""),
        ("devices by ACPI", good().options("VIRTIO_MMIO_CMDLINE_DEVICES").vmm(Vmm::Firecracker), ""),
        (
            "no way to tell devices",
            good().options("VIRTIO_MMIO_CMDLINE_DEVICES ACPI").vmm(Vmm::Firecracker),
            "error VIRTIO_MMIO_CMDLINE_DEVICES|ACPI|OF",
        ),
        ("no ext4", good().options("EXT4_FS"), "error EXT4_FS"),
        ("no initrd support", good().options("BLK_DEV_INITRD"), "warning BLK_DEV_INITRD"),
        (
            "drivers in an initrd that the kernel does not read",
            good().options("BLK_DEV_INITRD VIRTIO_BLK=m").modules("virtio_blk").in_image(RELEASE),
            "error VIRTIO_BLK, warning BLK_DEV_INITRD",
        ),
        (
            "drivers in an initrd of an unknown compression",
            good()
                .options("VIRTIO_BLK=m")
                .modules("virtio_blk")
                .in_image(RELEASE)
                .compressed(InitrdCompression::Zstd),
            "error VIRTIO_BLK, warning RD_ZSTD",
        ),
        ("no initrd support, no initrd", good().options("BLK_DEV_INITRD").without_initrd(), ""),
        ("an initrd in zstd", good().compressed(InitrdCompression::Zstd), "warning RD_ZSTD"),
        ("an initrd in gzip", good().compressed(InitrdCompression::Gzip), ""),
        ("programs of 32 bits", good().of_architecture("386"), ""),
        (
            "programs of 32 bits, kernel without them",
            good().options("IA32_EMULATION").of_architecture("386"),
            "error architecture",
        ),
        ("programs of another processor", good().of_architecture("s390x"), "error architecture"),
        (
            "no init",
            {
                let mut c = good();
                c.guest.init = Some(false);
                c
            },
            "error init",
        ),
        ("NVMe", good().on(RootDisk::Nvme), ""),
        ("no NVMe", good().options("BLK_DEV_NVME VIRTIO_BLK").on(RootDisk::Nvme), "error BLK_DEV_NVME"),
        (
            "a microvm without MMIO",
            good().options("VIRTIO_MMIO").on(RootDisk::VirtioMmio),
            "error VIRTIO_MMIO",
        ),
        (
            "systemd to come",
            {
                let mut c = good().options("EPOLL").contract(BootContract::Banger);
                c.request.profiles = vec![Profile::Systemd];
                c
            },
            "error EPOLL",
        ),
        ("no devtmpfs", good().options("DEVTMPFS"), "error DEVTMPFS"),
        ("no tmpfs for systemd", good().options("TMPFS"), "error TMPFS"),
        (
            "no tmpfs, no systemd",
            {
                let mut c = good().options("TMPFS").contract(BootContract::Banger);
                c.request.profiles.clear();
                c
            },
            "warning TMPFS",
        ),
        ("no Unix sockets", good().options("UNIX"), "error UNIX"),
        ("no ELF", good().options("BINFMT_ELF"), "error BINFMT_ELF"),
        ("no serial console", good().options("SERIAL_8250_CONSOLE"), "warning SERIAL_8250_CONSOLE"),
        (
            "no serial console on arm64",
            good().options("SERIAL_AMBA_PL011_CONSOLE").arm64(),
            "warning SERIAL_AMBA_PL011_CONSOLE",
        ),
        ("no virtio console", good().options("VIRTIO_CONSOLE").vmm(Vmm::Libkrun), "warning VIRTIO_CONSOLE"),
        (
            "systemd without cgroups",
            good().options("CGROUPS").contract(BootContract::Systemd),
            "error CGROUPS",
        ),
        (
            "no cgroups, no systemd",
            {
                let mut c = good().options("CGROUPS").contract(BootContract::Banger);
                c.request.profiles.clear();
                c
            },
            "",
        ),
        ("systemd without fhandle", good().options("FHANDLE"), "warning FHANDLE"),
        ("systemd without eventfd", good().options("EVENTFD"), "warning EVENTFD"),
        ("openrc without fhandle", good().options("FHANDLE").contract(BootContract::Openrc), ""),
        ("no vsock", good().options("VIRTIO_VSOCKETS"), "warning VIRTIO_VSOCKETS"),
        (
            "vsock as a module of the image",
            good().options("VIRTIO_VSOCKETS=m").modules("vmw_vsock_virtio_transport").in_image(RELEASE),
            "",
        ),
        (
            "vsock as a module that is not in the image",
            good().options("VIRTIO_VSOCKETS=m").modules("vmw_vsock_virtio_transport"),
            "warning VIRTIO_VSOCKETS, warning modules",
        ),
        (
            "modules of another kernel",
            good().modules("virtio_net").in_image("5.10.0-1-amd64"),
            "warning modules",
        ),
        ("no network card", good().options("VIRTIO_NET"), "warning VIRTIO_NET"),
        ("metadata_csum, old kernel", good().release("3.2.0-4-amd64"), "error metadata_csum"),
        (
            "orphan_file, old kernel",
            good().feature("orphan_file").release("5.10.0-1-amd64"),
            "error orphan_file",
        ),
        ("orphan_file", good().feature("orphan_file"), ""),
        ("shared blocks", good().feature("shared_blocks"), "error shared_blocks"),
        (
            "shared blocks, read-only",
            {
                let mut c = good().feature("shared_blocks");
                c.request.read_only = true;
                c
            },
            "",
        ),
        ("a feature without a name", good().feature("FEATURE_R20"), "unknown FEATURE_R20"),
        ("casefold without Unicode", good().options("UNICODE").feature("casefold"), "error casefold"),
        ("casefold", good().feature("casefold"), ""),
        ("quotas without their format", good().options("QFMT_V2").feature("quota"), "error quota"),
        ("quotas whose format is a module", good().options("QFMT_V2=m").feature("quota"), "error quota"),
        ("projects without quotas", good().options("QUOTA").feature("project"), "error project"),
        (
            "projects without the format of quotas",
            good().options("QFMT_V2").feature("project"),
            "error project",
        ),
        ("projects, the format is a module", good().options("QFMT_V2=m").feature("project"), ""),
        ("a release that is none", good().release("custom"), "unknown 64bit, unknown metadata_csum"),
        ("docker without overlay", good().options("OVERLAY_FS"), "error OVERLAY_FS"),
        ("docker without bridge and veth", good().options("BRIDGE VETH"), "error BRIDGE, error VETH"),
        ("docker without memory controller", good().options("MEMCG"), "error MEMCG"),
        (
            "no overlay, no docker",
            {
                let mut c = good().options("OVERLAY_FS");
                c.request.profiles.clear();
                c
            },
            "",
        ),
        ("verified", good().verified(), ""),
        ("verified, without dm-verity", good().options("DM_VERITY").verified(), "error DM_VERITY"),
        ("not verified, without dm-verity", good().options("DM_VERITY BLK_DEV_DM CRYPTO_SHA256"), ""),
        (
            "verified, without overlay and device mapper",
            good().options("OVERLAY_FS BLK_DEV_DM").verified(),
            "error BLK_DEV_DM, error OVERLAY_FS",
        ),
        (
            "verified, without hash",
            good().options("CRYPTO_SHA256").verified(),
            "error CRYPTO_SHA256|CRYPTO_LIB_SHA256",
        ),
        (
            "verified, dm-verity as a module of the initramfs",
            good().options("DM_VERITY=m").modules("dm_verity").in_image(RELEASE).verified(),
            "",
        ),
        ("verified, a module without modules", good().options("DM_VERITY=m").verified(), "error DM_VERITY"),
        ("verified, without initrd", good().options("BLK_DEV_INITRD").verified(), "error BLK_DEV_INITRD"),
        (
            "verified, tmpfs without attributes",
            good().options("TMPFS_XATTR").verified(),
            "warning TMPFS_XATTR",
        ),
        ("k3s without vxlan", good().options("VXLAN"), "error VXLAN"),
        (
            "docker without vxlan",
            {
                let mut c = good().options("VXLAN");
                c.request.profiles = vec![Profile::Docker];
                c
            },
            "",
        ),
    ];
    assert!(rows.len() >= 40, "{} rows", rows.len());
    for (name, case, want) in rows {
        let findings = case.findings();
        let want: BTreeSet<(String, String)> = want
            .split(", ")
            .filter_map(|words| words.split_once(' '))
            .map(|(outcome, subject)| (outcome.to_owned(), subject.to_owned()))
            .collect();
        assert_eq!(complaints(&findings), want, "{name}: {findings:#?}");
    }
}

#[test]
fn nothing_known_is_never_ok() {
    let findings = Case::good().config_unknown().findings();
    for finding in &findings {
        if matches!(finding.subject, Subject::Option(_)) {
            assert_eq!(finding.outcome, Outcome::Unknown, "{finding:?}");
        }
    }
    // The list of what is built in tells of drivers only.
    let case =
        Case::good().config_unknown().builtin("virtio_blk ext4").modules("virtio_pci").in_image(RELEASE);
    let outcome = |name: &str| {
        let findings = case.findings();
        let found =
            findings.iter().find(|finding| finding.subject == Subject::Option(vec![static_name(name)]));
        found.map(|finding| finding.outcome)
    };
    assert_eq!(outcome("VIRTIO_BLK"), Some(Outcome::Ok));
    assert_eq!(outcome("VIRTIO_PCI"), Some(Outcome::Ok));
    assert_eq!(outcome("DEVTMPFS"), Some(Outcome::Unknown));
    assert_eq!(outcome("VIRTIO_NET"), Some(Outcome::Unknown));
}

fn static_name(name: &str) -> &'static str {
    GOOD.iter().find(|other| **other == name).unwrap()
}

#[test]
fn names_come_out_of_lists_of_modules() {
    let names = KernelFacts::module_names(
        "kernel/drivers/block/virtio_blk.ko\nkernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz\nkernel/net/vmw-vsock.ko.zst:\n\nno\n",
    );
    assert_eq!(names, ["ext4", "virtio_blk", "vmw_vsock"].map(str::to_owned).into());
}
