//! Options of all calls: values under numbered keys.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_char, c_int};
use std::fmt::Display;
use std::str::FromStr;

use crate::call::{borrowed_mut, guarded_unit};
use crate::error::{Fault, banger_error};
use crate::string::{bytes, text};

use banger_option::*;

/// The options. The number of a key never changes. A call that does not use an option that is set fails with
/// error 512; docs/ffi.md lists which call uses which.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum banger_option {
    /// Text: name of the managed image. Default: made of the reference.
    BANGER_OPT_NAME = 1,
    /// Text: platform of the image, "linux/arm64". Default: Linux on the host's processor.
    BANGER_OPT_PLATFORM = 2,
    /// Number: size of the file system in bytes.
    BANGER_OPT_SIZE_BYTES = 3,
    /// Makes the type 32 bits wide; not an option.
    BANGER_OPT_FORCE_32BIT = 0x7fff_ffff,
}

/// The type of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ValueKind {
    Text,
    Number,
    Flag,
    Bytes,
    List,
}

impl ValueKind {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Flag => "a boolean",
            Self::Bytes => "bytes",
            Self::List => "a list of texts",
        }
    }
}

const OPTIONS: &[(banger_option, ValueKind)] = &[
    (BANGER_OPT_NAME, ValueKind::Text),
    (BANGER_OPT_PLATFORM, ValueKind::Text),
    (BANGER_OPT_SIZE_BYTES, ValueKind::Number),
];

#[derive(Debug)]
enum OptionValue {
    Text(String),
    Number(u64),
    Flag(bool),
    Bytes(Vec<u8>),
    List(Vec<String>),
}

/// Options of a call. One thread at a time may use it; calls only read it. Free it with banger_options_free.
#[derive(Debug, Default)]
pub struct banger_options {
    values: BTreeMap<banger_option, OptionValue>,
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
    unsafe { crate::call::free(options) };
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
        guarded_unit(error, || {
            let options = borrowed_mut(options, "options")?;
            let key = banger_options::key(key, ValueKind::Text)?;
            options.values.insert(key, OptionValue::Text(text(value, "value")?.to_owned()));
            Ok(())
        })
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
    unsafe {
        guarded_unit(error, || {
            let options = borrowed_mut(options, "options")?;
            let key = banger_options::key(key, ValueKind::Number)?;
            options.values.insert(key, OptionValue::Number(value));
            Ok(())
        })
    }
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
    unsafe {
        guarded_unit(error, || {
            let options = borrowed_mut(options, "options")?;
            let key = banger_options::key(key, ValueKind::Flag)?;
            options.values.insert(key, OptionValue::Flag(value));
            Ok(())
        })
    }
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
        guarded_unit(error, || {
            let options = borrowed_mut(options, "options")?;
            let key = banger_options::key(key, ValueKind::Bytes)?;
            options.values.insert(key, OptionValue::Bytes(bytes(data, length, "data")?.to_owned()));
            Ok(())
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

/// Reads the options of one call, and finds those that the call does not use.
#[derive(Debug)]
pub(crate) struct OptionReader<'a> {
    options: Option<&'a banger_options>,
    used: RefCell<BTreeSet<banger_option>>,
}

impl<'a> OptionReader<'a> {
    /// Reads `options`; NULL has none.
    ///
    /// # Safety
    /// `options` is NULL or alive, and nobody changes it during the call.
    pub(crate) unsafe fn of(options: *const banger_options) -> Self {
        // SAFETY: as the function's own condition.
        Self { options: unsafe { options.as_ref() }, used: RefCell::default() }
    }

    fn value(&self, key: banger_option) -> Option<&'a OptionValue> {
        self.used.borrow_mut().insert(key);
        self.options?.values.get(&key)
    }

    /// Returns the text under `key`.
    pub(crate) fn text(&self, key: banger_option) -> Option<&'a str> {
        match self.value(key)? {
            OptionValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the text under `key`, parsed.
    pub(crate) fn parsed<T: FromStr>(&self, key: banger_option) -> Result<Option<T>, Fault>
    where
        Fault: From<T::Err>,
    {
        Ok(self.text(key).map(str::parse).transpose()?)
    }

    /// Returns the number under `key`, which has to fit the type.
    pub(crate) fn number<T: TryFrom<u64>>(&self, key: banger_option) -> Result<Option<T>, Fault>
    where
        T::Error: Display,
    {
        let Some(OptionValue::Number(number)) = self.value(key) else { return Ok(None) };
        let failed = |reason| Fault::argument(format!("{key:?} cannot be {number}: {reason}"));
        T::try_from(*number).map(Some).map_err(failed)
    }

    /// Returns the boolean under `key`.
    pub(crate) fn flag(&self, key: banger_option) -> Option<bool> {
        match self.value(key)? {
            OptionValue::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// Returns the bytes under `key`.
    pub(crate) fn bytes(&self, key: banger_option) -> Option<&'a [u8]> {
        match self.value(key)? {
            OptionValue::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the texts under `key`.
    pub(crate) fn list(&self, key: banger_option) -> &'a [String] {
        match self.value(key) {
            Some(OptionValue::List(list)) => list,
            _ => &[],
        }
    }

    /// Ends the reading: an option that is set and was not asked for is an error.
    pub(crate) fn finish(self, call: &str) -> Result<(), Fault> {
        let used = self.used.into_inner();
        let unused = self.options.and_then(|options| options.values.keys().find(|key| !used.contains(key)));
        match unused {
            Some(key) => Err(Fault::option(format!("{call} does not use {key:?}"))),
            None => Ok(()),
        }
    }
}
