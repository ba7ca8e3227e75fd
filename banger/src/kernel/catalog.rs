//! The catalog: names of kernel bundles.

use std::collections::BTreeMap;
use std::io;

use banger_kernel::KernelArchitecture;
use banger_oci::Reference;
use banger_tree::{Advice, ErrorContext, ErrorKind, Failure};
use camino::{Utf8Path, Utf8PathBuf};
use etcetera::BaseStrategy as _;
use etcetera::base_strategy::Xdg;

use crate::dirs::DirsError;
use crate::host_file::{open_followed, read_at_most};
use crate::store::ImageName;

/// Largest catalog.
const MAX_BYTES: u64 = 4 << 20;
/// The catalog of the machine.
const OF_MACHINE: &str = "/etc/banger/kernels.toml";
/// How many names an error lists.
const MAX_LISTED: usize = 20;

/// Names of kernel bundles, each with a reference for every architecture. The default is the built-in catalog,
/// which is empty.
///
/// A catalog is a TOML file with a table for each name. A reference has a digest:
///
/// ```toml
/// [debian-cloud]
/// amd64 = "registry.example/kernels/debian-cloud@sha256:0123456789abcdef…"
/// ```
#[derive(Clone, Debug, Default)]
pub struct KernelCatalog {
    names: BTreeMap<ImageName, BTreeMap<&'static str, Reference>>,
}

/// Why a catalog cannot be used, or has no kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// A catalog cannot be read.
    #[error("cannot read the catalog {path}: {source}")]
    Io {
        /// The catalog.
        path: Utf8PathBuf,
        /// The host's error.
        source: io::Error,
    },
    /// A catalog is not TOML.
    #[error("the catalog {path} is damaged in line {line}: {reason}")]
    Syntax {
        /// The catalog.
        path: Utf8PathBuf,
        /// Number of the line, from 1 on.
        line: usize,
        /// The fault.
        reason: String,
    },
    /// An entry of a catalog makes no sense.
    #[error("the catalog {path} has a wrong entry {name:?}: {reason}")]
    Entry {
        /// The catalog.
        path: Utf8PathBuf,
        /// The name of the entry.
        name: String,
        /// The fault.
        reason: String,
    },
    /// No catalog has the name.
    #[error("no catalog has a kernel {name}")]
    UnknownName {
        /// The name asked for.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// The kernel exists for other architectures only.
    #[error("the catalog has the kernel {name} for {}, not for {architecture}", available.join(" and "))]
    NoArchitecture {
        /// The name asked for.
        name: String,
        /// The architecture asked for.
        architecture: String,
        /// The existing architectures.
        available: Vec<String>,
    },
}

impl KernelCatalog {
    /// Returns the built-in catalog with the catalogs in `files`, of which some may be missing. A later file
    /// replaces the references of earlier ones for the same name and architecture.
    ///
    /// # Errors
    /// A file cannot be read, is not TOML, or has a reference without a digest.
    pub fn load(files: &[Utf8PathBuf]) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for path in files {
            let failed = |source| CatalogError::Io { path: path.clone(), source };
            let text = match open_followed(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.and_then(|file| read_at_most(&file, MAX_BYTES)).map_err(failed)?,
            };
            let text = String::from_utf8(text)
                .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))?;
            catalog.add(path, &text)?;
        }
        Ok(catalog)
    }

    /// Returns the catalogs of this machine and of this user: `/etc/banger/kernels.toml` and
    /// `$XDG_CONFIG_HOME/banger/kernels.toml`.
    ///
    /// This reads the environment: `XDG_CONFIG_HOME` and `HOME`.
    ///
    /// # Errors
    /// The home directory is missing, or a name is not UTF-8.
    pub fn files_of_user() -> Result<Vec<Utf8PathBuf>, DirsError> {
        let own = Xdg::new().map_err(|_| DirsError::NoHome)?.config_dir().join("banger").join("kernels.toml");
        Ok(vec![OF_MACHINE.into(), Utf8PathBuf::from_path_buf(own).map_err(DirsError::NotUtf8)?])
    }

    /// Returns the names, in order.
    pub fn names(&self) -> impl Iterator<Item = &ImageName> {
        self.names.keys()
    }

    /// Returns the reference of the kernel `name` for an architecture, which has its OCI name.
    ///
    /// # Errors
    /// The catalog does not have the name, or not for this architecture.
    pub fn find(&self, name: &ImageName, architecture: &str) -> Result<&Reference, CatalogError> {
        let Some(references) = self.names.get(name) else {
            let known = self.names.keys().take(MAX_LISTED).map(ToString::to_string).collect();
            return Err(CatalogError::UnknownName { name: name.to_string(), known });
        };
        references.get(architecture).ok_or_else(|| CatalogError::NoArchitecture {
            name: name.to_string(),
            architecture: architecture.to_owned(),
            available: references.keys().map(ToString::to_string).collect(),
        })
    }

    fn add(&mut self, path: &Utf8Path, text: &str) -> Result<(), CatalogError> {
        type Document = BTreeMap<String, BTreeMap<String, String>>;
        let document: Document = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let reason = error.message().lines().next().unwrap_or_default().to_owned();
            CatalogError::Syntax { path: path.to_owned(), line, reason }
        })?;
        for (name, references) in document {
            let bad =
                |reason: String| CatalogError::Entry { path: path.to_owned(), name: name.clone(), reason };
            let parsed: ImageName = name.parse().map_err(|_| bad("it cannot be a name".to_owned()))?;
            let known = self.names.entry(parsed).or_default();
            for (architecture, reference) in references {
                let architecture: KernelArchitecture = architecture.parse().map_err(bad)?;
                let reference = match reference.parse::<Reference>() {
                    Ok(reference @ Reference::Registry(_)) if reference.digest().is_some() => reference,
                    Ok(Reference::Registry(_)) => return Err(bad(format!("{reference} has no digest"))),
                    Ok(_) => return Err(bad(format!("{reference} is not in a registry"))),
                    Err(error) => return Err(bad(error.to_string())),
                };
                known.insert(architecture.name(), reference);
            }
        }
        Ok(())
    }
}

impl CatalogError {
    /// Returns a number that stays the same for this failure in all versions.
    pub fn code(&self) -> u32 {
        match self {
            Self::Io { .. } => 1010,
            Self::Syntax { .. } => 1011,
            Self::Entry { .. } => 1012,
            Self::UnknownName { .. } => 1013,
            Self::NoArchitecture { .. } => 1014,
        }
    }
}

impl Failure for CatalogError {
    fn code(&self) -> u32 {
        self.code()
    }

    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => ErrorKind::of_io(source),
            Self::Syntax { .. } | Self::Entry { .. } => ErrorKind::Damaged,
            Self::UnknownName { .. } | Self::NoArchitecture { .. } => ErrorKind::NotFound,
        }
    }

    fn advice(&self) -> Option<Advice> {
        Some(match self {
            Self::Io { .. } | Self::Syntax { .. } => Advice::new("repair the file, or remove it"),
            Self::Entry { .. } => Advice::new("write NAME@sha256:DIGEST for amd64 or arm64"),
            Self::UnknownName { known, .. } if known.is_empty() => Advice::new(
                "all catalogs are empty: give the reference of a bundle, as in registry.example/kernel:1",
            ),
            Self::UnknownName { known, .. } => {
                Advice::new(format!("choose one of {}, or give the reference of a bundle", known.join(", ")))
            }
            Self::NoArchitecture { .. } => {
                Advice::with_setting("choose the architecture by {setting}", banger_tree::Setting("platform"))
            }
        })
    }

    fn context(&self) -> ErrorContext {
        let context = ErrorContext::default();
        match self {
            Self::Io { path, .. } => context.with("path", path),
            Self::Syntax { path, line, .. } => context.with("path", path).with("line", line),
            Self::Entry { path, name, .. } => context.with("path", path).with("name", name),
            Self::UnknownName { name, .. } => context.with("name", name),
            Self::NoArchitecture { name, architecture, .. } => {
                context.with("name", name).with("architecture", architecture)
            }
        }
    }

    fn os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn load(texts: &[&str]) -> Result<KernelCatalog, CatalogError> {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut files = vec![dir.join("missing.toml")];
        for (number, text) in texts.iter().enumerate() {
            files.push(dir.join(format!("{number}.toml")));
            std::fs::write(&files[number + 1], text).unwrap();
        }
        KernelCatalog::load(&files)
    }

    fn found(catalog: &KernelCatalog, name: &str, architecture: &str) -> String {
        match catalog.find(&name.parse().unwrap(), architecture) {
            Ok(reference) => reference.to_string(),
            Err(error) => error.code().to_string(),
        }
    }

    #[test]
    fn later_catalogs_win_for_each_architecture() {
        let line =
            |architecture: &str, host: &str| format!("{architecture} = \"{host}.example/k@sha256:{HEX}\"\n");
        let first =
            format!("[a]\n{}{}[b]\n{}", line("amd64", "one"), line("arm64", "one"), line("amd64", "one"));
        let second = format!("# the user's\n[a]\n{}[c]\n{}", line("arm64", "two"), line("amd64", "two"));
        let at = |host: &str| format!("{host}.example/k@sha256:{HEX}");
        let catalog = load(&[&first, &second]).unwrap();
        for (name, architecture, want) in [
            ("a", "amd64", at("one")),
            ("a", "arm64", at("two")),
            ("b", "amd64", at("one")),
            ("b", "arm64", "1014".to_owned()),
            ("c", "amd64", at("two")),
            ("d", "amd64", "1013".to_owned()),
        ] {
            assert_eq!(found(&catalog, name, architecture), want, "{name} {architecture}");
        }
        let other_way = load(&[&second, &first]).unwrap();
        assert_eq!(found(&other_way, "a", "arm64"), at("one"));
        assert_eq!(catalog.names().map(ImageName::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(load(&[]).unwrap().names().count(), 0);
        let error = KernelCatalog::default().find(&"a".parse().unwrap(), "amd64").unwrap_err();
        let advice = error.advice().unwrap().worded(|setting| setting.0.to_owned());
        assert!(advice.contains("all catalogs are empty"), "{advice}");
    }

    #[test]
    fn wrong_catalogs_are_refused() {
        let long = format!("# {}", "x".repeat(5 << 20));
        for (text, code, says) in [
            ("[a\n", 1011, "line 1"),
            ("[a]\namd64 = \"x@sha256:0\"\namd64 = \"y\"\n", 1011, "line 3"),
            ("\n\n[a]\namd64 = 5\n", 1011, "line 4"),
            ("a = \"b\"\n", 1011, "line 1"),
            ("[a]\namd64 = \"registry.example/k:1\"\n", 1012, "has no digest"),
            ("[a]\namd64 = \"registry.example/k@sha256:00\"\n", 1012, "\"a\""),
            (&format!("[a]\nriscv64 = \"registry.example/k@sha256:{HEX}\"\n"), 1012, "riscv64"),
            (&format!("[a]\namd64 = \"oci:dir@sha256:{HEX}\"\n"), 1012, "not in a registry"),
            (&format!("[\"../a\"]\namd64 = \"registry.example/k@sha256:{HEX}\"\n"), 1012, "cannot be a name"),
            ("[a.b]\namd64 = \"x\"\n", 1011, "line 1"),
            (&long, 1010, "more than"),
        ] {
            let error = load(&["", text]).unwrap_err();
            let message = error.to_string();
            assert_eq!(error.code(), code, "{message}");
            assert!(message.contains(says) && !message.contains('\n'), "{message}");
            assert!(message.contains("1.toml"), "{message}");
        }
        let directory = std::env::temp_dir();
        let error = KernelCatalog::load(&[Utf8PathBuf::from_path_buf(directory).unwrap()]).unwrap_err();
        assert_eq!(error.code(), 1010, "{error}");
    }
}
