//! Images from open files that the caller brings.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::ptr::{null, null_mut};

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder};

use super::{CallError, Options, answer};
use crate::image::*;
use crate::options::banger_option::*;
use crate::pull::*;
use crate::store::*;

#[test]
fn an_image_comes_from_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let place = CString::new(dir.path().to_str().unwrap()).unwrap();
    let store = answer(|out, error| unsafe { banger_store_open(place.as_ptr(), place.as_ptr(), out, error) });
    let store = store.unwrap();
    let image = ImageBuilder::new().layer(LayerBuilder::new().file("hello", "world").finish());
    let layout = LayoutBuilder::of(&image);
    layout.write(&dir.path().join("layout"));
    std::fs::write(dir.path().join("layout.tar"), layout.archive()).unwrap();
    let pull = |reference: &str, options: Options| -> Result<String, CallError> {
        let reference = CString::new(reference).unwrap();
        let options = options.flag(BANGER_OPT_INJECT, false).flag(BANGER_OPT_FORCE, true);
        let pulled = answer(|out, error| unsafe {
            banger_pull(store, reference.as_ptr(), options.0, null(), None, null_mut(), out, error)
        })?;
        unsafe {
            let digest = std::ffi::CStr::from_ptr(banger_image_digest(pulled)).to_str().unwrap().to_owned();
            banger_image_free(pulled);
            Ok(digest)
        }
    };
    let digest = pull(&format!("oci:{}", dir.path().join("layout").display()), Options::new()).unwrap();
    let archive = File::open(dir.path().join("layout.tar")).unwrap();
    let fd = u64::try_from(archive.as_raw_fd()).unwrap();
    let input = || Options::new().number(BANGER_OPT_INPUT_FD, fd);
    assert_eq!(pull("oci-archive:-", input()), Ok(digest.clone()));
    assert_eq!(pull("oci-archive:-:latest", input()), Ok(digest.clone()));
    let pinned = format!("registry.invalid/app@{digest}");
    let blobs: Vec<(String, File)> = std::fs::read_dir(dir.path().join("layout/blobs/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), File::open(entry.path()).unwrap()))
        .collect();
    let texts: Vec<String> =
        blobs.iter().map(|(hex, file)| format!("sha256:{hex}={}", file.as_raw_fd())).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert_eq!(pull(&pinned, Options::new().list(BANGER_OPT_BLOB_FD, &texts)), Ok(digest.clone()));
    let error = pull(&pinned, Options::new().list(BANGER_OPT_BLOB_FD, &texts[1..])).unwrap_err();
    assert_eq!(error.code, 1163, "{}", error.message);
    for (options, code) in [
        (Options::new(), 1160),
        (Options::new().number(BANGER_OPT_INPUT_FD, 1 << 20), 511),
        (Options::new().number(BANGER_OPT_INPUT_FD, 1 << 40), 511),
        (Options::new().list(BANGER_OPT_BLOB_FD, &["sha256:00=0"]), 511),
        (Options::new().list(BANGER_OPT_BLOB_FD, &[&format!("{digest}=-1")]), 511),
        (Options::new().list(BANGER_OPT_BLOB_FD, &[&digest]), 511),
    ] {
        let error = pull("oci-archive:-", options).unwrap_err();
        assert_eq!(error.code, code, "{}", error.message);
    }
    unsafe { banger_store_free(store) };
}
