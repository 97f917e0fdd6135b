//! Requests as a person types them: `POST /follow {"room": "{session}", "after": "{cursor}"}`.

use serde_json::Value;

use crate::contract::{Asking, CursorCarrier};

/// A request of the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) asking: Asking,
    /// Where `{cursor}` stood in it.
    pub(super) carrier: Option<CursorCarrier>,
}

/// Reads one; without a method it is a GET. For the command line's parser.
pub(super) fn template(text: &str) -> Result<Template, String> {
    let text = text.trim();
    let (method, rest) = match text.split_once(' ') {
        Some((method, rest)) if method.bytes().all(|b| b.is_ascii_uppercase()) => (method, rest.trim_start()),
        _ => ("GET", text),
    };
    let (path, json) = match rest.split_once(char::is_whitespace) {
        Some((path, json)) => (path, Some(json.trim())),
        None => (rest, None),
    };
    if !path.starts_with('/') {
        return Err(format!(
            "`{text}` is no request; write its method, path and document: POST /rooms/{{session}} {{\"text\": \"{{payload}}\"}}"
        ));
    }
    let mut json: Option<Value> =
        json.map(serde_json::from_str).transpose().map_err(|error| format!("what follows `{path}` is no JSON: {error}"))?;
    let mut carrier = json.as_mut().and_then(|json| taken_out(json, "")).map(CursorCarrier::Body);
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut kept = Vec::new();
    for parameter in query.into_iter().flat_map(|query| query.split('&')) {
        match parameter.split_once('=') {
            Some((name, "{cursor}")) => carrier = Some(CursorCarrier::Query(name.to_owned())),
            Some(_) | None => kept.push(parameter),
        }
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    Ok(Template { asking: Asking { line: format!("{method} {path}{query}"), json }, carrier })
}

/// Removes the member that is `{cursor}`; its pointer.
fn taken_out(value: &mut Value, at: &str) -> Option<String> {
    let members = value.as_object_mut()?;
    if let Some(name) = members.iter().find(|(_, value)| **value == "{cursor}").map(|(name, _)| name.clone()) {
        members.remove(&name);
        return Some(format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")));
    }
    members.iter_mut().find_map(|(name, value)| taken_out(value, &format!("{at}/{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_cursor_is_taken_out() {
        let of = |text: &str| {
            let template = template(text).unwrap();
            (template.asking.line, template.asking.json.map(|json| json.to_string()), template.carrier)
        };
        assert_eq!(of("/rooms/{session}"), ("GET /rooms/{session}".to_owned(), None, None));
        let query = Some(CursorCarrier::Query("since".to_owned()));
        assert_eq!(of("GET /r?a=1&since={cursor}"), ("GET /r?a=1".to_owned(), None, query));
        let (line, json, carrier) = of(r#"POST /follow {"room": "{session}", "from": {"after": "{cursor}"}}"#);
        assert_eq!((line.as_str(), json.as_deref()), ("POST /follow", Some(r#"{"from":{},"room":"{session}"}"#)));
        assert_eq!(carrier, Some(CursorCarrier::Body("/from/after".to_owned())));
    }

    #[test]
    fn what_is_no_request_is_said() {
        assert!(template("follow").unwrap_err().contains("is no request"));
        assert!(template("POST /follow {").unwrap_err().contains("is no JSON"));
    }
}
