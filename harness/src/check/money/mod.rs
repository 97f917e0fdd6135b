//! MONEY-1 to MONEY-13, START-1 to START-3 for streams that are paid by the item.
//!
//! | id | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | MONEY-1 | statement of an account behind an earlier one | a lower amount than told or acknowledged before it was made | statements that may have crossed |
//! | MONEY-2 | statement; accepted voucher | spent above accepted, accepted above what was paid in | |
//! | MONEY-3 | statement with `spent` | more than was delivered, and may be on its way, costs | what the buffers of both systems hold, on streams that broke off |
//! | MONEY-4 | item; statement with `spent`; request without payment | an item before its voucher, a charge below what came, an answer that is no challenge | |
//! | MONEY-5 | request for payment | two for one amount, none needed, an item before the voucher, a hole or repetition around it | |
//! | MONEY-6 | voucher that repeats, lowers, or is wrong on purpose; statement | the wrong answer; an amount that nobody signed | vouchers in a race with a higher one |
//! | MONEY-7 | accepted management request | a body; a charge while nothing was delivered | accounts with open streams |
//! | MONEY-8 | paid stream that has a receipt or ended; refusal | none, two, an early one; one on a refusal | streams that broke off |
//! | MONEY-9 | statement behind a stop | a lower amount than before it; an account that is gone | removed data |
//! | MONEY-10 | use of an account behind its close | anything but a refusal; an item published later | |
//! | MONEY-11 | statement behind a stream that was left while it waited | a charge for what came afterwards | |
//! | MONEY-12 | payment with a challenge or proof that is good no more | success; a refusal without a fresh challenge | |
//! | MONEY-13 | stream that a program asked for and paid | a second request that paid for it and was answered | streams that broke off |
//! | START-1 | refusal | the media type of a stream | |
//! | START-2 | delivery of hostile text | another text | |
//! | START-3 | answer to a program that is no stream | an event; an end in order | streams that broke off, no answer |

mod balance;
mod ledger;
mod program;
mod requests;
mod streams;

use std::sync::LazyLock;

use super::judge::{Judge, Place, places_of};
use crate::contract::Contract;
use crate::history::View;

pub(super) fn check(view: &View<'_>, contract: &Contract, judge: &mut Judge) {
    program::refusals(view, judge);
    let Some(payment) = &contract.payment else {
        static OF_MONEY: LazyLock<Vec<Place>> = LazyLock::new(|| places_of(&["MONEY"]));
        for place in OF_MONEY.iter() {
            judge.not_applicable(*place, "the profile's streams are free");
        }
        return;
    };
    let ledger = ledger::Ledger::of(view);
    balance::check(view, &ledger, payment, judge);
    requests::check(view, &ledger, judge);
    streams::check(view, &ledger, judge);
    program::paid_once(view, &ledger, judge);
}
