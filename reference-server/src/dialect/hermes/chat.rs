//! Starting, cancelling and answering: the calls that change a run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::answer::{Answered, Refusal, object, ok};
use super::conversation::{Conversation, Record, is_active, journal};
use super::journal::State as RunState;
use super::{Server, Shared, event, hex, seconds, worker};
use crate::agent::{Message, Reply};
use crate::bugs::Bug;
use crate::hub::now;
use crate::redact::redact;
use crate::session::{Append, Millis};

/// How long a cancelled run may take to say so.
const CANCEL_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn start(State(server): State<Shared>, headers: HeaderMap, body: String) -> Answered {
    let body = object(&body)?;
    let id = body["session_id"].as_str().ok_or_else(|| Refusal::bad("session_id is missing"))?;
    let _one_at_a_time = server.starting.lock().await;
    let conversation = Conversation::of(&server, &headers, id)?;
    let message = body["message"].as_str().unwrap_or_default();
    if message.trim().is_empty() {
        return Err(Refusal::bad("message is empty"));
    }
    if let Some(active) = conversation.active(&server) {
        return Err(Refusal::new(StatusCode::CONFLICT, "a run is active").with("active_stream_id", &active.run));
    }
    if server.hub.bugs.has(Bug::DeadRunHolds) && conversation.ended_by_a_crash(&server) {
        return Err(Refusal::new(StatusCode::CONFLICT, "a run is active"));
    }
    let started_at = now();
    let record = Record {
        run: hex(32),
        turn: format!("{}-{}", stamp(started_at), hex(12)),
        message: redact(message),
        attachments: attachments(&body["attachments"]),
        started_at: started_at.0,
        shift: server.remembered().numbers.remove(id).unwrap_or(0),
    };
    let mut messages = conversation.history(&server);
    messages.push(Message::User(message.to_owned()));
    server.begin(id, &record).await?;
    worker::start(&server, id, &record, messages);
    server.announce(&super::conversation::log_name(id), "server_turn_started", &json!({ "session_id": id, "stream_id": record.run }));
    server.list_changed(id);
    let conversation = Conversation::of(&server, &headers, id)?;
    ok(json!({
        "stream_id": record.run, "session_id": id, "pending_started_at": seconds(started_at), "turn_id": record.turn,
        "title": conversation.title(), "effective_model_provider": if server.model.is_built_in() { "built-in" } else { "custom" },
    }))
}

/// The names of what was sent along, however the client names them.
fn attachments(sent: &Value) -> Vec<String> {
    let name = |one: &Value| {
        let named = ["name", "filename", "path"].iter().find_map(|member| one[*member].as_str());
        let text = one.as_str().or(named)?;
        Some(redact(text.rsplit('/').next().unwrap_or(text)))
    };
    sent.as_array().map(|all| all.iter().filter_map(name).collect()).unwrap_or_default()
}

/// `YYYYMMDDThhmmssZ`.
fn stamp(at: Millis) -> String {
    let (days, second) = (at.0 / 86_400_000, at.0 / 1000 % 86_400);
    // Days since 1 March of the year 0, in eras of 400 years: <https://howardhinnant.github.io/date_algorithms.html>.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (date, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{date:02}T{:02}{:02}{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

pub(super) async fn cancel(State(server): State<Shared>, headers: HeaderMap, Query(query): Query<HashMap<String, String>>) -> Answered {
    let run = query.get("stream_id").filter(|run| !run.is_empty()).ok_or_else(|| Refusal::bad("stream_id is missing"))?;
    let cancelled = match Conversation::with_run(&server, &headers, run) {
        Ok((conversation, _)) if !is_over(&server, run) => stop(&server, &conversation.id, run).await?,
        Ok(_) | Err(_) => false,
    };
    ok(json!({ "ok": true, "cancelled": cancelled, "stream_id": run }))
}

fn is_over(server: &Server, run: &str) -> bool {
    !is_active(server, run) || server.hub.find(run).is_none_or(|cell| cell.lock().is_closed())
}

/// Stops a run and waits until it has said so, so that its successor can never meet it; false when it ended otherwise.
async fn stop(server: &Arc<Server>, session: &str, run: &str) -> Result<bool, Refusal> {
    if server.hub.bugs.has(Bug::LateWorkerWrites) {
        let data = worker::cancelled(session);
        server.hub.append(run, Append { terminal: true, ..event("cancel", &data) }).await?;
        return Ok(true);
    }
    let Some(cell) = server.hub.find(run) else { return Ok(false) };
    let mut bell = cell.bell();
    // A run whose turn is not to be found yet, or no more, is about to begin or to end: its bell rings either way.
    let ended = async {
        loop {
            bell.mark_unchanged();
            let turn = server.turns().get(run).cloned();
            if let Some(turn) = turn {
                turn.abort();
            }
            if cell.lock().is_closed() || bell.changed().await.is_err() {
                return;
            }
        }
    };
    if tokio::time::timeout(CANCEL_WITHIN, ended).await.is_err() {
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "the run did not stop in time"));
    }
    Ok(journal(server, run).is_some_and(|journal| journal.state == RunState::Cancelled))
}

/// Answers the question of a tool.
pub(super) async fn approve(State(server): State<Shared>, headers: HeaderMap, body: String) -> Answered {
    let body = object(&body)?;
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    let conversation = Conversation::of(&server, &headers, text("session_id"))?;
    let reply = match text("choice") {
        "once" => Reply::Once,
        "session" | "always" => Reply::Always,
        "deny" => Reply::Reject,
        _ => return Err(Refusal::bad("choice must be once, session, always or deny")),
    };
    let turn = conversation.active(&server).and_then(|active| server.turns().get(&active.run).cloned());
    let answered = turn.is_some_and(|turn| turn.reply(text("approval_id"), reply));
    if !answered {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "no such approval is pending"));
    }
    ok(json!({ "ok": true, "choice": text("choice") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_dates() {
        for (millis, text) in [(0, "19700101T000000Z"), (951_827_696_000, "20000229T123456Z"), (1_767_225_599_999, "20251231T235959Z")] {
            assert_eq!(stamp(Millis(millis)), text);
        }
    }
}
