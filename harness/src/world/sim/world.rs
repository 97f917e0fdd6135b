//! The runner's side of the simulated world.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::link::{Link, Packet, USUAL};
use super::node::{Answer, Publication, Request};
use super::waiting::{Due, Waiter};
use super::{Action, Brought, Exchange, Failure, OPERATION, SimWorld, Timer, Wire};
use crate::history::{ConnId, From, Micros, Outcome, Process, Resources, Surface, What};
use crate::run::progress::Progress;
use crate::run::recorder::{MOST_RECORDS, Recorder};
use crate::scenario::{PublishFault, Stop};
use crate::world::{Address, Call, Command, Opening, PageAnswer, PageRead, Reply, Watch, World};

impl SimWorld {
    /// Sends a request and waits for what it brings.
    async fn exchange(&self, address: &Address, request: Request, fault: Option<PublishFault>) -> Result<Answer, Failure> {
        let ex = {
            let mut inner = self.inner.borrow_mut();
            inner.next += 1;
            let ex = u32::try_from(inner.next).expect("a run has fewer actions than that");
            let timeout = inner.timer(OPERATION, Timer::Timeout(ex));
            let id = inner.name(&address.id);
            let exchange = Exchange { id, request: Some(request), fault, timeout, brought: Brought::Nothing, waiter: None };
            inner.exchanges.insert(ex, exchange);
            inner.ready.push(Action::Arrive(ex));
            ex
        };
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            let exchange = inner.exchanges.get_mut(ex).expect("it is there until its answer is taken");
            if !matches!(exchange.brought, Brought::Here(_)) {
                let waiter = Waiter::of(context, &inner.root);
                inner.exchanges.get_mut(ex).expect("it was just looked at").waiter = Some(waiter);
                return Poll::Pending;
            }
            let exchange = inner.exchanges.remove(ex).expect("it was just looked at");
            inner.timers.remove(exchange.timeout);
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
    Reply { outcome, taken: BTreeMap::new(), answer: None }
}

impl World for SimWorld {
    fn now(&self) -> Micros {
        self.inner.borrow_mut().tick()
    }

    fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn record(&self, what: What) {
        self.inner.borrow_mut().record(what);
    }

    fn full(&self) -> bool {
        self.inner.borrow().log.records().len() >= MOST_RECORDS
    }

    async fn call(&self, _op: crate::history::OpId, address: &Address, call: Call) -> Reply {
        let (request, fault) = match call {
            Call::Open(retain) => (Request::Open(retain), None),
            Call::Publish { payload, event_type, key, durable, fault, by: _ } => {
                (Request::Publish(Publication { payload, event_type, key, durable }), fault)
            }
            Call::Close => (Request::Close, None),
            Call::Delete => (Request::Delete, None),
            Call::Health => (Request::Health, None),
            Call::Probe(probe) => (Request::Probe(probe), None),
            // The simulated node is the session core; a protocol's own operations are not in it.
            Call::Custom { .. } => return unknown(Failure::NotSent),
        };
        match self.exchange(address, request, fault).await {
            Ok(Answer::Done(status, cursor)) => Reply { outcome: Outcome::Ok { status, cursor }, taken: BTreeMap::new(), answer: None },
            Ok(Answer::Reply(reply)) => *reply,
            Ok(Answer::Page(_)) => unreachable!("operations are answered by replies"),
            Err(failure) => unknown(failure),
        }
    }

    fn connect(&self, opening: Opening) -> Progress {
        let progress = Progress::with_room(USUAL);
        let mut inner = self.inner.borrow_mut();
        // Most often the newest has ended.
        let room = inner.wires.iter_mut().rev().take(4).find_map(|wire| wire.link.room());
        let link = Link::new(opening.conn, &opening.faults, &self.profile.binding, room);
        let refusals = link.refusals();
        let conn = opening.conn.0;
        let wire = Wire {
            link,
            progress: progress.clone(),
            id: inner.name(&opening.address.id),
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
        inner.record(What::Connect(Box::new(connect)));
        for refusal in refusals {
            inner.record(refusal);
        }
        inner.wires.insert(conn, Box::new(wire));
        inner.ready.push(Action::Connect(conn));
        progress
    }

    async fn fence(&self, _: Duration) -> Option<String> {
        // Each simulated session has a numbering of its own.
        None
    }

    async fn pay(&self, _: crate::history::SessionIx, _: &Address, _: &crate::scenario::Pay) -> Result<Option<String>, String> {
        Err("the simulated node sells nothing".to_owned())
    }

    fn command(&self, conn: ConnId, command: Command) {
        self.inner.borrow_mut().order(conn.0, command);
    }

    fn describe(&self, _: &PageRead) -> String {
        String::new()
    }

    async fn read(&self, read: PageRead) -> Result<PageAnswer, String> {
        let address = read.address.clone();
        match self.exchange(&address, Request::Read(Box::new(read)), None).await {
            Ok(Answer::Page(page)) => Ok(*page),
            Ok(Answer::Done(..) | Answer::Reply(_)) => unreachable!("finite reads are answered by pages"),
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
            let mut packets = Vec::new();
            inner.node.subscribe(time, conn, &address.id, &From::Start, &mut packets);
            accepted += u32::from(packets.first().is_some_and(Packet::accepts));
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
            inner.record(What::Process(Process::Signal { name: name.to_owned() }));
            inner.ready.push(Action::Stop(how, wipe));
            inner.generation
        };
        poll_fn(|context| {
            let mut inner = self.inner.borrow_mut();
            if inner.generation > before {
                return Poll::Ready(Ok(()));
            }
            inner.waits(Watch::All, context);
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

    async fn wait_for(&self, watch: Watch, deadline: Duration, mut done: impl FnMut() -> bool) -> bool {
        let mut timer: Option<Due> = None;
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
            inner.waits(watch, context);
            Poll::Pending
        })
        .await;
        if let Some(timer) = timer {
            self.inner.borrow_mut().timers.remove(timer);
        }
        held
    }

    async fn pass(&self, time: Duration) {
        self.wait(time, || false).await;
    }
}
