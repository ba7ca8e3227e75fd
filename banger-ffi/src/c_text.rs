//! Text for C.

use std::ffi::CString;

/// Returns the text for C. Messages have no NUL; one that has is cut there.
pub(crate) fn c_text(text: impl Into<Vec<u8>>) -> CString {
    let mut bytes = text.into();
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    CString::new(bytes).expect("it was cut at the first NUL")
}
