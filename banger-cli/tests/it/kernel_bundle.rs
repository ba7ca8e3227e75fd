//! `banger kernel pack | pull`: bundles in layouts, archives and a real registry, and the catalog.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use banger_testkit::{
    Codec, KernelBuilder, PackageBuilder, Registry, RegistryOptions, kernel_module, require,
};
use serde_json::Value;

use crate::support::{Home, error_text, send_signal, text};

const RELEASE: &str = "6.1.0-50-test";

/// Imports a kernel with all kinds of files under the name `debian`; returns its record.
fn import(home: &Home, filler: usize) -> Value {
    let base = format!("lib/modules/{RELEASE}");
    let package = PackageBuilder::new("linux-image-test", "6.1.90-1")
        .file(
            &format!("boot/vmlinuz-{RELEASE}"),
            KernelBuilder::new(RELEASE).filler(filler).bz_image(Codec::Lz4),
        )
        .file(&format!("boot/config-{RELEASE}"), "CONFIG_EXT4_FS=y\n")
        .file(&format!("{base}/kernel/virtio.ko"), kernel_module("virtio", "", RELEASE))
        .file(&format!("{base}/kernel/virtio_blk.ko"), kernel_module("virtio_blk", "virtio", RELEASE));
    fs::write(home.path("linux.deb"), package.deb(Codec::Gzip)).unwrap();
    home.json(&["kernel", "import", "linux.deb", "--name", "debian"])
}

/// Imports a kernel for arm64 under the name `arm`.
fn import_arm64(home: &Home) -> Value {
    fs::write(home.path("Image"), KernelBuilder::new(RELEASE).arm64_image()).unwrap();
    home.json(&["kernel", "import", "Image", "--name", "arm"])
}

/// The document of a command that fails.
#[track_caller]
fn failed(home: &Home, arguments: &[&str]) -> Value {
    let output = home.banger(arguments.iter().chain(&["--json"])).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success(), "{document}");
    document
}

#[track_caller]
fn assert_fails(home: &Home, arguments: &[&str], code: u64, says: &str) {
    let document = failed(home, arguments);
    let told = error_text(&document);
    assert!(document["error"]["code"] == code && told.contains(says), "{arguments:?}: {document}");
}

#[test]
fn a_bundle_goes_through_a_registry() {
    let basic_auth = Some(("user".to_owned(), "secret".to_owned()));
    let registry =
        require!(Registry::start_with(RegistryOptions { basic_auth, ..RegistryOptions::default() }));
    let home = Home::new();
    let (original, arm) = (import(&home, 50_000), import_arm64(&home));
    let packed = home.json(&[
        "kernel",
        "pack",
        "debian",
        "arm",
        "bundle",
        "--tag",
        "6.1",
        "--source-url",
        "https://example.org/linux",
        "--source-commit",
        "0123abc",
    ]);
    assert_eq!(packed["kernels"][0]["architecture"], "amd64");
    assert_eq!((&packed["kernels"][1]["name"], &packed["tag"]), (&"arm".into(), &"6.1".into()));
    require!(registry.push(&home.path("bundle"), "6.1", "kernels/test", "6.1"));
    home.run(["kernel", "rm", "debian", "arm"]);

    let reference = registry.reference("kernels/test", "6.1");
    assert_fails(&home, &["kernel", "pull", &reference], 103, "refuses access");
    fs::create_dir(home.path(".docker")).unwrap();
    // user:secret in base64.
    let auths = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#, registry.host());
    fs::write(home.path(".docker/config.json"), auths).unwrap();
    let output = home.run(["kernel", "pull", &reference, "--platform", "linux/amd64"]);
    assert!(text(&output.stderr).contains(&format!("imported {RELEASE} in ")), "{}", text(&output.stderr));
    let record = home.json(&["kernel", "show", RELEASE]);
    assert_eq!(record["digest"], original["digest"], "the same files");
    assert_eq!(record["source"], format!("docker://{reference}"));
    assert_eq!(record["bundle"]["digest"], packed["kernels"][0]["digest"]);
    assert_eq!(record["bundle"]["source_url"], "https://example.org/linux");
    let shown = text(&home.run(["kernel", "show", RELEASE]).stdout);
    assert!(shown.contains("licence      GPL-2.0-only\n") && shown.contains("0123abc"), "{shown}");

    // The same by a name of the catalog, and from `import`; the blobs are in the cache.
    let blobs = |registry: &Registry| registry.log().matches("GET /v2/kernels/test/blobs/").count();
    let before = blobs(&registry);
    let pinned = format!("{}/kernels/test@{}", registry.host(), packed["digest"].as_str().unwrap());
    let catalog = format!("[test]\namd64 = \"{pinned}\"\n");
    fs::create_dir_all(home.path(".config/banger")).unwrap();
    fs::write(home.path(".config/banger/kernels.toml"), &catalog).unwrap();
    let pulled = home.json(&["kernel", "pull", "test", "--platform", "linux/amd64"]);
    assert_eq!((&pulled["name"], &pulled["digest"]), (&"test".into(), &original["digest"]));
    assert_eq!(pulled["source"], format!("docker://{pinned}"));
    let by_import = format!("docker://{pinned}");
    let again = home.json(&["kernel", "import", &by_import, "--platform", "linux/amd64", "--name", "test"]);
    assert_eq!((&again["unchanged"], &again["id"]), (&true.into(), &pulled["id"]));
    assert_eq!(blobs(&registry), before, "{}", registry.log());
    assert_fails(
        &home,
        &["kernel", "pull", "test", "--platform", "linux/arm64"],
        1014,
        "for amd64, not for arm64",
    );
    let own = format!("{catalog}arm64 = \"{pinned}\"\n");
    fs::write(home.path("own.toml"), own).unwrap();
    let arguments =
        ["kernel", "pull", "test", "--catalog", "own.toml", "--platform", "linux/arm64", "--name", "a"];
    assert_eq!(home.json(&arguments)["digest"], arm["digest"]);

    // A damaged blob of the cache is fetched again; one of the registry is refused.
    let layer = layer_of(&home, packed["kernels"][0]["digest"].as_str().unwrap(), "vmlinux");
    let cached = home.path("cache/banger/oci/blobs/sha256").join(&layer["sha256:".len()..]);
    fs::set_permissions(&cached, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&cached, "damaged").unwrap();
    home.run(["kernel", "rm", "test"]);
    let pulled = home.json(&["kernel", "pull", "test", "--platform", "linux/amd64"]);
    assert_eq!(pulled["digest"], original["digest"]);
    home.run(["kernel", "rm", "test", RELEASE, "a"]);
    home.run(["image", "cache", "prune", "--all"]);
    let stored = registry.blob_path(&layer);
    let mut bytes = fs::read(&stored).unwrap();
    bytes[100] ^= 1;
    fs::write(&stored, bytes).unwrap();
    assert_fails(&home, &["kernel", "pull", "test", "--platform", "linux/amd64"], 110, &layer);
    fs::remove_dir_all(home.path("bundle")).unwrap();
    assert_eq!(home.leftovers(), [""; 0]);
}

/// The digest of the layer of a kind, in the layout `bundle`.
fn layer_of(home: &Home, manifest: &str, kind: &str) -> String {
    let blob = home.path("bundle/blobs").join(manifest.replace(':', "/"));
    let manifest: Value = serde_json::from_slice(&fs::read(blob).unwrap()).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let is_it = |layer: &&Value| layer["mediaType"].as_str().unwrap().contains(kind);
    layers.iter().find(is_it).unwrap()["digest"].as_str().unwrap().to_owned()
}

#[test]
fn the_same_kernels_make_the_same_bundle_and_come_back() {
    let home = Home::new();
    let original = import(&home, 50_000);
    let output = home.run(["kernel", "pack", "debian", "one"]);
    let told = text(&output.stderr);
    assert!(told.contains("whoever publishes a kernel must offer its source"), "{told}");
    assert!(told.contains("packed debian for amd64 ("), "{told}");
    let digest = text(&output.stdout).trim_end().to_owned();
    fs::create_dir(home.path("two")).unwrap();
    let other = ["kernel", "pack", original["id"].as_str().unwrap(), "./two/"];
    assert_eq!(text(&home.run(other).stdout).trim_end(), digest);
    let mut diff = std::process::Command::new("diff");
    assert!(diff.args(["-r", "one", "two"]).current_dir(home.path("")).status().unwrap().success());

    let tar = std::process::Command::new("tar")
        .args(["-C", "one", "-czf", "one.tar.gz", "."])
        .current_dir(home.path(""))
        .status();
    assert!(tar.unwrap().success());
    for source in ["oci:one", "oci:one:latest", &format!("oci:one@{digest}"), "oci-archive:one.tar.gz:latest"]
    {
        for command in ["import", "pull"] {
            let name = ["--name", "copy", "--platform", "linux/amd64"];
            let copy = home.json(&[&["kernel", command, source][..], &name].concat());
            assert_eq!(
                (&copy["digest"], &copy["source"]),
                (&original["digest"], &source.into()),
                "{command}"
            );
            home.run(["kernel", "rm", "copy"]);
        }
    }
    // A bundle is not an image.
    let output = home.banger(["image", "pull", "oci:one", "--platform", "linux/amd64"]).output().unwrap();
    let told = text(&output.stderr);
    assert!(told.contains("is not a container image: its configuration is of type"), "{told}");
    // What a bundle says of its source goes on into the next one.
    home.run([
        "kernel",
        "pack",
        "debian",
        "said",
        "--source-url",
        "https://example.org/linux",
        "--licence",
        "MIT",
    ]);
    home.run(["kernel", "pull", "oci:said", "--platform", "linux/amd64", "--name", "said"]);
    let output = home.run(["kernel", "pack", "said", "again", "--json"]);
    let packed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(packed["kernels"][0]["source_url"], "https://example.org/linux");
    assert_eq!(packed["kernels"][0]["licence"], "MIT");
    assert!(!text(&output.stderr).contains("warning"), "{}", text(&output.stderr));
    let said = home.path("said/index.json");
    assert_eq!(fs::read(said).unwrap(), fs::read(home.path("again/index.json")).unwrap());
}

#[test]
fn what_cannot_be_packed_leaves_nothing() {
    let home = Home::new();
    let record = import(&home, 1000);
    fs::write(home.path("file"), "x").unwrap();
    fs::create_dir(home.path("full")).unwrap();
    fs::write(home.path("full/file"), "x").unwrap();
    for (arguments, code, says) in [
        (&["nothing", "new"][..], 400, "no kernel is called"),
        (&["debian", "full"], 502, "DIR full: the directory is not empty"),
        (&["debian", "file"], 502, "not a directory"),
        (&["debian", "no/where"], 504, "no/where"),
        (&["debian", "/proc/bundle"], 508, "/proc"),
        (&["debian", "debian", "new"], 502, "KERNEL debian: debian is for amd64, too"),
        (&["debian", "new", "--tag", "a b"], 502, "--tag a b: it cannot be a tag"),
        (&["debian", "new", "--licence", " "], 502, "--licence"),
        (&["debian", "new", "--source-url", "a\nb"], 502, "--source-url"),
    ] {
        assert_fails(&home, &[&["kernel", "pack"], arguments].concat(), code, says);
    }
    // A kernel that was changed since its import.
    let config = format!("{}/config", record["path"].as_str().unwrap());
    fs::write(&config, "CONFIG_EXT4_FS=n\n").unwrap();
    assert_fails(&home, &["kernel", "pack", "debian", "new"], 403, "config differs from its record");
    let mut names: Vec<String> = fs::read_dir(home.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["cache", "file", "full", "linux.deb", "out", "state", "tmp"]);
}

#[test]
fn an_interrupted_pack_leaves_nothing_and_a_killed_one_is_swept() {
    let home = Home::new();
    // Long enough to be caught at its work.
    import(&home, 48 << 20);
    let staged = || {
        let entries = fs::read_dir(home.path("out")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(".banger-")).count()
    };
    for (signal, status) in [("INT", Some(130)), ("KILL", None)] {
        let mut child = home
            .banger(["kernel", "pack", "debian", "out/bundle"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while staged() < 2 {
            assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it never began");
            std::thread::sleep(Duration::from_millis(2));
        }
        send_signal(&child, signal);
        assert_eq!(child.wait().unwrap().code(), status, "{signal}");
        assert!(!home.path("out/bundle").exists());
        assert_eq!(staged() == 0, signal != "KILL", "{signal}");
    }
    fs::write(home.path("Image"), KernelBuilder::new(RELEASE).arm64_image()).unwrap();
    home.run(["kernel", "import", "Image", "--name", "arm"]);
    home.run(["kernel", "pack", "arm", "out/bundle"]);
    assert_eq!(staged(), 0);
}

#[test]
fn catalogs_of_the_user() {
    let home = Home::new();
    assert_fails(
        &home,
        &["kernel", "pull", "debian"],
        1013,
        "no catalog has a kernel debian; all catalogs are empty",
    );
    let catalog = home.path(".config/banger/kernels.toml");
    fs::create_dir_all(catalog.parent().unwrap()).unwrap();
    let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (text, code, says) in [
        ("[debian\n", 1011, "is damaged in line 1"),
        ("[debian]\namd64 = \"registry.example/k:1\"\n", 1012, "has no digest"),
        (&format!("[fedora]\namd64 = \"registry.example/k@sha256:{hex}\"\n"), 1013, "choose one of fedora"),
    ] {
        fs::write(&catalog, text).unwrap();
        assert_fails(&home, &["kernel", "pull", "debian"], code, says);
        // A reference needs no catalog.
        assert_fails(&home, &["kernel", "pull", "oci:nowhere"], 117, "nowhere");
        // Another catalog stands in the place of the user's.
        assert_fails(&home, &["kernel", "pull", "debian", "--catalog", "none.toml"], 1013, "debian");
    }
    assert_eq!(home.leftovers(), [""; 0]);
}
