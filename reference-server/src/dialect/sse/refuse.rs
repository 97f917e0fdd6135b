//! Refusals: a status and a JSON body, always before a stream (SSE-11).

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Shared;
use crate::bugs::Bug;
use crate::hub::Answer;
use crate::session::{Refusal as NoAppend, Refused};

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: String,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &str, message: &str) -> Refusal {
        Refusal { status, code: code.to_owned(), message: message.to_owned() }
    }

    pub(super) fn bad(what: &str, why: &str) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, &format!("bad_{what}"), why)
    }

    pub(super) fn unknown() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "no_such_session", "there is no session of this name")
    }

    pub(super) fn closed() -> Refusal {
        Refusal::new(StatusCode::CONFLICT, "closed", "the session has ended")
    }

    pub(super) fn with(mut self, more: &str) -> Refusal {
        self.message.push_str(more);
        self
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        match refused {
            Refused::Deleted => Refusal::unknown(),
            Refused::Malformed => {
                Refusal::new(StatusCode::BAD_REQUEST, "cursor_malformed", "a cursor is 8 hex digits, a colon and a number")
            }
            Refused::Ahead => Refusal::new(StatusCode::CONFLICT, "cursor_ahead", "the cursor is above the newest event"),
            Refused::Epoch => Refusal::new(StatusCode::GONE, "cursor_epoch", "the cursor belongs to another history; start anew"),
            // SSE-2: the standard's word for "stop reconnecting".
            Refused::Ended => Refusal::new(StatusCode::NO_CONTENT, "", ""),
        }
    }
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Refusal {
        match answer {
            Answer::Unknown | Answer::Refused(NoAppend::Deleted) => Refusal::unknown(),
            Answer::Exists => Refusal::new(StatusCode::CONFLICT, "exists", "there is a session of this name"),
            Answer::Refused(NoAppend::Closed) => Refusal::closed(),
            Answer::Refused(NoAppend::Conflict) => {
                Refusal::new(StatusCode::CONFLICT, "key_conflict", "the idempotency key was used with other content")
            }
            Answer::Store(why) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "store", &why),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NO_CONTENT {
            return self.status.into_response();
        }
        (self.status, Json(json!({ "error": { "code": self.code, "message": self.message } }))).into_response()
    }
}

/// Gives refusals of the framework (body limit, text that is not UTF-8) the same form, and does to all answers what bugs do to them.
pub(super) async fn shape(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    if shared.hub.is_poisoned() {
        return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "poisoned", "a lock is held for ever").into_response();
    }
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() {
        return response;
    }
    if shared.hub.bugs.has(Bug::EmptyRefusals) {
        return (status, Body::empty()).into_response();
    }
    let json = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if json { response } else { Refusal::new(status, "refused", status.canonical_reason().unwrap_or("refused")).into_response() }
}
