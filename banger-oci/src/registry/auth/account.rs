//! Logins that docker, podman and banger share: kept in their files, or by their helpers.

use banger_tree::ChildSetup;
use camino::{Utf8Path, Utf8PathBuf};

use super::account_file::{AccountFile, key_of};
use super::config_file::normalise;
use super::credential::Credential;
use super::credentials::{CredentialSource, HELPER_TIMEOUT, user_files, user_login_file};
use super::helper::Helper;
use crate::registry::error::PullError;

/// A login that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptLogin {
    /// The registry, `HOST[:PORT][/PATH]`.
    pub registry: String,
    /// The file that has the credential, or names the helper that has it.
    pub path: Utf8PathBuf,
    /// The program that keeps the credential, if the file names one.
    pub helper: Option<String>,
    /// Whether the registry asked for the credential and accepted it. A registry that lets everybody in checks nothing.
    pub is_checked: bool,
}

/// Logins that were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemovedLogins {
    /// The registries.
    pub registries: Vec<String>,
    /// The files that had their credentials, or named the helpers that had them.
    pub paths: Vec<Utf8PathBuf>,
}

/// The files with logins and how their helpers run.
pub(crate) struct Accounts<'a> {
    files: Vec<Utf8PathBuf>,
    /// The file for a registry that no file knows.
    new_logins: Utf8PathBuf,
    helper_dir: Option<&'a Utf8Path>,
    timeout: std::time::Duration,
    child_setup: ChildSetup,
}

/// Returns a registry as credentials are kept for it: `HOST[:PORT][/PATH]`.
pub(crate) fn registry_name(text: &str) -> String {
    let name = normalise(text.trim());
    let end = name.find('/').unwrap_or(name.len());
    format!("{}{}", name[..end].to_ascii_lowercase(), &name[end..])
}

impl<'a> Accounts<'a> {
    pub(crate) fn of(source: &'a CredentialSource, child_setup: ChildSetup) -> Result<Self, PullError> {
        let none = || PullError::Environment { reason: "there is no file to keep a login in".to_owned() };
        Ok(match source {
            CredentialSource::Anonymous | CredentialSource::Fixed(_) => return Err(none()),
            CredentialSource::User => Self {
                files: user_files(),
                new_logins: user_login_file().ok_or_else(none)?,
                helper_dir: None,
                timeout: HELPER_TIMEOUT,
                child_setup,
            },
            CredentialSource::Files { files, helper_dir, helper_timeout } => Self {
                new_logins: files.first().ok_or_else(none)?.clone(),
                files: files.clone(),
                helper_dir: helper_dir.as_deref(),
                timeout: *helper_timeout,
                child_setup,
            },
        })
    }

    fn helper<'b>(&'b self, name: &'b str, config: &'b Utf8Path) -> Helper<'b> {
        Helper { name, dir: self.helper_dir, timeout: self.timeout, config, child_setup: self.child_setup }
    }

    /// Keeps a credential where the next search finds it first.
    pub(crate) async fn keep(
        &self,
        registry: &str,
        credential: &Credential,
        is_checked: bool,
    ) -> Result<KeptLogin, PullError> {
        let mut chosen = None;
        for path in &self.files {
            // A file that another program broke, or that belongs to root, is not in the way of another file.
            if *path != self.new_logins && AccountFile::open(path).is_ok_and(|file| file.knows(registry)) {
                chosen = Some(path);
                break;
            }
        }
        let path = chosen.unwrap_or(&self.new_logins);
        let mut file = AccountFile::lock(path).await?;
        let helper = file.helper(registry);
        match &helper {
            Some((name, server)) => {
                self.helper(name, path).store(server, credential).await?;
                // An older password beside it would be a second home.
                if file.remove(registry) {
                    file.write()?;
                }
            }
            None => {
                file.set(registry, credential);
                file.write()?;
            }
        }
        let helper = helper.map(|(name, _)| format!("docker-credential-{name}"));
        Ok(KeptLogin { registry: registry.to_owned(), path: path.clone(), helper, is_checked })
    }

    /// Removes the credentials of one registry, or of all, from all files and their helpers.
    pub(crate) async fn remove(&self, registry: Option<&str>) -> Result<RemovedLogins, PullError> {
        let mut removed = RemovedLogins::default();
        for path in &self.files {
            let mut file = match path.exists() {
                true => AccountFile::lock(path).await?,
                // Nothing is made for it.
                false => continue,
            };
            let mut found = Vec::new();
            match registry {
                Some(registry) => {
                    if let Some((name, server)) = file.helper(registry) {
                        let helper = self.helper(&name, path);
                        if helper.get(&server).await?.is_some() {
                            helper.erase(&server).await?;
                            found.push(registry.to_owned());
                        }
                    }
                    if file.remove(registry) {
                        file.write()?;
                        found.push(registry.to_owned());
                    }
                }
                None => {
                    for name in file.helpers() {
                        let helper = self.helper(&name, path);
                        for server in helper.list().await? {
                            helper.erase(&server).await?;
                            found.push(normalise(&server));
                        }
                    }
                    let entries = file.registries();
                    if !entries.is_empty() {
                        entries.iter().for_each(|registry| {
                            file.remove(registry);
                        });
                        file.write()?;
                        found.extend(entries);
                    }
                }
            }
            if !found.is_empty() {
                removed.paths.push(path.clone());
                removed.registries.extend(found);
            }
        }
        removed.registries.sort();
        removed.registries.dedup();
        match registry {
            Some(registry) if removed.registries.is_empty() => {
                Err(PullError::NoCredentials { registry: key_of(registry).to_owned() })
            }
            _ => Ok(removed),
        }
    }
}
