//! Texts that servers wrote, as a message shows them.

use serde::Deserialize;

use crate::registry::json::nullable;

use crate::one_line::one_line;

/// The text in messages if a server wrote nothing about an error.
pub(crate) const NO_REASON: &str = "the server gave no reason";

/// Returns the server's text about an error in one line: the codes and messages of the distribution
/// specification, or the beginning of the text.
pub(crate) fn error_detail(body: &str) -> String {
    #[derive(Deserialize)]
    struct Errors {
        #[serde(deserialize_with = "nullable")]
        errors: Vec<ServerError>,
    }
    #[derive(Deserialize)]
    struct ServerError {
        #[serde(default, deserialize_with = "nullable")]
        code: String,
        #[serde(default, deserialize_with = "nullable")]
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

/// Returns the title of a web page with a space and quotes, or an empty text without a title. `None` if the
/// text is not a web page.
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

/// Returns the first `len` bytes of a text, or a little less if they end within a character.
fn beginning(text: &str, len: usize) -> &str {
    let end = (0..=len.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

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
