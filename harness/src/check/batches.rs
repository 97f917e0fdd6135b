//! ORDER-3, ORDER-4, RESTART-3 where one cursor stands for a batch: it comes in a frame of its own behind the events that
//! it commits, or in the answer to a publish.
//!
//! Such a cursor is a place in the log, and whoever presents it has everything before that place. So it covers no event
//! that was sent after the cursor had been given out, and none that came after the cursor on the same connection.

use rustc_hash::{FxHashMap, FxHashSet};

use super::answers;
use super::expect::Expect;
use super::judge::Judge;
use super::order::ascends;
use super::verdict::Violation;
use crate::contract::CursorOrder;
use crate::history::{ConnView, Kind, Micros, Surface, View};

/// When a cursor was first given out.
#[derive(Clone, Copy)]
struct Given {
    at: Micros,
    record: usize,
}

/// What is known of the cursors of one session.
struct Places<'v, 'h> {
    given: FxHashMap<&'h str, Given>,
    /// The cursors that were found in two places.
    moved: FxHashSet<&'h str>,
    view: &'v View<'h>,
}

pub(super) fn check(view: &View<'_>, expect: &Expect<'_, '_>, order: CursorOrder, judge: &mut Judge) {
    let session = expect.session;
    let mut given: FxHashMap<&str, Given> = FxHashMap::default();
    let answered = session.cursors.iter().map(|(cursor, sights)| (cursor, sights.first));
    for (cursor, sight) in answered.chain(session.commits.iter().map(|(cursor, sight)| (*cursor, *sight))) {
        let this = Given { at: sight.at, record: sight.record };
        given.entry(cursor).and_modify(|first| first.at = first.at.min(this.at)).or_insert(this);
        let first = given.get_mut(cursor).expect("it was just entered");
        first.record = first.record.min(this.record);
    }
    let mut places = Places { given, moved: FxHashSet::default(), view };
    for (cursor, _, second) in session.cursors.shared() {
        places.covers(expect, cursor, second.event, second.record, judge);
    }
    let judged = |c: &&ConnView<'_>| expect.judged(c) && !answers::foreign(c) && c.connect.what.surface != Surface::Snapshot;
    for conn in expect.conns().filter(judged) {
        stream(expect, conn, order, &mut places, judge);
    }
    let held = (places.given.len() - places.moved.len()) as u64;
    judge.held_n("ORDER-4", held);
    judge.held_n("RESTART-3", if view.stops.is_empty() { 0 } else { held });
}

/// The cursors on one connection.
fn stream<'h>(expect: &Expect<'_, 'h>, conn: &ConnView<'h>, order: CursorOrder, places: &mut Places<'_, 'h>, judge: &mut Judge) {
    // The event sent latest of those that came, and whether it came behind the last cursor.
    let mut newest: Option<(usize, bool)> = None;
    let mut last: Option<(&str, usize)> = None;
    for (got, event) in conn.got.iter().zip(&conn.events) {
        if let Some(event) = event.map(|event| event as usize).filter(|_| got.what.durable) {
            if newest.is_none_or(|(newest, _)| expect.before(newest, event)) {
                newest = Some((event, true));
            }
            continue;
        }
        if got.what.kind == Kind::Gap {
            last = None;
        }
        let (Kind::Commit, Some(cursor)) = (got.what.kind, got.what.cursor.as_deref()) else { continue };
        let fresh = newest.is_some_and(|(_, fresh)| fresh);
        match last {
            Some((before, record)) if before == cursor => {
                if fresh && let Some((event, _)) = newest {
                    places.moved(expect, cursor, event, (got.record, record), judge);
                }
            }
            Some((before, record)) => {
                if let Some(ascends) = ascends(order, before, cursor) {
                    judge.require("ORDER-3", ascends, || Violation {
                        says: format!("on {} the cursor {cursor} follows {before}", conn.name()),
                        expected: "a greater cursor".to_owned(),
                        seen: cursor.to_owned(),
                        records: vec![got.record, record],
                        shape: "not-ascending".to_owned(),
                    });
                }
            }
            None => {}
        }
        if let Some((event, _)) = newest {
            places.covers(expect, cursor, event, got.record, judge);
            newest = Some((event, false));
        }
        last = Some((cursor, got.record));
    }
}

impl<'h> Places<'_, 'h> {
    /// A cursor stands behind `event`, as `record` shows: it must not have been given out before the event was sent.
    fn covers(&mut self, expect: &Expect<'_, 'h>, cursor: &'h str, event: usize, record: usize, judge: &mut Judge) {
        let Some(given) = self.given.get(cursor).copied() else { return };
        if given.at < expect.session.events[event].invoked.at {
            self.moved(expect, cursor, event, (record, given.record), judge);
        }
    }

    /// A cursor that was given out at `records.1` stands behind a later `event` at `records.0`.
    fn moved(&mut self, expect: &Expect<'_, 'h>, cursor: &'h str, event: usize, records: (usize, usize), judge: &mut Judge) {
        if !self.moved.insert(cursor) {
            return;
        }
        let e = &expect.session.events[event];
        let across = self.given.get(cursor).is_some_and(|given| self.view.stop_between(given.at, e.invoked.at).is_some());
        judge.violated(
            if across { "RESTART-3" } else { "ORDER-4" },
            Violation {
                says: format!("the cursor {cursor} was given out before {} was stored, and stands behind it as well", e.marker),
                expected: "one place for a cursor, for ever".to_owned(),
                seen: format!("{cursor} before {} and behind it", e.marker),
                records: vec![records.0, records.1, e.invoked.record],
                shape: if across { "minted-again" } else { "shared" }.to_owned(),
            },
        );
    }
}
