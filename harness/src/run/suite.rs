//! Suites: many scenarios over one target each, by several workers.
//!
//! Each worker is a thread with a server of its own and takes the next case when it has finished one; a worker that finds
//! nothing left of its suite goes on to the next suite, with another server. A case is one scenario at one place of its
//! sweep; what it brought is judged where it ran and handed to the caller in the order of completion.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::{RwLock, watch};

use super::pulse::Pulse;
use super::walk::{Abort, Patience, walk};
use crate::check::{Finding, Verdict, judge};
use crate::contract::{Profile, Requirement, requirement};
use crate::history::{Header, History};
use crate::scenario::{Scenario, at, places};
use crate::world::live::{LiveWorld, Server, ServerError, StartSpec};

/// A case that takes longer than this is given up.
const LONGEST_CASE: Duration = Duration::from_secs(180);

/// What is tested.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A server that runs already.
    Url {
        /// Its address.
        url: String,
        /// The address of the scripted model provider that it asks, if it asks one.
        provider: Option<String>,
    },
    /// A server that each worker starts for itself.
    Start(StartSpec),
}

impl Subject {
    /// From which the names of a run with this seed come. A server that runs already may know those of an earlier run with
    /// the same seed, so its names are new ones each time.
    pub(crate) fn seed_of_names(&self, seed: u64) -> u64 {
        match self {
            Subject::Url { .. } => mix(seed, rand::random()),
            Subject::Start(_) => seed,
        }
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The protocol.
    pub profile: Arc<Profile>,
    /// The implementation.
    pub subject: Subject,
    /// The scenarios; all of them must be applicable.
    pub scenarios: Vec<Scenario>,
    /// From which names and choices come.
    pub seed: u64,
    /// How many workers.
    pub jobs: usize,
    /// How often each case is run.
    pub repeat: u32,
    /// Whether each case has a process of its own on empty data, instead of fresh sessions on one that earlier cases used.
    pub fresh: bool,
    /// How long a wait may take.
    pub deadline: Duration,
    /// Scenarios of whose runs the messages are kept as they stood on the wire.
    pub transcribed: BTreeSet<String>,
    /// What is made of a case in which nothing is wrong but that something was late.
    pub lateness: Lateness,
}

/// What is made of a case in which nothing is wrong but that something was late ([`Requirement::timed`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lateness {
    /// It counts.
    Counts,
    /// It counts, unless this machine had too much to do and was late itself: then the case is run once more, with no other
    /// beside it, and that counts.
    AskedAgain,
}

/// One case that was run.
#[derive(Debug)]
pub struct Case {
    /// The scenario as it was run: with its place in a sweep.
    pub scenario: Scenario,
    /// The scenario's own name.
    pub base: String,
    /// Which repetition, from 0.
    pub repetition: u32,
    /// What was seen.
    pub history: History,
    /// Why it did not reach its end, if it did not.
    pub aborted: Option<Abort>,
    /// What the checkers say.
    pub verdicts: Vec<Verdict>,
    /// How long it took.
    pub elapsed: Duration,
    /// The end of what the server printed, when the case was aborted or something was violated in it.
    pub output: String,
    /// Requirements that were violated by lateness on a machine with too much to do, for which the case was run once more
    /// ([`Lateness::AskedAgain`]). All else is of that second run.
    pub late: Vec<&'static str>,
}

/// What a running suite tells, in the order in which it happens.
#[derive(Debug)]
pub enum Told {
    /// A worker took a case.
    Started(Begun),
    /// A case is over.
    Finished(Box<Case>),
}

/// A case that a worker took.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The scenario's name with its place in a sweep.
    pub case: String,
    /// Which repetition, from 0.
    pub repetition: u32,
}

/// Why a suite could not go on.
#[derive(Debug)]
pub enum SuiteError {
    /// There is no server to test.
    Server(ServerError),
    /// A worker broke an invariant of ours.
    Bug(String),
}

/// Asks a running suite to stop; clones are the same order.
#[derive(Clone, Debug)]
pub struct StopSign(watch::Sender<bool>);

impl Default for StopSign {
    fn default() -> Self {
        StopSign(watch::Sender::new(false))
    }
}

impl StopSign {
    /// Asks.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }

    /// True once somebody asked.
    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }
}

struct Planned {
    /// Of which suite.
    suite: usize,
    scenario: Scenario,
    base: String,
    repetition: u32,
    salt: u64,
}

/// How many cases a suite has.
pub fn cases(suite: &Suite) -> usize {
    plan(0, suite).len()
}

fn plan(nth: usize, suite: &Suite) -> VecDeque<Planned> {
    let mut planned = VecDeque::new();
    let names = suite.subject.seed_of_names(suite.seed);
    for repetition in 0..suite.repeat.max(1) {
        for scenario in &suite.scenarios {
            let places = places(scenario).map_or_else(|| vec![0], |sweep| sweep.places);
            for place in places {
                let salt = mix(names, planned.len() as u64);
                planned.push_back(Planned { suite: nth, scenario: at(scenario, place), base: scenario.name.clone(), repetition, salt });
            }
        }
    }
    planned
}

/// One number out of two (splitmix64).
pub(crate) fn mix(seed: u64, nth: u64) -> u64 {
    let mut z = seed.wrapping_add(nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Runs a suite and hands each finished case to `each`. Returns when all are done, or soon after `stop` was raised.
///
/// # Errors
/// When no server can be had, or a worker broke. Cases finished before are not lost.
pub fn run(suite: &Suite, stop: &StopSign, mut each: impl FnMut(Case)) -> Result<(), SuiteError> {
    let finished = |_, told| {
        if let Told::Finished(case) = told {
            each(*case);
        }
    };
    run_all(std::slice::from_ref(suite), suite.jobs, stop, finished).pop().expect("one for each suite")
}

/// Runs suites side by side with `jobs` workers, the first ones first, and tells `each` of every case with the place of its
/// suite. What came of each suite; see [`run`].
pub fn run_all(suites: &[Suite], jobs: usize, stop: &StopSign, mut each: impl FnMut(usize, Told)) -> Vec<Result<(), SuiteError>> {
    let planned: Vec<VecDeque<Planned>> = suites.iter().enumerate().map(|(nth, suite)| plan(nth, suite)).collect();
    let mut left: Vec<usize> = planned.iter().map(VecDeque::len).collect();
    let mut ended: Vec<Result<(), SuiteError>> = suites.iter().map(|_| Ok(())).collect();
    let queue = Queue(Mutex::new(planned));
    let room = Room::default();
    let (tell, results) = mpsc::channel();
    let mut broken = None;
    std::thread::scope(|scope| {
        let _pulse = room.pulse.taken_in(scope);
        let workers: Vec<_> = (0..jobs.max(1))
            .map(|_| {
                let (queue, room, tell) = (&queue, &room, tell.clone());
                scope.spawn(move || work(suites, stop, (queue, room), &tell))
            })
            .collect();
        drop(tell);
        for (nth, result) in results {
            match result {
                Ok(told) => {
                    left[nth] -= usize::from(matches!(told, Told::Finished(_)));
                    each(nth, told);
                }
                Err(error) if ended[nth].is_ok() => ended[nth] = Err(error),
                Err(_) => {}
            }
        }
        for worker in workers {
            if let Err(panic) = worker.join() {
                let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                broken.get_or_insert(said.unwrap_or_else(|| "a worker panicked".to_owned()));
            }
        }
    });
    if let Some(why) = broken {
        // A case was lost with its worker.
        for (ended, _) in ended.iter_mut().zip(left).filter(|(ended, left)| ended.is_ok() && *left > 0) {
            *ended = Err(SuiteError::Bug(why.clone()));
        }
    }
    ended
}

/// What is still to be run, for each suite.
struct Queue(Mutex<Vec<VecDeque<Planned>>>);

impl Queue {
    /// The next case of this suite, else of the first one that has any.
    fn next(&self, own: Option<usize>) -> Option<Planned> {
        let mut suites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own.and_then(|own| suites[own].pop_front());
        own.or_else(|| suites.iter_mut().find_map(VecDeque::pop_front))
    }

    /// Gives a suite up.
    fn clear(&self, suite: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[suite].clear();
    }
}

type Tell = mpsc::Sender<(usize, Result<Told, SuiteError>)>;

/// Where cases run.
#[derive(Debug, Default)]
struct Room {
    /// Many share it, or one has it alone.
    alone: RwLock<()>,
    /// Whether lateness can be laid to the server.
    pulse: Pulse,
    /// Suites, and what was late in them with nothing beside it: that is the server's doing, and is not asked again.
    proven: Mutex<BTreeSet<(usize, &'static str)>>,
}

impl Room {
    fn proven(&self) -> MutexGuard<'_, BTreeSet<(usize, &'static str)>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when it is known already that this suite's server is late in all of this.
    fn knows(&self, suite: usize, late: &[&'static str]) -> bool {
        let proven = self.proven();
        late.iter().all(|id| proven.contains(&(suite, *id)))
    }
}

/// A worker's server.
struct Held {
    /// Of which suite.
    suite: usize,
    server: Server,
    /// The next case must not find it as the last one left it.
    used_up: bool,
}

impl Held {
    /// Sees to it that the server runs, and is as the next case may find it.
    async fn make_ready(&self) -> Result<(), ServerError> {
        if self.used_up { self.server.renew().await } else { self.server.ensure().await }
    }

    /// Runs a case; again and alone where the suite asks for that.
    async fn run(&mut self, suite: &Suite, planned: &Planned, room: &Room, stopped: &mut watch::Receiver<bool>) -> Case {
        let began = Instant::now();
        let case = {
            let _beside_others = room.alone.read().await;
            self.run_once(suite, planned, planned.salt, stopped).await
        };
        let late = only_late(&case);
        if late.is_empty() || suite.lateness == Lateness::Counts {
            return case;
        }
        if !room.pulse.faltered_since(began) || room.knows(planned.suite, &late) {
            return case;
        }
        let _alone = room.alone.write().await;
        if self.make_ready().await.is_err() {
            return case;
        }
        let again = self.run_once(suite, planned, mix(planned.salt, 1), stopped).await;
        if again.aborted.is_some() {
            return case;
        }
        room.proven().extend(only_late(&again).into_iter().map(|id| (planned.suite, id)));
        Case { elapsed: case.elapsed + again.elapsed, late, ..again }
    }

    async fn run_once(&mut self, suite: &Suite, planned: &Planned, salt: u64, stopped: &mut watch::Receiver<bool>) -> Case {
        let case = run_case(suite, &self.server, planned, salt, stopped).await;
        self.used_up = suite.fresh || case.aborted.is_some();
        case
    }
}

/// The requirements that a case violates, if it violates none but those that time decides.
fn only_late(case: &Case) -> Vec<&'static str> {
    let violated = case.verdicts.iter().filter(|verdict| matches!(verdict.finding, Finding::Fail { .. }));
    let late: Option<Vec<_>> =
        violated.map(|verdict| requirement(&verdict.requirement).filter(|r| Requirement::timed(r)).map(|r| r.id)).collect();
    late.filter(|_| case.aborted.is_none()).unwrap_or_default()
}

/// Takes cases until there are none; returns without a server left.
fn work(suites: &[Suite], stop: &StopSign, (queue, room): (&Queue, &Room), tell: &Tell) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let own = || SuiteError::Server(ServerError::Own(format!("cannot start a worker: {error}")));
            // The receiver goes away only when the caller does.
            (0..suites.len()).for_each(|nth| drop(tell.send((nth, Err(own())))));
            return;
        }
    };
    runtime.block_on(async {
        let mut stopped = stop.0.subscribe();
        let mut held: Option<Held> = None;
        while !stop.is_raised() {
            let Some(planned) = queue.next(held.as_ref().map(|held| held.suite)) else { break };
            let nth = planned.suite;
            if let Err(error) = serve(nth, &suites[nth], &mut held, &mut stopped).await {
                held = None;
                queue.clear(nth);
                let _ = tell.send((nth, Err(SuiteError::Server(error))));
                continue;
            }
            let Some(held) = &mut held else { break };
            let begun = Begun { case: planned.scenario.name.clone(), repetition: planned.repetition };
            let _ = tell.send((nth, Ok(Told::Started(begun))));
            let case = held.run(&suites[nth], &planned, room, &mut stopped).await;
            let _ = tell.send((nth, Ok(Told::Finished(Box::new(case)))));
        }
        if let Some(held) = held {
            held.server.shut_down().await;
        }
    });
}

/// Sees to it that a server of this suite is held and runs; none is held when its start was interrupted.
async fn serve(nth: usize, suite: &Suite, held: &mut Option<Held>, stopped: &mut watch::Receiver<bool>) -> Result<(), ServerError> {
    if let Some(held) = held.as_ref().filter(|held| held.suite == nth) {
        return held.make_ready().await;
    }
    if let Some(other) = held.take() {
        other.server.shut_down().await;
    }
    let start = async {
        match &suite.subject {
            Subject::Url { url, provider } => Server::at(url, provider.clone()).await,
            Subject::Start(spec) => Server::start(spec.clone()).await,
        }
    };
    tokio::select! {
        server = start => *held = Some(Held { suite: nth, server: server?, used_up: false }),
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    Ok(())
}

async fn run_case(suite: &Suite, server: &Server, planned: &Planned, salt: u64, stopped: &mut watch::Receiver<bool>) -> Case {
    let began = Instant::now();
    let patience = Patience { deadline: suite.deadline, salt };
    let interrupted = async {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let world = LiveWorld::new(Arc::clone(&suite.profile), server);
    if suite.transcribed.contains(&planned.base) {
        world.keep_wire();
    }
    let (history, aborted) = run_one(&world, &suite.profile, &planned.scenario, suite.seed, patience, interrupted).await;
    let verdicts = judge(&history, &suite.profile);
    let violated = verdicts.iter().any(|verdict| matches!(verdict.finding, Finding::Fail { .. }));
    let output = if aborted.is_some() || violated { server.output().await } else { String::new() };
    Case {
        scenario: planned.scenario.clone(),
        base: planned.base.clone(),
        repetition: planned.repetition,
        history,
        aborted,
        verdicts,
        elapsed: began.elapsed(),
        output,
        late: Vec::new(),
    }
}

/// Walks one scenario over a fresh world: what was seen, and why the walk did not reach its end, if it did not. It is broken off
/// when `interrupted` ends.
pub(crate) async fn run_one(
    world: &LiveWorld<'_>,
    profile: &Profile,
    scenario: &Scenario,
    seed: u64,
    patience: Patience,
    interrupted: impl Future<Output = ()>,
) -> (History, Option<Abort>) {
    let walk = async {
        world.prepare(scenario).await.map_err(Abort::CouldNot)?;
        walk(world, profile, scenario, patience).await
    };
    let walked = tokio::select! {
        walked = walk => walked,
        () = interrupted => Err(Abort::Interrupted),
        () = tokio::time::sleep(LONGEST_CASE) => Err(Abort::CouldNot(format!("the case took longer than {} s", LONGEST_CASE.as_secs()))),
    };
    let header = Header { streamspec_history: History::VERSION, profile: profile.name.clone(), scenario: scenario.name.clone(), seed };
    (History { header, records: world.take_records() }, walked.err())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Violation;
    use crate::report::{Standing, Tally};

    fn case(violated: &[&str], aborted: Option<Abort>) -> Case {
        let scenario: Scenario = toml::from_str("name = \"s\"\nsays = \"s\"\nneeds = []\njudges = [\"LIVE-1\"]\nsteps = []").unwrap();
        let violation =
            Violation { says: String::new(), expected: String::new(), seen: String::new(), records: Vec::new(), shape: String::new() };
        let fail = || Finding::Fail { judged: 1, violations: vec![violation.clone()], count: 1 };
        let header = Header { streamspec_history: History::VERSION, profile: String::new(), scenario: String::new(), seed: 0 };
        Case {
            base: scenario.name.clone(),
            scenario,
            repetition: 0,
            history: History { header, records: Vec::new() },
            aborted,
            verdicts: violated.iter().map(|id| Verdict { requirement: (*id).to_owned(), finding: fail() }).collect(),
            elapsed: Duration::ZERO,
            output: String::new(),
            late: Vec::new(),
        }
    }

    #[test]
    fn what_was_late_and_is_no_more_is_told_and_what_still_is_fails() {
        let mut tally = Tally::default();
        tally.add(&Case { late: vec!["WIRE-5", "LIVE-2"], ..case(&["LIVE-2"], None) });
        assert_eq!(tally.late.keys().collect::<Vec<_>>(), [&"WIRE-5"]);
        let failed: Vec<_> = tally.rows().into_iter().filter(|row| row.standing == Standing::Fail).map(|row| row.requirement.id).collect();
        assert_eq!(failed, ["LIVE-2"]);
    }

    #[test]
    fn lateness_and_nothing_else_is_asked_again() {
        assert_eq!(only_late(&case(&["WIRE-5", "LIVE-2"], None)), ["WIRE-5", "LIVE-2"]);
        assert!(only_late(&case(&[], None)).is_empty());
        assert!(only_late(&case(&["WIRE-5", "DELIVER-1"], None)).is_empty(), "what is lost is lost on any machine");
        assert!(only_late(&case(&["WIRE-5"], Some(Abort::Interrupted))).is_empty());
    }
}
