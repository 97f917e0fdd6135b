//! Events that a reader gets plainly, as they stand in the log: nearly all that is ever written to anybody.

use std::collections::vec_deque;
use std::iter::Take;
use std::sync::Arc;

use super::{Event, Millis, Room, Session, SubscriptionId};

/// The next events for a reader, with nothing before, between or in place of them.
#[derive(Debug)]
pub struct Plain<'s> {
    /// The next one first; each is written with its own cursor.
    pub events: Take<vec_deque::Iter<'s, Arc<Event>>>,
    /// What is left of the room.
    pub room: Room,
    /// True when the room is used up and its reader has not come to the fence or the head: [`Session::next`] has nothing now.
    pub more: bool,
}

impl Session {
    /// The events with which [`Session::next`] would begin, as long as they stand side by side in the log; they count as written
    /// then, and [`Session::next_into`] goes on behind them with what is left of the room. None where anything else is due
    /// first. Whoever asks for them has no frames made.
    #[must_use = "these events count as written"]
    pub fn next_plain(&mut self, id: SubscriptionId, now: Millis, room: Room) -> Plain<'_> {
        let none = |more| Plain { events: vec_deque::Iter::default().take(0), room, more };
        if !self.bugs.is_empty() || self.deleted || !self.removed.is_empty() {
            return none(false);
        }
        self.prune(now);
        let Some(Some(subscription)) = self.subscriptions.get_mut(id) else { return none(false) };
        let Some((position, until)) = subscription.undisturbed(self.head) else { return none(false) };
        // The terminal says more than itself.
        let last = self.closed.map_or(until, |terminal| until.min(terminal.saturating_sub(1)));
        let kept = self.events.front().map(|front| front.seq).and_then(|first| (position + 1).checked_sub(first));
        let (Some(from), Some(count)) = (kept.and_then(|at| usize::try_from(at).ok()), last.checked_sub(position)) else {
            return none(false);
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(room.frames);
        let side_by_side = |at: usize, seq: u64| self.events.get(at).is_some_and(|event| event.seq == seq);
        if count == 0 || !side_by_side(from, position + 1) || !side_by_side(from + count - 1, position + count as u64) {
            return none(room.frames == 0);
        }
        let (mut written, mut bytes, events) = (0, 0, self.events.range(from..from + count));
        for event in events.clone() {
            if bytes >= room.bytes {
                break;
            }
            written += 1;
            bytes += event.data.len();
        }
        subscription.pass(written as u64);
        let room = Room { frames: room.frames - written, bytes: room.bytes.saturating_sub(bytes) };
        let more = position + (written as u64) < until && (room.frames == 0 || room.bytes == 0);
        Plain { events: events.take(written), room, more }
    }
}
