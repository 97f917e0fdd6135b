//! What a report is about, and how each requirement stands in it.

use std::collections::BTreeMap;

use crate::contract::{Known, Level};

use super::tally::{Row, Standing};

/// What the report is about.
#[derive(Clone, Debug)]
pub struct Heading {
    /// The profile's name.
    pub profile: String,
    /// The target in words.
    pub target: String,
    /// The seed, where something was chosen by it.
    pub seed: Option<u64>,
    /// The subcommand that runs it: `test`.
    pub command: &'static str,
    /// Who is tested: `server`.
    pub tested: &'static str,
    /// The arguments with which to run it again.
    pub again: String,
    /// Failures that are known, by requirement.
    pub known: BTreeMap<String, Known>,
}

/// How a requirement stands in a report, what is known of it taken into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'r> {
    /// It held.
    Passed,
    /// It was violated, and that fails the run.
    Failed,
    /// It was violated, and is no MUST.
    Warned,
    /// It was violated, as it is known to be.
    Known {
        /// Why it is violated.
        reason: &'r str,
    },
    /// It held although it is listed as known to fail, and that fails the run.
    Stale {
        /// Why it is listed.
        reason: &'r str,
    },
    /// It should have been judged and was not.
    Inconclusive(&'r str),
    /// It does not apply.
    NotApplicable(&'r str),
}

impl Outcome<'_> {
    /// The word that machines read.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Warned => "warned",
            Outcome::Known { .. } => "known",
            Outcome::Stale { .. } => "stale",
            Outcome::Inconclusive(_) => "inconclusive",
            Outcome::NotApplicable(_) => "not-applicable",
        }
    }
}

impl Heading {
    /// True for a violated MUST that is not known.
    pub fn is_failure(&self, row: &Row<'_>) -> bool {
        row.fails() && !self.known.contains_key(row.requirement.id)
    }

    /// True when the requirement is listed as known to fail, and would have failed in this run if that were still so.
    pub fn is_stale(&self, row: &Row<'_>) -> bool {
        row.held_throughout() && self.known.get(row.requirement.id).is_some_and(|known| !known.sometimes())
    }

    /// How a requirement stands.
    pub fn outcome<'r>(&'r self, row: &'r Row<'_>) -> Outcome<'r> {
        let known = self.known.get(row.requirement.id);
        match (&row.standing, known) {
            (Standing::Pass(_), Some(known)) if self.is_stale(row) => Outcome::Stale { reason: known.reason() },
            (Standing::Pass(_), _) => Outcome::Passed,
            (Standing::Fail, Some(known)) => Outcome::Known { reason: known.reason() },
            (Standing::Fail, None) if row.requirement.level == Level::Must => Outcome::Failed,
            (Standing::Fail, None) => Outcome::Warned,
            (Standing::Inconclusive(why), _) => Outcome::Inconclusive(why),
            (Standing::NotApplicable(why), _) => Outcome::NotApplicable(why),
        }
    }
}
