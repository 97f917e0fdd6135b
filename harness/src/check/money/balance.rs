//! MONEY-1, MONEY-2, MONEY-3, MONEY-4, MONEY-9, MONEY-11: what the server says of an account against what it said before
//! and what it delivered.

use super::ledger::{Account, Ledger, Statement, Stream, place, places};
use crate::check::judge::Judge;
use crate::check::verdict::Violation;
use crate::contract::PaymentContract;
use crate::history::{PayAct, Told, View};

/// A field of a statement.
type Field = (&'static str, fn(&Told) -> Option<u64>);

const FIELDS: [Field; 4] =
    [("accepted", |told| told.accepted), ("spent", |told| told.spent), ("units", |told| told.units), ("the deposit", |told| told.deposit)];

pub(super) fn check(view: &View<'_>, ledger: &Ledger<'_, '_>, contract: &PaymentContract, judge: &mut Judge) {
    for account in &ledger.accounts {
        never_back(ledger, account, judge);
        for told in &account.told {
            bounds(account, told, judge);
            equals_delivery(view, account, told, contract, judge);
        }
        paid_first(account, contract, judge);
    }
}

/// MONEY-1 and, over a stop, MONEY-9.
fn never_back(ledger: &Ledger<'_, '_>, account: &Account<'_, '_>, judge: &mut Judge) {
    for (name, field) in FIELDS {
        // The highest so far, by the place where it was told.
        let mut highest: Vec<(usize, u64, usize)> = Vec::new();
        for told in &account.told {
            let Some(value) = field(told.told) else { continue };
            let stop = ledger.stop_before(told.at);
            let known = highest[..highest.partition_point(|(at, _, _)| *at < told.cause)].last().copied();
            if let Some((_, before, at)) = known.filter(|(at, _, _)| !ledger.wiped_between(*at, told.at)) {
                let over_a_stop = stop.is_some_and(|(stop, _)| stop > at);
                let id = if over_a_stop { "MONEY-9" } else { "MONEY-1" };
                judge.require(id, value >= before, || Violation {
                    says: format!("{name} of the account of {} went back from {before} to {value}", account.wallet),
                    expected: format!("{before} or more"),
                    seen: value.to_string(),
                    records: vec![at, told.at],
                    shape: format!("{name} went back"),
                });
            }
            let top = highest.last().map_or((value, told.at), |(_, top, at)| if value > *top { (value, told.at) } else { (*top, *at) });
            highest.push((told.at, top.0, top.1));
        }
    }
    // What was acknowledged binds like what was told.
    for told in &account.told {
        let Some(accepted) = told.told.accepted else { continue };
        let before = account.accepted_before(told.cause);
        let sent =
            account.sent.iter().find(|sent| sent.accepted() && sent.honest() && sent.pay.amount == before && sent.done() < told.cause);
        let Some(sent) = sent.filter(|sent| !ledger.wiped_between(sent.at, told.at)) else { continue };
        let over_a_stop = ledger.stop_before(told.at).is_some_and(|(stop, _)| stop > sent.at);
        judge.require(if over_a_stop { "MONEY-9" } else { "MONEY-1" }, accepted >= before, || Violation {
            says: format!("accepted of the account of {} is {accepted}, although {before} was acknowledged before", account.wallet),
            expected: format!("{before} or more"),
            seen: accepted.to_string(),
            records: vec![sent.at, told.at],
            shape: "acknowledged voucher lost".to_owned(),
        });
    }
    // An account that is not there any more has lost everything.
    for sent in account.sent.iter().filter(|sent| sent.is(PayAct::Voucher) && sent.pay.flaw.is_none() && sent.refused()) {
        let known = account.told.iter().find(|told| told.at < sent.at);
        let lost = sent.answer.is_some_and(|answer| matches!(answer.status, 404 | 410));
        let Some(known) = known.filter(|known| lost && account.closed().is_none() && !ledger.wiped_between(known.at, sent.at)) else {
            continue;
        };
        if ledger.stop_before(sent.at).is_some_and(|(stop, _)| stop > known.at) {
            judge.violated(
                "MONEY-9",
                Violation {
                    says: format!("the account of {} is not known any more after the restart", account.wallet),
                    expected: "the account as it was".to_owned(),
                    seen: format!("status {}", sent.answer.map_or(0, |answer| answer.status)),
                    records: vec![known.at, sent.at],
                    shape: "account lost".to_owned(),
                },
            );
        }
    }
}

/// MONEY-2.
fn bounds(account: &Account<'_, '_>, told: &Statement<'_>, judge: &mut Judge) {
    let deposit = told.told.deposit.or_else(|| account.paid_in_before(told.at));
    let pairs = [("spent", told.told.spent, "accepted", told.told.accepted), ("accepted", told.told.accepted, "the deposit", deposit)];
    for (less, low, more, high) in pairs {
        let (Some(low), Some(high)) = (low, high) else { continue };
        judge.require("MONEY-2", low <= high, || Violation {
            says: format!("the account of {} has {less} {low} above {more} {high}", account.wallet),
            expected: format!("{less} of at most {high}"),
            seen: low.to_string(),
            records: vec![told.at],
            shape: format!("{less} above {more}"),
        });
    }
}

/// MONEY-3 (charged for more than was delivered), MONEY-4 (for less), MONEY-11 (for what an abandoned stream did).
fn equals_delivery(view: &View<'_>, account: &Account<'_, '_>, told: &Statement<'_>, contract: &PaymentContract, judge: &mut Judge) {
    let Some(spent) = told.told.spent else { return };
    let (surely, perhaps) = account.answers_before(told.cause, told.at);
    let came: u64 = account.streams.iter().map(|stream| stream.items_before(told.cause) as u64).sum();
    let least = (came + surely).saturating_mul(contract.price);
    judge.require("MONEY-4", spent >= least, || Violation {
        says: format!("{} had received {} items, and the account has been charged {spent} only", account.wallet, came + surely),
        expected: format!("spent of at least {least}"),
        seen: spent.to_string(),
        records: vec![told.at],
        shape: "delivered without charge".to_owned(),
    });
    let begun = || account.streams.iter().filter(|stream| stream.opened < told.at);
    // A voucher that was on its way when the reader left may have come before the server knew of that.
    let waited = |stream: &Stream<'_, '_>| stream.waiting().is_some_and(|due| account.signed_before(stream.ended()) < due);
    let most = |cap: &dyn Fn(&Stream<'_, '_>, u64) -> u64| {
        let items: u64 = begun().map(|stream| cap(stream, in_flight_at_most(view, stream, told.at, contract.in_flight_kib << 10))).sum();
        (items + perhaps).saturating_mul(contract.price)
    };
    // A stream that waited for payment when its reader left has sold nothing since.
    let sold = |stream: &Stream<'_, '_>, in_flight: u64| match stream.ended() < usize::MAX && !stream.whole() && waited(stream) {
        true => stream.items.len() as u64,
        false => in_flight,
    };
    let left = begun().any(|stream| waited(stream) && stream.ended() < told.cause);
    let (strict, lenient) = (most(&sold), most(&|_, in_flight| in_flight));
    let id = if left && spent <= lenient { "MONEY-11" } else { "MONEY-3" };
    judge.require(id, spent <= strict, || Violation {
        says: format!("the account of {} has been charged {spent}, and what was delivered costs {strict} at most", account.wallet),
        expected: format!("spent of at most {strict}"),
        seen: spent.to_string(),
        records: vec![told.at],
        shape: "charged without delivery".to_owned(),
    });
    if left && id != "MONEY-11" && spent <= strict {
        judge.held("MONEY-11");
    }
}

/// How many items of a stream can have been charged when something was told, with all that could be on its way: of a stream
/// that broke off, what fits into the buffers of both systems.
fn in_flight_at_most(view: &View<'_>, stream: &Stream<'_, '_>, told: usize, in_flight: u64) -> u64 {
    let came = stream.items.len() as u64;
    if stream.whole() || !stream.accepted && stream.view.answer.is_some() {
        return came;
    }
    let there = view.session_of(stream.view).events.iter().filter(|event| place(&event.invoked) < told && !event.refused);
    let mut room = in_flight;
    let mut most = came;
    for event in there.skip(stream.items.len()) {
        room = room.saturating_sub(event.body.len);
        if room == 0 {
            break;
        }
        most += 1;
    }
    most
}

/// MONEY-4: an item comes when it was authorised before.
fn paid_first(account: &Account<'_, '_>, contract: &PaymentContract, judge: &mut Judge) {
    let mut items: Vec<usize> = account.streams.iter().flat_map(|stream| stream.items.iter().copied()).collect();
    items.sort_unstable();
    for (nth, at) in items.iter().enumerate() {
        let due = (nth as u64 + 1).saturating_mul(contract.price);
        let signed = account.signed_before(*at);
        judge.require("MONEY-4", due <= signed, || Violation {
            says: format!("{} received item {} of an account for which {signed} was authorised", account.wallet, nth + 1),
            expected: format!("a voucher of {due} before it"),
            seen: format!("vouchers up to {signed}"),
            records: places([Some(*at)]),
            shape: "delivered unpaid".to_owned(),
        });
    }
}
