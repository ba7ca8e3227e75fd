//! A proxy between a client and a real registry that injects faults by a schedule.
//!
//! It has three ports on loopback: the registry as the client knows it, another host for redirects, and a
//! plain http port that no client of an https registry may be led to.

mod certificates;
mod connection;
mod fault;
mod http2;
mod stream;
mod upstream;

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;

use crate::scripted::Asked;

pub use certificates::Certificates;
pub use fault::{Fault, Forecast};
pub use http2::Http2Fault;

/// The other side of a connection has so many bytes on the way: without a bound, a kernel keeps megabytes
/// that a client never reads.
const SEND_BUFFER: usize = 32 * 1024;

/// How a [`Weather`] is set up.
#[derive(Clone, Debug)]
pub struct WeatherOptions {
    /// The faults.
    pub forecast: Forecast,
    /// Speak TLS with these certificates.
    pub certificates: Option<Arc<Certificates>>,
    /// Ask for a bearer token of an own token server.
    pub token: bool,
    /// So many bytes a second at most for each connection.
    pub rate: Option<u64>,
    /// With TLS: offer HTTP/2 on so many connections, and answer their first request with these faults. Later
    /// connections, and clients without HTTP/2, get HTTP/1.1.
    pub http2_faults: Vec<Http2Fault>,
}

impl Default for WeatherOptions {
    fn default() -> Self {
        Self {
            forecast: Forecast::fine(),
            certificates: None,
            token: false,
            rate: None,
            http2_faults: Vec::new(),
        }
    }
}

/// A running proxy. Dropping it closes its ports.
#[derive(Debug)]
pub struct Weather {
    state: Arc<State>,
    ports: [u16; 3],
}

/// What a port stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The registry.
    Registry,
    /// Another host, where blobs are.
    OtherHost,
    /// A host that no redirect may lead to.
    Forbidden,
}

#[derive(Debug)]
struct State {
    upstream: String,
    options: WeatherOptions,
    tls: Option<Arc<ServerConfig>>,
    /// The same, offering HTTP/2 only.
    http2: Option<Arc<ServerConfig>>,
    /// Faults of HTTP/2 so far.
    http2_faults: AtomicUsize,
    ports: [u16; 3],
    /// The token of this number is accepted.
    token: AtomicU64,
    is_fine: AtomicBool,
    is_over: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    /// Requests for each target.
    requests: BTreeMap<String, u64>,
    /// Bytes of bodies that were sent for each target.
    sent: BTreeMap<String, u64>,
    injected: BTreeMap<Fault, u64>,
    violations: Vec<String>,
}

impl Weather {
    /// Starts a proxy before the registry at `upstream`, such as `127.0.0.1:5000`, which speaks plain http and
    /// lets everybody in.
    ///
    /// # Panics
    ///
    /// When there is no port.
    #[must_use]
    pub fn start(upstream: &str, options: WeatherOptions) -> Self {
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port on loopback"));
        let ports = [0, 1, 2]
            .map(|index: usize| listeners[index].local_addr().expect("the listener has an address").port());
        let server = |protocol: &[u8]| {
            options.certificates.as_ref().map(|certificates| certificates.server(&[protocol]))
        };
        let (tls, http2) = (server(b"http/1.1"), server(b"h2"));
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            options,
            tls,
            http2,
            http2_faults: AtomicUsize::new(0),
            ports,
            token: AtomicU64::new(1),
            is_fine: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            record: Mutex::default(),
        });
        for (listener, role) in listeners.into_iter().zip([Role::Registry, Role::OtherHost, Role::Forbidden])
        {
            // The connections inherit it.
            let _larger = socket2::SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER);
            let state = Arc::clone(&state);
            std::thread::spawn(move || state.accept(&listener, role));
        }
        Self { state, ports }
    }

    /// `127.0.0.1:PORT`, as it stands in references.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// No more faults from now on.
    pub fn clear_up(&self) {
        self.state.is_fine.store(true, Ordering::Relaxed);
    }

    /// The bytes of blobs that were sent so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        let record = self.state.record();
        record.sent.iter().filter(|(target, _)| target.contains("/blobs/")).map(|(_, sent)| sent).sum()
    }

    /// The bytes that were sent so far for targets with `part` in them.
    #[must_use]
    pub fn sent_for(&self, part: &str) -> u64 {
        let record = self.state.record();
        record.sent.iter().filter(|(target, _)| target.contains(part)).map(|(_, sent)| sent).sum()
    }

    /// The requests so far for targets with `part` in them.
    #[must_use]
    pub fn requests_for(&self, part: &str) -> u64 {
        let record = self.state.record();
        record.requests.iter().filter(|(target, _)| target.contains(part)).map(|(_, count)| count).sum()
    }

    /// The faults so far, with their numbers.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        self.state.record().injected.clone()
    }

    /// The faults of HTTP/2 so far.
    #[must_use]
    pub fn http2_faults(&self) -> usize {
        self.state.http2_faults.load(Ordering::Relaxed)
    }

    /// What the client did that it must not do: credentials sent to another host, a redirect to plain http
    /// followed.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.record().violations.clone()
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        for port in self.ports {
            let _wake = TcpStream::connect(("127.0.0.1", port));
        }
    }
}

impl State {
    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, role: Role) {
        for stream in listener.incoming() {
            if self.is_over.load(Ordering::Relaxed) {
                return;
            }
            let state = Arc::clone(self);
            // Whoever goes away ends the conversation.
            std::thread::spawn(move || drop(stream.and_then(|stream| state.serve(stream, role))));
        }
    }

    fn violation(&self, text: String) {
        self.record().violations.push(text);
    }

    /// Counts a request. Returns how many there were before, and its fault.
    fn note(&self, asked: &Asked, can_break: impl Fn(Fault) -> bool) -> (u64, Option<Fault>) {
        let mut record = self.record();
        // One that cannot be resumed has faults of its own.
        let key = format!("{} {}", asked.method, asked.path());
        let requests = record.requests.entry(key).or_default();
        let count = *requests;
        *requests += 1;
        if self.is_fine.load(Ordering::Relaxed) {
            return (count, None);
        }
        let fault = self.options.forecast.fault(asked.path(), count).filter(|fault| can_break(*fault));
        if let Some(fault) = fault {
            *record.injected.entry(fault).or_default() += 1;
        }
        (count, fault)
    }

    fn count_sent(&self, target: &str, bytes: u64) {
        *self.record().sent.entry(target.to_owned()).or_default() += bytes;
    }

    /// Holds a sender back to the rate.
    fn hold_back(&self, sent: u64, since: std::time::Instant) {
        if let Some(rate) = self.options.rate {
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(since.elapsed()));
        }
    }

    /// The address of a port.
    fn url(&self, role: Role) -> String {
        let (host, port) = match role {
            Role::Registry => ("127.0.0.1", self.ports[0]),
            Role::OtherHost => ("localhost", self.ports[1]),
            Role::Forbidden => ("127.0.0.1", self.ports[2]),
        };
        let scheme = if self.tls.is_some() && role != Role::Forbidden { "https" } else { "http" };
        format!("{scheme}://{host}:{port}")
    }
}

/// The error that ends a conversation.
fn gone() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}
