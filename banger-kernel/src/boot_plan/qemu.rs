//! The command of QEMU.

use super::BootPlan;
use crate::kernel::KernelArchitecture;

pub(super) fn command(plan: &BootPlan) -> Vec<String> {
    let (program, machine) = match plan.architecture {
        KernelArchitecture::Amd64 => ("qemu-system-x86_64", "q35"),
        KernelArchitecture::Arm64 => ("qemu-system-aarch64", "virt"),
    };
    let mut command = vec![program.to_owned()];
    let mut option = |name: &str, value: &str| command.extend([format!("-{name}"), value.to_owned()]);
    // A device of another process, such as vsock, shares the memory.
    let shares = plan.vsock.is_some();
    option("machine", &format!("{machine}{}", if shares { ",memory-backend=memory" } else { "" }));
    option("accel", "kvm");
    option("cpu", "host");
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
    option("device", "virtio-blk-pci,drive=rootfs");
    option("device", "virtio-rng-pci");
    if let Some(tap) = &plan.tap {
        option("netdev", &format!("tap,id=net,ifname={},script=no,downscript=no", escape(&tap.name)));
        let mac = tap.mac.iter().map(|mac| format!(",mac={mac}")).collect::<String>();
        // Without it QEMU wants the ROM of a boot from the network.
        option("device", &format!("virtio-net-pci,netdev=net,romfile={mac}"));
    }
    if let Some(socket) = &plan.vsock {
        option("chardev", &format!("socket,id=vsock,path={}", escape(socket.as_str())));
        option("device", "vhost-user-vsock-pci,chardev=vsock");
    }
    option("chardev", "stdio,id=console,signal=off");
    option("serial", "chardev:console");
    option("display", "none");
    // A panic or a reboot ends it.
    command.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(str::to_owned));
    command
}

/// Doubles commas: QEMU reads two as one of the value.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}
