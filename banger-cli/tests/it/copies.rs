//! Images exported, cloned and verified.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use banger_testkit::{
    ImageBuilder, LayerBuilder, LayoutBuilder, assert_silent, first_difference, require, tools,
};
use serde_json::json;

use crate::support::{BACKENDS, Home, send_signal, text};

/// An image called `app`, and its file.
fn home_with_image(backend: &str) -> (Home, PathBuf) {
    let home = Home::new();
    let noise: Vec<u8> =
        (0..1_000_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let layer = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").file("etc/noise", noise).finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&home.path("layout"));
    let pulled = home.run([
        "image",
        "pull",
        "oci:layout:latest",
        "--name",
        "app",
        "--size",
        "300M",
        "--backend",
        backend,
    ]);
    let path = PathBuf::from(text(&pulled.stdout).trim_end());
    (home, path)
}

fn has_holes(path: &Path) -> bool {
    let metadata = fs::metadata(path).unwrap();
    metadata.blocks() * 512 < metadata.len() / 4
}

#[test]
fn exports_are_the_same_file_with_its_holes() {
    let (home, image) = home_with_image("native");
    let file = home.path("out/app.ext4");
    let name = file.to_str().unwrap();
    let output = home.run(["image", "export", "app", name]);
    assert_eq!(text(&output.stdout), format!("{name}\n"));
    assert_eq!(first_difference(&image, &file), None);
    assert!(has_holes(&file));
    fs::write(&file, "mine").unwrap();
    let refused = home.banger(["image", "export", "app", name]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--force"), "{}", text(&refused.stderr));
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    let document = home.json(&["image", "export", "app", name, "--force"]);
    assert_eq!((&document["path"], &document["name"]), (&json!(name), &json!("app")));
    assert_eq!(first_difference(&image, &file), None);
    for (arguments, words) in [
        (["image", "export", "nothing", "x.ext4"], "banger image list"),
        (["image", "export", "app", "/nonexistent/x.ext4"], "/nonexistent/x.ext4"),
        (["image", "export", "app", "out"], "out"),
    ] {
        let output = home.banger(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
    let lock = File::open(&image).unwrap();
    lock.lock().unwrap();
    let output = home.banger(["image", "export", "app", "x.ext4"]).output().unwrap();
    assert!(text(&output.stderr).contains("holds a lock"), "{}", text(&output.stderr));
    assert!(!home.path("x.ext4").exists());
}

#[test]
fn clones_are_images_of_their_own() {
    for backend in BACKENDS {
        let (home, image) = home_with_image(backend);
        let original = home.json(&["image", "show", "app"]);
        let output = home.run(["image", "clone", "app", "copy", "--identity", "keep"]);
        let path = PathBuf::from(text(&output.stdout).trim_end());
        assert_eq!(first_difference(&image, &path), None);
        assert!(has_holes(&path) && path != image);
        let copy = home.json(&["image", "show", "copy"]);
        assert_eq!((&copy["name"], &copy["digest"]), (&json!("copy"), &original["digest"]));
        assert_eq!(copy["cloned_from"], json!({"id": original["id"], "name": "app"}));
        assert_ne!(copy["id"], original["id"]);
        assert!(text(&home.run(["image", "show", "copy"]).stdout).contains("cloned from  app ("));

        let path_name = path.to_str().unwrap();
        home.run(["rootfs", "rm", path_name, "/etc/hostname"]);
        let output = home.run(["rootfs", "cat", image.to_str().unwrap(), "/etc/hostname"]);
        assert_eq!(text(&output.stdout), "vm\n");
        let taken = home.banger(["image", "clone", "copy", "app"]).output().unwrap();
        assert_eq!(taken.status.code(), Some(1));
        assert!(text(&taken.stderr).contains("app exists already"), "{}", text(&taken.stderr));
        home.run(["image", "clone", "copy", "copy-of-copy"]);
        let verified = home.run(["image", "verify", "app", "copy", "copy-of-copy"]);
        assert_eq!(text(&verified.stdout), "app: sound\ncopy: sound\ncopy-of-copy: sound\n");
        // Without a word, it is another machine.
        let uuid = |name: &str| home.json(&["image", "show", name])["uuid"].clone();
        assert!(uuid("copy-of-copy").is_string() && uuid("copy-of-copy") != uuid("copy"));
        let file = ["--hostname", "vm7", "--size", "+8M", "--network", "address=10.0.0.7/24", "--env", "A=1"];
        home.run([&["image", "clone", "app", "./vm7.ext4"][..], &file].concat());
        let lines = home.run(["rootfs", "cat", "vm7.ext4", "/etc/hostname", "/etc/banger-network.conf"]);
        assert_eq!(text(&lines.stdout), "vm7\naddress=10.0.0.7/24\nhostname=vm7\n");
        for (wrong, word) in
            [("network", "KEY=VALUE"), ("network=port=1", "not a key"), ("hostname=a b", "hostname")]
        {
            let option = format!("--{wrong}");
            let given = if option.contains('=') { vec![option] } else { vec![option, "x".to_owned()] };
            let mut command = home.banger(["image", "clone", "app", "./no.ext4"]);
            let output = command.args(&given).output().unwrap();
            assert!(text(&output.stderr).contains(word), "{given:?}: {}", text(&output.stderr));
            assert!(!home.path("no.ext4").exists());
        }
        home.run(["image", "rm", "app", "copy-of-copy"]);
        let list = home.json(&["image", "list"]);
        assert_eq!(list["images"].as_array().unwrap().len(), 1);
        require!(assert_silent(&path));
    }
}

#[test]
fn verify_tells_what_is_wrong() {
    type Damage = fn(&Path);
    fn at(path: &Path, offset: u64) {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
    }
    let cases: [(&str, Damage, &str); 6] = [
        ("superblock", |path| at(path, 1024 + 8), "checksum of the superblock"),
        ("descriptor", |path| at(path, 4096 + 12), "descriptor of group 0"),
        (
            "length",
            |path| File::options().write(true).open(path).unwrap().set_len(200 << 20).unwrap(),
            "built with 314572800",
        ),
        (
            "longer",
            |path| File::options().write(true).open(path).unwrap().set_len(400 << 20).unwrap(),
            "419430400 bytes, and the file system in it 314572800",
        ),
        (
            "another",
            |path| {
                tools::run(tools::command("mkfs.ext4").unwrap().arg("-qF").arg(path));
            },
            "it is of another image",
        ),
        (
            "link count",
            |path| {
                let mut debugfs = tools::command("debugfs").unwrap();
                tools::run(debugfs.args(["-w", "-R", "sif /etc/hostname links_count 5"]).arg(path));
            },
            "5 links, and 1 names",
        ),
    ];
    let (home, image) = home_with_image("native");
    let sound = home.path("sound.ext4");
    banger_testkit::copy_sparse(&image, &sound);
    let document = home.json(&["image", "verify", "app"]);
    assert_eq!((&document["version"], &document["images"][0]["problems"]), (&json!(1), &json!([])));
    assert_eq!(document["images"][0]["size_bytes"], 300 << 20);
    // What grew together with its file is sound.
    home.run(["rootfs", "resize", image.to_str().unwrap(), "+100M"]);
    home.run(["image", "verify", "app"]);
    for (what, damage, words) in cases {
        banger_testkit::copy_sparse(&sound, &image);
        damage(&image);
        let output = home.banger(["image", "verify", "app"]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(1), "app: damaged\n".to_owned()),
            "{what}"
        );
        assert!(stderr.contains(words) && stderr.contains("rootfs.ext4: "), "{what}: {stderr}");
        let output = home.banger(["image", "verify", "app", "--json"]).output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(document["images"][0]["problems"].as_array().is_some_and(|problems| !problems.is_empty()));
    }
}

/// A copy that is killed or interrupted leaves no image and no file.
#[test]
fn copies_are_whole_or_absent() {
    let (home, _) = home_with_image("native");
    let before = home.leftovers();
    let mut whole = 0;
    for delay_ms in [0, 2, 5, 10, 20, 40, 80, 200] {
        for arguments in
            [&["image", "clone", "app", "copy"][..], &["image", "export", "app", "out/copy.ext4"]]
        {
            let mut child =
                home.banger(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(delay_ms));
            send_signal(&child, if delay_ms % 20 == 0 { "INT" } else { "KILL" });
            child.wait().unwrap();
            if home.path("out/copy.ext4").exists() {
                require!(assert_silent(&home.path("out/copy.ext4")));
                fs::remove_file(home.path("out/copy.ext4")).unwrap();
                whole += 1;
            }
            if home.json(&["image", "list"])["images"].as_array().unwrap().len() == 2 {
                home.run(["image", "verify", "copy"]);
                home.run(["image", "rm", "copy"]);
                whole += 1;
            }
        }
    }
    assert!(whole < 16, "none was stopped");
    // The next ones sweep what the killed ones left.
    home.run(["image", "clone", "app", "copy"]);
    home.run(["image", "rm", "copy"]);
    home.run(["image", "export", "app", "out/copy.ext4"]);
    fs::remove_file(home.path("out/copy.ext4")).unwrap();
    assert_eq!(home.leftovers(), before);
}
