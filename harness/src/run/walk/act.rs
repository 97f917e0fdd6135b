//! One step.

use std::rc::Rc;
use std::time::Duration;

use smol_str::SmolStr;

use crate::history::{Action, Outcome, Process, SessionIx, What};
use crate::run::binding::placeholders;
use crate::scenario::{Churn, Close, EvictBy, Open, Restart, Sample, Step, Text};
use crate::world::{Call, Command, World};

use super::cast::SessionState;
use super::{Abort, Background, Walk};

/// How many times the bound a byte-bounded session is filled before its first event is surely gone.
const OVERFILL: u64 = 3;

impl<W: World> Walk<'_, W> {
    /// Does one step. `ahead` are the steps behind it, for the faults that must be armed now.
    pub(super) async fn act(&self, step: &Step, ahead: &[Step]) -> Result<(), Abort> {
        match step {
            Step::Open(open) => self.open(open).await,
            Step::Publish(publish) => self.publish(publish).await,
            Step::Writer(writer) => {
                self.cast.borrow_mut().writers.insert(writer.name.clone(), super::cast::WriterState::default());
                self.background.borrow_mut().push(Background::Write(writer.clone()));
                Ok(())
            }
            Step::Join(join) => {
                let done = || {
                    let cast = self.cast.borrow();
                    cast.writers.get(&join.writer).is_none_or(|w| w.done) && !cast.asking.contains(&join.writer)
                };
                // A writer's own operations have deadlines, so it ends; this bound is for a harness that does not.
                if !self.world.wait(Duration::from_secs(120), done).await {
                    return self.could_not(format!("writer `{}` did not finish within 120 s", join.writer));
                }
                Ok(())
            }
            Step::Subscribe(subscribe) => self.subscribe(subscribe, ahead).await,
            Step::Resume(resume) => self.resume(resume, ahead).await,
            Step::Drop(of) => self.drop_connection(&of.reader).await,
            Step::Cut(cut) => self.cut(cut).await,
            Step::Stall(stall) | Step::Hold(stall) => self.fault_applied(&stall.reader).await.map(drop),
            Step::Unstall(of) => self.tell(&of.reader, Command::Unstall),
            Step::Release(of) => self.tell(&of.reader, Command::Release),
            Step::Shape(_) => Ok(()),
            Step::Await(wait) => self.await_judged(&wait.reader, &wait.upto, wait.judges.clone()).await,
            Step::Do(step) if step.background => {
                self.cast.borrow_mut().asking.push(step.op.clone());
                self.background.borrow_mut().push(Background::Ask(step.clone()));
                Ok(())
            }
            Step::Do(step) => self.ask(step).await,
            Step::Pay(pay) => self.pay(pay).await,
            Step::Seam(seam) => self.seam(seam).await,
            Step::Evict(evict) => self.evict(&evict.session, evict.by, evict.beyond).await,
            Step::Read(read) => self.read_history(read).await,
            Step::Snapshot(snapshot) => self.read_snapshot(&snapshot.session).await,
            Step::Close(close) => self.close(close).await,
            Step::Delete(of) => self.delete(&of.session).await,
            Step::Restart(restart) => self.restart(restart).await,
            Step::Pause(_) => self.pause(true).await,
            Step::Continue(_) => self.pause(false).await,
            Step::Probe(probe) => {
                let (ix, address) = match &probe.session {
                    Some(name) => self.with(name, |s| (Some(s.ix), Rc::clone(&s.address)))?,
                    // Without credentials it would be refused for the lack of them.
                    None if self.profile.contract.auth.is_some() && self.cast.borrow().sessions.is_empty() => {
                        return self.could_not("no session was opened before the probe, so there are no credentials to send".to_owned());
                    }
                    None => (None, Rc::new(self.unknown_address())),
                };
                let reply = self.operation(Action::Probe { about: probe.about, session: ix }, &address, Call::Probe(probe.about)).await;
                self.probed(probe.about, &reply);
                Ok(())
            }
            Step::Churn(churn) => self.churn(churn).await,
            Step::Sample(sample) => self.sample(sample).await,
            Step::Repeat(repeat) => {
                for _ in 0..repeat.times {
                    Box::pin(self.steps(&repeat.steps, 0, None)).await?;
                }
                Ok(())
            }
        }
    }

    /// Looks at a session by name.
    pub(super) fn with<T>(&self, name: &str, look: impl FnOnce(&mut SessionState) -> T) -> Result<T, Abort> {
        match self.cast.borrow_mut().sessions.get_mut(name) {
            Some(session) => Ok(look(session)),
            None => Err(Abort::CouldNot(format!("session `{name}` was not opened"))),
        }
    }

    /// Sends an operation and records both its ends.
    pub(super) async fn operation(&self, action: Action, address: &crate::world::Address, call: Call) -> crate::world::Reply {
        let op = self.world.recorder().operation();
        self.operation_as(op, action, address, call).await
    }

    /// As [`Walk::operation`], under a number that the caller took.
    pub(super) async fn operation_as(
        &self,
        op: crate::history::OpId,
        action: Action,
        address: &crate::world::Address,
        call: Call,
    ) -> crate::world::Reply {
        self.record(What::Invoke(Box::new(crate::history::Invoke { op, action })));
        let reply = self.world.call(op, address, call).await;
        self.record(What::Complete(crate::history::Complete { op, outcome: reply.outcome.clone() }));
        reply
    }

    async fn open(&self, open: &Open) -> Result<(), Abort> {
        let (ix, former) = {
            let mut cast = self.cast.borrow_mut();
            let ix = SessionIx(cast.next_session);
            cast.next_session += 1;
            let former = match &open.reborn_of {
                Some(name) => {
                    let cursor = cast.newest_cursor(name);
                    let Some(old) = cast.sessions.get(name) else { return self.could_not(format!("session `{name}` was not opened")) };
                    Some((old.ix, old.address.id.clone(), cursor))
                }
                None => None,
            };
            (ix, former)
        };
        let mut address = match &former {
            Some((_, id, _)) => {
                let taken = [("reborn".to_owned(), id.clone())].into();
                crate::world::Address { id: id.clone(), taken }
            }
            None => crate::world::Address { id: format!("s{:012x}-{}", self.patience.salt & 0xffff_ffff_ffff, ix.0), ..Default::default() },
        };
        self.record(What::Session(Box::new(crate::history::Session {
            session: ix,
            name: open.session.clone(),
            retain: open.retain,
            reborn_of: former.as_ref().map(|f| f.0),
        })));
        let mut refused = open.refuse;
        let anchored = self.profile.is_one_stream();
        let fence = if anchored && !open.refuse { self.world.fence(self.deadline()).await } else { None };
        if self.profile.binding.open.is_some() {
            let reply = self.operation(Action::Open { session: ix, refuse: open.refuse }, &address, Call::Open(open.retain)).await;
            match &reply.outcome {
                Outcome::Ok { .. } => {}
                Outcome::Failed { .. } | Outcome::Unknown { .. } if open.refuse => {}
                Outcome::Failed { status, body } => {
                    return self.could_not(format!("session `{}` could not be opened: status {status} {body}", open.session));
                }
                Outcome::Unknown { why } => return self.could_not(format!("session `{}` could not be opened: {why}", open.session)),
            }
            if let Some(id) = reply.taken.get("session") {
                address.id.clone_from(id);
            }
            address.taken = reply.taken;
        } else {
            refused = false;
        }
        if let Some(fence) = fence {
            address.taken.entry("opened".to_owned()).or_insert(fence);
        }
        if self.world.recorder().keeps_wire() {
            self.record(What::Named(Box::new(crate::history::Named { session: ix, id: address.id.clone(), taken: address.taken.clone() })));
        }
        let opened = address.taken.get("opened").filter(|_| anchored).cloned();
        if let Some(cursor) = opened.clone() {
            self.record(What::Opened(crate::history::Opened { session: ix, cursor }));
        } else if anchored && !refused {
            return self.could_not(format!("where session `{}` begins is not known: no boundary with a cursor came", open.session));
        }
        let state = SessionState {
            ix,
            address: Rc::new(address),
            retain: open.retain,
            published: Rc::default(),
            refusal: None,
            next_n: 1,
            closed: false,
            deleted: false,
            refused,
            snapshot_cursor: None,
            opened: opened.map(SmolStr::from),
            former_cursor: former.and_then(|f| f.2),
            keyed: Vec::new(),
        };
        self.cast.borrow_mut().sessions.insert(open.session.clone(), Box::new(state));
        if refused {
            return self.health().await;
        }
        if open.unwatched {
            return Ok(());
        }
        self.witness(&open.session).await
    }

    async fn close(&self, close: &Close) -> Result<(), Abort> {
        let (ix, address) = self.with(&close.session, |s| (s.ix, s.address.clone()))?;
        let ending = self.operation(Action::Close { session: ix, by_stop: false }, &address, Call::Close);
        let reply = if close.racing > 0 {
            let racing =
                futures_util::future::join_all((0..close.racing).map(|_| self.publish_one(&close.session, Text::Plain, true, None)));
            futures_util::future::join(racing, ending).await.1
        } else {
            ending.await
        };
        if let Outcome::Ok { .. } = reply.outcome {
            self.with(&close.session, |s| s.closed = true)?;
        }
        Ok(())
    }

    async fn delete(&self, session: &str) -> Result<(), Abort> {
        let (ix, address) = self.with(session, |s| (s.ix, s.address.clone()))?;
        let reply = self.operation(Action::Delete { session: ix }, &address, Call::Delete).await;
        if let Outcome::Ok { .. } = reply.outcome {
            self.with(session, |s| s.deleted = true)?;
        }
        Ok(())
    }

    async fn evict(&self, session: &str, by: EvictBy, beyond: u32) -> Result<(), Abort> {
        let asked = self.with(session, |s| s.retain)?;
        let contract = self.profile.contract.retention.as_ref().map(|r| r.default).unwrap_or_default();
        let bounds = asked.unwrap_or(contract);
        match by {
            EvictBy::Records => {
                let Some(records) = bounds.records.or(contract.records) else { return self.could_not("no bound by records is in force") };
                let slack = self.profile.contract.retention.as_ref().map_or(0, |r| r.slack);
                let count = u64::try_from(records).unwrap_or(0) + slack + u64::from(beyond);
                for _ in 0..count {
                    self.publish_one(session, Text::Plain, true, None).await;
                }
                Ok(())
            }
            EvictBy::Bytes => {
                let Some(bytes) = bounds.bytes.or(contract.bytes) else { return self.could_not("no bound by bytes is in force") };
                let count = u64::try_from(bytes).unwrap_or(0) * OVERFILL / super::publish::bulk(self.profile) + u64::from(beyond);
                for _ in 0..count {
                    self.publish_one(session, Text::Bulky, true, None).await;
                }
                Ok(())
            }
            EvictBy::Age => {
                let Some(age) = bounds.age_ms.or(contract.age_ms) else { return self.could_not("no bound by age is in force") };
                let age = u64::try_from(age).unwrap_or(0);
                self.world.pass(Duration::from_millis(age + age / 2 + 100)).await;
                Ok(())
            }
        }
    }

    async fn restart(&self, restart: &Restart) -> Result<(), Abort> {
        if let Some(count) = restart.after_acks {
            let wanted = super::places::number(count)?;
            let acks = || {
                let cast = self.cast.borrow();
                cast.background_acks >= wanted || cast.writers.values().all(|w| w.done)
            };
            self.world.wait(self.deadline(), acks).await;
        }
        for (reader, events) in restart.after_events.iter().flatten() {
            self.await_at(reader, &crate::scenario::Upto::Count(*events)).await?;
        }
        for _ in 0..if restart.twice { 2 } else { 1 } {
            self.cast.borrow_mut().restarts += 1;
            self.world.restart(restart.how, restart.wipe).await.map_err(Abort::CouldNot)?;
        }
        if self.profile.contract.ends_with_process {
            self.ended_by_the_stop();
        }
        if restart.wipe {
            let mut cast = self.cast.borrow_mut();
            let names: Vec<String> = cast.sessions.keys().cloned().collect();
            for name in names {
                let cursor = cast.newest_cursor(&name);
                let session = cast.sessions.get_mut(&name).expect("its name was just listed");
                session.deleted = true;
                session.former_cursor = cursor;
            }
        } else {
            self.health().await?;
            self.resume_witnesses().await?;
        }
        Ok(())
    }

    /// Sessions that are work of the process ended with it.
    fn ended_by_the_stop(&self) {
        let mut ended = Vec::new();
        for session in self.cast.borrow_mut().sessions.values_mut().filter(|s| !s.closed && !s.deleted && !s.refused) {
            session.closed = true;
            ended.push(session.ix);
        }
        for session in ended {
            let op = self.world.recorder().operation();
            self.record(What::Invoke(Box::new(crate::history::Invoke { op, action: Action::Close { session, by_stop: true } })));
            let outcome = Outcome::Ok { status: 0, cursor: None };
            self.record(What::Complete(crate::history::Complete { op, outcome }));
        }
    }

    async fn pause(&self, paused: bool) -> Result<(), Abort> {
        self.record(What::Process(Process::Signal { name: if paused { "STOP" } else { "CONT" }.to_owned() }));
        self.world.pause(paused).await.map_err(Abort::CouldNot)
    }

    /// Asks whether the server lives, where the profile says how; LIVE-3 judges the answer.
    pub(super) async fn health(&self) -> Result<(), Abort> {
        if self.profile.binding.health.is_some() {
            self.operation(Action::Health, &crate::world::Address::default(), Call::Health).await;
        }
        Ok(())
    }

    async fn churn(&self, churn: &Churn) -> Result<(), Abort> {
        let address = self.with(&churn.session, |s| s.address.clone())?;
        let accepted = self.world.churn(&address, churn.connections, churn.concurrent).await;
        self.cast.borrow_mut().connections_churned += u64::from(accepted);
        self.record(What::Fault(crate::history::Fault {
            conn: None,
            says: format!("{} connections opened and dropped, {accepted} of them accepted", churn.connections),
            reached: accepted > 0,
        }));
        self.health().await
    }

    async fn sample(&self, sample: &Sample) -> Result<(), Abort> {
        let churned = self.cast.borrow().connections_churned;
        let earlier = self.cast.borrow().samples.iter().find(|s| Some(&s.label) == sample.settles_to.as_ref()).cloned();
        let mut last = None;
        let settled = || {
            last = self.world.resources(&sample.label, churned);
            match (&last, &earlier) {
                (Some(now), Some(then)) => now.descriptors <= then.descriptors && now.threads <= then.threads,
                (Some(_), None) | (None, _) => true,
            }
        };
        self.world.wait(self.deadline(), settled).await;
        let Some(resources) = last else { return self.could_not("the resources of the server's processes cannot be read") };
        self.cast.borrow_mut().samples.push(resources.clone());
        self.record(What::Resources(Box::new(resources)));
        Ok(())
    }

    /// The address of a session that never was, asked for by somebody who may ask: with the credentials that an opened
    /// session was given.
    pub(super) fn unknown_address(&self) -> crate::world::Address {
        let named = |name: &str| self.profile.binding.headers.values().any(|value| placeholders(value).contains(&name));
        let cast = self.cast.borrow();
        let taken = cast.sessions.values().flat_map(|s| &s.address.taken).filter(|(name, _)| named(name));
        crate::world::Address {
            id: format!("never-was-{:08x}", self.patience.salt & 0xffff_ffff),
            taken: taken.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    }

    /// Pays by hand. What comes of it is judged by `check::money`.
    async fn pay(&self, pay: &crate::scenario::Pay) -> Result<(), Abort> {
        let (ix, address) = self.with(&pay.session, |s| (s.ix, s.address.clone()))?;
        match self.world.pay(ix, &address, pay).await {
            Ok(Some(channel)) => {
                self.with(&pay.session, |s| drop(Rc::make_mut(&mut s.address).taken.insert("channel".to_owned(), channel)))
            }
            Ok(None) => Ok(()),
            Err(why) => self.could_not(why),
        }
    }

    /// Lets a reader's bytes go on: those of its newest connection that a fault keeps back, which a newer one may overlap.
    pub(super) fn tell(&self, reader: &str, command: Command) -> Result<(), Abort> {
        let newest = self.newest(reader)?.conn;
        let held = self.cast.borrow().readers.get(reader).and_then(|r| {
            let mut newest_first = r.connections.iter().rev();
            newest_first.find(|c| c.progress.state().held && c.progress.state().ended.is_none()).map(|c| c.conn)
        });
        self.world.command(held.unwrap_or(newest), command);
        Ok(())
    }
}
