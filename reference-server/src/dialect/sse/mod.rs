//! The base dialect `sse`: sessions over plain HTTP, streams as server-sent events.
//!
//! Routes and refusals are here, frames in `frame.rs`, the stream in `stream.rs`, finite reads in `page.rs`.

mod frame;
mod page;
mod refuse;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use crate::bugs::Bug;
use crate::hub::Hub;
use crate::session::{Append, Retention};
use refuse::Refusal;

/// Largest request body.
const MOST_BODY: usize = 8 << 20;

/// Types that the dialect sends itself.
const RESERVED: [&str; 3] = ["ready", "gap", "end"];

/// What the handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) hub: Arc<Hub>,
    pub(crate) heartbeat: Duration,
    pub(crate) boot: String,
}

/// The routes.
pub(crate) fn router(shared: Shared) -> Router {
    let events = post(publish).get(stream::subscribe);
    let events = if shared.hub.bugs.has(Bug::AnyMethod) { events.fallback(stream::subscribe) } else { events };
    Router::new()
        .route("/health", get(health))
        .route("/sessions", post(open))
        .route("/sessions/{id}", axum::routing::delete(delete))
        .route("/sessions/{id}/events", events)
        .route("/sessions/{id}/history", get(page::history))
        .route("/sessions/{id}/snapshot", get(page::snapshot))
        .route("/sessions/{id}/close", post(close))
        .fallback(any(|| async { Refusal::new(StatusCode::NOT_FOUND, "no_such_path", "there is nothing at this path") }))
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path does not take that method")
        })
        .layer(axum::middleware::from_fn_with_state(shared.clone(), refuse::shape))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(shared)
}

async fn health(State(shared): State<Shared>) -> Response {
    Json(json!({ "status": "ok", "boot": shared.boot })).into_response()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OpenBody {
    id: Option<String>,
    retain: RetainBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RetainBody {
    records: Option<f64>,
    bytes: Option<f64>,
    age_ms: Option<f64>,
}

async fn open(State(shared): State<Shared>, body: String) -> Result<Response, Refusal> {
    let body: OpenBody = if body.trim().is_empty() { OpenBody::default() } else { parse(&body)? };
    let asked = Retention::asked(body.retain.records, body.retain.bytes, body.retain.age_ms, shared.hub.retention);
    let retention = match asked {
        Ok(retention) => retention,
        // A prune loop that counts down to a bound below zero never ends.
        Err(_) if shared.hub.bugs.has(Bug::NegativeRetention) => std::future::pending().await,
        Err(why) => return Err(Refusal::bad("retention", &why)),
    };
    let id = body.id.unwrap_or_else(|| format!("s{:016x}", rand::random::<u64>()));
    if id.is_empty() || id.len() > 128 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(Refusal::bad("id", "a session id has 1 to 128 characters of A-Z a-z 0-9 - _ ."));
    }
    let cursor = shared.hub.open(id.clone(), retention).await?;
    Ok((StatusCode::CREATED, Json(json!({ "session": id, "epoch": cursor.epoch.to_string(), "cursor": cursor.to_string() })))
        .into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishBody {
    #[serde(rename = "type", default = "message")]
    event_type: String,
    data: Box<RawValue>,
    #[serde(default = "yes")]
    durable: bool,
}

fn message() -> String {
    "message".to_owned()
}

fn yes() -> bool {
    true
}

async fn publish(State(shared): State<Shared>, Path(id): Path<String>, headers: HeaderMap, body: String) -> Result<Response, Refusal> {
    let body: PublishBody = parse(&body)?;
    let unescaped = shared.hub.bugs.has(Bug::TypeUnescaped);
    if RESERVED.contains(&body.event_type.as_str()) {
        return Err(Refusal::bad("type", "`ready`, `gap` and `end` are the server's own types"));
    }
    // SSE-46: a line break in a type would break the frame.
    if (body.event_type.contains(['\n', '\r', '\0']) && !unescaped) || body.event_type.is_empty() || body.event_type.len() > 256 {
        return Err(Refusal::bad("type", "a type has 1 to 256 bytes without line breaks and NUL"));
    }
    let data = one_line(body.data.get());
    let Some(cell) = shared.hub.find(&id) else {
        if shared.hub.bugs.has(Bug::CreatesOnPublish) {
            let _ = shared.hub.open(id.clone(), shared.hub.retention).await;
            return append(&shared, &id, body.event_type, data, &headers).await;
        }
        return Err(Refusal::unknown());
    };
    if body.durable {
        return append(&shared, &id, body.event_type, data, &headers).await;
    }
    {
        let mut session = cell.lock();
        if session.is_closed() {
            return Err(Refusal::closed());
        }
        session.announce(&body.event_type, &data);
        if shared.hub.bugs.has(Bug::EphemeralReplayed) {
            session.keep(&body.event_type, &data);
        }
    }
    cell.ring();
    Ok((StatusCode::ACCEPTED, Json(json!({ "cursor": null }))).into_response())
}

async fn append(shared: &Shared, id: &str, event_type: String, data: String, headers: &HeaderMap) -> Result<Response, Refusal> {
    let key = match headers.get("idempotency-key").map(|v| v.to_str()) {
        Some(Ok(key)) if !key.is_empty() && key.len() <= 256 => Some(key.to_owned()),
        Some(_) => return Err(Refusal::bad("idempotency-key", "an idempotency key has 1 to 256 visible ASCII characters")),
        None => None,
    };
    let (cursor, again) = shared.hub.append(id, Append { event_type: event_type.into(), data: data.into(), key, terminal: false }).await?;
    let status = if again { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(json!({ "cursor": cursor.to_string() }))).into_response())
}

async fn close(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let terminal = Append { event_type: "end".into(), data: json!({ "reason": "closed" }).to_string().into(), key: None, terminal: true };
    let (cursor, _) = shared.hub.append(&id, terminal).await?;
    Ok(Json(json!({ "cursor": cursor.to_string() })).into_response())
}

async fn delete(State(shared): State<Shared>, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    shared.hub.delete(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A JSON text without the blanks between its tokens, and nothing else changed: numbers keep their digits, strings their
/// escapes. A valid JSON string holds no line break, so the result is one line.
fn one_line(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    json.chars()
        .filter(|c| {
            let kept = quoted || !matches!(c, ' ' | '\t' | '\n' | '\r');
            quoted ^= *c == '"' && !escaped;
            escaped = quoted && *c == '\\' && !escaped;
            kept
        })
        .collect()
}

fn parse<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, Refusal> {
    serde_json::from_str(body).map_err(|e| Refusal::bad("body", &e.to_string()))
}
