//! Any sequence of calls of the C library: each returns 0 or an error object, none panics, and the file system
//! they change stays sound.
//!
//! The bytes are the calls with their arguments. All of them work on one small ext4 file.
#![no_main]
#![allow(non_camel_case_types, dead_code, unreachable_pub)]

/// The sources of the C library: it is no library for Rust.
macro_rules! sources {
    ($($name:ident $path:literal),* $(,)?) => {
        $(#[path = $path] pub mod $name;)*
    };
}

sources! {
    boot "../../banger-ffi/src/boot.rs",
    c_text "../../banger-ffi/src/c_text.rs",
    call "../../banger-ffi/src/call.rs",
    cancel "../../banger-ffi/src/cancel.rs",
    clone "../../banger-ffi/src/clone.rs",
    commit "../../banger-ffi/src/commit.rs",
    dir "../../banger-ffi/src/dir.rs",
    error "../../banger-ffi/src/error.rs",
    event "../../banger-ffi/src/event.rs",
    exec "../../banger-ffi/src/exec.rs",
    guest "../../banger-ffi/src/guest.rs",
    image "../../banger-ffi/src/image.rs",
    kernel "../../banger-ffi/src/kernel.rs",
    metadata "../../banger-ffi/src/metadata.rs",
    object "../../banger-ffi/src/object.rs",
    option_keys "../../banger-ffi/src/option_keys.rs",
    option_kinds "../../banger-ffi/src/option_kinds.rs",
    option_reader "../../banger-ffi/src/option_reader.rs",
    options "../../banger-ffi/src/options.rs",
    plan "../../banger-ffi/src/plan.rs",
    pull "../../banger-ffi/src/pull.rs",
    push "../../banger-ffi/src/push.rs",
    register "../../banger-ffi/src/register.rs",
    registry "../../banger-ffi/src/registry.rs",
    request "../../banger-ffi/src/request.rs",
    rootfs "../../banger-ffi/src/rootfs.rs",
    rootfs_edit "../../banger-ffi/src/rootfs_edit.rs",
    rootfs_tar "../../banger-ffi/src/rootfs_tar.rs",
    rootfs_whole "../../banger-ffi/src/rootfs_whole.rs",
    signals "../../banger-ffi/src/signals.rs",
    sized "../../banger-ffi/src/sized.rs",
    sources "../../banger-ffi/src/sources.rs",
    store "../../banger-ffi/src/store.rs",
    string "../../banger-ffi/src/string.rs",
    task "../../banger-ffi/src/task.rs",
    turns "../../banger-ffi/src/turns.rs",
    version "../../banger-ffi/src/version.rs",
    vm "../../banger-ffi/src/vm.rs",
}

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::ptr::{null, null_mut};
use std::slice;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

use boot::*;
use cancel::*;
use dir::*;
use error::*;
use event::*;
use guest::*;
use image::*;
use metadata::*;
use options::*;
use pull::*;
use rootfs::*;
use rootfs_edit::*;
use rootfs_tar::*;
use store::*;
use string::*;

const PIECE: usize = 4096;
const CALLS_MAX: usize = 60;
/// Larger than every structure of the header.
const ROOM: usize = 256;

/// An ext4 file in memory, and what is in it when a sequence begins.
struct Place {
    directory: tempfile::TempDir,
    file: CString,
    size_bytes: u64,
    pieces: Vec<(u64, Vec<u8>)>,
}

fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in memory can be made");
        let path = |name: &str| {
            CString::new(directory.path().join(name).to_str().expect("UTF-8")).expect("it has no NUL byte")
        };
        std::fs::create_dir_all(directory.path().join("tree/etc")).expect("it is new");
        std::fs::write(directory.path().join("tree/etc/hostname"), "old\n").expect("it is new");
        std::os::unix::fs::symlink("etc", directory.path().join("tree/link")).expect("it is new");
        let (source, file) = (path("tree"), path("disk.ext4"));
        unsafe {
            let options = banger_options_new();
            let key = banger_option::BANGER_OPT_SIZE_BYTES as c_int;
            assert_eq!(banger_options_set_u64(options, key, 8 << 20, null_mut()), 0);
            let mut json = null_mut();
            let (source, file) = (source.as_ptr(), file.as_ptr());
            let built =
                banger_build(source, file, options, null(), None, null_mut(), &raw mut json, null_mut());
            assert_eq!(built, 0);
            banger_string_free(json);
            banger_options_free(options);
        }
        let bytes = std::fs::read(directory.path().join("disk.ext4")).expect("it was made");
        let pieces = bytes.chunks(PIECE).enumerate().filter(|(_, piece)| piece.iter().any(|byte| *byte != 0));
        let pieces = pieces.map(|(at, piece)| ((at * PIECE) as u64, piece.to_owned())).collect();
        Place { file, size_bytes: bytes.len() as u64, pieces, directory }
    })
}

impl Place {
    /// Makes the file what it was.
    fn reset(&self) {
        let path = self.directory.path().join("disk.ext4");
        let file = File::create(path).expect("it can be made again");
        file.set_len(self.size_bytes).expect("there is memory");
        for (offset, piece) in &self.pieces {
            file.write_all_at(piece, *offset).expect("there is memory");
        }
        // What calls about stores and builds made.
        let _ = std::fs::remove_dir_all(self.directory.path().join("store"));
        let _ = std::fs::remove_file(self.directory.path().join("built.ext4"));
    }

    fn path(&self, name: &str) -> CString {
        CString::new(self.directory.path().join(name).to_str().expect("UTF-8")).expect("it has no NUL byte")
    }
}

/// The rest of the bytes.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        match self.byte() {
            kind @ 0..200 => u64::from(kind),
            200..220 => u64::from(self.byte()) << (self.byte() % 64),
            220..240 => u64::MAX - u64::from(self.byte()),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn number_of_32_bits(&mut self) -> u32 {
        self.number() as u32
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken.to_owned()
    }

    /// A text without a NUL byte, mostly one that means something.
    fn text(&mut self, known: &[&CStr]) -> CString {
        let at = usize::from(self.byte());
        match known.get(at % (known.len() + 3)) {
            Some(text) => (*text).to_owned(),
            None => CString::new(self.bytes().into_iter().filter(|byte| *byte != 0).collect::<Vec<u8>>())
                .expect("it has no NUL byte"),
        }
    }

    fn path(&mut self) -> Path {
        const KNOWN: [&CStr; 14] = [
            c"/",
            c"/etc",
            c"/etc/hostname",
            c"/link",
            c"/link/hostname",
            c"/a",
            c"/a/b",
            c"/a/b/c",
            c"/b",
            c"/b/c",
            c"/c",
            c"/lost+found",
            c"/a/../b",
            c"relative",
        ];
        let text = self.text(&KNOWN);
        // Without the NUL byte, so that a read behind the end is seen.
        match self.byte() % 8 {
            0 => Path { length: BANGER_STRLEN, bytes: text.into_bytes_with_nul().into() },
            1 => Path { length: usize::MAX - 1, bytes: text.into_bytes_with_nul().into() },
            2 => {
                let bytes = text.into_bytes();
                let length = usize::from(self.byte()).min(bytes.len());
                Path { length, bytes: bytes.into() }
            }
            _ => Path { length: text.as_bytes().len(), bytes: text.into_bytes().into() },
        }
    }

    fn xattr_name(&mut self) -> CString {
        self.text(&[c"user.note", c"trusted.x", c"security.capability", c"system.posix_acl_access", c"user."])
    }

    /// The size of a structure of `size` bytes, which the caller may have larger or smaller.
    fn size(&mut self, size: usize) -> usize {
        match self.byte() {
            0 => 0,
            1 => size - 1,
            other @ 2..10 => (size + usize::from(other)).min(ROOM),
            _ => size,
        }
    }

    fn attrs(&mut self) -> Option<banger_attrs> {
        (self.byte() % 3 > 0).then(|| banger_attrs {
            mtime_seconds: self.number() as i64,
            mtime_nanoseconds: self.number_of_32_bits(),
            mode: self.number_of_32_bits() % 0o20000,
            uid: self.number_of_32_bits(),
            gid: self.number_of_32_bits(),
        })
    }
}

struct Path {
    bytes: Box<[u8]>,
    length: usize,
}

impl Path {
    fn get(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }
}

/// Room of a structure of any size.
#[repr(align(16))]
struct Room([u8; ROOM]);

impl Room {
    /// A structure, and zeros behind it.
    fn of<T>(value: &Option<T>) -> Option<Self> {
        let value = value.as_ref()?;
        let mut room = Self([0; ROOM]);
        let bytes = unsafe { slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) };
        room.0[..bytes.len()].copy_from_slice(bytes);
        Some(room)
    }

    fn get<T>(room: &Option<Self>) -> *const T {
        room.as_ref().map_or(null(), |room| room.0.as_ptr().cast())
    }
}

/// Checks what every call promises of its error; returns whether it succeeded.
fn call(call: impl FnOnce(*mut *mut banger_error) -> c_int) -> bool {
    let mut error = null_mut();
    let code = call(&raw mut error);
    if code == 0 {
        assert!(error.is_null(), "an error without a code");
        return true;
    }
    unsafe {
        assert_eq!(banger_error_code(error), code);
        let text = |text: *const c_char| CStr::from_ptr(text).to_str().expect("UTF-8");
        let message = text(banger_error_message(error));
        assert!((100..1000).contains(&code) && code != BANGER_ERROR_INTERNAL, "{code}: {message}");
        assert!(!message.is_empty() && banger_error_kind(error) != 0);
        assert!(text(banger_error_json(error)).starts_with('{'));
        let _ = (text(banger_error_advice(error)), banger_error_errno(error));
        banger_error_free(error);
    }
    false
}

/// As [`call`], for an answer that is written on success only.
fn answer<T>(make: impl FnOnce(*mut *mut T, *mut *mut banger_error) -> c_int) -> *mut T {
    let mut out = null_mut();
    let is_done = call(|error| make(&raw mut out, error));
    assert_eq!(is_done, !out.is_null());
    out
}

/// As [`answer`], for a string, which is read and freed.
fn string(make: impl FnOnce(*mut *mut banger_string, *mut *mut banger_error) -> c_int) -> Option<Vec<u8>> {
    let string = answer(make);
    if string.is_null() {
        return None;
    }
    unsafe {
        let (data, length) = (banger_string_data(string), banger_string_length(string));
        assert_eq!(*data.add(length), 0, "no NUL byte behind the last one");
        let bytes = slice::from_raw_parts(data.cast::<u8>(), length).to_owned();
        banger_string_free(string);
        Some(bytes)
    }
}

/// The handles of a sequence; any of them may be NULL.
struct Handles {
    rootfs: *mut banger_rootfs,
    is_editable: bool,
    refused: usize,
    dir: *mut banger_dir,
    metadata: *mut banger_metadata,
    options: *mut banger_options,
    cancel: *mut banger_cancel,
    task: *mut banger_task,
    store: *mut banger_store,
}

impl Handles {
    /// Makes one call of many.
    unsafe fn next(&mut self, input: &mut Input<'_>) {
        let kind = input.byte() % 45;
        let (fs, cancel, options) = (self.rootfs, self.cancel, self.options);
        unsafe {
            match kind {
                0..3 => self.open(input),
                3 => {
                    banger_rootfs_free(std::mem::replace(&mut self.rootfs, null_mut()));
                }
                4 => {
                    let (path, mut room) = (input.path(), Room([0; ROOM]));
                    let size = input.size(size_of::<banger_stat>());
                    let stat = room.0.as_mut_ptr().cast();
                    call(|error| banger_rootfs_stat(fs, path.get(), path.length, stat, size, error));
                }
                5 => {
                    let path = input.path();
                    string(|out, error| banger_rootfs_entry(fs, path.get(), path.length, out, error));
                    string(|out, error| banger_rootfs_resolve(fs, path.get(), path.length, out, error));
                }
                6 => {
                    let path = input.path();
                    string(|out, error| banger_rootfs_read(fs, path.get(), path.length, out, error));
                }
                7 => {
                    let (path, offset, size) = (input.path(), input.number(), input.number());
                    let mut buffer = vec![0xa5; size.min(9000) as usize].into_boxed_slice();
                    let (data, mut count) = (buffer.as_mut_ptr(), usize::MAX);
                    let is_read = call(|error| {
                        // Only what no buffer can have may be more than this one has.
                        let size = if size > 1 << 63 { size as usize } else { buffer.len() };
                        banger_rootfs_read_at(
                            fs,
                            path.get(),
                            path.length,
                            offset,
                            data,
                            size,
                            &raw mut count,
                            error,
                        )
                    });
                    assert!(count <= buffer.len() || !is_read);
                }
                8 => {
                    let path = input.path();
                    string(|out, error| banger_rootfs_read_link(fs, path.get(), path.length, out, error));
                }
                9 => {
                    let path = input.path();
                    banger_dir_free(self.dir);
                    self.dir =
                        answer(|out, error| banger_rootfs_read_dir(fs, path.get(), path.length, out, error));
                }
                10 => {
                    let (size, mut room) = (input.size(size_of::<banger_dirent>()), Room([0; ROOM]));
                    let dir = self.dir;
                    call(|error| banger_dir_next(dir, room.0.as_mut_ptr().cast(), size, error));
                }
                11 => {
                    let (path, name) = (input.path(), input.xattr_name());
                    string(|out, error| {
                        banger_rootfs_xattr(fs, path.get(), path.length, name.as_ptr(), out, error)
                    });
                    string(|out, error| banger_rootfs_xattrs(fs, path.get(), path.length, out, error));
                }
                12..14 => {
                    let (path, attrs) = (input.path(), Room::of(&input.attrs()));
                    let size = input.size(size_of::<banger_attrs>());
                    let attrs = Room::get(&attrs);
                    call(|error| banger_rootfs_create_dir(fs, path.get(), path.length, attrs, size, error));
                }
                14..17 => {
                    let (path, attrs, mut data) = (input.path(), Room::of(&input.attrs()), input.bytes());
                    data = data.repeat(1 + usize::from(input.byte()));
                    let (attrs, size) = (Room::get(&attrs), input.size(size_of::<banger_attrs>()));
                    let (bytes, length) = (data.as_ptr(), data.len());
                    call(|error| {
                        banger_rootfs_write(
                            fs,
                            path.get(),
                            path.length,
                            bytes,
                            length,
                            attrs,
                            size,
                            cancel,
                            error,
                        )
                    });
                }
                17 => {
                    let (path, attrs) = (input.path(), Room::of(&input.attrs()));
                    let mut file = tempfile::tempfile_in("/dev/shm").expect("there is memory");
                    file.write_all(&input.bytes()).expect("there is memory");
                    file.rewind().expect("it is a file");
                    let fd =
                        if input.byte() < 200 { file.as_raw_fd() } else { input.number() as c_int | 1 << 20 };
                    let attrs = Room::get(&attrs);
                    let size = size_of::<banger_attrs>();
                    call(|error| {
                        banger_rootfs_write_from_fd(
                            fs,
                            path.get(),
                            path.length,
                            fd,
                            attrs,
                            size,
                            cancel,
                            error,
                        )
                    });
                }
                18..20 => {
                    let (path, target, attrs) = (input.path(), input.path(), Room::of(&input.attrs()));
                    let (attrs, size) = (Room::get(&attrs), input.size(size_of::<banger_attrs>()));
                    let (text, length) = (target.get(), target.length);
                    call(|error| {
                        banger_rootfs_symlink(fs, path.get(), path.length, text, length, attrs, size, error)
                    });
                }
                20 => {
                    let (from, to) = (input.path(), input.path());
                    call(|error| {
                        banger_rootfs_hard_link(fs, from.get(), from.length, to.get(), to.length, error)
                    });
                }
                21 => {
                    let (path, attrs) = (input.path(), Room::of(&input.attrs()));
                    let (kind, major, minor) =
                        (u32::from(input.byte() % 14), input.number_of_32_bits(), input.number_of_32_bits());
                    let (attrs, size) = (Room::get(&attrs), size_of::<banger_attrs>());
                    call(|error| {
                        banger_rootfs_mknod(
                            fs,
                            path.get(),
                            path.length,
                            kind,
                            major,
                            minor,
                            attrs,
                            size,
                            error,
                        )
                    });
                }
                22 => {
                    let path = input.path();
                    call(|error| banger_rootfs_remove(fs, path.get(), path.length, cancel, error));
                }
                23..25 => {
                    let (from, to) = (input.path(), input.path());
                    call(|error| {
                        banger_rootfs_rename(fs, from.get(), from.length, to.get(), to.length, error)
                    });
                }
                25 => {
                    let (path, mode) = (input.path(), input.number_of_32_bits());
                    call(|error| banger_rootfs_set_mode(fs, path.get(), path.length, mode, error));
                }
                26 => {
                    let (path, uid, gid) =
                        (input.path(), input.number_of_32_bits(), input.number_of_32_bits());
                    call(|error| banger_rootfs_set_owner(fs, path.get(), path.length, uid, gid, error));
                }
                27 => {
                    let (path, seconds) = (input.path(), input.number() as i64);
                    let nanoseconds = input.number_of_32_bits();
                    call(|error| {
                        banger_rootfs_set_mtime(fs, path.get(), path.length, seconds, nanoseconds, error)
                    });
                }
                28..30 => {
                    let (path, name, mut value) = (input.path(), input.xattr_name(), input.bytes());
                    value = value.repeat(1 + usize::from(input.byte() % 16));
                    let (name, bytes, length) = (name.as_ptr(), value.as_ptr(), value.len());
                    call(|error| {
                        banger_rootfs_set_xattr(fs, path.get(), path.length, name, bytes, length, error)
                    });
                }
                30 => {
                    let (path, name) = (input.path(), input.xattr_name());
                    call(|error| {
                        banger_rootfs_remove_xattr(fs, path.get(), path.length, name.as_ptr(), error)
                    });
                }
                31..33 => {
                    banger_rootfs_is_commit_due(fs);
                    call(|error| banger_rootfs_commit(fs, cancel, error));
                }
                33 => {
                    let size = match input.byte() {
                        small @ 0..250 => u64::from(small) << 19,
                        _ => u64::MAX - input.number(),
                    };
                    let mut new = 0;
                    let is_resized = call(|error| banger_rootfs_resize(fs, size, cancel, &raw mut new, error));
                    assert!(!is_resized || new <= banger_rootfs_size_bytes(fs).max(size));
                }
                34 => self.verify(),
                35 => {
                    banger_metadata_free(self.metadata);
                    self.metadata = match input.byte() % 2 {
                        0 => answer(|out, error| banger_metadata_of_rootfs(fs, cancel, out, error)),
                        _ => {
                            let json = input.bytes();
                            let (text, length) = (json.as_ptr().cast(), json.len());
                            answer(|out, error| banger_metadata_from_json(text, length, out, error))
                        }
                    };
                }
                36 => self.look_at_metadata(input),
                37 => {
                    let metadata = self.metadata;
                    string(|out, error| banger_rootfs_apply_ownership(fs, metadata, cancel, out, error));
                }
                38 => self.set_option(input),
                39 => {
                    call(|error| banger_rootfs_write_network(fs, options, error));
                    string(|out, error| banger_rootfs_inject(fs, options, cancel, out, error));
                }
                40 => match input.byte() % 3 {
                    0 => banger_cancel_cancel(cancel),
                    1 => {
                        banger_cancel_free(std::mem::replace(&mut self.cancel, banger_cancel_new()));
                    }
                    _ => {
                        banger_options_free(std::mem::replace(&mut self.options, banger_options_new()));
                    }
                },
                41 => self.use_task(input),
                42 => self.use_store(input),
                43 => self.tar(input),
                _ => {
                    let address = input.text(&[c"unix:/none", c"/none:5000", c"/none:0", c"vsock:3"]);
                    let guest = answer(|out, error| banger_guest_new(address.as_ptr(), options, out, error));
                    banger_guest_free(guest);
                }
            }
        }
    }

    unsafe fn open(&mut self, input: &mut Input<'_>) {
        let flags = [BANGER_EDIT, BANGER_EDIT, 0, 2][usize::from(input.byte() % 4)];
        // A second one waits for the lock of the first.
        self.refused += usize::from(!self.rootfs.is_null());
        if self.refused > 1 {
            return;
        }
        let options = if input.byte() % 2 == 0 { null() } else { self.options };
        let file = place().file.as_ptr();
        let opened = answer(|out, error| unsafe { banger_rootfs_open(file, flags, options, out, error) });
        if !opened.is_null() {
            unsafe { banger_rootfs_free(std::mem::replace(&mut self.rootfs, opened)) };
            self.is_editable = flags == BANGER_EDIT;
        }
    }

    unsafe fn verify(&self) {
        let (fs, never) = (self.rootfs, null());
        if let Some(json) = string(|out, error| unsafe { banger_rootfs_verify(fs, never, out, error) }) {
            let report: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
            assert_eq!(report["problem_count"], 0, "{report}");
        }
    }

    /// Writes a tar of a path, which has the changes that are not committed.
    unsafe fn tar(&self, input: &mut Input<'_>) {
        let path = input.path();
        let file = tempfile::tempfile_in(place().directory.path()).expect("a file in memory can be made");
        let (fs, fd, never) = (self.rootfs, file.as_raw_fd(), null());
        let json = string(|out, error| unsafe {
            banger_rootfs_tar_fd(fs, path.get(), path.length, fd, never, out, error)
        });
        if let Some(json) = json {
            let report: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
            assert!(report["entries"].as_u64().is_some(), "{report}");
            assert_eq!(file.metadata().expect("it is open").len() % 512, 0);
        }
    }

    unsafe fn look_at_metadata(&self, input: &mut Input<'_>) {
        let (metadata, index) = (self.metadata, input.number() as usize);
        let mut room = Room([0; ROOM]);
        unsafe {
            let length = banger_metadata_length(metadata);
            let size = input.size(size_of::<banger_metadata_entry>());
            let place = room.0.as_mut_ptr().cast();
            let is_found = call(|error| banger_metadata_at(metadata, index, place, size, error));
            assert!(!is_found || index < length);
            string(|out, error| banger_metadata_json(metadata, out, error));
        }
    }

    unsafe fn set_option(&self, input: &mut Input<'_>) {
        const TEXTS: [&CStr; 8] =
            [c"vm1", c"10.0.0.2/24", c"10.0.0.1", c"eth0", c"linux/amd64", c"native", c"auto", c"/bin/sh"];
        let (options, key) = (self.options, c_int::from(input.byte()));
        let key = if key > 200 { input.number() as c_int } else { key };
        let text = input.text(&TEXTS);
        let number = input.number();
        unsafe {
            // Each fits some keys, and the others refuse it.
            call(|error| banger_options_set_string(options, key, text.as_ptr(), error));
            call(|error| banger_options_add_string(options, key, text.as_ptr(), error));
            call(|error| banger_options_set_u64(options, key, number, error));
            call(|error| banger_options_set_bool(options, key, number % 2 == 1, error));
            let (bytes, length) = (text.as_ptr().cast(), text.as_bytes().len());
            call(|error| banger_options_set_bytes(options, key, bytes, length, error));
        }
    }

    unsafe fn use_task(&mut self, input: &mut Input<'_>) {
        let (task, cancel) = (self.task, self.cancel);
        unsafe {
            match input.byte() % 6 {
                0 if task.is_null() => {
                    let (source, file) = (place().path("tree"), place().path("built.ext4"));
                    let (source, file) = (source.as_ptr(), file.as_ptr());
                    let options = banger_options_new();
                    let key = banger_option::BANGER_OPT_SIZE_BYTES as c_int;
                    assert!(call(|error| banger_options_set_u64(options, key, 4 << 20, error)));
                    self.task =
                        answer(|out, error| banger_build_start(source, file, options, cancel, out, error));
                    banger_options_free(options);
                }
                0..3 => {
                    let mut event = null();
                    banger_task_fd(task);
                    call(|error| banger_task_next(task, u32::from(input.byte() % 3), &raw mut event, error));
                    let texts =
                        [banger_event_json(event), banger_event_digest(event), banger_event_message(event)];
                    for text in texts {
                        CStr::from_ptr(text).to_str().expect("UTF-8");
                    }
                }
                3 => drop(string(|out, error| banger_task_finish_json(task, out, error))),
                4 => banger_image_free(answer(|out, error| banger_task_finish_image(task, out, error))),
                _ => banger_task_free(std::mem::replace(&mut self.task, null_mut())),
            }
        }
    }

    unsafe fn use_store(&mut self, input: &mut Input<'_>) {
        let wanted = input.text(&[c"image", c"0123456789ab", c"", c".."]);
        let wanted = wanted.as_ptr();
        unsafe {
            if self.store.is_null() {
                let directory = place().path("store");
                let directory = directory.as_ptr();
                self.store = answer(|out, error| banger_store_open(directory, directory, out, error));
            }
            let (store, cancel) = (self.store, self.cancel);
            string(|out, error| banger_store_list(store, out, error));
            string(|out, error| banger_cache_list(store, out, error));
            call(|error| banger_store_remove(store, wanted, cancel, error));
            call(|error| banger_store_rename(store, wanted, c"other".as_ptr(), cancel, error));
            banger_image_free(answer(|out, error| banger_store_find(store, wanted, cancel, out, error)));
            string(|out, error| banger_store_verify(store, wanted, cancel, out, error));
        }
    }

    /// Frees all, in an order of the input's.
    unsafe fn end(mut self, is_committed: bool) {
        unsafe {
            banger_task_free(self.task);
            banger_dir_free(self.dir);
            if is_committed && self.is_editable && !self.rootfs.is_null() {
                let fs = self.rootfs;
                call(|error| banger_rootfs_commit(fs, null(), error));
            }
            // What it shows is sound, and so is what is on the disk.
            self.verify();
            banger_rootfs_free(self.rootfs);
            let file = place().file.as_ptr();
            self.rootfs = answer(|out, error| banger_rootfs_open(file, 0, null(), out, error));
            assert!(!self.rootfs.is_null());
            self.verify();
            banger_rootfs_free(self.rootfs);
            banger_metadata_free(self.metadata);
            banger_options_free(self.options);
            banger_cancel_free(self.cancel);
            banger_store_free(self.store);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    place().reset();
    let mut input = Input(bytes);
    let mut handles = Handles {
        rootfs: null_mut(),
        is_editable: false,
        refused: 0,
        dir: null_mut(),
        metadata: null_mut(),
        options: banger_options_new(),
        cancel: banger_cancel_new(),
        task: null_mut(),
        store: null_mut(),
    };
    let is_committed = input.byte() % 2 == 0;
    // Most calls need it.
    unsafe { handles.open(&mut input) };
    for _ in 0..CALLS_MAX {
        if input.0.is_empty() {
            break;
        }
        unsafe { handles.next(&mut input) };
    }
    unsafe { handles.end(is_committed) };
});
