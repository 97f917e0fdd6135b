//! Histories told in a few words, for the tests of the checkers.
//!
//! Every act takes a millisecond. Event `n` of the current session has the cursor `000000ss:n` unless a test gives it
//! another one; a connection is accepted and has its boundary only when the test says so.

use smol_str::{SmolStr, format_smolstr};

use crate::check::{Finding, Violation, judge};
use crate::contract::{CATALOGUE, Contract, Profile};
use crate::history::{
    Action, Answer, Body, Comment, Complete, ConnId, Connect, CursorClass, Delivery, End, Ended, Fault, From, Header, History, Invoke,
    Item, Kind, Lint, Marker, Micros, OpId, Outcome, Process, Publish, Record, Retain, Role, Session, SessionIx, Surface, Until, Wait,
    What,
};

/// A history in the making.
pub(super) struct Story {
    records: Vec<Record>,
    now: u64,
    session: u32,
    sessions: u32,
    conns: Vec<Connect>,
    ops: Vec<Action>,
    starts: u32,
    pub(super) profile: Profile,
}

/// The cursor of event `n` of session `session`.
pub(super) fn cursor_of(session: u32, n: u32) -> SmolStr {
    format_smolstr!("{session:08x}:{n}")
}

/// A start behind event `n` of session 0.
pub(super) fn after(n: u32) -> From {
    presenting(&cursor_of(0, n), CursorClass::Own)
}

/// A start at a cursor of some class.
pub(super) fn presenting(value: &str, class: CursorClass) -> From {
    From::Cursor { value: value.into(), class, beside: None }
}

impl Story {
    /// A history of the profile `sse` with a started server and the session `s`, number 0.
    pub(super) fn new() -> Story {
        let profile = Profile::load("sse").expect("it is built in");
        let (records, conns, ops) = Default::default();
        let mut story = Story { records, now: 0, session: 0, sessions: 0, conns, ops, starts: 0, profile };
        story.start(false);
        story.open("s", None, None);
        story
    }

    /// Changes what the profile promises.
    pub(super) fn under(mut self, change: impl FnOnce(&mut Contract)) -> Story {
        change(&mut self.profile.contract);
        self
    }

    /// Records anything.
    pub(super) fn push(&mut self, what: What) -> usize {
        self.now += 1_000;
        self.records.push(Record { at: Micros(self.now), what });
        self.records.len() - 1
    }

    /// Changes the newest record.
    pub(super) fn amend(&mut self, change: impl FnOnce(&mut What)) {
        change(&mut self.records.last_mut().expect("there is one").what);
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, ms: u64) {
        self.now += ms * 1_000;
    }

    /// Opens a session, which is the current one from now on.
    pub(super) fn open(&mut self, name: &str, retain: Option<Retain>, reborn_of: Option<u32>) -> u32 {
        let session = SessionIx(self.sessions);
        self.sessions += 1;
        self.session = session.0;
        self.push(What::Session(Box::new(Session { session, name: name.to_owned(), retain, reborn_of: reborn_of.map(SessionIx) })));
        session.0
    }

    /// Makes `session` the current one.
    pub(super) fn turn_to(&mut self, session: u32) {
        self.session = session;
    }

    /// The publish of event `n` as it is sent by default.
    pub(super) fn event(&self, n: u32) -> Publish {
        let marker = Marker { session: self.session, n };
        Publish {
            session: SessionIx(self.session),
            marker,
            durable: true,
            body: Body::of(&format!("{marker} word")),
            key: None,
            repeats: None,
            conflict: false,
            hostile: false,
            hostile_type: false,
            secret: false,
        }
    }

    /// Sends a publish.
    pub(super) fn send(&mut self, publish: Publish) -> OpId {
        self.invoke(Action::Publish(publish))
    }

    /// Begins an operation.
    pub(super) fn invoke(&mut self, action: Action) -> OpId {
        let op = OpId(self.ops.len() as u32);
        self.ops.push(action.clone());
        self.push(What::Invoke(Box::new(Invoke { op, action })));
        op
    }

    /// Ends an operation.
    pub(super) fn complete(&mut self, op: OpId, outcome: Outcome) -> usize {
        self.push(What::Complete(Complete { op, outcome }))
    }

    /// An operation and its outcome.
    pub(super) fn act(&mut self, action: Action, outcome: Outcome) {
        let op = self.invoke(action);
        self.complete(op, outcome);
    }

    /// Acknowledges a publish with its cursor.
    pub(super) fn ack(&mut self, op: OpId) -> usize {
        let Action::Publish(publish) = &self.ops[op.0 as usize] else { panic!("{op:?} is no publish") };
        let cursor = publish.durable.then(|| cursor_of(publish.marker.session, publish.marker.n));
        self.complete(op, Outcome::Ok { status: 201, cursor })
    }

    /// Publishes these events, one after the other, each acknowledged.
    pub(super) fn publish(&mut self, events: impl IntoIterator<Item = u32>) {
        for n in events {
            let op = self.send(self.event(n));
            self.ack(op);
        }
    }

    /// Publishes these live-only events, one after the other, each acknowledged.
    pub(super) fn note(&mut self, events: impl IntoIterator<Item = u32>) {
        for n in events {
            let op = self.send(Publish { durable: false, ..self.event(n) });
            self.ack(op);
        }
    }

    /// Closes the current session with the terminal `n`.
    pub(super) fn close(&mut self, n: u32) {
        let session = SessionIx(self.session);
        self.act(Action::Close { session, by_stop: false }, Outcome::Ok { status: 200, cursor: Some(cursor_of(self.session, n)) });
    }

    /// Deletes the current session.
    pub(super) fn delete(&mut self) {
        let session = SessionIx(self.session);
        self.act(Action::Delete { session }, Outcome::Ok { status: 204, cursor: None });
    }

    /// Publishes an event whose answer is lost.
    pub(super) fn publish_unknown(&mut self, n: u32) {
        let op = self.send(self.event(n));
        self.complete(op, Outcome::Unknown { why: "reset".to_owned() });
    }

    /// Asks for events and is not answered yet.
    pub(super) fn ask(&mut self, reader: &str, surface: Surface, from: From, role: Role) -> ConnId {
        let conn = ConnId(self.conns.len() as u32);
        let nth = 1 + self.conns.iter().filter(|c| c.reader == reader).count() as u32;
        let session = SessionIx(self.session);
        let (limit, request) = (None, String::new());
        let connect = Connect { conn, reader: reader.into(), nth, session, surface, from, role, limit, request };
        self.conns.push(connect.clone());
        self.push(What::Connect(Box::new(connect)));
        conn
    }

    /// Answers a request for events.
    pub(super) fn answer(&mut self, conn: ConnId, status: u16, body: &str) {
        let accepted = status == 200;
        let content_type = Some(if accepted { "text/event-stream" } else { "application/json" }.into());
        let cache_control = Some("no-cache".into());
        self.push(What::Answer(Box::new(Answer { conn, status, accepted, content_type, cache_control, body: body.to_owned() })));
    }

    /// Opens a stream that is accepted.
    pub(super) fn stream(&mut self, reader: &str, from: From) -> ConnId {
        self.stream_as(reader, from, Role::Plain)
    }

    /// Opens a stream with a role that is accepted.
    pub(super) fn stream_as(&mut self, reader: &str, from: From, role: Role) -> ConnId {
        let conn = self.ask(reader, Surface::Stream, from, role);
        self.answer(conn, 200, "");
        conn
    }

    /// Opens a stream that is refused.
    pub(super) fn refused(&mut self, reader: &str, from: From, status: u16, body: &str) {
        let conn = self.ask(reader, Surface::Stream, from, Role::Plain);
        self.answer(conn, status, body);
        self.end(conn, Ended::Done);
    }

    /// A finite read of these events of the current session, from the beginning.
    pub(super) fn read(&mut self, surface: Surface, events: impl IntoIterator<Item = u32>) {
        let reader = format!("{surface:?}-{}", self.conns.len());
        let conn = self.ask(&reader, surface, From::Start, Role::Plain);
        self.answer(conn, 200, "");
        self.got(conn, events);
        self.end(conn, Ended::Done);
    }

    /// The delivery of an event of the connection's session, as a right server sends it.
    pub(super) fn delivery(&self, conn: ConnId, n: u32) -> Delivery {
        let session = self.conns[conn.0 as usize].session.0;
        let sent = self.ops.iter().filter_map(Action::publish).find(|publish| publish.marker == Marker { session, n });
        let durable = sent.is_none_or(|p| p.durable);
        let item = Item {
            event_type: "message".into(),
            cursor: durable.then(|| cursor_of(session, n)),
            marker: Some(Marker { session, n }),
            body: sent.map(|p| p.body.clone()),
            durable,
            ..Item::default()
        };
        item.delivery(conn, self.records.len() as u32)
    }

    /// Events arrive.
    pub(super) fn got(&mut self, conn: ConnId, events: impl IntoIterator<Item = u32>) {
        for n in events {
            let delivery = self.delivery(conn, n);
            self.push(What::Delivery(delivery));
        }
    }

    /// An event arrives that is changed on its way.
    pub(super) fn got_but(&mut self, conn: ConnId, n: u32, change: impl FnOnce(&mut Delivery)) -> usize {
        let mut delivery = self.delivery(conn, n);
        change(&mut delivery);
        self.push(What::Delivery(delivery))
    }

    /// A control frame arrives.
    pub(super) fn control(&mut self, conn: ConnId, kind: Kind, points_to: Option<SmolStr>) -> usize {
        self.got_but(conn, 0, |d| {
            (d.kind, d.cursor, d.marker, d.body, d.points_to) = (kind, None, None, None, points_to);
            d.event_type = format!("{kind:?}").to_lowercase().into();
        })
    }

    /// The boundary arrives.
    pub(super) fn boundary(&mut self, conn: ConnId) -> usize {
        self.control(conn, Kind::Boundary, None)
    }

    /// The terminal `n` of the connection's session arrives.
    pub(super) fn terminal(&mut self, conn: ConnId, n: u32) -> usize {
        let cursor = Some(cursor_of(self.conns[conn.0 as usize].session.0, n));
        self.got_but(conn, 0, |d| (d.kind, d.cursor, d.marker, d.event_type) = (Kind::Terminal, cursor, None, "end".into()))
    }

    /// Comments arrive, one after each such time.
    pub(super) fn beats(&mut self, conn: ConnId, times: u32, every_ms: u64) {
        for _ in 0..times {
            self.pass(every_ms);
            self.push(What::Comment(Comment { conn, text: String::new() }));
        }
    }

    /// The decoder finds something.
    pub(super) fn lint(&mut self, conn: ConnId, rule: &str, error: bool) {
        self.push(What::Lint(Box::new(Lint { conn, rule: rule.to_owned(), error, offset: 7, text: format!("what {rule} forbids") })));
    }

    /// A connection ends.
    pub(super) fn end(&mut self, conn: ConnId, how: Ended) {
        self.push(What::End(End { conn, how, unfinished: 0 }));
    }

    /// The harness strikes a connection.
    pub(super) fn fault(&mut self, conn: ConnId, says: &str) {
        self.push(What::Fault(Fault { conn: Some(conn), says: says.to_owned(), reached: true }));
    }

    /// The harness cuts a connection.
    pub(super) fn cut(&mut self, conn: ConnId) {
        self.fault(conn, "cut by RST");
        self.end(conn, Ended::Ours);
    }

    /// The run waits for event `n` at a connection.
    pub(super) fn wait(&mut self, conn: ConnId, n: u32, reached: bool) {
        let until = Until::Marker(Marker { session: self.conns[conn.0 as usize].session.0, n });
        if reached {
            let reader = self.conns[conn.0 as usize].reader.clone();
            self.push(What::Wait(Box::new(Wait { reader, conn: Some(conn), until, reached, waited: 1_000, judges: None })));
        } else {
            self.wait_in_vain(conn, until, 2_500);
        }
    }

    /// The run waits so long at a connection in vain.
    pub(super) fn wait_in_vain(&mut self, conn: ConnId, until: Until, ms: u64) {
        self.pass(ms);
        let reader = self.conns[conn.0 as usize].reader.clone();
        self.push(What::Wait(Box::new(Wait { reader, conn: Some(conn), until, reached: false, waited: ms * 1_000, judges: None })));
    }

    /// The server starts.
    pub(super) fn start(&mut self, wiped: bool) {
        let generation = self.starts;
        self.starts += 1;
        self.push(What::Process(Process::Ready { pid: 100 + generation, generation, wiped }));
    }

    /// The server is stopped by a signal, and the connections that are open break.
    pub(super) fn stop(&mut self, signal: &str) {
        self.push(What::Process(Process::Signal { name: signal.to_owned() }));
        let ended = |id: ConnId| self.records.iter().any(|r| matches!(&r.what, What::End(e) if e.conn == id));
        let open: Vec<ConnId> = self.conns.iter().map(|c| c.conn).filter(|id| !ended(*id)).collect();
        for conn in open {
            self.end(conn, Ended::Broken { why: "reset".to_owned() });
        }
        self.push(What::Process(Process::Gone));
    }

    /// The server is stopped by a signal and started again on its data.
    pub(super) fn restart(&mut self, signal: &str) {
        self.stop(signal);
        self.start(false);
    }

    /// What is judged.
    pub(super) fn history(&self) -> History {
        let header = Header { streamspec_history: History::VERSION, profile: "sse".to_owned(), scenario: "story".to_owned(), seed: 0 };
        History { header, records: self.records.clone() }
    }

    /// The verdict on a requirement.
    pub(super) fn finding(&self, requirement: &str) -> Finding {
        let verdicts = judge(&self.history(), &self.profile);
        assert_eq!(verdicts.len(), CATALOGUE.len());
        verdicts.into_iter().find(|v| v.requirement == requirement).expect("it is in the catalogue").finding
    }

    /// The requirements that are violated.
    pub(super) fn violated(&self) -> Vec<String> {
        let verdicts = judge(&self.history(), &self.profile).into_iter();
        verdicts.filter(|v| matches!(v.finding, Finding::Fail { .. })).map(|v| v.requirement).collect()
    }

    /// Asserts that this requirement is violated and no other, and gives the violations.
    #[track_caller]
    pub(super) fn violates(&self, requirement: &str) -> Vec<Violation> {
        assert_eq!(self.violated(), [requirement], "{:#?}", self.all_violations());
        match self.finding(requirement) {
            Finding::Fail { violations, .. } => violations,
            Finding::Pass { .. } | Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => unreachable!("it is violated"),
        }
    }

    /// Asserts that nothing is violated and that these requirements were judged.
    #[track_caller]
    pub(super) fn holds(&self, requirements: &[&str]) {
        assert_eq!(self.violated(), [""; 0], "{:#?}", self.all_violations());
        for requirement in requirements {
            let finding = self.finding(requirement);
            assert!(matches!(finding, Finding::Pass { judged } if judged > 0), "{requirement}: {finding:?}");
        }
    }

    fn all_violations(&self) -> Vec<(String, Violation)> {
        let verdicts = judge(&self.history(), &self.profile).into_iter();
        let violations = verdicts.filter_map(|v| match v.finding {
            Finding::Fail { violations, .. } => Some((v.requirement, violations)),
            Finding::Pass { .. } | Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => None,
        });
        violations.flat_map(|(id, all)| all.into_iter().map(move |v| (id.clone(), v))).collect()
    }
}
