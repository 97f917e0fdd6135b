//! Building a view, in one pass.

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::{ConnView, EventView, OpView, Seen, SessionView, Sight, Sights, Stop, View};
use crate::history::{Action, ConnId, Delivery, History, Kind, Micros, Outcome, Process, SessionIx, Surface, What};

/// For how many events a session has room from the beginning.
const USUAL: usize = 56;

impl<'h> View<'h> {
    /// The view of a history. Records that refer to what was never introduced are passed over: a history may come from a
    /// file that somebody has cut.
    pub fn of(history: &'h History) -> View<'h> {
        let mut view = View {
            history,
            sessions: Vec::new(),
            conns: Vec::new(),
            ops: Vec::new(),
            process: Vec::new(),
            stops: Vec::new(),
            waits: Vec::new(),
            resources: Vec::new(),
            expectations: Vec::new(),
            leaks: Vec::new(),
        };
        let room = Room::of(history);
        view.ops.reserve(room.ops);
        view.conns.reserve(room.deliveries.len());
        for (record, entry) in history.records.iter().enumerate() {
            view.take(record, entry.at, &entry.what);
            if let What::Connect(connect) = &entry.what {
                let most = room.deliveries.get(connect.conn.0 as usize).copied().unwrap_or(0);
                view.on(connect.conn, |conn| {
                    conn.got.reserve_exact(most);
                    conn.events.reserve_exact(most);
                });
            }
        }
        for session in &mut view.sessions {
            session.unknowns = session.events.iter().filter(|event| event.unknown).count();
        }
        view
    }

    fn take(&mut self, record: usize, at: Micros, what: &'h What) {
        macro_rules! seen {
            ($what:expr) => {
                Seen { record, at, what: $what }
            };
        }
        match what {
            // Accounts are read straight from the records (see `check::money`).
            What::Step(_) | What::Paid(_) | What::Told(_) | What::Named(_) | What::Wire(_) => {}
            What::Session(session) => {
                if session.session.0 as usize == self.sessions.len() {
                    if let Some(former) = session.reborn_of.and_then(|ix| self.session(ix)) {
                        former.succeeded = true;
                    }
                    self.sessions.push(SessionView {
                        events: Vec::with_capacity(USUAL),
                        name: &session.name,
                        retain: session.retain,
                        reborn_of: session.reborn_of,
                        cursors: FxHashMap::with_capacity_and_hasher(USUAL, FxBuildHasher),
                        ..SessionView::default()
                    });
                }
            }
            What::Opened(opened) => {
                if let Some(session) = self.session(opened.session) {
                    session.opened.push(&opened.cursor);
                }
            }
            What::Invoke(invoke) => {
                if invoke.op.0 as usize == self.ops.len() {
                    self.ops.push(OpView { invoked: seen!(&invoke.action), completed: None });
                    self.invoked(record, at, &invoke.action);
                }
            }
            What::Complete(complete) => {
                if let Some(op) = self.ops.get_mut(complete.op.0 as usize) {
                    op.completed = Some(seen!(&complete.outcome));
                    let Seen { at: sent, what: action, .. } = op.invoked;
                    self.completed(record, (sent, at), action, &complete.outcome);
                }
            }
            What::Connect(connect) => {
                // A connection to a session that was never introduced has no place: nothing can be said of it.
                let known = self.sessions.get_mut(connect.session.0 as usize);
                if let Some(session) = known.filter(|_| connect.conn.0 as usize == self.conns.len()) {
                    session.conns.push(connect.conn);
                    self.conns.push(ConnView {
                        place: session.conns.len() - 1,
                        id: connect.conn,
                        connect: seen!(connect),
                        answer: None,
                        astray: false,
                        got: Vec::new(),
                        events: Vec::new(),
                        newest: None,
                        ascends: true,
                        last: 0,
                        comments: Vec::new(),
                        lint: Vec::new(),
                        opinion: None,
                        faults: Vec::new(),
                        waits: Vec::new(),
                        end: None,
                    });
                }
            }
            What::Answer(answer) => {
                let Some(conn) = self.conns.get_mut(answer.conn.0 as usize) else { return };
                conn.answer = Some(seen!(answer));
                conn.astray = self.sessions[conn.connect.what.session.0 as usize].succeeded;
            }
            What::Delivery(delivery) => self.delivered(record, at, delivery),
            What::Comment(comment) => self.on(comment.conn, |conn| conn.comments.push(seen!(()))),
            What::Lint(lint) => self.on(lint.conn, |conn| conn.lint.push(seen!(lint))),
            What::Opinion(opinion) => self.on(opinion.conn, |conn| conn.opinion = Some(seen!(opinion))),
            What::End(end) => self.on(end.conn, |conn| conn.end = Some(seen!(end))),
            What::Fault(fault) => {
                if let Some(id) = fault.conn {
                    self.on(id, |conn| conn.faults.push(seen!(fault)));
                }
            }
            What::Process(process) => {
                self.process.push(seen!(process));
                self.changed(at, process);
            }
            What::Resources(resources) => self.resources.push(seen!(resources)),
            What::Expectation(expectation) => self.expectations.push(seen!(expectation)),
            What::Leaked(leaked) => self.leaks.push(seen!(leaked)),
            What::Wait(wait) => {
                self.waits.push(seen!(wait));
                if let Some(id) = wait.conn {
                    self.on(id, |conn| conn.waits.push(seen!(wait)));
                }
            }
        }
    }

    fn changed(&mut self, at: Micros, process: &'h Process) {
        match process {
            Process::Gone | Process::Died { .. } => {
                // Before the process was ready nobody asked this one to go.
                let own = self.process.iter().rev().take_while(|p| !matches!(p.what, Process::Ready { .. }));
                let signal = own.filter(|_| *process == Process::Gone).find_map(|p| match p.what {
                    Process::Signal { name } if name == "KILL" || name == "TERM" => Some(name.as_str()),
                    Process::Signal { .. } | Process::Ready { .. } | Process::Gone | Process::Died { .. } | Process::Overdue => None,
                });
                self.stops.push(Stop { at, signal: signal.unwrap_or("KILL"), wiped: false });
            }
            Process::Ready { wiped: true, .. } => {
                if let Some(stop) = self.stops.last_mut() {
                    stop.wiped = true;
                }
            }
            Process::Ready { .. } | Process::Signal { .. } | Process::Overdue => {}
        }
    }

    fn session(&mut self, ix: SessionIx) -> Option<&mut SessionView<'h>> {
        self.sessions.get_mut(ix.0 as usize)
    }

    fn on(&mut self, id: ConnId, change: impl FnOnce(&mut ConnView<'h>)) {
        if let Some(conn) = self.conns.get_mut(id.0 as usize) {
            change(conn);
        }
    }

    fn invoked(&mut self, record: usize, at: Micros, action: &'h Action) {
        match action {
            Action::Publish(publish) => {
                let Some(session) = self.session(publish.session) else { return };
                if let Some(event) = session.event_of(publish.marker.n) {
                    if publish.repeats.is_some() && !publish.conflict {
                        session.events[event].repeated = Some(at);
                    }
                    return;
                }
                if publish.marker.n as usize != session.events.len() + 1 {
                    session.elsewhere.insert(publish.marker.n, session.events.len());
                }
                session.events.push(EventView {
                    marker: publish.marker,
                    invoked: Seen { record, at, what: () },
                    acked: None,
                    refused: false,
                    unknown: true,
                    durable: publish.durable,
                    body: &publish.body,
                    key: publish.key.as_deref(),
                    conflict: publish.conflict,
                    hostile: publish.hostile,
                    hostile_type: publish.hostile_type,
                    secret: publish.secret,
                    cursor: None,
                    other_cursor: None,
                    repeated: None,
                });
            }
            Action::Close { session, .. } => {
                if let Some(session) = self.session(*session) {
                    session.closing.get_or_insert(at);
                }
            }
            Action::Delete { session } => {
                if let Some(session) = self.session(*session) {
                    session.deleting.get_or_insert(at);
                }
            }
            Action::Open { .. } | Action::Health | Action::Custom { .. } | Action::Pay(_) | Action::Probe { .. } => {}
        }
    }

    fn completed(&mut self, record: usize, (sent, at): (Micros, Micros), action: &'h Action, outcome: &'h Outcome) {
        match action {
            Action::Publish(publish) => {
                let Some(session) = self.sessions.get_mut(publish.session.0 as usize) else { return };
                let Some(event) = session.event_of(publish.marker.n) else { return };
                let view = &mut session.events[event];
                match outcome {
                    // A key that was used before: the acknowledgement may be the first event's, and this one may never be.
                    Outcome::Ok { .. } if publish.conflict => {}
                    Outcome::Ok { cursor, .. } => {
                        view.acked.get_or_insert(Seen { record, at, what: () });
                        view.unknown = false;
                        view.refused = false;
                        if let Some(cursor) = cursor {
                            session.sight(event, cursor, record, at);
                        }
                    }
                    Outcome::Failed { .. } => {
                        // A refused repetition says nothing about the first request.
                        if view.acked.is_none() && (publish.repeats.is_none() || publish.conflict) {
                            view.refused = true;
                            view.unknown = false;
                        }
                    }
                    Outcome::Unknown { .. } => {}
                }
            }
            Action::Close { session, by_stop } => {
                if let (Some(session), Outcome::Ok { cursor, .. }) = (self.session(*session), outcome) {
                    session.ended_by_stop |= *by_stop;
                    session.closed.get_or_insert(at);
                    session.terminal_cursor = session.terminal_cursor.or(cursor.as_deref());
                }
            }
            Action::Delete { session } => {
                if let (Some(session), Outcome::Ok { .. }) = (self.session(*session), outcome) {
                    session.deleted.get_or_insert(at);
                }
            }
            Action::Custom { clears, .. } => {
                // Without an answer it may have happened at any time from then on.
                let done = if matches!(outcome, Outcome::Ok { .. }) { at } else { Micros(u64::MAX) };
                for ix in clears {
                    if let Some(session) = self.session(*ix) {
                        session.cleared.push((sent, done));
                    }
                }
            }
            Action::Open { .. } | Action::Health | Action::Pay(_) | Action::Probe { .. } => {}
        }
    }

    fn delivered(&mut self, record: usize, at: Micros, delivery: &'h Delivery) {
        let Some(conn) = self.conns.get_mut(delivery.conn.0 as usize) else { return };
        let ix = conn.connect.what.session;
        let session = &mut self.sessions[ix.0 as usize];
        // A stranger's event under this session's cursor is no event of this session.
        let own = delivery.marker.filter(|marker| marker.session == ix.0);
        let event = own.and_then(|marker| session.event_of(marker.n));
        conn.got.push(Seen { record, at, what: delivery });
        conn.events.push(event.map(|event| event as u32));
        if let Some(event) = event.map(|event| event as u32) {
            conn.ascends &= event >= conn.last;
            conn.last = event + 1;
        }
        conn.newest = event.filter(|_| delivery.durable).or(conn.newest);
        match (event, delivery.cursor.as_deref()) {
            (_, _) if conn.astray => {}
            (Some(event), Some(cursor)) => session.sight(event, cursor, record, at),
            (None, Some(cursor)) if delivery.kind != Kind::Commit => {
                session.synthetic.entry(cursor).or_insert(at);
            }
            (None, Some(cursor)) if conn.connect.what.surface != Surface::Snapshot => {
                if let Some(event) = conn.newest {
                    session.commits.entry(cursor).or_insert(Sight { event, record, at });
                }
            }
            (_, _) => {}
        }
    }
}

/// How much there is of what a view lists.
#[derive(Default)]
struct Room {
    ops: usize,
    /// Deliveries by the number of their connection.
    deliveries: Vec<usize>,
}

impl Room {
    fn of(history: &History) -> Room {
        let mut room = Room::default();
        for record in &history.records {
            if let What::Invoke(_) = &record.what {
                room.ops += 1;
            } else if let What::Connect(connect) = &record.what {
                if connect.conn.0 as usize == room.deliveries.len() {
                    room.deliveries.push(0);
                }
            } else if let What::Delivery(delivery) = &record.what
                && let Some(times) = room.deliveries.get_mut(delivery.conn.0 as usize)
            {
                *times += 1;
            }
        }
        room
    }
}

impl<'h> SessionView<'h> {
    fn sight(&mut self, event: usize, cursor: &'h str, record: usize, at: Micros) {
        // It was seen with this cursor before: the first time has left what there is to know.
        if self.events[event].cursor.is_some_and(|first| first.what == cursor) {
            return;
        }
        let sight = Sight { event, record, at };
        let sights = self.cursors.entry(cursor).or_insert(Sights { first: sight, second: None });
        if sights.first.event != event {
            sights.second.get_or_insert(sight);
        }
        let seen = Seen { record, at, what: cursor };
        let view = &mut self.events[event];
        match view.cursor {
            None => view.cursor = Some(seen),
            Some(_) => {
                view.other_cursor.get_or_insert(seen);
            }
        }
    }
}
