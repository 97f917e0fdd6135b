use super::*;
use crate::check::{Finding, judge};
use crate::scenario::{Capabilities, applicable, at, places};

fn simulation() -> Simulation {
    Simulation::new(Arc::new(Profile::load("sse").unwrap()))
}

/// Every built-in scenario that can be simulated, once for each place of its sweep.
fn cases() -> Vec<Scenario> {
    let profile = Profile::load("sse").unwrap();
    let can = Capabilities { resources: false, ..Capabilities::all() };
    let all = Scenario::built_in("sse").unwrap().into_iter().filter(|s| applicable(s, &profile, &can).is_ok());
    all.flat_map(|s| {
        places(&s).map_or_else(|| vec![0], |sweep| sweep.places).into_iter().map(move |place| at(&s, place)).collect::<Vec<_>>()
    })
    .collect()
}

fn violated(run: &Run, profile: &Profile) -> Vec<String> {
    let verdicts = judge(&run.history, profile).into_iter().filter(|v| judged(&v.requirement));
    verdicts
        .filter_map(|v| match v.finding {
            Finding::Fail { violations, .. } => Some(format!("{}: {}", v.requirement, violations[0].says)),
            Finding::Pass { .. } | Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => None,
        })
        .collect()
}

#[test]
fn the_right_server_violates_nothing_in_any_scenario() {
    let simulation = simulation();
    let mut alarms = Vec::new();
    for scenario in cases() {
        for seed in 0..4 {
            let chooser = if seed == 0 { Chooser::Fixed(Schedule::default()) } else { Chooser::random(seed) };
            let run = simulation.run(&scenario, chooser, seed);
            let found = violated(&run, &simulation.profile);
            if !found.is_empty() || run.aborted.is_some() {
                alarms.push((scenario.name.clone(), seed, found, run.aborted));
            }
        }
    }
    assert!(alarms.is_empty(), "{} alarms, such as {:#?}", alarms.len(), &alarms[..alarms.len().min(12)]);
}
