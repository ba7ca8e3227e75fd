//! Requests to a registry with a credential, and with a login if the registry asks for one.

use std::sync::Arc;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Response, StatusCode};
use url::Url;

use crate::registry::attempt::FailedAttempt;
use crate::registry::auth::{LoginAnswer, Refusal};
use crate::registry::error::PullError;
use crate::registry::http::{Http, LoginHint, Request, Step};
use crate::registry::logins::Login;
use crate::registry::origin::same_origin;

/// New tokens for one request, if the registry accepted such a token before: several connections share a token,
/// which may end for one of them while another one renews it.
const MAX_RENEWALS: u32 = 3;

/// The access to a registry: its origin, and the credentials that are sent only there.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) origin: Url,
    pub(crate) login: Arc<Login>,
}

impl Access {
    /// Makes one attempt at a request. Redirects and a login add more requests.
    pub(crate) async fn once(&self, http: &Http, request: &Request) -> Result<Response, FailedAttempt> {
        let outcome = self.follow(http, request).await;
        if matches!(&outcome, Err(FailedAttempt::Final(PullError::Unauthorized { .. }))) {
            self.login.note_refusal();
        }
        outcome
    }

    async fn follow(&self, http: &Http, request: &Request) -> Result<Response, FailedAttempt> {
        let mut url = request.url.clone();
        let mut renewals = 0;
        let mut redirects = 0;
        loop {
            let is_own = same_origin(&url, &self.origin);
            let (header, generation) = if is_own { self.header(http).await? } else { (None, 0) };
            let anonymous = header.is_none();
            let mut response =
                http.exchange(request, &url, header.map(|value| (AUTHORIZATION, value))).await?;
            if is_own && is_refusal(response.status(), anonymous) {
                let mut auth = http.stop.race(self.login.auth.lock()).await?;
                if renewals > 0 && (renewals == MAX_RENEWALS || !self.login.was_accepted()) {
                    auth.reject(generation);
                } else {
                    renewals += 1;
                    let (status, headers) = (response.status(), response.headers());
                    let refusal = Refusal { status, headers, generation, anonymous };
                    let answer = Box::pin(auth.answer(http, &self.origin, refusal));
                    match http.stop.race(answer).await?? {
                        LoginAnswer::Retry => continue,
                        LoginAnswer::Refused(None) => {}
                        LoginAnswer::Refused(Some(hint)) => {
                            response.extensions_mut().insert(LoginHint(hint));
                        }
                    }
                }
            }
            let is_accepted = response.status().is_success() || response.status().is_redirection();
            if is_own && !anonymous && is_accepted {
                self.login.note_accepted();
            }
            match http.judge(request, &url, response, &mut redirects).await? {
                Step::Answer(response) => return Ok(response),
                Step::Elsewhere(next) => url = next,
            }
        }
    }

    /// The header to send now, and its generation.
    async fn header(&self, http: &Http) -> Result<(Option<HeaderValue>, u64), PullError> {
        let mut auth = http.stop.race(self.login.auth.lock()).await?;
        let current = Box::pin(auth.header(http, &self.origin));
        http.stop.race(current).await?
    }
}

/// Returns whether a login may change the answer. Some registries hide repositories from strangers.
fn is_refusal(status: StatusCode, anonymous: bool) -> bool {
    status == StatusCode::UNAUTHORIZED
        || (anonymous && matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND))
}
