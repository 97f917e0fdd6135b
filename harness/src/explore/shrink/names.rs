//! The names in a scenario: merged, and given anew as a person would.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::explore::mend::mend;
use crate::explore::palette::Palette;
use crate::scenario::{Step, from_plain, plain};

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Session,
    Reader,
    Writer,
}

impl Kind {
    fn is_in(self, kind: &str, field: &str) -> bool {
        match self {
            Kind::Session => matches!(field, "session" | "reborn_of" | "of"),
            Kind::Reader => field == "reader",
            Kind::Writer => field == "writer" || (field == "name" && kind == "writer"),
        }
    }
}

/// The names of one kind, in the order in which they appear.
pub(super) fn names(steps: &[Value], of: Kind) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for step in steps {
        each_name(&mut step.clone(), of, &mut |name| {
            if !found.contains(name) {
                found.push(name.clone());
            }
        });
    }
    found
}

/// The names of one kind in one step.
pub(super) fn of_step(step: &Value, of: Kind) -> Vec<String> {
    names(std::slice::from_ref(step), of)
}

fn each_name(step: &mut Value, of: Kind, with: &mut dyn FnMut(&mut String)) {
    fn inside(value: &mut Value, kind: &str, of: Kind, with: &mut dyn FnMut(&mut String)) {
        let Value::Object(map) = value else { return };
        for (field, inner) in map {
            match inner {
                Value::String(name) if of.is_in(kind, field) => with(name),
                other => inside(other, kind, of, with),
            }
        }
    }
    let Value::Object(map) = step else { return };
    for (kind, fields) in map {
        inside(fields, kind, of, with);
    }
}

/// The steps with other names for those of one kind.
pub(super) fn renamed(steps: &[Value], of: Kind, to: &BTreeMap<String, String>) -> Vec<Step> {
    let mut all = Vec::new();
    for step in steps {
        let mut step = step.clone();
        each_name(&mut step, of, &mut |name| {
            if let Some(new) = to.get(name) {
                name.clone_from(new);
            }
        });
        all.extend(from_plain(&step));
    }
    all
}

/// The same steps with the names that a person would give: `s` and `t`, `a` and `b`.
pub(super) fn in_order(steps: &[Step], palette: &Palette) -> Vec<Step> {
    let mut now = steps.to_vec();
    for (kind, given) in [(Kind::Session, "stuvxyz"), (Kind::Reader, "abcdefgh"), (Kind::Writer, "wvu")] {
        let values: Vec<Value> = now.iter().map(plain).collect();
        let to = names(&values, kind).into_iter().zip(given.chars().map(String::from)).collect();
        now = renamed(&values, kind, &to);
    }
    // Other names may stand in another order, which the runner can see; then the old ones stay.
    if mend(&now, palette) == now { now } else { steps.to_vec() }
}
