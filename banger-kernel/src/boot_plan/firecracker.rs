//! Firecracker's configuration file, as its API schema has it.

use serde_json::{Value, json};

use super::plan::BootPlan;

pub(super) fn configuration(plan: &BootPlan) -> Value {
    let mut configuration = json!({
        "boot-source": {"kernel_image_path": plan.kernel, "boot_args": plan.command_line},
        "drives": [{
            "drive_id": "rootfs",
            "path_on_host": plan.disk,
            // True would add a second `root=` to the command line.
            "is_root_device": false,
            "is_read_only": plan.read_only,
        }],
        "machine-config": {"vcpu_count": plan.cpus, "mem_size_mib": plan.memory_mib},
        // Without it a guest waits for its first random bytes.
        "entropy": {},
    });
    if let Some(tree) = plan.verity.as_ref().and_then(|verity| verity.tree.as_ref())
        && let Some(drives) = configuration["drives"].as_array_mut()
    {
        drives.push(json!({
            "drive_id": "verity",
            "path_on_host": tree,
            "is_root_device": false,
            "is_read_only": true,
        }));
    }
    if let Some(initrd) = &plan.initrd {
        configuration["boot-source"]["initrd_path"] = json!(initrd);
    }
    if let Some(socket) = &plan.vsock {
        configuration["vsock"] = json!({"guest_cid": plan.guest_cid, "uds_path": socket});
    }
    if let Some(tap) = &plan.tap {
        let mut card = json!({"iface_id": "eth0", "host_dev_name": tap.name});
        if let Some(mac) = &tap.mac {
            card["guest_mac"] = json!(mac);
        }
        configuration["network-interfaces"] = json!([card]);
    }
    configuration
}
