//! Checks whether a kernel can start an image: before the boot, and with the reason.
//!
//! What a kernel has is told by its `.config`, or else by `modules.builtin` and its modules. Where neither tells it,
//! the answer is [`Outcome::Unknown`], never [`Outcome::Ok`].

mod config;
mod ext4;
mod facts;
mod finding;
mod needs;
mod profile;

use crate::boot_plan::{Vmm, kernel_file};
use crate::kernel::Kernel;

pub use config::{KernelConfig, OptionValue};
pub use facts::{GuestFacts, KernelFacts};
pub use finding::{Finding, Outcome, Subject};
pub use profile::Profile;

use facts::Presence;
use needs::Need;

/// What a check is made for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckRequest {
    /// The virtual machine monitor that starts the kernel.
    pub vmm: Vmm,
    /// What the guest is to do.
    pub profiles: Vec<Profile>,
    /// Whether the kernel is started with an initrd: the small one of banger, or the kernel's own.
    pub initrd: bool,
}

impl CheckRequest {
    /// Returns a check for a boot by `vmm` with an initrd, and without a particular use.
    pub fn new(vmm: Vmm) -> Self {
        Self { vmm, profiles: Vec::new(), initrd: true }
    }
}

banger_tree::setters! {
    CheckRequest {
        with_profiles => profiles: Vec<Profile>,
        with_initrd => initrd: bool,
    }
}

/// Checks whether `kernel` can start an image, most important first. Every check gives one finding.
pub fn check_kernel(
    kernel: &Kernel,
    facts: &KernelFacts,
    guest: &GuestFacts,
    request: &CheckRequest,
) -> Vec<Finding> {
    let mut findings = vec![architecture(kernel, guest), format(kernel, request.vmm)];
    let modules_load = request.initrd && facts.has_modules();
    let needs = needs::of(kernel.architecture, guest.contract, request);
    findings.extend(needs.iter().map(|need| option(need, facts, guest, modules_load)));
    findings.extend(ext4::check(kernel, facts, guest));
    findings.push(modules(kernel, facts, guest));
    findings
}

fn architecture(kernel: &Kernel, guest: &GuestFacts) -> Finding {
    match guest.architecture {
        None => Finding::unknown(Subject::Architecture, "the architecture of the image is not known"),
        Some(found) if found == kernel.architecture => {
            Finding::ok(Subject::Architecture, format!("kernel and image are for {found}"))
        }
        Some(found) => Finding::error(
            Subject::Architecture,
            format!("the kernel is for {} and the image for {found}", kernel.architecture),
        ),
    }
}

fn format(kernel: &Kernel, vmm: Vmm) -> Finding {
    match kernel_file(kernel, vmm) {
        Ok((file, _)) => {
            Finding::ok(Subject::Format, format!("{vmm} starts {}", file.file_name().unwrap_or("it")))
        }
        Err(error) => Finding::error(Subject::Format, error.to_string()),
    }
}

/// Checks one need; alternatives of it count.
fn option(need: &Need, facts: &KernelFacts, guest: &GuestFacts, modules_load: bool) -> Finding {
    let subject = Subject::Option(need.names());
    let presences: Vec<(Presence, &str)> =
        need.options.iter().map(|option| (facts.presence(option), option.name)).collect();
    let has = |wanted| presences.iter().find(|(presence, _)| *presence == wanted).map(|(_, name)| *name);
    if let Some(name) = has(Presence::BuiltIn) {
        return Finding::ok(subject, format!("CONFIG_{name} is built in: {}", need.purpose));
    }
    if let Some(name) = has(Presence::Module) {
        let is_loaded = match need.time {
            needs::Time::Start => false,
            needs::Time::Root => modules_load,
            // Modules load after the root is mounted: from there.
            needs::Time::Later => guest.has_modules_of(&facts.release),
        };
        return match is_loaded {
            true => Finding::ok(subject, format!("CONFIG_{name} is a module: {}", need.purpose)),
            false => need.missing(subject, &format!("CONFIG_{name} is a module that nothing loads in time")),
        };
    }
    match has(Presence::Unknown) {
        Some(name) => Finding::unknown(
            subject,
            format!("whether the kernel has CONFIG_{name} is not known: {}", need.purpose),
        ),
        None => need.missing(subject, &format!("the kernel does not have {}", need.names_text())),
    }
}

fn modules(kernel: &Kernel, facts: &KernelFacts, guest: &GuestFacts) -> Finding {
    let release = &kernel.release;
    if guest.has_modules_of(release) {
        return Finding::ok(Subject::Modules, format!("the image has the modules of {release}"));
    }
    match (facts.has_modules(), guest.module_releases.first()) {
        (false, _) => Finding::ok(Subject::Modules, "the kernel has no modules".to_owned()),
        (true, Some(other)) => Finding::warning(
            Subject::Modules,
            format!("the image has modules of {other}, and the kernel is {release}: they do not load"),
        ),
        (true, None) => Finding::warning(
            Subject::Modules,
            format!(
                "the image has no modules of {release}: drivers that the initrd does not load are missing"
            ),
        ),
    }
}
