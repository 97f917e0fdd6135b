//! Driving: sessions, prompts, interruptions, permissions.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, object, ok};
use super::log::Log;
use super::{Shared, event, event_id, new_id, turn};
use crate::agent::Reply;
use crate::session::Append;

pub(super) async fn open(State(server): State<Shared>, body: String) -> Answered {
    let body = object(&body)?;
    let id = match &body["id"] {
        Value::Null => new_id("ses"),
        Value::String(id) if is_id(id, "ses_") => id.clone(),
        _ => return Err(Refusal::invalid("Payload", "Expected an id that begins with ses_\n  at [\"id\"]")),
    };
    let parent = match &body["parentID"] {
        Value::Null => None,
        Value::String(parent) => Some(Log::find(&server, parent)?.meta.id),
        _ => return Err(Refusal::invalid("Payload", "Expected a session's id\n  at [\"parentID\"]")),
    };
    let directory = body["location"]["directory"].as_str().unwrap_or("/");
    let info = json!({ "id": id, "directory": directory, "parentID": parent, "title": "New session", "model": body["model"] });
    let log = Log::make(&server, &id, &info).await?;
    let location = json!({ "directory": log.meta.directory });
    ok(json!({ "data": { "id": log.meta.id, "location": location, "parentID": log.meta.parent } }))
}

fn is_id(id: &str, kind: &str) -> bool {
    let rest = id.strip_prefix(kind).unwrap_or_default();
    !rest.is_empty() && id.len() <= 128 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

pub(super) async fn rename(State(server): State<Shared>, Path(id): Path<String>, body: String) -> Answered {
    let (body, log) = (object(&body)?, Log::find(&server, &id)?);
    let Some(title) = body["title"].as_str() else { return Err(Refusal::invalid("Payload", "Expected a text\n  at [\"title\"]")) };
    let info = json!({ "id": log.meta.id, "directory": log.meta.directory, "title": title });
    let updated = event("session.updated", &json!({ "info": info }));
    server.hub.append(&id, updated).await.map_err(|answer| Refusal::of(answer, &id))?;
    ok(info)
}

pub(super) async fn delete(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    let log = Log::find(&server, &id)?;
    if let Some(running) = server.running().get_mut(&id) {
        running.stop();
    }
    log.delete(&server).await?;
    ok(json!(true))
}

pub(super) async fn prompt(State(server): State<Shared>, Path(id): Path<String>, body: String) -> Answered {
    let (body, log) = (object(&body)?, Log::find(&server, &id)?);
    let Some(text) = body["prompt"]["text"].as_str() else {
        return Err(Refusal::invalid("Payload", "Missing key\n  at [\"prompt\"][\"text\"]"));
    };
    let message = match &body["id"] {
        Value::Null => new_id("msg"),
        Value::String(message) if is_id(message, "msg_") => message.clone(),
        _ => return Err(Refusal::invalid("Payload", "Expected an id that begins with msg_\n  at [\"id\"]")),
    };
    let delivery = match &body["delivery"] {
        Value::Null => "steer",
        Value::String(delivery) if matches!(delivery.as_str(), "steer" | "queue") => delivery,
        _ => return Err(Refusal::invalid("Payload", "Expected steer or queue\n  at [\"delivery\"]")),
    };
    let data = json!({ "messageID": message, "prompt": body["prompt"], "delivery": delivery }).to_string();
    // The id is what makes a repeated prompt one: also one without an id of the client's gets it, and finds nothing.
    let admitted =
        Append { event_type: "session.next.prompt.admitted".into(), data: data.into(), key: Some(message.clone()), terminal: false };
    let (cursor, again) = server.hub.append(&id, admitted).await.map_err(|answer| Refusal::of(answer, &id))?;
    if !again && body["resume"] != false {
        turn::wake(&server, &log, &message, text, delivery == "queue");
    }
    let created = log.cell.lock().named(cursor).map(|event| event.at.0);
    ok(json!({ "data": {
        "admittedSeq": log.meta.shown(cursor.seq), "id": message, "sessionID": id, "prompt": body["prompt"], "delivery": delivery,
        "timeCreated": created,
    }}))
}

pub(super) async fn interrupt(State(server): State<Shared>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    Log::find(&server, &id)?;
    if let Some(running) = server.running().get_mut(&id) {
        running.stop();
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn active(State(server): State<Shared>) -> Answered {
    let active: BTreeMap<String, Value> = server.active().into_iter().map(|id| (id, json!({ "type": "running" }))).collect();
    ok(json!({ "data": active }))
}

pub(super) async fn permissions(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    Log::find(&server, &id)?;
    let asks = server.running().get(&id).map(|running| running.asks.clone()).unwrap_or_default();
    let shown: Vec<Value> = asks.iter().map(|ask| ask.shown(&id)).collect();
    ok(json!({ "data": shown }))
}

pub(super) async fn reply(State(server): State<Shared>, Path((id, ask)): Path<(String, String)>, body: String) -> Answered {
    let body = object(&body)?;
    Log::find(&server, &id)?;
    let reply = match body["reply"].as_str() {
        Some("once") => Reply::Once,
        Some("always") => Reply::Always,
        Some("reject") => Reply::Reject,
        _ => return Err(Refusal::invalid("Payload", "Expected once, always or reject\n  at [\"reply\"]")),
    };
    if server.running().get_mut(&id).is_some_and(|running| running.reply(&ask, reply)) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let message = format!("Permission request not found: {ask}");
    Err(Refusal::new(StatusCode::NOT_FOUND, "PermissionNotFoundError", &message).with("requestID", &ask))
}

pub(super) async fn toast(State(server): State<Shared>, body: String) -> Result<Response, Refusal> {
    let body = object(&body)?;
    let Some(message) = body["message"].as_str() else { return Err(Refusal::invalid("Payload", "Missing key\n  at [\"message\"]")) };
    let data = json!({ "message": message, "variant": body["variant"] });
    Arc::clone(&server).feed.say("/", &event_id(), "tui.toast.show", &data);
    ok(json!(true))
}
