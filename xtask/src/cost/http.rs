//! A registry on loopback that has one image, whose layer is foreign.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use banger_testkit::{ImageBuilder, Layer, LayoutBuilder};

/// Starts the registry; returns its host, and how many requests went to addresses of the layer.
pub(super) fn foreign_layer(urls: usize) -> anyhow::Result<(String, Arc<AtomicU64>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let host = listener.local_addr()?.to_string();
    let addresses: Vec<String> =
        (0..urls).map(|number| format!("http://{host}/elsewhere/{number}")).collect();
    let layer = Layer::of_blob(
        vec![0; 1024],
        b"not to be had".to_vec(),
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    )
    .describe("urls", addresses);
    let image = ImageBuilder::new().layer_as(layer);
    let (manifest, config) = (image.manifest_bytes(), image.config_bytes());
    drop(LayoutBuilder::of(&image));
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (manifest, config, counted) = (manifest.clone(), config.clone(), Arc::clone(&counted));
            std::thread::spawn(move || answer(&stream, &manifest, &config, &counted));
        }
    });
    Ok((host, requests))
}

fn answer(stream: &TcpStream, manifest: &[u8], config: &[u8], counted: &AtomicU64) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut out = stream;
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let path = request.split(' ').nth(1)?;
        let config_path = banger_testkit::sha256_digest(config);
        let (status, media_type, body): (_, _, &[u8]) = match path {
            "/v2/" => ("200 OK", "application/json", b"{}"),
            _ if path.contains("/manifests/") => ("200 OK", banger_testkit::OCI_MANIFEST, manifest),
            _ if path.ends_with(&config_path) => ("200 OK", "application/octet-stream", config),
            _ => {
                if path.starts_with("/elsewhere/") {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                ("404 Not Found", "application/json", b"{}")
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        out.write_all(head.as_bytes()).ok()?;
        if !request.starts_with("HEAD") {
            out.write_all(body).ok()?;
        }
    }
}
