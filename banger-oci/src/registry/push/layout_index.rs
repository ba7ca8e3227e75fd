//! The `index.json` of a layout with one more artifact (image-spec, "image-layout.md").

use banger_tree::Budget;
use serde_json::{Value, json};

use crate::reference::Selector;
use crate::registry::error::PullError;
use crate::registry::manifest::{Descriptor, ImageIndex, OCI_INDEX};
use crate::registry::source::REF_NAME;

/// The content of the file `oci-layout`.
pub(super) const OCI_LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The tag of an artifact that gets no other name.
const DEFAULT_TAG: &str = "latest";

/// Returns the name of an artifact that is pushed to `selector`. `None` if it is found by its digest only.
pub(super) fn name_of(selector: &Selector) -> Option<&str> {
    match selector {
        Selector::Only => Some(DEFAULT_TAG),
        Selector::Name(name) | Selector::Pinned { name, .. } => Some(name),
        Selector::Digest(_) => None,
    }
}

/// Returns the index with `entry` under `name`, in the place of the entry that had the name. All other entries stay
/// as they are.
pub(super) fn with_entry(
    existing: Option<&[u8]>,
    mut entry: Descriptor,
    name: Option<&str>,
    what: &str,
    budget: &Budget,
) -> Result<Vec<u8>, PullError> {
    let mut index = match existing {
        None => json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }),
        Some(bytes) => {
            // What a pull refuses is not written again.
            ImageIndex::parse_within(bytes, budget).map_err(PullError::document(what))?;
            serde_json::from_slice(bytes)
                .map_err(|error| PullError::Malformed { what: what.to_owned(), reason: error.to_string() })?
        }
    };
    let Some(entries) = index.get_mut("manifests").and_then(Value::as_array_mut) else {
        let reason = "it has no list of manifests".to_owned();
        return Err(PullError::Malformed { what: what.to_owned(), reason });
    };
    let digest = entry.digest.to_string();
    let is_there = |found: &Value| found["digest"] == *digest;
    match name {
        Some(name) => {
            entries.retain(|found| found["annotations"][REF_NAME] != *name);
            entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        }
        None if entries.iter().any(is_there) => return Ok(to_bytes(&index)),
        None => {}
    }
    entries.push(serde_json::to_value(&entry).expect("keys are texts, and nothing fails to serialize"));
    Ok(to_bytes(&index))
}

fn to_bytes(index: &Value) -> Vec<u8> {
    serde_json::to_vec(index).expect("keys are texts, and nothing fails to serialize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn entry(content: &str) -> Descriptor {
        Descriptor::new("application/x".to_owned(), Digest::of(content.as_bytes()), 5)
    }

    fn add(existing: Option<&[u8]>, content: &str, name: Option<&str>) -> Vec<u8> {
        with_entry(existing, entry(content), name, "index.json", &Budget::default()).unwrap()
    }

    fn names(index: &[u8]) -> Vec<(String, String)> {
        let index: Value = serde_json::from_slice(index).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let entries = index["manifests"].as_array().unwrap();
        entries.iter().map(|one| (text(&one["annotations"][REF_NAME]), text(&one["digest"]))).collect()
    }

    #[test]
    fn a_tag_is_replaced_and_everything_else_stays() {
        let digest = |content: &str| Digest::of(content.as_bytes()).to_string();
        let row = |name: &str, content: &str| (name.to_owned(), digest(content));
        let first = add(None, "a", Some("1"));
        let second = add(Some(&first), "b", Some("2"));
        assert_eq!(names(&second), [row("1", "a"), row("2", "b")]);
        let third = add(Some(&second), "c", Some("1"));
        assert_eq!(names(&third), [row("2", "b"), row("1", "c")]);
        assert_eq!(names(&add(Some(&third), "b", None)), names(&third), "it is there under a name");
        let bare = add(Some(&third), "d", None);
        assert_eq!(names(&bare), [row("2", "b"), row("1", "c"), row("-", "d")]);
        let foreign =
            br#"{"schemaVersion":2,"x":{"y":18446744073709551615},"manifests":[{"z":[],"annotations":null}]}"#;
        let kept: Value = serde_json::from_slice(&add(Some(foreign), "a", Some("1"))).unwrap();
        assert_eq!((&kept["x"]["y"], &kept["manifests"][0]["z"]), (&json!(u64::MAX), &json!([])));
        for bad in ["", "[]", "{}", r#"{"manifests":{}}"#, r#"{"manifests":[],"manifests":[]}"#] {
            let budget = Budget::default();
            let outcome = with_entry(Some(bad.as_bytes()), entry("a"), None, "index.json", &budget);
            assert!(matches!(outcome, Err(PullError::Malformed { .. })), "{bad}");
        }
    }
}
