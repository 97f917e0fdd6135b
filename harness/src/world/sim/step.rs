//! One thing after the other: timers, actions, and what the server's steps lead to.

use std::sync::Arc;
use std::task::Context;

use streamspec_reference_server::session::Millis;

use super::link::{Happened, Packet};
use super::node::{Answer, Effect};
use super::waiting::Due;
use super::{ACTION, Action, Brought, EPOCH_MS, Exchange, Failure, Inner, JUMP_MS, Timer};
use crate::history::{Micros, Process, What};
use crate::scenario::{PublishFault, Stop};
use crate::world::{Command, Watch};

impl Exchange {
    /// The answer is here, or the news that there is none.
    fn here(&mut self, brought: Result<Answer, Failure>, walk_is_due: &mut bool) {
        self.brought = Brought::Here(brought);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake(walk_is_due);
        }
    }
}

impl Inner {
    /// The name of a session, shared by all who use it.
    pub(super) fn name(&mut self, id: &str) -> Arc<str> {
        if let Some(known) = self.names.iter().find(|known| &***known == id) {
            return Arc::clone(known);
        }
        let name: Arc<str> = id.into();
        self.names.push(Arc::clone(&name));
        name
    }

    pub(super) fn server_time(&self) -> Millis {
        Millis((EPOCH_MS + self.now / 1000).saturating_add_signed(self.skew))
    }

    /// A time that no other observation has.
    pub(super) fn tick(&mut self) -> Micros {
        self.now += 1;
        Micros(self.now)
    }

    pub(super) fn record(&mut self, what: What) {
        let at = self.tick();
        self.log.push(at, what);
    }

    pub(super) fn timer(&mut self, after: u64, timer: Timer) -> Due {
        self.next += 1;
        let due = (self.now + after, self.next);
        self.timers.insert(due, timer);
        due
    }

    /// Whoever polls waits for the next observation that `watch` does not leave out.
    pub(super) fn waits(&mut self, watch: Watch, context: &Context<'_>) {
        self.waiters.add(watch, context, &self.root);
    }

    pub(super) fn wake_all(&mut self) {
        self.waiters.wake(&mut self.walk_is_due);
    }

    /// The walk is polled now.
    pub(super) fn walk_goes_on(&mut self) {
        self.walk_is_due = false;
        self.waiters.walk_goes_on();
    }

    /// Lets one thing happen; false when there is nothing.
    pub(super) fn step(&mut self) -> bool {
        if let Some(due) = self.timers.next()
            && due.0 <= self.now
        {
            self.fire(due);
        } else if let Some(at) = self.pick() {
            self.now += ACTION;
            let action = self.ready.remove(at);
            self.act(action);
        } else if let Some(due) = self.timers.next() {
            self.now = due.0;
            self.fire(due);
        } else {
            return false;
        }
        self.effects();
        true
    }

    pub(super) fn pick(&mut self) -> Option<usize> {
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

    pub(super) fn fire(&mut self, due: Due) {
        let Some(timer) = self.timers.remove(due) else { return };
        match timer {
            Timer::Wait => self.wake_all(),
            Timer::Timeout(ex) => {
                if let Some(exchange) = self.exchanges.get_mut(ex) {
                    exchange.here(Err(Failure::Lost("no answer within 10 s")), &mut self.walk_is_due);
                    self.wake_all();
                }
            }
            Timer::Commit => self.ready.push(Action::Commit),
            Timer::Flush => self.node.flush(),
            Timer::Wake(conn) => self.wake_stream(conn),
            Timer::Heartbeat(conn) => self.heartbeat(conn),
        }
    }

    pub(super) fn heartbeat(&mut self, conn: u32) {
        let Some(interval) = self.node.heartbeat_ms().map(|ms| ms * 1000) else { return };
        let Some(wire) = self.wires.get_mut(conn).filter(|_| self.node.writes_to(conn)) else { return };
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

    pub(super) fn send(&mut self, conn: u32, packet: Packet) {
        self.send_all(conn, std::iter::once(packet));
    }

    fn send_all(&mut self, conn: u32, packets: impl ExactSizeIterator<Item = Packet>) {
        if packets.len() == 0 {
            return;
        }
        if let Some(wire) = self.wires.get_mut(conn) {
            packets.for_each(|packet| wire.link.send(packet));
            self.sent(conn);
        }
    }

    /// Something was written to a stream.
    fn sent(&mut self, conn: u32) {
        if let Some(wire) = self.wires.get_mut(conn) {
            wire.last_write = self.now;
            if wire.link.ready() && !wire.delivers {
                wire.delivers = true;
                self.ready.push(Action::Deliver(conn));
            }
        }
    }

    pub(super) fn wake_stream(&mut self, conn: u32) {
        if let Some(wire) = self.wires.get_mut(conn)
            && !wire.pumps
        {
            wire.pumps = true;
            self.ready.push(Action::Pump(conn));
        }
    }

    /// Carries out what the server's last step led to.
    pub(super) fn effects(&mut self) {
        if self.node.is_quiet() {
            return;
        }
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

    pub(super) fn bring(&mut self, ex: u32, what: Result<Answer, Failure>) {
        if let Some(exchange) = self.exchanges.get_mut(ex)
            && matches!(exchange.brought, Brought::Nothing)
        {
            exchange.brought = Brought::OnItsWay(what);
            self.ready.push(Action::Answered(ex));
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Arrive(ex) => self.arrive(ex),
            Action::Answered(ex) => self.answered(ex),
            Action::Connect(conn) => self.connect(conn),
            Action::Fence(conn) => self.node.fence(self.server_time(), conn),
            Action::Pump(conn) => self.pump(conn),
            Action::Deliver(conn) => self.deliver(conn),
            Action::Leave(conn) => self.node.leave(conn),
            Action::Group => self.node.group(self.server_time()),
            Action::Commit => self.node.commit(self.server_time()),
            Action::Second(ex) => self.node.second(self.server_time(), ex),
            Action::Stop(how, wipe) => self.stop(how, wipe),
            Action::Start(wipe) => self.start(wipe),
        }
    }

    pub(super) fn arrive(&mut self, ex: u32) {
        let time = self.server_time();
        let Some(exchange) = self.exchanges.get_mut(ex) else { return };
        if self.absent {
            exchange.here(Err(Failure::NotSent), &mut self.walk_is_due);
            self.wake_all();
            return;
        }
        let again = exchange.fault == Some(PublishFault::Duplicate);
        let request = if again { exchange.request.clone() } else { exchange.request.take() };
        if let Some(request) = request {
            let id = Arc::clone(&exchange.id);
            self.node.request(time, ex, &id, request);
        }
    }

    pub(super) fn answered(&mut self, ex: u32) {
        let Some(exchange) = self.exchanges.get_mut(ex) else { return };
        let Brought::OnItsWay(brought) = std::mem::replace(&mut exchange.brought, Brought::Nothing) else { return };
        let dropped = "the proxy reset the connection";
        match (exchange.fault.take(), brought) {
            (Some(PublishFault::Duplicate), Ok(_)) => {
                exchange.fault = Some(PublishFault::DropAnswer);
                self.ready.push(Action::Arrive(ex));
                return;
            }
            (Some(PublishFault::DropAnswer), Ok(_)) => exchange.here(Err(Failure::Lost(dropped)), &mut self.walk_is_due),
            (_, brought) => exchange.here(brought, &mut self.walk_is_due),
        }
        self.wake_all();
    }

    pub(super) fn connect(&mut self, conn: u32) {
        let time = self.server_time();
        let Some(wire) = self.wires.get_mut(conn).filter(|wire| !wire.link.has_ended()) else { return };
        if self.absent {
            let since = self.log.records().len();
            let mut happened = Happened::new(&mut self.log, &mut self.now);
            wire.link.no_answer("connection refused", &mut wire.progress.state(), &mut happened);
            let gone = happened.gone;
            self.happened(conn, since, gone);
            return;
        }
        let mut packets = std::mem::take(&mut self.packets);
        self.node.subscribe(time, conn, &wire.id, &wire.from, &mut packets);
        self.send_all(conn, packets.drain(..));
        self.packets = packets;
        if let Some(interval) = self.node.heartbeat_ms().filter(|_| self.node.writes_to(conn)) {
            self.timer(interval * 1000, Timer::Heartbeat(conn));
        }
    }

    pub(super) fn pump(&mut self, conn: u32) {
        let (time, most) = (self.server_time(), self.write_at_once);
        let Some(wire) = self.wires.get_mut(conn) else { return };
        wire.pumps = false;
        if wire.link.full() {
            wire.blocked = true;
            return;
        }
        let mut wrote = false;
        let again = self.node.pump(time, conn, most, |packet| {
            wrote = true;
            wire.link.send(packet);
        });
        if wrote {
            self.sent(conn);
        }
        if again {
            self.wake_stream(conn);
        }
    }

    pub(super) fn deliver(&mut self, conn: u32) {
        let Some(wire) = self.wires.get_mut(conn) else { return };
        let since = self.log.records().len();
        let mut happened = Happened::new(&mut self.log, &mut self.now);
        {
            let (mut left, mut state) = (self.arrive_at_once, wire.progress.state());
            while left > 0 && wire.link.ready() {
                wire.link.arrive(&mut state, &mut happened);
                left -= 1;
            }
        }
        let gone = happened.gone;
        wire.delivers = wire.link.ready();
        if wire.delivers {
            self.ready.push(Action::Deliver(conn));
        }
        if wire.blocked && !wire.link.full() {
            wire.blocked = false;
            self.wake_stream(conn);
        }
        self.happened(conn, since, gone);
    }

    /// Those who wait for what was observed from here on are called, and the server notices that the reader has gone.
    fn happened(&mut self, conn: u32, since: usize, gone: bool) {
        self.waiters.observed(&self.log.records()[since..], &mut self.walk_is_due);
        if gone {
            self.ready.push(Action::Leave(conn));
        }
    }

    pub(super) fn order(&mut self, conn: u32, command: Command) {
        let Some(wire) = self.wires.get_mut(conn) else { return };
        let since = self.log.records().len();
        let mut happened = Happened::new(&mut self.log, &mut self.now);
        wire.link.order(command, &mut wire.progress.state(), &mut happened);
        let gone = happened.gone;
        if wire.link.ready() && !wire.delivers {
            wire.delivers = true;
            self.ready.push(Action::Deliver(conn));
        }
        self.happened(conn, since, gone);
    }

    pub(super) fn stop(&mut self, how: Stop, wipe: bool) {
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
        let conns: Vec<u32> = self.wires.iter().filter(|(_, wire)| !wire.link.has_ended()).map(|(conn, _)| conn).collect();
        for conn in conns {
            // A request that has not arrived meets the next process.
            if self.ready.contains(&Action::Connect(conn)) {
                continue;
            }
            if let Some(wire) = self.wires.get_mut(conn).filter(|wire| abrupt && wire.link.in_flight() > 0)
                && self.scheduler.choose(2) == 1
            {
                wire.link.lose();
            }
            self.send(conn, Packet::Break);
        }
        if abrupt {
            for exchange in self.exchanges.iter_mut().filter(|e| matches!(e.brought, Brought::OnItsWay(Ok(_)))) {
                if self.scheduler.choose(2) == 1 {
                    exchange.brought = Brought::OnItsWay(Err(Failure::Lost("connection reset")));
                }
            }
        }
        let stays = |action: &Action| matches!(action, Action::Arrive(_) | Action::Connect(_)) || !action.is_servers();
        self.ready.retain(stays);
        self.wires.iter_mut().for_each(|wire| wire.pumps = false);
        self.timers.retain(|timer| !matches!(timer, Timer::Commit | Timer::Flush | Timer::Wake(_) | Timer::Heartbeat(_)));
        self.absent = true;
        self.paused = false;
        self.record(What::Process(Process::Gone));
        self.ready.push(Action::Start(wipe));
        self.wake_all();
    }

    pub(super) fn start(&mut self, wipe: bool) {
        if self.clock_jumps {
            self.skew = [0, JUMP_MS as i64, -(JUMP_MS as i64)][self.scheduler.choose(3)];
        }
        self.node.start(self.server_time(), wipe);
        self.absent = false;
        self.generation += 1;
        let generation = self.generation;
        self.record(What::Process(Process::Ready { pid: generation + 1, generation, wiped: wipe }));
        self.wake_all();
    }
}
