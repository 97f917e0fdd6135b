//! END: the terminal event and what follows it.

use super::answers;
use super::expect::Expect;
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::Contract;
use crate::history::{Action, ConnView, CursorClass, Ended, Kind, Outcome, Until, View};

pub(super) fn check(view: &View<'_>, contract: &Contract, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let Some(terminal) = &contract.terminal else {
        for id in ["END-1", "END-2", "END-3", "END-4", "END-5", "END-6"] {
            judge.not_applicable(id, "the profile's sessions have no terminal event");
        }
        return;
    };
    if !terminal.stops_reconnect {
        judge.not_applicable("END-4", "the profile does not promise that a reconnect after the end is refused");
    }
    if !terminal.refuses_publish {
        judge.not_applicable("END-5", "the profile does not promise that a closed session refuses events");
    }
    if !terminal.closes {
        judge.not_applicable("END-6", "the profile's streams stay open after the terminal");
    }
    for expect in expects {
        for conn in expect.conns().filter(|c| c.is_stream() && !answers::foreign(c)) {
            if conn.accepted() {
                once_and_last(expect, conn, judge);
                after_resume(expect, conn, terminal.replayed, judge);
                if terminal.closes {
                    closes(conn, contract, judge);
                }
            }
            if terminal.stops_reconnect {
                told_to_stop(expect, conn, judge);
            }
        }
    }
    if terminal.refuses_publish {
        no_more(view, judge);
    }
}

fn terminals<'c, 'h>(conn: &'c ConnView<'h>) -> impl Iterator<Item = &'c crate::history::Seen<&'h crate::history::Delivery>> {
    conn.got.iter().filter(|g| g.what.kind == Kind::Terminal)
}

/// END-1, END-2.
fn once_and_last(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let Some(first) = terminals(conn).next() else { return };
    let second = terminals(conn).nth(1);
    judge.require("END-1", second.is_none(), || Violation {
        says: format!("{} was sent the terminal twice", conn.name()),
        expected: "once".to_owned(),
        seen: "twice".to_owned(),
        records: second.map(|s| s.record).into_iter().chain([first.record]).collect(),
        shape: "twice".to_owned(),
    });
    let behind = conn.got.iter().find(|g| g.record > first.record && g.what.kind == Kind::Event);
    judge.require("END-2", behind.is_none(), || Violation {
        says: format!("{} was sent an event behind the terminal", conn.name()),
        expected: "nothing more".to_owned(),
        seen: behind.and_then(|b| b.what.marker).map_or("an event".to_owned(), |m| m.to_string()),
        records: behind.map(|b| b.record).into_iter().chain([first.record]).collect(),
        shape: "event-behind-terminal".to_owned(),
    });
    let Some(start) = expect.start(conn) else { return };
    let closing = expect.session.closing.unwrap_or(first.at);
    if super::deliver::is_slow(conn) {
        return;
    }
    // A missing event is judged by the requirement of its phase; here only its place counts.
    let mut seen = rustc_hash::FxHashSet::default();
    for (got, nth) in conn.arrivals().filter(|(g, nth)| g.what.durable && seen.insert(*nth)) {
        let event = &expect.session.events[nth];
        if event.acked_at().is_none_or(|acked| acked >= closing) || !expect.after_start(nth, start) {
            continue;
        }
        judge.require("END-2", got.record < first.record, || Violation {
            says: format!("on {} the terminal overtook {}", conn.name(), event.marker),
            expected: format!("{} before the terminal", event.marker),
            seen: format!("the terminal, then {}", event.marker),
            records: vec![got.record, first.record, event.invoked.record],
            shape: "terminal-overtakes".to_owned(),
        });
    }
}

/// END-3: whoever connects with an older cursor after the close gets the terminal.
fn after_resume(expect: &Expect<'_, '_>, conn: &ConnView<'_>, replayed: bool, judge: &mut Judge) {
    let Some(closed) = expect.session.closed.filter(|closed| *closed < conn.connect.at && replayed) else { return };
    let own = matches!(conn.presented(), None | Some((_, CursorClass::Own | CursorClass::Empty)));
    let end = conn.end.filter(|e| matches!(e.what.how, Ended::Eof | Ended::Done));
    let waited = conn.waits.iter().find(|w| matches!(w.what.until, Until::Terminal | Until::Closed));
    if !own || expect.session.terminal_cursor.is_some() && conn.presented().map(|p| p.0) == expect.session.terminal_cursor {
        return;
    }
    // The server ended it, or the run waited: only then is the absence of the terminal telling.
    if end.is_none() && waited.is_none_or(|w| w.what.reached) {
        if terminals(conn).next().is_some() {
            judge.held("END-3");
        }
        return;
    }
    let came = terminals(conn).next().is_some();
    let torn = end.is_some_and(|e| e.what.unfinished > 0);
    if torn && !came {
        return;
    }
    let _ = closed;
    judge.require("END-3", came, || Violation {
        says: format!("{} connected after the session had ended and never learned of it", conn.name()),
        expected: "the rest, then the terminal".to_owned(),
        seen: if end.is_some() { "the end of the stream without it" } else { "an open stream without it" }.to_owned(),
        records: vec![end.map_or(conn.connect.record, |e| e.record), conn.connect.record],
        shape: "no-terminal".to_owned(),
    });
}

/// END-4: the terminal's own cursor is answered with the word to stop.
fn told_to_stop(expect: &Expect<'_, '_>, conn: &ConnView<'_>, judge: &mut Judge) {
    let (Some(closed), Some(answer), Some((presented, _))) = (expect.session.closed, conn.answer, conn.presented()) else { return };
    let seen_on_terminal =
        || expect.conns().flat_map(terminals).any(|t| t.what.cursor.as_deref() == Some(presented) && t.at < conn.connect.at);
    let is_terminals = expect.session.terminal_cursor == Some(presented) || expect.session.terminal_cursor.is_none() && seen_on_terminal();
    if !is_terminals || closed > conn.connect.at {
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

/// END-5: what is published after the close was acknowledged is refused.
fn no_more(view: &View<'_>, judge: &mut Judge) {
    for op in &view.ops {
        let (Action::Publish(publish), Some(completed)) = (op.invoked.what, op.completed) else { continue };
        let Some(closed) = view.sessions.get(publish.session.0 as usize).and_then(|s| s.closed) else { continue };
        if op.invoked.at < closed {
            continue;
        }
        let accepted = matches!(completed.what, Outcome::Ok { .. });
        judge.require("END-5", !accepted, || Violation {
            says: format!("{} was accepted by a session that had ended", publish.marker),
            expected: "a refusal".to_owned(),
            seen: "an acknowledgement".to_owned(),
            records: vec![completed.record, op.invoked.record],
            shape: "accepted-after-close".to_owned(),
        });
    }
}

/// END-6: the stream ends after its terminal.
fn closes(conn: &ConnView<'_>, contract: &Contract, judge: &mut Judge) {
    let Some(terminal) = terminals(conn).next() else { return };
    let bound = contract.liveness.delivery_ms * 1000;
    let waited = conn.waits.iter().find(|w| w.what.until == Until::Closed && w.at >= terminal.at);
    let by_server = conn.end.filter(|e| matches!(e.what.how, Ended::Eof | Ended::Done | Ended::Broken { .. }));
    match (by_server, waited) {
        (Some(end), _) if end.at.0.saturating_sub(terminal.at.0) <= bound => judge.held("END-6"),
        (_, Some(waited)) if !waited.what.reached => judge.violated(
            "END-6",
            Violation {
                says: format!("{} stays open after its terminal", conn.name()),
                expected: "the end of the stream".to_owned(),
                seen: format!("nothing for {} ms", waited.what.waited / 1000),
                records: vec![waited.record, terminal.record],
                shape: "stays-open".to_owned(),
            },
        ),
        _ => {}
    }
}
