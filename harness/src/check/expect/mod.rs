//! What each connection had to deliver, and in which of its phases.
//!
//! An event that a connection misses or repeats is judged by exactly one requirement, chosen by the phase in which it was
//! due: replayed, published in the seam, or live. So one bug gives one verdict instead of a cascade.
//!
//! `order.rs` finds the order that the strongest view shows, which `ranks.rs` holds; `keep.rs` says what retention may have
//! taken; `pieces.rs` splits what arrived into stretches that are as they should be and the rest.

mod keep;
mod order;
mod pieces;
mod ranks;

use std::cell::OnceCell;

use rustc_hash::FxHashSet;

use keep::Keep;
pub(crate) use keep::Kept;
pub(crate) use order::real_time;
use ranks::Ranks;

use crate::contract::{BoundarySent, Contract, CursorAnswer, StreamAnswer};
use crate::history::{ConnView, CursorClass, Ended, From, Micros, Role, SessionView, Stretch, Surface, View};

/// In which phase of a connection an event was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Acknowledged before the reader asked.
    Replay,
    /// Published while the reader went from replay to live.
    Seam,
    /// Sent after the reader was surely live.
    Live,
}

/// A session's order, and what its connections had to deliver.
#[derive(Debug)]
pub(crate) struct Expect<'v, 'h> {
    pub(crate) view: &'v View<'h>,
    pub(crate) session: &'v SessionView<'h>,
    /// The order that the strongest view shows.
    ranks: Ranks,
    /// True where nobody can tell that an event comes before one of a lower place: neither by real time, nor by the order.
    in_order: bool,
    /// Acknowledged durable events without a place in it, in the order in which they were acknowledged.
    unranked: Vec<u32>,
    /// For each place in that order, the first acknowledgement of what stands there or behind it.
    acked_from: OnceCell<Vec<Micros>>,
    /// For each connection from when on it was surely live.
    live_at: Vec<Micros>,
    /// For each connection what [`Expect::start`] says of it.
    starts: Vec<Option<Option<usize>>>,
    /// The finite reads that no other page followed.
    last_pages: FxHashSet<usize>,
    keep: Keep,
    /// How long a connection must have been there for a wait in vain to tell something of it, in microseconds.
    patience: u64,
    /// True where the head of an answer must not wait for an event.
    heads_at_once: bool,
    /// False where one cursor stands for a batch of events.
    per_event: bool,
    /// True where an empty cursor means the beginning.
    empty_is_start: bool,
}

impl<'v, 'h> Expect<'v, 'h> {
    fn new(view: &'v View<'h>, session: &'v SessionView<'h>, contract: &Contract) -> Expect<'v, 'h> {
        let ranks = order::ranked(view, session);
        let acked = |event: &u32| session.events[*event as usize].acked_at();
        let others = ranks.others(session.events.len()).filter(|event| session.events[*event].durable);
        let mut unranked: Vec<u32> = others.map(|event| event as u32).filter(|event| acked(event).is_some()).collect();
        unranked.sort_by_key(acked);
        let in_order = session.course.in_turn && ranks.ascends();
        let conns = || session.conns.iter().map(|id| view.conn(*id));
        let mut pages = rustc_hash::FxHashMap::default();
        for conn in conns().filter(|c| c.connect.what.surface == Surface::History) {
            pages.insert(conn.connect.what.reader.as_str(), conn.place);
        }
        let last_pages = pages.into_values().collect();
        let keep = Keep::new(session, contract.retention.as_ref());
        let patience = contract.liveness.delivery_ms * 1000 / 4;
        let heads_at_once = contract.liveness.headers_ms.is_some();
        let per_event = contract.cursor.as_ref().is_none_or(|c| c.per_event);
        let empty = contract.answers.get(&CursorClass::Empty);
        let empty_is_start = empty.is_none_or(|answer| *answer == CursorAnswer::Stream(StreamAnswer::Start));
        let mut expect = Expect {
            view,
            session,
            ranks,
            in_order,
            unranked,
            acked_from: OnceCell::new(),
            live_at: Vec::new(),
            starts: Vec::new(),
            last_pages,
            keep,
            patience,
            heads_at_once,
            per_event,
            empty_is_start,
        };
        expect.live_at = conns().map(|conn| expect.find_live_at(conn, contract)).collect();
        expect.starts = conns().map(|conn| expect.find_start(conn)).collect();
        expect
    }

    /// All sessions of a view.
    pub(crate) fn all(view: &'v View<'h>, contract: &Contract) -> Vec<Expect<'v, 'h>> {
        view.sessions.iter().map(|session| Expect::new(view, session, contract)).collect()
    }

    /// Its streams and finite reads, but for those that may have reached its successor.
    pub(crate) fn conns(&self) -> impl Iterator<Item = &'v ConnView<'h>> {
        let view = self.view;
        self.session.conns.iter().map(move |id| view.conn(*id)).filter(|conn| !conn.astray)
    }

    /// The place of an event in the order that the strongest view shows.
    pub(crate) fn rank(&self, event: usize) -> Option<u32> {
        self.ranks.of(event)
    }

    /// True when `a` surely comes before `b`: by the order that was seen, else by real time.
    pub(crate) fn before(&self, a: usize, b: usize) -> bool {
        match (self.ranks.of(a), self.ranks.of(b)) {
            (Some(a), Some(b)) => a < b,
            (None, _) | (_, None) => real_time(&self.session.events[a], &self.session.events[b]),
        }
    }

    /// The event that a cursor of this session names: behind which a reader that presents it starts. Where one cursor
    /// stands for a batch, that is the last event of the batch.
    pub(crate) fn named(&self, cursor: &str) -> Option<usize> {
        let sights = self.session.cursors.get(cursor);
        if self.per_event {
            return sights.map(|sights| sights.first.event);
        }
        // An answer tells of one event of the batch alone, and a stream may have lacked the last ones.
        let answered = sights.filter(|sights| sights.second.is_none()).map(|sights| sights.first.event);
        let committed = self.session.commits.get(cursor).map(|sight| sight.event);
        match (committed, answered) {
            (Some(committed), Some(answered)) => Some(if self.before(committed, answered) { answered } else { committed }),
            (one, other) => one.or(other),
        }
    }

    /// The event behind which a connection starts: `Some(None)` for the very beginning, `None` when that is not known.
    pub(crate) fn start(&self, conn: &ConnView<'h>) -> Option<Option<usize>> {
        self.starts[conn.place]
    }

    fn find_start(&self, conn: &ConnView<'h>) -> Option<Option<usize>> {
        match &conn.connect.what.from {
            _ if conn.from_the_beginning(self.session) => Some(None),
            From::Start => Some(None),
            From::Live => None,
            From::Cursor { value, class, .. } => match class {
                CursorClass::Own | CursorClass::Snapshot => self.named(value).map(Some),
                CursorClass::Empty => self.empty_is_start.then_some(None),
                CursorClass::Synthetic
                | CursorClass::Ahead
                | CursorClass::OtherSession
                | CursorClass::OtherEpoch
                | CursorClass::Malformed => None,
            },
        }
    }

    /// True when `event` lies behind the start of a connection.
    pub(crate) fn after_start(&self, event: usize, start: Option<usize>) -> bool {
        start.is_none_or(|start| start != event && self.before(start, event))
    }

    /// From when on a connection was surely live: its boundary; where none is promised, its first delivery of something
    /// that was sent after it had asked. Headers prove nothing: many servers send them, read the log, and
    /// register the reader last.
    pub(crate) fn live_at(&self, conn: &ConnView<'h>) -> Micros {
        self.live_at[conn.place]
    }

    /// The phase in which an event was due on a connection.
    pub(crate) fn phase(&self, event: usize, conn: &ConnView<'h>) -> Phase {
        let e = &self.session.events[event];
        if e.acked_at().is_some_and(|acked| acked < conn.connect.at) {
            Phase::Replay
        } else if e.invoked.at > self.live_at(conn) {
            Phase::Live
        } else {
            Phase::Seam
        }
    }

    /// The acknowledged durable events that a connection had to deliver: behind its start, and before something that it
    /// did deliver or that the run waited for in vain while it was open. The last page of a finite read owes everything
    /// that was acknowledged before it was asked for.
    pub(crate) fn due(&self, conn: &ConnView<'h>, start: Option<usize>) -> Due {
        let events = &self.session.events;
        // What lies behind the start in the order that was seen was due by what came behind it, or by itself.
        let behind = |stretch: &Stretch| start.is_none_or(|start| start < stretch.events().start && self.rank(start).is_some());
        let all_due = |stretch: Stretch| if behind(&stretch) && self.ranked(stretch) == stretch.len() { stretch.len() } else { 0 };
        let came: Vec<Stretch> = self.stretches(conn).filter(|stretch| all_due(*stretch) > 0).collect();

        let rest = self.unsettled(conn, all_due).filter(|(got, _)| got.what.durable).map(|(_, event)| event);
        let rest: Vec<usize> = rest.chain(self.missed_wait(conn)).collect();
        let horizon = || rest.iter().copied();
        let whole = self.last_pages.contains(&conn.place) && conn.end.is_some_and(|end| end.what.how == Ended::Done);
        let whole = whole.then_some(conn.connect.at);
        let owed = |event: &usize| events[*event].durable && events[*event].acked.is_some() && self.after_start(*event, start);
        let past = |event: usize| whole.is_some_and(|at| events[event].acked_at().is_some_and(|acked| acked < at));

        let last = came.last().map(|stretch| stretch.events().end - 1);
        let first = start.and_then(|start| self.rank(start)).map_or(0, |rank| rank as usize + 1);
        let top = horizon().chain(last).filter_map(|event| self.rank(event)).max().map_or(0, |rank| rank as usize + 1).max(first);
        let mut others: Vec<usize> = Vec::new();
        let mut from = first;
        for stretch in &came {
            let rank = self.rank(stretch.events().start).map_or(from, |rank| rank as usize);
            others.extend(self.ranks.events(from..rank).filter(owed));
            from = rank + stretch.len();
        }
        others.extend(self.ranks.events(from..top).filter(owed));
        if whole.is_some() {
            others.extend(self.ranks.events(top.max(from)..self.ranks.len()).filter(|event| past(*event) && owed(event)));
        }

        let latest = horizon().chain(last).map(|event| events[event].invoked.at).chain(whole).max().unwrap_or_default();
        let until = self.unranked.partition_point(|event| events[*event as usize].acked_at().is_some_and(|acked| acked < latest));
        let known = others.len();
        others.extend(self.unranked[..until].iter().map(|event| *event as usize).filter(owed));
        // What was delivered or waited for is due by itself, whatever the order.
        let mut seen: FxHashSet<usize> = others[known..].iter().copied().collect();
        others.extend(horizon().filter(|event| self.rank(*event).is_none() && owed(event) && seen.insert(*event)));
        Due { came, others }
    }

    /// As [`Expect::due`], for a connection that starts behind the newest event: what was sent once it was live.
    pub(crate) fn due_live(&self, conn: &ConnView<'h>) -> Due {
        let events = &self.session.events;
        let Some(latest) = conn.arrivals().map(|(_, event)| event).chain(self.missed_wait(conn)).max() else { return Due::default() };
        let first = events.partition_point(|event| event.invoked.at <= self.live_at(conn));
        let comes = |event: &usize| *event == latest || self.before(*event, latest);
        let due = (first..=latest).filter(|event| events[*event].durable && events[*event].acked.is_some()).filter(comes);
        Due { came: Vec::new(), others: due.collect() }
    }

    /// The event that the run waited for at this connection in vain, if the connection was open and could deliver it.
    fn missed_wait(&self, conn: &ConnView<'h>) -> Option<usize> {
        let waited = conn.waits.iter().rev().find(|w| !w.what.reached)?;
        let silenced = conn.faults.iter().any(|f| f.what.reached && f.at < waited.at && f.what.is_silence());
        // A reader that reconnects until its time is up leaves the last connection none, and a server that owes its headers
        // at once and is late with them leaves none either: that is a matter of its own.
        let since = if self.heads_at_once { conn.answer.map(|answer| answer.at) } else { Some(conn.connect.at) };
        let in_time = since.is_some_and(|since| since.0 + self.patience <= waited.at.0);
        if conn.ended_at() < waited.at || silenced || !in_time {
            return None;
        }
        let marker = waited.what.until.marker()?;
        let own = std::ptr::eq(self.view.sessions.get(marker.session as usize)?, self.session);
        let event = self.session.event_of(marker.n).filter(|_| own)?;
        self.session.events[event].durable.then_some(event)
    }

    /// The oldest acknowledged event behind a connection's start, of those acknowledged before it asked.
    pub(crate) fn first_behind(&self, start: Option<usize>, conn: &ConnView<'h>) -> Option<usize> {
        let ranked = self.ranked_behind(start, conn).next();
        let unranked = self.unranked_behind(start, conn).next();
        match (ranked, unranked) {
            (Some(a), Some(b)) => Some(if self.before(b, a) { b } else { a }),
            (one, other) => one.or(other),
        }
    }

    /// How many acknowledged events lie behind a connection's start, of those acknowledged before it asked; counted up to
    /// `most`.
    pub(crate) fn count_behind(&self, start: Option<usize>, conn: &ConnView<'h>, most: u64) -> u64 {
        let behind = self.ranked_behind(start, conn).chain(self.unranked_behind(start, conn));
        behind.take(usize::try_from(most).unwrap_or(usize::MAX)).count() as u64
    }

    /// The ranked events behind a start that were acknowledged before a connection asked. Ends at the first place from
    /// which on nothing was, so that what follows in a long session costs nothing.
    fn ranked_behind(&self, start: Option<usize>, conn: &ConnView<'h>) -> impl Iterator<Item = usize> {
        let asked = conn.connect.at;
        let from = start.and_then(|start| self.rank(start)).map_or(0, |rank| rank as usize + 1);
        let places = (from..self.ranks.len()).zip(self.ranks.events(from..self.ranks.len()));
        let places = places.take_while(move |(place, event)| self.acked_from(*place, *event) < asked);
        places.map(|(_, event)| event).filter(move |event| self.owed_at(*event, start, asked))
    }

    /// The first acknowledgement of what stands at a place of the order, which is `event`, or behind it.
    fn acked_from(&self, place: usize, event: usize) -> Micros {
        let acked = |event: usize| self.session.events[event].acked_at().unwrap_or(Micros(u64::MAX));
        if self.in_order {
            return acked(event);
        }
        self.acked_from.get_or_init(|| {
            let mut acked_from: Vec<Micros> = self.ranks.events(0..self.ranks.len()).map(acked).collect();
            for place in (1..acked_from.len()).rev() {
                acked_from[place - 1] = acked_from[place - 1].min(acked_from[place]);
            }
            acked_from
        })[place]
    }

    fn unranked_behind(&self, start: Option<usize>, conn: &ConnView<'h>) -> impl Iterator<Item = usize> {
        let asked = conn.connect.at;
        self.unranked.iter().map(|event| *event as usize).filter(move |event| self.owed_at(*event, start, asked))
    }

    fn owed_at(&self, event: usize, start: Option<usize>, asked: Micros) -> bool {
        let e = &self.session.events[event];
        e.durable && e.acked_at().is_some_and(|at| at < asked) && self.after_start(event, start)
    }

    /// By when the server had surely read its log for what a connection asked for: when it was live, else when it ended.
    /// What was sent in the meantime may have evicted what was kept when the connection was asked for.
    pub(crate) fn read_by(&self, conn: &ConnView<'h>) -> Micros {
        self.live_at(conn).min(conn.ended_at()).min(self.view.ended_at())
    }

    /// Whether an event is still kept at a time.
    pub(crate) fn kept(&self, event: usize, at: Micros) -> Kept {
        self.keep.kept(&self.session.events[event], at)
    }

    /// True when an event's age is surely past the bound.
    pub(crate) fn expired(&self, event: usize, at: Micros) -> bool {
        self.keep.expired(&self.session.events[event], at)
    }

    /// The retention in force.
    pub(crate) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// True for a connection whose deliveries can be judged: accepted, of this session's own kind of start.
    pub(crate) fn judged(&self, conn: &ConnView<'h>) -> bool {
        conn.accepted() && conn.connect.what.role != Role::Churn
    }

    fn find_live_at(&self, conn: &ConnView<'h>, contract: &Contract) -> Micros {
        let never = Micros(u64::MAX);
        if matches!(contract.boundary.as_ref().map(|b| b.sent), Some(BoundarySent::Always | BoundarySent::AtLeastOnce)) {
            return conn.boundaries().next().map_or(never, |boundary| boundary.at);
        }
        let Some(answer) = conn.answer else { return never };
        let new = self.first(conn, |event| event.new_at(conn.connect.at), |_| true);
        new.map_or(never, |got| got.at.max(answer.at))
    }
}

/// What a connection had to deliver.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Stretches that were due as a whole, and came.
    pub(crate) came: Vec<Stretch>,
    /// All else that was due, whether it came or not.
    pub(crate) others: Vec<usize>,
}
