//! The board over HTTP, for owners in other processes.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::script::{Move, Script};
use super::server::Shared;

/// Longest wait for a pause.
const MOST_WAIT: Duration = Duration::from_secs(600);

/// `GET asked`, `GET held`, `POST release`, `POST say`, `POST do`, `POST go`, `PUT script`, `POST queue`.
pub(super) fn router() -> Router<Shared> {
    Router::new()
        .route("/asked", get(async |State(shared): State<Shared>| Json(json!({ "asked": shared.board.asked() }))))
        .route("/held", get(held))
        .route("/release", post(release))
        .route("/say", post(say))
        .route("/do", post(act))
        .route("/go", post(go))
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

/// A live answer by name.
#[derive(Deserialize)]
struct Live {
    at: String,
}

/// The body is one piece of text for the live answer.
async fn say(State(shared): State<Shared>, Query(live): Query<Live>, text: String) -> Response {
    tell(&shared, &live.at, Some(vec![Move::Text(text)]))
}

/// The body is a script whose moves the live answer makes now.
async fn act(State(shared): State<Shared>, Query(live): Query<Live>, text: String) -> Response {
    match text.parse::<Script>() {
        Ok(script) => tell(&shared, &live.at, Some(script.answer(0, 0).unwrap_or_default().to_vec())),
        Err(error) => complaint(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// The live answer's script goes on.
async fn go(State(shared): State<Shared>, Query(live): Query<Live>) -> Response {
    tell(&shared, &live.at, None)
}

fn tell(shared: &Shared, name: &str, moves: Option<Vec<Move>>) -> Response {
    match shared.board.tell(name, moves) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => complaint(StatusCode::TOO_MANY_REQUESTS, "too much waits for answers that are not there"),
    }
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
