//! Each function with each pointer that must not be NULL.

use std::ffi::c_void;
use std::ptr::null;

use banger_testkit::ScriptedAgent;

use super::agent::obliging;
use super::*;
use crate::boot::*;
use crate::exec::*;
use crate::guest::*;
use crate::metadata::*;
use crate::rootfs_edit::*;
use crate::rootfs_tar::*;
use crate::rootfs_whole::*;

/// Makes the pointer of one position NULL.
struct NullAt {
    position: usize,
    seen: usize,
}

impl NullAt {
    fn of<T>(&mut self, pointer: *mut T) -> *mut T {
        self.seen += 1;
        if self.seen - 1 == self.position { null_mut() } else { pointer }
    }
}

/// Where answers would go.
#[repr(align(16))]
struct Place([u8; 256]);

type Call<'a> = Box<dyn Fn(&mut NullAt, *mut c_void, *mut *mut banger_error) -> c_int + 'a>;

#[test]
fn null_is_an_error_and_no_answer() {
    let disk = Disk::new();
    let fs = disk.edit();
    let rootfs = fs.0;
    let path = c"/etc/hostname".as_ptr().cast_mut();
    let name = c"user.x".as_ptr().cast_mut();
    let script = c"{\"schemaVersion\":1,\"operations\":[]}".as_ptr().cast_mut();
    let metadata =
        answer(|out, error| unsafe { banger_metadata_of_rootfs(rootfs, null(), out, error) }).unwrap();
    let agent = ScriptedAgent::new(obliging);
    let address = CString::new(format!("unix:{}", agent.path().display())).unwrap();
    let guest =
        answer(|out, error| unsafe { banger_guest_new(address.as_ptr(), null(), out, error) }).unwrap();
    let program = Options::new().list(banger_option::BANGER_OPT_EXEC_ARGV, &["true"]);
    let exec =
        answer(|out, error| unsafe { banger_exec_start(guest, program.0, null(), out, error) }).unwrap();
    let input = answer(|out, error| unsafe { banger_exec_open_input(exec, out, error) }).unwrap();
    let root = answer(|out, error| unsafe { banger_rootfs_read_dir(rootfs, c"/".as_ptr(), 1, out, error) });
    let dir = root.unwrap();
    let long = BANGER_STRLEN;
    let (stat, exit) = (size_of::<banger_stat>(), size_of::<banger_exit>());
    let store = c"/none".as_ptr();
    let store =
        answer(|out, error| unsafe { crate::store::banger_store_open(store, store, out, error) }).unwrap();
    // `Need` is a pointer that must not be NULL, `Out` the place of the answer, `Is` anything else.
    macro_rules! calls {
        ($($name:ident ($($argument:expr),*)),* $(,)?) => {
            [$((
                stringify!($name),
                Box::new(|at: &mut NullAt, out: *mut c_void, error: *mut *mut banger_error| {
                    let _unused_by_some = out;
                    unsafe { $name($($argument.argument(at, out),)* error) }
                }) as Call<'_>,
            )),*]
        };
    }
    let calls = calls![
        banger_rootfs_open(Need(path), Is(0), Is(null()), Out),
        banger_rootfs_stat(Need(rootfs), Need(path), Is(long), Out, Is(stat)),
        banger_rootfs_entry(Need(rootfs), Need(path), Is(long), Out),
        banger_rootfs_resolve(Need(rootfs), Need(path), Is(long), Out),
        banger_rootfs_read(Need(rootfs), Need(path), Is(long), Out),
        banger_rootfs_read_at(Need(rootfs), Need(path), Is(long), Is(0), Need(path.cast::<u8>()), Is(5), Out),
        banger_rootfs_read_link(Need(rootfs), Need(path), Is(long), Out),
        banger_rootfs_read_dir(Need(rootfs), Need(path), Is(long), Out),
        banger_rootfs_xattr(Need(rootfs), Need(path), Is(long), Need(name), Out),
        banger_rootfs_xattrs(Need(rootfs), Need(path), Is(long), Out),
        banger_rootfs_verify(Need(rootfs), Is(null()), Out),
        banger_rootfs_tar_fd(Need(rootfs), Need(path), Is(long), Is(0), Is(null()), Out),
        banger_rootfs_edit_script(Need(rootfs), Need(script), Is(long), Is(null()), Is(null()), Out),
        banger_rootfs_put(Need(rootfs), Need(path), Need(path), Is(long), Is(null()), Is(null()), Out),
        banger_rootfs_get(Need(rootfs), Need(path), Is(long), Need(path), Is(null()), Out),
        banger_rootfs_usage(Need(rootfs), Out),
        banger_rootfs_disk_usage(Need(rootfs), Need(path), Is(long), Is(null()), Is(null()), Out),
        banger_rootfs_find(Need(rootfs), Need(path), Is(long), Is(null()), Is(null()), Out),
        banger_rootfs_diff(Need(rootfs), Need(rootfs), Is(null()), Out),
        banger_rootfs_repair(Need(path), Is(null()), Out),
        banger_rootfs_create_dir(Need(rootfs), Need(path), Is(long), Is(null()), Is(0)),
        banger_rootfs_write(
            Need(rootfs),
            Need(path),
            Is(long),
            Need(path.cast::<u8>()),
            Is(1),
            Is(null()),
            Is(0),
            Is(null())
        ),
        banger_rootfs_write_from_fd(Need(rootfs), Need(path), Is(long), Is(0), Is(null()), Is(0), Is(null())),
        banger_rootfs_symlink(Need(rootfs), Need(path), Is(long), Need(name), Is(long), Is(null()), Is(0)),
        banger_rootfs_hard_link(Need(rootfs), Need(path), Is(long), Need(path), Is(long)),
        banger_rootfs_mknod(Need(rootfs), Need(path), Is(long), Is(1), Is(0), Is(0), Is(null()), Is(0)),
        banger_rootfs_remove(Need(rootfs), Need(path), Is(long), Is(null())),
        banger_rootfs_rename(Need(rootfs), Need(path), Is(long), Need(path), Is(long)),
        banger_rootfs_set_mode(Need(rootfs), Need(path), Is(long), Is(0)),
        banger_rootfs_set_owner(Need(rootfs), Need(path), Is(long), Is(0), Is(0)),
        banger_rootfs_set_mtime(Need(rootfs), Need(path), Is(long), Is(0), Is(0)),
        banger_rootfs_set_xattr(
            Need(rootfs),
            Need(path),
            Is(long),
            Need(name),
            Need(path.cast::<u8>()),
            Is(1)
        ),
        banger_rootfs_remove_xattr(Need(rootfs), Need(path), Is(long), Need(name)),
        banger_rootfs_commit(Need(rootfs), Is(null())),
        banger_rootfs_resize(Need(rootfs), Is(1 << 30), Is(null()), Out),
        banger_rootfs_minimum_size(Need(rootfs), Is(null()), Out),
        banger_rootfs_apply_ownership(Need(rootfs), Need(metadata), Is(null()), Out),
        banger_rootfs_inject(Need(rootfs), Is(null()), Is(null()), Out),
        banger_rootfs_write_network(Need(rootfs), Is(null())),
        banger_metadata_of_image(
            Need(store),
            Need(path),
            Is(null()),
            Is(null()),
            Is(None),
            Is(null_mut()),
            Out
        ),
        banger_metadata_of_rootfs(Need(rootfs), Is(null()), Out),
        banger_metadata_from_json(Need(path), Is(long), Out),
        banger_metadata_json(Need(metadata), Out),
        banger_metadata_at(Need(metadata), Is(0), Out, Is(size_of::<banger_metadata_entry>())),
        banger_guest_new(Need(path), Is(null()), Out),
        banger_guest_health(Need(guest), Is(null()), Out),
        banger_guest_wait_ready(Need(guest), Is(1), Is(null()), Out),
        banger_guest_info(Need(guest), Is(null()), Out),
        banger_guest_set_network(Need(guest), Is(null()), Is(null()), Out),
        banger_guest_grow(Need(guest), Is(null()), Out),
        banger_guest_shutdown(Need(guest), Is(false), Is(null())),
        banger_guest_wait(Need(guest), Is(1), Is(null()), Out, Is(exit)),
        banger_guest_copy_in_fd(Need(guest), Need(path), Is(0), Is(null()), Is(null()), Out),
        banger_guest_copy_out_fd(Need(guest), Need(path), Is(1), Is(null()), Out),
        banger_guest_run(
            Need(guest),
            Need(program.0),
            Is(null()),
            Is(null_mut()),
            Is(null_mut()),
            Out,
            Is(exit)
        ),
        banger_exec_start(Need(guest), Need(program.0), Is(null()), Out),
        banger_dir_next(Need(dir), Out, Is(size_of::<banger_dirent>())),
        banger_exec_next(Need(exec), Is(1), Out, Is(size_of::<banger_exec_event>())),
        banger_exec_exit(Need(exec), Out, Is(exit)),
        banger_exec_open_input(Need(exec), Out),
        banger_exec_input_write(Need(input), Need(path.cast::<u8>()), Is(1)),
        banger_exec_input_signal(Need(input), Is(1)),
        banger_exec_input_resize(Need(input), Is(1), Is(1)),
        banger_exec_input_close(Need(input)),
    ];
    for (function, call) in calls {
        let mut positions = 1;
        for position in 0.. {
            if position == positions {
                break;
            }
            let mut at = NullAt { position, seen: 0 };
            let mut place = Place([0xa5; 256]);
            let mut error = null_mut();
            let code = call(&mut at, place.0.as_mut_ptr().cast(), &raw mut error);
            positions = at.seen;
            assert_eq!(code, BANGER_ERROR_ARGUMENT, "{function}, pointer {position}");
            assert!(place.0.iter().all(|byte| *byte == 0xa5), "{function}, pointer {position}");
            unsafe {
                assert_eq!(banger_error_kind(error), banger_failure_kind::BANGER_KIND_ARGUMENT as c_int);
                banger_error_free(error);
            }
            // Nobody has to ask why.
            let mut at = NullAt { position, seen: 0 };
            assert_eq!(call(&mut at, place.0.as_mut_ptr().cast(), null_mut()), BANGER_ERROR_ARGUMENT);
        }
    }
    unsafe {
        banger_rootfs_free(null_mut());
        banger_dir_free(null_mut());
        banger_metadata_free(null_mut());
        banger_guest_free(null_mut());
        banger_exec_free(null_mut());
        banger_exec_input_free(null_mut());
        assert_eq!((banger_rootfs_size_bytes(null()), banger_metadata_length(null())), (0, 0));
        assert_eq!((banger_exec_pid(null()), banger_exec_fd(null())), (0, -1));
        assert!(!banger_rootfs_is_commit_due(null()));
        banger_metadata_free(metadata);
        banger_dir_free(dir);
        banger_exec_input_free(input);
        banger_exec_free(exec);
        banger_guest_free(guest);
        crate::store::banger_store_free(store);
    }
    assert_eq!(fs.read("/etc/hostname").unwrap(), b"old\n");
}

/// A pointer that must not be NULL.
struct Need<T>(*mut T);

/// An argument that stays as it is.
struct Is<T>(T);

/// The place of the answer, which must not be NULL either.
struct Out;

impl<T> Need<T> {
    fn argument(self, at: &mut NullAt, _out: *mut c_void) -> *mut T {
        at.of(self.0)
    }
}

impl<T> Is<T> {
    fn argument(self, _at: &mut NullAt, _out: *mut c_void) -> T {
        self.0
    }
}

impl Out {
    fn argument<T>(self, at: &mut NullAt, out: *mut c_void) -> *mut T {
        at.of(out.cast())
    }
}
