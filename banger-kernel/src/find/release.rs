//! Releases of kernels, such as `6.1.0-50-cloud-amd64`, and their order.

use std::cmp::Ordering;

/// Longest release: the kernel has 64 bytes for it.
const RELEASE_MAX: usize = 64;

/// Returns whether `text` can be a release: one file name of plain characters that starts with a digit or
/// letter.
pub(crate) fn is_release(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_+~".contains(c);
    text.len() <= RELEASE_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(is_plain)
}

/// Compares two releases: numbers by their value, a release candidate before its release.
pub(crate) fn compare_releases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (parts(a), parts(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (a, b) => {
                let order = weight(a).cmp(&weight(b));
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

/// Returns the numbers and words of a release.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words
        .flat_map(|word| word.as_bytes().chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()))
        .map(|part| str::from_utf8(part).expect("the text is ASCII at each cut"))
}

/// Orders the parts: `rc` before the end, the end before words, words before numbers.
fn weight(part: Option<&str>) -> (u8, usize, &str) {
    match part {
        Some("rc") => (0, 0, ""),
        None => (1, 0, ""),
        Some(part) if part.starts_with(|c: char| c.is_ascii_digit()) => {
            let digits = part.trim_start_matches('0');
            (3, digits.len(), digits)
        }
        Some(word) => (2, 0, word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_releases_are_greater() {
        let in_order = [
            "4.19.0-9-amd64",
            "4.19.0-27-amd64",
            "5.10.0-0.deb10.1-amd64",
            "6.1.0-9-cloud-amd64",
            "6.1.0-50-cloud-amd64",
            "6.6.9-0-virt",
            "6.6.31-0-virt",
            "6.10.0-rc1",
            "6.10.0-rc12",
            "6.10.0",
            "6.10.0-200.fc40.x86_64",
            "6.10.1",
            "10.0.0",
        ];
        for (index, a) in in_order.iter().enumerate() {
            for (other, b) in in_order.iter().enumerate() {
                assert_eq!(compare_releases(a, b), index.cmp(&other), "{a} and {b}");
            }
        }
        assert_eq!(compare_releases("6.01", "6.1"), Ordering::Equal);
    }

    #[test]
    fn a_release_is_a_file_name() {
        for good in ["6.1.0-50-cloud-amd64", "6.9.7-200.fc40.x86_64", "6.8.0+", "6.1.0_x"] {
            assert!(is_release(good), "{good}");
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b", "a\n", "é", &"6".repeat(65)] {
            assert!(!is_release(bad), "{bad:?}");
        }
    }
}
