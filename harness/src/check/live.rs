//! LIVE, FANOUT-3: delivery in time, and life after every fault.

use super::answers;
use super::deliver::is_slow;
use super::expect::{Expect, Phase};
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::Contract;
use crate::history::{Action, ConnView, Kind, Micros, Outcome, Process, Role, Until, View};

pub(super) fn check(view: &View<'_>, contract: &Contract, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    if contract.liveness.headers_ms.is_none() {
        judge.not_applicable("LIVE-2", "the profile does not promise that headers come at once");
    }
    let slow = view.conns.iter().filter(|c| is_slow(c)).filter_map(|c| Some((c.faults.first()?.at, c.ended_at()))).collect::<Vec<_>>();
    let stalled = |at: Micros| slow.iter().any(|(from, to)| at >= *from && at <= *to);
    for expect in expects {
        for conn in expect.conns().filter(|c| c.is_stream() && c.accepted() && !answers::foreign(c) && !is_slow(c)) {
            in_time(expect, conn, contract, &stalled, judge);
        }
    }
    for conn in view.conns.iter().filter(|c| c.is_stream()) {
        headers(view, conn, contract, judge);
    }
    health(view, judge);
    publishes(view, contract, &stalled, judge);
}

/// LIVE-1 for readers that are left alone, LIVE-4 for compressed ones, FANOUT-3 while somebody else does not read.
fn in_time(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, stalled: &impl Fn(Micros) -> bool, judge: &mut Judge) {
    let bound = contract.liveness.delivery_ms * 1000;
    let paused = expect.view.process.iter().any(|p| matches!(p.what, Process::Signal { name } if name == "STOP"));
    let shaped = conn.disturbed();
    if paused || shaped {
        return;
    }
    let requirement = |at: Micros| match conn.connect.what.role {
        Role::Compressed => "LIVE-4",
        _ if stalled(at) => "FANOUT-3",
        Role::Plain | Role::Witness | Role::Slow | Role::Overlap | Role::Churn => "LIVE-1",
    };
    let mut seen = rustc_hash::FxHashSet::default();
    for (got, event) in conn.arrivals().filter(|(g, e)| g.what.kind == Kind::Event && seen.insert(*e)) {
        let e = &expect.session.events[event];
        let Some(acked) = e.acked.filter(|_| expect.phase(event, conn) == Phase::Live) else { continue };
        if expect.view.process_disturbed(e.invoked.at, got.at) {
            continue;
        }
        let late = got.at.0.saturating_sub(acked.at.0);
        // A wait that gave up on an event which comes after all, with the next one: a lost wake-up.
        let given_up = conn.waits.iter().find(|w| w.what.until == Until::Marker(e.marker) && !w.what.reached && w.at < got.at);
        judge.require(requirement(acked.at), late <= bound && given_up.is_none(), || Violation {
            says: format!("{} received {} {} ms after it was acknowledged", conn.name(), e.marker, late / 1000),
            expected: format!("within {} ms", bound / 1000),
            seen: given_up.map_or_else(|| format!("{} ms", late / 1000), |_| "only with a later event".to_owned()),
            records: given_up.map(|w| w.record).into_iter().chain([got.record, acked.record]).collect(),
            shape: "late".to_owned(),
        });
    }
    // A compressed stream that was waited for in vain held its events back, whatever came of it later.
    if conn.connect.what.role == Role::Compressed {
        for wait in conn.waits.iter().filter(|w| matches!(w.what.until, Until::Marker(_)) && !w.what.reached) {
            judge.violated(
                "LIVE-4",
                Violation {
                    says: format!("{} offers compression and got nothing for {} ms", conn.name(), wait.what.waited / 1000),
                    expected: "each event in time".to_owned(),
                    seen: "nothing".to_owned(),
                    records: vec![wait.record, conn.connect.record],
                    shape: "held-back".to_owned(),
                },
            );
        }
    }
}

/// LIVE-2.
fn headers(view: &View<'_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let Some(bound) = contract.liveness.headers_ms.map(|ms| ms * 1000) else { return };
    let last = view.history.records.last().map_or(Micros(0), |r| r.at);
    let until = conn.answer.map_or(conn.ended_at().min(last), |a| a.at);
    if conn.disturbed() || view.process_disturbed(conn.connect.at, until) {
        return;
    }
    let took = until.0.saturating_sub(conn.connect.at.0);
    // Without an answer the time until the reader left tells only when it is longer than the bound.
    if conn.answer.is_none() && took <= bound {
        return;
    }
    judge.require("LIVE-2", took <= bound, || Violation {
        says: format!("{} waited {} ms for its response head", conn.name(), took / 1000),
        expected: format!("within {} ms, events or not", bound / 1000),
        seen: if conn.answer.is_some() { format!("{} ms", took / 1000) } else { "none".to_owned() },
        records: vec![conn.answer.map_or(conn.connect.record, |a| a.record), conn.connect.record],
        shape: "late-headers".to_owned(),
    });
}

/// LIVE-3.
fn health(view: &View<'_>, judge: &mut Judge) {
    for op in &view.ops {
        let (Action::Health, Some(completed)) = (op.invoked.what, op.completed) else { continue };
        judge.require("LIVE-3", matches!(completed.what, Outcome::Ok { .. }), || Violation {
            says: "the server does not answer its health check any more".to_owned(),
            expected: "an answer, as before the fault".to_owned(),
            seen: match completed.what {
                Outcome::Ok { status, .. } | Outcome::Failed { status, .. } => format!("status {status}"),
                Outcome::Unknown { why } => why.clone(),
            },
            records: vec![completed.record, op.invoked.record],
            shape: "unhealthy".to_owned(),
        });
    }
    for died in view.process.iter() {
        if let Process::Died { why } = died.what {
            judge.violated(
                "LIVE-3",
                Violation {
                    says: "the server ended by itself".to_owned(),
                    expected: "a server that survives its clients".to_owned(),
                    seen: why.lines().next().unwrap_or_default().to_owned(),
                    records: vec![died.record],
                    shape: "died".to_owned(),
                },
            );
        }
    }
}

/// FANOUT-3: a publish does not wait for a reader that does not read.
fn publishes(view: &View<'_>, contract: &Contract, stalled: &impl Fn(Micros) -> bool, judge: &mut Judge) {
    let bound = contract.liveness.delivery_ms * 1000;
    for op in &view.ops {
        let (Action::Publish(publish), Some(completed)) = (op.invoked.what, op.completed) else { continue };
        if !stalled(op.invoked.at) {
            continue;
        }
        let took = completed.at.0.saturating_sub(op.invoked.at.0);
        judge.require("FANOUT-3", took <= bound, || Violation {
            says: format!("publishing {} took {} ms while a reader did not read", publish.marker, took / 1000),
            expected: format!("within {} ms", bound / 1000),
            seen: format!("{} ms", took / 1000),
            records: vec![completed.record, op.invoked.record],
            shape: "publisher-stalled".to_owned(),
        });
    }
}
