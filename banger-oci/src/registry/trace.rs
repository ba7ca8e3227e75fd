//! Spans and events for `tracing`, with the feature of this name. They hold no secret and no query of a URL,
//! which may be a signature that gives access.

/// Makes an event of a level, as `tracing::event!` does. Texts in it must hold no secret.
#[cfg(feature = "tracing")]
macro_rules! trace {
    ($level:ident, $($event:tt)*) => {
        tracing::event!(target: "banger_oci", tracing::Level::$level, $($event)*)
    };
}

/// Without the feature nothing is evaluated.
#[cfg(not(feature = "tracing"))]
macro_rules! trace {
    ($level:ident, $($event:tt)*) => {};
}

pub(crate) use request::RequestTrace;
pub(crate) use trace;

/// The span of a request, from its start to the end of its answer.
#[cfg(feature = "tracing")]
mod request {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use tracing::Span;
    use tracing::field::Empty;
    use url::Url;

    use crate::one_line::one_line;
    use crate::registry::origin::host_of;

    /// Also an extension of the answer, so that the span ends with it.
    #[derive(Clone, Debug)]
    pub(crate) struct RequestTrace(Arc<OpenSpan>);

    #[derive(Debug)]
    struct OpenSpan {
        span: Span,
        started: Instant,
        bytes: AtomicU64,
    }

    impl RequestTrace {
        pub(crate) fn start(method: &str, url: &Url, attempt: u32) -> Self {
            let span = tracing::debug_span!(
                target: "banger_oci",
                "request",
                registry = host_of(url),
                method,
                path = one_line(url.path()),
                attempt,
                status = Empty,
                bytes = Empty,
            );
            Self(Arc::new(OpenSpan { span, started: Instant::now(), bytes: AtomicU64::new(0) }))
        }

        /// Notes the status of the answer.
        pub(crate) fn answered(&self, status: u16) {
            self.0.span.record("status", status);
        }

        /// Notes a piece of the body.
        pub(crate) fn received(&self, bytes: usize) {
            self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    impl Drop for OpenSpan {
        fn drop(&mut self) {
            self.span.record("bytes", self.bytes.load(Ordering::Relaxed));
            let elapsed_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::event!(
                target: "banger_oci",
                parent: &self.span,
                tracing::Level::DEBUG,
                elapsed_ms,
                "the request ended"
            );
        }
    }
}

#[cfg(not(feature = "tracing"))]
mod request {
    use url::Url;

    /// Nothing, without the feature.
    #[derive(Clone, Debug)]
    pub(crate) struct RequestTrace;

    impl RequestTrace {
        pub(crate) fn start(_method: &str, _url: &Url, _attempt: u32) -> Self {
            Self
        }

        pub(crate) fn answered(&self, _status: u16) {}

        pub(crate) fn received(&self, _bytes: usize) {}
    }
}
