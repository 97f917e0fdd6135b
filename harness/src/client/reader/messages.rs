//! What a reader makes of messages of a WebSocket: events of turns that are told from their beginning on every connection.
//!
//! Such events carry no cursor. A turn that runs is told again from its beginning to whoever subscribes, so a reader
//! recognises what it has applied by the turn and the place in it. A turn that is over is told to nobody: a reader that
//! comes back to another turn has missed the rest of its own.

use serde_json::{Value, json};

use super::super::bugs::Bug;
use super::super::state::Turn;
use super::{Applied, Next, Reader, Stop};

/// Where the parts of a message are: JSON pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The message that subscribes.
    pub subscribe: String,
    /// The session that is subscribed to.
    pub session: String,
    /// Where a message names its session.
    pub session_at: String,
    /// Where the type of its event is; a message without one is no event.
    pub type_at: String,
    /// Where its data is.
    pub data_at: Vec<String>,
    /// Where its turn is named.
    pub turn_at: String,
    /// Pointer and value of the message by which a subscription is refused; empty where there is none.
    pub refused: Vec<(String, Value)>,
}

impl Reader {
    /// A WebSocket was opened.
    pub fn opened(&mut self) {
        self.seen = 0;
    }

    /// A message came.
    pub fn message(&mut self, shape: &Shape, text: &str, out: &mut Vec<Applied>) -> Next {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return Next::Read };
        let word = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
        let Some(event_type) = word(&shape.type_at) else {
            // Behind an event it is about something else.
            let refused = self.seen == 0 && !shape.refused.is_empty();
            if refused && shape.refused.iter().all(|(at, value)| message.pointer(at) == Some(value)) {
                out.push(Applied::Error { error: format!("the subscription is refused: {text}") });
                return Next::Stop(Stop::Refused);
            }
            return Next::Read;
        };
        if word(&shape.session_at) != Some(&shape.session) && !self.bugs.has(Bug::TakesAll) {
            return Next::Read;
        }
        // A connection that brings events is no failure.
        self.failures = 0;
        let turn = word(&shape.turn_at).unwrap_or_default();
        if turn != self.position.turn.id {
            let before = std::mem::replace(&mut self.position.turn, Turn { id: turn.to_owned(), applied: 0 });
            self.seen = 0;
            if !before.id.is_empty() && !self.bugs.has(Bug::SwallowsGap) {
                out.push(Applied::Gap { gap: json!({ "turn": before.id }) });
                if self.can_refetch && !self.bugs.has(Bug::NoRefetch) {
                    // The turn that runs is told again on the next connection.
                    self.position.turn = Turn::default();
                    return Next::Refetch;
                }
            }
        }
        self.seen += 1;
        if self.seen <= self.position.turn.applied && !self.bugs.has(Bug::AppliesAgain) {
            return Next::Read;
        }
        self.position.turn.applied = self.seen;
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return Next::Read;
        }
        let data = shape.data_at.iter().find_map(|at| message.pointer(at)).map(|data| match data {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        out.push(Applied::Event { id: String::new(), event_type: event_type.to_owned(), data: data.unwrap_or_default() });
        if self.types.terminal.iter().any(|terminal| terminal == event_type) && !self.bugs.has(Bug::ReturnsAfterEnd) {
            out.push(Applied::Closed { closed: "the turn has ended".to_owned() });
            return Next::Stop(Stop::Ended);
        }
        Next::Read
    }
}

#[cfg(test)]
mod tests {
    use super::super::Types;
    use super::*;
    use crate::client::BugSet;

    fn shape() -> Shape {
        Shape {
            subscribe: String::new(),
            session: "s".to_owned(),
            session_at: "/event/conversationId".to_owned(),
            type_at: "/event/type".to_owned(),
            data_at: vec!["/event/delta".to_owned()],
            turn_at: "/event/turnId".to_owned(),
            refused: vec![("/type".to_owned(), json!("chat.error"))],
        }
    }

    fn reader() -> Reader {
        Reader::new(Types { gap: vec![], terminal: vec!["sealed".to_owned()], boundary: vec![] }, false, None, BugSet::default())
    }

    fn told(reader: &mut Reader, session: &str, turn: &str, kind: &str, delta: &str) -> (Vec<Applied>, Next) {
        let mut out = Vec::new();
        let text = json!({ "event": { "type": kind, "conversationId": session, "turnId": turn, "delta": delta } }).to_string();
        let next = reader.message(&shape(), &text, &mut out);
        (out, next)
    }

    #[test]
    fn a_turn_that_is_told_again_is_applied_once_and_goes_on() {
        let mut reader = reader();
        for word in ["a", "a"] {
            assert_eq!(told(&mut reader, "s", "t", "text", word).0.len(), 1, "equal words are two events");
        }
        reader.opened();
        assert_eq!(told(&mut reader, "s", "t", "text", "a").0, []);
        assert_eq!(told(&mut reader, "s", "t", "text", "a").0, []);
        assert_eq!(told(&mut reader, "s", "t", "text", "c").0.len(), 1);
        assert_eq!(told(&mut reader, "other", "t", "text", "d").0, []);
        assert_eq!(told(&mut reader, "s", "t", "sealed", "").1, Next::Stop(Stop::Ended));
    }

    #[test]
    fn a_turn_goes_on_in_another_life_of_its_reader() {
        let mut before = reader();
        for word in ["a", "b"] {
            let _ = told(&mut before, "s", "t", "text", word);
        }
        let types = Types { gap: vec![], terminal: vec!["sealed".to_owned()], boundary: vec![] };
        let mut reader = Reader::new(types, false, Some(before.position().clone()), BugSet::default());
        let applied = |reader: &mut Reader, turn, word| told(reader, "s", turn, "text", word).0.len();
        assert_eq!(["a", "b", "c"].map(|word| applied(&mut reader, "t", word)), [0, 0, 1]);
        assert_eq!(applied(&mut reader, "t2", "a"), 2, "the rest of the turn is missing, and the next one is told");
    }

    #[test]
    fn another_turn_in_place_of_an_unfinished_one_is_a_gap() {
        let mut reader = reader();
        let _ = told(&mut reader, "s", "t1", "text", "a");
        reader.opened();
        let (out, next) = told(&mut reader, "s", "t2", "text", "b");
        assert!(matches!(&out[..], [Applied::Gap { .. }, Applied::Event { .. }]) && next == Next::Read, "{out:?}");
    }

    #[test]
    fn a_refused_subscription_is_an_end() {
        let (mut reader, mut out) = (reader(), Vec::new());
        let next = reader.message(&shape(), r#"{"type":"chat.error","message":"no such conversation"}"#, &mut out);
        assert!(next == Next::Stop(Stop::Refused) && matches!(&out[..], [Applied::Error { .. }]), "{out:?}");
    }

    #[test]
    fn what_is_no_event_changes_nothing() {
        let mut reader = reader();
        let _ = told(&mut reader, "s", "t", "text", "a");
        for text in ["", "[1]", "{\"type\":\"chat.error\"}", "{\"event\":7}", "{\"event\":{\"type\":{}}}"] {
            let mut out = Vec::new();
            assert_eq!((reader.message(&shape(), text, &mut out), out), (Next::Read, vec![]), "{text}");
        }
    }
}
