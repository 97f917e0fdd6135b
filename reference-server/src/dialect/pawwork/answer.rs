//! Answers of the REST side, and refusals in the form of the protocol's server.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::hub::Answer;

/// What a handler returns.
pub(super) type Answered = Result<Response, Refusal>;

/// A refusal.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    name: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn not_found(message: &str) -> Refusal {
        Refusal { status: StatusCode::NOT_FOUND, name: "NotFoundError", message: message.to_owned() }
    }

    pub(super) fn bad(message: String) -> Refusal {
        Refusal { status: StatusCode::BAD_REQUEST, name: "BadRequest", message }
    }

    pub(super) fn busy(session: &str) -> Refusal {
        Refusal { status: StatusCode::CONFLICT, name: "BusyError", message: format!("Session is busy: {session}") }
    }
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Refusal {
        match answer {
            Answer::Unknown | Answer::Refused(_) => Refusal::not_found("Session not found"),
            Answer::Exists => Refusal { status: StatusCode::CONFLICT, name: "ConflictError", message: "it is there already".to_owned() },
            Answer::Store(message) => Refusal { status: StatusCode::SERVICE_UNAVAILABLE, name: "UnknownError", message },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "name": self.name, "data": { "message": self.message } }))).into_response()
    }
}

/// A JSON answer.
pub(super) fn ok(value: &impl Serialize) -> Answered {
    text(&serde_json::to_string(value).expect("what the server made up is JSON"))
}

/// An answer that is JSON text already.
pub(super) fn text(json: &str) -> Answered {
    Ok(([(header::CONTENT_TYPE, "application/json")], json.to_owned()).into_response())
}

/// Reads a body; an empty one is an empty object.
pub(super) fn parse<T: DeserializeOwned>(body: &str) -> Result<T, Refusal> {
    let body = if body.trim().is_empty() { "{}" } else { body };
    serde_json::from_str(body).map_err(|e| Refusal::bad(e.to_string()))
}
