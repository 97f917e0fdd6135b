//! The example profiles do what their comments say.

use super::*;
use crate::contract::{Binding, Operation, Profile};
use crate::history::{Body, CursorClass, From, Item, Kind, Marker};

const SSE: &str = include_str!("../../../profiles/examples/events-in-sse.toml");
const NDJSON: &str = include_str!("../../../profiles/examples/ndjson-by-post.toml");
const LONG_POLL: &str = include_str!("../../../profiles/examples/long-poll.toml");

const HELLO: &str = "«s0.1» \"hello\"\u{2028}";

fn binding(file: &str, text: &str) -> Binding {
    Profile::parse(file, text).unwrap_or_else(|error| panic!("{}: {error}; {}", error.place(), error.next_step())).binding
}

fn vars() -> Vars {
    let mut vars = Vars::default();
    vars.text("session", "a/b").text("payload", HELLO).text("type", "message");
    vars
}

fn after(value: &str) -> From {
    From::Cursor { value: value.into(), class: CursorClass::Own, beside: None }
}

fn sent(binding: &Binding, operation: &Option<Operation>) -> Request {
    for_operation(binding, operation.as_ref().unwrap(), &vars())
}

fn line(binding: &Binding, json: &str) -> Vec<Item> {
    see(Lens::bare(binding), Raw::Json(json))
}

fn escaped(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[test]
fn events_in_sse() {
    let b = binding("events-in-sse.toml", SSE);
    let publish = sent(&b, &b.publish);
    assert_eq!((publish.method.as_str(), publish.target.as_str()), ("POST", "/api/rooms/a%2Fb/say"));
    assert_eq!(publish.body.unwrap(), format!("{{\"text\":{}}}", escaped(HELLO)));
    assert_eq!(for_stream(&b, &vars(), &after("6")).target, "/api/rooms/a%2Fb/feed?since=6");
    assert_eq!(for_stream(&b, &vars(), &From::Start).target, "/api/rooms/a%2Fb/feed?since=0");

    let frame = |data: &str| see(Lens::bare(&b), Raw::Sse { event: "message", data: Some(data), id: None }).remove(0);
    let said = frame(&format!(r#"{{"kind":"said","seq":7,"text":{}}}"#, escaped(HELLO)));
    assert_eq!((said.kind, said.durable, said.event_type.as_str(), said.cursor.as_deref()), (Kind::Event, true, "said", Some("7")));
    assert_eq!(said.marker, Some(Marker { session: 0, n: 1 }));
    assert!(said.body.unwrap().same(&Body::of(HELLO)));
    let typing = frame(r#"{"kind":"typing","text":"\u00abs0.2\u00bb"}"#);
    assert_eq!((typing.kind, typing.durable, typing.cursor), (Kind::Event, false, None));
    let caught_up = frame(r#"{"kind":"caught-up","seq":7}"#);
    assert_eq!((caught_up.kind, caught_up.points_to.as_deref(), caught_up.cursor), (Kind::Boundary, Some("7"), None));
    let lost = frame(r#"{"kind":"lost","oldest":120}"#);
    assert_eq!((lost.kind, lost.points_to.as_deref()), (Kind::Gap, Some("120")));
    let bye = frame(r#"{"kind":"bye","seq":8}"#);
    assert_eq!((bye.kind, bye.cursor.as_deref()), (Kind::Terminal, Some("8")));
    assert_eq!(frame(r#"{"kind":"motd","text":"welcome"}"#).kind, Kind::Other);
}

#[test]
fn ndjson_by_post() {
    let b = binding("ndjson-by-post.toml", NDJSON);
    let open = sent(&b, &b.open);
    assert_eq!((open.target.as_str(), open.body.as_deref()), ("/v1/streams/a%2Fb", Some("{}")), "no bound, no `keep`");
    let mut bounded = vars();
    bounded.number("retain_records", 16);
    assert_eq!(for_operation(&b, b.open.as_ref().unwrap(), &bounded).body.as_deref(), Some(r#"{"keep":16}"#));
    let publish = sent(&b, &b.publish);
    assert_eq!(publish.body.unwrap(), format!(r#"{{"entries":[{{"body":{}}}],"stream":"a/b"}}"#, escaped(HELLO)));
    let tail = for_stream(&b, &vars(), &after("0000000006"));
    assert_eq!((tail.method.as_str(), tail.body.as_deref()), ("POST", Some(r#"{"from":{"after":"0000000006"},"stream":"a/b"}"#)));
    assert_eq!(for_stream(&b, &vars(), &From::Start).body.as_deref(), Some(r#"{"stream":"a/b"}"#));

    let batch = line(&b, r#"{"batch":[{"offset":"07","body":"«s0.1»"},{"offset":"08","body":"«s0.2»"}]}"#);
    let seen: Vec<_> = batch.iter().map(|s| (s.kind, s.cursor.as_deref(), s.marker.map(|m| m.n))).collect();
    assert_eq!(seen, [(Kind::Event, Some("07"), Some(1)), (Kind::Event, Some("08"), Some(2))]);
    let mark = line(&b, r#"{"control":"up-to-date","offset":"08"}"#).remove(0);
    assert_eq!((mark.kind, mark.points_to.as_deref(), mark.cursor), (Kind::Boundary, Some("08"), None));
    let gap = line(&b, r#"{"control":"truncated","first":"0120"}"#).remove(0);
    assert_eq!((gap.kind, gap.points_to.as_deref()), (Kind::Gap, Some("0120")));
    assert!(line(&b, r#"{"batch":[]}"#).is_empty());
}

#[test]
fn long_poll() {
    let b = binding("long-poll.toml", LONG_POLL);
    let publish = sent(&b, &b.publish);
    assert_eq!(
        (publish.body.as_deref(), publish.headers.as_slice()),
        (Some(HELLO), &[("Content-Type".to_owned(), "text/plain".to_owned())][..])
    );
    let poll = for_stream(&b, &vars(), &after("p6"));
    assert_eq!((poll.target.as_str(), poll.headers.as_slice()), ("/box/a%2Fb/next", &[("X-After".to_owned(), "p6".to_owned())][..]));
    let header = |name: &str| name.eq_ignore_ascii_case("x-position").then(|| "p7".to_owned());
    assert_eq!(taken(b.subscribe.next.as_deref().unwrap(), None, header).as_deref(), Some("p7"));

    let mail = line(&b, r#"{"mail":[{"letter":"«s0.1» a"},{"letter":"«s0.2» b"}]}"#);
    assert_eq!(mail.iter().map(|s| (s.kind, s.marker.map(|m| m.n))).collect::<Vec<_>>(), [(Kind::Event, Some(1)), (Kind::Event, Some(2))]);
    assert!(mail[0].body.as_ref().unwrap().same(&Body::of("«s0.1» a")));
}
