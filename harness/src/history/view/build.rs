//! Building a view, in one pass.

use super::{ConnView, Cursors, EventView, Grown, OpView, Seen, SessionView, Sight, Stop, Stretch, View};
use crate::history::{Action, ConnId, Delivery, History, Kind, Micros, Numbered, Outcome, Process, Record, SessionIx, Surface, What};

/// For how many events, for how many arrivals on a connection, and for how many connections there is room from the beginning.
const USUAL_EVENTS: usize = 56;
const USUAL_ARRIVALS: usize = 16;
const USUAL_CONNS: usize = 8;

impl<'h> View<'h> {
    /// The view of a history. Records that refer to what was never introduced are passed over: a history may come from a
    /// file that somebody has cut.
    pub fn of(history: &'h History) -> View<'h> {
        View::of_records(&history.records)
    }

    /// The view of the records of a history, or of its beginning.
    pub(crate) fn of_records(records: &'h [Record]) -> View<'h> {
        let mut view = View {
            records,
            sessions: Vec::new(),
            conns: Vec::new(),
            ops: Grown::with_capacity(USUAL_EVENTS),
            no_publishes: Vec::new(),
            repeats: false,
            process: Vec::new(),
            stops: Vec::new(),
            waits: Vec::new(),
            resources: Vec::new(),
            expectations: Vec::new(),
            leaks: Vec::new(),
        };
        view.take_from(0);
        view
    }

    /// The view of the records of a history that begin with those of this view, as if it were made of all of them: what is
    /// known of the beginning is taken from here.
    pub(crate) fn go_on(&'h self, records: &'h [Record]) -> View<'h> {
        debug_assert!(records.starts_with(self.records), "the records begin with those of the view");
        let mut conns = Vec::with_capacity(self.conns.len() + USUAL_CONNS);
        conns.extend_from_slice(&self.conns);
        let mut view = View {
            records,
            sessions: self.sessions.iter().map(SessionView::go_on).collect(),
            conns,
            ops: self.ops.go_on(),
            no_publishes: self.no_publishes.clone(),
            repeats: self.repeats,
            process: self.process.clone(),
            stops: self.stops.clone(),
            waits: self.waits.clone(),
            resources: self.resources.clone(),
            expectations: self.expectations.clone(),
            leaks: self.leaks.clone(),
        };
        view.take_from(self.records.len());
        view
    }

    fn take_from(&mut self, begin: usize) {
        for (record, entry) in self.records.iter().enumerate().skip(begin) {
            self.take(record, entry.at, &entry.what);
        }
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
                        events: Grown::with_capacity(USUAL_EVENTS),
                        name: &session.name,
                        retain: session.retain,
                        reborn_of: session.reborn_of,
                        cursors: Cursors::with_capacity(USUAL_EVENTS),
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
                    match invoke.action.publish() {
                        Some(publish) => self.repeats |= publish.repeats.is_some(),
                        None => self.no_publishes.push(invoke.op),
                    }
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
                        got: Vec::with_capacity(USUAL_ARRIVALS),
                        events: Vec::with_capacity(USUAL_ARRIVALS),
                        others: Vec::new(),
                        stretches: Vec::new(),
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
                    if publish.repeats.is_some()
                        && !publish.conflict
                        && let Some(event) = session.events.get_mut(event)
                    {
                        event.repeated = Some(at);
                        session.course.repeats = true;
                    }
                    return;
                }
                if publish.marker.n as usize != session.events.len() + 1 {
                    session.elsewhere.insert(publish.marker.n, session.events.len());
                }
                let event = EventView {
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
                    follows: false,
                };
                session.course.sent(&session.events, &event);
                session.events.push(event);
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
                match outcome {
                    // A key that was used before: the acknowledgement may be the first event's, and this one may never be.
                    Outcome::Ok { .. } if publish.conflict => {}
                    Outcome::Ok { cursor, .. } => {
                        if session.events[event].acked.is_none() {
                            session.course.acknowledged(&session.events, event, at);
                        }
                        if let Some(view) = session.events.get_mut(event) {
                            view.acked.get_or_insert(Seen { record, at, what: () });
                            view.unknown = false;
                            view.refused = false;
                        }
                        if let Some(cursor) = cursor {
                            session.sight(event, cursor, record, at);
                        }
                    }
                    Outcome::Failed { .. } => {
                        // A refused repetition says nothing about the first request.
                        if let Some(view) = session.events.get_mut(event)
                            && view.acked.is_none()
                            && (publish.repeats.is_none() || publish.conflict)
                        {
                            view.refused = true;
                            view.unknown = false;
                            session.course.refused();
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
        // Nearly always it is the next one. A stranger's event under this session's cursor is no event of this session.
        let own = delivery.marker.filter(|marker| marker.session == ix.0);
        if let Some(event) = own.and_then(|_| conn.goes_on(session, delivery)) {
            conn.got.push(Seen { record, at, what: delivery });
            conn.events.push(Some(event));
            (conn.last, conn.newest) = (event + 1, Some(event as usize));
            return;
        }
        let event = own.and_then(|marker| session.event_of(marker.n));
        conn.got.push(Seen { record, at, what: delivery });
        conn.events.push(event.map(|event| event as u32));
        if let Some(event) = event.map(|event| event as u32) {
            conn.ascends &= event >= conn.last;
            conn.last = event + 1;
        }
        conn.newest = event.filter(|_| delivery.durable).or(conn.newest);
        if event.is_none() || delivery.kind != Kind::Event {
            conn.others.push((conn.got.len() - 1) as u32);
        }
        match (event, delivery.cursor.as_deref()) {
            (_, _) if conn.astray => {}
            (Some(event), Some(cursor)) => {
                if session.sight(event, cursor, record, at) {
                    let event_view = &session.events[event];
                    if as_it_should_be(delivery, event_view) {
                        conn.comes_on(event as u32, event_view.follows);
                    }
                }
            }
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

/// True for a frame of an event, with the cursor that the event is known by, that may be part of a [`Stretch`].
fn as_it_should_be(delivery: &Delivery, event: &EventView<'_>) -> bool {
    delivery.kind == Kind::Event
        && (delivery.durable && event.durable)
        && !(event.hostile || event.hostile_type || event.secret)
        && delivery.body.as_ref().is_some_and(|body| body.same(event.body))
        && delivery.said.is_none()
}

impl ConnView<'_> {
    /// Makes the last stretch longer by a delivery that goes on with it, which is all that there is to know of it but that it
    /// came; gives the place of its event.
    fn goes_on(&mut self, session: &SessionView<'_>, delivery: &Delivery) -> Option<u32> {
        let stretch = self.stretches.last_mut().filter(|stretch| stretch.got().end == self.got.len())?;
        let place = stretch.events().end;
        let event = session.events.get(place)?;
        let cursor = event.cursor.filter(|_| event.follows && !self.astray)?;
        let comes =
            delivery.marker == Some(event.marker) && delivery.cursor.as_deref() == Some(cursor.what) && as_it_should_be(delivery, event);
        stretch.len += u32::from(comes);
        comes.then_some(place as u32)
    }

    /// What came last is part of a stretch: of the last one, when it is the arrival behind it, and its event follows that one's.
    fn comes_on(&mut self, event: u32, follows: bool) {
        let got = self.got.len() - 1;
        match self.stretches.last_mut() {
            Some(stretch) if follows && stretch.got().end == got && stretch.events().end == event as usize => stretch.len += 1,
            Some(_) | None => self.stretches.push(Stretch::new(got, event)),
        }
    }

    /// Some deliveries were taken away.
    pub(super) fn taken_anew(&mut self) {
        self.stretches.clear();
        let other = |at: &usize| self.events[*at].is_none() || self.got[*at].what.kind != Kind::Event;
        self.others = (0..self.got.len()).filter(other).map(|at| at as u32).collect();
    }
}

impl<'h> SessionView<'h> {
    /// An event was seen with a cursor; true when it is the one that the event is known by.
    fn sight(&mut self, event: usize, cursor: &'h str, record: usize, at: Micros) -> bool {
        let known = self.events[event].cursor.map(|first| first.what);
        // It was seen with this cursor before: the first time has left what there is to know.
        if known == Some(cursor) {
            return true;
        }
        self.cursors.seen(cursor, Sight { event, record, at });
        let before = event.checked_sub(1).and_then(|before| self.events[before].cursor);
        let Some(view) = self.events.get_mut(event) else { return false };
        let seen = Seen { record, at, what: cursor };
        if known.is_none() {
            view.cursor = Some(seen);
            view.follows = before.is_some_and(|before| Numbered::of(before.what).is_next(Numbered::of(cursor)));
            self.course.named += usize::from(view.durable);
        } else if view.other_cursor.is_none() {
            view.other_cursor = Some(seen);
            if view.durable {
                self.course.renamed.push(event);
            }
        }
        known.is_none()
    }

    /// A session that goes on from this one.
    fn go_on(&'h self) -> SessionView<'h> {
        SessionView {
            events: self.events.go_on(),
            cursors: self.cursors.go_on(),
            elsewhere: self.elsewhere.clone(),
            opened: self.opened.clone(),
            cleared: self.cleared.clone(),
            conns: self.conns.clone(),
            synthetic: self.synthetic.clone(),
            commits: self.commits.clone(),
            course: self.course.clone(),
            ..*self
        }
    }
}
