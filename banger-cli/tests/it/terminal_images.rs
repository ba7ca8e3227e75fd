//! Records, manifests, configurations, file names, registries: nothing of them tells a terminal anything.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use banger_testkit::{
    Entry, ImageBuilder, LayerBuilder, LayoutBuilder, OCI_CONFIG, OCI_MANIFEST, descriptor, sha256_digest,
};
use serde_json::{Value, json};

use crate::support::{Home, text};
use crate::terminal::{nasty, nasty_name, run_harmlessly, run_words_harmlessly};

/// The places of all strings in a document.
fn strings(document: &Value, at: &str, found: &mut Vec<String>) {
    match document {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(values) => {
            values
                .iter()
                .enumerate()
                .for_each(|(index, value)| strings(value, &format!("{at}/{index}"), found));
        }
        Value::Object(values) => values.iter().for_each(|(name, value)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            strings(value, &format!("{at}/{name}"), found);
        }),
        _ => {}
    }
}

/// The document once for each of its strings, which says something nasty there.
fn with_each_string_nasty(document: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    strings(document, "", &mut places);
    let mutated = |place: String| {
        let mut document = document.clone();
        *document.pointer_mut(&place).unwrap() = json!(nasty());
        (place, document)
    };
    places.into_iter().map(mutated).collect()
}

/// A layer whose names, targets, owners and attributes are nasty.
fn layer() -> Vec<u8> {
    let name = nasty_name();
    let no_text = b"\xff\x9b\x1b]0;EVIL\x07\nFORGED";
    LayerBuilder::new()
        .file("etc/hostname", "vm\n")
        .file(
            "etc/passwd",
            format!("root:x:0:0::/:/bin/sh\n{TITLE}:x:7:7::/:\n", TITLE = "\u{1b}]0;EVIL\u{7}\u{9b}"),
        )
        .file("etc/os-release", format!("ID=\"{name}\"\n"))
        .dir(&name)
        .file(format!("{name}/file"), "x")
        .file(no_text, "y")
        .symlink("link", &name)
        .symlink(format!("{name}/link"), no_text)
        .entry(
            Entry::file("owned", "z")
                .owner(7, 7)
                .owner_names("\u{1b}]0;EVIL\u{7}", "\u{9b}31m\n")
                .xattr("user.\u{1b}[31m", nasty()),
        )
        // Twice, which is warned about.
        .file(no_text, "again")
        .file(format!("{name}/file"), "again")
        .finish()
}

fn image() -> ImageBuilder {
    let name = nasty();
    ImageBuilder::new()
        .layer(layer())
        .config("author", name.clone())
        .config(
            "config",
            json!({
                "Cmd": ["/bin/app", name], "Entrypoint": [name], "Env": [format!("A={name}"), name],
                "Labels": {"key": name, name.clone(): "value"}, "User": name, "WorkingDir": format!("/{name}"),
            }),
        )
        .manifest("annotations", json!({"org.opencontainers.image.title": name, name.clone(): name}))
}

const SIZE: [&str; 2] = ["--size", "64M"];

#[test]
fn what_an_image_and_its_record_say_is_harmless() {
    let home = Home::new();
    LayoutBuilder::of(&image()).write(&home.path("layout"));
    let pull = ["image", "pull", "oci:layout:latest", "--name", "app", "--force", "--no-inject"];
    let pulled = run_words_harmlessly(&home, &[&pull[..], &SIZE].concat());
    assert!(pulled.status.success(), "{}", text(&pulled.stderr));
    assert!(
        text(&pulled.stderr).contains(r"\x1b]0;EVIL"),
        "the warning about a name: {}",
        text(&pulled.stderr)
    );
    // Made to boot: what is told of that is harmless, too, whether it works or not.
    run_words_harmlessly(&home, &["image", "pull", "oci:layout:latest", "--name", "boots", "--size", "64M"]);
    let look = [
        &["image", "list"][..],
        &["image", "show", "app"],
        &["image", "verify", "app"],
        &["image", "cache", "list"],
    ];
    for command in look {
        assert!(run_words_harmlessly(&home, command).status.success());
    }
    let show = home.json(&["image", "show", "app"]);
    assert_eq!(show["config"]["labels"]["key"], nasty(), "a program gets it as it is");

    // Records in which somebody else has written.
    let record_path = Path::new(show["path"].as_str().unwrap()).with_file_name("image.json");
    let record: Value = serde_json::from_slice(&std::fs::read(&record_path).unwrap()).unwrap();
    let mutated = with_each_string_nasty(&record);
    assert!(mutated.len() > 15, "{}", mutated.len());
    for (_, record) in mutated {
        std::fs::write(&record_path, record.to_string()).unwrap();
        run_words_harmlessly(&home, &["image", "list"]);
        run_words_harmlessly(&home, &["image", "show", "app"]);
    }
    for bytes in [
        b"{\"version\":\"\x1b]0;EVIL\x07\xff\x9b\"}".to_vec(),
        format!("{{\"version\":{}}}", json!(nasty())).into_bytes(),
    ] {
        std::fs::write(&record_path, bytes).unwrap();
        for command in look {
            run_words_harmlessly(&home, command);
        }
        run_words_harmlessly(&home, &["image", "export", "app", "out/app.ext4"]);
    }
    // Directories whose names are no ids.
    let images = record_path.parent().unwrap().parent().unwrap();
    for name in [OsStr::new(&nasty_name()), OsStr::from_bytes(b"\xff\x9b\nFORGED")] {
        std::fs::create_dir(images.join(name)).unwrap();
        std::fs::write(images.join(name).join("image.json"), record.to_string()).unwrap();
    }
    for command in look {
        run_words_harmlessly(&home, command);
    }
    run_words_harmlessly(&home, &["image", "cache", "prune", "--all"]);
}

#[test]
fn what_is_in_an_ext4_file_is_harmless() {
    let home = Home::new();
    LayoutBuilder::of(&image()).write(&home.path("layout"));
    home.run([
        "image",
        "pull",
        "oci:layout:latest",
        "--output",
        "out/x.ext4",
        "--no-inject",
        "--size",
        "64M",
    ]);
    let (file, name) = (OsStr::new("out/x.ext4"), nasty_name());
    let no_text = OsStr::from_bytes(b"/\xff\x9b\x1b]0;EVIL\x07\nFORGED");
    let inside = format!("/{name}/file");
    let link = format!("/{name}/link");
    let missing = format!("/{name}/missing\u{1b}[31m");
    let all = run_harmlessly(&home, &["rootfs".as_ref(), "ls".as_ref(), "-lR".as_ref(), file, "/".as_ref()]);
    assert!(text(&all.stdout).contains(r"\x1b]0;EVIL"), "{}", text(&all.stdout));
    for path in [
        OsStr::new("/"),
        "/link".as_ref(),
        "/owned".as_ref(),
        no_text,
        inside.as_ref(),
        link.as_ref(),
        missing.as_ref(),
    ] {
        for command in
            [&["ls"][..], &["ls", "-l"], &["stat"], &["chmod", "644"], &["chown", "1:1"], &["rm"], &["mkdir"]]
        {
            let (verb, options) = command.split_first().unwrap();
            let mut arguments = vec![OsStr::new("rootfs"), (*verb).as_ref()];
            match *verb {
                "chmod" | "chown" => arguments.extend([file, options[0].as_ref(), path]),
                _ => {
                    arguments.extend(options.iter().map(|option| OsStr::new(*option)));
                    arguments.extend([file, path]);
                }
            }
            run_harmlessly(&home, &arguments);
        }
    }
    for path in [inside.as_ref(), no_text, missing.as_ref()] {
        run_harmlessly(&home, &["rootfs".as_ref(), "cat".as_ref(), "--json".as_ref(), file, path]);
    }
    run_harmlessly(&home, &["rootfs".as_ref(), "put".as_ref(), file, missing.as_ref(), inside.as_ref()]);
    run_harmlessly(&home, &["rootfs".as_ref(), "inject".as_ref(), file]);
    // A tree of the host with such names, and what cannot be read in it.
    std::fs::create_dir_all(home.path("tree").join(&name)).unwrap();
    std::os::unix::net::UnixListener::bind(home.path("tree/socket")).unwrap();
    std::fs::write(home.path("tree").join(&name).join("file"), "x").unwrap();
    for target in ["out/tree.ext4".to_owned(), format!("out/{name}"), format!("none{name}/x")] {
        let build = ["rootfs", "build", "tree", &target, "--force"].map(OsStr::new);
        run_harmlessly(&home, &[&build[..], &SIZE.map(OsStr::new)].concat());
    }
}

/// A layout of the documents as they are, whose digests are right.
fn write_layout(home: &Home, config: &Value, manifest: &Value, index: Option<&Value>) {
    let _ = std::fs::remove_dir_all(home.path("layout"));
    let layer = LayerBuilder::new().file("etc/hostname", "vm\n").finish();
    let mut layout = LayoutBuilder::new();
    layout.blob(layer);
    layout.blob(config.to_string().into_bytes());
    let manifest = manifest.to_string().into_bytes();
    layout.tag(descriptor(OCI_MANIFEST, &manifest), "latest");
    layout.blob(manifest);
    layout.write(&home.path("layout"));
    if let Some(index) = index {
        std::fs::write(home.path("layout/index.json"), index.to_string()).unwrap();
    }
}

#[test]
fn what_manifests_and_configurations_say_is_harmless() {
    let home = Home::new();
    let layer = LayerBuilder::new().file("etc/hostname", "vm\n").finish();
    let config = json!({
        "architecture": "amd64", "os": "linux", "variant": "v1", "created": "2026-01-01T00:00:00Z", "author": "a",
        "rootfs": {"type": "layers", "diff_ids": [sha256_digest(&layer)]},
        "config": {"Env": ["A=b"], "Cmd": ["c"], "Labels": {"l": "m"}, "User": "u", "WorkingDir": "/w"},
        "history": [{"created_by": "x", "comment": "y"}],
    });
    let manifest_of = |config: &Value| {
        json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, config.to_string().as_bytes()),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
            "annotations": {"a": "b"},
        })
    };
    let manifest = manifest_of(&config);
    let described = descriptor(OCI_MANIFEST, manifest.to_string().as_bytes());
    let mut entry = described.clone();
    entry["platform"] = json!({"os": "linux", "architecture": "amd64", "variant": "v1", "os.version": "1"});
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]});
    let pull = |what: &str| {
        for reference in ["oci:layout:latest", "oci:layout", "oci:layout:other"] {
            let arguments = [
                "image",
                "pull",
                reference,
                "--output",
                "out/x.ext4",
                "--force",
                "--size",
                "64M",
                "--no-inject",
            ];
            let output = run_words_harmlessly(&home, &arguments);
            assert!(output.status.code().is_some_and(|code| code < 2), "{what}: {}", text(&output.stderr));
        }
    };
    write_layout(&home, &config, &manifest, Some(&index));
    home.run([
        "image",
        "pull",
        "oci:layout:latest",
        "--output",
        "out/x.ext4",
        "--size",
        "64M",
        "--no-inject",
    ]);
    for (place, config) in with_each_string_nasty(&config) {
        write_layout(&home, &config, &manifest_of(&config), None);
        pull(&format!("config {place}"));
    }
    for (place, manifest) in with_each_string_nasty(&manifest) {
        write_layout(&home, &config, &manifest, None);
        pull(&format!("manifest {place}"));
    }
    for (place, index) in with_each_string_nasty(&index) {
        write_layout(&home, &config, &manifest, Some(&index));
        pull(&format!("index {place}"));
    }
    // No JSON, and JSON of another kind.
    for bytes in [
        &b"\x1b]0;EVIL\x07\xff\x9b\nFORGED"[..],
        b"{\"manifests\":\"\\u001b]0;EVIL\\u0007\"}",
        b"[\"\xc2\x9b\"]",
    ] {
        write_layout(&home, &config, &manifest, None);
        std::fs::write(home.path("layout/index.json"), bytes).unwrap();
        pull("index as a whole");
    }
}

/// What a registry can answer: status, headers, body.
fn answers() -> Vec<(String, Vec<u8>)> {
    let errors =
        json!({"errors": [{"code": nasty(), "message": nasty(), "detail": {"x": nasty()}}]}).to_string();
    let no_text = b"<html>\x1b]0;EVIL\x07\xff\x9b\nFORGED</html>".to_vec();
    let manifest =
        json!({"schemaVersion": 2, "mediaType": nasty(), "config": nasty(), "layers": nasty()}).to_string();
    // What HTTP lets through: bytes from 0x80 up.
    let header = "EVIL\u{9b}31m\u{202e}\u{2028}";
    let mut answers = Vec::new();
    for status in
        ["400 Bad\u{9b} Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "405 No\u{202e}"]
    {
        for body in [errors.clone().into_bytes(), no_text.clone(), nasty().into_bytes()] {
            answers.push((format!("{status}\r\nContent-Type: application/json"), body));
        }
    }
    for challenge in [
        format!("Basic realm=\"{header}\""),
        format!("Bearer realm=\"http://127.0.0.1:1/{header}\",service=\"{header}\",scope=\"{header}\""),
        format!("Bearer realm=\"{header}\""),
        format!("{header} x=\"{header}\""),
    ] {
        answers.push((format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}"), Vec::new()));
    }
    for location in
        [format!("http://127.0.0.1:1/{header}"), format!("{header}://x"), format!("https://{header}/")]
    {
        answers.push((format!("307 Temporary Redirect\r\nLocation: {location}"), Vec::new()));
    }
    for headers in [
        format!("Content-Type: {header}"),
        format!("Content-Type: {OCI_MANIFEST}\r\nDocker-Content-Digest: {header}"),
        format!("Content-Type: {OCI_MANIFEST}"),
    ] {
        answers.push((format!("200 OK\r\n{headers}"), manifest.clone().into_bytes()));
        answers.push((format!("200 OK\r\n{headers}"), no_text.clone()));
    }
    answers
}

#[test]
fn what_a_registry_says_is_harmless() {
    let home = Home::new();
    for (head, body) in answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = [
            format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
                .into_bytes(),
            body,
        ]
        .concat();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let answer = answer.clone();
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    // Of a client that speaks TLS first this is the end.
                    let read = stream.read(&mut request).unwrap_or(0);
                    if request[..read].starts_with(b"GET") || request[..read].starts_with(b"HEAD") {
                        let _ = stream.write_all(&answer);
                    }
                });
            }
        });
        let reference = format!("{address}/app:1");
        let output = run_words_harmlessly(&home, &["image", "pull", &reference, "--plain-http"]);
        assert_eq!(output.status.code(), Some(1), "{head}: {}", text(&output.stderr));
    }
}
