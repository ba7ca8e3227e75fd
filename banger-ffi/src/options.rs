//! Options of all calls: values under numbered keys.

use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};

use crate::call::{borrowed_mut, guarded_unit};
use crate::error::{Fault, banger_error};
use crate::option_kinds::{OPTIONS, ValueKind};
use crate::string::{bytes, text};

pub use crate::option_keys::banger_option;

#[derive(Debug)]
pub(crate) enum OptionValue {
    Text(String),
    Number(u64),
    Flag(bool),
    Bytes(Vec<u8>),
    List(Vec<String>),
}

/// Options of a call. One thread at a time may use it; calls only read it. Free it with banger_options_free.
#[derive(Debug, Default)]
pub struct banger_options {
    pub(crate) values: BTreeMap<banger_option, OptionValue>,
}

impl banger_options {
    /// Returns the option of the number `key`, which takes a value of `given`.
    fn key(key: c_int, given: ValueKind) -> Result<banger_option, Fault> {
        let found = OPTIONS.iter().find(|(option, _)| *option as c_int == key);
        let (option, takes) =
            found.ok_or_else(|| Fault::option(format!("this version has no option {key}")))?;
        if *takes == given {
            Ok(*option)
        } else {
            Err(Fault::argument(format!("{option:?} takes {}, not {}", takes.name(), given.name())))
        }
    }
}

/// Returns options without values. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn banger_options_new() -> *mut banger_options {
    Box::into_raw(Box::default())
}

/// Frees options. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_options_free(options: *mut banger_options) {
    // SAFETY: the caller got the pointer of this library and frees it once.
    unsafe { crate::object::free(options) };
}

/// Sets the option `key`, which takes values of `kind`, to what `value` returns.
///
/// # Safety
/// The pointers are as the header says.
unsafe fn set(
    options: *mut banger_options,
    key: c_int,
    kind: ValueKind,
    error: *mut *mut banger_error,
    value: impl FnOnce() -> Result<OptionValue, Fault>,
) -> c_int {
    // SAFETY: as the function's own condition.
    unsafe {
        guarded_unit(error, || {
            let options = borrowed_mut(options, "options")?;
            let key = banger_options::key(key, kind)?;
            options.values.insert(key, value()?);
            Ok(())
        })
    }
}

/// Sets an option that takes a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_options_set_string(
    options: *mut banger_options,
    key: c_int,
    value: *const c_char,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        set(options, key, ValueKind::Text, error, || Ok(OptionValue::Text(text(value, "value")?.to_owned())))
    }
}

/// Sets an option that takes a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_options_set_u64(
    options: *mut banger_options,
    key: c_int,
    value: u64,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe { set(options, key, ValueKind::Number, error, || Ok(OptionValue::Number(value))) }
}

/// Sets an option that takes a boolean.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_options_set_bool(
    options: *mut banger_options,
    key: c_int,
    value: bool,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe { set(options, key, ValueKind::Flag, error, || Ok(OptionValue::Flag(value))) }
}

/// Sets an option that takes bytes. The bytes are copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_options_set_bytes(
    options: *mut banger_options,
    key: c_int,
    data: *const u8,
    length: usize,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        set(options, key, ValueKind::Bytes, error, || {
            Ok(OptionValue::Bytes(bytes(data, length, "data")?.to_owned()))
        })
    }
}

/// Adds a text to an option that takes a list.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn banger_options_add_string(
    options: *mut banger_options,
    key: c_int,
    value: *const c_char,
    error: *mut *mut banger_error,
) -> c_int {
    // SAFETY: the caller's pointers are as the header says.
    unsafe {
        guarded_unit(error, || {
            let options = borrowed_mut(options, "options")?;
            let key = banger_options::key(key, ValueKind::List)?;
            let value = text(value, "value")?.to_owned();
            match options.values.entry(key).or_insert_with(|| OptionValue::List(Vec::new())) {
                OptionValue::List(list) => list.push(value),
                other => *other = OptionValue::List(vec![value]),
            }
            Ok(())
        })
    }
}
