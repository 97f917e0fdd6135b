//! `--table`: how soon random schedules find each defect, and how small the scenario that shows it can be made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use streamspec_reference_server::bugs::{BUGS, BugEntry, BugSet};

use super::{Prepared, SHRINK_RUNS};
use crate::cli::{exit, print};
use crate::explore::{Palette, Small, smallest_by};
use crate::report::plural;
use crate::scenario::{Capabilities, Scenario};
use crate::world::sim::campaign::{self, Method};
use crate::world::sim::{Chooser, Run, Simulation, simulable};

/// Within how many schedules `--table` looks for a defect.
pub(super) const TABLE_SEEDS: u64 = 2_000;
/// How often it looks, each time with other seeds; the median counts.
const HUNTS: u64 = 5;
/// Under how many random schedules a smaller scenario may show the defect; the calm one is tried first.
const TRIES: u64 = 12;
/// Runs that shrinking the scenario of one defect may take.
const SCENARIO_RUNS: u32 = 20_000;
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
}

impl Prepared {
    /// For each defect how many schedules it takes until the requirement that it names is violated, and how small the
    /// scenario becomes.
    pub(super) fn table(&self, method: Method, stop: &AtomicBool) -> u8 {
        let (mut caught, mut missed, mut skipped) = (Vec::new(), 0, 0);
        for entry in BUGS.iter().take_while(|_| !stop.load(Ordering::Relaxed)) {
            let name = |word: String| format!("{word:<9} {:<24} {:<12}", entry.name, entry.killed_by);
            if let Err(why) = simulable(entry.bug) {
                skipped += 1;
                print(&format!("{} {why}\n", name(self.paint.dim("skipped"))));
                continue;
            }
            match self.hunts(entry, method) {
                Some(found) => {
                    let Caught { median, scenario, small, deviations } = &found;
                    let size = format!("{}, {}", plural(small.steps as u64, "step"), plural(small.faults as u64, "fault"));
                    let schedule = plural(*deviations as u64, "deviation");
                    print(&format!("{} after {median:>4}: {size}, {schedule}; from {scenario}\n", name(self.paint.good("found"))));
                    caught.push(found);
                }
                None => {
                    missed += 1;
                    print(&format!("{} by none of {TABLE_SEEDS} schedules\n", name(self.paint.bad("MISSED"))));
                }
            }
        }
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
        if missed > 0 { exit::VIOLATED } else { exit::OK }
    }

    /// Looks for a defect several times; `None` when the first seeds do not find it.
    fn hunts(&self, entry: &BugEntry, method: Method) -> Option<Caught> {
        let simulation = Simulation { bugs: BugSet::default().with(entry.bug), ..self.simulation.clone() };
        let kills = |run: &Run| campaign::breaks(&simulation, run, entry.killed_by);
        let hunt = |nth: u64| {
            (nth * TABLE_SEEDS..(nth + 1) * TABLE_SEEDS).find_map(|seed| {
                let (_, scenario) = campaign::case(&self.scenarios, seed);
                let run = simulation.run(scenario, method.chooser(seed), seed);
                kills(&run).then(|| (seed % TABLE_SEEDS + 1, scenario, run.schedule))
            })
        };
        let (first, scenario, schedule) = hunt(0)?;
        let mut after: Vec<u64> = (1..HUNTS).map(|nth| hunt(nth).map_or(TABLE_SEEDS + 1, |(after, ..)| after)).collect();
        after.push(first);
        after.sort_unstable();

        let choosers = || std::iter::once(Chooser::Fixed(Default::default())).chain((0..TRIES).map(Chooser::random));
        let shows = |scenario: &Scenario| choosers().map(|chooser| simulation.run(scenario, chooser, 0)).find(kills);
        let palette = Palette::new(Arc::clone(&simulation.profile), Capabilities::all(), &[]);
        let small = smallest_by(scenario, &palette, SCENARIO_RUNS, |smaller| shows(smaller).is_some());
        let schedule = shows(&small.scenario).map_or(schedule, |run| run.schedule);
        let (schedule, _) = campaign::shrink(&simulation, &small.scenario, &schedule, SHRINK_RUNS, kills);
        let median = after[after.len() / 2];
        Some(Caught { median, scenario: scenario.name.clone(), small, deviations: schedule.deviations() })
    }
}
