//! Goals: states worth reaching, recognised in a history.
//!
//! A campaign that never brought a server into such a state has not shown that the server is right in it. Goals are
//! counted from what was seen, not from what was asked for.

mod seen;

use crate::history::{CursorClass, History, View};
use crate::scenario::Need;

use super::palette::Palette;
use seen::Sightings;

/// A state worth reaching.
#[derive(Debug)]
pub struct Goal {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub says: &'static str,
    /// What the profile and the target must have for it.
    pub needs: &'static [Need],
    times: fn(&Sightings<'_, '_>) -> usize,
}

macro_rules! goals {
    ($($name:literal $says:literal [$($need:ident),*] $times:expr;)+) => {
        /// Every goal.
        pub static GOALS: &[Goal] = &[$(Goal { name: $name, says: $says, needs: &[$(Need::$need),*], times: $times }),+];
    };
}

goals! {
    "reconnect-during-replay" "a reader lost its connection before it had everything, and came back" [Resume] |s| s.reconnects_in_replay();
    "second-cut-before-first-event" "a resumed connection was cut before its first event" [Resume, Proxy] |s| s.cuts_before_first_event();
    "cut-inside-an-event" "a connection ended inside a frame" [Proxy] |s| s.cuts_inside_an_event();
    "cut-before-headers" "a connection was cut before its response head" [Proxy] |s| s.cuts_before_headers();
    "three-cuts" "one reader lost three connections" [Resume] |s| s.three_cuts();
    "resume-at-head" "a reader resumed with nothing to replay, and then received events" [Resume] |s| s.resumes_at_head();
    "resume-mid-log" "a reader resumed with events to replay" [Resume] |s| s.resumes_mid_log();
    "publish-in-seam" "an event was acknowledged while a reader went from replay to live" [Publish] |s| s.publishes_in_seam();
    "publish-in-replay" "an event was acknowledged after the first and before the last replayed one" [Publish] |s| s.publishes_in_replay();
    "overlapping-connections" "a reader had two connections at once" [Resume] |s| s.overlaps();
    "late-delivery" "an old connection brought an event after a newer one of the same reader had" [Resume, Proxy] |s| s.late_deliveries();
    "stalled-reader-overtaken" "events were acknowledged while a reader's bytes were kept back, and came later" [Proxy] |s| s.overtaken();
    "evicted-cursor" "a cursor was presented whose successor was no longer kept" [Resume, Gap] |s| s.evicted_cursors();
    "gap-at-start" "a reader without cursor was told that the beginning is missing" [Gap] |s| s.gaps_at_start();
    "eviction-under-live-reader" "events were evicted while a reader was connected" [Gap] |s| s.evictions_under_readers();
    "cursor-ahead" "a cursor above the head was presented" [Numbers] |s| s.presented(CursorClass::Ahead);
    "cursor-of-other-session" "a cursor of another session was presented" [Resume] |s| s.presented(CursorClass::OtherSession);
    "cursor-of-old-epoch" "a cursor of an old epoch was presented" [Resume] |s| s.presented(CursorClass::OtherEpoch);
    "malformed-cursor" "a malformed cursor was presented" [Resume] |s| s.presented(CursorClass::Malformed);
    "empty-cursor" "an empty cursor was presented" [Resume] |s| s.presented(CursorClass::Empty);
    "snapshot-then-tail" "a reader went on from a snapshot's cursor, and then received events" [Snapshot, Resume] |s| s.snapshot_tails();
    "pages-under-a-writer" "an event was acknowledged between two pages of one reading" [History] |s| s.moving_pages();
    "lost-answer" "the answer to a publish was lost, and its event came" [Proxy, Publish] |s| s.lost_answers();
    "retry-after-lost-answer" "an event whose answer was lost was sent again with its key" [Idempotency, Proxy] |s| s.retries_after_loss();
    "repeated-key" "an event was sent twice with one key" [Idempotency] |s| s.repeats();
    "concurrent-publishes" "publishes to one session overlapped" [Publish] |s| s.concurrent_publishes();
    "close-races-publish" "a publish was in flight when the session was closed" [Close] |s| s.close_races();
    "terminal-replayed" "a terminal reached a connection that was opened after the close" [Close] |s| s.terminals_replayed();
    "reconnect-after-end" "a reader that had the terminal connected again" [Close, Resume] |s| s.reconnects_after_end();
    "live-only-missed" "a live-only event was published while a reader was away, and the reader came back" [Ephemeral, Resume] |s| s.notes_missed();
    "hostile-text-resumed" "hostile text was delivered on a resumed connection" [Text, Resume] |s| s.hostile_resumed();
    "two-sessions-live" "two sessions had readers and events at the same time" [Publish] |s| s.two_sessions();
    "delete-under-a-reader" "a session was deleted while a reader was connected" [Delete] |s| s.deletes_under_readers();
    "kill-under-a-writer" "a publish was in flight at a kill" [Kill, SurvivesKill] |s| s.kills_under_writers();
    "kill-with-pending-terminal" "a kill came after a close that a reader had not been told of" [Kill, SurvivesKill, Close] |s| s.kills_with_terminal();
    "kill-with-keyed-publish-in-flight" "an event in flight at a kill was sent again with its key" [Kill, SurvivesKill, Idempotency] |s| s.kills_with_keys();
    "kill-twice" "the process was killed twice in one case" [Kill, SurvivesKill] |s| s.killed_twice();
    "graceful-restart-under-a-reader" "a graceful stop ended a reader's connection" [Restart, SurvivesRestart] |s| s.graceful_under_readers();
    "resume-across-a-restart" "a cursor from before a restart was presented after it" [Restart, Resume] |s| s.resumes_across();
    "kill-after-eviction" "the process was killed when a session had lost events to its bound" [Kill, SurvivesKill, Gap] |s| s.kills_after_eviction();
}

impl Goal {
    /// True when the profile and the target have what it takes.
    pub fn applies(&self, palette: &Palette) -> bool {
        self.needs.iter().all(|need| palette.has(*need))
    }
}

/// How often a history reaches each of [`GOALS`].
pub fn reached(history: &History) -> Vec<usize> {
    let view = View::of(history);
    let sightings = Sightings::of(&view);
    GOALS.iter().map(|goal| (goal.times)(&sightings)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_once_and_nothing_is_reached_by_an_empty_history() {
        let names: std::collections::BTreeSet<&str> = GOALS.iter().map(|goal| goal.name).collect();
        assert_eq!(names.len(), GOALS.len());
        assert!(GOALS.len() >= 20);
        let header = crate::history::Header { streamspec_history: 1, profile: "sse".to_owned(), scenario: "x".to_owned(), seed: 0 };
        assert!(reached(&History { header, records: Vec::new() }).iter().all(|times| *times == 0));
    }
}
