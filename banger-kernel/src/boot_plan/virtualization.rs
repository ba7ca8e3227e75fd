//! Values of the objects of Virtualization, the framework of macOS, by the names of its classes and properties.

use serde_json::{Value, json};

use super::plan::BootPlan;

pub(super) fn configuration(plan: &BootPlan) -> Value {
    let mut configuration = json!({
        "VZVirtualMachineConfiguration": {
            "CPUCount": plan.cpus,
            "memorySize": u64::from(plan.memory_mib) << 20,
            "bootLoader": {"VZLinuxBootLoader": {
                "kernelURL": plan.kernel,
                "initialRamdiskURL": plan.initrd,
                "commandLine": plan.command_line,
            }},
            "storageDevices": [{"VZVirtioBlockDeviceConfiguration": {
                "attachment": {"VZDiskImageStorageDeviceAttachment": {
                    "url": plan.disk,
                    "readOnly": plan.read_only,
                }},
            }}],
            "serialPorts": [{"VZVirtioConsoleDeviceSerialPortConfiguration": {}}],
            "entropyDevices": [{"VZVirtioEntropyDeviceConfiguration": {}}],
        }
    });
    let machine = &mut configuration["VZVirtualMachineConfiguration"];
    if let Some(tree) = plan.verity.as_ref().and_then(|verity| verity.tree.as_ref())
        && let Some(devices) = machine["storageDevices"].as_array_mut()
    {
        devices.push(json!({"VZVirtioBlockDeviceConfiguration": {
            "attachment": {"VZDiskImageStorageDeviceAttachment": {"url": tree, "readOnly": true}},
        }}));
    }
    if plan.vsock.is_some() {
        machine["socketDevices"] = json!([{"VZVirtioSocketDeviceConfiguration": {}}]);
    }
    if plan.tap.is_some() {
        // There are no tap devices: the framework translates addresses itself.
        machine["networkDevices"] = json!([{"VZVirtioNetworkDeviceConfiguration": {
            "attachment": {"VZNATNetworkDeviceAttachment": {}},
        }}]);
    }
    configuration
}
