//! `streamspec simulate`: scenarios on a simulated server, under many schedules.

mod args;
mod findings;
mod table;

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use streamspec_reference_server::bugs::{BUGS, Bug, BugSet};

use super::exit::{self, Ended};
use super::{Complaint, complain, print};
use crate::contract::{CATALOGUE, Level, Profile};
use crate::report::{Paint, plural, thousands};
use crate::scenario::{Capabilities, Scenario, applicable};
use crate::world::sim::campaign::{self, Collector, Determinism, Method, Outcome, Swept};
use crate::world::sim::{Chooser, Schedule, Simulation, judged, simulable};
use args::Bound;
pub(super) use args::SimulateArgs;
use table::TABLE_SEEDS;

/// Runs that shrinking the schedule of one finding may take.
const SHRINK_RUNS: u32 = 2_000;

/// Runs it; the exit code.
pub(super) fn run(args: &SimulateArgs) -> u8 {
    match prepare(args) {
        Ok(prepared) => prepared.run(args),
        Err(complaint) => complain(&complaint),
    }
}

struct Prepared {
    simulation: Simulation,
    scenarios: Vec<Swept>,
    /// Scenarios that do not apply, and why.
    skipped: Vec<(String, String)>,
    paint: Paint,
    jobs: usize,
}

fn prepare(args: &SimulateArgs) -> Result<Prepared, Complaint> {
    for bug in &args.bugs {
        if let Err(why) = simulable(*bug) {
            let name = BUGS.iter().find(|entry| entry.bug == *bug).map_or("", |entry| entry.name);
            return Err(Complaint::Usage(format!(
                "`{name}` cannot be simulated: {why}; find it live with `streamspec test --start 'streamspec serve --bug {name} …'`"
            )));
        }
    }
    let profile = Arc::new(Profile::load(&args.profile)?);
    let mut simulation = Simulation::new(Arc::clone(&profile));
    simulation.bugs = args.bugs.iter().fold(BugSet::default(), |set, bug| set.with(*bug));
    simulation.clock_jumps = args.clock_jumps;
    let mut all = Scenario::built_in(&profile.name)?;
    if let Some(folder) = &args.scenarios {
        all.extend(super::test::own_scenarios(folder)?);
    }
    let can = Capabilities { resources: false, ..Capabilities::all() };
    let (mut scenarios, mut skipped) = (Vec::new(), Vec::new());
    for scenario in all {
        match applicable(&scenario, &profile, &can) {
            Ok(()) => scenarios.push(Swept::new(scenario)),
            Err(why) => skipped.push((scenario.name, why)),
        }
    }
    for only in &args.only {
        if !scenarios.iter().any(|s| wanted(s, only)) {
            let why = match skipped.iter().find(|(name, _)| name == only) {
                Some((_, why)) => format!("the scenario `{only}` does not apply: {why}"),
                None => format!(
                    "no scenario is called `{only}` or written for a requirement that begins so; see `streamspec list scenarios` and `streamspec list requirements`"
                ),
            };
            return Err(Complaint::Usage(why));
        }
    }
    if !args.only.is_empty() {
        scenarios.retain(|s| args.only.iter().any(|only| wanted(s, only)));
        skipped.clear();
        for swept in &mut scenarios {
            if args.only.iter().any(|only| swept.at.iter().any(|at| at.name == *only)) {
                swept.at.retain(|at| args.only.contains(&at.name));
            }
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Prepared { simulation, scenarios, skipped, paint: Paint::for_stdout(), jobs: args.jobs.map_or(cores, usize::from) })
}

fn wanted(swept: &Swept, only: &str) -> bool {
    swept.base.name == only
        || swept.at.iter().any(|at| at.name == only)
        || swept.base.judges.iter().any(|id| id.starts_with(&only.to_uppercase()))
}

impl Prepared {
    fn run(&self, args: &SimulateArgs) -> u8 {
        let stop = Arc::new(AtomicBool::new(false));
        super::test::on_interrupt({
            let stop = Arc::clone(&stop);
            move || stop.swap(true, Ordering::Relaxed)
        });
        print(&format!("{}\n\n", self.paint.bold(&self.heading(args))));
        if self.scenarios.is_empty() {
            print("0 passed, 0 failed, 0 skipped\n");
            return exit::NOTHING_RAN;
        }
        let method = args.pct.map_or(Method::Random, Method::Pct);
        if args.table {
            return self.table(&args.bugs, method, &stop);
        }
        if args.check_determinism {
            return self.determinism(args, method, &stop);
        }
        let began = Instant::now();
        let (outcome, scope) = match (&args.schedule, args.exhaustive) {
            (Some(schedule), _) => match self.one(schedule) {
                Ok(outcome) => (outcome, None),
                Err(complaint) => return complain(&complaint),
            },
            (None, Some(bound)) => {
                let (outcome, scope) = self.exhaust(args, bound, &stop);
                (outcome, Some(scope))
            }
            (None, None) => (campaign::run(&self.simulation, &self.scenarios, args.seeds.clone(), method, self.jobs, &stop), None),
        };
        let seconds = began.elapsed().as_secs_f64();
        let saved = self.findings(args, &outcome);
        for (seed, (scenario, why)) in outcome.aborted.iter().take(5) {
            print(&format!("{} {scenario}, seed {seed}: {}\n", self.paint.bad("not finished"), abort(why)));
        }
        if let Some(scope) = scope {
            print(&scope);
        }
        let code = self.summary(&outcome, seconds, stop.load(Ordering::Relaxed));
        match saved {
            Ok(()) => code,
            Err(why) => {
                eprintln!("error: {why}");
                exit::USAGE
            }
        }
    }

    fn heading(&self, args: &SimulateArgs) -> String {
        let bugs: String = args.bugs.iter().map(|bug| format!(" · bug {}", name_of(*bug))).collect();
        let how = match (&args.schedule, args.exhaustive, args.pct) {
            (Some(schedule), ..) => format!("schedule {schedule}"),
            (None, Some(Bound::All), _) => "every schedule".to_owned(),
            (None, Some(Bound::Deviations(n)), _) => format!("every schedule with at most {}", plural(n as u64, "deviation")),
            (None, None, Some(depth)) => format!("PCT of depth {depth}, seeds {}..{}", args.seeds.start, args.seeds.end),
            (None, None, None) if args.table => format!("seeds 0..{TABLE_SEEDS}"),
            (None, None, None) => format!("seeds {}..{}", args.seeds.start, args.seeds.end),
        };
        let profile = &self.simulation.profile.name;
        format!("streamspec {} · simulation of profile {profile}{bugs} · {how}", env!("CARGO_PKG_VERSION"))
    }

    /// The one scenario that was asked for, under one schedule.
    fn one(&self, schedule: &Schedule) -> Result<Outcome, Complaint> {
        let [Swept { base, at }] = self.scenarios.as_slice() else {
            return Err(Complaint::Usage("a schedule belongs to one scenario: name it with --only".to_owned()));
        };
        let [scenario] = at.as_slice() else {
            return Err(Complaint::Usage(format!(
                "a schedule belongs to one place of the sweep of `{}`: name it, such as --only '{}'",
                base.name, at[0].name
            )));
        };
        let mut collector = Collector::default();
        let run = self.simulation.run(scenario, Chooser::Fixed(schedule.clone()), 0);
        collector.add(&self.simulation, (0, &base.name, scenario), None, run);
        Ok(collector.outcome)
    }

    fn exhaust(&self, args: &SimulateArgs, bound: Bound, stop: &AtomicBool) -> (Outcome, String) {
        let deviations = match bound {
            Bound::All => None,
            Bound::Deviations(n) => Some(n),
        };
        let (mut collector, mut scope) = (Collector::default(), String::new());
        for scenario in self.scenarios.iter().flat_map(|swept| &swept.at) {
            let (schedules, distinct, violations) =
                (collector.outcome.schedules, collector.outcome.distinct, collector.outcome.found.len());
            let whole = campaign::exhaust(&self.simulation, scenario, deviations, args.most, stop, &mut collector);
            let schedules = plural(collector.outcome.schedules - schedules, "schedule");
            let distinct = collector.outcome.distinct - distinct;
            let within = deviations.map_or("in all".to_owned(), |n| format!("with at most {}", plural(n as u64, "deviation")));
            let claim = match (whole, collector.outcome.found.len() - violations) {
                (true, 0) => "no violation within this scope".to_owned(),
                (true, new) => plural(new as u64, "violation"),
                (false, new) => format!("stopped before its end, {} so far", plural(new as u64, "violation")),
            };
            let _ = writeln!(scope, "{}: {schedules} {within}, {} distinct histories: {claim}", scenario.name, thousands(distinct));
        }
        scope.push('\n');
        (collector.outcome, scope)
    }

    fn summary(&self, outcome: &Outcome, seconds: f64, interrupted: bool) -> u8 {
        let failed: std::collections::BTreeSet<&str> = outcome.found.keys().map(|(id, _)| id.as_str()).collect();
        let must = |id: &str| CATALOGUE.iter().any(|r| r.id == id && r.level == Level::Must);
        let violated = failed.iter().filter(|id| must(id)).count();
        let passed = outcome.judged.iter().filter(|(id, _)| judged(id) && !failed.contains(id)).count();
        let rest = CATALOGUE.len() - passed - violated;
        let rate = outcome.schedules as f64 / seconds.max(1e-9);
        if !self.skipped.is_empty() {
            let names: Vec<&str> = self.skipped.iter().map(|(name, _)| name.as_str()).collect();
            print(&format!("{} {}: {}\n", self.paint.dim("not applicable"), plural(names.len() as u64, "scenario"), names.join(", ")));
        }
        print(&format!(
            "{} of {} in {seconds:.1} s ({} a second), {} distinct histories; {} requirements are about bytes or resources and not simulated\n",
            plural(outcome.schedules, "schedule"),
            plural(self.scenarios.len() as u64, "scenario"),
            thousands(rate as u64),
            thousands(outcome.distinct),
            CATALOGUE.iter().filter(|r| !judged(r.id)).count(),
        ));
        print(&format!("{passed} passed, {violated} failed, {rest} skipped\n"));
        Ended {
            violated: violated > 0,
            could_not_test: !outcome.aborted.is_empty(),
            inconclusive: passed == 0 && violated == 0,
            nothing_ran: outcome.schedules == 0,
            interrupted,
            ..Ended::default()
        }
        .code()
    }

    fn determinism(&self, args: &SimulateArgs, method: Method, stop: &AtomicBool) -> u8 {
        let began = Instant::now();
        let Determinism { compared, different, digest } =
            campaign::determinism(&self.simulation, &self.scenarios, args.seeds.clone(), method, stop);
        for seed in different.iter().take(10) {
            let (_, scenario) = campaign::case(&self.scenarios, *seed);
            print(&format!("{} seed {seed} ({}) brought two histories\n", self.paint.bad("UNDETERMINED"), scenario.name));
        }
        print(&format!(
            "{} run twice, and once more by their choices, in {:.1} s\ndigest of all histories: {digest:016x}\n{} passed, {} failed, 0 skipped\n",
            plural(compared, "seed"),
            began.elapsed().as_secs_f64(),
            compared - different.len() as u64,
            different.len()
        ));
        let interrupted = stop.load(Ordering::Relaxed);
        Ended { our_bug: !different.is_empty(), nothing_ran: compared == 0, interrupted, ..Ended::default() }.code()
    }
}

fn name_of(bug: Bug) -> &'static str {
    BUGS.iter().find(|entry| entry.bug == bug).map_or("", |entry| entry.name)
}

fn abort(why: &crate::run::Abort) -> &str {
    match why {
        crate::run::Abort::ServerDied(why) | crate::run::Abort::CouldNot(why) => why,
        crate::run::Abort::Interrupted => "interrupted",
    }
}
