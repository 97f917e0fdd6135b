//! The writer: takes up what has come, and makes it visible once it is on the disk.

use std::sync::Arc;

use streamspec_reference_server::bugs::Bug;
use streamspec_reference_server::session::{Append, Event, Millis, Prepared, Refusal, Session, race};
use streamspec_reference_server::store::Change;

use super::{Answer, Done, Effect, Group, Node, STALLS, Slot, Wanted};
use crate::history::Outcome;
use crate::world::Reply;

/// How long a bug lets acknowledged events wait for the disk; a contract that does not promise to survive a kill, too.
const WRITE_BEHIND_MS: u64 = 150;
/// How long a bug lets a publish wait for the slowest reader, and how far behind that is.
const STALL_MS: u64 = 3_000;
const SLOW: u64 = 64;

impl Node {
    /// Takes up what has come: numbers are given, and the group is on its way to the disk.
    pub(in crate::world::sim) fn group(&mut self, now: Millis) {
        if self.committing.is_some() || self.queue.is_empty() {
            return;
        }
        self.batch += 1;
        let mut group = std::mem::take(&mut self.spare);
        let mut taken = std::mem::replace(&mut self.queue, std::mem::take(&mut self.taken));
        for (ex, wanted) in taken.drain(..) {
            match wanted {
                Wanted::Open(id, retention) => {
                    let twice = group.done.iter().any(|done| matches!(done, Done::Open { id: other, .. } if *other == id));
                    if self.find(&id).is_some() || twice {
                        self.refuse(ex, 409, "there is a session of this name");
                        continue;
                    }
                    let epoch = self.fresh_epoch();
                    group.changes.push(Change::Open { id: id.clone(), epoch: epoch.0, retention });
                    group.done.push(Done::Open { ex, id, epoch, retention });
                }
                Wanted::Delete(id) => {
                    if self.find(&id).is_none() || deleted(&group, &id) {
                        self.refuse_unknown(ex);
                        continue;
                    }
                    group.changes.push(Change::Delete { id: id.clone() });
                    group.done.push(Done::Delete { ex, id });
                }
                Wanted::Append(id, append) => self.prepare(now, ex, &id, append, &mut group),
            }
        }
        self.taken = taken;
        if self.bugs.has(Bug::CounterRace) || self.bugs.has(Bug::NumberBeforeLock) {
            self.race(&mut group);
        }
        if group.done.is_empty() && group.changes.is_empty() {
            self.spare = group;
            return;
        }
        let appends = group.changes.iter().any(|change| matches!(change, Change::Append { .. }));
        let early = self.bugs.has(Bug::AckBeforeDurable) || !self.rules.durable_at_kill();
        if appends && early {
            self.finish(now, &mut group);
            if self.behind.is_empty() {
                self.effects.push(Effect::Flush(WRITE_BEHIND_MS));
            }
            self.behind.append(&mut group.changes);
            self.spare = group;
            return;
        }
        self.committing = Some(group);
        self.effects.push(Effect::Commit(0));
    }

    fn prepare(&mut self, now: Millis, ex: u32, id: &Arc<str>, append: Append, group: &mut Group) {
        let Some(slot) = self.find(id).filter(|_| !deleted(group, id)) else { return self.refuse_unknown(ex) };
        let session = &mut self.slots[slot].session;
        match session.prepare(&append, now, self.batch) {
            Ok(Prepared::New(event)) => {
                let key = append.key.and_then(|key| session.key_use(&key).cloned().map(|used| (key, used)));
                let oldest = session.oldest();
                group.done.push(Done::Append { ex, slot, at: group.changes.len() });
                group.changes.push(Change::Append { id: Arc::clone(id), event, key });
                if oldest > 1 {
                    group.changes.push(Change::Prune { id: Arc::clone(id), oldest });
                }
            }
            Ok(Prepared::Again(cursor)) => group.done.push(Done::Again { ex, cursor: self.rules.show(cursor) }),
            Err(refusal) => {
                if self.bugs.has(Bug::RefusedStillBroadcast) {
                    session.announce(&append.event_type, &append.data);
                }
                self.ring(slot);
                match refusal {
                    Refusal::Closed => self.refuse(ex, 409, "the session has ended"),
                    Refusal::Deleted => self.refuse_unknown(ex),
                    Refusal::Conflict => self.refuse(ex, 409, "the idempotency key was used with other content"),
                }
            }
        }
    }

    /// Lets the concurrent events of each session race for their numbers, two by two.
    fn race(&self, group: &mut Group) {
        let mut waiting: Vec<(&Arc<str>, &mut Event)> = Vec::new();
        for change in &mut group.changes {
            let Change::Append { id, event, .. } = change else { continue };
            match waiting.iter().position(|(other, _)| ***other == **id) {
                Some(at) => race(waiting.swap_remove(at).1, event, self.bugs),
                None => waiting.push((&*id, event)),
            }
        }
    }

    /// The group is on the disk: it becomes visible and is answered.
    pub(in crate::world::sim) fn commit(&mut self, now: Millis) {
        let slowest = || self.slots.iter().map(|slot| slot.session.slowest()).max().unwrap_or(0);
        if self.bugs.has(Bug::SlowStallsAll) && self.committing.is_some() && self.stalls < STALLS && slowest() >= SLOW {
            self.stalls += 1;
            return self.effects.push(Effect::Commit(STALL_MS));
        }
        let Some(mut group) = self.committing.take() else { return };
        self.finish(now, &mut group);
        group.changes.drain(..).for_each(|change| self.disk.take(change));
        self.spare = group;
        if !self.queue.is_empty() {
            self.effects.push(Effect::Group);
        }
    }

    /// Makes a group visible and answers it. Its changes are left, for the disk.
    fn finish(&mut self, now: Millis, group: &mut Group) {
        let Group { changes, done } = group;
        for one in done.drain(..) {
            match one {
                Done::Open { ex, id, epoch, retention } => {
                    let session = Session::new(id.as_ref().to_owned(), epoch, retention, self.bugs);
                    self.slots.push(Slot { session, listed: true, streams: Vec::new() });
                    let taken = [("session".to_owned(), id.as_ref().to_owned())].into();
                    let reply = Reply { outcome: Outcome::Ok { status: 201, cursor: None }, taken, answer: None };
                    self.effects.push(Effect::Answer(ex, Answer::Reply(Box::new(reply))));
                }
                Done::Append { ex, slot, at } => {
                    let Change::Append { event, .. } = &changes[at] else { unreachable!("the index was taken when it was pushed") };
                    let event = event.clone();
                    let to_everyone = self.bugs.has(Bug::LiveToEveryone) && event.seq.is_multiple_of(5);
                    let silent = self.bugs.has(Bug::LostWakeup) && event.seq.is_multiple_of(3);
                    if to_everyone {
                        for other in (0..self.slots.len()).filter(|other| *other != slot && self.slots[*other].listed).collect::<Vec<_>>() {
                            self.slots[other].session.announce(&event.event_type, &event.data);
                            self.ring(other);
                        }
                    }
                    let cursor = self.slots[slot].session.publish(event, now);
                    if !silent {
                        self.ring(slot);
                    }
                    self.done(ex, 201, Some(self.rules.show(cursor)));
                }
                Done::Again { ex, cursor } => self.done(ex, 200, Some(cursor)),
                Done::Delete { ex, id } => {
                    if !self.bugs.has(Bug::DeletedStillStreams)
                        && let Some(slot) = self.find(&id)
                    {
                        self.slots[slot].listed = false;
                        self.slots[slot].session.delete();
                        self.ring(slot);
                    }
                    self.done(ex, 204, None);
                }
            }
        }
    }

    /// Writes what was left behind.
    pub(in crate::world::sim) fn flush(&mut self) {
        self.behind.drain(..).for_each(|change| self.disk.take(change));
    }
}

fn deleted(group: &Group, id: &str) -> bool {
    group.changes.iter().any(|change| matches!(change, Change::Delete { id: other } if **other == *id))
}
