//! MONEY, START.

use crate::check::story::Story;
use crate::contract::Profile;
use crate::history::{
    AccountIx, Action, ConnId, Ended, Flaw, From, OpId, Outcome, Paid, PayAct, Payment, Publish, Role, Says, SessionIx, Told, ToldBy, What,
};

/// A story in which the stream of session 0 is paid by the item.
fn paid() -> Story {
    let payment = Profile::load("mppx").expect("it is built in").contract.payment;
    let mut story = Story::new().under(|contract| {
        *contract = crate::contract::Contract { payment, ..Default::default() };
        contract.durability.kill = true;
    });
    story.publish(1..=4);
    story
}

fn payment(act: PayAct, amount: u64) -> Payment {
    Payment {
        account: Some(AccountIx(0)),
        wallet: "a".to_owned(),
        session: SessionIx(0),
        act,
        amount,
        deposit: if act == PayAct::Open { 10 } else { 0 },
        conn: None,
        content: false,
        flaw: None,
    }
}

fn told(by: ToldBy, accepted: u64, spent: u64) -> Told {
    Told {
        account: Some(AccountIx(0)),
        by,
        says: Says::Receipt,
        accepted: Some(accepted),
        spent: Some(spent),
        units: Some(spent),
        deposit: None,
        required: None,
    }
}

impl Story {
    /// A payment and its answer, with what the account then is.
    fn pays(&mut self, payment: Payment, status: u16, account: Option<(u64, u64)>) {
        let op = self.invoke(Action::Pay(payment));
        self.answers(op, status, account, |_| {});
    }

    fn answers(&mut self, op: OpId, status: u16, account: Option<(u64, u64)>, change: impl FnOnce(&mut Paid)) {
        let refused = status >= 400;
        let media = Some(if refused { "application/problem+json" } else { "text/event-stream" }.to_owned());
        let mut paid = Paid { op, status, media, no_store: refused, challenge: refused, receipt: account.is_some(), body: 0 };
        change(&mut paid);
        self.push(What::Paid(Box::new(paid)));
        if let Some((accepted, spent)) = account {
            self.push(What::Told(Box::new(told(ToldBy::Answer(op), accepted, spent))));
        }
        let outcome = match refused {
            true => Outcome::Failed { status, body: String::new() },
            false => Outcome::Ok { status, cursor: None },
        };
        self.complete(op, outcome);
    }

    /// A stream opened with a voucher for `amount`.
    fn buys(&mut self, act: PayAct, amount: u64) -> ConnId {
        let conn = self.ask("a", crate::history::Surface::Stream, From::Start, crate::history::Role::Plain);
        let op = self.invoke(Action::Pay(Payment { conn: Some(conn), content: true, ..payment(act, amount) }));
        self.answer(conn, 200, "");
        self.answers(op, 200, None, |_| {});
        conn
    }

    /// The stream asks for payment.
    fn due(&mut self, conn: ConnId, required: u64, accepted: u64) {
        let due = Told { says: Says::Due, spent: None, units: None, required: Some(required), ..told(ToldBy::Frame(conn), accepted, 0) };
        self.push(What::Told(Box::new(due)));
    }

    fn receipt(&mut self, conn: ConnId, accepted: u64, spent: u64) {
        self.push(What::Told(Box::new(told(ToldBy::Frame(conn), accepted, spent))));
    }

    /// Repeats the voucher for `accepted`, and is told `spent`.
    fn state(&mut self, accepted: u64, spent: u64) {
        self.pays(payment(PayAct::Voucher, accepted), 204, Some((accepted, spent)));
    }
}

#[test]
fn paying_item_by_item_up_to_the_receipt_is_right() {
    let mut story = paid();
    let op = story.invoke(Action::Pay(Payment { account: None, ..payment(PayAct::Ask, 0) }));
    story.answers(op, 402, None, |_| {});
    let conn = story.buys(PayAct::Open, 1);
    story.got(conn, [1]);
    for n in 2..=4 {
        story.due(conn, n, n - 1);
        story.pays(payment(PayAct::Voucher, n), 204, Some((n, n - 1)));
        story.got(conn, [n as u32]);
    }
    story.receipt(conn, 4, 4);
    story.end(conn, Ended::Eof);
    story.state(4, 4);
    story.holds(&["MONEY-1", "MONEY-2", "MONEY-3", "MONEY-4", "MONEY-5", "MONEY-6", "MONEY-8", "START-1"]);
}

#[test]
fn an_account_never_goes_back() {
    let mut story = paid();
    let conn = story.buys(PayAct::Open, 3);
    story.got(conn, [1, 2]);
    story.state(3, 2);
    story.pays(payment(PayAct::Voucher, 5), 204, Some((5, 2)));
    let op = story.invoke(Action::Pay(Payment { flaw: None, ..payment(PayAct::Proof, 0) }));
    story.push(What::Told(Box::new(Told { says: Says::Snapshot, ..told(ToldBy::Answer(op), 3, 2) })));
    story.complete(op, Outcome::Ok { status: 204, cursor: None });
    story.violates("MONEY-1");
}

#[test]
fn a_voucher_that_overtakes_a_statement_takes_nothing_back() {
    let mut story = paid();
    story.pays(payment(PayAct::Open, 1), 204, Some((1, 0)));
    let slow = story.invoke(Action::Pay(payment(PayAct::Voucher, 2)));
    story.pays(payment(PayAct::Voucher, 3), 204, Some((3, 0)));
    story.answers(slow, 204, Some((2, 0)), |_| {});
    story.holds(&["MONEY-1"]);
}

#[test]
fn spent_stays_below_accepted() {
    let mut story = paid();
    let conn = story.buys(PayAct::Open, 2);
    story.got(conn, [1, 2]);
    story.push(What::Told(Box::new(told(ToldBy::Frame(conn), 1, 2))));
    story.violates("MONEY-2");
}

#[test]
fn a_charge_without_delivery_counts_once_nothing_is_on_its_way() {
    let mut story = paid();
    let conn = story.buys(PayAct::Open, 9);
    story.got(conn, 1..=4);
    story.state(9, 5);
    story.violates("MONEY-3");
}

#[test]
fn what_may_be_on_its_way_when_a_reader_is_cut_may_be_charged() {
    let mut story = paid();
    let conn = story.buys(PayAct::Open, 9);
    story.got(conn, 1..=2);
    story.cut(conn);
    story.state(9, 4);
    story.holds(&["MONEY-3", "MONEY-4"]);
}

#[test]
fn an_item_before_its_voucher_is_unpaid() {
    let mut story = paid();
    let conn = story.buys(PayAct::Open, 1);
    story.got(conn, 1..=2);
    story.violates("MONEY-4");
}

#[test]
fn a_delivery_that_was_never_charged_is_unpaid() {
    let mut story = paid();
    let conn = story.buys(PayAct::Open, 4);
    story.got(conn, 1..=4);
    story.state(4, 3);
    story.violates("MONEY-4");
}

#[test]
fn content_without_payment_is_no_challenge() {
    let mut story = paid();
    let op = story.invoke(Action::Pay(Payment { account: None, ..payment(PayAct::Ask, 0) }));
    story.answers(op, 200, None, |_| {});
    story.violates("MONEY-4");
}

#[test]
fn a_pause_is_announced_once_and_neither_loses_nor_repeats() {
    type Wrong = fn(&mut Story, ConnId);
    let wrongs: [Wrong; 3] = [
        |story, conn| {
            story.due(conn, 2, 1);
            story.pays(payment(PayAct::Voucher, 4), 204, None);
            story.got(conn, [2]);
        },
        |story, conn| {
            story.pays(payment(PayAct::Voucher, 4), 204, None);
            story.got(conn, [3]);
        },
        |story, conn| {
            story.pays(payment(PayAct::Voucher, 4), 204, None);
            story.got(conn, [1]);
        },
    ];
    for wrong in wrongs {
        let mut story = paid();
        let conn = story.buys(PayAct::Open, 1);
        story.got(conn, [1]);
        story.due(conn, 2, 1);
        wrong(&mut story, conn);
        assert!(story.violated().contains(&"MONEY-5".to_owned()), "{:?}", story.violated());
    }
}

#[test]
fn vouchers_that_are_wrong_or_lower_are_refused_and_repeated_ones_are_not() {
    let wrong = |change: fn(&mut Payment), status: u16| {
        let mut story = paid();
        story.pays(payment(PayAct::Open, 3), 204, Some((3, 0)));
        let mut pay = payment(PayAct::Voucher, 5);
        change(&mut pay);
        story.pays(pay, status, None);
        story.violated()
    };
    let foreign: fn(&mut Payment) = |pay| pay.flaw = Some(Flaw::OtherSigner);
    assert_eq!(wrong(foreign, 402), Vec::<String>::new());
    assert_eq!(wrong(foreign, 204), ["MONEY-6"]);
    assert_eq!(wrong(|pay| pay.amount = 2, 402), Vec::<String>::new());
    assert_eq!(wrong(|pay| pay.amount = 2, 204), ["MONEY-6"]);
    assert_eq!(wrong(|pay| pay.amount = 3, 204), Vec::<String>::new());
    assert_eq!(wrong(|pay| pay.amount = 3, 402), ["MONEY-6"]);
    assert_eq!(wrong(|pay| pay.amount = 11, 204), ["MONEY-2"]);
}

#[test]
fn managing_an_account_costs_nothing_and_brings_nothing() {
    let mut story = paid();
    story.pays(payment(PayAct::Open, 3), 204, Some((3, 0)));
    story.pays(payment(PayAct::Voucher, 4), 204, Some((4, 0)));
    story.holds(&["MONEY-7"]);
    let op = story.invoke(Action::Pay(payment(PayAct::Voucher, 5)));
    story.answers(op, 200, Some((5, 0)), |paid| paid.body = 20);
    story.violates("MONEY-7");
}

#[test]
fn a_stream_that_ends_in_order_has_one_receipt_behind_its_last_item() {
    type Ending = fn(&mut Story, ConnId);
    let endings: [(Ending, bool); 5] = [
        (|story, conn| story.receipt(conn, 4, 4), true),
        (|_, _| {}, false),
        (
            |story, conn| {
                story.receipt(conn, 4, 4);
                story.receipt(conn, 4, 4);
            },
            false,
        ),
        (|story, conn| story.cut(conn), true),
        (
            |story, conn| {
                story.end(conn, Ended::Broken { why: "reset".to_owned() });
            },
            true,
        ),
    ];
    for (nth, (ending, right)) in endings.into_iter().enumerate() {
        let mut story = paid();
        let conn = story.buys(PayAct::Open, 4);
        story.got(conn, 1..=4);
        ending(&mut story, conn);
        if nth < 3 {
            story.end(conn, Ended::Eof);
        }
        assert_eq!(!story.violated().contains(&"MONEY-8".to_owned()), right, "ending {nth}");
    }
}

#[test]
fn a_refusal_has_no_receipt_and_is_no_stream() {
    let mut story = paid();
    story.pays(payment(PayAct::Open, 3), 204, Some((3, 0)));
    let op = story.invoke(Action::Pay(payment(PayAct::Voucher, 2)));
    story.answers(op, 402, None, |paid| paid.receipt = true);
    story.violates("MONEY-8");
    let mut story = paid();
    let op = story.invoke(Action::Pay(payment(PayAct::Voucher, 2)));
    story.answers(op, 500, None, |paid| paid.media = Some("text/event-stream".to_owned()));
    assert!(story.violated().contains(&"START-1".to_owned()));
}

#[test]
fn an_account_that_a_kill_sets_back_has_not_survived() {
    let mut story = paid();
    story.pays(payment(PayAct::Open, 5), 204, Some((5, 0)));
    story.restart("KILL");
    let op = story.invoke(Action::Pay(payment(PayAct::Proof, 0)));
    story.push(What::Told(Box::new(told(ToldBy::Answer(op), 1, 0))));
    story.complete(op, Outcome::Ok { status: 204, cursor: None });
    story.violates("MONEY-9");
}

#[test]
fn closing_ends_the_use_of_an_account() {
    let close = payment(PayAct::Close, 5);
    let mut story = paid();
    let conn = story.buys(PayAct::Open, 5);
    story.got(conn, 1..=4);
    story.pays(close.clone(), 204, Some((5, 4)));
    story.pays(close.clone(), 410, None);
    story.pays(payment(PayAct::Voucher, 6), 410, None);
    story.holds(&["MONEY-10"]);
    story.publish([5]);
    story.got(conn, [5]);
    assert!(story.violated().contains(&"MONEY-10".to_owned()));
    let mut story = paid();
    story.pays(payment(PayAct::Open, 5), 204, Some((5, 0)));
    story.pays(close, 204, Some((5, 0)));
    story.pays(payment(PayAct::Voucher, 6), 204, Some((6, 0)));
    assert!(story.violated().contains(&"MONEY-10".to_owned()));
}

#[test]
fn a_stream_that_was_left_while_it_waited_is_charged_nothing() {
    for (spent, right) in [(1, true), (2, false)] {
        let mut story = paid();
        let conn = story.buys(PayAct::Open, 1);
        story.got(conn, [1]);
        story.due(conn, 2, 1);
        story.end(conn, Ended::Ours);
        story.pays(payment(PayAct::Voucher, 4), 204, Some((4, 1)));
        story.state(4, spent);
        assert_eq!(!story.violated().contains(&"MONEY-11".to_owned()), right, "{spent}");
    }
}

#[test]
fn a_voucher_that_was_on_its_way_when_its_reader_left_may_have_been_used() {
    let mut story = paid();
    let conn = story.buys(PayAct::Open, 1);
    story.got(conn, [1]);
    story.due(conn, 2, 1);
    let voucher = story.invoke(Action::Pay(payment(PayAct::Voucher, 2)));
    story.end(conn, Ended::Ours);
    story.complete(voucher, Outcome::Ok { status: 204, cursor: None });
    story.state(2, 2);
    assert_eq!(story.violated(), [""; 0]);
}

#[test]
fn stale_challenges_and_used_proofs_are_refused_with_a_fresh_challenge() {
    for (flaw, status, fresh, right) in [
        (Flaw::ExpiredChallenge, 402, true, true),
        (Flaw::ExpiredChallenge, 402, false, false),
        (Flaw::ExpiredChallenge, 204, true, false),
        (Flaw::UsedProof, 402, true, true),
        (Flaw::UsedProof, 204, false, false),
    ] {
        let mut story = paid();
        story.pays(payment(PayAct::Open, 1), 204, Some((1, 0)));
        let op = story.invoke(Action::Pay(Payment { flaw: Some(flaw), ..payment(PayAct::Proof, 0) }));
        story.answers(op, status, None, |paid| paid.challenge = fresh);
        assert_eq!(!story.violated().contains(&"MONEY-12".to_owned()), right, "{flaw:?} {status} {fresh}");
    }
}

#[test]
fn content_that_breaks_its_frame_is_taken_for_control() {
    for (altered, right) in [(false, true), (true, false)] {
        let mut story = paid();
        let op = story.send(Publish { hostile: true, ..story.event(5) });
        story.ack(op);
        let conn = story.buys(PayAct::Open, 9);
        story.got(conn, 1..=4);
        story.got_but(conn, 5, |delivery| {
            if altered {
                delivery.body = Some(crate::history::Body::of("a piece"));
            }
        });
        assert_eq!(!story.violated().contains(&"START-2".to_owned()), right);
    }
}

#[test]
fn a_free_stream_promises_nothing_about_money() {
    let mut story = Story::new();
    story.publish([1]);
    assert!(story.violated().is_empty());
}

/// What a program makes of an answer that is no stream.
fn refused_program(taken: bool, how: Ended) -> Story {
    let mut story = Story::new();
    story.publish(1..=2);
    let conn = story.ask("a", crate::history::Surface::Stream, From::Start, Role::Driven);
    story.answer(conn, 500, "");
    if taken {
        story.got(conn, [1]);
    }
    story.end(conn, how);
    story
}

#[test]
fn a_client_takes_nothing_from_a_refusal() {
    refused_program(false, Ended::Done).holds(&["START-3"]);
    refused_program(true, Ended::Done).violates("START-3");
    refused_program(true, Ended::Eof).violates("START-3");
    refused_program(false, Ended::Eof).violates("START-3");
    assert_eq!(refused_program(false, Ended::Ours).violated(), [""; 0]);
}

/// A program asks for one stream with these payments, each answered with this status and something else than a stream.
fn bought(payments: &[(PayAct, u64)], status: u16) -> Story {
    let mut story = paid();
    let conn = story.ask("a", crate::history::Surface::Stream, From::Start, Role::Driven);
    for (act, amount) in payments {
        let op = story.invoke(Action::Pay(Payment { conn: Some(conn), content: true, deposit: 0, ..payment(*act, *amount) }));
        let account = (status < 400).then_some((*amount, *amount));
        story.answers(op, status, account, |paid| paid.media = Some("application/json".to_owned()));
    }
    story.push(What::Answer(Box::new(crate::history::Answer {
        conn,
        status,
        accepted: false,
        content_type: Some("application/json".into()),
        cache_control: None,
        body: String::new(),
    })));
    story.end(conn, Ended::Done);
    story
}

#[test]
fn a_client_pays_once_for_what_it_asks_once() {
    // What is no stream is a delivery of its own, and the deposit of a program's channel is not known.
    bought(&[(PayAct::Open, 1)], 200).holds(&["MONEY-3", "MONEY-13", "START-3"]);
    bought(&[(PayAct::Open, 1), (PayAct::Voucher, 2)], 200).violates("MONEY-13");
    assert_eq!(bought(&[(PayAct::Open, 1), (PayAct::Voucher, 2)], 500).violated(), [""; 0]);
}
