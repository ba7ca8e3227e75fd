//! The commands that install packages.

use banger_guest::files::os_release::OsRelease;

/// The package manager of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PackageManager {
    Apt,
    Dnf,
    Apk,
    Pacman,
    Homebrew,
    Unknown,
}

impl PackageManager {
    /// Returns the package manager of the distribution.
    pub(super) fn of(release: &OsRelease) -> Self {
        if cfg!(target_os = "macos") {
            return Self::Homebrew;
        }
        let known = release.ids().find_map(|id| match id {
            "debian" | "ubuntu" => Some(Self::Apt),
            "fedora" | "rhel" | "centos" => Some(Self::Dnf),
            "alpine" => Some(Self::Apk),
            "arch" => Some(Self::Pacman),
            _ => None,
        });
        known.unwrap_or(Self::Unknown)
    }

    /// Returns the command that installs `package`.
    pub(super) fn install(self, package: &Package) -> String {
        match self {
            Self::Apt => format!("sudo apt-get install {}", package.apt),
            Self::Dnf => format!("sudo dnf install {}", package.dnf),
            Self::Apk => format!("sudo apk add {}", package.apk),
            Self::Pacman => format!("sudo pacman -S {}", package.pacman),
            Self::Homebrew => format!("brew install {}", package.homebrew),
            Self::Unknown => format!("install the package {} of your distribution", package.apt),
        }
    }
}

/// The names of one package, by package manager.
#[derive(Clone, Copy, Debug)]
pub(super) struct Package {
    pub(super) apt: &'static str,
    pub(super) dnf: &'static str,
    pub(super) apk: &'static str,
    pub(super) pacman: &'static str,
    pub(super) homebrew: &'static str,
}

pub(super) const QEMU_AMD64: Package = Package {
    apt: "qemu-system-x86",
    dnf: "qemu-system-x86-core",
    apk: "qemu-system-x86_64",
    pacman: "qemu-system-x86",
    homebrew: "qemu",
};

pub(super) const QEMU_ARM64: Package = Package {
    apt: "qemu-system-arm",
    dnf: "qemu-system-aarch64-core",
    apk: "qemu-system-aarch64",
    pacman: "qemu-system-aarch64",
    homebrew: "qemu",
};

pub(super) const E2FSPROGS: Package = Package {
    apt: "e2fsprogs",
    dnf: "e2fsprogs",
    // debugfs is in the second one.
    apk: "e2fsprogs e2fsprogs-extra",
    pacman: "e2fsprogs",
    homebrew: "e2fsprogs",
};
