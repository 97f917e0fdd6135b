//! The password: with one, every surface demands it by Basic authentication, user `opencode`.

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Shared;
use super::answer::Refusal;
use crate::bugs::Bug;

/// The one user.
const USER: &str = "opencode";

pub(super) async fn guard(State(server): State<Shared>, request: Request, next: Next) -> Response {
    let Some(password) = &server.password else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let right = format!("Basic {}", STANDARD.encode(format!("{USER}:{password}")));
    let spared = server.hub.bugs.has(Bug::StreamWithoutLogin) && request.uri().path().ends_with("/event");
    if given == Some(right.as_str()) || spared { next.run(request).await } else { Refusal::unauthorized().into_response() }
}
