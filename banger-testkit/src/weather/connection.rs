//! One conversation of the proxy with a client.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use rustls::{ServerConnection, StreamOwned};
use socket2::SockRef;

use super::stream::{STALL, Stream};
use super::upstream::UpstreamAnswer;
use super::{Fault, Role, State, gone, http2};
use crate::scripted::{Asked, read_request};

const PIECE: usize = 16 * 1024;
const DRIP_PIECE: usize = 64;
const DRIP_PAUSE: Duration = Duration::from_millis(25);

/// How a body ends too early.
#[derive(Clone, Copy)]
enum BodyEnd {
    Reset,
    Closed,
    Stalled,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Default)]
struct BodyFault {
    end: Option<(u64, BodyEnd)>,
    flip: Option<u64>,
    drip_from: Option<u64>,
}

struct Conversation<'a> {
    state: &'a State,
    role: Role,
    stream: BufReader<Stream>,
    socket: TcpStream,
}

impl State {
    pub(super) fn serve(self: &Arc<Self>, socket: TcpStream, role: Role) -> io::Result<()> {
        let mut first = [0];
        let is_tls = self.tls.is_some() && role != Role::Forbidden;
        // The other kind of greeting: this port does not speak it.
        if socket.peek(&mut first)? == 0 || (first[0] == 0x16) != is_tls {
            return Ok(());
        }
        if role == Role::Forbidden {
            self.violation("a redirect from https to http was followed".to_owned());
            return Ok(());
        }
        socket.set_nodelay(true)?;
        let copy = socket.try_clone()?;
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some(config) => {
                let fault = self.http2_fault();
                let config = fault.and(self.http2.as_ref()).unwrap_or(config);
                let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                let mut socket = socket;
                while session.is_handshaking() {
                    session.complete_io(&mut socket)?;
                }
                let is_http2 = session.alpn_protocol() == Some(b"h2");
                let mut stream = Stream::Tls(Box::new(StreamOwned::new(session, socket)));
                if let Some(fault) = fault.filter(|_| is_http2) {
                    self.http2_faults.fetch_add(1, Ordering::Relaxed);
                    return http2::answer(&mut stream, &copy, fault);
                }
                stream
            }
        };
        let mut talk = Conversation { state: self, role, stream: BufReader::new(stream), socket: copy };
        while let Some(asked) = read_request(&mut talk.stream)? {
            talk.answer(&asked)?;
        }
        Ok(())
    }
}

impl Conversation<'_> {
    fn answer(&mut self, asked: &Asked) -> io::Result<()> {
        let is_blob = asked.path().contains("/blobs/");
        let is_ranged = asked.header("range").is_some();
        let has_body = asked.method != "HEAD";
        let is_registry = self.role == Role::Registry;
        let is_token = is_registry && asked.path() == "/token";
        let has_tls = self.state.tls.is_some();
        let can_break = |fault: Fault| match fault {
            Fault::LyingRange | Fault::IgnoredRange => is_ranged,
            Fault::OtherHost => is_registry && is_blob,
            Fault::PlainHttp => is_registry && is_blob && has_tls,
            Fault::ExpiredToken => is_registry && is_blob && self.state.options.token,
            Fault::WrongByte | Fault::Shorter | Fault::Longer => has_body && !is_token,
            Fault::Reset | Fault::Truncated | Fault::Stall | Fault::Drip => has_body,
            _ => true,
        };
        let (count, fault) = self.state.note(asked, can_break);
        if is_token {
            let number = self.state.token.load(Ordering::Relaxed);
            let body = format!(r#"{{"token":"token-{number}-of-the-weather","expires_in":600}}"#);
            return match self.refusal(asked, count, fault) {
                Some(outcome) => outcome,
                None => self.send_text(200, &[], &body, has_body),
            };
        }
        self.check_credentials(asked);
        if is_registry && self.state.options.token && !self.is_known(asked) {
            let realm = self.state.url(Role::Registry);
            let challenge =
                format!(r#"Bearer realm="{realm}/token",service="weather",scope="repository:app:pull""#);
            return self.send_text(401, &[("WWW-Authenticate", challenge)], "", has_body);
        }
        if let Some(outcome) = self.refusal(asked, count, fault) {
            return outcome;
        }
        self.relay(asked, count, fault, has_body)
    }

    fn check_credentials(&self, asked: &Asked) {
        if self.role != Role::Registry && asked.header("authorization").is_some() {
            self.state.violation(format!("credentials were sent to another host: {}", asked.path()));
        }
    }

    fn is_known(&self, asked: &Asked) -> bool {
        let number = self.state.token.load(Ordering::Relaxed);
        asked.header("authorization") == Some(format!("Bearer token-{number}-of-the-weather").as_str())
    }

    /// Answers with something else than the registry, if the fault is of that kind.
    fn refusal(&mut self, asked: &Asked, count: u64, fault: Option<Fault>) -> Option<io::Result<()>> {
        let has_body = asked.method != "HEAD";
        let number = self.state.options.forecast.number(asked.path(), count, "refusal");
        let error = r#"{"errors":[{"code":"UNAVAILABLE","message":"bad weather"}]}"#;
        Some(match fault? {
            Fault::NoAnswer => {
                self.reset();
                Err(gone())
            }
            Fault::TooMany => self.send_text(429, &[], error, has_body),
            Fault::TooManySeconds => {
                self.send_text(429, &[("Retry-After", (number % 4).to_string())], error, has_body)
            }
            Fault::TooManyDate => {
                let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(number % 4));
                self.send_text(429, &[("Retry-After", date)], error, has_body)
            }
            Fault::ServerError => {
                let status = [500, 502, 503, 504][usize::try_from(number % 4).unwrap_or(0)];
                self.send_text(status, &[], error, has_body)
            }
            Fault::OtherHost | Fault::PlainHttp => {
                let role = if fault == Some(Fault::OtherHost) { Role::OtherHost } else { Role::Forbidden };
                let location = format!("{}{}?signature=abc{number}", self.state.url(role), asked.path());
                self.send_text(307, &[("Location", location)], "", has_body)
            }
            _ => return None,
        })
    }

    /// Passes the answer of the registry on, with a fault.
    fn relay(&mut self, asked: &Asked, count: u64, fault: Option<Fault>, has_body: bool) -> io::Result<()> {
        let passed: &[&str] =
            if fault == Some(Fault::IgnoredRange) { &["accept"] } else { &["accept", "range"] };
        let mut answer = UpstreamAnswer::of(&self.state.upstream, asked, passed)?;
        let length = answer.length(has_body)?;
        let place = match length {
            0 => 0,
            length => self.state.options.forecast.number(asked.path(), count, "place") % length,
        };
        let mut faulty = BodyFault::default();
        let mut stated = length;
        match fault {
            Some(Fault::Reset) => faulty.end = Some((place, BodyEnd::Reset)),
            Some(Fault::Truncated) => faulty.end = Some((place, BodyEnd::Closed)),
            Some(Fault::Stall) => faulty.end = Some((place, BodyEnd::Stalled)),
            Some(Fault::ExpiredToken) => {
                self.state.token.fetch_add(1, Ordering::Relaxed);
                faulty.end = Some((place, BodyEnd::Closed));
            }
            Some(Fault::Drip) => faulty.drip_from = Some(place),
            Some(Fault::WrongByte) => faulty.flip = Some(place),
            Some(Fault::Shorter) => stated = place,
            Some(Fault::Longer) => stated = length + 1 + place % 1000,
            Some(Fault::LyingRange) => {
                let lie = answer.header("content-range").and_then(|range| shifted(range, place));
                if let Some(lie) = lie {
                    answer.set("Content-Range", lie);
                }
            }
            _ => {}
        }
        answer.set("Content-Length", stated.to_string());
        // This side goes on with the connection.
        answer.set("Connection", "keep-alive".to_owned());
        let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.write(head.as_bytes())?;
        if !has_body {
            return Ok(());
        }
        let mut body = answer.body.take(length).chain(io::repeat(b'x')).take(stated);
        self.send_body(asked.path(), &mut body, faulty)
    }

    fn send_body(&mut self, target: &str, body: &mut dyn Read, faulty: BodyFault) -> io::Result<()> {
        let (mut sent, since) = (0, Instant::now());
        let mut buffer = vec![0; PIECE];
        loop {
            let drips = faulty.drip_from.is_some_and(|from| sent >= from);
            let mut room = if drips { DRIP_PIECE } else { PIECE };
            for stop in [faulty.end.map(|(at, _)| at), faulty.drip_from].into_iter().flatten() {
                if stop > sent {
                    room = room.min(usize::try_from(stop - sent).unwrap_or(room));
                }
            }
            if let Some((at, end)) = faulty.end
                && sent >= at
            {
                return self.end(end);
            }
            let len = body.read(&mut buffer[..room])?;
            if len == 0 {
                return Ok(());
            }
            if let Some(flip) = faulty.flip
                && (sent..sent + len as u64).contains(&flip)
            {
                buffer[usize::try_from(flip - sent).unwrap_or(0)] ^= 4;
            }
            self.write(&buffer[..len])?;
            self.state.count_sent(target, len as u64);
            sent += len as u64;
            self.state.hold_back(sent, since);
            if drips {
                std::thread::sleep(DRIP_PAUSE);
            }
        }
    }

    /// Ends the conversation within a body.
    fn end(&mut self, end: BodyEnd) -> io::Result<()> {
        match end {
            BodyEnd::Reset => self.reset(),
            BodyEnd::Closed => self.socket.shutdown(Shutdown::Both)?,
            BodyEnd::Stalled => {
                self.socket.set_read_timeout(Some(STALL))?;
                // Until the client goes.
                let _gone = self.socket.read(&mut [0; 16]);
            }
        }
        Err(gone())
    }

    /// The close that follows is a reset.
    fn reset(&self) {
        let _unchanged = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    fn send_text(
        &mut self,
        status: u16,
        headers: &[(&str, String)],
        body: &str,
        has_body: bool,
    ) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        if has_body {
            text.push_str(body);
        }
        self.write(text.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }
}

/// A `Content-Range` that begins elsewhere.
fn shifted(range: &str, place: u64) -> Option<String> {
    let (first, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
    let first: u64 = first.parse().ok()?;
    Some(format!("bytes {}-{rest}", if place.is_multiple_of(2) && first > 0 { 0 } else { first + 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie() {
        assert_eq!(shifted("bytes 5-9/10", 1).as_deref(), Some("bytes 6-9/10"));
        assert_eq!(shifted("bytes 5-9/10", 2).as_deref(), Some("bytes 0-9/10"));
    }
}
