//! Subscriptions: a reader's walk along the log, from its cursor over the fence into live.
//!
//! A subscription holds a position, not a queue: being live means that the log is read on from that position whenever the
//! session changed. A slow reader therefore costs no memory for durable events, and what retention overtakes is announced
//! by a gap in mid-stream. Ephemeral events wait in a small buffer, each behind the durable event that was newest when it
//! was published; when that buffer overflows, the subscription ends, so that its reader is told and resumes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Event, Frame, Millis, Note, Room, Session, Start};
use crate::bugs::Bug;

/// Ephemeral events that may wait for one reader.
const MOST_EPHEMERAL: usize = 1024;
/// Bytes of ephemeral payloads that may wait for one reader; a single one may be larger.
const MOST_EPHEMERAL_BYTES: usize = 1 << 20;

/// A reader of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u64);

#[derive(Clone, Debug)]
struct Ephemeral {
    /// The newest durable event when it was published.
    behind: u64,
    note: Arc<Note>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Known to the session; its fence is not fixed yet.
    Registered,
    /// Reading what came before the fence.
    Replay,
    /// Behind the fence.
    Live,
    /// Its reader was told everything.
    Ended,
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    id: SubscriptionId,
    phase: Phase,
    start: Start,
    /// The newest event that was sent (or need not be).
    position: u64,
    fence: u64,
    ephemeral: VecDeque<Ephemeral>,
    ephemeral_bytes: usize,
    overflowed: bool,
    /// Bytes of payload in the frames being collected.
    taken: usize,
    /// What a bug mixes into the replay.
    slipped: Vec<Arc<Note>>,
    /// Durable events written so far; used by bugs only.
    written: u64,
    /// Silenced by a bug.
    muted: bool,
    /// Up to where a bug sent live events before the replay.
    overtaken: u64,
    /// A bug told of a gap that is none; it does so once.
    warned: bool,
}

impl Subscription {
    /// The last event that its reader was sent, and up to which one it is sent events before anything else; `None` where something
    /// else is due first, or there is none.
    pub(super) fn undisturbed(&self, head: u64) -> Option<(u64, u64)> {
        let until = match self.phase {
            Phase::Replay => self.fence,
            Phase::Live => head,
            Phase::Registered | Phase::Ended => return None,
        };
        let disturbed = self.overflowed || !self.ephemeral.is_empty() || !self.slipped.is_empty();
        (!disturbed && self.position < until).then_some((self.position, until))
    }

    /// It was sent so many events more.
    pub(super) fn pass(&mut self, events: u64) {
        self.position += events;
        self.written += events;
    }
}

impl Session {
    /// Makes a reader known: from now on nothing is missed. Its fence is fixed by [`Session::fix_fence`].
    pub fn register(&mut self, start: Start) -> SubscriptionId {
        let id = SubscriptionId(self.next_subscription);
        self.next_subscription += 1;
        let mut muted = false;
        if self.bugs.has(Bug::ReplacedReader) && matches!(start, Start::After(_)) {
            self.subscriptions
                .iter_mut()
                .filter(|s| s.phase != Phase::Ended)
                .for_each(|s| s.muted |= s.position >= s.fence && s.start != Start::Oldest || s.start == start);
        }
        if self.bugs.has(Bug::TenListeners) {
            muted = self.subscriptions.len() >= 10;
        }
        let subscription = Subscription {
            id,
            phase: Phase::Registered,
            start,
            position: 0,
            fence: 0,
            ephemeral: VecDeque::new(),
            ephemeral_bytes: 0,
            overflowed: false,
            taken: 0,
            slipped: Vec::new(),
            written: 0,
            muted,
            overtaken: 0,
            warned: false,
        };
        self.subscriptions.push(id, subscription);
        id
    }

    /// Fixes where replay ends and live begins: at the newest event now.
    pub fn fix_fence(&mut self, id: SubscriptionId, now: Millis) {
        self.prune_on_read(now);
        let shared = self.subscriptions.iter().filter(|s| s.id != id && s.phase != Phase::Registered).map(|s| s.fence).min();
        let fence = match shared {
            Some(fence) if self.bugs.has(Bug::SharedBaseline) => fence,
            Some(_) | None => self.head,
        };
        let head = self.head;
        let (off_by_one, live_only, inclusive) =
            (self.bugs.has(Bug::OffByOne), self.bugs.has(Bug::ResumeLiveOnly), self.bugs.has(Bug::ReplayInclusive));
        let Some(Some(subscription)) = self.subscriptions.get_mut(id) else { return };
        subscription.fence = fence;
        subscription.phase = Phase::Replay;
        subscription.position = match subscription.start {
            Start::Oldest => 0,
            Start::Live => head,
            Start::After(_) if live_only => head,
            Start::After(cursor) if inclusive => cursor.seq.saturating_sub(1),
            Start::After(cursor) if off_by_one => cursor.seq + 1,
            Start::After(cursor) => cursor.seq,
        };
        if self.bugs.has(Bug::ReplayOnce)
            && let Start::After(cursor) = subscription.start
        {
            let times = self.replays.entry(cursor.seq).or_insert(0);
            subscription.position += u64::from(*times > 0);
            *times += 1;
        }
    }

    /// The next frames for a reader, at most about `most`; none when it has everything there is.
    pub fn next(&mut self, id: SubscriptionId, now: Millis, most: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.next_into(id, now, Room::of(most), &mut frames);
        frames
    }

    /// As [`Session::next`], into an empty list that the caller keeps. The room may be what [`Session::next_plain`] has left of one,
    /// also none: what stands behind the last event (a boundary, the end, live-only events) needs none.
    pub fn next_into(&mut self, id: SubscriptionId, now: Millis, room: Room, frames: &mut Vec<Frame>) {
        self.prune_on_read(now);
        let Some(mut subscription) = self.subscriptions.get_mut(id).and_then(Option::take) else { return frames.push(Frame::End) };
        subscription.taken = 0;
        if (self.deleted && !self.bugs.has(Bug::DeletedStillStreams)) || subscription.overflowed {
            subscription.phase = Phase::Ended;
            frames.push(Frame::End);
        }
        if subscription.phase == Phase::Replay {
            self.replay(&mut subscription, room, frames);
        }
        if subscription.phase == Phase::Live && !subscription.muted {
            self.live(id, &mut subscription, now, room, frames);
        }
        if let Some(place) = self.subscriptions.get_mut(id) {
            *place = Some(subscription);
        }
    }

    fn replay(&self, subscription: &mut Subscription, room: Room, frames: &mut Vec<Frame>) {
        let fence = if self.bugs.has(Bug::NoSkipAtFence) || self.bugs.has(Bug::MovingCutoff) { self.head } else { subscription.fence };
        let empty = subscription.position >= fence;
        let slipped = std::mem::take(&mut subscription.slipped).into_iter();
        frames.extend(slipped.map(|note| Frame::Ephemeral { note, cursor: None }));
        if self.bugs.has(Bug::BoundaryEarly) && subscription.written == 0 && self.closed.is_none() {
            frames.push(Frame::Boundary { fence: self.cursor(subscription.fence) });
        }
        if !empty || self.bugs.has(Bug::FalseGap) {
            self.announce_gap(subscription, frames);
        }
        if self.bugs.has(Bug::LiveDuringReplay) && subscription.written == 0 && !empty {
            for seq in fence + 1..=self.head {
                self.send(subscription, seq, false, frames);
            }
            subscription.overtaken = self.head;
        }
        while subscription.position < fence && frames.len() < room.frames && subscription.taken < room.bytes {
            let seq = subscription.position + 1;
            let swap = self.bugs.has(Bug::SwappedNeighbours) && seq.is_multiple_of(5) && seq < fence;
            // What was announced between the registration and the fence has its place within the replay.
            self.send_ephemeral(subscription, subscription.position, frames);
            if swap {
                self.send(subscription, seq + 1, true, frames);
            }
            self.send(subscription, seq, true, frames);
            subscription.position = if swap { seq + 1 } else { seq };
            if subscription.phase == Phase::Ended {
                return;
            }
        }
        if subscription.position < fence {
            return;
        }
        // A closed session has no live part, and so no seam.
        if self.closed.is_some_and(|terminal| terminal <= subscription.position) {
            if !self.bugs.has(Bug::OpenAfterTerminal) {
                subscription.phase = Phase::Ended;
                frames.push(Frame::End);
            }
            return;
        }
        let written = subscription.written;
        let silent = self.bugs.has(Bug::BoundaryEarly) || self.bugs.has(Bug::BoundaryNever) && empty && written == 0;
        if !silent {
            frames.push(Frame::Boundary { fence: self.cursor(subscription.fence) });
        }
        if self.bugs.has(Bug::BoundaryTwice) {
            frames.push(Frame::Boundary { fence: self.cursor(subscription.fence) });
        }
        if self.bugs.has(Bug::UnstoredId) {
            frames.push(Frame::Synthetic { near: self.head() });
        }
        if self.bugs.has(Bug::ReadBeforeRegister) {
            subscription.position = self.head;
        }
        if self.bugs.has(Bug::NoSkipAtFence) {
            subscription.position = subscription.fence;
        }
        if self.bugs.has(Bug::SkipsBehindFence) && written > 0 && self.head > subscription.fence {
            subscription.position += 1;
        }
        subscription.position = subscription.position.max(std::mem::take(&mut subscription.overtaken));
        subscription.phase = Phase::Live;
    }

    fn live(&mut self, id: SubscriptionId, subscription: &mut Subscription, now: Millis, room: Room, frames: &mut Vec<Frame>) {
        if self.bugs.has(Bug::SilentSkip) && self.head.saturating_sub(subscription.position) > 64 {
            subscription.position = self.head - 8;
        }
        self.send_ephemeral(subscription, subscription.position, frames);
        self.announce_gap(subscription, frames);
        if self.bugs.has(Bug::EphemeralOvertakes) {
            self.send_ephemeral(subscription, u64::MAX, frames);
        }
        while subscription.position < self.head && frames.len() < room.frames && subscription.taken < room.bytes {
            let seq = subscription.position + 1;
            self.send_ephemeral(subscription, subscription.position, frames);
            let Some(event) = self.event(seq) else {
                subscription.position = seq;
                continue;
            };
            let newest = seq == self.head && !event.terminal;
            let held_back = self.bugs.has(Bug::EphemeralOvertakes)
                || self.bugs.has(Bug::TerminalEarly) && newest
                || self.bugs.has(Bug::OrderPerReader) && newest && !seq.is_multiple_of(2);
            if held_back && now.0 < event.at.0 + HELD_BACK_MS {
                return;
            }
            if self.bugs.has(Bug::TerminalEarly) && self.closed == Some(seq + 1) {
                self.send(subscription, seq + 1, false, frames);
                subscription.phase = Phase::Live;
                frames.pop_if(|last| *last == Frame::End);
                self.send(subscription, seq, false, frames);
                frames.push(Frame::End);
                subscription.phase = Phase::Ended;
                return;
            }
            let (lossy, twice) = (self.bugs.has(Bug::LossyLive), self.bugs.has(Bug::LiveTwice));
            let (tenth, terminal) = (seq.is_multiple_of(10), event.terminal);
            let skipped = !terminal && (lossy && tenth || self.bugs.has(Bug::DestructiveQueue) && !self.owns(id, seq));
            if !skipped {
                self.send(subscription, seq, false, frames);
            }
            if twice && tenth && !terminal {
                self.send(subscription, seq, false, frames);
            }
            subscription.position = seq;
            if subscription.phase == Phase::Ended {
                return;
            }
        }
        if subscription.position >= self.head || matches!(subscription.start, Start::After(cursor) if cursor.seq > self.head) {
            self.send_ephemeral(subscription, self.head, frames);
            if self.bugs.has(Bug::BoundaryAlways) && frames.iter().any(|f| matches!(f, Frame::Event { replayed: false, .. })) {
                frames.push(Frame::Boundary { fence: self.head() });
            }
        }
    }

    /// With a destructive queue each event belongs to one of the live readers.
    fn owns(&self, id: SubscriptionId, seq: u64) -> bool {
        let others = || self.subscriptions.iter();
        let before = others().filter(|s| s.id < id).count() as u64;
        let readers = others().filter(|s| s.phase == Phase::Live).count() as u64 + 1;
        seq % readers == before % readers
    }

    fn announce_gap(&self, subscription: &mut Subscription, frames: &mut Vec<Frame>) {
        let oldest = match subscription.phase {
            // What was removed under a live reader is still there for it.
            Phase::Live => self.events.front().map_or(self.head + 1, |e| e.seq),
            Phase::Registered | Phase::Replay | Phase::Ended => self.oldest(),
        };
        let next = subscription.position + 1;
        let at_edge = next == oldest && oldest > 1 && subscription.position > 0;
        let may_warn = self.bugs.has(Bug::FalseGap) && subscription.written == 0 && subscription.phase == Phase::Replay;
        let false_gap = may_warn && at_edge && !std::mem::replace(&mut subscription.warned, true);
        if next >= oldest && !false_gap {
            return;
        }
        let overlooked = self.bugs.has(Bug::GapOneLate) && next + 1 == oldest || self.bugs.has(Bug::EmptyIsNoGap) && self.is_empty();
        if overlooked {
            subscription.position = oldest - 1;
            return;
        }
        if !self.bugs.has(Bug::SilentEviction) && !frames.iter().any(|f| matches!(f, Frame::Gap { .. })) {
            let presented = matches!(subscription.start, Start::After(_)) || subscription.position > 0;
            let requested = presented.then(|| self.cursor(subscription.position));
            let named = if self.bugs.has(Bug::GapMisplaced) { next } else { oldest };
            frames.push(Frame::Gap { requested, oldest: self.cursor(named) });
        }
        subscription.position = subscription.position.max(oldest - 1);
    }

    fn send(&self, subscription: &mut Subscription, seq: u64, replayed: bool, frames: &mut Vec<Frame>) {
        let Some(mut event) = self.event(seq).filter(|_| !(replayed && self.removed.contains(&seq))).cloned() else { return };
        if self.bugs.has(Bug::OrderPerReader) && !event.terminal {
            event = self.other_of_pair(&event, subscription).map_or(event, Arc::new);
        }
        if event.terminal && replayed && self.bugs.has(Bug::TerminalLiveOnly) {
            subscription.phase = Phase::Ended;
            frames.push(Frame::End);
            return;
        }
        subscription.written += 1;
        subscription.taken += event.data.len();
        let cursor = if replayed && self.bugs.has(Bug::NoIdInReplay) {
            None
        } else if self.bugs.has(Bug::PositionalCursor) {
            Some(self.cursor(subscription.written))
        } else {
            Some(self.cursor(event.label))
        };
        if replayed && self.bugs.has(Bug::ReplayDropsControls) {
            for control in ["\\u0000", "\\u0007", "\\u001b", "\\u0001"] {
                let whole = Arc::make_mut(&mut event);
                whole.data = whole.data.replace(control, "").into();
            }
        }
        let terminal = event.terminal;
        if terminal && self.bugs.has(Bug::TerminalTwice) {
            frames.push(Frame::Event { event: event.clone(), cursor, replayed });
        }
        frames.push(Frame::Event { event, cursor, replayed });
        if terminal && !self.bugs.has(Bug::OpenAfterTerminal) {
            subscription.phase = Phase::Ended;
            frames.push(Frame::End);
        }
    }

    /// Within a pair of concurrent events, the one that every second reader sees in this place.
    fn other_of_pair(&self, event: &Event, subscription: &Subscription) -> Option<Event> {
        if subscription.id.0.is_multiple_of(2) {
            return None;
        }
        let pair = if event.seq.is_multiple_of(2) { event.seq - 1 } else { event.seq + 1 };
        let apart = (pair <= subscription.fence) != (event.seq <= subscription.fence);
        let other = self.event(pair).filter(|other| other.batch == event.batch && !other.terminal && !apart)?;
        Some(Event { label: event.label, ..Event::clone(other) })
    }

    #[inline]
    fn send_ephemeral(&self, subscription: &mut Subscription, up_to: u64, frames: &mut Vec<Frame>) {
        if subscription.ephemeral.is_empty() {
            return;
        }
        while subscription.ephemeral.front().is_some_and(|e| e.behind <= up_to) {
            let Some(Ephemeral { note, .. }) = subscription.ephemeral.pop_front() else { return };
            subscription.ephemeral_bytes -= note.data.len();
            let cursor = self.bugs.has(Bug::EphemeralWithId).then(|| self.head());
            frames.push(Frame::Ephemeral { note, cursor });
        }
    }

    /// Hands a live-only event to every reader that is there.
    pub fn announce(&mut self, event_type: &str, data: &str) {
        if self.bugs.has(Bug::EphemeralDropped) {
            return;
        }
        let (behind, note) = (self.head, Note::new(event_type, data));
        for subscription in self.subscriptions.iter_mut().filter(|s| s.phase != Phase::Ended) {
            let bytes = subscription.ephemeral_bytes + data.len();
            let too_many = subscription.ephemeral.len() >= MOST_EPHEMERAL;
            let too_large = bytes > MOST_EPHEMERAL_BYTES && !subscription.ephemeral.is_empty();
            subscription.overflowed |= too_many || too_large;
            if subscription.overflowed {
                subscription.ephemeral.clear();
                subscription.ephemeral_bytes = 0;
            } else {
                subscription.ephemeral_bytes = bytes;
                subscription.ephemeral.push_back(Ephemeral { behind, note: Arc::clone(&note) });
            }
        }
        self.changes += 1;
    }

    /// Mixes an event that is not the reader's own, or no longer, into its replay: for bugs that leak or store too much.
    pub fn slip(&mut self, id: SubscriptionId, event_type: &str, data: &str) {
        if let Some(Some(subscription)) = self.subscriptions.get_mut(id) {
            subscription.slipped.push(Note::new(event_type, data));
        }
    }

    /// Forgets a reader; true when it had not been told everything yet.
    pub fn unregister(&mut self, id: SubscriptionId) -> bool {
        self.subscriptions.remove(id).is_some_and(|s| s.phase != Phase::Ended)
    }

    /// How far the slowest live reader is behind the head.
    pub fn slowest(&self) -> u64 {
        self.subscriptions
            .iter()
            .filter(|s| s.phase == Phase::Live && !s.muted)
            .map(|s| self.head.saturating_sub(s.position))
            .max()
            .unwrap_or(0)
    }
}

/// How long the bugs that need an event's successor hold it back from live readers.
pub const HELD_BACK_MS: u64 = 20;
