//! Becoming another program.

use std::ffi::{CString, OsString};
use std::iter::once;
use std::os::unix::ffi::OsStringExt;
use std::ptr;

use rustix::io::Errno;

use super::checked;

/// Replaces this process by a program with this process's variables; returns only if that fails. The command of
/// the standard library runs a file that is not a program as a script of `/bin/sh`; the kernel does not.
pub(crate) fn exec(path: &str, arguments: impl Iterator<Item = OsString>) -> Errno {
    let variables = std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    });
    let (Ok(arguments), Ok(variables)) = (texts(once(path.into()).chain(arguments)), texts(variables)) else {
        return Errno::INVAL;
    };
    let Some(path) = arguments.first() else {
        return Errno::INVAL;
    };
    let (arguments_list, variables) = (pointers(&arguments), pointers(&variables));
    // SAFETY: both lists end with a null pointer, and their other pointers are those of texts with a zero at
    // the end that live until the call returns; so does the path. The call reads them only.
    let returned = unsafe { libc::execve(path.as_ptr(), arguments_list.as_ptr(), variables.as_ptr()) };
    checked(returned).err().unwrap_or(Errno::INVAL)
}

fn texts(words: impl Iterator<Item = OsString>) -> Result<Vec<CString>, std::ffi::NulError> {
    words.map(|word| CString::new(word.into_vec())).collect()
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain(once(ptr::null())).collect()
}
