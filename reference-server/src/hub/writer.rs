//! The writer: takes numbers, commits groups, then makes visible and answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::{Answer, Appended, Cell, Hub, Removing, Request, now};
use crate::bugs::Bug;
use crate::session::{Append, Cursor, Epoch, Event, Prepared, Retention, Session, race};
use crate::store::{Change, Store, StoreError};

/// At most this many requests in one commit.
const GROUP: usize = 256;
/// How long the bugs of concurrency wait for what is on its way.
const COMPANY: Duration = Duration::from_millis(2);
/// How long a bug lets acknowledged events wait for the disk.
const WRITE_BEHIND: Duration = Duration::from_millis(150);
/// How long a bug lets a publish wait for the slowest reader.
const STALL: Duration = Duration::from_secs(3);
/// How often it does for one session; then the slow reader's queue counts as gone.
const STALLS: u32 = 2;
/// How many events that reader may be behind.
const SLOW: u64 = 64;

/// The one thread that changes sessions.
pub(super) struct Writer {
    hub: Arc<Hub>,
    store: Box<dyn Store>,
    batch: u64,
    /// What a bug has acknowledged without storing it, and when it will be stored.
    behind: Vec<Change>,
    due: Option<Instant>,
    stalls: HashMap<String, u32>,
}

/// What to do for one request once its group is durable.
enum Done {
    Open(String, Epoch, Retention, oneshot::Sender<Result<Cursor, Answer>>),
    /// The event is in the change of this index.
    Append(Arc<Cell>, usize, Option<Removing>, Appended),
    Again(Cursor, Appended),
    Delete(String, oneshot::Sender<Result<(), Answer>>),
}

/// Requests that are committed together.
#[derive(Default)]
struct Group {
    changes: Vec<Change>,
    done: Vec<Done>,
    /// Sessions opened and removed in this group, before either is visible.
    opened: HashSet<String>,
    deleted: HashSet<String>,
}

impl Writer {
    pub(super) fn new(hub: Arc<Hub>, store: Box<dyn Store>) -> Writer {
        Writer { hub, store, batch: 0, behind: Vec::new(), due: None, stalls: HashMap::new() }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self, incoming: &Receiver<Request>) {
        let company = [Bug::CounterRace, Bug::NumberBeforeLock, Bug::OrderPerReader].into_iter().any(|bug| self.hub.bugs.has(bug));
        loop {
            let first = match self.due {
                None => incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => incoming.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let first = match first {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.flush();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if company {
                std::thread::sleep(COMPANY);
            }
            let goes_on = self.group(std::iter::once(first).chain(incoming.try_iter().take(GROUP - 1)));
            if !goes_on {
                self.flush();
                return;
            }
        }
    }

    /// Stores what a bug has left behind.
    fn flush(&mut self) {
        self.due = None;
        // Nobody is left to tell.
        let _ = self.store.commit(&std::mem::take(&mut self.behind));
    }

    /// Handles one group; false when it held the order to stop.
    fn group(&mut self, requests: impl Iterator<Item = Request>) -> bool {
        self.batch += 1;
        let (mut group, mut goes_on) = (Group::default(), true);
        for request in requests {
            match request {
                Request::Open(id, retention, answer) => self.open(id, retention, answer, &mut group),
                Request::Append(id, append, removing, answer) => self.append(&id, append, (removing, answer), &mut group),
                Request::Delete(id, answer) => self.delete(id, answer, &mut group),
                Request::Stop => {
                    if self.hub.bugs.has(Bug::ShutdownTruncates) {
                        group.changes.extend(self.hub.lock().keys().map(|id| Change::Truncate { id: id.as_str().into() }));
                    }
                    goes_on = false;
                }
            }
        }
        if self.hub.bugs.has(Bug::CounterRace) || self.hub.bugs.has(Bug::NumberBeforeLock) {
            self.race(&mut group);
        }
        let appends = group.changes.iter().any(|change| matches!(change, Change::Append { .. }));
        if self.hub.bugs.has(Bug::AckBeforeDurable) && appends {
            self.finish(group.done, &group.changes);
            self.behind.extend(group.changes);
            self.due.get_or_insert_with(|| Instant::now() + WRITE_BEHIND);
            return goes_on;
        }
        match if group.changes.is_empty() { Ok(()) } else { self.store.commit(&group.changes) } {
            Ok(()) => self.finish(group.done, &group.changes),
            Err(error) => fail(group.done, &group.changes, &error),
        }
        goes_on
    }

    fn open(&self, id: String, retention: Retention, answer: oneshot::Sender<Result<Cursor, Answer>>, group: &mut Group) {
        if self.hub.find(&id).is_some() || !group.opened.insert(id.clone()) {
            let _ = answer.send(Err(Answer::Exists));
            return;
        }
        let epoch = Epoch(rand::random());
        group.changes.push(Change::Open { id: id.as_str().into(), epoch: epoch.0, retention });
        group.done.push(Done::Open(id, epoch, retention, answer));
    }

    fn delete(&self, id: String, answer: oneshot::Sender<Result<(), Answer>>, group: &mut Group) {
        if self.hub.find(&id).is_none() || !group.deleted.insert(id.clone()) {
            let _ = answer.send(Err(Answer::Unknown));
            return;
        }
        group.changes.push(Change::Delete { id: id.as_str().into() });
        group.done.push(Done::Delete(id, answer));
    }

    fn append(&self, id: &str, append: Append, (removing, answer): (Option<Removing>, Appended), group: &mut Group) {
        // What was removed earlier in the group is still to be found: an event for it would outlive it on the disk.
        let Some(cell) = self.hub.find(id).filter(|_| !group.deleted.contains(id)) else {
            let _ = answer.send(Err(Answer::Unknown));
            return;
        };
        let mut session = cell.lock();
        match session.prepare(&append, now(), self.batch) {
            Ok(Prepared::New(event)) => {
                let key = append.key.and_then(|key| session.key_use(&key).cloned().map(|used| (key, used)));
                let oldest = session.oldest();
                drop(session);
                group.done.push(Done::Append(cell, group.changes.len(), removing, answer));
                group.changes.push(Change::Append { id: id.into(), event, key });
                if oldest > 1 {
                    group.changes.push(Change::Prune { id: id.into(), oldest });
                }
            }
            Ok(Prepared::Again(cursor)) => {
                drop(session);
                group.done.push(Done::Again(cursor, answer));
            }
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

    /// Lets the concurrent events of each session race for their numbers, two by two.
    fn race(&self, group: &mut Group) {
        let mut waiting: Vec<(&Arc<str>, &mut Event)> = Vec::new();
        for change in &mut group.changes {
            let Change::Append { id, event, .. } = change else { continue };
            match waiting.iter().position(|(other, _)| ***other == **id) {
                Some(at) => race(waiting.swap_remove(at).1, event, self.hub.bugs),
                None => waiting.push((&*id, event)),
            }
        }
    }

    fn finish(&mut self, done: Vec<Done>, changes: &[Change]) {
        for one in done {
            match one {
                Done::Open(id, epoch, retention, answer) => {
                    let session = Session::new(id.clone(), epoch, retention, self.hub.bugs);
                    let head = session.head();
                    self.hub.lock().insert(id, Arc::new(Cell::new(session)));
                    let _ = answer.send(Ok(head));
                }
                Done::Append(cell, at, removing, answer) => {
                    let event = event(changes, at);
                    if self.hub.bugs.has(Bug::SlowStallsAll) {
                        self.wait_for_the_slowest(&cell);
                    }
                    let cursor = self.publish(&cell, event, removing);
                    if let Some(observer) = self.hub.observer.get() {
                        (observer.0)(&cell, event);
                    }
                    if self.hub.bugs.has(Bug::LiveToEveryone) && event.seq.is_multiple_of(5) {
                        self.tell_everyone(&cell, event);
                    }
                    if !(self.hub.bugs.has(Bug::LostWakeup) && event.seq.is_multiple_of(3)) {
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

    /// Makes an event visible, together with the absence of those that go with it.
    fn publish(&self, cell: &Cell, event: &Event, removing: Option<Removing>) -> Cursor {
        let mut session = cell.lock();
        let removing = removing.filter(|_| !self.hub.bugs.has(Bug::DisposeKeepsRecords));
        let late = self.hub.bugs.has(Bug::DisposeRemovesItself);
        if let Some(Removing(gone)) = removing.as_ref().filter(|_| !late) {
            session.remove(gone);
        }
        let cursor = session.publish(event.clone(), now());
        if let Some(Removing(gone)) = removing.as_ref().filter(|_| late) {
            session.remove(gone);
        }
        cursor
    }

    fn tell_everyone(&self, cell: &Arc<Cell>, event: &Event) {
        let id = cell.lock().id.clone();
        for other in self.hub.others(&id) {
            other.lock().announce(&event.event_type, &event.data);
            other.ring();
        }
    }

    /// A full queue of one reader, awaited by the publisher.
    fn wait_for_the_slowest(&mut self, cell: &Cell) {
        let id = cell.lock().id.clone();
        if self.stalls.get(&id).is_some_and(|stalls| *stalls == STALLS) {
            return;
        }
        let until = Instant::now() + STALL;
        while cell.lock().slowest() >= SLOW {
            if Instant::now() >= until {
                *self.stalls.entry(id).or_default() += 1;
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn event(changes: &[Change], at: usize) -> &Event {
    match &changes[at] {
        Change::Append { event, .. } => event,
        Change::Open { .. } | Change::Prune { .. } | Change::Delete { .. } | Change::Truncate { .. } => {
            unreachable!("the index was taken when the append was pushed")
        }
    }
}

/// The group could not be stored: its numbers are given back, newest first, and nobody is told that anything was done.
fn fail(done: Vec<Done>, changes: &[Change], error: &StoreError) {
    let why = || Answer::Store(error.to_string());
    for one in done.into_iter().rev() {
        match one {
            Done::Open(.., answer) => {
                let _ = answer.send(Err(why()));
            }
            Done::Append(cell, at, _, answer) => {
                cell.lock().abandon(event(changes, at));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bugs::BugSet;
    use crate::store::{Memory, Sqlite};

    #[test]
    fn an_append_behind_a_delete_of_its_group_leaves_nothing_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.db");
        let hub = Hub::start(Box::new(Memory), Retention::default(), BugSet::default()).unwrap();
        let mut writer = Writer::new(Arc::clone(&hub), Box::new(Sqlite::open(&path).unwrap()));
        let (id, append) = ("s".to_owned(), Append { event_type: "m".into(), data: "1".into(), key: None, terminal: false });
        for _ in 0..2 {
            writer.group(std::iter::once(Request::Open(id.clone(), Retention::default(), oneshot::channel().0)));
            let (answer, mut before) = oneshot::channel();
            let first = Request::Append(id.clone(), append.clone(), None, answer);
            let delete = Request::Delete(id.clone(), oneshot::channel().0);
            let (answer, mut behind) = oneshot::channel();
            let second = Request::Append(id.clone(), append.clone(), None, answer);
            writer.group([first, delete, second].into_iter());
            assert!(before.try_recv().unwrap().is_ok());
            assert_eq!(behind.try_recv().unwrap(), Err(Answer::Unknown));
        }
        drop(writer);
        assert!(Sqlite::open(&path).unwrap().load().unwrap().is_empty());
        hub.stop();
    }
}
