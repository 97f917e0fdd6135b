//! Keyed state machines: what a contract says of things that start, go on and end within a session, such as a text block, a
//! turn, a question.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMany;

/// A state machine that the events of a session walk, one walk for each key. Which events belong to it is told by their
/// types (`binding.event.type`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// What people call it: `text block`, `turn`.
    pub name: String,
    /// Where an event names its key: a source as in `binding.event`, or several of which the first counts that an event has.
    /// Absent: one walk a session.
    pub key: Option<OneOrMany>,
    /// Types that start a key.
    pub start: Option<OneOrMany>,
    /// Types that go on with it.
    pub more: Option<OneOrMany>,
    /// Types that end it.
    pub end: OneOrMany,
    /// Where an event that goes on has its piece of text: a source.
    pub piece: Option<String>,
    /// Where the end has the whole text, which must equal the pieces (CAUSE-2): a source.
    pub whole: Option<String>,
    /// True when at most one key is open at a time (CAUSE-3).
    #[serde(default)]
    pub single: bool,
    /// False when a key that has ended may start again. Default true (FINAL-2).
    #[serde(default = "yes")]
    pub once: bool,
}

fn yes() -> bool {
    true
}
