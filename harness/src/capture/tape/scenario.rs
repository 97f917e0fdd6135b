//! From a recorded conversation to a scenario that has it again.
//!
//! The same is done in the same order, with events of the harness's own instead of the client's, so that they are known
//! wherever they come back. Where the recording raced, the scenario waits: a reader is live before something is published to
//! it, and has each event before the next one. So a run of it is the same every time on a right server.

use std::collections::{BTreeMap, BTreeSet};

use super::told::Conversation;
use crate::check::{Finding, Verdict, judge};
use crate::contract::{Level, Profile, requirement};
use crate::history::{Action, ConnId, Connect, Ended, From, Kind, Marker, OpId, Outcome, Publish, SessionIx, What};
use crate::scenario::{
    Await, Close, Count, Do, Expect, OfReader, OfSession, Open, Publish as PublishStep, Read, Resume, Scenario, SnapshotStep, Start, Step,
    Subscribe, Text, Upto, needed,
};

/// Up to this many events of a session each is waited for by itself.
const ONE_BY_ONE: usize = 200;

/// A scenario and what it lacks.
#[derive(Debug)]
pub struct Replayed {
    /// The scenario.
    pub scenario: Scenario,
    /// What of the conversation is not in it, for people.
    pub left_out: Vec<String>,
}

/// The scenario of a conversation, under this name.
pub fn replayed(conversation: &Conversation, profile: &Profile, name: &str) -> Replayed {
    let foresight = Foresight::of(conversation);
    let mut writer = Writer {
        conversation,
        profile,
        foresight,
        steps: Vec::new(),
        left_out: Vec::new(),
        names: BTreeMap::new(),
        places: BTreeMap::new(),
        cursors: BTreeMap::new(),
        open: BTreeMap::new(),
        closed: BTreeSet::new(),
        newest: BTreeMap::new(),
    };
    for record in &conversation.history.records {
        writer.record(&record.what);
    }
    let steps = writer.steps;
    // What the recording showed, a run of the scenario has to show.
    let shown = |verdict: &Verdict| {
        let judged = matches!(verdict.finding, Finding::Pass { .. } | Finding::Fail { .. });
        let must = requirement(&verdict.requirement).is_some_and(|requirement| requirement.level == Level::Must);
        (judged && must).then(|| verdict.requirement.to_string())
    };
    let judges = judge(&conversation.history, profile).iter().filter_map(shown).collect();
    let scenario = Scenario {
        name: name.to_owned(),
        says: "a recorded conversation, had again".to_owned(),
        needs: needed(&steps),
        judges,
        steps,
        audit: true,
        sweep_limit: None,
        transcript: Default::default(),
    };
    let left_out =
        writer.left_out.into_iter().map(|(what, times)| if times == 1 { what } else { format!("{what}, {times} times") }).collect();
    Replayed { scenario, left_out }
}

/// What is known of a conversation before it is walked through.
#[derive(Default)]
struct Foresight<'c> {
    outcomes: BTreeMap<OpId, &'c Outcome>,
    opened: BTreeSet<SessionIx>,
    /// What each connection brought in the end.
    brought: BTreeMap<ConnId, Brought<'c>>,
    /// Events of somebody else that were there before their first reader was live.
    early: BTreeMap<SessionIx, BTreeSet<Marker>>,
    published: BTreeMap<SessionIx, usize>,
    publishes: BTreeMap<OpId, &'c Publish>,
    /// Sessions whose end was asked for on the tape.
    ended: BTreeSet<SessionIx>,
}

#[derive(Default)]
struct Brought<'c> {
    answered: bool,
    boundary: bool,
    gap: bool,
    terminal: bool,
    events: BTreeSet<Marker>,
    end: Option<&'c Ended>,
}

impl<'c> Foresight<'c> {
    fn of(conversation: &'c Conversation) -> Foresight<'c> {
        let mut known = Foresight::default();
        let mut seen = BTreeSet::new();
        for record in &conversation.history.records {
            match &record.what {
                What::Invoke(invoke) => match &invoke.action {
                    Action::Open { session, .. } => {
                        known.opened.insert(*session);
                    }
                    Action::Close { session, .. } => {
                        known.ended.insert(*session);
                    }
                    Action::Publish(publish) => {
                        known.publishes.insert(invoke.op, publish);
                        *known.published.entry(publish.session).or_default() += 1;
                    }
                    _ => {}
                },
                What::Complete(complete) => {
                    known.outcomes.insert(complete.op, &complete.outcome);
                }
                What::Answer(answer) => known.brought.entry(answer.conn).or_default().answered = true,
                What::End(end) => known.brought.entry(end.conn).or_default().end = Some(&end.how),
                What::Delivery(delivery) => {
                    let brought = known.brought.entry(delivery.conn).or_default();
                    match delivery.kind {
                        Kind::Boundary => brought.boundary = true,
                        Kind::Gap => brought.gap = true,
                        Kind::Terminal => brought.terminal = true,
                        Kind::Event | Kind::Commit | Kind::Heartbeat | Kind::Other => {}
                    }
                    if let Some(marker) = delivery.marker {
                        // Who watches a turn is sent its words as they are said, as far as anybody can tell.
                        let live = brought.boundary || conversation.turns;
                        brought.events.insert(marker);
                        if seen.insert(marker) && conversation.foreign.contains(&marker) && !live {
                            known.early.entry(SessionIx(marker.session)).or_default().insert(marker);
                        }
                    }
                }
                _ => {}
            }
        }
        known
    }
}

struct Writer<'c> {
    conversation: &'c Conversation,
    profile: &'c Profile,
    foresight: Foresight<'c>,
    steps: Vec<Step>,
    /// What is not in it, and how often.
    left_out: Vec<(String, u32)>,
    names: BTreeMap<SessionIx, String>,
    /// The place of each event among those that the scenario publishes in its session, from 1.
    places: BTreeMap<SessionIx, Vec<Marker>>,
    /// The place that a cursor stands behind.
    cursors: BTreeMap<(SessionIx, String), u32>,
    /// Open connections: reader and session.
    open: BTreeMap<ConnId, (String, SessionIx)>,
    closed: BTreeSet<SessionIx>,
    /// The newest event on each connection.
    newest: BTreeMap<ConnId, Marker>,
}

impl Writer<'_> {
    fn left_out(&mut self, what: String) {
        match self.left_out.iter_mut().find(|(known, _)| *known == what) {
            Some((_, times)) => *times += 1,
            None => self.left_out.push((what, 1)),
        }
    }

    fn name(&self, session: SessionIx) -> String {
        self.names.get(&session).cloned().unwrap_or_default()
    }

    fn record(&mut self, what: &What) {
        match what {
            What::Session(session) => {
                self.names.insert(session.session, session.name.clone());
                if !self.foresight.opened.contains(&session.session) {
                    self.opens(session.session, session.reborn_of);
                }
            }
            What::Invoke(invoke) => self.invoked(invoke.op, &invoke.action),
            What::Complete(complete) => {
                if let Outcome::Ok { cursor: Some(cursor), .. } = &complete.outcome
                    && let Some(publish) = self.foresight.publishes.get(&complete.op)
                {
                    self.stands(publish.session, cursor, publish.marker);
                }
            }
            What::Connect(connect) => self.connected(connect),
            What::Delivery(delivery) => {
                if let Some(marker) = delivery.marker {
                    self.newest.insert(delivery.conn, marker);
                    self.foreign(marker);
                }
                let newest = self.newest.get(&delivery.conn).copied();
                let session = self.open.get(&delivery.conn).map(|(_, session)| *session);
                if let (Some(cursor), Some(newest), Some(session)) = (&delivery.cursor, newest, session) {
                    self.stands(session, cursor, newest);
                }
                // An end that nobody asked for on the tape is one when it is seen.
                if let Some(session) = session.filter(|session| delivery.kind == Kind::Terminal && !self.foresight.ended.contains(session))
                {
                    self.closes(session);
                }
            }
            What::End(end) => {
                let Some((reader, _)) = self.open.remove(&end.conn) else { return };
                let over = self.foresight.brought.get(&end.conn).is_some_and(|brought| brought.terminal);
                if !over && !matches!(end.how, Ended::Done | Ended::NoAnswer { .. }) {
                    self.steps.push(Step::Drop(OfReader { reader }));
                }
            }
            _ => {}
        }
    }

    /// Takes note that a cursor stands behind an event.
    fn stands(&mut self, session: SessionIx, cursor: &str, marker: Marker) {
        let place = self.places.get(&session).and_then(|places| places.iter().position(|known| *known == marker));
        if let Some(place) = place {
            self.cursors.insert((session, cursor.to_owned()), place as u32 + 1);
        }
    }

    fn opens(&mut self, session: SessionIx, reborn_of: Option<SessionIx>) {
        let reborn_of = reborn_of.map(|old| self.name(old));
        self.steps.push(Step::Open(Open { session: self.name(session), retain: None, refuse: false, reborn_of, unwatched: false }));
        let early: Vec<Marker> = self.foresight.early.remove(&session).unwrap_or_default().into_iter().collect();
        if !early.is_empty() {
            self.steps.push(self.publishes(session, early.len() as u32, true, false));
            self.places.entry(session).or_default().extend(early);
        }
    }

    fn publishes(&self, session: SessionIx, count: u32, durable: bool, keyed: bool) -> Step {
        Step::Publish(PublishStep {
            session: self.name(session),
            count: Count::N(count),
            text: Text::Plain,
            durable,
            keyed,
            concurrent: 1,
            by: None,
            fault: None,
            again: None,
            retry: false,
        })
    }

    fn invoked(&mut self, op: OpId, action: &Action) {
        let outcome = self.foresight.outcomes.get(&op).copied();
        let failed = match outcome {
            Some(Outcome::Failed { status, .. }) => Some(*status),
            Some(Outcome::Ok { .. } | Outcome::Unknown { .. }) | None => None,
        };
        match action {
            Action::Open { session, .. } => {
                let reborn_of = self.conversation.history.records.iter().find_map(|record| match &record.what {
                    What::Session(known) if known.session == *session => known.reborn_of,
                    _ => None,
                });
                self.opens(*session, reborn_of);
            }
            Action::Publish(publish) => match failed {
                _ if self.conversation.foreign.contains(&publish.marker) => {}
                Some(status) => self.left_out(format!("a publish to {} that was refused with {status}", self.name(publish.session))),
                None => self.published(publish),
            },
            Action::Close { session, .. } if self.closed.contains(session) => {
                self.left_out(format!("another close of {}", self.name(*session)))
            }
            Action::Close { session, .. } => match failed {
                Some(status) => self.left_out(format!("a close of {} that was refused with {status}", self.name(*session))),
                None => self.closes(*session),
            },
            Action::Delete { session } => match failed {
                Some(status) => self.left_out(format!("a delete of {} that was refused with {status}", self.name(*session))),
                None => self.steps.push(Step::Delete(OfSession { session: self.name(*session) })),
            },
            Action::Custom { name, session, .. } => self.custom(op, name, *session, failed),
            Action::Health | Action::Pay(_) | Action::Probe { .. } => {}
        }
    }

    /// The end of a session, once, and what its readers see of it.
    fn closes(&mut self, session: SessionIx) {
        if self.profile.binding.close.is_none() || !self.closed.insert(session) {
            return;
        }
        self.steps.push(Step::Close(Close { session: self.name(session), racing: 0 }));
        for (conn, reader) in self.readers(session) {
            self.ends(conn, reader);
        }
    }

    /// Open connections to a session.
    fn readers(&self, session: SessionIx) -> Vec<(ConnId, String)> {
        self.open.iter().filter(|(_, (_, of))| *of == session).map(|(conn, (reader, _))| (*conn, reader.clone())).collect()
    }

    fn published(&mut self, publish: &Publish) {
        let session = publish.session;
        let keyed = publish.key.is_some() && self.profile.contract.idempotency.is_some();
        if publish.repeats.is_some() {
            let again = self.steps.iter().rev().find_map(|step| if let Step::Publish(last) = step { Some(last.clone()) } else { None });
            match again {
                Some(last) if keyed && !publish.conflict && last.keyed && last.session == self.name(session) => {
                    self.steps.push(Step::Publish(PublishStep { retry: true, ..last }));
                }
                _ => self.left_out(format!("a publish to {} that repeats a key", self.name(session))),
            }
            return;
        }
        self.says(publish.marker, publish.durable, keyed);
    }

    /// Publishes an event, alone or with those right before it, and waits for it where it was read.
    fn says(&mut self, marker: Marker, durable: bool, keyed: bool) {
        let session = SessionIx(marker.session);
        if durable {
            self.places.entry(session).or_default().push(marker);
        }
        let waiting: Vec<String> =
            self.readers(session).into_iter().filter(|(conn, _)| self.brings(*conn, marker)).map(|(_, reader)| reader).collect();
        let many = self.foresight.published.get(&session).is_some_and(|all| *all > ONE_BY_ONE);
        // Waits for the group so far move behind the event that joins it.
        let waits = if many { waiting.len() } else { 0 };
        let at = self.steps.len().saturating_sub(waits);
        let own = self.name(session);
        let same = self.steps[..at].last().is_some_and(|step| {
            matches!(step, Step::Publish(last) if last.session == own && last.durable == durable && last.keyed == keyed && !last.retry)
        });
        let behind = self.steps[at..].iter().all(|step| matches!(step, Step::Await(wait) if wait.upto == Upto::Last));
        if same && behind && (waiting.is_empty() || many) {
            if let Some(Step::Publish(PublishStep { count: Count::N(count), .. })) = self.steps[..at].last_mut() {
                *count += 1;
            }
            return;
        }
        self.steps.push(self.publishes(session, 1, durable, keyed));
        // What is live-only is not the newest event that a reader could be asked for.
        for reader in waiting.into_iter().filter(|_| durable) {
            self.waits(reader, Upto::Last);
        }
    }

    fn brings(&self, conn: ConnId, marker: Marker) -> bool {
        self.foresight.brought.get(&conn).is_some_and(|brought| brought.events.contains(&marker))
    }

    fn waits(&mut self, reader: String, upto: Upto) {
        self.steps.push(Step::Await(Await { reader, upto, judges: None }));
    }

    /// An event of somebody else is published when it was first seen, where it was not there before.
    fn foreign(&mut self, marker: Marker) {
        let session = SessionIx(marker.session);
        let there = self.places.get(&session).is_some_and(|places| places.contains(&marker));
        if !there && self.conversation.foreign.contains(&marker) {
            self.says(marker, true, false);
        }
    }

    /// Waits for the end of a stream, where it came.
    fn ends(&mut self, conn: ConnId, reader: String) {
        let Some(brought) = self.foresight.brought.get(&conn) else { return };
        let (terminal, eof) = (brought.terminal, matches!(brought.end, Some(Ended::Eof)));
        if terminal {
            self.waits(reader.clone(), Upto::Terminal);
            if eof && self.profile.contract.terminal.as_ref().is_some_and(|terminal| terminal.closes) {
                self.waits(reader, Upto::Closed);
            }
        }
    }

    fn connected(&mut self, connect: &Connect) {
        let (reader, session) = (connect.reader.to_string(), connect.session);
        if connect.nth > 1 {
            self.steps.push(Step::Resume(Resume {
                reader: reader.clone(),
                overlap: false,
                same_cursor: false,
                refuse_first: 0,
                beside: false,
            }));
        } else {
            let from = match &connect.from {
                From::Start => Start::Oldest,
                From::Live => Start::Live,
                From::Cursor { value, .. } => match self.cursors.get(&(session, value.to_string())) {
                    Some(place) => Start::After(Count::N(*place)),
                    None => {
                        self.left_out(format!(
                            "the cursor `{value}` of reader {reader}, which the recording does not know: it reads from the start"
                        ));
                        Start::Oldest
                    }
                },
            };
            self.steps.push(Step::Subscribe(Subscribe {
                reader: reader.clone(),
                session: self.name(session),
                from,
                role: Default::default(),
                beside: false,
                readers: 1,
                pay: None,
                content: None,
            }));
        }
        self.open.insert(connect.conn, (reader.clone(), session));
        let Some(brought) = self.foresight.brought.get(&connect.conn) else { return };
        let (gap, boundary, answered) = (brought.gap, brought.boundary, brought.answered);
        let replayed = self.places.get(&session).is_some_and(|places| places.last().is_some_and(|last| brought.events.contains(last)));
        if gap {
            self.waits(reader.clone(), Upto::Gap);
        }
        if boundary {
            self.waits(reader.clone(), Upto::Boundary);
        } else if answered && !replayed {
            self.waits(reader.clone(), Upto::Headers);
        }
        if replayed {
            self.waits(reader.clone(), Upto::Last);
        }
        if self.closed.contains(&session) {
            self.ends(connect.conn, reader);
        }
    }

    fn custom(&mut self, op: OpId, name: &str, session: Option<SessionIx>, failed: Option<u16>) {
        let of = session.map(|session| self.name(session));
        match (name, of) {
            ("history", Some(session)) if failed.is_none() && self.profile.binding.history.is_some() => {
                self.steps.push(Step::Read(Read { session, limit: None, from: Start::Oldest, moving: false }));
            }
            ("snapshot", Some(session)) if failed.is_none() && self.profile.binding.snapshot.is_some() => {
                self.steps.push(Step::Snapshot(SnapshotStep { session }))
            }
            // Whatever begins turns is left out where the sessions are turns: `open` begins them.
            (own, session) if self.profile.binding.ops.contains_key(own) && (session.is_some() || !self.conversation.turns) => {
                let expect = failed.map(|_| Expect { refused: true, ..Expect::default() });
                self.steps.push(Step::Do(Box::new(Do {
                    op: own.to_owned(),
                    session,
                    clears: Vec::new(),
                    with: self.conversation.with.get(&op).cloned().unwrap_or_default(),
                    times: 1,
                    concurrent: 1,
                    background: false,
                    expect,
                    until: false,
                    remember: None,
                    judges: None,
                })));
            }
            (other, _) => {
                let how = failed.map_or_else(String::new, |status| format!(" that was refused with {status}"));
                self.left_out(format!("the operation `{other}`{how}"));
            }
        }
    }
}
