//! Calls for a whole file system.

use std::ptr::null;

use super::*;
use crate::rootfs_whole::*;

fn text(path: &Utf8Path) -> CString {
    CString::new(path.as_str()).unwrap()
}

#[test]
fn a_script_is_all_or_nothing() {
    let disk = Disk::new();
    let fs = disk.edit();
    let run = |operations: &str, options: Option<&Options>| {
        let script = format!(r#"{{"schemaVersion":1,"operations":[{operations}]}}"#);
        let options = options.map_or(null_mut(), |options| options.0);
        let (script, length) = (script.as_ptr().cast(), script.len());
        json(|out, error| unsafe {
            banger_rootfs_edit_script(fs.0, script, length, options, null(), out, error)
        })
    };
    let write = r#"{"op":"write","path":"/etc/hostname","content":"new\n"}"#;
    let trial = run(write, Some(&Options::new().flag(banger_option::BANGER_OPT_DRY_RUN, true))).unwrap();
    assert_eq!((&trial["dry_run"], &trial["operations"][0]["op"]), (&true.into(), &"write".into()));
    assert_eq!(fs.read("/etc/hostname").unwrap(), b"old\n");
    let failed = run(&format!(r#"{write},{{"op":"rmdir","path":"/x"}}"#), None).unwrap_err();
    assert_eq!(failed.code, 1340);
    let failed = run(&format!(r#"{write},{{"op":"remove","path":"/x"}}"#), None).unwrap_err();
    assert_eq!(failed.code, 700);
    assert_eq!(fs.read("/etc/hostname").unwrap(), b"old\n");
    run(write, None).unwrap();
    drop(fs);
    assert_eq!(disk.look().read("/etc/hostname").unwrap(), b"new\n");
}

#[test]
fn a_file_is_put_if_the_content_matches() {
    let disk = Disk::new();
    let fs = disk.edit();
    let source = disk.file.with_file_name("source");
    std::fs::write(&source, "new\n").unwrap();
    let put = |wanted: &str| {
        let options = Options::new()
            .text(banger_option::BANGER_OPT_PUT_IF_MATCH, wanted)
            .text(banger_option::BANGER_OPT_PUT_MODE, "600");
        let (source, (path, length)) = (text(&source), counted("/etc/hostname"));
        json(|out, error| unsafe {
            banger_rootfs_put(fs.0, source.as_ptr(), path, length, options.0, null(), out, error)
        })
    };
    assert_eq!(put("absent").unwrap_err().code, 1342);
    assert_eq!(put("no digest").unwrap_err().code, 1344);
    assert_eq!(fs.read("/etc/hostname").unwrap(), b"old\n");
    let old = pipeline::Digest::of(b"old\n").to_string();
    let document = put(&old).unwrap();
    assert_eq!(document["paths"], serde_json::json!(["/etc/hostname"]));
    assert_eq!(fs.stat("/etc/hostname").unwrap().mode, 0o600);
    drop(fs);
    assert_eq!(disk.look().read("/etc/hostname").unwrap(), b"new\n");
}

#[test]
fn a_file_system_is_measured_searched_copied_and_compared() {
    let disk = Disk::new();
    let fs = disk.look();
    let usage = json(|out, error| unsafe { banger_rootfs_usage(fs.0, out, error) }).unwrap();
    assert_eq!(usage["file_system_bytes"], 32 << 20);
    let (root, length) = counted("/");
    let summary = Options::new().text(banger_option::BANGER_OPT_USAGE_DETAIL, "summary");
    let used = |options: &Options| {
        json(|out, error| unsafe {
            banger_rootfs_disk_usage(fs.0, root, length, options.0, null(), out, error)
        })
    };
    let report = used(&summary).unwrap();
    assert_eq!((report["paths"].as_array().unwrap().len(), &report["paths"][0]["path"]), (1, &"/".into()));
    assert_eq!(report["paths"][0]["allocated_bytes"], report["total_bytes"]);
    let bad = Options::new().text(banger_option::BANGER_OPT_USAGE_DETAIL, "some");
    assert_eq!(used(&bad).unwrap_err().code, 511);
    let find = |options: &Options| {
        json(|out, error| unsafe { banger_rootfs_find(fs.0, root, length, options.0, null(), out, error) })
    };
    let files = Options::new()
        .list(banger_option::BANGER_OPT_FIND_TYPE, &["file"])
        .text(banger_option::BANGER_OPT_FIND_NAME, "host*")
        .text(banger_option::BANGER_OPT_FIND_SIZE, "+3")
        .number(banger_option::BANGER_OPT_FIND_MAX_DEPTH, 2);
    let found = find(&files).unwrap();
    assert_eq!(
        (found["entries"].as_array().unwrap().len(), &found["entries"][0]["path"]),
        (1, &"/etc/hostname".into())
    );
    for (key, value, code) in [
        (banger_option::BANGER_OPT_FIND_NAME, "[", 1346),
        (banger_option::BANGER_OPT_FIND_NEWER, "x", 1347),
        (banger_option::BANGER_OPT_FIND_SIZE, "x", 511),
    ] {
        assert_eq!(find(&Options::new().text(key, value)).unwrap_err().code, code);
    }
    let odd = Options::new().list(banger_option::BANGER_OPT_FIND_TYPE, &["odd"]);
    assert_eq!(find(&odd).unwrap_err().code, 511);
    let copy = disk.file.with_file_name("copy");
    let get = || {
        let (path, length) = counted("/etc");
        let copy = text(&copy);
        json(|out, error| unsafe { banger_rootfs_get(fs.0, path, length, copy.as_ptr(), null(), out, error) })
    };
    assert_eq!(get().unwrap()["paths"], serde_json::json!([copy.as_str()]));
    assert_eq!(std::fs::read_to_string(copy.join("hostname")).unwrap(), "old\n");
    std::fs::write(copy.join("mine"), "").unwrap();
    // It goes into the directory now.
    assert_eq!(get().unwrap()["paths"], serde_json::json!([copy.join("etc").as_str()]));
    assert_eq!(get().unwrap_err().code, 503);
    let other = Disk::new();
    let second = other.edit();
    let (path, length) = counted("/etc/hostname");
    done(|error| unsafe { crate::rootfs_edit::banger_rootfs_set_mode(second.0, path, length, 0o711, error) })
        .unwrap();
    let diff = |one: &Fs, two: &Fs| {
        json(|out, error| unsafe { banger_rootfs_diff(one.0, two.0, null(), out, error) })
    };
    let report = diff(&fs, &second).unwrap();
    let of_file =
        report["differences"].as_array().unwrap().iter().find(|row| row["path"] == "/etc/hostname").unwrap();
    assert!(of_file["changes"].as_array().unwrap().contains(&"mode".into()), "{report}");
    assert_eq!(
        diff(&second, &fs).unwrap()["differences"].as_array().unwrap().len(),
        report["differences"].as_array().unwrap().len()
    );
    assert_eq!(diff(&fs, &fs).unwrap_err().code, 511);
}

#[test]
fn a_wrong_counter_is_repaired() {
    let disk = Disk::new();
    let repair = || {
        let file = text(&disk.file);
        json(|out, error| unsafe { banger_rootfs_repair(file.as_ptr(), null(), out, error) })
    };
    assert_eq!(repair().unwrap()["repair_count"], 0);
    let opened = disk.edit();
    assert_eq!(repair().unwrap_err().code, 714);
    drop(opened);
    // The number of free inodes in the superblock, with the checksum of before.
    let file = std::fs::File::options().read(true).write(true).open(&disk.file).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[1, 1], 1024 + 0x10).unwrap();
    assert_eq!(repair().unwrap_err().code, 713);
}
