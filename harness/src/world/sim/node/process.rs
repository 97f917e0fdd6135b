//! The process: what a kill and a stop leave behind, and what a start finds.

use streamspec_reference_server::bugs::Bug;
use streamspec_reference_server::hub::recover;
use streamspec_reference_server::session::Millis;
use streamspec_reference_server::store::{Change, Store};

use super::super::link::Packet;
use super::{Done, Effect, Node, STALLS, Slot};

impl Node {
    /// How many changes are on their way to the disk: a kill lets a part of them arrive.
    pub(in crate::world::sim) fn committing(&self) -> usize {
        self.committing.as_ref().map_or(0, |group| group.changes.len())
    }

    /// The process is killed when `written` changes of the group under way had reached the disk. The record behind them is
    /// torn; recovery finds it and throws it away.
    pub(in crate::world::sim) fn kill(&mut self, written: usize) {
        if let Some(group) = self.committing.take() {
            let _ = self.disk.commit(&group.changes[..written.min(group.changes.len())]);
            for done in group.done {
                let (Done::Open { ex, .. } | Done::Append { ex, .. } | Done::Again { ex, .. } | Done::Delete { ex, .. }) = done;
                self.effects.push(Effect::Lost(ex));
            }
        }
        self.vanish();
    }

    fn vanish(&mut self) {
        self.effects.extend(self.queue.drain(..).map(|(ex, _)| Effect::Lost(ex)));
        self.effects.extend(std::mem::take(&mut self.torn).into_keys().map(Effect::Lost));
        self.behind.clear();
        self.slots.clear();
        self.streams.clear();
        self.poisoned = false;
        self.stalls = 0;
    }

    /// The process ends in order: what came before is durable and answered, streams say what they have.
    pub(in crate::world::sim) fn stop(&mut self, now: Millis) -> Vec<(u32, Vec<Packet>)> {
        while self.committing.is_some() || !self.queue.is_empty() {
            self.stalls = STALLS;
            self.commit(now);
            self.group(now);
        }
        if self.bugs.has(Bug::ShutdownTruncates) {
            self.behind.extend(self.slots.iter().filter(|s| s.listed).map(|s| Change::Truncate { id: s.session.id.as_str().into() }));
        }
        self.flush();
        let mut last = Vec::new();
        for conn in self.streams.iter().map(|(conn, _)| conn).collect::<Vec<_>>() {
            let mut packets = Vec::new();
            while self.pump(now, conn, 64, |packet| packets.push(packet)) {}
            packets.push(Packet::Eof);
            last.push((conn, packets));
        }
        self.vanish();
        last
    }

    /// A new process on what the disk has kept.
    pub(in crate::world::sim) fn start(&mut self, now: Millis, wipe: bool) {
        if wipe || !self.rules.durable_at_stop() {
            self.disk.wipe();
        }
        if !self.rules.keys_survive() {
            self.disk.forget_keys();
        }
        let recovered = recover(&mut self.disk, now, self.bugs).expect("the simulated disk takes everything");
        self.slots = recovered.into_iter().map(|session| Slot { session, listed: true, streams: Vec::new() }).collect();
    }
}
