//! The body of a request that changes a registry. It leaves in pieces, so that a server that stands still is noticed,
//! and the rate of the push has a limit.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use reqwest::{RequestBuilder, Response};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep, timeout};
use url::Url;

use crate::digest::Digest;
use crate::registry::attempt::FailedAttempt;
use crate::registry::error::PullError;
use crate::registry::event::{Progress, PullEvent};
use crate::registry::origin::host_of;
use crate::registry::rate::{MinRate, RateLimit};
use crate::registry::upload_bytes::UploadBytes;

/// The bytes of a piece. At the lowest rate of a transfer, a piece takes less time than the longest standstill.
const PIECE_BYTES: usize = 16 << 10;
/// The bytes between two events.
const EVENT_BYTES: u64 = 256 << 10;

/// How fast uploads are, and how slow they may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadPace<'a> {
    pub(crate) rate: &'a MinRate,
    pub(crate) limit: &'a RateLimit,
    pub(crate) stall_timeout: Duration,
}

/// The bytes of an upload, or of a part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct UploadBody {
    bytes: UploadBytes,
    told: Option<UploadTold>,
}

/// The blob whose upload is told of.
#[derive(Clone, Debug)]
struct UploadTold {
    progress: Progress,
    digest: Digest,
    /// The bytes of the blob before these.
    offset: u64,
}

impl UploadBody {
    pub(crate) fn new(bytes: impl Into<UploadBytes>) -> Self {
        Self { bytes: bytes.into(), told: None }
    }

    /// Tells of the upload of the blob `digest`, which has `offset` bytes before these.
    pub(crate) fn telling(self, progress: &Progress, digest: &Digest, offset: u64) -> Self {
        Self { told: Some(UploadTold { progress: progress.clone(), digest: digest.clone(), offset }), ..self }
    }

    /// Sends a request with this body. The inner error is that of the client.
    pub(crate) async fn send(
        &self,
        pace: UploadPace<'_>,
        url: &Url,
        builder: RequestBuilder,
    ) -> Result<Result<Response, reqwest::Error>, FailedAttempt> {
        let total = self.bytes.len();
        let flow = Arc::new(UploadFlow::default());
        let builder = match total {
            // A request without a body would not say so.
            0 => builder.header(CONTENT_LENGTH, HeaderValue::from_static("0")),
            _ => builder.body(reqwest::Body::wrap(UploadStream {
                rest: self.bytes.clone(),
                flow: Arc::clone(&flow),
                limit: pace.limit.clone(),
                pause: None,
                told: self.told.clone(),
                told_bytes: 0,
            })),
        };
        let answer = builder.send();
        tokio::pin!(answer);
        let mut meter = pace.rate.meter();
        loop {
            let (sent, paused, asked) = (flow.sent(), flow.paused(), Instant::now());
            let moved = tokio::select! {
                biased;
                done = &mut answer => return match flow.take_failure() {
                    Some(error) => Err(FailedAttempt::Final(self.unreadable(error))),
                    None => Ok(done),
                },
                moved = timeout(pace.stall_timeout, flow.moved.notified()) => moved.is_ok(),
            };
            let host = host_of(url);
            if !moved && !flow.is_paused.load(Ordering::Acquire) {
                let reason = match flow.sent() == total {
                    true => "no answer in time".to_owned(),
                    false => format!("the upload stood still after {} of {total} bytes", flow.sent()),
                };
                return Err(FailedAttempt::broken(&host, reason));
            }
            let waited = asked.elapsed().saturating_sub(flow.paused().saturating_sub(paused));
            let len = usize::try_from(flow.sent().saturating_sub(sent)).unwrap_or(usize::MAX);
            meter.note(len, waited).map_err(|reason| FailedAttempt::slow(&host, reason))?;
        }
    }
}

impl UploadBody {
    /// The error of bytes that cannot be read any more.
    fn unreadable(&self, error: io::Error) -> PullError {
        let what = match &self.told {
            Some(told) => format!("blob {}", told.digest),
            None => "the bytes of an upload".to_owned(),
        };
        PullError::BlobSource { what, source: Arc::new(error) }
    }
}

/// How far a body has come.
#[derive(Debug, Default)]
struct UploadFlow {
    sent_bytes: AtomicU64,
    /// The time that the limit of the rate took.
    paused_nanos: AtomicU64,
    is_paused: AtomicBool,
    moved: Notify,
    /// Why the next bytes could not be read.
    failure: Mutex<Option<io::Error>>,
}

impl UploadFlow {
    fn sent(&self) -> u64 {
        self.sent_bytes.load(Ordering::Acquire)
    }

    fn paused(&self) -> Duration {
        Duration::from_nanos(self.paused_nanos.load(Ordering::Acquire))
    }

    fn take_failure(&self) -> Option<io::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The body as the client takes it.
#[derive(Debug)]
struct UploadStream {
    rest: UploadBytes,
    flow: Arc<UploadFlow>,
    limit: RateLimit,
    pause: Option<Pin<Box<Sleep>>>,
    told: Option<UploadTold>,
    /// The bytes of the last event.
    told_bytes: u64,
}

impl UploadStream {
    fn tell(&mut self, sent: u64) {
        let Some(UploadTold { progress, digest, offset }) = &self.told else { return };
        if self.rest.is_empty() || sent >= self.told_bytes.saturating_add(EVENT_BYTES) {
            self.told_bytes = sent;
            let sent_bytes = offset.saturating_add(sent);
            progress.emit(PullEvent::UploadBytes { digest: digest.clone(), sent_bytes });
        }
    }
}

impl Body for UploadStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
            self.flow.is_paused.store(false, Ordering::Release);
        }
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = match self.rest.take(PIECE_BYTES) {
            Ok(piece) => piece,
            Err(error) => {
                let told = io::Error::from(error.kind());
                *self.flow.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Poll::Ready(Some(Err(told)));
            }
        };
        let len = piece.len();
        let delay = self.limit.note(Instant::now(), len);
        if delay > Duration::ZERO && !self.rest.is_empty() {
            let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
            self.flow.paused_nanos.fetch_add(nanos, Ordering::AcqRel);
            self.flow.is_paused.store(true, Ordering::Release);
            self.pause = Some(Box::pin(sleep(delay)));
        }
        let sent = self.flow.sent_bytes.fetch_add(len as u64, Ordering::AcqRel).saturating_add(len as u64);
        self.flow.moved.notify_one();
        self.tell(sent);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len())
    }
}
