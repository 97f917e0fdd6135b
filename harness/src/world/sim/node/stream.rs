//! Streams: how a reader is answered, and what is written to it.

use smol_str::SmolStr;
use streamspec_reference_server::bugs::Bug;
use streamspec_reference_server::session::{Cursor, Epoch, Frame, HELD_BACK_MS, Millis, Refused, Room, Start};

use super::super::link::Packet;
use super::super::rules::{Opened, size_of};
use super::super::shown;
use super::{Effect, Node, Stream};
use crate::contract::AfterGap;
use crate::history::{From, Item, Kind};

impl Node {
    /// A reader asks for a stream; `packets`, which are none yet, are what it is answered with at once.
    pub(in crate::world::sim) fn subscribe(&mut self, now: Millis, conn: u32, id: &str, from: &From, packets: &mut Vec<Packet>) {
        let mut refused = |status: u16, body: &str| packets.push(Packet::answered(status, body));
        if self.poisoned {
            return refused(500, "{\"error\":\"a lock is held for ever\"}");
        }
        let Some(slot) = self.find(id) else {
            if self.rules.creates_on_use() {
                let retention = self.rules.retention(None).unwrap_or_default();
                self.open_now(id, retention);
                return self.subscribe(now, conn, id, from, packets);
            }
            let unknown = if self.bugs.has(Bug::EmptyRefusals) { "" } else { "{\"error\":\"there is no session of this name\"}" };
            if self.bugs.has(Bug::ErrorInsideStream) {
                let error = Item { kind: Kind::Other, event_type: SmolStr::new_static("error"), ..Item::default() };
                return packets.extend([Packet::Accepted, Packet::frame(error.into(), 60), Packet::Eof]);
            }
            return refused(self.rules.unknown(), unknown);
        };
        let opened = self.resolve(now, slot, from);
        let mut gap_said = false;
        if let Opened::Refused(status, body) = opened {
            let body = if self.bugs.has(Bug::EmptyRefusals) { String::new() } else { body };
            return packets.push(Packet::answered(status, body));
        }
        packets.push(Packet::Accepted);
        let start = match opened {
            Opened::Refused(..) => unreachable!("it was just answered"),
            Opened::Oldest => Start::Oldest,
            Opened::Live => {
                // The core ends a closed session's stream at once; a reader that is told by the boundary alone that it has
                // nothing to expect of the past must get it all the same.
                if self.rules.marks_what_replays_nothing() && self.slots[slot].session.is_closed() {
                    let fence = self.slots[slot].session.head();
                    packets.extend(self.packet(&Frame::Boundary { fence }, false));
                }
                Start::Live
            }
            Opened::After(seq) => {
                let head = self.slots[slot].session.head();
                Start::After(Cursor { seq, ..head })
            }
            Opened::Gap => {
                let session = &self.slots[slot].session;
                let head = session.head();
                let oldest = Cursor { seq: session.oldest(), ..head };
                gap_said = true;
                let gap = Frame::Gap { requested: Some(head), oldest };
                packets.extend(self.packet(&gap, false));
                match self.rules.after_gap() {
                    AfterGap::Kept => Start::Oldest,
                    AfterGap::Live => Start::Live,
                    AfterGap::End => {
                        packets.push(Packet::Eof);
                        return;
                    }
                }
            }
        };
        let subscription = self.slots[slot].session.register(start);
        self.slots[slot].streams.push(conn);
        let resumed = matches!(start, Start::After(_));
        let mut stream = Stream { slot, subscription, resumed, gap_said, head_held: None };
        self.slip(now, &stream, start);
        self.effects.push(Effect::Fence(conn));
        if self.bugs.has(Bug::HeadersWait) {
            stream.head_held = Some(std::mem::take(packets));
        }
        self.streams.insert(conn, stream);
    }

    /// What bugs mix into a replay.
    fn slip(&mut self, now: Millis, stream: &Stream, start: Start) {
        let (own, id) = (stream.slot, stream.subscription);
        if self.bugs.has(Bug::ReplayLeaks) && start != Start::Live {
            let others = self.slots.iter_mut().enumerate().filter(|(other, slot)| *other != own && slot.listed);
            let leaked = others.filter_map(|(_, slot)| slot.session.snapshot(now).events.into_iter().next()).next();
            if let Some(event) = leaked {
                self.slots[own].session.slip(id, &event.event_type, &event.data);
            }
        }
        if self.bugs.has(Bug::EphemeralReplayed) {
            let session = &mut self.slots[own].session;
            for (event_type, data) in session.kept().to_vec() {
                session.slip(id, &event_type, &data);
            }
        }
    }

    fn resolve(&mut self, now: Millis, slot: usize, from: &From) -> Opened {
        let value = match from {
            From::Start => return self.opened(now, slot, Ok(Start::Oldest), false),
            From::Live => "latest",
            From::Cursor { beside: Some(beside), .. } if self.bugs.has(Bug::QueryBeatsHeader) => beside,
            From::Cursor { value, .. } => value,
        };
        if value.is_empty()
            && !self.bugs.has(Bug::EmptyIsRefused)
            && let Some(opened) = self.rules.empty()
        {
            return opened;
        }
        let text = self.rules.read(value);
        let others: Vec<Epoch> =
            self.slots.iter().enumerate().filter(|(other, s)| *other != slot && s.listed).map(|(_, s)| s.session.epoch).collect();
        let session = &self.slots[slot].session;
        let presented = Cursor::parse(&text);
        let foreign = presented.is_some_and(|cursor| others.contains(&cursor.epoch));
        let resolved = session.resolve(Some(&text), |epoch| others.contains(&epoch));
        let head = session.head().seq;
        match resolved {
            Ok(start) => self.opened(now, slot, Ok(start), true),
            Err(refused) => {
                let opened = self.rules.refused(refused, foreign, head, presented.map_or(0, |c| c.seq));
                let Opened::Refused(status, mut body) = opened else { return opened };
                if self.bugs.has(Bug::ForeignCursorTells)
                    && let Some(cursor) = presented
                    && let Some(named) = self.slots.iter().filter(|s| s.listed).find_map(|s| s.session.named(cursor))
                {
                    body.push_str(&named.data);
                }
                Opened::Refused(status, body)
            }
        }
    }

    /// How an accepted start is opened, where the contract answers an evicted cursor before the stream.
    fn opened(&mut self, now: Millis, slot: usize, start: Result<Start, Refused>, presented: bool) -> Opened {
        let session = &mut self.slots[slot].session;
        match start {
            Ok(Start::After(cursor)) => {
                if presented && !self.bugs.has(Bug::SilentEviction) {
                    let evicted = self.rules.evicted();
                    if evicted.is_some() {
                        session.prune(now);
                        if cursor.seq + 1 < session.oldest() {
                            return evicted.unwrap_or(Opened::After(cursor.seq));
                        }
                    }
                }
                Opened::After(cursor.seq)
            }
            Ok(Start::Live) => Opened::Live,
            Ok(Start::Oldest) | Err(_) => Opened::Oldest,
        }
    }

    /// Fixes where a stream's replay ends.
    pub(in crate::world::sim) fn fence(&mut self, now: Millis, conn: u32) {
        if let Some(stream) = self.streams.get(conn) {
            self.slots[stream.slot].session.fix_fence(stream.subscription, now);
            self.effects.push(Effect::Wake(conn));
        }
    }

    /// A frame of the core on its way, if the contract has such frames.
    fn packet(&self, frame: &Frame, resumed: bool) -> Option<Packet> {
        let size = self.rules.size(frame, resumed)?;
        Some(Packet::frame(self.rules.see(frame), size))
    }

    /// Writes the next frames of a stream from the core; true when there may be more at once. What a reader sees of a frame is worked
    /// out here although it may never arrive: nearly always it is known, and costs less than a frame that is kept.
    pub(in crate::world::sim) fn pump(&mut self, now: Millis, conn: u32, most: usize, mut write: impl FnMut(Packet)) -> bool {
        let Some(stream) = self.streams.get_mut(conn) else { return false };
        let session = &mut self.slots[stream.slot].session;
        let epoch = session.epoch;
        let plain = session.next_plain(stream.subscription, now, Room::of(most));
        let (room, more, some) = (plain.room, plain.more, plain.events.len() > 0);
        if some {
            shown::with(|shown| {
                let mut shown = shown.row(self.rules.shows(epoch));
                for event in plain.events {
                    let cursor = Some(Cursor { epoch, seq: event.label });
                    write(Packet::frame(self.rules.see_event(event, cursor, &mut shown), size_of(event)));
                }
            });
        }
        if more {
            return true;
        }
        let mut frames = std::mem::take(&mut self.frames);
        session.next_into(stream.subscription, now, room, &mut frames);
        // The core stops short of what it has only when it was given no more room.
        let (full, mut written, mut again) = (frames.len() >= room.frames, 0, true);
        let mut held = stream.head_held.take();
        let mut boring = true;
        let mut take = |packet: Packet| match &mut held {
            Some(held) => {
                boring &= matches!(&packet, Packet::Frame(item, _) if matches!(item.kind, Kind::Boundary | Kind::Gap));
                held.push(packet);
            }
            None => write(packet),
        };
        for frame in frames.drain(..) {
            written += size(&frame);
            match &frame {
                Frame::End => {
                    let stays = !self.rules.closes() && session.is_closed() && self.slots[stream.slot].listed;
                    if !stays {
                        take(Packet::Eof);
                    }
                    // The core says so as often as it is asked; a server that went on asking would do nothing else.
                    again = false;
                    break;
                }
                Frame::Gap { requested, .. } => {
                    if stream.gap_said && requested.is_none() {
                        continue;
                    }
                    stream.resumed = false;
                    if requested.is_some() && !self.rules.tells_in_mid_stream() {
                        // The reader is told when it comes back.
                        take(Packet::Eof);
                        again = false;
                        break;
                    }
                }
                Frame::Event { event, replayed: true, .. } if event.terminal && !self.rules.replays_terminal() => continue,
                Frame::Event { .. } | Frame::Ephemeral { .. } | Frame::Boundary { .. } | Frame::Synthetic { .. } => {}
            }
            if let Some(size) = self.rules.size(&frame, stream.resumed) {
                take(Packet::frame(self.rules.see(&frame), size));
            }
        }
        self.frames = frames;
        again &= full || written >= room.bytes;
        let held_back = self.bugs.has(Bug::EphemeralOvertakes) || self.bugs.has(Bug::OrderPerReader) || self.bugs.has(Bug::TerminalEarly);
        if held_back && !again {
            self.effects.push(Effect::WakeLater(conn, HELD_BACK_MS));
        }
        match held {
            Some(held) if boring => stream.head_held = Some(held),
            Some(held) => held.into_iter().for_each(write),
            None => {}
        }
        again
    }

    /// A keep-alive for an idle stream.
    pub(in crate::world::sim) fn heartbeat(&self, conn: u32) -> Option<Packet> {
        let stream = self.streams.get(conn).filter(|s| s.head_held.is_none())?;
        if !self.bugs.has(Bug::HeartbeatWithId) {
            return Some(Packet::Comment);
        }
        let head = self.slots[stream.slot].session.head();
        let next = Cursor { seq: head.seq + 1, ..head };
        let cursor = Some(self.rules.show(next));
        let item = Item { kind: Kind::Other, event_type: SmolStr::new_static("heartbeat"), cursor, ..Item::default() };
        Some(Packet::frame(item.into(), 50))
    }

    /// True while the server writes to this stream.
    pub(in crate::world::sim) fn writes_to(&self, conn: u32) -> bool {
        self.streams.contains(conn)
    }

    /// A reader has gone.
    pub(in crate::world::sim) fn leave(&mut self, conn: u32) {
        let Some(stream) = self.streams.remove(conn) else { return };
        let slot = &mut self.slots[stream.slot];
        slot.streams.retain(|other| *other != conn);
        let broken_off = slot.session.unregister(stream.subscription);
        self.poisoned |= broken_off && self.bugs.has(Bug::PoisonedByReset);
    }
}

/// Bytes of payload in a frame.
fn size(frame: &Frame) -> usize {
    match frame {
        Frame::Event { event, .. } => event.data.len(),
        Frame::Ephemeral { note, .. } => note.data.len(),
        Frame::Boundary { .. } | Frame::Gap { .. } | Frame::Synthetic { .. } | Frame::End => 0,
    }
}
