//! Conversations: the turns that were started, and what a restart does with those that have no end.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, object, ok};
use super::journal::{Journal, State as RunState};
use super::{Server, Shared, auth, event, hex};
use crate::agent::Message;
use crate::bugs::Bug;
use crate::hub::{Answer, Cell, now};
use crate::session::{Append, Millis, Retention};

/// Before the session id, the name of the core session of a conversation.
const PREFIX: &str = "conversation/";
/// Longest session id.
const MOST_ID: usize = 64;

/// A turn that was started; what became of it is in its journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The run's id, which is its stream's, and the name of its core session.
    pub(super) run: String,
    pub(super) turn: String,
    /// What the human said, redacted.
    pub(super) message: String,
    pub(super) attachments: Vec<String>,
    pub(super) started_at: u64,
    /// What a bug adds to the numbers of the run.
    pub(super) shift: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Opened {
    profile: String,
    created_at: u64,
}

/// A conversation as it is now.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) id: String,
    pub(super) cell: Arc<Cell>,
    pub(super) profile: String,
    pub(super) created_at: Millis,
    /// Its turns, oldest first.
    pub(super) records: Vec<Record>,
    /// The answer that a late worker has put over the newest one; only a bug lets it.
    pub(super) overwritten: Option<String>,
}

/// The name of its core session.
pub(super) fn log_name(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn profile(headers: &HeaderMap) -> String {
    auth::cookie(headers, "hermes_profile").unwrap_or("default").to_owned()
}

impl Conversation {
    /// The conversation of this id.
    pub(super) fn find(server: &Server, id: &str) -> Option<Conversation> {
        let cell = server.hub.find(&log_name(id))?;
        let events = cell.lock().snapshot(now()).events;
        let opened = events.first().and_then(|first| serde_json::from_str(&first.data).ok());
        let opened = opened.unwrap_or(Opened { profile: "default".to_owned(), created_at: 0 });
        let of = |name: &'static str| events.iter().filter(move |event| &*event.event_type == name);
        let records = of("turn").filter_map(|event| serde_json::from_str(&event.data).ok()).collect();
        let overwritten = of("overwritten").next_back().and_then(|event| serde_json::from_str(&event.data).ok());
        Some(Conversation { id: id.to_owned(), cell, profile: opened.profile, created_at: Millis(opened.created_at), records, overwritten })
    }

    /// The conversation of this id, if it belongs to the profile of the request; any other one is not there.
    pub(super) fn of(server: &Server, headers: &HeaderMap, id: &str) -> Result<Conversation, Refusal> {
        let found = Conversation::find(server, id).ok_or_else(Refusal::no_session)?;
        if found.is_foreign(server, headers) { Err(Refusal::no_session()) } else { Ok(found) }
    }

    /// True when it belongs to another profile than the request.
    pub(super) fn is_foreign(&self, server: &Server, headers: &HeaderMap) -> bool {
        self.profile != profile(headers) && !server.hub.bugs.has(Bug::ProfileUnchecked)
    }

    /// The conversation that has this run, and the run's place in it.
    pub(super) fn with_run(server: &Server, headers: &HeaderMap, run: &str) -> Result<(Conversation, usize), Refusal> {
        let session = server.run_of(run).ok_or_else(Refusal::no_stream)?;
        let found = Conversation::of(server, headers, &session).map_err(|_| Refusal::no_stream())?;
        let at = found.records.iter().position(|record| record.run == run).ok_or_else(Refusal::no_stream)?;
        Ok((found, at))
    }

    /// The turn that runs now.
    pub(super) fn active(&self, server: &Server) -> Option<&Record> {
        self.records.last().filter(|last| is_active(server, &last.run))
    }

    /// True when its newest turn was ended by a stop of the process.
    pub(super) fn ended_by_a_crash(&self, server: &Server) -> bool {
        self.records.last().and_then(|last| journal(server, &last.run)).is_some_and(|journal| journal.state == RunState::Crashed)
    }

    /// The title: the first thing said.
    pub(super) fn title(&self) -> String {
        let first = self.records.first().map_or("", |record| record.message.as_str());
        let line: String = first.trim().lines().next().unwrap_or("").chars().take(60).collect();
        if line.is_empty() { "Untitled".to_owned() } else { line }
    }

    /// What was said before the newest turn, for the model.
    pub(super) fn history(&self, server: &Server) -> Vec<Message> {
        let settled = self.records.iter().flat_map(|record| {
            let said = std::iter::once(Message::User(record.message.clone()));
            said.chain(journal(server, &record.run).map(|journal| journal.messages()).unwrap_or_default())
        });
        settled.collect()
    }
}

/// The journal of a run as it is now.
pub(super) fn journal(server: &Server, run: &str) -> Option<Journal> {
    let cell = server.hub.find(run)?;
    let events = cell.lock().snapshot(now()).events;
    Some(Journal::of(run, &events))
}

/// True while a run may say more.
pub(super) fn is_active(server: &Server, run: &str) -> bool {
    let Some(cell) = server.hub.find(run) else { return false };
    let closed = cell.lock().is_closed();
    if closed && server.hub.bugs.has(Bug::CancelledStillActive) {
        return journal(server, run).is_some_and(|journal| journal.state == RunState::Cancelled);
    }
    !closed && !server.remembered().dead.contains(run)
}

impl Server {
    /// The conversation of a run.
    pub(super) fn run_of(&self, run: &str) -> Option<String> {
        self.runs.lock().expect("nobody panics while holding the runs").get(run).cloned()
    }

    fn know(&self, run: &str, session: &str) {
        self.runs.lock().expect("nobody panics while holding the runs").insert(run.to_owned(), session.to_owned());
    }

    fn forget(&self, run: &str) {
        self.runs.lock().expect("nobody panics while holding the runs").remove(run);
        self.attended().remove(run);
    }

    /// Opens a run and adds it to its conversation. The run comes first: a run that no conversation names is removed at the
    /// next start, while a turn without a run would have no end.
    pub(super) async fn begin(&self, session: &str, record: &Record) -> Result<(), Answer> {
        self.hub.open(record.run.clone(), self.hub.retention).await?;
        self.know(&record.run, session);
        let data = serde_json::to_value(record).expect("a record is JSON");
        self.hub.append(&log_name(session), event("turn", &data)).await.map(|_| ())
    }
}

fn names(server: &Server) -> Vec<String> {
    server.hub.all().iter().map(|cell| cell.lock().id.clone()).collect()
}

/// Every conversation there is.
pub(super) fn all(server: &Server) -> Vec<Conversation> {
    names(server).iter().filter_map(|name| name.strip_prefix(PREFIX)).filter_map(|id| Conversation::find(server, id)).collect()
}

fn is_run(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Ends every run that a stop of the process has left without an end, once and with an id of its own, and removes runs that
/// no conversation names.
pub(super) async fn repair(server: &Server) -> Result<(), Answer> {
    for conversation in all(server) {
        server.remembered().restarted |= !conversation.records.is_empty();
        for record in &conversation.records {
            server.know(&record.run, &conversation.id);
            end_interrupted(server, &conversation.id, &record.run).await?;
        }
    }
    for name in names(server).into_iter().filter(|name| is_run(name) && server.run_of(name).is_none()) {
        server.hub.delete(&name).await?;
    }
    Ok(())
}

async fn end_interrupted(server: &Server, session: &str, run: &str) -> Result<(), Answer> {
    let bugs = server.hub.bugs;
    let Some(cell) = server.hub.find(run).filter(|cell| !cell.lock().is_closed()) else { return Ok(()) };
    let last_seq = cell.lock().head().seq;
    if bugs.has(Bug::RepairSkipped) || bugs.has(Bug::UnstoredId) {
        server.remembered().dead.insert(run.to_owned());
        return Ok(());
    }
    let finished = journal(server, run).is_some_and(|journal| journal.state == RunState::Completed);
    let last = if finished {
        // It had said that it was done; only the last word is missing.
        event("stream_end", &json!({ "session_id": session }))
    } else {
        event("apperror", &interrupted(session, run, last_seq, bugs.has(Bug::RepairBeforeJournal)))
    };
    server.hub.append(run, Append { terminal: true, ..last }).await.map(|_| ())
}

/// What the end of an interrupted run says.
pub(super) fn interrupted(session: &str, run: &str, last_seq: u64, nothing: bool) -> Value {
    let message = if nothing { "The run was interrupted; no output was recovered." } else { "The run was interrupted by a restart." };
    json!({
        "type": "interrupted", "recovery_control": true, "message": message, "hint": "Send the message again to continue.",
        "session_id": session, "stream_id": run, "journal_last_seq": last_seq,
    })
}

pub(super) async fn new(State(server): State<Shared>, headers: HeaderMap, body: String) -> Answered {
    let body = object(&body)?;
    let id = match body.get("session_id") {
        None | Some(Value::Null) => hex(12),
        Some(Value::String(id)) if valid(id) => id.clone(),
        Some(_) => return Err(Refusal::bad("a session_id has 1 to 64 characters of A-Z a-z 0-9 _ - and no dot in front")),
    };
    let opened = Opened { profile: profile(&headers), created_at: now().0 };
    let name = log_name(&id);
    server.hub.open(name.clone(), Retention::default()).await?;
    server.hub.append(&name, event("session", &serde_json::to_value(opened).expect("it is JSON"))).await?;
    server.list_changed(&id);
    let conversation = Conversation::of(&server, &headers, &id)?;
    ok(json!({ "session": super::view::metadata(&server, &conversation) }))
}

/// Ids become names of folders: nothing that means another folder is one.
fn valid(id: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (1..=MOST_ID).contains(&id.len()) && id.bytes().all(inner) && !id.starts_with('.')
}

pub(super) async fn delete(State(server): State<Shared>, headers: HeaderMap, body: String) -> Answered {
    let body = object(&body)?;
    let id = body["session_id"].as_str().ok_or_else(|| Refusal::bad("session_id is missing"))?;
    let _starting = server.starting.lock().await;
    let conversation = Conversation::of(&server, &headers, id)?;
    // The conversation goes first: runs that are left behind by a crash are removed at the next start.
    server.hub.delete(&log_name(id)).await?;
    let mut events = 0;
    for record in &conversation.records {
        if let Some(turn) = server.turns().get(&record.run) {
            turn.abort();
        }
        events += server.hub.find(&record.run).map_or(0, |cell| cell.lock().head().seq);
        // A run that was never opened need not be removed.
        let _ = server.hub.delete(&record.run).await;
        if !server.hub.bugs.has(Bug::DeletedStillStreams) {
            server.forget(&record.run);
        }
    }
    if server.hub.bugs.has(Bug::NumbersSurvive) {
        server.remembered().numbers.insert(id.to_owned(), events);
    }
    let folder = server.attachments.join(id);
    match tokio::fs::remove_dir_all(&folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot remove the attachments: {error}")));
        }
        Ok(()) | Err(_) => {}
    }
    server.list_changed(id);
    ok(json!({ "ok": true }))
}
