//! Templates: `{name}` in a text stands for a value.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::Binding;

/// The placeholders that the harness itself fills in. To these come `env.NAME` and what the binding's `open` takes.
pub const PLACEHOLDERS: &[&str] = &[
    "session",
    "payload",
    "type",
    "key",
    "cursor",
    "retain_records",
    "retain_bytes",
    "retain_age_ms",
    "limit",
    "uuid",
    "opened",
    "provider",
    "path",
    "expires",
    "channel",
    "reborn",
];

/// Values for placeholders.
#[derive(Clone, Debug, Default)]
pub struct Vars(BTreeMap<String, Filling>);

/// A value: text, or a number where a JSON template wants one.
#[derive(Clone, Debug, PartialEq)]
enum Filling {
    Text(String),
    Number(i64),
}

/// The pieces of a template.
enum Piece<'t> {
    Text(&'t str),
    Placeholder(&'t str),
}

impl Vars {
    /// Gives `name` a text.
    pub fn text(&mut self, name: &str, value: impl Into<String>) -> &mut Vars {
        self.0.insert(name.to_owned(), Filling::Text(value.into()));
        self
    }

    /// Gives `name` a number.
    pub fn number(&mut self, name: &str, value: i64) -> &mut Vars {
        self.0.insert(name.to_owned(), Filling::Number(value));
        self
    }

    /// True when `name` has a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn get(&self, name: &str) -> Option<String> {
        if let Some(variable) = name.strip_prefix("env.") {
            return std::env::var(variable).ok();
        }
        self.0.get(name).map(|filling| match filling {
            Filling::Text(text) => text.clone(),
            Filling::Number(number) => number.to_string(),
        })
    }

    /// `template` with its placeholders filled in, each value passed through `escape`. `None` when the template is one
    /// placeholder alone and that has no value, so that the header, parameter or key it stands in is left out. Elsewhere a
    /// placeholder without value is empty.
    pub fn fill(&self, template: &str, escape: impl Fn(&str) -> String) -> Option<String> {
        let pieces = pieces(template);
        if let [Piece::Placeholder(name)] = pieces.as_slice() {
            return self.get(name).map(|value| escape(&value));
        }
        let fill = |piece: &Piece<'_>| match piece {
            Piece::Text(text) => (*text).to_owned(),
            Piece::Placeholder(name) => self.get(name).map_or_else(String::new, |value| escape(&value)),
        };
        Some(pieces.iter().map(fill).collect())
    }

    /// A JSON template with its placeholders filled in. A string that is one placeholder alone becomes a number where its
    /// value is one; without a value its key is left out.
    pub fn fill_json(&self, template: &Value) -> Option<Value> {
        Some(match template {
            Value::String(text) => {
                if let [Piece::Placeholder(name)] = pieces(text).as_slice()
                    && let Some(Filling::Number(number)) = self.0.get(*name)
                {
                    return Some(Value::from(*number));
                }
                Value::String(self.fill(text, str::to_owned)?)
            }
            Value::Array(items) => Value::Array(items.iter().filter_map(|item| self.fill_json(item)).collect()),
            Value::Object(fields) => {
                let filled: serde_json::Map<_, _> =
                    fields.iter().filter_map(|(key, value)| Some((key.clone(), self.fill_json(value)?))).collect();
                // An object whose every key was left out is left out as well: `retain = {}` would mean something else.
                if filled.is_empty() && !fields.is_empty() {
                    return None;
                }
                Value::Object(filled)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
        })
    }
}

/// The names of the placeholders in a text, in order.
pub fn placeholders(template: &str) -> Vec<&str> {
    let name = |piece| match piece {
        Piece::Placeholder(name) => Some(name),
        Piece::Text(_) => None,
    };
    pieces(template).into_iter().filter_map(name).collect()
}

/// Splits a template. Braces that hold no name (`{}`, `{"a":1}`) are text.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let name_at = open + 1;
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
        match rest[name_at..].find('}').map(|len| &rest[name_at..name_at + len]).filter(|name| is_name(name)) {
            Some(name) => {
                if open > 0 {
                    pieces.push(Piece::Text(&rest[..open]));
                }
                pieces.push(Piece::Placeholder(name));
                rest = &rest[name_at + name.len() + 1..];
            }
            None => {
                pieces.push(Piece::Text(&rest[..name_at]));
                rest = &rest[name_at..];
            }
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// The environment variables that `template` names and that are set to something, with their values.
pub(super) fn secrets(template: &str) -> Vec<(String, String)> {
    let variables = placeholders(template).into_iter().filter_map(|name| name.strip_prefix("env."));
    let set = variables.filter_map(|variable| Some((variable.to_owned(), std::env::var(variable).ok()?)));
    set.filter(|(_, value)| !value.is_empty()).collect()
}

/// The environment variables that a binding names and that are not set, each once.
pub fn unset(binding: &Binding) -> Vec<String> {
    // A text of a binding is a template, or holds no placeholder.
    fn texts(value: &Value, missing: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::String(text) => {
                let variables = placeholders(text).into_iter().filter_map(|name| name.strip_prefix("env."));
                missing.extend(variables.filter(|variable| std::env::var_os(variable).is_none()).map(str::to_owned));
            }
            Value::Array(items) => items.iter().for_each(|inner| texts(inner, missing)),
            Value::Object(fields) => fields.values().for_each(|inner| texts(inner, missing)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut missing = std::collections::BTreeSet::new();
    texts(&serde_json::to_value(binding).expect("a binding is data"), &mut missing);
    missing.into_iter().collect()
}

/// Percent-encodes everything but unreserved characters (RFC 3986 2.3).
pub fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn vars() -> Vars {
        let mut vars = Vars::default();
        vars.text("session", "a b").text("payload", "x\n\"").number("limit", 5);
        vars
    }

    #[test]
    fn a_placeholder_alone_and_without_value_is_left_out() {
        assert_eq!(vars().fill("{cursor}", str::to_owned), None);
        assert_eq!(vars().fill("after {cursor}", str::to_owned).as_deref(), Some("after "));
        assert_eq!(vars().fill("/s/{session}/e", encode).as_deref(), Some("/s/a%20b/e"));
        assert_eq!(vars().fill(r#"{"a":{}}"#, str::to_owned).as_deref(), Some(r#"{"a":{}}"#));
    }

    #[test]
    fn environment_variables_that_are_missing_are_named_once() {
        let text = "name = \"x\"\n[binding]\nheaders = { A = \"{env.STREAMSPEC_UNSET_1} {env.CARGO_MANIFEST_DIR}\" }\n[binding.publish]\nrequest = \"POST /\"\njson = { a = [\"{env.STREAMSPEC_UNSET_2}\", \"{env.STREAMSPEC_UNSET_1} {payload}\"] }\n[binding.subscribe]\nrequest = \"GET /\"\nformat = \"sse\"\n[binding.event]\n";
        let profile = crate::contract::Profile::parse("x.toml", text).unwrap();
        assert_eq!(unset(&profile.binding), ["STREAMSPEC_UNSET_1", "STREAMSPEC_UNSET_2"]);
    }

    #[test]
    fn json_keeps_numbers_and_escapes_text() {
        let template =
            json!({ "data": "{payload}", "limit": "{limit}", "after": "{cursor}", "retain": { "records": "{retain_records}" }, "n": 1 });
        assert_eq!(vars().fill_json(&template), Some(json!({ "data": "x\n\"", "limit": 5, "n": 1 })));
    }
}
