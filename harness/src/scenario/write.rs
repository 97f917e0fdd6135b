//! Scenarios as text: a file as a person would write it.
//!
//! One step a line, names first, nothing that is default. What is written is read again as the same scenario.

use std::fmt::Write;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Scenario, Step};

/// Fields in the order in which people think of them; others follow, by their names.
const FIRST: &[&str] =
    &["reader", "name", "writer", "session", "about", "by", "from", "count", "limit", "after_events", "after_bytes", "upto"];

/// Lines are broken only between steps; more than this many characters in a comment are.
const WIDTH: usize = 118;

impl Scenario {
    /// The text of its file, below `comment` (without `#`, a line each).
    pub fn to_toml(&self, comment: &str) -> String {
        let mut out = String::new();
        for line in comment.lines() {
            let _ = writeln!(out, "# {}", clipped(line));
        }
        let _ = writeln!(out, "name = {}", quoted(&self.name));
        let _ = writeln!(out, "says = {}", quoted(&self.says));
        for (key, list) in [("needs", words(&self.needs)), ("judges", words(&self.judges))] {
            if !list.is_empty() {
                let _ = writeln!(out, "{key} = [{}]", list.join(", "));
            }
        }
        if !self.audit {
            out.push_str("audit = false\n");
        }
        if let Some(limit) = self.sweep_limit {
            let _ = writeln!(out, "sweep_limit = {limit}");
        }
        out.push_str("steps = [\n");
        for step in &self.steps {
            let _ = writeln!(out, "  {},", inline(&plain(step)));
        }
        out.push_str("]\n");
        out
    }
}

fn clipped(line: &str) -> String {
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() > WIDTH { line.chars().take(WIDTH).collect::<String>() + "…" } else { line }
}

fn words<T: Serialize>(list: &[T]) -> Vec<String> {
    list.iter().filter_map(|item| serde_json::to_value(item).ok()).map(|value| inline(&value)).collect()
}

/// A step's serialized form without the fields that are default.
pub(crate) fn plain(step: &Step) -> Value {
    let mut value = serde_json::to_value(step).expect("a step is plain data");
    let Value::Object(kinds) = &mut value else { return value };
    let kind = kinds.keys().next().cloned().unwrap_or_default();
    if kind == "repeat" {
        let Step::Repeat(repeat) = step else { return value };
        let inner: Vec<Value> = repeat.steps.iter().map(plain).collect();
        return serde_json::json!({ "repeat": { "times": repeat.times, "steps": inner } });
    }
    let fields: Vec<String> = kinds[&kind].as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    for field in fields {
        let mut less = value.clone();
        less[&kind].as_object_mut().expect("the fields were just listed").remove(&field);
        if same(&less, step) {
            value = less;
        }
    }
    strip_nulls(&mut value);
    value
}

fn same<T: DeserializeOwned + PartialEq>(value: &Value, of: &T) -> bool {
    T::deserialize(value).is_ok_and(|read| read == *of)
}

fn strip_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, inner| !inner.is_null());
        map.values_mut().for_each(strip_nulls);
    }
}

/// The step with this serialized form.
pub(crate) fn from_plain(value: &Value) -> Option<Step> {
    Step::deserialize(value).ok()
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => format!("{{ {} }}", in_order(map).join(", ")),
    }
}

fn in_order(map: &Map<String, Value>) -> Vec<String> {
    let place = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut fields: Vec<(&String, &Value)> = map.iter().collect();
    fields.sort_by(|a, b| place(a.0).cmp(&place(b.0)).then_with(|| a.0.cmp(b.0)));
    fields.into_iter().map(|(key, value)| format!("{} = {}", named(key), inline(value))).collect()
}

fn named(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.replace('\n', " ")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_scenario_is_written_as_it_reads() {
        for scenario in Scenario::built_in("sse").unwrap() {
            let text = scenario.to_toml("a comment");
            let again = Scenario::parse("it", &text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", scenario.name));
            assert_eq!(again, scenario, "{text}");
        }
    }

    #[test]
    fn what_is_default_is_left_out_and_names_come_first() {
        let text = "name = \"x\"\nsays = \"y\"\nneeds = [\"publish\", \"proxy\"]\nsteps = [
            { open = { session = \"s\" } },
            { publish = { count = 3, concurrent = 1, durable = true, session = \"s\" } },
            { subscribe = { from = \"start\", session = \"s\", reader = \"a\" } },
            { cut = { how = \"rst\", after_events = 2, reader = \"a\" } },
        ]";
        let written = Scenario::parse("it", text).unwrap().to_toml("");
        let steps: Vec<&str> = written.lines().filter(|line| line.starts_with("  ")).collect();
        assert_eq!(
            steps,
            [
                "  { open = { session = \"s\" } },",
                "  { publish = { session = \"s\", count = 3 } },",
                "  { subscribe = { reader = \"a\", session = \"s\" } },",
                "  { cut = { reader = \"a\", after_events = 2 } },",
            ]
        );
    }
}
