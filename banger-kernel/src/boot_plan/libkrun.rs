//! Values of libkrun's calls, by the names of calls and parameters in `libkrun.h`.

use serde_json::{Value, json};

use super::plan::{BootFormat, BootPlan};

/// `KRUN_KERNEL_FORMAT_RAW`.
const FORMAT_RAW: u32 = 0;
/// `KRUN_KERNEL_FORMAT_ELF`.
const FORMAT_ELF: u32 = 1;
/// `KRUN_DISK_FORMAT_RAW`.
const DISK_RAW: u32 = 0;

pub(super) fn calls(plan: &BootPlan) -> Value {
    let kernel_format = match plan.kernel_format {
        BootFormat::Vmlinux => FORMAT_ELF,
        BootFormat::BzImage | BootFormat::Image => FORMAT_RAW,
    };
    let mut calls = vec![
        json!({"krun_set_vm_config": {"num_vcpus": plan.cpus, "ram_mib": plan.memory_mib}}),
        json!({"krun_set_kernel": {
            "kernel_path": plan.kernel,
            "kernel_format": kernel_format,
            "initramfs": plan.initrd,
            "cmdline": plan.command_line,
        }}),
        json!({"krun_add_disk2": {
            "block_id": "rootfs",
            "disk_path": plan.disk,
            "disk_format": DISK_RAW,
            "read_only": plan.read_only,
        }}),
    ];
    if let Some(tree) = plan.verity.as_ref().and_then(|verity| verity.tree.as_ref()) {
        calls.push(json!({"krun_add_disk2": {
            "block_id": "verity",
            "disk_path": tree,
            "disk_format": DISK_RAW,
            "read_only": true,
        }}));
    }
    if let Some(tap) = &plan.tap {
        calls.push(json!({"krun_add_net_tap": {"c_tap_name": tap.name, "c_mac": tap.mac}}));
    }
    if let Some(socket) = &plan.vsock {
        let port = banger_guest::protocol::DEFAULT_PORT;
        calls.push(json!({"krun_add_vsock_port2": {"port": port, "c_filepath": socket, "listen": true}}));
    }
    json!({"calls": calls})
}
