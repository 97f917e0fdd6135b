//! The answers to a long-poll: their records, what they say as a whole, and the cursor to ask with next.

use serde_json::Value;
use smol_str::SmolStr;

use super::shape::{Lens, Raw, bounded, see, see_records, taken};
use crate::contract::FrameMatch;
use crate::history::{Item, Kind};

/// An answer with more records than this is refused: no reader's batch is larger, and a hostile one shall not fill memory.
const MOST_RECORDS: usize = 1_000_000;

/// An answer to a long-poll, read whole.
pub struct PollAnswer<'a> {
    /// Its status.
    pub status: u16,
    /// The value of a header, if it has one of that name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// Its body.
    pub text: &'a str,
}

/// What an answer to a long-poll means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Polled {
    /// A gap, the records, the cursor that commits them, then heartbeat, boundary and terminal: what marks the answer as a
    /// whole holds behind its records, and a gap is one before them.
    pub seen: Vec<Item>,
    /// The cursor to ask with next.
    pub next: Option<SmolStr>,
}

/// What an answer to a long-poll means. An empty body is no records.
///
/// # Errors
/// In words, when there is a body that is no JSON document, or one with more than a million records.
pub fn see_answer(lens: Lens<'_>, answer: &PollAnswer<'_>) -> Result<Polled, String> {
    let binding = lens.binding;
    let text = answer.text.trim();
    let document: Option<Value> = match text {
        "" => None,
        text => Some(serde_json::from_str(text).map_err(|e| {
            let beginning = &text[..text.floor_char_boundary(60)];
            format!("an answer with status {} is no JSON ({e}): {beginning:?}", answer.status)
        })?),
    };
    let batch = binding.event.records.as_ref().and_then(|pointer| document.as_ref()?.pointer(pointer)?.as_array());
    if batch.is_some_and(|records| records.len() > MOST_RECORDS) {
        return Err(format!("an answer has more than {MOST_RECORDS} records"));
    }
    let records = match (&document, &binding.event.records) {
        (Some(document), Some(pointer)) => see_records(lens, &binding.event, document, pointer),
        (Some(_), None) => see(lens, Raw::Json(text)),
        (None, _) => Vec::new(),
    };
    let frames = &binding.frames;
    let mark = |frame: &Option<FrameMatch>, kind: Kind| {
        let frame = frame.as_ref().filter(|frame| frame.of_answer() && fits(frame, answer, document.as_ref()))?;
        let points_to = frame.cursor.as_deref().and_then(|source| taken(source, document.as_ref(), answer.header));
        Some(Item { kind, points_to: points_to.map(|cursor| bounded(&cursor)), ..Item::default() })
    };
    let next = binding.subscribe.next.as_deref().and_then(|source| taken(source, document.as_ref(), answer.header));
    let next = next.filter(|cursor| !cursor.is_empty()).map(|cursor| bounded(&cursor));
    let commit = next.clone().map(|cursor| Item { kind: Kind::Commit, cursor: Some(cursor), ..Item::default() });
    let mut seen = Vec::from_iter(mark(&frames.gap, Kind::Gap));
    seen.extend(records);
    seen.extend(commit);
    seen.extend(mark(&frames.heartbeat, Kind::Heartbeat));
    seen.extend(mark(&frames.boundary, Kind::Boundary));
    seen.extend(mark(&frames.terminal, Kind::Terminal));
    Ok(Polled { seen, next })
}

fn fits(frame: &FrameMatch, answer: &PollAnswer<'_>, document: Option<&Value>) -> bool {
    let status = frame.status.as_ref().is_none_or(|set| set.contains(answer.status));
    let headers = frame.header.iter().all(|(name, wanted)| (answer.header)(name).is_some_and(|value| value.trim() == wanted));
    let json = frame.answer.iter().all(|(pointer, wanted)| document.and_then(|json| json.pointer(pointer)) == Some(wanted));
    status && headers && json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Binding, Profile};

    fn binding(rest: &str) -> Binding {
        let text = format!(
            "name = \"x\"\n[binding.subscribe]\nrequest = \"GET /\"\nformat = \"long-poll\"\nnext = \"header:Next\"\n[binding.event]\n{rest}"
        );
        toml::from_str::<Profile>(&text).unwrap().binding
    }

    fn polled(binding: &Binding, status: u16, headers: &[(&str, &str)], text: &str) -> Result<Vec<(Kind, Option<String>)>, String> {
        let header = |name: &str| headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| (*value).to_owned());
        let polled = see_answer(Lens::bare(binding), &PollAnswer { status, header: &header, text })?;
        assert_eq!(polled.next.as_deref(), header("next").filter(|next| !next.is_empty()).as_deref());
        Ok(polled
            .seen
            .into_iter()
            .map(|s| (s.kind, s.marker.map(|m| m.n.to_string()).or(s.cursor.or(s.points_to).map(String::from))))
            .collect())
    }

    fn said(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    const ARRAY: &str = "records = \"\"\npayload = \"/text\"\npage = { payload = \"/other\" }\n[binding.frames]\nboundary = { header = { Up-To-Date = \"true\" } }\nterminal = { status = [200, 204], header = { Closed = \"true\" }, cursor = \"header:Next\" }\n";

    #[test]
    fn an_array_with_its_cursor_and_marks_in_headers() {
        let b = binding(ARRAY);
        let two = r#"[{"text":"«s0.1»"},{"text":"«s0.2»"}]"#;
        let events = || [(Kind::Event, said("1")), (Kind::Event, said("2"))];
        let commit = || (Kind::Commit, said("7"));
        assert_eq!(polled(&b, 200, &[("Next", "7")], two).unwrap(), [&events()[..], &[commit()]].concat());
        let all = [("NEXT", "7"), ("up-to-date", "true"), ("closed", " true")];
        let marked = [&events()[..], &[commit(), (Kind::Boundary, None), (Kind::Terminal, said("7"))]].concat();
        assert_eq!(polled(&b, 200, &all, two).unwrap(), marked);
        assert_eq!(polled(&b, 204, &all, "").unwrap(), marked[2..]);
        assert_eq!(polled(&b, 410, &all, "").unwrap(), marked[2..4], "another status is no end");
        assert_eq!(polled(&b, 200, &[("Next", ""), ("Up-To-Date", "false")], " [] ").unwrap(), [], "an empty cursor is none");
    }

    #[test]
    fn records_are_shaped_as_the_streams_events_and_not_as_a_pages() {
        let b = binding(ARRAY);
        let answer = PollAnswer { status: 200, header: &|_| None, text: r#"[{"text":"«s0.1» a","other":"«s0.9» b"}]"# };
        let seen = see_answer(Lens::bare(&b), &answer).unwrap().seen;
        assert!(seen[0].body.as_ref().unwrap().same(&crate::history::Body::of("«s0.1» a")));
    }

    #[test]
    fn marks_beside_the_records_of_a_document() {
        let b = binding(
            "records = \"/mail\"\npayload = \"/text\"\n[binding.frames]\ngap = { answer = { \"/lost\" = true }, cursor = \"/oldest\" }\nterminal = { answer = { \"/over\" = true } }\n",
        );
        let text = r#"{"mail":[{"text":"«s0.1»","over":true}],"lost":true,"oldest":12}"#;
        assert_eq!(polled(&b, 200, &[], text).unwrap(), [(Kind::Gap, said("12")), (Kind::Event, said("1"))]);
        assert_eq!(polled(&b, 200, &[], r#"{"mail":[],"over":true}"#).unwrap(), [(Kind::Terminal, None)]);
        assert_eq!(polled(&b, 200, &[], r#"{"mail":null}"#).unwrap(), []);
    }

    #[test]
    fn a_body_that_is_no_json_is_named() {
        let said = polled(&binding(ARRAY), 200, &[], "<html>").unwrap_err();
        assert!(said.contains("status 200 is no JSON") && said.ends_with("\"<html>\""), "{said}");
        assert!(polled(&binding(ARRAY), 200, &[], &"[".repeat(100_000)).is_err(), "deep nesting is refused, not followed");
        let many = format!("[{}0]", "0,".repeat(MOST_RECORDS));
        assert_eq!(polled(&binding(ARRAY), 200, &[], &many).unwrap_err(), "an answer has more than 1000000 records");
    }
}
