//! Shrinking: the smallest scenario that still shows something.
//!
//! A candidate is a scenario that makes sense and is strictly smaller; whether it still shows what is looked for is asked
//! of whoever can run it. Steps are removed in stretches and one by one, sessions and readers are merged, and every field
//! of a step is dropped or lessened through its serialized form, so that a new kind of step needs no rule here.

use std::collections::{BTreeMap, HashSet};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::mend::mend;
use super::palette::Palette;
use crate::scenario::{Count, Cut, Step, from_plain, plain};

/// So many candidates are tried side by side; when one of them is taken, the work on those behind it is lost.
const SIDE_BY_SIDE: usize = 3;

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

/// Ever smaller steps for which `shows` holds, from `steps` themselves to the smallest found. `over` ends the search early.
pub(crate) async fn shrink(
    steps: Vec<Step>,
    palette: &Palette,
    shows: impl AsyncFn(&[Step]) -> bool,
    over: impl Fn() -> bool,
) -> Vec<Vec<Step>> {
    let mut best = steps;
    let mut trail = vec![best.clone()];
    let mut tried: HashSet<String> = HashSet::new();
    loop {
        let size = Size::of(&best);
        let mut fresh = Vec::new();
        for candidate in candidates(&best) {
            let candidate = mend(&candidate, palette);
            let known = !tried.insert(format!("{candidate:?}"));
            if !known && candidate.len() > 1 && Size::of(&candidate) < size {
                fresh.push(candidate);
            }
        }
        let mut found = None;
        let mut asked = 0;
        {
            let ask = async |candidate: Vec<Step>| if !over() && shows(&candidate).await { Some(candidate) } else { None };
            let mut answers = stream::iter(fresh.iter().cloned().map(ask)).buffered(SIDE_BY_SIDE);
            while let Some(answer) = answers.next().await {
                asked += 1;
                if answer.is_some() {
                    found = answer;
                    break;
                }
            }
        }
        match found {
            Some(smaller) => {
                // Those behind it were not asked, and may come again.
                for candidate in &fresh[asked..] {
                    tried.remove(&format!("{candidate:?}"));
                }
                best = smaller;
                trail.push(named_in_order(&best, palette));
            }
            None => return trail,
        }
        if over() {
            return trail;
        }
    }
}

/// What may be tried instead of `steps`, the boldest first. Not all of it makes sense, or is smaller.
fn candidates(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    let mut stretch = steps.len().div_ceil(2);
    while stretch >= 1 {
        // From the end: what comes last depends on nothing behind it.
        for at in (0..steps.len()).step_by(stretch).rev() {
            let end = (at + stretch).min(steps.len());
            all.push([&steps[..at], &steps[end..]].concat());
        }
        if stretch == 1 {
            break;
        }
        stretch = stretch.div_ceil(2);
    }
    let values: Vec<Value> = steps.iter().map(plain).collect();
    for kind in [Name::Session, Name::Reader] {
        let names = names(&values, kind);
        for (at, name) in names.iter().enumerate().skip(1) {
            all.push(renamed(&values, kind, &BTreeMap::from([(name.clone(), names[0].clone())])));
            if at > 1 {
                all.push(renamed(&values, kind, &BTreeMap::from([(name.clone(), names[at - 1].clone())])));
            }
        }
    }
    // Two steps that only make sense together.
    for one in 0..steps.len() {
        for other in (one + 1..steps.len()).take(4) {
            let without = |at: &usize| *at != one && *at != other;
            all.push((0..steps.len()).filter(without).map(|at| steps[at].clone()).collect());
        }
    }
    // To wait for an event and cut then is to cut behind an event.
    for (at, pair) in steps.windows(2).enumerate() {
        if let [Step::Await(wait), Step::Cut(cut)] = pair
            && wait.reader == cut.reader
        {
            let behind_one = Step::Cut(Cut { after_events: Some(Count::N(1)), ..cut.clone() });
            all.push([&steps[..at], &[behind_one], &steps[at + 2..]].concat());
        }
    }
    for (at, value) in values.iter().enumerate() {
        for step in simpler(&steps[at], value) {
            let mut changed = steps.to_vec();
            changed[at] = step;
            all.push(changed);
        }
    }
    all
}

/// A step with less in it.
fn simpler(step: &Step, value: &Value) -> Vec<Step> {
    let mut all: Vec<Step> = Vec::new();
    if let Step::Writer(writer) = step {
        all.extend(from_plain(&serde_json::json!({ "publish": { "session": writer.session, "count": writer.count } })));
    }
    if let Step::Seam(seam) = step {
        all.extend(from_plain(&serde_json::json!({ "subscribe": { "reader": seam.reader, "session": seam.session } })));
    }
    if let Step::Evict(evict) = step {
        all.extend(from_plain(&serde_json::json!({ "publish": { "session": evict.session, "count": 5 } })));
    }
    let Some((kind, Value::Object(fields))) = value.as_object().and_then(|map| map.iter().next()) else { return all };
    let mut change = |field: &str, to: Option<Value>| {
        let mut fields = fields.clone();
        match to {
            Some(to) => fields.insert(field.to_owned(), to),
            None => fields.remove(field),
        };
        let less = serde_json::json!({ kind.as_str(): fields });
        // Back and forth, so that what is default by another way is left out as well.
        all.extend(from_plain(&less));
    };
    for (field, inner) in fields {
        change(field, None);
        lessen(inner, &mut |less| change(field, Some(less)));
    }
    all
}

/// Smaller values of the same form.
fn lessen(value: &Value, with: &mut dyn FnMut(Value)) {
    match value {
        Value::Number(n) => {
            let Some(n) = n.as_u64() else { return };
            for less in [0, 1, n / 4, n / 2, n.saturating_sub(1)] {
                if less < n {
                    with(Value::from(less));
                }
            }
        }
        Value::Object(map) => {
            for (key, inner) in map {
                lessen(inner, &mut |less| {
                    let mut map = map.clone();
                    map.insert(key.clone(), less);
                    with(Value::Object(map));
                });
                let mut without = map.clone();
                without.remove(key);
                with(Value::Object(without));
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Session,
    Reader,
    Writer,
}

impl Name {
    fn is_in(self, kind: &str, field: &str) -> bool {
        match self {
            Name::Session => matches!(field, "session" | "reborn_of" | "of"),
            Name::Reader => field == "reader",
            Name::Writer => field == "writer" || (field == "name" && kind == "writer"),
        }
    }
}

/// The names of one kind, in the order in which they appear.
fn names(steps: &[Value], of: Name) -> Vec<String> {
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

fn each_name(step: &mut Value, of: Name, with: &mut dyn FnMut(&mut String)) {
    fn inside(value: &mut Value, kind: &str, of: Name, with: &mut dyn FnMut(&mut String)) {
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

fn renamed(steps: &[Value], of: Name, to: &BTreeMap<String, String>) -> Vec<Step> {
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
fn named_in_order(steps: &[Step], palette: &Palette) -> Vec<Step> {
    let mut now = steps.to_vec();
    for (kind, given) in [(Name::Session, "stuvxyz"), (Name::Reader, "abcdefgh"), (Name::Writer, "wvu")] {
        let values: Vec<Value> = now.iter().map(plain).collect();
        let to = names(&values, kind).into_iter().zip(given.chars().map(String::from)).collect();
        now = renamed(&values, kind, &to);
    }
    // Other names may stand in another order, which the runner can see; then the old ones stay.
    if mend(&now, palette) == now { now } else { steps.to_vec() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::Profile;
    use crate::explore::source::Source;
    use crate::scenario::{Capabilities, Scenario};

    fn palette() -> Palette {
        Palette::new(Arc::new(Profile::load("sse").unwrap()), Capabilities::all(), &[])
    }

    fn smallest(steps: Vec<Step>, shows: impl Fn(&[Step]) -> bool) -> Vec<Step> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let trail = runtime.block_on(shrink(steps, &palette(), async |steps: &[Step]| shows(steps), || false));
        assert!(trail.is_sorted_by_key(|steps| std::cmp::Reverse(Size::of(steps))));
        trail.last().unwrap().clone()
    }

    #[test]
    fn what_matters_is_left_and_nothing_else() {
        let mut source = Source::new(palette(), 11);
        let cut_and_resumed = |steps: &[Step]| {
            let cut = steps.iter().position(|s| matches!(s, Step::Cut(cut) if cut.after_events.is_some()));
            cut.is_some_and(|cut| steps[cut..].iter().any(|s| matches!(s, Step::Resume(_))))
        };
        let mut seen = 0;
        while seen < 10 {
            let made = source.next(seen % 2 == 0, &[]);
            if !cut_and_resumed(&made.steps) {
                continue;
            }
            seen += 1;
            let least = smallest(made.steps.clone(), cut_and_resumed);
            assert!(least.len() <= 5, "{}", Scenario { steps: least, ..made }.to_toml(""));
            assert_eq!(Size::of(&least).faults, 1);
        }
    }

    #[test]
    fn numbers_and_texts_become_plain_and_names_are_the_first_ones() {
        let text = "name = \"x\"\nsays = \"y\"\nneeds = [\"publish\", \"text\", \"resume\"]\nsteps = [
            { open = { session = \"t\" } }, { publish = { session = \"t\", count = 17, text = \"hostile\", concurrent = 3 } },
            { subscribe = { reader = \"c\", session = \"t\", from = { after = 9 } } }]";
        let steps = Scenario::parse("it", text).unwrap().steps;
        let least = smallest(steps, |steps| steps.iter().any(|s| matches!(s, Step::Subscribe(_))));
        let written: Vec<String> = least.iter().map(crate::run::in_words).collect();
        assert_eq!(written, ["open session=s", "subscribe reader=a session=s"]);
    }
}
