//! Payments of a program that pays by itself, as they pass the proxy.

use serde_json::Value;
use streamspec_reference_server::money::scheme;

use super::{Purse, payment};
use crate::history::{Action, Complete, ConnId, Invoke, OpId, Outcome, PayAct, Payment, SessionIx, What};
use crate::world::Whole;

/// A request of such a program that has no answer yet.
#[derive(Clone, Copy, Debug)]
pub(in crate::world::live) struct Sent {
    op: OpId,
    unpaid: bool,
}

impl Purse {
    /// Records a request that is about to reach the server. What an opening pays in stands in a transaction that only the
    /// program's own chain can read: it is recorded as 0.
    pub(in crate::world::live) fn overhear(
        &self,
        conn: ConnId,
        session: SessionIx,
        reader: &str,
        method: &str,
        headers: &[(String, String)],
    ) -> Sent {
        let paying = self.read(conn, session, reader, method, headers);
        let unpaid = paying.act == PayAct::Ask;
        let op = self.recorder.operation();
        self.record(What::Invoke(Box::new(Invoke { op, action: Action::Pay(paying) })));
        Sent { op, unpaid }
    }

    fn read(&self, conn: ConnId, session: SessionIx, reader: &str, method: &str, headers: &[(String, String)]) -> Payment {
        let content = method == "GET";
        let asking = Payment { content, conn: content.then_some(conn), ..payment(reader, session, PayAct::Ask) };
        let authorization = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let credential = authorization.and_then(|(_, value)| value.strip_prefix("Payment ")).and_then(scheme::decode);
        let Some(payload) = credential.as_ref().and_then(|credential| credential.get("payload")) else { return asking };
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        let amount = |name: &str| text(name).and_then(|amount| amount.parse().ok()).unwrap_or(0);
        let act = match text("action") {
            Some("open") => PayAct::Open,
            Some("voucher") => PayAct::Voucher,
            Some("topUp") => PayAct::TopUp,
            Some("close") => PayAct::Close,
            Some(_) | None => return Payment { act: PayAct::Proof, ..asking },
        };
        Payment {
            act,
            account: text("channelId").map(|channel| self.new_account(channel)),
            amount: amount("cumulativeAmount"),
            deposit: amount("additionalDeposit"),
            ..asking
        }
    }

    /// Records the head of the answer.
    pub(in crate::world::live) fn overhear_answer(&self, Sent { op, unpaid }: Sent, status: u16, headers: &[(String, String)]) {
        let whole = Whole { status, headers: headers.to_vec(), body: String::new() };
        self.answered(op, &whole);
        let outcome = match (200..300).contains(&status) || unpaid && status == 402 {
            true => Outcome::Ok { status, cursor: None },
            false => Outcome::Failed { status, body: String::new() },
        };
        self.record(What::Complete(Complete { op, outcome }));
    }

    /// Records that no answer will come.
    pub(in crate::world::live) fn overhear_loss(&self, Sent { op, .. }: Sent) {
        let outcome = Outcome::Unknown { why: "the connection ended without an answer".to_owned() };
        self.record(What::Complete(Complete { op, outcome }));
    }
}
