//! Many runs: which scenario under which schedule, what was violated, and the smallest schedule that shows it.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustc_hash::{FxBuildHasher, FxHashSet};

use super::{Beginning, Chooser, Generator, Prepared, Run, Schedule, Simulation, judged};
use crate::check::{Finding, Times, Verdict, look, look_from};
use crate::history::{FNV_START, History, fnv};
use crate::run::Abort;
use crate::scenario::{Scenario, at, places};

/// How schedules are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// At random.
    Random,
    /// By priorities with a number of change points one below this depth.
    Pct(u32),
}

impl Method {
    /// The chooser of a seed.
    pub fn chooser(self, seed: u64) -> Chooser {
        match self {
            Method::Random => Chooser::random(seed),
            Method::Pct(depth) => Chooser::pct(seed, depth),
        }
    }
}

/// A scenario with all its places.
#[derive(Clone, Debug)]
pub struct Swept {
    /// As it was written.
    pub base: Scenario,
    /// At each place of its sweep; one without a sweep.
    pub at: Vec<Scenario>,
}

impl Swept {
    /// All places of a scenario.
    pub fn new(base: Scenario) -> Swept {
        let places = places(&base).map_or_else(|| vec![0], |sweep| sweep.places);
        let at = places.into_iter().map(|place| at(&base, place)).collect();
        Swept { base, at }
    }
}

/// The scenario that a seed stands for: all scenarios in turn, at a place of the sweep that the seed chooses.
pub fn case(scenarios: &[Swept], seed: u64) -> (&Swept, &Scenario) {
    let (which, place) = place(scenarios, seed);
    (&scenarios[which], &scenarios[which].at[place])
}

fn place(scenarios: &[Swept], seed: u64) -> (usize, usize) {
    let which = (seed % scenarios.len() as u64) as usize;
    (which, Generator::new(seed ^ 0x5eed).below(scenarios[which].at.len()))
}

/// A run that shows something.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its seed.
    pub seed: u64,
    /// The scenario as it was written.
    pub base: String,
    /// The scenario that was run, at its place.
    pub scenario: Scenario,
    /// The choices.
    pub schedule: Schedule,
    /// What was seen.
    pub history: History,
    /// What the checkers say.
    pub verdicts: Vec<Verdict>,
    /// Why it did not reach its end, if it did not.
    pub aborted: Option<Abort>,
}

impl Found {
    fn new(seed: u64, base: &str, scenario: &Scenario, run: Run, verdicts: Vec<Verdict>) -> Found {
        let Run { history, aborted, schedule, .. } = run;
        Found { seed, base: base.to_owned(), scenario: scenario.clone(), schedule, history, verdicts, aborted }
    }
}

/// The violated requirements of a simulation, with the shape of each violation.
pub fn violated(verdicts: &[Verdict]) -> impl Iterator<Item = (&str, &str)> {
    let failed = verdicts.iter().filter(|v| judged(&v.requirement)).filter_map(|v| match &v.finding {
        Finding::Fail { violations, .. } => Some((v.requirement.as_str(), violations)),
        Finding::Pass { .. } | Finding::Inconclusive { .. } | Finding::NotApplicable { .. } => None,
    });
    failed.flat_map(|(id, violations)| violations.iter().map(move |v| (id, v.shape.as_str())))
}

/// True when a run violates this requirement.
pub(crate) fn breaks(simulation: &Simulation, run: &Run, requirement: &str) -> bool {
    look(&run.history, &simulation.profile).broken().any(|broken| judged(broken) && broken == requirement)
}

/// What a campaign brought.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Schedules that were run.
    pub schedules: u64,
    /// Of these, how many brought a history that no other had brought before; only these had to be judged, for a checker
    /// is a function of the history.
    pub distinct: u64,
    /// Actions that happened.
    pub actions: u64,
    /// Events and other frames that readers received, and operations.
    pub observations: u64,
    /// How often each requirement was judged.
    pub judged: Times,
    /// The first run (by seed) for each requirement and shape.
    pub found: BTreeMap<(String, String), Found>,
    /// Runs that did not reach their end, by seed.
    pub aborted: BTreeMap<u64, (String, Abort)>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

impl Outcome {
    fn absorb(&mut self, other: Outcome) {
        self.schedules += other.schedules;
        self.distinct += other.distinct;
        self.actions += other.actions;
        self.observations += other.observations;
        self.stopped |= other.stopped;
        self.judged.absorb(&other.judged);
        for (key, found) in other.found {
            match self.found.entry(key) {
                std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(found)),
                std::collections::btree_map::Entry::Occupied(mut taken) if found.seed < taken.get().seed => drop(taken.insert(found)),
                std::collections::btree_map::Entry::Occupied(_) => {}
            }
        }
        self.aborted.extend(other.aborted);
    }
}

/// At most this many digests of histories are kept; further ones are judged again.
const MOST_DIGESTS: usize = 4 << 20;

/// Judges runs and keeps what they show.
#[derive(Debug, Default)]
pub struct Collector {
    /// What there is so far.
    pub outcome: Outcome,
    /// Digests of the histories (times included) that were judged, with their scenarios.
    judged: FxHashSet<u64>,
}

impl Collector {
    /// Forgets which histories were judged, so that one of them that comes again is judged again.
    pub fn forget(&mut self) {
        self.judged.clear();
    }

    /// Judges a run, unless its very history was judged before; true when it violates something. What is known of its
    /// `beginning` is not looked at again.
    pub fn add(
        &mut self,
        simulation: &Simulation,
        (seed, base, scenario): (u64, &str, &Scenario),
        beginning: Option<&Beginning<'_>>,
        run: Run,
    ) -> bool {
        let outcome = &mut self.outcome;
        outcome.schedules += 1;
        outcome.actions += run.actions;
        outcome.observations += run.history.records.len() as u64;
        if let Some(aborted) = &run.aborted {
            outcome.aborted.insert(seed, (scenario.name.clone(), aborted.clone()));
        }
        let digest = FxBuildHasher.hash_one((run.differing(), &scenario.name));
        if self.judged.contains(&digest) {
            run.reuse();
            return false;
        }
        if self.judged.len() < MOST_DIGESTS {
            self.judged.insert(digest);
        }
        outcome.distinct += 1;
        let found = match beginning.filter(|beginning| run.beginning.is_some_and(|(number, _)| number == beginning.number)) {
            Some(beginning) => look_from(&beginning.view, &run.history, &simulation.profile),
            None => look(&run.history, &simulation.profile),
        };
        found.count(&mut outcome.judged);
        if !found.broken().any(judged) {
            run.reuse();
            return false;
        }
        let verdicts = found.verdicts();
        let new: BTreeSet<(String, String)> = violated(&verdicts).map(|(id, shape)| (id.to_owned(), shape.to_owned())).collect();
        let any = !new.is_empty();
        let new: Vec<_> = new.into_iter().filter(|key| !outcome.found.contains_key(key)).collect();
        if !new.is_empty() {
            let found = Found::new(seed, base, scenario, run, verdicts);
            outcome.found.extend(new.into_iter().map(|key| (key, found.clone())));
        }
        any
    }
}

/// Seeds that one thread takes at a time.
const BLOCK: u64 = 64;

/// Something for each place of each scenario, made when it is first asked for.
type Cases<T> = Vec<Vec<OnceCell<T>>>;

fn cases<T>(scenarios: &[Swept]) -> Cases<T> {
    scenarios.iter().map(|swept| swept.at.iter().map(|_| OnceCell::new()).collect()).collect()
}

/// Runs the schedules of `seeds` on `jobs` threads, until `stop` is set. What is found does not depend on the number of
/// threads: of several runs that show the same, the one with the lowest seed is kept.
pub fn run(simulation: &Simulation, scenarios: &[Swept], seeds: Range<u64>, method: Method, jobs: usize, stop: &AtomicBool) -> Outcome {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let mut collector = Collector::default();
                let prepared: Cases<Prepared<'_>> = cases(scenarios);
                let beginnings: Cases<Option<Beginning<'_>>> = cases(scenarios);
                loop {
                    let begin = next.fetch_add(BLOCK, Ordering::Relaxed);
                    if begin >= seeds.end {
                        break;
                    }
                    for seed in begin..seeds.end.min(begin + BLOCK) {
                        if stop.load(Ordering::Relaxed) {
                            collector.outcome.stopped = true;
                            break;
                        }
                        let (which, place) = place(scenarios, seed);
                        let (swept, scenario) = case(scenarios, seed);
                        let ready = prepared[which][place].get_or_init(|| simulation.prepare(scenario));
                        let beginning = beginnings[which][place].get_or_init(|| ready.beginning());
                        let run = ready.run(method.chooser(seed), seed);
                        collector.add(simulation, (seed, &swept.base.name, scenario), beginning.as_ref(), run);
                    }
                }
                total.lock().unwrap_or_else(PoisonError::into_inner).absorb(collector.outcome);
            });
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Every schedule of a scenario that differs from the calm one in at most `deviations` choices (all, when there is no such
/// bound), until `most` were run or `stop` is set. True when none is left.
pub fn exhaust(
    simulation: &Simulation,
    scenario: &Scenario,
    deviations: Option<usize>,
    most: u64,
    stop: &AtomicBool,
    collector: &mut Collector,
) -> bool {
    let (before, prepared) = (collector.outcome.schedules, simulation.prepare(scenario));
    let beginning = prepared.beginning();
    let mut left = vec![(Schedule::default(), 0)];
    while let Some((schedule, free)) = left.pop() {
        if collector.outcome.schedules - before >= most || stop.load(Ordering::Relaxed) {
            collector.outcome.stopped = true;
            return false;
        }
        let deviates = schedule.deviations();
        let number = collector.outcome.schedules;
        let run = prepared.run(Chooser::Fixed(schedule), number);
        if deviations.is_none_or(|bound| deviates < bound) {
            left.extend(neighbours(&run, free));
        }
        collector.add(simulation, (number, &scenario.name, scenario), beginning.as_ref(), run);
    }
    true
}

/// The schedules that begin like that of `run` and then differ from it in one choice, at `free` or behind it, each with
/// the position from which on it may be changed in turn. Choices before `free` are changed by others, so that every
/// schedule comes up once.
fn neighbours(run: &Run, free: usize) -> impl Iterator<Item = (Schedule, usize)> + '_ {
    let places = (free..run.widths.len()).rev();
    places.flat_map(move |at| {
        (1..run.widths[at]).rev().map(move |choice| {
            let mut other = run.schedule.0[..at].to_vec();
            other.push(choice);
            (Schedule(other), at + 1)
        })
    })
}

/// Looks for the smallest schedule that still shows something.
struct Shrink<'s, F: Fn(&Run) -> bool> {
    prepared: Prepared<'s>,
    still: F,
    best: Schedule,
    runs: u32,
    most: u32,
}

impl<F: Fn(&Run) -> bool> Shrink<'_, F> {
    /// Takes a candidate for the best, if it shows the same.
    fn try_out(&mut self, candidate: Schedule) -> bool {
        if self.runs >= self.most {
            return false;
        }
        self.runs += 1;
        let shows = (self.still)(&self.prepared.run(Chooser::Fixed(candidate.clone()), 0));
        if shows {
            self.best = candidate.trimmed();
        }
        shows
    }

    /// Calm from some place on.
    fn shorten(&mut self) {
        let mut low = 0;
        while low < self.best.0.len() {
            let middle = (low + self.best.0.len()) / 2;
            if !self.try_out(Schedule(self.best.0[..middle].to_vec())) {
                low = middle + 1;
            }
        }
    }

    /// Stretches that can be calm, from long to short.
    fn calm(&mut self) {
        let mut stretch = self.best.0.len().next_power_of_two();
        while stretch > 0 {
            let mut at = 0;
            while at < self.best.0.len() {
                let end = (at + stretch).min(self.best.0.len());
                if self.best.0[at..end].iter().any(|choice| *choice != 0) {
                    let mut calmer = self.best.clone();
                    calmer.0[at..end].fill(0);
                    self.try_out(calmer);
                }
                at += stretch;
            }
            stretch /= 2;
        }
    }

    /// Any schedule with fewer deviations, up to [`FEW`] of them: the calm one first, then all with one, and so on. What was
    /// found by chance may need many at once where others would need one.
    fn seek_fewer(&mut self) {
        let mut left = std::collections::VecDeque::from([(Schedule::default(), 0)]);
        while let Some((schedule, free)) = left.pop_front() {
            let deviations = schedule.deviations();
            if deviations >= self.best.deviations() || self.runs >= self.most {
                return;
            }
            self.runs += 1;
            let run = self.prepared.run(Chooser::Fixed(schedule.clone()), 0);
            if (self.still)(&run) {
                self.best = schedule.trimmed();
                return;
            }
            if deviations < FEW {
                left.extend(neighbours(&run, free));
            }
        }
    }

    /// Smaller choices.
    fn lower(&mut self) {
        for at in 0..self.best.0.len() {
            while self.best.0.get(at).is_some_and(|choice| *choice > 1) {
                let mut smaller = self.best.clone();
                smaller.0[at] -= 1;
                if !self.try_out(smaller) {
                    break;
                }
            }
        }
    }
}

/// The smallest schedule that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// It.
    pub schedule: Schedule,
    /// How many runs that took.
    pub runs: u32,
    /// True when the runs were used up before nothing smaller was left to be tried.
    pub gave_up: bool,
}

/// The smallest schedule of a scenario that `still` holds for, found by at most `most` runs: shorter first, then
/// calmer; where that leaves many deviations, by as many runs again among the schedules that have few.
/// `schedule` itself must be one.
pub fn shrink(simulation: &Simulation, scenario: &Scenario, schedule: &Schedule, most: u32, still: impl Fn(&Run) -> bool) -> Shrunk {
    let mut shrink = Shrink { prepared: simulation.prepare(scenario), still, best: schedule.clone().trimmed(), runs: 0, most };
    loop {
        let before = shrink.best.clone();
        shrink.shorten();
        shrink.calm();
        shrink.lower();
        if shrink.best == before || shrink.runs >= most {
            break;
        }
    }
    let mut gave_up = shrink.runs >= most;
    if shrink.best.deviations() > FEW {
        shrink.most += most;
        shrink.seek_fewer();
        gave_up |= shrink.runs >= shrink.most;
    }
    Shrunk { schedule: shrink.best, runs: shrink.runs, gave_up }
}

/// Up to how many deviations are sought exhaustively when a finding has more.
const FEW: usize = 2;

/// Whether seeds bring the same histories each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Determinism {
    /// Seeds that were compared.
    pub compared: u64,
    /// Those whose histories differ, or whose choices do.
    pub different: Vec<u64>,
    /// FNV-1a over the files of all first histories, in the order of their seeds: the same for two builds of one commit.
    pub digest: u64,
}

/// Runs every seed twice, the second time from a beginning that was prepared, and a third time by the choices that the
/// first made.
pub fn determinism(simulation: &Simulation, scenarios: &[Swept], seeds: Range<u64>, method: Method, stop: &AtomicBool) -> Determinism {
    let (mut compared, mut different, mut digest) = (0, Vec::new(), FNV_START);
    let bytes = |run: &Run| {
        let mut bytes = Vec::new();
        run.history.write(&mut bytes).expect("writing to memory");
        bytes
    };
    for seed in seeds {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (_, scenario) = case(scenarios, seed);
        let first = simulation.run(scenario, method.chooser(seed), seed);
        let second = simulation.prepare(scenario).run(method.chooser(seed), seed);
        // The choices that were made must lead to the same run when they are given.
        let third = simulation.run(scenario, Chooser::Fixed(first.schedule.clone()), seed);
        compared += 1;
        let one = bytes(&first);
        if one != bytes(&second) || one != bytes(&third) || first.schedule != second.schedule {
            different.push(seed);
        }
        digest = fnv(digest, &one);
    }
    Determinism { compared, different, digest }
}
