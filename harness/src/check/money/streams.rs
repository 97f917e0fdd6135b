//! MONEY-5, MONEY-8, START-1, START-2: what a paid stream shows by itself.

use super::ledger::{Account, Ledger, Stream};
use crate::check::judge::Judge;
use crate::check::verdict::Violation;
use crate::history::{Action, ConnId, OpId, PayAct, Role, Says, Seen, View, What};

pub(super) fn check(view: &View<'_>, ledger: &Ledger<'_, '_>, judge: &mut Judge) {
    for account in &ledger.accounts {
        for stream in account.streams.iter().filter(|stream| stream.accepted) {
            pauses(view, account, stream, judge);
            receipts(stream, judge);
        }
    }
    refusals(view, judge);
    content(view, judge);
}

/// MONEY-5.
fn pauses(view: &View<'_>, account: &Account<'_, '_>, stream: &Stream<'_, '_>, judge: &mut Judge) {
    let name = stream.view.name();
    let events = &view.session_of(stream.view).events;
    let mut asked = None;
    for due in stream.told.iter().filter(|told| told.told.says == Says::Due) {
        let violated = |judge: &mut Judge, says: String, expected: &str, shape: &str, more: Option<usize>| {
            let records = more.into_iter().chain([due.at]).collect();
            judge.violated(
                "MONEY-5",
                Violation {
                    says,
                    expected: expected.to_owned(),
                    seen: format!("{:?}", due.told.required),
                    records,
                    shape: shape.to_owned(),
                },
            );
        };
        let (Some(required), Some(accepted)) = (due.told.required, due.told.accepted) else {
            violated(judge, format!("{name} was asked for payment without amounts"), "required and accepted", "no amounts", None);
            continue;
        };
        if required <= accepted {
            violated(
                judge,
                format!("{name} was asked for {required} although {accepted} was accepted"),
                "more than accepted",
                "covered",
                None,
            );
        }
        if let Some((before, at)) = asked.replace((required, due.at)).filter(|(before, _)| *before == required) {
            violated(judge, format!("{name} was asked twice for {before}"), "one request for each amount", "asked twice", Some(at));
        }
        let paid = account
            .sent
            .iter()
            .find(|sent| sent.honest() && matches!(sent.pay.act, PayAct::Voucher | PayAct::Open) && sent.pay.amount >= required);
        let next = stream.view.arrivals().find(|(got, _)| got.record > due.at);
        if let Some((got, _)) = next
            && paid.is_none_or(|paid| paid.at > got.record)
        {
            violated(judge, format!("{name} went on before {required} was authorised"), "a pause", "went on unpaid", Some(got.record));
        }
        let before = stream.view.arrivals().rev().find(|(got, _)| got.record < due.at).map(|(_, event)| event);
        let Some((got, next)) = next.map(|(got, event)| (got.record, event)) else {
            judge.held("MONEY-5");
            continue;
        };
        // Items that were published side by side have no order that a pause could break.
        let follows = |event: usize| {
            before.is_none_or(|before| events[before].acked.is_some_and(|acked| acked.record < events[event].invoked.record))
        };
        let precedes = |event: usize| events[event].acked.is_some_and(|acked| acked.record < events[next].invoked.record);
        let between = before.map_or(0, |before| before + 1)..next.max(before.map_or(0, |before| before + 1));
        let lost = between
            .into_iter()
            .find(|event| follows(*event) && precedes(*event) && !stream.view.events.contains(&u32::try_from(*event).ok()));
        if stream.view.arrivals().any(|(earlier, event)| event == next && earlier.record < due.at) {
            violated(
                judge,
                format!("{name} received {} again after a pause", events[next].marker),
                "the next item",
                "repeated at a pause",
                Some(got),
            );
        } else if let Some(lost) = lost {
            let says = format!("{name} did not receive {} after a pause, but what follows it", events[lost].marker);
            violated(judge, says, "the next item", "lost at a pause", Some(got));
        } else {
            judge.held("MONEY-5");
        }
    }
}

/// MONEY-8.
fn receipts(stream: &Stream<'_, '_>, judge: &mut Judge) {
    let name = stream.view.name();
    let receipts: Vec<usize> = stream.told.iter().filter(|told| told.told.says == Says::Receipt).map(|told| told.at).collect();
    let early = receipts.first().is_some_and(|receipt| stream.items.last().is_some_and(|item| item > receipt));
    let wrong = match receipts.len() {
        0 if stream.whole() => Some("ended in order without a receipt"),
        0 | 1 if early => Some("received an item after the receipt"),
        0 | 1 => None,
        _ => Some("received more than one receipt"),
    };
    if receipts.is_empty() && wrong.is_none() {
        return;
    }
    judge.require("MONEY-8", wrong.is_none(), || Violation {
        says: format!("{name} {}", wrong.unwrap_or_default()),
        expected: "one receipt, behind the last item".to_owned(),
        seen: format!("{} receipts", receipts.len()),
        records: receipts.iter().copied().chain(stream.view.end.map(|end| end.record)).collect(),
        shape: wrong.unwrap_or_default().to_owned(),
    });
}

/// START-1.
fn refusals(view: &View<'_>, judge: &mut Judge) {
    let is_stream =
        |media: Option<&str>| media.is_some_and(|media| media.trim_start().to_ascii_lowercase().starts_with("text/event-stream"));
    // What a program is given may be wrong on purpose; what it makes of it is another requirement.
    let by_program = |conn: ConnId| view.conns.get(conn.0 as usize).is_some_and(|conn| conn.connect.what.role == Role::Driven);
    let driven = |op: OpId| matches!(view.ops.get(op.0 as usize).map(|op| op.invoked.what), Some(Action::Pay(pay)) if pay.conn.is_some_and(by_program));
    for (at, record) in view.records.iter().enumerate() {
        let (status, media) = match &record.what {
            What::Paid(paid) if !driven(paid.op) => (paid.status, paid.media.as_deref()),
            What::Answer(answer) if !by_program(answer.conn) => (answer.status, answer.content_type.as_deref()),
            _ => continue,
        };
        if status >= 400 {
            judge.require("START-1", !is_stream(media), || Violation {
                says: format!("a refusal with status {status} says that it is a stream"),
                expected: "the media type of a problem".to_owned(),
                seen: media.unwrap_or_default().to_owned(),
                records: vec![at],
                shape: "refusal as a stream".to_owned(),
            });
        }
    }
}

/// START-2.
fn content(view: &View<'_>, judge: &mut Judge) {
    for conn in &view.conns {
        let events = &view.session_of(conn).events;
        let hostile = |(got, event): (&Seen<&crate::history::Delivery>, usize)| {
            let event = &events[event];
            event.hostile.then(|| (got.record, event, got.what.body.as_ref().is_some_and(|body| body.same(event.body))))
        };
        for (at, event, same) in conn.arrivals().filter_map(hostile) {
            judge.require("START-2", same, || Violation {
                says: format!("{} arrived at {} altered: its text broke its frame", event.marker, conn.name()),
                expected: "the text as it was published".to_owned(),
                seen: "another text".to_owned(),
                records: vec![event.invoked.record, at],
                shape: "content as control".to_owned(),
            });
        }
    }
}
