//! The provider behind a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::board::{Board, Ending};
use super::control;
use super::player::{Act, Player};
use super::request::{Api, Request};
use super::wire::error_body;

/// Largest request: agents send whole conversations.
const MOST_BODY: usize = 64 << 20;
/// Models that the list names; any other name is answered as well.
const MODELS: [&str; 1] = ["scripted"];

/// Why the provider did not start.
#[derive(Debug)]
pub struct ProviderError(String);

impl std::fmt::Display for ProviderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProviderError {}

/// A provider that runs in the current runtime. When it is dropped, answers under way are cut.
#[derive(Debug)]
pub struct Provider {
    address: SocketAddr,
    board: Arc<Board>,
    served: tokio::task::JoinHandle<()>,
    _stop: watch::Sender<()>,
}

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) board: Arc<Board>,
    boot: Arc<str>,
    /// Closed when the provider is dropped.
    stopped: watch::Receiver<()>,
}

impl Provider {
    /// Starts one; port 0 takes a free port.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(listen: SocketAddr, board: Arc<Board>) -> Result<Provider, ProviderError> {
        let cannot = |error| ProviderError(format!("cannot listen at {listen}: {error}"));
        let listener = TcpListener::bind(listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let boot = format!("{:08x}-", rand::random::<u32>());
        let (stop, stopped) = watch::channel(());
        let router = router(Shared { board: Arc::clone(&board), boot: boot.into(), stopped: stopped.clone() });
        let served = tokio::spawn(async move {
            use axum::serve::ListenerExt;
            // A word that waits for the next one's company is late.
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            let _ = axum::serve(listener, router).with_graceful_shutdown(closed(stopped)).await;
        });
        Ok(Provider { address, board, served, _stop: stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shares with its owner.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Waits for its end, which comes only when it is dropped or its task fails.
    pub async fn serve(mut self) {
        let _ = (&mut self.served).await;
    }
}

/// Waits until the other end is dropped.
async fn closed(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

fn router(shared: Shared) -> Router {
    let api = Router::new()
        .route("/chat/completions", post(|s, b| answer(Api::Chat, s, b)))
        .route("/responses", post(|s, b| answer(Api::Responses, s, b)))
        .route("/messages", post(|s, b| answer(Api::Messages, s, b)))
        .route("/models", get(models))
        .route("/models/{id}", get(model));
    Router::new()
        // Agents differ in whether `/v1` belongs to the address that they are given.
        .nest("/v1", api.clone())
        .merge(api)
        .nest("/control", control::router())
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(shared)
}

async fn answer(api: Api, State(shared): State<Shared>, body: Bytes) -> Response {
    let refuse = |message: &str| refusal(400, None, error_body(api, 400, message));
    let request = match Request::read(api, &body) {
        Ok(request) => request,
        Err(message) => return refuse(&message),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let stream = request.stream;
    let (number, player) = shared.board.ask(request, &shared.boot, now, body.len());
    let mut answering = match player {
        Ok(player) => Answering { player, number, board: shared.board, stopped: shared.stopped },
        Err(error) => {
            shared.board.note(number, None, Ending::Refused(400));
            return refuse(&error.to_string());
        }
    };
    // Headers go out with the first frame, so that a status can still be chosen until then.
    let first = match answering.next().await {
        Some(Act::Refuse { status, retry_after, body }) => {
            answering.note(Ending::Refused(status));
            return refusal(status, retry_after, body);
        }
        first => first,
    };
    let frames = futures_util::stream::unfold((answering, first), |(mut answering, first)| async move {
        let act = match first {
            Some(act) => act,
            None => answering.next().await?,
        };
        let piece = match act {
            Act::Send(frames) => Ok(Bytes::from(frames)),
            // An error of the body makes the server break the connection without the end of the body.
            Act::Cut => Err(std::io::Error::other("cut by the script")),
            Act::Refuse { .. } => unreachable!("a player refuses before it sends"),
            Act::Rest(_) | Act::Hold(_) | Act::Listen(_) => unreachable!("waits are over when an act comes here"),
        };
        Some((piece, (answering, None)))
    });
    let kind = if stream { "text/event-stream" } else { "application/json" };
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], Body::from_stream(frames)).into_response()
}

/// An answer under way; when it is dropped before its end, the agent has left.
struct Answering {
    player: Player,
    number: u64,
    board: Arc<Board>,
    stopped: watch::Receiver<()>,
}

impl Answering {
    /// The next act that is no wait. After `None`, or a cut, the answer is done.
    async fn next(&mut self) -> Option<Act> {
        loop {
            match self.player.next() {
                Some(Act::Rest(rest)) => tokio::time::sleep(rest).await,
                Some(Act::Hold(pause)) => {
                    self.note(Ending::Held(pause.clone()));
                    tokio::select! {
                        () = self.board.released(&pause) => self.note(Ending::Open),
                        () = closed(self.stopped.clone()) => return Some(Act::Cut),
                    }
                }
                Some(Act::Listen(name)) => {
                    self.note(Ending::Held(name.clone()));
                    let told = tokio::select! {
                        told = self.board.told(&name) => told,
                        () = closed(self.stopped.clone()) => return Some(Act::Cut),
                    };
                    self.note(Ending::Open);
                    self.player.told(told);
                }
                Some(act) => {
                    if act == Act::Cut {
                        self.note(Ending::Done);
                        // While a body makes the server wait, what was sent before is flushed; an error would drop it.
                        tokio::task::yield_now().await;
                    }
                    return Some(act);
                }
                None => {
                    self.note(Ending::Done);
                    return None;
                }
            }
        }
    }

    fn note(&self, ending: Ending) {
        self.board.note(self.number, self.player.last_word(), ending);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.note(Ending::Left);
    }
}

fn refusal(status: u16, retry_after: Option<u32>, body: String) -> Response {
    let status = StatusCode::from_u16(status).expect("scripts name statuses from 400 to 599");
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

async fn models(headers: HeaderMap) -> Json<serde_json::Value> {
    let data: Vec<_> = MODELS.iter().map(|id| model_entry(&headers, id)).collect();
    Json(if anthropic(&headers) {
        json!({ "data": data, "has_more": false, "first_id": MODELS[0], "last_id": MODELS[MODELS.len() - 1] })
    } else {
        json!({ "object": "list", "data": data })
    })
}

async fn model(Path(id): Path<String>, headers: HeaderMap) -> Json<serde_json::Value> {
    Json(model_entry(&headers, &id))
}

/// Both APIs list models at the same path; Anthropic's clients always send their version.
fn anthropic(headers: &HeaderMap) -> bool {
    headers.contains_key("anthropic-version")
}

fn model_entry(headers: &HeaderMap, id: &str) -> serde_json::Value {
    if anthropic(headers) {
        json!({ "type": "model", "id": id, "display_name": id, "created_at": "2025-01-01T00:00:00Z" })
    } else {
        json!({ "id": id, "object": "model", "created": 1_735_689_600, "owned_by": "streamspec", "context_length": 131_072 })
    }
}

#[cfg(test)]
#[path = "tests/server.rs"]
mod tests;
