//! History and contract in, verdicts out.
//!
//! A checker is a pure function of a history and a profile: it never waits, logs or reads a clock. [`judge`] runs them all
//! and gives one verdict for each requirement of the catalogue.

mod answers;
mod ask;
mod batches;
mod client;
mod deliver;
mod end;
mod ephemeral;
mod expect;
mod gap;
mod idem;
mod isolate;
mod judge;
mod leak;
mod live;
mod lost;
mod machine;
mod money;
mod open;
mod order;
mod repeat;
mod seam;
mod sights;
mod snapshot;
#[cfg(test)]
mod story;
#[cfg(test)]
mod tests;
mod verdict;
mod wire;

pub use client::judge_client;
pub use judge::Times;
pub use verdict::{Finding, Verdict, Violation};

use crate::contract::{Profile, requirement};
use crate::history::{History, View};
use expect::Expect;
use judge::Judge;

/// What `history` shows of the promises of `profile`: one verdict for each requirement, in the order of the catalogue.
pub fn judge(history: &History, profile: &Profile) -> Vec<Verdict> {
    look(history, profile).verdicts()
}

/// What all checkers found in `history`. A campaign of a million histories asks for verdicts only of those that show
/// something.
pub(crate) fn look(history: &History, profile: &Profile) -> Judge {
    look_at(View::of(history), profile)
}

/// As [`look`], for a history that begins with the records of `beginning`.
pub(crate) fn look_from<'h>(beginning: &'h View<'h>, history: &'h History, profile: &Profile) -> Judge {
    look_at(beginning.go_on(&history.records), profile)
}

fn look_at(mut view: View<'_>, profile: &Profile) -> Judge {
    let contract = &profile.contract;
    if contract.idempotency.as_ref().is_some_and(|keys| !keys.survives_restart) {
        view.forget_doubled();
    }
    let expects = Expect::all(&view, contract);
    let mut judge = Judge::default();
    wire::check(&view, profile, &expects, &mut judge);
    open::check(&view, contract, &mut judge);
    order::check(&view, contract, &expects, &mut judge);
    deliver::check(contract, &expects, &mut judge);
    answers::check(&view, profile, &expects, &mut judge);
    seam::check(contract, &expects, &mut judge);
    gap::check(&view, contract, &expects, &mut judge);
    ephemeral::check(profile, &expects, &mut judge);
    end::check(&view, profile, &expects, &mut judge);
    idem::check(&view, contract, &mut judge);
    snapshot::check(&view, profile, &expects, &mut judge);
    live::check(&view, profile, &expects, &mut judge);
    leak::check(&view, &mut judge);
    machine::check(profile, &expects, &mut judge);
    money::check(&view, contract, &mut judge);
    ask::check(&view, contract, &mut judge);
    machine::not_shown(contract, &mut judge);
    if contract.slow_reader.is_none() {
        judge.not_applicable("FANOUT-4", "the profile promises nothing about slow readers");
    }
    if !contract.durability.kill {
        judge.not_applicable("RESTART-1", "the profile does not promise that events survive a kill");
    }
    if !contract.durability.restart {
        judge.not_applicable("RESTART-4", "the profile does not promise that events survive a restart");
    }
    for (id, why) in &profile.not_observable {
        if let Some(known) = requirement(id) {
            judge.not_applicable(known.id, why.clone());
        }
    }
    judge
}
