//! A check of JSON against the definitions of a Swagger 2.0 document: types, required and known fields, bounds.

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

#[derive(Debug)]
pub(crate) struct Schema(Yaml);

impl Schema {
    pub(crate) fn parse(text: &str) -> Self {
        Self(YamlLoader::load_from_str(text).expect("the schema is YAML").remove(0))
    }

    /// Checks `value` against the definition `name`; the error tells what differs.
    pub(crate) fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let definition = &self.0["definitions"][name];
        assert!(!definition.is_badvalue(), "the schema has no {name}");
        self.check_type(definition, value).map_err(|reason| format!("{name}: {reason}"))
    }

    fn check_type(&self, schema: &Yaml, value: &Value) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.check(reference.rsplit('/').next().expect("a name"), value);
        }
        let is_kind = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            other => return Err(format!("a type that this check does not know: {other:?}")),
        };
        if !is_kind {
            return Err(format!("{value} is not of type {:?}", schema["type"]));
        }
        let choices = schema["enum"].as_vec();
        if choices.is_some_and(|all| !all.iter().any(|one| one.as_str() == value.as_str())) {
            return Err(format!("{value} is not one of {choices:?}"));
        }
        let number = value.as_i64().unwrap_or_default();
        let (least, most) = (schema["minimum"].as_i64(), schema["maximum"].as_i64());
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            return Err(format!("{value} is not from {least:?} to {most:?}"));
        }
        for item in value.as_array().into_iter().flatten() {
            self.check_type(&schema["items"], item)?;
        }
        let Some(fields) = value.as_object() else { return Ok(()) };
        for required in schema["required"].as_vec().into_iter().flatten() {
            let name = required.as_str().expect("a name");
            if !fields.contains_key(name) {
                return Err(format!("{name} is missing"));
            }
        }
        fields.iter().try_for_each(|(name, field)| match &schema["properties"][name.as_str()] {
            Yaml::BadValue => Err(format!("{name} is unknown")),
            property => self.check_type(property, field).map_err(|reason| format!("{name}: {reason}")),
        })
    }
}
