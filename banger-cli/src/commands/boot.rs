//! `banger kernel check` and `banger image boot-plan`.

use std::borrow::Cow;

use banger::boot::{
    BootImage, BootKernel, BootPlanDocument, BootRequest, CheckRequest, Finding, KernelCheckDocument,
    Outcome, QemuOptions, RenderedPlan, TapDevice, check_image, plan_boot,
};
use banger::guest::NetworkConfig;
use banger::{Dirs, Error, Existing, NewFile};
use camino::{Utf8Path, Utf8PathBuf};

use crate::args::boot::BootPlanArguments;
use crate::args::kernel::KernelCheckArguments;
use crate::failure::{CommandError, output};
use crate::interrupt::cancel_on_signal;
use crate::json;
use crate::printer::Printer;
use crate::text::{Text, table};

/// Mode of a written plan, before the umask.
const PLAN_MODE: u32 = 0o666;

pub(super) fn check(
    arguments: &KernelCheckArguments,
    dirs: &Dirs,
    printer: &Printer,
) -> Result<(), CommandError> {
    let cancellation = cancel_on_signal(printer);
    let image = BootImage::open(&arguments.image, dirs, &cancellation)?;
    let kernel = BootKernel::choose(arguments.kernel.as_deref(), &image, dirs, &cancellation)?;
    let request = CheckRequest::new(arguments.vmm.vmm).with_profiles(arguments.profiles.clone());
    let findings = check_image(&image, &kernel.kernel, &request, &cancellation)?;
    let document = KernelCheckDocument::new(&image, &kernel, &request, &findings);
    output(printer.result(&document, findings_table(&findings)))?;
    match document.outcome() {
        Outcome::Error => Err(CommandError::Unsound),
        _ => Ok(()),
    }
}

fn findings_table(findings: &[Finding]) -> Text {
    let mut rows = vec![["OUTCOME", "SUBJECT", "FINDING"].map(str::to_owned)];
    rows.extend(
        findings.iter().map(|finding| {
            [finding.outcome.to_string(), finding.subject.to_string(), finding.message.clone()]
        }),
    );
    table(&rows)
}

pub(super) fn plan(
    arguments: &BootPlanArguments,
    dirs: &Dirs,
    printer: &Printer,
) -> Result<(), CommandError> {
    let cancellation = cancel_on_signal(printer);
    let image = BootImage::open(&arguments.image, dirs, &cancellation)?;
    // A plan with a missing file is of no use.
    let files = [("NAME|FILE", Some(&image.path)), ("--initrd", arguments.initrd.as_ref())];
    for (name, path) in files {
        if let Some(path) = path.filter(|path| !path.exists()) {
            return Err(CommandError::argument(name, path.as_str(), "it does not exist"));
        }
    }
    let kernel = BootKernel::choose(arguments.kernel_ref.as_deref(), &image, dirs, &cancellation)?;
    let request = boot_request(arguments, &image)?;
    let plan = plan_boot(&kernel.kernel, &request, dirs)?;
    let document = BootPlanDocument::new(&image, &kernel, &plan);
    let text = match plan.render() {
        RenderedPlan::Command(words) => {
            let words: Vec<Cow<'_, str>> = words.iter().map(|word| shell_word(word)).collect();
            words.join(" ") + "\n"
        }
        RenderedPlan::Document(value) => {
            let mut bytes = Vec::new();
            json::write_pretty(&mut bytes, &value).map_err(CommandError::Output)?;
            String::from_utf8(bytes).expect("JSON is text")
        }
        _ => {
            return Err(CommandError::argument(
                "--vmm",
                plan.vmm.name(),
                "this banger prints no plan for it",
            ));
        }
    };
    match &arguments.output {
        Some(path) => {
            write(path, &text, arguments.force)?;
            output(printer.result(&document, &format!("{path}\n")))
        }
        None => output(printer.result(&document, text.lines().collect::<Text>())),
    }
}

fn boot_request(arguments: &BootPlanArguments, image: &BootImage) -> Result<BootRequest, CommandError> {
    let network = NetworkConfig::default()
        .with_addresses(arguments.address.clone())
        .with_gateways(arguments.gateway.clone())
        .with_dns(arguments.dns.clone())
        .with_hostname(arguments.hostname.clone());
    network.check().map_err(|error| CommandError::argument("the guest's network", "", error.to_string()))?;
    let tap = arguments.tap.as_ref().map(|name| TapDevice::new(name).with_mac(arguments.mac.clone()));
    let memory_mib = u32::try_from(arguments.memory.0 >> 20).map_err(|_| {
        CommandError::argument("--memory", arguments.memory.to_string(), "a guest cannot have so much")
    })?;
    let mut verity = image.verity_disk();
    if let Some(tree) = verity.as_mut().and_then(|verity| verity.tree.as_mut()) {
        *tree = absolute(tree)?;
    }
    let qemu = QemuOptions::default().with_acceleration(arguments.accel).with_disk(arguments.disk);
    Ok(BootRequest::new(arguments.vmm.vmm, absolute(&image.path)?)
        .with_cpus(arguments.cpus)
        .with_memory_mib(memory_mib)
        .with_initrd(arguments.initrd.as_deref().map(absolute).transpose()?)
        .with_root(arguments.root.clone())
        .with_read_only(arguments.read_only)
        .with_verity(verity)
        .with_vsock(arguments.vsock.as_deref().map(absolute).transpose()?)
        .with_tap(tap)
        .with_network((network != NetworkConfig::default()).then_some(network))
        .with_append(arguments.append.clone())
        .with_qemu(qemu))
}

/// Returns the path for a monitor, which may run in another directory.
fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, CommandError> {
    camino::absolute_utf8(path).map_err(CommandError::Output)
}

/// Returns a word as a shell reads it.
fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")).into(),
    }
}

fn write(path: &Utf8Path, text: &str, force: bool) -> Result<(), CommandError> {
    let failed = Error::new_file(path);
    let existing = if force { Existing::Replace } else { Existing::Keep };
    let mut file = NewFile::create(path.as_std_path(), PLAN_MODE).map_err(&failed)?;
    file.write_bytes(text.as_bytes()).map_err(&failed)?;
    Ok(file.publish(existing).map_err(&failed)?)
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn a_shell_reads_words_as_they_are() {
        for (word, want) in [
            ("qemu-system-x86_64", "qemu-system-x86_64"),
            ("", "''"),
            ("console=ttyS0 root=/dev/vda", "'console=ttyS0 root=/dev/vda'"),
            ("/it's", r"'/it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~", "'~'"),
        ] {
            assert_eq!(shell_word(word), want);
        }
    }
}
