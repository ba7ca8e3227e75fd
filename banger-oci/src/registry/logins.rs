//! The logins of all pulls: pulls of one repository with the same credentials share a token.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::Mutex;

use crate::reference::RegistryReference;
use crate::registry::auth::{Auth, CredentialSource};
use crate::registry::options::PullOptions;
use crate::registry::repository_use::RepositoryUse;
use crate::registry::secrets::Secrets;

/// Logins that are kept.
const MAX_LOGINS: usize = 64;

/// Logins that were made before, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Logins(StdMutex<VecDeque<(LoginKey, Arc<Login>)>>);

/// Who asks, and whom.
#[derive(Debug, PartialEq, Eq)]
struct LoginKey {
    registry: String,
    repository: String,
    plain_http: bool,
    credentials: CredentialSource,
    /// A token for pulls does not allow pushes.
    repository_use: RepositoryUse,
}

/// A login to one repository.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) auth: Mutex<Auth>,
    /// The credentials that were sent.
    pub(crate) secrets: Secrets,
    /// Whether access was refused. The next pull begins anew: the user may have logged in meanwhile.
    refused: AtomicBool,
    /// Whether a request with a header was answered.
    accepted: AtomicBool,
}

impl Login {
    /// Notes that a request with a header was answered.
    pub(crate) fn note_accepted(&self) {
        self.accepted.store(true, Ordering::Release);
    }

    pub(crate) fn was_accepted(&self) -> bool {
        self.accepted.load(Ordering::Acquire)
    }

    /// Notes that access was refused in the end.
    pub(crate) fn note_refusal(&self) {
        self.refused.store(true, Ordering::Release);
    }
}

impl Logins {
    /// The login for a pull.
    pub(crate) fn login(&self, reference: &RegistryReference, options: &PullOptions) -> Arc<Login> {
        let key = LoginKey {
            registry: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            plain_http: options.plain_http,
            credentials: options.credentials.clone(),
            repository_use: options.repository_use.clone(),
        };
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|(_, login)| !login.refused.load(Ordering::Acquire));
        if let Some((_, login)) = logins.iter().find(|(known, _)| *known == key) {
            return Arc::clone(login);
        }
        let login = Arc::new(Login {
            auth: Mutex::new(Auth::new(
                reference,
                key.credentials.clone(),
                options.child_setup,
                key.repository_use.clone(),
            )),
            secrets: Secrets::default(),
            refused: AtomicBool::new(false),
            accepted: AtomicBool::new(false),
        });
        if logins.len() == MAX_LOGINS {
            logins.pop_front();
        }
        logins.push_back((key, Arc::clone(&login)));
        login
    }
}
