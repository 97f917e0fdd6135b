//! END: the terminal event and what follows it.
//!
//! | id | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | END-1 | stream with a terminal, and wait for one by a reader that was there at the close | a second terminal, the terminal behind its own cursor, none on any connection of the reader | readers that were cut: they resume (END-3) |
//! | END-2 | terminal, and acknowledged event that a stream owed before it | an event behind it; an event acknowledged before the close was sent that the stream ends without, or shows behind it | what was in flight together with the close; slow and overtaken readers; events before others that came (their phase's requirement) |
//! | END-3 | connection opened after the close with an older cursor | an end, or a wait, without the terminal | faults; torn ends (WIRE-7); age limits; a close that need not survive the stop in between |
//! | END-4 | connection opened after the close with the terminal's cursor | status 200 | deleted sessions |
//! | END-5 | publish sent after the close was acknowledged | an acknowledgement; a lost answer and the event in some view | lost answers otherwise; repetitions of a key that was used before |
//! | END-6 | terminal on an undisturbed stream | a wait for the end in vain, or twice the delivery bound without an end | long-polls; servers that were away |

use rustc_hash::{FxHashMap, FxHashSet};

use super::deliver::is_slow;
use super::expect::{Expect, Kept};
use super::judge::Judge;
use super::live::patient;
use super::sights::Firsts;
use super::verdict::Violation;
use super::{answers, gap};
use crate::contract::{Contract, Durability, Format, Profile, TerminalContract};
use crate::history::{Action, ConnView, CursorClass, Delivery, Ended, From, Kind, Micros, Outcome, Seen, Until, View, Wait};

pub(super) fn check(view: &View<'_>, profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let contract = &profile.contract;
    let Some(terminal) = &contract.terminal else {
        for id in ["END-1", "END-2", "END-3", "END-4", "END-5", "END-6"] {
            judge.not_applicable(id, "the profile's sessions have no terminal event");
        }
        return;
    };
    if !terminal.replayed {
        judge.not_applicable("END-3", "the profile does not promise that the terminal is kept");
    }
    if !terminal.stops_reconnect {
        judge.not_applicable("END-4", "the profile does not promise that a reconnect after the end is refused");
    }
    if !terminal.refuses_publish {
        judge.not_applicable("END-5", "the profile does not promise that a closed session refuses events");
    }
    let polled = profile.binding.subscribe.format == Format::LongPoll;
    if polled {
        judge.not_applicable("END-6", "a long-poll's answers end by their length");
    } else if !terminal.closes {
        judge.not_applicable("END-6", "the profile's streams stay open after the terminal");
    }
    for expect in expects {
        let end = SessionEnd::of(expect, profile);
        for conn in expect.conns().filter(|c| c.is_stream() && !answers::foreign(c)) {
            if conn.accepted() {
                once(conn, terminal, judge);
                last(expect, conn, judge);
                if terminal.replayed {
                    end.after_resume(expect, conn, judge);
                }
                if terminal.closes && !polled {
                    closes(view, conn, contract, judge);
                }
            }
            if terminal.stops_reconnect {
                end.told_to_stop(expect, conn, judge);
            }
        }
        end.readers(expect, judge);
    }
    if terminal.refuses_publish {
        no_more(view, &contract.durability, judge);
    }
}

fn terminals<'c, 'h>(conn: &'c ConnView<'h>) -> impl Iterator<Item = &'c Seen<&'h Delivery>> {
    conn.frames(Kind::Terminal)
}

/// True when what held at `since` must still hold at `until`: no stop in between may have taken it away.
fn outlives(view: &View<'_>, durability: &Durability, since: Micros, until: Micros) -> bool {
    let between = view.stops.iter().skip_while(|stop| stop.at <= since).take_while(|stop| stop.at < until);
    between.into_iter().all(|stop| !stop.wiped && durability.survives(stop.signal))
}

/// END-1 on one connection.
fn once(conn: &ConnView<'_>, terminal: &TerminalContract, judge: &mut Judge) {
    let Some(first) = terminals(conn).next() else { return };
    let second = terminals(conn).nth(1);
    judge.require("END-1", second.is_none(), || Violation {
        says: format!("{} was sent the terminal twice", conn.name()),
        expected: "once".to_owned(),
        seen: "twice".to_owned(),
        records: second.map(|s| s.record).into_iter().chain([first.record]).collect(),
        shape: "twice".to_owned(),
    });
    // Where such a reconnect must be refused, END-4 says so.
    let presented = conn.presented().map(|(value, _)| value).filter(|_| !terminal.stops_reconnect);
    if presented.is_some() && first.what.cursor.as_deref() == presented {
        judge.violated(
            "END-1",
            Violation {
                says: format!("{} presented the terminal's cursor and was sent the terminal again", conn.name()),
                expected: "nothing: the cursor is exclusive".to_owned(),
                seen: "the terminal".to_owned(),
                records: vec![first.record, conn.connect.record],
                shape: "again".to_owned(),
            },
        );
    }
}

/// END-2.
fn last(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let Some(first) = terminals(conn).next() else { return };
    let behind = conn.got[conn.got.partition_point(|g| g.record <= first.record)..].iter().find(|g| g.what.kind == Kind::Event);
    judge.require("END-2", behind.is_none(), || Violation {
        says: format!("{} was sent an event behind the terminal", conn.name()),
        expected: "nothing more".to_owned(),
        seen: behind.and_then(|b| b.what.marker).map_or("an event".to_owned(), |m| m.to_string()),
        records: behind.map(|b| b.record).into_iter().chain([first.record]).collect(),
        shape: "event-behind-terminal".to_owned(),
    });
    let (Some(closing), Some(start)) = (expect.session.closing, expect.start(conn)) else { return };
    if behind.is_some() || is_slow(conn) || conn.frames(Kind::Gap).next().is_some() {
        return;
    }
    let shown = Firsts::of(conn.arrivals());
    // What came is shown.
    let owed: FxHashSet<usize> = expect.due(conn, start).others.into_iter().collect();
    for (nth, event) in expect.session.events.iter().enumerate().filter(|(_, e)| e.durable) {
        let Some(acked) = event.acked.filter(|acked| acked.at < closing) else { continue };
        if shown.get(nth).is_some() {
            judge.held("END-2");
            continue;
        }
        // What is missing before something that came belongs to the requirement of its phase, and what a stop took away
        // to RESTART.
        let elsewhere = owed.contains(&nth) || expect.view.stop_between(acked.at, conn.connect.at).is_some();
        if elsewhere || !expect.after_start(nth, start) || expect.kept(nth, first.at) != Kept::Yes {
            continue;
        }
        judge.violated(
            "END-2",
            Violation {
                says: format!("{} was sent the terminal without {}, acknowledged before the close", conn.name(), event.marker),
                expected: format!("{} before the terminal", event.marker),
                seen: "the terminal".to_owned(),
                records: vec![first.record, acked.record, event.invoked.record],
                shape: "terminal-overtakes".to_owned(),
            },
        );
    }
}

/// What is known of the end of one session.
struct SessionEnd<'c, 'h> {
    contract: &'c Contract,
    /// When its close was acknowledged.
    closed: Option<Micros>,
    /// The cursors that name its terminal.
    cursors: FxHashSet<&'h str>,
    /// Streams are asked for by a message behind the handshake.
    on_sockets: bool,
}

impl<'c, 'h> SessionEnd<'c, 'h> {
    fn of(expect: &Expect<'_, 'h>, profile: &'c Profile) -> SessionEnd<'c, 'h> {
        let mut cursors: FxHashSet<&str> = expect.session.terminal_cursor.into_iter().collect();
        cursors.extend(expect.conns().flat_map(terminals).filter_map(|g| g.what.cursor.as_deref()));
        let on_sockets = profile.binding.subscribe.format == Format::Websocket;
        SessionEnd { contract: &profile.contract, closed: expect.session.closed, cursors, on_sockets }
    }

    /// True for a connection that asked after the close and must find the session closed.
    fn over(&self, view: &View<'_>, conn: &ConnView<'_>) -> bool {
        let (asked, durability) = (conn.connect.at, &self.contract.durability);
        self.closed.is_some_and(|closed| closed < asked && outlives(view, durability, closed, asked))
    }

    /// END-3: whoever connects with an older cursor after the close gets the terminal.
    fn after_resume(&self, expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
        let older = match &conn.connect.what.from {
            _ if conn.from_the_beginning(expect.session) => true,
            From::Start => true,
            From::Live => false,
            From::Cursor { value, class, beside: None } => {
                matches!(class, CursorClass::Own | CursorClass::Empty) && !self.cursors.contains(value.as_str())
            }
            From::Cursor { beside: Some(_), .. } => false,
        };
        if !older || expect.keep().expires() || !self.over(expect.view, conn) {
            return;
        }
        // What nobody closed must be seen to be interrupted.
        let requirement = if expect.session.ended_by_stop { "CRASH-1" } else { "END-3" };
        if terminals(conn).next().is_some() {
            judge.held(requirement);
            return;
        }
        // The server ended it, or the run waited: only then is the absence of the terminal telling.
        let end = conn.end.filter(|e| matches!(e.what.how, Ended::Eof | Ended::Done));
        let in_vain = conn.waits.iter().find(|w| {
            let of_the_end = matches!(w.what.until, Until::Terminal | Until::Closed);
            of_the_end && !w.what.reached && w.at < conn.ended_at() && patient(w.what, self.contract)
        });
        let until = end.map(|e| e.at).or(in_vain.map(|w| w.at));
        let torn = end.is_some_and(|e| e.what.unfinished > 0);
        let Some(until) = until.filter(|until| !torn && !conn.disturbed() && expect.view.running(conn.connect.at, *until)) else { return };
        if expect.session.may_be_gone(until) || gap::nothing_old_follows(expect, conn, self.contract) {
            return;
        }
        judge.violated(
            requirement,
            Violation {
                says: format!("{} connected after the session had ended and never learned of it", conn.name()),
                expected: "the rest, then the terminal".to_owned(),
                seen: if end.is_some() { "the end of the stream without it" } else { "an open stream without it" }.to_owned(),
                records: vec![end.map_or(conn.connect.record, |e| e.record), conn.connect.record],
                shape: "no-terminal".to_owned(),
            },
        );
    }

    /// END-4: the terminal's own cursor is answered with the word to stop.
    fn told_to_stop(&self, expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
        let (Some(answer), Some((presented, _))) = (conn.answer, conn.presented()) else { return };
        let gone = expect.session.may_be_gone(answer.at);
        if gone || !self.cursors.contains(presented) || !self.over(expect.view, conn) {
            return;
        }
        judge.require("END-4", answer.what.status != 200, || Violation {
            says: format!("{} reconnected behind the terminal and was let in", conn.name()),
            expected: "204, or another status than 200".to_owned(),
            seen: "200: a conforming client will ask for ever".to_owned(),
            records: vec![answer.record, conn.connect.record],
            shape: "let-in".to_owned(),
        });
    }

    /// True when the server knew of the connection early enough to tell it the terminal. One that is not kept for those who
    /// come later is owed to those who were answered before the close; on a socket, which asks for its stream only behind the
    /// handshake, to those who had been sent something of it.
    fn was_there(&self, conn: &ConnView<'_>, closing: Micros, closed: Micros) -> bool {
        if self.contract.terminal.as_ref().is_some_and(|terminal| terminal.replayed) {
            return conn.is_stream() && conn.accepted() && conn.connect.at < closed;
        }
        let known = if self.on_sockets { conn.got.first().map(|got| got.at) } else { conn.answer.map(|answer| answer.at) };
        conn.is_stream() && conn.accepted() && known.is_some_and(|known| known < closing)
    }

    /// END-1 over a reader's life: one that was there at the close, and that the run waited for, got the terminal on some
    /// connection.
    fn readers(&self, expect: &Expect<'_, '_>, judge: &mut Judge) {
        let Some(closed) = self.closed.filter(|_| expect.session.deleting.is_none()) else { return };
        let told: FxHashSet<&str> =
            expect.conns().filter(|c| terminals(c).next().is_some()).map(|c| c.connect.what.reader.as_str()).collect();
        let closing = expect.session.closing.unwrap_or(closed);
        let there = |c: &&ConnView<'_>| self.was_there(c, closing, closed) && !c.disturbed() && !is_slow(c);
        for conn in expect.conns().filter(there).filter(|c| !answers::foreign(c) && !told.contains(c.connect.what.reader.as_str())) {
            let in_vain = conn.waits.iter().find(|w| w.what.until == Until::Terminal && !w.what.reached && patient(w.what, self.contract));
            let Some(wait) = in_vain.filter(|w| conn.ended_at() > w.at) else { continue };
            let since = Micros(wait.at.0.saturating_sub(wait.what.waited));
            if closed > since || !expect.view.running(since, wait.at) {
                continue;
            }
            judge.violated(
                "END-1",
                Violation {
                    says: format!("{} was there when the session ended and was not told", conn.name()),
                    expected: "the terminal".to_owned(),
                    seen: format!("nothing for {} ms", wait.what.waited / 1000),
                    records: vec![wait.record, conn.connect.record],
                    shape: "never".to_owned(),
                },
            );
        }
    }
}

/// END-5: what is published after the close was acknowledged is refused.
fn no_more(view: &View<'_>, durability: &Durability, judge: &mut Judge) {
    if view.sessions.iter().all(|session| session.closed.is_none()) {
        return;
    }
    let mut late: FxHashMap<(u32, u32), usize> = FxHashMap::default();
    for op in &view.ops {
        let (Action::Publish(publish), Some(completed)) = (op.invoked.what, op.completed) else { continue };
        let closed = view.sessions.get(publish.session.0 as usize).and_then(|s| s.closed);
        let Some(closed) = closed.filter(|closed| *closed < op.invoked.at) else { continue };
        // The same key again may be answered as it was the first time.
        let first = publish.repeats.is_none() || publish.conflict;
        if !first || !outlives(view, durability, closed, op.invoked.at) {
            continue;
        }
        match completed.what {
            Outcome::Failed { .. } => judge.held("END-5"),
            Outcome::Unknown { .. } => {
                late.insert((publish.marker.session, publish.marker.n), op.invoked.record);
            }
            Outcome::Ok { .. } => judge.violated(
                "END-5",
                Violation {
                    says: format!("{} was accepted by a session that had ended", publish.marker),
                    expected: "a refusal".to_owned(),
                    seen: "an acknowledgement".to_owned(),
                    records: vec![completed.record, op.invoked.record],
                    shape: "accepted-after-close".to_owned(),
                },
            ),
        }
    }
    if late.is_empty() {
        return;
    }
    for conn in &view.conns {
        for got in &conn.got {
            let Some(marker) = got.what.marker else { continue };
            let Some(invoked) = late.remove(&(marker.session, marker.n)) else { continue };
            judge.violated(
                "END-5",
                Violation {
                    says: format!("{} was sent {marker}, published after its session had ended", conn.name()),
                    expected: "no event behind the end".to_owned(),
                    seen: marker.to_string(),
                    records: vec![got.record, invoked],
                    shape: "delivered-after-close".to_owned(),
                },
            );
        }
    }
}

/// END-6: the stream ends after its terminal.
fn closes(view: &View<'_>, conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let Some(terminal) = terminals(conn).next() else { return };
    let until = conn.ended_at().min(view.ended_at());
    if conn.disturbed() || is_slow(conn) || !view.running(terminal.at, until) {
        return;
    }
    let late = until.0.saturating_sub(terminal.at.0) > contract.liveness.delivery_ms * 2_000;
    let by_server = conn.end.is_some_and(|e| matches!(e.what.how, Ended::Eof | Ended::Done | Ended::Broken { .. }));
    let closed = |w: &&Seen<&Wait>| w.what.until == Until::Closed && !w.what.reached && w.at >= terminal.at && patient(w.what, contract);
    let in_vain = conn.waits.iter().find(closed);
    if !late && in_vain.is_none() {
        if by_server {
            judge.held("END-6");
        }
        return;
    }
    judge.violated(
        "END-6",
        Violation {
            says: format!("{} stays open after its terminal", conn.name()),
            expected: "the end of the stream".to_owned(),
            seen: format!("nothing for {} ms", in_vain.map_or(until.0 - terminal.at.0, |w| w.what.waited) / 1000),
            records: vec![in_vain.map_or(conn.connect.record, |w| w.record), terminal.record],
            shape: "stays-open".to_owned(),
        },
    );
}
