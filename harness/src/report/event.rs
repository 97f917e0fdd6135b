//! What happens in a run, in its order. Every report is made of these events, and of nothing else: a new format touches no
//! code that runs anything.
//!
//! For each suite: `SuiteStarted`, its `ScenarioSkipped`, then for each case `CaseStarted`, its `Violated`, `CaseFinished`, and
//! at last `SuiteFinished`. Cases of one suite, and suites, may overlap; `RunFinished` is the last event of all and holds what
//! every suite came to, so that formats which are one document need to hear no other. An interrupted run has fewer cases, and
//! its last events all the same.

use std::io;

use crate::check::Verdict;

use super::heading::Heading;
use super::tally::{Failure, Tally};

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'r> {
    /// A suite is about to run: one profile against one target.
    SuiteStarted {
        /// What it is about.
        heading: &'r Heading,
        /// How many cases it has.
        cases: u64,
    },
    /// A scenario does not apply.
    ScenarioSkipped {
        /// Of which profile's suite.
        profile: &'r str,
        /// Its name.
        scenario: &'r str,
        /// Why.
        why: &'r str,
    },
    /// A case begins.
    CaseStarted {
        /// Of which profile's suite.
        profile: &'r str,
        /// Its scenario, with its place in a sweep.
        case: &'r str,
        /// Which repetition, from 0.
        repetition: u32,
    },
    /// A requirement is violated in a case that is about to be told finished.
    Violated {
        /// Of which profile's suite.
        profile: &'r str,
        /// Which repetition, from 0.
        repetition: u32,
        /// The requirement's id.
        requirement: &'r str,
        /// How many violations of it the case has.
        count: u64,
        /// The first of them.
        failure: &'r Failure,
    },
    /// A case is over.
    CaseFinished {
        /// Of which profile's suite.
        profile: &'r str,
        /// Its scenario, with its place in a sweep.
        case: &'r str,
        /// Which repetition, from 0.
        repetition: u32,
        /// How long it took.
        seconds: f64,
        /// Why it did not reach its end, if it did not.
        aborted: Option<&'r str>,
        /// What the checkers say.
        verdicts: &'r [Verdict],
    },
    /// A suite is over.
    SuiteFinished(Finished<'r>),
    /// The run is over.
    RunFinished {
        /// What each suite came to.
        suites: &'r [Finished<'r>],
        /// The exit code.
        exit: u8,
    },
}

/// What a suite came to.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'r> {
    /// What it was about.
    pub heading: &'r Heading,
    /// What was counted.
    pub tally: &'r Tally,
    /// How long it took.
    pub seconds: f64,
    /// Its exit code.
    pub exit: u8,
}

/// A report in the making.
pub trait Sink {
    /// Takes note of what happened.
    ///
    /// # Errors
    /// When what it writes to cannot be written to.
    fn hear(&mut self, event: &Event<'_>) -> io::Result<()>;
}
