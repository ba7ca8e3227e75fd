//! Requests of the proxy to the registry behind it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use crate::scripted::Asked;

/// An answer of the registry whose body has not been read.
pub(crate) struct UpstreamAnswer {
    pub(crate) status: u16,
    /// Names as they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: BufReader<TcpStream>,
}

impl UpstreamAnswer {
    /// Asks `host` for the same, with these headers of the request only.
    pub(crate) fn of(host: &str, asked: &Asked, passed: &[&str]) -> io::Result<Self> {
        let mut stream = TcpStream::connect(host)?;
        // HTTP/1.0: the body comes without chunks and ends with the connection.
        let mut head = format!("{} {} HTTP/1.0\r\nHost: {host}\r\n", asked.method, asked.path());
        for name in passed {
            if let Some(value) = asked.header(name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        let mut body = BufReader::with_capacity(64 * 1024, stream);
        let mut line = String::new();
        body.read_line(&mut line)?;
        let status = line.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("the registry answered {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            body.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                return Ok(Self { status, headers, body });
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Puts a header in the place of another one.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value));
    }

    /// Returns the stated length of the body, or reads it to its end.
    pub(crate) fn length(&mut self, has_body: bool) -> io::Result<u64> {
        if let Some(length) = self.header("content-length").and_then(|length| length.parse().ok()) {
            return Ok(length);
        }
        if !has_body {
            return Ok(0);
        }
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes)?;
        Err(io::Error::other(format!("the registry states no length of {} bytes", bytes.len())))
    }
}
