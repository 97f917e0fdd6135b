//! What a checker says about one requirement in one history.

use serde::{Deserialize, Serialize};

/// The verdict on one requirement over one history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The requirement's id.
    pub requirement: String,
    /// What was found.
    pub finding: Finding,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It held every time.
    Pass {
        /// How many times it was judged; at least 1.
        judged: u64,
    },
    /// It was violated.
    Fail {
        /// How many times it was judged, violations included.
        judged: u64,
        /// The violations, in the order of the history; at least one, and no more than [`Violation::KEPT`] are kept.
        violations: Vec<Violation>,
        /// How many there were in all.
        count: u64,
    },
    /// Nothing was judged, or what was seen does not decide.
    Inconclusive {
        /// Why.
        why: String,
    },
    /// The contract does not promise it, or the scenario cannot show it.
    NotApplicable {
        /// Why.
        why: String,
    },
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Violation {
    /// What happened, in one sentence that names the event, the reader and the connection (`a#2`).
    pub says: String,
    /// What should have been seen.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Indices of the records that show it; the first one is the offending one.
    pub records: Vec<usize>,
    /// What kind of violation it is within its requirement, for telling distinct ones apart (`duplicate-across-connections`).
    pub shape: String,
}

impl Violation {
    /// More violations than this of one requirement in one history are counted, not kept.
    pub const KEPT: usize = 20;
}
