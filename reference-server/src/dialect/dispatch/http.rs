//! The calls over HTTP.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use futures_util::stream;
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, object, ok};
use super::conversation::{Conversation, EFFORTS, Phase};
use super::live::{Letter, Outbox};
use super::{Shared, hex, turn};
use crate::bugs::Bug;

/// Longest title.
const MOST_TITLE: usize = 500;

/// What a client asks a turn for.
pub(super) struct Prompt {
    pub(super) conversation: Option<String>,
    pub(super) message: String,
}

impl Prompt {
    /// Reads `chat.send` and the body of `POST /chat`.
    pub(super) fn read(body: &Value) -> Result<Prompt, Refusal> {
        let text = |name: &str| match &body[name] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            _ => Err(Refusal::bad(format!("{name} must be a text"))),
        };
        let message = text("message")?.filter(|message| !message.trim().is_empty()).ok_or_else(|| Refusal::bad("message is missing"))?;
        text("model")?;
        text("cwd")?;
        if let Some(effort) = text("reasoningEffort")? {
            checked_effort(&effort)?;
        }
        Ok(Prompt { conversation: text("conversationId")?, message })
    }

    /// The conversation it is for: the one it names, made if it is not there, or a new one.
    pub(super) async fn conversation(&self, server: &Shared) -> Result<Arc<Conversation>, Refusal> {
        match &self.conversation {
            Some(id) => Conversation::open(server, id).await,
            None => Conversation::open(server, &format!("c-{}", hex(16))).await,
        }
    }
}

fn checked_effort(effort: &str) -> Result<(), Refusal> {
    let known = EFFORTS.contains(&effort);
    if known { Ok(()) } else { Err(Refusal::bad(format!("reasoningEffort must be one of {}", EFFORTS.join(", ")))) }
}

pub(super) async fn models(State(server): State<Shared>) -> Answered {
    match server.model.names().await {
        Ok(names) => ok(json!({ "models": names })),
        Err(failure) => Err(Refusal::new(StatusCode::BAD_GATEWAY, failure.to_string())),
    }
}

/// `POST /chat`: the events of the turn that it begins, one a line, up to the seal.
pub(super) async fn chat(State(server): State<Shared>, body: String) -> Answered {
    let prompt = Prompt::read(&object(&body)?)?;
    let conversation = prompt.conversation(&server).await?;
    let outbox = Outbox::new();
    let events = turn::begin(&server, &conversation, Some(&prompt.message), None).await?;
    outbox.follow(&events, crate::session::Start::Oldest, server.hub.bugs);
    let id = conversation.id.clone();
    let bugs = server.hub.bugs;
    let starter = Starter { server, conversations: vec![conversation], ended: false };
    let lines = stream::unfold((outbox, starter), move |(outbox, mut starter)| async move {
        if starter.ended {
            return None;
        }
        let mut lines = String::new();
        for letter in outbox.take(bugs).await {
            match letter {
                Letter::Event(event) => lines.extend([&*event, "\n"]),
                Letter::Over(_) => starter.ended = true,
                Letter::Notice(_) => {}
            }
        }
        Some((Ok::<_, Infallible>(Bytes::from(lines)), (outbox, starter)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-conversation-id"), &id),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// Who has begun turns. Its going changes nothing for them, unless a bug makes it.
pub(super) struct Starter {
    pub(super) server: Shared,
    pub(super) conversations: Vec<Arc<Conversation>>,
    pub(super) ended: bool,
}

impl Drop for Starter {
    fn drop(&mut self) {
        if !self.server.hub.bugs.has(Bug::TurnDiesWithItsReader) {
            return;
        }
        for conversation in &self.conversations {
            if let Phase::Running { turn, .. } = &conversation.state().phase {
                turn.abort();
            }
        }
    }
}

pub(super) async fn warm(State(server): State<Shared>, body: String) -> Answered {
    let body = object(&body)?;
    let id = body["conversationId"].as_str().ok_or_else(|| Refusal::bad("conversationId is missing"))?;
    let conversation = server.conversation(id)?;
    let _changing = conversation.changing.lock().await;
    if matches!(conversation.state().phase, Phase::Running { .. }) {
        return Err(Refusal::busy());
    }
    // Asking for the models opens the connection that the next turn takes.
    let warm = server.model.names().await.is_ok();
    ok(json!({ "conversationId": id, "warm": warm }))
}

pub(super) async fn list(State(server): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Answered {
    let wanted: Vec<&str> = query.get("status").map_or("active,idle", String::as_str).split(',').collect();
    if let Some(wrong) = wanted.iter().find(|word| !["active", "idle", "closed"].contains(word)) {
        return Err(Refusal::bad(format!("`{wrong}` is no status")));
    }
    let prefix = query.get("q").map_or("", String::as_str);
    let mut all: Vec<Arc<Conversation>> = server.conversations().values().cloned().collect();
    all.sort_by(|a, b| a.id.cmp(&b.id));
    let shown = all.iter().filter_map(|conversation| {
        let status = conversation.state().record.status.word();
        let title = conversation.title(&server);
        let fits = wanted.contains(&status) && (conversation.id.starts_with(prefix) || title.starts_with(prefix));
        fits.then(|| json!({ "conversationId": conversation.id, "status": status, "title": title }))
    });
    ok(json!({ "conversations": shown.collect::<Vec<_>>() }))
}

/// The chunks behind `sinceSeq`. A client that gives the epoch of its number as well is told when the numbers began anew.
pub(super) async fn history(
    State(server): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answered {
    let conversation = server.conversation(&id)?;
    let since = match query.get("sinceSeq").map(|since| since.parse::<u64>()) {
        None => 0,
        Some(Ok(since)) => since,
        Some(Err(_)) => return Err(Refusal::bad("sinceSeq must be a whole number from 0")),
    };
    let bugs = server.hub.bugs;
    let (rows, epoch) = conversation.rows(&server);
    let reset = query.get("epoch").is_some_and(|given| *given != epoch) && !bugs.has(Bug::CompactionUnsigned);
    let behind = if reset { 0 } else { since };
    let behind = if bugs.has(Bug::SinceInclusive) { behind.saturating_sub(1) } else { behind };
    let rows: Vec<_> = rows.iter().filter(|row| row.seq > behind).collect();
    let empty = if bugs.has(Bug::SinceInclusive) { 0 } else { since };
    let latest = rows.last().map_or(empty, |row| row.seq);
    let chunks: Vec<Value> = rows.iter().map(|row| json!({ "seq": row.seq, "role": row.role, "chunk": row.chunk })).collect();
    let mut answer = json!({ "chunks": chunks, "latestSeq": latest });
    if !bugs.has(Bug::CompactionUnsigned) {
        answer["epoch"] = json!(epoch);
    }
    if reset {
        answer["reset"] = json!(true);
    }
    ok(answer)
}

/// Waits until no turn runs, and gives the text of the last one.
pub(super) async fn last(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    let conversation = server.conversation(&id)?;
    let mut settled = conversation.settled.subscribe();
    let running = |conversation: &Conversation| matches!(conversation.state().phase, Phase::Running { .. });
    let mut stopping = server.hub.stopping();
    while running(&conversation) {
        tokio::select! {
            changed = settled.changed() => if changed.is_err() { break },
            _ = stopping.wait_for(|stopping| *stopping) => return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")),
        }
    }
    let rows = conversation.rows(&server).0;
    let turn = rows.last().map(|row| row.turn.as_str()).unwrap_or_default();
    let text = rows.iter().rfind(|row| row.turn == turn && row.role == "assistant" && row.chunk["type"] == "text");
    let text = text.map_or(Value::Null, |row| row.chunk["text"].clone());
    ok(json!({ "conversationId": id, "turnId": turn, "text": text }))
}

pub(super) async fn queue(State(server): State<Shared>, Path(id): Path<String>, body: String) -> Answered {
    let conversation = server.conversation(&id)?;
    let body = object(&body)?;
    let message = body["message"].as_str().filter(|message| !message.trim().is_empty());
    turn::queue(&server, &conversation, message.ok_or_else(|| Refusal::bad("message is missing"))?).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(json!({ "conversationId": id, "queued": true }))).into_response())
}

pub(super) async fn close(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    let conversation = server.conversation(&id)?;
    // Whoever asked may leave: what was begun is done.
    let closing = tokio::spawn(async move { turn::close(&server, &conversation).await });
    let aborted = closing.await.map_err(|e| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))??;
    ok(json!({ "conversationId": id, "abortedTurn": aborted }))
}

pub(super) async fn open(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    server.conversation(&id)?;
    server.broadcast(&json!({ "type": "conversation.open", "conversationId": id }));
    ok(json!({ "conversationId": id }))
}

pub(super) async fn title(State(server): State<Shared>, Path(id): Path<String>, body: String) -> Answered {
    let conversation = server.conversation(&id)?;
    let body = object(&body)?;
    let title = body["title"].as_str().filter(|title| title.len() <= MOST_TITLE);
    let title = title.ok_or_else(|| Refusal::bad(format!("title must be a text of at most {MOST_TITLE} bytes")))?;
    conversation.note(&server, "title", &json!(title)).await?;
    ok(json!({ "conversationId": id, "title": title }))
}

pub(super) async fn effort(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    let effort = server.conversation(&id)?.state().record.effort.clone();
    ok(json!({ "conversationId": id, "reasoningEffort": effort }))
}

pub(super) async fn set_effort(State(server): State<Shared>, Path(id): Path<String>, body: String) -> Answered {
    let conversation = server.conversation(&id)?;
    let body = object(&body)?;
    let effort = body["reasoningEffort"].as_str().unwrap_or_default();
    checked_effort(effort)?;
    conversation.note(&server, "effort", &json!(effort)).await?;
    ok(json!({ "conversationId": id, "reasoningEffort": effort }))
}

pub(super) async fn compact(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    let conversation = server.conversation(&id)?;
    ok(super::compact::compact(&server, &conversation).await?)
}

pub(super) async fn threshold(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    let threshold = server.conversation(&id)?.state().record.threshold;
    ok(json!({ "conversationId": id, "threshold": threshold }))
}

/// The number of input tokens from which on a settled turn is followed by a compaction; null for never.
pub(super) async fn set_threshold(State(server): State<Shared>, Path(id): Path<String>, body: String) -> Answered {
    let conversation = server.conversation(&id)?;
    let threshold = object(&body)?["threshold"].clone();
    if !threshold.is_null() && threshold.as_u64().is_none_or(|threshold| threshold == 0) {
        return Err(Refusal::bad("threshold must be a whole number from 1, or null"));
    }
    conversation.note(&server, "threshold", &threshold).await?;
    ok(json!({ "conversationId": id, "threshold": threshold }))
}
