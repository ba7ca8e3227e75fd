//! Numbers as tar writes them: octal text or base-256 in headers, decimal text in pax records.

use banger_tree::Timestamp;

/// Returns the number in a header field; `None` if it does not parse or needs more than 127 bits.
///
/// It is read as GNU tar does it. One NUL (left by a full field in front) and spaces may stand before the
/// octal digits. A space or NUL ends them; the rest is ignored. An empty field is 0. With the top bit of the
/// first byte set, the rest is one big-endian two's complement number (GNU, star).
pub(super) fn header_number(field: &[u8]) -> Option<i128> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => {
            // The top bit is the mark, the one below it the sign.
            let negative = first & 0x40 != 0;
            let mut value: i128 = if negative { -1 } else { 0 };
            for (index, byte) in field.iter().enumerate() {
                let bits = match (index, negative) {
                    (0, false) => byte & 0x7f,
                    _ => *byte,
                };
                value = value.checked_mul(256)?.checked_add(i128::from(bits))?;
            }
            Some(value)
        }
        _ => octal(field).map(i128::from),
    }
}

/// Returns the number that octal text stands for.
pub(super) fn octal(field: &[u8]) -> Option<u64> {
    let field = field.strip_prefix(b"\0").unwrap_or(field);
    let start = field.iter().position(|byte| !is_space(*byte)).unwrap_or(field.len());
    let text = &field[start..];
    let end = text.iter().position(|byte| *byte == 0 || is_space(*byte)).unwrap_or(text.len());
    let digits = &text[..end];
    let mut value = 0_u64;
    for digit in digits {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value = value.checked_mul(8)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Returns the number that decimal digits stand for; no sign, no space.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for digit in text {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// Returns the time of a pax record, `-1.5` being half a second before second -1. Digits beyond
/// nanoseconds round down, towards the past; seconds beyond 64 bits saturate.
pub(super) fn pax_time(text: &[u8]) -> Option<Timestamp> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) || whole.is_empty() {
        return None;
    }
    let whole = whole
        .iter()
        .fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    let nanoseconds = (0..9).fold(0_u32, |value, place| {
        value * 10 + fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'))
    });
    if !negative {
        return Some(Timestamp { seconds: whole, nanoseconds });
    }
    // Digits after the ninth move a negative time one nanosecond further down.
    let cut = fraction.iter().skip(9).any(|digit| *digit != b'0');
    let nanoseconds = nanoseconds + u32::from(cut);
    Some(match nanoseconds {
        0 => Timestamp { seconds: -whole, nanoseconds: 0 },
        _ => Timestamp { seconds: (-whole).saturating_sub(1), nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Returns the text of a time for a pax record: the reverse of [`pax_time`].
pub(super) fn pax_time_text(time: Timestamp) -> String {
    let Timestamp { seconds, nanoseconds } = time;
    if nanoseconds == 0 {
        return seconds.to_string();
    }
    // Seconds are rounded down: half a second before second -1 is second -2 and half a second.
    let (sign, whole, fraction) = match seconds {
        0.. => ("", seconds.unsigned_abs(), nanoseconds),
        _ => ("-", seconds.unsigned_abs() - 1, 1_000_000_000 - nanoseconds),
    };
    let digits = format!("{fraction:09}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields() {
        let cases: [(&[u8], Option<i128>); 22] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777", Some(0o7777_7777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"", Some(0)),
            (b"644\0 \0\0\0", Some(0o644)),
            (b"644\0junk", Some(0o644)),
            (b"644 junk", Some(0o644)),
            (b"\x000644\0x", Some(0o644)),
            (b"\0 644\0\0", Some(0o644)),
            (b"\t 644\n\0", Some(0o644)),
            (b"\0\x00644\0\0", Some(0)),
            (b"644x\0\0\0\0", None),
            (b"0x1f\0\0\0\0", None),
            (b"8\0\0\0\0\0\0\0", None),
            (b"-1\0\0\0\0\0\0", None),
            (b"\x80\0\0\0\0\0\x01\x02", Some(258)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\xff\xff\xff\xff\xff\xff\xff\x00", Some(-256)),
            (b"\x80\xff\xff\xff\xff\xff\xff\xff", Some(0x00ff_ffff_ffff_ffff)),
            (&[0xbf; 24], None),
        ];
        for (field, want) in cases {
            assert_eq!(header_number(field), want, "{field:?}");
        }
    }

    #[test]
    fn pax_times() {
        let at = |seconds, nanoseconds| Some(Timestamp { seconds, nanoseconds });
        let cases = [
            ("0", at(0, 0)),
            ("1350244992.023960108", at(1_350_244_992, 23_960_108)),
            ("1.5", at(1, 500_000_000)),
            ("1.", at(1, 0)),
            ("+1.1", at(1, 100_000_000)),
            ("-1.5", at(-2, 500_000_000)),
            ("-0.000000001", at(-1, 999_999_999)),
            ("-0.0000000001", at(-1, 999_999_999)),
            ("-1.9999999999", at(-2, 0)),
            ("0.9999999999", at(0, 999_999_999)),
            ("-1", at(-1, 0)),
            ("99999999999999999999999", at(i64::MAX, 0)),
            ("-99999999999999999999999", at(-i64::MAX, 0)),
            ("", None),
            (".5", None),
            ("1e3", None),
            ("1.5.2", None),
            ("1.-2", None),
            (" 1", None),
        ];
        for (text, want) in cases {
            assert_eq!(pax_time(text.as_bytes()), want, "{text}");
        }
        for (text, time) in [
            ("0", at(0, 0)),
            ("-1.5", at(-2, 500_000_000)),
            ("-0.000000001", at(-1, 999_999_999)),
            ("1.5", at(1, 500_000_000)),
        ] {
            assert_eq!(time.map(pax_time_text).as_deref(), Some(text));
        }
    }
}
