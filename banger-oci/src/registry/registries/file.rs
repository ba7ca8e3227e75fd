//! One file in the format of version 2.

use std::collections::BTreeMap;
use std::io::Read as _;

use camino::Utf8Path;
use serde::Deserialize;

use super::prefix;
use super::rule::{MirrorRule, MirrorUse, RegistryRule, ShortNameMode};
use crate::one_line::one_line;
use crate::registry::error::PullError;

/// The largest file that is read.
const MAX_LEN: u64 = 4 << 20;

/// The checked content of one file.
pub(super) struct ReadFile {
    pub(super) registries: Vec<RegistryRule>,
    pub(super) search: Option<Vec<String>>,
    pub(super) mode: Option<ShortNameMode>,
    pub(super) aliases: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FileText {
    #[serde(default)]
    registry: Vec<RegistryText>,
    /// Only files of version 1 have it.
    registries: Option<serde::de::IgnoredAny>,
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: Option<String>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegistryText {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<MirrorText>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct MirrorText {
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: String,
}

/// Reads and checks a file.
pub(super) fn read(path: &Utf8Path) -> Result<ReadFile, PullError> {
    let failed = |reason: String| PullError::RegistriesFile { path: path.to_owned(), reason };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(MAX_LEN + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > MAX_LEN {
        return Err(failed(format!("it is larger than {MAX_LEN} bytes")));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    parse(text, path).map_err(failed)
}

fn parse(text: &str, path: &Utf8Path) -> Result<ReadFile, String> {
    let parsed: FileText = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        format!("{place}{}", one_line(error.message()))
    })?;
    if parsed.registries.is_some() {
        let reason = "it has the format of version 1 (`[registries.search]`); write it in version 2 (`[[registry]]` and \
                      `unqualified-search-registries`)";
        return Err(reason.to_owned());
    }
    let mode = match parsed.short_name_mode.as_deref() {
        None | Some("") => None,
        Some("enforcing") => Some(ShortNameMode::Enforcing),
        Some("permissive" | "disabled") => Some(ShortNameMode::InOrder),
        Some(other) => {
            return Err(format!(
                "short-name-mode is `{}`, not enforcing, permissive or disabled",
                one_line(other)
            ));
        }
    };
    let registries: Vec<RegistryRule> =
        parsed.registry.into_iter().map(|entry| rule(entry, path)).collect::<Result<_, _>>()?;
    for (at, entry) in registries.iter().enumerate() {
        for earlier in &registries[..at] {
            if earlier.prefix == entry.prefix {
                return Err(format!("it has two registries with the prefix `{}`", entry.prefix));
            }
            if !entry.location.is_empty()
                && earlier.location == entry.location
                && earlier.insecure != entry.insecure
            {
                return Err(format!("`{}` is both insecure and not", entry.location));
            }
        }
    }
    let search = parsed
        .unqualified_search_registries
        .map(|hosts| hosts.iter().map(|host| prefix::check(host, false)).collect::<Result<Vec<_>, _>>());
    Ok(ReadFile { registries, search: search.transpose()?, mode, aliases: parsed.aliases })
}

fn rule(entry: RegistryText, path: &Utf8Path) -> Result<RegistryRule, String> {
    let location = match entry.location.as_str() {
        "" => String::new(),
        text => prefix::check(text, false)?,
    };
    let prefix = match entry.prefix.as_str() {
        "" if location.is_empty() => return Err("a registry has neither prefix nor location".to_owned()),
        "" => location.clone(),
        text => prefix::check(text, true)?,
    };
    if location.is_empty() && !prefix.starts_with('*') {
        return Err(format!("the registry with the prefix `{prefix}` has no location"));
    }
    let only_digests = entry.mirror_by_digest_only;
    let mirror = |text: MirrorText| {
        let usage = match text.pull_from_mirror.as_str() {
            "" if only_digests => MirrorUse::ByDigest,
            "" | "all" if !only_digests => MirrorUse::All,
            "digest-only" if !only_digests => MirrorUse::ByDigest,
            "tag-only" if !only_digests => MirrorUse::ByTag,
            "all" | "digest-only" | "tag-only" => {
                return Err(format!(
                    "the registry with the prefix `{prefix}` has mirror-by-digest-only, and a mirror of it \
                     pull-from-mirror: leave one of them out"
                ));
            }
            other => {
                return Err(format!(
                    "pull-from-mirror is `{}`, not all, digest-only or tag-only",
                    one_line(other)
                ));
            }
        };
        Ok(MirrorRule { location: prefix::check(&text.location, false)?, insecure: text.insecure, usage })
    };
    let mirrors = entry.mirror.into_iter().map(mirror).collect::<Result<_, _>>()?;
    let (insecure, blocked) = (entry.insecure, entry.blocked);
    Ok(RegistryRule { prefix, location, insecure, blocked, mirrors, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_files_are_named_with_the_reason() {
        for (text, reason) in [
            ("[registries.search]\nregistries = [\"docker.io\"]\n", "format of version 1"),
            ("[[registry]]\n", "neither prefix nor location"),
            ("[[registry]]\nprefix = \"r.io\"\n", "has no location"),
            ("[[registry]]\nlocation = \"https://r.io\"\n", "begins with a scheme"),
            ("\n[[registry]]\nlocation = 7\n", "line 3"),
            ("x = \n", "line 1"),
            ("short-name-mode = \"ask\"\n", "short-name-mode is `ask`"),
            ("[[registry]]\nlocation = \"r.io\"\n[[registry]]\nlocation = \"r.io\"\n", "two registries"),
            (
                "[[registry]]\nprefix = \"a.io\"\nlocation = \"r.io\"\n[[registry]]\nlocation = \"r.io\"\ninsecure = true\n",
                "both insecure and not",
            ),
            (
                "[[registry]]\nlocation = \"r.io\"\n[[registry.mirror]]\nlocation = \"m.io\"\npull-from-mirror = \"x\"\n",
                "pull-from-mirror is `x`",
            ),
            (
                "[[registry]]\nlocation = \"r.io\"\nmirror-by-digest-only = true\n[[registry.mirror]]\n\
                 location = \"m.io\"\npull-from-mirror = \"all\"\n",
                "leave one of them out",
            ),
            ("[[registry]]\nlocation = \"r.io\"\n[[registry.mirror]]\n", "is not a registry"),
        ] {
            let error = parse(text, "/r.conf".into()).err().unwrap_or_else(|| panic!("{text}"));
            assert!(error.contains(reason) && !error.contains('\n'), "{text}: {error}");
        }
        // Keys of other programs, and those of later versions.
        assert!(parse("credential-helpers = [\"x\"]\nnew = 1\n", "/r.conf".into()).is_ok());
    }
}
