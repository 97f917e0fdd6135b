//! The small parts of a profile: requests, templates, pointers, sources, statuses.

use serde_json::Value;

use super::METHODS;
use crate::contract::file::{Problems, Seg, short, spot, suggest};
use crate::contract::{Format, StatusSet};
use crate::run::binding::placeholders;

pub(super) fn request(text_of: &str, at: &[Seg], known: &[&str], problems: &mut Problems<'_>) {
    let words: Vec<&str> = text_of.split_ascii_whitespace().collect();
    let example = "write method and path, as in `POST /sessions/{session}/events`";
    match words.as_slice() {
        [method, path] => {
            if !METHODS.contains(method) {
                problems.at(at, format!("`{}` is no HTTP method", short(method)), "unknown method", suggest(method, METHODS, "methods"));
            }
            if !path.starts_with('/') {
                let help = "the path begins with `/`; the host comes from the target";
                problems.at(at, format!("`{}` is no path", short(path)), "must begin with `/`", help);
            }
        }
        [only] if only.starts_with('/') => problems.at(at, format!("`{}` has no method", short(text_of)), "no method", example),
        [_] => problems.at(at, format!("`{}` has no path", short(text_of)), "no path", example),
        _ => problems.at(at, format!("`{}` is no request", short(text_of)), "not two words", example),
    }
    text(text_of, at, known, problems);
}

pub(super) fn json_texts(json: &Value, at: &[Seg], known: &[&str], problems: &mut Problems<'_>) {
    match json {
        Value::String(inner) => text(inner, at, known, problems),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, inner)| json_texts(inner, &[at, &spot![i]].concat(), known, problems));
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, inner)| json_texts(inner, &[at, &spot![key.as_str()]].concat(), known, problems));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

pub(super) fn text(text: &str, at: &[Seg], known: &[&str], problems: &mut Problems<'_>) {
    for name in placeholders(text) {
        if !known.contains(&name) && !name.starts_with("env.") {
            let help = suggest(name, known, "known are") + ", `env.NAME`, and what `binding.open.take` names";
            problems.at(at, format!("`{{{}}}` is no placeholder", short(name)), "unknown placeholder", help);
        }
    }
}

pub(super) fn statuses(set: Option<&StatusSet>, at: &[Seg], problems: &mut Problems<'_>) {
    let all: &[u16] = match set {
        Some(StatusSet::One(one)) => std::slice::from_ref(one),
        Some(StatusSet::Any(any)) => any,
        None => return,
    };
    for status in all.iter().filter(|status| !(100..=599).contains(*status)) {
        problems.at(at, format!("`{status}` is no HTTP status"), "not within 100 and 599", "give a status such as 410");
    }
    if all.is_empty() {
        problems.at(at, "no status at all can be right here", "empty", "give one status or several");
    }
}

pub(super) fn pointer(text: &str, at: &[Seg], problems: &mut Problems<'_>) {
    if !text.is_empty() && !text.starts_with('/') {
        let (what, help) = bad_pointer(text);
        problems.at(at, what, "must begin with `/`", help);
    }
}

pub(super) fn pointer_key(text: &str, at: &[Seg], problems: &mut Problems<'_>) {
    if !text.is_empty() && !text.starts_with('/') {
        let (what, help) = bad_pointer(text);
        problems.at_key(at, what, "must begin with `/`", help);
    }
}

fn bad_pointer(text: &str) -> (String, String) {
    let meant = text.trim_start_matches("$.").trim_start_matches('.').replace('.', "/");
    (
        format!("`{}` is no JSON pointer", short(text)),
        format!("write it as `/{}`; each step into the document begins with `/`", short(&meant)),
    )
}

/// `/pointer` or `header:Name`.
pub(super) fn answer_source(text: &str, at: &[Seg], problems: &mut Problems<'_>) {
    match text.strip_prefix("header:") {
        Some("") => problems.at(at, "the header has no name", "empty", "write it as `header:Location`"),
        Some(_) => {}
        None if text.starts_with('/') || text.is_empty() => {}
        None => {
            let help = format!("write `/{}` for a place in the JSON answer, or `header:Name` for a header", short(text));
            problems.at(at, format!("`{}` is neither a JSON pointer nor a header", short(text)), "must begin with `/` or `header:`", help);
        }
    }
}

/// `id`, `event`, `data` or `/pointer`.
pub(super) fn source(text: &str, at: &[Seg], format: Format, page: bool, problems: &mut Problems<'_>) {
    let sse = format == Format::Sse && !page;
    match text {
        "data" => {}
        "id" | "event" if sse => {}
        "id" | "event" => {
            let place = if page { "a page's events have" } else { "only SSE frames have" };
            let what = if page { format!("{place} no SSE `{text}`") } else { format!("{place} an `{text}`") };
            problems.at(at, what, "nothing to read here", "give a `/pointer` into the JSON");
        }
        pointer if pointer.starts_with('/') => {}
        other => {
            let help = format!("write `id`, `event`, `data`, or a pointer into the JSON such as `/{}`", short(other));
            problems.at(at, format!("`{}` is no source", short(other)), "not known", help);
        }
    }
}
