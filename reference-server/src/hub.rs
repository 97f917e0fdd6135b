//! The hub: sessions by name, and the one thread that makes changes durable.
//!
//! Every change goes through that thread in groups: it takes numbers for what has come in meanwhile, commits the group,
//! and only then makes the events visible and answers. So an acknowledged event is on disk, a visible event is durable,
//! and the order of numbers is the order of the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};

use crate::bugs::{Bug, BugSet};
use crate::session::{Append, Cursor, Epoch, Event, Millis, Prepared, Refusal, Retention, Session};
use crate::store::{Change, Store, StoreError};

/// At most this many requests in one commit.
const GROUP: usize = 256;
/// How long a bug lets acknowledged events wait for the disk.
const WRITE_BEHIND: Duration = Duration::from_millis(150);

/// A session and the bell that rings when it changed.
#[derive(Debug)]
pub struct Cell {
    session: Mutex<Session>,
    bell: watch::Sender<u64>,
}

impl Cell {
    fn new(session: Session) -> Cell {
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

/// A change that somebody waits for.
#[derive(Debug)]
pub enum Request {
    /// Make a session.
    Open(String, Retention, oneshot::Sender<Result<Cursor, Answer>>),
    /// Append an event.
    Append(String, Append, oneshot::Sender<Result<(Cursor, bool), Answer>>),
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
}

/// Now, as stores keep it.
pub fn now() -> Millis {
    Millis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64))
}

impl Hub {
    /// A hub over a store, with what the store kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start(mut store: Box<dyn Store>, retention: Retention, bugs: BugSet) -> Result<Arc<Hub>, StoreError> {
        let mut sessions = HashMap::new();
        for mut stored in store.load()? {
            if bugs.has(Bug::SessionsForgotten) {
                continue;
            }
            if bugs.has(Bug::RecoveryDoublesLast)
                && let Some(last) = stored.events.last().cloned().filter(|last| !last.terminal)
            {
                stored.head += 1;
                let again = Event { seq: stored.head, label: stored.head, batch: u64::MAX - stored.head, ..last };
                store.commit(&[Change::Append { id: stored.id.clone(), event: again.clone(), key: None }])?;
                stored.events.push(again);
            }
            sessions.insert(stored.id.clone(), Arc::new(Cell::new(Session::restore(stored, bugs))));
        }
        let (requests, incoming) = std::sync::mpsc::channel();
        let hub = Arc::new(Hub {
            sessions: Mutex::new(sessions),
            requests,
            bugs,
            poisoned: AtomicBool::new(false),
            retention,
            stopping: watch::Sender::new(false),
            writer: Mutex::new(None),
        });
        let writer = Writer { hub: Arc::clone(&hub), store, batch: 0 };
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

    /// Every other session; for bugs that mix sessions up.
    pub fn others(&self, id: &str) -> Vec<Arc<Cell>> {
        self.lock().iter().filter(|(other, _)| *other != id).map(|(_, cell)| Arc::clone(cell)).collect()
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
        let (answer, wait) = oneshot::channel();
        self.ask(Request::Append(id.to_owned(), append, answer));
        wait.await.unwrap_or_else(|_| Err(stopped()))
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

struct Writer {
    hub: Arc<Hub>,
    store: Box<dyn Store>,
    batch: u64,
}

/// What to do for one request once its group is durable.
enum Done {
    Open(String, Epoch, Retention, oneshot::Sender<Result<Cursor, Answer>>),
    Append(Arc<Cell>, Event, oneshot::Sender<Result<(Cursor, bool), Answer>>),
    Again(Cursor, oneshot::Sender<Result<(Cursor, bool), Answer>>),
    Delete(String, oneshot::Sender<Result<(), Answer>>),
}

impl Writer {
    fn run(mut self, incoming: &std::sync::mpsc::Receiver<Request>) {
        while let Ok(first) = incoming.recv() {
            let mut group = vec![first];
            if self.hub.bugs.has(Bug::CounterRace) || self.hub.bugs.has(Bug::NumberBeforeLock) || self.hub.bugs.has(Bug::OrderPerReader) {
                // These bugs need company: wait for what is on its way.
                std::thread::sleep(Duration::from_millis(2));
            }
            while group.len() < GROUP
                && let Ok(more) = incoming.try_recv()
            {
                group.push(more);
            }
            if !self.group(group) {
                return;
            }
        }
    }

    /// Handles one group; false when it held the order to stop.
    fn group(&mut self, group: Vec<Request>) -> bool {
        self.batch += 1;
        let (mut changes, mut done, mut goes_on) = (Vec::new(), Vec::new(), true);
        for request in group {
            match request {
                Request::Open(id, retention, answer) => {
                    let pending = changes.iter().any(|c| matches!(c, Change::Open { id: other, .. } if *other == id));
                    if pending || self.hub.find(&id).is_some() {
                        let _ = answer.send(Err(Answer::Exists));
                        continue;
                    }
                    let epoch = Epoch(rand::random());
                    changes.push(Change::Open { id: id.clone(), epoch: epoch.0, retention });
                    done.push(Done::Open(id, epoch, retention, answer));
                }
                Request::Append(id, append, answer) => self.prepare(&id, append, answer, &mut changes, &mut done),
                Request::Delete(id, answer) => {
                    if self.hub.find(&id).is_none() {
                        let _ = answer.send(Err(Answer::Unknown));
                        continue;
                    }
                    changes.push(Change::Delete { id: id.clone() });
                    done.push(Done::Delete(id, answer));
                }
                Request::Stop => {
                    if self.hub.bugs.has(Bug::ShutdownTruncates) {
                        changes.extend(self.hub.lock().keys().map(|id| Change::Truncate { id: id.clone() }));
                    }
                    goes_on = false;
                }
            }
        }
        if self.hub.bugs.has(Bug::AckBeforeDurable) {
            self.finish(done);
            std::thread::sleep(WRITE_BEHIND);
            let _ = self.store.commit(&changes);
            return goes_on;
        }
        match if changes.is_empty() { Ok(()) } else { self.store.commit(&changes) } {
            Ok(()) => self.finish(done),
            Err(error) => fail(done, &error),
        }
        goes_on
    }

    fn prepare(
        &self,
        id: &str,
        append: Append,
        answer: oneshot::Sender<Result<(Cursor, bool), Answer>>,
        changes: &mut Vec<Change>,
        done: &mut Vec<Done>,
    ) {
        let Some(cell) = self.hub.find(id) else {
            let _ = answer.send(Err(Answer::Unknown));
            return;
        };
        let now = now();
        let mut session = cell.lock();
        match session.prepare(&append, now, self.batch) {
            Ok(Prepared::New(event)) => {
                let key = append.key.and_then(|key| session.key_use(&key).cloned().map(|used| (key, used)));
                changes.push(Change::Append { id: id.to_owned(), event: event.clone(), key });
                let oldest = session.oldest();
                if oldest > 1 {
                    changes.push(Change::Prune { id: id.to_owned(), oldest });
                }
                drop(session);
                done.push(Done::Append(cell, event, answer));
            }
            Ok(Prepared::Again(cursor)) => done.push(Done::Again(cursor, answer)),
            Err(refusal) => {
                if self.hub.bugs.has(Bug::RefusedStillBroadcast) {
                    session.announce(&append.event_type, &append.data);
                }
                drop(session);
                cell.ring();
                let _ = answer.send(Err(Answer::Refused(refusal)));
            }
        }
    }

    fn finish(&self, done: Vec<Done>) {
        for one in done {
            match one {
                Done::Open(id, epoch, retention, answer) => {
                    let session = Session::new(id.clone(), epoch, retention, self.hub.bugs);
                    let head = session.head();
                    self.hub.lock().insert(id, Arc::new(Cell::new(session)));
                    let _ = answer.send(Ok(head));
                }
                Done::Append(cell, event, answer) => {
                    let (seq, kind, data) = (event.seq, event.event_type.clone(), event.data.clone());
                    let cursor = cell.lock().publish(event, now());
                    self.misbehave(&cell, seq, &kind, &data);
                    if !(self.hub.bugs.has(Bug::LostWakeup) && seq.is_multiple_of(3)) {
                        cell.ring();
                    }
                    let _ = answer.send(Ok((cursor, false)));
                }
                Done::Again(cursor, answer) => {
                    let _ = answer.send(Ok((cursor, true)));
                }
                Done::Delete(id, answer) => {
                    if !self.hub.bugs.has(Bug::DeletedStillStreams)
                        && let Some(cell) = self.hub.lock().remove(&id)
                    {
                        cell.lock().delete();
                        cell.ring();
                    }
                    let _ = answer.send(Ok(()));
                }
            }
        }
    }

    /// What bugs of the fan-out do when an event has become visible.
    fn misbehave(&self, cell: &Arc<Cell>, seq: u64, kind: &str, data: &str) {
        if self.hub.bugs.has(Bug::LiveToEveryone) && seq.is_multiple_of(5) {
            let id = cell.lock().id.clone();
            for other in self.hub.others(&id) {
                other.lock().announce(kind, data);
                other.ring();
            }
        }
        if self.hub.bugs.has(Bug::SlowStallsAll) {
            // A full queue of one reader, awaited by the publisher.
            for _ in 0..300 {
                if cell.lock().slowest() < 64 {
                    return;
                }
                cell.ring();
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// The group could not be stored: its numbers are given back, newest first, and nobody is told that anything was done.
fn fail(done: Vec<Done>, error: &StoreError) {
    let why = || Answer::Store(error.to_string());
    for one in done.into_iter().rev() {
        match one {
            Done::Open(.., answer) => {
                let _ = answer.send(Err(why()));
            }
            Done::Append(cell, event, answer) => {
                cell.lock().abandon(&event);
                let _ = answer.send(Err(why()));
            }
            Done::Again(_, answer) => {
                let _ = answer.send(Err(why()));
            }
            Done::Delete(_, answer) => {
                let _ = answer.send(Err(why()));
            }
        }
    }
}

impl Hub {
    /// True when the bug that leaves a lock behind has struck.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }
}
