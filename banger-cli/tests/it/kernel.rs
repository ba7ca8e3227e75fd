//! `banger kernel import | list | show | rm`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use banger_testkit::{
    Codec, ImageBuilder, KernelBuilder, LayerBuilder, LayoutBuilder, PackageBuilder, kernel_module,
};
use serde_json::Value;

use crate::memory::resident_peak_kib;
use crate::support::{Home, error_text, send_signal, text};

const RELEASE: &str = "6.1.0-50-test";

/// A package of a distribution; its kernel has this number of bytes that compress badly.
fn package(filler: usize) -> PackageBuilder {
    let base = format!("lib/modules/{RELEASE}");
    PackageBuilder::new("linux-image-test", "6.1.90-1")
        .file(
            &format!("boot/vmlinuz-{RELEASE}"),
            KernelBuilder::new(RELEASE).filler(filler).bz_image(Codec::Lz4),
        )
        .file(&format!("boot/config-{RELEASE}"), "CONFIG_EXT4_FS=y\n")
        .file(&format!("{base}/kernel/virtio.ko"), kernel_module("virtio", "", RELEASE))
        .file(&format!("{base}/kernel/virtio_blk.ko"), kernel_module("virtio_blk", "virtio", RELEASE))
}

fn write(home: &Home, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = home.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_package_becomes_a_kernel_of_the_store() {
    let home = Home::new();
    let deb = write(&home, "linux.deb", package(50_000).deb(Codec::Xz));
    let output = home.run(["kernel", "import", &deb, "--name", "debian"]);
    let path = text(&output.stdout).trim_end().to_owned();
    assert!(text(&output.stderr).contains("imported debian in "), "{}", text(&output.stderr));
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["bzImage", "config", "kernel.json", "modules", "vmlinux"]);
    assert_eq!(
        fs::read_to_string(format!("{path}/modules/modules.dep")).unwrap(),
        "kernel/virtio.ko:\nkernel/virtio_blk.ko: kernel/virtio.ko\n"
    );
    let record = home.json(&["kernel", "show", "debian"]);
    for (field, want) in [
        ("release", RELEASE),
        ("architecture", "amd64"),
        ("format", "vmlinux"),
        ("source", &deb),
        ("path", &path),
    ] {
        assert_eq!(record[field], want, "{field}");
    }
    assert_eq!(record["pvh"], true);
    assert_eq!(record["package"]["version"], "6.1.90-1");
    assert_eq!(record["modules"]["modules"], 2);
    assert_eq!(record["modules"]["made_dependencies"], true);
    assert_eq!((&record["config"]["origin"], &record["config"]["file"]), (&"file".into(), &"config".into()));
    let digest = record["image"]["digest"].as_str().unwrap();
    let vmlinux = fs::read(format!("{path}/vmlinux")).unwrap();
    assert_eq!(digest, banger_testkit::sha256_digest(&vmlinux));
    // The record in the directory has the same values.
    let stored: Value = serde_json::from_slice(&fs::read(format!("{path}/kernel.json")).unwrap()).unwrap();
    for (key, value) in stored.as_object().unwrap() {
        assert_eq!(&record[key], value, "{key}");
    }
    // Private, as images are.
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);

    let listing = home.json(&["kernel", "list"]);
    assert_eq!(listing["kernels"][0]["id"], record["id"]);
    assert_eq!(text(&home.run(["kernel", "ls", "-q"]).stdout), "debian\n");
    let table = text(&home.run(["kernel", "list"]).stdout);
    assert!(table.lines().count() == 2 && table.contains(RELEASE), "{table}");
    let shown = text(&home.run(["kernel", "show", record["id"].as_str().unwrap()]).stdout);
    assert!(shown.contains("package      linux-image-test 6.1.90-1\n"), "{shown}");
    assert!(shown.contains("modules      2 ("), "{shown}");

    let removed = home.json(&["kernel", "rm", "debian"]);
    assert_eq!(removed["removed"], serde_json::json!([record["id"]]));
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn the_same_kernel_is_kept_and_another_one_needs_another_name() {
    let home = Home::new();
    let deb = write(&home, "linux.deb", package(1000).deb(Codec::Gzip));
    let rpm = write(&home, "linux.rpm", package(1000).rpm(Codec::Zstd));
    let other = write(&home, "other.deb", package(2000).deb(Codec::Gzip));
    let first = home.json(&["kernel", "import", &deb]);
    assert_eq!((&first["name"], &first["unchanged"]), (&RELEASE.into(), &false.into()));
    // The same files, from whatever package.
    for source in [&deb, &rpm] {
        let again = home.json(&["kernel", "import", source]);
        assert_eq!((&again["id"], &again["unchanged"]), (&first["id"], &true.into()));
    }
    let output = home.banger(["kernel", "import", &other, "--json"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["error"]["code"], &document["error"]["kind"]), (&402.into(), &"exists".into()));
    assert!(error_text(&document).contains("a kernel called 6.1.0-50-test exists already"));
    let second = home.json(&["kernel", "import", &other, "--name", "second"]);
    assert_ne!(second["digest"], first["digest"]);
    home.run(["kernel", "rm", "second", RELEASE]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn kernels_of_images_and_ext4_files() {
    let home = Home::new();
    let kernel = KernelBuilder::new(RELEASE).bz_image(Codec::Zstd);
    let base = format!("usr/lib/modules/{RELEASE}");
    let layer = |in_boot: bool| {
        let mut layer = LayerBuilder::new().dir("boot").dir("usr").dir("usr/lib").symlink("lib", "usr/lib");
        layer = layer.dir("usr/lib/modules").dir(&base).dir(format!("{base}/kernel"));
        layer = layer.file(format!("{base}/kernel/a.ko"), kernel_module("a", "", RELEASE));
        match in_boot {
            true => layer.file(format!("boot/vmlinuz-{RELEASE}"), &kernel),
            false => layer.file(format!("{base}/vmlinuz"), &kernel),
        }
        .finish()
    };
    for (name, in_boot) in [("boot", true), ("modules", false)] {
        LayoutBuilder::of(&ImageBuilder::new().layer(layer(in_boot))).write(&home.path(name));
        home.run([
            "image",
            "pull",
            &format!("oci:{name}:latest"),
            "--no-inject",
            "--size",
            "16M",
            "--name",
            name,
        ]);
        let source = format!("image:{name}");
        let imported = home.json(&["kernel", "import", &source, "--name", name]);
        assert_eq!((&imported["release"], &imported["source"]), (&RELEASE.into(), &source.as_str().into()));
        assert_eq!(imported["modules"]["modules"], 1);
        let disk = format!("{name}.ext4");
        home.run(["image", "export", name, &disk]);
        let again = home.json(&["kernel", "import", &disk, "--name", name]);
        assert_eq!((&again["unchanged"], &again["id"]), (&true.into(), &imported["id"]));
    }
    // An ext4 file without a kernel, and one that is cut.
    LayoutBuilder::of(&ImageBuilder::new().layer(LayerBuilder::new().dir("etc").finish()))
        .write(&home.path("none"));
    home.run(["image", "pull", "oci:none:latest", "--no-inject", "--size", "16M", "-o", "none.ext4"]);
    let output = home.banger(["kernel", "import", "none.ext4"]).output().unwrap();
    assert!(text(&output.stderr).contains("none.ext4 has no kernel"), "{}", text(&output.stderr));
    let mut cut = fs::read(home.path("boot.ext4")).unwrap();
    cut.truncate(3 << 20);
    let cut = write(&home, "cut.ext4", cut);
    let output = home.banger(["kernel", "import", &cut]).output().unwrap();
    let error = text(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("cut.ext4"), "{error}");
    assert_eq!(text(&home.run(["kernel", "list", "-q"]).stdout), "boot\nmodules\n");
}

#[test]
fn plain_files_and_several_packages() {
    let home = Home::new();
    let vmlinux = write(&home, "vmlinux", KernelBuilder::new(RELEASE).vmlinux());
    let config = write(&home, ".config", "CONFIG_EXT4_FS=y\n");
    let initrd = write(&home, "initrd", "070701");
    write(&home, &format!("root/lib/modules/{RELEASE}/kernel/a.ko"), kernel_module("a", "", RELEASE));
    let arguments = ["kernel", "import", "--kernel", &vmlinux, "--config", &config, "--initrd", &initrd];
    let imported = home.json(&[&arguments[..], &["--modules", "root"]].concat());
    assert_eq!((&imported["modules"]["modules"], &imported["initrd"]["size_bytes"]), (&1.into(), &6.into()));
    assert_eq!(imported["bz_image"], Value::Null);

    let image = PackageBuilder::new("linux-image", "1")
        .file("boot/vmlinuz-6.8.0", KernelBuilder::new("6.8.0").bz_image(Codec::Zstd));
    let modules = PackageBuilder::new("linux-modules", "1")
        .file("lib/modules/6.8.0/kernel/a.ko", kernel_module("a", "", "6.8.0"));
    let (image, modules) =
        (write(&home, "i.deb", image.deb(Codec::Zstd)), write(&home, "m.deb", modules.deb(Codec::Zstd)));
    let imported = home.json(&["kernel", "import", &image, &modules]);
    assert_eq!((&imported["name"], &imported["modules"]["modules"]), (&"6.8.0".into(), &1.into()));
    for wrong in [&["host", &image][..], &["image:x", &image], &["--initrd", &initrd, &image], &[]] {
        let output = home.banger([&["kernel", "import"], wrong].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{wrong:?}");
    }
}

#[test]
fn progress_is_told_in_json() {
    let home = Home::new();
    let deb = write(&home, "linux.deb", package(1000).deb(Codec::Gzip));
    let output = home.run(["kernel", "import", &deb, "--progress", "json"]);
    let lines: Vec<Value> =
        text(&output.stderr).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events.first(), Some(&"kernel-progress"), "{events:?}");
    assert_eq!(events[events.len() - 2..], ["done", "note"], "{events:?}");
    assert_eq!(lines[0]["source"], deb.as_str());
    assert_eq!(lines[0]["size_bytes"], fs::metadata(&deb).unwrap().len());
}

#[test]
fn an_interrupted_import_leaves_nothing_and_a_killed_one_is_swept() {
    let home = Home::new();
    // Long enough to be caught at its work: 256 MiB to decompress and hash.
    let deb = write(&home, "linux.deb", package(256 << 20).deb(Codec::None));
    for (signal, status) in [("INT", Some(130)), ("TERM", Some(130)), ("KILL", None)] {
        let mut child = home
            .banger(["kernel", "import", &deb])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while !home.leftovers().iter().any(|path| path.contains("scratch/kernel-")) {
            assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "it never began");
            std::thread::sleep(Duration::from_millis(2));
        }
        send_signal(&child, signal);
        assert_eq!(child.wait().unwrap().code(), status, "{signal}");
        assert_eq!(home.leftovers().is_empty(), signal != "KILL", "{signal}: {:?}", home.leftovers());
        assert_eq!(home.json(&["kernel", "list"])["kernels"], serde_json::json!([]));
    }
    // The next import removes what the killed one left.
    let small = write(&home, "small.deb", package(1000).deb(Codec::Gzip));
    home.run(["kernel", "import", &small, "--name", "small"]);
    home.run(["kernel", "rm", "small"]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn a_kernel_of_256_megabytes_takes_less_than_150() {
    let home = Home::new();
    let deb = write(&home, "linux.deb", package(256 << 20).deb(Codec::Zstd));
    let mut child = home.banger(["kernel", "import", &deb]).stdout(Stdio::null()).spawn().unwrap();
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        peak_kib = peak_kib.max(resident_peak_kib(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().unwrap().success());
    assert!((1024..=150 * 1024).contains(&peak_kib), "peak {peak_kib} KiB");
}

#[test]
fn a_damaged_record_is_shown_and_can_be_removed() {
    let home = Home::new();
    let deb = write(&home, "linux.deb", package(1000).deb(Codec::Gzip));
    let record = home.json(&["kernel", "import", &deb, "--name", "broken"]);
    let (path, id) = (record["path"].as_str().unwrap(), record["id"].as_str().unwrap());
    let good = fs::read_to_string(format!("{path}/kernel.json")).unwrap();
    for bad in ["{", r#"{"version": 99}"#, &good.replace("\"vmlinux\",\n    \"size", "\"../x\",\n    \"size")]
    {
        assert_ne!(bad, good);
        fs::write(format!("{path}/kernel.json"), bad).unwrap();
        let output = home.run(["kernel", "list"]);
        let warning = text(&output.stderr);
        assert!(warning.contains(&format!("remove it with `banger kernel rm {id}`")), "{warning}");
    }
    home.run(["kernel", "rm", id]);
    assert_eq!(home.leftovers(), [""; 0]);
}
