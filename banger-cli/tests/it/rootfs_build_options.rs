//! Sizes, journals, labels and data disks, of `rootfs build` and of `image pull`.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, assert_silent, require};
use serde_json::Value;

use crate::support::{Home, text};

/// Label, UUID in hexadecimal digits, reserved blocks, and whether there is a journal.
fn superblock(image: &Path) -> (String, String, u32, bool) {
    let mut bytes = [0; 1024];
    fs::File::open(image).unwrap().read_exact_at(&mut bytes, 1024).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let label = text(&bytes[0x78..0x88]).trim_end_matches('\0').to_owned();
    let uuid = bytes[0x68..0x78].iter().map(|byte| format!("{byte:02x}")).collect();
    (label, uuid, number(8), number(0x5c) & 4 != 0)
}

fn bytes(document: &Value, field: &str) -> u64 {
    document[field].as_u64().unwrap_or_else(|| panic!("{field} of {document}"))
}

#[test]
fn data_disks_have_an_identity_of_their_own() {
    let home = Home::new();
    let [one, two, three] = ["1", "2", "3"].map(|name| home.path(&format!("out/{name}.ext4")));
    let build = |file: &Path, more: &[&str]| {
        let file = file.to_str().unwrap();
        home.json(&[&["rootfs", "build", "--empty", file, "--size", "16M"], more].concat())
    };
    let documents = [build(&one, &["--label", "data"]), build(&two, &[])];
    assert_ne!(documents[0]["uuid"], documents[1]["uuid"]);
    for document in &documents {
        assert_eq!((&document["source"], &document["source_kind"]), (&Value::Null, &"empty".into()));
        // A time after 2020: the clock's.
        assert!(document["timestamp_seconds"].as_i64().unwrap() > 1_577_836_800, "{document}");
    }
    assert_eq!(superblock(&one).0, "data");
    require!(assert_silent(&one));
    let listed = home.json(&["rootfs", "ls", one.to_str().unwrap(), "/"]);
    let entries = listed["directories"][0]["entries"].as_array().unwrap();
    assert!(entries.len() == 1 && entries[0]["path"] == "/lost+found", "{listed}");

    // With both given, equal requests make equal bytes.
    let seed = home.path("seed");
    fs::create_dir(&seed).unwrap();
    fs::write(seed.join("meta-data"), "instance-id: 7\n").unwrap();
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    for file in [&two, &three] {
        let mut command = home.banger(["rootfs", "build", "--empty", "--force", "--size", "min"]);
        command.args(["--journal", "none", "--uuid", uuid, "--seed"]).arg(&seed).arg(file);
        let output = command.env("SOURCE_DATE_EPOCH", "77").output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert!(fs::read(&two).unwrap() == fs::read(&three).unwrap());
    assert_eq!(superblock(&two), (String::new(), uuid.replace('-', ""), 0, false));
    assert!(fs::metadata(&two).unwrap().len() < 3 << 20);
    require!(assert_silent(&two));
    let read = home.banger(["rootfs", "cat", two.to_str().unwrap(), "/meta-data"]).output().unwrap();
    assert_eq!(text(&read.stdout), "instance-id: 7\n");

    // A seed is for a data disk, and a data disk has no other source.
    for arguments in [&["--seed", "x", "a", "b"][..], &["--empty", "a", "b"], &["a"]] {
        let output = home.banger(["rootfs", "build"]).args(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
    }
}

#[test]
fn pulls_fit_the_content_and_remember_what_was_asked_for() {
    let home = Home::new();
    let layout = home.path("layout");
    let layer = LayerBuilder::new().file("file", vec![b'x'; 3_000_000]).finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&layout);
    let reference = format!("oci:{}", layout.display());
    let pull =
        |options: &[&str]| home.json(&[&["image", "pull", "--no-inject", &reference][..], options].concat());
    let asked = ["--size", "+8M", "--label", "root", "--journal", "none", "--reserved-blocks", "9"];
    let first = pull(&asked);
    let free = bytes(&first, "free_bytes") - (8 << 20) - 9 * 4096;
    assert!(free < 64 * 4096, "{first}");
    let (label, uuid, reserved, has_journal) = superblock(Path::new(first["path"].as_str().unwrap()));
    assert_eq!((label.as_str(), reserved, has_journal), ("root", 9, false));
    require!(assert_silent(Path::new(first["path"].as_str().unwrap())));
    let build = &first["build"];
    assert_eq!(bytes(build, "headroom_bytes"), 8 << 20);
    assert_eq!((&build["label"], bytes(build, "journal_bytes")), (&"root".into(), 0));
    assert_eq!(bytes(build, "reserved_blocks"), 9);

    // The same request makes nothing new; each other option does.
    assert_eq!(pull(&asked)["unchanged"], true);
    let changes: [&[&str]; 5] = [
        &["--size", "min", "--label", "root", "--journal", "none", "--reserved-blocks", "9"],
        &["--size", "+8M", "--journal", "none", "--reserved-blocks", "9"],
        &["--size", "+8M", "--label", "root", "--reserved-blocks", "9"],
        &["--size", "+8M", "--label", "root", "--journal", "none"],
        &["--size", "+8M", "--uuid", "01234567-89ab-cdef-0123-456789abcdef"],
    ];
    for change in changes {
        let document = pull(change);
        assert_eq!(document["unchanged"], false, "{change:?}");
        let has_uuid = change.contains(&"--uuid");
        let found = superblock(Path::new(document["path"].as_str().unwrap())).1;
        assert_eq!(found != uuid, has_uuid, "{change:?}");
    }
}
