//! Small proxies on loopback ports: CONNECT and absolute http requests, and SOCKS5. Whatever name they are asked for, they
//! lead to one server.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// The protocol of a [`TestProxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// CONNECT for https, and requests with a whole URL for http.
    Http,
    /// SOCKS version 5 without a login (RFC 1928).
    Socks5,
}

/// A proxy that leads to one port of this machine and notes the names that it was asked for.
#[derive(Debug)]
pub struct TestProxy {
    /// Its own port.
    pub port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    /// Starts a proxy that leads to `target` of 127.0.0.1. Its thread ends with the process.
    ///
    /// # Panics
    ///
    /// When there is no port.
    #[must_use]
    pub fn start(kind: ProxyKind, target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("the listener has an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                // Whoever goes away ends the conversation.
                std::thread::spawn(move || match kind {
                    ProxyKind::Http => http(stream, target, &all),
                    ProxyKind::Socks5 => socks5(stream, target, &all),
                });
            }
        });
        Self { port, asked }
    }

    /// The names with ports that it was asked for.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn note(asked: &Mutex<Vec<String>>, name: String) {
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(name);
}

fn http(stream: TcpStream, target: u16, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split(' ');
    let (method, address) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut server = TcpStream::connect(("127.0.0.1", target))?;
    if method == "CONNECT" {
        note(asked, address.to_owned());
        (&stream).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    } else {
        let rest = address.strip_prefix("http://").unwrap_or(address);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        note(asked, host.to_owned());
        // One request a connection: the next one may be for another server.
        let head = text.replacen(address, &format!("/{path}"), 1);
        let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        server.write_all(head.as_bytes())?;
    }
    join(stream, server, reader.buffer())
}

fn socks5(mut stream: TcpStream, target: u16, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let bytes = |stream: &mut TcpStream, len: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        stream.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let greeting = bytes(&mut stream, 2)?;
    bytes(&mut stream, greeting[1].into())?;
    stream.write_all(&[5, 0])?;
    let request = bytes(&mut stream, 4)?;
    let host = match request[3] {
        1 => {
            let address = bytes(&mut stream, 4)?;
            std::net::Ipv4Addr::new(address[0], address[1], address[2], address[3]).to_string()
        }
        3 => {
            let len = bytes(&mut stream, 1)?[0];
            String::from_utf8_lossy(&bytes(&mut stream, len.into())?).into_owned()
        }
        _ => return stream.write_all(&[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]),
    };
    let port = bytes(&mut stream, 2)?;
    note(asked, format!("{host}:{}", u16::from_be_bytes([port[0], port[1]])));
    let server = TcpStream::connect(("127.0.0.1", target))?;
    stream.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
    join(stream, server, &[])
}

/// Passes bytes on in both directions; `begun` came from the client already.
fn join(client: TcpStream, server: TcpStream, begun: &[u8]) -> io::Result<()> {
    (&server).write_all(begun)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::spawn(move || {
        let _gone = io::copy(&mut &from, &mut &to);
        let _gone = to.shutdown(Shutdown::Write);
    });
    let _gone = io::copy(&mut &server, &mut &client);
    let _gone = client.shutdown(Shutdown::Both);
    let _ended = up.join();
    Ok(())
}
