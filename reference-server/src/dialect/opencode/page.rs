//! Finite reads: pages of a log, and what people see of a session.

use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::json;

use super::Shared;
use super::answer::{Answered, Refusal, ok};
use super::ledger::Ledger;
use super::log::{Log, is_public, number, refused};
use super::stream::parameter;
use crate::hub::now;
use crate::session::{Refused, Start};

/// Page sizes.
const MOST: u64 = 100;
const USUAL: usize = 50;

pub(super) async fn history(State(server): State<Shared>, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answered {
    let (after, limit) = (parameter(query.as_deref(), "after")?, parameter(query.as_deref(), "limit")?);
    let limit = match limit.as_deref().map(number) {
        None => USUAL,
        Some(Some(limit @ 1..=MOST)) => usize::try_from(limit).unwrap_or(USUAL),
        Some(_) => return Err(Refusal::invalid("Query", "Expected a whole number from 1 to 100\n  at [\"limit\"]")),
    };
    let log = Log::find(&server, &id)?;
    let start = match log.resolve(after.as_deref()) {
        Ok(start) => start,
        // The page behind the end is empty; what comes later is on a later one.
        Err(Refused::Ahead) => Start::Live,
        Err(why) => return Err(refused(why)),
    };
    let page = log.cell.lock().page_of(start, limit, now(), is_public);
    let events: Vec<String> = page.events.iter().map(|event| log.meta.envelope(event, Some(event.label), "")).collect();
    // Put together as text: payloads stand in it as they are stored.
    let body = format!(r#"{{"data":[{}],"hasMore":{}}}"#, events.join(","), page.more);
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

pub(super) async fn messages(State(server): State<Shared>, Path(id): Path<String>) -> Answered {
    let log = Log::find(&server, &id)?;
    let events = log.cell.lock().snapshot(now()).events;
    let mut shown = Ledger::of(&events).shown;
    shown.reverse();
    ok(json!({ "data": shown }))
}
