//! Challenges and credentials: what is asked for, and what a request proves.
//!
//! A challenge's name is a keyed hash of its content, so that every challenge ever given is recognised without a memory, and
//! a changed one is not.

use std::sync::atomic::Ordering;

use axum::http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Problem;
use super::{PRICE, Shared};
use crate::bugs::Bug;
use crate::dialect::clock::rfc3339;
use crate::hub::now;
use crate::money::scheme::{CHAIN, CURRENCY, Descriptor, ESCROW, METHOD, PAYEE, canonical, challenge_id, decode, encode};
use crate::session::Millis;

const REALM: &str = "streamspec.test";

/// What a route asks for.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// The deposit that is suggested.
    pub(super) deposit: u64,
    /// For how many seconds a challenge is good.
    pub(super) lifetime: u64,
}

/// What is asked of a payer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Challenge {
    pub(super) id: String,
    realm: String,
    method: String,
    pub(super) intent: String,
    request: String,
    pub(super) expires: String,
}

impl Challenge {
    /// Asks for a session's payment.
    pub(super) fn session(shared: &Shared, terms: &Terms) -> Challenge {
        let request = json!({
            "amount": PRICE.to_string(),
            "currency": CURRENCY,
            "methodDetails": { "chainId": CHAIN, "escrowContract": ESCROW, "sessionProtocol": "v2" },
            "recipient": PAYEE,
            "suggestedDeposit": terms.deposit.to_string(),
            "unitType": "item",
        });
        Challenge::fresh(shared, "session", &request, terms.lifetime)
    }

    /// Asks for a proof of identity: a payment of nothing.
    pub(super) fn identity(shared: &Shared, terms: &Terms) -> Challenge {
        let request = json!({ "amount": "0", "currency": CURRENCY, "methodDetails": { "chainId": CHAIN }, "recipient": PAYEE });
        Challenge::fresh(shared, "charge", &request, terms.lifetime)
    }

    fn fresh(shared: &Shared, intent: &str, request: &Value, lifetime: u64) -> Challenge {
        let request = encode(&canonical(request));
        // Two in one millisecond would be one challenge, and who proves it second would be told that it was used before. A
        // burst of them does not run ahead of the clock for long, so that what is short-lived does end.
        const AHEAD: u64 = 100;
        let now = now().0;
        let later = |last: u64| now.max((last + 1).min(now + AHEAD));
        let last = shared.given.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(later(last))).unwrap_or_else(|last| last);
        let expires = rfc3339(Millis(later(last) + lifetime * 1000));
        let mut challenge = Challenge {
            id: String::new(),
            realm: REALM.to_owned(),
            method: METHOD.to_owned(),
            intent: intent.to_owned(),
            request,
            expires,
        };
        challenge.id = challenge.name(shared);
        challenge
    }

    fn name(&self, shared: &Shared) -> String {
        let slots = [&self.realm, &self.method, &self.intent, &self.request, &self.expires].map(String::as_str);
        challenge_id(shared.book.secret(), [slots[0], slots[1], slots[2], slots[3], slots[4], "", ""])
    }

    /// The value of `WWW-Authenticate`.
    pub(super) fn header(&self) -> String {
        let Challenge { id, realm, method, intent, request, expires } = self;
        format!(
            "Payment id=\"{id}\", realm=\"{realm}\", method=\"{method}\", intent=\"{intent}\", request=\"{request}\", expires=\"{expires}\""
        )
    }
}

/// What a request proves.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Credential {
    pub(super) challenge: Challenge,
    pub(super) payload: Payload,
    pub(super) source: Option<String>,
}

/// What a payer does.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Payload {
    /// Something with a channel.
    Channel(Box<Action>),
    /// A proof of identity.
    Proof {
        #[serde(rename = "type")]
        _proof: ProofWord,
        signature: String,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProofWord {
    Proof,
}

/// What a payer does with a channel.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Action {
    Open { channel_id: String, transaction: String, signature: String, descriptor: Descriptor, cumulative_amount: String },
    Voucher { channel_id: String, descriptor: Descriptor, cumulative_amount: String, signature: String },
    TopUp { channel_id: String, transaction: String, descriptor: Descriptor, additional_deposit: String },
    Close { channel_id: String, descriptor: Descriptor, cumulative_amount: String, signature: String },
}

impl Action {
    pub(super) fn channel(&self) -> (&str, &Descriptor) {
        match self {
            Action::Open { channel_id, descriptor, .. }
            | Action::Voucher { channel_id, descriptor, .. }
            | Action::TopUp { channel_id, descriptor, .. }
            | Action::Close { channel_id, descriptor, .. } => (channel_id, descriptor),
        }
    }
}

/// The credential of a request, checked against its challenge.
///
/// # Errors
/// The refusal: none was sent, it is no credential, or its challenge is none of ours, of another kind, or too old.
#[allow(clippy::result_large_err, reason = "the refusal is the whole answer, made once a request")]
pub(super) fn of(shared: &Shared, method: &Method, headers: &HeaderMap, terms: &Terms) -> Result<Credential, Problem> {
    let head = *method == Method::HEAD;
    let asked = || if head { Challenge::identity(shared, terms) } else { Challenge::session(shared, terms) };
    let refuse = |kind: &str, detail: &str| Problem::new(StatusCode::PAYMENT_REQUIRED, kind, detail).with(asked());
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
    let Some((_, token)) = sent.filter(|(scheme, token)| scheme.eq_ignore_ascii_case("payment") && !token.trim().is_empty()) else {
        return Err(refuse("payment-required", "Payment is required."));
    };
    let Some(json) = decode(token.trim()) else { return Err(refuse("malformed-credential", "the credential is no JSON in base64url")) };
    let credential: Credential =
        serde_json::from_value(json).map_err(|e| refuse("invalid-payload", &format!("the credential has another shape: {e}")))?;
    let challenge = &credential.challenge;
    let expected = asked();
    let same = challenge.intent == expected.intent && amount(&challenge.request) == amount(&expected.request);
    if challenge.id != challenge.name(shared) || !same {
        return Err(refuse("invalid-challenge", "the challenge is none of this server's for this request"));
    }
    if challenge.expires < rfc3339(now()) && !shared.hub.bugs.has(Bug::ExpiredAccepted) {
        return Err(refuse("payment-expired", "the challenge has expired"));
    }
    Ok(credential)
}

fn amount(request: &str) -> Option<String> {
    decode(request)?["amount"].as_str().map(str::to_owned)
}
