//! `streamspec proxy`: the fault proxy alone, told over HTTP what to break, for the test suites of others.
//!
//! A fault that is posted waits: every connection that is accepted from then on carries it, until it has struck once. A cut
//! `on_command` strikes what is open now.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::{Complaint, address, complain, exit, print, tell};
use crate::report::visible;
use crate::world::live::proxy::{Fault, Framing, Happened, Link, LinkConfig, Observed, Place, Plan};

/// For how many connections that are accepted at once the waiting faults are laid out.
const AHEAD: usize = 64;
/// More faults than this do not wait at a time, and as many that are over are remembered.
const MOST_FAULTS: usize = 1000;

/// Between whom the proxy stands.
#[derive(Clone, Debug, Args)]
pub(super) struct ProxyArgs {
    /// The server, as http://HOST:PORT
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// Where clients connect; a port alone means 127.0.0.1, and port 0 a free one, which the first line names
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = listening)]
    listen: SocketAddr,
    /// Where faults are asked for
    #[arg(long, value_name = "ADDRESS", default_value = "0", value_parser = listening)]
    control: SocketAddr,
    /// A fault that waits from the beginning, as JSON (docs/recording.md has them all); may be repeated
    #[arg(long, value_name = "JSON", value_parser = fault)]
    fault: Vec<Fault>,
}

/// A port, or an address to listen at.
pub(super) fn listening(text: &str) -> Result<SocketAddr, String> {
    let local = text.parse::<u16>().ok().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    local.or_else(|| text.parse().ok()).ok_or_else(|| format!("`{text}` is no address; write a port, or 127.0.0.1:8080"))
}

fn fault(text: &str) -> Result<Fault, String> {
    serde_json::from_str(text).map_err(|e| format!("{e}; a fault is such as {EXAMPLE}"))
}

const EXAMPLE: &str = r#"{"cut":{"at":{"after_event":3},"how":"rst"}}"#;

/// A server of plain HTTP, by its host and port.
pub(super) struct Upstream(String);

impl Upstream {
    /// The server of a URL.
    pub(super) fn of(url: &str) -> Result<Upstream, Complaint> {
        address(url)?;
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(Complaint::Usage(format!("`{url}`: the proxy reads plain HTTP only; write http://HOST:PORT")));
        };
        let host = rest.split('/').next().unwrap_or_default();
        Ok(Upstream(if host.contains(':') { host.to_owned() } else { format!("{host}:80") }))
    }

    /// Host and port.
    pub(super) fn host(&self) -> &str {
        &self.0
    }

    /// Its first address.
    pub(super) async fn resolve(&self) -> Result<SocketAddr, String> {
        let host = &self.0;
        let mut found = tokio::net::lookup_host(host).await.map_err(|e| format!("cannot find {host}: {e}"))?;
        found.next().ok_or_else(|| format!("{host} has no address"))
    }
}

/// Runs it until it is told to end; the exit code.
pub(super) fn run(args: &ProxyArgs) -> u8 {
    let upstream = match Upstream::of(&args.upstream) {
        Ok(upstream) => upstream,
        Err(complaint) => return complain(&complaint),
    };
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))
        .and_then(|runtime| runtime.block_on(serve(args, &upstream)));
    match served {
        Ok(()) => exit::OK,
        Err(why) => {
            tell(&format!("error: {why}"));
            exit::COULD_NOT_TEST
        }
    }
}

async fn serve(args: &ProxyArgs, to: &Upstream) -> Result<(), String> {
    let listen_for = |kind| signal(kind).map_err(|e| format!("cannot listen for signals: {e}"));
    let (mut terminate, mut interrupt) = (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    let (host, upstream) = (to.host(), to.resolve().await?);
    let (happened, mut happening) = mpsc::unbounded_channel();
    let observer = Arc::new(move |observed: Observed| {
        told_of(&observed);
        // The receiver goes only with the whole proxy.
        let _ = happened.send(observed.what);
    });
    let config = LinkConfig { upstream, framing: Framing::Auto, origin: Instant::now(), observer };
    let link = Link::open_at(config, args.listen).await.map_err(|e| format!("cannot listen at {}: {e}", args.listen))?;
    let control = TcpListener::bind(args.control).await.map_err(|e| format!("cannot listen at {}: {e}", args.control))?;
    let at = control.local_addr().map_err(|e| e.to_string())?;
    let desk = Arc::new(Desk { link, book: Mutex::default() });
    for fault in &args.fault {
        desk.add(fault.clone()).map_err(str::to_owned)?;
    }
    print(&format!("listening on http://{} for http://{host}; faults at http://{at}/faults\n", desk.link.address()));
    let routes = Router::new().route("/faults", get(list).post(add)).route("/faults/{id}", delete(remove)).with_state(Arc::clone(&desk));
    let watching = async {
        while let Some(what) = happening.recv().await {
            desk.hear(&what);
        }
    };
    tokio::select! {
        served = axum::serve(control, routes).into_future() => served.map_err(|e| e.to_string())?,
        () = watching => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Tells what happened, for `-v`. Of heads no header is told, for it may be a secret.
fn told_of(observed: &Observed) {
    let conn = observed.conn.0;
    match &observed.what {
        Happened::Accepted { from } => info!(target: "streamspec::connection", conn, "accepted from {from}"),
        Happened::Unreachable { error } => info!(target: "streamspec::connection", conn, "the server cannot be reached: {error}"),
        Happened::RequestHead { method, target, .. } => {
            let path = target.split('?').next().unwrap_or_default();
            info!(target: "streamspec::operation", conn, "{} {}", visible(method), visible(path));
        }
        Happened::ResponseHead { status, .. } => info!(target: "streamspec::operation", conn, "status {status}"),
        Happened::EventPassed { event } => debug!(target: "streamspec::frame", conn, "event {event} passed"),
        Happened::Applied { fault } => info!(target: "streamspec::fault", conn, "struck: {fault:?}"),
        Happened::NotReached { fault } => info!(target: "streamspec::fault", conn, "its place never came: {fault:?}"),
        Happened::Resent { answer } => info!(target: "streamspec::operation", conn, "sent a second time: {answer:?}"),
        Happened::Unreadable { side, why } => {
            info!(target: "streamspec::connection", conn, "bytes of the {side:?} cannot be followed: {why}")
        }
        Happened::Closed { by } => info!(target: "streamspec::connection", conn, "closed by {by:?}"),
    }
}

/// A fault that was asked for.
#[derive(Clone, Debug)]
struct Asked {
    fault: Fault,
    struck: bool,
}

#[derive(Debug, Default)]
struct Book {
    last: u64,
    asked: BTreeMap<u64, Asked>,
    accepted: u64,
}

struct Desk {
    link: Link,
    book: Mutex<Book>,
}

impl Desk {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a fault; its id.
    fn add(&self, fault: Fault) -> Result<u64, &'static str> {
        let mut book = self.book();
        if book.asked.values().filter(|asked| !asked.struck).count() >= MOST_FAULTS {
            return Err("too many faults wait already; delete some");
        }
        while book.asked.len() >= MOST_FAULTS {
            let over = book.asked.iter().find(|(_, asked)| asked.struck).map(|(id, _)| *id);
            let Some(over) = over else { break };
            book.asked.remove(&over);
        }
        book.last += 1;
        let id = book.last;
        let now = match &fault {
            Fault::Cut { at: Place::OnCommand, how } => {
                let cut = self.link.connections().into_iter().filter(|conn| self.link.cut(*conn, *how)).count();
                cut > 0
            }
            _ => false,
        };
        book.asked.insert(id, Asked { fault, struck: now });
        self.lay_out(&book);
        Ok(id)
    }

    /// Gives the connections to come what waits.
    fn lay_out(&self, book: &Book) {
        self.link.clear_plans();
        let waiting: Vec<Fault> = book.asked.values().filter(|asked| !asked.struck).map(|asked| asked.fault.clone()).collect();
        // A refusal counts down over connections, so it is laid out once, before the others.
        let (refusals, others): (Vec<Fault>, Vec<Fault>) = waiting.into_iter().partition(|fault| matches!(fault, Fault::RefuseFirst(_)));
        if !refusals.is_empty() {
            self.link.plan(Plan::from([refusals, others.clone()].concat()));
        }
        if !others.is_empty() {
            for _ in 0..AHEAD {
                self.link.plan(others.clone());
            }
        }
    }

    /// Takes note of what happened at a connection.
    fn hear(&self, what: &Happened) {
        let mut book = self.book();
        match what {
            Happened::Accepted { .. } => {
                book.accepted += 1;
                let others = book.asked.values().filter(|asked| !asked.struck && !matches!(asked.fault, Fault::RefuseFirst(_)));
                let others: Vec<Fault> = others.map(|asked| asked.fault.clone()).collect();
                if !others.is_empty() {
                    self.link.plan(others);
                }
            }
            Happened::Applied { fault: Fault::RefuseFirst(left) } => {
                let refusal = book.asked.values_mut().find(|asked| !asked.struck && matches!(asked.fault, Fault::RefuseFirst(_)));
                if let Some(asked) = refusal {
                    asked.struck = *left <= 1;
                }
            }
            Happened::Applied { fault } => {
                let Some(asked) = book.asked.values_mut().find(|asked| !asked.struck && asked.fault == *fault) else { return };
                asked.struck = true;
                self.lay_out(&book);
            }
            Happened::Unreachable { .. }
            | Happened::RequestHead { .. }
            | Happened::ResponseHead { .. }
            | Happened::EventPassed { .. }
            | Happened::NotReached { .. }
            | Happened::Resent { .. }
            | Happened::Unreadable { .. }
            | Happened::Closed { .. } => {}
        }
    }
}

fn told(id: u64, asked: &Asked) -> Value {
    json!({ "id": id, "fault": asked.fault, "state": if asked.struck { "struck" } else { "waiting" } })
}

async fn list(State(desk): State<Arc<Desk>>) -> Json<Value> {
    let open = desk.link.connections().len();
    let book = desk.book();
    let faults: Vec<Value> = book.asked.iter().map(|(id, asked)| told(*id, asked)).collect();
    Json(json!({ "faults": faults, "connections": { "open": open, "accepted": book.accepted } }))
}

async fn add(State(desk): State<Arc<Desk>>, body: String) -> Response {
    let error = |status: StatusCode, why: String| (status, Json(json!({ "error": why }))).into_response();
    match fault(&body).map(|fault| desk.add(fault)) {
        Ok(Ok(id)) => {
            let told = desk.book().asked.get(&id).map(|asked| told(id, asked));
            (StatusCode::CREATED, Json(told.unwrap_or_default())).into_response()
        }
        Ok(Err(why)) => error(StatusCode::TOO_MANY_REQUESTS, why.to_owned()),
        Err(why) => error(StatusCode::BAD_REQUEST, why),
    }
}

async fn remove(State(desk): State<Arc<Desk>>, Path(id): Path<u64>) -> Response {
    let mut book = desk.book();
    match book.asked.remove(&id) {
        Some(asked) => {
            desk.lay_out(&book);
            Json(told(id, &asked)).into_response()
        }
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": format!("there is no fault {id}") }))).into_response(),
    }
}
