//! Times: of images, of records, and of the environment.

use banger_oci::ImageConfig;
use banger_tree::{Advice, Setting};
use jiff::Timestamp;

use crate::argument::ArgumentError;

/// Returns the second of an image's creation, or 0 if it is not given.
pub(crate) fn created_seconds(config: &ImageConfig) -> i64 {
    let created = config.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    created.map_or(0, Timestamp::as_second)
}

/// Returns the time now, RFC 3339 in whole seconds.
pub(crate) fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// Returns a second since 1970 as RFC 3339.
///
/// # Errors
/// It is before the year -9999 or after the year 9999.
pub(crate) fn rfc3339(seconds: i64) -> Result<String, ArgumentError> {
    Timestamp::from_second(seconds).map(|time| time.to_string()).map_err(|_| {
        ArgumentError::new(Setting("created_seconds"), seconds.to_string(), "there is no such time")
            .with_advice(Advice::new("give the seconds since 1970"))
    })
}

/// Returns the value of the environment variable `SOURCE_DATE_EPOCH`, or `None` if it is not set.
///
/// Nothing else in this crate reads the variable, except [`rootfs::timestamp`](crate::rootfs::timestamp): a program that
/// wants it honoured puts the value into its request.
///
/// # Errors
/// It is set to something that is not a number of seconds.
pub fn source_date_epoch() -> Result<Option<i64>, ArgumentError> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let seconds = value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        ArgumentError::new(
            Setting("source_date_epoch"),
            value.to_string_lossy(),
            "not a number of seconds since 1970",
        )
        .with_advice(Advice::new("unset it or correct it"))
    })?;
    Ok(Some(seconds))
}
