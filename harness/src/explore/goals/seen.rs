//! What a history shows, in the terms of the goals.

use std::collections::BTreeMap;

use crate::history::{
    Action, ConnView, CursorClass, EventView, From, Kind, Micros, OpView, Outcome, Process, Role, SessionView, Surface, View,
};

/// A history, arranged for the goals.
pub(super) struct Sightings<'v, 'h> {
    view: &'v View<'h>,
    /// The streams of each reader in the order in which they were opened; not the witnesses'.
    readers: BTreeMap<&'h str, Vec<&'v ConnView<'h>>>,
    /// Stops of the process.
    stops: Vec<Stop<'h>>,
}

/// A stop of the process.
struct Stop<'h> {
    /// `KILL` or `TERM`.
    signal: &'h str,
    /// When the signal was sent.
    sent: Micros,
    /// When the process was gone.
    gone: Micros,
}

impl<'v, 'h> Sightings<'v, 'h> {
    pub(super) fn of(view: &'v View<'h>) -> Sightings<'v, 'h> {
        let mut readers: BTreeMap<&str, Vec<&ConnView<'_>>> = BTreeMap::new();
        for conn in &view.conns {
            if conn.is_stream() && conn.connect.what.role != Role::Witness {
                readers.entry(&conn.connect.what.reader).or_default().push(conn);
            }
        }
        let mut stops = Vec::new();
        let mut signal = None;
        for process in &view.process {
            match process.what {
                Process::Signal { name } if name == "KILL" || name == "TERM" => signal = Some((name.as_str(), process.at)),
                Process::Gone => {
                    if let Some((signal, sent)) = signal.take() {
                        stops.push(Stop { signal, sent, gone: process.at });
                    }
                }
                Process::Signal { .. } | Process::Ready { .. } | Process::Died { .. } | Process::Overdue => {}
            }
        }
        Sightings { view, readers, stops }
    }

    /// Consecutive connections of one reader.
    fn successions(&self) -> impl Iterator<Item = (&'v ConnView<'h>, &'v ConnView<'h>)> {
        self.readers.values().flat_map(|conns| conns.windows(2).map(|pair| (pair[0], pair[1])))
    }

    fn streams(&self) -> impl Iterator<Item = &'v ConnView<'h>> {
        self.readers.values().flatten().copied()
    }

    fn session(&self, conn: &ConnView<'h>) -> &'v SessionView<'h> {
        self.view.session_of(conn)
    }

    fn events<'a>(conn: &'a ConnView<'h>) -> impl Iterator<Item = &'a crate::history::Seen<&'h crate::history::Delivery>> {
        conn.got.iter().filter(|got| got.what.kind == Kind::Event && got.what.durable)
    }

    /// Times at which events that were acknowledged between `since` and `until` were.
    fn acked_between(session: &SessionView<'h>, since: Micros, until: Micros) -> usize {
        session.events.iter().filter_map(EventView::acked_at).filter(|at| *at > since && *at < until).count()
    }

    pub(super) fn reconnects_in_replay(&self) -> usize {
        self.successions()
            .filter(|(before, _)| {
                let session = self.session(before);
                let newest = session.events.iter().rfind(|e| e.durable && e.acked_at().is_some_and(|at| at < before.connect.at));
                let had = |event: &EventView<'_>| before.got.iter().any(|got| got.what.marker == Some(event.marker));
                before.accepted() && newest.is_some_and(|newest| !had(newest)) && before.ended_at() < Micros(u64::MAX)
            })
            .count()
    }

    pub(super) fn cuts_before_first_event(&self) -> usize {
        self.successions().filter(|(_, next)| !next.faults.is_empty() && next.end.is_some() && Self::events(next).next().is_none()).count()
    }

    pub(super) fn cuts_inside_an_event(&self) -> usize {
        let inside = |conn: &&ConnView<'h>| conn.faults.iter().any(|fault| fault.what.reached && fault.what.is_inside_an_event());
        self.streams().filter(inside).count()
    }

    pub(super) fn cuts_before_headers(&self) -> usize {
        self.streams().filter(|conn| !conn.faults.is_empty() && conn.answer.is_none() && conn.end.is_some()).count()
    }

    pub(super) fn three_cuts(&self) -> usize {
        self.readers.values().filter(|conns| conns.iter().filter(|conn| !conn.faults.is_empty() && conn.end.is_some()).count() >= 3).count()
    }

    pub(super) fn resumes_at_head(&self) -> usize {
        let at_head = |conn: &&ConnView<'h>| {
            let session = self.session(conn);
            let named = conn.presented().filter(|(_, class)| *class == CursorClass::Own).and_then(|(value, _)| session.cursors.get(value));
            let old =
                |event: &usize| session.events[*event].durable && session.events[*event].acked_at().is_some_and(|at| at < conn.connect.at);
            let newest = (0..session.events.len()).rfind(old);
            let resumed = named.map(|sights| sights.first.event);
            resumed.is_some() && resumed == newest && Self::events(conn).next().is_some()
        };
        self.streams().filter(at_head).count()
    }

    pub(super) fn resumes_mid_log(&self) -> usize {
        let before = |conn: &ConnView<'h>| {
            let session = self.session(conn);
            let old = |marker| session.events.iter().any(|e| e.marker == marker && e.acked_at().is_some_and(|at| at < conn.connect.at));
            conn.got.iter().any(|got| got.what.marker.is_some_and(old))
        };
        self.streams().filter(|conn| conn.presented().is_some() && before(conn)).count()
    }

    pub(super) fn publishes_in_seam(&self) -> usize {
        self.streams()
            .filter(|conn| {
                let live = conn.boundaries().next().map(|b| b.at).or(conn.got.first().map(|got| got.at));
                live.is_some_and(|live| Self::acked_between(self.session(conn), conn.connect.at, live) > 0)
            })
            .count()
    }

    pub(super) fn publishes_in_replay(&self) -> usize {
        self.streams()
            .filter(|conn| {
                let session = self.session(conn);
                let replayed =
                    |marker| session.events.iter().any(|e| Some(e.marker) == marker && e.acked_at().is_some_and(|at| at < conn.connect.at));
                let mut replay = conn.got.iter().filter(|got| replayed(got.what.marker)).map(|got| got.at);
                let (first, last) = (replay.next(), replay.next_back());
                first.zip(last).is_some_and(|(first, last)| Self::acked_between(session, first, last) > 0)
            })
            .count()
    }

    pub(super) fn overlaps(&self) -> usize {
        self.successions().filter(|(before, next)| before.accepted() && next.accepted() && before.ended_at() > next.connect.at).count()
    }

    pub(super) fn late_deliveries(&self) -> usize {
        let late = |(before, next): &(&ConnView<'h>, &ConnView<'h>)| {
            let first = Self::events(next).next().map(|got| got.at);
            first.is_some_and(|first| !before.faults.is_empty() && Self::events(before).any(|got| got.at > first))
        };
        self.successions().filter(late).count()
    }

    pub(super) fn overtaken(&self) -> usize {
        self.streams()
            .filter(|conn| {
                let Some(fault) = conn.faults.first() else { return false };
                let after = Self::events(conn).find(|got| got.at > fault.at);
                after.is_some_and(|after| Self::acked_between(self.session(conn), fault.at, after.at) > 0)
            })
            .count()
    }

    fn gaps(conn: &ConnView<'h>) -> bool {
        conn.got.iter().any(|got| got.what.kind == Kind::Gap)
    }

    pub(super) fn evicted_cursors(&self) -> usize {
        self.streams().filter(|conn| conn.presented().is_some_and(|(_, class)| class == CursorClass::Own) && Self::gaps(conn)).count()
    }

    pub(super) fn gaps_at_start(&self) -> usize {
        self.streams().filter(|conn| conn.connect.what.from == From::Start && Self::gaps(conn)).count()
    }

    /// The first moment at which a session had lost events to its bound.
    fn evicts_at(session: &SessionView<'h>) -> Option<Micros> {
        let bound = usize::try_from(session.retain?.records?).ok()?;
        session.events.iter().filter(|e| e.durable).filter_map(EventView::acked_at).nth(bound)
    }

    pub(super) fn evictions_under_readers(&self) -> usize {
        let under = |conn: &&ConnView<'h>| {
            let at = Self::evicts_at(self.session(conn));
            at.is_some_and(|at| conn.accepted() && conn.connect.at < at && conn.ended_at() > at)
        };
        self.streams().filter(under).count()
    }

    pub(super) fn presented(&self, class: CursorClass) -> usize {
        self.streams().filter(|conn| conn.answer.is_some() && conn.presented().is_some_and(|(_, presented)| presented == class)).count()
    }

    pub(super) fn snapshot_tails(&self) -> usize {
        let tail = |conn: &&ConnView<'h>| {
            let from_snapshot = conn.presented().is_some_and(|(_, class)| class == CursorClass::Snapshot);
            // The audit does this at the end of every case; what counts is what the scenario did.
            from_snapshot && !conn.connect.what.reader.starts_with("after-snapshot-") && Self::events(conn).next().is_some()
        };
        self.streams().filter(tail).count()
    }

    pub(super) fn moving_pages(&self) -> usize {
        let pages: Vec<&ConnView<'h>> = self.view.conns.iter().filter(|conn| conn.connect.what.surface == Surface::History).collect();
        let moved = |pair: &&[&ConnView<'h>]| {
            let same = pair[0].connect.what.reader == pair[1].connect.what.reader;
            same && Self::acked_between(self.session(pair[0]), pair[0].connect.at, pair[1].connect.at) > 0
        };
        pages.windows(2).filter(moved).count()
    }

    fn publishes(&self) -> impl Iterator<Item = (&'h crate::history::Publish, &'v OpView<'h>)> {
        self.view.ops.iter().filter_map(|op| Some((op.invoked.what.publish()?, op)))
    }

    fn lost(op: &OpView<'h>) -> bool {
        op.completed.is_none_or(|end| matches!(end.what, Outcome::Unknown { .. }))
    }

    pub(super) fn lost_answers(&self) -> usize {
        let came = |marker| self.view.conns.iter().any(|conn| conn.got.iter().any(|got| got.what.marker == Some(marker)));
        self.publishes().filter(|(publish, op)| Self::lost(op) && came(publish.marker)).count()
    }

    pub(super) fn retries_after_loss(&self) -> usize {
        let first = |publish: &crate::history::Publish| publish.repeats.and_then(|op| self.view.ops.get(op.0 as usize));
        self.publishes().filter(|(publish, _)| first(publish).is_some_and(Self::lost)).count()
    }

    pub(super) fn repeats(&self) -> usize {
        self.publishes().filter(|(publish, _)| publish.repeats.is_some()).count()
    }

    pub(super) fn concurrent_publishes(&self) -> usize {
        let mut last: BTreeMap<u32, Micros> = BTreeMap::new();
        let mut overlapping = 0;
        for (publish, op) in self.publishes() {
            let ended = last.entry(publish.session.0).or_default();
            overlapping += usize::from(op.invoked.at < *ended);
            *ended = (*ended).max(op.completed.map_or(op.invoked.at, |end| end.at));
        }
        overlapping
    }

    pub(super) fn close_races(&self) -> usize {
        let closes = |op: &OpView<'h>| match op.invoked.what {
            Action::Close { session, by_stop: false } => Some((*session, op.invoked.at, op.completed?.at)),
            _ => None,
        };
        let races = |(session, since, until): &(crate::history::SessionIx, Micros, Micros)| {
            let in_flight = |op: &OpView<'h>| op.invoked.at < *until && op.completed.is_none_or(|end| end.at > *since);
            self.publishes().any(|(publish, op)| publish.session == *session && in_flight(op))
        };
        self.view.ops.iter().filter_map(closes).filter(races).count()
    }

    fn terminal(conn: &ConnView<'h>) -> bool {
        conn.got.iter().any(|got| got.what.kind == Kind::Terminal)
    }

    /// The audit's own reading of a closed session is none of the scenario's.
    fn audits(conn: &ConnView<'h>) -> bool {
        conn.connect.what.reader.starts_with("auditor-")
    }

    pub(super) fn terminals_replayed(&self) -> usize {
        let after = |conn: &&ConnView<'h>| self.session(conn).closed.is_some_and(|closed| closed < conn.connect.at);
        self.streams().filter(|conn| !Self::audits(conn)).filter(after).filter(|conn| Self::terminal(conn)).count()
    }

    pub(super) fn reconnects_after_end(&self) -> usize {
        self.successions().filter(|(before, _)| Self::terminal(before)).count()
    }

    pub(super) fn notes_missed(&self) -> usize {
        let missed = |(before, next): &(&ConnView<'h>, &ConnView<'h>)| {
            let away = |at: Micros| at > before.ended_at() && at < next.connect.at;
            self.session(before).events.iter().any(|e| !e.durable && e.acked_at().is_some_and(away))
        };
        self.successions().filter(missed).count()
    }

    pub(super) fn hostile_resumed(&self) -> usize {
        let hostile = |conn: &ConnView<'h>| {
            let session = self.session(conn);
            let is = |marker| session.events.iter().any(|e| e.marker == marker && e.hostile);
            conn.got.iter().any(|got| got.what.marker.is_some_and(is))
        };
        self.streams().filter(|conn| conn.presented().is_some() && hostile(conn)).count()
    }

    pub(super) fn two_sessions(&self) -> usize {
        let mut delivered: BTreeMap<u32, (Micros, Micros)> = BTreeMap::new();
        for conn in self.streams().filter(|conn| !Self::audits(conn)) {
            for got in Self::events(conn) {
                let span = delivered.entry(conn.connect.what.session.0).or_insert((got.at, got.at));
                *span = (span.0.min(got.at), span.1.max(got.at));
            }
        }
        let spans: Vec<(Micros, Micros)> = delivered.into_values().collect();
        let meets = |(at, one): (usize, &(Micros, Micros))| spans[at + 1..].iter().any(|other| one.0 <= other.1 && other.0 <= one.1);
        spans.iter().enumerate().filter(|pair| meets(*pair)).count()
    }

    pub(super) fn deletes_under_readers(&self) -> usize {
        let under = |conn: &&ConnView<'h>| {
            let deleted = self.session(conn).deleted;
            deleted.is_some_and(|at| conn.accepted() && conn.connect.at < at && conn.ended_at() >= at)
        };
        self.streams().filter(under).count()
    }

    fn kills(&self) -> impl Iterator<Item = &Stop<'h>> {
        self.stops.iter().filter(|stop| stop.signal == "KILL")
    }

    fn in_flight_at_a_kill(&self, op: &OpView<'h>) -> bool {
        let in_flight = |kill: &Stop<'_>| op.invoked.at < kill.gone && op.completed.is_none_or(|end| end.at >= kill.sent);
        Self::lost(op) && self.kills().any(in_flight)
    }

    pub(super) fn kills_under_writers(&self) -> usize {
        self.publishes().filter(|(_, op)| self.in_flight_at_a_kill(op)).count()
    }

    pub(super) fn kills_with_keys(&self) -> usize {
        let first = |publish: &crate::history::Publish| publish.repeats.and_then(|op| self.view.ops.get(op.0 as usize));
        self.publishes().filter(|(publish, _)| first(publish).is_some_and(|op| self.in_flight_at_a_kill(op))).count()
    }

    pub(super) fn kills_with_terminal(&self) -> usize {
        let pending = |kill: &&Stop<'_>| {
            let kill = kill.sent;
            self.readers.values().any(|conns| {
                let session = self.session(conns[0]);
                let closed = session.closing.is_some_and(|closing| closing < kill) && conns[0].connect.at < kill;
                let told = conns.iter().flat_map(|conn| &conn.got).any(|got| got.what.kind == Kind::Terminal && got.at < kill);
                closed && !told
            })
        };
        self.kills().filter(pending).count()
    }

    pub(super) fn killed_twice(&self) -> usize {
        usize::from(self.kills().count() >= 2)
    }

    pub(super) fn graceful_under_readers(&self) -> usize {
        let under =
            |stop: &&Stop<'_>| self.streams().any(|conn| conn.accepted() && conn.connect.at < stop.sent && conn.ended_at() >= stop.sent);
        self.stops.iter().filter(|stop| stop.signal == "TERM").filter(under).count()
    }

    pub(super) fn resumes_across(&self) -> usize {
        let across = |conn: &&ConnView<'h>| {
            let session = self.session(conn);
            let Some((value, CursorClass::Own)) = conn.presented() else { return false };
            let first = session.cursors.get(value).map(|sights| sights.first.at);
            first.is_some_and(|first| self.stops.iter().any(|stop| first < stop.gone && stop.gone < conn.connect.at))
        };
        self.streams().filter(across).count()
    }

    pub(super) fn kills_after_eviction(&self) -> usize {
        let after = |kill: &&Stop<'_>| self.view.sessions.iter().any(|s| Self::evicts_at(s).is_some_and(|at| at < kill.sent));
        self.kills().filter(after).count()
    }
}
