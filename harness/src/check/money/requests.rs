//! MONEY-6, MONEY-7, MONEY-10, MONEY-12 and the refusals of MONEY-4 and MONEY-8: how requests that pay are answered.

use super::ledger::{Account, Ledger, Sent, place};
use crate::check::judge::Judge;
use crate::check::verdict::Violation;
use crate::history::{Flaw, PayAct, View};

pub(super) fn check(view: &View<'_>, ledger: &Ledger<'_, '_>, judge: &mut Judge) {
    for sent in ledger.others.iter().chain(ledger.accounts.iter().flat_map(|account| &account.sent)) {
        unpaid(sent, judge);
        challenges(sent, judge);
        no_receipt_for_refusals(sent, judge);
    }
    for account in &ledger.accounts {
        for sent in &account.sent {
            vouchers(ledger, account, sent, judge);
        }
        raised_by_nobody(account, judge);
        management(account, judge);
        closing(view, account, judge);
    }
}

fn violation(sent: &Sent<'_>, says: String, expected: &str, shape: &str) -> Violation {
    Violation {
        says,
        expected: expected.to_owned(),
        seen: sent.answer.map_or_else(|| "no answer".to_owned(), |answer| format!("status {}", answer.status)),
        records: [Some(sent.at), sent.done].into_iter().flatten().collect(),
        shape: shape.to_owned(),
    }
}

/// MONEY-4: without payment there is a challenge and nothing else. (What is not there at all is refused before payment.)
fn unpaid(sent: &Sent<'_>, judge: &mut Judge) {
    let Some(answer) = sent.answer.filter(|answer| sent.is(PayAct::Ask) && !matches!(answer.status, 404 | 405 | 500..)) else { return };
    let right = answer.status == 402 && answer.challenge && answer.no_store;
    judge.require("MONEY-4", right, || {
        let says = format!("{} asked without paying and was answered otherwise than with a challenge", sent.pay.wallet);
        violation(sent, says, "402 with a challenge that can be read, and `no-store`", "unpaid request")
    });
}

/// MONEY-12.
fn challenges(sent: &Sent<'_>, judge: &mut Judge) {
    let (Some(flaw), Some(answer)) = (sent.pay.flaw.filter(|flaw| flaw.of_challenge()), sent.answer) else { return };
    let fresh = flaw != Flaw::ExpiredChallenge || answer.challenge;
    judge.require("MONEY-12", sent.refused() && fresh, || {
        let what = match flaw {
            Flaw::UsedProof => "a proof that was used before",
            Flaw::ExpiredChallenge => "a challenge that has expired",
            _ => "a challenge that the server never gave",
        };
        violation(sent, format!("{} paid with {what}", sent.pay.wallet), "a refusal with a fresh challenge", "stale challenge")
    });
}

/// MONEY-8: what is refused has no receipt.
fn no_receipt_for_refusals(sent: &Sent<'_>, judge: &mut Judge) {
    let Some(answer) = sent.answer.filter(|answer| answer.status >= 400) else { return };
    judge.require("MONEY-8", !answer.receipt, || {
        violation(sent, format!("a refusal to {} carries a receipt", sent.pay.wallet), "no receipt", "receipt on a refusal")
    });
}

/// MONEY-6.
fn vouchers(ledger: &Ledger<'_, '_>, account: &Account<'_, '_>, sent: &Sent<'_>, judge: &mut Judge) {
    if sent.answer.is_none() || sent.pay.conn.is_some() {
        return;
    }
    let wallet = &sent.pay.wallet;
    if let Some(flaw) = sent.pay.flaw.filter(|flaw| !flaw.of_challenge()) {
        judge.require("MONEY-6", !sent.accepted(), || {
            violation(sent, format!("a voucher of {wallet} was accepted although it is wrong ({flaw:?})"), "a refusal", "wrong voucher")
        });
        return;
    }
    let paid_in = account.paid_in_before(sent.done());
    if let Some(paid_in) = paid_in.filter(|_| sent.is(PayAct::Voucher) && sent.accepted()) {
        judge.require("MONEY-2", sent.pay.amount <= paid_in, || {
            let says = format!("a voucher of {wallet} for {} was accepted, and {paid_in} was paid in", sent.pay.amount);
            violation(sent, says, "a refusal", "voucher above the deposit")
        });
    }
    let closing = account.sent.iter().any(|other| other.is(PayAct::Close) && other.at < sent.done());
    let forgotten = ledger.wiped_between(0, sent.at);
    if !sent.is(PayAct::Voucher) || sent.pay.flaw.is_some() || sent.pay.content || closing || forgotten {
        return;
    }
    let before = account.accepted_before(sent.at);
    let racing = account.signed_before(sent.done()) > before.max(sent.pay.amount);
    if sent.pay.amount < before {
        judge.require("MONEY-6", !sent.accepted(), || {
            violation(
                sent,
                format!("a voucher of {wallet} for {} was accepted after one for {before}", sent.pay.amount),
                "a refusal",
                "lower voucher",
            )
        });
    } else if sent.pay.amount == before && !racing {
        let unchanged = sent.told.and_then(|told| told.accepted).is_none_or(|accepted| accepted == before);
        judge.require("MONEY-6", sent.accepted() && unchanged, || {
            violation(
                sent,
                format!("the repeated voucher of {wallet} for {before} is no success without effect"),
                "success, and nothing changed",
                "repeated voucher",
            )
        });
    }
}

/// MONEY-6: what is accepted was signed by its payer.
fn raised_by_nobody(account: &Account<'_, '_>, judge: &mut Judge) {
    for told in &account.told {
        let Some(accepted) = told.told.accepted else { continue };
        let signed = account.signed_before(told.at);
        judge.require("MONEY-6", accepted <= signed, || Violation {
            says: format!("accepted of the account of {} is {accepted}, and its payer signed {signed} at most", account.wallet),
            expected: format!("at most {signed}"),
            seen: accepted.to_string(),
            records: vec![told.at],
            shape: "accepted what nobody signed".to_owned(),
        });
    }
}

/// MONEY-7.
fn management(account: &Account<'_, '_>, judge: &mut Judge) {
    let managing = |sent: &&Sent<'_>| !sent.pay.content && sent.accepted() && !matches!(sent.pay.act, PayAct::Ask | PayAct::Proof);
    let mut before: Option<(usize, u64)> = None;
    for sent in account.sent.iter().filter(managing) {
        let Some(answer) = sent.answer else { continue };
        judge.require("MONEY-7", answer.body == 0, || {
            violation(
                sent,
                format!("a payment of {} that asks for no content was answered with some", sent.pay.wallet),
                "an empty answer",
                "content",
            )
        });
        let Some(spent) = sent.told.and_then(|told| told.spent) else { continue };
        let from = before.map_or(0, |(at, _)| at);
        let streaming = account.streams.iter().any(|stream| stream.opened < sent.done() && stream.ended() > from);
        let bought = account.sent.iter().any(|other| other.pay.content && other.done() > from && other.at < sent.done());
        let expected = before.map_or(0, |(_, spent)| spent);
        if !streaming && !bought {
            judge.require("MONEY-7", spent == expected, || {
                let says = format!("managing the account of {} was charged: spent went from {expected} to {spent}", sent.pay.wallet);
                violation(sent, says, "nothing charged", "charged for management")
            });
        }
        before = Some((sent.at, spent));
    }
}

/// MONEY-10.
fn closing(view: &View<'_>, account: &Account<'_, '_>, judge: &mut Judge) {
    let Some(closed) = account.closed() else { return };
    let first = account.sent.iter().find(|sent| sent.done() == closed);
    let settled = first.and_then(|sent| sent.told).and_then(|told| told.spent);
    for sent in &account.sent {
        if sent.is(PayAct::Close) && sent.done() != closed && sent.accepted() {
            let same = settled.is_some() && sent.told.and_then(|told| told.spent) == settled;
            judge.require("MONEY-10", same, || {
                violation(
                    sent,
                    format!("the account of {} was settled twice", sent.pay.wallet),
                    "a refusal, or the first settlement again",
                    "settled twice",
                )
            });
        } else if sent.at > closed && sent.answer.is_some() && !sent.is(PayAct::Ask) {
            judge.require("MONEY-10", !sent.accepted() || sent.is(PayAct::Close), || {
                violation(
                    sent,
                    format!("{:?} of {} was accepted after the close", sent.pay.act, sent.pay.wallet),
                    "a refusal",
                    "used after the close",
                )
            });
        }
    }
    for stream in &account.streams {
        let events = &view.session_of(stream.view).events;
        let late = stream.view.arrivals().find(|(_, event)| place(&events[*event].invoked) > closed);
        judge.require("MONEY-10", late.is_none(), || Violation {
            says: format!("{} received an item that was published after its account was closed", stream.view.name()),
            expected: "nothing more".to_owned(),
            seen: "an item".to_owned(),
            records: late.map(|(got, _)| got.record).into_iter().chain([closed]).collect(),
            shape: "delivered after the close".to_owned(),
        });
    }
}
