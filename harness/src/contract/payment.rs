//! Streams that are paid by the item (402 Payment Required, scheme `Payment`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is promised of payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentContract {
    /// The price of an item.
    #[serde(default = "one")]
    pub price: u64,
    /// How many KiB of charged items may be on their way to a reader that does not read: the buffers of both systems.
    #[serde(default = "buffers")]
    pub in_flight_kib: u64,
}

fn one() -> u64 {
    1
}

fn buffers() -> u64 {
    8 << 10
}

/// How payments look on the wire. Management requests go by POST, proofs by HEAD, to where the stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentBinding {
    /// Who signs.
    #[serde(default)]
    pub signer: Signer,
    /// The type of the frame that asks for payment.
    pub due: String,
    /// The type of the frame that ends a paid stream.
    pub receipt: String,
}

/// Who signs vouchers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signer {
    /// The harness itself, for the method `test`.
    #[default]
    Ed25519,
    /// A program that reads and writes JSON lines; `{base}` in its words is the server's address.
    Command(Vec<String>),
}
