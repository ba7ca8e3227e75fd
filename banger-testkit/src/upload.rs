//! Uploads to a registry without a client's opinions on what is uploaded.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// Uploads the manifest of `descriptor` and all that it refers to out of a
/// layout's files.
pub(crate) fn upload(
    host: &str,
    files: &BTreeMap<String, Vec<u8>>,
    descriptor: &Value,
    name: &str,
    tag: &str,
) {
    let digest = text(&descriptor["digest"]);
    let bytes = &files[&path_of(digest)];
    let manifest: Value = serde_json::from_slice(bytes).expect("a manifest is JSON");
    for child in list(&manifest["manifests"]) {
        upload(host, files, child, name, text(&child["digest"]));
    }
    for blob in list(&manifest["layers"]).iter().chain(manifest.get("config")) {
        let digest = text(&blob["digest"]);
        // What the layout does not have, the registry need not have either.
        if let Some(bytes) = files.get(&path_of(digest)) {
            upload_blob(host, name, digest, bytes);
        }
    }
    let target = format!("/v2/{name}/manifests/{tag}");
    request(host, "PUT", &target, text(&descriptor["mediaType"]), bytes);
}

fn upload_blob(host: &str, name: &str, digest: &str, bytes: &[u8]) {
    let started = request(host, "POST", &format!("/v2/{name}/blobs/uploads/"), "", b"");
    let location =
        started.lines().find_map(|line| line.strip_prefix("Location: ")).expect("an upload has a location");
    let separator = if location.contains('?') { '&' } else { '?' };
    let target = format!("{location}{separator}digest={digest}");
    request(host, "PUT", &target, "application/octet-stream", bytes);
}

/// The response's head; panics unless its status is a success.
fn request(host: &str, method: &str, target: &str, media_type: &str, body: &[u8]) -> String {
    let mut head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !media_type.is_empty() {
        head.push_str(&format!("Content-Type: {media_type}\r\n"));
    }
    head.push_str("\r\n");
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(host)?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        Ok(response)
    };
    let response = exchange().unwrap_or_else(|error| panic!("{method} {target}: {error}"));
    let response = String::from_utf8_lossy(&response).into_owned();
    assert!(response.starts_with("HTTP/1.1 20"), "{method} {target}: {response}");
    response
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("descriptors hold strings")
}

fn path_of(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}
