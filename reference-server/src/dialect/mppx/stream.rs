//! The metered stream: an item is charged, durably, and then sent; where nothing is left, the stream says what it needs and
//! waits.
//!
//! The next item is looked at only when the connection took the one before, so a reader that does not read is charged for
//! no more than what is on its way. What a stream waits for is looked at again after each waking: a change of any account
//! wakes all, and whoever is not meant goes back to sleep.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::answer::receipt;
use super::{PRICE, Shared};
use crate::bugs::Bug;
use crate::dialect::clock::rfc3339;
use crate::hub::{Cell, now};
use crate::money::Short;
use crate::session::{Cursor, Event, Start};

/// How often the bugs that look at a clock do so.
const LOOK: Duration = Duration::from_millis(20);

/// Opens the stream of `cell` for an account, behind its first `from` items.
pub(super) fn open(shared: &Shared, cell: Arc<Cell>, account: String, challenge: String, from: u64, expires: String) -> Response {
    let at = cell.lock().head();
    let metered = Metered {
        items: cell.bell(),
        money: shared.book.bell(),
        stopping: shared.hub.stopping(),
        shared: shared.clone(),
        cell,
        account,
        challenge,
        expires,
        cursor: if from == 0 { Start::Oldest } else { Start::After(Cursor { seq: from, ..at }) },
        announced: None,
        paused: false,
        unpaid: false,
        prepaid: false,
        last: None,
        early: false,
        over: false,
    };
    let body = if shared.hub.bugs.has(Bug::AbandonedCharges) { detached(metered) } else { attached(metered) };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    response
}

/// The stream is polled by its connection, and gone with it.
fn attached(metered: Metered) -> Body {
    Body::from_stream(stream::unfold(metered, |mut metered| async move {
        let bytes = metered.next().await?;
        Some((bytes, metered))
    }))
}

/// The bug: the stream is a task of its own, which nobody tells that its reader has left.
fn detached(mut metered: Metered) -> Body {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(bytes) = metered.next().await {
            let _ = sender.send(bytes);
        }
    });
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((bytes, receiver))
    }))
}

/// How many streams wait for payment, by account.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<BTreeMap<String, usize>>);

impl Waiting {
    pub(super) fn count(&self, account: &str) -> usize {
        self.0.lock().expect("no code panics while it counts").get(account).copied().unwrap_or(0)
    }

    /// Counts one more, until what is returned is dropped.
    fn one<'w>(&'w self, account: &'w str) -> Waits<'w> {
        *self.0.lock().expect("no code panics while it counts").entry(account.to_owned()).or_default() += 1;
        Waits { all: self, account }
    }
}

/// A stream that waits.
struct Waits<'w> {
    all: &'w Waiting,
    account: &'w str,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().expect("no code panics while it counts");
        if let Some(count) = all.get_mut(self.account) {
            *count -= 1;
            if *count == 0 {
                all.remove(self.account);
            }
        }
    }
}

/// The stream breaks off: the reader must not take what came for all there is.
#[derive(Debug)]
struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the stream broke off")
    }
}

impl std::error::Error for BrokenOff {}

struct Metered {
    shared: Shared,
    cell: Arc<Cell>,
    items: watch::Receiver<u64>,
    money: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    account: String,
    challenge: String,
    expires: String,
    /// Behind the last item that was sent.
    cursor: Start,
    /// The amount that was asked for last: once for each.
    announced: Option<u64>,
    /// True from a request for payment to the next item.
    paused: bool,
    /// For the bug that charges late: the last item is not charged yet.
    unpaid: bool,
    /// For the bug that charges early: the next item is charged already.
    prepaid: bool,
    /// The last item's frame, for the bug that repeats it.
    last: Option<Bytes>,
    early: bool,
    over: bool,
}

impl Metered {
    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        let bugs = self.shared.hub.bugs;
        loop {
            if self.over {
                return None;
            }
            if bugs.has(Bug::StreamDiesAtExpiry) && self.expires < rfc3339(now()) {
                return self.break_off().await;
            }
            // Seen before the look: what changes afterwards rings again.
            self.items.mark_unchanged();
            self.money.mark_unchanged();
            let account = self.shared.book.find(&self.account)?;
            if *self.stopping.borrow() || account.settled.is_some() && !bugs.has(Bug::ChargesWhileClosing) {
                return self.break_off().await;
            }
            let (event, more) = self.peek();
            let Some(event) = event else {
                if bugs.has(Bug::ChargedWhenReserved) && !self.prepaid {
                    self.prepaid = self.charge().is_ok();
                }
                self.changed(false).await;
                continue;
            };
            if std::mem::take(&mut self.unpaid) {
                let _ = self.charge();
            }
            if event.terminal {
                if &*event.event_type == "fail" {
                    return self.break_off().await;
                }
                self.over = true;
                let frame = frame("payment-receipt", &receipt(&account, &self.challenge, None).to_string());
                return match (bugs.has(Bug::ReceiptMissing) || self.early, bugs.has(Bug::ReceiptTwice)) {
                    (true, _) => None,
                    (false, true) => Some(Ok(Bytes::from(frame.repeat(2)))),
                    (false, false) => Some(Ok(Bytes::from(frame))),
                };
            }
            if bugs.has(Bug::EmittedBeforeCharge) {
                self.unpaid = account.covers(PRICE).is_ok();
            }
            let paid = if self.unpaid || std::mem::take(&mut self.prepaid) { Ok(()) } else { self.charge() };
            match paid {
                Ok(()) => return Some(Ok(self.item(&event, more))),
                Err(None) => return self.break_off().await,
                Err(Some(short)) => {
                    if self.announced != Some(short.required) {
                        self.announced = Some(short.required);
                        self.paused = true;
                        return Some(Ok(Bytes::from(self.need(&short))));
                    }
                    self.changed(true).await;
                    if bugs.has(Bug::NeedAtEveryLook) {
                        self.announced = None;
                    }
                }
            }
        }
    }

    /// The next event, and whether the stream's end follows it at once.
    fn peek(&self) -> (Option<Event>, bool) {
        let page = self.cell.lock().page(self.cursor, 2, now());
        let last = page.events.get(1).is_some_and(|next| next.terminal);
        (page.events.into_iter().next(), last)
    }

    /// Charges an item, durably. What is missing, or `None` when the journal fails or there is no account.
    fn charge(&self) -> Result<(), Option<Short>> {
        match self.shared.book.change(&self.account, None, |account| {
            if account.settled.is_some() && self.shared.hub.bugs.has(Bug::ChargesWhileClosing) && account.spent < account.accepted {
                account.spent += PRICE;
                account.units += 1;
                return Ok(());
            }
            account.charge(PRICE)
        }) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(short)) => Err(short),
            Err(_) => Err(None),
        }
    }

    fn item(&mut self, event: &Event, last: bool) -> Bytes {
        let bugs = self.shared.hub.bugs;
        let epoch = self.cell.lock().head().epoch;
        self.cursor = Start::After(Cursor { epoch, seq: event.label });
        let resumed = std::mem::take(&mut self.paused);
        if resumed && bugs.has(Bug::ItemLostAtPause) {
            return Bytes::from_static(b": \n\n");
        }
        let text: String = serde_json::from_str(&event.data).unwrap_or_default();
        let mut bytes = match bugs.has(Bug::ItemBreaksFrame) {
            true => format!("event: message\ndata: {text}\n\n"),
            false => frame("message", &text),
        };
        if resumed
            && bugs.has(Bug::ItemRepeatedAtPause)
            && let Some(before) = &self.last
        {
            bytes = String::from_utf8_lossy(before).into_owned() + &bytes;
        }
        if last
            && bugs.has(Bug::ReceiptEarly)
            && let Some(account) = self.shared.book.find(&self.account)
        {
            self.early = true;
            bytes = frame("payment-receipt", &receipt(&account, &self.challenge, None).to_string()) + &bytes;
        }
        let bytes = Bytes::from(bytes);
        self.last = Some(bytes.clone());
        bytes
    }

    fn need(&self, short: &Short) -> String {
        let need = json!({
            "channelId": self.account,
            "requiredCumulative": short.required.to_string(),
            "acceptedCumulative": short.accepted.to_string(),
            "deposit": short.deposit.to_string(),
        });
        frame("payment-need-voucher", &need.to_string())
    }

    /// Waits until something may have changed: an account, an item (unless the stream waits for payment), or the server.
    async fn changed(&mut self, for_payment: bool) {
        let bugs = self.shared.hub.bugs;
        let ticking = bugs.has(Bug::NeedAtEveryLook) && for_payment || bugs.has(Bug::StreamDiesAtExpiry);
        let _waits = for_payment.then(|| self.shared.waiting.one(&self.account));
        tokio::select! {
            rung = self.items.changed(), if !for_payment => drop(rung),
            () = self.shared.book.changed(&mut self.money) => {}
            _ = self.stopping.changed() => {}
            () = tokio::time::sleep(LOOK), if ticking => {}
        }
    }

    /// Ends the stream so that nobody takes it for whole. What was charged before goes out first: the connection flushes
    /// when its body has nothing to give for once.
    async fn break_off(&mut self) -> Option<Result<Bytes, BrokenOff>> {
        tokio::task::yield_now().await;
        self.over = true;
        Some(Err(BrokenOff))
    }
}

/// A frame; every line of its text is a data line of its own.
fn frame(event: &str, text: &str) -> String {
    let mut frame = format!("event: {event}\n");
    for line in text.split('\n') {
        frame.push_str("data: ");
        frame.push_str(line);
        frame.push('\n');
    }
    frame.push('\n');
    frame
}
