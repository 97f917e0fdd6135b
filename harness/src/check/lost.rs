//! DELIVER-1, RESUME-2, SEAM-1, FANOUT-1, FANOUT-2, FANOUT-4, RESTART-1, RESTART-4, SNAPSHOT-3: acknowledged events that
//! were due on a connection and did not come. Each is judged once, by the requirement of its phase (see `expect`).

use std::cell::{LazyCell, OnceCell};

use super::deliver::is_slow;
use super::expect::{Due, Expect, Kept, Phase};
use super::judge::Judge;
use super::verdict::Violation;
use super::{answers, gap};
use crate::contract::{Contract, GapSignal};
use crate::history::{ConnId, ConnView, CursorClass, Delivery, Kind, Micros, Role, Seen, Stop, Surface};

/// A connection with more gap signals than this is excused for all that came before the last one.
const MOST_GAPS: usize = 64;

pub(super) fn check(expect: &Expect<'_, '_>, contract: &Contract, judge: &mut Judge) {
    if !contract.durability.disconnect {
        judge.not_applicable("RESUME-2", "the profile does not promise that events survive a disconnect");
    }
    let mut arrived = Arrived { events: Marks::new(expect.session.events.len()), of: None };
    let overlaps: Vec<_> = expect.conns().filter(|c| c.connect.what.role == Role::Overlap).collect();
    let mut gone = Gone { seen: Marks::new(expect.session.events.len()), shown: OnceCell::new() };
    for conn in expect.conns().filter(|c| expect.judged(c) && !answers::foreign(c) && c.connect.what.surface != Surface::Snapshot) {
        let due = match expect.start(conn) {
            Some(start) => expect.due(conn, start),
            None if conn.connect.what.from == crate::history::From::Live => expect.due_live(conn),
            None => continue,
        };
        let apart = apart(expect, conn, &overlaps);
        missing(expect, conn, contract, (apart, &due, &mut arrived), &mut gone, judge);
    }
    gone.survived(expect, contract, judge);
}

/// A set of events that is emptied in no time.
struct Marks {
    /// Empty while no event was ever in the set.
    of: Vec<u32>,
    events: usize,
    now: u32,
}

impl Marks {
    fn new(events: usize) -> Marks {
        Marks { of: Vec::new(), events, now: 1 }
    }

    fn clear(&mut self) {
        self.now += 1;
    }

    fn set(&mut self, event: usize) {
        if self.of.is_empty() {
            self.of.resize(self.events, 0);
        }
        self.of[event] = self.now;
    }

    fn has(&self, event: usize) -> bool {
        self.of.get(event) == Some(&self.now)
    }
}

/// What arrived on one connection.
struct Arrived {
    events: Marks,
    /// Which connection.
    of: Option<ConnId>,
}

impl Arrived {
    fn has(&mut self, event: usize, conn: &ConnView<'_>) -> bool {
        if self.of != Some(conn.id) {
            self.of = Some(conn.id);
            self.events.clear();
            conn.arrivals().for_each(|(_, event)| self.events.set(event));
        }
        self.events.has(event)
    }
}

/// For each event who has seen it.
struct Shown {
    /// How many streams received it while they were live.
    live: Vec<u32>,
    /// When the newest connection that shows it was asked for.
    newest: Vec<Option<Micros>>,
    /// When it was last seen.
    last: Vec<Micros>,
}

impl Shown {
    fn of(expect: &Expect<'_, '_>) -> Shown {
        let events = expect.session.events.len();
        let mut shown = Shown { live: vec![0; events], newest: vec![None; events], last: vec![Micros(0); events] };
        let mut counted = Marks::new(events);
        for conn in expect.conns() {
            counted.clear();
            for (got, event) in conn.arrivals() {
                shown.last[event] = shown.last[event].max(got.at);
                if !counted.has(event) {
                    counted.set(event);
                    shown.newest[event] = shown.newest[event].max(Some(conn.connect.at));
                    shown.live[event] += u32::from(conn.is_stream() && expect.phase(event, conn) == Phase::Live);
                }
            }
        }
        shown
    }
}

/// Acknowledged events that a stop of the server took away: no connection that was asked for afterwards shows them. They
/// are judged here, once each, and nowhere else.
struct Gone {
    seen: Marks,
    /// Asked for only where something is missing, or live.
    shown: OnceCell<Shown>,
}

impl Gone {
    fn shown(&self, expect: &Expect<'_, '_>) -> &Shown {
        self.shown.get_or_init(|| Shown::of(expect))
    }

    /// The stop that took `event` away, if it was gone when `conn` was asked for.
    fn taken<'h>(&self, expect: &Expect<'_, 'h>, event: usize, conn: &ConnView<'h>) -> Option<Stop<'h>> {
        let e = &expect.session.events[event];
        let known = e.acked_at()?.max(self.shown(expect).last[event]);
        let stop = expect.view.stop_behind(e.invoked.at, known)?;
        (stop.at < conn.connect.at).then_some(stop)
    }

    /// True when `event` is missing on `conn` because it is gone.
    fn takes(&mut self, expect: &Expect<'_, '_>, event: usize, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) -> bool {
        let Some(stop) = self.taken(expect, event, conn) else { return false };
        let promised = match stop.signal {
            "TERM" => contract.durability.restart,
            _ => contract.durability.kill,
        };
        if self.seen.has(event) || stop.wiped || !promised {
            return true;
        }
        self.seen.set(event);
        let e = &expect.session.events[event];
        judge.violated(
            if stop.signal == "TERM" { "RESTART-4" } else { "RESTART-1" },
            Violation {
                says: format!("{} was acknowledged, then the server got SIG{}, and no reader has seen it since", e.marker, stop.signal),
                expected: format!("{} in every replay after the restart", e.marker),
                seen: format!("{} and every other view after the restart lack it", conn.name()),
                records: vec![e.acked.map_or(e.invoked.record, |acked| acked.record), e.invoked.record, conn.connect.record],
                shape: format!("lost-at-{}", stop.signal.to_lowercase()),
            },
        );
        true
    }

    /// Counts the events that were acknowledged before a stop and seen by somebody who came after it.
    fn survived(&self, expect: &Expect<'_, '_>, contract: &Contract, judge: &mut Judge) {
        if expect.view.stops.is_empty() {
            return;
        }
        let shown = self.shown(expect);
        for (event, e) in expect.session.events.iter().enumerate().filter(|(_, e)| e.durable) {
            let Some(stop) = e.acked_at().and_then(|acked| expect.view.stop_behind(e.invoked.at, acked)) else { continue };
            if shown.newest[event].is_some_and(|asked| asked > stop.at) {
                match stop.signal {
                    "TERM" if contract.durability.restart => judge.held("RESTART-4"),
                    "TERM" => {}
                    _ if contract.durability.kill => judge.held("RESTART-1"),
                    _ => {}
                }
            }
        }
    }
}

/// Judges what was due on a connection.
fn missing(
    expect: &Expect<'_, '_>,
    conn: &ConnView<'_>,
    contract: &Contract,
    (apart, due, arrived): (Apart, &Due, &mut Arrived),
    gone: &mut Gone,
    judge: &mut Judge,
) {
    let gaps = LazyCell::new(|| Gaps::of(expect, conn, contract));
    let (ended, read_by) = (conn.ended_at().min(expect.view.ended_at()), expect.read_by(conn));
    // What was live is told apart by who else has seen it; all else is a matter of its phase alone.
    let mut live = Vec::new();
    for stretch in &due.came {
        let [replay, seam, last] = expect.phases(*stretch, conn);
        judge.held_n(apart.requirement(Phase::Replay, false), replay as u64);
        judge.held_n(apart.requirement(Phase::Seam, false), seam as u64);
        live.extend(stretch.events().skip(stretch.len() - last));
    }
    // Most events came, and one after the other is a matter of the same requirement.
    let (mut latest, mut times) = ("", 0);
    let all = live.into_iter().map(|event| (event, true)).chain(due.others.iter().map(|event| (*event, false)));
    for (event, came) in all {
        let phase = expect.phase(event, conn);
        let came = came || arrived.has(event, conn);
        let elsewhere = || gone.shown(expect).live[event] > u32::from(came && phase == Phase::Live);
        let requirement = apart.requirement(phase, phase == Phase::Live && elsewhere());
        if came {
            if !std::ptr::eq(latest, requirement) && times > 0 {
                judge.held_n(latest, std::mem::take(&mut times));
            }
            latest = requirement;
            times += 1;
            continue;
        }
        let by_then = if phase == Phase::Replay { read_by } else { ended };
        let owed = contract.durability.disconnect || phase != Phase::Replay;
        let sealed = contract.terminal.as_ref().is_some_and(|t| !t.replayed) && expect.session.closing.is_some_and(|sent| sent < read_by);
        let forgotten = sealed && phase == Phase::Replay || expect.session.may_be_gone(read_by);
        if !owed || forgotten || gaps.excuse(expect, event, phase) || expect.kept(event, by_then) != Kept::Yes {
            continue;
        }
        if !gone.takes(expect, event, conn, contract, judge) {
            judge.violated(requirement, lost(expect, conn, event, phase));
        }
    }
    if times > 0 {
        judge.held_n(latest, times);
    }
}

fn lost(expect: &Expect<'_, '_>, conn: &ConnView<'_>, event: usize, phase: Phase) -> Violation {
    let e = &expect.session.events[event];
    let (next, previous) = neighbours(expect, conn, event);
    let mut records = vec![e.acked.map_or(e.invoked.record, |a| a.record), conn.connect.record];
    records.extend(next.map(|n| n.record));
    let when = match phase {
        Phase::Replay => " before it connected",
        Phase::Seam => " while it was going from replay to live",
        Phase::Live => " while it was live",
    };
    Violation {
        says: format!("{} never received {}, which was acknowledged{when}", conn.name(), e.marker),
        expected: format!("{} behind {}", e.marker, previous.unwrap_or_else(|| "the start of the connection".to_owned())),
        seen: next.map_or_else(
            || "nothing more, although the run waited for it".to_owned(),
            |n| n.what.marker.map_or_else(|| "other events".to_owned(), |m| format!("{m} came instead")),
        ),
        records,
        shape: format!("lost-{phase:?}").to_lowercase(),
    }
}

/// What the connection delivered around the place where `event` is missing.
fn neighbours<'c, 'h>(expect: &Expect<'_, 'h>, conn: &'c ConnView<'h>, event: usize) -> (Option<&'c Seen<&'h Delivery>>, Option<String>) {
    let mut previous = None;
    for (got, other) in conn.arrivals() {
        if expect.before(event, other) {
            return (Some(got), previous);
        }
        previous = got.what.marker.map(|m| m.to_string());
    }
    (None, previous)
}

/// Which requirement judges what is due on a connection.
enum Apart {
    /// One and the same, because the connection is of a special kind.
    All(&'static str),
    /// FANOUT-4 while it was live and did not read, else that of the phase.
    Stalled,
    /// RESUME-8 for the replay behind an empty cursor, else that of the phase.
    Empty,
    /// That of the phase.
    Phase,
}

impl Apart {
    fn requirement(&self, phase: Phase, elsewhere: bool) -> &'static str {
        match (self, phase) {
            (Apart::All(requirement), _) => requirement,
            (Apart::Stalled, Phase::Live) => "FANOUT-4",
            (Apart::Empty, Phase::Replay) => "RESUME-8",
            (_, Phase::Replay) => "RESUME-2",
            (_, Phase::Seam) => "SEAM-1",
            // A live event that others received meanwhile is a matter of the fan-out.
            (_, Phase::Live) if elsewhere => "FANOUT-1",
            (_, Phase::Live) => "DELIVER-1",
        }
    }
}

/// `overlaps` are the connections of the session that overlap others on purpose.
fn apart(expect: &Expect<'_, '_>, conn: &ConnView<'_>, overlaps: &[&ConnView<'_>]) -> Apart {
    match conn.connect.what.surface {
        Surface::History => return Apart::All("SNAPSHOT-3"),
        Surface::Snapshot => return Apart::All("SNAPSHOT-1"),
        Surface::Stream => {}
    }
    let class = conn.presented().map(|(_, class)| class);
    if class == Some(CursorClass::Snapshot) {
        return Apart::All("SNAPSHOT-1");
    }
    let beside = |other: &ConnView<'_>| {
        other.is_stream()
            && other.id != conn.id
            && other.connect.what.reader == conn.connect.what.reader
            && other.connect.at < conn.ended_at()
            && conn.connect.at < other.ended_at()
    };
    let on_purpose = conn.connect.what.role == Role::Overlap;
    if overlaps.iter().any(|other| beside(other)) || on_purpose && expect.conns().any(beside) {
        return Apart::All("FANOUT-2");
    }
    match class {
        _ if is_slow(conn) => Apart::Stalled,
        Some(CursorClass::Empty) => Apart::Empty,
        Some(_) | None => Apart::Phase,
    }
}

/// What a connection was told that it will not get.
struct Gaps {
    /// Between which deliveries a gap was announced.
    between: Vec<(Option<usize>, Option<usize>)>,
    /// True when nothing old follows a signal, and there was one by right.
    no_replay: bool,
}

impl Gaps {
    fn of(expect: &Expect<'_, '_>, conn: &ConnView<'_>, contract: &Contract) -> Gaps {
        let mut between = Vec::new();
        let (mut before, mut open) = (None, false);
        // Where the boundary is the signal, a frame that covers a removal stands for nothing that is kept.
        let marked = contract.gap.as_ref().is_none_or(|gap| gap.signal != GapSignal::Boundary);
        let signalled = marked && conn.frames(Kind::Gap).next().is_some();
        for (got, event) in conn.got.iter().zip(&conn.events).take_while(|_| signalled) {
            let event = event.map(|event| event as usize).filter(|_| got.what.durable);
            if got.what.kind == Kind::Gap && !open {
                between.push((before, None));
                open = true;
            }
            if let (Some(event), true) = (event, open) {
                between.last_mut().expect("it was opened").1 = Some(event);
                open = false;
            }
            before = event.or(before);
        }
        if between.len() > MOST_GAPS {
            between = between.last().map(|(_, next)| (None, *next)).into_iter().collect();
        }
        Gaps { between, no_replay: gap::nothing_old_follows(expect, conn, contract) }
    }

    fn excuse(&self, expect: &Expect<'_, '_>, event: usize, phase: Phase) -> bool {
        let lies_in = |(before, next): &(Option<usize>, Option<usize>)| {
            before.is_none_or(|before| !expect.before(event, before)) && next.is_none_or(|next| expect.before(event, next))
        };
        self.no_replay && phase != Phase::Live || self.between.iter().any(lies_in)
    }
}
