//! The command of QEMU.

use super::plan::{AGENT_PORT, BootPlan};
use super::request::{Acceleration, PortForward, UserNetwork};
use crate::initramfs::RootDisk;
use crate::kernel::KernelArchitecture;

pub(super) fn command(plan: &BootPlan) -> Vec<String> {
    let disk = plan.qemu.disk;
    let (program, machine) = match (plan.architecture, disk) {
        (KernelArchitecture::Amd64, RootDisk::VirtioMmio) => ("qemu-system-x86_64", "microvm"),
        (KernelArchitecture::Amd64, _) => ("qemu-system-x86_64", "q35"),
        (KernelArchitecture::Arm64, _) => ("qemu-system-aarch64", "virt"),
    };
    // Devices other than the disk are on PCI, or on MMIO with it.
    let transport = if disk == RootDisk::VirtioMmio { "device" } else { "pci" };
    let mut command = vec![program.to_owned()];
    let mut option = |name: &str, value: &str| command.extend([format!("-{name}"), value.to_owned()]);
    // A device of another process, such as vsock, shares the memory.
    let shares = plan.vsock.is_some();
    option("machine", &format!("{machine}{}", if shares { ",memory-backend=memory" } else { "" }));
    let (accelerator, cpu) = match plan.qemu.acceleration {
        Acceleration::Kvm => ("kvm", "host"),
        Acceleration::Tcg => ("tcg,thread=multi", "max"),
    };
    option("accel", accelerator);
    option("cpu", cpu);
    option("smp", &plan.cpus.to_string());
    option("m", &format!("{}M", plan.memory_mib));
    if shares {
        option("object", &format!("memory-backend-memfd,id=memory,size={}M,share=on", plan.memory_mib));
    }
    option("kernel", plan.kernel.as_str());
    if let Some(initrd) = &plan.initrd {
        option("initrd", initrd.as_str());
    }
    option("append", &plan.command_line);
    let read_only = if plan.read_only { ",read-only=on" } else { "" };
    option("drive", &format!("if=none,id=rootfs,format=raw,file={}{read_only}", escape(plan.disk.as_str())));
    let tree = plan.verity.as_ref().and_then(|verity| verity.tree.as_ref());
    if let Some(tree) = tree {
        let file = escape(tree.as_str());
        option("drive", &format!("if=none,id=verity,format=raw,file={file},read-only=on"));
    }
    match (disk, tree) {
        (RootDisk::Nvme, None) => option("device", "nvme,drive=rootfs,serial=rootfs"),
        // Two namespaces of one controller: the numbers of controllers depend on which one answers first.
        (RootDisk::Nvme, Some(_)) => {
            option("device", "nvme,id=nvme,serial=rootfs");
            option("device", "nvme-ns,drive=rootfs,bus=nvme,nsid=1");
            option("device", "nvme-ns,drive=verity,bus=nvme,nsid=2");
        }
        (_, tree) => {
            option("device", &format!("virtio-blk-{transport},drive=rootfs"));
            if tree.is_some() {
                option("device", &format!("virtio-blk-{transport},drive=verity"));
            }
        }
    }
    option("device", &format!("virtio-rng-{transport}"));
    let netdev = match (&plan.tap, &plan.qemu.user_network) {
        (Some(tap), _) => Some(format!("tap,id=net,ifname={},script=no,downscript=no", escape(&tap.name))),
        (None, Some(network)) => Some(user_netdev(network)),
        (None, None) => None,
    };
    if let Some(netdev) = netdev {
        option("netdev", &netdev);
        let mac =
            plan.tap.iter().flat_map(|tap| &tap.mac).map(|mac| format!(",mac={mac}")).collect::<String>();
        // Only cards on PCI have a ROM for a boot from the network.
        let rom = if transport == "pci" { ",romfile=" } else { "" };
        option("device", &format!("virtio-net-{transport},netdev=net{rom}{mac}"));
    }
    if let Some(socket) = &plan.vsock {
        option("chardev", &format!("socket,id=vsock,path={}", escape(socket.as_str())));
        option("device", &format!("vhost-user-vsock-{transport},chardev=vsock"));
    }
    if let Some(socket) = &plan.qemu.agent_port {
        let socket = escape(socket.as_str());
        option("chardev", &format!("socket,id=agent,path={socket},server=on,wait=off"));
        option("device", &format!("virtio-serial-{transport}"));
        option("device", &format!("virtserialport,chardev=agent,name={AGENT_PORT}"));
    }
    option("chardev", "stdio,id=console,signal=off");
    option("serial", "chardev:console");
    option("display", "none");
    // A panic or a reboot ends it.
    command.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    command
}

fn user_netdev(network: &UserNetwork) -> String {
    let forwards = network.forwards.iter().map(|forward| {
        let PortForward { host, guest_port } = forward;
        format!(",hostfwd=tcp:{host}-{}:{guest_port}", UserNetwork::ADDRESS)
    });
    // The guest gets no IPv6 address that leads nowhere on hosts without IPv6.
    format!("user,id=net,ipv6=off{}", forwards.collect::<String>())
}

/// Doubles commas: QEMU reads two as one of the value.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}
