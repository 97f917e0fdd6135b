//! The adapter protocol: orders for a client on its standard input, a JSON line each, and its answers among the lines that it
//! writes. docs/client-testing.md describes it for adapters; both sides here, the judge's and the built-in reader's, use this form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version that is spoken. Another one is a change that an adapter of this one could not bear.
pub const VERSION: u32 = 1;
/// What an adapter may declare, beside the needs of cases that a plain client knows as well.
pub const FEATURES: &[&str] = &["headers", "post", "dedup", "gap", "state", "close", "publish", "restart"];

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number, under which it is answered. Numbers go up over all lives of a client.
    pub order: u32,
    /// What is to be done.
    #[serde(flatten)]
    pub what: Ordered,
}

/// What a client is ordered to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
pub enum Ordered {
    /// Say which version is spoken, and what can be done.
    Init {
        /// The version of the orders that follow.
        version: u32,
        /// The case, for the adapter's own logs.
        case: String,
    },
    /// Read a stream.
    Subscribe(Subscribe),
    /// Send something to the server; answered with its outcome.
    Publish(Publish),
    /// Leave the stream for good.
    Close {},
    /// Throw away all that is in memory, and read the stream again from what was stored.
    Restart {},
}

/// What to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The stream.
    pub url: String,
    /// To be sent with each request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// `GET` when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The body of each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Where the state is after a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The session to subscribe to, where the stream is a WebSocket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The file in which the position is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

/// What to send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// Where, by POST.
    pub url: String,
    /// To be sent with each request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The header `Idempotency-Key`.
    pub key: String,
    /// The body, to be sent as it is.
    pub body: String,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The number of the order.
    pub answer: u32,
    /// To `init`: the version that is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// To `init`: what can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// To `publish`: what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Beside an outcome, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The order cannot be carried out, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
}

/// What a client says became of what it published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The server has said that it has it.
    Accepted,
    /// The server has said that it does not take it.
    Refused,
    /// Nobody has said either.
    Unknown,
}

impl Outcome {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Refused => "refused",
            Outcome::Unknown => "unknown",
        }
    }
}

impl Answer {
    /// An answer that says no more than that the order was carried out.
    pub fn done(order: u32) -> Answer {
        Answer { answer: order, ..Answer::default() }
    }
}

impl Ordered {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Ordered::Init { .. } => "init",
            Ordered::Subscribe(_) => "subscribe",
            Ordered::Publish(_) => "publish",
            Ordered::Close {} => "close",
            Ordered::Restart {} => "restart",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_answers_have_the_form_that_the_page_shows() {
        let written = |order: &Order| serde_json::to_string(order).unwrap();
        let publish = Publish { url: "http://h/publish".to_owned(), key: "k-1".to_owned(), body: "{}".to_owned(), ..Publish::default() };
        let subscribe = Subscribe { url: "http://h/stream".to_owned(), ..Subscribe::default() };
        for (what, text) in [
            (Ordered::Init { version: 1, case: "close".to_owned() }, r#"{"order":3,"do":"init","version":1,"case":"close"}"#),
            (Ordered::Subscribe(subscribe), r#"{"order":3,"do":"subscribe","url":"http://h/stream"}"#),
            (Ordered::Publish(publish), r#"{"order":3,"do":"publish","url":"http://h/publish","key":"k-1","body":"{}"}"#),
            (Ordered::Close {}, r#"{"order":3,"do":"close"}"#),
            (Ordered::Restart {}, r#"{"order":3,"do":"restart"}"#),
        ] {
            let order = Order { order: 3, what };
            assert_eq!(written(&order), text);
            assert_eq!(serde_json::from_str::<Order>(text).unwrap(), order);
        }
        let answer = Answer { outcome: Some(Outcome::Refused), why: Some("409".to_owned()), ..Answer::done(3) };
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"answer":3,"outcome":"refused","why":"409"}"#);
        assert_eq!(serde_json::to_string(&Answer::done(3)).unwrap(), r#"{"answer":3}"#);
    }
}
