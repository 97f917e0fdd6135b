//! Answers: problems, challenges in headers, receipts.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::credential::Challenge;
use crate::dialect::clock::rfc3339;
use crate::hub::now;
use crate::money::Account;
use crate::money::scheme::{METHOD, encode};

/// A refusal that a program can read.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    kind: String,
    detail: String,
    challenge: Option<Challenge>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, kind: &str, detail: &str) -> Problem {
        Problem { status, kind: kind.to_owned(), detail: detail.to_owned(), challenge: None }
    }

    /// The same with a fresh challenge, so that the payer can do better.
    pub(super) fn with(mut self, challenge: Challenge) -> Problem {
        self.challenge = Some(challenge);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Refused");
        let mut body = json!({
            "type": format!("https://paymentauth.org/problems/{}", self.kind),
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(challenge) = &self.challenge {
            body["challengeId"] = json!(challenge.id);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = &self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, text(&challenge.header()));
        }
        response
    }
}

/// A header value; what the dialect writes is visible ASCII.
pub(super) fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static("unprintable"))
}

/// What an account says of itself.
pub(super) fn receipt(account: &Account, challenge: &str, transaction: Option<&str>) -> Value {
    let mut receipt = json!({
        "method": METHOD,
        "intent": "session",
        "status": "success",
        "timestamp": rfc3339(now()),
        "reference": account.id,
        "challengeId": challenge,
        "channelId": account.id,
        "acceptedCumulative": account.accepted.to_string(),
        "spent": account.spent.to_string(),
        "units": account.units,
    });
    if let Some(transaction) = transaction {
        receipt["txHash"] = json!(transaction);
    }
    receipt
}

/// The same answer with a receipt in its header.
pub(super) fn with_receipt(mut response: Response, account: &Account, challenge: &str, transaction: Option<&str>) -> Response {
    let receipt = receipt(account, challenge, transaction).to_string();
    response.headers_mut().insert("payment-receipt", text(&encode(&receipt)));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    response
}
