//! The settings that podman, skopeo and docker keep for a user.

use camino::{Utf8Path, Utf8PathBuf};

use crate::registry::auth::CredentialSource;
use crate::registry::error::PullError;
use crate::registry::local_sources::LocalSources;
use crate::registry::options::PullOptions;
use crate::registry::proxy::ProxySettings;
use crate::registry::registries::RegistriesConfig;

/// The system's own files.
const SYSTEM: &str = "/etc/containers";
const DOCKER_CERTS: &str = "/etc/docker/certs.d";

impl PullOptions {
    /// Returns the options of a user's command line. This reads the environment and files of the host:
    ///
    /// - credentials: see [`CredentialSource::User`];
    /// - mirrors and short names: see [`RegistriesConfig::of_user`];
    /// - certificates: `containers/certs.d` below `$XDG_CONFIG_HOME` or `~/.config`, `/etc/containers/certs.d`,
    ///   `/etc/docker/certs.d`;
    /// - proxies: see [`ProxySettings::from_env`];
    /// - daemons and storages of this machine: see [`LocalSources::of_user`].
    ///
    /// # Errors
    ///
    /// The configuration of registries cannot be used.
    pub fn of_user() -> Result<Self, PullError> {
        let mut options = Self::of_user_without_registries();
        options.registries = RegistriesConfig::of_user()?;
        Ok(options)
    }

    /// Returns the options of [`of_user`](Self::of_user), without a configuration of registries.
    #[must_use]
    pub fn of_user_without_registries() -> Self {
        Self {
            credentials: CredentialSource::User,
            certs_dirs: user_certs_dirs(&|name| std::env::var(name).ok()),
            proxy: ProxySettings::from_env(),
            local: LocalSources::default().with_of_user(true),
            ..Self::default()
        }
    }
}

impl RegistriesConfig {
    /// Reads the files that podman and skopeo read: `$CONTAINERS_REGISTRIES_CONF`, else
    /// `~/.config/containers/registries.conf`, else `/etc/containers/registries.conf`; then the `.conf` files of
    /// `/etc/containers/registries.conf.d` and `~/.config/containers/registries.conf.d`. Missing files have no
    /// settings. This reads the environment.
    ///
    /// # Errors
    ///
    /// The errors of [`read`](Self::read).
    pub fn of_user() -> Result<Self, PullError> {
        let (file, dirs) = user_files(&|name| std::env::var(name).ok(), &|path| path.exists());
        let mut files: Vec<Utf8PathBuf> = file.into_iter().collect();
        files.extend(Self::drop_ins(&dirs)?);
        Self::read(&files)
    }
}

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Returns the user's own directory of settings for containers.
fn own_settings(variable: Variable<'_>) -> Option<Utf8PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(Utf8PathBuf::from);
    let config = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    Some(config?.join("containers"))
}

/// Returns the main file, if there is one, and the drop-in directories.
fn user_files(
    variable: Variable<'_>,
    exists: &dyn Fn(&Utf8Path) -> bool,
) -> (Option<Utf8PathBuf>, Vec<Utf8PathBuf>) {
    let own = own_settings(variable);
    let named = variable("CONTAINERS_REGISTRIES_CONF").filter(|file| !file.is_empty()).map(Utf8PathBuf::from);
    let usual = || {
        let own_file = own.as_ref().map(|dir| dir.join("registries.conf"));
        let system_file = Utf8Path::new(SYSTEM).join("registries.conf");
        own_file.into_iter().chain([system_file]).find(|file| exists(file))
    };
    // A file that the user names has to be there.
    let file = named.or_else(usual);
    let dirs = [Some(SYSTEM.into()), own]
        .into_iter()
        .flatten()
        .map(|dir: Utf8PathBuf| dir.join("registries.conf.d"));
    (file, dirs.collect())
}

fn user_certs_dirs(variable: Variable<'_>) -> Vec<Utf8PathBuf> {
    let own = own_settings(variable).map(|dir| dir.join("certs.d"));
    own.into_iter().chain([Utf8Path::new(SYSTEM).join("certs.d"), DOCKER_CERTS.into()]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn files_of_a_user() {
        let files = |variables: &[(&str, &str)], existing: &[&str]| {
            let variables: BTreeMap<_, _> = variables.iter().copied().collect();
            let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
            let (file, dirs) = user_files(&variable, &|path| existing.contains(&path.as_str()));
            let certs = user_certs_dirs(&variable);
            let text =
                |paths: &[Utf8PathBuf]| paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            (file.map(Utf8PathBuf::into_string), text(&dirs), text(&certs))
        };
        let (system, own) = ("/etc/containers/registries.conf", "/h/.config/containers/registries.conf");
        let home = ("HOME", "/h");
        for (variables, existing, expected) in [
            (vec![home], vec![system], Some(system)),
            (vec![home], vec![system, own], Some(own)),
            (vec![home], vec![], None),
            (vec![home, ("CONTAINERS_REGISTRIES_CONF", "/x")], vec![system, own], Some("/x")),
            (vec![home, ("CONTAINERS_REGISTRIES_CONF", "")], vec![system], Some(system)),
            (vec![home, ("XDG_CONFIG_HOME", "/c")], vec![system, own], Some(system)),
        ] {
            assert_eq!(files(&variables, &existing).0.as_deref(), expected, "{variables:?} {existing:?}");
        }
        let (_, dirs, certs) = files(&[home], &[]);
        assert_eq!(dirs, "/etc/containers/registries.conf.d /h/.config/containers/registries.conf.d");
        assert_eq!(certs, "/h/.config/containers/certs.d /etc/containers/certs.d /etc/docker/certs.d");
        assert_eq!(files(&[], &[]).1, "/etc/containers/registries.conf.d");
    }
}
