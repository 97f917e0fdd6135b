//! The simulated world: the reference core, its readers and a network between them, under virtual time on one thread.
//!
//! A run is the walk over a scenario, polled by hand ([`Simulation::run`]), and a set of [`Action`]s that could happen
//! next. Whenever the walk has nothing more to do, one of them is chosen and happens; when there is none, the clock jumps
//! to the next timer. There are no sockets, no wall clock, no runtime and no iteration over unordered collections, so a
//! run is a function of profile, bugs, scenario and [`Schedule`].
//!
//! What is behind what: `schedule.rs` chooses, `node.rs` is the server in steps, `rules.rs` bends it to the contract,
//! `store.rs` is its disk, `link.rs` the network and the reader's end of a stream.

pub mod campaign;
mod link;
mod node;
mod rules;
mod schedule;
mod store;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use streamspec_reference_server::bugs::{Bug, BugSet};
use streamspec_reference_server::session::Millis;

use crate::contract::Profile;
use crate::history::{ConnId, From, Header, History, Micros, Outcome, Process, Resources, Surface, What};
use crate::run::progress::Progress;
use crate::run::recorder::Recorder;
use crate::run::{Abort, Patience, walk};
use crate::scenario::{PublishFault, Scenario, Stop};
use crate::world::{Address, Call, Command, Opening, PageAnswer, PageRead, Reply, World};

use link::{Happened, Link, Packet};
use node::{Answer, Effect, Node, Publication, Request};
use schedule::Scheduler;
pub use schedule::{Actor, Chooser, Generator, Schedule};

/// What one action takes, in microseconds of virtual time.
const ACTION: u64 = 0;
/// How long an operation may take before its outcome is unknown.
const OPERATION: u64 = 10_000_000;
/// When every run begins, by the server's clock.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// A run of more actions than this does not end.
const MOST_ACTIONS: u64 = 20_000_000;
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
}

impl Simulation {
    /// A simulation of the right server under a profile.
    pub fn new(profile: Arc<Profile>) -> Simulation {
        let deadline = Duration::from_millis(profile.contract.liveness.delivery_ms * 2);
        Simulation { profile, bugs: BugSet::default(), deadline, clock_jumps: false }
    }

    /// Runs a scenario, which is at one place of its sweep, under the choices of `chooser`. `seed` is for the record only.
    pub fn run(&self, scenario: &Scenario, chooser: Chooser, seed: u64) -> Run {
        let world = SimWorld::new(self, chooser);
        // Names come from the salt: the same for every run, so that histories differ by their schedules alone.
        let patience = Patience { deadline: self.deadline, salt: 0 };
        let ended = world.drive(walk(&world, &self.profile, scenario, patience));
        let mut inner = world.inner.borrow_mut();
        let (schedule, widths) = inner.scheduler.schedule();
        let header =
            Header { streamspec_history: History::VERSION, profile: self.profile.name.clone(), scenario: scenario.name.clone(), seed };
        let history = History { header, records: world.recorder.take() };
        Run { history, aborted: ended.err(), schedule, widths, actions: inner.scheduler.steps() }
    }
}

/// Whether a defect can be simulated.
///
/// # Errors
/// When it sits in bytes, or in resources of a process, which the simulation has none of; the text says so.
pub fn simulable(bug: Bug) -> Result<(), &'static str> {
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
    id: String,
    /// Taken when it arrives, unless it will arrive again.
    request: Option<Request>,
    fault: Option<PublishFault>,
    timeout: (u64, u64),
    brought: Brought,
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
    id: String,
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
    timers: BTreeMap<(u64, u64), Timer>,
    /// Given to timers and exchanges; ties of time are broken by it.
    next: u64,
    wakers: Vec<Waker>,
    exchanges: BTreeMap<u32, Exchange>,
    wires: BTreeMap<u32, Wire>,
    /// Kept to be filled again: a run has thousands of steps and most lead to something.
    effects: Vec<Effect>,
    happened: Vec<What>,
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
}

/// Set by whoever wakes the walk.
#[derive(Debug)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl SimWorld {
    fn new(simulation: &Simulation, chooser: Chooser) -> SimWorld {
        let mut scheduler = Scheduler::new(chooser);
        // The grain of the network and of the server's writing are choices like any other.
        let arrive_at_once = [usize::MAX, 1][scheduler.choose(2)];
        let write_at_once = [64, 1, 4][scheduler.choose(3)];
        let inner = Inner {
            now: 0,
            scheduler,
            node: Node::new(&simulation.profile, simulation.bugs),
            ready: Vec::new(),
            timers: BTreeMap::new(),
            next: 0,
            wakers: Vec::new(),
            exchanges: BTreeMap::new(),
            wires: BTreeMap::new(),
            effects: Vec::new(),
            happened: Vec::new(),
            paused: false,
            absent: false,
            generation: 0,
            skew: 0,
            clock_jumps: simulation.clock_jumps,
            arrive_at_once,
            write_at_once,
        };
        SimWorld { profile: Arc::clone(&simulation.profile), recorder: Recorder::default(), inner: RefCell::new(inner) }
    }

    /// Polls the walk whenever something woke it, and lets something happen whenever nothing did.
    fn drive(&self, walk: impl Future<Output = Result<(), Abort>>) -> Result<(), Abort> {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut walk = pin!(walk);
        loop {
            if woken.0.swap(false, Ordering::Relaxed)
                && let Poll::Ready(ended) = walk.as_mut().poll(&mut context)
            {
                return ended;
            }
            let mut inner = self.inner.borrow_mut();
            if inner.scheduler.steps() > MOST_ACTIONS {
                return Err(Abort::CouldNot(format!("the run did not end within {MOST_ACTIONS} actions")));
            }
            if !inner.step(&self.recorder) {
                return Err(Abort::CouldNot("nothing can happen any more, and the runner waits".to_owned()));
            }
        }
    }
}

impl Inner {
    fn server_time(&self) -> Millis {
        Millis((EPOCH_MS + self.now / 1000).saturating_add_signed(self.skew))
    }

    /// A time that no other observation has.
    fn tick(&mut self) -> Micros {
        self.now += 1;
        Micros(self.now)
    }

    fn record(&mut self, recorder: &Recorder, what: What) {
        let at = self.tick();
        recorder.record(at, what);
    }

    fn timer(&mut self, after: u64, timer: Timer) -> (u64, u64) {
        self.next += 1;
        let key = (self.now + after, self.next);
        self.timers.insert(key, timer);
        key
    }

    fn wake_all(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Lets one thing happen; false when there is nothing.
    fn step(&mut self, recorder: &Recorder) -> bool {
        if let Some((&key, _)) = self.timers.first_key_value()
            && key.0 <= self.now
        {
            self.fire(key);
        } else if let Some(at) = self.pick() {
            self.now += ACTION;
            let action = self.ready.remove(at);
            self.act(action, recorder);
        } else if let Some((&key, _)) = self.timers.first_key_value() {
            self.now = key.0;
            self.fire(key);
        } else {
            return false;
        }
        self.effects();
        true
    }

    fn pick(&mut self) -> Option<usize> {
        let ready = &self.ready;
        if self.paused {
            let able: Vec<usize> = (0..ready.len()).filter(|at| !ready[*at].is_servers()).collect();
            if able.is_empty() {
                return None;
            }
            let chosen = self.scheduler.pick(able.len(), |at| ready[able[at]].actor());
            return Some(able[chosen]);
        }
        (!ready.is_empty()).then(|| self.scheduler.pick(ready.len(), |at| ready[at].actor()))
    }

    fn fire(&mut self, key: (u64, u64)) {
        let Some(timer) = self.timers.remove(&key) else { return };
        match timer {
            Timer::Wait => self.wake_all(),
            Timer::Timeout(ex) => {
                if let Some(exchange) = self.exchanges.get_mut(&ex) {
                    exchange.brought = Brought::Here(Err(Failure::Lost("no answer within 10 s")));
                    self.wake_all();
                }
            }
            Timer::Commit => self.ready.push(Action::Commit),
            Timer::Flush => self.node.flush(),
            Timer::Wake(conn) => self.wake_stream(conn),
            Timer::Heartbeat(conn) => self.heartbeat(conn),
        }
    }

    fn heartbeat(&mut self, conn: u32) {
        let Some(interval) = self.node.heartbeat_ms().map(|ms| ms * 1000) else { return };
        let Some(wire) = self.wires.get_mut(&conn).filter(|_| self.node.writes_to(conn)) else { return };
        let due = wire.last_write + interval;
        if due > self.now || self.paused {
            let after = due.saturating_sub(self.now).max(interval / 10);
            self.timer(after, Timer::Heartbeat(conn));
            return;
        }
        wire.last_write = self.now;
        let full = wire.link.full();
        if let Some(packet) = self.node.heartbeat(conn).filter(|_| !full) {
            self.send(conn, packet);
        }
        self.timer(interval, Timer::Heartbeat(conn));
    }

    fn send(&mut self, conn: u32, packet: Packet) {
        if let Some(wire) = self.wires.get_mut(&conn) {
            wire.link.send(packet);
            wire.last_write = self.now;
            if wire.link.ready() && !wire.delivers {
                wire.delivers = true;
                self.ready.push(Action::Deliver(conn));
            }
        }
    }

    fn wake_stream(&mut self, conn: u32) {
        if let Some(wire) = self.wires.get_mut(&conn)
            && !wire.pumps
        {
            wire.pumps = true;
            self.ready.push(Action::Pump(conn));
        }
    }

    /// Carries out what the server's last step led to.
    fn effects(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        self.node.take_effects(&mut effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Answer(ex, answer) => self.bring(ex, Ok(answer)),
                Effect::Lost(ex) => self.bring(ex, Err(Failure::Lost("connection reset"))),
                Effect::Wake(conn) => self.wake_stream(conn),
                Effect::WakeLater(conn, ms) => drop(self.timer(ms * 1000, Timer::Wake(conn))),
                Effect::Fence(conn) => self.ready.push(Action::Fence(conn)),
                Effect::Group if self.ready.contains(&Action::Group) => {}
                Effect::Group => self.ready.push(Action::Group),
                Effect::Commit(0) => self.ready.push(Action::Commit),
                Effect::Commit(ms) => drop(self.timer(ms * 1000, Timer::Commit)),
                Effect::Flush(ms) => drop(self.timer(ms * 1000, Timer::Flush)),
                Effect::Second(ex) => self.ready.push(Action::Second(ex)),
            }
        }
        self.effects = effects;
    }

    fn bring(&mut self, ex: u32, what: Result<Answer, Failure>) {
        if let Some(exchange) = self.exchanges.get_mut(&ex)
            && matches!(exchange.brought, Brought::Nothing)
        {
            exchange.brought = Brought::OnItsWay(what);
            self.ready.push(Action::Answered(ex));
        }
    }

    fn act(&mut self, action: Action, recorder: &Recorder) {
        let time = self.server_time();
        match action {
            Action::Arrive(ex) => self.arrive(ex),
            Action::Answered(ex) => self.answered(ex),
            Action::Connect(conn) => self.connect(conn, recorder),
            Action::Fence(conn) => self.node.fence(time, conn),
            Action::Pump(conn) => self.pump(conn),
            Action::Deliver(conn) => self.deliver(conn, recorder),
            Action::Leave(conn) => self.node.leave(conn),
            Action::Group => self.node.group(time),
            Action::Commit => self.node.commit(time),
            Action::Second(ex) => self.node.second(time, ex),
            Action::Stop(how, wipe) => self.stop(how, wipe, recorder),
            Action::Start(wipe) => self.start(wipe, recorder),
        }
    }

    fn arrive(&mut self, ex: u32) {
        let time = self.server_time();
        let Some(exchange) = self.exchanges.get_mut(&ex) else { return };
        if self.absent {
            exchange.brought = Brought::Here(Err(Failure::NotSent));
            self.wake_all();
            return;
        }
        let again = exchange.fault == Some(PublishFault::Duplicate);
        let request = if again { exchange.request.clone() } else { exchange.request.take() };
        if let Some(request) = request {
            let id = exchange.id.clone();
            self.node.request(time, ex, &id, request);
        }
    }

    fn answered(&mut self, ex: u32) {
        let Some(exchange) = self.exchanges.get_mut(&ex) else { return };
        let Brought::OnItsWay(brought) = std::mem::replace(&mut exchange.brought, Brought::Nothing) else { return };
        let dropped = "the proxy reset the connection";
        exchange.brought = match (exchange.fault.take(), brought) {
            (Some(PublishFault::Duplicate), Ok(_)) => {
                exchange.fault = Some(PublishFault::DropAnswer);
                self.ready.push(Action::Arrive(ex));
                return;
            }
            (Some(PublishFault::DropAnswer), Ok(_)) => Brought::Here(Err(Failure::Lost(dropped))),
            (_, brought) => Brought::Here(brought),
        };
        self.wake_all();
    }

    fn connect(&mut self, conn: u32, recorder: &Recorder) {
        let time = self.server_time();
        let Some(wire) = self.wires.get_mut(&conn).filter(|wire| !wire.link.has_ended()) else { return };
        if self.absent {
            let mut happened = Happened::default();
            wire.link.no_answer("connection refused", &mut happened);
            self.happened(conn, happened, recorder);
            return;
        }
        let (id, from) = (wire.id.clone(), wire.from.clone());
        for packet in self.node.subscribe(time, conn, &id, &from) {
            self.send(conn, packet);
        }
        if let Some(interval) = self.node.heartbeat_ms().filter(|_| self.node.writes_to(conn)) {
            self.timer(interval * 1000, Timer::Heartbeat(conn));
        }
    }

    fn pump(&mut self, conn: u32) {
        let (time, most) = (self.server_time(), self.write_at_once);
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        wire.pumps = false;
        if wire.link.full() {
            wire.blocked = true;
            return;
        }
        let (packets, again) = self.node.pump(time, conn, most);
        for packet in packets {
            self.send(conn, packet);
        }
        if again {
            self.wake_stream(conn);
        }
    }

    fn deliver(&mut self, conn: u32, recorder: &Recorder) {
        let mut happened = Happened { seen: std::mem::take(&mut self.happened), gone: false };
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        let mut left = self.arrive_at_once;
        while left > 0 && wire.link.ready() {
            wire.link.arrive(Node::class, &mut happened);
            left -= 1;
        }
        wire.delivers = wire.link.ready();
        if wire.delivers {
            self.ready.push(Action::Deliver(conn));
        }
        if wire.blocked && !wire.link.full() {
            wire.blocked = false;
            self.wake_stream(conn);
        }
        self.happened(conn, happened, recorder);
    }

    /// Records what a reader saw, and lets the server notice that it has gone.
    fn happened(&mut self, conn: u32, mut happened: Happened, recorder: &Recorder) {
        for what in happened.seen.drain(..) {
            self.record(recorder, what);
        }
        self.happened = happened.seen;
        if happened.gone {
            self.ready.push(Action::Leave(conn));
        }
        self.wake_all();
    }

    fn order(&mut self, conn: u32, command: Command, recorder: &Recorder) {
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        let mut happened = Happened::default();
        wire.link.order(command, &mut happened);
        if wire.link.ready() && !wire.delivers {
            wire.delivers = true;
            self.ready.push(Action::Deliver(conn));
        }
        self.happened(conn, happened, recorder);
    }

    fn stop(&mut self, how: Stop, wipe: bool, recorder: &Recorder) {
        match how {
            Stop::Kill => {
                let under_way = self.node.committing();
                // The mildest: all of it has reached the disk.
                let missing = self.scheduler.choose(under_way + 1);
                self.node.kill(under_way - missing);
            }
            Stop::Term => {
                for (conn, packets) in self.node.stop(self.server_time()) {
                    packets.into_iter().for_each(|packet| self.send(conn, packet));
                }
            }
        }
        self.effects();
        let abrupt = how == Stop::Kill;
        let conns: Vec<u32> = self.wires.iter().filter(|(_, wire)| !wire.link.has_ended()).map(|(conn, _)| *conn).collect();
        for conn in conns {
            // A request that has not arrived meets the next process.
            if self.ready.contains(&Action::Connect(conn)) {
                continue;
            }
            if let Some(wire) = self.wires.get_mut(&conn).filter(|wire| abrupt && wire.link.in_flight() > 0)
                && self.scheduler.choose(2) == 1
            {
                wire.link.lose();
            }
            self.send(conn, Packet::Break);
        }
        if abrupt {
            let on_their_way: Vec<u32> =
                self.exchanges.iter().filter(|(_, e)| matches!(e.brought, Brought::OnItsWay(Ok(_)))).map(|(ex, _)| *ex).collect();
            for ex in on_their_way {
                if self.scheduler.choose(2) == 1 {
                    self.exchanges.get_mut(&ex).expect("it was just listed").brought =
                        Brought::OnItsWay(Err(Failure::Lost("connection reset")));
                }
            }
        }
        let stays = |action: &Action| matches!(action, Action::Arrive(_) | Action::Connect(_)) || !action.is_servers();
        self.ready.retain(stays);
        self.wires.values_mut().for_each(|wire| wire.pumps = false);
        self.timers.retain(|_, timer| !matches!(timer, Timer::Commit | Timer::Flush | Timer::Wake(_) | Timer::Heartbeat(_)));
        self.absent = true;
        self.paused = false;
        self.record(recorder, What::Process(Process::Gone));
        self.ready.push(Action::Start(wipe));
        self.wake_all();
    }

    fn start(&mut self, wipe: bool, recorder: &Recorder) {
        if self.clock_jumps {
            self.skew = [0, JUMP_MS as i64, -(JUMP_MS as i64)][self.scheduler.choose(3)];
        }
        self.node.start(self.server_time(), wipe);
        self.absent = false;
        self.generation += 1;
        let generation = self.generation;
        self.record(recorder, What::Process(Process::Ready { pid: generation + 1, generation, wiped: wipe }));
        self.wake_all();
    }
}

impl SimWorld {
    /// Sends a request and waits for what it brings.
    async fn exchange(&self, address: &Address, request: Request, fault: Option<PublishFault>) -> Result<Answer, Failure> {
        let ex = {
            let mut inner = self.inner.borrow_mut();
            inner.next += 1;
            let ex = u32::try_from(inner.next).expect("a run has fewer actions than that");
            let timeout = inner.timer(OPERATION, Timer::Timeout(ex));
            let exchange = Exchange { id: address.id.clone(), request: Some(request), fault, timeout, brought: Brought::Nothing };
            inner.exchanges.insert(ex, exchange);
            inner.ready.push(Action::Arrive(ex));
            ex
        };
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            if !matches!(inner.exchanges[&ex].brought, Brought::Here(_)) {
                inner.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            let exchange = inner.exchanges.remove(&ex).expect("it is there until its answer is taken");
            inner.timers.remove(&exchange.timeout);
            match exchange.brought {
                Brought::Here(brought) => Poll::Ready(brought),
                Brought::Nothing | Brought::OnItsWay(_) => unreachable!("it was just looked at"),
            }
        })
        .await
    }
}

fn unknown(failure: Failure) -> Reply {
    let outcome = match failure {
        Failure::NotSent => Outcome::Failed { status: 0, body: "connection refused".to_owned() },
        Failure::Lost(why) => Outcome::Unknown { why: why.to_owned() },
    };
    Reply { outcome, taken: BTreeMap::new() }
}

impl World for SimWorld {
    fn now(&self) -> Micros {
        self.inner.borrow_mut().tick()
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    async fn call(&self, address: &Address, call: Call) -> Reply {
        let (request, fault) = match call {
            Call::Open(retain) => (Request::Open(retain), None),
            Call::Publish { payload, event_type, key, durable, fault } => {
                (Request::Publish(Publication { payload, event_type, key, durable }), fault)
            }
            Call::Close => (Request::Close, None),
            Call::Delete => (Request::Delete, None),
            Call::Health => (Request::Health, None),
            Call::Probe(probe) => (Request::Probe(probe), None),
        };
        match self.exchange(address, request, fault).await {
            Ok(Answer::Reply(reply)) => reply,
            Ok(Answer::Page(_)) => unreachable!("operations are answered by replies"),
            Err(failure) => unknown(failure),
        }
    }

    fn connect(&self, opening: Opening) -> Progress {
        let progress = Progress::default();
        let link = Link::new(opening.conn, progress.clone(), &opening.faults, &self.profile.binding);
        let refusals = link.refusals();
        let conn = opening.conn.0;
        let mut inner = self.inner.borrow_mut();
        let wire = Wire {
            link,
            id: opening.address.id,
            from: opening.from.clone(),
            delivers: false,
            pumps: false,
            blocked: false,
            last_write: inner.now,
        };
        let connect = crate::history::Connect {
            conn: opening.conn,
            reader: opening.reader,
            nth: opening.nth,
            session: opening.session,
            surface: Surface::Stream,
            from: opening.from,
            role: opening.role,
            limit: None,
            request: String::new(),
        };
        inner.record(&self.recorder, What::Connect(connect));
        for refusal in refusals {
            inner.record(&self.recorder, refusal);
        }
        inner.wires.insert(conn, wire);
        inner.ready.push(Action::Connect(conn));
        progress
    }

    fn command(&self, conn: ConnId, command: Command) {
        self.inner.borrow_mut().order(conn.0, command, &self.recorder);
    }

    fn describe(&self, _: &PageRead) -> String {
        String::new()
    }

    async fn read(&self, read: PageRead) -> Result<PageAnswer, String> {
        let address = read.address.clone();
        match self.exchange(&address, Request::Read(read), None).await {
            Ok(Answer::Page(page)) => Ok(page),
            Ok(Answer::Reply(_)) => unreachable!("finite reads are answered by pages"),
            Err(Failure::NotSent) => Err("connection refused".to_owned()),
            Err(Failure::Lost(why)) => Err(why.to_owned()),
        }
    }

    async fn churn(&self, address: &Address, connections: u32, _: u32) -> u32 {
        let mut inner = self.inner.borrow_mut();
        let time = inner.server_time();
        let mut accepted = 0;
        for _ in 0..connections {
            // Numbers above those of the runner's own connections.
            inner.next += 1;
            let conn = u32::MAX - u32::try_from(inner.next).expect("a run has fewer actions than that");
            let packets = inner.node.subscribe(time, conn, &address.id, &From::Start);
            accepted += u32::from(matches!(packets.first(), Some(Packet::Head { status: 200, .. })));
            inner.node.leave(conn);
        }
        inner.effects();
        accepted
    }

    async fn restart(&self, how: Stop, wipe: bool) -> Result<(), String> {
        let before = {
            let mut inner = self.inner.borrow_mut();
            let name = match how {
                Stop::Kill => "KILL",
                Stop::Term => "TERM",
            };
            inner.record(&self.recorder, What::Process(Process::Signal { name: name.to_owned() }));
            inner.ready.push(Action::Stop(how, wipe));
            inner.generation
        };
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            if inner.generation > before {
                return Poll::Ready(Ok(()));
            }
            inner.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    async fn pause(&self, paused: bool) -> Result<(), String> {
        self.inner.borrow_mut().paused = paused;
        Ok(())
    }

    fn resources(&self, _: &str, _: u64) -> Option<Resources> {
        None
    }

    fn died(&self) -> Option<String> {
        None
    }

    fn absent(&self) -> bool {
        self.inner.borrow().absent
    }

    async fn wait(&self, deadline: Duration, mut done: impl FnMut() -> bool) -> bool {
        let mut timer: Option<(u64, u64)> = None;
        let after = u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX / 2);
        let held = poll_fn(|context| {
            if done() {
                return Poll::Ready(true);
            }
            let mut inner = self.inner.borrow_mut();
            let until = *timer.get_or_insert_with(|| inner.timer(after, Timer::Wait));
            if inner.now >= until.0 {
                return Poll::Ready(false);
            }
            inner.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
        if let Some(timer) = timer {
            self.inner.borrow_mut().timers.remove(&timer);
        }
        held
    }

    async fn pass(&self, time: Duration) {
        self.wait(time, || false).await;
    }
}
