//! The configuration of a new image (image-spec, `config.md`).

use banger_oci::Digest;
use serde_json::{Map, Value, json};

use super::request::CommitRequest;
use crate::store::ImageRecord;

/// The maker of an image in its history.
const CREATED_BY: &str = "banger";
/// Fields of old docker versions that speak of the container that the base was made in.
const OF_CONTAINERS: [&str; 5] = ["container", "container_config", "docker_version", "id", "parent"];

/// What is new in a configuration.
pub(super) struct NewConfig<'a> {
    pub(super) request: &'a CommitRequest,
    /// Time of creation, RFC 3339.
    pub(super) created: &'a str,
    pub(super) diff_id: &'a Digest,
}

impl NewConfig<'_> {
    /// Returns the configuration of the base with one more layer.
    pub(super) fn above(&self, base: Value) -> Vec<u8> {
        let mut config = object(base);
        OF_CONTAINERS.iter().for_each(|field| drop(config.remove(*field)));
        let mut history = list(config.remove("history"));
        let mut rootfs = object(config.remove("rootfs").unwrap_or_default());
        let mut diff_ids = list(rootfs.remove("diff_ids"));
        diff_ids.push(self.diff_id.to_string().into());
        history.push(self.history());
        self.finish(config, diff_ids, history)
    }

    /// Returns a configuration with one layer, which starts containers as the base does.
    pub(super) fn alone(&self, base: Option<Value>, record: &ImageRecord) -> Vec<u8> {
        let base = object(base.unwrap_or_else(|| of_record(record)));
        let kept = ["architecture", "os", "os.version", "os.features", "variant", "config"];
        let config = base.into_iter().filter(|(field, _)| kept.contains(&field.as_str())).collect();
        self.finish(config, vec![self.diff_id.to_string().into()], vec![self.history()])
    }

    fn finish(&self, mut config: Map<String, Value>, diff_ids: Vec<Value>, history: Vec<Value>) -> Vec<u8> {
        config.insert("created".to_owned(), self.created.into());
        config.remove("author");
        if let Some(author) = &self.request.author {
            config.insert("author".to_owned(), author.as_str().into());
        }
        config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
        config.insert("history".to_owned(), history.into());
        Value::Object(config).to_string().into_bytes()
    }

    fn history(&self) -> Value {
        let mut entry = json!({ "created": self.created, "created_by": CREATED_BY });
        for (field, text) in [("author", &self.request.author), ("comment", &self.request.comment)] {
            if let Some(text) = text {
                entry[field] = text.as_str().into();
            }
        }
        entry
    }
}

/// Returns what a record knows of the configuration: neither ports nor volumes.
fn of_record(record: &ImageRecord) -> Value {
    let mut platform = record.platform.split('/');
    let mut next = || platform.next().unwrap_or_default();
    let (os, architecture, variant) = (next(), next(), next());
    let mut config = json!({ "os": os, "architecture": architecture });
    if !variant.is_empty() {
        config["variant"] = variant.into();
    }
    let run = &record.config;
    let mut container = Map::new();
    for (field, words) in [("Entrypoint", &run.entrypoint), ("Cmd", &run.cmd), ("Env", &run.env)] {
        if !words.is_empty() {
            container.insert(field.to_owned(), json!(words));
        }
    }
    for (field, text) in [("User", &run.user), ("WorkingDir", &run.working_dir)] {
        if !text.is_empty() {
            container.insert(field.to_owned(), text.as_str().into());
        }
    }
    if !run.labels.is_empty() {
        container.insert("Labels".to_owned(), json!(run.labels));
    }
    config["config"] = container.into();
    config
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}
