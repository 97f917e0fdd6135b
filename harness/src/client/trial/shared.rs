//! The log while it is written: appended to from several tasks, waited on by any.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::log::{Entry, Event, Said, Saw};
use crate::history::Micros;

/// A client that says more than this in one case floods us.
const MOST_ENTRIES: usize = 200_000;

/// The log of one case.
#[derive(Debug)]
pub(super) struct Shared {
    /// What the case is called.
    case: String,
    origin: Instant,
    log: Mutex<Vec<Entry>>,
    length: watch::Sender<usize>,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn new(case: &str) -> Shared {
        let (length, log, trouble) = (watch::Sender::new(0), Mutex::default(), Mutex::default());
        Shared { case: case.to_owned(), origin: Instant::now(), log, length, trouble }
    }

    /// Writes down what was seen now. False when the log is full.
    pub(super) fn saw(&self, what: Saw) -> bool {
        let mut log = self.log();
        if log.len() >= MOST_ENTRIES {
            return false;
        }
        super::trace::tell(&self.case, &what);
        let at = Micros(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX));
        log.push(Entry { at, what });
        let length = log.len();
        drop(log);
        self.length.send_replace(length);
        true
    }

    /// Takes note of what keeps the client from being judged.
    pub(super) fn trouble(&self, why: String) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.length.send_modify(|_| {});
    }

    /// What keeps the client from being judged.
    pub(super) fn is_in_trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until something keeps the client from being judged.
    pub(super) async fn troubled(&self) {
        let mut length = self.length.subscribe();
        while self.is_in_trouble().is_none() {
            if length.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something was seen, now or later; false when the time is over.
    pub(super) async fn until(&self, within: Duration, is: impl Fn(&Saw) -> bool) -> bool {
        let mut length = self.length.subscribe();
        let mut seen = 0;
        let found = async {
            loop {
                length.mark_unchanged();
                {
                    let log = self.log();
                    if log[seen..].iter().any(|entry| is(&entry.what)) {
                        return;
                    }
                    seen = log.len();
                }
                if length.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(within, found).await.is_ok()
    }

    /// Waits until an event with this data was applied.
    pub(super) async fn applied(&self, data: &str, within: Duration) -> bool {
        self.until(within, |saw| matches!(saw, Saw::Said(Said::Event(Event { data: d, .. })) if d == data)).await
    }

    /// Tells when the log grows.
    pub(super) fn growth(&self) -> watch::Receiver<usize> {
        self.length.subscribe()
    }

    /// How long nothing was seen.
    pub(super) fn silent_for(&self) -> Duration {
        let last = self.log().last().map_or(0, |entry| entry.at.0);
        self.origin.elapsed().saturating_sub(Duration::from_micros(last))
    }
}
