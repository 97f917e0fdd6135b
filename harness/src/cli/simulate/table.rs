//! `--table`: how soon random schedules find each defect, and how small the scenario that shows it can be made.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use streamspec_reference_server::bugs::{BUGS, Bug, BugEntry, BugSet};

use super::{Prepared, SHRINK_RUNS};
use crate::cli::{exit, print};
use crate::explore::{Palette, Small, smallest_by};
use crate::report::{ended_early, plural};
use crate::scenario::{Capabilities, Scenario};
use crate::world::sim::campaign::{self, Method};
use crate::world::sim::{Chooser, Run, Simulation, simulable};

/// Within how many schedules `--table` looks for a defect.
pub(super) const TABLE_SEEDS: u64 = 2_000;
/// How often it looks, each time with other seeds; the median counts.
const HUNTS: u64 = 5;
/// Under how many random schedules a smaller scenario may show the defect; the calm one is tried first.
const TRIES: u64 = 12;
/// Scenarios that may be tried to make that of one defect smaller.
const SCENARIO_RUNS: u32 = 20_000;
/// Observations that all their runs may come to, and those for its schedule as well: a scenario of large bursts is not tried
/// so often as one of a few events.
const OBSERVATIONS: u64 = 4_000_000;
/// How small a scenario should become: steps, and faults among them.
const SMALL: (usize, usize) = (6, 2);

/// How a defect was found.
struct Caught {
    /// After how many schedules, by the median of the hunts.
    median: u64,
    /// The scenario in which it was found first.
    scenario: String,
    /// That scenario shrunk.
    small: Small,
    /// In how many choices its schedule must differ from the calm one.
    deviations: usize,
    /// True when something smaller may be left that was not tried.
    gave_up: bool,
}

/// What became of the search for one defect.
enum Sought {
    Caught(Box<Caught>),
    Missed,
    /// It cannot be simulated, for this reason.
    Skipped(&'static str),
}

impl Prepared {
    /// For each defect, or those of `only`, how many schedules it takes until the requirement that it names is violated, and
    /// how small the scenario becomes.
    pub(super) fn table(&self, only: &[Bug], method: Method, stop: &AtomicBool) -> u8 {
        let asked: Vec<&BugEntry> = BUGS.iter().filter(|entry| only.is_empty() || only.contains(&entry.bug)).collect();
        let (next, (tell, told)) = (AtomicUsize::new(0), mpsc::channel());
        let mut sum = Sum::default();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(asked.len()) {
                let (tell, next, asked) = (tell.clone(), &next, &asked);
                scope.spawn(move || {
                    loop {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        let Some(entry) = asked.get(nth).filter(|_| !stop.load(Ordering::Relaxed)) else { return };
                        if tell.send((nth, self.seek(entry, method))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(tell);
            // In the order of the catalogue, whoever was found first.
            let (mut early, mut shown) = (BTreeMap::new(), 0);
            for (nth, sought) in told {
                early.insert(nth, sought);
                while let Some(sought) = early.remove(&shown) {
                    self.show(asked[shown], sought, &mut sum);
                    shown += 1;
                }
            }
        });
        sum.print();
        if sum.missed > 0 { exit::VIOLATED } else { exit::OK }
    }

    fn show(&self, entry: &BugEntry, sought: Sought, sum: &mut Sum) {
        let name = |word: String| format!("{word:<9} {:<24} {:<12}", entry.name, entry.killed_by);
        match sought {
            Sought::Caught(found) => {
                let Caught { median, scenario, small, deviations, gave_up } = &*found;
                let size = format!("{}, {}", plural(small.steps as u64, "step"), plural(small.faults as u64, "fault"));
                let schedule = plural(*deviations as u64, "deviation");
                let gave_up = ended_early(*gave_up);
                print(&format!("{} after {median:>4}: {size}, {schedule}; from {scenario}{gave_up}\n", name(self.paint.good("found"))));
                sum.caught.push(*found);
            }
            Sought::Missed => {
                sum.missed += 1;
                print(&format!("{} by none of {TABLE_SEEDS} schedules\n", name(self.paint.bad("MISSED"))));
            }
            Sought::Skipped(why) => {
                sum.skipped += 1;
                print(&format!("{} {why}\n", name(self.paint.dim("skipped"))));
            }
        }
    }

    /// Looks for a defect several times; it is missed when the first seeds do not find it.
    fn seek(&self, entry: &BugEntry, method: Method) -> Sought {
        if let Err(why) = simulable(entry.bug) {
            return Sought::Skipped(why);
        }
        let simulation = Simulation { bugs: BugSet::default().with(entry.bug), ..self.simulation.clone() };
        let kills = |run: &Run| campaign::breaks(&simulation, run, entry.killed_by);
        let hunt = |nth: u64| {
            (nth * TABLE_SEEDS..(nth + 1) * TABLE_SEEDS).find_map(|seed| {
                let (_, scenario) = campaign::case(&self.scenarios, seed);
                let run = simulation.run(scenario, method.chooser(seed), seed);
                kills(&run).then(|| (seed % TABLE_SEEDS + 1, scenario, run))
            })
        };
        let Some(first) = hunt(0) else { return Sought::Missed };
        let found: Vec<_> = std::iter::once(Some(first)).chain((1..HUNTS).map(hunt)).collect();
        let mut after: Vec<u64> = found.iter().map(|found| found.as_ref().map_or(TABLE_SEEDS + 1, |(after, ..)| *after)).collect();
        after.sort_unstable();
        // What takes least to run is made small soonest.
        let shortest = found.into_iter().flatten().min_by_key(|(_, _, run)| run.history.records.len());
        let Some((_, scenario, Run { schedule, .. })) = shortest else { return Sought::Missed };

        let left = Cell::new(OBSERVATIONS);
        let choosers = || std::iter::once(Chooser::Fixed(Default::default())).chain((0..TRIES).map(Chooser::random));
        let run = |scenario: &Scenario, chooser| {
            let run = simulation.run(scenario, chooser, 0);
            left.set(left.get().saturating_sub(run.history.records.len() as u64));
            run
        };
        let shows = |scenario: &Scenario| choosers().map(|chooser| run(scenario, chooser)).find(kills);
        let palette = Palette::new(Arc::clone(&simulation.profile), Capabilities::all(), &[]);
        let small = smallest_by(scenario, &palette, SCENARIO_RUNS, |smaller| left.get() > 0 && shows(smaller).is_some());
        let schedule = shows(&small.scenario).map_or(schedule, |run| run.schedule);
        let mut gave_up = small.gave_up || left.replace(OBSERVATIONS) == 0;
        let counted = |run: &Run| {
            left.set(left.get().saturating_sub(run.history.records.len() as u64));
            left.get() > 0 && kills(run)
        };
        let shrunk = campaign::shrink(&simulation, &small.scenario, &schedule, SHRINK_RUNS, counted);
        gave_up |= shrunk.gave_up || left.get() == 0;
        let (median, deviations) = (after[after.len() / 2], shrunk.schedule.deviations());
        Sought::Caught(Box::new(Caught { median, scenario: scenario.name.clone(), small, deviations, gave_up }))
    }
}

/// What all of them come to.
#[derive(Default)]
struct Sum {
    caught: Vec<Caught>,
    missed: usize,
    skipped: usize,
}

impl Sum {
    fn print(&self) {
        let Sum { caught, missed, skipped } = self;
        if !caught.is_empty() {
            let mut medians: Vec<u64> = caught.iter().map(|c| c.median).collect();
            medians.sort_unstable();
            let small = caught.iter().filter(|c| c.small.steps <= SMALL.0 && c.small.faults <= SMALL.1).count();
            let calm = caught.iter().filter(|c| c.deviations == 0).count();
            print(&format!(
                "\nfound after {} schedules (median), {} at the latest; {small} of {} by at most {} steps and {} faults, {calm} under the calm schedule\n",
                medians[medians.len() / 2],
                medians[medians.len() - 1],
                caught.len(),
                SMALL.0,
                SMALL.1,
            ));
        }
        print(&format!("\n{} passed, {missed} failed, {skipped} skipped\n", caught.len()));
    }
}
