//! A package repository on loopback: the packages that `scripts/make-boot-tools` fetched.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use banger_testkit::{sha256_digest, tools};

use super::network::REPOSITORY_ADDRESS;

/// The line of `sources.list` with which a guest uses the repository.
pub(crate) fn source_line() -> String {
    format!("deb [trusted=yes] http://{REPOSITORY_ADDRESS}/ ./\n")
}

/// A repository that serves until the process ends.
#[derive(Debug)]
pub(crate) struct Repository {
    port: u16,
    packages_served: Arc<AtomicUsize>,
}

impl Repository {
    /// Serves the packages in `dir`.
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Self> {
        let files = Arc::new(index(dir)?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let packages_served = Arc::new(AtomicUsize::new(0));
        let served = Arc::clone(&packages_served);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (files, served) = (Arc::clone(&files), Arc::clone(&served));
                // A guest that goes away in the middle is the guest's affair.
                std::thread::spawn(move || serve(stream, &files, &served));
            }
        });
        Ok(Self { port, packages_served })
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many packages were fetched so far.
    pub(crate) fn packages_served(&self) -> usize {
        self.packages_served.load(Ordering::Relaxed)
    }
}

/// What a path leads to.
#[derive(Debug)]
enum Content {
    Index(Vec<u8>),
    Package(PathBuf),
}

/// Everything that is served, by the path behind the slash.
fn index(dir: &Path) -> anyhow::Result<BTreeMap<String, Content>> {
    let mut files = BTreeMap::new();
    let mut packages = String::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        // apt escapes much of what versions have in them; the name says nothing that the index does not.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.replace(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.', "_");
        let fields = tools::try_run(Command::new("dpkg-deb").arg("--field").arg(&path))
            .map_err(|report| anyhow::anyhow!("{report}"))?;
        let bytes = std::fs::read(&path)?;
        packages.push_str(&String::from_utf8_lossy(&fields.stdout));
        let digest = sha256_digest(&bytes);
        let digest = digest.trim_start_matches("sha256:");
        packages.push_str(&format!("Filename: ./{name}\nSize: {}\nSHA256: {digest}\n\n", bytes.len()));
        files.insert(name, Content::Package(path));
    }
    files.insert("Packages".to_owned(), Content::Index(packages.into_bytes()));
    Ok(files)
}

/// Answers the requests of one connection.
fn serve(
    mut stream: TcpStream,
    files: &BTreeMap<String, Content>,
    served: &AtomicUsize,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut request = String::new();
        if reader.by_ref().take(8192).read_line(&mut request)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            if reader.by_ref().take(8192).read_line(&mut header)? == 0 {
                return Ok(());
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let found = files.get(path.trim_start_matches('/').trim_start_matches("./"));
        let (status, body) = match found {
            Some(Content::Index(bytes)) => ("200 OK", bytes.clone()),
            Some(Content::Package(path)) => {
                served.fetch_add(1, Ordering::Relaxed);
                ("200 OK", std::fs::read(path)?)
            }
            None => ("404 Not Found", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        if request.starts_with("GET ") {
            stream.write_all(&body)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::AtomicUsize;

    use super::{Content, serve};

    #[test]
    fn several_requests_share_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let files = BTreeMap::from([("Packages".to_owned(), Content::Index(b"Package: x\n".to_vec()))]);
            serve(listener.accept().unwrap().0, &files, &AtomicUsize::new(0)).unwrap();
        });
        let mut client = TcpStream::connect(address).unwrap();
        client
            .write_all(b"GET /InRelease HTTP/1.1\r\nHost: x\r\n\r\nGET /./Packages HTTP/1.1\r\n\r\n")
            .unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.ends_with("200 OK\r\nContent-Length: 11\r\n\r\nPackage: x\n"), "{answer}");
        server.join().unwrap();
    }
}
