//! Finding the harness's markers in whatever form a server gives them back.

use serde_json::Value;

use crate::history::Marker;

/// The first marker in `payload`, else in the texts inside the JSON `raw`, else in `raw` itself, escaped or not.
pub(super) fn find(payload: Option<&str>, raw: &str) -> Option<Marker> {
    if let Some(marker) = payload.and_then(Marker::find) {
        return Some(marker);
    }
    if !may_hold(raw) {
        return None;
    }
    match serde_json::from_str::<Value>(raw).ok().and_then(|json| in_json(&json)) {
        Some(marker) => Some(marker),
        None => in_text(raw),
    }
}

/// The first marker in any text of `json`, its keys included.
pub(super) fn in_json(json: &Value) -> Option<Marker> {
    let mut found = None;
    each(json, &mut |marker| {
        found = Some(marker);
        false
    });
    found
}

/// Every marker in the texts of `json`, in order; a text counts with its first one.
pub(super) fn all_in(json: &Value) -> Vec<Marker> {
    let mut all = Vec::new();
    each(json, &mut |marker| {
        all.push(marker);
        true
    });
    all
}

/// Calls `more` with each marker until it says no. The depth is bounded by that of the parser.
fn each(json: &Value, more: &mut impl FnMut(Marker) -> bool) -> bool {
    match json {
        Value::String(text) => in_text(text).is_none_or(more),
        Value::Array(items) => items.iter().all(|inner| each(inner, more)),
        Value::Object(map) => map.iter().all(|(key, inner)| in_text(key).is_none_or(&mut *more) && each(inner, more)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn in_text(text: &str) -> Option<Marker> {
    Marker::find(text).or_else(|| may_hold(text).then(|| Marker::find(&unescaped(text))).flatten())
}

fn may_hold(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memmem::find(bytes, "«s".as_bytes()).is_some()
        || memchr::memmem::find(bytes, b"u00ab").is_some()
        || memchr::memmem::find(bytes, b"u00AB").is_some()
}

/// JSON inside a text inside JSON: the escapes of the marker's quotation marks, which ASCII-only encoders write.
fn unescaped(text: &str) -> String {
    text.replace("\\u00ab", "«").replace("\\u00AB", "«").replace("\\u00bb", "»").replace("\\u00BB", "»")
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: Marker = Marker { session: 3, n: 17 };

    #[test]
    fn a_marker_is_found_in_every_encoding() {
        for raw in [
            "«s3.17» hello",
            r#"{"x":"«s3.17» hello"}"#,
            r#"{"x":["a",{"y":"\u00abs3.17\u00bb hello"}]}"#,
            r#"{"x":"{\"y\":\"\\u00abs3.17\\u00BB\"}"}"#,
            r#"{"«s3.17»":0}"#,
            r#"{"x":"\u00abs3.17\u00bb hel"#,
        ] {
            assert_eq!(find(None, raw), Some(M), "{raw}");
        }
        let deep = format!("{}\"\\u00abs3.17\\u00bb\"{}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(find(None, &deep), Some(M), "too deep for the parser");
        assert_eq!(find(None, "s3.17 «s3.x»"), None);
    }

    #[test]
    fn the_payload_is_asked_first() {
        assert_eq!(find(Some("«s3.17»"), r#"{"quoted":"«s1.1»","data":"«s3.17»"}"#), Some(M));
    }
}
