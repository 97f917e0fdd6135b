//! The board over HTTP, for owners in other processes.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::script::Script;
use super::server::Shared;

/// Longest wait for a pause.
const MOST_WAIT: Duration = Duration::from_secs(600);

/// `GET asked`, `GET held`, `POST release`, `PUT script`, `POST queue`.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/asked", get(async |State(shared): State<Shared>| Json(json!({ "asked": shared.board.asked() }))))
        .route("/held", get(held))
        .route("/release", post(release))
        .route("/script", put(async |State(shared): State<Shared>, text: String| take(&text, |script| shared.board.stand(script))))
        .route("/queue", post(async |State(shared): State<Shared>, text: String| take(&text, |script| shared.board.queue(script))))
}

/// A pause by name; without one, all.
#[derive(Deserialize)]
struct Which {
    pause: Option<String>,
    /// How long to wait for it.
    within: Option<String>,
}

/// The pauses that hold answers now; with `pause` it waits for that one, and 408 says that it was not reached.
async fn held(State(shared): State<Shared>, Query(which): Query<Which>) -> Response {
    if let Some(pause) = &which.pause {
        let within = match streamspec_reference_server::duration(which.within.as_deref().unwrap_or("10s")) {
            Ok(within) => within.min(MOST_WAIT),
            Err(message) => return complaint(StatusCode::BAD_REQUEST, &message),
        };
        if !shared.board.wait_held(pause, within).await {
            return complaint(StatusCode::REQUEST_TIMEOUT, &format!("no answer is held at `{pause}`"));
        }
    }
    Json(json!({ "held": shared.board.held() })).into_response()
}

async fn release(State(shared): State<Shared>, Query(which): Query<Which>) -> Response {
    let released = match &which.pause {
        Some(pause) => usize::from(shared.board.release(pause)),
        None => shared.board.release_all(),
    };
    Json(json!({ "released": released })).into_response()
}

fn take(text: &str, with: impl FnOnce(Script)) -> Response {
    match text.parse() {
        Ok(script) => {
            with(script);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => complaint(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn complaint(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}
