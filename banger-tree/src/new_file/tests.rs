use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// Returns 0666 without this process's umask.
fn granted(dir: &TempDir) -> u32 {
    let path = dir.path().join("granted");
    fs::write(&path, "").unwrap();
    let mode = mode(&path);
    fs::remove_file(path).unwrap();
    mode
}

#[test]
fn it_appears_complete_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x".repeat(255));
    let mut file = NewFile::create(&path, 0o666).unwrap();
    file.write_all(b"half").unwrap();
    let temporary = file.temporary_path().to_owned();
    assert_eq!((mode(&temporary), path.exists()), (0o600, false));
    drop(file);
    assert_eq!(names(&dir), [""; 0]);
    let mut file = NewFile::create(&path, 0o666).unwrap();
    file.write_all(b"whole").unwrap();
    file.publish(Existing::Keep).unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"whole".to_vec(), granted(&dir)));
    assert_eq!(names(&dir), ["x".repeat(255)]);
    let again = NewFile::create(&path, 0o666).unwrap();
    assert!(matches!(again.publish(Existing::Keep), Err(NewFileError::Exists)));
    assert_eq!((fs::read(&path).unwrap(), names(&dir).len()), (b"whole".to_vec(), 1));
}

#[test]
fn modes_are_never_wider() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let granted = granted(&dir);
    // The mode of the replaced file, the wanted one, that of the source, and the one that comes out.
    let cases = [
        (None, 0o666, 0o777, granted),
        (None, 0o600, 0o777, 0o600),
        (None, 0o777, 0o4750, 0o750 & (granted | 0o711)),
        (None, 0o7777, 0o7000, 0),
        (Some(0o600), 0o666, 0o777, 0o600),
        (Some(0o640), 0o666, 0o777, 0o640),
        (Some(0o755), 0o666, 0o777, 0o755),
        (Some(0o6755), 0o666, 0o777, 0o755),
        (Some(0o644), 0o666, 0o600, 0o600),
        (Some(0o400), 0o666, 0o777, 0o400),
    ];
    for (replaced, wanted, source, want) in cases {
        let _ = fs::remove_file(&path);
        if let Some(replaced) = replaced {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(replaced)).unwrap();
        }
        let file = NewFile::create(&path, wanted).unwrap().limited_to(source);
        file.publish(Existing::Replace).unwrap();
        assert_eq!(mode(&path), want, "{replaced:?} {wanted:o} {source:o}");
    }
}

#[test]
fn what_lies_in_the_way_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("file"), dir.path().join("other"));
    fs::write(&other, "other").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("other", &path).unwrap();
    write_new_file(&path, 0o666, b"new").unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file(), "the symlink itself is replaced");
    assert_eq!(mode(&path), 0o600, "by a file that is as secret as what it led to");
    assert_eq!(fs::read(&other).unwrap(), b"other");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(write_new_file(&path, 0o666, b"new"), Err(NewFileError::Kind { .. })));
    fs::remove_dir(&path).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(write_new_file(&path, 0o666, b"new"), Err(NewFileError::Kind { .. })));
    drop(socket);
    assert_eq!(names(&dir), ["file", "other"]);
}

#[test]
fn what_killed_processes_left_is_swept_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let stale = ".banger-0123456789abcdef.new";
    for name in [stale, ".banger-mine.new", ".banger-0123456789abcdeg.new", ".file.partial"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    symlink("elsewhere", dir.path().join(".banger-0123456789abcdee.new")).unwrap();
    let live = NewFile::create(&dir.path().join("a"), 0o666).unwrap();
    let second = NewFile::create(&dir.path().join("b"), 0o666).unwrap();
    let found = names(&dir);
    assert!(!found.contains(&stale.to_owned()), "{found:?}");
    assert_eq!(found.len(), 6, "{found:?}");
    live.publish(Existing::Keep).unwrap();
    second.publish(Existing::Keep).unwrap();
    assert_eq!(names(&dir).len(), 6);
}

#[test]
fn of_many_at_once_one_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let write = |number: u8, existing| {
        let mut file = NewFile::create(&path, 0o666).unwrap();
        for _ in 0..20 {
            file.write_all(&[number; 1000]).unwrap();
        }
        file.publish(existing)
    };
    for existing in [Existing::Keep, Existing::Replace] {
        let _ = fs::remove_file(&path);
        let published = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|number| scope.spawn(move || write(number, existing))).collect();
            runs.into_iter().map(|run| run.join().unwrap()).filter(Result::is_ok).count()
        });
        assert_eq!(published, if existing == Existing::Keep { 1 } else { 8 });
        let content = fs::read(&path).unwrap();
        assert_eq!(content, vec![content[0]; 20_000], "not a mix");
        assert_eq!(names(&dir), ["file"]);
    }
}

#[test]
fn only_a_plain_file_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let staging = dir.path().join("staging");
    fs::create_dir(&staging).unwrap();
    let (from, to) = (staging.join("image"), dir.path().join("image"));
    let adopt = || NewFile::adopt(HostPlace::open(&to).unwrap(), &from, 0o666);
    fs::write(dir.path().join("other"), "secret").unwrap();
    symlink("../other", &from).unwrap();
    assert!(adopt().is_err());
    fs::remove_file(&from).unwrap();
    fs::hard_link(dir.path().join("other"), &from).unwrap();
    assert!(adopt().is_err());
    fs::remove_file(&from).unwrap();
    fs::write(&from, "image").unwrap();
    adopt().unwrap().limited_to(0o600).publish(Existing::Keep).unwrap();
    assert_eq!((fs::read(&to).unwrap(), mode(&to)), (b"image".to_vec(), 0o600));
    assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
}
