//! The dialect `pawwork`: one process-wide stream of the state of all sessions, replayed from a bounded ring in memory.
//!
//! The ring is one session of the core over a store that forgets (`ring.rs`); the rows that survive a restart, sessions and
//! messages, are sessions of a second hub over the server's store (`rows.rs`). A prompt runs the agent (`turn.rs`).

mod answer;
mod auth;
mod boot;
mod permission;
mod ring;
mod rows;
mod session;
mod stream;
mod turn;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use crate::agent::Model;
use crate::hub::Hub;
use crate::session::{Millis, Retention};
use answer::{Answered, Refusal, ok};
use ring::Ring;
use rows::Rows;

/// Largest request body.
const MOST_BODY: usize = 8 << 20;
/// Records that are kept unless the operator says otherwise (b.5).
pub(crate) const MOST_RECORDS: u64 = 2048;
/// How long they are kept unless the operator says otherwise (b.5).
pub(crate) const MOST_AGE_MS: u64 = 300_000;
/// A stream is never silent for longer (b.2).
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Longest wait for the turns of a directory that is disposed.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// What the handlers share.
pub(crate) type Shared = Arc<Server>;

/// The server behind the routes.
#[derive(Debug)]
pub(crate) struct Server {
    ring: Ring,
    rows: Rows,
    heartbeat: Duration,
    model: Model,
    workspace: Option<PathBuf>,
    password: Option<String>,
    /// Held while a row and its event are written, so that both have one order.
    writing: tokio::sync::Mutex<()>,
    /// The turns that run, by session.
    turns: Mutex<HashMap<String, turn::Running>>,
    /// The questions that wait for a human, by request id.
    asks: Mutex<BTreeMap<String, permission::Ask>>,
}

/// What the dialect needs beyond its hubs.
pub(crate) struct Settings {
    pub(crate) heartbeat: Duration,
    pub(crate) model: Model,
    pub(crate) workspace: Option<PathBuf>,
    pub(crate) password: Option<String>,
}

/// The ring's bounds: what the operator asked for, over the defaults.
pub(crate) fn retention(asked: Retention) -> Retention {
    Retention { records: asked.records.or(Some(MOST_RECORDS)), age_ms: asked.age_ms.or(Some(MOST_AGE_MS)), ..asked }
}

/// The server: `ring` is a hub that forgets, `rows` one over the server's store. Turns that a stop has cut off get their end.
///
/// # Errors
/// When the store refuses; in words.
pub(crate) async fn open(ring: Arc<Hub>, rows: Arc<Hub>, settings: Settings) -> Result<Shared, String> {
    let mut stopping = ring.stopping();
    let behind = Arc::clone(&rows);
    tokio::spawn(async move {
        // The hub of the ring is the one that the server stops; what it has acknowledged is in the rows already.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        let _ = tokio::task::spawn_blocking(move || behind.stop()).await;
    });
    let rows = Rows::new(rows);
    rows.repair().await.map_err(|e| format!("cannot end what was interrupted: {e:?}"))?;
    Ok(Arc::new(Server {
        ring: Ring::open(ring).await.map_err(|e| format!("cannot start: {e:?}"))?,
        rows,
        heartbeat: settings.heartbeat.min(HEARTBEAT),
        model: settings.model,
        workspace: settings.workspace,
        password: settings.password,
        writing: tokio::sync::Mutex::default(),
        turns: Mutex::default(),
        asks: Mutex::default(),
    }))
}

/// The routes.
pub(crate) fn router(server: Shared) -> Router {
    Router::new()
        .route("/global/health", get(health))
        .route("/global/event", get(stream::global))
        .route("/global/dispose", post(dispose_all))
        .route("/event", get(stream::instance))
        .route("/instance/dispose", post(dispose))
        .route("/session", post(session::create).get(session::list))
        .route("/session/status", get(turn::status))
        .route("/session/{id}", get(session::read).patch(session::rename).delete(session::remove))
        .route("/session/{id}/message", get(session::messages).post(turn::note))
        .route("/session/{id}/prompt_async", post(turn::prompt))
        .route("/session/{id}/abort", post(turn::abort))
        .route("/permission", get(permission::list))
        .route("/permission/{id}/reply", post(permission::reply))
        .fallback(any(|| async { Refusal::not_found("there is nothing at this path") }))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&server), auth::guard))
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .with_state(server)
}

async fn health() -> Json<serde_json::Value> {
    Json(json!({ "healthy": true, "version": "local" }))
}

/// Which directory a request is about.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Scope {
    directory: Option<String>,
}

impl Scope {
    fn directory(self) -> String {
        self.directory.filter(|directory| !directory.is_empty()).unwrap_or_else(|| "/".to_owned())
    }
}

async fn dispose(State(server): State<Shared>, Query(scope): Query<Scope>) -> Answered {
    server.end_directory(&scope.directory()).await?;
    ok(&true)
}

/// Every directory is disposed in the old boot, then a new one begins (b.7).
async fn dispose_all(State(server): State<Shared>) -> Answered {
    let directories: std::collections::BTreeSet<String> = server.rows.all().into_iter().map(|info| info.directory).collect();
    for directory in directories {
        server.end_directory(&directory).await?;
    }
    server.ring.reset();
    server.ring.announce(None, "global.disposed", "{}");
    ok(&true)
}

impl Server {
    /// Stops what runs in a directory, removes its records, and says so in a record that stays.
    async fn end_directory(&self, directory: &str) -> Result<(), Refusal> {
        let running: Vec<turn::Running> = self.turns().values().filter(|turn| turn.directory == directory).cloned().collect();
        for turn in running {
            turn.stop(STOP_WITHIN).await;
        }
        self.asks().retain(|_, ask| ask.directory != directory);
        self.ring.dispose(directory).await?;
        Ok(())
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<String, turn::Running>> {
        self.turns.lock().expect("nobody panics while holding the turns")
    }

    fn asks(&self) -> MutexGuard<'_, BTreeMap<String, permission::Ask>> {
        self.asks.lock().expect("nobody panics while holding the questions")
    }
}

/// A new id: ascending by time, as far as the milliseconds tell.
fn id(prefix: &str, at: Millis) -> String {
    format!("{prefix}_{:012x}{:014x}", at.0, rand::random::<u64>() >> 8)
}
