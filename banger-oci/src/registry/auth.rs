//! Proving to a registry who is asking.

use std::time::{Duration, Instant};

use banger_tree::ChildSetup;
use base64::Engine as _;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use url::Url;

use crate::one_line::one_line;
use crate::reference::RegistryReference;
use crate::registry::cap::Cap;
use crate::registry::error::PullError;
use crate::registry::foreign_text::{error_detail, web_page_title};
use crate::registry::http::{Http, Request, read_capped};
use crate::registry::origin::{host_of, same_origin};
use crate::registry::repository_use::RepositoryUse;

mod account;
mod account_file;
mod challenge;
mod config_file;
mod credential;
mod credentials;
mod helper;
mod realm;

pub(crate) use account::{Accounts, registry_name};
pub use account::{KeptLogin, RemovedLogins};
use challenge::Challenge;
pub use credential::Credential;
pub use credentials::CredentialSource;
use realm::{is_private, judge_realm};

/// Lifetime of a token if the server does not give one (distribution's token specification).
const DEFAULT_TOKEN_LIFE: Duration = Duration::from_secs(60);
/// A token is renewed this long before it ends, as a request takes time.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// The largest answer of a token server that is read.
const TOKEN_CAP: Cap = Cap::fixed(1 << 20);
/// The longest token that is sent; servers take less than this for all headers of a request.
const MAX_TOKEN_LEN: usize = 256 << 10;
/// The name banger gives token servers.
const CLIENT_ID: &str = "banger";

/// The state of the access to one repository.
#[derive(Debug)]
pub(crate) struct Auth {
    registry: String,
    repository: String,
    source: CredentialSource,
    child_setup: ChildSetup,
    repository_use: RepositoryUse,
    /// Whether the registry itself is spoken to over plain http.
    plain: bool,
    /// Whether the registry is one of the public internet.
    public: Option<bool>,
    challenge: Option<Challenge>,
    credential: Option<Option<Credential>>,
    header: Option<HeaderValue>,
    expires: Option<Instant>,
    /// Counts the headers obtained, so that parallel requests renew a token only once.
    generation: u64,
    /// The generation that was refused although it was new.
    rejected: Option<u64>,
    /// The challenge of `/v2/`, once it is known; the inner `None` means no challenge.
    root_challenge: Option<Option<Challenge>>,
}

/// The next step after an answer that refuses a request.
#[derive(Debug)]
pub(crate) enum LoginAnswer {
    /// Make the request again, with the new header.
    Retry,
    /// Take the answer. The text names the missing credential, if that is known.
    Refused(Option<&'static str>),
}

/// The answer of a token server.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
}

/// Whole seconds. Some servers write them as a text or with a fraction: then the default holds.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Whole(u64),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Seconds::deserialize(deserializer)? {
        Seconds::Whole(seconds) => Some(seconds),
        Seconds::Other(_) => None,
    })
}

/// An answer that refuses a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// That of the header that was sent.
    pub(crate) generation: u64,
    /// Whether no credential was sent.
    pub(crate) anonymous: bool,
}

impl Auth {
    pub(crate) fn new(
        reference: &RegistryReference,
        source: CredentialSource,
        child_setup: ChildSetup,
        repository_use: RepositoryUse,
    ) -> Self {
        Self {
            registry: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            source,
            child_setup,
            repository_use,
            plain: false,
            public: None,
            challenge: None,
            credential: None,
            header: None,
            expires: None,
            generation: 0,
            rejected: None,
            root_challenge: None,
        }
    }

    /// The header to send now, and its generation. A token that is about to end is renewed.
    pub(crate) async fn header(
        &mut self,
        http: &Http,
        origin: &Url,
    ) -> Result<(Option<HeaderValue>, u64), PullError> {
        if self.expires.is_some_and(|expires| expires <= Instant::now()) {
            self.obtain(http, origin).await?;
        }
        Ok((self.header.clone(), self.generation))
    }

    /// Finds a header for a request that was refused with `status`. The request had the header of
    /// `generation`, or no header if `anonymous`.
    ///
    /// A registry may omit the challenge at some addresses. If the answer has none, `/v2/` is asked once
    /// (distribution-spec, "Determining Support").
    pub(crate) async fn answer(
        &mut self,
        http: &Http,
        origin: &Url,
        refusal: Refusal<'_>,
    ) -> Result<LoginAnswer, PullError> {
        let Refusal { status, headers, generation, anonymous } = refusal;
        if self.generation != generation {
            return Ok(LoginAnswer::Retry);
        }
        if self.rejected == Some(generation) {
            return Ok(LoginAnswer::Refused(None));
        }
        let is_challenge = status == StatusCode::UNAUTHORIZED;
        let values = headers.get_all(WWW_AUTHENTICATE);
        let stated = values.iter().filter_map(|value| value.to_str().ok());
        let mut challenge = challenge::choose(stated).filter(|_| is_challenge);
        // A registry may send its challenge only once.
        challenge = challenge.or_else(|| self.challenge.clone().filter(|_| is_challenge));
        if challenge.is_none() && anonymous {
            challenge = match &self.root_challenge {
                Some(known) => known.clone(),
                None => self.ask_root(http, origin).await,
            };
            self.root_challenge = Some(challenge.clone());
        }
        if challenge.is_none() && is_challenge {
            // No challenge is known, but the user may have a password for this registry.
            let credential = self.credential(http).await?;
            challenge = matches!(credential, Some(Credential::Password { .. })).then_some(Challenge::Basic);
        }
        let Some(challenge) = challenge else {
            return Ok(LoginAnswer::Refused(
                is_challenge.then_some("it does not say what kind of login it wants"),
            ));
        };
        if challenge == Challenge::Basic
            && !matches!(self.credential(http).await?, Some(Credential::Password { .. }))
        {
            return Ok(LoginAnswer::Refused(Some("it asks for a user name and a password")));
        }
        self.challenge = Some(challenge);
        let before = self.header.clone();
        match self.obtain(http, origin).await {
            Ok(()) if self.header == before => Ok(LoginAnswer::Refused(None)),
            Ok(()) => Ok(LoginAnswer::Retry),
            // The object may not exist, with or without a login.
            Err(PullError::Unauthorized { .. }) if !is_challenge => Ok(LoginAnswer::Refused(None)),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a credential was sent and not refused.
    pub(crate) fn has_proof(&self) -> bool {
        self.header.is_some()
    }

    /// Notes that the header of `generation` was refused at once.
    pub(crate) fn reject(&mut self, generation: u64) {
        if self.generation == generation {
            self.rejected = Some(generation);
        }
    }

    /// Returns the challenge of `/v2/`, if it has one.
    async fn ask_root(&self, http: &Http, origin: &Url) -> Option<Challenge> {
        let response = http.probe(origin.join("v2/").ok()?).await.ok()?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return None;
        }
        let values = response.headers().get_all(WWW_AUTHENTICATE);
        challenge::choose(values.iter().filter_map(|value| value.to_str().ok()))
    }

    /// The user's credential for this repository, looked up once.
    async fn credential(&mut self, http: &Http) -> Result<Option<Credential>, PullError> {
        if let Some(credential) = &self.credential {
            return Ok(credential.clone());
        }
        let find = self.source.find(&self.registry, &self.repository, self.child_setup);
        let found = http.stop.race(find).await??;
        match &found {
            Some(Credential::Password { user, password }) => {
                http.secrets.add_password(password);
                http.secrets.add_credential(&encoded(user, password));
            }
            Some(Credential::IdentityToken(token)) => {
                http.secrets.add_credential(token);
                http.secrets.add_credential(&encoded("<token>", token));
            }
            None => {}
        }
        self.credential = Some(found.clone());
        Ok(found)
    }

    async fn obtain(&mut self, http: &Http, origin: &Url) -> Result<(), PullError> {
        let Some(challenge) = self.challenge.clone() else {
            return Ok(());
        };
        let credential = self.credential(http).await?;
        match challenge {
            Challenge::Basic => {
                let Some(Credential::Password { user, password }) = credential else {
                    return Err(PullError::Unauthorized {
                        host: self.registry.clone(),
                        detail: "it asks for a user name and a password".to_owned(),
                    });
                };
                self.header = Some(basic(&user, &password));
                self.expires = None;
            }
            Challenge::Bearer { realm, service, scope } => {
                self.plain = origin.scheme() == "http";
                let url = self.check_realm(&realm, origin).await?;
                let scope = self.repository_use.scope(&self.repository, scope);
                let answer = self.token(http, &url, service.as_deref(), &scope, credential.as_ref()).await?;
                let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
                let token = token.filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN_LEN);
                if let Some(token) = &token {
                    http.secrets.add_token(token);
                }
                let header = token.and_then(|token| secret(&format!("Bearer {token}")));
                let header = header.ok_or_else(|| PullError::Unauthorized {
                    host: host_of(&url),
                    detail: "its token server answered without a token that can be sent".to_owned(),
                })?;
                let life = answer.expires_in.map_or(DEFAULT_TOKEN_LIFE, Duration::from_secs);
                self.header = Some(header);
                // A life shorter than the margin is renewed by the 401 that it leads to.
                self.expires = Instant::now()
                    .checked_add(life.saturating_sub(EXPIRY_MARGIN).max(Duration::from_secs(1)));
            }
        }
        self.generation += 1;
        Ok(())
    }

    /// Checks that credentials may be sent to a token server.
    async fn check_realm(&mut self, realm: &str, origin: &Url) -> Result<Url, PullError> {
        let refuse = |reason: &str| PullError::Realm {
            registry: self.registry.clone(),
            realm: one_line(realm),
            reason: reason.to_owned(),
        };
        let url = Url::parse(realm).map_err(|_| refuse("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(refuse("it is not a web address"));
        }
        if same_origin(&url, origin) {
            return Ok(url);
        }
        let public = match self.public {
            Some(public) => public,
            None => !is_private(origin).await,
        };
        let verdict = judge_realm(&url, self.plain, public, public && is_private(&url).await);
        verdict.map_err(refuse)?;
        self.public = Some(public);
        Ok(url)
    }

    async fn token(
        &self,
        http: &Http,
        realm: &Url,
        service: Option<&str>,
        scope: &str,
        credential: Option<&Credential>,
    ) -> Result<TokenAnswer, PullError> {
        let what = format!("a token from {}", host_of(realm));
        if let Some(Credential::IdentityToken(refresh)) = credential {
            let form = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("grant_type", "refresh_token")
                .append_pair("service", service.unwrap_or_default())
                .append_pair("client_id", CLIENT_ID)
                .append_pair("scope", scope)
                .append_pair("refresh_token", refresh)
                .finish();
            let mut request = Request::post(realm.clone(), what.clone(), form);
            request
                .headers
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
            // Servers without the OAuth2 endpoint take the GET form only, and say so in many ways.
            let lacking = [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
            match http.send(&request).await {
                Ok(response) if lacking.contains(&response.status()) => {}
                Err(PullError::Unauthorized { .. }) => {}
                answer => return self.read_token(http, realm, answer?).await,
            }
        }
        let mut url = realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            // Several scopes come separated by spaces and are sent one by one.
            for scope in scope.split(' ').filter(|scope| !scope.is_empty()) {
                query.append_pair("scope", scope);
            }
        }
        let mut request = Request::get(url, what);
        match credential {
            Some(Credential::Password { user, password }) => {
                request.headers.insert(AUTHORIZATION, basic(user, password));
            }
            Some(Credential::IdentityToken(refresh)) => {
                request.headers.insert(AUTHORIZATION, basic("<token>", refresh));
            }
            None => {}
        }
        let response = http.send(&request).await?;
        self.read_token(http, realm, response).await
    }

    async fn read_token(
        &self,
        http: &Http,
        realm: &Url,
        response: reqwest::Response,
    ) -> Result<TokenAnswer, PullError> {
        let status = response.status();
        let refused = |detail| PullError::Unauthorized { host: host_of(realm), detail };
        let no_token = || refused("its token server answered something that is no token".to_owned());
        let body = read_capped(http, response, TOKEN_CAP, "the answer of a token server").await.map_err(
            |failure| match failure.into_error() {
                PullError::TooLarge { .. } => no_token(),
                error => error,
            },
        )?;
        // Hidden before it is cut: a part of a secret is secret as well.
        let text = http.secrets.hide(&String::from_utf8_lossy(&body));
        if !status.is_success() {
            let detail = error_detail(&text).replace("the registry answered", "it answered");
            return Err(refused(format!("its token server answered {}: {detail}", status.as_u16())));
        }
        if let Some(title) = web_page_title(&text) {
            let (who, what) = ("the token server", "a token".to_owned());
            return Err(PullError::WebPage { who, host: host_of(realm), title, what });
        }
        serde_json::from_slice(&body).map_err(|_| no_token())
    }
}

fn basic(user: &str, password: &str) -> HeaderValue {
    secret(&format!("Basic {}", encoded(user, password))).expect("base64 is fit for a header")
}

fn encoded(user: &str, password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}").as_bytes())
}

/// A header value that is not shown in debug output.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn b37_a_public_registry_cannot_name_a_private_realm() {
        let reference = "registry.example/r".parse().unwrap();
        let crate::Reference::Registry(reference) = reference else { panic!("a registry") };
        let mut auth =
            Auth::new(&reference, CredentialSource::Anonymous, ChildSetup::default(), RepositoryUse::Pull);
        auth.public = Some(true);
        let origin = Url::parse("https://registry.example/").unwrap();
        for realm in ["https://169.254.169.254/token", "http://1.1.1.1/token", "file:///etc/passwd", "x"] {
            let error = auth.check_realm(realm, &origin).await.unwrap_err();
            assert!(matches!(&error, PullError::Realm { realm: named, .. } if named == realm));
        }
        auth.check_realm("https://1.1.1.1/token", &origin).await.unwrap();
    }
}
