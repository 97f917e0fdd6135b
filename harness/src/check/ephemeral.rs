//! EPHEMERAL: live-only events stay live-only.
//!
//! | id | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | EPHEMERAL-1 | delivery of a live-only event | a cursor on it | profiles whose cursors are not on durable events alone |
//! | EPHEMERAL-2 | live-only event acknowledged before a connection asked; any, for history and snapshots | its delivery there | events that may have been sent while the reader connected |
//! | EPHEMERAL-3 | live-only event on a connection | a durable event behind it that was acknowledged before it was sent; one before it that was sent after it was acknowledged | events that the connection replays: their place is SEAM-4's |
//! | EPHEMERAL-4 | control frame and comment | a cursor on a boundary or gap, a new one on a heartbeat or id-only frame | boundaries that carry their fence as id by profile; ids that repeat the newest cursor |
//! | EPHEMERAL-5 | live-only event sent to a live, undisturbed reader that received something sent later | its absence | slow, cut and overtaken readers; a wait that was cut short |

use rustc_hash::FxHashSet;

use super::answers;
use super::deliver::is_slow;
use super::expect::Expect;
use super::judge::Judge;
use super::live::patient;
use super::sights::Firsts;
use super::verdict::Violation;
use crate::contract::{Contract, EphemeralContract, FrameMatch, Profile};
use crate::history::{ConnView, EventView, Kind, Marker, Micros, Piece, Seen, Surface, Until, Wait};

pub(super) fn check(profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let contract = &profile.contract;
    let on_durable_only = contract.cursor.as_ref().is_some_and(|c| c.on_durable_only);
    if !on_durable_only {
        for id in ["EPHEMERAL-1", "EPHEMERAL-4"] {
            judge.not_applicable(id, "the profile does not say that durable events alone carry cursors");
        }
    }
    match &contract.ephemeral {
        None => {
            for id in ["EPHEMERAL-1", "EPHEMERAL-2", "EPHEMERAL-3", "EPHEMERAL-5"] {
                judge.not_applicable(id, "the profile has no live-only events");
            }
        }
        Some(ephemeral) => {
            if !ephemeral.ordered {
                judge.not_applicable("EPHEMERAL-3", "the profile does not promise their order");
            }
            if !ephemeral.delivered {
                judge.not_applicable("EPHEMERAL-5", "the profile does not promise their delivery");
            }
        }
    }
    for expect in expects {
        let any = expect.session.course.ephemeral;
        for conn in expect.conns().filter(|c| expect.judged(c)) {
            if on_durable_only {
                control(profile, expect, conn, judge);
            }
            if let Some(ephemeral) = contract.ephemeral.as_ref().filter(|_| any) {
                if on_durable_only {
                    cursorless(expect, conn, judge);
                }
                not_replayed(expect, conn, judge);
                live(expect, conn, contract, ephemeral, judge);
            }
        }
    }
}

fn live(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, ephemeral: &EphemeralContract, judge: &mut Judge) {
    if !conn.is_stream() || answers::foreign(conn) || is_slow(conn) {
        return;
    }
    if ephemeral.ordered {
        in_place(expect, conn, judge);
    }
    // A reader that a gap signal overtook was told that it does not keep up.
    if ephemeral.delivered && !conn.disturbed() && conn.frames(Kind::Gap).next().is_none() {
        delivered(expect, conn, contract, ephemeral.ordered, judge);
    }
}

/// EPHEMERAL-4: heartbeats, boundaries and gap signals carry no cursor.
fn control(profile: &Profile, expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let binding = &profile.binding.frames;
    let names = |frame: &Option<FrameMatch>| frame.as_ref().is_some_and(|f| f.cursor.as_deref() == Some("id"));
    let mut newest = conn.presented().map(|(value, _)| value);
    let frames = expect.pieces(conn).flat_map(|piece| match piece {
        // Of events only the last one's cursor tells.
        Piece::Stretch(stretch) => &conn.got[stretch.got().end - 1..stretch.got().end],
        Piece::Loose(places) => &conn.got[places],
    });
    for got in frames {
        let carried = got.what.cursor.as_deref();
        let (judged, moves) = match got.what.kind {
            Kind::Gap => (!names(&binding.gap), carried.is_some()),
            Kind::Boundary => (!names(&binding.boundary), carried.is_some()),
            Kind::Heartbeat => (true, carried.is_some() && carried != newest),
            Kind::Other => {
                let named = &got.what.event_type;
                let idle = named.is_empty() || named.contains("heartbeat") || named.contains("ping");
                (idle, carried.is_some() && carried != newest)
            }
            Kind::Event | Kind::Terminal | Kind::Commit => (false, false),
        };
        newest = carried.or(newest);
        if judged {
            judge.require("EPHEMERAL-4", !moves, || Violation {
                says: format!("a frame without an event moves the cursor of {}", conn.name()),
                expected: "no id".to_owned(),
                seen: format!("{} on a {:?} frame", carried.unwrap_or(""), got.what.kind).to_lowercase(),
                records: vec![got.record],
                shape: format!("{:?}-with-cursor", got.what.kind).to_lowercase(),
            });
        }
    }
    judge.held_n("EPHEMERAL-4", conn.comments.len() as u64);
}

fn cursorless(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let ephemeral = conn.arrivals().map(|(got, event)| (got, &expect.session.events[event])).filter(|(_, event)| !event.durable);
    for (got, event) in ephemeral {
        judge.require("EPHEMERAL-1", got.what.cursor.is_none(), || Violation {
            says: format!("the live-only event {} carries a cursor on {}", event.marker, conn.name()),
            expected: "none: it is not stored, so nobody can resume behind it".to_owned(),
            seen: got.what.cursor.as_deref().unwrap_or_default().to_owned(),
            records: vec![got.record, event.invoked.record],
            shape: "ephemeral-with-cursor".to_owned(),
        });
    }
}

fn not_replayed(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let stream = conn.connect.what.surface == Surface::Stream;
    let first = Firsts::of(conn.arrivals());
    for (nth, event) in expect.session.events.iter().enumerate().filter(|(_, e)| !e.durable) {
        let old = event.acked_at().is_some_and(|acked| acked < conn.connect.at);
        let shown = first.get(nth);
        if !old && (stream || shown.is_none()) {
            continue;
        }
        judge.require("EPHEMERAL-2", shown.is_none(), || Violation {
            says: if stream {
                format!("{} was sent the live-only event {}, published before it connected", conn.name(), event.marker)
            } else {
                format!("{} holds the live-only event {}", conn.name(), event.marker)
            },
            expected: "live-only events to readers that are there".to_owned(),
            seen: event.marker.to_string(),
            records: shown.map(|g| g.record).into_iter().chain([conn.connect.record, event.invoked.record]).collect(),
            shape: "replayed".to_owned(),
        });
    }
}

/// The newest by the time of its request, with the record of its first delivery.
type Newest<'v, 'h> = Option<(&'v EventView<'h>, usize)>;

/// EPHEMERAL-3: by real time, each ephemeral event stands behind the durable ones acknowledged before it was sent, and
/// before those that were sent after it was acknowledged.
fn in_place(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let (mut ephemeral, mut durable): (Newest<'_, '_>, Newest<'_, '_>) = (None, None);
    let mut shown = FxHashSet::default();
    for (got, nth) in conn.arrivals().filter(|(_, nth)| shown.insert(*nth)) {
        let event = &expect.session.events[nth];
        if event.acked_at().is_some_and(|acked| acked < conn.connect.at) {
            continue;
        }
        let (others, own) = if event.durable { (ephemeral, &mut durable) } else { (durable, &mut ephemeral) };
        let overtaken_by = others.filter(|(other, _)| event.acked_at().is_some_and(|acked| acked < other.invoked.at));
        if own.is_none_or(|(newest, _)| newest.invoked.at < event.invoked.at) {
            *own = Some((event, got.record));
        }
        match overtaken_by {
            Some(early) => judge.violated("EPHEMERAL-3", overtakes(conn, early, (event, got.record))),
            None if !event.durable => judge.held("EPHEMERAL-3"),
            None => {}
        }
    }
}

fn overtakes(conn: &ConnView<'_>, early: (&EventView<'_>, usize), late: (&EventView<'_>, usize)) -> Violation {
    let word = |event: &EventView<'_>| if event.durable { "the durable event" } else { "the live-only event" };
    Violation {
        says: format!("on {} {} {} overtook {}", conn.name(), word(early.0), early.0.marker, late.0.marker),
        expected: format!("{} first: it was acknowledged before the other was sent", late.0.marker),
        seen: format!("{} first", early.0.marker),
        records: vec![late.1, early.1, late.0.invoked.record],
        shape: if late.0.durable { "overtakes" } else { "overtaken" }.to_owned(),
    }
}

fn delivered(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, ordered: bool, judge: &mut Judge) {
    let live = expect.live_at(conn);
    let first = Firsts::of(conn.arrivals());
    let due = expect.session.events.iter().enumerate().filter(|(_, e)| !e.durable && e.acked.is_some() && e.invoked.at > live);
    let (came, missing): (Vec<_>, Vec<_>) = due.partition(|(nth, _)| first.get(*nth).is_some());
    judge.held_n("EPHEMERAL-5", came.len() as u64);
    if missing.is_empty() {
        return;
    }
    let newest = first.events().map(|nth| expect.session.events[nth].invoked.at).max();
    let waited: FxHashSet<Marker> = conn.waits.iter().filter_map(|w| in_vain(w, conn, contract)).collect();
    for (_, event) in missing {
        let Some(acked) = event.acked else { continue };
        // Without an order a later event tells nothing until the earlier one has had its time.
        let had_time = ordered || conn.ended_at() > Micros(acked.at.0 + contract.liveness.delivery_ms * 1_000);
        let later = newest.is_some_and(|newest| acked.at < newest) && had_time;
        if !(later || waited.contains(&event.marker)) || !expect.view.running(event.invoked.at, acked.at) {
            continue;
        }
        judge.violated(
            "EPHEMERAL-5",
            Violation {
                says: format!("{} was live and never received the live-only event {}", conn.name(), event.marker),
                expected: event.marker.to_string(),
                seen: if later { "later events alone" } else { "nothing, although the run waited for it" }.to_owned(),
                records: vec![acked.record, conn.connect.record],
                shape: "not-delivered".to_owned(),
            },
        );
    }
}

/// The event that the run waited for at this connection in vain while it was open.
fn in_vain(wait: &Seen<&Wait>, conn: &ConnView<'_>, contract: &Contract) -> Option<Marker> {
    let judged = !wait.what.reached && conn.ended_at() > wait.at && patient(wait.what, contract);
    match wait.what.until {
        Until::Marker(marker) if judged => Some(marker),
        Until::Marker(_)
        | Until::Events(_)
        | Until::Headers
        | Until::Boundary
        | Until::Gap
        | Until::Terminal
        | Until::Due(_)
        | Until::Heartbeat
        | Until::Closed => None,
    }
}
