//! Replacing what differs between two runs of a right server.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::cursors::Cursors;
use crate::contract::{Profile, Redaction, TranscriptRules};
use crate::history::{Action, History, SessionIx, What};
use crate::run::binding::encode;

/// What looks the same in every protocol, by class.
const EVERYWHERE: [(&str, &str); 5] = [
    ("time", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"),
    ("time", r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"),
    ("id", r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"),
    ("id", r"\b[0-9a-f]{32}\b"),
    ("server", r"(?:127\.0\.0\.1|localhost|\[::1\]):\d{2,5}"),
];

/// Classes of which it says nothing which one it is.
const UNNUMBERED: [&str; 2] = ["time", "server"];

/// Replaces; the same value stands as the same label in the whole transcript.
#[derive(Debug)]
pub struct Redactor {
    rules: Vec<Redaction>,
    patterns: Vec<(String, Regex)>,
    pub(super) cursors: Cursors,
    /// Texts that are known from the run, the longest first, and their labels.
    known: Vec<(String, String)>,
    /// Values by class, in the order of appearance.
    seen: BTreeMap<String, Vec<String>>,
    /// Whose messages are being written.
    pub(super) session: Option<SessionIx>,
}

impl Redactor {
    /// The replacements for a run.
    ///
    /// # Errors
    /// When a pattern is no regular expression; the text names it.
    pub fn of(history: &History, profile: &Profile, rules: &TranscriptRules) -> Result<Redactor, String> {
        let rules = rules.redact.clone();
        let own = rules.iter().filter_map(|rule| Some((rule.class.as_str(), rule.pattern.as_deref()?)));
        let mut patterns = Vec::new();
        for (class, pattern) in own.chain(EVERYWHERE) {
            let compiled = Regex::new(pattern).map_err(|e| format!("the transcript's pattern `{pattern}` is none: {e}"))?;
            patterns.push((class.to_owned(), compiled));
        }
        let cursors = Cursors::of(history, profile);
        let mut known: Vec<(String, String)> = Vec::new();
        let mut keys = 0;
        for record in &history.records {
            match &record.what {
                What::Named(named) => {
                    known.push((named.id.clone(), format!("[session-{}]", named.session.0 + 1)));
                    for (name, value) in named.taken.iter().filter(|(name, _)| !["session", "cursor", "opened"].contains(&name.as_str())) {
                        known.push((value.clone(), format!("[{name}-{}]", named.session.0 + 1)));
                    }
                }
                What::Invoke(invoke) => {
                    if let Action::Publish(publish) = &invoke.action
                        && let Some(key) = &publish.key
                        && !known.iter().any(|(known, _)| known == key)
                    {
                        keys += 1;
                        known.push((key.clone(), format!("[key-{keys}]")));
                    }
                }
                _ => {}
            }
        }
        known.extend(cursors.telling().map(|(cursor, label)| (cursor.to_owned(), label.to_owned())));
        let encoded: Vec<_> = known.iter().map(|(value, label)| (encode(value), label.clone())).collect();
        known.extend(encoded);
        known.retain(|(value, _)| value.len() >= 4);
        known.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        known.dedup_by(|a, b| a.0 == b.0);
        Ok(Redactor { rules, patterns, cursors, known, seen: BTreeMap::new(), session: None })
    }

    /// The label of a value of a class.
    fn label(&mut self, class: &str, value: &str) -> String {
        let said = self.rules.iter().find(|rule| rule.class == class).and_then(|rule| rule.numbered);
        if !said.unwrap_or(!UNNUMBERED.contains(&class)) {
            return format!("[{class}]");
        }
        let seen = self.seen.entry(class.to_owned()).or_default();
        let nth = seen.iter().position(|known| known == value).unwrap_or_else(|| {
            seen.push(value.to_owned());
            seen.len() - 1
        });
        format!("[{class}-{}]", nth + 1)
    }

    /// A text without what is known or matches a pattern.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, label) in &self.known {
            text = replaced(text, value, label);
        }
        let patterns = std::mem::take(&mut self.patterns);
        for (class, pattern) in &patterns {
            if pattern.is_match(&text) {
                let label = |found: &regex::Captures<'_>| match found.get(1) {
                    Some(part) => {
                        let whole = found.get(0).expect("what was found has a whole");
                        let (before, behind) = (part.start() - whole.start(), part.end() - whole.start());
                        let whole = whole.as_str();
                        format!("{}{}{}", &whole[..before], self.label(class, part.as_str()), &whole[behind..])
                    }
                    None => self.label(class, &found[0]),
                };
                text = pattern.replace_all(&text, label).into_owned();
            }
        }
        self.patterns = patterns;
        text
    }

    /// A JSON text, or any other.
    pub fn body(&mut self, text: &str) -> String {
        self.json(text).unwrap_or_else(|| self.text(text))
    }

    /// A value that stands where a cursor does.
    pub(super) fn cursor(&mut self, value: &str) -> String {
        self.cursors.at_place(self.session, value).unwrap_or_else(|| self.text(value))
    }

    /// The value of a header.
    pub(super) fn header(&mut self, name: &str, value: &str) -> String {
        let rule = self.rules.iter().find(|rule| {
            let names = rule.header.as_ref();
            names.is_some_and(|names| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
        });
        match rule.map(|rule| rule.class.clone()) {
            Some(class) => self.label(&class, value),
            None if self.cursors.is_carrier(name) => self.cursor(value),
            None => self.text(value),
        }
    }

    /// A request's path and query.
    pub(super) fn target(&mut self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else { return self.text(target) };
        let mut shown = self.text(path);
        for (nth, parameter) in query.split('&').enumerate() {
            shown.push(if nth == 0 { '?' } else { '&' });
            match parameter.split_once('=') {
                Some((name, value)) if self.cursors.is_carrier(name) => {
                    let value = self.cursor(value);
                    shown.push_str(&format!("{name}={value}"));
                }
                Some(_) | None => shown.push_str(&self.text(parameter)),
            }
        }
        shown
    }

    /// A JSON value that is no object or array, as it is written.
    pub(super) fn scalar(&mut self, value: &Value, path: &[String]) -> String {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let name = path.iter().rev().find(|name| name.parse::<usize>().is_err());
        let rule = self.rules.iter().find(|rule| {
            let by_key = name.is_some_and(|name| rule.key.as_ref().is_some_and(|keys| keys.contains(name)));
            by_key || rule.pointer.as_ref().is_some_and(|pointers| pointers.iter().any(|pointer| leads(pointer, path)))
        });
        if let Some(class) = rule.map(|rule| rule.class.clone()) {
            // What is known of the run keeps its own name.
            let shown = self.text(&text);
            let label = if shown == text { self.label(&class, &text) } else { shown };
            return Value::String(label).to_string();
        }
        if let Some(label) = name.filter(|name| self.cursors.is_key(name)).and_then(|_| self.cursors.at_place(self.session, &text)) {
            return Value::String(label).to_string();
        }
        match value {
            Value::Number(number) if is_time(number) => Value::String(self.label("time", &text)).to_string(),
            Value::String(text) => Value::String(self.text(text)).to_string(),
            other => other.to_string(),
        }
    }
}

/// A number of (milli-, micro-) seconds since 1970, of a day between 2020 and 2060.
fn is_time(number: &serde_json::Number) -> bool {
    let Some(number) = number.as_f64() else { return false };
    [1.0, 1e3, 1e6].into_iter().any(|unit| (1_577_000_000.0..2_840_000_000.0).contains(&(number / unit)))
}

/// True when a pointer leads to a path; `*` stands for any step.
fn leads(pointer: &str, path: &[String]) -> bool {
    let steps: Vec<String> = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
    steps.len() == path.len() && steps.iter().zip(path).all(|(step, at)| step == "*" || step == at)
}

/// `text` with `label` wherever `value` stands as a word of its own.
fn replaced(text: String, value: &str, label: &str) -> String {
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(value) {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let before = rest[..at].chars().next_back().or_else(|| out.chars().next_back());
        let alone = !word(before) && !word(rest[at + value.len()..].chars().next());
        out.push_str(&rest[..at]);
        out.push_str(if alone { label } else { value });
        rest = &rest[at + value.len()..];
    }
    if out.is_empty() {
        return text;
    }
    out + rest
}
