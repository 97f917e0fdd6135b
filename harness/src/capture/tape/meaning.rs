//! What a request asks for, by the templates of a binding read backwards.

use std::collections::BTreeMap;

use serde_json::Value;

use super::exchange::Exchange;
use crate::capture::header;
use crate::capture::story::decode;
use crate::contract::{Binding, CursorCarrier, Operation, Recipient, Subscribe};
use crate::run::binding::{encode, placeholders};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asks {
    Open,
    /// Payloads, one event each, and the idempotency key.
    Publish {
        payloads: Vec<String>,
        durable: bool,
        key: Option<String>,
    },
    Close,
    Delete,
    Health,
    Stream {
        cursor: Option<String>,
    },
    History {
        cursor: Option<String>,
        limit: Option<u32>,
    },
    Snapshot,
    /// An operation of the profile's own, with what stands for its placeholders.
    Op {
        name: String,
        with: BTreeMap<String, String>,
    },
}

/// What a request means under a binding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meaning {
    pub(super) asks: Asks,
    /// What the request calls its session.
    pub(super) session: Option<String>,
}

/// The values that a template's placeholders stand for, and how closely it fits.
#[derive(Clone, Debug, Default)]
struct Fit {
    values: BTreeMap<String, String>,
    weight: i32,
}

/// The meaning of a request: of the templates that fit, the one with most in common. `None` for one that fits none.
pub(super) fn meaning(binding: &Binding, exchange: &Exchange) -> Option<Meaning> {
    let request = Parts::of(exchange);
    let known = known_words(binding);
    let mut best: Option<(i32, Meaning)> = None;
    let mut offer = |weight: i32, asks: Asks, session: Option<String>| {
        if best.as_ref().is_none_or(|(than, _)| weight > *than) {
            best = Some((weight, Meaning { asks, session }));
        }
    };
    let fit = |operation: &Operation| fits(operation, &request, &known);
    for (operation, durable) in [(&binding.publish, true), (&binding.publish_ephemeral, false)] {
        let Some(operation) = operation else { continue };
        if let Some((payloads, fit)) = published(operation, &request, &known) {
            let key = fit.values.get("key").cloned();
            offer(fit.weight, Asks::Publish { payloads, durable, key }, fit.values.get("session").cloned());
        }
    }
    let plain =
        [(&binding.open, Asks::Open), (&binding.close, Asks::Close), (&binding.delete, Asks::Delete), (&binding.health, Asks::Health)];
    for (operation, asks) in plain {
        if let Some(fit) = operation.as_ref().and_then(fit) {
            offer(fit.weight, asks, fit.values.get("session").cloned());
        }
    }
    if let Some(fit) = binding.history.as_ref().and_then(|history| fit(&history.operation)) {
        let limit = fit.values.get("limit").and_then(|limit| limit.parse().ok());
        offer(fit.weight, Asks::History { cursor: fit.values.get("cursor").cloned(), limit }, fit.values.get("session").cloned());
    }
    if let Some(fit) = binding.snapshot.as_ref().and_then(|snapshot| fit(&snapshot.operation)) {
        offer(fit.weight, Asks::Snapshot, fit.values.get("session").cloned());
    }
    if let Some((fit, cursor)) = subscribes(&binding.subscribe, &request, &known) {
        offer(fit.weight, Asks::Stream { cursor }, fit.values.get("session").cloned());
    }
    for (name, operation) in &binding.ops {
        if let Some(mut fit) = fit(operation) {
            let session = fit.values.remove("session");
            offer(fit.weight - 1, Asks::Op { name: name.clone(), with: fit.values }, session);
        }
    }
    best.map(|(_, meaning)| meaning)
}

/// The session that a message of a WebSocket subscribes to.
pub(super) fn subscription(binding: &Binding, message: &str) -> Option<String> {
    let mut fit = Fit::default();
    let value: Value = serde_json::from_str(message).ok()?;
    json(binding.subscribe.json.as_ref()?, &value, &mut fit).then(|| fit.values.remove("session")).flatten()
}

/// The conversation in which a message of a WebSocket begins a turn, by the message that `open` sends. What it says to the model
/// there is a script of the harness's own, and here anything.
pub(super) fn begins(binding: &Binding, message: &str) -> Option<String> {
    let value: Value = serde_json::from_str(message).ok()?;
    binding.open.as_ref()?.socket.as_ref()?.send.iter().find_map(|template| {
        let mut fit = Fit::default();
        json(&without_scripts(template), &value, &mut fit).then(|| fit.values.remove("session")).flatten()
    })
}

/// A template without the members that hold a script of the model provider.
fn without_scripts(template: &Value) -> Value {
    match template {
        Value::Object(fields) => {
            let is_script = |value: &Value| value.as_str().is_some_and(|text| text.contains("[[say "));
            Value::Object(
                fields.iter().filter(|(_, value)| !is_script(value)).map(|(name, of)| (name.clone(), without_scripts(of))).collect(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(without_scripts).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => template.clone(),
    }
}

/// The parts of a request.
struct Parts<'e> {
    exchange: &'e Exchange,
    path: &'e str,
    query: Vec<(String, String)>,
    json: Option<Value>,
}

impl<'e> Parts<'e> {
    fn of(exchange: &'e Exchange) -> Parts<'e> {
        let (path, query) = exchange.target.split_once('?').unwrap_or((&exchange.target, ""));
        Parts { exchange, path, query: parameters(query), json: serde_json::from_slice(&exchange.body).ok() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        header(&self.exchange.headers, name)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn parameters(query: &str) -> Vec<(String, String)> {
    let pair = |one: &str| {
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        (decode(name), decode(&value.replace('+', " ")))
    };
    query.split('&').filter(|one| !one.is_empty()).map(pair).collect()
}

/// Query parameters that some template of the binding sets to a fixed word: a request that has one means that template.
fn known_words(binding: &Binding) -> Vec<String> {
    let operations = [&binding.open, &binding.publish, &binding.publish_ephemeral, &binding.close, &binding.delete, &binding.health];
    let finite =
        binding.history.iter().map(|history| &history.operation).chain(binding.snapshot.iter().map(|snapshot| &snapshot.operation));
    let all = operations.into_iter().flatten().chain(binding.ops.values()).chain(finite).map(|operation| &operation.query);
    let queries = all.chain([&binding.subscribe.query]).flatten();
    queries.filter(|(_, value)| placeholders(value).is_empty()).map(|(name, _)| name.clone()).collect()
}

fn fits(operation: &Operation, request: &Parts<'_>, known: &[String]) -> Option<Fit> {
    let mut fit = envelope(operation, request, known)?;
    match (&operation.json, &operation.body) {
        (Some(template), _) => json(template, request.json.as_ref()?, &mut fit).then_some(fit),
        (None, Some(template)) => {
            let text = String::from_utf8_lossy(&request.exchange.body);
            text_fits(template, &text, false, &mut fit).then_some(fit)
        }
        (None, None) => Some(fit),
    }
}

/// The events that a request publishes. A body that is an array of what the template is one of publishes each of them.
fn published(operation: &Operation, request: &Parts<'_>, known: &[String]) -> Option<(Vec<String>, Fit)> {
    let payload = |fit: &Fit| fit.values.get("payload").cloned();
    if let Some(fit) = fits(operation, request, known)
        && let Some(payload) = payload(&fit)
    {
        return Some((vec![payload], fit));
    }
    let (template, items) = operation.json.as_ref().zip(request.json.as_ref().and_then(Value::as_array))?;
    let mut whole = envelope(operation, request, known)?;
    let mut payloads = Vec::new();
    for item in items {
        let mut fit = whole.clone();
        if !json(template, item, &mut fit) {
            return None;
        }
        payloads.push(payload(&fit)?);
        whole.weight = fit.weight.min(whole.weight + 1);
    }
    (!payloads.is_empty()).then_some((payloads, whole))
}

/// Method, path, query and headers.
fn envelope(operation: &Operation, request: &Parts<'_>, known: &[String]) -> Option<Fit> {
    if operation.to != Recipient::Server || operation.socket.is_some() {
        return None;
    }
    let mut fit = line(&operation.request, request)?;
    let mut named: Vec<&str> = Vec::new();
    for (name, template) in &operation.query {
        named.push(name);
        field(template, request.parameter(name), false, &mut fit)?;
    }
    for (name, template) in &operation.headers {
        field(template, request.header(name), is_soft(name), &mut fit)?;
    }
    for group in operation.when.values() {
        let mut with = fit.clone();
        let fields = group.headers.iter().map(|(name, template)| (template, request.header(name)));
        let fields = fields.chain(group.query.iter().map(|(name, template)| (template, request.parameter(name))));
        if fields.map(|(template, value)| value.and_then(|value| field(template, Some(value), false, &mut with))).all(|done| done.is_some())
        {
            fit = with;
        }
        named.extend(group.query.keys().map(String::as_str));
    }
    strangers(request, &named, known).then_some(fit)
}

fn subscribes(subscribe: &Subscribe, request: &Parts<'_>, known: &[String]) -> Option<(Fit, Option<String>)> {
    let mut fit = line(&subscribe.request, request)?;
    let mut named: Vec<&str> = Vec::new();
    for (name, template) in &subscribe.query {
        named.push(name);
        field(template, request.parameter(name), false, &mut fit)?;
    }
    for (name, template) in &subscribe.headers {
        field(template, request.header(name), is_soft(name), &mut fit)?;
    }
    if let (Some(template), false) = (&subscribe.json, subscribe.format == crate::contract::Format::Websocket) {
        json(template, request.json.as_ref()?, &mut fit).then_some(())?;
    }
    let carried = subscribe.cursor.iter().find_map(|carrier| match carrier {
        CursorCarrier::Header(name) => request.header(name).map(str::to_owned),
        CursorCarrier::Query(name) => request.parameter(name).map(str::to_owned),
        CursorCarrier::Body(pointer) | CursorCarrier::BodyNumber(pointer) => Some(scalar(request.json.as_ref()?.pointer(pointer)?)?),
    });
    let carriers = subscribe.cursor.iter().filter_map(|carrier| match carrier {
        CursorCarrier::Query(name) => Some(name.as_str()),
        CursorCarrier::Header(_) | CursorCarrier::Body(_) | CursorCarrier::BodyNumber(_) => None,
    });
    named.extend(carriers);
    strangers(request, &named, known).then_some((fit, carried))
}

/// True unless the request has a parameter that belongs to another template.
fn strangers(request: &Parts<'_>, named: &[&str], known: &[String]) -> bool {
    request.query.iter().all(|(name, _)| named.contains(&name.as_str()) || !known.contains(name))
}

/// Headers that every client words in its own way.
fn is_soft(name: &str) -> bool {
    ["accept", "content-type", "cache-control"].iter().any(|soft| name.eq_ignore_ascii_case(soft))
}

/// Method and path; the query of the template counts as its parameters.
fn line(template: &str, request: &Parts<'_>) -> Option<Fit> {
    let (method, target) = template.split_once(' ').unwrap_or(("GET", template));
    let (path, query) = target.trim().split_once('?').unwrap_or((target.trim(), ""));
    let mut fit = Fit::default();
    if method != request.exchange.method || !text_fits(path, request.path, true, &mut fit) {
        return None;
    }
    for one in query.split('&').filter(|one| !one.is_empty()) {
        let (name, template) = one.split_once('=').unwrap_or((one, ""));
        field(template, request.parameter(name), false, &mut fit)?;
    }
    Some(fit)
}

/// A header or parameter: what holds a placeholder may be left out, a fixed word must be there unless it is soft.
fn field(template: &str, value: Option<&str>, soft: bool, fit: &mut Fit) -> Option<()> {
    let fixed = placeholders(template).is_empty();
    match value {
        Some(value) if fixed => {
            let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let same = value == template || soft && essence(value) == essence(template);
            fit.weight += if same { 2 } else { 0 };
            (same || soft).then_some(())
        }
        Some(value) => {
            let fits = text_fits(template, value, false, fit);
            fit.weight += i32::from(fits);
            fits.then_some(())
        }
        None => (soft || !fixed).then_some(()),
    }
}

/// True when a text is what a template makes; takes the values of its placeholders. In a path they are percent-encoded.
fn text_fits(template: &str, text: &str, path: bool, fit: &mut Fit) -> bool {
    let Some(found) = matched(template, text, path) else { return false };
    for (name, value) in found {
        let value = if path { decode(value) } else { value.to_owned() };
        if name.starts_with("env.") {
            continue;
        }
        if fit.values.get(name).is_some_and(|known| *known != value) {
            return false;
        }
        fit.values.insert(name.to_owned(), value);
    }
    // A path with more that is fixed is the closer one: `/sessions/{session}` before `/{session}`.
    fit.weight +=
        if path { template.split('/').filter(|part| !part.is_empty() && placeholders(part).is_empty()).count() as i32 } else { 0 };
    true
}

/// The placeholders of a template with what stands for them in a text, each as short as may be. Of two side by side the first
/// takes all. In a path a value is one step and not empty, unless it is the second of two.
fn matched<'t>(template: &'t str, text: &'t str, path: bool) -> Option<Vec<(&'t str, &'t str)>> {
    let names = placeholders(template);
    let (mut fixed, mut behind) = (Vec::new(), template);
    for name in &names {
        let (before, rest) = behind.split_once(&format!("{{{name}}}"))?;
        fixed.push(before);
        behind = rest;
    }
    fixed.push(behind);
    let mut rest = text.strip_prefix(fixed[0])?;
    let mut found = Vec::new();
    for (nth, name) in names.iter().enumerate() {
        let next = fixed[nth + 1];
        let end = if nth + 1 == names.len() {
            rest.strip_suffix(next)?.len()
        } else {
            // What separates this one from those behind it.
            let border = fixed[nth + 1..].iter().find(|fixed| !fixed.is_empty());
            border.map_or(Some(rest.len()), |border| rest.find(border))?
        };
        let value = &rest[..end];
        let beside = nth > 0 && fixed[nth].is_empty();
        if path && (value.contains('/') || value.is_empty() && !beside) {
            return None;
        }
        found.push((*name, value));
        rest = rest[end..].strip_prefix(next)?;
    }
    rest.is_empty().then_some(found)
}

/// True when a JSON value is what a template makes. More members than the template's may be there.
fn json(template: &Value, value: &Value, fit: &mut Fit) -> bool {
    match (template, value) {
        (Value::String(template), value) => {
            let Some(text) = scalar(value) else { return false };
            let fixed = placeholders(template).is_empty();
            fit.weight += if fixed { 2 } else { 1 };
            text_fits(template, &text, false, fit)
        }
        (Value::Object(fields), Value::Object(there)) => fields.iter().all(|(name, template)| match there.get(name) {
            Some(value) => json(template, value, fit),
            // What has no value is left out of a request, but an event without payload is none.
            None => optional(template),
        }),
        (Value::Array(items), Value::Array(there)) => {
            items.len() == there.len() && items.iter().zip(there).all(|(template, value)| json(template, value, fit))
        }
        (template, value) => {
            fit.weight += 2;
            template == value
        }
    }
}

fn optional(template: &Value) -> bool {
    match template {
        Value::String(text) => placeholders(text).len() == 1 && text.starts_with('{') && text.ends_with('}') && text != "{payload}",
        Value::Object(fields) => !fields.is_empty() && fields.values().all(optional),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The path and query of a request by which a person could repeat it.
pub(super) fn shown(exchange: &Exchange) -> String {
    let cursor = ["Last-Event-ID"].into_iter().filter_map(|name| Some((name, header(&exchange.headers, name)?)));
    let headers: String = cursor.map(|(name, value)| format!(" ({name}: {})", encode(value))).collect();
    format!("{} {}{headers}", exchange.method, exchange.target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_backwards() {
        let of = |template: &'static str, text: &'static str, path| matched(template, text, path);
        assert_eq!(of("/s/{a}/e/{b}", "/s/x/e/y", true), Some(vec![("a", "x"), ("b", "y")]));
        assert_eq!(of("/s/{a}", "/s/x/e", true), None, "a value is one step of a path");
        assert_eq!(of("/s/{a}", "/s/", true), None);
        assert_eq!(of("/c/{a}{b}/e", "/c/x/e", true), Some(vec![("a", "x"), ("b", "")]));
        assert_eq!(of("{a}-{b}", "x-y-z", false), Some(vec![("a", "x"), ("b", "y-z")]));
        assert_eq!(of("say {a}!", "say it!!", false), Some(vec![("a", "it!")]));
        assert_eq!(of("fixed", "fixed", false), Some(Vec::new()));
        assert_eq!((of("fixed", "fixed!", false), of("{a}!", "x", false)), (None, None));
    }
}
