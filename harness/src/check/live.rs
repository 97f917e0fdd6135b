//! LIVE, FANOUT-3: delivery in time, and life after every fault.
//!
//! | id | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | LIVE-1 | acknowledged event that an undisturbed stream received while live | a delivery later than the bound, or only after a wait for it was given up | events that never come: a loss; times in which the server was away or paused |
//! | LIVE-2 | undisturbed subscription | a head, or no head, after twice the bound; a wait for it in vain | long-polls, whose head is the event; servers that were away |
//! | LIVE-3 | health check, and unasked end of the server | no answer, or another status than the binding's | checks while the server was away or paused |
//! | LIVE-4 | the same as LIVE-1, on streams that offer compression | the same, and a wait in vain | |
//! | FANOUT-3 | the same as LIVE-1, and publish, while another reader does not read | the same | |
//!
//! The bound for a head is doubled, for the harness itself may be late. The bound for a delivery is generous already.

use rustc_hash::FxHashMap;

use super::answers;
use super::deliver::is_slow;
use super::expect::Expect;
use super::judge::Judge;
use super::sights::Repeats;
use super::verdict::Violation;
use crate::contract::{Contract, Format, Profile};
use crate::history::{Action, ConnView, Kind, Marker, Micros, Outcome, Process, Role, Seen, Stretch, Until, View, Wait};

/// True for a wait that was long enough to tell something by what did not come. After a miss the runner waits a shorter
/// while, for a verdict is known by then; such a wait must not be taken for one more.
pub(super) fn patient(wait: &Wait, contract: &Contract) -> bool {
    wait.waited >= contract.liveness.delivery_ms * 1_000 / 2
}

pub(super) fn check(view: &View<'_>, profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let contract = &profile.contract;
    let slow = view.conns.iter().filter(|c| is_slow(c)).filter_map(|c| Some((c.faults.first()?.at, c.ended_at()))).collect::<Vec<_>>();
    let stalled = |at: Micros| slow.iter().any(|(from, to)| at >= *from && at <= *to);
    for expect in expects {
        // A program has a time of its own, which is not the server's.
        let own = |c: &&ConnView<'_>| c.connect.what.role != Role::Driven;
        let alone = |c: &&ConnView<'_>| own(c) && c.is_stream() && c.accepted() && !answers::foreign(c) && !is_slow(c) && !c.disturbed();
        for conn in expect.conns().filter(alone) {
            in_time(expect, conn, contract, &stalled, judge);
        }
    }
    for conn in view.conns.iter().filter(|c| c.connect.what.role == Role::Compressed) {
        held_back(view, conn, contract, judge);
    }
    match contract.liveness.headers_ms {
        _ if profile.binding.subscribe.format == Format::LongPoll => {
            judge.not_applicable("LIVE-2", "a long-poll is answered when there is an event");
        }
        None => judge.not_applicable("LIVE-2", "the profile does not promise that headers come at once"),
        Some(bound) => {
            for conn in view.conns.iter().filter(|c| c.is_stream() && !c.disturbed() && c.connect.what.role != Role::Driven) {
                headers(view, conn, bound * 1_000, judge);
            }
        }
    }
    // That a server ended by itself is seen without asking it.
    let died = view.process.iter().any(|process| matches!(process.what, Process::Died { .. }));
    if profile.binding.health.is_none() && !died {
        judge.not_applicable("LIVE-3", "the profile has no health check");
    }
    health(view, judge);
    if !slow.is_empty() {
        publishes(view, contract, &stalled, judge);
    }
}

/// The events that the run waited for at a connection and gave up, each with the first such wait.
fn in_vain<'c, 'h>(conn: &'c ConnView<'h>, contract: &Contract) -> impl Iterator<Item = (Marker, &'c Seen<&'h Wait>)> {
    let gave_up = conn.waits.iter().rev().filter(|w| !w.what.reached && patient(w.what, contract));
    gave_up.filter_map(|w| Some((w.what.until.marker()?, w)))
}

/// LIVE-1 for readers that are left alone, LIVE-4 for compressed ones, FANOUT-3 while somebody else does not read.
fn in_time(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract, stalled: &impl Fn(Micros) -> bool, judge: &mut Judge) {
    let bound = contract.liveness.delivery_ms * 1_000;
    let live = expect.live_at(conn);
    let given_up: FxHashMap<Marker, &Seen<&Wait>> = in_vain(conn, contract).collect();
    let requirement = |at: Micros| match conn.connect.what.role {
        Role::Compressed => "LIVE-4",
        _ if stalled(at) => "FANOUT-3",
        Role::Plain | Role::Witness | Role::Slow | Role::Overlap | Role::Churn | Role::Driven => "LIVE-1",
    };
    // What was sent before it was live is not judged here.
    let before = |stretch: Stretch| expect.count(stretch, |event| event.invoked.at <= live.max(conn.connect.at));
    let events = || expect.unsettled(conn, before).filter(|(g, _)| g.what.kind == Kind::Event);
    let first = Repeats::of(conn, events());
    for (got, event) in events().filter(|(got, event)| first.before(*event, got).is_none()) {
        let e = &expect.session.events[event];
        let Some(acked) = e.acked.filter(|_| e.invoked.at > live && e.invoked.at > conn.connect.at) else { continue };
        if !expect.view.running(e.invoked.at, got.at) {
            continue;
        }
        let late = got.at.0.saturating_sub(acked.at.0);
        // A wait that gave up on an event which comes after all, with the next one: a lost wake-up.
        let lost_wakeup = given_up.get(&e.marker).filter(|w| w.at < got.at && w.at > acked.at);
        judge.require(requirement(acked.at), late <= bound && lost_wakeup.is_none(), || Violation {
            says: format!("{} received {} {} ms after it was acknowledged", conn.name(), e.marker, late / 1000),
            expected: format!("within {} ms", bound / 1000),
            seen: lost_wakeup.map_or_else(|| format!("{} ms", late / 1000), |_| "only with a later event".to_owned()),
            records: lost_wakeup.map(|w| w.record).into_iter().chain([got.record, acked.record]).collect(),
            shape: "late".to_owned(),
        });
    }
}

/// LIVE-4: a compressed stream that was waited for in vain held its events back, whatever came of it later.
fn held_back(view: &View<'_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    for (_, wait) in in_vain(conn, contract) {
        let since = Micros(wait.at.0.saturating_sub(wait.what.waited));
        let open = conn.is_stream() && conn.accepted() && !conn.disturbed() && conn.ended_at() > wait.at;
        if !open || !view.running(since, wait.at) {
            continue;
        }
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

/// LIVE-2.
fn headers(view: &View<'_>, conn: &ConnView<'_>, bound: u64, judge: &mut Judge) {
    let until = conn.answer.map_or(conn.ended_at().min(view.ended_at()), |a| a.at);
    if !view.running(conn.connect.at, until) {
        return;
    }
    let took = until.0.saturating_sub(conn.connect.at.0);
    let in_vain = conn.waits.iter().find(|w| w.what.until == Until::Headers && !w.what.reached && w.at <= until && w.what.waited > bound);
    // Without an answer the time until the reader left tells only when it is longer than the bound.
    if conn.answer.is_none() && took <= 2 * bound && in_vain.is_none() {
        return;
    }
    judge.require("LIVE-2", took <= 2 * bound && in_vain.is_none(), || Violation {
        says: format!("{} waited {} ms for its response head", conn.name(), took / 1000),
        expected: format!("within {} ms, events or not", bound / 1000),
        seen: if conn.answer.is_some() { format!("{} ms", took / 1000) } else { "none".to_owned() },
        records: vec![in_vain.map(|w| w.record).or(conn.answer.map(|a| a.record)).unwrap_or(conn.connect.record), conn.connect.record],
        shape: "late-headers".to_owned(),
    });
}

/// LIVE-3.
fn health(view: &View<'_>, judge: &mut Judge) {
    for op in view.besides_publishes() {
        let (Action::Health, Some(completed)) = (op.invoked.what, op.completed) else { continue };
        if !view.running(op.invoked.at, completed.at) {
            continue;
        }
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
    for died in &view.process {
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
        if !stalled(op.invoked.at) || !view.running(op.invoked.at, completed.at) {
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
