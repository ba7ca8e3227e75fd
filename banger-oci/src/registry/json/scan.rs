//! One pass over the text of a document, before it is parsed.

use super::error::JsonError;

/// How deep values may be nested, as in Go's `encoding/json`.
const MAX_DEPTH: u32 = 10_000;

/// One pass over a document that does not judge its grammar.
#[derive(Default)]
pub(super) struct TextScan {
    pub(super) values: u64,
    /// Returns a copy with replaced halves of surrogate pairs, if there are any.
    pub(super) mended: Option<Vec<u8>>,
}

impl TextScan {
    pub(super) fn run(&mut self, bytes: &[u8]) -> Result<(), JsonError> {
        let (mut at, mut depth) = (0, 0_u32);
        self.values = 1;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => at = self.pass_string(bytes, at + 1),
                b',' => self.values += 1,
                b'[' | b'{' => {
                    self.values += 1;
                    depth += 1;
                    if depth > MAX_DEPTH {
                        let reason = format!("its values are nested more than {MAX_DEPTH} deep");
                        return Err(JsonError::Malformed(reason));
                    }
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
        }
        Ok(())
    }

    /// Returns the position of the closing quote of the string that starts at `at`.
    fn pass_string(&mut self, bytes: &[u8], mut at: usize) -> usize {
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => return at,
                b'\\' => match surrogate(bytes, at) {
                    None => at += 2,
                    Some(Half::High) if matches!(surrogate(bytes, at + 6), Some(Half::Low)) => at += 12,
                    Some(_) => {
                        let mended = self.mended.get_or_insert_with(|| bytes.to_vec());
                        mended[at + 2..at + 6].copy_from_slice(b"fffd");
                        at += 6;
                    }
                },
                _ => at += 1,
            }
        }
        at
    }
}

enum Half {
    High,
    Low,
}

/// Returns the half of a surrogate pair that the escape at `at` encodes, if it does.
fn surrogate(bytes: &[u8], at: usize) -> Option<Half> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    match (digits[0], digits[1].to_ascii_lowercase()) {
        _ if !digits.iter().all(u8::is_ascii_hexdigit) => None,
        (b'd' | b'D', b'8' | b'9' | b'a' | b'b') => Some(Half::High),
        (b'd' | b'D', b'c'..=b'f') => Some(Half::Low),
        _ => None,
    }
}
