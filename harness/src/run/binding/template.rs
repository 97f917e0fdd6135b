//! Templates: texts with `{placeholders}`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::contract::{Binding, Operation};

/// The placeholders that the harness itself fills in. To these come `env.NAME` and what the binding's `open` takes.
pub const PLACEHOLDERS: &[&str] =
    &["session", "payload", "type", "key", "cursor", "retain_records", "retain_bytes", "retain_age_ms", "limit", "uuid"];

/// Values for placeholders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vars(BTreeMap<String, Value>);

impl Vars {
    /// Nothing is filled in.
    pub fn new() -> Vars {
        Vars::default()
    }

    /// With a text for `{name}`; an earlier value is replaced.
    #[must_use]
    pub fn text(mut self, name: &str, value: impl Into<String>) -> Vars {
        self.0.insert(name.to_owned(), Value::String(value.into()));
        self
    }

    /// With a number for `{name}`; it stays a number where a JSON value is exactly this placeholder.
    #[must_use]
    pub fn number(mut self, name: &str, value: i64) -> Vars {
        self.0.insert(name.to_owned(), Value::from(value));
        self
    }

    /// With what an answer gave (see [`super::take`]).
    #[must_use]
    pub fn taken(mut self, taken: &BTreeMap<String, String>) -> Vars {
        self.0.extend(taken.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
        self
    }

    /// The values that came from the environment, as name and value: what must not stand in a report.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix("env.")?, value.as_str()?)))
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// A text in pieces.
enum Piece<'t> {
    Text(&'t str),
    Placeholder(&'t str),
}

/// `{name}` is a placeholder where the name is made of small letters, digits and `_`, or is `env.` and any such name in
/// either case; every other brace is text, so that JSON and shell words need no escapes.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut from = 0;
        while let Some(at) = rest[from..].find('{').map(|at| at + from) {
            let Some(end) = rest[at..].find('}').map(|end| end + at) else { break };
            if is_name(&rest[at + 1..end]) {
                if at > 0 {
                    let (text, behind) = rest.split_at(at);
                    rest = behind;
                    return Some(Piece::Text(text));
                }
                let name = &rest[1..end];
                rest = &rest[end + 1..];
                return Some(Piece::Placeholder(name));
            }
            from = at + 1;
        }
        Some(Piece::Text(std::mem::take(&mut rest)))
    })
}

fn is_name(text: &str) -> bool {
    let word = |c: u8, upper: bool| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || upper && c.is_ascii_uppercase();
    match text.strip_prefix("env.") {
        Some(name) => !name.is_empty() && name.bytes().all(|c| word(c, true)),
        None => text.bytes().next().is_some_and(|c| c.is_ascii_lowercase()) && text.bytes().all(|c| word(c, false)),
    }
}

/// The names of the placeholders in `text`, in order.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Placeholder(name) => Some(name),
        Piece::Text(_) => None,
    })
}

/// The environment variables that a binding uses.
pub fn environment(binding: &Binding) -> BTreeSet<String> {
    fn json(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(text) => found.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|inner| json(inner, found)),
            Value::Object(map) => map.values().for_each(|inner| json(inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut texts: Vec<String> = binding.headers.values().cloned().collect();
    let operation = |of: &Operation, texts: &mut Vec<String>| {
        texts.push(of.request.clone());
        texts.extend(of.headers.values().chain(of.query.values()).chain(&of.body).cloned());
        of.json.iter().for_each(|value| json(value, texts));
    };
    let plain = [&binding.open, &binding.publish, &binding.publish_ephemeral, &binding.close, &binding.delete, &binding.health];
    let read = [binding.history.as_ref().map(|h| &h.operation), binding.snapshot.as_ref().map(|s| &s.operation)];
    for of in plain.into_iter().filter_map(Option::as_ref).chain(read.into_iter().flatten()) {
        operation(of, &mut texts);
    }
    let subscribe = &binding.subscribe;
    texts.push(subscribe.request.clone());
    texts.extend(subscribe.headers.values().chain(subscribe.query.values()).cloned());
    subscribe.json.iter().for_each(|value| json(value, &mut texts));
    texts.iter().flat_map(|text| placeholders(text)).filter_map(|name| name.strip_prefix("env.")).map(str::to_owned).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `text` with its placeholders filled in; `Err` with the name of the first one that has no value.
pub(super) fn fill<'t>(text: &'t str, vars: &Vars, encode: impl Fn(&str) -> String) -> Result<String, &'t str> {
    pieces(text).try_fold(String::with_capacity(text.len()), |mut filled, piece| {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Placeholder(name) => filled.push_str(&encode(&shown(vars.get(name).ok_or(name)?))),
        }
        Ok(filled)
    })
}

/// `json` with its placeholders filled in. A text with a placeholder without value is left out, and so is an object or
/// array of which nothing else is left.
pub(super) fn fill_json(json: &Value, vars: &Vars) -> Option<Value> {
    match json {
        Value::String(text) => {
            let mut parts = pieces(text);
            match (parts.next(), parts.next()) {
                (Some(Piece::Placeholder(name)), None) => vars.get(name).cloned(),
                _ => fill(text, vars, str::to_owned).ok().map(Value::String),
            }
        }
        Value::Array(items) => {
            let filled: Vec<Value> = items.iter().filter_map(|inner| fill_json(inner, vars)).collect();
            (items.is_empty() || !filled.is_empty()).then_some(Value::Array(filled))
        }
        Value::Object(map) => {
            let filled: serde_json::Map<String, Value> =
                map.iter().filter_map(|(key, inner)| Some((key.clone(), fill_json(inner, vars)?))).collect();
            (map.is_empty() || !filled.is_empty()).then_some(Value::Object(filled))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(json.clone()),
    }
}

/// Percent-encoding: everything but the unreserved characters of RFC 3986, so that a value stays one segment or parameter.
pub(super) fn percent(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn braces_that_are_no_placeholder_are_text() {
        let text = r#"{"a":"{payload}","b":{"c":${X}}} {} {Payload} {env.TOKEN} {"#;
        assert_eq!(placeholders(text).collect::<Vec<_>>(), ["payload", "env.TOKEN"]);
        let vars = Vars::new().text("payload", "{session}").text("env.TOKEN", "t");
        assert_eq!(fill(text, &vars, str::to_owned).unwrap(), r#"{"a":"{session}","b":{"c":${X}}} {} {Payload} t {"#);
    }

    #[test]
    fn a_placeholder_without_value_is_named() {
        assert_eq!(fill("/s/{session}/{cursor}", &Vars::new().text("session", "a/ü b"), percent), Err("cursor"));
        assert_eq!(fill("/s/{session}", &Vars::new().text("session", "a/ü b"), percent).unwrap(), "/s/a%2F%C3%BC%20b");
    }

    #[test]
    fn json_keeps_numbers_and_drops_what_has_no_value() {
        let template = json!({
            "id": "{session}", "retain": { "records": "{retain_records}", "bytes": "{retain_bytes}" }, "age": { "ms": "{retain_age_ms}" },
            "note": "of {session} by {key}", "says": "{limit} at most", "kept": {}, "list": ["{limit}", "{key}"],
        });
        let vars = Vars::new().text("session", "12").number("retain_records", 5).number("limit", 7);
        assert_eq!(
            fill_json(&template, &vars).unwrap(),
            json!({ "id": "12", "retain": { "records": 5 }, "says": "7 at most", "kept": {}, "list": [7] })
        );
        assert_eq!(fill_json(&json!("{payload}"), &Vars::new().text("payload", "\"\n{key}")).unwrap(), json!("\"\n{key}"));
    }
}
