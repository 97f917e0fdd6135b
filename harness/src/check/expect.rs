//! What each connection had to deliver, and in which of its phases.
//!
//! An event that a connection misses or repeats is judged by exactly one requirement, chosen by the phase in which it was
//! due: replayed, published in the seam, or live. So one bug gives one verdict instead of a cascade.

use rustc_hash::FxHashMap;

use crate::contract::{BoundarySent, Contract, Retention};
use crate::history::{ConnView, CursorClass, EventView, From, Kind, Micros, Role, SessionView, Surface, Until, View};

/// Margin for times that the server takes by its own clock and at its own moments.
const MARGIN: u64 = 60_000;

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
    /// For each event its place in the order that the strongest view shows; `None` when that view lacks it.
    rank: Vec<Option<u32>>,
    bounds: Bounds,
}

/// The retention in force.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    records: Option<u64>,
    bytes: Option<u64>,
    age: Option<u64>,
    slack: u64,
}

/// Whether an event is still kept at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Surely.
    Yes,
    /// Surely not.
    No,
    /// The times do not tell.
    Perhaps,
}

impl<'v, 'h> Expect<'v, 'h> {
    pub(crate) fn new(view: &'v View<'h>, session: &'v SessionView<'h>, contract: &Contract) -> Expect<'v, 'h> {
        Expect { view, session, rank: rank(view, session), bounds: bounds(session, contract.retention.as_ref()) }
    }

    /// All sessions of a view.
    pub(crate) fn all(view: &'v View<'h>, contract: &Contract) -> Vec<Expect<'v, 'h>> {
        view.sessions.iter().map(|session| Expect::new(view, session, contract)).collect()
    }

    /// Its streams and finite reads.
    pub(crate) fn conns(&self) -> impl Iterator<Item = &'v ConnView<'h>> {
        let view = self.view;
        self.session.conns.iter().map(move |id| view.conn(*id))
    }

    /// The event of a delivery, if it is one of this session.
    pub(crate) fn event(&self, delivery: &crate::history::Delivery) -> Option<usize> {
        let own = delivery.marker.filter(|m| self.view.sessions.get(m.session as usize).is_some_and(|s| std::ptr::eq(s, self.session)))?;
        self.session.by_marker.get(&own.n).copied()
    }

    pub(crate) fn rank(&self, event: usize) -> Option<u32> {
        self.rank[event]
    }

    /// True when `a` surely comes before `b`: by the order that was seen, else by real time.
    pub(crate) fn before(&self, a: usize, b: usize) -> bool {
        match (self.rank[a], self.rank[b]) {
            (Some(a), Some(b)) => a < b,
            _ => real_time(&self.session.events[a], &self.session.events[b]),
        }
    }

    /// The event that a cursor of this session names.
    pub(crate) fn named(&self, cursor: &str) -> Option<usize> {
        self.session.cursors.get(cursor)?.first().map(|sight| sight.event)
    }

    /// The event behind which a connection starts: `Some(None)` for the very beginning, `None` when that is not known.
    pub(crate) fn start(&self, conn: &ConnView<'h>) -> Option<Option<usize>> {
        match &conn.connect.what.from {
            From::Start => Some(None),
            From::Live => None,
            From::Cursor { value, class, .. } => match class {
                CursorClass::Own | CursorClass::Snapshot => self.named(value).map(Some),
                CursorClass::Empty => Some(None),
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
    /// that was not acknowledged before it asked. Headers prove nothing: many servers send them, read the log, and
    /// register the reader last.
    pub(crate) fn live_at(&self, conn: &ConnView<'h>, contract: &Contract) -> Micros {
        let never = Micros(u64::MAX);
        let marked = matches!(contract.boundary.as_ref().map(|b| b.sent), Some(BoundarySent::Always | BoundarySent::AtLeastOnce));
        if marked {
            return conn.boundaries().next().map_or(never, |boundary| boundary.at);
        }
        let Some(answer) = conn.answer else { return never };
        let new = conn.got.iter().find(|g| {
            let event = self.event(g.what).map(|e| &self.session.events[e]);
            event.is_some_and(|e| e.acked_at().is_none_or(|acked| acked >= conn.connect.at))
        });
        new.map_or(never, |g| g.at.max(answer.at))
    }

    /// The phase in which an event was due on a connection.
    pub(crate) fn phase(&self, event: usize, conn: &ConnView<'h>, contract: &Contract) -> Phase {
        let e = &self.session.events[event];
        if e.acked_at().is_some_and(|acked| acked < conn.connect.at) {
            Phase::Replay
        } else if e.invoked.at > self.live_at(conn, contract) {
            Phase::Live
        } else {
            Phase::Seam
        }
    }

    /// The acknowledged durable events that a connection had to deliver: behind its start, and before something that it
    /// did deliver or that the run waited for in vain while it was open.
    pub(crate) fn due(&self, conn: &ConnView<'h>, start: Option<usize>) -> Vec<usize> {
        let mut horizon: Vec<usize> = conn.got.iter().filter(|g| g.what.durable).filter_map(|g| self.event(g.what)).collect();
        horizon.extend(self.missed_wait(conn));
        let top_rank = horizon.iter().filter_map(|e| self.rank[*e]).max();
        let top_time = horizon.iter().map(|e| self.session.events[*e].invoked.at).max();
        let is_due = |event: usize| {
            let e = &self.session.events[event];
            let Some(acked) = e.acked_at() else { return false };
            if !e.durable || !self.after_start(event, start) {
                return false;
            }
            match self.rank[event] {
                Some(rank) => top_rank.is_some_and(|top| rank <= top) || horizon.contains(&event),
                None => top_time.is_some_and(|top| acked < top) || horizon.contains(&event),
            }
        };
        (0..self.session.events.len()).filter(|event| is_due(*event)).collect()
    }

    /// The event that the run waited for at this connection in vain, if the connection was open and could deliver it.
    fn missed_wait(&self, conn: &ConnView<'h>) -> Option<usize> {
        let waited = self.view.waits.iter().rev().find(|w| w.what.conn == Some(conn.id) && !w.what.reached)?;
        if conn.ended_at() < waited.at {
            return None;
        }
        match waited.what.until {
            Until::Marker(marker) => {
                let event = self.session.by_marker.get(&marker.n).copied()?;
                self.session.events[event].durable.then_some(event)
            }
            Until::Events(_) | Until::Headers | Until::Boundary | Until::Gap | Until::Terminal | Until::Heartbeat | Until::Closed => None,
        }
    }

    /// Whether an event is still kept at a time.
    pub(crate) fn kept(&self, event: usize, at: Micros) -> Kept {
        let e = &self.session.events[event];
        let mut kept = Kept::Yes;
        let mut limit = |surely_gone: bool, surely_there: bool| {
            if surely_gone {
                kept = Kept::No;
            } else if !surely_there && kept == Kept::Yes {
                kept = Kept::Perhaps;
            }
        };
        // What was sent while this event was not yet acknowledged may stand on either side of it.
        let others = self.session.events.iter().enumerate().filter(|(ix, n)| *ix != event && n.durable && !n.refused).map(|(_, n)| n);
        let surely_newer = others.clone().filter(|n| real_time(e, n) && n.acked_at().is_some_and(|a| a < at));
        let perhaps_newer = others.filter(|n| !real_time(n, e) && n.invoked.at < at);
        // A terminal may take a place of its own among what is kept.
        let terminal = u64::from(self.session.closing.is_some_and(|closing| closing < at));
        if let Some(most) = self.bounds.records {
            let acked = surely_newer.clone().count() as u64;
            let sent = perhaps_newer.clone().count() as u64 + terminal;
            limit(acked >= most + self.bounds.slack, sent < most);
        }
        if let Some(most) = self.bounds.bytes {
            let acked: u64 = surely_newer.map(|n| n.body.len).sum();
            let sent: u64 = perhaps_newer.map(|n| n.body.len + 200).sum();
            limit(acked >= most * 2, sent + e.body.len + 200 < most / 2);
        }
        if let Some(most) = self.bounds.age {
            let youngest = at.0.saturating_sub(e.acked_at().unwrap_or(e.invoked.at).0);
            let oldest = at.0.saturating_sub(e.invoked.at.0);
            limit(youngest > most + MARGIN, oldest + MARGIN < most);
        }
        kept
    }

    /// The bound by records in force.
    pub(crate) fn most_records(&self) -> Option<(u64, u64)> {
        self.bounds.records.map(|records| (records, self.bounds.slack))
    }

    /// True when an age bound is in force.
    pub(crate) fn has_age(&self) -> bool {
        self.bounds.age.is_some()
    }

    /// True for a connection whose deliveries can be judged: accepted, of this session's own kind of start.
    pub(crate) fn judged(&self, conn: &ConnView<'h>) -> bool {
        conn.accepted() && conn.connect.what.role != Role::Churn
    }
}

/// True when `a` was acknowledged before `b` was sent.
pub(crate) fn real_time(a: &EventView<'_>, b: &EventView<'_>) -> bool {
    a.acked_at().is_some_and(|acked| acked < b.invoked.at)
}

fn bounds(session: &SessionView<'_>, retention: Option<&Retention>) -> Bounds {
    let Some(retention) = retention else { return Bounds::default() };
    let asked = session.retain.unwrap_or_default();
    let bound = |asked: Option<i64>, default: Option<i64>| asked.or(default).and_then(|n| u64::try_from(n).ok());
    Bounds {
        records: bound(asked.records, retention.default.records),
        bytes: bound(asked.bytes, retention.default.bytes),
        age: bound(asked.age_ms, retention.default.age_ms).map(|ms| ms * 1000),
        slack: retention.slack,
    }
}

/// The order that the strongest view shows: of all that read from the beginning, the one with the most events; history
/// before streams, the undisturbed before others.
fn rank(view: &View<'_>, session: &SessionView<'_>) -> Vec<Option<u32>> {
    let mut candidates: Vec<(usize, u8, Vec<usize>)> = Vec::new();
    let mut pages: FxHashMap<&str, Vec<usize>> = FxHashMap::default();
    let events_of = |conn: &ConnView<'_>| -> Vec<usize> {
        let own = |g: &&crate::history::Seen<&crate::history::Delivery>| {
            g.what.kind == Kind::Event && g.what.durable && g.what.marker.is_some_and(|m| m.session == conn.connect.what.session.0)
        };
        conn.got.iter().filter(own).filter_map(|g| session.by_marker.get(&g.what.marker?.n).copied()).collect()
    };
    for id in &session.conns {
        let conn = view.conn(*id);
        match conn.connect.what.surface {
            Surface::History => pages.entry(conn.connect.what.reader.as_str()).or_default().extend(events_of(conn)),
            Surface::Stream if conn.connect.what.from == From::Start => {
                let strength = if conn.connect.what.role == Role::Witness { 1 } else { 0 };
                candidates.push((0, strength, events_of(conn)));
            }
            Surface::Stream | Surface::Snapshot => {}
        }
    }
    candidates.extend(pages.into_values().map(|events| (0, 2, events)));
    for (distinct, _, events) in &mut candidates {
        let mut seen = rustc_hash::FxHashSet::default();
        events.retain(|event| seen.insert(*event));
        *distinct = events.len();
    }
    let mut rank = vec![None; session.events.len()];
    if let Some((_, _, events)) = candidates.into_iter().max_by_key(|(distinct, strength, _)| (*distinct, *strength)) {
        for (place, event) in events.into_iter().enumerate() {
            rank[event] = Some(place as u32);
        }
    }
    rank
}
