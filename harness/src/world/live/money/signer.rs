//! A program that signs: JSON lines on its standard input and output.
//!
//! First it is asked `{"do":"hello"}` and answers with any line when it is ready. Then it is asked `{"do":"sign","key":"11","challenge":…,"action":…,"amount":…,"deposit":…,"channelId":…,"descriptor":…}` and answers
//! `{"authorization":…,"payload":{…}}`, or `{"error":…}`. It ends with its input.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::lines::Program;
use crate::history::PayAct;

/// How long a signature may take.
const SIGNING: Duration = Duration::from_secs(20);

/// What is to be signed.
pub(super) struct Order<'a> {
    /// Whose key, in hexadecimal digits.
    pub(super) key: &'a str,
    pub(super) challenge: &'a str,
    pub(super) act: PayAct,
    pub(super) amount: u64,
    pub(super) deposit: u64,
    pub(super) channel: Option<String>,
    pub(super) descriptor: Option<Value>,
}

/// A running program.
pub(super) struct Driver(Program);

impl Driver {
    /// Starts the program of these words.
    pub(super) async fn start(command: &[String]) -> Result<Driver, String> {
        Program::start(command, "the signing program", &json!({ "do": "hello" })).await.map(Driver)
    }

    /// Sends a line and gets one.
    async fn exchange(&mut self, line: &Value) -> Result<String, String> {
        let exchange = async {
            self.0.input.say(line).await?;
            self.0.output.hear().await
        };
        let late = |_| format!("the signing program did not answer within {} s", SIGNING.as_secs());
        tokio::time::timeout(SIGNING, exchange).await.map_err(late)?
    }

    /// Has a credential signed: the value of `Authorization`, and what is in it.
    pub(super) async fn sign(&mut self, order: &Order<'_>) -> Result<(String, Value), String> {
        let action = match order.act {
            PayAct::Open => "open",
            PayAct::TopUp => "topUp",
            PayAct::Close => "close",
            PayAct::Proof => "proof",
            PayAct::Voucher | PayAct::Ask => "voucher",
        };
        let mut line = json!({ "do": "sign", "key": order.key, "challenge": order.challenge, "action": action, "amount": order.amount, "deposit": order.deposit });
        if let Some(channel) = &order.channel {
            line["channelId"] = json!(channel);
        }
        if let Some(descriptor) = &order.descriptor {
            line["descriptor"] = descriptor.clone();
        }
        let line = self.exchange(&line).await?;
        let answer: Value = serde_json::from_str(&line).map_err(|e| format!("the signing program answered no JSON: {e}"))?;
        match answer.get("authorization").and_then(Value::as_str) {
            Some(authorization) => Ok((authorization.to_owned(), answer.get("payload").cloned().unwrap_or_default())),
            None => Err(format!("the signing program refused: {}", answer.get("error").and_then(Value::as_str).unwrap_or(&line))),
        }
    }
}
