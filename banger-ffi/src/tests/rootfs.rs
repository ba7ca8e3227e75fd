//! Looking into a file system, and changing it.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use super::*;
use crate::boot::*;
use crate::cancel::*;
use crate::metadata::*;
use crate::rootfs_edit::*;

const ATTRS: usize = size_of::<banger_attrs>();

fn attrs(mode: u32, uid: u32, gid: u32, seconds: i64) -> banger_attrs {
    banger_attrs { mtime_seconds: seconds, mtime_nanoseconds: 5, mode, uid, gid }
}

fn write(fs: &Fs, path: &str, data: &[u8], attrs: *const banger_attrs) -> Result<(), CallError> {
    let (path, length) = counted(path);
    done(|error| unsafe {
        banger_rootfs_write(fs.0, path, length, data.as_ptr(), data.len(), attrs, ATTRS, null(), error)
    })
}

fn commit(fs: &Fs) {
    done(|error| unsafe { banger_rootfs_commit(fs.0, null(), error) }).unwrap();
}

#[test]
fn edits_last_after_a_commit() {
    let disk = Disk::new();
    let fs = disk.edit();
    let made = attrs(0o2750, 1000, 50, -7);
    unsafe {
        done(|error| {
            banger_rootfs_create_dir(fs.0, c"/srv".as_ptr(), BANGER_STRLEN, &raw const made, ATTRS, error)
        })
        .unwrap();
        write(&fs, "/srv/a", b"alpha", &raw const made).unwrap();
        write(&fs, "/etc/hostname", b"new\n", null()).unwrap();
        let (path, length) = counted("/srv/link");
        done(|error| {
            banger_rootfs_symlink(fs.0, path, length, c"../srv/a".as_ptr(), BANGER_STRLEN, null(), 0, error)
        })
        .unwrap();
        let (path, length) = counted("/srv/null");
        let device = banger_file_type::BANGER_FILE_CHAR_DEVICE as u32;
        done(|error| banger_rootfs_mknod(fs.0, path, length, device, 1, 3, null(), 0, error)).unwrap();
        let (existing, existing_length) = counted("/srv/a");
        let (path, length) = counted("/srv/b");
        done(|error| banger_rootfs_hard_link(fs.0, existing, existing_length, path, length, error)).unwrap();
        done(|error| banger_rootfs_set_owner(fs.0, path, length, BANGER_KEEP_ID, 7, error)).unwrap();
        done(|error| banger_rootfs_set_mode(fs.0, path, length, 0o4711, error)).unwrap();
        done(|error| banger_rootfs_set_mtime(fs.0, path, length, 9, 8, error)).unwrap();
        for name in [c"user.note", c"user.gone"] {
            let value = b"\0\xff";
            done(|error| {
                banger_rootfs_set_xattr(fs.0, path, length, name.as_ptr(), value.as_ptr(), value.len(), error)
            })
            .unwrap();
        }
        done(|error| banger_rootfs_remove_xattr(fs.0, path, length, c"user.gone".as_ptr(), error)).unwrap();
        let gone = done(|error| banger_rootfs_remove_xattr(fs.0, path, length, c"user.gone".as_ptr(), error));
        assert_eq!(gone.unwrap_err().code, 727);
        let (from, from_length) = counted("/srv/null");
        let (path, length) = counted("/srv/zero");
        done(|error| banger_rootfs_rename(fs.0, from, from_length, path, length, error)).unwrap();
        assert!(!banger_rootfs_is_commit_due(fs.0));
    }
    commit(&fs);
    drop(fs);

    let fs = disk.look();
    assert_eq!(fs.read("/etc/hostname").unwrap(), b"new\n");
    let stat = fs.stat("/srv").unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid, stat.mtime_seconds), (0o2750, 1000, 50, -7));
    let stat = fs.stat("/srv/b").unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid, stat.nlink, stat.size_bytes), (0o4711, 1000, 7, 2, 5));
    assert_eq!((stat.mtime_seconds, stat.mtime_nanoseconds), (9, 8));
    assert_eq!(fs.stat("/srv/a").unwrap().inode, stat.inode);
    let stat = fs.stat("/srv/zero").unwrap();
    assert_eq!(stat.file_type, banger_file_type::BANGER_FILE_CHAR_DEVICE as u32);
    assert_eq!((stat.device_major, stat.device_minor, stat.mode), (1, 3, 0o644));
    unsafe {
        let (path, length) = counted("/srv/b");
        let value =
            string(|out, error| banger_rootfs_xattr(fs.0, path, length, c"user.note".as_ptr(), out, error));
        assert_eq!(value.unwrap(), b"\0\xff");
        let xattrs = json(|out, error| banger_rootfs_xattrs(fs.0, path, length, out, error)).unwrap();
        assert_eq!(xattrs["xattrs"], serde_json::json!({ "user.note": "AP8=" }));
        let entry = json(|out, error| banger_rootfs_entry(fs.0, path, length, out, error)).unwrap();
        assert_eq!((&entry["type"], &entry["mode"]), (&"file".into(), &"4711".into()));
        let (path, length) = counted("/srv/link");
        let target = string(|out, error| banger_rootfs_read_link(fs.0, path, length, out, error)).unwrap();
        assert_eq!(target, b"../srv/a");
        let resolved = string(|out, error| banger_rootfs_resolve(fs.0, path, length, out, error)).unwrap();
        assert_eq!(resolved, b"/srv/a");
        let (path, length) = counted("/srv/a");
        let mut buffer = [7; 9];
        let read = answer(|out, error| {
            banger_rootfs_read_at(fs.0, path, length, 2, buffer.as_mut_ptr(), buffer.len(), out, error)
        });
        assert_eq!((read.unwrap(), &buffer[..3]), (3, &b"pha"[..]));
        let report = json(|out, error| banger_rootfs_verify(fs.0, null(), out, error)).unwrap();
        assert_eq!((&report["problem_count"], &report["file"]), (&0.into(), &disk.file.as_str().into()));
        assert_eq!(report["size_bytes"], 32 << 20);
        assert_eq!(report["uuid"].as_str().unwrap().len(), 36);
    }
    assert_eq!(names(&fs, "/srv"), ["a", "b", "link", "zero"]);
}

fn names(fs: &Fs, path: &str) -> Vec<String> {
    let (path, length) = counted(path);
    let dir = answer(|out, error| unsafe { banger_rootfs_read_dir(fs.0, path, length, out, error) }).unwrap();
    let mut names = Vec::new();
    loop {
        let size = size_of::<banger_dirent>();
        let entry = answer(|out, error| unsafe { banger_dir_next(dir, out, size, error) }).unwrap();
        if entry.name.is_null() {
            break;
        }
        let name = unsafe { CStr::from_ptr(entry.name) }.to_str().unwrap();
        assert_eq!(name.len(), entry.name_length);
        names.push(name.to_owned());
    }
    unsafe { banger_dir_free(dir) };
    names
}

#[test]
fn nothing_lasts_without_a_commit_or_without_the_flag() {
    let disk = Disk::new();
    let fs = disk.edit();
    write(&fs, "/etc/hostname", b"lost\n", null()).unwrap();
    assert_eq!(fs.read("/etc/hostname").unwrap(), b"lost\n");
    // Nobody else edits it meanwhile.
    let second = disk.try_open(BANGER_EDIT, None).err().unwrap();
    assert_eq!(
        (second.code, second.kind),
        (714, banger_failure_kind::BANGER_KIND_IN_USE as c_int),
        "{second:?}"
    );
    drop(fs);
    assert_eq!(disk.look().read("/etc/hostname").unwrap(), b"old\n");
    let fs = disk.look();
    let refused = write(&fs, "/etc/hostname", b"x", null()).unwrap_err();
    assert_eq!(refused.code, BANGER_ERROR_ARGUMENT);
    assert!(refused.message.contains("BANGER_EDIT"), "{}", refused.message);
    drop(fs);
    assert_eq!(disk.try_open(6, None).err().unwrap().code, BANGER_ERROR_ARGUMENT);
}

#[test]
fn a_file_that_is_replaced_gives_its_attributes() {
    let disk = Disk::new();
    let options = Options::new().number(banger_option::BANGER_OPT_SOURCE_DATE_EPOCH, 77);
    let fs = disk.try_open(BANGER_EDIT, Some(&options)).unwrap();
    let secret = attrs(0o600, 3, 4, 5);
    write(&fs, "/etc/shadow", b"a", &raw const secret).unwrap();
    write(&fs, "/etc/shadow", b"b", null()).unwrap();
    let stat = fs.stat("/etc/shadow").unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid, stat.mtime_seconds), (0o600, 3, 4, 77));
    write(&fs, "/etc/new", b"", null()).unwrap();
    let stat = fs.stat("/etc/new").unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid, stat.mtime_seconds), (0o644, 0, 0, 77));
    let now = banger_attrs { mtime_nanoseconds: BANGER_TIME_NOW, ..secret };
    write(&fs, "/etc/now", b"", &raw const now).unwrap();
    assert_eq!(fs.stat("/etc/now").unwrap().mtime_seconds, 77);
}

#[test]
fn structs_have_the_size_that_the_caller_says() {
    #[repr(C)]
    struct Later {
        known: banger_stat,
        unknown: [u8; 24],
    }
    let disk = Disk::new();
    let fs = disk.edit();
    let (path, length) = counted("/etc");
    let size = size_of::<Later>();
    let later = answer(|out: *mut Later, error| unsafe {
        banger_rootfs_stat(fs.0, path, length, out.cast(), size, error)
    });
    let later = later.unwrap();
    assert_eq!((later.known.mode, later.unknown), (0o755, [0; 24]));
    for size in [0, 1, size_of::<banger_stat>() - 1, usize::MAX] {
        let refused = answer(|out: *mut banger_stat, error| unsafe {
            banger_rootfs_stat(fs.0, path, length, out, size, error)
        });
        assert_eq!(refused.unwrap_err().code, BANGER_ERROR_ARGUMENT, "{size}");
    }
    // What a later version may mean by its fields is not ignored.
    let mut given = [attrs(0o644, 1, 2, 3); 2];
    for (second, code) in [(attrs(0, 0, 0, 1), BANGER_ERROR_ARGUMENT), (attrs(0, 0, 0, 0), 0)] {
        given[1] = banger_attrs { mtime_nanoseconds: 0, ..second };
        let made = done(|error| unsafe {
            banger_rootfs_write(
                fs.0,
                c"/x".as_ptr(),
                BANGER_STRLEN,
                null(),
                0,
                given.as_ptr(),
                2 * ATTRS,
                null(),
                error,
            )
        });
        assert_eq!(made.map_or_else(|error| error.code, |()| 0), code);
    }
    for wrong in
        [attrs(0o10000, 0, 0, 0), banger_attrs { mtime_nanoseconds: 1_000_000_000, ..attrs(0, 0, 0, 0) }]
    {
        assert_eq!(write(&fs, "/y", b"", &raw const wrong).unwrap_err().code, BANGER_ERROR_ARGUMENT);
    }
}

#[test]
fn errors_say_what_a_program_can_act_on() {
    let disk = Disk::new();
    let options = Options::new().number(banger_option::BANGER_OPT_MAX_OUTPUT_BYTES, 3);
    let fs = disk.try_open(BANGER_EDIT, Some(&options)).unwrap();
    let missing = fs.stat("/none").unwrap_err();
    assert_eq!((missing.code, missing.kind), (700, banger_failure_kind::BANGER_KIND_NOT_FOUND as c_int));
    assert_eq!(fs.read("/etc/hostname").unwrap_err().code, 712);
    assert_eq!(fs.read("/etc").unwrap_err().code, 702);
    let unfit = Options::new().text(banger_option::BANGER_OPT_NAME, "x");
    assert_eq!(disk.try_open(0, Some(&unfit)).err().unwrap().code, BANGER_ERROR_OPTION);
    for path in ["..", "/a\0b", &"x".repeat(300)] {
        assert_eq!(fs.stat(path).unwrap_err().code, 709, "{path:?}");
    }
    let (path, length) = counted("/etc/hostname");
    for fd in [-1, 987_654] {
        let refused = done(|error| unsafe {
            banger_rootfs_write_from_fd(fs.0, path, length, fd, null(), 0, null(), error)
        });
        assert_eq!(refused.unwrap_err().code, BANGER_ERROR_ARGUMENT);
    }
    let file = CString::new(&b"\xff\xfe"[..]).unwrap();
    let opened = answer(|out, error| unsafe { banger_rootfs_open(file.as_ptr(), 0, null(), out, error) });
    assert_eq!(opened.unwrap_err().code, BANGER_ERROR_ARGUMENT);
}

#[test]
fn a_pipe_is_written_and_a_silent_one_can_be_cancelled() {
    let disk = Disk::new();
    let fs = disk.edit();
    let (path, length) = counted("/etc/piped");
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"through a pipe").unwrap();
    drop(writer);
    let fd = reader.as_raw_fd();
    done(|error| unsafe { banger_rootfs_write_from_fd(fs.0, path, length, fd, null(), 0, null(), error) })
        .unwrap();
    assert_eq!(fs.read("/etc/piped").unwrap(), b"through a pipe");

    let (reader, _silent) = std::io::pipe().unwrap();
    let (cancel, fd) = (banger_cancel_new(), reader.as_raw_fd());
    let flag = cancel as usize;
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        unsafe { banger_cancel_cancel(flag as *const banger_cancel) };
        Instant::now()
    });
    let error = done(|error| unsafe {
        banger_rootfs_write_from_fd(fs.0, path, length, fd, null(), 0, cancel, error)
    });
    let took = canceller.join().unwrap().elapsed();
    assert_eq!(error.unwrap_err().code, BANGER_ERROR_CANCELLED);
    assert!(took < Duration::from_secs(2), "{took:?}");
    // The file is as it was, and so are the calls of a flag that is set.
    assert_eq!(fs.read("/etc/piped").unwrap(), b"through a pipe");
    unsafe {
        for call in [
            done(|error| banger_rootfs_commit(fs.0, cancel, error)),
            done(|error| banger_rootfs_remove(fs.0, path, length, cancel, error)),
            json(|out, error| banger_rootfs_verify(fs.0, cancel, out, error)).map(drop),
            answer(|out, error| banger_rootfs_resize(fs.0, 64 << 20, cancel, out, error)).map(drop),
            answer(|out, error| banger_metadata_of_rootfs(fs.0, cancel, out, error)).map(drop),
        ] {
            assert_eq!(call.unwrap_err().code, BANGER_ERROR_CANCELLED);
        }
        banger_cancel_free(cancel);
    }
    commit(&fs);
}

#[test]
fn a_file_system_grows_shrinks_and_boots() {
    let disk = Disk::new();
    let fs = disk.edit();
    unsafe {
        let grown = answer(|out, error| banger_rootfs_resize(fs.0, 64 << 20, null(), out, error)).unwrap();
        assert_eq!((grown, banger_rootfs_size_bytes(fs.0)), (64 << 20, 64 << 20));
        assert_eq!(std::fs::metadata(&disk.file).unwrap().len(), 64 << 20);
        let least = answer(|out, error| banger_rootfs_minimum_size(fs.0, null(), out, error)).unwrap();
        assert_eq!(banger_rootfs_size_bytes(fs.0), 64 << 20);
        let small = answer(|out, error| banger_rootfs_resize(fs.0, least, null(), out, error)).unwrap();
        assert_eq!((small, std::fs::metadata(&disk.file).unwrap().len()), (least, least));
        let below = answer(|out, error| banger_rootfs_resize(fs.0, 4096, null(), out, error));
        assert!(below.is_err() && banger_rootfs_size_bytes(fs.0) == least);
        answer(|out, error| banger_rootfs_resize(fs.0, 64 << 20, null(), out, error)).unwrap();
        let network = Options::new()
            .text(banger_option::BANGER_OPT_HOSTNAME, "vm7")
            .list(banger_option::BANGER_OPT_NETWORK_ADDRESS, &["10.0.0.2/24"])
            .list(banger_option::BANGER_OPT_NETWORK_GATEWAY, &["10.0.0.1"])
            .list(banger_option::BANGER_OPT_NETWORK_DNS, &["1.1.1.1", "::1"]);
        done(|error| banger_rootfs_write_network(fs.0, network.0, error)).unwrap();
        let wrong = Options::new().list(banger_option::BANGER_OPT_NETWORK_ADDRESS, &["10.0.0.2"]);
        let refused = done(|error| banger_rootfs_write_network(fs.0, wrong.0, error)).unwrap_err();
        assert_eq!(refused.code, BANGER_ERROR_ARGUMENT);
        if pipeline::embedded_guest("amd64").is_some() {
            let options = Options::new()
                .text(banger_option::BANGER_OPT_INIT, "banger")
                .text(banger_option::BANGER_OPT_ARCHITECTURE, "amd64")
                .list(banger_option::BANGER_OPT_EXEC_ARGV, &["/bin/app", "-v"])
                .list(banger_option::BANGER_OPT_EXEC_ENV, &["A=b=c"]);
            let report =
                json(|out, error| banger_rootfs_inject(fs.0, options.0, null(), out, error)).unwrap();
            assert_eq!((&report["contract"], &report["version"]), (&"banger".into(), &1.into()));
        }
    }
    commit(&fs);
    drop(fs);
    let fs = disk.look();
    let text = String::from_utf8(fs.read("/etc/banger-network.conf").unwrap()).unwrap();
    assert_eq!(text, "address=10.0.0.2/24\ngateway=10.0.0.1\ndns=1.1.1.1\ndns=::1\nhostname=vm7\n");
    if pipeline::embedded_guest("amd64").is_some() {
        let config = String::from_utf8(fs.read("/etc/banger/guest.json").unwrap()).unwrap();
        assert!(config.contains("/bin/app") && config.contains("A=b=c"), "{config}");
    }
}

#[test]
fn metadata_goes_from_one_file_system_to_another() {
    let (disk, other) = (Disk::new(), Disk::new());
    let fs = disk.edit();
    let (path, length) = counted("/etc/hostname");
    unsafe {
        done(|error| banger_rootfs_set_owner(fs.0, path, length, 12, 34, error)).unwrap();
        let metadata = answer(|out, error| banger_metadata_of_rootfs(fs.0, null(), out, error)).unwrap();
        let text = string(|out, error| banger_metadata_json(metadata, out, error)).unwrap();
        let read =
            answer(|out, error| banger_metadata_from_json(text.as_ptr().cast(), text.len(), out, error));
        let read = read.unwrap();
        assert_eq!(banger_metadata_length(read), banger_metadata_length(metadata));
        let size = size_of::<banger_metadata_entry>();
        let owners: Vec<(Vec<u8>, u32, u32)> = (0..banger_metadata_length(read))
            .map(|index| {
                let entry = answer(|out, error| banger_metadata_at(read, index, out, size, error)).unwrap();
                (CStr::from_ptr(entry.path).to_bytes().to_owned(), entry.uid, entry.file_type)
            })
            .collect();
        assert_eq!(owners[0].0, b"/");
        assert!(owners.contains(&(b"/etc/hostname".to_vec(), 12, 8)), "{owners:?}");
        let behind = answer(|out, error| banger_metadata_at(read, owners.len(), out, size, error));
        assert_eq!(behind.unwrap_err().code, BANGER_ERROR_ARGUMENT);
        let malformed =
            answer(|out, error| banger_metadata_from_json(c"{}".as_ptr(), BANGER_STRLEN, out, error));
        assert_eq!(malformed.unwrap_err().code, BANGER_ERROR_ARGUMENT);

        let fs = other.edit();
        let report =
            json(|out, error| banger_rootfs_apply_ownership(fs.0, read, null(), out, error)).unwrap();
        assert_eq!(
            (&report["entries"], &report["mismatches"]),
            (&owners.len().into(), &0.into()),
            "{report}"
        );
        commit(&fs);
        drop(fs);
        let stat = other.look().stat("/etc/hostname").unwrap();
        assert_eq!((stat.uid, stat.gid), (12, 34));
        banger_metadata_free(metadata);
        banger_metadata_free(read);
    }
}

#[test]
fn metadata_comes_of_an_image_without_a_file_system() {
    use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let tar = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").finish();
    LayoutBuilder::of(&ImageBuilder::new().layer(tar)).write(&directory.path().join("layout"));
    let [state, cache, reference] =
        [format!("{path}/state"), format!("{path}/cache"), format!("oci:{path}/layout:latest")]
            .map(|text| CString::new(text).unwrap());
    unsafe {
        let store =
            answer(|out, error| crate::store::banger_store_open(state.as_ptr(), cache.as_ptr(), out, error))
                .unwrap();
        let metadata = answer(|out, error| {
            banger_metadata_of_image(store, reference.as_ptr(), null(), null(), None, null_mut(), out, error)
        });
        let metadata = metadata.unwrap();
        let text = json(|out, error| banger_metadata_json(metadata, out, error)).unwrap();
        let paths: Vec<&str> =
            text["entries"].as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["/", "/etc", "/etc/hostname"]);
        assert!(!directory.path().join("state").exists());
        banger_metadata_free(metadata);
        crate::store::banger_store_free(store);
    }
}
