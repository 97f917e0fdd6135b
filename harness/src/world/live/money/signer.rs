//! A program that signs: JSON lines on its standard input and output.
//!
//! First it is asked `{"do":"hello"}` and answers with any line when it is ready. Then it is asked `{"do":"sign","key":"11","challenge":…,"action":…,"amount":…,"deposit":…,"channelId":…,"descriptor":…}` and answers
//! `{"authorization":…,"payload":{…}}`, or `{"error":…}`. It ends with its input.
//!
//! Its answers have no numbers: each belongs to the order before it. So an order that was given is heard out, also when nobody
//! waits for it any more, because its reader was closed; a program that is too late with one is ended.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;

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

/// The program that signs beside one server. It knows nothing of runs (keys and channels come with each order), so one after
/// the other can use it.
#[derive(Default)]
pub(in crate::world::live) struct Signatory(Mutex<Option<(Vec<String>, Driver)>>);

impl Signatory {
    /// The program of these words; it is started when it does not run.
    pub(super) async fn driver(&self, command: &[String]) -> Result<Driver, String> {
        let mut kept = self.0.lock().await;
        if let Some((words, driver)) = &*kept
            && words == command
            && driver.0.lock().await.is_some()
        {
            return Ok(driver.clone());
        }
        let driver = Driver::start(command).await?;
        *kept = Some((command.to_vec(), driver.clone()));
        Ok(driver)
    }
}

/// A running program, or none any more.
#[derive(Clone)]
pub(super) struct Driver(Arc<Mutex<Option<Program>>>);

impl Driver {
    /// Starts the program of these words.
    async fn start(command: &[String]) -> Result<Driver, String> {
        let program = Program::start(command, "the signing program", &json!({ "do": "hello" })).await?;
        Ok(Driver(Arc::new(Mutex::new(Some(program)))))
    }

    /// Sends a line and gets one.
    async fn exchange(&self, line: Value) -> Result<String, String> {
        let place = Arc::clone(&self.0);
        let heard_out = tokio::spawn(async move {
            let mut place = place.lock().await;
            let program = place.as_mut().ok_or("the signing program has ended")?;
            let exchange = async {
                program.input.say(&line).await?;
                program.output.hear().await
            };
            let late = |_| format!("the signing program did not answer within {} s", SIGNING.as_secs());
            let heard = tokio::time::timeout(SIGNING, exchange).await.map_err(late).flatten();
            if heard.is_err() {
                *place = None;
            }
            heard
        });
        heard_out.await.map_err(|e| format!("the signing program was not heard out: {e}"))?
    }

    /// Has a credential signed: the value of `Authorization`, and what is in it.
    pub(super) async fn sign(&self, order: &Order<'_>) -> Result<(String, Value), String> {
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
        let line = self.exchange(line).await?;
        let answer: Value = serde_json::from_str(&line).map_err(|e| format!("the signing program answered no JSON: {e}"))?;
        match answer.get("authorization").and_then(Value::as_str) {
            Some(authorization) => Ok((authorization.to_owned(), answer.get("payload").cloned().unwrap_or_default())),
            None => Err(format!("the signing program refused: {}", answer.get("error").and_then(Value::as_str).unwrap_or(&line))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Driver, Order, Signatory};
    use crate::history::PayAct;

    /// Signs with the key itself; the key `never` is not answered.
    const ECHO: &str = r#"while read -r line; do
        key=${line#*\"key\":\"}; key=${key%%\"*}
        [ "$key" = never ] || echo "{\"authorization\":\"$key\",\"payload\":{}}"
    done"#;

    fn words() -> Vec<String> {
        ["sh", "-c", ECHO].map(str::to_owned).to_vec()
    }

    async fn signed(driver: &Driver, key: &str) -> Result<String, String> {
        let order = Order { key, challenge: "", act: PayAct::Open, amount: 1, deposit: 1, channel: None, descriptor: None };
        driver.sign(&order).await.map(|(authorization, _)| authorization)
    }

    /// The answer to an order whose reader was closed was taken for the next order's, and so on for the rest of the run:
    /// wallets paid with each other's credentials.
    #[tokio::test]
    async fn an_order_that_nobody_waits_for_keeps_its_answer() {
        let signatory = Signatory::default();
        let driver = signatory.driver(&words()).await.unwrap();
        for _ in 0..3 {
            let mut left = Box::pin(signed(&driver, "left"));
            assert!(futures_util::poll!(&mut left).is_pending());
            drop(left);
            assert_eq!(signed(&driver, "waited-for").await.unwrap(), "waited-for");
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_answer_is_replaced() {
        let signatory = Signatory::default();
        let driver = signatory.driver(&words()).await.unwrap();
        tokio::time::pause();
        let late = tokio::time::timeout(Duration::from_secs(60), signed(&driver, "never")).await.unwrap();
        assert!(late.unwrap_err().contains("did not answer within 20 s"));
        assert!(signed(&driver, "later").await.unwrap_err().contains("has ended"));
        tokio::time::resume();
        let other = signatory.driver(&words()).await.unwrap();
        assert_eq!(signed(&other, "again").await.unwrap(), "again");
    }
}
