//! Payments in words.

use crate::history::{PayAct, Payment, Says, Told};

/// A payment: `voucher 3 of a`.
pub(super) fn payment(pay: &Payment) -> String {
    let act = match pay.act {
        PayAct::Ask => "request without payment",
        PayAct::Open => "channel opened with a voucher for",
        PayAct::Voucher => "voucher for",
        PayAct::TopUp => "top-up",
        PayAct::Close => "close at",
        PayAct::Proof => "proof of identity",
    };
    let amount = match pay.act {
        PayAct::Open | PayAct::Voucher | PayAct::Close => format!(" {}", pay.amount),
        PayAct::TopUp => format!(" of {}", pay.deposit),
        PayAct::Ask | PayAct::Proof => String::new(),
    };
    let flaw = pay.flaw.map_or_else(String::new, |flaw| format!(", wrong on purpose ({flaw:?})"));
    format!("{act}{amount} from the wallet {}{flaw}", pay.wallet)
}

/// A statement: `receipt: accepted 3, spent 2`.
pub(super) fn told(told: &Told) -> String {
    let what = match told.says {
        Says::Receipt => "receipt",
        Says::Due => "payment due",
        Says::Snapshot => "snapshot",
    };
    let amounts = [("required", told.required), ("accepted", told.accepted), ("spent", told.spent), ("deposit", told.deposit)];
    let amounts: Vec<String> = amounts.iter().filter_map(|(name, amount)| Some(format!("{name} {}", (*amount)?))).collect();
    format!("{what}: {}", amounts.join(", "))
}
