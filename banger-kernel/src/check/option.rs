//! Options of a kernel's configuration, and the modules that some of them can be.

/// An option of the kernel's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KernelOption {
    /// Its name without `CONFIG_`.
    pub(super) name: &'static str,
    /// The name of its module, if it can be one.
    pub(super) module: Option<&'static str>,
}

impl KernelOption {
    /// An option that cannot be a module.
    pub(super) const fn yes(name: &'static str) -> Self {
        Self { name, module: None }
    }

    /// An option that can be the module `module`.
    pub(super) const fn driver(name: &'static str, module: &'static str) -> Self {
        Self { name, module: Some(module) }
    }
}
