//! Accounts as a history shows them: who paid what when, what was delivered for it, and what the server said of it.
//!
//! Places are positions in the history's records. A statement has a *cause*: a place before which it cannot have been made
//! (the request that it answers, the frame before it). What was known before a statement's cause binds it; what came in
//! between may or may not be in it.

use rustc_hash::FxHashMap;

use crate::history::{
    AccountIx, Action, ConnId, ConnView, Ended, Flaw, OpId, Outcome, Paid, PayAct, Payment, Process, Role, Seen, Told, ToldBy, View, What,
};

/// A request that paid, or had to.
#[derive(Clone, Copy)]
pub(super) struct Sent<'h> {
    pub(super) pay: &'h Payment,
    /// Where it was sent.
    pub(super) at: usize,
    /// Where it was answered.
    pub(super) done: Option<usize>,
    pub(super) outcome: Option<&'h Outcome>,
    pub(super) answer: Option<&'h Paid>,
    pub(super) told: Option<&'h Told>,
}

impl Sent<'_> {
    pub(super) fn accepted(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Ok { .. }))
    }

    /// Refused by the server, and not for want of one.
    pub(super) fn refused(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Failed { status: 400.., .. }))
    }

    pub(super) fn is(&self, act: PayAct) -> bool {
        self.pay.act == act
    }

    /// True when nothing is wrong with its voucher.
    pub(super) fn honest(&self) -> bool {
        self.pay.flaw.is_none_or(Flaw::of_challenge)
    }

    /// Where its answer came, or behind everything.
    pub(super) fn done(&self) -> usize {
        self.done.unwrap_or(usize::MAX)
    }
}

/// A statement.
#[derive(Clone, Copy)]
pub(super) struct Statement<'h> {
    pub(super) told: &'h Told,
    pub(super) at: usize,
    pub(super) cause: usize,
}

/// A stream that an account paid for.
pub(super) struct Stream<'v, 'h> {
    pub(super) view: &'v ConnView<'h>,
    /// The request that opened it.
    pub(super) opened: usize,
    /// Where each item came.
    pub(super) items: Vec<usize>,
    /// Its statements, in order.
    pub(super) told: Vec<Statement<'h>>,
    pub(super) accepted: bool,
}

impl Stream<'_, '_> {
    /// Where it ended, or behind everything.
    pub(super) fn ended(&self) -> usize {
        self.view.end.map_or(usize::MAX, |end| end.record)
    }

    /// True when the server ended it in order.
    pub(super) fn whole(&self) -> bool {
        self.view.end.is_some_and(|end| end.what.how == Ended::Eof)
    }

    /// How many items had come before a place.
    pub(super) fn items_before(&self, place: usize) -> usize {
        self.items.partition_point(|at| *at < place)
    }

    /// The amount that it was waiting for when it ended, if it was.
    pub(super) fn waiting(&self) -> Option<u64> {
        let last = self.told.iter().rev().find(|told| told.at < self.ended())?;
        last.told.required.filter(|_| self.items.last().is_none_or(|item| *item < last.at))
    }
}

/// An account.
#[derive(Default)]
pub(super) struct Account<'v, 'h> {
    pub(super) wallet: &'h str,
    /// True when a program pays from it.
    pub(super) driven: bool,
    pub(super) sent: Vec<Sent<'h>>,
    pub(super) streams: Vec<Stream<'v, 'h>>,
    /// Every statement, in order.
    pub(super) told: Vec<Statement<'h>>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Ledger<'v, 'h> {
    pub(super) accounts: Vec<Account<'v, 'h>>,
    /// Requests that were about no account.
    pub(super) others: Vec<Sent<'h>>,
    /// Where the process was found gone, and whether its data went with it.
    pub(super) stops: Vec<(usize, bool)>,
}

impl<'v, 'h> Ledger<'v, 'h> {
    pub(super) fn of(view: &'v View<'h>) -> Ledger<'v, 'h> {
        let mut ledger = Ledger::default();
        let mut answers: FxHashMap<OpId, (Option<&Paid>, Option<&Told>)> = FxHashMap::default();
        let mut frames: FxHashMap<ConnId, Vec<(usize, &Told)>> = FxHashMap::default();
        for (at, record) in view.records.iter().enumerate() {
            match &record.what {
                What::Paid(paid) => answers.entry(paid.op).or_default().0 = Some(paid),
                What::Told(told) => match told.by {
                    ToldBy::Answer(op) => answers.entry(op).or_default().1 = Some(told),
                    ToldBy::Frame(conn) => frames.entry(conn).or_default().push((at, told)),
                },
                What::Process(Process::Gone | Process::Died { .. }) => ledger.stops.push((at, false)),
                What::Process(Process::Ready { wiped: true, .. }) => {
                    if let Some(last) = ledger.stops.last_mut() {
                        last.1 = true;
                    }
                }
                _ => {}
            }
        }
        let mut paid_conns: FxHashMap<ConnId, (AccountIx, usize)> = FxHashMap::default();
        for (nth, op) in view.ops.iter().enumerate() {
            let Action::Pay(pay) = op.invoked.what else { continue };
            let (answer, told) = answers.get(&OpId(u32::try_from(nth).unwrap_or(u32::MAX))).copied().unwrap_or_default();
            let (done, outcome) = op.completed.map_or((None, None), |done| (Some(done.record), Some(done.what)));
            let sent = Sent { pay, at: op.invoked.record, done, outcome, answer, told };
            let Some(account) = pay.account.and_then(|ix| ledger.account(ix)) else {
                ledger.others.push(sent);
                continue;
            };
            account.wallet = &pay.wallet;
            account.sent.push(sent);
            if let (Some(told), Some(done)) = (told.filter(|told| told.account == pay.account), done) {
                account.told.push(Statement { told, at: done, cause: sent.at });
            }
            if let (Some(conn), Some(ix)) = (pay.conn, pay.account) {
                paid_conns.insert(conn, (ix, sent.at));
            }
        }
        for conn in &view.conns {
            let Some((ix, opened)) = paid_conns.get(&conn.id).copied() else { continue };
            let mut cause = opened;
            let mut told = Vec::new();
            for (at, one) in frames.get(&conn.id).into_iter().flatten() {
                told.push(Statement { told: one, at: *at, cause });
                cause = *at;
            }
            let items = conn.arrivals().map(|(got, _)| got.record).collect();
            let accepted = conn.answer.is_some_and(|answer| answer.what.accepted);
            let Some(account) = ledger.account(ix) else { continue };
            account.driven |= conn.connect.what.role == Role::Driven;
            account.told.extend(told.iter().filter(|one| one.told.account == Some(ix)));
            account.streams.push(Stream { view: conn, opened, items, told, accepted });
        }
        for account in &mut ledger.accounts {
            account.told.sort_by_key(|told| told.at);
        }
        ledger
    }

    /// The account of this number; numbers without an account before them are nobody's.
    fn account(&mut self, ix: AccountIx) -> Option<&mut Account<'v, 'h>> {
        let ix = ix.0 as usize;
        if ix >= self.accounts.len() && ix <= self.accounts.len() + 10_000 {
            self.accounts.resize_with(ix + 1, Account::default);
        }
        self.accounts.get_mut(ix)
    }

    /// The last stop before a place.
    pub(super) fn stop_before(&self, place: usize) -> Option<(usize, bool)> {
        self.stops[..self.stops.partition_point(|(at, _)| *at < place)].last().copied()
    }

    /// Whether the data was removed before a place and behind another.
    pub(super) fn wiped_between(&self, from: usize, to: usize) -> bool {
        self.stops.iter().any(|(at, wiped)| *wiped && (from..to).contains(at))
    }
}

impl Account<'_, '_> {
    /// The highest amount that its payer had signed and sent before a place.
    pub(super) fn signed_before(&self, place: usize) -> u64 {
        let amounts = self.sent.iter().filter(|sent| sent.at < place && sent.honest());
        amounts.map(|sent| sent.pay.amount).max().unwrap_or(0)
    }

    /// The highest amount that had been accepted, by an answer, before a place.
    pub(super) fn accepted_before(&self, place: usize) -> u64 {
        let accepted = self.sent.iter().filter(|sent| sent.done() < place && sent.honest() && sent.accepted());
        accepted.map(|sent| sent.pay.amount).max().unwrap_or(0)
    }

    /// What had been paid in before a place, as far as its payer had sent it; `None` when a program opened the channel, and
    /// what it paid in was not seen.
    pub(super) fn paid_in_before(&self, place: usize) -> Option<u64> {
        let sent = || self.sent.iter().filter(|sent| sent.at < place && sent.honest());
        let deposits = || sent().filter(|sent| sent.is(PayAct::Open)).map(|sent| sent.pay.deposit);
        if self.driven && deposits().all(|deposit| deposit == 0) {
            return None;
        }
        let opened = deposits().max().unwrap_or(0);
        Some(sent().filter(|sent| sent.is(PayAct::TopUp)).fold(opened, |sum, sent| sum.saturating_add(sent.pay.deposit)))
    }

    /// Paid answers that are no streams: those that surely ran before a place, and those that may have.
    pub(super) fn answers_before(&self, sure: usize, perhaps: usize) -> (u64, u64) {
        // A program that asks for a stream may be given something else, which is paid all the same.
        let stream = |conn: ConnId| self.streams.iter().any(|stream| stream.view.id == conn && (stream.accepted || !self.driven));
        let content = || self.sent.iter().filter(|sent| sent.pay.content && !sent.pay.conn.is_some_and(stream) && !sent.is(PayAct::Ask));
        let surely = content().filter(|sent| sent.done() < sure && sent.accepted()).count();
        // A handler that failed may have been paid for before it ran.
        let failed = |sent: &Sent<'_>| sent.answer.is_some_and(|answer| answer.status >= 500);
        let maybe = content().filter(|sent| sent.at < perhaps && (failed(sent) || !sent.refused())).count();
        (surely as u64, maybe as u64)
    }

    /// Where its close was first accepted.
    pub(super) fn closed(&self) -> Option<usize> {
        self.sent.iter().filter(|sent| sent.is(PayAct::Close) && sent.accepted()).map(Sent::done).min()
    }
}

/// The places of records, for violations.
pub(super) fn places<const N: usize>(of: [Option<usize>; N]) -> Vec<usize> {
    of.into_iter().flatten().collect()
}

/// The record of something seen.
pub(super) fn place<T>(seen: &Seen<T>) -> usize {
    seen.record
}
