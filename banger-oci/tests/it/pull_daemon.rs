//! Images of daemons: a scripted one, and podman's.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use banger_oci::{LocalSources, PullError};
use banger_testkit::{docker_archive, require, tools};
use banger_tree::{ErrorKind, Failure as _};
use camino::Utf8Path;

use crate::pull_support::*;
use crate::source_support::*;

/// What the scripted daemon does with a request.
#[derive(Clone)]
enum Reply {
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// These bytes, then nothing for a long time.
    Stall(Vec<u8>),
}

/// Answers requests on a Unix socket; returns the first lines of the requests.
fn daemon(
    socket: &Utf8Path,
    reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(socket).unwrap();
    let (asked, reply) = (Arc::new(Mutex::new(Vec::new())), Arc::new(reply));
    let told = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (told, reply) = (Arc::clone(&told), Arc::clone(&reply));
            thread::spawn(move || serve(stream.unwrap(), &told, &*reply));
        }
    });
    asked
}

fn serve(mut stream: UnixStream, told: &Mutex<Vec<String>>, reply: &dyn Fn(&str) -> Reply) {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => head.extend_from_slice(&buffer[..count]),
        }
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap().to_owned();
    told.lock().unwrap().push(line.clone());
    // The other side may have gone.
    match reply(&line) {
        Reply::Bytes(bytes) => drop(stream.write_all(&bytes)),
        Reply::Stall(bytes) => {
            drop(stream.write_all(&bytes));
            // Until the other side goes.
            drop(stream.read(&mut buffer));
        }
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

fn json_answer(status: &str, body: &str) -> Vec<u8> {
    answer(status, &format!("Content-Length: {}\r\n", body.len()), body.as_bytes())
}

/// A body in chunks; `is_whole` says whether the last one comes.
fn chunked(body: &[u8], is_whole: bool) -> Vec<u8> {
    let mut chunks = Vec::new();
    for piece in body.chunks(10_000) {
        chunks.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunks.extend_from_slice(piece);
        chunks.extend_from_slice(b"\r\n");
    }
    if is_whole {
        chunks.extend_from_slice(b"0\r\n\r\n");
    }
    answer("200 OK", "Transfer-Encoding: chunked\r\n", &chunks)
}

/// A bench whose docker has this reply to the export.
fn bench_with(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Bench {
    let mut bench = Bench::new();
    let socket = bench.path().join("docker.sock");
    daemon(&socket, move |line| match line.contains("/json ") {
        true => Reply::Bytes(json_answer("200 OK", "{}")),
        false => reply(),
    });
    bench.options.local = LocalSources::default().with_docker_host(socket.into_string());
    bench
}

#[test]
fn a_daemon_exports_an_image() {
    let saved = docker_archive(&[(&two_layers(), &[NAME])]);
    let mut bench = Bench::new();
    let file = bench.path().join("saved.tar");
    std::fs::write(&file, &saved).unwrap();
    let wanted = bench.pull(&format!("docker-archive:{file}")).unwrap();
    let (config, layers) = (wanted.config_digest.clone(), tars(&wanted));
    let socket = bench.path().join("d.sock");
    let body = saved.clone();
    let asked = daemon(&socket, move |line| match line.contains("/json ") {
        true => Reply::Bytes(json_answer("200 OK", "{}")),
        false if line.contains("whole") => {
            Reply::Bytes(answer("200 OK", &format!("Content-Length: {}\r\n", body.len()), &body))
        }
        false => Reply::Bytes(chunked(&body, true)),
    });
    bench.options.local = LocalSources::default()
        .with_docker_host(format!("unix://{socket}"))
        .with_podman_host(socket.to_string());
    for reference in [
        "docker-daemon:team/app:2".to_owned(),
        "podman:whole".to_owned(),
        format!("docker-daemon:{config}"),
        format!("podman:{}", config.hex()),
    ] {
        let image = bench.pull(&reference).unwrap();
        assert_eq!((&image.digest, image.reference.to_string()), (&wanted.digest, reference.clone()));
        assert_eq!(tars(&image), layers, "{reference}");
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0], "GET /images/team/app:2/json HTTP/1.1");
    assert_eq!(asked[1], "GET /images/team/app:2/get HTTP/1.1");
    drop(asked);
    assert!(bench.cache.list().unwrap().is_empty());
    // An id is checked.
    let other = banger_oci::Digest::of(b"another");
    let error = bench.pull(&format!("docker-daemon:{other}")).unwrap_err();
    assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
}

#[test]
fn a_daemon_that_gives_no_image_is_said() {
    let saved = docker_archive(&[(&two_layers(), &[NAME])]);
    let half = saved[..saved.len() / 2].to_vec();
    let cut_length = answer("200 OK", &format!("Content-Length: {}\r\n", saved.len()), &half);
    let cases: Vec<(Vec<u8>, u32, &str)> = vec![
        (chunked(&half, false), 1161, "stopped while it wrote"),
        (cut_length, 1161, "stopped while it wrote"),
        // The chunks are whole, and the archive is not.
        (chunked(&half, true), 116, "the export of docker-daemon:app"),
        (answer("200 OK", "", &half), 116, "the export of docker-daemon:app"),
        (chunked(b"", true), 1161, "wrote nothing"),
        (json_answer("404 Not Found", r#"{"message":"No such image: app"}"#), 101, "No such image: app"),
        (json_answer("500 Internal Server Error", r#"{"message":"disk is full"}"#), 108, "disk is full"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), 1161, "no answer"),
        (Vec::new(), 1161, "no answer"),
        (chunked(&vec![7; 100_000], true), 116, "no tar header"),
    ];
    for (bytes, code, says) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let bench = bench_with(move || Reply::Bytes(bytes.clone()));
        let error = bench.pull("docker-daemon:app").unwrap_err();
        assert_eq!(error.code(), code, "{shown}: {error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_one_line(&error);
    }
    let mut bench = bench_with(move || Reply::Bytes(chunked(&saved, true)));
    bench.options.max_download_bytes = 2000;
    let error = bench.pull("docker-daemon:app").unwrap_err();
    assert!(matches!(&error, PullError::TooLarge { .. }), "{error}");
}

#[test]
fn a_socket_without_a_daemon_is_said() {
    let mut bench = Bench::new();
    let dir = bench.path();
    let deaf = dir.join("deaf.sock");
    drop(UnixListener::bind(&deaf).unwrap());
    std::fs::write(dir.join("file"), "").unwrap();
    let cases: Vec<(Option<String>, ErrorKind, &str)> = vec![
        (None, ErrorKind::Argument, "is not known"),
        (Some(format!("unix://{dir}/none.sock")), ErrorKind::NotFound, "no such socket"),
        (Some(deaf.to_string()), ErrorKind::Network, "nobody listens"),
        (Some(dir.join("file").to_string()), ErrorKind::Network, "nobody listens"),
        (Some("tcp://127.0.0.1:2375".to_owned()), ErrorKind::Unsupported, "not a Unix socket"),
        (Some("ssh://host".to_owned()), ErrorKind::Unsupported, "not a Unix socket"),
    ];
    for (host, kind, says) in cases {
        bench.options.local = LocalSources::default().with_docker_host(host);
        let error = bench.pull("docker-daemon:app").unwrap_err();
        assert_eq!((error.code(), error.kind()), (1161, kind), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(told(&error).contains("docker_host"), "{}", told(&error));
    }
}

#[test]
fn a_silent_daemon_is_left() {
    for beginning in [Vec::new(), chunked(&[1; 5000], false)] {
        let reply = beginning.clone();
        let mut bench = bench_with(move || Reply::Stall(reply.clone()));
        bench.options.stall_timeout = Duration::from_millis(300);
        let error = bench.pull("docker-daemon:app").unwrap_err();
        assert!(matches!(&error, PullError::TooSlow { .. }), "{error}");
        assert!(told(&error).contains("stall_timeout"), "{}", told(&error));

        let mut bench = bench_with(move || Reply::Stall(beginning.clone()));
        bench.options.stall_timeout = Duration::from_secs(600);
        let cancel = bench.cancel.clone();
        let stopping = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            cancel.cancel();
        });
        let error = bench.pull("docker-daemon:app").unwrap_err();
        assert!(matches!(&error, PullError::Cancelled), "{error}");
        stopping.join().unwrap();
    }
}

/// A service that is killed when it is dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn podman_exports_an_image() {
    require!(tools::root("a storage of podman"));
    let mut bench = Bench::new();
    let dir = bench.path();
    let (layout, root, run) = (dir.join("layout"), dir.join("storage"), dir.join("run"));
    write_two_layers(&layout);
    let to = format!("containers-storage:[overlay@{root}+{run}]{NAME}");
    require!(copy_image(&format!("oci:{layout}:2"), &to));
    let socket = dir.join("podman.sock");
    require!(tools::tool("podman"));
    // Its mounts end with it.
    let mut podman = require!(tools::command("unshare"));
    podman.args([
        "--mount",
        "podman",
        "--root",
        root.as_str(),
        "--runroot",
        run.as_str(),
        "--storage-driver",
        "overlay",
    ]);
    podman.args(["system", "service", "--time=60", &format!("unix://{socket}")]);
    podman.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _service = Service(podman.spawn().unwrap());
    let end = Instant::now() + Duration::from_secs(60);
    while UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < end, "podman does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    let wanted = bench.pull(&format!("oci:{layout}:2")).unwrap();
    bench.options.local = LocalSources::default().with_podman_host(socket.into_string());
    let image = bench.pull(&format!("podman:{NAME}")).unwrap();
    assert_eq!(image.config.rootfs.diff_ids, wanted.config.rootfs.diff_ids);
    assert_eq!(tars(&image), tars(&wanted));
    let error = bench.pull("podman:docker.io/library/none:1").unwrap_err();
    assert!(matches!(&error, PullError::UnknownImage { .. }), "{error}");
    assert!(error.to_string().contains("none"), "{error}");
}
