//! Requests: what an operation, a stream or a page read looks like on the wire.

use std::collections::BTreeMap;

use serde_json::Value;

use super::template::{Vars, encode, secrets};
use crate::contract::{Binding, CursorCarrier, HistoryRead, Operation, SnapshotRead};
use crate::history::From;

/// An HTTP request, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Option<String>,
    /// Values in it that came from the environment, as name and value: they are not shown.
    pub secrets: Vec<(String, String)>,
}

impl Request {
    /// The `curl` command that sends it to `base` (`http://127.0.0.1:8080`). Values from the environment stand as `$NAME`,
    /// because reports are passed around.
    pub fn curl(&self, base: &str) -> String {
        let quote = |text: &str| {
            let escape = |text: &str| text.replace('\'', r"'\''");
            let hide = |word: String, (name, value): &(String, String)| word.replace(&escape(value), &format!("'\"${name}\"'"));
            self.secrets.iter().fold(format!("'{}'", escape(text)), hide)
        };
        let mut line = "curl -sN".to_owned();
        if self.method != "GET" {
            line += &format!(" -X {}", self.method);
        }
        for (name, value) in &self.headers {
            // curl removes a header that is written `Name:` and sends an empty one for `Name;`.
            let header = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
            line += &format!(" -H {}", quote(&header));
        }
        if let Some(body) = &self.body {
            let end = body.floor_char_boundary(300);
            line += &format!(" --data-binary {}", quote(&body[..end]));
        }
        line + " " + &quote(&format!("{base}{}", self.target))
    }
}

/// The request of an operation.
pub fn for_operation(binding: &Binding, operation: &Operation, vars: &Vars) -> Request {
    let groups = || operation.when.iter().filter(|(placeholder, _)| vars.has(placeholder)).map(|(_, group)| group);
    let mut json = operation.json.clone();
    for (name, value) in groups().flat_map(|group| &group.json) {
        json.get_or_insert_with(|| Value::Object(serde_json::Map::new()))[name] = value.clone();
    }
    let body = Body { json: json.as_ref(), text: operation.body.as_deref() };
    let of_groups = groups().map(|group| (&group.headers, &group.query));
    let fields = [(&operation.headers, &operation.query)].into_iter().chain(of_groups).collect::<Vec<_>>();
    build(binding, &operation.request, &fields, body, vars)
}

/// The request that opens a stream from `from`. A cursor goes by the strongest carrier, one beside it by the next. The words
/// for "from the oldest" and "new events only" go by a query parameter where there is one, because they are no cursors.
pub fn for_stream(binding: &Binding, vars: &Vars, from: &From) -> Request {
    let subscribe = &binding.subscribe;
    let body = Body { json: subscribe.json.as_ref(), text: None };
    let mut request = build(binding, &subscribe.request, &[(&subscribe.headers, &subscribe.query)], body, vars);
    let for_words = subscribe.cursor.iter().find(|carrier| matches!(carrier, CursorCarrier::Query(_))).or(subscribe.cursor.first());
    let word = |word: &Option<String>| word.as_ref().filter(|word| !word.is_empty()).and_then(|word| vars.fill(word, str::to_owned));
    let (start, live) = (word(&subscribe.start), word(&subscribe.live));
    let carried: Vec<(Option<&str>, Option<&CursorCarrier>)> = match from {
        From::Start => vec![(start.as_deref(), for_words)],
        From::Live => vec![(live.as_deref(), for_words)],
        From::Cursor { value, beside, .. } => {
            vec![(Some(value.as_str()), subscribe.cursor.first()), (beside.as_deref(), subscribe.cursor.get(1))]
        }
    };
    for (value, carrier) in carried {
        if let (Some(value), Some(carrier)) = (value, carrier) {
            carry(&mut request, carrier, value);
        }
    }
    request
}

/// The request of a finite read; the templates place `{cursor}` and `{limit}` themselves.
pub fn for_page(binding: &Binding, read: Finite<'_>, vars: &Vars) -> Request {
    let operation = match read {
        Finite::History(history) => &history.operation,
        Finite::Snapshot(snapshot) => &snapshot.operation,
    };
    for_operation(binding, operation, vars)
}

/// A finite read of a binding.
#[derive(Clone, Copy, Debug)]
pub enum Finite<'b> {
    /// A page of history.
    History(&'b HistoryRead),
    /// The snapshot.
    Snapshot(&'b SnapshotRead),
}

struct Body<'b> {
    json: Option<&'b Value>,
    text: Option<&'b str>,
}

/// Headers and query parameters.
type Fields<'b> = (&'b BTreeMap<String, String>, &'b BTreeMap<String, String>);

fn build(binding: &Binding, line: &str, fields: &[Fields<'_>], body: Body<'_>, vars: &Vars) -> Request {
    let headers = || binding.headers.iter().chain(fields.iter().flat_map(|(headers, _)| *headers));
    let query = || fields.iter().flat_map(|(_, query)| *query);
    let (method, path) = line.split_once(' ').unwrap_or(("GET", line));
    let mut target = vars.fill(path.trim(), encode).unwrap_or_else(|| "/".to_owned());
    for (name, value) in query() {
        if let Some(value) = vars.fill(value, str::to_owned) {
            add_query(&mut target, name, &value);
        }
    }
    let mut all = Vec::new();
    for (name, value) in headers() {
        if let Some(value) = vars.fill(value, str::to_owned) {
            set_header(&mut all, name, value);
        }
    }
    let texts = headers().chain(query()).map(|(_, value)| value.as_str());
    let json = body.json.map(Value::to_string).unwrap_or_default();
    let secrets = texts.chain([line, json.as_str()]).chain(body.text).flat_map(secrets).collect();
    let body = match (body.json, body.text) {
        (Some(json), _) => {
            if !all.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                all.push(("Content-Type".to_owned(), "application/json".to_owned()));
            }
            Some(vars.fill_json(json).unwrap_or_else(|| Value::Object(serde_json::Map::new())).to_string())
        }
        (None, Some(text)) => vars.fill(text, str::to_owned),
        (None, None) => None,
    };
    Request { method: method.to_owned(), target, headers: all, body, secrets }
}

/// Sets a header; the later of two with one name wins.
fn set_header(all: &mut Vec<(String, String)>, name: &str, value: String) {
    match all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some(known) => known.1 = value,
        None => all.push((name.to_owned(), value)),
    }
}

fn add_query(target: &mut String, name: &str, value: &str) {
    target.push(if target.contains('?') { '&' } else { '?' });
    target.push_str(&format!("{}={}", encode(name), encode(value)));
}

fn carry(request: &mut Request, carrier: &CursorCarrier, cursor: &str) {
    match carrier {
        CursorCarrier::Header(name) => set_header(&mut request.headers, name, cursor.to_owned()),
        CursorCarrier::Query(name) => add_query(&mut request.target, name, cursor),
        CursorCarrier::Body(pointer) => carry_in_body(request, pointer, Value::from(cursor)),
        CursorCarrier::BodyNumber(pointer) => carry_in_body(request, pointer, number(cursor).unwrap_or_else(|| Value::from(cursor))),
    }
}

fn carry_in_body(request: &mut Request, pointer: &str, cursor: Value) {
    let body = request.body.as_deref().and_then(|body| serde_json::from_str(body).ok());
    let mut document = body.unwrap_or_else(|| Value::Object(Default::default()));
    set(&mut document, pointer, cursor);
    request.body = Some(document.to_string());
}

/// The number whose usual notation this is; `07` and `1e3` are texts, and so is what no whole number of 64 bits holds.
fn number(text: &str) -> Option<Value> {
    let number: serde_json::Number = text.parse().ok().filter(|number: &serde_json::Number| !number.is_f64())?;
    (number.to_string() == text).then_some(Value::Number(number))
}

/// Sets the value at a pointer, making the objects on the way.
fn set(document: &mut Value, pointer: &str, value: Value) {
    let mut place = document;
    for key in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = Value::Object(Default::default());
        }
        let Value::Object(fields) = place else { return };
        place = fields.entry(key.replace("~1", "/").replace("~0", "~")).or_insert(Value::Null);
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Profile;
    use crate::history::CursorClass;

    fn profile(subscribe: &str) -> Profile {
        toml::from_str(&format!(
            "name = \"x\"\n[binding.subscribe]\n{subscribe}\n[binding.event]\ncursor = \"id\"\n[binding.publish]\nrequest = \"POST /s/{{session}}\"\nheaders = {{ Key = \"{{key}}\" }}\njson = {{ data = \"{{payload}}\" }}\n"
        ))
        .unwrap()
    }

    fn cursor(value: &str, beside: Option<&str>) -> From {
        From::Cursor { value: value.into(), class: CursorClass::Own, beside: beside.map(Into::into) }
    }

    #[test]
    fn a_cursor_travels_by_its_carrier() {
        let mut vars = Vars::default();
        vars.text("session", "a/b");
        let two =
            profile("request = \"GET /s/{session}\"\nformat = \"sse\"\ncursor = [{ header = \"Last-Event-ID\" }, { query = \"after\" }]");
        let request = for_stream(&two.binding, &vars, &cursor("e:2", None));
        assert_eq!(
            (request.target.as_str(), request.headers.as_slice()),
            ("/s/a%2Fb", &[("Last-Event-ID".to_owned(), "e:2".to_owned())][..])
        );
        let request = for_stream(&two.binding, &vars, &cursor("e:2", Some("e:1")));
        assert_eq!(request.target, "/s/a%2Fb?after=e%3A1");
        assert_eq!(for_stream(&two.binding, &vars, &From::Start).target, "/s/a%2Fb");

        let body = profile(
            "request = \"POST /s\"\nformat = \"ndjson\"\njson = { session = \"{session}\" }\ncursor = [{ body = \"/from/cursor\" }]",
        );
        let request = for_stream(&body.binding, &vars, &cursor("7", None));
        assert_eq!(request.body.as_deref(), Some(r#"{"from":{"cursor":"7"},"session":"a/b"}"#));
    }

    #[test]
    fn a_cursor_that_stands_as_a_number_is_one_unless_it_cannot_be() {
        let number = profile("request = \"POST /s\"\nformat = \"ndjson\"\ncursor = [{ body-number = \"/seen\" }]");
        for (text, stands) in [("7", "7"), ("0", "0"), ("07", r#""07""#), ("7.5", r#""7.5""#), ("", r#""""#), ("x", r#""x""#)] {
            let request = for_stream(&number.binding, &Vars::default(), &cursor(text, None));
            assert_eq!(request.body, Some(format!(r#"{{"seen":{stands}}}"#)), "{text}");
        }
    }

    #[test]
    fn a_word_that_is_no_cursor_travels_by_the_query() {
        let both =
            "request = \"GET /s\"\nformat = \"sse\"\ncursor = [{ header = \"Last-Event-ID\" }, { query = \"after\" }]\nlive = \"latest\"";
        let request = for_stream(&profile(both).binding, &Vars::default(), &From::Live);
        assert_eq!((request.target.as_str(), request.headers.len()), ("/s?after=latest", 0));
        let header = "request = \"GET /s\"\nformat = \"sse\"\ncursor = [{ header = \"Last-Event-ID\" }]\nstart = \"0\"";
        let request = for_stream(&profile(header).binding, &Vars::default(), &From::Start);
        assert_eq!(request.headers, [("Last-Event-ID".to_owned(), "0".to_owned())]);
    }

    #[test]
    fn a_header_stands_once_and_the_nearer_one_wins() {
        let mut profile =
            profile("request = \"GET /s\"\nformat = \"sse\"\nheaders = { accept = \"b\" }\ncursor = [{ header = \"X-From\" }]");
        profile.binding.headers = [("Accept".to_owned(), "a".to_owned()), ("x-from".to_owned(), "none".to_owned())].into();
        let request = for_stream(&profile.binding, &Vars::default(), &cursor("7", None));
        assert_eq!(request.headers, [("Accept".to_owned(), "b".to_owned()), ("x-from".to_owned(), "7".to_owned())]);
    }

    #[test]
    fn a_value_from_the_environment_is_sent_and_not_shown() {
        // A variable that every process of a test run has.
        let value = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let mut profile = profile("request = \"GET /s\"\nformat = \"sse\"");
        profile.binding.headers = [("Authorization".to_owned(), "Bearer {env.CARGO_MANIFEST_DIR}".to_owned())].into();
        let request = for_stream(&profile.binding, &Vars::default(), &From::Start);
        assert_eq!(request.headers[0].1, format!("Bearer {value}"));
        assert_eq!(request.curl("http://h"), r#"curl -sN -H 'Authorization: Bearer '"$CARGO_MANIFEST_DIR"'' 'http://h/s'"#);
    }

    #[test]
    fn a_header_without_value_is_left_out() {
        let profile = profile("request = \"GET /\"\nformat = \"sse\"");
        let mut vars = Vars::default();
        vars.text("session", "s").text("payload", "it's");
        let publish = profile.binding.publish.as_ref().unwrap();
        let request = for_operation(&profile.binding, publish, &vars);
        assert_eq!(request.headers, [("Content-Type".to_owned(), "application/json".to_owned())]);
        assert_eq!(
            request.curl("http://h"),
            r#"curl -sN -X POST -H 'Content-Type: application/json' --data-binary '{"data":"it'\''s"}' 'http://h/s/s'"#
        );
        vars.text("key", "k");
        assert_eq!(for_operation(&profile.binding, publish, &vars).headers[0], ("Key".to_owned(), "k".to_owned()));
    }

    #[test]
    fn what_belongs_to_a_placeholder_is_sent_with_it_or_not_at_all() {
        let mut profile = profile("request = \"GET /\"\nformat = \"sse\"");
        let publish = profile.binding.publish.as_mut().unwrap();
        let group = "headers = { Producer-Id = \"{key}\", Producer-Seq = \"0\", key = \"-\" }\nquery = { once = \"yes\" }\njson = { id = \"msg_{key}\" }";
        publish.when = [("key".to_owned(), toml::from_str(group).unwrap())].into();
        let publish = publish.clone();
        let names = |request: &Request| request.headers.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let mut vars = Vars::default();
        vars.text("session", "s").text("payload", "p");
        let plain = for_operation(&profile.binding, &publish, &vars);
        assert_eq!((plain.target.as_str(), names(&plain)), ("/s/s", vec!["Content-Type=application/json".to_owned()]));
        vars.text("key", "k");
        let keyed = for_operation(&profile.binding, &publish, &vars);
        assert_eq!(keyed.target, "/s/s?once=yes");
        assert_eq!(keyed.body.as_deref(), Some(r#"{"data":"p","id":"msg_k"}"#));
        let wanted = ["Key=-", "Producer-Id=k", "Producer-Seq=0", "Content-Type=application/json"];
        assert_eq!(names(&keyed), wanted, "a header of a group replaces a plain one");
    }
}
