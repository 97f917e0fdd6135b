//! Publishing by the built-in reader: one after the other, repeated under the same key where nobody said what became of it.

use std::time::Duration;

use reqwest::header::HeaderMap;

use super::bugs::{Bug, BugSet};
use super::orders::{Outcome, Publish};

/// Requests for one publish.
const TRIES: u32 = 4;
/// The wait before the second request; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// A server that asks for more is not waited for.
const MOST_WAIT: Duration = Duration::from_secs(60);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What an attempt came to.
enum Attempt {
    Accepted,
    Refused(u16),
    /// The server cannot take it now, and may have said when it can.
    Busy(u16, Option<Duration>),
    /// No answer came: the server may have it.
    Lost,
}

/// Publishes, and says what became of it, with the reason where it was not accepted.
pub(super) async fn publish(client: &reqwest::Client, what: &Publish, headers: &HeaderMap, bugs: BugSet) -> (Outcome, Option<String>) {
    let mut lost = false;
    let mut last = String::new();
    for nth in 0..TRIES {
        let wait = match attempt(client, what, headers, nth, bugs).await {
            Attempt::Accepted => {
                if bugs.has(Bug::PostsTwice) {
                    attempt(client, what, headers, nth, bugs).await;
                }
                return (Outcome::Accepted, None);
            }
            Attempt::Refused(_) if bugs.has(Bug::SwallowsRefusal) => return (Outcome::Accepted, None),
            Attempt::Refused(status) if !bugs.has(Bug::Insists) => return (Outcome::Refused, Some(format!("status {status}"))),
            Attempt::Refused(status) => {
                last = format!("status {status}");
                None
            }
            Attempt::Busy(status, wait) => {
                last = format!("status {status}");
                wait.filter(|_| !bugs.has(Bug::IgnoresRetryAfter))
            }
            Attempt::Lost => {
                if bugs.has(Bug::GuessesLost) {
                    return (Outcome::Accepted, None);
                }
                lost = true;
                "no answer".clone_into(&mut last);
                None
            }
        };
        if nth + 1 < TRIES {
            tokio::time::sleep(wait.unwrap_or(FIRST_WAIT * (1 << nth)).min(MOST_WAIT)).await;
        }
    }
    // One attempt without an answer is enough for not knowing.
    (if lost { Outcome::Unknown } else { Outcome::Refused }, Some(format!("{last}, {TRIES} times")))
}

async fn attempt(client: &reqwest::Client, what: &Publish, headers: &HeaderMap, nth: u32, bugs: BugSet) -> Attempt {
    let key = if bugs.has(Bug::NewKey) && nth > 0 { format!("{}.{nth}", what.key) } else { what.key.clone() };
    let mut request = client.post(&what.url).header("Idempotency-Key", key).header("Content-Type", "application/json");
    if !bugs.has(Bug::PublishesBare) {
        request = request.headers(headers.clone());
    }
    match request.body(what.body.clone()).timeout(ANSWER_WITHIN).send().await {
        Ok(answer) => match answer.status().as_u16() {
            200..300 => Attempt::Accepted,
            status @ (429 | 503) => {
                let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
                Attempt::Busy(status, after.map(Duration::from_secs))
            }
            status => Attempt::Refused(status),
        },
        Err(_) => Attempt::Lost,
    }
}
