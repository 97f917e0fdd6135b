//! OPEN: how a stream is refused or opened. RESTART-5: a session is still known after a restart.
//!
//! | id | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | OPEN-1, OPEN-5 | probe of a session that never was | anything but the contract's refusal (any 4xx without one) | no answer; profiles that create on use |
//! | OPEN-2 | stream asked for after the delete was acknowledged | anything but a 4xx | a session that was opened again under its name |
//! | OPEN-2 | stream that was open at the delete | a wait for its end in vain, or a stream that lives on beyond the delivery bound | faults; a server that was away |
//! | OPEN-3 | 4xx of a subscription, or of a probe of an unknown session | an empty body, an HTML page | other statuses: 204 after the end needs no body |
//! | OPEN-4 | probe with another method | neither 4xx nor 501 | no answer |

use super::judge::Judge;
use super::live::patient;
use super::verdict::Violation;
use crate::contract::Contract;
use crate::history::{Action, ConnView, Ended, Micros, Outcome, Probe, Role, Seen, Until, View, Wait};

pub(super) fn check(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    if contract.creates_on_use {
        for id in ["OPEN-1", "OPEN-2", "OPEN-5"] {
            judge.not_applicable(id, "the profile creates sessions on first use");
        }
    } else {
        deleted(view, contract, judge);
    }
    probes(view, contract, judge);
    bodies(view, judge);
    known_after_restart(view, contract, judge);
}

fn probes(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    for op in view.besides_publishes() {
        let (Action::Probe { about, .. }, Some(completed)) = (op.invoked.what, op.completed) else { continue };
        let (requirement, what) = match about {
            Probe::UnknownSession | Probe::PublishUnknown if contract.creates_on_use => continue,
            Probe::UnknownSession => ("OPEN-1", "a subscription to a session that never was"),
            Probe::PublishUnknown => ("OPEN-5", "a publish to a session that never was"),
            Probe::WrongMethod => ("OPEN-4", "a method that the stream does not support"),
            Probe::SenselessLimit | Probe::NoCredentials | Probe::Escape => continue,
        };
        let unknown = contract.unknown_session.as_ref().filter(|_| *about != Probe::WrongMethod);
        let refused = match completed.what {
            // Nothing was asked: the server is away, or the profile has no such request.
            Outcome::Failed { status: 0, body } => {
                judge.undecided(requirement, format!("{what} was not sent: {body}"));
                continue;
            }
            Outcome::Failed { status, .. } => match unknown {
                Some(set) => set.contains(*status),
                None => (400..500).contains(status) || *about == Probe::WrongMethod && *status == 501,
            },
            Outcome::Ok { .. } => false,
            Outcome::Unknown { .. } => {
                judge.undecided(requirement, format!("{what} got no answer"));
                continue;
            }
        };
        judge.require(requirement, refused, || Violation {
            says: format!("{what} was not refused as it should be"),
            expected: unknown.map_or("a 4xx status".to_owned(), |set| format!("a 4xx status ({set})")),
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
    for session in &view.sessions {
        let Some(deleted) = session.deleted else { continue };
        for conn in session.conns.iter().map(|id| view.conn(*id)).filter(|c| c.is_stream() && !c.astray) {
            if conn.connect.at > deleted {
                let Some(answer) = conn.answer else { continue };
                let refused = (400..500).contains(&answer.what.status);
                judge.require("OPEN-2", refused, || Violation {
                    says: format!("{} asked for a session that had been deleted", conn.name()),
                    expected: "a 4xx status".to_owned(),
                    seen: format!("status {}", answer.what.status),
                    records: vec![answer.record, conn.connect.record],
                    shape: "still-open".to_owned(),
                });
            } else if conn.accepted() && conn.connect.at < deleted && conn.ended_at() > deleted && !conn.disturbed() {
                streams_end(view, contract, conn, deleted, judge);
            }
        }
    }
}

/// OPEN-2, for a stream that was open when its session was deleted.
fn streams_end(view: &View<'_>, contract: &Contract, conn: &ConnView<'_>, deleted: Micros, judge: &mut Judge) {
    let until = conn.ended_at().min(view.ended_at());
    let by_server = conn.end.is_some_and(|e| matches!(e.what.how, Ended::Eof | Ended::Broken { .. } | Ended::Done));
    let closed = |w: &&Seen<&Wait>| w.what.until == Until::Closed && !w.what.reached && w.at > deleted && patient(w.what, contract);
    let in_vain = conn.waits.iter().find(closed);
    let outlives = until.0.saturating_sub(deleted.0) > contract.liveness.delivery_ms * 2_000;
    if !view.running(deleted, until) || matches!(conn.connect.what.role, Role::Slow | Role::Churn) {
        return;
    }
    if in_vain.is_none() && !outlives {
        if by_server {
            judge.held("OPEN-2");
        }
        return;
    }
    judge.violated(
        "OPEN-2",
        Violation {
            says: format!("{} stays open although its session was deleted", conn.name()),
            expected: "the end of the stream".to_owned(),
            seen: format!("nothing for {} ms", in_vain.map_or(until.0 - deleted.0, |w| w.what.waited) / 1000),
            records: in_vain.map(|w| w.record).or(conn.end.map(|e| e.record)).into_iter().chain([conn.connect.record]).collect(),
            shape: "stream-stays".to_owned(),
        },
    );
}

/// OPEN-3: a refusal says why.
fn bodies(view: &View<'_>, judge: &mut Judge) {
    // Of what a program was answered only the head is seen.
    for conn in view.conns.iter().filter(|c| c.is_stream() && c.connect.what.role != Role::Driven) {
        let Some(answer) = conn.answer.filter(|a| !a.what.accepted && (400..500).contains(&a.what.status)) else { continue };
        let html = answer.what.content_type.as_deref().is_some_and(|media| media.to_ascii_lowercase().contains("html"));
        reasoned((&answer.what.body, html), answer.what.status, answer.record, judge);
    }
    for op in view.besides_publishes() {
        if let (Action::Probe { about: Probe::UnknownSession | Probe::PublishUnknown, .. }, Some(completed)) =
            (op.invoked.what, op.completed)
            && let Outcome::Failed { status: status @ 400..=499, body } = completed.what
        {
            reasoned((body, false), *status, completed.record, judge);
        }
    }
}

fn reasoned((body, html): (&str, bool), status: u16, record: usize, judge: &mut Judge) {
    let text = body.trim();
    let html = html || text.get(..5).is_some_and(|t| t.eq_ignore_ascii_case("<html") || t.eq_ignore_ascii_case("<!doc"));
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
            if !promised || session.deleting.is_some() {
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
