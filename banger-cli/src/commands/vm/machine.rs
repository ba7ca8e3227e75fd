//! The machine that the arguments describe.

use banger::Acceleration;
use banger::vm::{Machine, VmRequest};

use crate::args::vm::MachineArguments;
use crate::printer::Printer;
use crate::units::Size;

/// Returns the machine of the arguments.
pub(in crate::commands) fn request(arguments: &MachineArguments) -> VmRequest {
    let Size(memory_bytes) = arguments.memory;
    VmRequest::default()
        .with_cpus(arguments.cpus)
        .with_memory_mib(u32::try_from(memory_bytes >> 20).unwrap_or(u32::MAX))
        .with_acceleration(arguments.accel.acceleration())
        .with_boot_timeout(arguments.boot_timeout)
}

/// Tells what makes a machine slow.
pub(in crate::commands) fn log_of_boot(machine: &Machine, printer: &Printer) {
    if machine.acceleration() == Acceleration::Tcg {
        printer.note("KVM does not work here: the machine is emulated, which is slow");
    }
}
