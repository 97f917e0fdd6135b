//! What a scenario weighs, and how long it waits.

use serde_json::Value;

use crate::explore::mend::is_heavy;
use crate::scenario::{Evict, EvictBy, Publish, Step, Text, Upto, plain};

/// What a scenario weighs: fewer steps first, then fewer faults, then smaller numbers and fewer words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size {
    /// Steps.
    pub(crate) steps: usize,
    /// Faults among them.
    pub(crate) faults: usize,
    weight: u64,
}

impl Size {
    pub(crate) fn of(steps: &[Step]) -> Size {
        Size { steps: steps.len(), faults: faults(steps), weight: steps.iter().map(|step| weight(&plain(step))).sum() }
    }
}

/// How many of the steps are faults, or carry one.
pub(crate) fn faults(steps: &[Step]) -> usize {
    let is = |step: &&Step| match step {
        Step::Cut(_) | Step::Stall(_) | Step::Hold(_) | Step::Shape(_) | Step::Restart(_) | Step::Pause(_) | Step::Churn(_) => true,
        Step::Publish(publish) => publish.fault.is_some(),
        Step::Resume(resume) => resume.refuse_first > 0,
        _ => false,
    };
    steps.iter().filter(is).count()
}

fn weight(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(n) => n.as_u64().unwrap_or(1_000).min(1_000_000) + 1,
        // Words differ in nothing that a reader has to keep in mind, except which thing is meant.
        Value::String(text) => 1 + u64::from(text.bytes().next().unwrap_or(0)) / 16,
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(map) => map.values().map(|inner| 100 + weight(inner)).sum(),
    }
}

/// How long a run of these steps waits by what they say, roughly and in milliseconds, whatever the server does.
pub(crate) fn waits(steps: &[Step]) -> u32 {
    let wait = |step: &Step| match step {
        Step::Await(wait) if wait.upto == Upto::Heartbeat => 1_000,
        Step::Evict(Evict { by: EvictBy::Age, .. }) => 400,
        Step::Evict(Evict { by: EvictBy::Bytes, .. }) => 100,
        Step::Restart(restart) if restart.twice => 400,
        Step::Restart(_) | Step::Pause(_) => 200,
        Step::Publish(Publish { text: Text::Large, .. }) => 100,
        // What fills every buffer takes seconds. How many it takes is the last thing to ask.
        step if is_heavy(std::slice::from_ref(step)) => 3_000,
        _ => 0,
    };
    steps.iter().map(wait).sum()
}
