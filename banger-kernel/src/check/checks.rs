//! The checks, one finding each.

use super::ext4;
use super::facts::{GuestFacts, KernelFacts, Presence};
use super::finding::{Finding, Subject};
use super::need::{Need, Time};
use super::needs;
use super::option::KernelOption;
use super::request::CheckRequest;
use crate::boot_plan::{Vmm, kernel_file};
use crate::kernel::{Kernel, KernelArchitecture};

/// Checks whether `kernel` can start an image, most important first. Every check gives one finding.
pub fn check_kernel(
    kernel: &Kernel,
    facts: &KernelFacts,
    guest: &GuestFacts,
    request: &CheckRequest,
) -> Vec<Finding> {
    let mut findings =
        vec![architecture(kernel, facts, guest), format(kernel, request.vmm), init(guest, request)];
    let modules_load = reads_initrd(facts, request) && facts.has_modules();
    let needs = needs::of(kernel.architecture, guest.contract, request);
    findings.extend(needs.iter().map(|need| option(need, facts, guest, modules_load)));
    findings.extend(ext4::check(kernel, facts, guest, request));
    findings.push(modules(kernel, facts, guest));
    findings
}

/// Returns whether the kernel reads the initrd of the boot, as far as that is known.
fn reads_initrd(facts: &KernelFacts, request: &CheckRequest) -> bool {
    let is_there = |option: &KernelOption| facts.presence(option) != Presence::Absent;
    request.initrd && needs::of_initrd(request).iter().all(|need| need.options.iter().any(is_there))
}

fn architecture(kernel: &Kernel, facts: &KernelFacts, guest: &GuestFacts) -> Finding {
    let Some(found) = guest.architecture.as_deref() else {
        return Finding::unknown(Subject::Architecture, "the architecture of the image is not known");
    };
    let both = format!("the kernel is for {} and the image for {found}", kernel.architecture);
    // Programs of 32 bits run on some kernels of 64 bits.
    let option = match (kernel.architecture, found) {
        (own, found) if own.name() == found => {
            return Finding::ok(Subject::Architecture, format!("kernel and image are for {found}"));
        }
        (KernelArchitecture::Amd64, "386") => "IA32_EMULATION",
        (KernelArchitecture::Arm64, "arm") => "COMPAT",
        _ => return Finding::error(Subject::Architecture, both),
    };
    match facts.presence(&KernelOption::yes(option)) {
        Presence::BuiltIn => Finding::ok(Subject::Architecture, format!("{both}: CONFIG_{option} runs it")),
        Presence::Unknown => Finding::unknown(
            Subject::Architecture,
            format!("{both}, and whether the kernel has CONFIG_{option} is not known"),
        ),
        _ => Finding::error(
            Subject::Architecture,
            format!("{both}, and the kernel does not have CONFIG_{option}"),
        ),
    }
}

fn init(guest: &GuestFacts, request: &CheckRequest) -> Finding {
    let name = request.init.as_deref().unwrap_or("init");
    match guest.init {
        None => Finding::unknown(Subject::Init, format!("whether the image has {name} is not known")),
        Some(true) => Finding::ok(Subject::Init, format!("the kernel starts {name} of the image")),
        Some(false) => {
            Finding::error(Subject::Init, format!("the image has no {name} that the kernel could start"))
        }
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
            Time::Start => false,
            Time::Root => modules_load,
            // Modules load after the root is mounted: from there.
            Time::Later => guest.has_modules_of(&facts.release),
        };
        return match is_loaded {
            true => Finding::ok(subject, format!("CONFIG_{name} is a module: {}", need.purpose)),
            false if need.time == Time::Later => {
                let release = &facts.release;
                let found = format!("CONFIG_{name} is a module, and the image has no modules of {release}");
                need.missing(subject, &found)
            }
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
