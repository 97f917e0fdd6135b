//! The dialect `dispatch`: detached turns of an agent, watched by many clients over WebSockets.
//!
//! A turn belongs to its conversation and not to the socket that began it (`turn.rs`). While it runs its events are in
//! memory and go to whoever joins, from the beginning, in one order with what comes live (`live.rs`); what it comes to is
//! stored as chunks of history before it is sealed (`conversation.rs`). HTTP serves history, lists and commands (`http.rs`),
//! a WebSocket on any path everything live (`socket.rs`).

mod answer;
mod compact;
mod conversation;
mod http;
mod live;
mod socket;
mod turn;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{any, get, post, put};
use serde_json::{Value, json};

use crate::agent::Model;
use crate::bugs::Bug;
use crate::hub::Hub;
use crate::session::Append;
use answer::{Answered, Refusal, ok};
use conversation::Conversation;
use live::Outbox;

/// Largest request body and largest message of a client.
const MOST_BODY: usize = 4 << 20;
/// How much a turn may say when the operator does not bound it: all of it is kept for late joiners while it runs.
const BOUND: u64 = 64 << 20;
/// How late a bug is.
const LATE: Duration = Duration::from_millis(400);

/// What the handlers share.
pub(crate) type Shared = Arc<Server>;

/// The server behind the routes.
#[derive(Debug)]
pub(crate) struct Server {
    hub: Arc<Hub>,
    model: Model,
    workspace: PathBuf,
    backoff: Duration,
    /// Bytes that a turn may say.
    bound: u64,
    conversations: Mutex<HashMap<String, Arc<Conversation>>>,
    /// One conversation is made at a time.
    opening: tokio::sync::Mutex<()>,
    /// Every client that is connected.
    clients: Mutex<Vec<Weak<Outbox>>>,
    /// The folder for files when the data has none; removed with the server.
    _scratch: Option<tempfile::TempDir>,
}

/// What the dialect needs beyond the hub.
pub(crate) struct Settings<'a> {
    pub(crate) model: Model,
    pub(crate) data: Option<&'a Path>,
    pub(crate) workspace: Option<&'a Path>,
    /// How long a turn waits before its first retry.
    pub(crate) backoff: Duration,
    /// Bytes that a turn may say.
    pub(crate) bound: Option<u64>,
}

/// The server over what the hub has kept.
///
/// # Errors
/// When a folder cannot be made or the store refuses; in words.
pub(crate) async fn open(hub: Arc<Hub>, settings: Settings<'_>) -> Result<Shared, String> {
    let scratch = match settings.data {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|e| format!("cannot make a folder for files: {e}"))?),
    };
    let base = settings.data.or(scratch.as_ref().map(tempfile::TempDir::path)).expect("one of both is there");
    let workspace = settings.workspace.map_or_else(|| base.join("workspace"), Path::to_owned);
    std::fs::create_dir_all(&workspace).map_err(|e| format!("cannot make {}: {e}", workspace.display()))?;
    let server = Arc::new(Server {
        hub,
        model: settings.model,
        workspace,
        backoff: settings.backoff,
        bound: settings.bound.unwrap_or(BOUND),
        conversations: Mutex::default(),
        opening: tokio::sync::Mutex::default(),
        clients: Mutex::default(),
        _scratch: scratch,
    });
    conversation::restore(&server).await.map_err(|e| format!("cannot read the conversations: {}", e.message))?;
    Ok(server)
}

/// The routes.
pub(crate) fn router(server: Shared) -> Router {
    Router::new()
        .route("/health", get(async || ok(json!({ "status": "ok" }))))
        .route("/models", get(http::models))
        .route("/chat", post(http::chat))
        .route("/chat/warm", post(http::warm))
        .route("/conversations", get(http::list))
        .route("/conversations/{id}", get(http::history))
        .route("/conversations/{id}/last", get(http::last))
        .route("/conversations/{id}/queue", post(http::queue))
        .route("/conversations/{id}/close", post(http::close))
        .route("/conversations/{id}/open", post(http::open))
        .route("/conversations/{id}/title", put(http::title))
        .route("/conversations/{id}/reasoning-effort", get(http::effort).put(http::set_effort))
        .route("/conversations/{id}/compact", post(http::compact))
        .route("/conversations/{id}/compact-threshold", get(http::threshold).put(http::set_threshold))
        .fallback(any(not_found))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&server), socket::upgrade))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(server)
}

async fn not_found() -> Answered {
    Err(Refusal::new(StatusCode::NOT_FOUND, "not found"))
}

impl Server {
    fn conversations(&self) -> MutexGuard<'_, HashMap<String, Arc<Conversation>>> {
        self.conversations.lock().expect("nobody panics while holding the conversations")
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Weak<Outbox>>> {
        self.clients.lock().expect("nobody panics while holding the clients")
    }

    fn find(&self, id: &str) -> Option<Arc<Conversation>> {
        self.conversations().get(id).cloned()
    }

    /// The conversation of this id.
    fn conversation(&self, id: &str) -> Result<Arc<Conversation>, Refusal> {
        self.find(id).ok_or_else(Refusal::unknown)
    }

    /// Makes a client known to those who speak to all.
    fn connect(&self, outbox: &Arc<Outbox>) {
        let mut clients = self.clients();
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Arc::downgrade(outbox));
    }

    /// Tells every client.
    fn broadcast(&self, notice: &Value) {
        if self.hub.bugs.has(Bug::EmitterUnset) {
            return;
        }
        let notice: Arc<str> = notice.to_string().into();
        for client in self.clients().iter().filter_map(Weak::upgrade) {
            client.notify(Arc::clone(&notice));
        }
    }

    /// Tells an event to those who watch other conversations; only a bug does this.
    fn misdirect(&self, from: &str, event: &Value) {
        let notice: Arc<str> = json!({ "type": "chat.delta", "event": event }).to_string().into();
        let others: Vec<Arc<Conversation>> = self.conversations().values().filter(|other| other.id != from).map(Arc::clone).collect();
        for other in others {
            for client in other.state().subscribers.iter().filter_map(Weak::upgrade) {
                client.notify(Arc::clone(&notice));
            }
        }
    }
}

/// This many random hexadecimal digits.
fn hex(digits: usize) -> String {
    format!("{:032x}", rand::random::<u128>())[..digits].to_owned()
}

fn event(name: &str, data: &Value) -> Append {
    Append { event_type: name.into(), data: data.to_string().into(), key: None, terminal: false }
}
