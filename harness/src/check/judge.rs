//! Collecting what the checkers find.

use rustc_hash::FxHashMap;

use super::verdict::{Finding, Verdict, Violation};
use crate::contract::{CATALOGUE, Requirement, requirement};

/// What was found so far, by requirement.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    found: FxHashMap<&'static str, Found>,
}

#[derive(Debug, Default)]
struct Found {
    judged: u64,
    violations: Vec<Violation>,
    count: u64,
    not_applicable: Option<String>,
    undecided: Option<String>,
}

impl Judge {
    fn of(&mut self, id: &'static str) -> &mut Found {
        debug_assert!(requirement(id).is_some(), "{id} is not in the catalogue");
        self.found.entry(id).or_default()
    }

    /// It was looked at, and held.
    pub(crate) fn held(&mut self, requirement: &'static str) {
        self.of(requirement).judged += 1;
    }

    /// It was looked at that many times, and held.
    pub(crate) fn held_n(&mut self, requirement: &'static str, times: u64) {
        self.of(requirement).judged += times;
    }

    /// It was violated.
    pub(crate) fn violated(&mut self, requirement: &'static str, violation: Violation) {
        let found = self.of(requirement);
        found.judged += 1;
        found.count += 1;
        if found.violations.len() < Violation::KEPT {
            found.violations.push(violation);
        }
    }

    /// It held, or else was violated as `violation` says.
    pub(crate) fn require(&mut self, requirement: &'static str, holds: bool, violation: impl FnOnce() -> Violation) {
        if holds { self.held(requirement) } else { self.violated(requirement, violation()) }
    }

    /// The contract does not promise it.
    pub(crate) fn not_applicable(&mut self, requirement: &'static str, why: &str) {
        self.of(requirement).not_applicable = Some(why.to_owned());
    }

    /// A scenario asks for it outright: it is promised, whatever the contract says of the ways by which checkers see it.
    pub(crate) fn asked(&mut self, requirement: &'static str) {
        let found = self.of(requirement);
        if found.not_applicable.is_some() {
            *found = Found::default();
        }
    }

    /// Nothing in the history asks for it: it is not applicable there, unless it was judged all the same.
    pub(crate) fn not_asked(&mut self, requirement: &'static str, why: &str) {
        let found = self.of(requirement);
        if found.judged == 0 {
            found.not_applicable = Some(why.to_owned());
        }
    }

    /// What was seen does not decide.
    pub(crate) fn undecided(&mut self, requirement: &'static str, why: String) {
        self.of(requirement).undecided.get_or_insert(why);
    }

    /// One verdict for each requirement of servers, in the order of the catalogue.
    pub(crate) fn verdicts(self) -> Vec<Verdict> {
        self.verdicts_on(CATALOGUE)
    }

    /// One verdict for each of these requirements, in this order.
    pub(crate) fn verdicts_on<'r>(mut self, requirements: impl IntoIterator<Item = &'r Requirement>) -> Vec<Verdict> {
        let verdict = |id: &'static str| {
            let found = self.found.remove(id).unwrap_or_default();
            // A promise that was not made cannot be broken, whatever a checker saw on its way.
            let finding = if let Some(why) = found.not_applicable {
                Finding::NotApplicable { why }
            } else if found.count > 0 {
                Finding::Fail { judged: found.judged, violations: found.violations, count: found.count }
            } else if found.judged > 0 {
                Finding::Pass { judged: found.judged }
            } else {
                Finding::Inconclusive { why: found.undecided.unwrap_or_else(|| "nothing in this history shows it".to_owned()) }
            };
            Verdict { requirement: id.to_owned(), finding }
        };
        requirements.into_iter().map(|r| r.id).map(verdict).collect()
    }
}
