//! The simulated server: the reference core, its writer and its streams, split into steps between which anything may come.
//!
//! It has no clock, no queue of its own making and no threads: the world calls one step after the other and carries out
//! the [`Effect`]s. What the reference server's hub and dialect do around the core (groups that are committed before they
//! are visible, bells, refusals) is done here again, without sockets; so are their defects.

use std::collections::BTreeMap;

use streamspec_reference_server::bugs::{Bug, BugSet};
use streamspec_reference_server::hub::recover;
use streamspec_reference_server::session::{
    Append, Cursor, Epoch, Event, Frame, HELD_BACK_MS, Millis, Prepared, Refusal, Refused, Retention, Session, Snapshot, Start,
    SubscriptionId, race,
};
use streamspec_reference_server::store::{Change, Store};

use super::link::Packet;
use super::rules::{NOTE, Opened, Rules};
use super::store::Disk;
use crate::contract::{AfterGap, Profile};
use crate::history::{CursorClass, From, Kind, Outcome, Probe, Retain, Surface};
use crate::run::binding::Seen;
use crate::world::{PageAnswer, PageRead, Reply};

/// How long a bug lets acknowledged events wait for the disk; a contract that does not promise to survive a kill, too.
const WRITE_BEHIND_MS: u64 = 150;
/// How long a bug lets a publish wait for the slowest reader, how often, and how far behind that is.
const STALL_MS: u64 = 3_000;
const STALLS: u32 = 2;
const SLOW: u64 = 64;
/// After this many bytes of payload the core pauses to let others write.
const ROOM: usize = 256 << 10;
/// Types that the server sends itself.
const RESERVED: [&str; 3] = ["ready", "gap", "end"];
/// What the epochs of a run are made from.
const EPOCHS: u32 = 0x9e37_79b9;

/// What is asked of the server.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Open(Option<Retain>),
    Publish(Publication),
    Close,
    Delete,
    Health,
    Probe(Probe),
    Read(PageRead),
}

/// An event to be published.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) payload: String,
    pub(super) event_type: String,
    pub(super) key: Option<String>,
    pub(super) durable: bool,
}

/// What it answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Reply(Reply),
    Page(PageAnswer),
}

/// What the world has to do after a step.
#[derive(Debug)]
pub(super) enum Effect {
    /// Carry an answer back.
    Answer(u32, Answer),
    /// The exchange will get none: its connection broke.
    Lost(u32),
    /// A stream may have something to write.
    Wake(u32),
    /// The same, after some milliseconds.
    WakeLater(u32, u64),
    /// A stream's fence is to be fixed.
    Fence(u32),
    /// The writer has something to take up.
    Group,
    /// A group is on its way to the disk, that many milliseconds from now at the earliest.
    Commit(u64),
    /// What was left behind is to be written after some milliseconds.
    Flush(u64),
    /// The second half of a snapshot that a bug reads in two.
    Second(u32),
}

#[derive(Debug)]
struct Slot {
    session: Session,
    /// False once it was removed: its streams end, and nobody finds it any more.
    listed: bool,
    streams: Vec<u32>,
}

#[derive(Debug)]
struct Stream {
    slot: usize,
    subscription: SubscriptionId,
    resumed: bool,
    gap_said: bool,
    /// Held back until an event is there; only a bug does that.
    head_held: Option<Vec<Packet>>,
}

#[derive(Debug)]
enum Wanted {
    Open(String, Retention),
    Append(String, Append),
    Delete(String),
}

#[derive(Debug)]
enum Done {
    Open {
        ex: u32,
        id: String,
        epoch: Epoch,
        retention: Retention,
    },
    /// The event is in the change of this index.
    Append {
        ex: u32,
        slot: usize,
        at: usize,
    },
    Again {
        ex: u32,
        cursor: String,
    },
    Delete {
        ex: u32,
        id: String,
    },
}

#[derive(Debug, Default)]
struct Group {
    changes: Vec<Change>,
    done: Vec<Done>,
}

/// The server.
#[derive(Debug)]
pub(super) struct Node {
    rules: Rules,
    bugs: BugSet,
    disk: Disk,
    slots: Vec<Slot>,
    streams: BTreeMap<u32, Stream>,
    queue: Vec<(u32, Wanted)>,
    committing: Option<Group>,
    behind: Vec<Change>,
    batch: u64,
    stalls: u32,
    epochs: u32,
    poisoned: bool,
    torn: BTreeMap<u32, (usize, Snapshot)>,
    effects: Vec<Effect>,
}

impl Node {
    pub(super) fn new(profile: &Profile, bugs: BugSet) -> Node {
        Node {
            rules: Rules::new(profile),
            bugs,
            disk: Disk::default(),
            slots: Vec::new(),
            streams: BTreeMap::new(),
            queue: Vec::new(),
            committing: None,
            behind: Vec::new(),
            batch: 0,
            stalls: 0,
            epochs: 0,
            poisoned: false,
            torn: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    /// What is to be done, oldest first, into an empty list.
    pub(super) fn take_effects(&mut self, into: &mut Vec<Effect>) {
        std::mem::swap(&mut self.effects, into);
    }

    pub(super) fn heartbeat_ms(&self) -> Option<u64> {
        self.rules.heartbeat_ms.filter(|_| !self.bugs.has(Bug::NoHeartbeat))
    }

    fn find(&self, id: &str) -> Option<usize> {
        self.slots.iter().rposition(|slot| slot.listed && slot.session.id == id)
    }

    fn ring(&mut self, slot: usize) {
        self.effects.extend(self.slots[slot].streams.iter().map(|conn| Effect::Wake(*conn)));
    }

    fn done(&mut self, ex: u32, status: u16, cursor: Option<String>) {
        let taken = cursor.iter().map(|c| ("cursor".to_owned(), c.clone())).collect();
        self.effects.push(Effect::Answer(ex, Answer::Reply(Reply { outcome: Outcome::Ok { status, cursor }, taken })));
    }

    fn refuse(&mut self, ex: u32, status: u16, why: &str) {
        let body = if self.bugs.has(Bug::EmptyRefusals) { String::new() } else { format!("{{\"error\":\"{why}\"}}") };
        let reply = Reply { outcome: Outcome::Failed { status, body }, taken: BTreeMap::new() };
        self.effects.push(Effect::Answer(ex, Answer::Reply(reply)));
    }

    fn refuse_unknown(&mut self, ex: u32) {
        self.refuse(ex, self.rules.unknown(), "there is no session of this name");
    }

    /// A request has arrived.
    pub(super) fn request(&mut self, now: Millis, ex: u32, id: &str, request: Request) {
        if self.poisoned {
            return match request {
                Request::Read(_) => self.effects.push(Effect::Answer(ex, Answer::Page(refused_page(500, "a lock is held for ever")))),
                _ => self.refuse(ex, 500, "a lock is held for ever"),
            };
        }
        match request {
            Request::Open(retain) => match self.rules.retention(retain) {
                Ok(retention) => self.enqueue(ex, Wanted::Open(id.to_owned(), retention)),
                // A prune loop that counts down to a bound below zero never ends.
                Err(_) if self.bugs.has(Bug::NegativeRetention) => {}
                Err(why) => self.refuse(ex, 400, &why),
            },
            Request::Publish(publication) => self.publish(ex, id, publication),
            Request::Close => {
                let data = r#"{"reason":"closed"}"#.to_owned();
                let terminal = Append { event_type: "end".to_owned(), data, key: None, terminal: true };
                self.enqueue(ex, Wanted::Append(id.to_owned(), terminal));
            }
            Request::Delete => self.enqueue(ex, Wanted::Delete(id.to_owned())),
            Request::Health => self.done(ex, 200, None),
            Request::Probe(probe) => self.probe(ex, probe),
            Request::Read(read) => self.read(now, ex, id, &read),
        }
    }

    fn enqueue(&mut self, ex: u32, wanted: Wanted) {
        self.queue.push((ex, wanted));
        if self.committing.is_none() {
            self.effects.push(Effect::Group);
        }
    }

    fn publish(&mut self, ex: u32, id: &str, publication: Publication) {
        let Publication { payload, event_type, key, durable } = publication;
        // A line break in a type would break the frame.
        if RESERVED.contains(&event_type.as_str()) || event_type.contains(['\n', '\r', '\0']) || event_type.is_empty() {
            return self.refuse(ex, 400, "that is no type of an event");
        }
        let Some(slot) = self.find(id) else {
            if self.bugs.has(Bug::CreatesOnPublish) || self.rules.creates_on_use() {
                let retention = self.rules.retention(None).unwrap_or_default();
                self.open_now(id, retention);
                return self.publish(ex, id, Publication { payload, event_type, key, durable });
            }
            return self.refuse_unknown(ex);
        };
        let data = serde_json::to_string(&payload).expect("text is always JSON");
        if durable {
            let append = Append { event_type, data, key: key.filter(|_| self.rules.keys()), terminal: false };
            return self.enqueue(ex, Wanted::Append(id.to_owned(), append));
        }
        let session = &mut self.slots[slot].session;
        if session.is_closed() {
            return self.refuse(ex, 409, "the session has ended");
        }
        session.announce(NOTE, &data);
        if self.bugs.has(Bug::EphemeralReplayed) {
            session.keep(NOTE, &data);
        }
        self.ring(slot);
        self.done(ex, 202, None);
    }

    fn fresh_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        self.rules.epoch(self.epochs.wrapping_mul(EPOCHS))
    }

    fn open_now(&mut self, id: &str, retention: Retention) {
        let epoch = self.fresh_epoch();
        // The disk of the simulation takes everything.
        let _ = self.disk.commit(&[Change::Open { id: id.to_owned(), epoch: epoch.0, retention }]);
        self.slots.push(Slot { session: Session::new(id.to_owned(), epoch, retention, self.bugs), listed: true, streams: Vec::new() });
    }

    fn probe(&mut self, ex: u32, probe: Probe) {
        match probe {
            Probe::UnknownSession if self.bugs.has(Bug::ErrorInsideStream) => self.done(ex, 200, None),
            Probe::PublishUnknown if self.bugs.has(Bug::CreatesOnPublish) => self.done(ex, 201, None),
            Probe::UnknownSession | Probe::PublishUnknown if self.rules.creates_on_use() => self.done(ex, 200, None),
            Probe::UnknownSession | Probe::PublishUnknown => self.refuse_unknown(ex),
            Probe::WrongMethod if self.bugs.has(Bug::AnyMethod) => self.done(ex, 200, None),
            Probe::WrongMethod => self.refuse(ex, 405, "this path does not take that method"),
            Probe::SenselessLimit if self.bugs.has(Bug::LimitClamped) => self.done(ex, 200, None),
            Probe::SenselessLimit => self.refuse(ex, 400, "limit is a whole number from 1 to 1000"),
        }
    }

    // ------------------------------------------------------------------------------------------------ the writer

    /// Takes up what has come: numbers are given, and the group is on its way to the disk.
    pub(super) fn group(&mut self, now: Millis) {
        if self.committing.is_some() || self.queue.is_empty() {
            return;
        }
        self.batch += 1;
        let mut group = Group::default();
        for (ex, wanted) in std::mem::take(&mut self.queue) {
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
        if self.bugs.has(Bug::CounterRace) || self.bugs.has(Bug::NumberBeforeLock) {
            self.race(&mut group);
        }
        if group.done.is_empty() && group.changes.is_empty() {
            return;
        }
        let appends = group.changes.iter().any(|change| matches!(change, Change::Append { .. }));
        let early = self.bugs.has(Bug::AckBeforeDurable) || !self.rules.durable_at_kill();
        if appends && early {
            let changes = self.finish(now, group);
            if self.behind.is_empty() {
                self.effects.push(Effect::Flush(WRITE_BEHIND_MS));
            }
            self.behind.extend(changes);
            return;
        }
        self.committing = Some(group);
        self.effects.push(Effect::Commit(0));
    }

    fn prepare(&mut self, now: Millis, ex: u32, id: &str, append: Append, group: &mut Group) {
        let Some(slot) = self.find(id).filter(|_| !deleted(group, id)) else { return self.refuse_unknown(ex) };
        let session = &mut self.slots[slot].session;
        match session.prepare(&append, now, self.batch) {
            Ok(Prepared::New(event)) => {
                let key = append.key.and_then(|key| session.key_use(&key).cloned().map(|used| (key, used)));
                let oldest = session.oldest();
                group.done.push(Done::Append { ex, slot, at: group.changes.len() });
                group.changes.push(Change::Append { id: id.to_owned(), event, key });
                if oldest > 1 {
                    group.changes.push(Change::Prune { id: id.to_owned(), oldest });
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
        let mut waiting: Vec<(&str, &mut Event)> = Vec::new();
        for change in &mut group.changes {
            let Change::Append { id, event, .. } = change else { continue };
            match waiting.iter().position(|(other, _)| other == id) {
                Some(at) => race(waiting.swap_remove(at).1, event, self.bugs),
                None => waiting.push((id.as_str(), event)),
            }
        }
    }

    /// The group is on the disk: it becomes visible and is answered.
    pub(super) fn commit(&mut self, now: Millis) {
        let slowest = self.slots.iter().map(|slot| slot.session.slowest()).max().unwrap_or(0);
        if self.bugs.has(Bug::SlowStallsAll) && self.committing.is_some() && slowest >= SLOW && self.stalls < STALLS {
            self.stalls += 1;
            return self.effects.push(Effect::Commit(STALL_MS));
        }
        let Some(group) = self.committing.take() else { return };
        let _ = self.disk.commit(&group.changes);
        self.finish(now, group);
        if !self.queue.is_empty() {
            self.effects.push(Effect::Group);
        }
    }

    /// Makes a group visible; its changes, for a disk that gets them later.
    fn finish(&mut self, now: Millis, group: Group) -> Vec<Change> {
        let Group { mut changes, done } = group;
        for one in done {
            match one {
                Done::Open { ex, id, epoch, retention } => {
                    let session = Session::new(id.clone(), epoch, retention, self.bugs);
                    self.slots.push(Slot { session, listed: true, streams: Vec::new() });
                    let taken = [("session".to_owned(), id)].into();
                    let reply = Reply { outcome: Outcome::Ok { status: 201, cursor: None }, taken };
                    self.effects.push(Effect::Answer(ex, Answer::Reply(reply)));
                }
                Done::Append { ex, slot, at } => {
                    let Change::Append { event, .. } = &mut changes[at] else { unreachable!("the index was taken when it was pushed") };
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
        changes
    }

    /// Writes what was left behind.
    pub(super) fn flush(&mut self) {
        let behind = std::mem::take(&mut self.behind);
        let _ = self.disk.commit(&behind);
    }

    // ------------------------------------------------------------------------------------------------ the process

    /// How many changes are on their way to the disk: a kill lets a part of them arrive.
    pub(super) fn committing(&self) -> usize {
        self.committing.as_ref().map_or(0, |group| group.changes.len())
    }

    /// The process is killed when `written` changes of the group under way had reached the disk. The record behind them is
    /// torn; recovery finds it and throws it away.
    pub(super) fn kill(&mut self, written: usize) {
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
    pub(super) fn stop(&mut self, now: Millis) -> Vec<(u32, Vec<Packet>)> {
        while self.committing.is_some() || !self.queue.is_empty() {
            self.stalls = STALLS;
            self.commit(now);
            self.group(now);
        }
        if self.bugs.has(Bug::ShutdownTruncates) {
            self.behind.extend(self.slots.iter().filter(|s| s.listed).map(|s| Change::Truncate { id: s.session.id.clone() }));
        }
        self.flush();
        let mut last = Vec::new();
        for conn in self.streams.keys().copied().collect::<Vec<_>>() {
            let mut packets = Vec::new();
            loop {
                let (more, again) = self.pump(now, conn, 64);
                packets.extend(more);
                if !again {
                    break;
                }
            }
            packets.push(Packet::Eof);
            last.push((conn, packets));
        }
        self.vanish();
        last
    }

    /// A new process on what the disk has kept.
    pub(super) fn start(&mut self, now: Millis, wipe: bool) {
        if wipe || !self.rules.durable_at_stop() {
            self.disk.wipe();
        }
        if !self.rules.keys_survive() {
            self.disk.forget_keys();
        }
        let recovered = recover(&mut self.disk, now, self.bugs).expect("the simulated disk takes everything");
        self.slots = recovered.into_iter().map(|session| Slot { session, listed: true, streams: Vec::new() }).collect();
    }

    // ------------------------------------------------------------------------------------------------ streams

    /// A reader asks for a stream; what it is answered with at once.
    pub(super) fn subscribe(&mut self, now: Millis, conn: u32, id: &str, from: &From) -> Vec<Packet> {
        let head = |status: u16, body: &str| vec![Packet::Head { status, body: body.to_owned() }];
        if self.poisoned {
            return head(500, "{\"error\":\"a lock is held for ever\"}");
        }
        let Some(slot) = self.find(id) else {
            if self.rules.creates_on_use() {
                let retention = self.rules.retention(None).unwrap_or_default();
                self.open_now(id, retention);
                return self.subscribe(now, conn, id, from);
            }
            let unknown = if self.bugs.has(Bug::EmptyRefusals) { "" } else { "{\"error\":\"there is no session of this name\"}" };
            if self.bugs.has(Bug::ErrorInsideStream) {
                let error = Seen { kind: Kind::Other, event_type: "error".to_owned(), ..Seen::default() };
                let mut packets = head(200, "");
                packets.extend([Packet::Frame(error, 60), Packet::Eof]);
                return packets;
            }
            return head(self.rules.unknown(), unknown);
        };
        let opened = self.resolve(now, slot, from);
        let mut packets = head(200, "");
        let mut gap_said = false;
        let start = match opened {
            Opened::Refused(status, body) => {
                let body = if self.bugs.has(Bug::EmptyRefusals) { String::new() } else { body };
                return vec![Packet::Head { status, body }];
            }
            Opened::Oldest => Start::Oldest,
            Opened::Live => Start::Live,
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
                packets.extend(self.rules.see(gap, false).map(|(seen, size)| Packet::Frame(seen, size)));
                match self.rules.after_gap() {
                    AfterGap::Kept => Start::Oldest,
                    AfterGap::Live => Start::Live,
                    AfterGap::End => {
                        packets.push(Packet::Eof);
                        return packets;
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
            stream.head_held = Some(std::mem::take(&mut packets));
        }
        self.streams.insert(conn, stream);
        packets
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
    pub(super) fn fence(&mut self, now: Millis, conn: u32) {
        if let Some(stream) = self.streams.get(&conn) {
            self.slots[stream.slot].session.fix_fence(stream.subscription, now);
            self.effects.push(Effect::Wake(conn));
        }
    }

    /// Takes the next frames of a stream from the core; true when there may be more at once.
    pub(super) fn pump(&mut self, now: Millis, conn: u32, most: usize) -> (Vec<Packet>, bool) {
        let Some(stream) = self.streams.get_mut(&conn) else { return (Vec::new(), false) };
        let session = &mut self.slots[stream.slot].session;
        let frames = session.next(stream.subscription, now, most);
        // The core stops short of what it has only when it was given no more room.
        let written: usize = frames.iter().map(size).sum();
        let again = frames.len() >= most || written >= ROOM;
        let mut packets = Vec::with_capacity(frames.len());
        for frame in frames {
            match &frame {
                Frame::End => {
                    let stays = !self.rules.closes() && session.is_closed() && self.slots[stream.slot].listed;
                    if !stays {
                        packets.push(Packet::Eof);
                    }
                    break;
                }
                Frame::Gap { requested, .. } => {
                    if stream.gap_said && requested.is_none() {
                        continue;
                    }
                    stream.resumed = false;
                }
                Frame::Event { event, replayed: true, .. } if event.terminal && !self.rules.replays_terminal() => continue,
                Frame::Event { .. } | Frame::Ephemeral { .. } | Frame::Boundary { .. } | Frame::Synthetic { .. } => {}
            }
            packets.extend(self.rules.see(frame, stream.resumed).map(|(seen, size)| Packet::Frame(seen, size)));
        }
        let held_back = self.bugs.has(Bug::EphemeralOvertakes) || self.bugs.has(Bug::OrderPerReader) || self.bugs.has(Bug::TerminalEarly);
        if held_back && !again {
            self.effects.push(Effect::WakeLater(conn, HELD_BACK_MS));
        }
        if let Some(held) = &mut stream.head_held {
            let boring = |packet: &Packet| matches!(packet, Packet::Frame(seen, _) if matches!(seen.kind, Kind::Boundary | Kind::Gap));
            let still = packets.iter().all(boring);
            held.append(&mut packets);
            if !still {
                packets = stream.head_held.take().unwrap_or_default();
            }
        }
        (packets, again)
    }

    /// A keep-alive for an idle stream.
    pub(super) fn heartbeat(&self, conn: u32) -> Option<Packet> {
        let stream = self.streams.get(&conn).filter(|s| s.head_held.is_none())?;
        if !self.bugs.has(Bug::HeartbeatWithId) {
            return Some(Packet::Comment);
        }
        let head = self.slots[stream.slot].session.head();
        let next = Cursor { seq: head.seq + 1, ..head };
        let cursor = Some(self.rules.show(next));
        Some(Packet::Frame(Seen { kind: Kind::Other, event_type: "heartbeat".to_owned(), cursor, ..Seen::default() }, 50))
    }

    /// True while the server writes to this stream.
    pub(super) fn writes_to(&self, conn: u32) -> bool {
        self.streams.contains_key(&conn)
    }

    /// A reader has gone.
    pub(super) fn leave(&mut self, conn: u32) {
        let Some(stream) = self.streams.remove(&conn) else { return };
        let slot = &mut self.slots[stream.slot];
        slot.streams.retain(|other| *other != conn);
        let broken_off = slot.session.unregister(stream.subscription);
        self.poisoned |= broken_off && self.bugs.has(Bug::PoisonedByReset);
    }

    // ------------------------------------------------------------------------------------------------ finite reads

    fn read(&mut self, now: Millis, ex: u32, id: &str, read: &PageRead) {
        let page = |answer| Effect::Answer(ex, Answer::Page(answer));
        let Some(slot) = self.find(id) else {
            return self.effects.push(page(refused_page(self.rules.unknown(), "there is no session of this name")));
        };
        if read.surface == Surface::Snapshot {
            let snapshot = self.slots[slot].session.snapshot(now);
            if self.bugs.has(Bug::SnapshotAhead) || self.bugs.has(Bug::SnapshotBehind) {
                self.torn.insert(ex, (slot, snapshot));
                return self.effects.push(Effect::Second(ex));
            }
            let answer = self.snapshot_page(snapshot);
            return self.effects.push(page(answer));
        }
        let limit = read.limit.map_or(100, i64::from);
        let limit = if self.bugs.has(Bug::LimitIgnored) { self.rules.most_limit } else { limit.clamp(1, self.rules.most_limit) };
        let session = &mut self.slots[slot].session;
        let text = read.cursor.as_deref().map(|text| self.rules.read(text));
        let start = match session.resolve(text.as_deref(), |_| false) {
            Ok(start) => start,
            // The end of a closed session's history is an empty page, not a refusal.
            Err(Refused::Ended) => Start::Live,
            Err(refused) => {
                let head = session.head().seq;
                match self.rules.refused(refused, false, head, 0) {
                    Opened::Refused(status, body) => return self.effects.push(page(refused_page(status, &body))),
                    Opened::Oldest | Opened::Gap => Start::Oldest,
                    Opened::Live | Opened::After(_) => Start::Live,
                }
            }
        };
        let found = session.page(start, usize::try_from(limit).unwrap_or(1), now);
        let epoch = session.epoch;
        let seen = found.events.into_iter().filter_map(|event| self.item(event, epoch)).collect();
        let answer = PageAnswer {
            status: 200,
            accepted: true,
            content_type: Some("application/json".to_owned()),
            seen,
            cursor: Some(self.rules.show(found.next)),
            more: Some(found.more),
            body: String::new(),
        };
        self.effects.push(page(answer));
    }

    /// An event on a page.
    fn item(&mut self, event: Event, epoch: Epoch) -> Option<Seen> {
        let cursor = Some(Cursor { epoch, seq: event.label });
        self.rules.see(Frame::Event { event, cursor, replayed: true }, false).map(|(seen, _)| seen)
    }

    /// The second half of a snapshot that a bug reads in two.
    pub(super) fn second(&mut self, now: Millis, ex: u32) {
        let Some((slot, mut snapshot)) = self.torn.remove(&ex) else { return };
        if self.bugs.has(Bug::SnapshotAhead) {
            snapshot.cursor = self.slots[slot].session.head();
        }
        if self.bugs.has(Bug::SnapshotBehind) {
            snapshot.events = self.slots[slot].session.snapshot(now).events;
        }
        let answer = self.snapshot_page(snapshot);
        self.effects.push(Effect::Answer(ex, Answer::Page(answer)));
    }

    fn snapshot_page(&mut self, snapshot: Snapshot) -> PageAnswer {
        let epoch = snapshot.cursor.epoch;
        PageAnswer {
            status: 200,
            accepted: true,
            content_type: Some("application/json".to_owned()),
            seen: snapshot.events.into_iter().filter_map(|event| self.item(event, epoch)).collect(),
            cursor: Some(self.rules.show(snapshot.cursor)),
            more: None,
            body: String::new(),
        }
    }

    /// What a cursor that is none would be called by the runner; for the classes of delivered cursors.
    pub(super) fn class(kind: Kind) -> CursorClass {
        match kind {
            Kind::Event | Kind::Terminal | Kind::Commit => CursorClass::Own,
            Kind::Boundary | Kind::Gap | Kind::Heartbeat | Kind::Other => CursorClass::Synthetic,
        }
    }
}

/// Bytes of payload in a frame.
fn size(frame: &Frame) -> usize {
    match frame {
        Frame::Event { event, .. } => event.data.len(),
        Frame::Ephemeral { data, .. } => data.len(),
        Frame::Boundary { .. } | Frame::Gap { .. } | Frame::Synthetic { .. } | Frame::End => 0,
    }
}

fn deleted(group: &Group, id: &str) -> bool {
    group.changes.iter().any(|change| matches!(change, Change::Delete { id: other } if other == id))
}

fn refused_page(status: u16, why: &str) -> PageAnswer {
    PageAnswer {
        status,
        accepted: false,
        content_type: Some("application/json".to_owned()),
        seen: Vec::new(),
        cursor: None,
        more: None,
        body: why.to_owned(),
    }
}
