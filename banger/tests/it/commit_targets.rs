//! Commits to layouts that exist, archives and registries; bases whose blobs are elsewhere; disks of several kinds.

use std::fs;
use std::process::Command;

use banger::rootfs::Ext4Editor;
use banger::{Attributes, Cancellation, CommitError, Error, ErrorKind, ImageStore, Rootfs as _};
use banger_testkit::{Registry, property_config, require, tools};
use camino::Utf8Path;
use serde_json::{Value, json};

use crate::commit::{Place, TAG, blob, json as read_json, layer_paths, random_place, simple};
use crate::commit_edits::path;

fn write(disk: &mut Ext4Editor, at: &str, bytes: &[u8]) {
    disk.write_file(&path(at), &mut &bytes[..], &Attributes::with_mode(0o644)).unwrap();
}

/// Changes the record of the base.
fn change_record(place: &Place, change: impl FnOnce(&mut Value)) {
    let image = ImageStore::new(&place.dirs.state).open("base", &Cancellation::new()).unwrap();
    let file = image.path.with_file_name(banger::RECORD_FILE);
    let mut record = read_json(&file);
    change(&mut record);
    fs::write(file, record.to_string()).unwrap();
}

/// Unpacks an archive into the layout `name` of a place.
fn unpack(place: &Place, archive: &Utf8Path, name: &str) {
    let layout = place.root.join(name);
    fs::create_dir(&layout).unwrap();
    tools::run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&layout));
}

#[test]
fn random_disks_come_back_from_archives_and_from_layouts_with_other_images() {
    let (cases, seed) = (property_config(20).cases.div_ceil(5), banger_testkit::seed());
    for case in 0..u64::from(cases) {
        let place = random_place(seed.wrapping_add(2), case);
        for squash in [false, true] {
            let (name, request) = (format!("image-{squash}"), place.request().with_squash(squash));
            let archive = place.root.join(format!("{name}.tar"));
            let archived = place.commit_at(&format!("oci-archive:{archive}:{TAG}"), &request).unwrap();
            unpack(&place, &archive, &name);
            place.assert_is_disk(&name);
            // The layout of the base has its layers, and keeps its image.
            let base = place.root.join("base");
            let before = read_json(&base.join("index.json"))["manifests"][0].clone();
            let added = place.commit_at(&format!("oci:{base}:{name}"), &request).unwrap();
            assert_eq!((added.sent_blobs, &added.digest), (2, &archived.digest), "{added:?}");
            let index = read_json(&base.join("index.json"));
            assert_eq!(index["manifests"][0], before);
            let entry = index["manifests"].as_array().unwrap().last().unwrap();
            assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], name);
            assert_eq!(entry["platform"]["os"], "linux", "{entry}");
            let again = place.commit_at(&format!("oci:{base}:{name}"), &request).unwrap();
            assert_eq!((again.sent_blobs, again.digest), (0, added.digest));
        }
    }
}

#[test]
fn targets_that_take_no_image_are_refused_before_any_work() {
    let place = simple();
    let archive = place.root.join("there.tar");
    fs::write(&archive, "mine").unwrap();
    fs::create_dir(place.root.join("mine")).unwrap();
    fs::write(place.root.join("mine/file"), "mine").unwrap();
    for (target, kind) in [
        (format!("oci-archive:{archive}:{TAG}"), ErrorKind::Exists),
        (format!("docker-archive:{}:a/b:1", place.root.join("new.tar")), ErrorKind::Argument),
        ("docker-daemon:a/b:1".to_owned(), ErrorKind::Argument),
    ] {
        // A disk that does not exist is not looked for.
        let mut request = place.request();
        request.disk = "/nowhere/at/all".to_owned();
        let error = place.commit_at(&target, &request).unwrap_err();
        assert_eq!(error.kind(), kind, "{target}: {error}");
    }
    let error = place.commit_to("mine", &place.request()).unwrap_err();
    assert!(error.to_string().contains("neither empty nor an OCI image layout"), "{error}");
    assert_eq!(fs::read_to_string(&archive).unwrap(), "mine");
    assert_eq!(fs::read_dir(place.root.join("mine")).unwrap().count(), 1);
}

/// Pulls the base of a place from a registry, and forgets the blobs.
fn from_registry(registry: &Registry, place: &Place) {
    let layout = place.root.join("base");
    registry.push(layout.as_std_path(), banger_testkit::TAG, "bases/simple", "1").unwrap();
    place.pull(&registry.reference("bases/simple", "1"));
    fs::remove_dir_all(&place.dirs.cache).unwrap();
    fs::remove_dir_all(layout).unwrap();
}

#[test]
fn layers_of_the_base_stay_in_the_registry_or_come_from_it() {
    let registry = require!(Registry::start());
    let place = simple();
    from_registry(&registry, &place);
    place.edit(|disk| write(disk, "/new", b"new"));
    let target = registry.reference("apps/app", "1");
    let first = place.commit_at(&target, &place.request()).unwrap();
    assert_eq!((first.sent_blobs, first.mounted_blobs, first.present_blobs), (2, 1, 0), "{first:?}");
    let again = place.commit_at(&target, &place.request()).unwrap();
    assert_eq!((again.sent_blobs, again.present_blobs), (0, 3), "{again:?}");
    // Nothing of the layer was fetched so far.
    let layer = place.commit_to("layout", &place.request()).unwrap();
    assert_eq!(layer.sent_blobs, 3);
    place.assert_is_disk("layout");
    // Neither cache nor registry has the layer.
    fs::remove_dir_all(&place.dirs.cache).unwrap();
    let digest = layer_paths(&place.root.join("layout"))[0].file_name().unwrap().to_owned();
    fs::remove_dir_all(registry.blob_path(&format!("sha256:{digest}")).parent().unwrap()).unwrap();
    let error = place.commit_to("none", &place.request()).unwrap_err();
    assert!(matches!(&error, Error::Commit(CommitError::GoneBlob { .. })) && error.code() == 1286, "{error}");
    assert!(error.advice().unwrap().to_string().contains("squash"), "{:?}", error.advice());
    assert!(!place.root.join("none").exists());
    place.commit("squashed", &place.request().with_squash(true));
    place.assert_is_disk("squashed");
}

#[test]
fn a_place_with_another_image_by_now_is_no_source_of_layers() {
    let place = simple();
    let archive = place.root.join("base.tar");
    tools::run(Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(place.root.join("base")).arg("."));
    place.pull(&format!("oci-archive:{archive}"));
    fs::remove_dir_all(place.root.join("base")).unwrap();
    place.edit(|disk| write(disk, "/new", b"new"));
    place.commit("of-archive", &place.request());
    place.assert_is_disk("of-archive");
    change_record(&place, |record| {
        record["digest"] = format!("sha256:{}", "1".repeat(64)).into();
    });
    let error = place.commit_to("other", &place.request()).unwrap_err();
    assert!(
        matches!(&error, Error::Commit(CommitError::GoneBlob { .. } | CommitError::UnfitBase { .. })),
        "{error}"
    );
}

#[test]
fn a_base_that_a_machine_changed_is_refused() {
    let place = simple();
    change_record(&place, |record| {
        record["ran"] = true.into();
        record["cloned_from"] = json!({"id": record["id"], "name": "original"});
    });
    let error = place.commit_to("no", &place.request()).unwrap_err();
    assert!(matches!(&error, Error::Commit(CommitError::RanBase { .. })) && error.code() == 1287, "{error}");
    assert!(error.advice().unwrap().to_string().contains("original"), "{:?}", error.advice());
    place.commit("whole", &place.request().with_squash(true));
    place.assert_is_disk("whole");
}

#[test]
fn a_managed_image_is_a_disk() {
    let place = simple();
    let store = ImageStore::new(&place.dirs.state);
    let stop = Cancellation::new();
    let clone = store.clone_image("base", "mine".parse().unwrap(), &stop).unwrap();
    let mut editor = Ext4Editor::open_to_edit(&clone.path).unwrap();
    write(&mut editor, "/new", b"new");
    editor.commit().unwrap();
    drop(editor);
    banger_testkit::copy_sparse(clone.path.as_std_path(), place.disk.as_std_path());
    let mut request = place.request();
    request.disk = "mine".to_owned();
    place.commit("of-image", &request);
    place.assert_is_disk("of-image");
    request.disk = "base".to_owned();
    let error = place.commit_to("no", &request).unwrap_err();
    assert!(error.to_string().contains("it is the disk itself"), "{error}");
    request.disk = "nobody".to_owned();
    assert_eq!(place.commit_to("no", &request).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_directory_of_the_injection_stays_with_what_the_guest_put_there() {
    let place = simple();
    let injected =
        ["/full", "/full/1", "/full/2", "/full/sub", "/full/sub/3", "/kept", "/kept/one", "/was-file"];
    change_record(&place, |record| record["injected"] = json!(injected));
    let names = |name: &str| {
        place.commit(name, &place.request().with_squash(true));
        let layer = layer_paths(&place.root.join(name)).remove(0);
        let list = tools::run(Command::new("tar").arg("-tzf").arg(layer));
        let list = String::from_utf8(list.stdout).unwrap();
        list.lines().map(|line| line.trim_end_matches('/').to_owned()).collect::<Vec<_>>()
    };
    // `/kept/two` is not of the injection.
    let untouched = ["etc", "etc/hostname", "kept", "kept/two", "linked", "was-dir", "was-dir/x", "was-link"];
    assert_eq!(names("untouched")[1..], untouched);
    place.edit(|disk| write(disk, "/full/sub/mine", b"mine"));
    let found = names("touched");
    for there in ["full", "full/sub", "full/sub/mine"] {
        assert!(found.contains(&there.to_owned()), "{there}: {found:?}");
    }
    for left_out in ["full/1", "full/sub/3", "kept/one", "was-file"] {
        assert!(!found.contains(&left_out.to_owned()), "{left_out}: {found:?}");
    }
}

#[test]
fn the_journal_of_a_killed_machine_is_read() {
    let place = simple();
    if let Err(skip) = tools::root("a mount") {
        skip.report();
        return;
    }
    let (live, point) = (place.root.join("live.ext4"), place.root.join("point"));
    banger_testkit::copy_sparse(place.disk.as_std_path(), live.as_std_path());
    fs::create_dir(&point).unwrap();
    tools::run(Command::new("mount").args(["-o", "loop,commit=300"]).arg(&live).arg(&point));
    let changed = fs::write(point.join("new"), "new")
        .and_then(|()| fs::remove_file(point.join("etc/hostname")))
        .and_then(|()| fs::create_dir(point.join("dir")));
    tools::run(Command::new("sync").arg("-f").arg(&point));
    banger_testkit::copy_sparse(live.as_std_path(), place.disk.as_std_path());
    let mut request = place.request();
    request.disk = live.to_string();
    let mounted = place.commit_to("mounted", &request);
    tools::run(Command::new("umount").arg(&point));
    changed.unwrap();
    assert_eq!(mounted.unwrap_err().kind(), ErrorKind::InUse);
    assert!(Ext4Editor::open(&place.disk).unwrap().needs_recovery());
    let before = fs::read(&place.disk).unwrap();
    let image = place.commit("killed", &place.request());
    assert!(before == fs::read(&place.disk).unwrap(), "the disk was written");
    assert_eq!((image.layer.entries, image.layer.whiteouts), (4, 1), "{image:?}");
    // The reader of the test replays the journal too; e2fsck is the judge.
    let checked = tools::command("e2fsck").unwrap().arg("-fy").arg(&place.disk).output().unwrap();
    assert!(matches!(checked.status.code(), Some(0 | 1)), "{checked:?}");
    place.assert_is_disk("killed");
}

#[test]
fn the_history_tells_of_the_commit() {
    let place = simple();
    let request = place.request().with_comment("why".to_owned()).with_author("me".to_owned());
    let image = place.commit("told", &request);
    let config = read_json(&blob(&place.root.join("told"), &image.config_digest.into()));
    let last = config["history"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["comment"], &last["author"]), (&json!("why"), &json!("me")));
}
