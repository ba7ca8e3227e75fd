//! Login and logout: a credential is checked at its registry before it is kept.

use std::sync::Arc;

use url::Url;

use crate::reference::RegistryReference;
use crate::registry::attempt::Attempts;
use crate::registry::auth::{
    Accounts, Credential, CredentialSource, KeptLogin, RemovedLogins, registry_name,
};
use crate::registry::background::Background;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::event::Progress;
use crate::registry::http::Request;
use crate::registry::options::PullOptions;
use crate::registry::rate::RateLimit;
use crate::registry::registries::{Endpoint, EndpointKind};
use crate::registry::repository::Registry;
use crate::registry::stop::PullStop;

/// Checks a credential and keeps it.
pub(crate) fn log_in(
    engine: &Arc<Engine>,
    registry: &str,
    credential: &Credential,
    options: &PullOptions,
    progress: &Progress,
    stop: &PullStop,
) -> Result<KeptLogin, PullError> {
    let name = registry_name(registry);
    let reference = RegistryReference::of_registry(&name)?;
    let background = Background::start(engine, stop, options.max_time)?;
    let mut asked = options.clone();
    asked.credentials = CredentialSource::Fixed(credential.clone());
    let place = Endpoint {
        meaning: reference.clone(),
        insecure: options.registries.is_insecure(&reference),
        reference: reference.clone(),
        kind: EndpointKind::Registry,
        is_moved: false,
    };
    let login = engine.connections.logins.login(&reference, &asked);
    let connections = Arc::clone(&engine.connections);
    let limit = RateLimit::new(asked.limit_rate_bytes);
    let registry = Registry::new(place, asked, progress.clone(), stop.clone(), limit, connections, login);
    let (credential, options, stop) = (credential.clone(), options.clone(), stop.clone());
    background.run(async move {
        let is_checked = check(&registry).await.map_err(|error| registry.shown(error))?;
        let accounts = Accounts::of(&options.credentials, options.child_setup)?;
        stop.race(accounts.keep(&name, &credential, is_checked)).await?
    })
}

/// Removes credentials.
pub(crate) fn log_out(
    engine: &Arc<Engine>,
    registry: Option<&str>,
    options: &PullOptions,
    stop: &PullStop,
) -> Result<RemovedLogins, PullError> {
    let background = Background::start(engine, stop, options.max_time)?;
    let (registry, options, stop) = (registry.map(registry_name), options.clone(), stop.clone());
    background.run(async move {
        let accounts = Accounts::of(&options.credentials, options.child_setup)?;
        stop.race(accounts.remove(registry.as_deref())).await?
    })
}

/// Returns whether the registry asked for the credential and accepted it.
async fn check(registry: &Registry) -> Result<bool, PullError> {
    let (http, access) = registry.connection().await?;
    let url: Url = access.origin.join("v2/").map_err(|error| PullError::Environment {
        reason: format!("the registry has no address: {error}"),
    })?;
    let request = Request::get(url, "the login".to_owned());
    let mut attempts = Attempts::default();
    loop {
        match access.once(http, &request).await {
            Ok(response) if response.status().is_success() => {
                return Ok(access.login.auth.lock().await.has_proof());
            }
            Ok(response) => {
                let status = response.status();
                let detail = http.detail(response).await;
                return Err(request.status_error(status, detail));
            }
            Err(failure) => http.pause(&mut attempts, &request.what, failure).await?,
        }
    }
}
