//! Making sense: any list of steps becomes the nearest one that can be run and that asks only for what is promised.
//!
//! Names are introduced before they are used, nothing is awaited that cannot come, no fault is placed where no byte passes,
//! and what neither contract nor target offers is left out. Generation, mutation and shrinking all come through here, so
//! that what a step demands is written down once. A scenario that makes sense is left as it is.

mod admit;
mod readers;
mod stage;

use std::collections::BTreeMap;

use crate::scenario::{Count, Empty, Join, Need, Publish, Scenario, Step, Stop, needed};

use super::palette::Palette;
use stage::Stage;

/// More steps than this are not run in one case.
const MOST_STEPS: usize = 40;

/// No more bulky events by one step while a reader does not read: what fills every buffer between the server and it.
pub(crate) const MOST_HEAPED: u32 = 900;
/// No more readers of one kind by one step.
pub(crate) const MOST_READERS: u32 = 12;
/// No more events by one step otherwise.
const MOST_EVENTS: u32 = 60;

/// True when some step publishes so much that a case takes seconds.
pub(crate) fn is_heavy(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Publish(Publish { count: Count::N(n), .. }) if *n > MOST_EVENTS))
}

/// The steps of `steps` that make sense one after the other, adjusted where a smaller number does.
pub(crate) fn mend(steps: &[Step], palette: &Palette) -> Vec<Step> {
    let mut mending = Mending { palette, stage: Stage::default(), done: Vec::new() };
    for step in flat(steps) {
        if mending.done.len() >= MOST_STEPS {
            break;
        }
        mending.take(step);
    }
    mending.finish();
    mending.done
}

/// A scenario of these steps, with what it needs.
pub(crate) fn scenario(name: &str, says: &str, steps: Vec<Step>) -> Scenario {
    let mut needs = needed(&steps);
    let stops = |how: Stop| steps.iter().any(|step| matches!(step, Step::Restart(r) if r.how == how && !r.wipe));
    if stops(Stop::Kill) {
        needs.push(Need::SurvivesKill);
    }
    if stops(Stop::Term) {
        needs.push(Need::SurvivesRestart);
    }
    needs.sort_unstable();
    needs.dedup();
    Scenario {
        name: name.to_owned(),
        says: says.to_owned(),
        needs,
        judges: Vec::new(),
        steps,
        audit: true,
        sweep_limit: None,
        transcript: Default::default(),
    }
}

/// The steps without repetitions.
fn flat(steps: &[Step]) -> Vec<Step> {
    let mut all = Vec::new();
    for step in steps {
        if let Step::Repeat(repeat) = step {
            let inner = flat(&repeat.steps);
            (0..repeat.times.min(10)).for_each(|_| all.extend(inner.iter().cloned()));
        } else {
            all.push(step.clone());
        }
        all.truncate(4 * MOST_STEPS);
    }
    all
}

/// The steps admitted so far, and where they lead.
struct Mending<'p> {
    palette: &'p Palette,
    stage: Stage,
    done: Vec<Step>,
}

impl Mending<'_> {
    /// Admits a step if it makes sense here.
    fn take(&mut self, step: Step) {
        if self.stage.paused && !matches!(step, Step::Continue(_)) {
            self.stage.paused = false;
            self.done.push(Step::Continue(Empty {}));
        }
        if let Some(step) = self.admit(step) {
            self.done.push(step);
        }
    }

    fn finish(&mut self) {
        if self.stage.paused {
            self.done.push(Step::Continue(Empty {}));
        }
        let writers: BTreeMap<_, _> = std::mem::take(&mut self.stage.writers);
        self.done.extend(writers.into_keys().map(|writer| Step::Join(Join { writer })));
    }
}

#[cfg(test)]
mod tests;
