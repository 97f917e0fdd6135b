//! The built-in reader as an adapter: takes orders, answers them, and says what it applied, on one output.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::bugs::{Bug, BugSet};
use super::follow::{Follow, FollowError, Opening, follow, http_client};
use super::orders::{Answer, FEATURES, Order, Ordered, Publish, Subscribe, VERSION};
use super::publish::publish;
use super::reader::{Applied, Shape, Stop, Types};

/// What messages look like for a session; `None` where streams are no WebSockets.
pub type Messages = Box<dyn Fn(&str) -> Option<Shape> + Send>;

/// Carries out the orders that come, until there are no more. Each is a line; what is none is answered with an error.
///
/// # Errors
/// When no requests can be made, or nobody reads what is said.
pub async fn carry_out(mut orders: mpsc::Receiver<String>, types: Types, messages: Messages, bugs: BugSet) -> Result<(), FollowError> {
    let (publishes, to_publish) = mpsc::unbounded_channel();
    let publishing = tokio::spawn(publish_all(to_publish, http_client(bugs)?, bugs));
    let mut adapter = Adapter { types, messages, bugs, publishes, stream: None };
    while let Some(line) = orders.recv().await {
        let said = match serde_json::from_str::<Order>(&line) {
            Ok(order) => adapter.order(order).await,
            Err(error) => say(&Applied::Error { error: format!("this is no order ({error}): {line}") }),
        };
        said.map_err(FollowError::Application)?;
    }
    publishing.abort();
    Ok(())
}

struct Adapter {
    types: Types,
    messages: Messages,
    bugs: BugSet,
    publishes: mpsc::UnboundedSender<(u32, Publish)>,
    stream: Option<Stream>,
}

/// A stream that is read.
struct Stream {
    what: Follow,
    close: watch::Sender<bool>,
    reading: JoinHandle<()>,
}

impl Adapter {
    async fn order(&mut self, order: Order) -> io::Result<()> {
        let number = order.order;
        match order.what {
            Ordered::Init { .. } if self.bugs.has(Bug::MuteInit) => return Ok(()),
            Ordered::Init { .. } => {
                let version = if self.bugs.has(Bug::OtherVersion) { VERSION + 1 } else { VERSION };
                let features = FEATURES.iter().map(|feature| (*feature).to_owned()).collect();
                return say(&Answer { version: Some(version), features: Some(features), ..Answer::done(number) });
            }
            Ordered::Subscribe(subscribe) => match self.follow(&subscribe) {
                Ok(what) => {
                    // The answer stands before the first event.
                    self.done(number)?;
                    self.read(what);
                    return Ok(());
                }
                Err(why) => return say(&Answer { unsupported: Some(why), ..Answer::done(number) }),
            },
            Ordered::Publish(_) if self.bugs.has(Bug::Boasts) => {
                return say(&Answer { unsupported: Some("it is not built yet".to_owned()), ..Answer::done(number) });
            }
            Ordered::Publish(publish) => {
                // Answered when its outcome is known.
                let _ = self.publishes.send((number, publish));
                return Ok(());
            }
            Ordered::Close {} => {
                if let Some(stream) = &self.stream {
                    stream.close.send_replace(true);
                }
                if self.bugs.has(Bug::ForgetsAnswer) {
                    return Ok(());
                }
            }
            Ordered::Restart {} => {
                if let Some(Stream { what, reading, .. }) = self.stream.take() {
                    if !self.bugs.has(Bug::RestartsBeside) {
                        reading.abort();
                        let _ = reading.await;
                    }
                    self.read(what);
                }
            }
        }
        self.done(number)
    }

    fn done(&self, order: u32) -> io::Result<()> {
        say(&Answer::done(if self.bugs.has(Bug::WrongNumber) { order + 100 } else { order }))
    }

    fn follow(&self, subscribe: &Subscribe) -> Result<Follow, String> {
        let url = |text: &str| reqwest::Url::parse(text).map_err(|e| format!("`{text}` is no URL: {e}"));
        let method = subscribe.method.as_deref().unwrap_or("GET");
        let opening = Opening {
            url: url(&subscribe.url)?,
            snapshot: subscribe.snapshot.as_deref().map(url).transpose()?,
            method: reqwest::Method::from_bytes(method.as_bytes()).map_err(|_| format!("`{method}` is no method"))?,
            body: subscribe.body.clone(),
            headers: headers(&subscribe.headers)?,
        };
        let messages = subscribe.session.as_deref().and_then(|session| (self.messages)(session));
        Ok(Follow {
            opening,
            types: self.types.clone(),
            from: None,
            state: subscribe.state.as_ref().map(PathBuf::from),
            messages,
            unanswered: |_| {},
            bugs: self.bugs,
        })
    }

    fn read(&mut self, what: Follow) {
        let (close, closing) = watch::channel(false);
        let follow = follow(what.clone(), closing, |batch| batch.iter().try_for_each(say));
        let reading = tokio::spawn(async move {
            // What ended the stream was said. That it was given up is an end, too.
            let closed = match follow.await {
                Ok(Stop::Ended) => return,
                Ok(Stop::Refused) => "it is refused".to_owned(),
                Err(error) => error.to_string(),
            };
            let _ = say(&Applied::Closed { closed });
        });
        self.stream = Some(Stream { what, close, reading });
    }
}

/// One publish after the other: the next one waits until the outcome of the one before is known, so that their order holds.
async fn publish_all(mut publishes: mpsc::UnboundedReceiver<(u32, Publish)>, client: reqwest::Client, bugs: BugSet) {
    let client = Arc::new(client);
    while let Some((number, what)) = publishes.recv().await {
        let client = Arc::clone(&client);
        let one = async move {
            let (outcome, why) = match headers(&what.headers) {
                Ok(headers) => publish(&client, &what, &headers, bugs).await,
                Err(why) => (super::orders::Outcome::Refused, Some(why)),
            };
            let _ = say(&Answer { outcome: Some(outcome), why, ..Answer::done(number) });
        };
        if bugs.has(Bug::PublishesSideBySide) {
            tokio::spawn(one);
        } else {
            one.await;
        }
    }
}

fn headers(words: &std::collections::BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let header = |(name, value): (&String, &String)| {
        let wrong = || format!("`{name}: {value}` is no header");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        Ok((name, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?))
    };
    words.iter().map(header).collect()
}

/// Writes a line, whole and at once.
fn say(what: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n")?;
    out.flush()
}
