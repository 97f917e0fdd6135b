//! Answers: JSON, and refusals with one sentence.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::hub::Answer;

/// What a handler gives back.
pub(super) type Answered = Result<Response, Refusal>;

/// A refusal: its status and its body.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: &str) -> Refusal {
        Refusal { status, body: json!({ "error": error }) }
    }

    pub(super) fn bad(error: &str) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn no_session() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "Session not found")
    }

    pub(super) fn no_stream() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "stream not found")
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Refusal {
        self.body[name] = value.into();
        self
    }
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Refusal {
        match answer {
            Answer::Unknown | Answer::Refused(_) => Refusal::no_session(),
            Answer::Exists => Refusal::new(StatusCode::CONFLICT, "Session exists"),
            Answer::Store(why) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, &why),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

/// A successful answer.
#[expect(clippy::unnecessary_wraps, reason = "it is what handlers give back")]
pub(super) fn ok(body: Value) -> Answered {
    Ok(Json(body).into_response())
}

/// The JSON object of a request's body; no body is an empty one.
pub(super) fn object(body: &str) -> Result<Value, Refusal> {
    if body.trim().is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_str::<Value>(body) {
        Ok(body) if body.is_object() => Ok(body),
        Ok(_) => Err(Refusal::bad("the body must be a JSON object")),
        Err(error) => Err(Refusal::bad(&format!("the body is no JSON: {error}"))),
    }
}
