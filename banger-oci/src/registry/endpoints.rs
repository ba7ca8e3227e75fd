//! The places of one image: mirrors, then its registry. The first one that gives the right bytes serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::registry::engine::Connections;
use crate::registry::error::{EndpointFailure, PullError};
use crate::registry::event::{Progress, PullEvent};
use crate::registry::options::PullOptions;
use crate::registry::rate::RateLimit;
use crate::registry::registries::{Endpoint, EndpointKind};
use crate::registry::repository::Registry;
use crate::registry::secrets::Secrets;
use crate::registry::stop::PullStop;
use crate::registry::trace::trace;

/// How often a request is made in vain at a place that others stand behind.
const ATTEMPTS_WITH_OTHERS: u32 = 2;

/// The repositories that may have an image. Never empty.
#[derive(Debug)]
pub(crate) struct Endpoints {
    registries: Vec<Arc<Registry>>,
    /// The one that gave the manifest: it is asked first.
    first: AtomicUsize,
    progress: Progress,
}

impl Endpoints {
    pub(crate) fn new(
        places: Vec<Endpoint>,
        options: &PullOptions,
        progress: &Progress,
        stop: &PullStop,
        connections: &Arc<Connections>,
    ) -> Self {
        let last = places.len().saturating_sub(1);
        let has_one_meaning = places.windows(2).all(|pair| pair[0].meaning == pair[1].meaning);
        let with_login = |(at, place): (usize, Endpoint)| {
            let mut options = options.clone();
            if at < last {
                options.attempts = options.attempts.min(ATTEMPTS_WITH_OTHERS);
            }
            if place.kind == EndpointKind::Mirror || !has_one_meaning {
                // A credential that the caller gave for one registry is nothing for other hosts.
                options.credentials = options.credentials.of_each_host();
            }
            let login = connections.logins.login(&place.reference, &options);
            (place, options, login)
        };
        let places: Vec<_> = places.into_iter().enumerate().map(with_login).collect();
        let secrets: Vec<Secrets> = places.iter().map(|(_, _, login)| login.secrets.clone()).collect();
        let progress = {
            let progress = progress.clone();
            let hidden =
                move |event| secrets.iter().fold(event, |event, secrets| secrets.hide_in_event(event));
            Progress::new(move |event| progress.emit(hidden(event)))
        };
        let limit = RateLimit::new(options.limit_rate_bytes);
        let registry = |(place, options, login)| {
            let (progress, stop) = (progress.clone(), stop.clone());
            let limit = limit.clone();
            Arc::new(Registry::new(place, options, progress, stop, limit, Arc::clone(connections), login))
        };
        let registries = places.into_iter().map(registry).collect();
        Self { registries, first: AtomicUsize::new(0), progress }
    }

    /// The receiver of events. It hides the credentials that any place received.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The places in the order in which they are asked now.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Arc<Registry>> {
        let first = self.first.load(Ordering::Acquire).min(self.registries.len() - 1);
        let others = self.registries.iter().enumerate().filter(move |(at, _)| *at != first);
        std::iter::once(&self.registries[first]).chain(others.map(|(_, registry)| registry))
    }

    /// Notes that `registry` gave the manifest.
    pub(crate) fn prefer(&self, registry: &Arc<Registry>) {
        if let Some(at) = self.registries.iter().position(|known| Arc::ptr_eq(known, registry)) {
            self.first.store(at, Ordering::Release);
        }
        if self.registries.len() > 1 || registry.is_elsewhere() {
            trace!(DEBUG, endpoint = registry.name().as_str(), "an endpoint gave the manifest");
            self.progress.emit(PullEvent::EndpointChosen { endpoint: registry.name() });
        }
    }

    /// Asks one place after the other, until one answers well. Only an answer that another place cannot better ends the
    /// search.
    pub(crate) async fn first_answer<T, F: Future<Output = Result<T, PullError>>>(
        &self,
        what: &str,
        ask: impl Fn(Arc<Registry>) -> F,
    ) -> Result<(Arc<Registry>, T), PullError> {
        let mut search = self.search();
        for registry in self.in_order() {
            match ask(Arc::clone(registry)).await {
                Ok(answer) => return Ok((Arc::clone(registry), answer)),
                Err(error) => search.note(registry, error)?,
            }
        }
        Err(search.into_error(what))
    }

    /// A search through the places.
    pub(crate) fn search(&self) -> EndpointSearch<'_> {
        EndpointSearch { endpoints: self, failures: Vec::new(), last: None }
    }

    /// Hides the credentials that any place received in the texts of an error.
    pub(crate) fn hide_in_texts(&self, mut texts: Vec<&mut String>) {
        for registry in &self.registries {
            registry.hide_in_texts(texts.iter_mut().map(|text| &mut **text).collect());
        }
    }

    /// Hides the credentials that any place received.
    pub(crate) fn shown(&self, error: PullError) -> PullError {
        self.registries.iter().fold(error, |error, registry| registry.shown(error))
    }
}

/// The places that failed so far.
#[derive(Debug)]
pub(crate) struct EndpointSearch<'a> {
    endpoints: &'a Endpoints,
    failures: Vec<EndpointFailure>,
    last: Option<PullError>,
}

impl EndpointSearch<'_> {
    /// Notes that a place failed. Fails if no other place can do better.
    pub(crate) fn note(&mut self, registry: &Registry, error: PullError) -> Result<(), PullError> {
        if !is_of_one_place(&error) {
            return Err(error);
        }
        let is_last = self.failures.len() + 1 == self.endpoints.registries.len();
        let reason = registry.shown(error.clone()).to_string();
        if !is_last {
            trace!(WARN, endpoint = registry.name().as_str(), reason = reason.as_str(), "an endpoint failed");
            let endpoint = registry.name();
            self.endpoints.progress.emit(PullEvent::EndpointSkipped { endpoint, reason: reason.clone() });
        }
        self.failures.push(EndpointFailure { endpoint: registry.name(), reason });
        self.last = Some(error);
        Ok(())
    }

    /// Whether a place has failed so far.
    pub(crate) fn has_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The error of a search without a result.
    pub(crate) fn into_error(self, what: &str) -> PullError {
        match (self.last, self.failures.len()) {
            (Some(error), 0 | 1) => error,
            (Some(last), _) => {
                PullError::Endpoints { what: what.to_owned(), failures: self.failures, last: Box::new(last) }
            }
            (None, _) => PullError::Environment { reason: format!("{what} has no place to come from") },
        }
    }
}

/// Whether another place may do better after this error.
fn is_of_one_place(error: &PullError) -> bool {
    !matches!(
        error,
        PullError::Cancelled
            | PullError::Panicked { .. }
            | PullError::Io { .. }
            | PullError::CachePlace { .. }
            | PullError::OverBudget { .. }
            // The bytes are right, whoever sent them.
            | PullError::NotAnImage { .. }
            | PullError::Schema1 { .. }
    )
}
