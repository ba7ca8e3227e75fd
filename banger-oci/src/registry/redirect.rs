//! Headers of an answer that redirect a request or delay a retry.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use url::Url;

use crate::one_line::one_line;
use crate::registry::error::PullError;
use crate::registry::origin::host_of;

/// Number of redirects after which a server counts as sending us in circles.
const MAX_REDIRECTS: u32 = 10;

/// Returns the target of a redirect, if it may be followed.
pub(crate) fn redirect_target(url: &Url, location: Option<&str>, redirects: u32) -> Result<Url, PullError> {
    let refuse = |target: &str, reason: &str| PullError::Redirect {
        host: host_of(url),
        target: one_line(target),
        reason: reason.to_owned(),
    };
    let location = location.ok_or_else(|| refuse("nowhere", "there is no Location header"))?;
    let next = url.join(location).map_err(|_| refuse(location, "that is not a URL"))?;
    // The query of a redirect may hold a signature that gives access; messages leave it out.
    let target = format!("{}://{}{}", next.scheme(), host_of(&next), next.path());
    if redirects > MAX_REDIRECTS {
        return Err(refuse(&target, "too many redirects"));
    }
    match (url.scheme(), next.scheme()) {
        ("https", "http") => Err(refuse(&target, "from https to plain http is not followed")),
        (_, "http" | "https") => Ok(next),
        _ => Err(refuse(&target, "only web addresses are followed")),
    }
}

/// The pause a server asks for, in seconds or up to a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn b38_redirects_keep_to_https() {
        let https = Url::parse("https://r.io/v2/a/blobs/x").unwrap();
        let http = Url::parse("http://127.0.0.1:5000/v2/a").unwrap();
        let cases = [
            (&https, Some("https://cdn.io/x?sig=1"), 1, Some("https://cdn.io/x?sig=1")),
            (&https, Some("/y"), 1, Some("https://r.io/y")),
            (&https, Some("http://cdn.io/x"), 1, None),
            (&https, Some("file:///etc/passwd"), 1, None),
            (&https, None, 1, None),
            (&https, Some("/y"), MAX_REDIRECTS + 1, None),
            (&http, Some("http://cdn.io/x"), 1, Some("http://cdn.io/x")),
            (&http, Some("https://cdn.io/x"), 1, Some("https://cdn.io/x")),
        ];
        for (url, location, redirects, expected) in cases {
            let target = redirect_target(url, location, redirects);
            assert_eq!(target.as_ref().ok().map(Url::as_str), expected, "{location:?}");
            if let Err(error) = target {
                assert!(!error.to_string().contains("sig"), "{error}");
            }
        }
    }

    #[test]
    fn b39_retry_after_in_seconds_and_as_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
