//! Steps that ask for what a protocol has of its own, and what is expected of the answers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::StatusSet;

/// `do`: an operation of the profile's own (`[binding.ops.NAME]`), or one of `publish`, `close`, `delete`, `health`,
/// `history`, `snapshot` as it is bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Do {
    /// The operation.
    pub op: String,
    /// The session whose name and taken values its templates use.
    pub session: Option<String>,
    /// Sessions whose events up to here it removes: they are replayed no more, and nobody need say so (GAP-3).
    #[serde(default)]
    pub clears: Vec<String>,
    /// More values for its templates. They are templates themselves, of the session's name and what was taken from the answers
    /// about it.
    #[serde(default)]
    pub with: BTreeMap<String, String>,
    /// How often it is sent, one after the other. Default 1.
    #[serde(default = "one")]
    pub times: u32,
    /// How many of these are in flight at once. Default 1.
    #[serde(default = "one")]
    pub concurrent: u32,
    /// Go on without waiting for the answer.
    #[serde(default)]
    pub background: bool,
    /// What its answer must be. Absent: it must be done (its `ok` statuses).
    pub expect: Option<Expect>,
    /// Ask again until the expectation holds, up to the deadline.
    #[serde(default)]
    pub until: bool,
    /// Keep the answer's body under this name, for `expect.same_as`.
    pub remember: Option<String>,
    /// The requirement that is violated when the expectation does not hold. Absent: the scenario cannot go on then.
    pub judges: Option<String>,
}

fn one() -> u32 {
    1
}

/// What is expected of an answer; every condition given must hold. Texts are templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// What is looked at, for people: `the state after the kill`.
    pub says: Option<String>,
    /// Its status is one of these.
    pub status: Option<StatusSet>,
    /// The operation is refused: no answer that counts as done.
    pub refused: bool,
    /// It comes within this many milliseconds.
    pub within_ms: Option<u64>,
    /// Pointer → the JSON value that must be there; texts in it are templates.
    pub json: BTreeMap<String, serde_json::Value>,
    /// Pointer → a JSON value that must not be there.
    pub json_not: BTreeMap<String, serde_json::Value>,
    /// Pointers at which nothing (or null) must be.
    pub nothing_at: Vec<String>,
    /// Texts that the body must hold.
    pub contains: Vec<String>,
    /// Texts that the body must not hold.
    pub lacks: Vec<String>,
    /// Header → a text that its value must hold; an empty text means that it must not be there.
    pub headers: BTreeMap<String, String>,
    /// Which published events the body must hold, by their markers.
    pub markers: Option<Markers>,
    /// The body must equal the one remembered under this name.
    pub same_as: Option<String>,
    /// The body must differ from the one remembered under this name.
    pub other_than: Option<String>,
}

/// Which events of the session an answer must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Markers {
    /// Every acknowledged one, each at least once.
    All,
    /// Every acknowledged one, each exactly once, in their order.
    Once,
    /// None.
    None,
}
