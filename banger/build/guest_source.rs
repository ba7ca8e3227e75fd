//! Decides where the bytes of the guest binary come from. `build.rs` gathers the facts and does the work;
//! the unit tests of the library hold this file to its table.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BuildFacts<'a> {
    /// Whether the feature `embedded-guest` is on.
    pub(crate) is_wanted: bool,
    /// Whether docs.rs builds the documentation: no network, and nobody runs the result.
    pub(crate) is_docs_rs: bool,
    /// `BANGER_GUEST_BINARY`: files of guest binaries, separated as in `PATH`.
    pub(crate) given: Option<&'a OsStr>,
    /// `CARGO`: the program that builds; build systems other than cargo do not set it.
    pub(crate) cargo: Option<&'a OsStr>,
    /// The operating system that the crate is compiled for, as `cfg(target_os)` names it.
    pub(crate) target_os: &'a str,
    /// The processor that the crate is compiled for, as `cfg(target_arch)` names it.
    pub(crate) target_arch: &'a str,
    /// The directory of the package.
    pub(crate) package_dir: &'a Path,
}

/// Where the bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GuestSource {
    /// No guest is embedded, and nobody expects one.
    Absent,
    /// No guest is embedded, although the feature asks for it; the text says why.
    Missing(&'static str),
    /// The caller gives these files.
    Files(Vec<PathBuf>),
    /// A nested cargo builds it.
    Build {
        /// The program.
        cargo: PathBuf,
        /// The directory of banger's workspace.
        workspace: PathBuf,
        /// The target to build for. The C library does not matter: the guest is static.
        target: String,
    },
}

/// Returns where the bytes come from.
pub(crate) fn guest_source(facts: &BuildFacts<'_>) -> GuestSource {
    if !facts.is_wanted || facts.is_docs_rs {
        return GuestSource::Absent;
    }
    if let Some(given) = facts.given.filter(|given| !given.is_empty()) {
        let files = std::env::split_paths(given).filter(|file| !file.as_os_str().is_empty());
        return GuestSource::Files(files.map(|file| facts.package_dir.join(file)).collect());
    }
    if facts.target_os != "linux" || !["x86_64", "aarch64"].contains(&facts.target_arch) {
        return GuestSource::Absent;
    }
    let Some(workspace) = workspace_of(facts.package_dir) else {
        return GuestSource::Missing("this package is outside banger's workspace");
    };
    let Some(cargo) = facts.cargo else {
        return GuestSource::Missing("the variable CARGO is not set");
    };
    let target = format!("{}-unknown-linux-gnu", facts.target_arch);
    GuestSource::Build { cargo: cargo.into(), workspace, target }
}

/// Returns the directory of banger's workspace if the package is a member of it.
///
/// A packaged copy is not: `cargo vendor` and a registry put it beside other packages, among them perhaps
/// `banger-guest`, and cargo writes a `Cargo.toml.orig` into each.
fn workspace_of(package_dir: &Path) -> Option<PathBuf> {
    if package_dir.join("Cargo.toml.orig").exists() {
        return None;
    }
    let workspace = package_dir.parent()?;
    let manifest = std::fs::read_to_string(workspace.join("Cargo.toml")).ok()?;
    let is_workspace = manifest.lines().any(|line| line.trim() == "[workspace]")
        && manifest.contains("\"banger-guest\"")
        && ["Cargo.lock", "banger-guest/Cargo.toml"].iter().all(|file| workspace.join(file).is_file());
    is_workspace.then(|| workspace.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workspace with the files that matter, and a vendor directory with the same packages.
    fn places() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for place in ["workspace/banger", "workspace/banger-guest", "vendor/libbanger", "vendor/banger-guest"]
        {
            fs::create_dir_all(dir.path().join(place)).unwrap();
            fs::write(dir.path().join(place).join("Cargo.toml"), "[package]\n").unwrap();
        }
        let members = "[workspace]\nmembers = [\"banger\", \"banger-guest\"]\n";
        fs::write(dir.path().join("workspace/Cargo.toml"), members).unwrap();
        fs::write(dir.path().join("workspace/Cargo.lock"), "").unwrap();
        dir
    }

    fn facts(package_dir: &Path) -> BuildFacts<'_> {
        BuildFacts {
            is_wanted: true,
            is_docs_rs: false,
            given: None,
            cargo: Some(OsStr::new("/bin/cargo")),
            target_os: "linux",
            target_arch: "x86_64",
            package_dir,
        }
    }

    #[test]
    fn the_workspace_builds_a_guest_for_each_c_library() {
        let dir = places();
        let package = dir.path().join("workspace/banger");
        // `--target x86_64-unknown-linux-musl` differs in `target_env` alone, which is no fact here.
        for (target_arch, target) in
            [("x86_64", "x86_64-unknown-linux-gnu"), ("aarch64", "aarch64-unknown-linux-gnu")]
        {
            let want = GuestSource::Build {
                cargo: "/bin/cargo".into(),
                workspace: dir.path().join("workspace"),
                target: target.to_owned(),
            };
            assert_eq!(guest_source(&BuildFacts { target_arch, ..facts(&package) }), want);
        }
    }

    #[test]
    fn a_given_file_comes_before_everything_but_docs() {
        let dir = places();
        let package = dir.path().join("vendor/libbanger");
        let given = |text| BuildFacts { given: Some(OsStr::new(text)), ..facts(&package) };
        let files = GuestSource::Files(vec!["/guests/amd64".into(), package.join("arm64")]);
        assert_eq!(guest_source(&given("/guests/amd64:arm64")), files);
        let foreign = BuildFacts { cargo: None, target_os: "macos", ..given("/guests/amd64:arm64") };
        assert_eq!(guest_source(&foreign), files);
        assert_eq!(guest_source(&BuildFacts { is_docs_rs: true, ..given("/x") }), GuestSource::Absent);
        assert_eq!(guest_source(&BuildFacts { is_wanted: false, ..given("/x") }), GuestSource::Absent);
        assert_eq!(guest_source(&given("")), guest_source(&facts(&package)));
    }

    #[test]
    fn no_cargo_is_started_where_it_cannot_work() {
        let dir = places();
        let workspace = dir.path().join("workspace/banger");
        let vendored = dir.path().join("vendor/libbanger");
        let is_missing = |facts: &BuildFacts<'_>| matches!(guest_source(facts), GuestSource::Missing(_));
        assert!(is_missing(&facts(&vendored)), "the sibling banger-guest is not enough");
        assert!(is_missing(&BuildFacts { cargo: None, ..facts(&workspace) }));
        for other in [
            BuildFacts { is_wanted: false, ..facts(&workspace) },
            BuildFacts { is_docs_rs: true, ..facts(&workspace) },
            BuildFacts { target_os: "macos", ..facts(&workspace) },
            BuildFacts { target_arch: "riscv64", ..facts(&workspace) },
        ] {
            assert_eq!(guest_source(&other), GuestSource::Absent, "{other:?}");
        }
        // A package that was unpacked into a workspace of somebody who has such a member, too.
        fs::write(workspace.join("Cargo.toml.orig"), "").unwrap();
        assert!(is_missing(&facts(&workspace)));
    }
}
