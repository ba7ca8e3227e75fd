//! A state directory that somebody else had his hands on.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, require, tools};
use serde_json::{Value, json};

use crate::support::{Home, text};

/// A home with the images `app` and `other`, and the directory of `app`.
fn home_with_images() -> (Home, PathBuf) {
    let home = Home::new();
    let layer = LayerBuilder::new().file("etc/hostname", "vm\n").finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&home.path("layout"));
    for name in ["app", "other"] {
        home.run(["image", "pull", "oci:layout", "--name", name, "--no-inject", "--size", "32M"]);
    }
    let path = PathBuf::from(home.json(&["image", "show", "app"])["path"].as_str().unwrap());
    let directory = path.parent().unwrap().to_owned();
    (home, directory)
}

fn mkfifo(path: &std::path::Path) {
    tools::run(Command::new("mkfifo").arg(path));
}

/// Lists the images, which must not take long, and returns the names of the good ones and what is
/// said of the damaged ones.
fn list(home: &Home) -> (Vec<String>, Vec<String>) {
    let started = Instant::now();
    let document = home.json(&["image", "list"]);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let all = |key: &str, field: &str| {
        let values = document[key].as_array().unwrap().iter();
        values.map(|value| value[field].as_str().unwrap().to_owned()).collect()
    };
    (all("images", "name"), all("damaged", "reason"))
}

#[test]
fn a_record_that_is_not_the_images_own_is_damage() {
    type Damage = fn(&std::path::Path);
    let cases: [(&str, Damage, &str); 7] = [
        (
            "another id",
            |directory| {
                let path = directory.join("image.json");
                let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                record["id"] = json!("0123456789ab");
                fs::write(path, record.to_string()).unwrap();
            },
            "is the record of the image 0123456789ab",
        ),
        ("a FIFO", |directory| mkfifo(&emptied(directory, "image.json")), "not a regular file"),
        (
            "a symlink",
            |directory| {
                fs::rename(directory.join("image.json"), directory.join("moved")).unwrap();
                symlink("moved", directory.join("image.json")).unwrap();
            },
            "is a symlink",
        ),
        (
            "a symlink to a device",
            |directory| symlink("/dev/zero", emptied(directory, "image.json")).unwrap(),
            "is a symlink",
        ),
        (
            "1 GiB",
            |directory| {
                let file = fs::File::create(emptied(directory, "image.json")).unwrap();
                file.set_len(1 << 30).unwrap();
            },
            "more than",
        ),
        (
            "the directory is a symlink",
            |directory| {
                let moved = directory.with_file_name("moved");
                fs::rename(directory, &moved).unwrap();
                symlink("moved", directory).unwrap();
            },
            "not a directory",
        ),
        (
            "the directory is a FIFO",
            |directory| {
                fs::remove_dir_all(directory).unwrap();
                mkfifo(directory);
            },
            "not a directory",
        ),
    ];
    for (what, damage, words) in cases {
        let (home, directory) = home_with_images();
        let id = directory.file_name().unwrap().to_str().unwrap().to_owned();
        damage(&directory);
        let (names, reasons) = list(&home);
        assert_eq!((names, reasons.len()), (vec!["other".to_owned()], 1), "{what}");
        assert!(reasons[0].contains(words), "{what}: {}", reasons[0]);
        // Damage of one image stops nobody, and can be removed.
        home.run(["image", "clone", "other", "copy"]);
        home.run(["image", "rm", &id]);
        assert_eq!(list(&home).1, [""; 0], "{what}");
        let kept = home.path("state/banger/images/moved");
        assert!(what != "the directory is a symlink" || kept.join("rootfs.ext4").exists(), "it was followed");
    }
}

/// Removes a file and returns its path.
fn emptied(directory: &std::path::Path, name: &str) -> PathBuf {
    let path = directory.join(name);
    fs::remove_file(&path).unwrap();
    path
}

#[test]
fn an_image_whose_file_is_something_else_is_not_followed() {
    for what in ["FIFO", "symlink"] {
        let (home, directory) = home_with_images();
        let path = emptied(&directory, "rootfs.ext4");
        match what {
            "FIFO" => mkfifo(&path),
            _ => symlink("/etc/passwd", &path).unwrap(),
        }
        for command in [
            &["image", "export", "app", "out/x.ext4"][..],
            &["image", "clone", "app", "copy"],
            &["image", "verify", "app"],
        ] {
            let output = home.banger(command).output().unwrap();
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
            assert!(stderr.contains("regular file") || stderr.contains("symlink"), "{command:?}: {stderr}");
        }
        // It is built again, not taken for what it was.
        home.run(["image", "pull", "oci:layout", "--name", "app", "--no-inject", "--size", "32M"]);
        home.run(["image", "verify", "app"]);
    }
}

#[test]
fn odd_entries_of_the_store_stop_nobody() {
    let (home, directory) = home_with_images();
    let images = directory.parent().unwrap();
    for name in ["0123456789ab.removed", "ba9876543210.staging", "odd.removed", "ba9876543210.staging.lock"] {
        mkfifo(&images.join(name));
    }
    fs::write(home.path("mine"), "mine").unwrap();
    symlink(home.path("mine"), images.join("0123456789ac.removed")).unwrap();
    home.run(["image", "clone", "other", "copy"]);
    assert_eq!(fs::read(home.path("mine")).unwrap(), b"mine");
    assert!(!images.join("0123456789ab.removed").exists());

    // The lock is not followed, either: a symlink that leads nowhere would make a file there.
    fs::remove_file(images.join(".lock")).unwrap();
    symlink(home.path("made"), images.join(".lock")).unwrap();
    let output = home.banger(["image", "rm", "other"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(".lock"), "{}", text(&output.stderr));
    assert!(!home.path("made").exists());
}

#[test]
fn a_state_directory_that_others_can_write_to_is_not_trusted() {
    require!(tools::root("another owner"));
    for (what, path, words) in [
        ("mode", "state/banger/images", "every user can write to it"),
        ("mode", "state/banger", "every user can write to it"),
        ("owner", "state/banger/images", "belongs to the user with id 65534"),
        ("owner", "state/banger", "belongs to the user with id 65534"),
    ] {
        let (home, _) = home_with_images();
        let path = home.path(path);
        match what {
            "mode" => fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap(),
            _ => std::os::unix::fs::chown(&path, Some(65534), None).unwrap(),
        }
        for command in [
            &["image", "list"][..],
            &["image", "show", "app"],
            &["image", "clone", "app", "copy"],
            &["image", "pull", "oci:layout", "--name", "new", "--no-inject"],
        ] {
            let output = home.banger(command).arg("--json").output().unwrap();
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{what} {command:?}: {stderr}");
            assert!(stderr.contains(words) && stderr.contains("--state-dir"), "{what} {command:?}: {stderr}");
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(document["error"]["code"], 409, "{what} {command:?}");
        }
    }
}
