//! IDEM-3, IDEM-4: what a repeated publish is answered with. (IDEM-1 and IDEM-2 count events and are judged in
//! `deliver.rs`.)

use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::Contract;
use crate::history::{Action, Outcome, View};

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
    for op in &view.ops {
        let (Action::Publish(publish), Some(completed)) = (op.invoked.what, op.completed) else { continue };
        let Some(first) = publish.repeats.and_then(|id| view.ops.get(id.0 as usize)) else { continue };
        if publish.conflict {
            if promised.conflict_refused {
                let refused = !matches!(completed.what, Outcome::Ok { .. });
                judge.require("IDEM-4", refused, || Violation {
                    says: format!("a key was used again with other content ({})", publish.marker),
                    expected: "a refusal".to_owned(),
                    seen: "an acknowledgement".to_owned(),
                    records: vec![completed.record, first.invoked.record],
                    shape: "conflict-accepted".to_owned(),
                });
            }
            continue;
        }
        let before = first
            .completed
            .and_then(|c| if let Outcome::Ok { cursor: Some(cursor), .. } = c.what { Some((c.record, cursor)) } else { None });
        if let (Some((record, before)), Outcome::Ok { cursor: Some(again), .. }, true) = (before, completed.what, promised.same_cursor) {
            let restarted = view.stop_between(first.invoked.at, op.invoked.at).is_some();
            if before != again && restarted && promised.survives_restart {
                // The key was forgotten: a second event, which IDEM-2 counts.
                continue;
            }
            judge.require("IDEM-3", before == again, || Violation {
                says: format!("{} was answered with {before} first and {again} when repeated", publish.marker),
                expected: before.clone(),
                seen: again.clone(),
                records: vec![completed.record, record],
                shape: "other-cursor".to_owned(),
            });
        }
    }
}
