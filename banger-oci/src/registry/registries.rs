//! `registries.conf`: mirrors, other locations, blocked registries and short names
//! (containers-registries.conf(5), version 2).

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use crate::reference::RegistryReference;
use crate::registry::error::PullError;
use crate::registry::missing::is_missing;

mod file;
mod places;
mod prefix;
mod rule;

pub(crate) use places::{Endpoint, EndpointKind};
use rule::{RegistryRule, ShortNameMode};

/// Where images are fetched from, and the meaning of short names. The default changes nothing: each image comes from
/// the registry of its name, and a short name is an image of docker.io.
///
/// ```
/// use banger_oci::RegistriesConfig;
///
/// let dir = tempfile::tempdir()?;
/// let file = dir.path().join("registries.conf");
/// let text = "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"mirror.example\"\n";
/// std::fs::write(&file, text)?;
/// let file = camino::Utf8PathBuf::try_from(file)?;
/// assert_ne!(RegistriesConfig::read(&[file])?, RegistriesConfig::default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistriesConfig {
    registries: Vec<RegistryRule>,
    search: Vec<String>,
    mode: ShortNameMode,
    aliases: BTreeMap<String, String>,
}

impl RegistriesConfig {
    /// Reads files in their order: later ones add to earlier ones, and replace entries with the same prefix or alias.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is not TOML, has the format of version 1, or contradicts itself.
    pub fn read(paths: &[Utf8PathBuf]) -> Result<Self, PullError> {
        let mut config = Self::default();
        for path in paths {
            config.add(file::read(path)?);
        }
        Ok(config)
    }

    /// Returns the `.conf` files of drop-in directories, each directory in the order of its names. A missing directory
    /// has no files.
    ///
    /// # Errors
    ///
    /// A directory cannot be read.
    pub fn drop_ins(dirs: &[Utf8PathBuf]) -> Result<Vec<Utf8PathBuf>, PullError> {
        let mut files = Vec::new();
        for dir in dirs {
            files.extend(conf_files(dir)?);
        }
        Ok(files)
    }

    /// Returns whether the configuration calls a registry insecure.
    pub(crate) fn is_insecure(&self, reference: &RegistryReference) -> bool {
        let places = self.places(reference).unwrap_or_default();
        places.last().is_some_and(|place| place.insecure && !place.is_moved)
    }

    fn add(&mut self, later: file::ReadFile) {
        for rule in later.registries {
            self.registries.retain(|known| known.prefix != rule.prefix);
            self.registries.push(rule);
        }
        if let Some(search) = later.search {
            self.search = search;
        }
        if let Some(mode) = later.mode {
            self.mode = mode;
        }
        for (name, target) in later.aliases {
            // An empty value removes an alias of an earlier file.
            match target.is_empty() {
                true => self.aliases.remove(&name),
                false => self.aliases.insert(name, target),
            };
        }
    }

    /// Returns the references that `reference` may mean, the first one first. A name with a registry means itself.
    pub(crate) fn meanings(
        &self,
        reference: &RegistryReference,
    ) -> Result<Vec<RegistryReference>, PullError> {
        let Some(name) = reference.short_name() else { return Ok(vec![reference.clone()]) };
        let moved = |target: &str| {
            reference.moved_to(target).map_err(|reason| PullError::ShortName {
                name: name.to_owned(),
                reason: format!("it leads to `{target}`: {reason}"),
            })
        };
        if let Some(target) = self.aliases.get(name) {
            return Ok(vec![moved(target)?]);
        }
        match &self.search[..] {
            [] => Ok(vec![reference.clone()]),
            several @ [_, _, ..] if self.mode == ShortNameMode::Enforcing => Err(PullError::ShortName {
                name: name.to_owned(),
                reason: format!("it may be an image of any of {}", several.join(", ")),
            }),
            search => search.iter().map(|host| moved(&format!("{host}/{name}"))).collect(),
        }
    }
}

/// Returns the `.conf` files of one directory, by their names.
fn conf_files(dir: &Utf8Path) -> Result<Vec<Utf8PathBuf>, PullError> {
    let failed =
        |error: std::io::Error| PullError::RegistriesFile { path: dir.to_owned(), reason: error.to_string() };
    let entries = match dir.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.into_path();
        if path.extension() == Some("conf") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the texts as files of their own.
    pub(super) fn config(texts: &[&str]) -> Result<RegistriesConfig, PullError> {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        for (number, text) in texts.iter().enumerate() {
            std::fs::write(dir.join(format!("{number}.conf")), text).unwrap();
        }
        RegistriesConfig::read(&RegistriesConfig::drop_ins(&[dir.to_owned()]).unwrap())
    }

    pub(super) fn reference(text: &str) -> RegistryReference {
        match text.parse().unwrap() {
            crate::Reference::Registry(reference) => reference,
            other => panic!("{other}"),
        }
    }

    fn meanings(texts: &[&str], name: &str) -> Vec<String> {
        let found = config(texts).unwrap().meanings(&reference(name)).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn short_names() {
        let aliases =
            "[aliases]\n\"fedora\" = \"registry.example/f/fedora\"\n\"own/app\" = \"r.example:5000/app\"\n";
        let one = "unqualified-search-registries = [\"r.example\"]\n";
        let two = "unqualified-search-registries = [\"r.example\", \"docker.io\"]\n";
        let digest = crate::Digest::of(b"x");
        for (texts, name, expected) in [
            (&[][..], "debian", vec!["docker.io/library/debian:latest"]),
            (&[aliases], "debian:12", vec!["docker.io/library/debian:12"]),
            (&[aliases], "fedora:41", vec!["registry.example/f/fedora:41"]),
            (&[aliases], "docker.io/library/fedora", vec!["docker.io/library/fedora:latest"]),
            (&[aliases], "own/app", vec!["r.example:5000/app:latest"]),
            (&[aliases, "[aliases]\nfedora = \"\"\n"], "fedora", vec!["docker.io/library/fedora:latest"]),
            (&[one], "debian", vec!["r.example/debian:latest"]),
            (&[one, aliases], "fedora", vec!["registry.example/f/fedora:latest"]),
            (&[one, "unqualified-search-registries = []"], "x", vec!["docker.io/library/x:latest"]),
            (&[two], "a/b:1", vec!["r.example/a/b:1", "docker.io/a/b:1"]),
            (&[two], "a", vec!["r.example/a:latest", "docker.io/library/a:latest"]),
            (&[two, "short-name-mode = \"permissive\""], "a/b:1", vec!["r.example/a/b:1", "docker.io/a/b:1"]),
        ] {
            assert_eq!(meanings(texts, name), expected, "{texts:?} {name}");
        }
        assert_eq!(
            meanings(&[aliases], &format!("fedora@{digest}")),
            [format!("registry.example/f/fedora@{digest}")]
        );
        let enforcing = config(&[two, "short-name-mode = \"enforcing\""]).unwrap();
        let error = enforcing.meanings(&reference("a")).unwrap_err();
        assert!(error.to_string().contains("r.example, docker.io"), "{error}");
        assert!(enforcing.meanings(&reference("r.example/a")).is_ok());
    }

    #[test]
    fn later_files_replace_entries_with_the_same_prefix() {
        let first = "[[registry]]\nlocation = \"a.example\"\nblocked = true\n[[registry]]\nlocation = \"b.example\"\nblocked = true\n";
        let second = "[[registry]]\nlocation = \"a.example\"\n";
        let config = config(&[first, second]).unwrap();
        assert!(config.places(&reference("a.example/x")).is_ok());
        let error = config.places(&reference("b.example/x")).unwrap_err();
        assert!(
            matches!(&error, PullError::Blocked { path, .. } if path.file_name() == Some("0.conf")),
            "{error}"
        );
    }
}
