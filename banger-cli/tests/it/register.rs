//! Managed images of ext4 files that were made elsewhere.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use banger_testkit::{assert_clean, first_difference, require, tools};
use serde_json::{Value, json};

use crate::kernel_ref::home_with_kernel;
use crate::support::{Home, error_text, text};

/// Makes an ext4 file of this size, in KiB, with mkfs.ext4; returns its name.
fn make(home: &Home, name: &str, size_kib: u32) -> Result<String, banger_testkit::Skip> {
    let tree = home.path("tree");
    fs::create_dir_all(tree.join("usr/lib")).unwrap();
    fs::create_dir_all(tree.join("sbin")).unwrap();
    let _ = std::os::unix::fs::symlink("usr/lib", tree.join("lib"));
    let file = home.path(name);
    let mut mkfs = tools::command("mkfs.ext4")?;
    mkfs.args(["-q", "-F", "-b", "4096", "-m", "0", "-d"]).arg(&tree).arg(&file).arg(format!("{size_kib}k"));
    tools::run(&mut mkfs);
    Ok(file.to_str().unwrap().to_owned())
}

fn failure(home: &Home, arguments: &[&str]) -> Value {
    let output = home.banger(arguments.iter().chain(&["--json"])).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_file_becomes_an_image() {
    let home = Home::new();
    let file = require!(make(&home, "my disk.img", 32 << 10));
    let before = fs::read(&file).unwrap();
    let image = home.json(&["image", "register", "--rootfs", &file]);
    for (field, want) in [
        ("name", json!("my-disk")),
        ("source", json!(format!("rootfs:{file}"))),
        ("digest", json!(banger_testkit::sha256_digest(&before))),
        ("platform", json!("linux")),
        ("layers", json!([])),
        ("size_bytes", json!(32 << 20)),
        ("unchanged", json!(false)),
        ("boot_contract", Value::Null),
        ("kernel", Value::Null),
    ] {
        assert_eq!(image[field], want, "{field}");
    }
    assert!(image["used_inodes"].as_u64().unwrap() > 11 && image["free_bytes"].as_u64().unwrap() > 1 << 20);
    let path = PathBuf::from(image["path"].as_str().unwrap());
    assert_eq!(first_difference(file.as_ref(), &path), None);
    assert_eq!(fs::read(&file).unwrap(), before);
    home.run(["image", "verify", "my-disk"]);
    let again = home.json(&["image", "register", "--rootfs", &file]);
    assert_eq!((&again["unchanged"], &again["id"]), (&json!(true), &image["id"]));
    // Another content replaces it.
    home.run(["rootfs", "mkdir", &file, "/new"]);
    let other = home.json(&["image", "register", "--rootfs", &file]);
    assert_eq!(other["unchanged"], false);
    assert_ne!(other["id"], image["id"]);
    let output = home.run(["image", "register", "--rootfs", &file, "--name", "second"]);
    assert!(text(&output.stderr).contains("registered "), "{}", text(&output.stderr));
    assert_eq!(home.json(&["image", "list"])["images"].as_array().unwrap().len(), 2);
    home.run(["image", "rm", "my-disk", "second"]);
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn contract_and_processor_are_those_of_the_file() {
    let home = Home::new();
    let file = require!(make(&home, "app.ext4", 64 << 10));
    home.run(["rootfs", "inject", &file]);
    let image = home.json(&["image", "register", "--rootfs", &file]);
    assert_eq!(image["boot_contract"], "banger");
    let architecture = image["platform"].as_str().unwrap().strip_prefix("linux/").unwrap();
    assert!(["amd64", "arm64"].contains(&architecture), "{architecture}");
    assert!(text(&home.run(["image", "show", "app"]).stdout).contains("boots with"));
}

#[test]
fn what_is_no_sound_ext4_file_is_refused() {
    let home = Home::new();
    let file = require!(make(&home, "good.ext4", 16 << 10));
    let text_file = home.path("text");
    fs::write(&text_file, "x".repeat(1 << 20)).unwrap();
    let missing = home.path("missing");
    for (path, words) in [
        (text_file.to_str().unwrap(), "text"),
        (missing.to_str().unwrap(), "missing"),
        (home.path("").to_str().unwrap(), "banger-home"),
    ] {
        let document = failure(&home, &["image", "register", "--rootfs", path]);
        assert!(error_text(&document).contains(words), "{document}");
        assert_ne!(document["error"]["kind"], "internal", "{document}");
    }
    // A wrong count of links: found by a walk only.
    let damaged = home.path("damaged.ext4");
    fs::copy(&file, &damaged).unwrap();
    tools::run(
        require!(tools::command("debugfs")).args(["-w", "-R", "sif /usr links_count 9"]).arg(&damaged),
    );
    let document = failure(&home, &["image", "register", "--rootfs", damaged.to_str().unwrap()]);
    assert_eq!((&document["error"]["code"], &document["error"]["kind"]), (&json!(1040), &json!("damaged")));
    let message = error_text(&document);
    assert!(message.contains("damaged.ext4 has errors: ") && message.contains("e2fsck -f"), "{message}");
    // A superblock that is cut off, and a file that another program edits.
    let cut = home.path("cut.ext4");
    fs::copy(&file, &cut).unwrap();
    File::options().write(true).open(&cut).unwrap().write_all_at(&[0; 64], 1024).unwrap();
    failure(&home, &["image", "register", "--rootfs", cut.to_str().unwrap()]);
    let lock = File::open(&file).unwrap();
    lock.lock().unwrap();
    let document = failure(&home, &["image", "register", "--rootfs", &file]);
    assert_eq!(document["error"]["kind"], "in-use", "{document}");
    assert_eq!(home.leftovers(), [""; 0]);
}

#[test]
fn modules_go_into_the_copy_if_it_has_room() {
    let home = home_with_kernel();
    let file = require!(make(&home, "app.ext4", 64 << 10));
    let before = fs::read(&file).unwrap();
    let image = home.json(&["image", "register", "--rootfs", &file, "--kernel-ref", "k"]);
    assert_eq!((&image["kernel"]["name"], &image["size_bytes"]), (&json!("k"), &json!(64 << 20)));
    assert_eq!(fs::read(&file).unwrap(), before, "the file stays as it is");
    let path = PathBuf::from(image["path"].as_str().unwrap());
    require!(assert_clean(&path));
    assert!(path.with_file_name("kernel").join("vmlinux").is_file());
    let stat = home.json(&["rootfs", "stat", path.to_str().unwrap(), "/lib"]);
    assert_eq!(stat["entries"][0]["target"], "usr/lib");
    let dep = ["rootfs", "cat", path.to_str().unwrap(), "/usr/lib/modules/6.1.0-50-test/modules.dep"];
    assert!(text(&home.run(dep).stdout).contains("kernel/virtio_blk.ko: kernel/virtio.ko\n"));
    home.run(["image", "verify", "app"]);
    let again = home.json(&["image", "register", "--rootfs", &file, "--kernel-ref", "k", "--name", "other"]);
    assert_eq!(first_difference(&path, again["path"].as_str().unwrap().as_ref()), None);
    // Without the kernel it is another image.
    assert_eq!(home.json(&["image", "register", "--rootfs", &file])["unchanged"], false);
    home.run(["image", "rm", "app", "other"]);

    // A full file system: the error says how large it has to be.
    let small = require!(make(&home, "small.ext4", 16 << 10));
    let free = home.json(&["image", "register", "--rootfs", &small])["free_bytes"].as_u64().unwrap();
    let filling = home.path("filling");
    fs::write(&filling, vec![1; usize::try_from(free - (32 << 10)).unwrap()]).unwrap();
    home.run(["rootfs", "put", &small, filling.to_str().unwrap(), "/filling"]);
    let document = failure(&home, &["image", "register", "--rootfs", &small, "--kernel-ref", "k"]);
    assert_eq!((&document["error"]["code"], &document["error"]["kind"]), (&json!(1041), &json!("no-space")));
    let needed = document["error"]["context"]["needed_bytes"].to_string();
    let needed = needed.trim_matches('"');
    let advice = error_text(&document);
    assert!(advice.contains(&format!("`banger rootfs resize {small} {needed}`")), "{advice}");
    home.run(["rootfs", "resize", &small, needed]);
    home.run(["image", "register", "--rootfs", &small, "--kernel-ref", "k"]);
}
