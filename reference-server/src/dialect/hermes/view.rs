//! Finite reads: a conversation, the list of them, the status of a run. Reading changes nothing.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, ok};
use super::conversation::{Conversation, Record, is_active, journal};
use super::journal::{Journal, State as RunState};
use super::{Server, Shared, seconds};
use crate::bugs::Bug;
use crate::hub::now;
use crate::session::Millis;

/// How long the bugs of snapshots wait for the next event between their two reads.
const TORN: std::time::Duration = std::time::Duration::from_millis(30);

/// What every view of a conversation begins with.
pub(super) fn metadata(server: &Server, conversation: &Conversation) -> Value {
    let active = conversation.active(server);
    let newest = conversation.records.last();
    let ended = newest.and_then(|record| journal(server, &record.run)).filter(|journal| journal.state != RunState::Running);
    let started = newest.map_or(Millis(0), |record| Millis(record.started_at));
    let touched = server.remembered().touched.get(&conversation.id).copied().unwrap_or(Millis(0));
    let updated = conversation.created_at.max(started).max(touched).max(ended.map_or(Millis(0), |journal| journal.last_at));
    json!({
        "session_id": conversation.id, "title": conversation.title(), "created_at": seconds(conversation.created_at),
        "updated_at": seconds(updated), "message_count": messages(server, conversation, None).len(), "is_streaming": active.is_some(),
        "active_stream_id": active.map(|record| &record.run), "pending_user_message": active.map(|record| &record.message),
        "pending_attachments": active.map_or(&[][..], |record| &record.attachments),
        "pending_started_at": active.map(|record| seconds(Millis(record.started_at))), "profile": conversation.profile,
        "workspace": server.workspace,
    })
}

/// The settled rows: of every run that has ended, and of the one that `ending` is about to end.
fn messages(server: &Server, conversation: &Conversation, ending: Option<&Journal>) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let bugs = server.hub.bugs;
    for record in &conversation.records {
        let stored = || journal(server, &record.run);
        let journal = ending.filter(|ending| ending.run() == record.run).cloned().or_else(stored);
        let dead = server.remembered().dead.contains(&record.run);
        match journal {
            Some(journal) if journal.state == RunState::Running && !dead => {}
            Some(journal) => {
                if !(journal.state == RunState::Cancelled && bugs.has(Bug::CancelLosesPrompt)) {
                    rows.push(user(record));
                }
                rows.extend(journal.rows(bugs));
            }
            None => rows.push(user(record)),
        }
    }
    if let Some(text) = &conversation.overwritten
        && let Some(row) = rows.iter_mut().rev().find(|row| row["role"] == "assistant")
    {
        row["content"] = text.clone().into();
    }
    if bugs.has(Bug::RowAppendedAgain)
        && server.remembered().restarted
        && let Some(at) = rows.iter().rposition(|row| row["role"] == "user")
    {
        rows.insert(at, rows[at].clone());
    }
    rows
}

fn user(record: &Record) -> Value {
    let mut row = json!({ "role": "user", "content": record.message, "timestamp": seconds(Millis(record.started_at)) });
    if !record.attachments.is_empty() {
        row["attachments"] = json!(record.attachments);
    }
    row
}

/// The conversation as it is once `ending`, its newest run, has ended.
pub(super) fn settled(server: &Server, conversation: &Conversation, ending: &Journal) -> Value {
    let mut session = metadata(server, conversation);
    let rows = messages(server, conversation, Some(ending));
    for pending in ["active_stream_id", "pending_user_message", "pending_started_at"] {
        session[pending] = Value::Null;
    }
    session["pending_attachments"] = json!([]);
    session["is_streaming"] = false.into();
    session["updated_at"] = seconds(ending.last_at).into();
    session["message_count"] = rows.len().into();
    session["messages"] = rows.into();
    session
}

pub(super) async fn session(State(server): State<Shared>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answered {
    let id = query.get("session_id").filter(|id| !id.is_empty()).ok_or_else(|| Refusal::bad("session_id is missing"))?;
    let conversation = Conversation::find(&server, id).ok_or_else(Refusal::no_session)?;
    if conversation.is_foreign(&server, &headers) {
        return Err(Refusal::new(StatusCode::CONFLICT, "Session belongs to another profile"));
    }
    let limit = match query.get("msg_limit").map(|limit| limit.parse::<usize>()) {
        None => None,
        Some(Ok(limit)) if limit > 0 => Some(limit),
        Some(Ok(_) | Err(_)) => return Err(Refusal::bad("msg_limit must be a whole number from 1")),
    };
    let without = query.get("messages").is_some_and(|messages| messages == "0");
    let mut session = metadata(&server, &conversation);
    if !without {
        let mut rows = messages(&server, &conversation, None);
        if let Some(limit) = limit {
            rows.drain(..rows.len().saturating_sub(limit));
        }
        session["messages"] = rows.into();
    }
    if let Some(active) = conversation.active(&server) {
        let wants = without || limit.is_none();
        if let Some((journal, snapshot)) = snapshot(&server, id, active).await {
            session["runtime_journal"] = journal;
            if wants {
                session["runtime_journal_snapshot"] = snapshot;
            }
        }
    }
    ok(json!({ "session": session }))
}

/// The journal object and the snapshot of a run, both true at the same event.
async fn snapshot(server: &Server, session: &str, record: &Record) -> Option<(Value, Value)> {
    let bugs = server.hub.bugs;
    let cell = server.hub.find(&record.run)?;
    let mut events = cell.lock().snapshot(now()).events;
    let mut snapshot = Journal::of(&record.run, &events).snapshot(session, record.shift);
    if bugs.has(Bug::SnapshotAhead) || bugs.has(Bug::SnapshotBehind) {
        let mut bell = cell.bell();
        let _ = tokio::time::timeout(TORN, bell.changed()).await;
        events = cell.lock().snapshot(now()).events;
        let later = Journal::of(&record.run, &events).snapshot(session, record.shift);
        let (mut state, cursor) = if bugs.has(Bug::SnapshotAhead) { (snapshot, later) } else { (later, snapshot) };
        for member in ["last_seq", "last_event_id"] {
            state[member] = cursor[member].clone();
        }
        snapshot = state;
    }
    if bugs.has(Bug::SnapshotUnredacted)
        && let Some(raw) = server.remembered().raw.get(&record.run)
    {
        snapshot["last_assistant_text"] = raw.clone().into();
    }
    Some((Journal::of(&record.run, &events).object(session, record.shift, false), snapshot))
}

pub(super) async fn list(State(server): State<Shared>, headers: HeaderMap) -> Answered {
    let own = super::conversation::all(&server).into_iter().filter(|found| !found.is_foreign(&server, &headers));
    let mut all: Vec<Value> = own.map(|found| metadata(&server, &found)).collect();
    // Newest first; the id decides between two of the same moment, so that the order is the same every time.
    let key = |one: &Value| (one["updated_at"].as_f64().unwrap_or(0.0), one["session_id"].as_str().unwrap_or("").to_owned());
    all.sort_by(|a, b| key(b).partial_cmp(&key(a)).unwrap_or(std::cmp::Ordering::Equal));
    ok(json!({ "sessions": all }))
}

pub(super) async fn status(State(server): State<Shared>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answered {
    let run = query.get("stream_id").map_or("", String::as_str);
    // Asked first: the journal of a run that is over, read afterwards, has its end.
    let active = is_active(&server, run);
    let found =
        Conversation::with_run(&server, &headers, run).ok().and_then(|(conversation, at)| Some((conversation, at, journal(&server, run)?)));
    let Some((conversation, at, journal)) = found else {
        return ok(json!({ "active": false, "stream_id": run, "replay_available": false }));
    };
    let lost = server.remembered().dead.contains(run);
    let object = journal.object(&conversation.id, conversation.records[at].shift, lost);
    ok(json!({ "active": active, "stream_id": run, "replay_available": true, "journal": object }))
}
