//! A payer: keys, channels, and requests over a real socket.

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use streamspec_reference_server::money::scheme::{self, Descriptor, Key};
use streamspec_reference_server::{Running, ServeOptions, start};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: ServeOptions,
}

/// A server in the dialect.
pub(crate) async fn serve(data: Option<&Path>) -> Running {
    let data = data.map(|data| data.display().to_string());
    let mut words = vec!["server", "--dialect", "mppx"];
    words.extend(data.iter().flat_map(|data| ["--data", data.as_str()]));
    start(&Arguments::parse_from(words).options).await.expect("it starts")
}

/// Where requests go.
pub(crate) struct Shop {
    base: String,
    client: Client,
}

/// A stream that is being read.
pub(crate) struct Reading {
    response: Response,
    pub(crate) text: String,
    pub(crate) over: Option<bool>,
}

/// A payer with a channel.
pub(crate) struct Payer {
    pub(crate) key: Key,
    pub(crate) channel: String,
    descriptor: Value,
    transaction: String,
}

/// What `WWW-Authenticate` asks for.
#[derive(Clone, Debug)]
pub(crate) struct Challenge(pub(crate) Value);

impl Challenge {
    pub(crate) fn of(response: &Response) -> Challenge {
        let header = response.headers()["www-authenticate"].to_str().unwrap();
        let fields = header.strip_prefix("Payment ").unwrap().split(", ").map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), json!(value.trim_matches('"')))
        });
        Challenge(Value::Object(fields.collect()))
    }

    pub(crate) fn request(&self) -> Value {
        scheme::decode(self.0["request"].as_str().unwrap()).unwrap()
    }
}

impl Shop {
    pub(crate) fn at(running: &Running) -> Shop {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Shop { base: format!("http://{}", running.address()), client: Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, authorization: Option<&str>, body: &str) -> Response {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body.to_owned());
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        tokio::time::timeout(DEADLINE, request.send()).await.expect("an answer in time").expect("an answer")
    }

    pub(crate) async fn items(&self, name: &str, body: &Value) -> u16 {
        self.send("POST", &format!("/items/{name}"), None, &body.to_string()).await.status().as_u16()
    }

    pub(crate) async fn challenge(&self, method: &str, path: &str) -> Challenge {
        let response = self.send(method, path, None, "").await;
        assert_eq!(response.status(), 402);
        Challenge::of(&response)
    }

    /// What the seller's records say.
    pub(crate) async fn account(&self, payer: &Payer) -> Value {
        let text = self.send("GET", &format!("/accounts/{}", payer.channel), None, "").await.text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) async fn read(&self, path: &str, authorization: &str) -> Reading {
        let response = self.send("GET", path, Some(authorization), "").await;
        assert_eq!(response.status(), 200, "{:?}", response.headers());
        Reading { response, text: String::new(), over: None }
    }
}

impl Reading {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.response.headers()[name].to_str().unwrap()
    }

    /// Reads until the text so far ends a frame that holds `wanted`.
    pub(crate) async fn until(&mut self, wanted: &str) {
        let read = async {
            while self.over.is_none() && !self.text.split_inclusive("\n\n").any(|frame| frame.contains(wanted) && frame.ends_with("\n\n")) {
                self.more().await;
            }
        };
        tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("no {wanted:?} in {:?}", self.text));
        assert!(self.text.contains(wanted), "{:?} ended without {wanted:?}", self.text);
    }

    /// Reads to the end; true when it is one in order.
    pub(crate) async fn end(&mut self) -> bool {
        let read = async {
            while self.over.is_none() {
                self.more().await;
            }
        };
        tokio::time::timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("no end behind {:?}", self.text));
        self.over == Some(true)
    }

    async fn more(&mut self) {
        match self.response.chunk().await {
            Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => self.over = Some(true),
            Err(_) => self.over = Some(false),
        }
    }
}

impl Payer {
    /// A payer whose channel is to have this deposit.
    pub(crate) fn new(seed: u8, deposit: u64) -> Payer {
        let key = Key::of([seed; 32]);
        let descriptor = Descriptor {
            authorized_signer: key.address(),
            expiring_nonce_hash: scheme::hash(&rand::random::<[u8; 16]>()),
            operator: format!("0x{}", "0".repeat(40)),
            payee: scheme::PAYEE.to_owned(),
            payer: key.address(),
            salt: scheme::hash(&rand::random::<[u8; 16]>()),
            token: scheme::CURRENCY.to_owned(),
        };
        let channel = descriptor.channel();
        let transaction = transaction("open", &channel, deposit, "0x01", &key.sign(&scheme::opening(&channel, deposit)));
        Payer { key, channel, descriptor: serde_json::to_value(descriptor).unwrap(), transaction }
    }

    fn credential(&self, challenge: &Challenge, payload: &Value) -> String {
        let credential = json!({ "challenge": challenge.0, "payload": payload, "source": scheme::source(&self.key.address()) });
        format!("Payment {}", scheme::encode(&credential.to_string()))
    }

    pub(crate) fn open(&self, challenge: &Challenge, amount: u64) -> String {
        let mut payload = self.voucher_payload("open", amount);
        payload["type"] = json!("transaction");
        payload["transaction"] = json!(self.transaction);
        self.credential(challenge, &payload)
    }

    pub(crate) fn voucher(&self, challenge: &Challenge, amount: u64) -> String {
        self.credential(challenge, &self.voucher_payload("voucher", amount))
    }

    /// A voucher that is changed after it was signed.
    pub(crate) fn wrong(&self, challenge: &Challenge, amount: u64, change: impl FnOnce(&mut Value)) -> String {
        let mut payload = self.voucher_payload("voucher", amount);
        change(&mut payload);
        self.credential(challenge, &payload)
    }

    pub(crate) fn close(&self, challenge: &Challenge, amount: u64) -> String {
        self.credential(challenge, &self.voucher_payload("close", amount))
    }

    pub(crate) fn top_up(&self, challenge: &Challenge, amount: u64) -> String {
        let signature = self.key.sign(&scheme::top_up(&self.channel, amount, "0x02"));
        let payload = json!({
            "action": "topUp", "type": "transaction", "channelId": self.channel, "descriptor": self.descriptor,
            "transaction": transaction("topUp", &self.channel, amount, "0x02", &signature), "additionalDeposit": amount.to_string(),
        });
        self.credential(challenge, &payload)
    }

    pub(crate) fn proof(&self, challenge: &Challenge) -> String {
        let text = scheme::proof(challenge.0["id"].as_str().unwrap(), &scheme::source(&self.key.address()));
        self.credential(challenge, &json!({ "type": "proof", "signature": self.key.sign(&text) }))
    }

    fn voucher_payload(&self, action: &str, amount: u64) -> Value {
        json!({
            "action": action, "channelId": self.channel, "descriptor": self.descriptor, "cumulativeAmount": amount.to_string(),
            "signature": self.key.sign(&scheme::voucher(&self.channel, amount)),
        })
    }
}

fn transaction(call: &str, channel: &str, deposit: u64, nonce: &str, signature: &str) -> String {
    let transaction = json!({ "call": call, "channelId": channel, "deposit": deposit.to_string(), "nonce": nonce, "signature": signature });
    format!("0x{}", scheme::hex(scheme::canonical(&transaction).as_bytes()))
}

/// The receipt in an answer's header.
pub(crate) fn receipt(response: &Response) -> Value {
    scheme::decode(response.headers()["payment-receipt"].to_str().unwrap()).unwrap()
}

/// The kind of an answer's problem, and its status.
pub(crate) async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(body["status"], status);
    let kind = body["type"].as_str().unwrap();
    (status, kind.strip_prefix("https://paymentauth.org/problems/").unwrap().to_owned())
}
