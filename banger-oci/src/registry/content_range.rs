//! `Content-Range` headers (RFC 9110, section 14.4).

use std::ops::Range;

use reqwest::header::{CONTENT_RANGE, HeaderMap};

use crate::one_line::one_line;

/// The Content-Range header, as it may be shown.
pub(crate) fn content_range(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    one_line(&value.unwrap_or_default())
}

/// Whether a Content-Range header announces the bytes from `offset` to the end.
pub(crate) fn is_rest(header: &str, offset: u64, size: u64) -> bool {
    is_part(header, &(offset..size), size)
}

/// Whether a Content-Range header announces the bytes of `part`.
pub(crate) fn is_part(header: &str, part: &Range<u64>, size: u64) -> bool {
    let Some((range, total)) = header.trim().strip_prefix("bytes ").and_then(|r| r.split_once('/')) else {
        return false;
    };
    let Some((first, last)) = range.split_once('-') else {
        return false;
    };
    first.trim().parse() == Ok(part.start)
        && part.end.checked_sub(1).is_some_and(|end| last.trim().parse() == Ok(end))
        && (total.trim() == "*" || total.trim().parse() == Ok(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b40_content_range_has_to_be_the_rest() {
        for (header, fits) in [
            ("bytes 5-9/10", true),
            ("bytes 5-9/*", true),
            ("bytes 0-9/10", false),
            ("bytes 5-8/10", false),
            ("bytes 5-9/11", false),
            ("bytes 4-9/10", false),
            ("bytes */10", false),
            ("", false),
        ] {
            assert_eq!(is_rest(header, 5, 10), fits, "{header}");
        }
        assert!(is_part("bytes 5-8/10", &(5..9), 10));
        assert!(!is_part("bytes 5-9/10", &(5..9), 10), "more than was asked for");
    }
}
