//! What a stream shows on which three known payloads came: its framing, and where the parts of an event are. Pure.

use serde_json::Value;

use crate::contract::{CursorOrder, Format};
use crate::history::Numbered;

/// What is known of a stream from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) format: Format,
    /// Pointer to the payload, or `data`.
    pub(super) payload: String,
    /// Pointer to the cursor, or `id`.
    pub(super) cursor: Option<String>,
    /// The cursors that were seen, in order.
    pub(super) cursors: Vec<String>,
    /// Cursors stand in the JSON as numbers.
    pub(super) number: bool,
    /// Pointer to the type.
    pub(super) kind: Option<String>,
    /// Pointer to the events, where one document holds several.
    pub(super) records: Option<String>,
    /// Types that were seen.
    pub(super) types: Vec<String>,
}

impl Reading {
    /// How the cursors compare, as far as three of them show.
    pub(super) fn order(&self) -> CursorOrder {
        let numbers: Option<Vec<u64>> = self.cursors.iter().map(|cursor| Numbered::of(cursor).number).collect();
        let rising = |numbers: &[u64]| numbers.windows(2).all(|pair| pair[0] < pair[1]);
        match numbers {
            Some(numbers) if rising(&numbers) => CursorOrder::Number,
            Some(_) | None => CursorOrder::Opaque,
        }
    }
}

/// One frame: the parts that its framing has, and the text of its data.
#[derive(Clone, Debug, Default)]
struct Frame {
    id: Option<String>,
    event: Option<String>,
    data: String,
}

/// Members by which people call a cursor, the plainest first.
const CURSORS: [&str; 14] =
    ["cursor", "offset", "seq", "sequence", "position", "index", "id", "eventid", "rev", "revision", "version", "n", "no", "at"];

/// Members by which people call a type.
const KINDS: [&str; 4] = ["type", "kind", "event", "op"];

/// Reads the beginning of a stream of this media type on which these payloads came, in this order; `None` when they are not there.
/// `answered` are the scalars in the answers to their publishes: a cursor is likely among them.
pub(super) fn read(media: &str, text: &str, payloads: &[String], answered: &[Vec<String>]) -> Option<Reading> {
    let format = format_of(media, text);
    let frames = frames(format, text);
    let holding: Vec<&Frame> =
        payloads.iter().map(|payload| frames.iter().find(|frame| frame.data.contains(payload.as_str()))).collect::<Option<_>>()?;
    let documents: Vec<Option<Value>> = holding.iter().map(|frame| serde_json::from_str(&frame.data).ok()).collect();
    let mut types: Vec<String> = frames.iter().filter_map(|frame| frame.event.clone()).collect();
    types.sort();
    types.dedup();
    let ids: Option<Vec<String>> = holding.iter().map(|frame| frame.id.clone()).collect();
    let documents: Option<Vec<Value>> = documents.into_iter().collect();
    let Some(documents) = documents else {
        let cursors = ids.clone().unwrap_or_default();
        let cursor = ids.map(|_| "id".to_owned());
        return Some(Reading { format, payload: "data".to_owned(), cursor, cursors, number: false, kind: None, records: None, types });
    };
    let (records, events) = taken_apart(&documents, payloads)?;
    let payload = leaves(&events[0]).into_iter().find(|(_, leaf)| leaf.as_str() == Some(&payloads[0])).map(|(pointer, _)| pointer);
    let (cursor, cursors, number) = match ids.filter(|_| records.is_none()) {
        Some(ids) => (Some("id".to_owned()), ids, false),
        None => cursor(&events, answered).map_or((None, Vec::new(), false), |(pointer, seen, number)| (Some(pointer), seen, number)),
    };
    let kind = if types.is_empty() { kind(&events) } else { None };
    Some(Reading { format, payload: payload.unwrap_or_else(|| "data".to_owned()), cursor, cursors, number, kind, records, types })
}

pub(super) fn format_of(media: &str, text: &str) -> Format {
    let fields = ["data:", "id:", "event:", "retry:", ":"];
    if media.contains("event-stream")
        || text.lines().any(|line| line.starts_with("data:"))
            && text.lines().all(|line| line.is_empty() || fields.iter().any(|field| line.starts_with(field)))
    {
        Format::Sse
    } else if media.contains("ndjson")
        || media.contains("jsonl")
        || media.contains("json-seq")
        || text.trim().lines().count() > 1 && text.lines().all(|line| line.trim().is_empty() || serde_json::from_str::<Value>(line).is_ok())
    {
        Format::Ndjson
    } else {
        Format::LongPoll
    }
}

fn frames(format: Format, text: &str) -> Vec<Frame> {
    let plain = |data: &str| Frame { data: data.to_owned(), ..Frame::default() };
    match format {
        Format::Sse => {
            let text = text.replace("\r\n", "\n").replace('\r', "\n");
            text.split("\n\n").map(block).filter(|frame| !frame.data.is_empty()).collect()
        }
        Format::Ndjson | Format::Websocket => text.lines().filter(|line| !line.trim().is_empty()).map(plain).collect(),
        Format::LongPoll => vec![plain(text)],
    }
}

fn block(text: &str) -> Frame {
    let mut frame = Frame::default();
    let mut data = Vec::new();
    for line in text.lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => frame.id = Some(value.to_owned()),
            "event" => frame.event = Some(value.to_owned()),
            "data" => data.push(value),
            _ => {}
        }
    }
    frame.data = data.join("\n");
    frame
}

/// The event of each payload, and the pointer to the array in which they stand, if they do.
fn taken_apart(documents: &[Value], payloads: &[String]) -> Option<(Option<String>, Vec<Value>)> {
    let mut records = None;
    let mut events = Vec::new();
    for (document, payload) in documents.iter().zip(payloads) {
        let holding = leaves(document).into_iter().find(|(_, leaf)| leaf.as_str().is_some_and(|text| text.contains(payload.as_str())));
        let (pointer, _) = holding?;
        match array_on(document, &pointer) {
            Some(at) => {
                let event = document.pointer(&at)?.as_array()?.iter().find(|event| event.to_string().contains(payload.as_str()))?;
                events.push(event.clone());
                records = Some(at);
            }
            None => events.push(document.clone()),
        }
    }
    Some((records, events))
}

/// The pointer to the outermost array on the way to `pointer`.
fn array_on(document: &Value, pointer: &str) -> Option<String> {
    let ends = std::iter::once(0).chain(pointer.match_indices('/').skip(1).map(|(at, _)| at));
    ends.map(|end| &pointer[..end]).find(|prefix| document.pointer(prefix).is_some_and(Value::is_array)).map(str::to_owned)
}

/// Every scalar with its pointer, in the order of the document.
pub(super) fn leaves(value: &Value) -> Vec<(String, &Value)> {
    fn walk<'v>(at: &str, value: &'v Value, found: &mut Vec<(String, &'v Value)>) {
        match value {
            Value::Object(members) => {
                for (name, inner) in members {
                    walk(&format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), inner, found);
                }
            }
            Value::Array(items) => items.iter().enumerate().for_each(|(nth, inner)| walk(&format!("{at}/{nth}"), inner, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push((at.to_owned(), value)),
        }
    }
    let mut found = Vec::new();
    walk("", value, &mut found);
    found
}

/// A scalar as it travels.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn last(pointer: &str) -> String {
    pointer.rsplit('/').next().unwrap_or_default().to_lowercase().replace(['_', '-'], "")
}

/// Pointer, values and whether they are numbers, of the member that is most likely the cursor: it is another one in every event, and
/// the answer to the publish had it, or it is called like one, or it is a rising number.
fn cursor(events: &[Value], answered: &[Vec<String>]) -> Option<(String, Vec<String>, bool)> {
    let mut best: Option<(usize, String, Vec<String>, bool)> = None;
    for (pointer, first) in leaves(&events[0]) {
        let values: Option<Vec<String>> = events.iter().map(|event| event.pointer(&pointer).and_then(text_of)).collect();
        let Some(values) = values else { continue };
        let apart = values.iter().enumerate().all(|(nth, value)| !values[..nth].contains(value));
        let in_answers = answered.len() == values.len() && values.iter().zip(answered).all(|(value, answer)| answer.contains(value));
        let named = CURSORS.iter().position(|name| *name == last(&pointer));
        let numbers: Option<Vec<u64>> = values.iter().map(|value| value.parse().ok()).collect();
        let rising = numbers.is_some_and(|numbers| numbers.windows(2).all(|pair| pair[0] < pair[1]));
        let rank = match (in_answers, named, rising) {
            (true, _, _) => 0,
            (_, Some(at), _) => 1 + at,
            (_, _, true) => 100,
            (false, None, false) => continue,
        };
        if apart && best.as_ref().is_none_or(|(before, ..)| rank < *before) {
            best = Some((rank, pointer, values, first.is_number()));
        }
    }
    best.map(|(_, pointer, values, number)| (pointer, values, number))
}

/// The pointer to a member that is called like a type, and is the same in every event.
fn kind(events: &[Value]) -> Option<String> {
    let same = |pointer: &str| events.iter().all(|event| event.pointer(pointer) == events[0].pointer(pointer));
    let found =
        leaves(&events[0]).into_iter().find(|(pointer, leaf)| leaf.is_string() && KINDS.contains(&last(pointer).as_str()) && same(pointer));
    found.map(|(pointer, _)| pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads() -> Vec<String> {
        ["one-x", "two-x", "three-x"].map(str::to_owned).to_vec()
    }

    #[test]
    fn lines_with_numbers_of_their_own_are_understood() {
        let text = "{\"at\":7,\"line\":\"one-x\"}\n{\"at\":8,\"line\":\"two-x\"}\n\n{\"at\":9,\"line\":\"three-x\"}\n";
        let answers: Vec<Vec<String>> = ["7", "8", "9"].map(|n| vec![n.to_owned()]).to_vec();
        let reading = read("application/x-ndjson", text, &payloads(), &answers).unwrap();
        assert_eq!((reading.format, reading.payload.as_str(), reading.cursor.as_deref()), (Format::Ndjson, "/line", Some("/at")));
        assert!(reading.number && reading.order() == CursorOrder::Number);
    }

    #[test]
    fn server_sent_events_with_ids_are_understood_although_their_data_is_no_json() {
        let text =
            ": hi\n\nid: b:1\nevent: said\ndata: one-x\n\nid: b:2\nevent: said\ndata: two-x\n\nid: b:10\nevent: said\ndata: three-x\n\n";
        let reading = read("text/event-stream", text, &payloads(), &[]).unwrap();
        assert_eq!((reading.payload.as_str(), reading.cursor.as_deref()), ("data", Some("id")));
        assert_eq!((reading.types.as_slice(), reading.order()), (&["said".to_owned()][..], CursorOrder::Number));
    }

    #[test]
    fn events_in_the_array_of_a_document_are_taken_apart() {
        let text = r#"{"next":"c","mail":[{"type":"m","k":{"id":"a"},"t":"one-x"},{"type":"m","k":{"id":"b"},"t":"two-x"},{"type":"m","k":{"id":"c"},"t":"three-x"}]}"#;
        let reading = read("application/json", text, &payloads(), &[]).unwrap();
        assert_eq!((reading.format, reading.records.as_deref(), reading.payload.as_str()), (Format::LongPoll, Some("/mail"), "/t"));
        assert_eq!(
            (reading.cursor.as_deref(), reading.kind.as_deref(), reading.order()),
            (Some("/k/id"), Some("/type"), CursorOrder::Opaque)
        );
    }

    #[test]
    fn a_stream_without_what_was_published_says_nothing() {
        assert_eq!(read("text/event-stream", "data: one-x\n\ndata: two-x\n\n", &payloads(), &[]), None);
        assert_eq!(read("", "", &payloads(), &[]), None);
    }
}
