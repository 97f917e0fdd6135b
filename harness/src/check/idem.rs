//! IDEM-3, IDEM-4: what a repeated publish is answered with. (IDEM-1 and IDEM-2 count events and are judged with
//! everything else that stands in a log twice.)
//!
//! | id | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | IDEM-3 | acknowledged repetition of an acknowledged publish | another cursor than the first answer's | cursors that name a second event (IDEM-1, IDEM-2); stops that keys need not outlive |
//! | IDEM-4 | other content under a key whose first content was acknowledged | an acknowledgement | lost answers, 5xx; stops that keys need not outlive |

use rustc_hash::{FxHashMap, FxHashSet};

use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::Contract;
use crate::history::{Action, Marker, Micros, OpId, Outcome, Publish, View};

/// The first acknowledgement of a key's event: its time, its record, and its cursor.
#[derive(Clone, Copy)]
struct First<'h> {
    at: Micros,
    record: usize,
    cursor: Option<&'h str>,
}

pub(super) fn check(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    let Some(promised) = &contract.idempotency else {
        for id in ["IDEM-1", "IDEM-2", "IDEM-3", "IDEM-4"] {
            judge.not_applicable(id, "the profile does not promise idempotent publishes");
        }
        return;
    };
    if !promised.survives_restart {
        judge.not_applicable("IDEM-2", "the profile does not promise that keys outlive a restart");
    }
    if !promised.same_cursor {
        judge.not_applicable("IDEM-3", "the profile does not promise the first answer again");
    }
    if !promised.conflict_refused {
        judge.not_applicable("IDEM-4", "the profile does not promise that a key is bound to its content");
    }
    if !view.repeats {
        return;
    }
    let mut firsts: FxHashMap<OpId, First<'_>> = FxHashMap::default();
    let mut stored: Option<FxHashSet<(Marker, &str)>> = None;
    for (nth, op) in view.ops.iter().enumerate() {
        let (Action::Publish(publish), Some(completed)) = (op.invoked.what, op.completed) else { continue };
        let id = OpId(nth as u32);
        let known = publish.repeats.and_then(|first| firsts.get(&first)).copied();
        // A stop in between may have taken the key away.
        let known = known.filter(|first| promised.survives_restart || view.stop_between(first.at, completed.at).is_none());
        match completed.what {
            Outcome::Unknown { .. } => {}
            Outcome::Failed { status, .. } => {
                if publish.conflict && promised.conflict_refused && known.is_some() && (400..500).contains(status) {
                    judge.held("IDEM-4");
                }
            }
            Outcome::Ok { .. } if publish.conflict => {
                if let Some(first) = known.filter(|first| promised.conflict_refused && first.at < op.invoked.at) {
                    judge.violated("IDEM-4", conflict(publish, completed.record, first.record));
                }
            }
            Outcome::Ok { cursor, .. } => {
                let Some(first) = known else {
                    let first = First { at: completed.at, record: completed.record, cursor: cursor.as_deref() };
                    firsts.insert(publish.repeats.unwrap_or(id), first);
                    continue;
                };
                let (Some(before), Some(again), true) = (first.cursor, cursor.as_deref(), promised.same_cursor) else { continue };
                let mut names_an_event = |cursor| stored.get_or_insert_with(|| delivered(view)).contains(&(publish.marker, cursor));
                if before != again && names_an_event(again) {
                    continue;
                }
                judge.require("IDEM-3", before == again, || Violation {
                    says: format!("{} was answered with {before} first and {again} when repeated", publish.marker),
                    expected: before.to_owned(),
                    seen: again.to_owned(),
                    records: vec![completed.record, first.record],
                    shape: "other-cursor".to_owned(),
                });
            }
        }
    }
}

fn conflict(publish: &Publish, record: usize, first: usize) -> Violation {
    Violation {
        says: format!("a key was used again with other content ({})", publish.marker),
        expected: "a refusal".to_owned(),
        seen: "an acknowledgement".to_owned(),
        records: vec![record, first],
        shape: "conflict-accepted".to_owned(),
    }
}

/// The cursors with which events were delivered anywhere.
fn delivered<'h>(view: &View<'h>) -> FxHashSet<(Marker, &'h str)> {
    let pairs = view.conns.iter().flat_map(|c| &c.got).filter_map(|g| Some((g.what.marker?, g.what.cursor.as_deref()?)));
    pairs.collect()
}
