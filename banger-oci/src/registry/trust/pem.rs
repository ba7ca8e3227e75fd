//! PEM texts (RFC 7468) with one key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// Returns the label of the only text in a file.
pub(super) fn only_label(pem: &[u8]) -> Result<String, &'static str> {
    let text = String::from_utf8_lossy(pem);
    let mut labels = text.match_indices(BEGIN).map(|(at, mark)| {
        let rest = &text[at + mark.len()..];
        rest.split("-----").next().unwrap_or_default()
    });
    match (labels.next(), labels.next()) {
        (None, _) => Err("it has no PEM text"),
        (_, Some(_)) => Err("it has more than one PEM text; give one file for each key"),
        (Some(label), None) => Ok(label.to_owned()),
    }
}

/// Returns the bytes of the only text in a file, which has this label.
pub(super) fn decode_only(pem: &[u8], label: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once(&format!("{BEGIN}{label}-----"))?;
    let (body, _) = rest.split_once(&format!("{END}{label}-----"))?;
    STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_decoded_by_its_label() {
        let pem = b"# a comment\n-----BEGIN ODD KEY-----\r\nAQI\n DBA==\n-----END ODD KEY-----\n";
        assert_eq!(only_label(pem).as_deref(), Ok("ODD KEY"));
        assert_eq!(decode_only(pem, "ODD KEY"), Some(vec![1, 2, 3, 4]));
        assert_eq!(decode_only(pem, "KEY"), None);
        assert_eq!(decode_only(b"-----BEGIN KEY-----\nAQ=\n-----END KEY-----", "KEY"), None);
        assert_eq!(decode_only(b"-----BEGIN KEY-----\nAQ==\n", "KEY"), None);
        assert!(only_label(b"").is_err());
        assert!(only_label(&[&pem[..], pem].concat()).is_err());
    }
}
