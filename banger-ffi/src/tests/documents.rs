//! docs/ffi.md says which call uses which option.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr::{null, null_mut};

use super::{Disk, answer};
use crate::commit::*;
use crate::exec::*;
use crate::guest::*;
use crate::kernel::*;
use crate::metadata::*;
use crate::option_reader::USED;
use crate::options::*;
use crate::plan::*;
use crate::pull::*;
use crate::push::*;
use crate::registry::*;
use crate::rootfs::*;
use crate::rootfs_whole::*;
use crate::store::*;
use crate::string::BANGER_STRLEN;
use crate::vm::*;

/// Returns the rows of the table of options: number, name, calls.
fn documented() -> Vec<(i32, String, BTreeSet<String>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/ffi.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text.split("| number | `BANGER_OPT_…` |").nth(1).expect("the table of options");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let calls = cells[3].split(", ").map(|call| format!("banger_{call}")).collect();
        (cells[0].parse().unwrap(), format!("BANGER_OPT_{}", cells[1]), calls)
    })
    .collect()
}

/// Makes every call that takes options; each fails behind the reading of its options.
fn used() -> BTreeMap<String, BTreeSet<banger_option>> {
    let dir = tempfile::tempdir().unwrap();
    let place = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
    let (place, nowhere, image) = (place.as_ptr(), c"/nowhere/at/all".as_ptr(), c"oci:/nowhere:x".as_ptr());
    let none = null::<banger_options>();
    unsafe {
        let store = answer(|out, error| banger_store_open(place, place, out, error)).unwrap();
        let guest =
            answer(|out, error| banger_guest_new(c"unix:/nowhere".as_ptr(), none, out, error)).unwrap();
        let _ = answer(|out, error| banger_pull(store, image, none, null(), None, null_mut(), out, error));
        let _ = answer(|out, error| {
            banger_pull_to_file(store, image, nowhere, none, null(), None, null_mut(), out, error)
        });
        let file = tempfile::tempfile().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        let _ = answer(|out, error| {
            banger_pull_to_fd(store, image, fd, none, null(), None, null_mut(), out, error)
        });
        let _ = answer(|out, error| {
            banger_metadata_of_image(store, image, none, null(), None, null_mut(), out, error)
        });
        let _ = answer(|out, error| {
            banger_image_inspect(store, image, none, null(), None, null_mut(), out, error)
        });
        let _ = answer(|out, error| banger_login(store, c"x".as_ptr(), none, null(), out, error));
        let unknown = banger_options_new();
        let (key, file) = (banger_option::BANGER_OPT_AUTH_FILE as i32, c"/nowhere/at/all".as_ptr());
        assert_eq!(banger_options_add_string(unknown, key, file, null_mut()), 0);
        let _ = answer(|out, error| banger_logout(store, c"x".as_ptr(), unknown, null(), out, error));
        banger_options_free(unknown);
        let _ =
            answer(|out, error| banger_build(nowhere, nowhere, none, null(), None, null_mut(), out, error));
        let _ = answer(|out, error| banger_cache_prune(store, none, out, error)).map(super::taken);
        let _ = answer(|out, error| banger_store_prune(store, none, null(), out, error)).map(super::taken);
        let _ = answer(|out, error| {
            banger_kernel_import(store, nowhere, none, null(), None, null_mut(), out, error)
        });
        let _ = answer(|out, error| {
            banger_kernel_pull(store, nowhere, none, null(), None, null_mut(), out, error)
        });
        let _ = answer(|out, error| {
            banger_kernel_pack(store, nowhere, nowhere, none, null(), None, null_mut(), out, error)
        });
        let _ = answer(|out, error| {
            banger_image_push(
                store,
                nowhere,
                c"oci:/nowhere/at/all".as_ptr(),
                none,
                null(),
                None,
                null_mut(),
                out,
                error,
            )
        });
        let _ = answer(|out, error| {
            let target = c"oci:/nowhere/at/all".as_ptr();
            banger_image_commit(store, nowhere, nowhere, target, none, null(), None, null_mut(), out, error)
        });
        let _ = answer(|out, error| banger_kernel_check(store, nowhere, null(), none, null(), out, error));
        let _ = answer(|out, error| banger_boot_plan(store, nowhere, null(), none, null(), out, error));
        let options = banger_options_new();
        assert_eq!(
            banger_options_add_string(
                options,
                banger_option::BANGER_OPT_EXEC_ARGV as i32,
                c"x".as_ptr(),
                null_mut()
            ),
            0
        );
        let _ = answer(|out, error| {
            banger_vm_run(store, image, null(), options, null(), None, null_mut(), out, error)
        });
        banger_options_free(options);
        let _ = answer(|out, error| {
            let name = c"new".as_ptr();
            banger_image_build(store, image, name, null(), none, null(), None, null_mut(), out, error)
        });
        let _ = answer(|out, error| banger_rootfs_open(nowhere, 0, none, out, error));
        let disk = Disk::new();
        let (fs, root, any) = (disk.edit(), c"/".as_ptr(), BANGER_STRLEN);
        let _ = answer(|out, error| banger_rootfs_edit_script(fs.0, root, any, none, null(), out, error));
        let _ = answer(|out, error| banger_rootfs_put(fs.0, nowhere, root, any, none, null(), out, error));
        let _ = answer(|out, error| banger_rootfs_disk_usage(fs.0, root, any, none, null(), out, error));
        let _ = answer(|out, error| banger_rootfs_find(fs.0, root, any, none, null(), out, error));
        let _ = answer(|out, error| banger_exec_start(guest, none, null(), out, error));
        let _ =
            answer(|out, error| banger_guest_copy_in_fd(guest, c"/x".as_ptr(), 0, none, null(), out, error));
        let _ = answer(|out: *mut banger_exit, error| {
            banger_guest_run(
                guest,
                none,
                null(),
                null_mut(),
                null_mut(),
                out,
                size_of::<banger_exit>(),
                error,
            )
        });
        banger_guest_free(guest);
        banger_store_free(store);
    }
    USED.take()
}

#[test]
fn options_are_documented_with_the_calls_that_use_them() {
    let (documented, used) = (documented(), used());
    let numbers: Vec<i32> = documented.iter().map(|(number, ..)| *number).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    let header = include_str!("../../../include/banger.h");
    for (number, name, _) in &documented {
        assert!(header.contains(&format!("    {name} = {number},")), "{name}");
    }
    assert_eq!(header.matches("    BANGER_OPT_").count(), documented.len() + 1, "an option has no row");
    for call in [
        "banger_boot_plan",
        "banger_build",
        "banger_cache_prune",
        "banger_exec_start",
        "banger_guest_copy_in_fd",
        "banger_guest_new",
        "banger_guest_run",
        "banger_image_build",
        "banger_image_commit",
        "banger_image_inspect",
        "banger_image_push",
        "banger_kernel_check",
        "banger_kernel_import",
        "banger_kernel_pack",
        "banger_kernel_pull",
        "banger_login",
        "banger_logout",
        "banger_metadata_of_image",
        "banger_pull",
        "banger_pull_to_fd",
        "banger_pull_to_file",
        "banger_rootfs_disk_usage",
        "banger_rootfs_edit_script",
        "banger_rootfs_find",
        "banger_rootfs_open",
        "banger_rootfs_put",
        "banger_store_prune",
        "banger_vm_run",
    ] {
        let now: BTreeSet<String> = used[call].iter().map(|option| format!("{option:?}")).collect();
        let rows = documented.iter().filter(|(_, _, calls)| calls.contains(call));
        let told: BTreeSet<String> = rows.map(|(_, name, _)| name.clone()).collect();
        assert_eq!(now, told, "of {call}");
    }
}
