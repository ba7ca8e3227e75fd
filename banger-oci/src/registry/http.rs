//! Requests: redirects, retries and their limits, the same for registries and token servers.

use std::time::{Duration, Instant, SystemTime};

use banger_tree::{Advice, Setting};
use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response};
use url::Url;

use crate::registry::attempt::{Attempts, FailedAttempt, classify, explain};
use crate::registry::cap::Cap;
use crate::registry::clients::{ClientPair, Clients, Server};
use crate::registry::error::{PullError, is_transient_status};
use crate::registry::event::{Progress, PullEvent};
use crate::registry::foreign_text::{NO_REASON, error_detail};
use crate::registry::options::PullOptions;
use crate::registry::origin::{host_of, same_origin};
use crate::registry::rate::{MinRate, Pauses, RateLimit, RateMeter};
use crate::registry::redirect::{redirect_target, retry_after};
use crate::registry::repository_use::RepositoryUse;
pub(crate) use crate::registry::request::Request;
use crate::registry::request::RequestBody;
use crate::registry::secrets::Secrets;
use crate::registry::split::SplitRules;
use crate::registry::stop::PullStop;
use crate::registry::trace::{RequestTrace, trace};
use crate::registry::upload_body::UploadPace;

/// As much of an error answer as is read for its explanation.
const ERROR_LEN: usize = 64 * 1024;
/// How long the explanation in an error answer may take to come.
const ERROR_TIME: Duration = Duration::from_secs(5);

/// An HTTP client with the rules of a pull.
#[derive(Debug)]
pub(crate) struct Http {
    /// Large blobs come by the separate one. One connection for each download is faster than one that all share: four downloads over
    /// one HTTP/2 connection took 1.4 times as long. And a broken one breaks only that download.
    clients: ClientPair,
    pub(crate) stop: PullStop,
    pub(crate) progress: Progress,
    /// The credentials that were sent.
    pub(crate) secrets: Secrets,
    pub(crate) rate: MinRate,
    pub(crate) limit: RateLimit,
    pub(crate) stall_timeout: Duration,
    repository_use: RepositoryUse,
    pub(crate) split: SplitRules,
    pauses: Pauses,
    attempts: u32,
    backoff: Duration,
    max_backoff: Duration,
}

/// The part that a refused request lacked, as an extension of its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoginHint(pub(crate) &'static str);

/// The next step after an answer.
#[derive(Debug)]
pub(crate) enum Step {
    Answer(Response),
    /// The same request at another address.
    Elsewhere(Url),
}

impl Http {
    /// Returns a client for one server.
    pub(crate) fn new(
        clients: &Clients,
        options: &PullOptions,
        server: Server<'_>,
        progress: Progress,
        stop: PullStop,
        limit: RateLimit,
        secrets: Secrets,
    ) -> Result<Self, PullError> {
        for password in options.proxy.passwords() {
            secrets.add_password(&password);
        }
        Ok(Self {
            clients: clients.clients(options, server)?,
            stop,
            progress,
            secrets,
            rate: MinRate::new(options),
            limit,
            stall_timeout: options.stall_timeout,
            repository_use: options.repository_use.clone(),
            split: SplitRules::new(options),
            pauses: Pauses::new(options.max_wait),
            attempts: options.attempts.max(1),
            backoff: options.backoff,
            max_backoff: options.max_backoff,
        })
    }

    /// Returns whether a server answers at `url`, with any answer.
    pub(crate) async fn probe(&self, url: Url) -> Result<Response, reqwest::Error> {
        self.clients.shared.get(url).send().await
    }

    /// Makes a request without a login until it is answered. Statuses that promise a later success are
    /// retried; every other one is returned.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, PullError> {
        let mut attempts = Attempts::default();
        loop {
            match self.once(&request.again(&attempts)).await {
                Ok(response) => return Ok(response),
                Err(failure) => self.pause(&mut attempts, &request.what, failure).await?,
            }
        }
    }

    /// Waits before the next attempt, or gives up.
    pub(crate) async fn pause(
        &self,
        attempts: &mut Attempts,
        what: &str,
        failure: FailedAttempt,
    ) -> Result<(), PullError> {
        let (reason, after, most, error) = match failure {
            FailedAttempt::Final(error) => return Err(error),
            FailedAttempt::Doubtful { reason, error } => (reason, None, self.attempts.min(2), error),
            FailedAttempt::Transient { reason, after, error } => (reason, after, self.attempts, error),
        };
        attempts.failed += 1;
        attempts.total += 1;
        // The second bound is for servers that send a little and break off, again and again.
        if attempts.failed >= most || attempts.total >= self.attempts.saturating_mul(20) {
            return Err(error);
        }
        let doubled = self.backoff.saturating_mul(1 << (attempts.failed - 1).min(16));
        let delay = after.unwrap_or(doubled).min(self.max_backoff);
        if !self.pauses.note(Instant::now(), delay) {
            return Err(PullError::TooSlow {
                what: what.to_owned(),
                reason: format!("{reason}, after pauses of {:?} in all", self.pauses.limit()),
                advice: Advice::with_setting(
                    "try again later, or allow longer pauses by {setting}",
                    Setting("max_wait"),
                ),
            });
        }
        trace!(
            WARN,
            what,
            reason = reason.as_str(),
            attempt = attempts.failed,
            "a request failed and is made again"
        );
        self.progress.emit(PullEvent::Retry {
            what: what.to_owned(),
            reason,
            attempt: attempts.failed,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        });
        self.stop.race(tokio::time::sleep(delay)).await
    }

    /// Makes one attempt at a request, without a login. Redirects add more requests.
    pub(crate) async fn once(&self, request: &Request) -> Result<Response, FailedAttempt> {
        let mut url = request.url.clone();
        let mut redirects = 0;
        loop {
            let response = self.exchange(request, &url, None).await?;
            match self.judge(request, &url, response, &mut redirects).await? {
                Step::Answer(response) => return Ok(response),
                Step::Elsewhere(next) => url = next,
            }
        }
    }

    /// Sends a request to `url` with its own headers and `header`; returns any answer.
    pub(crate) async fn exchange(
        &self,
        request: &Request,
        url: &Url,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Response, FailedAttempt> {
        // A connection that many requests share may be silent for all of them: the next attempt has one of its own.
        let is_alone = request.is_large || request.attempt > 1;
        let client = match (request.is_upload(), is_alone) {
            (true, _) => &self.clients.uploads,
            (false, true) => &self.clients.separate,
            (false, false) => &self.clients.shared,
        };
        let mut builder = client
            .request(request.method.clone(), url.clone())
            .headers(request.headers.clone())
            // Bytes have to arrive as they were hashed.
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        let trace = RequestTrace::start(request.method.as_str(), url, request.attempt);
        let answer = match &request.body {
            None => self.stop.race(builder.send()).await?,
            Some(RequestBody::Form(form)) => self.stop.race(builder.body(form.clone()).send()).await?,
            Some(RequestBody::Upload(body)) => {
                let pace =
                    UploadPace { rate: &self.rate, limit: &self.limit, stall_timeout: self.stall_timeout };
                self.stop.race(body.send(pace, url, builder)).await??
            }
        };
        let mut response = answer.map_err(|error| classify(url, &error, &self.repository_use))?;
        trace.answered(response.status().as_u16());
        response.extensions_mut().insert(trace);
        Ok(response)
    }

    /// Returns the next step after an answer from `url`.
    pub(crate) async fn judge(
        &self,
        request: &Request,
        url: &Url,
        response: Response,
        redirects: &mut u32,
    ) -> Result<Step, FailedAttempt> {
        let status = response.status();
        if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            *redirects += 1;
            let location = response.headers().get(LOCATION);
            let location = location.and_then(|value| value.to_str().ok());
            let next = redirect_target(url, location, *redirects)?;
            if request.is_upload() && !matches!(status.as_u16(), 307 | 308) {
                return Err(FailedAttempt::Final(PullError::Redirect {
                    host: host_of(url),
                    target: host_of(&next),
                    reason: format!("an upload does not follow the status {}", status.as_u16()),
                }));
            }
            // The bytes of an upload are no secret of the login, which stays with its registry.
            let is_form = matches!(request.body, Some(RequestBody::Form(_)));
            let is_secret = request.headers.contains_key(AUTHORIZATION) || is_form;
            if is_secret && !same_origin(&next, url) {
                // Only token requests carry a header or a form of their own, and those go
                // nowhere else.
                return Err(FailedAttempt::Final(PullError::Redirect {
                    host: host_of(url),
                    target: host_of(&next),
                    reason: "credentials are not sent to another host".to_owned(),
                }));
            }
            return Ok(Step::Elsewhere(next));
        }
        // GET may succeed after HEAD has failed, and its answer has a better explanation.
        if request.method == Method::HEAD && !status.is_success() {
            return Ok(Step::Answer(response));
        }
        if is_transient_status(status.as_u16()) {
            return Err(self.try_later(request, url, response).await);
        }
        if matches!(status.as_u16(), 401 | 403) {
            let host = host_of(url);
            let detail = self.detail(response).await;
            return Err(FailedAttempt::Final(PullError::Unauthorized { host, detail }));
        }
        Ok(Step::Answer(response))
    }

    /// The failure of an answer whose status promises a later success.
    pub(crate) async fn try_later(&self, request: &Request, url: &Url, response: Response) -> FailedAttempt {
        let status = response.status();
        let after = retry_after(response.headers(), SystemTime::now());
        let detail = self.detail(response).await;
        let reason = format!("{} answered {}", host_of(url), status.as_u16());
        let error = Request { url: url.clone(), ..request.clone() }.status_error(status, detail);
        FailedAttempt::Transient { reason, after, error }
    }

    /// The explanation in an error answer: as much of it as comes soon.
    pub(crate) async fn detail(&self, mut response: Response) -> String {
        let hint = response.extensions().get::<LoginHint>().copied();
        // The body of a success is content, not an explanation.
        let mut body = Vec::new();
        if !response.status().is_success() {
            let read = async {
                while let Ok(Some(chunk)) = response.chunk().await {
                    body.extend_from_slice(&chunk);
                    if body.len() >= ERROR_LEN {
                        break;
                    }
                }
            };
            let _as_much_as_came = self.stop.race(tokio::time::timeout(ERROR_TIME, read)).await;
        }
        // Hidden before it is cut: a part of a secret is secret as well.
        let detail = error_detail(&self.secrets.hide(&String::from_utf8_lossy(&body)));
        match hint {
            Some(LoginHint(hint)) if detail == NO_REASON => hint.to_owned(),
            Some(LoginHint(hint)) => format!("{hint}, and says: {detail}"),
            None => detail,
        }
    }
}

/// Reads a body that must not be larger than `cap`.
pub(crate) async fn read_capped(
    http: &Http,
    mut response: Response,
    cap: Cap,
    what: &str,
) -> Result<Vec<u8>, FailedAttempt> {
    let host = host_of(response.url());
    cap.check(response.content_length().unwrap_or_default(), what)?;
    let mut body = Vec::new();
    let mut pieces = Pieces::new(http);
    while let Some(chunk) = pieces.next(&mut response, &host).await? {
        body.extend_from_slice(&chunk);
        cap.check(body.len() as u64, what)?;
    }
    Ok(body)
}

/// The pieces of a body, as long as they come fast enough.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    http: &'a Http,
    meter: RateMeter,
    started: Instant,
    /// How long the server was waited for.
    waited: Duration,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(http: &'a Http) -> Self {
        Self { http, meter: http.rate.meter(), started: Instant::now(), waited: Duration::ZERO }
    }

    /// Whether it takes long, and more because of the server than because of this side.
    pub(crate) fn is_held_up(&self) -> bool {
        let elapsed = self.started.elapsed();
        elapsed >= self.http.split.after && self.waited * 2 >= elapsed
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(
        &mut self,
        response: &mut Response,
        host: &str,
    ) -> Result<Option<Bytes>, FailedAttempt> {
        let asked = Instant::now();
        let chunk = self.http.stop.race(response.chunk()).await?;
        let chunk = chunk.map_err(|error| FailedAttempt::broken(host, explain(&error)))?;
        if let Some(chunk) = &chunk {
            let slow = |reason| FailedAttempt::slow(host, reason);
            let waited = asked.elapsed();
            self.waited += waited;
            self.meter.note(chunk.len(), waited).map_err(slow)?;
            if let Some(trace) = response.extensions().get::<RequestTrace>() {
                trace.received(chunk.len());
            }
            let delay = self.http.limit.note(Instant::now(), chunk.len());
            if delay > Duration::ZERO {
                self.http.stop.race(tokio::time::sleep(delay)).await?;
            }
        }
        Ok(chunk)
    }
}
