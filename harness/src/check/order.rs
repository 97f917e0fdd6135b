//! ORDER, RESTART-3: one order for everybody, and cursors that name it.

use std::cell::LazyCell;

use rustc_hash::{FxHashMap, FxHashSet};

use super::expect::{Expect, real_time};
use super::judge::Judge;
use super::sights::Repeats;
use super::verdict::Violation;
use super::{answers, batches};
use crate::contract::{Contract, CursorOrder};
use crate::history::{ConnView, EventView, Kind, Marker, Micros, Numbered, Piece, SessionView, Stretch, Surface, View};

pub(super) fn check(view: &View<'_>, contract: &Contract, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let cursor = contract.cursor.as_ref();
    if cursor.is_none() {
        for id in ["ORDER-3", "ORDER-4", "ORDER-5", "ORDER-6"] {
            judge.not_applicable(id, "the profile has no cursors");
        }
    }
    if cursor.is_some_and(|c| c.order == CursorOrder::Opaque) {
        judge.not_applicable("ORDER-3", "the profile's cursors are opaque");
    }
    if cursor.is_some_and(|c| !c.per_event) {
        judge.not_applicable("ORDER-6", "the profile's cursors stand for batches, not for events");
    }
    if cursor.is_some_and(|c| !c.stable || !c.per_event) {
        judge.not_applicable("ORDER-5", "the profile does not promise that an event keeps its cursor");
    }
    for expect in expects {
        // Only where a number is skipped anybody asks for them.
        let numbers = LazyCell::new(|| cursor.filter(|c| c.dense).and_then(|_| numbers(expect.session)));
        for conn in expect.conns().filter(|c| expect.judged(c) && !answers::foreign(c) && c.connect.what.surface != Surface::Snapshot) {
            sequence(expect, conn, judge);
            if let Some(cursor) = cursor {
                ascending(expect, conn, cursor.order, &|| numbers.as_deref(), judge);
                if cursor.per_event {
                    carried(expect, conn, judge);
                }
            }
        }
        match cursor {
            Some(cursor) if cursor.per_event => names(view, expect, cursor.stable, judge),
            Some(cursor) => batches::check(view, expect, cursor.order, judge),
            None => {}
        }
    }
    if cursor.is_some_and(|c| c.epoch) {
        epochs(view, judge);
    }
}

/// ORDER-1 by real time, ORDER-2 against the order that the strongest view shows.
fn sequence(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let events = || expect.loose(conn).filter(|(g, _)| g.what.kind == Kind::Event && g.what.durable);
    let first = Repeats::of(conn, events());
    let firsts = events().filter(|(got, event)| first.before(*event, got).is_none());
    // The event sent latest among those already delivered: whatever was acknowledged before that came too late.
    let mut latest: Option<(usize, Micros, usize)> = None;
    let mut highest: Option<(u32, usize, usize)> = None;
    // What holds is counted at the end: it is nearly everything. Beside a stretch nothing is out of order.
    let (mut in_time, mut agreed) = (expect.settled(conn, Stretch::len), expect.settled(conn, |stretch| expect.ranked(stretch)));
    for (got, event) in firsts {
        let e = &expect.session.events[event];
        let late = latest.filter(|(other, _, _)| real_time(e, &expect.session.events[*other]));
        if let Some((other, _, record)) = late {
            judge.violated(
                "ORDER-1",
                Violation {
                    says: format!("{} delivered {} before {}", conn.name(), expect.session.events[other].marker, e.marker),
                    expected: format!("{} first: it was acknowledged before the other was sent", e.marker),
                    seen: format!("{} first", expect.session.events[other].marker),
                    records: vec![got.record, record, e.invoked.record],
                    shape: "real-time".to_owned(),
                },
            );
        } else {
            in_time += 1;
            if let Some(rank) = expect.rank(event) {
                match highest.filter(|(top, _, _)| rank < *top) {
                    Some((_, other, record)) => judge.violated(
                        "ORDER-2",
                        Violation {
                            says: format!(
                                "{} delivered {} before {}; other views have them the other way round",
                                conn.name(),
                                expect.session.events[other].marker,
                                e.marker
                            ),
                            expected: "one order for all readers and the history".to_owned(),
                            seen: format!("{} then {}", expect.session.events[other].marker, e.marker),
                            records: vec![got.record, record],
                            shape: "disagreement".to_owned(),
                        },
                    ),
                    None => agreed += 1,
                }
            }
        }
        if let Some(rank) = expect.rank(event)
            && highest.is_none_or(|(top, _, _)| rank > top)
        {
            highest = Some((rank, event, got.record));
        }
        if latest.is_none_or(|(_, at, _)| e.invoked.at > at) {
            latest = Some((event, e.invoked.at, got.record));
        }
    }
    judge.held_n("ORDER-1", in_time);
    judge.held_n("ORDER-2", agreed);
}

/// ORDER-3: cursors ascend, and follow each other where the events do.
fn ascending<'n>(
    expect: &Expect<'_, '_>,
    conn: &ConnView<'_>,
    order: CursorOrder,
    numbers: &dyn Fn() -> Option<&'n [u64]>,
    judge: &mut Judge,
) {
    let mut last: Option<(Numbered<'_>, Option<usize>, usize)> = None;
    let mut held = 0;
    for piece in expect.pieces(conn) {
        // Within a stretch each cursor is the next one, so that only its ends can be out of order with what is beside them.
        let (places, stretch) = match piece {
            Piece::Stretch(stretch) => (stretch.got().start..stretch.got().start + 1, Some(stretch)),
            Piece::Loose(places) => (places, None),
        };
        for (got, event) in conn.frames_at(places) {
            if got.what.kind == Kind::Gap {
                last = None;
                continue;
            }
            let durable = matches!(got.what.kind, Kind::Event | Kind::Terminal) && got.what.durable;
            let Some(cursor) = got.what.cursor.as_deref().filter(|_| durable).map(Numbered::of) else { continue };
            if let Some((before, before_event, record)) = last {
                let repeated = event.is_some() && event == before_event;
                let no_hole = || match (before.number, cursor.number) {
                    // Between numbers that do not ascend, or of two epochs, there is nothing to be counted.
                    (Some(last), Some(now)) if before.epoch == cursor.epoch && last < now => {
                        now - last == 1 || numbers().is_none_or(|numbers| without_hole(numbers, last, now))
                    }
                    (_, _) => true,
                };
                let ascends = greater(order, before, cursor).map(|ascends| ascends && no_hole());
                if let Some(ascends) = ascends.filter(|_| !repeated && !same_place(expect, event, before_event)) {
                    if ascends {
                        held += 1;
                    } else {
                        judge.violated("ORDER-3", descends(conn, (before.text, record), (cursor.text, got.record), numbers().is_some()));
                    }
                }
            }
            last = Some((cursor, event, got.record));
        }
        if let Some(stretch) = stretch {
            let got = &conn.got[stretch.got().end - 1];
            held += if order == CursorOrder::Opaque { 0 } else { stretch.len() as u64 - 1 };
            last = got.what.cursor.as_deref().map(|cursor| (Numbered::of(cursor), Some(stretch.events().end - 1), got.record));
        }
    }
    judge.held_n("ORDER-3", held);
}

/// What is wrong with a cursor that is not greater than the one before it; each with its record.
fn descends(conn: &ConnView<'_>, (before, first): (&str, usize), (cursor, second): (&str, usize), dense: bool) -> Violation {
    Violation {
        says: format!("on {} the cursor {cursor} follows {before}", conn.name()),
        expected: if dense { "the next number" } else { "a greater cursor" }.to_owned(),
        seen: cursor.to_owned(),
        records: vec![second, first],
        shape: "not-ascending".to_owned(),
    }
}

/// Whether a cursor is greater than the one before it; `None` where cursors do not compare: numbers of two epochs do not.
fn greater(order: CursorOrder, before: Numbered<'_>, now: Numbered<'_>) -> Option<bool> {
    match order {
        CursorOrder::Opaque => None,
        CursorOrder::Text => Some(now.text > before.text),
        CursorOrder::Number if before.epoch != now.epoch => None,
        CursorOrder::Number => Some(before.number.zip(now.number).is_some_and(|(before, now)| now > before)),
    }
}

/// Whether a cursor is greater than the one before it; `None` where cursors do not compare.
pub(super) fn ascends(order: CursorOrder, before: &str, now: &str) -> Option<bool> {
    greater(order, Numbered::of(before), Numbered::of(now))
}

/// True when each number between two numbers is known: an event that is merely missing between them is judged as lost.
fn without_hole(numbers: &[u64], before: u64, now: u64) -> bool {
    let between = |number: u64| numbers.partition_point(|known| *known < number);
    (between(now) - between(before + 1)) as u64 == now - before - 1
}

/// The numbers that were seen on anything in a session, ascending; `None` where a number may be used up by a publish
/// that nobody heard of again.
fn numbers(session: &SessionView<'_>) -> Option<Vec<u64>> {
    let silent = |event: &EventView<'_>| event.unknown && event.durable && event.cursor.is_none();
    if session.events.iter().any(silent) {
        return None;
    }
    let seen = session.cursors.iter().map(|(cursor, _)| cursor).chain(session.synthetic.keys().copied()).chain(session.terminal_cursor);
    let mut numbers: Vec<u64> = seen.filter_map(|cursor| Numbered::of(cursor).number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers)
}

/// True when both are events and the later one is an old one that was sent again or comes too late: DELIVER, RESUME and
/// ORDER-1 judge that.
fn same_place(expect: &Expect<'_, '_>, event: Option<usize>, before: Option<usize>) -> bool {
    let (Some(event), Some(before)) = (event, before) else { return false };
    expect.before(event, before) || real_time(&expect.session.events[event], &expect.session.events[before])
}

/// ORDER-6: every durable event carries its cursor.
fn carried(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let mut held = expect.settled(conn, Stretch::len);
    for (got, event) in expect.loose(conn).filter(|(g, _)| g.what.kind == Kind::Event) {
        let event = &expect.session.events[event];
        if !event.durable {
            continue;
        }
        if got.what.cursor.is_some() {
            held += 1;
            continue;
        }
        let violation = Violation {
            says: format!("{} was sent {} without a cursor", conn.name(), event.marker),
            expected: "the cursor with which to resume behind it".to_owned(),
            seen: "none".to_owned(),
            records: vec![got.record],
            shape: "no-cursor".to_owned(),
        };
        judge.violated("ORDER-6", violation);
    }
    judge.held_n("ORDER-6", held);
}

/// ORDER-4 and RESTART-3: a cursor names one event. ORDER-5: an event has one cursor.
fn names(view: &View<'_>, expect: &Expect<'_, '_>, stable: bool, judge: &mut Judge) {
    let session = expect.session;
    let stopped = !view.stops.is_empty();
    let shared = session.cursors.shared();
    let held = (session.cursors.len() - shared.len()) as u64;
    judge.held_n("ORDER-4", held);
    judge.held_n("RESTART-3", if stopped { held } else { 0 });
    for (cursor, first, second) in shared {
        let (a, b) = (&session.events[first.event], &session.events[second.event]);
        let across = view.stop_between(first.at, second.at).is_some() && view.stop_between(a.invoked.at, b.invoked.at).is_some();
        judge.violated(
            if across { "RESTART-3" } else { "ORDER-4" },
            Violation {
                says: format!("the cursor {cursor} was given to {} and to {}", a.marker, b.marker),
                expected: "one event for a cursor, for ever".to_owned(),
                seen: format!("{} and {}", a.marker, b.marker),
                records: vec![second.record, first.record],
                shape: if across { "minted-again" } else { "shared" }.to_owned(),
            },
        );
    }
    if !stable {
        return;
    }
    let course = &session.course;
    // An event that stands in the log twice has two cursors by right; DELIVER, IDEM and RESTART judge that.
    let stored_twice = LazyCell::new(|| stored_twice(expect));
    let mut renamed = course.renamed.clone();
    renamed.sort_unstable();
    for event in renamed.iter().map(|event| &session.events[*event]) {
        let (Some(first), Some(other)) = (event.cursor, event.other_cursor) else { continue };
        // IDEM-3 judges what a repeated publish is answered with.
        let of_repeat = matches!(&view.records[other.record].what, crate::history::What::Complete(_));
        if of_repeat || stored_twice.contains(&event.marker) {
            continue;
        }
        judge.violated(
            "ORDER-5",
            Violation {
                says: format!("{} had the cursor {} first and {} later", event.marker, first.what, other.what),
                expected: first.what.to_owned(),
                seen: other.what.to_owned(),
                records: vec![other.record, first.record],
                shape: "renumbered".to_owned(),
            },
        );
    }
    judge.held_n("ORDER-5", (course.named - course.renamed.len()) as u64);
}

/// The events that one connection shows with two cursors.
fn stored_twice(expect: &Expect<'_, '_>) -> FxHashSet<Marker> {
    let mut twice = FxHashSet::default();
    for conn in expect.conns() {
        let mut first = FxHashMap::default();
        let shown = conn.got.iter().filter_map(|got| got.what.marker.zip(got.what.cursor.as_deref()));
        twice.extend(shown.filter(|(marker, cursor)| first.entry(*marker).or_insert(*cursor) != cursor).map(|(marker, _)| marker));
    }
    twice
}

/// RESTART-3 on wiped data: the new history's cursors are none of the old one's.
fn epochs(view: &View<'_>, judge: &mut Judge) {
    for session in &view.sessions {
        let Some(former) = session.reborn_of.and_then(|ix| view.sessions.get(ix.0 as usize)) else { continue };
        let mut cursors: Vec<_> = session.cursors.iter().collect();
        cursors.sort_unstable_by_key(|(_, sights)| sights.first.record);
        for (cursor, sights) in cursors {
            let shared = former.cursors.get(cursor);
            judge.require("RESTART-3", shared.is_none(), || Violation {
                says: format!("the cursor {cursor} names an event of the history that is gone and one of the new history"),
                expected: "cursors that tell the two histories apart".to_owned(),
                seen: cursor.to_string(),
                records: vec![sights.first.record, shared.map_or(0, |s| s.first.record)],
                shape: "no-epoch".to_owned(),
            });
        }
    }
}
