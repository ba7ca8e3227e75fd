//! The command of Cloud Hypervisor.

use super::plan::BootPlan;

pub(super) fn command(plan: &BootPlan) -> Vec<String> {
    let mut command = vec!["cloud-hypervisor".to_owned()];
    let mut option = |name: &str, value: String| command.extend([format!("--{name}"), value]);
    option("kernel", plan.kernel.to_string());
    if let Some(initrd) = &plan.initrd {
        option("initramfs", initrd.to_string());
    }
    option("cmdline", plan.command_line.clone());
    let readonly = if plan.read_only { ",readonly=on" } else { "" };
    // It guesses the type of an image no longer.
    option("disk", format!("path={},image_type=raw{readonly}", plan.disk));
    if let Some(tree) = plan.verity.as_ref().and_then(|verity| verity.tree.as_ref()) {
        // One option has all disks.
        command.push(format!("path={tree},image_type=raw,readonly=on"));
    }
    let mut option = |name: &str, value: String| command.extend([format!("--{name}"), value]);
    option("cpus", format!("boot={}", plan.cpus));
    option("memory", format!("size={}M", plan.memory_mib));
    if let Some(tap) = &plan.tap {
        let mac = tap.mac.iter().map(|mac| format!(",mac={mac}")).collect::<String>();
        option("net", format!("tap={}{mac}", tap.name));
    }
    if let Some(socket) = &plan.vsock {
        option("vsock", format!("cid={},socket={socket}", plan.guest_cid));
    }
    option("serial", "tty".to_owned());
    option("console", "off".to_owned());
    command
}
