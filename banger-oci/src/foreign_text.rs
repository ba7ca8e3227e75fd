//! Texts that others wrote: what a message shows of them, and what it never shows.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use banger_tree::escape_text;
use serde::Deserialize;

use crate::error::PullError;
use crate::event::PullEvent;

/// Characters of a text of somebody else that a message shows.
const SHOWN_LEN: usize = 200;
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

/// What stands in messages where a server wrote nothing about an error.
pub(crate) const NO_REASON: &str = "the server gave no reason";

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

/// Text of somebody else as one short line without control characters and hidden ones.
pub(crate) fn one_line(text: &str) -> String {
    // What is not shown is not looked at: a text may be as long as a document.
    let printable =
        text.trim_start().chars().take(SHOWN_LEN * 4).map(|c| if c.is_control() { ' ' } else { c });
    let joined = printable.collect::<String>();
    let words = joined.split_whitespace().collect::<Vec<_>>().join(" ");
    escape_text(&words.chars().take(SHOWN_LEN).collect::<String>())
}

/// What a server wrote about an error, in one line: the codes and messages of the distribution
/// specification, or the beginning of the text.
pub(crate) fn error_detail(body: &str) -> String {
    #[derive(Deserialize)]
    struct Errors {
        #[serde(deserialize_with = "crate::json::nullable")]
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default, deserialize_with = "crate::json::nullable")]
        code: String,
        #[serde(default, deserialize_with = "crate::json::nullable")]
        message: String,
    }
    if let Some(title) = web_page_title(body) {
        return format!("the registry answered with a web page{title}");
    }
    let text = match serde_json::from_str::<Errors>(body) {
        Ok(Errors { errors }) => errors
            .iter()
            .map(|entry| format!("{} {}", entry.code, entry.message).trim().to_owned())
            .collect::<Vec<_>>()
            .join("; "),
        Err(_) => body.to_owned(),
    };
    let line = one_line(&text);
    if line.is_empty() { NO_REASON.to_owned() } else { line }
}

/// The title of a web page with a space and quotes before it, or nothing where it has none.
/// `None` where the text is no web page.
pub(crate) fn web_page_title(body: &str) -> Option<String> {
    let start = body.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let head = beginning(start, 4096).to_ascii_lowercase();
    let is_page = ["<!doctype html", "<html", "<head", "<body"].iter().any(|tag| head.starts_with(tag))
        || ((head.starts_with("<!--") || head.starts_with("<?xml")) && head.contains("<html"));
    if !is_page {
        return None;
    }
    let title = head.find("<title").and_then(|tag| {
        let from = tag + head[tag..].find('>')? + 1;
        let to = from + head[from..].find("</title")?;
        Some(one_line(&start[from..to]))
    });
    Some(title.filter(|title| !title.is_empty()).map_or(String::new(), |title| format!(" titled `{title}`")))
}

/// The first `len` bytes of a text, or a little less where they end within a character.
fn beginning(text: &str, len: usize) -> &str {
    let end = (0..=len.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
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

    #[test]
    fn error_bodies_become_one_line() {
        let json = r#"{"errors":[{"code":"DENIED","message":"no\naccess","detail":{}}]}"#;
        assert_eq!(error_detail(json), "DENIED no access");
        assert_eq!(error_detail(r#"{"errors":[{"code":null,"message":"m"}]}"#), "m");
        assert_eq!(error_detail(r#"{"errors":null}"#), NO_REASON);
        assert_eq!(error_detail("no\x1b[31m\n\nbad"), "no [31m bad");
        assert_eq!(error_detail(""), NO_REASON);
    }

    #[test]
    fn web_pages_are_known_by_their_beginning() {
        for (body, title) in [
            ("<!DOCTYPE html>\n<html><head><title> Sign\nin </title>", Some(" titled `Sign in`")),
            ("\u{feff}\r\n<HTML lang=x><body>", Some("")),
            ("<!-- x --><html><title>unfinished", Some("")),
            ("<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", None),
            ("{\"errors\":[]}", None),
            ("", None),
        ] {
            assert_eq!(web_page_title(body).as_deref(), title, "{body}");
        }
        let page = error_detail("<html><title>a\x1b[2J\u{202e}b</title>");
        assert!(page.starts_with("the registry answered with a web page titled `a [2J"), "{page}");
        assert!(!page.contains('\u{202e}'));
    }
}
