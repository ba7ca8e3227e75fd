//! Secrets: what a message never shows of a text that somebody else wrote.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::PullError;
use crate::event::PullEvent;

/// Bytes of a field of an error that a message shows.
const FIELD_LEN: usize = 1000;
/// Secrets shorter than this are not looked for: they would be found in any text.
const MIN_SECRET_LEN: usize = 4;
/// A piece of a token as long as this is taken for a piece of it.
const TOKEN_PIECE_LEN: usize = 8;
/// The same for passwords, which people make of words.
const PASSWORD_PIECE_LEN: usize = 12;
/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// What was sent to prove who asks. A server that repeats it does not get it printed.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<SecretPieces>>);

/// Pieces of the secrets in lowercase, by their length.
type SecretPieces = BTreeMap<usize, HashSet<Vec<u8>>>;

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Adds a token, or anything else that programs make.
    pub(crate) fn add_token(&self, token: &str) {
        self.add(token, TOKEN_PIECE_LEN);
    }

    /// Adds what a user may have chosen.
    pub(crate) fn add_password(&self, password: &str) {
        self.add(password, PASSWORD_PIECE_LEN);
    }

    fn add(&self, secret: &str, piece_len: usize) {
        // The bytes as they are, and as a URL holds them.
        let in_url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let mut pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for form in [secret, &in_url] {
            if form.len() < MIN_SECRET_LEN {
                continue;
            }
            let len = form.len().min(piece_len);
            let lower = form.to_ascii_lowercase().into_bytes();
            pieces.entry(len).or_default().extend(lower.windows(len).map(<[u8]>::to_vec));
        }
    }

    /// The text without the secrets and without long pieces of them.
    pub(crate) fn hide(&self, text: &str) -> String {
        let pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lower = text.to_ascii_lowercase().into_bytes();
        let mut is_secret = vec![false; lower.len()];
        for (len, known) in pieces.iter() {
            for (at, window) in lower.windows(*len).enumerate() {
                if known.contains(window) {
                    is_secret[at..at + len].fill(true);
                }
            }
        }
        let mut shown = String::with_capacity(text.len());
        let mut within = false;
        for (at, c) in text.char_indices() {
            let hidden = is_secret[at..at + c.len_utf8()].contains(&true);
            match (hidden, within) {
                (true, false) => shown.push_str(HIDDEN),
                (true, true) => {}
                (false, _) => shown.push(c),
            }
            within = hidden;
        }
        shown
    }

    /// The error as it may be shown: without secrets and not longer than anybody reads.
    pub(crate) fn hide_in_error(&self, mut error: PullError) -> PullError {
        for text in error.foreign_texts() {
            *text = clip(self.hide(text));
        }
        error
    }

    /// The event as it may be shown.
    pub(crate) fn hide_in_event(&self, mut event: PullEvent) -> PullEvent {
        if let PullEvent::Retry { what, reason, .. } = &mut event {
            *what = clip(self.hide(what));
            *reason = clip(self.hide(reason));
        }
        event
    }
}

/// The beginning of a text that is too long for a message.
fn clip(mut text: String) -> String {
    if text.len() > FIELD_LEN {
        let end = (0..=FIELD_LEN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_whole_and_in_part() {
        let secrets = Secrets::default();
        secrets.add_password("p@ss word!");
        secrets.add_password("abc");
        secrets.add_token("eyJhbGciOiJSUzI1NiJ9.e30.c2ln");
        for (text, shown) in [
            ("you sent p@ss word! to us", "you sent *** to us"),
            ("P@SS WORD!", "***"),
            ("/x?p=p%40ss+word%21&y", "/x?p=***&y"),
            ("Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "Bearer ***"),
            ("cut off: eyJhbGciOiJSU", "cut off: ***"),
            ("the middle GciOiJSUzI1N", "the middle ***"),
            ("ünïcode eyJhbGciOiJSUzI1NiJ9 ünïcode", "ünïcode *** ünïcode"),
            ("abc is in any text", "abc is in any text"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            assert_eq!(secrets.hide(text), shown);
        }
    }

    #[test]
    fn long_texts_are_clipped() {
        let long = "ü".repeat(300_000);
        let error = PullError::Realm { registry: "r".to_owned(), realm: long.clone(), reason: long };
        let text = Secrets::default().hide_in_error(error).to_string();
        assert!(text.len() < 3 * FIELD_LEN, "{}", text.len());
        let available = vec!["x/y".to_owned(); 5000];
        let error = PullError::NoPlatform { reference: "r".into(), wanted: "linux/x".into(), available };
        let text = Secrets::default().hide_in_error(error).to_string();
        assert!(text.ends_with("and 4980 more"), "{text}");
    }
}
