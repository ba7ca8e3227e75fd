//! What a file system takes from the image it is made of, so that equal images make equal bytes.

use banger_oci::{Digest, ImageConfig};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// Returns 16 bytes that depend on the image's digest and on what they are for alone, in the form
/// of a custom UUID (RFC 9562, version 8).
pub(crate) fn uuid_of(digest: &Digest, purpose: &str) -> [u8; 16] {
    let hash = Sha256::new()
        .chain_update("banger/")
        .chain_update(purpose)
        .chain_update([0])
        .chain_update(digest.to_string());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&hash.finalize()[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// Returns the second an image was created, or 0 where it does not say.
pub(crate) fn created_seconds(config: &ImageConfig) -> i64 {
    let created = config.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    created.map_or(0, Timestamp::as_second)
}

/// Returns the value of `SOURCE_DATE_EPOCH`, or `None` where it is not set.
///
/// # Errors
/// It is set to something that is not a number of seconds.
pub fn source_date_epoch() -> Result<Option<i64>, Error> {
    let Some(value) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let seconds = value.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| Error::Option {
        option: "SOURCE_DATE_EPOCH",
        value: value.to_string_lossy().into_owned(),
        reason: "not a number of seconds since 1970; unset it or correct it".to_owned(),
    })?;
    Ok(Some(seconds))
}

/// Returns the time now, RFC 3339 in whole seconds.
pub(crate) fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_differ_by_image_and_purpose_only() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        assert_eq!(uuid_of(&digest("a"), "uuid"), uuid_of(&digest("a"), "uuid"));
        assert_ne!(uuid_of(&digest("a"), "uuid"), uuid_of(&digest("a"), "hash-seed"));
        assert_ne!(uuid_of(&digest("a"), "uuid"), uuid_of(&digest("b"), "uuid"));
        let uuid = uuid_of(&digest("a"), "uuid");
        assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (8, 2));
    }
}
