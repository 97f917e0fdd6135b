//! The hub: sessions by name, and the one thread that makes changes durable.
//!
//! Every change goes through that thread in groups: it takes numbers for what has come in meanwhile, commits the group,
//! and only then makes the events visible and answers. So an acknowledged event is on disk, a visible event is durable,
//! and the order of numbers is the order of the log.

mod writer;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};

use crate::bugs::{Bug, BugSet};
use crate::session::{Append, Cursor, Event, Millis, Refusal, Retention, Session};
use crate::store::{Change, Store, StoreError};
use writer::Writer;

/// A session and the bell that rings when it changed.
#[derive(Debug)]
pub struct Cell {
    session: Mutex<Session>,
    bell: watch::Sender<u64>,
}

impl Cell {
    /// A session that no store keeps: it is changed by who holds it, not by a hub.
    pub fn new(session: Session) -> Cell {
        Cell { session: Mutex::new(session), bell: watch::Sender::new(0) }
    }

    /// The session, locked; hold it across no await.
    pub fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().expect("no code panics while it holds a session")
    }

    /// Waits for changes behind the ones that `seen` stands for.
    pub fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Tells waiting readers that the session changed.
    pub fn ring(&self) {
        let changes = self.lock().changes();
        self.bell.send_replace(changes);
    }
}

/// Which events go when another one is appended; see [`Hub::append_removing`].
struct Removing(Box<dyn Fn(&Event) -> bool + Send>);

impl std::fmt::Debug for Removing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Removing")
    }
}

/// Where the cursor of an append is awaited, and whether it repeats one that was made before.
type Appended = oneshot::Sender<Result<(Cursor, bool), Answer>>;

/// A change that somebody waits for.
#[derive(Debug)]
enum Request {
    /// Make a session.
    Open(String, Retention, oneshot::Sender<Result<Cursor, Answer>>),
    /// Append an event.
    Append(String, Append, Option<Removing>, Appended),
    /// Remove a session.
    Delete(String, oneshot::Sender<Result<(), Answer>>),
    /// Stop after what came before.
    Stop,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is no such session.
    Unknown,
    /// There is one of that name already.
    Exists,
    /// The session does not take it.
    Refused(Refusal),
    /// The disk did not take it.
    Store(String),
}

/// Who is told of every event of every session, in the order in which they became visible, once each is durable.
type Observe = dyn Fn(&Cell, &Event) + Send + Sync;

struct Observer(Box<Observe>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// The hub.
#[derive(Debug)]
pub struct Hub {
    sessions: Mutex<HashMap<String, Arc<Cell>>>,
    requests: std::sync::mpsc::Sender<Request>,
    /// What bugs are switched on.
    pub bugs: BugSet,
    /// A bug has left a lock behind.
    pub poisoned: AtomicBool,
    /// Bounds for sessions that name none.
    pub retention: Retention,
    stopping: watch::Sender<bool>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    observer: OnceLock<Observer>,
}

/// Now, as stores keep it.
pub fn now() -> Millis {
    Millis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64))
}

/// The sessions that a store has kept, as a server finds them when it starts.
///
/// # Errors
/// When the store cannot be read, or does not take what recovery writes.
pub fn recover(store: &mut dyn Store, now: Millis, bugs: BugSet) -> Result<Vec<Session>, StoreError> {
    let (mut sessions, mut pruned) = (Vec::new(), Vec::new());
    for mut stored in store.load()? {
        if bugs.has(Bug::SessionsForgotten) {
            continue;
        }
        if bugs.has(Bug::RecoveryDoublesLast)
            && let Some(last) = stored.events.last().cloned().filter(|last| !last.terminal)
        {
            stored.head += 1;
            let again = Event { seq: stored.head, label: stored.head, batch: u64::MAX - stored.head, ..last };
            store.commit(&[Change::Append { id: stored.id.as_str().into(), event: again.clone(), key: None }])?;
            stored.events.push(again);
        }
        // A row of an answer that was being written; nothing behind it was.
        let torn = stored.events.last().is_some_and(|last| last.seq == stored.head && &*last.event_type == "token");
        if bugs.has(Bug::TornRowRenumbered) && torn {
            store.commit(&[Change::Truncate { id: stored.id.as_str().into() }])?;
            stored.events.pop();
            stored.head -= 1;
        }
        // What has expired while the server was away goes from the disk, also when a bug forgets that it was there.
        let behind_all = stored.head + 1;
        let session = Session::restore(stored, now, bugs);
        let oldest = if session.is_empty() { behind_all } else { session.oldest() };
        if oldest > 1 {
            pruned.push(Change::Prune { id: session.id.as_str().into(), oldest });
        }
        sessions.push(session);
    }
    if !pruned.is_empty() {
        store.commit(&pruned)?;
    }
    Ok(sessions)
}

impl Hub {
    /// A hub over a store, with what the store kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start(mut store: Box<dyn Store>, retention: Retention, bugs: BugSet) -> Result<Arc<Hub>, StoreError> {
        let recovered = recover(store.as_mut(), now(), bugs)?;
        let sessions = recovered.into_iter().map(|session| (session.id.clone(), Arc::new(Cell::new(session)))).collect();
        let (requests, incoming) = std::sync::mpsc::channel();
        let hub = Arc::new(Hub {
            sessions: Mutex::new(sessions),
            requests,
            bugs,
            poisoned: AtomicBool::new(false),
            retention,
            stopping: watch::Sender::new(false),
            writer: Mutex::new(None),
            observer: OnceLock::new(),
        });
        let writer = Writer::new(Arc::clone(&hub), store);
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || writer.run(&incoming));
        let thread = thread.map_err(|e| StoreError(format!("cannot start the writer: {e}")))?;
        *hub.writer.lock().expect("nobody panics here") = Some(thread);
        Ok(hub)
    }

    /// The session of this name.
    pub fn find(&self, id: &str) -> Option<Arc<Cell>> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Cell>>> {
        self.sessions.lock().expect("no code panics while it holds the table of sessions")
    }

    /// Has every event told to `observe`, behind its commit and before its publisher is answered. The writer waits for it.
    ///
    /// # Panics
    /// When there is an observer already.
    pub fn observe(&self, observe: impl Fn(&Cell, &Event) + Send + Sync + 'static) {
        assert!(self.observer.set(Observer(Box::new(observe))).is_ok(), "a hub has one observer");
    }

    /// Every other session; for bugs that mix sessions up.
    pub fn others(&self, id: &str) -> Vec<Arc<Cell>> {
        self.lock().iter().filter(|(other, _)| *other != id).map(|(_, cell)| Arc::clone(cell)).collect()
    }

    /// Every session there is.
    pub fn all(&self) -> Vec<Arc<Cell>> {
        self.lock().values().cloned().collect()
    }

    /// Makes a session and waits until it is durable.
    ///
    /// # Errors
    /// When there is one of that name, or the disk refuses.
    pub async fn open(&self, id: String, retention: Retention) -> Result<Cursor, Answer> {
        let (answer, wait) = oneshot::channel();
        self.ask(Request::Open(id, retention, answer));
        wait.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Appends an event and waits until it is durable; true when it is the repetition of an earlier one.
    ///
    /// # Errors
    /// When the session does not take it, or the disk refuses.
    pub async fn append(&self, id: &str, append: Append) -> Result<(Cursor, bool), Answer> {
        self.change(id, append, None).await
    }

    /// Asks for an event to be appended, and returns before it is: what is asked for in order has that order.
    pub fn append_soon(&self, id: &str, append: Append) -> impl Future<Output = Result<(Cursor, bool), Answer>> + Send + use<> {
        self.change(id, append, None)
    }

    /// Appends an event and takes those out that are `gone`, in one step for readers: all that became visible before it,
    /// and not itself. What was removed is not taken off the disk, so this is for logs that end with their process.
    ///
    /// # Errors
    /// When the session does not take the event, or the disk refuses; nothing is removed then.
    pub async fn append_removing(
        &self,
        id: &str,
        append: Append,
        gone: impl Fn(&Event) -> bool + Send + 'static,
    ) -> Result<Cursor, Answer> {
        self.change(id, append, Some(Removing(Box::new(gone)))).await.map(|(cursor, _)| cursor)
    }

    fn change(
        &self,
        id: &str,
        append: Append,
        removing: Option<Removing>,
    ) -> impl Future<Output = Result<(Cursor, bool), Answer>> + Send + use<> {
        let (answer, wait) = oneshot::channel();
        self.ask(Request::Append(id.to_owned(), append, removing, answer));
        async move { wait.await.unwrap_or_else(|_| Err(stopped())) }
    }

    /// Appends events in this order and waits until all of them are durable; they share commits where they can.
    ///
    /// # Errors
    /// When the session does not take one of them, or the disk refuses. Events before and behind that one may be there.
    pub async fn append_all(&self, id: &str, events: Vec<Append>) -> Result<(), Answer> {
        let mut waits = Vec::with_capacity(events.len());
        for append in events {
            let (answer, wait) = oneshot::channel();
            self.ask(Request::Append(id.to_owned(), append, None, answer));
            waits.push(wait);
        }
        for wait in waits {
            wait.await.unwrap_or_else(|_| Err(stopped()))?;
        }
        Ok(())
    }

    /// Removes a session.
    ///
    /// # Errors
    /// When there is none of that name, or the disk refuses.
    pub async fn delete(&self, id: &str) -> Result<(), Answer> {
        let (answer, wait) = oneshot::channel();
        self.ask(Request::Delete(id.to_owned(), answer));
        wait.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn ask(&self, request: Request) {
        // The writer ends only when the hub stops; whoever asks then sees its answer's channel closed.
        let _ = self.requests.send(request);
    }

    /// True once the server stops; streams watch it.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Ends all streams, and returns when everything asked for before is durable.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
        self.ask(Request::Stop);
        let writer = self.writer.lock().expect("nobody panics here").take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}

fn stopped() -> Answer {
    Answer::Store("the server is stopping".to_owned())
}

impl Hub {
    /// True when the bug that leaves a lock behind has struck.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }
}
