//! Something that a boot needs.

use super::finding::{Finding, Outcome, Subject};
use super::option::KernelOption;

/// When an option is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Before any program runs: it cannot be a module.
    Start,
    /// To mount the root: it may be a module of the initrd.
    Root,
    /// After the root is mounted: it may be a module of the image.
    Later,
}

/// Something that a boot needs: one of `options`.
#[derive(Clone, Debug)]
pub(super) struct Need {
    pub(super) options: Vec<KernelOption>,
    pub(super) time: Time,
    severity: Outcome,
    pub(super) purpose: &'static str,
}

impl Need {
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.options.iter().map(|option| option.name).collect()
    }

    pub(super) fn names_text(&self) -> String {
        let names: Vec<String> =
            self.options.iter().map(|option| format!("CONFIG_{}", option.name)).collect();
        names.join(" or ")
    }

    pub(super) fn missing(&self, subject: Subject, found: &str) -> Finding {
        Finding::new(subject, self.severity, format!("{found}: {}", self.purpose))
    }
}

pub(super) fn need(options: &[KernelOption], time: Time, severity: Outcome, purpose: &'static str) -> Need {
    Need { options: options.to_vec(), time, severity, purpose }
}
