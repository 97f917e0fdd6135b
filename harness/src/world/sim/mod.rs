//! The simulated world: the reference core, its readers and a network between them, under virtual time on one thread.
//!
//! A run is the walk over a scenario, polled by hand ([`Simulation::run`]), and a set of actions that could happen
//! next. Whenever the walk has nothing more to do, one of them is chosen and happens; when there is none, the clock jumps
//! to the next timer. There are no sockets, no wall clock, no runtime and no iteration over unordered collections, so a
//! run is a function of profile, bugs, scenario and [`Schedule`].
//!
//! What is behind what:
//!
//! - `schedule.rs` chooses, and `step.rs` lets one thing happen; `waiting.rs` says who waits and until when;
//! - `node` is the server in steps, `rules.rs` bends it to the contract, `store.rs` is its disk, `letters.rs` reads and
//!   remembers payloads, `shown.rs` what readers see of events: items and the texts of cursors;
//! - `link.rs` is the network and the reader's end of a stream, `world.rs` the runner's side, `log.rs` what is observed;
//! - `by_number.rs` holds what has numbers;
//! - `prepared.rs` walks a beginning once for many runs, and `campaign.rs` runs many schedules.

mod by_number;
pub mod campaign;
mod letters;
mod link;
mod log;
mod node;
mod prepared;
mod rules;
mod schedule;
mod shown;
mod step;
mod store;
#[cfg(test)]
mod tests;
mod waiting;
mod world;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use streamspec_reference_server::bugs::{BUGS, Bug, BugSet};

use crate::contract::Profile;
use crate::history::{From, Header, History, Record};
use crate::run::progress::Progress;
use crate::run::recorder::Recorder;
use crate::run::{Abort, Begun, Patience, go_on};
use crate::scenario::{PublishFault, Scenario, Stop};

use by_number::ByNumber;
use link::{Link, Packet};
use log::Log;
use node::{Answer, Effect, Node, Request};
use prepared::Shared;
pub use prepared::{Beginning, Prepared};
use schedule::Scheduler;
pub use schedule::{Actor, Chooser, Generator, Schedule};
use waiting::{Due, Timers, Waiter, Waiters};

/// What one action takes, in microseconds of virtual time.
const ACTION: u64 = 0;
/// How long an operation may take before its outcome is unknown.
const OPERATION: u64 = 10_000_000;
/// When every run begins, by the server's clock.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// A run of more actions than this does not end.
const MOST_ACTIONS: u64 = 2_000_000;
/// How far the server's clock jumps.
const JUMP_MS: u64 = 3_600_000;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// The protocol: its contract makes the server's rules.
    pub profile: Arc<Profile>,
    /// The server's defects.
    pub bugs: BugSet,
    /// How long a wait may take, in virtual time.
    pub deadline: Duration,
    /// Whether the server's clock may jump, back or forth, while the server is away.
    pub clock_jumps: bool,
}

/// One run.
#[derive(Debug)]
pub struct Run {
    /// What was seen.
    pub history: History,
    /// Why it did not reach its end, if it did not.
    pub aborted: Option<Abort>,
    /// The choices that were made.
    pub schedule: Schedule,
    /// How many alternatives each of them had.
    pub widths: Vec<u16>,
    /// How many actions happened.
    pub actions: u64,
    /// The shared beginning that the history begins with, and how many records it has.
    beginning: Option<(u64, usize)>,
}

impl Simulation {
    /// A simulation of the right server under a profile.
    pub fn new(profile: Arc<Profile>) -> Simulation {
        let deadline = Duration::from_millis(profile.contract.liveness.delivery_ms * 2);
        Simulation { profile, bugs: BugSet::default(), deadline, clock_jumps: false }
    }

    /// Runs a scenario, which is at one place of its sweep, under the choices of `chooser`. `seed` is for the record only.
    pub fn run(&self, scenario: &Scenario, chooser: Chooser, seed: u64) -> Run {
        self.run_from(scenario, chooser, seed, None)
    }

    fn run_from(&self, scenario: &Scenario, chooser: Chooser, seed: u64, shared: Option<&Shared>) -> Run {
        let world = SimWorld::new(self, chooser, shared);
        let nothing = Begun::default();
        let begun = shared.map_or(&nothing, |shared| &shared.begun);
        let ended = world.drive(go_on(&world, &self.profile, scenario, self.patience(), begun));
        let mut inner = world.inner.borrow_mut();
        let (schedule, widths) = inner.scheduler.schedule();
        let header =
            Header { streamspec_history: History::VERSION, profile: self.profile.name.clone(), scenario: scenario.name.clone(), seed };
        let history = History { header, records: inner.log.take() };
        let beginning = shared.map(|shared| (shared.number, shared.records.len()));
        Run { history, aborted: ended.err(), schedule, widths, actions: inner.scheduler.steps(), beginning }
    }

    fn patience(&self) -> Patience {
        // Names come from the salt: the same for every run, so that histories differ by their schedules alone.
        Patience { deadline: self.deadline, salt: 0 }
    }
}

/// The room that records took, to be filled again.
#[derive(Debug, Default)]
struct Room {
    records: Vec<Record>,
    /// Which shared beginning they begin with.
    beginning: Option<u64>,
}

thread_local! {
    static ROOM: Cell<Room> = const { Cell::new(Room { records: Vec::new(), beginning: None }) };
}

impl Room {
    /// Room in which nothing stands but the beginning, if there is one.
    fn take(shared: Option<&Shared>) -> Vec<Record> {
        let Room { mut records, beginning } = ROOM.take();
        match shared {
            Some(shared) if beginning == Some(shared.number) => records.truncate(shared.records.len()),
            Some(shared) => records.clone_from(&shared.records),
            None => records.clear(),
        }
        records
    }
}

impl Run {
    /// The shared beginning, and the records behind it: what the histories of two runs can differ in.
    fn differing(&self) -> (Option<u64>, &[Record]) {
        let (number, length) = self.beginning.unzip();
        (number, &self.history.records[length.unwrap_or(0)..])
    }

    /// Gives the room of its records, which nobody looks at any more, to the next run on this thread.
    pub fn reuse(self) {
        ROOM.set(Room { records: self.history.records, beginning: self.beginning.map(|(number, _)| number) });
    }
}

/// Whether a defect can be simulated.
///
/// # Errors
/// When it sits in bytes, or in resources of a process, which the simulation has none of; the text says so.
pub fn simulable(bug: Bug) -> Result<(), &'static str> {
    let entry = BUGS.iter().find(|entry| entry.bug == bug);
    if entry.is_none_or(|entry| !entry.dialects.contains(&"sse")) {
        return Err("it sits in another dialect than `sse`; the simulated node is the session core");
    }
    match bug {
        Bug::PlainContentType | Bug::CacheableStream => Err("it sits in HTTP headers; the simulation has none"),
        Bug::TornCharacter
        | Bug::CrUnescaped
        | Bug::SplitsOnUnicodeLines
        | Bug::LeadingMark
        | Bug::UnfinishedLastFrame
        | Bug::TypeUnescaped => Err("it sits in the framing of bytes; the simulation passes whole frames"),
        Bug::GzipUnflushed => Err("it sits in compression; the simulation passes whole frames"),
        Bug::DescriptorLeak | Bug::ThreadLeak | Bug::MemoryLeak => Err("it leaks resources of a process; the simulation has none"),
        _ => Ok(()),
    }
}

/// Whether verdicts on a requirement mean something in a simulation: what is about bytes and resources does not.
pub fn judged(requirement: &str) -> bool {
    !requirement.starts_with("LEAK-") && (!requirement.starts_with("WIRE-") || requirement == "WIRE-5")
}

/// Something that can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A request reaches the server.
    Arrive(u32),
    /// An answer, or the news that there is none, reaches the runner.
    Answered(u32),
    /// A request for a stream reaches the server.
    Connect(u32),
    /// The server fixes a stream's fence.
    Fence(u32),
    /// The server writes to a stream what it has for it.
    Pump(u32),
    /// A packet of a stream reaches its reader.
    Deliver(u32),
    /// The server notices that a reader has gone.
    Leave(u32),
    /// The writer takes up what has come.
    Group,
    /// A group has reached the disk.
    Commit,
    /// The second half of a snapshot that a bug reads in two.
    Second(u32),
    /// The process stops.
    Stop(Stop, bool),
    /// The process starts.
    Start(bool),
}

impl Action {
    fn actor(self) -> Actor {
        match self {
            Action::Arrive(ex) | Action::Answered(ex) | Action::Second(ex) => Actor::Exchange(ex),
            Action::Connect(conn) | Action::Fence(conn) | Action::Pump(conn) | Action::Leave(conn) => Actor::Stream(conn),
            Action::Deliver(conn) => Actor::Network(conn),
            Action::Group | Action::Commit => Actor::Writer,
            Action::Stop(..) | Action::Start(_) => Actor::Process,
        }
    }

    /// True for what a paused process does not do.
    fn is_servers(self) -> bool {
        match self {
            Action::Arrive(_)
            | Action::Connect(_)
            | Action::Fence(_)
            | Action::Pump(_)
            | Action::Leave(_)
            | Action::Group
            | Action::Commit
            | Action::Second(_) => true,
            Action::Answered(_) | Action::Deliver(_) | Action::Stop(..) | Action::Start(_) => false,
        }
    }
}

/// Something that happens at a time, if nothing can happen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// A wait is over.
    Wait,
    /// An operation has waited long enough.
    Timeout(u32),
    /// The group under way may reach the disk.
    Commit,
    /// What was left behind is written.
    Flush,
    /// A stream may have something to write.
    Wake(u32),
    /// A keep-alive is due.
    Heartbeat(u32),
}

/// An operation or finite read.
#[derive(Debug)]
struct Exchange {
    id: Arc<str>,
    /// Taken when it arrives, unless it will arrive again.
    request: Option<Request>,
    fault: Option<PublishFault>,
    timeout: Due,
    brought: Brought,
    /// Who waits for it.
    waiter: Option<Waiter>,
}

#[derive(Debug)]
enum Brought {
    Nothing,
    /// It is on its way back.
    OnItsWay(Result<Answer, Failure>),
    Here(Result<Answer, Failure>),
}

/// Why there is no answer.
#[derive(Clone, Debug)]
enum Failure {
    /// The request never reached the server.
    NotSent,
    /// It may have.
    Lost(&'static str),
}

/// A stream and what is scheduled for it.
#[derive(Debug)]
struct Wire {
    link: Link,
    progress: Progress,
    id: Arc<str>,
    from: From,
    /// `Deliver` is among the actions.
    delivers: bool,
    /// `Pump` is among the actions.
    pumps: bool,
    /// The server has something to write and cannot.
    blocked: bool,
    last_write: u64,
}

#[derive(Debug)]
struct Inner {
    now: u64,
    scheduler: Scheduler,
    node: Node,
    /// What can happen, oldest first.
    ready: Vec<Action>,
    timers: Timers,
    /// Given to timers and exchanges; ties of time are broken by it.
    next: u64,
    /// Who waits for observations.
    waiters: Waiters,
    /// The waker of the walk, and whether the walk is to be polled although nobody called it.
    root: Waker,
    walk_is_due: bool,
    /// Names of sessions, once each.
    names: Vec<Arc<str>>,
    exchanges: ByNumber<Exchange>,
    wires: ByNumber<Box<Wire>>,
    /// Kept to be filled again: a run has thousands of steps and most lead to something.
    effects: Vec<Effect>,
    /// Kept to be filled again, by each connection's answer.
    packets: Vec<Packet>,
    log: Log,
    paused: bool,
    absent: bool,
    generation: u32,
    /// What the server's clock is off, in milliseconds.
    skew: i64,
    clock_jumps: bool,
    /// How many packets arrive in one action, and how many frames are written in one.
    arrive_at_once: usize,
    write_at_once: usize,
}

/// The world of one run.
struct SimWorld {
    profile: Arc<Profile>,
    recorder: Recorder,
    inner: RefCell<Inner>,
    woken: Arc<Woken>,
}

/// Set by whoever wakes the walk.
#[derive(Debug)]
struct Woken(AtomicBool);

impl Woken {
    /// True when somebody did since the walk was polled last. All of them are on this thread.
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl SimWorld {
    /// A world in which nothing has happened yet but what `shared` brings.
    fn new(simulation: &Simulation, chooser: Chooser, shared: Option<&Shared>) -> SimWorld {
        let mut scheduler = Scheduler::new(chooser, shared.map_or(0, |shared| shared.actions));
        // The grain of the network and of the server's writing are choices like any other.
        let arrive_at_once = [usize::MAX, 1][scheduler.choose(2)];
        let write_at_once = [64, 1, 4][scheduler.choose(3)];
        let recorder = Recorder::of_simulation(shared.map(|shared| &shared.recorder));
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let root = Waker::from(Arc::clone(&woken));
        let inner = Inner {
            now: shared.map_or(0, |shared| shared.now),
            scheduler,
            node: shared.map_or_else(|| Node::new(&simulation.profile, simulation.bugs), |shared| shared.node.clone()),
            ready: Vec::new(),
            timers: shared.map_or_else(Timers::default, |shared| shared.timers.clone()),
            next: shared.map_or(0, |shared| shared.next),
            waiters: Waiters::default(),
            root,
            walk_is_due: true,
            names: shared.map_or_else(Vec::new, |shared| shared.names.clone()),
            exchanges: ByNumber::default(),
            wires: ByNumber::default(),
            effects: Vec::new(),
            packets: Vec::new(),
            log: Log::new(Room::take(shared), &recorder),
            paused: false,
            absent: false,
            generation: 0,
            skew: 0,
            clock_jumps: simulation.clock_jumps,
            arrive_at_once,
            write_at_once,
        };
        SimWorld { profile: Arc::clone(&simulation.profile), recorder, inner: RefCell::new(inner), woken }
    }

    /// Polls the walk whenever something woke it, and lets something happen whenever nothing did.
    fn drive<T>(&self, walk: impl Future<Output = Result<T, Abort>>) -> Result<T, Abort> {
        let root = self.inner.borrow().root.clone();
        let mut context = Context::from_waker(&root);
        let mut walk = pin!(walk);
        loop {
            self.inner.borrow_mut().walk_goes_on();
            self.woken.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(ended) = walk.as_mut().poll(&mut context) {
                return ended;
            }
            let mut inner = self.inner.borrow_mut();
            // Also when the walk has woken itself, for it was polled until it had nothing more to do.
            loop {
                if inner.scheduler.steps() > MOST_ACTIONS {
                    return Err(Abort::CouldNot(format!("the run did not end within {MOST_ACTIONS} actions")));
                }
                if !inner.step() {
                    return Err(Abort::CouldNot("nothing can happen any more, and the runner waits".to_owned()));
                }
                if inner.walk_is_due || self.woken.is_set() {
                    break;
                }
            }
        }
    }
}
