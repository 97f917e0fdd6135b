//! The arithmetic of retention: what is surely kept at some time, what surely not.

use crate::contract::Retention;
use crate::history::{EventView, Micros, SessionView};

/// Margin for times that the server takes by its own clock and at its own moments.
const MARGIN: u64 = 60_000;
/// What a server may add to each payload when it counts bytes.
const OVERHEAD: u64 = 200;

/// Whether an event is still kept at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Surely.
    Yes,
    /// Surely not.
    No,
    /// The times do not tell.
    Perhaps,
}

/// The retention in force in a session.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    records: Option<u64>,
    bytes: Option<u64>,
    age: Option<u64>,
    slack: u64,
    /// When the session's end was asked for.
    closing: Option<Micros>,
    /// When the events before it were removed: sent and done.
    cleared: Vec<(Micros, Micros)>,
    /// All durable events that may be in the log, by the time they were sent.
    sent: Sums,
    /// The acknowledged ones of them, by the time they were sent.
    sent_acked: Sums,
    /// The acknowledged ones of them, by the time they were acknowledged.
    acked: Sums,
}

/// Times in ascending order with the bytes of all up to each.
#[derive(Debug, Default)]
struct Sums(Vec<(Micros, u64)>);

impl Sums {
    fn of(mut all: Vec<(Micros, u64)>) -> Sums {
        all.sort_unstable();
        let mut sum = 0;
        for (_, bytes) in &mut all {
            sum += *bytes;
            *bytes = sum;
        }
        Sums(all)
    }

    /// Number and bytes of those that come before `at`, or at it when `at_it`.
    fn before(&self, at: Micros, at_it: bool) -> (u64, u64) {
        let n = self.0.partition_point(|(time, _)| *time < at || at_it && *time == at);
        (n as u64, n.checked_sub(1).map_or(0, |last| self.0[last].1))
    }
}

impl Keep {
    pub(super) fn new(session: &SessionView<'_>, retention: Option<&Retention>) -> Keep {
        let cleared = session.cleared.clone();
        let Some(retention) = retention else { return Keep { cleared, ..Keep::default() } };
        let asked = session.retain.unwrap_or_default();
        let bound = |asked: Option<i64>, default: Option<i64>| asked.or(default).and_then(|n| u64::try_from(n).ok());
        let records = bound(asked.records, retention.default.records);
        let bytes = bound(asked.bytes, retention.default.bytes);
        let age = bound(asked.age_ms, retention.default.age_ms).map(|ms| ms * 1000);
        let (mut sent, mut sent_acked, mut acked) = (Vec::new(), Vec::new(), Vec::new());
        if records.is_some() || bytes.is_some() {
            for event in session.events.iter().filter(|e| e.durable && !e.refused) {
                sent.push((event.invoked.at, event.body.len));
                // Repeated and never acknowledged: both may be in the log.
                if event.repeated.is_some() && event.acked.is_none() {
                    sent.push((event.invoked.at, event.body.len));
                }
                if let Some(at) = event.acked_at() {
                    sent_acked.push((event.invoked.at, event.body.len));
                    acked.push((at, event.body.len));
                }
            }
        }
        let (sent, sent_acked, acked) = (Sums::of(sent), Sums::of(sent_acked), Sums::of(acked));
        Keep { records, bytes, age, slack: retention.slack, closing: session.closing, cleared, sent, sent_acked, acked }
    }

    /// Whether an event is still kept at a time.
    pub(super) fn kept(&self, event: &EventView<'_>, at: Micros) -> Kept {
        let mut kept = Kept::Yes;
        let mut limit = |surely_gone: bool, surely_there: bool| {
            if surely_gone {
                kept = Kept::No;
            } else if !surely_there && kept == Kept::Yes {
                kept = Kept::Perhaps;
            }
        };
        if self.records.is_some() || self.bytes.is_some() {
            let ((surely, surely_bytes), (perhaps, perhaps_bytes)) = (self.surely_newer(event, at), self.perhaps_newer(event, at));
            // The terminal may take a place of its own.
            let perhaps = perhaps + u64::from(self.closing.is_some_and(|closing| closing < at));
            if let Some(most) = self.records {
                limit(surely >= most + self.slack, perhaps < most);
            }
            if let Some(most) = self.bytes {
                let with_overhead = perhaps_bytes + event.body.len + (perhaps + 1) * OVERHEAD;
                limit(surely_bytes >= most * 2, with_overhead < most / 2);
            }
        }
        if let Some(most) = self.age {
            let oldest = at.0.saturating_sub(event.invoked.at.0);
            limit(self.expired(event, at), oldest.saturating_add(MARGIN) < most);
        }
        // Whoever asks may be told of it in another way than by the gap signal.
        let removed = self.cleared.iter().any(|(sent, done)| at >= *sent && event.invoked.at <= *done);
        if removed { Kept::Perhaps } else { kept }
    }

    /// True when an event's age is surely past the bound, or it was surely removed. One that nobody acknowledged may have been
    /// stored at any time since it was sent.
    pub(super) fn expired(&self, event: &EventView<'_>, at: Micros) -> bool {
        let Some(acked) = event.acked_at() else { return false };
        let removed = |(sent, done): &(Micros, Micros)| at > *done && acked < *sent;
        self.age.is_some_and(|most| at.0.saturating_sub(acked.0) > most + MARGIN) || self.cleared.iter().any(removed)
    }

    /// Events that were sent after `event` was acknowledged, and acknowledged before `at`; at least so many.
    fn surely_newer(&self, event: &EventView<'_>, at: Micros) -> (u64, u64) {
        let Some(acked) = event.acked_at() else { return (0, 0) };
        let (all, not_newer) = (self.acked.before(at, false), self.sent_acked.before(acked, true));
        (all.0.saturating_sub(not_newer.0), all.1.saturating_sub(not_newer.1))
    }

    /// Events sent before `at` that were not all acknowledged before `event` was sent: what was in flight together may
    /// stand on either side of it.
    fn perhaps_newer(&self, event: &EventView<'_>, at: Micros) -> (u64, u64) {
        let (all, older) = (self.sent.before(at, false), self.acked.before(event.invoked.at, false));
        let own = if event.durable && !event.refused && event.invoked.at < at { (1, event.body.len) } else { (0, 0) };
        (all.0.saturating_sub(older.0 + own.0), all.1.saturating_sub(older.1 + own.1))
    }

    /// The bound by records, with what may be kept beyond it.
    pub(crate) fn records(&self) -> Option<(u64, u64)> {
        self.records.map(|records| (records, self.slack))
    }

    /// True when a bound by bytes is in force.
    pub(crate) fn has_bytes(&self) -> bool {
        self.bytes.is_some()
    }

    /// True when a bound by age is in force, or events were removed.
    pub(crate) fn expires(&self) -> bool {
        self.age.is_some() || !self.cleared.is_empty()
    }

    /// True when the removal of events had begun by then.
    pub(crate) fn cleared_before(&self, at: Micros) -> bool {
        self.cleared.iter().any(|(sent, _)| *sent <= at)
    }

    /// True when anything may be evicted.
    pub(crate) fn bounded(&self) -> bool {
        self.records.is_some() || self.bytes.is_some() || self.expires()
    }

    /// How many events were acknowledged before `at`, and how many more may have been in the log before `until`.
    pub(crate) fn logged(&self, at: Micros, until: Micros) -> (u64, u64) {
        let acked = self.acked.before(at, false).0;
        (acked, self.sent.before(until, false).0.saturating_sub(acked))
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::real_time;
    use super::*;
    use crate::history::{Body, Marker, Retain, Seen};

    /// Events as (sent, acknowledged) times.
    fn session<'h>(body: &'h Body, times: &[(u64, Option<u64>)]) -> SessionView<'h> {
        let seen = |at| Seen { record: 0, at: Micros(at), what: () };
        let event = |(n, (invoked, acked)): (usize, &(u64, Option<u64>))| EventView {
            marker: Marker { session: 0, n: n as u32 + 1 },
            invoked: seen(*invoked),
            acked: acked.map(seen),
            refused: false,
            unknown: acked.is_none(),
            durable: true,
            body,
            key: None,
            conflict: false,
            hostile: false,
            hostile_type: false,
            secret: false,
            cursor: None,
            other_cursor: None,
            repeated: None,
            follows: false,
        };
        SessionView { events: times.iter().enumerate().map(event).collect(), ..SessionView::default() }
    }

    /// What the definition says, counted event by event.
    fn counted(session: &SessionView<'_>, event: usize, at: Micros) -> (u64, u64) {
        let e = &session.events[event];
        let others = || session.events.iter().enumerate().filter(|(ix, _)| *ix != event).map(|(_, n)| n);
        let surely = others().filter(|n| real_time(e, n) && n.acked_at().is_some_and(|acked| acked < at)).count();
        let perhaps = others().filter(|n| !real_time(n, e) && n.invoked.at < at).count();
        (surely as u64, perhaps as u64)
    }

    #[test]
    fn sums_count_as_the_definition_does() {
        let body = Body::of("word");
        let one_by_one: Vec<(u64, Option<u64>)> = (0..20).map(|n| (n * 10 + 1, Some(n * 10 + 5))).collect();
        let in_flight: Vec<(u64, Option<u64>)> = (0..20).map(|n| (n * 10 + 1, Some(n * 10 + 25))).collect();
        let unanswered: Vec<(u64, Option<u64>)> = (0..20).map(|n| (n * 10 + 1, (n % 3 != 0).then_some(n * 10 + 5))).collect();
        let retention = Retention { default: Retain { records: Some(3), ..Retain::default() }, ..Retention::default() };
        for times in [one_by_one, in_flight, unanswered] {
            let session = session(&body, &times);
            let keep = Keep::new(&session, Some(&retention));
            for event in 0..times.len() {
                for at in (0..250).step_by(3).map(Micros) {
                    let (surely, perhaps) = counted(&session, event, at);
                    let e = &session.events[event];
                    assert!(keep.surely_newer(e, at).0 <= surely, "event {event} at {at:?}");
                    if at > e.invoked.at {
                        assert_eq!(keep.perhaps_newer(e, at).0, perhaps, "event {event} at {at:?}");
                    }
                }
            }
            let last = Micros(1_000);
            assert!((0..times.len()).all(|e| keep.surely_newer(&session.events[e], last).0 == counted(&session, e, last).0));
        }
    }

    /// At the end of time the margin once ran over, and made an event young.
    #[test]
    fn at_the_end_of_time_nothing_is_surely_kept_that_ages() {
        let body = Body::of("word");
        let session = session(&body, &[(1, Some(5)), (6, None)]);
        let retention = Retention { default: Retain { age_ms: Some(300), ..Retain::default() }, ..Retention::default() };
        let keep = Keep::new(&session, Some(&retention));
        let kept = |at| [0, 1].map(|event| keep.kept(&session.events[event], Micros(at)));
        assert_eq!(kept(u64::MAX), [Kept::No, Kept::Perhaps]);
        assert_eq!(kept(1_000), [Kept::Yes, Kept::Yes]);
    }
}
