//! The dialect `opencode`: sessions of a coding agent, each with a numbered log of what happened in it.
//!
//! A session is a session of the core (`log.rs`). Its log is read in finite pages (H, `page.rs`), as a tail (T) and as the
//! unified stream (U, `stream.rs`): replay up to a fixed cutoff, the activity, then rows and live-only fragments as they come.
//! The live stream of the process (L) carries what happens in all sessions and replays nothing (`feed.rs`). Prompts are rows;
//! a turn takes them up, asks the model and writes what came of it (`turn.rs`). What a log says of its prompts and steps is
//! folded from it (`ledger.rs`), so a restart has only to end the steps that have no end.

mod answer;
mod auth;
mod drive;
mod feed;
mod ledger;
mod log;
mod page;
mod stream;
mod turn;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{any, delete, get, post};
use serde_json::{Value, json};

use crate::agent::Model;
use crate::bugs::Bug;
use crate::hub::{Hub, now};
use crate::session::{Append, Retention};
use answer::{Answered, Refusal, ok};
use feed::Feed;
use turn::Running;

/// Largest request body.
const MOST_BODY: usize = 16 << 20;

/// What the handlers share.
pub(crate) type Shared = Arc<Server>;

/// The server behind the routes.
#[derive(Debug)]
pub(crate) struct Server {
    hub: Arc<Hub>,
    heartbeat: Duration,
    model: Model,
    workspace: Option<PathBuf>,
    password: Option<String>,
    feed: Feed,
    /// One log is made or removed at a time.
    making: tokio::sync::Mutex<()>,
    /// The last numbers of deleted sessions.
    deleted: Mutex<HashMap<String, u64>>,
    /// The sessions that work, by id: the authority on activity.
    running: Mutex<HashMap<String, Running>>,
    /// What a bug takes for active.
    ghosts: Mutex<BTreeSet<String>>,
}

/// What the dialect needs beyond the hub.
pub(crate) struct Settings<'a> {
    pub(crate) heartbeat: Duration,
    pub(crate) model: Model,
    pub(crate) workspace: Option<&'a Path>,
    pub(crate) password: Option<String>,
}

/// The server over what the hub has kept: steps that have no end get one.
///
/// # Errors
/// When the store refuses; in words.
pub(crate) async fn open(hub: Arc<Hub>, settings: Settings<'_>) -> Result<Shared, String> {
    if hub.find(log::DELETED).is_none() {
        hub.open(log::DELETED.to_owned(), Retention::default()).await.map_err(|e| format!("cannot start: {e:?}"))?;
    }
    let notes = hub.find(log::DELETED).map(|cell| cell.lock().snapshot(now()).events).unwrap_or_default();
    let note = |data: &str| -> Option<(String, u64)> {
        let note: Value = serde_json::from_str(data).ok()?;
        Some((note["id"].as_str()?.to_owned(), note["last"].as_u64()?))
    };
    let server = Arc::new(Server {
        feed: Feed::new(hub.bugs),
        heartbeat: settings.heartbeat,
        model: settings.model,
        workspace: settings.workspace.map(Path::to_owned),
        password: settings.password,
        making: tokio::sync::Mutex::default(),
        deleted: Mutex::new(notes.iter().filter_map(|event| note(&event.data)).collect()),
        running: Mutex::default(),
        ghosts: Mutex::default(),
        hub,
    });
    let feed = server.feed.clone();
    server.hub.observe(move |cell, event| feed.committed(cell, event));
    turn::repair(&server).await.map_err(|e| format!("cannot end what was interrupted: {e:?}"))?;
    Ok(server)
}

/// The routes.
pub(crate) fn router(server: Shared) -> Router {
    let not_found = || async { Refusal::new(StatusCode::NOT_FOUND, "NotFoundError", "there is nothing at this path") };
    let not_allowed =
        || async { Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowedError", "this path does not take that method") };
    // axum answers HEAD with a GET whose body is dropped; of an endless stream there is no such thing.
    Router::new()
        .route("/global/health", get(health))
        .route("/api/provider/{id}", get(provider))
        .route("/api/event", get(stream::live).head(not_allowed))
        .route("/tui/show-toast", post(drive::toast))
        .route("/api/session", post(drive::open))
        .route("/api/session/active", get(drive::active))
        .route("/api/session/{id}/prompt", post(drive::prompt))
        .route("/api/session/{id}/interrupt", post(drive::interrupt))
        .route("/api/session/{id}/permission", get(drive::permissions))
        .route("/api/session/{id}/permission/{ask}/reply", post(drive::reply))
        .route("/api/session/{id}/history", get(page::history))
        .route("/api/session/{id}/message", get(page::messages))
        .route("/api/session/{id}/event", get(stream::tail).head(not_allowed))
        .route("/api/session/{id}/events", get(stream::unified).head(not_allowed))
        .route("/session/{id}", delete(drive::delete).patch(drive::rename))
        .fallback(any(not_found))
        .method_not_allowed_fallback(not_allowed)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&server), auth::guard))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(server)
}

async fn health() -> Answered {
    ok(json!({ "healthy": true, "version": env!("CARGO_PKG_VERSION") }))
}

async fn provider(axum::extract::Path(id): axum::extract::Path<String>) -> Answered {
    ok(json!({ "data": { "id": id, "name": id } }))
}

impl Server {
    fn deleted(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.deleted.lock().expect("nobody panics while holding the deleted")
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.running.lock().expect("nobody panics while holding what runs")
    }

    /// The sessions that work in the foreground of this process.
    fn active(&self) -> BTreeSet<String> {
        let mut active: BTreeSet<String> = self.running().keys().cloned().collect();
        if self.hub.bugs.has(Bug::ChildrenCount) {
            let parents: Vec<String> = active.iter().filter_map(|id| log::Log::find(self, id).ok()?.meta.parent).collect();
            active.extend(parents);
        }
        active.extend(self.ghosts.lock().expect("nobody panics while holding the ghosts").iter().cloned());
        active
    }

    fn is_active(&self, id: &str) -> bool {
        self.active().contains(id)
    }
}

/// An id of an event that is in no log.
fn event_id() -> String {
    format!("evt_{:012x}{:014x}", now().0, rand::random::<u64>() >> 8)
}

/// A new id of this kind, ordered by time.
fn new_id(kind: &str) -> String {
    format!("{kind}_{:012x}{:014x}", now().0, rand::random::<u64>() >> 8)
}

fn event(event_type: &str, data: &Value) -> Append {
    Append { event_type: event_type.into(), data: data.to_string().into(), key: None, terminal: false }
}
