//! What a credential does to accounts, and what its request is then allowed.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::answer::{Problem, text, with_receipt};
use super::credential::{self, Action, Challenge, Credential, Payload, Terms};
use super::{PRICE, Shared, empty, unavailable};
use crate::bugs::Bug;
use crate::money::scheme::{self, CHAIN, CURRENCY, Descriptor, ESCROW, PAYEE};
use crate::money::{Account, Refused, Short};

/// What a paid request gets.
pub(super) enum Granted {
    /// It was about the account alone.
    Managed(Response),
    /// Content, charged as it is delivered.
    Content {
        /// The account.
        account: Box<Account>,
        /// The challenge that it was paid for.
        challenge: String,
        /// When that challenge expires.
        expires: String,
    },
}

/// A refusal in the making: status, problem, detail.
type Why = (StatusCode, &'static str, String);

fn wrong(kind: &'static str, detail: impl Into<String>) -> Why {
    (StatusCode::PAYMENT_REQUIRED, kind, detail.into())
}

/// Takes payment for a request.
///
/// # Errors
/// The refusal, with a fresh challenge.
#[allow(clippy::result_large_err, reason = "the refusal is the whole answer, made once a request")]
pub(super) fn settle(shared: &Shared, method: &Method, headers: &HeaderMap, no_body: bool, terms: &Terms) -> Result<Granted, Response> {
    let bugs = shared.hub.bugs;
    let credential = credential::of(shared, method, headers, terms).map_err(IntoResponse::into_response)?;
    let refuse = |(status, kind, detail): Why, account: Option<&str>| {
        let response = Problem::new(status, kind, &detail).with(Challenge::session(shared, terms)).into_response();
        match account.and_then(|id| shared.book.find(&id.to_ascii_lowercase())).filter(|_| bugs.has(Bug::ReceiptOnErrors)) {
            Some(account) => with_receipt(response, &account, &credential.challenge.id, None),
            None => response,
        }
    };
    let action = match &credential.payload {
        Payload::Proof { signature, .. } => return proven(shared, &credential, signature, terms).map(Granted::Managed),
        Payload::Channel(_) if *method == Method::HEAD => {
            return Err(refuse(wrong("invalid-payload", "a HEAD request is paid with a proof"), None));
        }
        Payload::Channel(action) => action,
    };
    let (named, _) = action.channel();
    let (account, transaction) = match apply(shared, action, credential.source.as_deref()) {
        Ok(Some(applied)) => applied,
        Ok(None) => return Err(unavailable()),
        Err(why) => return Err(refuse(why, Some(named))),
    };
    let content = *method == Method::GET || !no_body || bugs.has(Bug::VoucherRunsContent);
    let challenge = credential.challenge.id.clone();
    match **action {
        Action::Open { .. } | Action::Voucher { .. } if content => {
            Ok(Granted::Content { account: Box::new(account), challenge, expires: credential.challenge.expires.clone() })
        }
        Action::Open { .. } | Action::Voucher { .. } | Action::TopUp { .. } | Action::Close { .. } => {
            let mut account = account;
            if bugs.has(Bug::VoucherCharges)
                && let Ok(Ok(charged)) = shared.book.change(&account.id, None, |a| a.charge(PRICE))
            {
                account = charged;
            }
            Ok(Granted::Managed(with_receipt(empty(StatusCode::NO_CONTENT), &account, &challenge, transaction.as_deref())))
        }
    }
}

/// The refusal of content that nothing is left for.
pub(super) fn insufficient(shared: &Shared, terms: &Terms, account: &Account, short: &Short) -> Response {
    let detail = format!("requested {PRICE}, available {}", account.accepted.saturating_sub(account.spent).min(short.accepted));
    Problem::new(StatusCode::PAYMENT_REQUIRED, "session/insufficient-balance", &detail)
        .with(Challenge::session(shared, terms))
        .into_response()
}

/// A decimal amount.
fn amount(text: &str) -> Result<u64, Why> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| wrong("invalid-payload", "an amount is a decimal number"))
}

/// Does what `action` says; `None` when the journal does not take it. The transaction's hash goes into the receipt.
fn apply(shared: &Shared, action: &Action, source: Option<&str>) -> Result<Option<(Account, Option<String>)>, Why> {
    let bugs = shared.hub.bugs;
    let (named, descriptor) = action.channel();
    let id = named.to_ascii_lowercase();
    if id != descriptor.channel() && !bugs.has(Bug::ForeignDescriptor) {
        return Err(wrong("verification-failed", "the descriptor is another channel's"));
    }
    if !descriptor.payee.eq_ignore_ascii_case(PAYEE) || !descriptor.token.eq_ignore_ascii_case(CURRENCY) {
        return Err(wrong("verification-failed", "the channel pays somebody else, or with something else"));
    }
    let known = shared.book.find(&id).filter(|_| !bugs.has(Bug::ChannelLetterCase) || named == id);
    let opening = matches!(action, Action::Open { .. });
    if known.is_none() && !opening {
        return Err((StatusCode::GONE, "session/channel-not-found", "there is no such channel".to_owned()));
    }
    let own = |address: &str| source.is_some_and(|source| source.eq_ignore_ascii_case(&scheme::source(address)));
    if !own(&descriptor.payer) && !own(&descriptor.authorized_signer) {
        return Err(wrong("verification-failed", "the source is neither the channel's payer nor its signer"));
    }
    if known.as_ref().is_some_and(|account| account.settled.is_some()) {
        return Err((StatusCode::GONE, "session/channel-finalized", "the channel is settled".to_owned()));
    }
    let (fresh, change) = match action {
        Action::Open { transaction, signature, cumulative_amount, .. } => {
            let Deposit { amount: deposit, hash } = deposit(transaction, &id, "open", descriptor, bugs.has(Bug::AnySigner))?;
            let first = signed(cumulative_amount, signature, &id, descriptor, bugs.has(Bug::AnySigner))?;
            let fresh = Account {
                id: id.clone(),
                descriptor: descriptor.clone(),
                accepted: 0,
                signature: String::new(),
                spent: 0,
                units: 0,
                deposit,
                settled: None,
                transactions: BTreeSet::from([hash.clone()]),
            };
            (Some(fresh), Change { raise: Some((first, signature)), transaction: Some(hash), ..Change::default() })
        }
        Action::Voucher { cumulative_amount, signature, .. } => {
            let amount = signed(cumulative_amount, signature, &id, descriptor, bugs.has(Bug::AnySigner))?;
            (None, Change { raise: Some((amount, signature)), ..Change::default() })
        }
        Action::TopUp { transaction, additional_deposit, .. } => {
            let Deposit { amount: deposit, hash } = deposit(transaction, &id, "topUp", descriptor, false)?;
            if deposit != amount(additional_deposit)? {
                return Err(wrong("verification-failed", "the transaction pays in another amount"));
            }
            (None, Change { more: deposit, transaction: Some(hash), ..Change::default() })
        }
        Action::Close { cumulative_amount, signature, .. } => {
            let amount = signed(cumulative_amount, signature, &id, descriptor, bugs.has(Bug::AnySigner))?;
            (None, Change { close: Some((amount, signature)), transaction: Some(scheme::hash(signature.as_bytes())), ..Change::default() })
        }
    };
    let fresh_deposit = fresh.as_ref().map(|fresh| fresh.deposit);
    match shared.book.change(&id, fresh, |account| change.make(account, bugs)) {
        Err(_) => Ok(None),
        Ok(Err(refused)) => {
            if bugs.has(Bug::TopUpForgotten) && fresh_deposit.is_none() {
                let _ = shared.book.change(&id, None, forget_top_ups);
            }
            Err(said(refused))
        }
        Ok(Ok(account)) => Ok(Some((account, change.transaction))),
    }
}

/// What an action changes in its account.
#[derive(Default)]
struct Change<'a> {
    raise: Option<(u64, &'a str)>,
    more: u64,
    close: Option<(u64, &'a str)>,
    transaction: Option<String>,
}

impl Change<'_> {
    fn make(&self, account: &mut Account, bugs: crate::bugs::BugSet) -> Result<(), Refused> {
        if let Some((amount, signature)) = self.raise {
            if bugs.has(Bug::ReopenResetsSpent) && self.transaction.is_some() {
                (account.spent, account.units) = (0, 0);
            }
            if bugs.has(Bug::RepeatedVoucherRefused) && amount == account.accepted && self.transaction.is_none() {
                return Err(Refused::Lower);
            }
            if bugs.has(Bug::VoucherBeyondDeposit) && amount > account.deposit
                || bugs.has(Bug::LowerVoucherWins) && amount < account.accepted && account.settled.is_none()
            {
                account.accepted = amount;
                return Ok(());
            }
            account.accept(amount, signature)?;
        }
        if self.more > 0 {
            account.top_up(self.more, self.transaction.as_deref().unwrap_or_default())?;
        }
        if let Some((amount, signature)) = self.close {
            account.close(amount, signature)?;
            if bugs.has(Bug::SettlesAccepted) {
                account.settled = Some(account.accepted);
            }
        }
        Ok(())
    }
}

/// The bug: what was paid in behind the last voucher goes with the voucher that was refused.
fn forget_top_ups(account: &mut Account) -> Result<(), Refused> {
    account.deposit = account.accepted;
    Ok(())
}

fn said(refused: Option<Refused>) -> Why {
    match refused {
        None => (StatusCode::GONE, "session/channel-not-found", "there is no such channel".to_owned()),
        Some(Refused::Closed) => (StatusCode::GONE, "session/channel-finalized", "the channel is settled".to_owned()),
        Some(Refused::BeyondDeposit) => wrong("session/amount-exceeds-deposit", "the amount is above the channel's deposit"),
        Some(Refused::Lower) => wrong("verification-failed", "the amount must be strictly greater than the highest voucher, or equal it"),
        Some(Refused::BelowSpent) => wrong("verification-failed", "the amount is below what was spent"),
    }
}

/// The amount of a voucher, when the channel's signer has signed it.
fn signed(amount_text: &str, signature: &str, id: &str, descriptor: &Descriptor, anybody: bool) -> Result<u64, Why> {
    let amount = amount(amount_text)?;
    let signer = scheme::signer(signature, &scheme::voucher(id, amount));
    // The bug looks at the signature alone, and not at whose it is.
    let right = signer.is_some_and(|signer| anybody || signer.eq_ignore_ascii_case(&descriptor.authorized_signer));
    if right { Ok(amount) } else { Err(wrong("session/invalid-signature", "the voucher is not signed by the channel's signer")) }
}

/// What a transaction pays in.
struct Deposit {
    amount: u64,
    hash: String,
}

fn deposit(transaction: &str, id: &str, call: &str, descriptor: &Descriptor, anybody: bool) -> Result<Deposit, Why> {
    let bad = |what: &str| wrong("verification-failed", format!("the transaction {what}"));
    let bytes = transaction.strip_prefix("0x").and_then(scheme::unhex).ok_or_else(|| bad("is not hexadecimal"))?;
    let json: Value = serde_json::from_slice(&bytes).map_err(|_| bad("is no JSON"))?;
    let field = |name: &str| json[name].as_str().unwrap_or_default();
    if field("call") != call || !field("channelId").eq_ignore_ascii_case(id) {
        return Err(bad("is about something else"));
    }
    let amount = amount(field("deposit"))?;
    let text = if call == "open" { scheme::opening(id, amount) } else { scheme::top_up(id, amount, field("nonce")) };
    let signer = scheme::signer(field("signature"), &text);
    if !signer.is_some_and(|signer| anybody || signer.eq_ignore_ascii_case(&descriptor.payer)) {
        return Err(bad("is not signed by the channel's payer"));
    }
    Ok(Deposit { amount, hash: scheme::hash(&bytes) })
}

/// A proof of identity: `204`, with what the server knows of the payer's newest channel.
#[allow(clippy::result_large_err, reason = "as above")]
fn proven(shared: &Shared, credential: &Credential, signature: &str, terms: &Terms) -> Result<Response, Response> {
    let refuse = |detail: &str| {
        Problem::new(StatusCode::PAYMENT_REQUIRED, "verification-failed", detail).with(Challenge::identity(shared, terms)).into_response()
    };
    let source = credential.source.as_deref().unwrap_or_default();
    let signer = scheme::signer(signature, &scheme::proof(&credential.challenge.id, source));
    let Some(payer) = signer.filter(|signer| source.eq_ignore_ascii_case(&scheme::source(signer))) else {
        return Err(refuse("the proof is not signed by its source"));
    };
    match shared.book.use_proof(&credential.challenge.id) {
        Ok(true) => {}
        Ok(false) => return Err(refuse("the proof was used before")),
        Err(_) => return Err(unavailable()),
    }
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(account) = shared.book.newest_of(&payer) {
        response.headers_mut().insert("payment-session", text(&account.id));
        response.headers_mut().insert("payment-session-snapshot", text(&scheme::encode_padded(&snapshot(&account).to_string())));
    }
    Ok(response)
}

fn snapshot(account: &Account) -> Value {
    json!({
        "acceptedCumulative": account.accepted.to_string(),
        "chainId": CHAIN,
        "channelId": account.id,
        "deposit": account.deposit.to_string(),
        "descriptor": account.descriptor,
        "escrow": ESCROW,
        "highestVoucher": { "channelId": account.id, "cumulativeAmount": account.accepted.to_string(), "signature": account.signature },
        "requiredCumulative": account.spent.saturating_add(PRICE).to_string(),
        "settled": account.settled.unwrap_or(0).to_string(),
        "spent": account.spent.to_string(),
        "units": account.units,
    })
}
