//! Frames of the core as bytes of the dialect.

use std::fmt::Write;

use crate::bugs::{Bug, BugSet};
use crate::session::{Cursor, Frame};

/// Appends the bytes of `frame` to `out`. `End` has none.
pub(super) fn write(out: &mut Vec<u8>, session: &str, frame: &Frame, bugs: BugSet) {
    let mut text = String::new();
    match frame {
        Frame::Event { event, cursor, .. } => {
            let id = cursor.map(|c| c.to_string());
            message(&mut text, id.as_deref(), &event.event_type, &body(session, &event.data, bugs));
            if event.terminal && bugs.has(Bug::UnfinishedLastFrame) {
                text.pop();
            }
        }
        Frame::Ephemeral { note, cursor } => {
            let id = cursor.map(|c| c.to_string());
            message(&mut text, id.as_deref(), &note.event_type, &body(session, &note.data, bugs));
        }
        Frame::Boundary { fence } => message(&mut text, None, "ready", &format!(r#"{{"cursor":"{fence}"}}"#)),
        Frame::Gap { requested, oldest } => {
            let requested = requested.map_or("null".to_owned(), |c| format!("\"{c}\""));
            message(&mut text, None, "gap", &format!(r#"{{"requested":{requested},"oldest":"{oldest}"}}"#));
        }
        Frame::Synthetic { near } => message(&mut text, Some(&format!("{near}.s")), "notice", r#"{"notice":"resumed"}"#),
        Frame::End => {}
    }
    if bugs.has(Bug::TornCharacter)
        && let Some((at, torn)) = text.char_indices().find(|(_, c)| c.len_utf8() == 4)
    {
        out.extend_from_slice(&text.as_bytes()[..at + torn.len_utf8() - 1]);
        out.extend_from_slice(&text.as_bytes()[at + torn.len_utf8()..]);
        return;
    }
    out.extend_from_slice(text.as_bytes());
}

/// The payload, in one line: JSON escapes every line break (SSE-46).
fn body(session: &str, data: &str, bugs: BugSet) -> String {
    let mut body = format!(r#"{{"session":"{session}","data":{data}}}"#);
    if bugs.has(Bug::CrUnescaped) {
        body = body.replace("\\r", "\r");
    }
    if bugs.has(Bug::SplitsOnUnicodeLines) {
        body = body.replace(['\u{85}', '\u{2028}', '\u{2029}'], "\n");
    }
    body
}

fn message(text: &mut String, id: Option<&str>, event_type: &str, body: &str) {
    if let Some(id) = id {
        writeln!(text, "id: {id}").expect("writing to a string does not fail");
    }
    write!(text, "event: {event_type}\ndata: {body}\n\n").expect("writing to a string does not fail");
}

/// A heartbeat: a comment, which moves no cursor.
pub(super) fn heartbeat(head: Cursor, bugs: BugSet) -> Vec<u8> {
    if bugs.has(Bug::HeartbeatWithId) {
        let next = Cursor { seq: head.seq + 1, ..head };
        return format!("id: {next}\nevent: heartbeat\ndata: {{}}\n\n").into_bytes();
    }
    b": heartbeat\n\n".to_vec()
}

/// What every stream begins with: the reconnection time, which also gets the headers through buffering hops (SSE-12).
pub(super) fn opening(bugs: BugSet) -> Vec<u8> {
    let mark = if bugs.has(Bug::LeadingMark) { "\u{feff}" } else { "" };
    format!("{mark}retry: 1000\n\n").into_bytes()
}
