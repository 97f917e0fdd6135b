//! Paying: wallets, the requests that they send, and what the server says of their accounts.
//!
//! A reader of a paid stream asks without paying, pays with what its wallet signs, and posts a voucher whenever the stream
//! asks for one. Everything is recorded as it happens (a payment before it is sent, so that nothing that it pays for can
//! come before it); nothing here judges.

mod overheard;
mod signer;
mod wallet;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use streamspec_reference_server::money::scheme::{self, Key};
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use super::http::{NoAnswer, ask, excerpt};
use super::tap::Tap;
use crate::contract::{Profile, Signer};
use crate::history::{
    AccountIx, Action, Complete, ConnId, Flaw, From, Invoke, Micros, Of, OpId, Outcome, Paid, PayAct, Payment, Says, SessionIx, ToldBy,
    What,
};
use crate::run::binding::{Request, Vars, for_stream};
use crate::run::recorder::Recorder;
use crate::scenario::{Funding, Pay};
use crate::world::Whole;
pub(super) use overheard::Sent;
use signer::Driver;
pub(super) use signer::Signatory;
use wallet::{Channel, Keys, Signed, Wallet};
use wire::Challenge;

/// How long a payment may take.
const PAYING: Duration = Duration::from_secs(10);
/// What is paid in when a scenario does not care.
const PLENTY: u64 = 1_000_000;
/// From how many seconds on a challenge lives long enough for any machine.
const LONGEST: u32 = 60;
/// How long after its request a challenge of one second has surely expired.
const EXPIRED: Duration = Duration::from_millis(1_300);

/// Everybody's wallets in one run.
pub(super) struct Purse {
    profile: Arc<Profile>,
    recorder: Recorder,
    origin: Instant,
    /// The program that signs, if one does.
    signatory: Arc<Signatory>,
    wallets: Mutex<HashMap<String, Arc<Lock<Option<Wallet>>>>>,
    /// Accounts by the channel's name, in the order of their opening.
    accounts: Mutex<HashMap<String, AccountIx>>,
}

/// Where a payment goes: a session's stream at a server.
#[derive(Clone)]
pub(super) struct Till {
    pub(super) base: String,
    pub(super) client: reqwest::Client,
    pub(super) vars: Vars,
    pub(super) session: SessionIx,
}

/// A stream's payment, signed; its wallet waits for the answer.
pub(super) struct Funded {
    pub(super) authorization: Option<String>,
    op: OpId,
    account: Option<AccountIx>,
    opens: Option<(wallet::Opens, u64)>,
    amount: u64,
    wallet: OwnedMutexGuard<Option<Wallet>>,
}

impl Purse {
    pub(super) fn new(profile: Arc<Profile>, recorder: Recorder, origin: Instant, signatory: Arc<Signatory>) -> Purse {
        Purse { profile, recorder, origin, signatory, wallets: Mutex::default(), accounts: Mutex::default() }
    }

    fn record(&self, what: What) {
        self.recorder.record(Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)), what);
    }

    /// The account of a channel, if it is one of the run's.
    fn account(&self, channel: &str) -> Option<AccountIx> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(&channel.to_ascii_lowercase()).copied()
    }

    fn new_account(&self, channel: &str) -> AccountIx {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let next = AccountIx(u32::try_from(accounts.len()).unwrap_or(u32::MAX));
        *accounts.entry(channel.to_ascii_lowercase()).or_insert(next)
    }

    /// A wallet, alone; it is made on first use.
    async fn wallet(&self, name: &str, till: &Till) -> Result<OwnedMutexGuard<Option<Wallet>>, String> {
        let lock = Arc::clone(self.wallets.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default());
        let mut wallet = lock.lock_owned().await;
        if wallet.is_none() {
            *wallet = Some(Wallet { keys: self.keys(till).await?, channel: None, proof: None });
        }
        Ok(wallet)
    }

    /// Starts the program that signs, if there is one, so that nothing waits for it later.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub(super) async fn prepare(&self, base: &str) -> Result<(), String> {
        match self.profile.binding.payment.as_ref().map(|payment| &payment.signer) {
            Some(Signer::Command(command)) => self.driver(command, base).await.map(drop),
            Some(Signer::Ed25519) | None => Ok(()),
        }
    }

    async fn driver(&self, command: &[String], base: &str) -> Result<Driver, String> {
        let command: Vec<String> = command.iter().map(|word| word.replace("{base}", base)).collect();
        self.signatory.driver(&command).await
    }

    async fn keys(&self, till: &Till) -> Result<Keys, String> {
        match self.profile.binding.payment.as_ref().map(|payment| &payment.signer) {
            Some(Signer::Command(command)) => {
                let driver = self.driver(command, &till.base).await?;
                let key = || format!("{:016x}", rand::random::<u64>() >> 1 | 1);
                Ok(Keys::Driven { driver, payer: key(), stranger: key() })
            }
            Some(Signer::Ed25519) | None => Ok(Keys::Own { payer: Key::of(rand::random()), stranger: Key::of(rand::random()) }),
        }
    }

    /// The request for the session's stream by another method, for a path of the scenario's own, or with another lifetime.
    fn request(&self, till: &Till, method: &str, path: Option<&str>, expires: Option<u32>) -> Request {
        let mut vars = till.vars.clone();
        if let Some(expires) = expires {
            vars.number("expires", i64::from(expires));
        }
        let mut request = for_stream(&self.profile.binding, &vars, &From::Start);
        method.clone_into(&mut request.method);
        request.body = None;
        if let Some(path) = path {
            path.clone_into(&mut request.target);
            if let Some(expires) = expires {
                request.target += &format!("?expires={expires}");
            }
        }
        request
    }

    /// Sends a request, records it and what came of it, and gives the answer.
    async fn exchange(&self, till: &Till, request: &Request, payment: Payment) -> Option<Whole> {
        let op = self.recorder.operation();
        let unpaid = payment.act == PayAct::Ask;
        self.record(What::Invoke(Box::new(Invoke { op, action: Action::Pay(payment) })));
        let answer = ask(&till.client, &till.base, request, PAYING).await;
        let tap = Tap { recorder: self.recorder.clone(), origin: self.origin, of: Of::Op(op) };
        tap.asks(request);
        tap.hears(answer.as_ref().ok());
        let outcome = match answer {
            Ok(whole) => {
                self.answered(op, &whole);
                let done = (200..300).contains(&whole.status) || unpaid && whole.status == 402;
                let outcome = match done {
                    true => Outcome::Ok { status: whole.status, cursor: None },
                    false => Outcome::Failed { status: whole.status, body: excerpt(&whole) },
                };
                self.record(What::Complete(Complete { op, outcome }));
                return Some(whole);
            }
            Err(NoAnswer::NotSent(why)) => Outcome::Failed { status: 0, body: why },
            Err(NoAnswer::Lost(why)) => Outcome::Unknown { why },
        };
        self.record(What::Complete(Complete { op, outcome }));
        None
    }

    /// Records what an answer says.
    fn answered(&self, op: OpId, whole: &Whole) {
        let paid = Paid {
            op,
            status: whole.status,
            media: whole.header("content-type").map(|media| media.chars().take(100).collect()),
            no_store: whole.header("cache-control").is_some_and(|control| control.contains("no-store")),
            challenge: wire::challenge_in(whole).is_some(),
            receipt: whole.header("payment-receipt").is_some(),
            body: whole.body.len() as u64,
        };
        self.record(What::Paid(Box::new(paid)));
        if let Some((channel, mut told)) = wire::told_in(whole, ToldBy::Answer(op)) {
            told.account = self.account(&channel);
            self.record(What::Told(Box::new(told)));
        }
    }

    /// Asks without paying, for a challenge; `None` when none came.
    async fn ask(&self, till: &Till, wallet: &str, request: &Request) -> Option<Challenge> {
        let payment = Payment { content: request.method == "GET", ..payment(wallet, till.session, PayAct::Ask) };
        wire::challenge_in(&self.exchange(till, request, payment).await?)
    }

    /// Asks for a challenge and answers it; `None` when none came. One that expires is replaced by one that lives longer, where
    /// signing took so long that it may have expired on its way.
    async fn ask_and_sign(
        &self,
        till: &Till,
        name: &str,
        own: &mut Wallet,
        expires: Option<u32>,
        (act, amount, deposit): (PayAct, u64, u64),
    ) -> Option<Result<Signed, String>> {
        let mut lifetime = expires;
        loop {
            let asked = Instant::now();
            let challenge = self.ask(till, name, &self.request(till, "GET", None, lifetime)).await?;
            let request = wallet::Request { act, challenge: &challenge, amount, deposit, flaw: None, borrowed: None, capitals: false };
            let signed = own.sign(&request).await;
            match lifetime.filter(|seconds| *seconds < LONGEST && asked.elapsed() * 2 > Duration::from_secs(u64::from(*seconds))) {
                Some(short) => lifetime = Some(short * 2),
                None => return Some(signed),
            }
        }
    }

    /// Signs what opens a stream. Without an authorization when the server asked for no payment.
    pub(super) async fn fund(&self, till: &Till, reader: &str, funding: &Funding, conn: ConnId) -> Result<Funded, String> {
        let name = funding.wallet.as_deref().unwrap_or(reader);
        let mut wallet = self.wallet(name, till).await?;
        let own = wallet.as_mut().expect("it was just made");
        let deposit = funding.deposit.unwrap_or(PLENTY);
        let (act, amount) = match own.open() {
            Some(channel) => (PayAct::Voucher, capped(channel, channel.sent + u64::from(funding.ahead), funding).max(channel.sent)),
            None => (PayAct::Open, u64::from(funding.ahead).min(funding.upto.unwrap_or(u64::MAX)).min(deposit)),
        };
        let signed = self.ask_and_sign(till, name, own, funding.expires, (act, amount, deposit)).await;
        let mut paying = Payment { conn: Some(conn), content: true, ..payment(name, till.session, PayAct::Ask) };
        let Some(signed) = signed else {
            let op = self.recorder.operation();
            self.record(What::Invoke(Box::new(Invoke { op, action: Action::Pay(paying) })));
            return Ok(Funded { authorization: None, op, account: None, opens: None, amount: 0, wallet });
        };
        let Signed { authorization, opens, amount: instead } = signed?;
        let amount = instead.unwrap_or(amount);
        let account = match (&opens, &own.channel) {
            (Some(opens), _) => Some(self.new_account(&opens.id)),
            (None, Some(channel)) => Some(channel.account),
            (None, None) => None,
        };
        (paying.account, paying.act, paying.amount) = (account, act, amount);
        paying.deposit = if act == PayAct::Open { deposit } else { 0 };
        // Numbers are given in the order of the records.
        let op = self.recorder.operation();
        self.record(What::Invoke(Box::new(Invoke { op, action: Action::Pay(paying) })));
        Ok(Funded { authorization: Some(authorization), op, account, opens: opens.map(|opens| (opens, deposit)), amount, wallet })
    }

    /// Takes the answer to a stream's payment; true when the channel was not known any more and another one is worth a try.
    pub(super) fn funded(&self, funded: Funded, response: Option<&reqwest::Response>) -> bool {
        let Funded { op, account, opens, amount, mut wallet, .. } = funded;
        let own = wallet.as_mut().expect("it was made before it signed");
        let Some(response) = response else {
            self.record(What::Complete(Complete { op, outcome: Outcome::Unknown { why: "no answer".to_owned() } }));
            return false;
        };
        let text = |value: &reqwest::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let whole = Whole { status: response.status().as_u16(), headers, body: String::new() };
        self.answered(op, &whole);
        let accepted = whole.status == 200;
        let outcome = match accepted {
            true => Outcome::Ok { status: 200, cursor: None },
            false => Outcome::Failed { status: whole.status, body: String::new() },
        };
        self.record(What::Complete(Complete { op, outcome }));
        match (opens, account, &mut own.channel) {
            (Some((opens, deposit)), Some(account), channel) if accepted => *channel = Some(Channel::new(account, opens, deposit, amount)),
            (None, _, Some(channel)) if accepted => channel.sent = channel.sent.max(amount),
            (None, Some(_), channel) if whole.status == 410 => {
                *channel = None;
                return true;
            }
            (_, _, _) => {}
        }
        false
    }

    /// What a frame says of an account; the amount that must be authorised, when it asks for payment.
    pub(super) fn frame(&self, conn: ConnId, event_type: &str, data: &str) -> Option<u64> {
        let payment = self.profile.binding.payment.as_ref()?;
        let says = match event_type {
            due if due == payment.due => Says::Due,
            receipt if receipt == payment.receipt => Says::Receipt,
            _ => return None,
        };
        let value: Value = serde_json::from_str(data).unwrap_or_default();
        let (channel, mut told) = wire::told(&value, says, ToldBy::Frame(conn));
        told.account = self.account(&channel);
        let required = told.required.or((says == Says::Due).then_some(0));
        self.record(What::Told(Box::new(told)));
        required
    }

    /// Posts the voucher that a stream asks for, unless the reader withholds it or another stream of the wallet has paid.
    pub(super) async fn due(&self, till: &Till, reader: &str, funding: &Funding, required: u64) {
        let name = funding.wallet.as_deref().unwrap_or(reader);
        let Ok(mut wallet) = self.wallet(name, till).await else { return };
        let own = wallet.as_mut().expect("it was just made");
        let Some(channel) = own.open().cloned() else { return };
        let amount = capped(&channel, required.saturating_add(u64::from(funding.ahead).saturating_sub(1)), funding);
        if amount < required || channel.sent >= required {
            return;
        }
        let signed = self.ask_and_sign(till, name, own, funding.expires, (PayAct::Voucher, amount, 0)).await;
        let Some(Ok(signed)) = signed else { return };
        let mut post = self.request(till, "POST", None, None);
        post.headers.push(("Authorization".to_owned(), signed.authorization));
        let paying = Payment { account: Some(channel.account), amount, ..payment(name, till.session, PayAct::Voucher) };
        let answer = self.exchange(till, &post, paying).await;
        if let (Some(whole), Some(channel)) = (answer, &mut own.channel)
            && whole.status < 300
        {
            channel.sent = channel.sent.max(amount);
        }
    }

    /// Pays by hand.
    pub(super) async fn pay(&self, till: &Till, pay: &Pay) -> Result<Option<String>, String> {
        let borrowed = match &pay.other {
            Some(other) => self.wallet(other, till).await?.as_ref().and_then(|other| other.channel.clone()),
            None => None,
        };
        let mut wallet = self.wallet(&pay.wallet, till).await?;
        let own = wallet.as_mut().expect("it was just made");
        if pay.forget {
            own.channel = None;
        }
        if pay.send == PayAct::Ask {
            let method = if pay.content.is_some() { "GET" } else { "POST" };
            for method in ["GET", method, "HEAD"] {
                self.ask(till, &pay.wallet, &self.request(till, method, pay.content.as_deref(), None)).await;
            }
            return Ok(None);
        }
        let signed = self.sign(till, own, pay, borrowed).await?;
        let method = match (&pay.content, pay.send) {
            (Some(_), _) => "GET",
            (None, PayAct::Proof) => "HEAD",
            (None, _) => "POST",
        };
        let sends = signed.iter().map(|(signed, paying)| {
            let mut request = self.request(till, method, pay.content.as_deref(), None);
            request.headers.push(("Authorization".to_owned(), signed.authorization.clone()));
            async move { self.exchange(till, &request, paying.clone()).await }
        });
        let answers = futures_util::future::join_all(sends).await;
        for ((signed, paying), answer) in signed.into_iter().zip(answers) {
            if let Some(whole) = answer.filter(|whole| whole.status < 300) {
                self.took(own, signed, &paying, &whole);
            }
        }
        Ok(own.channel.as_ref().map(|channel| channel.id.clone()))
    }

    /// Signs everything that a step sends.
    async fn sign(&self, till: &Till, own: &mut Wallet, pay: &Pay, borrowed: Option<Channel>) -> Result<Vec<(Signed, Payment)>, String> {
        let deposit = pay.deposit.unwrap_or(PLENTY);
        let sent = own.channel.as_ref().map(|channel| channel.sent);
        let amounts = match (pay.amounts.as_slice(), sent) {
            ([], Some(sent)) => vec![sent],
            ([], None) => vec![1],
            (amounts, _) => amounts.to_vec(),
        };
        let template = Payment { flaw: pay.flaw, content: pay.content.is_some(), ..payment(&pay.wallet, till.session, pay.send) };
        if let (Some(Flaw::UsedProof), Some(proof)) = (pay.flaw, &own.proof) {
            return Ok(vec![(Signed { authorization: proof.clone(), opens: None, amount: None }, template)]);
        }
        let expires = (pay.flaw == Some(Flaw::ExpiredChallenge)).then_some(1);
        let method = if pay.send == PayAct::Proof { "HEAD" } else { "GET" };
        let asked = self.ask(till, &pay.wallet, &self.request(till, method, pay.content.as_deref(), expires)).await;
        let Some(challenge) = asked else { return Err("the server gave no challenge that can be answered".to_owned()) };
        if expires.is_some() {
            tokio::time::sleep(EXPIRED).await;
        }
        let mut all = Vec::new();
        for amount in amounts.iter().flat_map(|amount| std::iter::repeat_n(*amount, pay.at_once as usize)) {
            let request = wallet::Request {
                act: pay.send,
                challenge: &challenge,
                amount,
                deposit,
                flaw: pay.flaw,
                borrowed: borrowed.clone(),
                capitals: pay.capitals,
            };
            let signed = own.sign(&request).await?;
            let account = match (&signed.opens, &own.channel) {
                (Some(opens), _) => Some(self.new_account(&opens.id)),
                (None, channel) => channel.as_ref().map(|channel| channel.account),
            };
            let paid_in = match pay.send {
                PayAct::Open => deposit,
                PayAct::TopUp => amount,
                PayAct::Ask | PayAct::Voucher | PayAct::Close | PayAct::Proof => 0,
            };
            let authorised = if matches!(pay.send, PayAct::TopUp | PayAct::Proof) { 0 } else { signed.amount.unwrap_or(amount) };
            all.push((signed, Payment { account, amount: authorised, deposit: paid_in, ..template.clone() }));
        }
        Ok(all)
    }

    /// What an accepted payment changes in its wallet.
    fn took(&self, own: &mut Wallet, signed: Signed, paying: &Payment, whole: &Whole) {
        if paying.act == PayAct::Proof {
            own.proof = Some(signed.authorization);
            if own.channel.is_none()
                && let Some(snapshot) = whole.header("payment-session-snapshot").and_then(scheme::decode_padded)
                && let Some(account) = snapshot.get("channelId").and_then(Value::as_str).and_then(|id| self.account(id))
            {
                own.channel = Channel::restored(account, &snapshot);
            }
            return;
        }
        if let (Some(opens), Some(account)) = (signed.opens, paying.account) {
            own.channel = Some(Channel::new(account, opens, paying.deposit, paying.amount));
            return;
        }
        let Some(channel) = own.channel.as_mut().filter(|_| paying.flaw.is_none()) else { return };
        channel.sent = channel.sent.max(paying.amount);
        match paying.act {
            PayAct::TopUp => channel.deposit = channel.deposit.saturating_add(paying.deposit),
            PayAct::Close => channel.closed = true,
            PayAct::Ask | PayAct::Open | PayAct::Voucher | PayAct::Proof => {}
        }
    }
}

/// An amount within what its reader is willing to pay.
fn capped(channel: &Channel, amount: u64, funding: &Funding) -> u64 {
    amount.min(funding.upto.unwrap_or(u64::MAX)).min(channel.deposit)
}

fn payment(wallet: &str, session: SessionIx, act: PayAct) -> Payment {
    Payment { account: None, wallet: wallet.to_owned(), session, act, amount: 0, deposit: 0, conn: None, content: false, flaw: None }
}
