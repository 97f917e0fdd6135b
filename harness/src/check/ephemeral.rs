//! EPHEMERAL: live-only events stay live-only.

use rustc_hash::{FxHashMap, FxHashSet};

use super::answers;
use super::deliver::is_slow;
use super::expect::Expect;
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::Profile;
use crate::history::{ConnView, Kind, Surface, Until};

pub(super) fn check(profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let contract = &profile.contract;
    let on_durable_only = contract.cursor.as_ref().is_some_and(|c| c.on_durable_only);
    if !on_durable_only {
        judge.not_applicable("EPHEMERAL-4", "the profile does not say that durable events alone carry cursors");
    }
    let Some(ephemeral) = &contract.ephemeral else {
        for id in ["EPHEMERAL-1", "EPHEMERAL-2", "EPHEMERAL-3", "EPHEMERAL-5"] {
            judge.not_applicable(id, "the profile has no live-only events");
        }
        for expect in expects.iter().filter(|_| on_durable_only) {
            expect.conns().for_each(|conn| control(profile, conn, judge));
        }
        return;
    };
    if !ephemeral.ordered {
        judge.not_applicable("EPHEMERAL-3", "the profile does not promise their order");
    }
    if !ephemeral.delivered {
        judge.not_applicable("EPHEMERAL-5", "the profile does not promise their delivery");
    }
    for expect in expects {
        for conn in expect.conns().filter(|c| expect.judged(c)) {
            if on_durable_only {
                control(profile, conn, judge);
            }
            cursorless(expect, conn, on_durable_only, judge);
            not_replayed(expect, conn, judge);
            if conn.is_stream() && !answers::foreign(conn) && !is_slow(conn) {
                if ephemeral.ordered {
                    in_place(expect, conn, judge);
                }
                if ephemeral.delivered {
                    delivered(expect, conn, judge);
                }
            }
        }
    }
}

/// EPHEMERAL-4: heartbeats, boundaries and gap signals carry no cursor.
fn control(profile: &Profile, conn: &ConnView<'_>, judge: &mut Judge) {
    let boundary_names = profile.binding.frames.boundary.as_ref().is_some_and(|b| b.cursor.as_deref() == Some("id"));
    for got in &conn.got {
        let judged = match got.what.kind {
            Kind::Heartbeat | Kind::Gap => true,
            Kind::Boundary => !boundary_names,
            Kind::Other => {
                got.what.event_type.contains("heartbeat") || got.what.event_type.contains("ping") || got.what.event_type.is_empty()
            }
            Kind::Event | Kind::Terminal | Kind::Commit => false,
        };
        if judged {
            judge.require("EPHEMERAL-4", got.what.cursor.is_none(), || Violation {
                says: format!("a frame without an event moves the cursor of {}", conn.name()),
                expected: "no id".to_owned(),
                seen: format!("{} on a {:?} frame", got.what.cursor.as_deref().unwrap_or(""), got.what.kind).to_lowercase(),
                records: vec![got.record],
                shape: format!("{:?}-with-cursor", got.what.kind).to_lowercase(),
            });
        }
    }
    judge.held_n("EPHEMERAL-4", conn.comments.len() as u64);
}

fn cursorless(expect: &Expect<'_, '_>, conn: &ConnView<'_>, on_durable_only: bool, judge: &mut Judge) {
    for (got, event) in conn.arrivals() {
        let event = &expect.session.events[event];
        if event.durable || !on_durable_only {
            continue;
        }
        judge.require("EPHEMERAL-1", got.what.cursor.is_none(), || Violation {
            says: format!("the live-only event {} carries a cursor on {}", event.marker, conn.name()),
            expected: "none: it is not stored, so nobody can resume behind it".to_owned(),
            seen: got.what.cursor.clone().unwrap_or_default(),
            records: vec![got.record, event.invoked.record],
            shape: "ephemeral-with-cursor".to_owned(),
        });
    }
}

fn not_replayed(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let finite = conn.connect.what.surface != Surface::Stream;
    let ephemeral = |event: usize| !expect.session.events[event].durable;
    let arrived: FxHashMap<usize, usize> = conn.arrivals().filter(|(_, e)| ephemeral(*e)).map(|(g, e)| (e, g.record)).collect();
    for (nth, event) in expect.session.events.iter().enumerate().filter(|(_, e)| !e.durable) {
        let old = event.acked_at().is_some_and(|acked| acked < conn.connect.at);
        if !old && !finite {
            continue;
        }
        let shown = arrived.get(&nth);
        judge.require("EPHEMERAL-2", shown.is_none(), || Violation {
            says: format!("{} was sent the live-only event {}, published before it connected", conn.name(), event.marker),
            expected: "live-only events to readers that are there".to_owned(),
            seen: event.marker.to_string(),
            records: shown.copied().into_iter().chain([conn.connect.record, event.invoked.record]).collect(),
            shape: "replayed".to_owned(),
        });
    }
}

/// EPHEMERAL-3: by real time, each ephemeral event stands behind the durable ones acknowledged before it.
fn in_place(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let mut newest: Option<(usize, usize)> = None;
    for (got, event) in conn.arrivals() {
        let e = &expect.session.events[event];
        if !e.durable {
            judge.held("EPHEMERAL-3");
            if newest.is_none_or(|(other, _)| expect.session.events[other].invoked.at < e.invoked.at) {
                newest = Some((event, got.record));
            }
            continue;
        }
        let Some((other, record)) = newest else { continue };
        let late = e.acked_at().is_some_and(|acked| acked < expect.session.events[other].invoked.at);
        if late {
            let ephemeral = &expect.session.events[other];
            judge.violated(
                "EPHEMERAL-3",
                Violation {
                    says: format!("on {} the live-only event {} overtook {}", conn.name(), ephemeral.marker, e.marker),
                    expected: format!("{} first: it was acknowledged before the other was sent", e.marker),
                    seen: format!("{} first", ephemeral.marker),
                    records: vec![got.record, record, e.invoked.record],
                    shape: "overtakes".to_owned(),
                },
            );
        }
    }
}

fn delivered(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let live = expect.live_at(conn);
    let until = conn.arrivals().map(|(_, e)| expect.session.events[e].invoked.at).max();
    let waited = conn.waits.iter().filter(|w| !w.what.reached && conn.ended_at() > w.at);
    let arrived: FxHashSet<usize> = conn.arrivals().map(|(_, e)| e).filter(|e| !expect.session.events[*e].durable).collect();
    let waited: Vec<_> = waited
        .filter_map(|w| if let Until::Marker(m) = w.what.until { expect.session.by_marker.get(&m.n).copied() } else { None })
        .collect();
    for (nth, event) in expect.session.events.iter().enumerate().filter(|(_, e)| !e.durable && e.invoked.at > live) {
        let Some(acked) = event.acked else { continue };
        let later = until.is_some_and(|until| acked.at < until) || waited.contains(&nth);
        if !later || expect.view.process_disturbed(event.invoked.at, acked.at) {
            continue;
        }
        judge.require("EPHEMERAL-5", arrived.contains(&nth), || Violation {
            says: format!("{} was live and never received the live-only event {}", conn.name(), event.marker),
            expected: event.marker.to_string(),
            seen: "later events alone".to_owned(),
            records: vec![acked.record, conn.connect.record],
            shape: "not-delivered".to_owned(),
        });
    }
}
