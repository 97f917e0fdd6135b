//! A campaign: scenarios one after the other until time, cases or patience are over.
//!
//! Each worker is a thread with a lab of its own, on which several lanes run cases side by side. What is found is pursued
//! by one lane at a time, so that one bug that shows in many ways is shrunk once and its other faces are known before the
//! next one is looked at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;

use super::corpus::Corpus;
use super::failure::Failure;
use super::goals::{GOALS, reached};
use super::lab::{Company, Floor, Lab, Ran, Signature};
use super::mend::is_heavy;
use super::palette::Palette;
use super::pursue::Pursuit;
use super::source::{Source, touches_the_process};
use crate::history::{History, Process, What};
use crate::run::Abort;
use crate::run::suite::{StopSign, Subject, SuiteError, mix};
use crate::scenario::Scenario;
use crate::world::live::ServerError;

/// How many kept scenarios a source chooses among for one case.
const CHOICE: usize = 8;
/// How often a violation that did not show alone is pursued in another case that shows it.
const MOST_IN_RESERVE: usize = 3;
/// Cases that wait to be pursued; more would be of the same bugs.
const MOST_PENDING: usize = 64;
/// Reasons of unfinished cases that are kept.
const MOST_UNFINISHED: usize = 5;

/// What to explore, and for how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What may be asked.
    pub palette: Palette,
    /// The profile.
    pub profile: std::sync::Arc<crate::contract::Profile>,
    /// The implementation.
    pub subject: Subject,
    /// From which everything random comes.
    pub seed: u64,
    /// How many workers, each with a process of the target.
    pub jobs: usize,
    /// How many cases a worker runs side by side on its shared process.
    pub lanes: usize,
    /// How many more with a process of their own.
    pub process_lanes: usize,
    /// When to end.
    pub max_time: Option<Duration>,
    /// After how many cases to end.
    pub cases: Option<u64>,
    /// Whether to go on after the first failure.
    pub keep_going: bool,
    /// How long a wait may take.
    pub deadline: Duration,
    /// How long one failure may be pursued: reproduced, shrunk and labelled.
    pub shrink_for: Duration,
    /// Requirements whose violations are known.
    pub known: BTreeSet<String>,
    /// Scenarios to run first.
    pub first: Vec<Scenario>,
}

/// How far a campaign is.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Cases that were run, those of shrinking not counted.
    pub cases: u64,
    /// Connections that the harness cut, stalled or kept back.
    pub faults: u64,
    /// Stops of the process.
    pub stops: u64,
    /// How many cases reached each of [`GOALS`].
    pub goals: Vec<u64>,
    /// Scenarios kept because they reached something new.
    pub kept: usize,
    /// Failures found.
    pub found: u64,
    /// True while a failure is reproduced and shrunk.
    pub shrinking: bool,
    /// Cases in which something was late, and not always so alone, on a machine with too much to do.
    pub late: u64,
    /// Violations of requirements that are known to fail.
    pub known: u64,
    /// Cases that did not reach their end, and the first reasons.
    pub unfinished: (u64, Vec<String>),
}

impl Standing {
    /// Goals that were reached.
    pub fn reached(&self) -> usize {
        self.goals.iter().filter(|cases| **cases > 0).count()
    }
}

/// What the lanes of all workers share.
struct Shared<'p> {
    plan: &'p Plan,
    stop: &'p StopSign,
    began: Instant,
    /// No lane begins another case.
    over: AtomicBool,
    started: AtomicU64,
    state: Mutex<State>,
    failures: mpsc::Sender<Failure>,
    /// True while the other lanes wait for what becomes of something that was caught: it may end the campaign, and the machine
    /// is calm; or the server is not ours, and it is to be alone there.
    caught: watch::Sender<bool>,
    floor: Floor,
}

#[derive(Default)]
struct State {
    standing: Standing,
    corpus: Corpus,
    signatures: BTreeSet<Signature>,
    first: VecDeque<Scenario>,
    pending: VecDeque<Caught>,
    pursuing: bool,
    /// Failures that did not show alone, which are handed over only when none is found that does.
    reserve: Vec<Failure>,
}

/// A case that failed, waiting to be pursued.
struct Caught {
    scenario: Scenario,
    ran: Ran,
    signature: Signature,
    after_cases: u64,
    after: Duration,
}

/// What a campaign leaves behind.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How far it came.
    pub standing: Standing,
    /// What it kept.
    pub corpus: Corpus,
}

/// Runs a campaign; each failure is handed to `found` as it comes, and `tick` hears how far it is several times a second.
///
/// # Errors
/// When no server can be had, or a worker broke. What was found before was handed over.
pub fn run(
    plan: &Plan,
    stop: &StopSign,
    mut found: impl FnMut(Failure),
    mut tick: impl FnMut(&Standing),
) -> (Outcome, Result<(), SuiteError>) {
    let (failures, found_failures) = mpsc::channel();
    let state = State {
        standing: Standing { goals: vec![0; GOALS.len()], ..Standing::default() },
        first: plan.first.iter().cloned().chain(Source::new(plan.palette.clone(), plan.seed).seldom()).collect(),
        ..State::default()
    };
    let shared = Shared {
        plan,
        stop,
        began: Instant::now(),
        over: AtomicBool::new(false),
        started: AtomicU64::new(0),
        state: Mutex::new(state),
        failures,
        caught: watch::Sender::new(false),
        floor: Floor::default(),
    };
    let mut error = None;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs.max(1))
            .map(|worker| {
                scope.spawn({
                    let shared = &shared;
                    move || work(shared, worker as u64)
                })
            })
            .collect();
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            match found_failures.recv_timeout(Duration::from_millis(100)) {
                Ok(failure) => found(failure),
                Err(_) => {
                    let standing = shared.lock().standing.clone();
                    tick(&standing);
                }
            }
        }
        for worker in workers {
            let ended = worker.join().unwrap_or_else(|panic| {
                let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                Err(SuiteError::Bug(said.unwrap_or_else(|| "a worker panicked".to_owned())))
            });
            if let Err(why) = ended {
                error.get_or_insert(why);
            }
        }
    });
    let Shared { state, failures, .. } = shared;
    drop(failures);
    found_failures.into_iter().for_each(&mut found);
    let mut state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if state.standing.found == 0
        && let Some(failure) = state.reserve.into_iter().next()
    {
        state.standing.found = 1;
        found(failure);
    }
    (Outcome { standing: state.standing, corpus: state.corpus }, error.map_or(Ok(()), Err))
}

fn work(shared: &Shared<'_>, worker: u64) -> Result<(), SuiteError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| SuiteError::Server(ServerError::Own(format!("cannot start a worker: {e}"))))?;
    let plan = shared.plan;
    let ended = runtime.block_on(async {
        let seed = mix(plan.seed, worker);
        let (profile, subject) = (std::sync::Arc::clone(&plan.profile), plan.subject.clone());
        let lab = Lab::open(profile, subject, seed, 2 + plan.process_lanes, shared.floor.clone()).await?;
        let process_lanes = if plan.palette.touches_the_process() { plan.process_lanes } else { 0 };
        let lanes = (0..plan.lanes.max(1)).map(|nth| (nth, false)).chain((0..process_lanes).map(|nth| (1_000 + nth, true)));
        let lanes = lanes.map(|(nth, with_process)| {
            let source = Source::new(plan.palette.clone(), mix(seed, nth as u64));
            Lane { shared, lab: &lab, source, with_process }.run()
        });
        let ended: Result<Vec<()>, ServerError> = join_all(lanes).await.into_iter().collect();
        lab.close().await;
        ended
    });
    ended.map(drop).map_err(SuiteError::Server)
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        let time = self.plan.max_time.is_some_and(|most| self.began.elapsed() >= most);
        time || self.stop.is_raised() || self.over.load(Ordering::Relaxed)
    }

    /// Takes leave to begin a case.
    fn begin(&self) -> bool {
        let nth = self.started.fetch_add(1, Ordering::Relaxed);
        !self.is_over() && self.plan.cases.is_none_or(|most| nth < most)
    }
}

/// One case after the other.
struct Lane<'s> {
    shared: &'s Shared<'s>,
    lab: &'s Lab,
    source: Source,
    with_process: bool,
}

impl Lane<'_> {
    async fn run(mut self) -> Result<(), ServerError> {
        let ended = self.cases().await;
        if ended.is_err() {
            // The others would only find the same.
            self.shared.over.store(true, Ordering::Relaxed);
            self.shared.caught.send_replace(false);
        }
        ended
    }

    async fn cases(&mut self) -> Result<(), ServerError> {
        let shared = self.shared;
        let mut caught = shared.caught.subscribe();
        loop {
            // The sender lives as long as the lanes.
            let _ = caught.wait_for(|caught| !caught).await;
            if !shared.begin() {
                break;
            }
            let scenario = self.next();
            let ran = self.lab.run(&scenario, Company::Others, shared.plan.deadline).await?;
            self.digest(scenario, ran);
            self.pursue().await?;
        }
        // What was caught last may still wait.
        self.pursue().await
    }

    fn next(&mut self) -> Scenario {
        let kept: Vec<Scenario> = {
            let mut state = self.shared.lock();
            let ready = state.first.iter().position(|first| touches_the_process(&first.steps) == self.with_process);
            if let Some(first) = ready.and_then(|at| state.first.remove(at)) {
                return first;
            }
            (0..CHOICE).filter_map(|_| state.corpus.pick(self.source.number()).cloned()).collect()
        };
        self.source.next(self.with_process, &kept)
    }

    /// Takes note of what a case brought.
    fn digest(&self, scenario: Scenario, ran: Ran) {
        let goals = reached(&ran.history);
        let (faults, stops) = disturbances(&ran.history);
        let violations: Vec<Signature> = ran.violations().into_iter().map(|(signature, _)| signature).collect();
        let mut state = self.shared.lock();
        let standing = &mut state.standing;
        standing.cases += 1;
        standing.faults += faults;
        standing.stops += stops;
        for (sum, times) in standing.goals.iter_mut().zip(&goals) {
            *sum += u64::from(*times > 0);
        }
        if let Some(why) = &ran.aborted {
            standing.unfinished.0 += 1;
            if standing.unfinished.1.len() < MOST_UNFINISHED {
                let why = match why {
                    Abort::ServerDied(why) | Abort::CouldNot(why) => why.clone(),
                    Abort::Interrupted => "interrupted".to_owned(),
                };
                standing.unfinished.1.push(why);
            }
        }
        let after_cases = standing.cases;
        if violations.is_empty() {
            // Scenarios near a heavy one are heavy.
            if ran.aborted.is_none() && !is_heavy(&scenario.steps) {
                state.corpus.consider(&scenario, &goals);
                state.standing.kept = state.corpus.len();
            }
            return;
        }
        let known = |signature: &Signature| self.shared.plan.known.contains(&signature.requirement);
        if violations.iter().all(known) {
            state.standing.known += 1;
            return;
        }
        let new = violations.into_iter().find(|signature| !known(signature) && !state.signatures.contains(signature));
        let Some(signature) = new.filter(|_| state.pending.len() < MOST_PENDING) else { return };
        state.pending.push_back(Caught { scenario, ran, signature, after_cases, after: self.shared.began.elapsed() });
        if !self.shared.plan.keep_going || self.lab.most_alone() == 1 {
            self.shared.caught.send_replace(true);
        }
    }

    /// Pursues what waits, unless another lane does.
    async fn pursue(&self) -> Result<(), ServerError> {
        loop {
            let caught = {
                let mut state = self.shared.lock();
                if state.pursuing {
                    return Ok(());
                }
                let found = state.standing.found;
                let enough = !self.shared.plan.keep_going && (found > 0 || !state.reserve.is_empty() && self.shared.is_over());
                let State { pending, signatures, .. } = &mut *state;
                pending.retain(|caught| !enough && !signatures.contains(&caught.signature));
                let caught = pending.pop_front();
                state.pursuing = caught.is_some();
                state.standing.shrinking = caught.is_some();
                caught
            };
            let Some(Caught { scenario, ran, signature, after_cases, after }) = caught else {
                self.shared.caught.send_replace(false);
                return Ok(());
            };
            let plan = self.shared.plan;
            let seed = format!("{:#x}", plan.seed);
            let (lab, palette) = (self.lab, &plan.palette);
            let alone = async |scenario: &Scenario, patience: Duration| lab.run(scenario, Company::Alone, patience).await;
            // A campaign that ends with its first failure has nothing else to do.
            let hurried = || plan.keep_going && self.shared.is_over();
            let told = |other: &Signature| plan.known.contains(&other.requirement) || self.shared.lock().signatures.contains(other);
            let pursuit = Pursuit {
                run: &alone,
                most: lab.most_alone(),
                palette,
                began: tokio::time::Instant::now(),
                deadline: plan.deadline,
                shrink_for: plan.shrink_for,
                hurried: &hurried,
                interrupted: &|| self.shared.stop.is_raised(),
                known: &told,
                seed: &seed,
            };
            let pursued = pursuit.pursue(&scenario, ran, &signature).await;
            lab.tidy().await;
            let mut state = self.shared.lock();
            state.pursuing = false;
            state.standing.shrinking = false;
            match pursued? {
                Some(mut failure) => {
                    (failure.after_cases, failure.after) = (after_cases, after);
                    // What cannot be repeated helps little: another case may show the same at will.
                    if failure.about.never_alone && !plan.keep_going {
                        state.reserve.push(failure);
                        if state.reserve.iter().filter(|other| other.about.signature == signature).count() >= MOST_IN_RESERVE {
                            state.signatures.insert(signature);
                        }
                        continue;
                    }
                    state.standing.found += 1;
                    if !plan.keep_going {
                        self.shared.over.store(true, Ordering::Relaxed);
                    }
                    // It may have been told as another face of it, which shows more often.
                    state.signatures.insert(failure.about.signature.clone());
                    state.signatures.extend(failure.about.also.iter().cloned());
                    // The receiver goes away only when the caller does.
                    let _ = self.shared.failures.send(failure);
                }
                None => state.standing.late += 1,
            }
        }
    }
}

/// Connections that were struck, and stops of the process.
fn disturbances(history: &History) -> (u64, u64) {
    let mut struck: BTreeMap<u32, ()> = BTreeMap::new();
    let mut stops = 0;
    for record in &history.records {
        match &record.what {
            What::Fault(fault) => {
                if let Some(conn) = fault.conn.filter(|_| fault.reached) {
                    struck.insert(conn.0, ());
                }
            }
            What::Process(Process::Gone) => stops += 1,
            _ => {}
        }
    }
    (struck.len() as u64, stops)
}
