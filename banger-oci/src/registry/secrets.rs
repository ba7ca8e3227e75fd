//! Credentials that were sent; no message repeats them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::registry::error::PullError;
use crate::registry::event::PullEvent;

/// Bytes of a field of an error that a message shows.
const FIELD_LEN: usize = 1000;
/// Secrets shorter than this are not looked for: they would be found in any text.
const MIN_SECRET_LEN: usize = 4;
/// From this length on, a piece of a token is hidden.
const TOKEN_PIECE_LEN: usize = 8;
/// The same for passwords, which people make of words.
const PASSWORD_PIECE_LEN: usize = 12;
/// Forms of tokens that are kept.
const MAX_TOKENS: usize = 32;
/// The text in the place of a secret.
const HIDDEN: &str = "***";

/// Credentials that were sent. If a server repeats them, they are not printed.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Arc<Mutex<Vec<Secret>>>);

/// One form of a secret.
struct Secret {
    /// In lowercase.
    bytes: Vec<u8>,
    /// From this length on, a piece is hidden.
    piece_len: usize,
    /// Whether a newer secret will replace it.
    renewed: bool,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Adds a token that is renewed from time to time. Of these the newest are kept.
    pub(crate) fn add_token(&self, token: &str) {
        self.add(token, TOKEN_PIECE_LEN, true);
    }

    /// Adds a secret that a program made, for example a token.
    pub(crate) fn add_credential(&self, credential: &str) {
        self.add(credential, TOKEN_PIECE_LEN, false);
    }

    /// Adds a secret that a user may have chosen.
    pub(crate) fn add_password(&self, password: &str) {
        self.add(password, PASSWORD_PIECE_LEN, false);
    }

    fn add(&self, secret: &str, piece_len: usize, renewed: bool) {
        // The bytes as they are, and as a URL holds them.
        let in_url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for form in [secret, &in_url] {
            let bytes = form.to_ascii_lowercase().into_bytes();
            if form.len() < MIN_SECRET_LEN || known.iter().any(|secret| secret.bytes == bytes) {
                continue;
            }
            if renewed && known.iter().filter(|secret| secret.renewed).count() >= MAX_TOKENS {
                let oldest = known.iter().position(|secret| secret.renewed).expect("there are some");
                known.remove(oldest);
            }
            known.push(Secret { piece_len: form.len().min(piece_len), bytes, renewed });
        }
    }

    /// The text without the secrets and without long pieces of them.
    pub(crate) fn hide(&self, text: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pieces: BTreeMap<usize, HashSet<&[u8]>> = BTreeMap::new();
        for Secret { bytes, piece_len, .. } in known.iter() {
            pieces.entry(*piece_len).or_default().extend(bytes.windows(*piece_len));
        }
        let lower = text.to_ascii_lowercase().into_bytes();
        let mut is_secret = vec![false; lower.len()];
        for (len, known) in &pieces {
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
        self.hide_in_texts(error.foreign_texts());
        error
    }

    /// Changes the texts of an error to what may be shown.
    pub(crate) fn hide_in_texts(&self, texts: Vec<&mut String>) {
        for text in texts {
            *text = clip(self.hide(text));
        }
    }

    /// The event as it may be shown.
    pub(crate) fn hide_in_event(&self, mut event: PullEvent) -> PullEvent {
        if let PullEvent::Retry { what, reason, .. } = &mut event {
            *what = clip(self.hide(what));
            *reason = clip(self.hide(reason));
        }
        if let PullEvent::EndpointSkipped { reason, .. } = &mut event {
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
    fn tokens_are_forgotten_and_credentials_are_not() {
        let secrets = Secrets::default();
        secrets.add_credential("bGV0IG1lIGlu");
        for number in 0..1000 {
            secrets.add_token(&format!("token-{number:08}"));
        }
        assert_eq!(secrets.hide("bGV0IG1lIGlu token-00000999"), "*** ***");
        assert_eq!(secrets.0.lock().unwrap().len(), 1 + MAX_TOKENS);
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
