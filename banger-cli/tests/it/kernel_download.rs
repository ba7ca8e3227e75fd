//! `banger kernel import` from images, as several projects lay out kernels, and from addresses.

use std::fs;
use std::sync::Arc;

use banger_testkit::{
    Answer, BodyLength, Codec, ImageBuilder, KernelBuilder, LayerBuilder, LayoutBuilder, PackageBuilder,
    ScriptedServer, docker_archive, kernel_module, part_of, sha256_digest,
};
use serde_json::Value;

use crate::support::{Home, error_text, text};

const RELEASE: &str = "6.1.0-50-test";

fn kernel() -> Vec<u8> {
    KernelBuilder::new(RELEASE).filler(20_000).bz_image(Codec::Zstd)
}

fn module() -> Vec<u8> {
    kernel_module("a", "", RELEASE)
}

#[track_caller]
fn fails(home: &Home, arguments: &[&str], code: u64, says: &str) {
    let output = home.banger([&["kernel", "import"], arguments, &["--json"]].concat()).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = error_text(&document);
    assert!(document["error"]["code"] == code && told.contains(says), "{arguments:?}: {document}");
}

/// Layers of images with a kernel, each with the number of its modules.
fn layouts() -> Vec<(&'static str, Vec<Vec<u8>>, u64)> {
    let base = format!("lib/modules/{RELEASE}");
    let with_modules = |layer: LayerBuilder| layer.file(format!("{base}/kernel/a.ko"), module());
    let modules_tar = LayerBuilder::new()
        .dir("./lib")
        .file(format!("./{base}/kernel/a.ko"), module())
        .symlink(format!("./{base}/build"), "/usr/src/linux-headers")
        .finish();
    vec![
        (
            "rootfs",
            vec![
                with_modules(LayerBuilder::new().file(format!("boot/vmlinuz-{RELEASE}"), kernel())).finish(),
            ],
            1,
        ),
        (
            // The newest kernel is gone in the image.
            "whiteout",
            vec![
                with_modules(
                    LayerBuilder::new().file("boot/vmlinuz-6.2", KernelBuilder::new("6.2").vmlinux()),
                )
                .finish(),
                LayerBuilder::new()
                    .whiteout("boot/vmlinuz-6.2")
                    .file(format!("boot/vmlinuz-{RELEASE}"), kernel())
                    .finish(),
            ],
            1,
        ),
        // ignite and flintlock.
        (
            "ignite",
            vec![
                with_modules(LayerBuilder::new().file("boot/vmlinux", KernelBuilder::new(RELEASE).vmlinux()))
                    .finish(),
            ],
            1,
        ),
        (
            "linuxkit",
            vec![
                LayerBuilder::new()
                    .file("kernel", kernel())
                    .file("kernel.tar", modules_tar)
                    .file("kernel_config", "CONFIG_EXT4_FS=y\n")
                    .file("System.map", "ffffffff81000000 T _text\n")
                    .finish(),
            ],
            1,
        ),
        (
            "krata",
            vec![
                LayerBuilder::new()
                    .dir("kernel")
                    .file("kernel/image", kernel())
                    .file("kernel/config.gz", banger_testkit::gzip(b"CONFIG_EXT4_FS=y\n"))
                    .file("kernel/addons.squashfs", "hsqs")
                    .file("kernel/metadata", "KERNEL_ARCH=x86_64\n")
                    .finish(),
            ],
            0,
        ),
    ]
}

#[test]
fn kernels_of_images_as_projects_lay_them_out() {
    let home = Home::new();
    for (name, layers, modules) in layouts() {
        let image = layers.into_iter().fold(ImageBuilder::new(), ImageBuilder::layer);
        let layout = LayoutBuilder::of(&image);
        layout.write(&home.path("layout"));
        fs::write(home.path("oci.tar"), layout.archive()).unwrap();
        fs::write(home.path("docker.tar"), docker_archive(&[(&image, &["app:1"])])).unwrap();
        let registry = ScriptedServer::registry(&layout, |_| None);
        let in_registry = format!("docker://{}/app:latest", registry.host());
        for source in
            ["oci:layout:latest", "oci-archive:oci.tar", "docker-archive:docker.tar:app:1", &in_registry]
        {
            let imported =
                home.json(&["kernel", "import", source, "--platform", "linux/amd64", "--name", name]);
            assert_eq!(imported["release"], RELEASE, "{name} {source}");
            assert_eq!(imported["modules"]["modules"].as_u64().unwrap_or(0), modules, "{name} {source}");
            let has_config = ["linuxkit", "krata"].contains(&name);
            assert_eq!(imported["config"]["origin"] == "file", has_config, "{name} {source}");
            assert_eq!(imported["bundle"], Value::Null);
            let warnings = imported["warnings"].as_array().map_or(0, Vec::len);
            assert_eq!(warnings, if name == "krata" { 1 } else { 0 }, "{name}: {imported}");
        }
        home.run(["kernel", "rm", name]);
        fs::remove_dir_all(home.path("layout")).unwrap();
        // Nothing of the file system that the image was unpacked to.
        assert_eq!(home.leftovers(), [""; 0], "{name}");
    }
}

#[test]
fn images_without_a_kernel_and_wrong_references() {
    let home = Home::new();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("etc/os-release", "ID=x\n").finish());
    LayoutBuilder::of(&image).write(&home.path("layout"));
    let cut = LayerBuilder::new().file("kernel", kernel()).file("kernel.tar", &module()[..100]).finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(cut)).write(&home.path("cut"));
    for (arguments, code, says) in [
        (&["oci:layout:latest", "--platform", "linux/amd64"][..], 1005, "has no kernel"),
        (&["oci:layout:other"], 101, "it has latest"),
        (&["oci:layout", "--platform", "linux/s390x"], 102, "not built for linux/s390x"),
        (&["oci:cut", "--platform", "linux/amd64"], 1003, "cut"),
        (&["oci:nothing"], 117, "nothing"),
        (&["docker-daemon:Upper"], 502, "SOURCE docker-daemon:Upper"),
        (&["docker://Upper/Case"], 502, "SOURCE docker://Upper/Case"),
        // Without a start it is a path.
        (&["registry.example/linuxkit/kernel:6.6"], 1001, "a name in a registry begins with docker://"),
        (&["./oci:layout"], 1001, "./oci:layout"),
        (&["oci:layout", "oci:layout"], 502, "several sources must be packages"),
        (&["host", "--platform", "linux/amd64"], 502, "--platform linux/amd64: it belongs to a reference"),
    ] {
        fails(&home, arguments, code, says);
    }
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn files_at_addresses() {
    let home = Home::new();
    let package = PackageBuilder::new("linux-image", "1")
        .file(&format!("boot/vmlinuz-{RELEASE}"), kernel())
        .file(&format!("lib/modules/{RELEASE}/kernel/a.ko"), module());
    let image = ImageBuilder::new()
        .layer(LayerBuilder::new().file(format!("boot/vmlinuz-{RELEASE}"), kernel()).finish());
    LayoutBuilder::of(&image).write(&home.path("layout"));
    home.run(["image", "pull", "oci:layout:latest", "--no-inject", "--size", "16M", "-o", "disk.ext4"]);
    let files: Arc<Vec<(&str, Vec<u8>)>> = Arc::new(vec![
        ("linux.deb", package.deb(Codec::Xz)),
        ("linux.rpm", package.rpm(Codec::Zstd)),
        ("linux.apk", package.apk()),
        ("root.tar.gz", Codec::Gzip.apply(&package.tar(""))),
        ("vmlinuz-6.1.0-50-test", kernel()),
        ("disk.ext4", fs::read(home.path("disk.ext4")).unwrap()),
        ("text", b"no kernel".to_vec()),
    ]);
    let served = Arc::clone(&files);
    let server = ScriptedServer::start(move |asked| {
        let name = asked.path().rsplit('/').next().unwrap();
        let Some((_, bytes)) = served.iter().find(|(known, _)| *known == name) else {
            return Answer::new(404, "not here");
        };
        match asked.path().split('/').nth(1) {
            Some("moved") => Answer::new(302, "").with("Location", format!("/files/{name}?signature=secret")),
            Some("chunked") => Answer::new(200, bytes.clone()).length(BodyLength::Chunked),
            Some("cut") if asked.range_start().is_none() => part_of(bytes, asked).cut(bytes.len() / 2),
            _ => part_of(bytes, asked),
        }
    });
    let at = |path: &str| format!("http://{}/{path}", server.host());
    let digest = |name: &str| {
        let (_, bytes) = files.iter().find(|(known, _)| *known == name).unwrap();
        sha256_digest(bytes)["sha256:".len()..].to_owned()
    };
    for (name, _) in files.iter().filter(|(name, _)| *name != "text") {
        let address = at(&format!("moved/{name}"));
        let arguments = ["kernel", "import", &address, "--sha256", &digest(name), "--name", "one"];
        let imported = home.json(&arguments);
        assert_eq!((&imported["release"], &imported["source"]), (&RELEASE.into(), &address.as_str().into()));
        // The file is in the cache: no server is asked.
        let before = server.asked().len();
        let upper = format!("sha256:{}", digest(name).to_uppercase());
        let again = home.json(&["kernel", "import", &address, "--sha256", &upper, "--name", "one"]);
        assert_eq!((&again["unchanged"], server.asked().len()), (&true.into(), before), "{name}");
        home.run(["kernel", "rm", "one"]);
    }
    // A damaged file of the cache is fetched again.
    let cached = home.path("cache/banger/oci/blobs/sha256").join(digest("linux.deb"));
    fs::write(&cached, "damaged").unwrap();
    let deb = at("files/linux.deb");
    let arguments = ["kernel", "import", &deb, "--sha256", &digest("linux.deb"), "--name", "one"];
    let output = home.run(arguments);
    assert!(text(&output.stderr).contains("was damaged"), "{}", text(&output.stderr));
    home.run(["kernel", "rm", "one"]);
    home.run(["image", "cache", "prune", "--all"]);
    // A transfer that breaks off goes on where it was.
    home.run(["kernel", "import", &at("cut/linux.deb"), "--sha256", &digest("linux.deb"), "--name", "one"]);
    let ranges =
        server.asked().iter().filter(|asked| asked.range_start().is_some_and(|start| start > 0)).count();
    assert!(ranges > 0, "it began again");
    home.run(["kernel", "rm", "one"]);

    let wrong = "0".repeat(64);
    for (arguments, code, says) in [
        (&[&*deb][..], 502, "the SHA-256 digest of the file is missing"),
        (&[&deb, "--sha256", &wrong], 110, "its bytes have the digest"),
        (&[&deb, "--sha256", "0123"], 502, "--sha256 0123: it is not a SHA-256 digest"),
        (&[&at("files/none.deb"), "--sha256", &wrong], 108, "404"),
        (&[&at("chunked/linux.rpm"), "--sha256", &digest("linux.rpm")], 111, "does not say the length"),
        (&[&at("files/text"), "--sha256", &digest("text")], 1004, "/files/text is not supported"),
        (
            &[&at("files/linux.rpm"), "--sha256", &digest("linux.rpm"), "--max-download", "100"],
            115,
            "--max-download",
        ),
        (
            &["http://registry.example/linux.deb", "--sha256", &wrong],
            502,
            "plain http is for servers on this machine",
        ),
        (&["https://user:secret@registry.example/x", "--sha256", &wrong], 502, "a user name or a password"),
        (&["https://", "--sha256", &wrong], 502, "it is not a URL"),
        (&["disk.ext4", "--sha256", &wrong], 502, "it belongs to a source with https://"),
    ] {
        fails(&home, arguments, code, says);
    }
    let output =
        home.banger(["kernel", "import", "https://user:secret@registry.example/x"]).output().unwrap();
    assert!(!text(&output.stderr).contains("secret"), "{}", text(&output.stderr));
    let signed = at("files/none.deb?signature=secret");
    let output = home.banger(["kernel", "import", &signed, "--sha256", &wrong]).output().unwrap();
    assert!(!text(&output.stderr).contains("secret"), "{}", text(&output.stderr));
    fs::remove_file(home.path("disk.ext4")).unwrap();
    assert_eq!(home.leftovers(), [""; 0]);
}
