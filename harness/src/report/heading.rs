//! What a report is about, and how each requirement stands in it.

use crate::contract::{Baseline, Excuse, KnownEntry, Level, RequirementSet};

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
    /// Who is tested: `server`.
    pub tested: &'static str,
    /// How to run it again.
    pub rerun: Rerun,
    /// Failures that are known.
    pub baseline: Baseline,
    /// The requirements that decide; without a set all of them.
    pub requirements: Option<&'static RequirementSet>,
}

/// How a failure is looked at once more.
#[derive(Clone, Debug)]
pub enum Rerun {
    /// By a command line.
    Command {
        /// The subcommand: `test`.
        subcommand: &'static str,
        /// The arguments that mean the same target, each behind a space.
        arguments: String,
    },
    /// By the test that called the library.
    Test {
        /// How it named the target: `at` or `start`.
        target: &'static str,
    },
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
        /// True when it is violated in some runs only.
        flaky: bool,
    },
    /// It held although it is listed as known to fail, and that fails the run.
    Stale {
        /// Why it is listed.
        reason: &'r str,
    },
    /// It should have been judged and was not.
    Inconclusive(&'r str),
    /// It is newer than the set of requirements that was asked for: it decides nothing, whatever was seen of it.
    Unscored(&'static str),
    /// It does not apply.
    NotApplicable(&'r str),
    /// The contract promises it, and on this target it cannot be looked at.
    NotObservable(&'r str),
}

impl Outcome<'_> {
    /// The word that machines read.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Warned => "warned",
            Outcome::Known { flaky: false, .. } => "known",
            Outcome::Known { flaky: true, .. } => "flaky",
            Outcome::Stale { .. } => "stale",
            Outcome::Inconclusive(_) => "inconclusive",
            Outcome::Unscored(_) => "unscored",
            Outcome::NotApplicable(_) => "not-applicable",
            Outcome::NotObservable(_) => "not-observable",
        }
    }
}

impl Heading {
    /// What to type in order to run one scenario again.
    pub(crate) fn again(&self, scenario: &str) -> String {
        match &self.rerun {
            Rerun::Command { subcommand, arguments } => {
                let seed = self.seed.map(|seed| format!(" --seed {seed:#x}")).unwrap_or_default();
                format!("streamspec {subcommand}{arguments} --only {scenario}{seed}")
            }
            Rerun::Test { target } => {
                let seed = self.seed.map(|seed| format!(".seed({seed:#x})")).unwrap_or_default();
                format!("Target::{target}(…).only({scenario:?}){seed}")
            }
        }
    }

    /// True for a violated MUST that is not known.
    pub fn is_failure(&self, row: &Row<'_>) -> bool {
        self.outcome(row) == Outcome::Failed
    }

    /// True for a MUST that should have been judged and was not.
    pub fn is_undecided(&self, row: &Row<'_>) -> bool {
        row.requirement.level == Level::Must && matches!(self.outcome(row), Outcome::Inconclusive(_))
    }

    /// The entries that list this requirement as failing, where it would have failed in this run if that were still so. One
    /// that fails in some runs only is never among them.
    pub fn stale<'r>(&'r self, row: &'r Row<'_>) -> Vec<&'r KnownEntry> {
        let held = |entry: &&KnownEntry| match &entry.scenario {
            None => row.held_throughout(),
            Some(scenario) => row.unbroken && row.scenarios.get(scenario).is_some_and(|(failed, judged)| *failed == 0 && *judged > 0),
        };
        self.baseline.about(row.requirement.id).filter(|entry| !entry.flaky).filter(held).collect()
    }

    /// What the baseline says of a requirement that is violated.
    pub fn excuse<'r>(&'r self, row: &'r Row<'_>) -> Excuse<'r> {
        self.baseline.excuse(row.requirement.id, &row.failing())
    }

    /// How a requirement stands.
    pub fn outcome<'r>(&'r self, row: &'r Row<'_>) -> Outcome<'r> {
        if self.requirements.is_some_and(|set| !set.contains(row.requirement.id)) {
            match &row.standing {
                Standing::Pass(_) => return Outcome::Unscored("it held"),
                Standing::Fail => return Outcome::Unscored("it was violated"),
                Standing::Inconclusive(_) => return Outcome::Unscored("it was not judged"),
                Standing::NotApplicable(_) | Standing::NotObservable(_) => {}
            }
        }
        match &row.standing {
            Standing::Pass(_) => match self.stale(row).first() {
                Some(entry) => Outcome::Stale { reason: &entry.reason },
                None => Outcome::Passed,
            },
            Standing::Fail => match self.excuse(row) {
                Excuse::Listed(entry) => Outcome::Known { reason: &entry.reason, flaky: entry.flaky },
                Excuse::Expired(_) | Excuse::None if row.requirement.level == Level::Must => Outcome::Failed,
                Excuse::Expired(_) | Excuse::None => Outcome::Warned,
            },
            Standing::Inconclusive(why) => Outcome::Inconclusive(why),
            Standing::NotApplicable(why) => Outcome::NotApplicable(why),
            Standing::NotObservable(why) => Outcome::NotObservable(why),
        }
    }
}
