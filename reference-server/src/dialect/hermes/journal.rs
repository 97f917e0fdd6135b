//! What a journal adds up to: the state of its run, the text so far, the rows it leaves in the conversation.
//!
//! Snapshot, settled messages, status and the model's history are all folds over the same events, so they cannot disagree.

use serde_json::{Value, json};

use crate::agent::{Message, ToolCall};
use crate::bugs::{Bug, BugSet};
use crate::session::{Event, Millis};

/// Longest text, most items and greatest depth of a tool's arguments in a snapshot, and their size in all.
const MOST_TEXT: usize = 8192;
const MOST_ITEMS: usize = 64;
const MOST_DEPTH: usize = 8;
const MOST_ARGUMENTS: usize = 64 << 10;
const TRUNCATED: &str = "...[truncated]";

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Running,
    Completed,
    ToolLimit,
    Cancelled,
    Crashed,
    Errored,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Completed => "completed",
            State::ToolLimit => "tool_limit_reached",
            State::Cancelled => "interrupted-by-user",
            State::Crashed => "interrupted-by-crash",
            State::Errored => "errored",
        }
    }
}

/// A tool's call and what came of it.
#[derive(Clone, Debug, PartialEq)]
struct Card {
    tid: String,
    name: String,
    args: Value,
    /// What it returned, and whether that is a failure.
    result: Option<(String, bool)>,
    /// How many characters of text stood before it.
    behind: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Text(String),
    Reasoning(String),
    Tool(Card),
}

/// A run as its events tell it.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    run: String,
    pub(super) state: State,
    pub(super) last_seq: u64,
    last_event: String,
    pub(super) last_at: Millis,
    count: u64,
    items: Vec<Item>,
    /// Characters of text so far.
    length: usize,
    /// What its end said, unless it is done.
    marker: Option<String>,
}

impl Journal {
    pub(super) fn new(run: &str) -> Journal {
        Journal { run: run.to_owned(), ..Journal::default() }
    }

    pub(super) fn of(run: &str, events: &[Event]) -> Journal {
        let mut journal = Journal::new(run);
        for event in events {
            let data = serde_json::from_str(&event.data).unwrap_or(Value::Null);
            journal.apply(event.seq, &event.event_type, &data, event.at);
        }
        journal
    }

    /// Adds the next event.
    pub(super) fn apply(&mut self, seq: u64, name: &str, data: &Value, at: Millis) {
        (self.last_seq, self.last_at, self.count) = (seq, at, self.count + 1);
        name.clone_into(&mut self.last_event);
        let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
        match name {
            "token" => {
                let text = text("text");
                self.length += text.chars().count();
                match self.items.last_mut() {
                    Some(Item::Text(so_far)) => so_far.push_str(&text),
                    _ => self.items.push(Item::Text(text)),
                }
            }
            "reasoning" => match self.items.last_mut() {
                Some(Item::Reasoning(so_far)) => so_far.push_str(&text("text")),
                _ => self.items.push(Item::Reasoning(text("text"))),
            },
            "tool" => self.items.push(Item::Tool(Card {
                tid: text("tid"),
                name: text("name"),
                args: data["args"].clone(),
                result: None,
                behind: self.length,
            })),
            "tool_complete" => {
                let tid = text("tid");
                let open = self.items.iter_mut().rev().find_map(|item| match item {
                    Item::Tool(card) if card.tid == tid && card.result.is_none() => Some(card),
                    Item::Tool(_) | Item::Text(_) | Item::Reasoning(_) => None,
                });
                if let Some(card) = open {
                    card.result = Some((text("preview"), data["is_error"] == true));
                }
            }
            // Where retention has taken the first of both, the second still tells.
            "done" | "stream_end" if self.state == State::Running => self.state = State::Completed,
            "cancel" => (self.state, self.marker) = (State::Cancelled, Some(text("message"))),
            "apperror" => {
                self.state = match data["type"].as_str() {
                    Some("interrupted") => State::Crashed,
                    Some("tool_limit_reached") => State::ToolLimit,
                    _ => State::Errored,
                };
                self.marker = Some(text("message"));
            }
            _ => {}
        }
    }

    pub(super) fn run(&self) -> &str {
        &self.run
    }

    pub(super) fn text(&self) -> String {
        self.items.iter().filter_map(|item| if let Item::Text(text) = item { Some(text.as_str()) } else { None }).collect()
    }

    pub(super) fn reasoning(&self) -> String {
        self.items.iter().filter_map(|item| if let Item::Reasoning(text) = item { Some(text.as_str()) } else { None }).collect()
    }

    fn cards(&self) -> impl Iterator<Item = &Card> {
        self.items.iter().filter_map(|item| if let Item::Tool(card) = item { Some(card) } else { None })
    }

    fn last_event_id(&self, shift: u64) -> String {
        format!("{}:{}", self.run, self.last_seq + shift)
    }

    /// The `journal` object of the status call and the session. `lost` says that the run has no end and never will.
    pub(super) fn object(&self, session: &str, shift: u64, lost: bool) -> Value {
        json!({
            "session_id": session, "run_id": self.run, "last_seq": self.last_seq + shift, "last_event_id": self.last_event_id(shift),
            "last_event": self.last_event, "terminal": self.state != State::Running,
            "terminal_state": if lost { "lost-worker-bookkeeping" } else { self.state.word() },
        })
    }

    /// What the model is told of it later. Output that was broken off is kept; the note that it was is for humans.
    pub(super) fn messages(&self) -> Vec<Message> {
        let mut messages = Vec::new();
        for (text, _, cards) in self.steps() {
            let calls =
                cards.iter().map(|card| ToolCall { id: card.tid.clone(), name: card.name.clone(), arguments: card.args.to_string() });
            messages.push(Message::Assistant { text, calls: calls.collect() });
            messages.extend(cards.iter().map(|card| {
                let output = card.result.as_ref().map_or("interrupted", |(output, _)| output.as_str());
                Message::Tool { call: card.tid.clone(), output: output.to_owned() }
            }));
        }
        messages
    }

    /// The steps: text, reasoning, and the tools behind them.
    fn steps(&self) -> Vec<(String, String, Vec<&Card>)> {
        let mut steps: Vec<(String, String, Vec<&Card>)> = Vec::new();
        for item in &self.items {
            let begun = steps.last().is_some_and(|(.., cards)| cards.is_empty() || matches!(item, Item::Tool(_)));
            if !begun {
                steps.push((String::new(), String::new(), Vec::new()));
            }
            let Some((text, reasoning, cards)) = steps.last_mut() else { continue };
            match item {
                Item::Text(more) => text.push_str(more),
                Item::Reasoning(more) => reasoning.push_str(more),
                Item::Tool(card) => cards.push(card),
            }
        }
        steps
    }

    /// The rows that the run leaves behind what the human said; none while it runs.
    pub(super) fn rows(&self, bugs: BugSet) -> Vec<Value> {
        if self.state == State::Running {
            return Vec::new();
        }
        let (partial, recovered) = (self.state != State::Completed, self.state == State::Crashed);
        let baked = self.marker.as_deref().is_some_and(|marker| marker.contains("no output was recovered"));
        let dropped = recovered && (bugs.has(Bug::PartialDropped) || baked);
        let mut rows = Vec::new();
        for (text, reasoning, cards) in if dropped { Vec::new() } else { self.steps() } {
            let mut row = json!({ "role": "assistant", "content": text });
            if !reasoning.is_empty() {
                row["reasoning"] = reasoning.into();
            }
            if !cards.is_empty() {
                row["tool_calls"] = cards
                    .iter()
                    .map(|card| json!({ "id": card.tid, "type": "function", "function": { "name": card.name, "arguments": card.args } }))
                    .collect();
            }
            for (flag, on) in [("_partial", partial), ("_recovered_from_run_journal", recovered)] {
                if on {
                    row[flag] = true.into();
                }
            }
            rows.push(row);
            rows.extend(cards.iter().map(|card| {
                let content = card.result.as_ref().map_or("interrupted", |(output, _)| output.as_str());
                json!({ "role": "tool", "tool_call_id": card.tid, "name": card.name, "content": content })
            }));
        }
        if let Some(message) = &self.marker {
            let kind = match self.state {
                State::Cancelled => "cancelled",
                State::Crashed => "interrupted",
                State::ToolLimit => "tool_limit_reached",
                State::Running | State::Completed | State::Errored => "error",
            };
            rows.push(json!({ "role": "assistant", "content": message, "_error": true, "type": kind }));
        }
        rows
    }

    /// `runtime_journal_snapshot`: everything that is needed to go on from `last_seq`.
    pub(super) fn snapshot(&self, session: &str, shift: u64) -> Value {
        let cards: Vec<Value> = self
            .cards()
            .map(|card| {
                let (snippet, is_error) = card.result.clone().unwrap_or_default();
                json!({
                    "name": card.name, "args": arguments(&card.args), "done": card.result.is_some(), "snippet": cut(&snippet),
                    "is_error": is_error, "tid": card.tid, "activityBurstId": self.burst(card), "activitySegmentSeq": self.burst(card),
                    "_live": true, "_journal_snapshot": true, "_journal_stream_id": self.run,
                })
            })
            .collect();
        let mut anchors: Vec<Value> = self.cards().map(|card| json!({ "id": self.burst(card), "textEnd": card.behind })).collect();
        anchors.dedup();
        let (bursts, fresh) = (anchors.len(), matches!(self.items.last(), None | Some(Item::Tool(_))));
        json!({
            "session_id": session, "stream_id": self.run, "last_seq": self.last_seq + shift, "last_event_id": self.last_event_id(shift),
            "event_count": self.count, "last_message_ts": super::seconds(self.last_at), "last_assistant_text": self.text(),
            "last_reasoning_text": self.reasoning(), "tool_calls": cards, "activity_burst_anchors": anchors,
            "current_activity_burst_id": bursts, "current_live_segment_seq": bursts, "fresh_segment": fresh, "messages": [],
            "anchor_activity_scene": self.scene(session),
        })
    }

    /// Tools that stand behind the same text are one burst; bursts count from 1.
    fn burst(&self, card: &Card) -> usize {
        let mut places: Vec<usize> = self.cards().map(|card| card.behind).collect();
        places.dedup();
        places.iter().position(|place| *place == card.behind).map_or(0, |at| at + 1)
    }

    fn scene(&self, session: &str) -> Value {
        let mut rows: Vec<Value> = Vec::new();
        for item in &self.items {
            match item {
                Item::Text(text) => rows.push(json!({ "kind": "process_prose", "text": text })),
                Item::Reasoning(text) => rows.push(json!({ "kind": "reasoning", "text": text })),
                Item::Tool(card) => {
                    let row = |kind: &str| json!({ "kind": kind, "tid": card.tid, "name": card.name });
                    rows.push(row("tool_started"));
                    rows.extend(card.result.as_ref().map(|_| row("tool_completed")));
                }
            }
        }
        json!({
            "version": "activity_scene_v1", "identity": { "session_id": session, "stream_id": self.run, "run_id": self.run },
            "lifecycle": { "status": self.state.word(), "terminal_state": self.state.word() }, "activity_rows": rows,
        })
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_TEXT) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}{TRUNCATED}", &text[..at]),
    }
}

/// Arguments within the bounds of a snapshot.
fn arguments(args: &Value) -> Value {
    let bounded = bounded(args, 0);
    let text = bounded.to_string();
    if text.len() <= MOST_ARGUMENTS {
        return bounded;
    }
    let at = (0..=MOST_ARGUMENTS).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{TRUNCATED}", &text[..at]).into()
}

fn bounded(value: &Value, depth: usize) -> Value {
    let deeper = |value: &Value| bounded(value, depth + 1);
    match value {
        Value::String(text) => cut(text).into(),
        Value::Array(_) | Value::Object(_) if depth >= MOST_DEPTH => TRUNCATED.into(),
        Value::Array(items) => {
            let more = (items.len() > MOST_ITEMS).then(|| TRUNCATED.into());
            items.iter().take(MOST_ITEMS).map(deeper).chain(more).collect()
        }
        Value::Object(members) => {
            let more = (members.len() > MOST_ITEMS).then(|| (TRUNCATED.to_owned(), true.into()));
            members.iter().take(MOST_ITEMS).map(|(name, value)| (cut(name), deeper(value))).chain(more).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(events: &[(&str, Value)]) -> Journal {
        let mut journal = Journal::new("r");
        for (n, (name, data)) in events.iter().enumerate() {
            journal.apply(n as u64 + 1, name, data, Millis(7));
        }
        journal
    }

    fn text(text: &str) -> Value {
        json!({ "text": text })
    }

    #[test]
    fn steps_become_rows_with_their_tools_and_a_marker_where_it_broke_off() {
        let tool = json!({ "tid": "t", "name": "echo", "args": { "text": "x" } });
        let complete = json!({ "tid": "t", "name": "echo", "preview": "x", "is_error": false });
        let mut events = vec![
            ("reasoning", text("hm")),
            ("token", text("a ")),
            ("token", text("b")),
            ("tool", tool),
            ("tool_complete", complete),
            ("token", text("c")),
        ];
        let running = fold(&events);
        assert_eq!(running.rows(BugSet::default()), Vec::<Value>::new(), "nothing is settled while it runs");
        let snapshot = running.snapshot("s", 0);
        assert_eq!((&snapshot["last_assistant_text"], &snapshot["last_reasoning_text"]), (&json!("a bc"), &json!("hm")));
        assert_eq!((&snapshot["last_seq"], &snapshot["last_event_id"], &snapshot["event_count"]), (&json!(6), &json!("r:6"), &json!(6)));
        assert_eq!((&snapshot["tool_calls"][0]["done"], &snapshot["tool_calls"][0]["snippet"]), (&json!(true), &json!("x")));
        assert_eq!(snapshot["activity_burst_anchors"], json!([{ "id": 1, "textEnd": 3 }]));
        events.push(("apperror", json!({ "type": "interrupted", "message": "gone" })));
        let rows = fold(&events).rows(BugSet::default());
        let brief: Vec<(&str, &str, bool)> = rows
            .iter()
            .map(|row| (row["role"].as_str().unwrap(), row["content"].as_str().unwrap(), row["_recovered_from_run_journal"] == true))
            .collect();
        assert_eq!(brief, [("assistant", "a b", true), ("tool", "x", false), ("assistant", "c", true), ("assistant", "gone", false)]);
        assert_eq!((&rows[3]["_error"], &rows[3]["type"]), (&json!(true), &json!("interrupted")));
        let mut done = events[..6].to_vec();
        done.extend([("done", json!({})), ("stream_end", json!({}))]);
        let done = fold(&done);
        assert_eq!((done.state, done.rows(BugSet::default()).len()), (State::Completed, 3));
        assert_eq!(done.object("s", 0, false)["terminal_state"], "completed");
    }

    #[test]
    fn arguments_in_a_snapshot_are_bounded() {
        let deep = (0..20).fold(json!(1), |inner, _| json!({ "a": inner }));
        let args = json!({ "long": "x".repeat(9000), "many": vec![0; 100], "deep": deep });
        let bounded = arguments(&args);
        assert_eq!(bounded["long"].as_str().unwrap().len(), MOST_TEXT + TRUNCATED.len());
        assert_eq!(bounded["many"].as_array().unwrap().len(), MOST_ITEMS + 1);
        assert!(bounded["deep"].to_string().contains(TRUNCATED));
        let large = arguments(&json!(vec!["y".repeat(8000); 60]));
        assert!(large.as_str().is_some_and(|text| text.len() == MOST_ARGUMENTS + TRUNCATED.len()));
    }
}
