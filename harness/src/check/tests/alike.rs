//! What checkers are spared changes nothing that they find: a view that goes on from another one, and stretches that nobody
//! walks over.

use std::sync::Arc;

use streamspec_reference_server::bugs::{Bug, BugSet};

use crate::check::{Verdict, judge, look_at, look_from};
use crate::contract::Profile;
use crate::history::{History, Micros, View, What};
use crate::scenario::{Capabilities, Scenario, Step, applicable};
use crate::world::sim::campaign::{Collector, Swept, case, violated};
use crate::world::sim::{Chooser, Generator, Simulation};

/// Histories of all scenarios of some profiles, of right servers and of some that are not, each as it came and disturbed.
fn histories(mut judged: impl FnMut(&History, &Profile, &mut Generator)) {
    let can = Capabilities { resources: false, ..Capabilities::all() };
    let bugs = [None, Some(Bug::ReplayInclusive), Some(Bug::ReadBeforeRegister), Some(Bug::AckBeforeDurable)];
    for name in ["sse", "opencode-live", "hermes-session", "dispatch"] {
        let profile = Arc::new(Profile::load(name).unwrap());
        let scenarios: Vec<Swept> =
            Scenario::built_in(name).unwrap().into_iter().filter(|s| applicable(s, &profile, &can).is_ok()).map(Swept::new).collect();
        for (nth, bug) in bugs.into_iter().enumerate() {
            let bugs = bug.map_or_else(BugSet::default, |bug| BugSet::default().with(bug));
            let simulation = Simulation { bugs, ..Simulation::new(Arc::clone(&profile)) };
            for seed in (0..scenarios.len() as u64).map(|seed| seed + (nth * scenarios.len()) as u64) {
                let mut generator = Generator::new(seed);
                let mut history = simulation.run(case(&scenarios, seed).1, Chooser::random(seed), seed).history;
                judged(&history, &profile, &mut generator);
                for _ in 0..3 {
                    disturb(&mut history, &mut generator);
                    judged(&history, &profile, &mut generator);
                }
            }
        }
    }
}

/// Drops, repeats, exchanges or alters an observation.
fn disturb(history: &mut History, generator: &mut Generator) {
    let records = &mut history.records;
    let deliveries: Vec<usize> = (0..records.len()).filter(|at| matches!(records[*at].what, What::Delivery(_))).collect();
    let (any, other) = (generator.below(records.len()), generator.below(records.len()));
    let Some(at) = (!deliveries.is_empty()).then(|| deliveries[generator.below(deliveries.len())]) else { return };
    match generator.below(6) {
        0 => drop(records.remove(any)),
        1 => drop(records.remove(at)),
        2 => {
            let again = records[at].clone();
            records.insert(at + 1, again);
        }
        3 => {
            let last = deliveries[generator.below(deliveries.len())];
            let what = records[at].what.clone();
            records[at].what = std::mem::replace(&mut records[last].what, what);
        }
        4 => records[any].at = Micros(records[any].at.0 + generator.below(50) as u64),
        _ => records.swap(any, other),
    }
}

fn assert_same(found: &[Verdict], expected: &[Verdict], history: &History) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected, "{} of {}, seed {}", found.requirement, history.header.scenario, history.header.seed);
    }
}

#[test]
fn a_view_that_goes_on_from_a_beginning_is_judged_as_one_of_the_whole() {
    let mut views = 0;
    histories(|history, profile, generator| {
        let beginning = View::of_records(&history.records[..generator.below(history.records.len() + 1)]);
        assert_same(&look_from(&beginning, history, profile).verdicts(), &judge(history, profile), history);
        views += 1;
    });
    assert!(views > 1_000, "{views}");
}

#[test]
fn stretches_are_judged_as_what_is_walked_over() {
    let mut stretches = 0;
    histories(|history, profile, _| {
        let mut view = View::of(history);
        for conn in &mut view.conns {
            stretches += conn.stretches.iter().filter(|stretch| stretch.len() > 3).count();
            conn.stretches.clear();
        }
        assert_same(&judge(history, profile), &look_at(view, profile).verdicts(), history);
    });
    assert!(stretches > 1_000, "{stretches}");
}

#[test]
fn runs_that_share_a_beginning_are_judged_as_if_they_did_not() {
    let profile = Arc::new(Profile::load("sse").unwrap());
    let can = Capabilities { resources: false, ..Capabilities::all() };
    let (mut shared, mut broken) = (0, 0);
    for (nth, mut scenario) in (0..).zip(Scenario::built_in("sse").unwrap().into_iter().filter(|s| applicable(s, &profile, &can).is_ok())) {
        // Without a witness from the beginning most scenarios share theirs.
        for step in &mut scenario.steps {
            if let Step::Open(open) = step {
                open.unwatched = true;
            }
        }
        let scenario = Swept::new(scenario).at.swap_remove(0);
        for bugs in [BugSet::default(), BugSet::default().with(Bug::AckBeforeDurable), BugSet::default().with(Bug::ReplayInclusive)] {
            let simulation = Simulation { bugs, ..Simulation::new(Arc::clone(&profile)) };
            let prepared = simulation.prepare(&scenario);
            let beginning = prepared.beginning();
            shared += u32::from(beginning.is_some());
            let (mut on, mut whole) = (Collector::default(), Collector::default());
            for seed in nth..nth + 3 {
                let run = || prepared.run(Chooser::random(seed), seed);
                let which = (seed, scenario.name.as_str(), &scenario);
                assert_eq!(on.add(&simulation, which, beginning.as_ref(), run()), whole.add(&simulation, which, None, run()));
            }
            let found = |collector: &Collector| {
                let all = collector.outcome.found.iter();
                all.map(|(key, found)| (key.clone(), found.seed, found.verdicts.clone())).collect::<Vec<_>>()
            };
            assert_eq!(on.outcome.judged, whole.outcome.judged, "{}", scenario.name);
            assert_eq!(found(&on), found(&whole), "{}", scenario.name);
            broken += found(&on).iter().filter(|(_, _, verdicts)| violated(verdicts).next().is_some()).count();
        }
    }
    assert!(shared > 50 && broken > 10, "{shared} beginnings were shared, {broken} violations found");
}
