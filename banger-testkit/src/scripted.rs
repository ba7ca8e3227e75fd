//! A registry on a loopback port that answers as a test says, right or wrong.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::layout::LayoutBuilder;

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Its headers, by their names in lowercase.
    pub headers: BTreeMap<String, String>,
    /// Its body as text.
    pub body: String,
    /// Its body as it came.
    pub bytes: Vec<u8>,
}

impl Asked {
    /// The header of that name in lowercase.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The first byte of the range asked for, in `bytes=N-`.
    #[must_use]
    pub fn range_start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, but for those of its length.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    pub cut: Option<usize>,
    /// Pause before the answer.
    pub delay: Duration,
    /// Send the body in pieces of so many bytes, with such a pause after each.
    pub drip: Option<(usize, Duration)>,
    /// How long it says the body is.
    pub length: BodyLength,
}

/// How long an answer says its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// As long as it is.
    True,
    /// So long.
    Claimed(u64),
    /// In chunks, so that the end is seen.
    Chunked,
    /// In chunks, again and again until the other side has had enough.
    Endless,
}

impl Answer {
    /// An answer with this status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            delay: Duration::ZERO,
            drip: None,
            length: BodyLength::True,
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Closes the connection after so many bytes of the body.
    #[must_use]
    pub fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }

    /// Sends the body in pieces of `len` bytes, with a pause after each.
    #[must_use]
    pub fn drip(mut self, len: usize, pause: Duration) -> Self {
        self.drip = Some((len, pause));
        self
    }

    /// Sets what it says of its length.
    #[must_use]
    pub fn length(mut self, length: BodyLength) -> Self {
        self.length = length;
        self
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&match self.length {
            BodyLength::True => format!("Content-Length: {}\r\n\r\n", self.body.len()),
            BodyLength::Claimed(len) => format!("Content-Length: {len}\r\n\r\n"),
            BodyLength::Chunked | BodyLength::Endless => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
        });
        head
    }

    fn write_body(&self, stream: &mut TcpStream) -> io::Result<()> {
        let body = &self.body[..self.cut.unwrap_or(self.body.len()).min(self.body.len())];
        let (len, pause) = self.drip.unwrap_or((body.len().max(1), Duration::ZERO));
        let is_chunked = matches!(self.length, BodyLength::Chunked | BodyLength::Endless);
        loop {
            for piece in body.chunks(len.max(1)) {
                if is_chunked {
                    stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
                }
                stream.write_all(piece)?;
                if is_chunked {
                    stream.write_all(b"\r\n")?;
                }
                std::thread::sleep(pause);
            }
            match self.length {
                BodyLength::Endless if !body.is_empty() => {}
                BodyLength::Chunked | BodyLength::Endless => return stream.write_all(b"0\r\n\r\n"),
                BodyLength::True | BodyLength::Claimed(_) => return Ok(()),
            }
        }
    }
}

type Script = dyn Fn(&Asked) -> Answer + Send + Sync;
/// After how many bytes of its body a request is broken off; it has no body yet.
type Breaks = dyn Fn(&Asked) -> Option<usize> + Send + Sync;

/// A server of its own port, on 127.0.0.1, without TLS. Dropping it closes the port.
pub struct ScriptedServer {
    /// Its port.
    pub port: u16,
    log: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for ScriptedServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ScriptedServer").field("port", &self.port).finish_non_exhaustive()
    }
}

impl ScriptedServer {
    /// Answers as `script` says.
    #[must_use]
    pub fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_breaking(script, |_| None)
    }

    /// Like [`start`](Self::start). Where `breaks` gives a number for the head of a request, the connection ends after
    /// so many bytes of its body, without an answer.
    #[must_use]
    pub fn start_breaking(
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
        breaks: impl Fn(&Asked) -> Option<usize> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("the listener has an address").port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (script, breaks): (Arc<Script>, Arc<Breaks>) = (Arc::new(script), Arc::new(breaks));
        let (all, ended) = (Arc::clone(&log), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (script, breaks, log) = (Arc::clone(&script), Arc::clone(&breaks), Arc::clone(&all));
                // Whoever goes away ends the conversation.
                std::thread::spawn(move || {
                    drop(stream.and_then(|stream| serve(stream, &*script, &*breaks, &log)));
                });
            }
        });
        Self { port, log, stop }
    }

    /// Answers as `script` says, and where it says nothing, as a registry does that has what is in
    /// `layout` in its repository `app`.
    #[must_use]
    pub fn registry(
        layout: &LayoutBuilder,
        script: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let files = layout.files();
        Self::start(move |asked| script(asked).unwrap_or_else(|| from_layout(&files, asked)))
    }

    /// `127.0.0.1` and the port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests with this method had `part` in their target.
    #[must_use]
    pub fn count(&self, method: &str, part: &str) -> usize {
        let fits = |asked: &&Asked| asked.method == method && asked.target.contains(part);
        self.asked().iter().filter(fits).count()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _wake = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// What a registry answers that has the files of a layout. A tag leads to the image of that name.
fn from_layout(files: &BTreeMap<String, Vec<u8>>, asked: &Asked) -> Answer {
    let missing = || Answer::new(404, r#"{"errors":[{"code":"UNKNOWN","message":"not here"}]}"#);
    let blob = |digest: &str| files.get(&format!("blobs/{}", digest.replace(':', "/")));
    if let Some((_, name)) = asked.path().split_once("/manifests/") {
        let index = files.get("index.json").and_then(|text| serde_json::from_slice(text).ok());
        let index: serde_json::Value = index.unwrap_or_default();
        let entries = index["manifests"].as_array().cloned().unwrap_or_default();
        let found = entries.iter().find(|entry| {
            entry["digest"] == name || entry["annotations"]["org.opencontainers.image.ref.name"] == name
        });
        let Some((entry, digest)) = found.and_then(|entry| Some((entry, entry["digest"].as_str()?))) else {
            return missing();
        };
        return blob(digest).map_or_else(missing, |bytes| {
            Answer::new(200, bytes.clone())
                .with("Content-Type", entry["mediaType"].as_str().unwrap_or_default())
                .with("Docker-Content-Digest", digest)
        });
    }
    let Some((_, digest)) = asked.path().split_once("/blobs/") else {
        return Answer::new(200, "{}");
    };
    blob(digest).map_or_else(missing, |bytes| part_of(bytes, asked))
}

/// A blob, or the rest of it where that is asked for.
#[must_use]
pub fn part_of(bytes: &[u8], asked: &Asked) -> Answer {
    match asked.range_start().filter(|start| *start < bytes.len()) {
        Some(start) => Answer::new(206, &bytes[start..])
            .with("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())),
        None => Answer::new(200, bytes),
    }
}

fn serve(mut stream: TcpStream, script: &Script, breaks: &Breaks, log: &Mutex<Vec<Asked>>) -> io::Result<()> {
    let mut first = [0];
    // The greeting of TLS: this server has none.
    if stream.peek(&mut first)? == 0 || first[0] == 0x16 {
        return Ok(());
    }
    // Head and body are two writes, and the second one shall not wait for an answer to the first.
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(mut asked) = read_head(&mut reader)? {
        if let Some(len) = breaks(&asked) {
            let len = len.min(body_len(&asked));
            io::copy(&mut (&mut reader).take(len as u64), &mut io::sink())?;
            return stream.shutdown(Shutdown::Both);
        }
        read_body(&mut reader, &mut asked)?;
        log.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        let answer = script(&asked);
        std::thread::sleep(answer.delay);
        stream.write_all(answer.head().as_bytes())?;
        if asked.method != "HEAD" {
            answer.write_body(&mut stream)?;
        }
        if answer.cut.is_some() || matches!(answer.length, BodyLength::Claimed(_)) {
            return stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

pub(crate) fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut asked = read_head(reader)?;
    if let Some(asked) = &mut asked {
        read_body(reader, asked)?;
    }
    Ok(asked)
}

fn body_len(asked: &Asked) -> usize {
    asked.header("content-length").and_then(|len| len.parse().ok()).unwrap_or(0)
}

fn read_body(reader: &mut impl BufRead, asked: &mut Asked) -> io::Result<()> {
    asked.bytes = vec![0; body_len(asked)];
    reader.read_exact(&mut asked.bytes)?;
    asked.body = String::from_utf8_lossy(&asked.bytes).into_owned();
    Ok(())
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Asked>> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some(Asked { method, target, headers, body: String::new(), bytes: Vec::new() }))
}
