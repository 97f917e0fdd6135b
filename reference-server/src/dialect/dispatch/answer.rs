//! Answers: JSON, and refusals with one sentence.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::hub::Answer;

/// What a handler gives back.
pub(super) type Answered = Result<Response, Refusal>;

/// Why something is not done. Over HTTP it is a status with a JSON body, over a WebSocket a `chat.error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }

    pub(super) fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unknown() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "there is no such conversation")
    }

    pub(super) fn closed() -> Refusal {
        Refusal::new(StatusCode::CONFLICT, "the conversation is closed")
    }

    pub(super) fn busy() -> Refusal {
        Refusal::new(StatusCode::CONFLICT, "a turn is running in this conversation")
    }
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Refusal {
        match answer {
            Answer::Unknown | Answer::Refused(_) => Refusal::unknown(),
            Answer::Exists => Refusal::new(StatusCode::CONFLICT, "there is such a conversation"),
            Answer::Store(why) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.message }))).into_response()
    }
}

/// A successful answer.
#[expect(clippy::unnecessary_wraps, reason = "it is what handlers give back")]
pub(super) fn ok(body: Value) -> Answered {
    Ok(Json(body).into_response())
}

/// The JSON object of a text; an empty text is an empty object.
pub(super) fn object(text: &str) -> Result<Value, Refusal> {
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Refusal::bad("that is no JSON object")),
        Err(error) => Err(Refusal::bad(format!("that is no JSON: {error}"))),
    }
}
