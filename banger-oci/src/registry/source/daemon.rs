//! Images of daemons of this machine, by the export call of their API (Docker Engine API, `GET /images/{name}/get`;
//! podman has it, too).

use std::error::Error as _;
use std::fs::File;
use std::io;
use std::sync::Arc;

use banger_tree::{Advice, ErrorKind, Setting};
use camino::{Utf8Path, Utf8PathBuf};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use tokio::task::block_in_place;

use super::archive_input::SpooledFile;
use crate::digest::Digest;
use crate::one_line::one_line;
use crate::reference::{ImageDaemon, Selector};
use crate::registry::attempt::explain;
use crate::registry::background::Background;
use crate::registry::cache::BlobCache;
use crate::registry::engine::Engine;
use crate::registry::error::PullError;
use crate::registry::foreign_text::error_detail;
use crate::registry::options::PullOptions;
use crate::registry::stop::PullStop;

/// As much of an error answer as is read.
const ERROR_LEN: usize = 64 * 1024;
/// The schemes of addresses that are no Unix socket.
const REMOTE: [&str; 5] = ["tcp://", "http://", "https://", "ssh://", "npipe://"];

/// A request to a daemon for one image.
#[derive(Clone, Debug)]
struct ExportCall {
    daemon: ImageDaemon,
    name: String,
    socket: Utf8PathBuf,
    options: PullOptions,
    stop: PullStop,
}

/// Has a daemon export an image: returns the docker archive, and which of its images is meant.
pub(crate) fn export(
    engine: &Engine,
    daemon: ImageDaemon,
    name: &str,
    cache: &BlobCache,
    options: &PullOptions,
    stop: &PullStop,
) -> Result<(File, Selector), PullError> {
    let socket = socket_of(daemon, options)?;
    let (options, name, stop) = (options.clone(), name.to_owned(), stop.child());
    let selector = match id_of(&name) {
        Some(digest) => Selector::Digest(digest),
        None => Selector::Only,
    };
    let background = Background::start(engine, &stop, options.max_time)?;
    let call = ExportCall { daemon, name, socket, options, stop };
    let copy = SpooledFile::new(cache, call.options.download_cap(), &call.what())?;
    let file = background.run(async move { call.stop.clone().race(call.run(copy)).await? })?;
    Ok((file, selector))
}

/// Returns the digest that a whole id is.
fn id_of(name: &str) -> Option<Digest> {
    name.parse().or_else(|_| format!("sha256:{name}").parse()).ok()
}

/// Returns the socket of a daemon.
fn socket_of(daemon: ImageDaemon, options: &PullOptions) -> Result<Utf8PathBuf, PullError> {
    let setting = setting_of(daemon);
    let Some(address) = options.local.host_of(daemon) else {
        return Err(PullError::Daemon {
            socket: Utf8PathBuf::from(daemon.scheme()),
            reason: "the address of its socket is not known".to_owned(),
            kind: ErrorKind::Argument,
            advice: Advice::with_setting("give it by {setting}", setting),
        });
    };
    if REMOTE.iter().any(|scheme| address.starts_with(scheme)) {
        return Err(PullError::Daemon {
            socket: Utf8PathBuf::from(one_line(&address)),
            reason: "it is not a Unix socket".to_owned(),
            kind: ErrorKind::Unsupported,
            advice: Advice::with_setting(
                "give the path of one by {setting}, as in unix:///run/docker.sock",
                setting,
            ),
        });
    }
    Ok(Utf8PathBuf::from(address.strip_prefix("unix://").unwrap_or(&address)))
}

fn setting_of(daemon: ImageDaemon) -> Setting {
    match daemon {
        ImageDaemon::Docker => Setting("docker_host"),
        ImageDaemon::Podman => Setting("podman_host"),
    }
}

impl ExportCall {
    fn what(&self) -> String {
        format!("the export of {} by {}", self.name, self.socket)
    }

    async fn run(&self, mut copy: SpooledFile) -> Result<File, PullError> {
        let client = self.client()?;
        // The export of an unknown image may begin with success, this does not.
        let known = self.get(&client, "json").await?;
        drop(known);
        let mut response = self.get(&client, "get").await?;
        loop {
            match response.chunk().await {
                Ok(Some(bytes)) => block_in_place(|| copy.push(&bytes))?,
                Ok(None) => break,
                Err(error) => return Err(self.broken(&error, "it stopped while it wrote the image")),
            }
        }
        match copy.len {
            0 => Err(self.error("it wrote nothing", ErrorKind::Network, "look into its log")),
            _ => Ok(copy.file),
        }
    }

    fn client(&self) -> Result<reqwest::Client, PullError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("banger/", env!("CARGO_PKG_VERSION")))
            .unix_socket(self.socket.as_std_path())
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.options.connect_timeout)
            .read_timeout(self.options.stall_timeout);
        client.build().map_err(|error| PullError::Environment {
            reason: format!("cannot set up the http client: {}", explain(&error)),
        })
    }

    /// Makes one call; every status but success is an error.
    async fn get(&self, client: &reqwest::Client, call: &str) -> Result<Response, PullError> {
        let path = format!("/images/{}/{call}", self.name);
        let sent = client.get(format!("http://localhost{path}")).send().await;
        let response = sent.map_err(|error| self.broken(&error, "it gave no answer"))?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let detail = self.detail(response).await;
        if status == StatusCode::NOT_FOUND {
            let reference = format!("{}:{}", self.daemon.scheme(), self.name);
            return Err(PullError::UnknownImage { reference, detail });
        }
        let (host, status) = (self.socket.to_string(), status.as_u16());
        Err(PullError::Status { host, status, method: "GET", path, detail })
    }

    /// Returns the message in an error answer.
    async fn detail(&self, mut response: Response) -> String {
        #[derive(Deserialize)]
        struct Refusal {
            message: String,
        }
        let mut body = Vec::new();
        while body.len() < ERROR_LEN
            && let Ok(Some(bytes)) = response.chunk().await
        {
            body.extend_from_slice(&bytes[..bytes.len().min(ERROR_LEN - body.len())]);
        }
        let text = String::from_utf8_lossy(&body);
        match serde_json::from_str::<Refusal>(&text) {
            Ok(refusal) => one_line(&refusal.message),
            Err(_) => error_detail(&text),
        }
    }

    /// Returns the error of a request that failed.
    fn broken(&self, error: &reqwest::Error, otherwise: &str) -> PullError {
        if let Some(kind) = io_kind(error).filter(|_| error.is_connect()) {
            let (reason, kind, advice) = match kind {
                io::ErrorKind::NotFound => {
                    ("there is no such socket", ErrorKind::NotFound, "start the daemon")
                }
                io::ErrorKind::PermissionDenied => (
                    "this user may not connect to it",
                    ErrorKind::Access,
                    "run this as a user who may, or export the image to a file",
                ),
                io::ErrorKind::ConnectionRefused => {
                    ("nobody listens there", ErrorKind::Network, "start the daemon")
                }
                _ => (
                    "it cannot be connected to",
                    ErrorKind::Network,
                    "check that it is the socket of a daemon",
                ),
            };
            return match kind {
                ErrorKind::Access => self.error(reason, kind, advice),
                _ => PullError::Daemon {
                    socket: self.socket.clone(),
                    reason: reason.to_owned(),
                    kind,
                    advice: Advice::with_setting(
                        format!("{advice}, or give its address by {{setting}}"),
                        setting_of(self.daemon),
                    ),
                },
            };
        }
        if error.is_timeout() {
            return PullError::TooSlow {
                what: self.what(),
                reason: format!("nothing came for {:?}", self.options.stall_timeout),
                advice: Advice::with_setting(
                    "try again, or allow more by {setting}",
                    Setting("stall_timeout"),
                ),
            };
        }
        let reason = format!("{otherwise}: {}", explain(error));
        self.error(
            &reason,
            ErrorKind::Network,
            "check that it is the socket of a daemon, and look into its log",
        )
    }

    fn error(&self, reason: &str, kind: ErrorKind, advice: &'static str) -> PullError {
        let (socket, reason) = (self.socket.clone(), reason.to_owned());
        PullError::Daemon { socket, reason, kind, advice: Advice::new(advice) }
    }
}

/// Returns the kind of the input/output error behind an error.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = cause.source();
    }
    None
}

/// Returns the name of an export in messages.
pub(crate) fn export_name(daemon: ImageDaemon, name: &str) -> Utf8PathBuf {
    Utf8Path::new(&format!("the export of {}:{name}", daemon.scheme())).to_owned()
}
