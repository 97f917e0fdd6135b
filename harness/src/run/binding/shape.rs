//! Frames and documents to what they mean: kind, cursor, marker, payload.

use serde_json::Value;
use smol_str::SmolStr;

use super::machine::said;
use crate::contract::{Binding, EventShape, FrameMatch, Machine, OneOrMany, Profile};
use crate::history::{Body, Item, Kind, Marker};

/// A frame as a decoder gives it.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'f> {
    /// A block of SSE.
    Sse {
        /// The type under which it is dispatched.
        event: &'f str,
        /// Its data; `None` when nothing is dispatched.
        data: Option<&'f str>,
        /// The id that the block carries itself.
        id: Option<&'f str>,
    },
    /// A JSON text: a line of NDJSON, or the body of a long-poll.
    Json(&'f str),
}

/// Through what a reader looks: the binding, the contract's machines, and whose events are its own.
#[derive(Clone, Copy, Debug)]
pub struct Lens<'p> {
    pub(super) binding: &'p Binding,
    machines: &'p [Machine],
    /// The server's name for the reader's session; `None` when every event counts.
    own: Option<&'p str>,
    /// True when payloads without a marker are digested as well.
    digests: bool,
}

impl<'p> Lens<'p> {
    /// A reader of the session that the server calls `own`.
    pub fn of(profile: &'p Profile, own: &'p str) -> Lens<'p> {
        Lens { binding: &profile.binding, machines: &profile.contract.machines, own: Some(own), digests: false }
    }

    /// The same reader, when every event counts.
    pub fn of_anybody(self) -> Lens<'p> {
        Lens { own: None, ..self }
    }

    /// The same reader, of a session whose events were not published by the harness: a payload is known by its digest alone.
    pub(crate) fn of_unmarked(self) -> Lens<'p> {
        Lens { digests: true, ..self }
    }

    /// A reader for whom every event counts, under a contract without machines.
    #[cfg(test)]
    pub(super) fn bare(binding: &'p Binding) -> Lens<'p> {
        Lens { binding, machines: &[], own: None, digests: false }
    }
}

/// Longest type that is kept.
const MOST_TYPE: usize = 100;

/// One event while it is being looked at.
struct Look<'f> {
    event: &'f str,
    data: Option<&'f str>,
    id: Option<&'f str>,
    json: Option<&'f Value>,
}

impl Look<'_> {
    /// What a source of the binding finds: `id`, `event`, `data`, or a pointer.
    fn source(&self, source: &str) -> Option<String> {
        match source {
            "id" => self.id.map(str::to_owned),
            "event" => Some(self.event.to_owned()),
            "data" => self.data.map(str::to_owned).or_else(|| self.json.map(text)),
            pointer => match self.json?.pointer(pointer)? {
                Value::Null => None,
                value => Some(text(value)),
            },
        }
    }
}

/// A JSON value as text: strings as they are, the rest compact.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What a frame means: usually one thing, several for a batch, none when the binding says to ignore it or it is another
/// session's.
pub fn see(lens: Lens<'_>, raw: Raw<'_>) -> Vec<Item> {
    let binding = lens.binding;
    let (event, data, id) = match raw {
        Raw::Sse { event, data, id } => (event, data, id),
        Raw::Json(text) => ("", Some(text), None),
    };
    // An empty id takes back what was there; it is no cursor.
    let id = id.filter(|id| !id.is_empty());
    let Some(data) = data else {
        // An id-only block: no event, yet every client takes its id.
        return vec![Item { kind: Kind::Other, cursor: id.map(bounded), ..Item::default() }];
    };
    let json: Option<Value> = needs_json(lens).then(|| serde_json::from_str(data).ok()).flatten();
    let look = Look { event, data: Some(data), id, json: json.as_ref() };
    let shape = &binding.event;
    if is_foreign(lens, shape, &look) {
        return Vec::new();
    }
    if let Some(seen) = special(lens, shape, &look) {
        return seen;
    }
    let records = shape.records.as_ref().and_then(|pointer| json.as_ref()?.pointer(pointer)?.as_array());
    match records {
        // The frame's id belongs to its last record: only after that one may a reader resume from it.
        Some(records) => {
            let last = records.len().saturating_sub(1);
            let record = |(at, record)| record_of(lens, shape, event, id.filter(|_| at == last), record);
            records.iter().enumerate().flat_map(record).collect()
        }
        None => vec![ordinary(lens, &look, shape)],
    }
}

/// True for an event that names another session than the reader's, on a stream that carries several.
fn is_foreign(lens: Lens<'_>, shape: &EventShape, look: &Look<'_>) -> bool {
    let named = shape.session.as_deref().filter(|_| !shape.isolated).and_then(|source| look.source(source));
    matches!((named, lens.own), (Some(named), Some(own)) if named != own)
}

/// What the events of a page or snapshot mean.
pub fn see_document(lens: Lens<'_>, document: &Value, pointer: &str) -> Vec<Item> {
    let binding = lens.binding;
    let shape = binding.event.page.as_deref().unwrap_or(&binding.event);
    see_records(lens, shape, document, pointer)
}

/// What the items of a snapshot mean. A text is payloads that follow each other, each beginning with its marker; in a document
/// whose items nobody names, every marker is one of them, however often it stands there.
pub fn see_snapshot(lens: Lens<'_>, document: &Value, items: Option<&str>) -> Vec<Item> {
    match items.map(|pointer| document.pointer(pointer)) {
        Some(Some(Value::String(text))) => joined(text),
        Some(_) => see_document(lens, document, items.unwrap_or_default()),
        None => {
            let mut markers = Marker::find_all(&document.to_string());
            markers.sort_by_key(|marker| (marker.session, marker.n));
            markers.dedup();
            markers.into_iter().map(|marker| Item { marker: Some(marker), ..Item::default() }).collect()
        }
    }
}

/// The payloads in a text that holds one behind the other.
fn joined(text: &str) -> Vec<Item> {
    let is_marker = |at: &usize| {
        let end = text[*at..].find('»').map(|len| at + len + '»'.len_utf8());
        end.is_some_and(|end| Marker::find(&text[*at..end]).is_some_and(|marker| text[*at..end] == marker.to_string()))
    };
    let starts: Vec<usize> = text.match_indices('«').map(|(at, _)| at).filter(is_marker).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let payload = |(start, end): (&usize, usize)| {
        let payload = &text[*start..end];
        Item { marker: Marker::find(payload), body: Some(Body::of(payload)), ..Item::default() }
    };
    starts.iter().zip(ends).map(payload).collect()
}

/// What the records in an array mean.
pub(super) fn see_records(lens: Lens<'_>, shape: &EventShape, document: &Value, pointer: &str) -> Vec<Item> {
    let Some(records) = document.pointer(pointer).and_then(Value::as_array) else { return Vec::new() };
    records.iter().flat_map(|record| record_of(lens, shape, "", None, record)).collect()
}

/// What one record means; nothing for one that the binding says to ignore, or that is another session's.
fn record_of(lens: Lens<'_>, shape: &EventShape, event: &str, id: Option<&str>, record: &Value) -> Vec<Item> {
    let look = Look { event, data: None, id, json: Some(record) };
    if is_foreign(lens, shape, &look) {
        return Vec::new();
    }
    special(lens, shape, &look).unwrap_or_else(|| vec![ordinary(lens, &look, shape)])
}

/// What a special frame means, nothing for one to be ignored; `None` for an ordinary event.
fn special(lens: Lens<'_>, shape: &EventShape, look: &Look<'_>) -> Option<Vec<Item>> {
    let frames = &lens.binding.frames;
    let event_type = shape.event_type.as_deref().and_then(|source| look.source(source));
    let cursor = shape.cursor.as_deref().and_then(|source| look.source(source));
    let is = |frame: &Option<FrameMatch>| frame.as_ref().is_some_and(|m| matches(m, event_type.as_deref(), cursor.is_some(), look));
    let kinds = [
        (&frames.boundary, Special::Boundary),
        (&frames.gap, Special::Gap),
        (&frames.terminal, Special::Terminal),
        (&frames.heartbeat, Special::Heartbeat),
        (&frames.commit, Special::Commit),
        (&frames.ephemeral, Special::Ephemeral),
    ];
    let Some((_, kind)) = kinds.iter().find(|(frame, _)| is(frame)) else { return is(&frames.ignore).then(Vec::new) };
    let mut seen = Vec::new();
    if matches!(kind, Special::Boundary | Special::Gap | Special::Terminal | Special::Heartbeat) && is(&frames.commit) {
        // The cursor first: who is told of a place in the stream has what comes before it.
        let commit = one(lens, look, shape, Special::Commit);
        seen.extend(commit.cursor.is_some().then_some(commit));
    }
    seen.push(one(lens, look, shape, *kind));
    Some(seen)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    Boundary,
    Gap,
    Terminal,
    Heartbeat,
    Commit,
    Ephemeral,
}

fn matches(frame: &FrameMatch, event_type: Option<&str>, has_cursor: bool, look: &Look<'_>) -> bool {
    if frame.of_answer() {
        return false;
    }
    let type_fits = frame.event_type.as_ref().is_none_or(|types| event_type.is_some_and(|t| types.contains(t)));
    let json_fits = frame.json.iter().all(|(pointer, wanted)| look.json.and_then(|json| json.pointer(pointer)) == Some(wanted));
    type_fits && json_fits && frame.has_cursor.is_none_or(|wanted| wanted == has_cursor)
}

fn one(lens: Lens<'_>, look: &Look<'_>, shape: &EventShape, special: Special) -> Item {
    let frames = &lens.binding.frames;
    let (frame, kind) = match special {
        Special::Boundary => (&frames.boundary, Kind::Boundary),
        Special::Gap => (&frames.gap, Kind::Gap),
        Special::Terminal => (&frames.terminal, Kind::Terminal),
        Special::Heartbeat => (&frames.heartbeat, Kind::Heartbeat),
        Special::Commit => (&frames.commit, Kind::Commit),
        Special::Ephemeral => {
            let payload = frames.ephemeral.as_ref().and_then(|frame| frame.payload.clone());
            let own = payload.map(|payload| EventShape { payload: OneOrMany::One(payload), ..shape.clone() });
            return Item { durable: false, ..ordinary(lens, look, own.as_ref().unwrap_or(shape)) };
        }
    };
    let points_to = frame.as_ref().and_then(|m| m.cursor.as_deref()).and_then(|source| look.source(source)).map(|c| bounded(&c));
    let carried = cursor_of(look, shape).map(|c| bounded(&c));
    // A position in the JSON of a control frame is what it says, not a cursor of its own: no client keeps it unasked, as
    // every client of SSE keeps an id.
    let says =
        frame.as_ref().and_then(|m| m.cursor.as_deref()).is_some_and(|source| source != "id" && shape.cursor.as_deref() == Some(source));
    let cursor = match special {
        Special::Commit => points_to.clone().or(carried),
        Special::Boundary | Special::Gap | Special::Heartbeat if says => look.id.map(bounded),
        Special::Boundary | Special::Gap | Special::Terminal | Special::Heartbeat | Special::Ephemeral => carried,
    };
    let event_type = type_of(look, shape);
    let said = said(lens.machines, &event_type, |source| look.source(source));
    Item { kind, cursor, points_to, event_type, said, ..Item::default() }
}

fn ordinary(lens: Lens<'_>, look: &Look<'_>, shape: &EventShape) -> Item {
    let event_type = type_of(look, shape);
    let said = said(lens.machines, &event_type, |source| look.source(source));
    let cursor = cursor_of(look, shape).map(|c| bounded(&c));
    if shape.published.as_ref().is_some_and(|types| !types.contains(&event_type)) {
        return Item { kind: Kind::Other, event_type, cursor, said, ..Item::default() };
    }
    let payload = shape.payload.iter().find_map(|source| look.source(source));
    let marker = payload.as_deref().and_then(Marker::find);
    let marker = marker.or_else(|| look.json.and_then(in_strings)).or_else(|| look.data.and_then(in_text));
    // A payload that has lost its marker is no payload of ours; a marker anywhere else still names the event. Where the
    // payload is not in its place (torn JSON, say), the whole frame stands for it, and differs from what was published.
    let whole = || look.data.map(str::to_owned).or_else(|| look.json.map(text)).unwrap_or_default();
    let body = match marker {
        Some(_) => Some(Body::of(&payload.unwrap_or_else(whole))),
        None => payload.filter(|_| lens.digests).map(|payload| Body::of(&payload)),
    };
    let kind = if marker.is_some() || shape.event_type.is_none() && cursor.is_some() { Kind::Event } else { Kind::Other };
    Item { kind, event_type, cursor, marker, body, durable: true, points_to: None, said }
}

fn cursor_of(look: &Look<'_>, shape: &EventShape) -> Option<String> {
    let own = shape.cursor.as_deref().and_then(|source| look.source(source)).filter(|cursor| !cursor.is_empty());
    own.or_else(|| look.id.map(str::to_owned))
}

fn type_of(look: &Look<'_>, shape: &EventShape) -> SmolStr {
    let whole = shape.event_type.as_deref().and_then(|source| look.source(source)).unwrap_or_default();
    whole[..whole.floor_char_boundary(MOST_TYPE)].into()
}

/// A cursor, cut at 4 KiB: no protocol's are longer, and a hostile server's shall not fill the history.
pub(super) fn bounded(cursor: &str) -> SmolStr {
    cursor[..cursor.floor_char_boundary(4096)].into()
}

fn in_strings(value: &Value) -> Option<Marker> {
    match value {
        Value::String(text) => in_text(text),
        Value::Array(items) => items.iter().find_map(in_strings),
        Value::Object(fields) => fields.values().find_map(in_strings),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The first marker in a text, also where JSON inside JSON has its quotation marks escaped, as ASCII-only encoders write it.
fn in_text(text: &str) -> Option<Marker> {
    Marker::find(text).or_else(|| {
        let escaped = ["u00ab", "u00AB"].iter().any(|e| memchr::memmem::find(text.as_bytes(), e.as_bytes()).is_some());
        let plain = || text.replace("\\u00ab", "«").replace("\\u00AB", "«").replace("\\u00bb", "»").replace("\\u00BB", "»");
        escaped.then(plain).as_deref().and_then(Marker::find)
    })
}

fn needs_json(lens: Lens<'_>) -> bool {
    let (shape, frames) = (&lens.binding.event, &lens.binding.frames);
    let pointer = |source: &Option<String>| source.as_ref().is_some_and(|s| s.starts_with('/') || s.is_empty());
    let of_frame =
        |frame: &Option<FrameMatch>| frame.as_ref().is_some_and(|m| !m.json.is_empty() || pointer(&m.cursor) || pointer(&m.payload));
    shape.payload.iter().any(|source| source.starts_with('/'))
        || shape.records.is_some()
        || pointer(&shape.session)
        || !lens.machines.is_empty()
        || pointer(&shape.cursor)
        || pointer(&shape.event_type)
        || [&frames.boundary, &frames.gap, &frames.terminal, &frames.heartbeat, &frames.commit, &frames.ephemeral, &frames.ignore]
            .into_iter()
            .any(of_frame)
}

/// What `take` finds in an answer: `/pointer` in the body, or `header:Name`.
pub fn taken(source: &str, body: Option<&Value>, header: impl Fn(&str) -> Option<String>) -> Option<String> {
    match source.strip_prefix("header:") {
        Some(name) => header(name.trim()),
        None => match body?.pointer(source)? {
            Value::Null => None,
            value => Some(text(value)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Profile;

    fn binding(event: &str) -> Binding {
        let text = format!("name = \"x\"\n[binding.subscribe]\nrequest = \"GET /\"\nformat = \"sse\"\n{event}");
        toml::from_str::<Profile>(&text).unwrap().binding
    }

    #[test]
    fn an_event_of_the_base_dialect() {
        let b = binding(
            "[binding.event]\ncursor = \"id\"\ntype = \"event\"\npayload = \"/data\"\n[binding.frames.boundary]\ntype = \"ready\"\ncursor = \"/cursor\"\n[binding.frames.ephemeral]\nhas_cursor = false\n",
        );
        let seen = see(Lens::bare(&b), Raw::Sse { event: "message", data: Some(r#"{"data":"«s0.1» a\u2028"}"#), id: Some("e:1") });
        assert_eq!(seen.len(), 1);
        assert_eq!(
            (seen[0].kind, seen[0].cursor.as_deref(), seen[0].marker),
            (Kind::Event, Some("e:1"), Some(Marker { session: 0, n: 1 }))
        );
        assert!(seen[0].body.as_ref().unwrap().same(&Body::of("«s0.1» a\u{2028}")));
        let boundary = see(Lens::bare(&b), Raw::Sse { event: "ready", data: Some(r#"{"cursor":"e:9"}"#), id: None });
        assert_eq!(
            (boundary[0].kind, boundary[0].points_to.as_deref(), boundary[0].cursor.as_deref()),
            (Kind::Boundary, Some("e:9"), None)
        );
        let ephemeral = see(Lens::bare(&b), Raw::Sse { event: "message", data: Some(r#"{"data":"«s0.2»"}"#), id: None });
        assert!(!ephemeral[0].durable);
    }

    #[test]
    fn a_batch_and_its_commit() {
        let b = binding(
            "[binding.event]\ntype = \"event\"\nrecords = \"\"\npayload = \"/text\"\n[binding.frames.commit]\ntype = \"control\"\ncursor = \"/next\"\n",
        );
        let seen = see(Lens::bare(&b), Raw::Sse { event: "data", data: Some(r#"[{"text":"«s0.1»"},{"text":"«s0.2»"}]"#), id: None });
        assert_eq!(seen.iter().filter_map(|s| s.marker).map(|m| m.n).collect::<Vec<_>>(), [1, 2]);
        let commit = see(Lens::bare(&b), Raw::Sse { event: "control", data: Some(r#"{"next":"0_5"}"#), id: None });
        assert_eq!((commit[0].kind, commit[0].cursor.as_deref()), (Kind::Commit, Some("0_5")));
    }

    #[test]
    fn a_frame_that_commits_and_marks_is_both() {
        let b = binding(
            "[binding.event]\ntype = \"event\"\nrecords = \"\"\npayload = \"/text\"\n[binding.frames]\nboundary = { type = \"control\", json = { \"/upToDate\" = true } }\nterminal = { type = \"control\", json = { \"/closed\" = true } }\ncommit = { type = \"control\", cursor = \"/next\" }\n",
        );
        let kinds = |data: &str| {
            let seen = see(Lens::bare(&b), Raw::Sse { event: "control", data: Some(data), id: None });
            seen.into_iter().map(|s| (s.kind, s.cursor)).collect::<Vec<_>>()
        };
        let commit = || (Kind::Commit, Some("0_5".into()));
        assert_eq!(kinds(r#"{"next":"0_5"}"#), [commit()]);
        assert_eq!(kinds(r#"{"next":"0_5","upToDate":true}"#), [commit(), (Kind::Boundary, None)]);
        assert_eq!(kinds(r#"{"next":"0_5","closed":true}"#), [commit(), (Kind::Terminal, None)]);
        assert_eq!(kinds(r#"{"upToDate":true}"#), [(Kind::Boundary, None)], "nothing to commit");
    }

    #[test]
    fn a_position_in_a_control_frame_is_no_cursor_of_its_own() {
        let b = binding(
            "[binding.event]\ncursor = \"/at\"\ntype = \"/type\"\npayload = \"/text\"\n[binding.frames.boundary]\ntype = \"ready\"\ncursor = \"/at\"\n[binding.frames.heartbeat]\ntype = \"ping\"\n",
        );
        let ready = &see(Lens::bare(&b), Raw::Json(r#"{"type":"ready","at":"9"}"#))[0];
        assert_eq!((ready.kind, ready.points_to.as_deref(), ready.cursor.as_deref()), (Kind::Boundary, Some("9"), None));
        let ping = &see(Lens::bare(&b), Raw::Json(r#"{"type":"ping","at":"9"}"#))[0];
        assert_eq!((ping.kind, ping.cursor.as_deref()), (Kind::Heartbeat, Some("9")), "nobody said that this is a position");
        let ready = &see(Lens::bare(&b), Raw::Sse { event: "message", data: Some(r#"{"type":"ready","at":"9"}"#), id: Some("9") })[0];
        assert_eq!(ready.cursor.as_deref(), Some("9"), "every client of SSE keeps an id");
    }

    #[test]
    fn the_id_of_a_batch_is_that_of_its_last_record() {
        let b = binding(
            "[binding.event]\ncursor = \"id\"\nrecords = \"/all\"\npayload = \"/t\"\n[binding.frames.ignore]\njson = { \"/skip\" = true }\n",
        );
        let data = r#"{"all":[{"t":"«s0.1»"},{"skip":true},{"t":"«s0.2»"}]}"#;
        let seen = see(Lens::bare(&b), Raw::Sse { event: "message", data: Some(data), id: Some("7") });
        assert_eq!(seen.iter().map(|s| s.cursor.as_deref()).collect::<Vec<_>>(), [None, Some("7")]);
        assert_eq!(see(Lens::bare(&b), Raw::Sse { event: "message", data: Some(r#"{"t":"«s0.1»"}"#), id: Some("") })[0].cursor, None);
    }

    #[test]
    fn a_snapshot_is_items_a_text_of_payloads_or_a_document_with_markers() {
        let b = binding("[binding.event]\npayload = \"/t\"\n");
        let document = serde_json::json!({ "items": [{ "t": "«s0.1» a" }], "text": "x«s0.1» «a«s0.2» b«s0.2»", "again": "«s0.2»" });
        let seen = |items| see_snapshot(Lens::bare(&b), &document, items);
        let markers = |items| seen(items).iter().map(|s| s.marker.map_or(0, |m| m.n)).collect::<Vec<_>>();
        assert_eq!(markers(Some("/items")), [1]);
        assert_eq!(markers(Some("/text")), [1, 2, 2], "a repetition is seen");
        assert_eq!(seen(Some("/text"))[0].body, Some(Body::of("«s0.1» «a")));
        assert_eq!(markers(None), [1, 2]);
        assert_eq!((markers(Some("/gone")), markers(Some("/t"))), (vec![], vec![]));
    }

    #[test]
    fn a_marker_is_found_in_json_inside_json() {
        let b = binding("[binding.event]\npayload = \"/body\"\n");
        let data = r#"{"body":"{\"text\":\"\\u00abs0.4\\u00BB\"}"}"#;
        assert_eq!(see(Lens::bare(&b), Raw::Json(data))[0].marker, Some(Marker { session: 0, n: 4 }));
    }

    #[test]
    fn hostile_data_is_text() {
        let b = binding("[binding.event]\ncursor = \"/id\"\npayload = \"/data\"\n");
        let deep = "[".repeat(100_000);
        let seen = see(Lens::bare(&b), Raw::Sse { event: "message", data: Some(&deep), id: None });
        assert_eq!((seen[0].marker, seen[0].kind), (None, Kind::Other));
        let split = see(Lens::bare(&b), Raw::Sse { event: "message", data: Some("{\"data\":\"«s1.2» a"), id: None });
        assert_eq!(split[0].marker, Some(Marker { session: 1, n: 2 }), "a torn payload still names its event");
        assert!(split[0].body.is_some(), "and can be compared with what was published");
    }
}
