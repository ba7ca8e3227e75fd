//! Reading the options of one call.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use crate::error::Fault;
use crate::options::{OptionValue, banger_option, banger_options};

#[cfg(test)]
thread_local! {
    /// The options that each call of this thread has asked for.
    pub(crate) static USED: RefCell<std::collections::BTreeMap<String, BTreeSet<banger_option>>> = RefCell::default();
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

    /// Returns the text under `key`, parsed by a type whose errors name no option.
    pub(crate) fn parsed_text<T: FromStr<Err: Display>>(
        &self,
        key: banger_option,
    ) -> Result<Option<T>, Fault> {
        let failed = |text: &str, reason| Fault::argument(format!("{key:?} cannot be {text:?}: {reason}"));
        self.text(key).map(|text| text.parse().map_err(|error| failed(text, error))).transpose()
    }

    /// Returns the texts under `key`, parsed.
    pub(crate) fn parsed_list<T: FromStr<Err: Display>>(&self, key: banger_option) -> Result<Vec<T>, Fault> {
        let failed = |text: &str, reason| Fault::argument(format!("{key:?} cannot be {text:?}: {reason}"));
        self.list(key).iter().map(|text| text.parse().map_err(|error| failed(text, error))).collect()
    }

    /// Ends the reading: an option that is set and was not asked for is an error.
    pub(crate) fn finish(self, call: &str) -> Result<(), Fault> {
        let used = self.used.into_inner();
        #[cfg(test)]
        USED.with_borrow_mut(|all| all.insert(call.to_owned(), used.clone()));
        let unused = self.options.and_then(|options| options.values.keys().find(|key| !used.contains(key)));
        match unused {
            Some(key) => Err(Fault::option(format!("{call} does not use {key:?}"))),
            None => Ok(()),
        }
    }
}
