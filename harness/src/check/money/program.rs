//! START-3, MONEY-13: what a program that reads makes of the answers that it is given.

use super::ledger::Ledger;
use crate::check::judge::Judge;
use crate::check::verdict::Violation;
use crate::history::{ConnView, Ended, PayAct, Role, View};

/// The connections of programs that nothing disturbed.
fn alone<'v, 'h>(view: &'v View<'h>) -> impl Iterator<Item = &'v ConnView<'h>> {
    let driven = |conn: &&ConnView<'_>| conn.is_stream() && conn.connect.what.role == Role::Driven;
    let running = |conn: &&ConnView<'_>| view.running(conn.connect.at, conn.ended_at().min(view.ended_at()));
    view.conns.iter().filter(driven).filter(|conn| !conn.disturbed()).filter(running)
}

/// START-3: an answer that is no stream is an error, with nothing in it.
pub(super) fn refusals(view: &View<'_>, judge: &mut Judge) {
    for conn in alone(view) {
        let Some(answer) = conn.answer.filter(|answer| !answer.what.accepted) else { continue };
        let media = answer.what.content_type.as_deref().unwrap_or("no media type");
        let seen = format!("status {}, {media}", answer.what.status);
        let ended = conn.end.map(|end| (&end.what.how, end.record));
        let taken = conn.got.first().map(|got| got.record);
        let wrong = match (taken, ended) {
            (Some(record), _) => {
                Some((format!("{} took an event from an answer that is no stream", conn.name()), record, "event of a refusal"))
            }
            (None, Some((Ended::Eof, record))) => {
                Some((format!("{} took an answer that is no stream for a stream that ended", conn.name()), record, "refusal as an end"))
            }
            (None, Some((Ended::Done | Ended::Broken { .. }, _))) => None,
            (None, Some((Ended::NoAnswer { .. } | Ended::Undecodable { .. } | Ended::Ours, _)) | None) => continue,
        };
        judge.require("START-3", wrong.is_none(), || {
            let (says, record, shape) = wrong.unwrap_or_default();
            let expected = "an error that the application is told, and no event".to_owned();
            Violation { says, expected, seen, records: vec![record, answer.record], shape: shape.to_owned() }
        });
    }
}

/// MONEY-13: what an application asks for once is paid once.
pub(super) fn paid_once(view: &View<'_>, ledger: &Ledger<'_, '_>, judge: &mut Judge) {
    for conn in alone(view) {
        let sent = ledger.accounts.iter().flat_map(|account| &account.sent);
        let bought: Vec<_> = sent.filter(|sent| sent.pay.conn == Some(conn.id) && !sent.is(PayAct::Ask) && sent.accepted()).collect();
        let Some(last) = bought.last() else { continue };
        judge.require("MONEY-13", bought.len() == 1, || Violation {
            says: format!("{} was asked for once and paid for {} times", conn.name(), bought.len()),
            expected: "one request that pays and is answered".to_owned(),
            seen: format!("{} of them, the last one for {}", bought.len(), last.pay.amount),
            records: bought.iter().map(|sent| sent.at).collect(),
            shape: "paid again".to_owned(),
        });
    }
}
