//! The bytes of a blob from one place: attempts, and what may be wrong with the answers.

use reqwest::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Response, StatusCode};

use crate::one_line::one_line;
use crate::registry::attempt::{Attempts, FailedAttempt};
use crate::registry::blob_place::BlobPlace;
use crate::registry::blob_writer::Writer;
use crate::registry::content_range::{content_range, is_rest};
use crate::registry::error::PullError;
use crate::registry::foreign_text::web_page_title;
use crate::registry::http::Pieces;
use crate::registry::manifest::size_reason;
use crate::registry::origin::host_of;
use crate::registry::shared_blob::OpenAnswer;

/// Wrong ranges after which a server counts as one without ranges.
const MAX_LIES: u32 = 2;

/// How the place may be asked for parts of the blob.
struct PartRules {
    /// Whether for the rest of it.
    rest: bool,
    /// How often it answered another range than asked for.
    lies: u32,
    /// Whether for pieces over several connections.
    pieces: bool,
}

impl BlobPlace<'_> {
    /// Receives the missing bytes and checks the whole blob. Leaves no wrong bytes to the next place.
    pub(crate) async fn receive_whole(&self, writer: &mut Writer<'_>) -> Result<(), PullError> {
        let had_bytes = writer.offset > 0;
        let mut outcome = self.receive_checked(writer).await;
        if had_bytes && matches!(&outcome, Err(PullError::Mismatch { .. })) {
            // The old bytes may be damaged by a power failure, or another place may have sent wrong ones.
            writer.discard_damaged()?;
            outcome = self.receive_checked(writer).await;
        }
        if matches!(&outcome, Err(PullError::Mismatch { .. })) {
            writer.start_over()?;
        }
        outcome
    }

    async fn receive_checked(&self, writer: &mut Writer<'_>) -> Result<(), PullError> {
        self.receive(writer).await?;
        writer.verify()
    }

    /// Receives the missing bytes. They are not checked.
    async fn receive(&self, writer: &mut Writer<'_>) -> Result<(), PullError> {
        let mut attempts = Attempts::default();
        let mut rules = PartRules { rest: true, lies: 0, pieces: true };
        while writer.offset < writer.download.descriptor.size {
            let before = writer.download.committed();
            let failure = match self.attempt(writer, &mut rules, &attempts).await {
                Ok(()) => continue,
                Err(failure) => failure,
            };
            writer.flush()?;
            // Repeated bytes and a drip do not count as progress.
            if writer.download.committed() > before && !failure.is_slow() {
                attempts.progressed();
            }
            self.http.pause(&mut attempts, &self.request.what, failure).await?;
        }
        Ok(())
    }

    /// Makes one request and takes the bytes of its answer.
    async fn attempt(
        &self,
        writer: &mut Writer<'_>,
        rules: &mut PartRules,
        attempts: &Attempts,
    ) -> Result<(), FailedAttempt> {
        let size = writer.download.descriptor.size;
        let mut request = self.request.again(attempts).large();
        if rules.rest && writer.offset > 0 {
            let range = format!("bytes={}-", writer.offset);
            let range = HeaderValue::from_str(&range).expect("digits are fit for a header");
            request.headers.insert(RANGE, range);
        }
        let response = self.ask(&request).await?;
        let host = host_of(response.url());
        let ranged = request.headers.contains_key(RANGE);
        match response.status() {
            StatusCode::OK => {
                if let Some(len) = response.content_length()
                    && len != size
                    && !is_page(response.headers())
                {
                    let mut reason = size_reason(size, len);
                    if let Some(encoding) = response.headers().get(CONTENT_ENCODING) {
                        let encoding = one_line(&String::from_utf8_lossy(encoding.as_bytes()));
                        reason = format!("{reason}, and was encoded as `{encoding}` on the way");
                    }
                    return Err(FailedAttempt::Final(writer.refuse(&host, reason)));
                }
                writer.rewind();
            }
            // The part that is the whole.
            StatusCode::PARTIAL_CONTENT if !ranged => {
                let header = content_range(response.headers());
                if !is_rest(&header, 0, size) {
                    let reason =
                        format!("asked for the whole, {host} answered with Content-Range `{header}`");
                    return Err(FailedAttempt::broken(&host, reason));
                }
                writer.rewind();
            }
            StatusCode::PARTIAL_CONTENT if ranged => {
                let header = content_range(response.headers());
                if !is_rest(&header, writer.offset, size) {
                    // One of many servers may be wrong, so that another answer may be right. A server that is
                    // wrong again is asked for the whole.
                    rules.lies += 1;
                    rules.rest = rules.lies < MAX_LIES;
                    let reason = format!(
                        "asked for the bytes from {}, {host} answered with Content-Range `{header}`",
                        writer.offset,
                    );
                    return Err(FailedAttempt::broken(&host, reason));
                }
            }
            // Some do not take a range without an end, some no range at all.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::BAD_REQUEST if ranged => {
                rules.rest = false;
                return Err(FailedAttempt::broken(&host, "the range is not available".to_owned()));
            }
            status => {
                let detail = self.http.detail(response).await;
                return Err(FailedAttempt::Final(request.status_error(status, detail)));
            }
        }
        self.take(writer, response, &host, &mut rules.pieces).await
    }

    async fn take(
        &self,
        writer: &mut Writer<'_>,
        mut response: Response,
        host: &str,
        pieces_wanted: &mut bool,
    ) -> Result<(), FailedAttempt> {
        let size = writer.download.descriptor.size;
        *pieces_wanted &= has_ranges(&response);
        let may_be_page = is_page(response.headers());
        let mut pieces = Pieces::new(self.http);
        while let Some(chunk) = pieces.next(&mut response, host).await? {
            if may_be_page && writer.offset == 0 && writer.buffer.is_empty() {
                let text = self.http.secrets.hide(&String::from_utf8_lossy(&chunk));
                if let Some(title) = web_page_title(&text) {
                    let (who, host, what) = ("the registry", host.to_owned(), self.request.what.clone());
                    return Err(FailedAttempt::Final(PullError::WebPage { who, host, title, what }));
                }
            }
            writer.push(&chunk, host)?;
            if *pieces_wanted
                && pieces.is_held_up()
                && let Some(split) = self.http.split.of(writer.received(), size, self.jobs.most())
                && let Some(permit) = self.jobs.spare()
            {
                // A server that does not take it is not asked for pieces again.
                *pieces_wanted = false;
                return self.share(writer, OpenAnswer { response, pieces }, &split, permit, host).await;
            }
        }
        writer.flush()?;
        if writer.offset < size {
            let reason = format!("the connection ended after {} of {size} bytes", writer.offset);
            return Err(FailedAttempt::broken(host, reason));
        }
        Ok(())
    }
}

/// Returns whether an answer is declared as a web page.
fn is_page(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
}

/// Whether the server of an answer is known to have ranges.
fn has_ranges(response: &Response) -> bool {
    let stated = response.headers().get(ACCEPT_RANGES);
    response.status() == StatusCode::PARTIAL_CONTENT
        || stated.is_some_and(|unit| unit.as_bytes().eq_ignore_ascii_case(b"bytes"))
}
