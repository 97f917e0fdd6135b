//! Steps in words, for timelines: as they stand in a scenario file, without what is default.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::scenario::{Scenario, Step};

/// How many scenarios' words are remembered.
const MOST_REMEMBERED: usize = 512;

/// The steps of a scenario in words. A simulation walks over the same ones again and again, so they are remembered by the
/// scenario's name, as long as its steps stay what they were.
pub(super) fn steps(scenario: &Scenario) -> Rc<[Arc<str>]> {
    type Known = FxHashMap<String, (Vec<Step>, Rc<[Arc<str>]>)>;
    thread_local! {
        static KNOWN: RefCell<Known> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        if let Some((_, said)) = known.get(&scenario.name).filter(|(steps, _)| *steps == scenario.steps) {
            return Rc::clone(said);
        }
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        let said: Rc<[Arc<str>]> = scenario.steps.iter().map(|said| step(said).into()).collect();
        known.insert(scenario.name.clone(), (scenario.steps.clone(), Rc::clone(&said)));
        said
    })
}

/// A step as a person would say it: `publish session="s" count=20`.
pub fn step(step: &Step) -> String {
    let Ok(Value::Object(table)) = serde_json::to_value(step) else { return String::new() };
    let Some((name, fields)) = table.into_iter().next() else { return String::new() };
    let mut said = name;
    if let Value::Object(fields) = fields {
        for (key, value) in fields.iter().filter(|(key, value)| !is_default(key, value)) {
            let text = value.as_str().map_or_else(|| short(value), str::to_owned);
            said.push_str(&format!(" {}={text}", key.replace('_', "-")));
        }
    }
    said
}

fn is_default(key: &str, value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => key == "durable",
        Value::Number(n) => n.as_u64() == Some(1) && matches!(key, "concurrent" | "readers" | "times"),
        Value::String(text) => matches!(text.as_str(), "plain" | "start" | "with-request"),
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn short(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{} steps]", items.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => value.to_string().replace('"', ""),
    }
}
