//! Boot plans: each monitor's against a committed one, and Firecracker's against its published schema.

use std::path::Path;

use banger_guest::config::NetworkConfig;
use banger_kernel::initramfs::RootDisk;
use banger_kernel::{
    Acceleration, BootPlan, BootPlanError, BootRequest, Kernel, KernelArchitecture, KernelFiles,
    KernelFormat, QemuOptions, RenderedPlan, TapDevice, VerityDisk, Vmm,
};
use banger_testkit::{Skip, require};
use serde_json::Value;

fn amd64(has_pvh_entry: bool, has_bz_image: bool) -> Kernel {
    let files = KernelFiles::new("/kernels/6.1/vmlinux")
        .with_bz_image(has_bz_image.then(|| "/kernels/6.1/bzImage".into()));
    Kernel::new("6.1.0-50-cloud-amd64", KernelArchitecture::Amd64, KernelFormat::Vmlinux, files)
        .with_pvh_entry(has_pvh_entry)
}

fn arm64() -> Kernel {
    let files = KernelFiles::new("/kernels/6.1/Image");
    Kernel::new("6.1.0-50-cloud-arm64", KernelArchitecture::Arm64, KernelFormat::Image, files)
}

/// A request with nothing but a disk.
fn plain(vmm: Vmm) -> BootRequest {
    BootRequest::new(vmm, "/images/web/rootfs.ext4")
}

/// A request with everything.
fn full(vmm: Vmm) -> BootRequest {
    let network = NetworkConfig::default()
        .with_addresses(vec!["10.0.0.2/24".parse().unwrap()])
        .with_gateways(vec!["10.0.0.1".parse().unwrap()])
        .with_dns(vec!["9.9.9.9".parse().unwrap()])
        .with_hostname("web".to_owned());
    plain(vmm)
        .with_cpus(2)
        .with_memory_mib(1024)
        .with_initrd(Some("/kernels/6.1/initrd".into()))
        .with_root("UUID=6a0e1ab5-2f5c-4f5e-9a51-3f4f0f8e2a11".to_owned())
        .with_read_only(true)
        .with_vsock(Some("/run/web/vsock.sock".into()))
        .with_guest_cid(42)
        .with_tap(TapDevice::new("tap0").with_mac("06:00:0a:00:00:02".to_owned()))
        .with_network(network)
        .with_append(vec!["quiet".to_owned()])
}

fn text(plan: &BootPlan) -> String {
    match plan.render() {
        RenderedPlan::Command(words) => words.join("\n") + "\n",
        RenderedPlan::Document(document) => serde_json::to_string_pretty(&document).unwrap() + "\n",
        other => panic!("{other:?}"),
    }
}

#[test]
fn plans_are_the_committed_ones() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boot_plans");
    let mut wrong = Vec::new();
    let mut compare = |name: String, plan: BootPlan| {
        let (found, file) = (text(&plan), dir.join(name + ".txt"));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&file, &found).unwrap();
        }
        if std::fs::read_to_string(&file).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", file.display()));
        }
    };
    for vmm in Vmm::ALL {
        for (name, kernel) in [("amd64", amd64(true, true)), ("arm64", arm64())] {
            if vmm == Vmm::Virtualization && name == "amd64" {
                continue;
            }
            for (size, request) in [("plain", plain(vmm)), ("full", full(vmm))] {
                compare(format!("{vmm}-{name}-{size}"), BootPlan::new(&kernel, &request).unwrap());
            }
        }
    }
    for (name, disk) in [("microvm", RootDisk::VirtioMmio), ("nvme", RootDisk::Nvme)] {
        let options = QemuOptions::default()
            .with_acceleration(Acceleration::Tcg)
            .with_disk(disk)
            .with_agent_port(Some("/run/web/agent.sock".into()));
        let request = plain(Vmm::Qemu).with_qemu(options).with_tap(TapDevice::new("tap0"));
        compare(format!("qemu-amd64-{name}"), BootPlan::new(&amd64(true, true), &request).unwrap());
    }
    let hash = "0a".repeat(32);
    let beside = VerityDisk::beside(hash.as_str(), 262_144, "/images/web/rootfs.verity");
    let verified =
        |vmm| plain(vmm).with_initrd(Some("/cache/initramfs.cpio".into())).with_verity(beside.clone());
    for vmm in Vmm::ALL {
        compare(format!("{vmm}-arm64-verity"), BootPlan::new(&arm64(), &verified(vmm)).unwrap());
    }
    let nvme = verified(Vmm::Qemu).with_qemu(QemuOptions::default().with_disk(RootDisk::Nvme));
    compare("qemu-arm64-verity-nvme".to_owned(), BootPlan::new(&arm64(), &nvme).unwrap());
    let appended = VerityDisk::appended(hash.as_str(), 262_144, 1 << 30);
    let appended = verified(Vmm::Firecracker).with_root("PARTUUID=11-1".to_owned()).with_verity(appended);
    compare("firecracker-arm64-verity-append".to_owned(), BootPlan::new(&arm64(), &appended).unwrap());
    assert!(wrong.is_empty(), "look, then run this test with UPDATE_SNAPSHOTS=1:\n{}", wrong.join("\n"));
}

#[test]
fn a_monitor_gets_a_kernel_that_it_starts() {
    let file = |vmm, kernel: &Kernel| BootPlan::new(kernel, &plain(vmm)).map(|plan| plan.kernel.to_string());
    let vmlinux = Ok("/kernels/6.1/vmlinux".to_owned());
    let bz_image = Ok("/kernels/6.1/bzImage".to_owned());
    for (vmm, has_pvh_entry, has_bz_image, want) in [
        (Vmm::Firecracker, false, false, Some(&vmlinux)),
        (Vmm::Libkrun, false, true, Some(&vmlinux)),
        (Vmm::CloudHypervisor, true, true, Some(&vmlinux)),
        (Vmm::CloudHypervisor, false, true, Some(&bz_image)),
        (Vmm::CloudHypervisor, false, false, None),
        (Vmm::Qemu, true, true, Some(&bz_image)),
        (Vmm::Qemu, true, false, Some(&vmlinux)),
        (Vmm::Qemu, false, false, None),
        (Vmm::Virtualization, true, true, None),
    ] {
        let found = file(vmm, &amd64(has_pvh_entry, has_bz_image));
        match want {
            Some(want) => assert_eq!(found, *want, "{vmm}"),
            None => assert!(matches!(found, Err(BootPlanError::Kernel { .. })), "{vmm}: {found:?}"),
        }
    }
    let error = BootPlan::new(&amd64(false, false), &plain(Vmm::Qemu)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "qemu does not start kernel 6.1.0-50-cloud-amd64 (amd64): its vmlinux has no PVH entry point, and there is \
         no bzImage"
    );
}

#[test]
fn what_a_monitor_cannot_do_is_an_error() {
    let error = |request: BootRequest| BootPlan::new(&amd64(true, true), &request).unwrap_err().to_string();
    for (request, part) in [
        (plain(Vmm::Firecracker).with_cpus(3), "1 or an even number of processors"),
        (plain(Vmm::Firecracker).with_cpus(34), "at most 32"),
        (plain(Vmm::Libkrun).with_cpus(256), "at most 255"),
        (plain(Vmm::Qemu).with_cpus(0), "at least 1"),
        (plain(Vmm::Qemu).with_memory_mib(0), "1 MiB"),
        (plain(Vmm::Qemu).with_guest_cid(2), "vsock"),
        (plain(Vmm::Qemu).with_append(vec!["a\nb".to_owned()]), "control character"),
        (BootRequest::new(Vmm::CloudHypervisor, "/a,readonly=on"), "a comma"),
        (plain(Vmm::Qemu).with_root("UUID=1".to_owned()), "no initrd"),
        (plain(Vmm::Qemu).with_verity(VerityDisk::beside("0a", 1, "/t")), "is not understood"),
        (
            plain(Vmm::Qemu).with_root("LABEL=a:b".to_owned()).with_verity(VerityDisk::beside(
                "0a".repeat(32),
                1,
                "/t",
            )),
            "is not understood",
        ),
        (
            plain(Vmm::CloudHypervisor).with_verity(VerityDisk::beside(
                "0a".repeat(32),
                1,
                "/t,readonly=off",
            )),
            "a comma",
        ),
    ] {
        let message = error(request);
        assert!(message.contains(part), "{message}");
    }
    // The kernel's own initrd knows nothing of dm-verity, and has drivers that nobody else has.
    let mut kernel = arm64();
    kernel.files.initrd = Some("/kernels/6.1/initrd".into());
    let verified = plain(Vmm::Qemu).with_verity(VerityDisk::beside("0a".repeat(32), 1, "/t"));
    let error = BootPlan::new(&kernel, &verified).unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("cannot be verified")), (1295, true));
    assert!(BootPlan::new(&kernel, &verified.with_initrd(Some("/my/initrd".into()))).is_ok());
    let command = BootPlan::new(&amd64(true, true), &BootRequest::new(Vmm::Qemu, "/a,b")).unwrap();
    assert!(text(&command).contains("file=/a,,b\n"));
    assert!("xen".parse::<Vmm>().is_err());
    assert!(Vmm::ALL.into_iter().all(|vmm| vmm.name().parse() == Ok(vmm)));
}

#[test]
fn the_network_comes_out_of_the_command_line_as_it_went_in() {
    let request = full(Vmm::Qemu);
    let plan = BootPlan::new(&amd64(true, true), &request).unwrap();
    let line = banger_guest::config::KernelCommandLine::parse(&plan.command_line);
    assert_eq!(NetworkConfig::from_command_line(&line).unwrap(), request.network);
}

#[test]
fn firecracker_accepts_the_configuration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas/firecracker.yaml");
    let text =
        require!(std::fs::read_to_string(&path).map_err(|_| Skip::optional("no schema of Firecracker")));
    let schema = super::schema::Schema::parse(&text);
    for kernel in [amd64(true, true), arm64()] {
        for request in [plain(Vmm::Firecracker), full(Vmm::Firecracker)] {
            let RenderedPlan::Document(document) = BootPlan::new(&kernel, &request).unwrap().render() else {
                panic!("no document");
            };
            schema.check("FullVmConfiguration", &document).unwrap();
            // The check itself fails where it must.
            for (pointer, value) in [
                ("/boot-source/kernel_image_path", Value::Null),
                ("/drives/0/is_root_device", Value::from("no")),
                ("/machine-config/vcpu_count", Value::from(33)),
            ] {
                let mut wrong = document.clone();
                *wrong.pointer_mut(pointer).unwrap() = value;
                assert!(schema.check("FullVmConfiguration", &wrong).is_err(), "{pointer}");
            }
            let mut wrong = document.clone();
            wrong["boot-source"]["kernel"] = Value::from("k");
            assert!(schema.check("FullVmConfiguration", &wrong).is_err(), "an unknown field");
        }
    }
}
