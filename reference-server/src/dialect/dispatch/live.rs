//! What is live: the events of running turns, and the clients that are sent them.
//!
//! A running turn keeps every event since its start in a log in memory ([`InFlight`]). Whoever joins reads that log from its
//! beginning and goes on into live in one order, because both are the same log read from a position; the fence between them
//! is the core's. A client's outgoing side ([`Outbox`]) holds positions, not copies, so one that does not read costs no
//! memory; what it may be behind is bounded in turns and in notices, and beyond that its connection is ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::bugs::{Bug, BugSet};
use crate::hub::now;
use crate::session::{Append, Epoch, Frame, Prepared, Retention, Session, Start, SubscriptionId};

/// Turns of one conversation that may wait for a client.
const MOST_TURNS: usize = 8;
/// Notices that may wait for a client.
const MOST_NOTICES: usize = 1024;
/// Conversations that a client may follow.
pub(super) const MOST_FOLLOWED: usize = 1024;
/// Events taken out at a time.
const TOGETHER: usize = 64;
/// How long the bugs of the seam rest between the replay's fence and its reading.
const SEAM: Duration = Duration::from_millis(60);

/// A turn's events since its start.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) turn: String,
    conversation: String,
    log: Mutex<Session>,
    watching: Mutex<Vec<Weak<Outbox>>>,
}

impl InFlight {
    pub(super) fn new(conversation: &str, turn: String, bugs: BugSet) -> Arc<InFlight> {
        let log = Session::new(turn.clone(), Epoch(0), Retention::default(), bugs);
        Arc::new(InFlight { turn, conversation: conversation.to_owned(), log: Mutex::new(log), watching: Mutex::default() })
    }

    fn log(&self) -> MutexGuard<'_, Session> {
        self.log.lock().expect("nobody panics while holding a turn's events")
    }

    fn watching(&self) -> MutexGuard<'_, Vec<Weak<Outbox>>> {
        self.watching.lock().expect("nobody panics while holding who watches")
    }

    /// Adds an event; the last one of the turn is `turn-sealed`.
    pub(super) fn push(&self, event: &Value) {
        let event_type = event["type"].as_str().unwrap_or_default().to_owned();
        let terminal = event_type == "turn-sealed";
        {
            let mut log = self.log();
            let append = Append { event_type: event_type.into(), data: event.to_string().into(), key: None, terminal };
            if let Ok(Prepared::New(event)) = log.prepare(&append, now(), 0) {
                log.publish(event, now());
            }
        }
        self.watching().retain(|outbox| outbox.upgrade().map(|outbox| outbox.bell.notify_one()).is_some());
    }

    /// True when somebody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.watching().iter().any(|outbox| outbox.strong_count() > 0)
    }

    /// How many events the slowest of those who watch is behind.
    pub(super) fn lag(&self) -> u64 {
        self.log().slowest()
    }

    fn frames(&self, id: SubscriptionId, most: usize) -> Vec<Frame> {
        self.log().next(id, now(), most)
    }
}

/// What is written to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Letter {
    /// An event of a conversation, as JSON text.
    Event(Arc<str>),
    /// A message of its own, as JSON text.
    Notice(Arc<str>),
    /// A turn of this conversation is over and everything of it was written.
    Over(String),
}

/// A client's outgoing side.
#[derive(Debug)]
pub(super) struct Outbox {
    bell: Notify,
    /// True once it is too far behind.
    behind: watch::Sender<bool>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    notices: VecDeque<Notice>,
    /// By conversation its turns, oldest first; only the first one is read until it is over.
    turns: BTreeMap<String, VecDeque<Following>>,
}

/// A message of its own, which is written behind what had been said before it.
#[derive(Debug)]
struct Notice {
    text: Arc<str>,
    /// The newest event, then, of each turn that the client was sent.
    behind: Vec<(Arc<InFlight>, u64)>,
}

/// A turn that is read.
#[derive(Debug)]
struct Following {
    turn: Arc<InFlight>,
    id: SubscriptionId,
    /// The newest event that was taken.
    read: u64,
    not_before: Option<Instant>,
}

impl Following {
    /// Takes events until this one was, or there are no more; true when the turn is over.
    fn read_to(&mut self, newest: u64, letters: &mut Vec<Letter>) -> bool {
        while self.read < newest {
            let frames = self.turn.frames(self.id, 1);
            if frames.is_empty() {
                return false;
            }
            if self.take(frames, letters) {
                return true;
            }
        }
        false
    }

    /// Turns frames into letters; true when the turn is over.
    fn take(&mut self, frames: Vec<Frame>, letters: &mut Vec<Letter>) -> bool {
        for frame in frames {
            match frame {
                Frame::Event { event, .. } => {
                    self.read = self.read.max(event.seq);
                    letters.push(Letter::Event(Arc::clone(&event.data)));
                }
                Frame::Ephemeral { note, .. } => letters.push(Letter::Event(note.data.as_str().into())),
                Frame::End => {
                    letters.push(Letter::Over(self.turn.conversation.clone()));
                    return true;
                }
                Frame::Boundary { .. } | Frame::Gap { .. } | Frame::Synthetic { .. } => {}
            }
        }
        false
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.turn.log().unregister(self.id);
    }
}

impl Outbox {
    pub(super) fn new() -> Arc<Outbox> {
        Arc::new(Outbox { bell: Notify::new(), behind: watch::Sender::new(false), waiting: Mutex::default() })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nobody panics while holding what waits for a client")
    }

    /// Tells when the client is too far behind to be served on.
    pub(super) fn behind(&self) -> watch::Receiver<bool> {
        self.behind.subscribe()
    }

    /// From now on the client is sent this turn, from its beginning. Where it is sent it already nothing changes.
    pub(super) fn follow(self: &Arc<Outbox>, turn: &Arc<InFlight>, start: Start, bugs: BugSet) {
        let mut waiting = self.waiting();
        let turns = waiting.turns.entry(turn.conversation.clone()).or_default();
        let again = turns.iter().any(|following| Arc::ptr_eq(&following.turn, turn));
        if again && !bugs.has(Bug::DoubleSubscribe) {
            return;
        }
        if turns.len() >= MOST_TURNS {
            self.behind.send_replace(true);
            return;
        }
        let id = {
            let mut log = turn.log();
            let id = log.register(start);
            log.fix_fence(id, now());
            id
        };
        let rests = bugs.has(Bug::ReadBeforeRegister) || bugs.has(Bug::NoSkipAtFence);
        turns.push_back(Following { turn: Arc::clone(turn), id, read: 0, not_before: rests.then(|| Instant::now() + SEAM) });
        drop(waiting);
        turn.watching().push(Arc::downgrade(self));
        self.bell.notify_one();
    }

    /// From now on the client is sent nothing of this conversation.
    pub(super) fn leave(&self, conversation: &str) {
        self.waiting().turns.remove(conversation);
    }

    /// Sends a message of its own, behind what was said before it.
    pub(super) fn notify(&self, notice: Arc<str>) {
        let mut waiting = self.waiting();
        if waiting.notices.len() >= MOST_NOTICES {
            self.behind.send_replace(true);
            return;
        }
        let heads = waiting.turns.values().flatten().map(|following| (Arc::clone(&following.turn), following.turn.log().head().seq));
        let behind = heads.collect();
        waiting.notices.push_back(Notice { text: notice, behind });
        drop(waiting);
        self.bell.notify_one();
    }

    /// What there is to write, as soon as there is something.
    pub(super) async fn take(&self, bugs: BugSet) -> Vec<Letter> {
        loop {
            let (letters, soon) = self.ready(bugs);
            if !letters.is_empty() {
                return letters;
            }
            match soon {
                Some(soon) => tokio::time::sleep_until(soon.into()).await,
                None => self.bell.notified().await,
            }
        }
    }

    /// What there is to write now; else when a bug lets there be something.
    fn ready(&self, bugs: BugSet) -> (Vec<Letter>, Option<Instant>) {
        let mut waiting = self.waiting();
        let (now, mut soon) = (Instant::now(), None::<Instant>);
        let mut letters = Vec::new();
        while let Some(Notice { text, behind }) = waiting.notices.pop_front() {
            waiting.read_behind(&behind, now, &mut letters);
            letters.push(Letter::Notice(text));
        }
        for turns in waiting.turns.values_mut() {
            // With the bug of two subscriptions each of them is read.
            let most = if bugs.has(Bug::DoubleSubscribe) { turns.len() } else { 1 };
            let mut over = 0;
            for following in turns.iter_mut().take(most) {
                if let Some(at) = following.not_before.filter(|at| *at > now) {
                    soon = Some(soon.map_or(at, |soon| soon.min(at)));
                    continue;
                }
                let frames = following.turn.frames(following.id, TOGETHER);
                over += usize::from(following.take(frames, &mut letters));
            }
            turns.drain(..over.min(turns.len()));
        }
        waiting.turns.retain(|_, turns| !turns.is_empty());
        (letters, soon)
    }
}

impl Waiting {
    /// Takes what had been said of each turn up to these events, and all of the turns before it.
    fn read_behind(&mut self, heads: &[(Arc<InFlight>, u64)], now: Instant, letters: &mut Vec<Letter>) {
        for (turn, newest) in heads {
            let Some(turns) = self.turns.get_mut(&turn.conversation) else { continue };
            let Some(place) = turns.iter().position(|following| Arc::ptr_eq(&following.turn, turn)) else { continue };
            for before in (0..=place).rev() {
                let first = &mut turns[0];
                let rests = first.not_before.is_some_and(|at| at > now);
                if rests || !first.read_to(if before == 0 { *newest } else { u64::MAX }, letters) {
                    break;
                }
                turns.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn turn(name: &str) -> Arc<InFlight> {
        let turn = InFlight::new("c", name.to_owned(), BugSet::default());
        turn.push(&json!({ "type": "turn-start", "turnId": name }));
        turn
    }

    fn delta(turn: &InFlight, text: &str) {
        turn.push(&json!({ "type": "text-delta", "delta": text }));
    }

    fn said(outbox: &Outbox) -> String {
        let mut said = String::new();
        loop {
            let (letters, _) = outbox.ready(BugSet::default());
            if letters.is_empty() {
                return said.trim_end().to_owned();
            }
            for letter in letters {
                said += &match letter {
                    Letter::Event(event) => {
                        let event: Value = serde_json::from_str(&event).unwrap();
                        event["delta"].as_str().or(event["turnId"].as_str()).unwrap().to_owned()
                    }
                    Letter::Notice(notice) => format!("!{notice}"),
                    Letter::Over(conversation) => format!("/{conversation}"),
                };
                said.push(' ');
            }
        }
    }

    #[test]
    fn joiners_at_every_event_see_one_sequence() {
        let turn = turn("t1");
        let mut outboxes = Vec::new();
        for n in 0..200 {
            let outbox = Outbox::new();
            outbox.follow(&turn, Start::Oldest, BugSet::default());
            outboxes.push(outbox);
            delta(&turn, &n.to_string());
        }
        turn.push(&json!({ "type": "turn-sealed", "turnId": "sealed" }));
        let all: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let whole = format!("t1 {} sealed /c", all.join(" "));
        assert!(outboxes.iter().all(|outbox| said(outbox) == whole));
        assert_eq!(turn.lag(), 0, "whoever has it all holds nothing");
    }

    #[test]
    fn a_turn_is_followed_once_and_the_next_one_behind_it() {
        let (first, second, outbox) = (turn("t1"), turn("t2"), Outbox::new());
        outbox.follow(&first, Start::Oldest, BugSet::default());
        outbox.follow(&second, Start::Oldest, BugSet::default());
        outbox.follow(&first, Start::Oldest, BugSet::default());
        delta(&second, "b");
        delta(&first, "a");
        assert_eq!(said(&outbox), "t1 a");
        first.push(&json!({ "type": "turn-sealed", "turnId": "sealed" }));
        assert_eq!(said(&outbox), "sealed /c t2 b");
        outbox.leave("c");
        delta(&second, "c");
        assert_eq!(said(&outbox), "");
    }

    #[test]
    fn a_notice_stands_behind_what_was_said_before_it() {
        let (first, second, outbox) = (turn("t1"), turn("t2"), Outbox::new());
        outbox.follow(&first, Start::Oldest, BugSet::default());
        delta(&first, "a");
        outbox.notify("one".into());
        delta(&first, "b");
        first.push(&json!({ "type": "turn-sealed", "turnId": "sealed" }));
        outbox.follow(&second, Start::Oldest, BugSet::default());
        delta(&second, "c");
        outbox.notify("two".into());
        delta(&second, "d");
        outbox.notify("three".into());
        assert_eq!(said(&outbox), "t1 a !one b sealed /c t2 c !two d !three");
        outbox.leave("c");
        outbox.notify("four".into());
        assert_eq!(said(&outbox), "!four");
    }

    #[test]
    fn a_client_that_does_not_read_is_given_up_and_holds_little() {
        let outbox = Outbox::new();
        for n in 0..MOST_NOTICES {
            outbox.notify(n.to_string().into());
        }
        assert!(!*outbox.behind().borrow());
        outbox.notify("one more".into());
        assert!(*outbox.behind().borrow());
        let outbox = Outbox::new();
        let turns: Vec<_> = (0..=MOST_TURNS).map(|n| turn(&n.to_string())).collect();
        for turn in &turns[..MOST_TURNS] {
            outbox.follow(turn, Start::Oldest, BugSet::default());
        }
        assert!(!*outbox.behind().borrow());
        outbox.follow(&turns[MOST_TURNS], Start::Oldest, BugSet::default());
        assert!(*outbox.behind().borrow());
        drop(outbox);
        assert!(turns.iter().all(|turn| !turn.is_watched()));
    }
}
