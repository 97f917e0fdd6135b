//! Steps that pay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::history::{Flaw, PayAct};

/// How a reader pays for its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// The wallet; default: one of the reader's name. Two readers of one wallet spend from one account.
    pub wallet: Option<String>,
    /// How many items each voucher covers. Default 1.
    #[serde(default = "one")]
    pub ahead: u32,
    /// Sign no voucher above this amount: what is asked for beyond it is withheld.
    pub upto: Option<u64>,
    /// What the channel's opening pays in. Default: far more than any scenario needs.
    pub deposit: Option<u64>,
    /// Ask for challenges that expire after this many seconds.
    pub expires: Option<u32>,
}

fn one() -> u32 {
    1
}

impl Default for Funding {
    /// Far ahead, so that scenarios about other things do not wait for payment.
    fn default() -> Self {
        Funding { wallet: None, ahead: 4096, upto: None, deposit: None, expires: None }
    }
}

/// `pay`: one payment, or several at once, on the stream of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pay {
    /// The wallet; a reader's has its name.
    pub wallet: String,
    /// The session on whose stream.
    pub session: String,
    /// What is sent. A `voucher` without amounts repeats the highest: that costs nothing and tells the account's state.
    pub send: PayAct,
    /// The amounts to authorise, in all and not in addition; several are sent at once. For a `top-up`: what is paid in.
    #[serde(default)]
    pub amounts: Vec<u64>,
    /// What an opening pays in.
    pub deposit: Option<u64>,
    /// Ask for the paid content at this path, instead of only managing the account.
    pub content: Option<String>,
    /// What is wrong with it on purpose.
    pub flaw: Option<Flaw>,
    /// The wallet whose channel a flaw borrows.
    pub other: Option<String>,
    /// Write the channel's name in capital letters, which must make no difference.
    #[serde(default)]
    pub capitals: bool,
    /// How many times, all at once. Default 1.
    #[serde(default = "one")]
    pub at_once: u32,
    /// The wallet forgets its channel first; a proof restores it.
    #[serde(default)]
    pub forget: bool,
}
