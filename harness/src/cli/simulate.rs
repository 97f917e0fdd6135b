//! `streamspec simulate`: scenarios on a simulated server, under many schedules.

use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use streamspec_reference_server::bugs::{BUGS, Bug, BugEntry, BugSet};

use super::exit::{self, Ended};
use super::{Complaint, complain, print};
use crate::check::Finding;
use crate::contract::{CATALOGUE, Level, Profile};
use crate::report::{Failure, Page, Paint, plural, thousands, timeline, write_failure};
use crate::scenario::{Capabilities, Scenario, applicable};
use crate::world::sim::campaign::{self, Collector, Found, Method, Outcome, Swept};
use crate::world::sim::{Chooser, Run, Schedule, Simulation, judged, simulable};

/// Runs that shrinking one finding may take.
const SHRINK_RUNS: u32 = 2_000;
/// Schedules after which an exhaustive search of one scenario is given up, unless `--most` says otherwise.
const MOST_EXHAUSTIVE: u64 = 1_000_000;
/// Within how many schedules `--table` looks for a bug.
const TABLE_SEEDS: u64 = 2_000;

/// What to simulate, and how.
#[derive(Clone, Debug, Args)]
#[command(after_help = exit::TABLE)]
pub(super) struct SimulateArgs {
    /// The protocol whose contract the simulated server keeps: a built-in profile's name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "sse")]
    profile: String,
    /// Only scenarios of this name, at one place of their sweep (`name[7]`) or at all, or written for requirements whose id
    /// begins so; may be repeated
    #[arg(long, value_name = "ID|SCENARIO")]
    only: Vec<String>,
    /// Scenarios of your own: a folder, whose *.toml are run beside the built-in ones
    #[arg(long, value_name = "DIR")]
    scenarios: Option<PathBuf>,
    /// Which seeds; each stands for a scenario and a schedule
    #[arg(long, value_name = "FROM..TO", value_parser = seeds, default_value = "0..10000", conflicts_with_all = ["exhaustive", "schedule"])]
    seeds: Range<u64>,
    /// Choose by priorities that change DEPTH - 1 times (PCT) instead of at random
    #[arg(long, value_name = "DEPTH", value_parser = clap::value_parser!(u32).range(1..=50), conflicts_with_all = ["exhaustive", "schedule"])]
    pct: Option<u32>,
    /// Run every schedule that differs from the calm one in at most N choices; without N, every schedule there is
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = bound)]
    exhaustive: Option<Bound>,
    /// Give up an exhaustive search of one scenario after this many schedules
    #[arg(long, value_name = "N", requires = "exhaustive", default_value_t = MOST_EXHAUSTIVE)]
    most: u64,
    /// Run the one scenario that --only names under this schedule, as a finding shows it
    #[arg(long, value_name = "CHOICES", conflicts_with = "exhaustive")]
    schedule: Option<Schedule>,
    /// Switch a defect of the simulated server on; may be repeated
    #[arg(long = "bug", value_name = "NAME")]
    bugs: Vec<Bug>,
    /// Let the server's clock jump by an hour, back or forth, while it is restarted
    #[arg(long)]
    clock_jumps: bool,
    /// Run every seed twice, and once more by its recorded choices, and compare the histories byte for byte
    #[arg(long, conflicts_with_all = ["exhaustive", "schedule"])]
    check_determinism: bool,
    /// For every defect that can be simulated: how many schedules until its requirement finds it
    #[arg(long, conflicts_with_all = ["exhaustive", "schedule", "bugs", "check_determinism"])]
    table: bool,
    /// Write each finding's scenario and history into this folder
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// On how many threads
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

/// How far an exhaustive search goes.
#[derive(Clone, Copy, Debug)]
enum Bound {
    All,
    Deviations(usize),
}

fn bound(text: &str) -> Result<Bound, String> {
    match text {
        "all" => Ok(Bound::All),
        number => number.parse().map(Bound::Deviations).map_err(|_| format!("`{text}` is no number of choices")),
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("`{text}` is no range of seeds; write 0..100000, or 17 for one");
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).map_err(|_| wrong()),
        None => text.parse::<u64>().map_err(|_| wrong()),
    };
    match text.split_once("..") {
        Some((from, to)) => {
            let range = number(from)?..number(to)?;
            if range.is_empty() { Err(format!("there is no seed in {text}")) } else { Ok(range) }
        }
        None => number(text).map(|one| one..one.saturating_add(1)),
    }
}

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
            return self.table(method, &stop);
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
        collector.add(&self.simulation, 0, &base.name, scenario, run);
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

    /// Shrinks and shows what was found; writes it down where asked to.
    fn findings(&self, args: &SimulateArgs, outcome: &Outcome) -> Result<(), String> {
        for ((id, shape), found) in &outcome.found {
            let smallest = self.smallest(found, id, shape);
            let Some(requirement) = CATALOGUE.iter().find(|r| r.id == *id) else { continue };
            let word = if requirement.level == Level::Must { self.paint.bad("FAILED") } else { self.paint.warn("WARNING") };
            let level = format!("{:?}", requirement.level).to_uppercase();
            let mut out = format!("{word} {} ({level}): {}\n", self.paint.bold(id), requirement.says);
            if let Some(failure) = smallest.failure(id, shape) {
                write_failure(&mut out, &failure, Page::of_stdout());
            }
            let _ = writeln!(
                out,
                "  schedule: seed {}, {} choices; {} after {}: {}",
                found.seed,
                found.schedule.0.len(),
                plural(smallest.schedule.deviations() as u64, "deviation"),
                plural(u64::from(smallest.runs), "run"),
                smallest.schedule
            );
            let _ = writeln!(out, "  likely:   {}", requirement.likely);
            let _ = writeln!(out, "  spec:     {}", requirement.source);
            let _ = writeln!(out, "  rerun:    {}", self.again(args, found, &smallest.schedule));
            if let Some(folder) = &args.save {
                let stem =
                    save(folder, found, id, shape, &smallest).map_err(|why| format!("cannot write into {}: {why}", folder.display()))?;
                let _ = writeln!(out, "  live:     {}", self.live(args, folder, &stem));
            }
            out.push('\n');
            print(&out);
        }
        Ok(())
    }

    fn smallest(&self, found: &Found, id: &str, shape: &str) -> Smallest {
        let same = |run: &Run| {
            let verdicts = crate::check::judge(&run.history, &self.simulation.profile);
            campaign::violated(&verdicts).any(|(other, form)| other == id && form == shape)
        };
        let (schedule, runs) = campaign::shrink(&self.simulation, &found.scenario, &found.schedule, SHRINK_RUNS, same);
        let run = self.simulation.run(&found.scenario, Chooser::Fixed(schedule.clone()), found.seed);
        let verdicts = crate::check::judge(&run.history, &self.simulation.profile);
        Smallest { schedule, runs, run, verdicts, case: found.scenario.name.clone(), base: found.base.clone() }
    }

    fn again(&self, args: &SimulateArgs, found: &Found, schedule: &Schedule) -> String {
        let mut again = "streamspec simulate".to_owned();
        if args.profile != "sse" {
            let _ = write!(again, " --profile {}", args.profile);
        }
        for bug in &args.bugs {
            let _ = write!(again, " --bug {}", name_of(*bug));
        }
        if let Some(folder) = &args.scenarios {
            let _ = write!(again, " --scenarios {}", folder.display());
        }
        if args.clock_jumps {
            again.push_str(" --clock-jumps");
        }
        let quote = if found.scenario.name.contains('[') { "'" } else { "" };
        let _ = write!(again, " --only {quote}{}{quote} --schedule {schedule}", found.scenario.name);
        again
    }

    fn live(&self, args: &SimulateArgs, folder: &Path, stem: &str) -> String {
        let bugs: String = args.bugs.iter().map(|bug| format!(" --bug {}", name_of(*bug))).collect();
        format!(
            "streamspec test --start 'streamspec serve --port {{port}} --data {{dir}} --heartbeat 500ms{bugs}' --profile {} --scenarios {} --only {stem}",
            args.profile,
            folder.display()
        )
    }

    fn summary(&self, outcome: &Outcome, seconds: f64, interrupted: bool) -> u8 {
        let failed: std::collections::BTreeSet<&str> = outcome.found.keys().map(|(id, _)| id.as_str()).collect();
        let must = |id: &str| CATALOGUE.iter().any(|r| r.id == id && r.level == Level::Must);
        let violated = failed.iter().filter(|id| must(id)).count();
        let passed = outcome.judged.iter().filter(|(id, times)| judged(id) && **times > 0 && !failed.contains(id.as_str())).count();
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
        let (compared, different) = campaign::undetermined(&self.simulation, &self.scenarios, args.seeds.clone(), method, stop);
        for seed in different.iter().take(10) {
            let (_, scenario) = campaign::case(&self.scenarios, *seed);
            print(&format!("{} seed {seed} ({}) brought two histories\n", self.paint.bad("UNDETERMINED"), scenario.name));
        }
        print(&format!(
            "{} run twice, and once more by their choices, in {:.1} s\n{} passed, {} failed, 0 skipped\n",
            plural(compared, "seed"),
            began.elapsed().as_secs_f64(),
            compared - different.len() as u64,
            different.len()
        ));
        let interrupted = stop.load(Ordering::Relaxed);
        Ended { our_bug: !different.is_empty(), nothing_ran: compared == 0, interrupted, ..Ended::default() }.code()
    }

    /// For each defect how many schedules it takes until the requirement that it names is violated.
    fn table(&self, method: Method, stop: &AtomicBool) -> u8 {
        let (mut found, mut missed, mut skipped) = (0, 0, 0);
        for entry in BUGS {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            if let Err(why) = simulable(entry.bug) {
                skipped += 1;
                print(&format!("{:<9} {:<24} {:<12} {why}\n", self.paint.dim("skipped"), entry.name, entry.killed_by));
                continue;
            }
            let began = Instant::now();
            match self.hunt(entry, method) {
                Some((after, scenario, smallest)) => {
                    found += 1;
                    print(&format!(
                        "{:<9} {:<24} {:<12} after {after:>5}, in {scenario}, by {} ({:.1} s)\n",
                        self.paint.good("found"),
                        entry.name,
                        entry.killed_by,
                        plural(smallest.deviations() as u64, "deviation"),
                        began.elapsed().as_secs_f64()
                    ));
                }
                None => {
                    missed += 1;
                    print(&format!(
                        "{:<9} {:<24} {:<12} by none of {TABLE_SEEDS} schedules ({:.1} s)\n",
                        self.paint.bad("MISSED"),
                        entry.name,
                        entry.killed_by,
                        began.elapsed().as_secs_f64()
                    ));
                }
            }
        }
        print(&format!("\n{found} passed, {missed} failed, {skipped} skipped\n"));
        if missed > 0 { exit::VIOLATED } else { exit::OK }
    }

    fn hunt(&self, entry: &BugEntry, method: Method) -> Option<(u64, String, Schedule)> {
        let simulation = Simulation { bugs: BugSet::default().with(entry.bug), ..self.simulation.clone() };
        let kills = |run: &Run| {
            let verdicts = crate::check::judge(&run.history, &simulation.profile);
            campaign::violated(&verdicts).any(|(id, _)| id == entry.killed_by)
        };
        (0..TABLE_SEEDS).find_map(|seed| {
            let (_, scenario) = campaign::case(&self.scenarios, seed);
            let run = simulation.run(scenario, method.chooser(seed), seed);
            kills(&run).then(|| {
                let (schedule, _) = campaign::shrink(&simulation, scenario, &run.schedule, SHRINK_RUNS, kills);
                (seed + 1, scenario.name.clone(), schedule)
            })
        })
    }
}

/// A finding under the smallest schedule that shows it.
struct Smallest {
    schedule: Schedule,
    runs: u32,
    run: Run,
    verdicts: Vec<crate::check::Verdict>,
    case: String,
    base: String,
}

impl Smallest {
    fn failure(&self, id: &str, shape: &str) -> Option<Failure> {
        let of = self.verdicts.iter().find(|v| v.requirement == id)?;
        let Finding::Fail { violations, .. } = &of.finding else { return None };
        let violation = violations.iter().find(|v| v.shape == shape)?;
        Some(Failure {
            case: self.case.clone(),
            scenario: self.base.clone(),
            violation: violation.clone(),
            timeline: timeline(&self.run.history, violation),
            curl: None,
        })
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

/// Writes the scenario, ready to be run live, and the history beside it; the scenario's name.
fn save(folder: &Path, found: &Found, id: &str, shape: &str, smallest: &Smallest) -> Result<String, String> {
    let plain = |text: &str| text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>();
    let stem = format!("{}-{}-{}", plain(id), plain(shape), plain(found.scenario.name.trim_end_matches(']')));
    let mut scenario = found.scenario.clone();
    scenario.name.clone_from(&stem);
    scenario.judges = vec![id.to_owned()];
    let toml = toml::to_string(&scenario).map_err(|e| e.to_string())?;
    let text =
        format!("# Found by simulation under the schedule {}; `streamspec test --scenarios` runs it live.\n{toml}", smallest.schedule);
    // What cannot be read again is of no use to anybody.
    Scenario::parse(&format!("{stem}.toml"), &text).map_err(|e| e.to_string())?;
    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    let file = tempfile::NamedTempFile::new_in(folder).map_err(|e| e.to_string())?;
    std::fs::write(file.path(), text).map_err(|e| e.to_string())?;
    file.persist(folder.join(format!("{stem}.toml"))).map_err(|e| e.to_string())?;
    smallest.run.history.save(&folder.join(format!("{stem}.ndjson"))).map_err(|e| e.to_string())?;
    Ok(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_one() {
        assert_eq!(seeds("0..10"), Ok(0..10));
        assert_eq!(seeds("0x10"), Ok(16..17));
        for bad in ["", "x", "5..5", "9..1", "1..x"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
    }
}
