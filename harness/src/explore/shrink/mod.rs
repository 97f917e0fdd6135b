//! Shrinking: the smallest scenario that still shows something.
//!
//! A candidate is a scenario that makes sense and is strictly smaller; whether it still shows what is looked for is asked
//! of whoever can run it. What changes most is tried before what changes little, and whatever waits less before what waits
//! long.
//!
//! `candidates` says what is tried in place of a scenario, `less` in place of one of its steps, and `both` what two answers
//! come to; `size` weighs, and `names` gives the names that a person would. `around` and `settle` are for what shows only
//! sometimes: the one makes small scenarios anew, the other lets readers wait where something would be a race.

mod around;
mod both;
mod candidates;
mod less;
mod names;
mod settle;
mod size;

#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::mend::mend;
use super::palette::Palette;
use crate::scenario::Step;

pub(crate) use around::around;
pub(crate) use settle::settle;
pub(crate) use size::{Size, faults, waits};

/// What became of a search.
#[derive(Debug)]
pub(crate) struct Shrunk {
    /// Ever smaller steps that show it, from those that it began with to the smallest found.
    pub(crate) trail: Vec<Vec<Step>>,
    /// True when it was ended before nothing smaller was left to be tried.
    pub(crate) gave_up: bool,
}

/// Looks for ever smaller steps for which `shows` holds, so many candidates `side_by_side`. `over` ends the search early.
///
/// The first answer that is good is taken, in whatever order they come: a candidate that waits long keeps none of the
/// others back. One that is still being run when another was taken is not lost: what both leave out is asked for next.
pub(crate) async fn shrink(
    steps: Vec<Step>,
    palette: &Palette,
    side_by_side: usize,
    shows: impl AsyncFn(&[Step]) -> bool,
    over: impl Fn() -> bool,
) -> Shrunk {
    let ask = async |base: Rc<[Step]>, candidate: Vec<Step>| {
        let shown = shows(&candidate).await;
        shown.then_some((base, candidate))
    };
    let mut best: Rc<[Step]> = steps.into();
    let mut trail = vec![best.to_vec()];
    let mut asked: HashSet<String> = HashSet::new();
    let mut waiting: VecDeque<Vec<Step>> = smaller(&best, palette).into();
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < side_by_side.max(1) && !over() {
            let Some(candidate) = waiting.pop_front() else { break };
            if asked.insert(format!("{candidate:?}")) {
                running.push(ask(Rc::clone(&best), candidate));
            }
        }
        if over() {
            let gave_up = !running.is_empty() || waiting.iter().any(|candidate| !asked.contains(&format!("{candidate:?}")));
            return Shrunk { trail, gave_up };
        }
        let Some(answer) = running.next().await else { return Shrunk { trail, gave_up: false } };
        let Some((base, candidate)) = answer else { continue };
        let together = both::both(&base, &best, &candidate).map(|steps| mend(&steps, palette));
        if Size::of(&candidate) < Size::of(&best) {
            best = candidate.into();
            trail.push(names::in_order(&best, palette));
            waiting = smaller(&best, palette).into();
        }
        if let Some(steps) = together.filter(|steps| steps.len() > 1 && Size::of(steps) < Size::of(&best)) {
            waiting.push_front(steps);
        }
    }
}

/// The candidates for `steps`: what makes sense of all that may be tried, is smaller, and is no single step; each once.
fn smaller(steps: &[Step], palette: &Palette) -> Vec<Vec<Step>> {
    let size = Size::of(steps);
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for (urgency, tried) in candidates::of(steps) {
        let candidate = mend(&tried, palette);
        if candidate.len() > 1 && Size::of(&candidate) < size && seen.insert(format!("{candidate:?}")) {
            all.push(((urgency, waits(&candidate)), candidate));
        }
    }
    // Stable: among those that wait alike, the order of `candidates` stays.
    all.sort_by_key(|(order, _)| *order);
    all.into_iter().map(|(_, candidate)| candidate).collect()
}
