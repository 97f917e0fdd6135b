//! The dialect `hermes`: an agent's runs, each with a journal that is its stream.
//!
//! A run is a session of the core, named by its run id; what readers see is the journal, and so is what the snapshot and the
//! settled messages are made of (`journal.rs`). A conversation is a session of the core as well, whose events are the turns
//! that were started. Nothing else is stored: a restart has only to end the runs that have no end (`conversation.rs`).
//!
//! Journals are kept whole unless the operator bounds them; the bound then holds for what is made of them, too: a snapshot
//! and the settled messages begin with the oldest event kept, and a reader whose cursor is older is told by an `apperror`.

mod answer;
mod auth;
mod chat;
mod conversation;
mod files;
mod journal;
mod session_events;
mod stream;
mod view;
mod worker;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use serde_json::json;

use crate::agent::{Model, Turn};
use crate::hub::{Hub, now};
use crate::session::{Append, Millis, Retention};
use answer::{Answered, Refusal, ok};

/// Largest request body; uploads included.
const MOST_BODY: usize = 16 << 20;
/// The core session on which changes of the list of conversations are announced.
const LIST: &str = "sessions";

/// What the handlers share.
pub(crate) type Shared = Arc<Server>;

/// The server behind the routes.
#[derive(Debug)]
pub(crate) struct Server {
    hub: Arc<Hub>,
    heartbeat: Duration,
    model: Model,
    started_at: Millis,
    workspace: PathBuf,
    attachments: PathBuf,
    password: Option<String>,
    logins: Mutex<HashSet<String>>,
    /// One turn is started at a time, so that a conversation never has two that run.
    starting: tokio::sync::Mutex<()>,
    /// The turns that run, by run id.
    turns: Mutex<HashMap<String, Turn>>,
    /// The conversation of each run.
    runs: Mutex<HashMap<String, String>>,
    /// Up to where each run's events had a reader when the last one left.
    attended: Mutex<HashMap<String, u64>>,
    /// What only bugs remember: texts before redaction by run, numbers by conversation, times touched by conversation.
    remembered: Mutex<Remembered>,
    /// The folder for files when the data has none; removed with the server.
    _scratch: Option<tempfile::TempDir>,
}

#[derive(Debug, Default)]
struct Remembered {
    raw: HashMap<String, String>,
    numbers: HashMap<String, u64>,
    touched: HashMap<String, Millis>,
    /// Runs that were interrupted and have no end.
    dead: HashSet<String>,
    restarted: bool,
}

/// What the dialect needs beyond the hub.
pub(crate) struct Settings<'a> {
    pub(crate) heartbeat: Duration,
    pub(crate) model: Model,
    pub(crate) data: Option<&'a Path>,
    pub(crate) workspace: Option<&'a Path>,
    pub(crate) password: Option<String>,
}

/// The server over what the hub has kept: runs that have no end get one.
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
    let attachments = base.join("attachments");
    for folder in [&workspace, &attachments] {
        std::fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    }
    for name in [LIST, auth::LOGINS] {
        if hub.find(name).is_none() {
            hub.open(name.to_owned(), Retention::default()).await.map_err(|e| format!("cannot start: {e:?}"))?;
        }
    }
    let server = Arc::new(Server {
        logins: Mutex::new(auth::stored(&hub)),
        heartbeat: settings.heartbeat,
        model: settings.model,
        started_at: now(),
        workspace,
        attachments,
        password: settings.password,
        starting: tokio::sync::Mutex::default(),
        turns: Mutex::default(),
        runs: Mutex::default(),
        attended: Mutex::default(),
        remembered: Mutex::default(),
        _scratch: scratch,
        hub,
    });
    conversation::repair(&server).await.map_err(|e| format!("cannot end what was interrupted: {e:?}"))?;
    Ok(server)
}

/// The routes.
pub(crate) fn router(server: Shared) -> Router {
    let not_supported = || async { StatusCode::NOT_IMPLEMENTED };
    Router::new()
        .route("/health", get(health))
        .route("/api/auth/login", post(auth::login))
        .route("/api/session/new", post(conversation::new))
        .route("/api/session/delete", post(conversation::delete))
        .route("/api/session", get(view::session))
        .route("/api/sessions", get(view::list))
        .route("/api/chat/start", post(chat::start))
        .route("/api/chat/cancel", get(chat::cancel))
        .route("/api/approval/respond", post(chat::approve))
        .route("/api/chat/stream", get(stream::run).head(not_supported))
        .route("/api/chat/stream/status", get(view::status))
        .route("/api/sessions/{id}/events", get(session_events::events).head(not_supported))
        .route("/api/session/stream", get(session_events::pings).head(not_supported))
        .route("/api/sessions/events", get(session_events::list).head(not_supported))
        .route("/api/upload", post(files::upload))
        .route("/api/file/raw", get(files::raw))
        .fallback(any(|| async { Refusal::new(StatusCode::NOT_FOUND, "not found") }))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&server), auth::guard))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(server)
}

async fn health(State(server): State<Shared>) -> Answered {
    let runs: Vec<String> = server.turns().keys().cloned().collect();
    // A worker leaves a moment after its run has ended.
    let active = runs.iter().filter(|run| conversation::is_active(&server, run)).count();
    let started = seconds(server.started_at);
    ok(json!({ "status": "ok", "active_streams": active, "active_runs": active, "server_started_at": started }))
}

impl Server {
    fn turns(&self) -> std::sync::MutexGuard<'_, HashMap<String, Turn>> {
        self.turns.lock().expect("nobody panics while holding the turns")
    }

    fn attended(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.attended.lock().expect("nobody panics while holding who attended")
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().expect("nobody panics while holding what bugs remember")
    }

    /// Announces that the list of conversations changed.
    fn list_changed(&self, session: &str) {
        self.announce(LIST, "sessions_changed", &json!({ "session_id": session }));
    }

    /// Tells a live-only event to whoever listens at a session of the core.
    fn announce(&self, to: &str, event: &str, data: &serde_json::Value) {
        if let Some(cell) = self.hub.find(to) {
            cell.lock().announce(event, &data.to_string());
            cell.ring();
        }
    }
}

/// A time as the wire has it.
fn seconds(at: Millis) -> f64 {
    at.0 as f64 / 1000.0
}

/// This many random hexadecimal digits.
fn hex(digits: usize) -> String {
    format!("{:032x}", rand::random::<u128>())[..digits].to_owned()
}

fn event(name: &str, data: &serde_json::Value) -> Append {
    Append { event_type: name.into(), data: data.to_string().into(), key: None, terminal: false }
}
