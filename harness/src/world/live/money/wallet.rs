//! A wallet: a payer's key, its channel, and what it has signed. Without IO, except where another program signs.

use serde_json::{Value, json};
use streamspec_reference_server::money::scheme::{self, Descriptor, Key};

use super::signer::{Driver, Order};
use super::wire::Challenge;
use crate::history::{AccountIx, Flaw, PayAct};

/// Who signs for a wallet.
pub(super) enum Keys {
    /// Two keys of its own: the payer's, and one that its channels do not know.
    Own { payer: Key, stranger: Key },
    /// Two keys of a program.
    Driven { driver: Driver, payer: String, stranger: String },
}

/// A wallet.
pub(super) struct Wallet {
    pub(super) keys: Keys,
    pub(super) channel: Option<Channel>,
    /// The last proof that was sent.
    pub(super) proof: Option<String>,
}

/// A channel as its payer knows it.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) account: AccountIx,
    pub(super) id: String,
    descriptor: Value,
    pub(super) deposit: u64,
    /// The highest amount signed and sent.
    pub(super) sent: u64,
    /// The opening's transaction, to confirm it.
    transaction: Value,
    pub(super) closed: bool,
}

/// What is to be signed.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    pub(super) act: PayAct,
    pub(super) challenge: &'a Challenge,
    /// Authorised in all; for a top-up what is paid in.
    pub(super) amount: u64,
    pub(super) deposit: u64,
    pub(super) flaw: Option<Flaw>,
    /// The channel that a flaw borrows.
    pub(super) borrowed: Option<Channel>,
    pub(super) capitals: bool,
}

/// A signed payment.
pub(super) struct Signed {
    /// The value of `Authorization`.
    pub(super) authorization: String,
    /// The channel that it opens.
    pub(super) opens: Option<Opens>,
    /// What it authorises, where that is not what was asked for.
    pub(super) amount: Option<u64>,
}

/// A channel in the making.
pub(super) struct Opens {
    pub(super) id: String,
    pub(super) descriptor: Value,
    pub(super) transaction: Value,
}

impl Channel {
    pub(super) fn new(account: AccountIx, opens: Opens, deposit: u64, sent: u64) -> Channel {
        let Opens { id, descriptor, transaction } = opens;
        Channel { account, id, descriptor, deposit, sent, transaction, closed: false }
    }

    /// The channel of a snapshot.
    pub(super) fn restored(account: AccountIx, snapshot: &Value) -> Option<Channel> {
        let amount = |name: &str| snapshot.get(name)?.as_str()?.parse().ok();
        Some(Channel {
            account,
            id: snapshot.get("channelId")?.as_str()?.to_owned(),
            descriptor: snapshot.get("descriptor")?.clone(),
            deposit: amount("deposit")?,
            sent: amount("acceptedCumulative")?,
            transaction: Value::Null,
            closed: false,
        })
    }
}

impl Wallet {
    /// Whether a channel is open that can be paid from.
    pub(super) fn open(&self) -> Option<&Channel> {
        self.channel.as_ref().filter(|channel| !channel.closed)
    }

    /// Signs a request. Opening a channel that is open confirms it.
    pub(super) async fn sign(&mut self, request: &Request<'_>) -> Result<Signed, String> {
        // A closed channel can still be tried; only an opening begins another one.
        let channel = self.channel.clone().filter(|channel| !(channel.closed && request.act == PayAct::Open));
        match &mut self.keys {
            Keys::Own { payer, stranger } => own(payer, stranger, channel, request),
            Keys::Driven { driver, payer, stranger } => {
                let key = if request.flaw == Some(Flaw::OtherSigner) { stranger } else { payer };
                driven(driver, key, channel, request).await
            }
        }
    }
}

fn own(payer: &Key, stranger: &Key, channel: Option<Channel>, request: &Request<'_>) -> Result<Signed, String> {
    let Request { act, amount, deposit, flaw, .. } = *request;
    let challenge = if flaw == Some(Flaw::ForgedChallenge) { request.challenge.forged() } else { request.challenge.clone() };
    let source = scheme::source(&if flaw == Some(Flaw::OtherSource) { stranger.address() } else { payer.address() });
    let signer = if flaw == Some(Flaw::OtherSigner) { stranger } else { payer };
    let done = |payload: Value, opens| Ok(Signed { authorization: challenge.credential(&payload, &source), opens, amount: None });
    if act == PayAct::Proof {
        let signature = signer.sign(&scheme::proof(challenge.field("id"), &source));
        return done(json!({ "type": "proof", "signature": signature }), None);
    }
    let (channel, opens) = match (channel, act) {
        (Some(channel), _) => (channel, false),
        (None, PayAct::Open) => (fresh(payer, request.challenge, deposit), true),
        (None, _) => return Err("the wallet has no channel".to_owned()),
    };
    let named = match (&request.borrowed, flaw) {
        (Some(other), Some(Flaw::OtherChannel)) => other.id.clone(),
        _ => channel.id.clone(),
    };
    let authorised = if flaw == Some(Flaw::Tampered) { amount.saturating_sub(1) } else { amount };
    let mut payload = json!({
        "channelId": if request.capitals { capitals(&named) } else { named.clone() },
        "descriptor": channel.descriptor,
    });
    let voucher = || signer.sign(&scheme::voucher(&named, authorised));
    match act {
        PayAct::Open => {
            payload["action"] = json!("open");
            payload["type"] = json!("transaction");
            payload["transaction"] = channel.transaction.clone();
            payload["cumulativeAmount"] = json!(amount.to_string());
            payload["signature"] = json!(voucher());
            payload["authorizedSigner"] = channel.descriptor["authorizedSigner"].clone();
        }
        PayAct::TopUp => {
            let nonce = random(16);
            let signature = signer.sign(&scheme::top_up(&channel.id, amount, &nonce));
            payload["action"] = json!("topUp");
            payload["type"] = json!("transaction");
            payload["transaction"] = transaction("topUp", &channel.id, amount, &nonce, &signature);
            payload["additionalDeposit"] = json!(amount.to_string());
        }
        PayAct::Voucher | PayAct::Close | PayAct::Ask | PayAct::Proof => {
            payload["action"] = json!(if act == PayAct::Close { "close" } else { "voucher" });
            payload["cumulativeAmount"] = json!(amount.to_string());
            payload["signature"] = json!(voucher());
        }
    }
    let opens = opens.then_some(Opens { id: channel.id, descriptor: channel.descriptor, transaction: channel.transaction });
    done(payload, opens)
}

/// A channel that nobody knows yet.
fn fresh(payer: &Key, challenge: &Challenge, deposit: u64) -> Channel {
    let descriptor = Descriptor {
        authorized_signer: payer.address(),
        expiring_nonce_hash: random(32),
        operator: format!("0x{}", "0".repeat(40)),
        payee: challenge.asks("recipient"),
        payer: payer.address(),
        salt: random(32),
        token: challenge.asks("currency"),
    };
    let id = descriptor.channel();
    let nonce = random(16);
    let transaction = transaction("open", &id, deposit, &nonce, &payer.sign(&scheme::opening(&id, deposit)));
    let descriptor = serde_json::to_value(descriptor).expect("a descriptor is data");
    Channel { account: AccountIx(0), id, descriptor, deposit, sent: 0, transaction, closed: false }
}

fn transaction(call: &str, channel: &str, deposit: u64, nonce: &str, signature: &str) -> Value {
    let transaction = json!({ "call": call, "channelId": channel, "deposit": deposit.to_string(), "nonce": nonce, "signature": signature });
    json!(format!("0x{}", scheme::hex(scheme::canonical(&transaction).as_bytes())))
}

/// A channel's name in capital letters.
fn capitals(named: &str) -> String {
    named.strip_prefix("0x").map_or_else(|| named.to_ascii_uppercase(), |digits| format!("0x{}", digits.to_ascii_uppercase()))
}

/// `0x` and that many random bytes.
fn random(bytes: usize) -> String {
    let random: Vec<u8> = (0..bytes).map(|_| rand::random()).collect();
    format!("0x{}", scheme::hex(&random))
}

/// Lets a program sign. What it cannot be asked for is done to what it has signed.
async fn driven(driver: &Driver, key: &str, channel: Option<Channel>, request: &Request<'_>) -> Result<Signed, String> {
    let Request { act, amount, deposit, flaw, .. } = *request;
    let challenge = if flaw == Some(Flaw::ForgedChallenge) { request.challenge.forged() } else { request.challenge.clone() };
    if let (PayAct::Open, Some(channel)) = (act, &channel) {
        // A program signs no opening twice: the first one is sent again.
        let authorization = channel.transaction.as_str().unwrap_or_default().to_owned();
        return Ok(Signed { authorization, opens: None, amount: None });
    }
    if channel.is_none() && !matches!(act, PayAct::Open | PayAct::Proof) {
        return Err("the wallet has no channel".to_owned());
    }
    let named = match (&request.borrowed, flaw) {
        (Some(other), Some(Flaw::OtherChannel)) => Some(other.id.clone()),
        _ => channel.as_ref().filter(|_| request.capitals).map(|channel| capitals(&channel.id)),
    };
    let order = Order {
        key,
        challenge: &request.challenge.header,
        act,
        amount: if flaw == Some(Flaw::Tampered) { amount.saturating_sub(1) } else { amount },
        deposit: if act == PayAct::TopUp { amount } else { deposit },
        channel: named,
        descriptor: channel.as_ref().map(|channel| channel.descriptor.clone()),
    };
    let (authorization, payload) = driver.sign(&order).await?;
    let mut credential = authorization
        .split_once(' ')
        .and_then(|(_, token)| scheme::decode(token))
        .ok_or_else(|| "the signing program answered with no credential".to_owned())?;
    if flaw == Some(Flaw::Tampered) {
        credential["payload"]["cumulativeAmount"] = json!(amount.to_string());
    }
    if flaw == Some(Flaw::OtherSource) {
        credential["source"] = json!(scheme::source(&format!("0x{}", "1".repeat(40))));
    }
    if flaw == Some(Flaw::ForgedChallenge) {
        credential["challenge"]["id"] = json!(challenge.field("id"));
    }
    let authorization = format!("Payment {}", scheme::encode(&credential.to_string()));
    let text = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let opens = (act == PayAct::Open).then(|| Opens {
        id: text("channelId"),
        descriptor: payload.get("descriptor").cloned().unwrap_or_default(),
        transaction: json!(authorization),
    });
    // An opening authorises what the program thinks fit.
    let amount = opens.is_some().then(|| text("cumulativeAmount").parse().ok()).flatten();
    Ok(Signed { authorization, opens, amount })
}
