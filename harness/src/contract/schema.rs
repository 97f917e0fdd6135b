//! The JSON Schemas of the files that people write, for editors and for `streamspec schema`.

use serde_json::{Value, json};

use super::{ClientTarget, Profile, Target};
use crate::scenario::Scenario;

/// What there is a schema of.
pub const SCHEMAS: &[&str] = &["profile", "scenario", "target", "client-target"];

/// The JSON Schema of the `profile`, `scenario`, `target` or `client-target` file; `None` for any other word.
pub fn schema(what: &str) -> Option<Value> {
    let (schema, title) = match what {
        "profile" => (schemars::schema_for!(Profile), "streamspec profile"),
        "scenario" => (schemars::schema_for!(Scenario), "streamspec scenario"),
        "client-target" => (schemars::schema_for!(ClientTarget), "streamspec client-target"),
        "target" => (schemars::schema_for!(Target), "streamspec target"),
        _ => return None,
    };
    let mut value = schema.to_value();
    value["title"] = json!(title);
    without_rust(&mut value);
    Some(value)
}

/// Links of Rust documentation mean nothing in an editor.
fn without_rust(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::String(text) if key == "description" => *text = text.replace("[`", "`").replace("`]", "`"),
                    other => without_rust(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_rust),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|inner| pointers(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|inner| pointers(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn each_schema_has_a_title_and_only_references_that_lead_somewhere() {
        for what in SCHEMAS {
            let schema = schema(what).unwrap();
            assert_eq!(schema["title"], format!("streamspec {what}"));
            assert_eq!(schema["additionalProperties"], json!(false), "{what} takes unknown keys");
            let mut found = Vec::new();
            pointers(&schema, &mut found);
            for to in found {
                assert!(schema.pointer(to.trim_start_matches('#')).is_some(), "{what}: {to} leads nowhere");
            }
        }
        assert_eq!(schema("sandwich"), None);
    }

    #[test]
    fn every_key_is_described() {
        for what in SCHEMAS {
            let schema = schema(what).unwrap();
            let definitions = schema["$defs"].as_object().into_iter().flatten().map(|(name, of)| (name.as_str(), of));
            for (name, of) in definitions.chain([(*what, &schema)]) {
                // A kind chosen by one key is described as a whole.
                for (key, property) in of["properties"].as_object().into_iter().flatten() {
                    assert!(property["description"].is_string(), "{what}: {name}.{key} is not described");
                }
            }
        }
    }

    #[test]
    fn cursor_classes_in_the_schema_are_the_ones_that_are_read() {
        let schema = schema("profile").unwrap();
        let classes = schema.pointer("/$defs/Contract/properties/answers/propertyNames/enum").unwrap().as_array().unwrap();
        let read: Vec<crate::history::CursorClass> = classes.iter().map(|class| serde_json::from_value(class.clone()).unwrap()).collect();
        assert_eq!(read.len(), schema.pointer("/$defs/CursorAnswer").map_or(0, |_| 8));
    }
}
