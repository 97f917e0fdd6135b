//! The simulated server: the reference core, its writer and its streams, split into steps between which anything may come.
//!
//! It has no clock, no queue of its own making and no threads: the world calls one step after the other and carries out
//! the [`Effect`]s. What the reference server's hub and dialect do around the core (groups that are committed before they
//! are visible, bells, refusals) is done here again, without sockets; so are their defects.

mod page;
mod process;
mod stream;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;
use streamspec_reference_server::bugs::{Bug, BugSet};
use streamspec_reference_server::session::{Append, Epoch, Frame, Millis, Retention, Session, Snapshot, SubscriptionId};
use streamspec_reference_server::store::{Change, Store};

use super::by_number::ByNumber;
use super::letters;
use super::link::Packet;
use super::rules::{NOTE, Rules};
use super::store::Disk;
use crate::contract::Profile;
use crate::history::{Outcome, Probe, Retain};
use crate::world::{PageAnswer, PageRead, Reply};
use page::refused_page;

/// How often a bug lets a publish wait for the slowest reader.
const STALLS: u32 = 2;
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
    Read(Box<PageRead>),
}

/// An event to be published.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    pub(super) payload: Arc<str>,
    pub(super) event_type: &'static str,
    pub(super) key: Option<String>,
    pub(super) durable: bool,
}

/// What it answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// It was done: the status, and the cursor of what was appended. Kept apart because nearly all answers are this one.
    Done(u16, Option<SmolStr>),
    Reply(Box<Reply>),
    Page(Box<PageAnswer>),
}

/// What the world has to do after a step.
#[derive(Clone, Debug)]
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

#[derive(Clone, Debug)]
struct Slot {
    session: Session,
    /// False once it was removed: its streams end, and nobody finds it any more.
    listed: bool,
    streams: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Stream {
    slot: usize,
    subscription: SubscriptionId,
    resumed: bool,
    gap_said: bool,
    /// Held back until an event is there; only a bug does that.
    head_held: Option<Vec<Packet>>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Open(Arc<str>, Retention),
    Append(Arc<str>, Append),
    Delete(Arc<str>),
}

#[derive(Clone, Debug)]
enum Done {
    Open {
        ex: u32,
        id: Arc<str>,
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
        cursor: SmolStr,
    },
    Delete {
        ex: u32,
        id: Arc<str>,
    },
}

#[derive(Clone, Debug, Default)]
struct Group {
    changes: Vec<Change>,
    done: Vec<Done>,
}

/// The server.
#[derive(Clone, Debug)]
pub(super) struct Node {
    rules: Rules,
    bugs: BugSet,
    disk: Disk,
    slots: Vec<Slot>,
    streams: ByNumber<Stream>,
    queue: Vec<(u32, Wanted)>,
    committing: Option<Group>,
    behind: Vec<Change>,
    batch: u64,
    stalls: u32,
    epochs: u32,
    poisoned: bool,
    torn: BTreeMap<u32, (usize, Snapshot)>,
    /// Types of events, once each.
    types: Vec<Arc<str>>,
    effects: Vec<Effect>,
    /// Kept to be filled again.
    frames: Vec<Frame>,
    taken: Vec<(u32, Wanted)>,
    spare: Group,
}

impl Node {
    pub(super) fn new(profile: &Arc<Profile>, bugs: BugSet) -> Node {
        Node {
            rules: Rules::new(profile),
            bugs,
            disk: Disk::default(),
            slots: Vec::new(),
            streams: ByNumber::default(),
            queue: Vec::new(),
            committing: None,
            behind: Vec::new(),
            batch: 0,
            stalls: 0,
            epochs: 0,
            poisoned: false,
            torn: BTreeMap::new(),
            types: Vec::new(),
            effects: Vec::new(),
            frames: Vec::new(),
            taken: Vec::new(),
            spare: Group::default(),
        }
    }

    /// True when the last step led to nothing.
    pub(super) fn is_quiet(&self) -> bool {
        self.effects.is_empty()
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

    fn done(&mut self, ex: u32, status: u16, cursor: Option<SmolStr>) {
        self.effects.push(Effect::Answer(ex, Answer::Done(status, cursor)));
    }

    fn refuse(&mut self, ex: u32, status: u16, why: &str) {
        let body = if self.bugs.has(Bug::EmptyRefusals) { String::new() } else { format!("{{\"error\":\"{why}\"}}") };
        let reply = Reply { outcome: Outcome::Failed { status, body }, taken: BTreeMap::new(), answer: None };
        self.effects.push(Effect::Answer(ex, Answer::Reply(Box::new(reply))));
    }

    fn refuse_unknown(&mut self, ex: u32) {
        self.refuse(ex, self.rules.unknown(), "there is no session of this name");
    }

    /// A request has arrived.
    pub(super) fn request(&mut self, now: Millis, ex: u32, id: &Arc<str>, request: Request) {
        if self.poisoned {
            return match request {
                Request::Read(_) => {
                    self.effects.push(Effect::Answer(ex, Answer::Page(Box::new(refused_page(500, "a lock is held for ever")))))
                }
                _ => self.refuse(ex, 500, "a lock is held for ever"),
            };
        }
        match request {
            Request::Open(retain) => match self.rules.retention(retain) {
                Ok(retention) => self.enqueue(ex, Wanted::Open(Arc::clone(id), retention)),
                // A prune loop that counts down to a bound below zero never ends.
                Err(_) if self.bugs.has(Bug::NegativeRetention) => {}
                Err(why) => self.refuse(ex, 400, &why),
            },
            Request::Publish(publication) => self.publish(ex, id, publication),
            Request::Close => {
                let data = r#"{"reason":"closed"}"#.into();
                let terminal = Append { event_type: "end".into(), data, key: None, terminal: true };
                self.enqueue(ex, Wanted::Append(Arc::clone(id), terminal));
            }
            Request::Delete => self.enqueue(ex, Wanted::Delete(Arc::clone(id))),
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

    fn publish(&mut self, ex: u32, id: &Arc<str>, publication: Publication) {
        let Publication { payload, event_type, key, durable } = publication;
        // A line break in a type would break the frame.
        let known = self.types.iter().any(|known| **known == *event_type);
        if !known && (RESERVED.contains(&event_type) || event_type.contains(['\n', '\r', '\0']) || event_type.is_empty()) {
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
        let data = letters::write(&payload);
        if durable {
            let append = Append { event_type: self.type_of(event_type), data, key: key.filter(|_| self.rules.keys()), terminal: false };
            return self.enqueue(ex, Wanted::Append(Arc::clone(id), append));
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

    /// A type's text, shared by all its events.
    fn type_of(&mut self, event_type: &'static str) -> Arc<str> {
        if let Some(known) = self.types.iter().find(|known| &***known == event_type) {
            return Arc::clone(known);
        }
        let text: Arc<str> = event_type.into();
        self.types.push(Arc::clone(&text));
        text
    }

    fn fresh_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        self.rules.epoch(self.epochs.wrapping_mul(EPOCHS))
    }

    fn open_now(&mut self, id: &str, retention: Retention) {
        let epoch = self.fresh_epoch();
        // The disk of the simulation takes everything.
        let _ = self.disk.commit(&[Change::Open { id: id.into(), epoch: epoch.0, retention }]);
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
            Probe::NoCredentials | Probe::Escape => self.refuse(ex, 501, "the simulated node has neither credentials nor files"),
        }
    }
}
