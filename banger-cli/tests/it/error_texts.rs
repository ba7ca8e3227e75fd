//! What a user reads when a command fails: each error that a command line can bring about, as the command
//! prints it, compared with a file. `BANGER_BLESS=1` writes the file anew; look at the difference then.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use banger_testkit::{
    Answer, Codec, ImageBuilder, KernelBuilder, LayerBuilder, LayoutBuilder, PackageBuilder, ScriptedServer,
    docker_archive, kernel_module,
};
use serde_json::Value;

use crate::support::{Home, error_text, text};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/errors.txt");

/// A catalog with one kernel.
const PINNED: &str = "[debian]\narm64 = \"registry.example/debian@sha256:\
                      e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n";

/// Command lines without `banger`, words apart by spaces. `HOST` is a registry that knows nothing, and
/// `LOCKED` one that wants a login.
const COMMANDS: &[&str] = &[
    // References, platforms, names.
    "image pull Debian",
    "image pull oci:layout:latest --platform nonsense",
    "image pull oci:layout:latest --name a/b",
    // Values of options.
    "rootfs build tree out/x.ext4 --uuid 7",
    "image cache prune",
    "rootfs stat disk.ext4 --format %Q /etc",
    "rootfs cat disk.ext4 /etc/hostname --max-output 1 --json",
    // Sources of images.
    "image pull HOST/some/image:1 --plain-http",
    "image pull LOCKED/some/image:1 --plain-http",
    "image pull oci:nothing",
    "image pull oci:tree",
    "image pull oci:layout:other",
    "image pull oci:layout:latest --platform linux/s390x",
    "image pull docker-archive:two.tar",
    "image pull docker-archive:rootfs.tar",
    "image pull docker-archive:text",
    "image pull oci:damaged:latest --no-inject",
    // Limits.
    "image pull oci:layout:latest --no-inject --max-manifest 10",
    "image pull oci:layout:latest --no-inject --max-config 10",
    "image pull oci:layout:latest --no-inject --max-download 10",
    "image pull oci:layout:latest --no-inject --max-entries 1",
    "image pull oci:layout:latest --no-inject --max-file 2",
    "image pull oci:layout:latest --no-inject --max-depth 1",
    "image pull oci:layout:latest --no-inject --max-tar 1K",
    "image pull oci:layout:latest --no-inject --max-content 1K",
    "image pull oci:layout:latest --no-inject --max-layers 0",
    "rootfs build tree out/x.ext4 --max-file 2",
    "rootfs build tree out/x.ext4 --max-depth 1",
    "rootfs build tree out/x.ext4 --max-entries 1",
    "rootfs build tree out/x.ext4 --max-content 1K",
    // Outputs and sizes.
    "image pull oci:layout:latest --output there.ext4",
    "image pull oci:layout:latest --output tree",
    "image pull oci:layout:latest --output no/where.ext4",
    "image pull oci:layout:latest --no-inject --size 64K",
    "image pull oci:layout:latest --no-inject --inodes 4000000000",
    "image pull oci:layout:latest --init image",
    "image pull oci:layout:latest --guest-dir tree",
    "rootfs build tree tree/x.ext4",
    "rootfs build tree there.ext4",
    "rootfs build nothing out/x.ext4",
    "rootfs build debian:bookworm out/x.ext4",
    "rootfs build layout out/x.ext4",
    "rootfs build two.tar out/x.ext4",
    "rootfs build disk.ext4 out/x.ext4",
    "rootfs build text out/x.ext4",
    "rootfs build empty out/x.ext4",
    // Managed images.
    "image show nothing",
    "image rm nothing",
    "image show ap",
    "image rename app apple",
    "image clone app apple",
    "image export app there.ext4",
    "image show broken",
    "image register --rootfs nothing.ext4",
    "image register --rootfs text",
    "image register --rootfs tree",
    "image register --rootfs disk.ext4 --kernel-ref large",
    "image register --rootfs disk.ext4 --kernel-ref nothing",
    "image register --rootfs disk.ext4 --name a/b",
    "image push nothing oci:new",
    "image push app docker-archive:new.tar",
    "image push app oci:new --mount-from oci:layout",
    "image push app oci:new --sign-key nothing",
    "image push app oci:new --sign-key text",
    "image push app oci:new --attest tree",
    "image commit disk.ext4 --base nothing oci:new",
    "image commit disk.ext4 --base app docker-archive:new.tar",
    "image commit disk.ext4 --base app oci:new --mount-from oci:layout",
    "image commit nothing --base app oci:new",
    "rootfs tar disk.ext4 /nothing",
    "rootfs tar disk.ext4 --json",
    "rootfs edit disk.ext4 --script text",
    "rootfs edit disk.ext4 --script nothing",
    "rootfs put disk.ext4 text /etc/hostname --if-match absent",
    "rootfs put disk.ext4 text /etc/hostname --if-match 7",
    "rootfs get disk.ext4 /nothing out/x",
    "rootfs get disk.ext4 /etc there.ext4",
    "rootfs get disk.ext4 /etc /dev out/x",
    "rootfs find disk.ext4 --name [",
    "rootfs find disk.ext4 --newer yesterday",
    "rootfs diff disk.ext4 text",
    "rootfs repair text",
    "image pull oci:layout:latest --kernel-ref nothing",
    // Kernels.
    "kernel import nothing.deb",
    "kernel import text",
    "kernel import empty",
    "kernel import tree",
    "kernel import disk.ext4",
    "kernel import two.tar",
    "kernel import image:nothing",
    "kernel import oci:layout:latest",
    "kernel import cut.deb",
    "kernel import cut.rpm",
    "kernel import module.ko",
    "kernel import --kernel kernel --modules tree",
    "kernel import --kernel kernel --config text",
    "kernel import kernel --name linux",
    "kernel import https://registry.example/linux.deb",
    "kernel import http://registry.example/linux.deb",
    "kernel import http://HOST/linux.deb --sha256 text",
    "kernel import text --sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "kernel import kernel --platform linux/amd64",
    "kernel import docker://HOST/some/kernel:1 --plain-http",
    "kernel import containerd:none:kernel:1",
    "kernel pull debian",
    "kernel pull debian --catalog text",
    "kernel pull debian --catalog wrong.toml",
    "kernel pull debian --catalog arm64.toml --platform linux/amd64",
    "kernel pull fedora --catalog arm64.toml",
    "kernel pull HOST/some/kernel:1 --plain-http",
    "kernel pack nothing out/bundle",
    "kernel pack linux linux out/bundle",
    "kernel pack linux tree",
    "kernel pack linux out/bundle --tag -",
    "kernel show nothing",
    "kernel rm nothing",
    // Checks and plans.
    "kernel check nothing",
    "kernel check text linux",
    "kernel check ./nothing.ext4 linux",
    "kernel check app nothing",
    "image boot-plan nothing",
    "image boot-plan ./nothing.ext4",
    "image boot-plan app --kernel-ref nothing",
    "image boot-plan app --initrd nothing",
    "image boot-plan app --vmm vz",
    "image boot-plan app --vmm firecracker --cpus 3",
    "image boot-plan app --memory 0",
    "image boot-plan app --vmm cloud-hypervisor --vsock a,b",
    "image boot-plan app --root UUID=1",
    "image boot-plan app --hostname it's",
    "image boot-plan app --output there.ext4",
    // What is inside an ext4 file.
    "rootfs ls nothing.ext4",
    "rootfs ls text",
    "rootfs ls disk.ext4 /none",
    "rootfs ls disk.ext4 /etc/hostname/",
    "rootfs cat disk.ext4 /etc",
    "rootfs cat disk.ext4 /dev/null",
    "rootfs put disk.ext4 text",
    "rootfs put disk.ext4 text text /none/",
    "rootfs put disk.ext4 text /none/x",
    "rootfs put disk.ext4 nothing /x",
    "rootfs put disk.ext4 text /loose",
    "rootfs put disk.ext4 tree /etc/hostname",
    "rootfs put disk.ext4 text /etc -T",
    "rootfs mkdir disk.ext4 /etc",
    "rootfs mkdir disk.ext4 /a/b",
    "rootfs mkdir disk.ext4 -p /etc/hostname",
    "rootfs ln disk.ext4 /none /link",
    "rootfs ln disk.ext4 /etc/hostname /etc/other",
    "rootfs mv disk.ext4 /none /x",
    "rootfs mv disk.ext4 /etc/. /x",
    "rootfs mv disk.ext4 /etc /etc/below",
    "rootfs mv disk.ext4 /etc/other /etc/hostname /none",
    "rootfs rm disk.ext4 /none",
    "rootfs rm disk.ext4 /etc",
    "rootfs rm disk.ext4 --dir /etc",
    "rootfs rm disk.ext4 -r /",
    "rootfs rm disk.ext4 -r /etc/..",
    "rootfs chmod disk.ext4 999 /etc",
    "rootfs chmod disk.ext4 644 /none",
    "rootfs chown disk.ext4 nobody /etc",
    "rootfs chown disk.ext4 : /etc",
    "rootfs resize disk.ext4 1M",
    "rootfs inject disk.ext4 --init image",
    "rootfs inject disk.ext4 --architecture s390x",
    "rootfs inject nothing.ext4",
    // Guests.
    "guest health --socket unix:none.sock",
    "guest cp --socket unix:none.sock tree :/x",
    "guest cp --socket unix:none.sock text text",
    "guest cp --socket unix:none.sock :/x :/y",
    "guest cp --socket unix:none.sock nothing :/x",
];

fn make_files(home: &Home) {
    let tar = LayerBuilder::new().dir("etc").dir("etc/deep").file("etc/hostname", "vm\n").finish();
    let image = ImageBuilder::new().layer(tar.clone());
    LayoutBuilder::of(&image).write(&home.path("layout"));
    let mut damaged = LayoutBuilder::of(&image);
    damaged.blob_as(&banger_testkit::sha256_digest(&damaged_blob(&damaged)), b"something else".to_vec());
    damaged.write(&home.path("damaged"));
    let other = ImageBuilder::new().layer(LayerBuilder::new().file("x", "").finish());
    let archive = docker_archive(&[(&image, &["one:latest"]), (&other, &["two:latest"])]);
    for (name, bytes) in [
        ("two.tar", &archive[..]),
        ("rootfs.tar", &tar),
        ("text", b"no image\n"),
        ("there.ext4", b"something"),
        ("empty", b""),
        ("wrong.toml", b"[debian]\namd64 = \"registry.example/debian:1\"\n"),
        ("arm64.toml", PINNED.as_bytes()),
    ] {
        fs::write(home.path(name), bytes).unwrap();
    }
    fs::create_dir_all(home.path("tree/etc")).unwrap();
    fs::write(home.path("tree/etc/hostname"), "vm\n").unwrap();
    let kernel = |filler| KernelBuilder::new("6.1.0-1-test").filler(filler);
    let package = PackageBuilder::new("linux-image", "6.1-1").file("boot/vmlinuz-6.1", kernel(50).vmlinux());
    for (name, bytes) in [("cut.deb", package.deb(Codec::Xz)), ("cut.rpm", package.rpm(Codec::Zstd))] {
        fs::write(home.path(name), &bytes[..bytes.len() - 40]).unwrap();
    }
    fs::write(home.path("module.ko"), kernel_module("a", "", "6.1.0-1-test")).unwrap();
    fs::write(home.path("kernel"), kernel(50).vmlinux()).unwrap();
    home.run(["kernel", "import", "kernel", "--name", "linux"]);
    let base = "lib/modules/6.1.0-1-test";
    let large = PackageBuilder::new("linux-image", "6.1-1")
        .file("boot/vmlinuz-6.1.0-1-test", kernel(90).vmlinux())
        .file(&format!("{base}/a.ko"), kernel_module("a", "", "6.1.0-1-test"))
        .file(&format!("{base}/modules.large"), vec![1; 8 << 20]);
    fs::write(home.path("large.deb"), large.deb(Codec::Zstd)).unwrap();
    home.run(["kernel", "import", "large.deb", "--name", "large"]);
    fs::write(home.path("kernel"), kernel(80).vmlinux()).unwrap();
    for name in ["app", "apple"] {
        home.run(["image", "pull", "oci:layout:latest", "--no-inject", "--size", "8M", "--name", name]);
    }
    let record = home.json(&["image", "show", "apple"]);
    home.run(["image", "rename", "apple", "broken"]);
    let place = Path::new(record["path"].as_str().unwrap()).with_file_name("image.json");
    home.run(["image", "clone", "app", "apple"]);
    fs::write(place, "{").unwrap();
    home.run(["image", "pull", "oci:layout:latest", "--no-inject", "--size", "8M", "-o", "disk.ext4"]);
    home.run(["rootfs", "ln", "disk.ext4", "-s", "/nowhere/at/all", "/loose"]);
    home.run(["rootfs", "put", "disk.ext4", "text", "/etc/other"]);
}

/// The largest blob of a layout, which is its layer or its configuration.
fn damaged_blob(layout: &LayoutBuilder) -> Vec<u8> {
    let files = layout.files();
    let blobs = files.iter().filter(|(name, _)| name.starts_with("blobs/"));
    let layer = blobs.map(|(_, bytes)| bytes).find(|bytes| bytes.first() != Some(&b'{'));
    layer.expect("a layout has a layer").clone()
}

/// The text with what differs from run to run replaced.
fn settled(text: &str, home: &Home, ports: &[(&str, &str)]) -> String {
    let mut text = text.replace(home.path("").to_str().unwrap().trim_end_matches('/'), "HOME");
    for (address, name) in ports {
        text = text.replace(address, name);
    }
    // Ids of managed images.
    let mut settled = String::new();
    for word in text.split_inclusive([' ', '/', '`', ':', ';', ',']) {
        let (body, end) = word.split_at(word.trim_end_matches([' ', '/', '`', ':', ';', ',']).len());
        let is_id = body.len() == 32 && body.bytes().all(|byte| byte.is_ascii_hexdigit());
        settled.push_str(if is_id { "ID" } else { body });
        settled.push_str(end);
    }
    settled
}

#[test]
fn errors_read_as_they_did() {
    let home = Home::new();
    make_files(&home);
    let registry = ScriptedServer::start(|_| Answer::new(404, "{}"));
    let locked =
        ScriptedServer::start(|_| Answer::new(401, "").with("WWW-Authenticate", "Basic realm=\"x\""));
    let (host, locked_host) = (registry.host(), locked.host());
    let ports = [(host.as_str(), "HOST"), (locked_host.as_str(), "LOCKED")];

    let mut snapshot = String::new();
    let (mut codes, mut odd) = (BTreeSet::new(), Vec::new());
    for line in COMMANDS {
        let arguments =
            line.split(' ').map(|word| word.replace("HOST", &host).replace("LOCKED", &locked_host));
        let arguments: Vec<String> = arguments.filter(|word| word != "--json").collect();
        let run = |more: &[&str]| {
            let mut command = home.banger(&arguments);
            command.args(more).stdin(Stdio::null()).output().unwrap()
        };
        let output = run(&["--json"]);
        let error = text(&output.stderr);
        if (output.status.code(), error.lines().count()) != (Some(1), 1) {
            odd.push(format!("{line}: {}: {error}", output.status));
            continue;
        }
        let document: Value = serde_json::from_slice(&output.stdout).expect(line);
        let told = &document["error"];
        let code = told["code"].as_u64().expect(line);
        codes.insert(code);
        let kind = told["kind"].as_str().expect(line);
        // A person and a program are told the same.
        let whole = error_text(&document);
        assert_eq!(error.trim_end(), format!("error: {}", banger::escape_text(&whole)), "{line}");
        let error = settled(error.trim_end(), &home, &ports);
        writeln!(snapshot, "$ banger {line}\n{code} {kind}\n{error}\n").unwrap();
    }
    assert!(odd.is_empty(), "no error of one line:\n{}", odd.join("\n"));
    assert!(codes.len() >= 47, "{} codes: {codes:?}", codes.len());
    if std::env::var_os("BANGER_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(Path::new(SNAPSHOT).parent().unwrap()).unwrap();
        fs::write(SNAPSHOT, snapshot).unwrap();
        return;
    }
    let known = fs::read_to_string(SNAPSHOT).expect("BANGER_BLESS=1 writes it");
    for (new, old) in snapshot.split("\n\n").zip(known.split("\n\n")) {
        assert_eq!(new, old, "BANGER_BLESS=1 takes the new text over");
    }
    assert_eq!(snapshot, known, "BANGER_BLESS=1 takes the new texts over");
}
