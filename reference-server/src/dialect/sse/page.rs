//! Finite reads: history pages and the snapshot.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::Shared;
use super::refuse::Refusal;
use crate::bugs::Bug;
use crate::hub::{Cell, now};
use crate::session::{Cursor, Epoch, Event, Refused, Snapshot, Start};

/// Largest page.
const MOST: i64 = 1000;
/// How long the bugs that read a snapshot in two steps wait for something to come between them.
const TORN: Duration = Duration::from_millis(25);

#[derive(Debug, Deserialize)]
pub(super) struct HistoryQuery {
    after: Option<String>,
    limit: Option<String>,
}

// Payloads stand in the answers as they were published: a detour through a JSON value would change numbers and refuse
// escapes of lone surrogates.
#[derive(Debug, Serialize)]
struct HistoryBody {
    events: Vec<Item>,
    next: String,
    more: bool,
    gap: bool,
}

#[derive(Debug, Serialize)]
struct SnapshotBody {
    session: String,
    cursor: String,
    closed: bool,
    items: Vec<Item>,
}

pub(super) async fn history(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Refusal> {
    let clamped = shared.hub.bugs.has(Bug::LimitClamped);
    let limit = match query.limit.as_deref().map(str::parse::<i64>) {
        None => 100,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(Ok(limit)) if clamped => limit.clamp(1, MOST),
        Some(_) => return Err(Refusal::bad("limit", "limit is a whole number from 1 to 1000")),
    };
    let limit = if shared.hub.bugs.has(Bug::LimitIgnored) { MOST } else { limit };
    let cell = shared.hub.find(&id).ok_or_else(Refusal::unknown)?;
    let mut session = cell.lock();
    let start = match session.resolve(query.after.as_deref(), |_| false) {
        Ok(start) => start,
        // The end of a closed session's history is an empty page, not a refusal.
        Err(Refused::Ended) => Start::Live,
        Err(refused) => return Err(refused.into()),
    };
    let page = session.page(start, usize::try_from(limit).unwrap_or(1), now());
    let events = page.events.iter().map(|e| item(e, session.head().epoch)).collect();
    drop(session);
    Ok(Json(HistoryBody { events, next: page.next.to_string(), more: page.more, gap: page.gap }).into_response())
}

pub(super) async fn snapshot(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let cell = shared.hub.find(&id).ok_or_else(Refusal::unknown)?;
    let Snapshot { mut events, mut cursor, closed } = cell.lock().snapshot(now());
    if shared.hub.bugs.has(Bug::SnapshotAhead) {
        next_change(&cell).await;
        cursor = cell.lock().head();
    }
    if shared.hub.bugs.has(Bug::SnapshotBehind) {
        next_change(&cell).await;
        events = cell.lock().snapshot(now()).events;
    }
    let items = events.iter().map(|e| item(e, cursor.epoch)).collect();
    Ok(Json(SnapshotBody { session: id, cursor: cursor.to_string(), closed, items }).into_response())
}

async fn next_change(cell: &Cell) {
    let mut bell = cell.bell();
    let _ = tokio::time::timeout(TORN, bell.changed()).await;
}

/// An event on a page.
#[derive(Debug, Serialize)]
struct Item {
    cursor: String,
    #[serde(rename = "type")]
    event_type: String,
    data: Box<RawValue>,
}

fn item(event: &Event, epoch: Epoch) -> Item {
    let data = RawValue::from_string(event.data.to_string()).unwrap_or_else(|_| {
        // Only a bug stores what is no JSON; it is shown as text.
        to_raw_value(&*event.data).expect("text is always JSON")
    });
    Item { cursor: Cursor { epoch, seq: event.label }.to_string(), event_type: event.event_type.to_string(), data }
}
