//! The rest of a blob over several connections, in pieces that are passed on in order.
//!
//! A piece that arrives before its turn waits in memory. So the partial file is always the beginning of the blob,
//! which the next pull resumes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use reqwest::header::{HeaderValue, RANGE};
use reqwest::{Response, StatusCode};

use crate::registry::attempt::{Attempts, FailedAttempt};
use crate::registry::blob_place::BlobPlace;
use crate::registry::blob_writer::Writer;
use crate::registry::content_range::{content_range, is_part};
use crate::registry::http::Pieces;
use crate::registry::jobs::DownloadPermit;
use crate::registry::origin::host_of;
use crate::registry::split::BlobSplit;
use crate::registry::trace::trace;

/// An answer whose body is being read.
pub(crate) struct OpenAnswer<'a> {
    pub(crate) response: Response,
    pub(crate) pieces: Pieces<'a>,
}

/// Why a part of a piece did not come.
enum PartFailure {
    /// The server does not take such ranges.
    NoRanges(FailedAttempt),
    Failed(FailedAttempt),
}

impl From<FailedAttempt> for PartFailure {
    fn from(failure: FailedAttempt) -> Self {
        Self::Failed(failure)
    }
}

/// Futures that run at the same time and end in their order.
struct InOrder<'f, T>(VecDeque<OrderedFuture<'f, T>>);

enum OrderedFuture<'f, T> {
    Running(Pin<Box<dyn Future<Output = T> + Send + 'f>>),
    Done(T),
}

impl<'f, T> InOrder<'f, T> {
    fn push(&mut self, future: impl Future<Output = T> + Send + 'f) {
        self.0.push_back(OrderedFuture::Running(Box::pin(future)));
    }

    /// The result of the first one; `None` if there are no more.
    async fn next(&mut self) -> Option<T> {
        poll_fn(|context| {
            for entry in &mut self.0 {
                if let OrderedFuture::Running(future) = entry
                    && let Poll::Ready(result) = future.as_mut().poll(context)
                {
                    *entry = OrderedFuture::Done(result);
                }
            }
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(OrderedFuture::Done(result)) => Poll::Ready(Some(result)),
                Some(running) => {
                    self.0.push_front(running);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl<'a> BlobPlace<'a> {
    /// Receives the rest of a blob, of which `open` is being received, with the help of spare jobs. `permit` is
    /// the first of them. Others that wait for a job get it after a piece.
    pub(crate) async fn share(
        &self,
        writer: &mut Writer<'_>,
        open: OpenAnswer<'a>,
        split: &BlobSplit,
        permit: DownloadPermit,
        host: &str,
    ) -> Result<(), FailedAttempt> {
        let size = writer.download.descriptor.size;
        let received = writer.received();
        trace!(DEBUG, what = self.request.what.as_str(), received, size, "more connections help");
        let end = |from: u64| from.saturating_add(split.piece_len).min(size);
        let mut queue = InOrder(VecDeque::new());
        let mut next = end(received);
        let first = received..next;
        queue.push(async move { (self.piece(size, first, Some(open)).await, None) });
        // One connection is that of this download itself.
        let (mut own_is_free, mut spare) = (false, Some(permit));
        loop {
            while next < size && queue.0.len() < split.connections {
                let permit = match own_is_free {
                    true => None,
                    false => match spare.take().or_else(|| self.jobs.spare()) {
                        Some(permit) => Some(permit),
                        None => break,
                    },
                };
                own_is_free &= permit.is_some();
                let range = next..end(next);
                next = range.end;
                queue.push(async move { (self.piece(size, range, None).await, permit) });
            }
            let Some((piece, permit)) = queue.next().await else { return Ok(()) };
            own_is_free |= permit.is_none();
            drop(permit);
            writer.push(&Bytes::from(piece?), host)?;
        }
    }

    /// Receives one piece. A failure that is not final means that pieces are of no use here.
    async fn piece(
        &self,
        size: u64,
        range: Range<u64>,
        mut open: Option<OpenAnswer<'a>>,
    ) -> Result<Vec<u8>, FailedAttempt> {
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(len);
        let mut attempts = Attempts::default();
        loop {
            let before = bytes.len();
            let outcome = match open.take() {
                Some(open) => fill(&mut bytes, len, open).await.map_err(PartFailure::Failed),
                None => self.part(size, &range, &mut bytes, len, &attempts).await,
            };
            match outcome {
                Ok(()) => return Ok(bytes),
                Err(PartFailure::NoRanges(failure)) => return Err(failure),
                Err(PartFailure::Failed(failure)) => {
                    if bytes.len() > before && !failure.is_slow() {
                        attempts.progressed();
                    }
                    self.http.pause(&mut attempts, &self.request.what, failure).await?;
                }
            }
        }
    }

    /// Asks for the missing bytes of a piece.
    async fn part(
        &self,
        size: u64,
        range: &Range<u64>,
        bytes: &mut Vec<u8>,
        len: usize,
        attempts: &Attempts,
    ) -> Result<(), PartFailure> {
        let start = range.start + bytes.len() as u64;
        let mut request = self.request.again(attempts).large();
        let value = format!("bytes={start}-{}", range.end - 1);
        let value = HeaderValue::from_str(&value).expect("digits are fit for a header");
        request.headers.insert(RANGE, value);
        let response = self.ask(&request).await?;
        let host = host_of(response.url());
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let header = content_range(response.headers());
                if !is_part(&header, &(start..range.end), size) {
                    let reason = format!(
                        "asked for the bytes from {start} to {}, {host} answered with Content-Range `{header}`",
                        range.end
                    );
                    return Err(PartFailure::NoRanges(FailedAttempt::broken(&host, reason)));
                }
                let pieces = Pieces::new(self.http);
                Ok(fill(bytes, len, OpenAnswer { response, pieces }).await?)
            }
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::BAD_REQUEST => {
                let reason = "the range is not available".to_owned();
                Err(PartFailure::NoRanges(FailedAttempt::broken(&host, reason)))
            }
            status => {
                let detail = self.http.detail(response).await;
                Err(PartFailure::Failed(FailedAttempt::Final(request.status_error(status, detail))))
            }
        }
    }
}

/// Reads bytes until there are `len` of them; what follows is left.
async fn fill(bytes: &mut Vec<u8>, len: usize, mut open: OpenAnswer<'_>) -> Result<(), FailedAttempt> {
    let host = host_of(open.response.url());
    while bytes.len() < len {
        let Some(chunk) = open.pieces.next(&mut open.response, &host).await? else {
            let reason = format!("the connection ended after {} of {len} bytes of a piece", bytes.len());
            return Err(FailedAttempt::broken(&host, reason));
        };
        bytes.extend_from_slice(&chunk[..chunk.len().min(len - bytes.len())]);
    }
    Ok(())
}
