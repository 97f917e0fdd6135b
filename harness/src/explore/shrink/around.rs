//! Small scenarios around what a scenario is about, made anew instead of by removal.
//!
//! What shows seldom cannot be made small step by step: each candidate would have to be run dozens of times. A handful of its
//! steps alone, with nothing else in the way and time for what comes late, often shows the same every time.

use std::collections::{HashMap, HashSet};
use std::mem::{Discriminant, discriminant};

use serde_json::Value;

use super::candidates::{capped, crowds, parts, selections};
use super::names::{Kind, in_order, names};
use super::settle::settle;
use super::waits;
use crate::explore::mend::mend;
use crate::explore::palette::Palette;
use crate::scenario::{Await, Need, Step, Upto, plain};

/// A person needs no larger numbers to show something, as a rule.
const MOST: u64 = 2;
/// So many steps of a scenario are taken together.
const FEW: usize = 4;
/// So many are made.
const MOST_MADE: usize = 200;

/// Scenarios of these steps or of a few of them, with small numbers and with their own, and each once more with readers that
/// wait for their answers, and with such that wait until a heartbeat comes, where one is promised. One of each kind comes first,
/// and of those the ones that wait least and are shortest. `steps` are not among them.
pub(crate) fn around(steps: &[Step], palette: &Palette) -> Vec<Vec<Step>> {
    let values: Vec<Value> = steps.iter().map(plain).collect();
    let mut wholes = [crowds(steps, &values), parts(steps, &values)].concat();
    wholes.sort_by_key(Vec::len);
    wholes.push(steps.to_vec());
    let mut seen = HashSet::new();
    let mut all: Vec<Vec<Step>> = Vec::new();
    for whole in wholes {
        let values: Vec<Value> = whole.iter().map(plain).collect();
        // It may be about the numbers.
        let small = mend(&capped(&values, MOST), palette);
        for few in [&small, &whole].into_iter().flat_map(|whole| [selections(whole, FEW), vec![whole.clone()]].concat()) {
            for made in settle(&few, palette).into_iter().chain([few.clone(), idle(&few, palette)]) {
                let made = in_order(&mend(&made, palette), palette);
                if made.len() > 1 && seen.insert(format!("{made:?}")) {
                    all.push(made);
                }
            }
        }
    }
    all.retain(|made| made.as_slice() != steps);
    all.sort_by_key(|made| (waits(made), made.len()));
    one_of_each_first(&mut all);
    all.truncate(MOST_MADE);
    all
}

/// Nobody knows which steps it is about: so of those with the same kinds of steps in the same order one comes first, then a
/// second one, and so on, each time in the order in which they stand. Steps that wait differently are of two kinds.
fn one_of_each_first(all: &mut Vec<Vec<Step>>) {
    let mut known: HashMap<Vec<(Discriminant<Step>, u32)>, usize> = HashMap::new();
    let mut turn = |made: &Vec<Step>| {
        let mut kinds: Vec<_> = made.iter().map(|step| (discriminant(step), waits(std::slice::from_ref(step)))).collect();
        kinds.dedup();
        let turns = known.entry(kinds).or_default();
        *turns += 1;
        *turns
    };
    let mut turns: Vec<(usize, Vec<Step>)> = std::mem::take(all).into_iter().map(|made| (turn(&made), made)).collect();
    turns.sort_by_key(|(turn, _)| *turn);
    all.extend(turns.into_iter().map(|(_, made)| made));
}

/// The same, and then all readers wait until a heartbeat comes.
fn idle(steps: &[Step], palette: &Palette) -> Vec<Step> {
    let mut all = steps.to_vec();
    if palette.has(Need::Heartbeat) {
        let values: Vec<Value> = steps.iter().map(plain).collect();
        let wait = |reader| Step::Await(Await { reader, upto: Upto::Heartbeat, judges: None });
        all.extend(names(&values, Kind::Reader).into_iter().map(wait));
    }
    all
}
