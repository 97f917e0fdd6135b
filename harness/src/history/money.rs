//! What is observed of accounts: requests that pay, their answers, and what the server says of an account.
//!
//! Amounts are counts of the smallest unit. An account is one payment channel; a wallet that opens a second channel has a
//! second account.

use serde::{Deserialize, Serialize};

use super::{ConnId, OpId, SessionIx};

/// An account of the run, numbered from 0 in the order in which wallets opened them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountIx(pub u32);

/// A request that pays, or asks without paying.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Hash)]
pub struct Payment {
    /// The account, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountIx>,
    /// Whose wallet pays.
    pub wallet: String,
    /// On which session's stream.
    pub session: SessionIx,
    /// What it does.
    pub act: PayAct,
    /// The amount: authorised in all, or paid in by an opening's or top-up's deposit.
    #[serde(default)]
    pub amount: u64,
    /// What an opening or top-up pays in.
    #[serde(default)]
    pub deposit: u64,
    /// The connection that it opens, when it asks for the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<ConnId>,
    /// True when it asks for paid content that is no stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content: bool,
    /// What is wrong with it on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<Flaw>,
}

/// What a payment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PayAct {
    /// Ask without paying.
    Ask,
    /// Open a channel, or confirm one that is open.
    Open,
    /// Authorise an amount; the same amount again asks for the account's state.
    Voucher,
    /// Pay in more.
    TopUp,
    /// Settle.
    Close,
    /// Prove who one is, and be told of one's channel.
    Proof,
}

/// What is wrong with a payment on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// Somebody else signed it.
    OtherSigner,
    /// Its channel is another wallet's, its descriptor and signature its own.
    OtherChannel,
    /// Its amount was raised after it was signed.
    Tampered,
    /// It says to come from somebody else.
    OtherSource,
    /// Its challenge was changed.
    ForgedChallenge,
    /// Its challenge has expired.
    ExpiredChallenge,
    /// It is a proof that was used before.
    UsedProof,
}

impl Flaw {
    /// True when the flaw is in the challenge or proof, and not in the voucher.
    pub fn of_challenge(self) -> bool {
        matches!(self, Flaw::ForgedChallenge | Flaw::ExpiredChallenge | Flaw::UsedProof)
    }
}

/// The answer to a request that paid, or had to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Hash)]
pub struct Paid {
    /// To which request.
    pub op: OpId,
    /// Its status.
    pub status: u16,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// Whether it asks caches to keep nothing.
    pub no_store: bool,
    /// Whether it carries a challenge that can be read.
    pub challenge: bool,
    /// Whether it carries a receipt.
    pub receipt: bool,
    /// Bytes of its body; none is read of an accepted stream.
    pub body: u64,
}

/// What the server said of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Hash)]
pub struct Told {
    /// Of which account, when it named one of the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountIx>,
    /// Where.
    pub by: ToldBy,
    /// In what.
    pub says: Says,
    /// Authorised in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<u64>,
    /// Charged in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<u64>,
    /// Items charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<u64>,
    /// Paid in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposit: Option<u64>,
    /// What must be authorised for the stream to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required: Option<u64>,
}

/// Where the server said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum ToldBy {
    /// In the answer to a request.
    Answer(OpId),
    /// In a frame of a stream.
    Frame(ConnId),
}

/// In what the server said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// A receipt.
    Receipt,
    /// A request for payment.
    Due,
    /// A snapshot for a payer that has forgotten.
    Snapshot,
}
