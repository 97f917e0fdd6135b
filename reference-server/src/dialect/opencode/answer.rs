//! Answers: JSON, and refusals with a `_tag`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::hub::Answer;
use crate::session::Refusal as NoAppend;

/// What a handler gives back.
pub(super) type Answered = Result<Response, Refusal>;

/// A refusal: its status and its body.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, tag: &str, message: &str) -> Refusal {
        Refusal { status, body: json!({ "_tag": tag, "message": message }) }
    }

    /// A request that makes no sense; `kind` is the part of it: `Query`, `Payload`.
    pub(super) fn invalid(kind: &str, message: &str) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "InvalidRequestError", message).with("kind", kind)
    }

    pub(super) fn no_session(id: &str) -> Refusal {
        let message = format!("Session not found: {id}");
        Refusal::new(StatusCode::NOT_FOUND, "SessionNotFoundError", &message).with("sessionID", id)
    }

    pub(super) fn unauthorized() -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "UnauthorizedError", "Authentication required")
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Refusal {
        self.body[name] = value.into();
        self
    }

    /// Why a change of this session was not made.
    pub(super) fn of(answer: Answer, session: &str) -> Refusal {
        match answer {
            Answer::Unknown | Answer::Refused(NoAppend::Deleted | NoAppend::Closed) => Refusal::no_session(session),
            Answer::Exists => Refusal::new(StatusCode::CONFLICT, "ConflictError", "Session exists"),
            Answer::Refused(NoAppend::Conflict) => {
                let message = "Prompt message ID conflicts with an existing durable record";
                Refusal::new(StatusCode::CONFLICT, "ConflictError", message).with("resource", session)
            }
            Answer::Store(why) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableError", &why),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Secure Area\""));
        }
        response
    }
}

/// A successful answer.
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
        Ok(_) => Err(Refusal::invalid("Payload", "the body must be a JSON object")),
        Err(error) => Err(Refusal::invalid("Payload", &format!("the body is no JSON: {error}"))),
    }
}
