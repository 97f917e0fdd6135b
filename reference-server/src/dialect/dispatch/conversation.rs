//! A conversation: what is stored of it, and what it is doing.
//!
//! Two logs of the core hold it. Its notes say what is true of the conversation (title, status, what is queued, which log of
//! chunks is the current one); folded, they are its [`Record`]. Its chunks are the history. A compaction writes a new log of
//! chunks and notes it: whoever is killed in between finds the old one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::answer::Refusal;
use super::live::{InFlight, Outbox};
use super::{Server, event, hex};
use crate::agent::{Message, ToolCall, Turn};
use crate::bugs::Bug;
use crate::hub::now;
use crate::session::{Retention, Start};

/// Before a conversation's id, the name of the log of its notes.
const NOTES: &str = "notes/";
/// Longest id.
const MOST_ID: usize = 128;
/// How much of the first message is the title of a conversation that has none.
const MOST_TITLE: usize = 60;

/// What a conversation says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Idle,
    Active,
    Closed,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Status::Idle => "idle",
            Status::Active => "active",
            Status::Closed => "closed",
        }
    }

    /// A stored one; what is not known reads as idle.
    pub(super) fn of(word: &str) -> Status {
        match word {
            "active" => Status::Active,
            "closed" => Status::Closed,
            _ => Status::Idle,
        }
    }
}

/// Words for how hard a model shall think.
pub(super) const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

/// The notes of a conversation, folded.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) title: Option<String>,
    pub(super) status: Status,
    pub(super) effort: String,
    pub(super) threshold: Option<u64>,
    /// The core session that is the current log of chunks.
    pub(super) chunks: String,
    /// What was said and not used yet, by number.
    pub(super) queue: BTreeMap<u64, String>,
    next: u64,
}

impl Record {
    fn new() -> Record {
        let (status, effort) = (Status::Idle, "high".to_owned());
        Record { title: None, status, effort, threshold: None, chunks: String::new(), queue: BTreeMap::new(), next: 1 }
    }

    fn apply(&mut self, note: &str, data: &Value) {
        let text = || data.as_str().unwrap_or_default().to_owned();
        match note {
            "title" => self.title = Some(text()),
            "status" => self.status = Status::of(&text()),
            "effort" => self.effort = text(),
            "threshold" => self.threshold = data.as_u64(),
            "chunks" => self.chunks = text(),
            "queued" => {
                self.queue.insert(self.next, text());
                self.next += 1;
            }
            "used" => self.queue.retain(|number, _| !data.as_array().is_some_and(|used| used.contains(&json!(number)))),
            _ => {}
        }
    }
}

/// What a conversation is doing.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Idle,
    Running { turn: Turn, events: Arc<InFlight> },
}

/// A conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) id: String,
    /// Held by whoever begins or ends a turn, compacts, queues or closes: these do not mix.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// The number of turns that have settled.
    pub(super) settled: watch::Sender<u64>,
    state: Mutex<State>,
}

/// What changes of a conversation.
#[derive(Debug)]
pub(super) struct State {
    pub(super) record: Record,
    pub(super) phase: Phase,
    /// True once it takes no new turn.
    pub(super) closing: bool,
    pub(super) subscribers: Vec<Weak<Outbox>>,
    /// The last turn, which a bug keeps.
    pub(super) kept: Option<Arc<InFlight>>,
}

/// One stored chunk.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) seq: u64,
    pub(super) role: String,
    pub(super) turn: String,
    pub(super) chunk: Value,
}

impl Conversation {
    fn new(id: &str, record: Record) -> Arc<Conversation> {
        let closing = record.status == Status::Closed;
        let state = State { record, phase: Phase::Idle, closing, subscribers: Vec::new(), kept: None };
        let (changing, settled) = (tokio::sync::Mutex::default(), watch::Sender::new(0));
        Arc::new(Conversation { id: id.to_owned(), changing, settled, state: Mutex::new(state) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding a conversation")
    }

    /// The conversation of this name, made if it is not there.
    pub(super) async fn open(server: &Server, id: &str) -> Result<Arc<Conversation>, Refusal> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.is_empty() || id.len() > MOST_ID || !id.chars().all(allowed) {
            return Err(Refusal::bad(format!("conversationId has 1 to {MOST_ID} letters, digits, `-`, `_` and `.`")));
        }
        let _one_at_a_time = server.opening.lock().await;
        if let Some(found) = server.find(id) {
            return Ok(found);
        }
        let chunks = new_log(server, id).await?;
        server.hub.open(format!("{NOTES}{id}"), Retention::default()).await?;
        let conversation = Conversation::new(id, Record::new());
        conversation.note(server, "chunks", &json!(chunks)).await?;
        server.conversations().insert(id.to_owned(), Arc::clone(&conversation));
        Ok(conversation)
    }

    /// Stores a note; it is true from then on.
    pub(super) async fn note(&self, server: &Server, note: &str, data: &Value) -> Result<(), Refusal> {
        server.hub.append(&format!("{NOTES}{}", self.id), event(note, data)).await?;
        self.state().record.apply(note, data);
        Ok(())
    }

    /// Stores a status and tells everybody.
    pub(super) async fn status(&self, server: &Server, status: Status) -> Result<(), Refusal> {
        let word = status.word();
        let tell = || server.broadcast(&json!({ "type": "conversation.statusChanged", "conversationId": self.id, "status": word }));
        if server.hub.bugs.has(Bug::StatusBeforeStored) {
            tell();
            tokio::time::sleep(super::LATE).await;
            return self.note(server, "status", &json!(word)).await;
        }
        self.note(server, "status", &json!(word)).await?;
        tell();
        Ok(())
    }

    /// The name of the log of chunks.
    pub(super) fn log(&self) -> String {
        self.state().record.chunks.clone()
    }

    /// The stored chunks and the epoch of their numbers.
    pub(super) fn rows(&self, server: &Server) -> (Vec<Row>, String) {
        let Some(cell) = server.hub.find(&self.log()) else { return (Vec::new(), String::new()) };
        let (events, epoch) = {
            let mut session = cell.lock();
            (session.snapshot(now()).events, session.epoch)
        };
        let row = |stored: crate::session::Event| {
            let mut data: Value = serde_json::from_str(&stored.data).ok()?;
            let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
            Some(Row { seq: stored.seq, role: text(&data["role"]), turn: text(&data["turn"]), chunk: data["chunk"].take() })
        };
        (events.into_iter().filter_map(row).collect(), format!("{:08x}", epoch.0))
    }

    /// The history as the model is told it.
    pub(super) fn messages(&self, server: &Server) -> Vec<Message> {
        messages(&self.rows(server).0)
    }

    /// Its title: the one that was given, or the beginning of its first message.
    pub(super) fn title(&self, server: &Server) -> String {
        if let Some(title) = self.state().record.title.clone() {
            return title;
        }
        let rows = self.rows(server).0;
        let first = rows.iter().find(|row| row.role == "user").and_then(|row| row.chunk["text"].as_str()).unwrap_or_default();
        first.chars().take(MOST_TITLE).collect()
    }

    /// Subscribes a client: it is sent the running turn from its beginning, and every later one.
    pub(super) fn subscribe(&self, server: &Server, outbox: &Arc<Outbox>) {
        let bugs = server.hub.bugs;
        let mut state = self.state();
        state.subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        let known = state.subscribers.iter().any(|subscriber| std::ptr::eq(subscriber.as_ptr(), Arc::as_ptr(outbox)));
        if !known {
            state.subscribers.push(Arc::downgrade(outbox));
        }
        let again = if matches!(state.phase, Phase::Idle) { Bug::BufferKept } else { Bug::BufferNotReset };
        if let Some(kept) = state.kept.as_ref().filter(|_| !known && bugs.has(again)) {
            outbox.follow(kept, Start::Oldest, bugs);
        }
        if let Phase::Running { events, .. } = &state.phase {
            let start = if bugs.has(Bug::JoinerLiveOnly) { Start::Live } else { Start::Oldest };
            outbox.follow(events, start, bugs);
        }
    }

    /// Takes a client's subscription back.
    pub(super) fn unsubscribe(&self, server: &Server, outbox: &Arc<Outbox>) {
        let mut state = self.state();
        if server.hub.bugs.has(Bug::UnsubscribesAll) {
            for other in state.subscribers.drain(..).filter_map(|other| other.upgrade()) {
                other.leave(&self.id);
            }
        }
        state.subscribers.retain(|subscriber| !std::ptr::eq(subscriber.as_ptr(), Arc::as_ptr(outbox)));
        outbox.leave(&self.id);
    }
}

/// A new log of chunks.
pub(super) async fn new_log(server: &Server, id: &str) -> Result<String, Refusal> {
    let name = format!("chunks/{id}/{}", hex(8));
    server.hub.open(name.clone(), Retention::default()).await?;
    Ok(name)
}

/// What the model is told of stored chunks. A call without a result was interrupted, and is told so.
fn messages(rows: &[Row]) -> Vec<Message> {
    let mut all: Vec<Message> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    let close = |open: &mut Vec<String>, all: &mut Vec<Message>| {
        all.extend(open.drain(..).map(|call| Message::Tool { call, output: "interrupted".to_owned() }));
    };
    for row in rows {
        let text = |name: &str| row.chunk[name].as_str().unwrap_or_default().to_owned();
        match (row.role.as_str(), row.chunk["type"].as_str().unwrap_or_default()) {
            ("assistant", "text") => {
                close(&mut open, &mut all);
                all.push(Message::Assistant { text: text("text"), calls: Vec::new() });
            }
            ("assistant", "tool-call") => {
                let call = ToolCall { id: text("toolCallId"), name: text("toolName"), arguments: row.chunk["input"].to_string() };
                open.push(call.id.clone());
                // Calls follow the text of their step, and each other's results.
                match all.last_mut() {
                    Some(Message::Assistant { calls, .. }) => calls.push(call),
                    Some(_) | None => all.push(Message::Assistant { text: String::new(), calls: vec![call] }),
                }
            }
            ("tool", _) => {
                let call = text("toolCallId");
                open.retain(|id| *id != call);
                all.push(Message::Tool { call, output: text("content") });
            }
            ("user" | "system", "text") => {
                close(&mut open, &mut all);
                all.push(Message::User(text("text")));
            }
            (_, _) => {}
        }
    }
    close(&mut open, &mut all);
    all
}

/// Makes the conversations that the hub has kept. Those that were active when the process ended are idle, and their logs say
/// that they were interrupted; what is stored of them stays as it is.
pub(super) async fn restore(server: &Server) -> Result<(), Refusal> {
    let bugs = server.hub.bugs;
    let mut names: Vec<String> = server.hub.all().iter().map(|cell| cell.lock().id.clone()).collect();
    names.sort();
    let mut current = std::collections::HashSet::new();
    for name in names.iter().filter(|name| name.starts_with(NOTES)) {
        let Some(cell) = server.hub.find(name) else { continue };
        let mut record = Record::new();
        for note in cell.lock().snapshot(now()).events {
            record.apply(&note.event_type, &serde_json::from_str(&note.data).unwrap_or(Value::Null));
        }
        current.insert(record.chunks.clone());
        let interrupted = record.status == Status::Active;
        let conversation = Conversation::new(&name[NOTES.len()..], record);
        server.conversations().insert(conversation.id.clone(), Arc::clone(&conversation));
        if !interrupted || bugs.has(Bug::ActiveForEver) {
            continue;
        }
        let rows = conversation.rows(server).0;
        let turn = rows.last().map(|row| row.turn.clone()).unwrap_or_default();
        if bugs.has(Bug::DanglingAnsweredAgain)
            && let Some(call) = rows.iter().rfind(|row| row.chunk["type"] == "tool-call")
        {
            let result = json!({ "type": "tool-result", "toolCallId": call.chunk["toolCallId"], "toolName": call.chunk["toolName"], "content": "interrupted", "isError": true });
            server.hub.append(&conversation.log(), chunk("tool", &turn, &result)).await?;
        }
        let error = json!({ "type": "error", "message": "the server stopped during this turn", "code": "interrupted" });
        server.hub.append(&conversation.log(), chunk("assistant", &turn, &error)).await?;
        conversation.note(server, "status", &json!(Status::Idle.word())).await?;
    }
    // Logs that no note names: a compaction was killed before or behind its note.
    for name in names.iter().filter(|name| name.starts_with("chunks/") && !current.contains(*name)) {
        server.hub.delete(name).await?;
    }
    Ok(())
}

/// A chunk to store.
pub(super) fn chunk(role: &str, turn: &str, chunk: &Value) -> crate::session::Append {
    event("chunk", &json!({ "role": role, "turn": turn, "chunk": chunk }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(role: &str, chunk: Value) -> Row {
        Row { seq: 0, role: role.to_owned(), turn: "t".to_owned(), chunk }
    }

    #[test]
    fn a_call_without_result_is_told_as_interrupted_once() {
        let call = |id: &str| row("assistant", json!({ "type": "tool-call", "toolCallId": id, "toolName": "echo", "input": {} }));
        let rows = [
            row("user", json!({ "type": "text", "text": "go" })),
            row("assistant", json!({ "type": "text", "text": "a" })),
            call("c1"),
            row("tool", json!({ "type": "tool-result", "toolCallId": "c1", "content": "x" })),
            call("c2"),
            row("assistant", json!({ "type": "error", "message": "m" })),
            row("user", json!({ "type": "text", "text": "on" })),
        ];
        let tool = |call: &str, output: &str| Message::Tool { call: call.to_owned(), output: output.to_owned() };
        let calls = |id: &str| vec![ToolCall { id: id.to_owned(), name: "echo".to_owned(), arguments: "{}".to_owned() }];
        assert_eq!(
            messages(&rows),
            [
                Message::User("go".to_owned()),
                Message::Assistant { text: "a".to_owned(), calls: calls("c1") },
                tool("c1", "x"),
                Message::Assistant { text: String::new(), calls: calls("c2") },
                tool("c2", "interrupted"),
                Message::User("on".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_queued_keeps_its_order_and_is_used_once() {
        let mut record = Record::new();
        for text in ["a", "b", "c"] {
            record.apply("queued", &json!(text));
        }
        record.apply("used", &json!([2]));
        record.apply("used", &json!([2]));
        record.apply("queued", &json!("d"));
        assert_eq!(record.queue.into_iter().collect::<Vec<_>>(), [(1, "a".to_owned()), (3, "c".to_owned()), (4, "d".to_owned())]);
        assert_eq!(Status::of("strange"), Status::Idle);
    }
}
