//! A history as its checkers read it: sessions with their events, connections with their deliveries, operations with both
//! their ends. Built in one pass over the records.

mod build;
mod course;
mod cursors;
mod grown;
mod stretch;

use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use course::Course;
pub use cursors::{Cursors, Sight, Sights};
pub use grown::Grown;
pub(crate) use stretch::{Piece, Pieces, Stretch};

use crate::history::{
    Action, Answer, Body, ConnId, Connect, CursorClass, Delivery, End, Expectation, Fault, From, Kind, Leaked, Lint, Marker, Micros, OpId,
    Opinion, Outcome, Process, Record, Resources, Retain, SessionIx, Surface, Wait,
};

/// A history, indexed.
#[derive(Debug)]
pub struct View<'h> {
    /// What it is a view of.
    pub records: &'h [Record],
    /// Sessions by their number.
    pub sessions: Vec<SessionView<'h>>,
    /// Connections by their number.
    pub conns: Vec<ConnView<'h>>,
    /// Operations by their number.
    pub ops: Grown<'h, OpView<'h>>,
    /// Those that are no publishes.
    pub(crate) no_publishes: Vec<OpId>,
    /// True when a publish repeats another one's key.
    pub(crate) repeats: bool,
    /// Changes of the process, in order.
    pub process: Vec<Seen<&'h Process>>,
    /// The times at which the process was gone, in order.
    pub stops: Vec<Stop<'h>>,
    /// Waits, in order.
    pub waits: Vec<Seen<&'h Wait>>,
    /// Samples of resources, in order.
    pub resources: Vec<Seen<&'h Resources>>,
    /// What the scenario expected, in order.
    pub expectations: Vec<Seen<&'h Expectation>>,
    /// Planted secrets that came back, in order.
    pub leaks: Vec<Seen<&'h Leaked>>,
}

/// Something and where it stands in the history.
#[derive(Clone, Copy, Debug)]
pub struct Seen<T> {
    /// Index of its record.
    pub record: usize,
    /// Its time.
    pub at: Micros,
    /// It.
    pub what: T,
}

/// An end of the server's process.
#[derive(Clone, Copy, Debug)]
pub struct Stop<'h> {
    /// When it was gone. Until then it may still have answered.
    pub at: Micros,
    /// The signal that ended it; `KILL` when it died by itself.
    pub signal: &'h str,
    /// True when its data was removed before it started again.
    pub wiped: bool,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub struct OpView<'h> {
    /// Its beginning.
    pub invoked: Seen<&'h Action>,
    /// Its end, if it has one.
    pub completed: Option<Seen<&'h Outcome>>,
}

/// A session.
#[derive(Debug, Default)]
pub struct SessionView<'h> {
    /// Its name in the scenario.
    pub name: &'h str,
    /// The retention it was opened with.
    pub retain: Option<Retain>,
    /// The session whose server-side name it took over.
    pub reborn_of: Option<SessionIx>,
    /// True once another session has taken over its server-side name.
    pub succeeded: bool,
    /// Its events in the order in which they were first sent.
    pub events: Grown<'h, EventView<'h>>,
    /// From a marker's number to its place in `events`, for those whose place is not one below it.
    pub(crate) elsewhere: FxHashMap<u32, usize>,
    /// When its close was sent, and when that was acknowledged.
    pub closing: Option<Micros>,
    /// When its close was acknowledged.
    pub closed: Option<Micros>,
    /// The cursors from which everything follows, where they are known: that of its first event, and one for each removal.
    pub opened: Vec<&'h str>,
    /// True when it ended because the process did, whose work it was.
    pub ended_by_stop: bool,
    /// When an operation that removes the events before it was sent, and when that was acknowledged.
    pub cleared: Vec<(Micros, Micros)>,
    /// When its removal was sent.
    pub deleting: Option<Micros>,
    /// When its removal was acknowledged.
    pub deleted: Option<Micros>,
    /// The cursor that the close was answered with.
    pub terminal_cursor: Option<&'h str>,
    /// Its connections.
    pub conns: Vec<ConnId>,
    /// From a cursor to the events that it was seen with.
    pub cursors: Cursors<'h>,
    /// From a cursor on a frame that holds no event of the session to the time of its first sight.
    pub synthetic: FxHashMap<&'h str, Micros>,
    /// From a cursor in a frame of its own, behind the events of a stream or page, to its first sight: behind which event
    /// it stood there, by its place in the session.
    pub commits: FxHashMap<&'h str, Sight>,
    /// What is so of all its events.
    pub(crate) course: Course,
}

/// An event as it was published.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'h> {
    /// Its token.
    pub marker: Marker,
    /// Record and time of the first request.
    pub invoked: Seen<()>,
    /// Record and time of the first acknowledgement.
    pub acked: Option<Seen<()>>,
    /// True when every request ended and none was acknowledged or unknown.
    pub refused: bool,
    /// True when some request's answer was lost and none was acknowledged.
    pub unknown: bool,
    /// False for live-only events.
    pub durable: bool,
    /// Digest of its payload.
    pub body: &'h Body,
    /// Its idempotency key.
    pub key: Option<&'h str>,
    /// True when its key was used before with other content.
    pub conflict: bool,
    /// True when its payload is hostile.
    pub hostile: bool,
    /// True when its type is hostile.
    pub hostile_type: bool,
    /// True when its payload holds a secret that must come back masked.
    pub secret: bool,
    /// The cursor it was first acknowledged or delivered with.
    pub cursor: Option<Seen<&'h str>>,
    /// The first sight of another cursor than that.
    pub other_cursor: Option<Seen<&'h str>>,
    /// When its publish was last repeated with the same key and content.
    pub repeated: Option<Micros>,
    /// True when its cursor is the next one behind that of the event before it, by number and by text.
    pub(crate) follows: bool,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct ConnView<'h> {
    /// Its number.
    pub id: ConnId,
    /// Its request.
    pub connect: Seen<&'h Connect>,
    /// The head of the answer.
    pub answer: Option<Seen<&'h Answer>>,
    /// True when another session had been opened under the name of its own before it was answered: it may read either.
    pub astray: bool,
    /// Its place among the connections of its session.
    pub place: usize,
    /// What arrived.
    pub got: Vec<Seen<&'h Delivery>>,
    /// For each of `got` the event of the connection's session in it, by its place there.
    pub events: Vec<Option<u32>>,
    /// The places in `got` of what is no [`Kind::Event`] of its session: control frames, and events of others.
    pub(crate) others: Vec<u32>,
    /// The stretches on which everything is as it should be, in order.
    pub(crate) stretches: Vec<Stretch>,
    /// The durable event of its session that arrived last, by its place there.
    pub newest: Option<usize>,
    /// True while each event of its session that arrived has its place there behind all that arrived before: then nothing
    /// arrived twice.
    pub ascends: bool,
    /// One more than the place of the event of its session that arrived last.
    pub(super) last: u32,
    /// Comments and keep-alives.
    pub comments: Vec<Seen<()>>,
    /// What the decoder found.
    pub lint: Vec<Seen<&'h Lint>>,
    /// The ordinary client's opinion.
    pub opinion: Option<Seen<&'h Opinion>>,
    /// Faults that hit it.
    pub faults: Vec<Seen<&'h Fault>>,
    /// Waits of the run at it.
    pub waits: Vec<Seen<&'h Wait>>,
    /// Its end.
    pub end: Option<Seen<&'h End>>,
}

impl SessionView<'_> {
    /// The place of the event with a marker of this number.
    pub fn event_of(&self, n: u32) -> Option<usize> {
        // The harness numbers the events of a session from 1 in the order in which it sends them.
        let usual = (n as usize).wrapping_sub(1);
        match self.events.get(usual) {
            Some(event) if event.marker.n == n => Some(usual),
            Some(_) | None => self.elsewhere.get(&n).copied(),
        }
    }

    /// True when its removal had been sent by then: it may be unknown, acknowledged or not.
    pub(crate) fn may_be_gone(&self, by: Micros) -> bool {
        self.deleting.is_some_and(|sent| sent < by)
    }
}

impl EventView<'_> {
    /// When it was acknowledged, if it was.
    pub fn acked_at(&self) -> Option<Micros> {
        self.acked.map(|a| a.at)
    }

    /// True when it was surely not there by then. Once it was sent it may be, whenever it was acknowledged.
    pub(crate) fn new_at(&self, at: Micros) -> bool {
        self.invoked.at >= at
    }
}

impl<'h> ConnView<'h> {
    /// `a#2`: how people call it.
    pub fn name(&self) -> String {
        match self.connect.what.surface {
            Surface::Stream => format!("{}#{}", self.connect.what.reader, self.connect.what.nth),
            Surface::History | Surface::Snapshot => format!("{}, page {}", self.connect.what.reader, self.connect.what.nth),
        }
    }

    /// True when the server accepted it.
    pub fn accepted(&self) -> bool {
        self.answer.is_some_and(|a| a.what.accepted)
    }

    /// True when it starts before the session's first event: without a cursor, or with the one at which the session began.
    pub fn from_the_beginning(&self, session: &SessionView<'_>) -> bool {
        match &self.connect.what.from {
            From::Start => true,
            From::Live => false,
            From::Cursor { value, beside, .. } => beside.is_none() && session.opened.contains(&value.as_str()),
        }
    }

    /// True for a live stream.
    pub fn is_stream(&self) -> bool {
        self.connect.what.surface == Surface::Stream
    }

    /// The status of its answer.
    pub fn status(&self) -> Option<u16> {
        self.answer.map(|a| a.what.status)
    }

    /// The cursor that it presents, with its class.
    pub fn presented(&self) -> Option<(&'h str, CursorClass)> {
        match &self.connect.what.from {
            From::Cursor { value, class, .. } => Some((value, *class)),
            From::Start | From::Live => None,
        }
    }

    /// True when a fault of the harness struck it, or was to strike it, while it went on.
    pub fn disturbed(&self) -> bool {
        self.faults.iter().any(|fault| !fault.what.is_leaving())
    }

    /// The events of its session that arrived, each with its place there, in order and repetitions included.
    pub fn arrivals(&self) -> impl DoubleEndedIterator<Item = (&Seen<&'h Delivery>, usize)> {
        self.got.iter().zip(&self.events).filter_map(|(got, event)| Some((got, (*event)? as usize)))
    }

    /// The frames on it of a kind that is not [`Kind::Event`].
    pub fn frames(&self, kind: Kind) -> impl Iterator<Item = &Seen<&'h Delivery>> {
        debug_assert_ne!(kind, Kind::Event, "events are among the arrivals");
        self.others.iter().map(|at| &self.got[*at as usize]).filter(move |got| got.what.kind == kind)
    }

    /// All that arrived, piece by piece; of stretches only what lies before the event at `bound`.
    pub(crate) fn pieces(&self, bound: usize) -> Pieces<'_> {
        Pieces::new(self.got.len(), &self.stretches, bound)
    }

    /// The deliveries at these places, each with the event of its session in it, by its place there.
    pub(crate) fn frames_at(&self, places: Range<usize>) -> impl Iterator<Item = (&Seen<&'h Delivery>, Option<usize>)> {
        self.got[places.clone()].iter().zip(&self.events[places]).map(|(got, event)| (got, event.map(|event| event as usize)))
    }

    /// The boundaries on it.
    pub fn boundaries(&self) -> impl Iterator<Item = &Seen<&'h Delivery>> {
        self.frames(Kind::Boundary)
    }

    /// The time of its end, or of the history's end.
    pub fn ended_at(&self) -> Micros {
        self.end.map_or(Micros(u64::MAX), |e| e.at)
    }
}

impl<'h> View<'h> {
    /// The connection of this number.
    pub fn conn(&self, id: ConnId) -> &ConnView<'h> {
        &self.conns[id.0 as usize]
    }

    /// The operations that are no publishes, in order.
    pub(crate) fn besides_publishes(&self) -> impl Iterator<Item = &OpView<'h>> {
        self.no_publishes.iter().map(|op| &self.ops[op.0 as usize])
    }

    /// The session of a connection.
    pub fn session_of(&self, conn: &ConnView<'h>) -> &SessionView<'h> {
        &self.sessions[conn.connect.what.session.0 as usize]
    }

    /// The stop that first took the process away after `since`.
    pub fn stop_after(&self, since: Micros) -> Option<Stop<'h>> {
        self.stops.get(self.stops.partition_point(|stop| stop.at <= since)).copied()
    }

    /// The stop that first took the process away after it had done what was asked at `sent` and known to be done at `known`.
    /// An answer may still be on its way when the process is gone: what arrives while it is away was done before.
    pub fn stop_behind(&self, sent: Micros, known: Micros) -> Option<Stop<'h>> {
        let before = self.stops[..self.stops.partition_point(|stop| stop.at <= known)].last().copied();
        let away = before.filter(|stop| sent < stop.at && !self.running(known, known));
        away.or_else(|| self.stop_after(known))
    }

    /// The signal that first took the process away after `since`, before `until`. What counts is when the process was
    /// gone: until then it may still have answered.
    pub fn stop_between(&self, since: Micros, until: Micros) -> Option<&'h str> {
        self.stop_after(since).filter(|stop| stop.at < until).map(|stop| stop.signal)
    }

    /// True when the process ran from `since` to `until`, neither gone nor paused, as far as the history says.
    pub fn running(&self, since: Micros, until: Micros) -> bool {
        let next = self.process.partition_point(|p| p.at < since);
        let before = next.checked_sub(1).is_none_or(|last| match self.process[last].what {
            Process::Ready { .. } => true,
            Process::Signal { name } => name == "CONT",
            Process::Gone | Process::Died { .. } | Process::Overdue => false,
        });
        before && self.process.get(next).is_none_or(|p| p.at > until)
    }

    /// True when the process was stopped, killed or paused in this time.
    pub fn process_disturbed(&self, since: Micros, until: Micros) -> bool {
        self.process.get(self.process.partition_point(|p| p.at < since)).is_some_and(|p| p.at <= until)
    }

    /// Forgets what is known of the events whose publish was repeated across a stop of the server: where it need not know
    /// their keys any more, it has stored each of them twice by right, or once. They are left as events of which no answer
    /// and no delivery is known.
    pub(crate) fn forget_doubled(&mut self) {
        for (ix, session) in self.sessions.iter_mut().enumerate().filter(|(_, session)| session.course.repeats) {
            let stops = &self.stops;
            let across = |e: &EventView<'_>| e.repeated.is_some_and(|again| stops.iter().any(|s| e.invoked.at < s.at && s.at < again));
            let doubled: FxHashSet<u32> =
                (0..session.events.len() as u32).filter(|event| across(&session.events[*event as usize])).collect();
            for event in &doubled {
                let Some(event) = session.events.get_mut(*event as usize) else { continue };
                (event.acked, event.unknown, event.cursor, event.other_cursor) = (None, true, None, None);
            }
            if doubled.is_empty() {
                continue;
            }
            session.course.forgotten(&session.events);
            for conn in self.conns.iter_mut().filter(|conn| conn.connect.what.session.0 as usize == ix) {
                let stays = |event: &Option<u32>| event.is_none_or(|event| !doubled.contains(&event));
                let mut got = conn.events.iter().map(stays);
                conn.got.retain(|_| got.next().unwrap_or(true));
                conn.events.retain(stays);
                conn.taken_anew();
            }
        }
    }

    /// The time of the last observation.
    pub fn ended_at(&self) -> Micros {
        self.records.last().map_or(Micros(0), |record| record.at)
    }
}
