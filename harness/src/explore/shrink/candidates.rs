//! What may be tried instead of a scenario.
//!
//! Removal alone gets stuck where several steps only make sense together, so several are removed, merged or lessened at
//! once as well. What comes of it need neither make sense nor be smaller: that is judged by whoever asks.

use std::collections::BTreeMap;

use serde_json::Value;

use super::names::{Kind, names, of_step, renamed};
use super::{less, settle};
use crate::explore::mend::MOST_READERS;
use crate::history::Retain;
use crate::scenario::{Await, Count, Cut, Evict, Open, Publish, Step, Subscribe, from_plain, plain};

/// Pairs of steps are removed at any distance in scenarios of up to so many steps, and at this distance in longer ones.
const ALL_PAIRS: usize = 12;
const NEAR: usize = 4;
/// So many numbers at most are lessened in pairs.
const MOST_NUMBERS: usize = 8;
/// So many selections of a few steps are tried.
const MOST_SELECTIONS: usize = 400;

/// What may be tried instead of `steps`, the boldest first; what has a higher number is for when nothing else is left.
pub(super) fn of(steps: &[Step]) -> Vec<(u8, Vec<Step>)> {
    let values: Vec<Value> = steps.iter().map(plain).collect();
    let mut first = parts(steps, &values);
    first.extend(crowds(steps, &values));
    first.extend(stretches(steps));
    first.extend(settle::instead(steps));
    first.extend(merged_names(&values));
    first.extend(pairs(steps));
    first.extend(merged_steps(steps));
    first.extend(tight(steps));
    first.extend([1, 2, 4].map(|most| capped(&values, most)));
    for (at, value) in values.iter().enumerate() {
        for step in less::of(&steps[at], value) {
            let mut changed = steps.to_vec();
            changed[at] = step;
            first.push(changed);
        }
    }
    first.extend(numbers_in_pairs(&values));
    first.into_iter().map(|tried| (0, tried)).chain(selections(steps, 4).into_iter().map(|tried| (1, tried))).collect()
}

/// The part of one session or reader alone, and everything but its part.
pub(super) fn parts(steps: &[Step], values: &[Value]) -> Vec<Vec<Step>> {
    let sessions = names(values, Kind::Session);
    let readers = names(values, Kind::Reader);
    // Whoever reads or writes has one session.
    let mut of: BTreeMap<(Kind, String), String> = BTreeMap::new();
    for value in values {
        if let [session] = of_step(value, Kind::Session).as_slice() {
            for kind in [Kind::Reader, Kind::Writer] {
                for name in of_step(value, kind) {
                    of.entry((kind, name)).or_insert_with(|| session.clone());
                }
            }
        }
    }
    let sessions_of = |value: &Value| -> Vec<String> {
        let owners =
            [Kind::Reader, Kind::Writer].into_iter().flat_map(|kind| of_step(value, kind).into_iter().map(move |name| (kind, name)));
        of_step(value, Kind::Session).into_iter().chain(owners.filter_map(|owner| of.get(&owner).cloned())).collect()
    };
    let keep = |kept: &dyn Fn(&Value) -> bool| -> Vec<Step> {
        steps.iter().zip(values).filter(|(_, value)| kept(value)).map(|(step, _)| step.clone()).collect()
    };
    let mut all = Vec::new();
    for reader in readers.iter().filter(|_| readers.len() > 1 || sessions.len() > 1) {
        let session = of.get(&(Kind::Reader, reader.clone()));
        let nobody_else = |value: &Value| of_step(value, Kind::Reader).iter().all(|name| name == reader);
        all.push(keep(&|value| nobody_else(value) && sessions_of(value).iter().all(|name| Some(name) == session)));
        all.push(keep(&nobody_else));
    }
    if sessions.len() > 1 {
        all.extend(sessions.iter().map(|session| keep(&|value| sessions_of(value).iter().all(|name| name == session))));
        all.extend(sessions.iter().map(|session| keep(&|value| !sessions_of(value).contains(session))));
    }
    all.extend(readers.iter().map(|reader| keep(&|value| !of_step(value, Kind::Reader).contains(reader))));
    all
}

/// One step with very many readers instead of some, and nobody else's: how many connections there are may be all that matters.
pub(super) fn crowds(steps: &[Step], values: &[Value]) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let Step::Subscribe(some) = step else { continue };
        if some.readers <= 1 {
            continue;
        }
        let others = |value: &Value| of_step(value, Kind::Reader).iter().any(|name| *name != some.reader);
        let crowd = Step::Subscribe(Subscribe { readers: MOST_READERS, ..some.clone() });
        let kept = steps.iter().zip(values).enumerate().filter(|(nth, (_, value))| *nth == at || !others(value));
        all.push(kept.map(|(nth, (step, _))| if nth == at { crowd.clone() } else { step.clone() }).collect());
    }
    all
}

/// Without a half of the steps, without a quarter, and so on down to one.
fn stretches(steps: &[Step]) -> Vec<Vec<Step>> {
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
    all
}

/// One session for two, one reader for two.
fn merged_names(values: &[Value]) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    for kind in [Kind::Session, Kind::Reader] {
        let names = names(values, kind);
        for (at, name) in names.iter().enumerate().skip(1) {
            all.push(renamed(values, kind, &BTreeMap::from([(name.clone(), names[0].clone())])));
            if at > 1 {
                all.push(renamed(values, kind, &BTreeMap::from([(name.clone(), names[at - 1].clone())])));
            }
        }
    }
    all
}

/// Without two steps that only make sense together.
fn pairs(steps: &[Step]) -> Vec<Vec<Step>> {
    let reach = if steps.len() <= ALL_PAIRS { ALL_PAIRS } else { NEAR };
    let mut all = Vec::new();
    for one in 0..steps.len() {
        for other in (one + 1..steps.len()).take(reach) {
            let without = |at: &usize| *at != one && *at != other;
            all.push((0..steps.len()).filter(without).map(|at| steps[at].clone()).collect());
        }
    }
    all
}

/// One step for two that do the same, or that one step can say.
fn merged_steps(steps: &[Step]) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        for (later, other) in steps.iter().enumerate().skip(at + 1) {
            match (step, other) {
                // At the place of the one or of the other, and as the other says.
                (Step::Publish(one), Step::Publish(other)) => {
                    if let Some(sum) = published_together(one, other) {
                        let sum = Step::Publish(sum);
                        all.push([&steps[..at], &steps[at + 1..later], std::slice::from_ref(&sum), &steps[later + 1..]].concat());
                        all.push([&steps[..at], &[sum], &steps[at + 1..later], &steps[later + 1..]].concat());
                    }
                }
                (Step::Subscribe(one), Step::Subscribe(other)) if one.session == other.session => {
                    let both = Step::Subscribe(Subscribe { readers: one.readers.max(1) + other.readers.max(1), ..one.clone() });
                    all.push([&steps[..at], &[both], &steps[at + 1..later], &steps[later + 1..]].concat());
                }
                // To wait for an event and cut then is to cut behind an event.
                (Step::Await(Await { reader, .. }), Step::Cut(cut)) if later == at + 1 && *reader == cut.reader => {
                    let behind_one = Step::Cut(Cut { after_events: Some(Count::N(1)), ..cut.clone() });
                    all.push([&steps[..at], &[behind_one], &steps[later + 1..]].concat());
                }
                _ => {}
            }
        }
    }
    all
}

/// The events of both.
fn published_together(one: &Publish, other: &Publish) -> Option<Publish> {
    let alone = |publish: &Publish| publish.retry || publish.fault.is_some() || publish.again.is_some();
    if one.session != other.session || one.durable != other.durable || alone(one) || alone(other) {
        return None;
    }
    let (Count::N(first), Count::N(second)) = (one.count, other.count) else { return None };
    Some(Publish { count: Count::N(first.saturating_add(second)), ..other.clone() })
}

/// With bounds of one event, which any two publishes exceed: by number, whatever they were by, and without steps of their own
/// for it; and each of both alone.
fn tight(steps: &[Step]) -> Vec<Vec<Step>> {
    let by_number = |step: &Step| match step {
        Step::Open(Open { session, retain: Some(_), refuse: false, reborn_of, unwatched }) => Step::Open(Open {
            session: session.clone(),
            retain: Some(Retain { records: Some(1), ..Retain::default() }),
            refuse: false,
            reborn_of: reborn_of.clone(),
            unwatched: *unwatched,
        }),
        other => other.clone(),
    };
    let published = |step: &Step| match step {
        Step::Evict(Evict { session, .. }) => Step::Publish(Publish::plain(session, 2)),
        other => other.clone(),
    };
    let bounded = steps.iter().any(|step| matches!(step, Step::Open(Open { retain: Some(_), refuse: false, .. })));
    let evicts = steps.iter().any(|step| matches!(step, Step::Evict(_)));
    let mut all = Vec::new();
    if bounded && evicts {
        all.push(steps.iter().map(by_number).map(|step| published(&step)).collect());
    }
    if bounded {
        all.push(steps.iter().map(by_number).collect());
    }
    all
}

/// With no number above `most`.
pub(super) fn capped(values: &[Value], most: u64) -> Vec<Step> {
    let mut values = values.to_vec();
    values.iter_mut().for_each(|value| {
        each_number(value, &mut |n| *n = (*n).min(most));
    });
    values.iter().filter_map(from_plain).collect()
}

/// With two numbers less by one, or halved: a bound and what exceeds it, a place and the events before it.
fn numbers_in_pairs(values: &[Value]) -> Vec<Vec<Step>> {
    let mut count = 0;
    values.to_vec().iter_mut().for_each(|value| each_number(value, &mut |_| count += 1));
    let count = if count <= MOST_NUMBERS { count } else { 0 };
    let mut all = Vec::new();
    for one in 0..count {
        for other in one + 1..count {
            for less in [|n: u64| n / 2, |n: u64| n.saturating_sub(1)] {
                let mut at = 0;
                let mut values = values.to_vec();
                values.iter_mut().for_each(|value| {
                    each_number(value, &mut |n| {
                        if at == one || at == other {
                            *n = less(*n);
                        }
                        at += 1;
                    });
                });
                all.push(values.iter().filter_map(from_plain).collect());
            }
        }
    }
    all
}

fn each_number(value: &mut Value, with: &mut dyn FnMut(&mut u64)) {
    match value {
        Value::Number(number) => {
            if let Some(mut n) = number.as_u64() {
                with(&mut n);
                *value = Value::from(n);
            }
        }
        Value::Object(map) => map.values_mut().for_each(|inner| each_number(inner, with)),
        Value::Array(items) => items.iter_mut().for_each(|inner| each_number(inner, with)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Two to `most` of the steps, in every choice of them, the fewest first.
pub(super) fn selections(steps: &[Step], most: usize) -> Vec<Vec<Step>> {
    fn choose(from: usize, of: usize, left: usize, chosen: &mut Vec<usize>, with: &mut dyn FnMut(&[usize])) {
        if left == 0 {
            with(chosen);
            return;
        }
        for at in from..=of - left {
            chosen.push(at);
            choose(at + 1, of, left - 1, chosen, with);
            chosen.pop();
        }
    }
    let mut all: Vec<Vec<Step>> = Vec::new();
    for size in 2..=most.min(steps.len().saturating_sub(1)) {
        choose(0, steps.len(), size, &mut Vec::new(), &mut |chosen| {
            if all.len() < MOST_SELECTIONS {
                all.push(chosen.iter().map(|at| steps[*at].clone()).collect());
            }
        });
    }
    all
}
