//! Faults of HTTP/2 (RFC 9113), frame by frame.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use super::State;
use super::stream::{STALL, Stream};

const PREFACE_LEN: usize = 24;
const HEADER_LEN: usize = 9;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// What comes in the place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Fault {
    /// RST_STREAM with INTERNAL_ERROR.
    ResetStream,
    /// RST_STREAM with REFUSED_STREAM: the request was not processed.
    RefusedStream,
    /// GOAWAY without an error, before the request.
    GoAway,
    /// GOAWAY with INTERNAL_ERROR.
    GoAwayError,
    /// Nothing, for a long time.
    Silence,
    /// The end of the connection.
    Closed,
}

impl State {
    /// The fault of the next connection that speaks HTTP/2.
    pub(super) fn http2_fault(&self) -> Option<Http2Fault> {
        self.options.http2_faults.get(self.http2_faults.load(Ordering::Relaxed)).copied()
    }
}

/// Answers the first request of a connection with a fault, and ends the connection.
pub(super) fn answer(stream: &mut Stream, socket: &TcpStream, fault: Http2Fault) -> io::Result<()> {
    stream.read_exact(&mut [0; PREFACE_LEN])?;
    write_frame(stream, SETTINGS, 0, 0, &[])?;
    loop {
        let mut header = [0; HEADER_LEN];
        stream.read_exact(&mut header)?;
        let [a, b, c, kind, flags, id @ ..] = header;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(0)];
        stream.read_exact(&mut payload)?;
        match kind {
            SETTINGS if flags & ACK == 0 => write_frame(stream, SETTINGS, ACK, 0, &[])?,
            HEADERS => break respond(stream, socket, fault, u32::from_be_bytes(id)),
            _ => {}
        }
    }
}

fn respond(stream: &mut Stream, socket: &TcpStream, fault: Http2Fault, id: u32) -> io::Result<()> {
    const INTERNAL_ERROR: u8 = 2;
    const REFUSED_STREAM: u8 = 7;
    // The last stream that was processed, and the error.
    let away = |last: u32, code: u8| [&last.to_be_bytes()[..], &[0, 0, 0, code]].concat();
    match fault {
        Http2Fault::ResetStream => write_frame(stream, RST_STREAM, 0, id, &[0, 0, 0, INTERNAL_ERROR])?,
        Http2Fault::RefusedStream => write_frame(stream, RST_STREAM, 0, id, &[0, 0, 0, REFUSED_STREAM])?,
        Http2Fault::GoAway => write_frame(stream, GOAWAY, 0, 0, &away(0, 0))?,
        Http2Fault::GoAwayError => write_frame(stream, GOAWAY, 0, 0, &away(id, INTERNAL_ERROR))?,
        Http2Fault::Silence => {
            socket.set_read_timeout(Some(STALL))?;
            // Until the client goes.
            while stream.read(&mut [0; 64])? > 0 {}
        }
        Http2Fault::Closed => {}
    }
    Ok(())
}

fn write_frame(stream: &mut Stream, kind: u8, flags: u8, id: u32, payload: &[u8]) -> io::Result<()> {
    let [_, len @ ..] = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let frame = [&len[..], &[kind, flags], &id.to_be_bytes(), payload].concat();
    stream.write_all(&frame)?;
    stream.flush()
}
