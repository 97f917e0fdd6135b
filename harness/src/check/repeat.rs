//! DELIVER-2, SEAM-2, RESTART-2, IDEM-1, IDEM-2: what a connection delivers twice, and why.

use super::deliver::is_slow;
use super::expect::{Expect, Phase};
use super::judge::Judge;
use super::sights::Repeats;
use super::verdict::Violation;
use crate::history::{ConnView, Kind, Micros, Surface};

pub(super) fn check(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let events = || expect.loose(conn).filter(|(g, _)| g.what.kind == Kind::Event && g.what.durable);
    let first = Repeats::of(conn, events());
    let judged = conn.is_stream() && !is_slow(conn);
    let (mut in_seams, mut outside) = (0, 0);
    for stretch in expect.stretches(conn).filter(|_| judged) {
        let [replay, seam, live] = expect.phases(stretch, conn);
        in_seams += seam as u64;
        outside += (replay + live) as u64;
    }
    for (got, event) in events() {
        let in_seam = || expect.phase(event, conn) == Phase::Seam && conn.is_stream();
        let Some(before) = first.before(event, got) else {
            if judged {
                *(if in_seam() { &mut in_seams } else { &mut outside }) += 1;
            }
            continue;
        };
        let e = &expect.session.events[event];
        // Where deliveries carry no cursor, two acknowledged ones say so, or one page of history that has the event twice.
        let stored_twice = match (before.what.cursor.as_deref(), got.what.cursor.as_deref()) {
            (Some(one), Some(other)) => one != other,
            (None, None) => e.other_cursor.is_some() || conn.connect.what.surface == Surface::History,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let requirement = match stored_twice {
            true => stored_twice_by(expect, event, conn),
            false if in_seam() => "SEAM-2",
            false => "DELIVER-2",
        };
        judge.violated(
            requirement,
            Violation {
                says: format!("{} was sent {} twice", conn.name(), e.marker),
                expected: format!("{} once", e.marker),
                seen: format!(
                    "cursor {}, then cursor {}",
                    before.what.cursor.as_deref().unwrap_or("none"),
                    got.what.cursor.as_deref().unwrap_or("none")
                ),
                records: vec![got.record, before.record, e.invoked.record],
                shape: if stored_twice { "stored-twice" } else { "sent-twice" }.to_owned(),
            },
        );
    }
    judge.held_n("SEAM-2", in_seams);
    judge.held_n("DELIVER-2", outside);
    once(expect, conn, judge);
}

/// Which requirement an event violates that stands in the log twice: a retry with its key, or a recovery.
fn stored_twice_by(expect: &Expect<'_, '_>, event: usize, conn: &ConnView<'_>) -> &'static str {
    let e = &expect.session.events[event];
    let restarted = |until| expect.view.stop_between(e.invoked.at, until).is_some();
    match e.repeated.filter(|_| e.key.is_some()) {
        Some(at) if restarted(at) => "IDEM-2",
        Some(_) => "IDEM-1",
        None if e.key.is_some() && !restarted(conn.connect.at) => "IDEM-1",
        None if restarted(conn.ended_at()) => "RESTART-2",
        None => "DELIVER-2",
    }
}

/// What a replay shows once counts for the requirement that could have doubled it: events whose publish was repeated for
/// IDEM, events that a restart recovered for RESTART-2.
fn once(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let stop = last_stop(expect, conn.connect.at);
    if stop.is_none() && !expect.session.course.repeats {
        return;
    }
    let events = || conn.arrivals().filter(|(g, _)| g.what.kind == Kind::Event && g.what.durable);
    let first = Repeats::of(conn, events());
    let mut recovered = 0;
    for (_, event) in events().filter(|(got, event)| first.before(*event, got).is_none()) {
        let e = &expect.session.events[event];
        if e.acked_at().is_some_and(|acked| acked > conn.connect.at) {
            continue;
        }
        recovered += u64::from(stop.is_some_and(|stop| e.invoked.at < stop));
        if let Some(repeat) = e.repeated.filter(|at| *at < conn.connect.at && e.key.is_some()) {
            let across = expect.view.stop_between(e.invoked.at, repeat).is_some();
            judge.held(if across { "IDEM-2" } else { "IDEM-1" });
        }
    }
    judge.held_n("RESTART-2", recovered);
}

fn last_stop(expect: &Expect<'_, '_>, until: Micros) -> Option<Micros> {
    let stops = &expect.view.stops;
    stops.get(stops.partition_point(|stop| stop.at < until).checked_sub(1)?).map(|stop| stop.at)
}
