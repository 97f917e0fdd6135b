//! Building a view, in one pass.

use super::{ConnView, EventView, OpView, Seen, SessionView, Sight, View};
use crate::history::{Action, ConnId, Delivery, History, Micros, Outcome, SessionIx, What};

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
            waits: Vec::new(),
            resources: Vec::new(),
        };
        for (record, entry) in history.records.iter().enumerate() {
            view.take(record, entry.at, &entry.what);
        }
        view.settle();
        view
    }

    fn take(&mut self, record: usize, at: Micros, what: &'h What) {
        macro_rules! seen {
            ($what:expr) => {
                Seen { record, at, what: $what }
            };
        }
        match what {
            What::Step(_) => {}
            What::Session(session) => {
                if session.session.0 as usize == self.sessions.len() {
                    self.sessions.push(SessionView {
                        name: &session.name,
                        retain: session.retain,
                        reborn_of: session.reborn_of,
                        ..SessionView::default()
                    });
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
                    let action = op.invoked.what;
                    self.completed(record, at, action, &complete.outcome);
                }
            }
            What::Connect(connect) => {
                if connect.conn.0 as usize == self.conns.len() {
                    self.conns.push(ConnView {
                        id: connect.conn,
                        connect: seen!(connect),
                        answer: None,
                        got: Vec::new(),
                        comments: Vec::new(),
                        lint: Vec::new(),
                        opinion: None,
                        faults: Vec::new(),
                        end: None,
                    });
                    if let Some(session) = self.session(connect.session) {
                        session.conns.push(connect.conn);
                    }
                }
            }
            What::Answer(answer) => self.on(answer.conn, |conn| conn.answer = Some(seen!(answer))),
            What::Delivery(delivery) => {
                self.on(delivery.conn, |conn| conn.got.push(seen!(delivery)));
                self.sight(record, at, delivery);
            }
            What::Comment(comment) => self.on(comment.conn, |conn| conn.comments.push(seen!(()))),
            What::Lint(lint) => self.on(lint.conn, |conn| conn.lint.push(seen!(lint))),
            What::Opinion(opinion) => self.on(opinion.conn, |conn| conn.opinion = Some(seen!(opinion))),
            What::End(end) => self.on(end.conn, |conn| conn.end = Some(seen!(end))),
            What::Fault(fault) => {
                if let Some(id) = fault.conn {
                    self.on(id, |conn| conn.faults.push(seen!(fault)));
                }
            }
            What::Process(process) => self.process.push(seen!(process)),
            What::Resources(resources) => self.resources.push(seen!(resources)),
            What::Wait(wait) => self.waits.push(seen!(wait)),
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
                if session.by_marker.contains_key(&publish.marker.n) {
                    return;
                }
                session.by_marker.insert(publish.marker.n, session.events.len());
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
                    cursors: Vec::new(),
                });
            }
            Action::Close { session } => {
                if let Some(session) = self.session(*session) {
                    session.closing.get_or_insert(at);
                }
            }
            Action::Open { .. } | Action::Delete { .. } | Action::Health | Action::Probe { .. } => {}
        }
    }

    fn completed(&mut self, record: usize, at: Micros, action: &'h Action, outcome: &'h Outcome) {
        match action {
            Action::Publish(publish) => {
                let Some(session) = self.sessions.get_mut(publish.session.0 as usize) else { return };
                let Some(&event) = session.by_marker.get(&publish.marker.n) else { return };
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
            Action::Close { session } => {
                if let (Some(session), Outcome::Ok { cursor, .. }) = (self.session(*session), outcome) {
                    session.closed.get_or_insert(at);
                    session.terminal_cursor = session.terminal_cursor.or(cursor.as_deref());
                }
            }
            Action::Delete { session } => {
                if let (Some(session), Outcome::Ok { .. }) = (self.session(*session), outcome) {
                    session.deleted.get_or_insert(at);
                }
            }
            Action::Open { .. } | Action::Health | Action::Probe { .. } => {}
        }
    }

    fn sight(&mut self, record: usize, at: Micros, delivery: &'h Delivery) {
        let (Some(marker), Some(cursor)) = (delivery.marker, delivery.cursor.as_deref()) else { return };
        let Some(session) = self.sessions.get_mut(marker.session as usize) else { return };
        let Some(&event) = session.by_marker.get(&marker.n) else { return };
        // A stranger's connection may show the event under a stranger's cursor; that is no cursor of this session.
        let own = self.conns.get(delivery.conn.0 as usize).is_some_and(|c| c.connect.what.session.0 == marker.session);
        if own {
            session.sight(event, cursor, record, at);
        }
    }

    fn settle(&mut self) {
        for session in &mut self.sessions {
            session.conns.retain(|id| (id.0 as usize) < self.conns.len());
        }
    }
}

impl<'h> SessionView<'h> {
    fn sight(&mut self, event: usize, cursor: &'h str, record: usize, at: Micros) {
        let sights = self.cursors.entry(cursor).or_default();
        if !sights.iter().any(|s| s.event == event) {
            sights.push(Sight { event, record, at });
            self.events[event].cursors.push(Seen { record, at, what: cursor });
        }
    }
}
