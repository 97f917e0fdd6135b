//! OPEN: how a stream is refused or opened. RESTART-5: a session is still known after a restart.

use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::Contract;
use crate::history::{Action, Ended, Outcome, Probe, Until, View};

pub(super) fn check(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    if contract.creates_on_use {
        judge.not_applicable("OPEN-1", "the profile creates sessions on first use");
        judge.not_applicable("OPEN-5", "the profile creates sessions on first use");
    }
    probes(view, contract, judge);
    deleted(view, contract, judge);
    bodies(view, contract, judge);
    known_after_restart(view, contract, judge);
}

fn probes(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    for op in &view.ops {
        let (Action::Probe { about, .. }, Some(completed)) = (op.invoked.what, op.completed) else { continue };
        let requirement = match about {
            Probe::UnknownSession if contract.creates_on_use => continue,
            Probe::PublishUnknown if contract.creates_on_use => continue,
            Probe::UnknownSession => "OPEN-1",
            Probe::PublishUnknown => "OPEN-5",
            Probe::WrongMethod => "OPEN-4",
            Probe::SenselessLimit => continue,
        };
        let what = match about {
            Probe::UnknownSession => "a subscription to a session that never was",
            Probe::PublishUnknown => "a publish to a session that never was",
            Probe::WrongMethod => "a method that the stream does not support",
            Probe::SenselessLimit => "a senseless page size",
        };
        let refused = match completed.what {
            Outcome::Failed { status, .. } => match (&contract.unknown_session, about) {
                (Some(set), Probe::UnknownSession | Probe::PublishUnknown) => set.contains(*status),
                _ => (400..500).contains(status) || *about == Probe::WrongMethod && *status == 501,
            },
            Outcome::Ok { .. } => false,
            Outcome::Unknown { .. } => {
                judge.undecided(requirement, format!("{what} got no answer"));
                continue;
            }
        };
        judge.require(requirement, refused, || Violation {
            says: format!("{what} was not refused as it should be"),
            expected: contract.unknown_session.as_ref().map_or("a 4xx status".to_owned(), |set| format!("a 4xx status ({set})")),
            seen: match completed.what {
                Outcome::Ok { status, .. } => format!("status {status}"),
                Outcome::Failed { status, body } => format!("status {status}: {body}"),
                Outcome::Unknown { why } => why.clone(),
            },
            records: vec![completed.record, op.invoked.record],
            shape: "not-refused".to_owned(),
        });
    }
}

/// OPEN-2: a deleted session ends its streams and refuses new ones.
fn deleted(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    let any = view.ops.iter().any(|op| matches!(op.invoked.what, Action::Delete { .. }));
    if !any {
        return;
    }
    for session in &view.sessions {
        let Some(deleted) = session.deleted else { continue };
        // A successor under the same name answers in the old one's stead.
        let reborn = view.sessions.iter().any(|s| s.reborn_of.is_some_and(|ix| std::ptr::eq(&view.sessions[ix.0 as usize], session)));
        for conn in session.conns.iter().map(|id| view.conn(*id)).filter(|c| c.is_stream()) {
            if conn.connect.at > deleted && !reborn {
                // Asking for it made a new one.
                if contract.creates_on_use {
                    continue;
                }
                let Some(answer) = conn.answer else { continue };
                let refused = (400..500).contains(&answer.what.status);
                judge.require("OPEN-2", refused, || Violation {
                    says: format!("{} asked for a session that had been deleted", conn.name()),
                    expected: "a 4xx status".to_owned(),
                    seen: format!("status {}", answer.what.status),
                    records: vec![answer.record, conn.connect.record],
                    shape: "still-open".to_owned(),
                });
            } else if conn.accepted() && conn.connect.at < deleted && conn.ended_at() > deleted {
                let waited = view.waits.iter().find(|w| w.what.conn == Some(conn.id) && w.what.until == Until::Closed);
                let Some(waited) = waited.filter(|w| w.what.reached || w.what.waited >= contract.liveness.delivery_ms * 1000 / 2) else {
                    continue;
                };
                let ended = conn.end.is_some_and(|e| matches!(e.what.how, Ended::Eof | Ended::Broken { .. } | Ended::Done));
                judge.require("OPEN-2", waited.what.reached && ended, || Violation {
                    says: format!("{} stays open although its session was deleted", conn.name()),
                    expected: "the end of the stream".to_owned(),
                    seen: format!("nothing for {} ms", waited.what.waited / 1000),
                    records: vec![waited.record, conn.connect.record],
                    shape: "stream-stays".to_owned(),
                });
            }
        }
    }
}

/// OPEN-3: a refusal says why.
fn bodies(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    let _ = contract;
    for conn in view.conns.iter().filter(|c| c.is_stream()) {
        let Some(answer) = conn.answer.filter(|a| !a.what.accepted && (400..500).contains(&a.what.status)) else { continue };
        reasoned(&answer.what.body, answer.what.status, answer.record, judge);
    }
    for op in &view.ops {
        if let (Action::Probe { about: Probe::UnknownSession | Probe::PublishUnknown, .. }, Some(completed)) =
            (op.invoked.what, op.completed)
            && let Outcome::Failed { status: status @ 400..=499, body } = completed.what
        {
            reasoned(body, *status, completed.record, judge);
        }
    }
}

fn reasoned(body: &str, status: u16, record: usize, judge: &mut Judge) {
    let text = body.trim();
    let html = text.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("<html") || t.eq_ignore_ascii_case("<!doc"));
    judge.require("OPEN-3", !text.is_empty() && !html, || Violation {
        says: format!("a refusal with status {status} does not say why"),
        expected: "a body that a program can read, such as JSON with an error".to_owned(),
        seen: if text.is_empty() { "an empty body".to_owned() } else { "an HTML page".to_owned() },
        records: vec![record],
        shape: if text.is_empty() { "empty" } else { "html" }.to_owned(),
    });
}

/// RESTART-5: after a restart on the same data a session is known.
fn known_after_restart(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    if !contract.durability.kill && !contract.durability.restart {
        judge.not_applicable("RESTART-5", "the profile does not promise that anything survives a restart");
        return;
    }
    let wiped = view.process.iter().any(|p| matches!(p.what, crate::history::Process::Ready { wiped: true, .. }));
    if wiped {
        return;
    }
    for session in &view.sessions {
        let Some(first) = session.conns.first().map(|id| view.conn(*id).connect.at) else { continue };
        for conn in session.conns.iter().map(|id| view.conn(*id)) {
            let Some(answer) = conn.answer else { continue };
            let Some(signal) = view.stop_between(first, conn.connect.at) else { continue };
            let promised = if signal == "TERM" { contract.durability.restart } else { contract.durability.kill };
            if !promised || session.deleted.is_some() {
                continue;
            }
            judge.require("RESTART-5", answer.what.status != 404, || Violation {
                says: format!("session {} is unknown after the restart", session.name),
                expected: "the session as it was".to_owned(),
                seen: format!("status {}: {}", answer.what.status, answer.what.body),
                records: vec![answer.record, conn.connect.record],
                shape: "forgotten".to_owned(),
            });
        }
    }
}
