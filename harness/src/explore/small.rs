//! Shrinking a scenario by whoever can tell at once whether a smaller one still shows what is looked for.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::mend;
use super::palette::Palette;
use super::shrink::{Shrunk, Size, shrink};
use crate::scenario::Scenario;

/// A scenario that was made small.
#[derive(Clone, Debug)]
pub struct Small {
    /// It.
    pub scenario: Scenario,
    /// Its steps.
    pub steps: usize,
    /// How many of them are faults, or carry one.
    pub faults: usize,
    /// True when the questions were used up before nothing smaller was left to be tried.
    pub gave_up: bool,
}

/// The smallest scenario found, starting from `scenario`, that `shows` holds for, after at most `most` questions.
pub fn smallest_by(scenario: &Scenario, palette: &Palette, most: u32, shows: impl Fn(&Scenario) -> bool) -> Small {
    let asked = Cell::new(0);
    let named = |steps: &[crate::scenario::Step]| mend::scenario(&scenario.name, &scenario.says, steps.to_vec());
    let ask = async |steps: &[crate::scenario::Step]| {
        asked.set(asked.get() + 1);
        shows(&named(steps))
    };
    let sensible = mend::mend(&scenario.steps, palette);
    let (mut best, mut steps) = (scenario.clone(), &scenario.steps);
    // What was written by hand may rest on something that generated scenarios never ask for.
    let mut gave_up = most == 0;
    let mut trail = Vec::new();
    if shows(&named(&sensible)) {
        // One after the other: whoever answers at once gains nothing from two questions.
        Shrunk { trail, gave_up } = at_once(shrink(sensible, palette, 1, ask, || asked.get() >= most));
    }
    if let Some(shrunk) = trail.last().filter(|shrunk| Size::of(shrunk) < Size::of(steps) && shows(&named(shrunk))) {
        best = named(shrunk);
        steps = &best.steps;
    }
    let Size { steps, faults, .. } = Size::of(steps);
    Small { scenario: best, steps, faults, gave_up }
}

/// What a future brings that never waits for anything but its turn.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
