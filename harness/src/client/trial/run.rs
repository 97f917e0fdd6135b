//! One case with one client, from its start to its end.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::case::{Case, Need};
use super::cases::{BODY, HEADERS, SESSION};
use super::log::{Entry, Said, Saw};
use super::process::{ClientCommand, Process};
use super::publish::{publish_body, publish_key};
use super::reference::Backend;
use super::responder::{Demand, Responder, serve};
use super::shared::Shared;
use crate::client::orders::{self, Ordered};

/// The exit status with which a client says that it cannot do what a case needs.
const UNSUPPORTED: i32 = 127;

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// From the start of the client to its first request.
    pub start: Duration,
    /// For each step that waits for the client, and for each request that should come. Four times what the start took are
    /// added, because a slow machine is no slow client.
    pub step: Duration,
    /// How long a client that has been sent everything, and neither ends nor says that it has, is watched.
    pub watch: Duration,
}

/// A case to be run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The case.
    pub case: Case,
    /// The client.
    pub client: ClientCommand,
    /// How long things may take.
    pub patience: Patience,
}

/// What a run brought.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What was seen.
    pub log: Vec<Entry>,
    /// Why it says nothing about the client, if so.
    pub aborted: Option<String>,
    /// What the client cannot do, if it said so.
    pub unsupported: Option<String>,
    /// The end of the client's standard error.
    pub errors: String,
}

/// Runs a case. The client and all that it started are gone when this returns.
pub async fn run(trial: Trial) -> Ran {
    if trial.case.is_of_adapters() && !trial.client.adapter {
        let why = "it needs orders, which only an adapter takes (--adapter)".to_owned();
        return Ran { log: Vec::new(), aborted: None, unsupported: Some(why), errors: String::new() };
    }
    let shared = Arc::new(Shared::new(&trial.case.name));
    let mut errors = String::new();
    let ended = match Stage::set(&trial, &shared).await {
        Ok(mut stage) => {
            let ended = stage.play().await;
            if let Some(process) = &mut stage.process {
                process.kill().await;
                errors = process.errors();
            }
            if let Some(backend) = stage.backend.take() {
                backend.stop().await;
            }
            ended
        }
        Err(why) => Err(why),
    };
    let needs: Vec<&str> = trial.case.needs.iter().map(|need| need.word()).collect();
    let (aborted, unsupported) = match ended {
        _ if shared.is_in_trouble().is_some() => (shared.is_in_trouble(), None),
        Ok(Outcome::Played) => (None, None),
        Ok(Outcome::Unsupported) if needs.is_empty() => {
            (Some("the client ended with status 127, although nothing special is asked of it; is the command right?".to_owned()), None)
        }
        Ok(Outcome::Undeclared(missing)) => (None, Some(format!("the adapter does not declare: {}", missing.join(", ")))),
        Ok(Outcome::Unsupported) => (None, Some(format!("the client does not support: {}", needs.join(", ")))),
        Err(why) => (Some(why), None),
    };
    let log = shared.log().clone();
    Ran { log, aborted, unsupported, errors }
}

/// How a case was left.
enum Outcome {
    Played,
    /// The client said so by its exit status.
    Unsupported,
    /// An adapter does not declare all that the case needs: these words are missing.
    Undeclared(Vec<&'static str>),
}

/// Everything that a case needs while it runs.
struct Stage<'t> {
    trial: &'t Trial,
    shared: Arc<Shared>,
    responder: Arc<Responder>,
    serving: tokio::task::JoinHandle<()>,
    demands: mpsc::Receiver<Demand>,
    url: String,
    folder: tempfile::TempDir,
    process: Option<Process>,
    backend: Option<Backend>,
    lives: u32,
    /// Orders that were given.
    ordered: u32,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl<'t> Stage<'t> {
    async fn set(trial: &'t Trial, shared: &Arc<Shared>) -> Result<Stage<'t>, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|e| format!("cannot listen: {e}"))?;
        let address = listener.local_addr().map_err(|e| format!("cannot listen: {e}"))?;
        let folder = tempfile::tempdir().map_err(|e| format!("there is no room for temporary files: {e}"))?;
        let backend = match &trial.case.reference {
            Some(reference) => Some(Backend::start(reference).await?),
            None => None,
        };
        let (sender, demands) = mpsc::channel(1);
        let responder = Arc::new(Responder {
            case: trial.case.clone(),
            shared: Arc::clone(shared),
            demands: sender,
            patience: trial.patience.step,
            upstream: backend.as_ref().map(|backend| backend.link.address()),
            asked: AtomicU32::new(0),
            posted: Mutex::default(),
            busy: AtomicUsize::new(0),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&responder)));
        let scheme = if trial.case.socket { "ws" } else { "http" };
        let url = format!("{scheme}://{address}/stream");
        let shared = Arc::clone(shared);
        Ok(Stage { trial, shared, responder, serving, demands, url, folder, process: None, backend, lives: 0, ordered: 0 })
    }

    /// The state file of the client.
    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts the client; says why the case cannot go on with it, if so.
    async fn start(&mut self) -> Result<Option<Outcome>, String> {
        let adapter = self.trial.client.adapter;
        let told = if adapter { Vec::new() } else { self.told() };
        self.lives += 1;
        self.shared.saw(Saw::Started { life: self.lives });
        let listens = adapter || self.trial.case.needs.contains(&Need::Close);
        self.process = Some(Process::start(&self.trial.client, &self.url, &told, listens, &self.shared)?);
        if adapter { self.introduce().await } else { Ok(None) }
    }

    /// The variables by which a plain client is told what to do.
    fn told(&self) -> Vec<(&'static str, String)> {
        let case = &self.trial.case;
        let needs: Vec<&str> = case.needs.iter().map(|need| need.word()).collect();
        let mut told =
            vec![("STREAMSPEC_URL", self.url.clone()), ("STREAMSPEC_CASE", case.name.clone()), ("STREAMSPEC_NEEDS", needs.join(","))];
        if case.socket {
            told.push(("STREAMSPEC_SESSION", SESSION.to_owned()));
        }
        for need in &case.needs {
            match need {
                Need::Headers => told.push(("STREAMSPEC_HEADERS", HEADERS.to_owned())),
                Need::Post => {
                    told.push(("STREAMSPEC_METHOD", "POST".to_owned()));
                    told.push(("STREAMSPEC_BODY", BODY.to_owned()));
                }
                Need::Gap => told.push(("STREAMSPEC_SNAPSHOT", self.beside("snapshot"))),
                Need::State => told.push(("STREAMSPEC_STATE", self.state().display().to_string())),
                Need::Close => told.push(("STREAMSPEC_CONTROL", "true".to_owned())),
                Need::Dedup | Need::Publish | Need::Restart | Need::Orders => {}
            }
        }
        told
    }

    /// The address of what stands beside the stream.
    fn beside(&self, what: &str) -> String {
        self.url.replace("ws://", "http://").replace("/stream", &format!("/{what}"))
    }

    /// Asks an adapter what it can do and, where that is enough, orders it to read the stream.
    async fn introduce(&mut self) -> Result<Option<Outcome>, String> {
        let case = &self.trial.case;
        let init = self.order(Ordered::Init { version: orders::VERSION, case: case.name.clone() }).await;
        let shared = Arc::clone(&self.shared);
        let process = self.process.as_mut().expect("it was started");
        let answer = |saw: &Saw| matches!(saw, Saw::Said(Said::Answer(answer)) if answer.answer == init);
        tokio::select! {
            biased;
            () = shared.troubled() => return Ok(Some(Outcome::Played)),
            came = shared.until(self.trial.patience.step, answer) => {
                if !came {
                    self.shared.saw(Saw::InVain { what: "an answer to `init`".to_owned() });
                    return Ok(Some(Outcome::Played));
                }
            }
            status = process.ended() => {
                let status = status?;
                self.shared.saw(Saw::Exited { life: self.lives, status });
                return match status {
                    Some(UNSUPPORTED) => Ok(Some(Outcome::Unsupported)),
                    status => Err(format!(
                        "the client ended{} before it answered `init`; a command for --adapter must speak the adapter protocol",
                        status.map(|status| format!(" with exit status {status}")).unwrap_or_default()
                    )),
                };
            }
        }
        let features = self.shared.log().iter().rev().find_map(|entry| match &entry.what {
            Saw::Said(Said::Answer(answer)) if answer.answer == init => Some((answer.version, answer.features.clone())),
            _ => None,
        });
        let Some((Some(orders::VERSION), Some(features))) = features else { return Ok(Some(Outcome::Played)) };
        let declared = |need: &&Need| **need == Need::Orders || features.iter().any(|feature| feature == need.word());
        let missing: Vec<&str> = case.needs.iter().filter(|need| !declared(need)).map(|need| need.word()).collect();
        if !missing.is_empty() {
            return Ok(Some(Outcome::Undeclared(missing)));
        }
        let has = |need| case.needs.contains(&need);
        let subscribe = orders::Subscribe {
            url: self.url.clone(),
            headers: if has(Need::Headers) { header_lines() } else { BTreeMap::new() },
            method: has(Need::Post).then(|| "POST".to_owned()),
            body: has(Need::Post).then(|| BODY.to_owned()),
            snapshot: has(Need::Gap).then(|| self.beside("snapshot")),
            session: case.socket.then(|| SESSION.to_owned()),
            state: has(Need::State).then(|| self.state().display().to_string()),
        };
        self.order(Ordered::Subscribe(subscribe)).await;
        Ok(None)
    }

    /// Gives an adapter an order; its number.
    async fn order(&mut self, what: Ordered) -> u32 {
        self.ordered += 1;
        let order = orders::Order { order: self.ordered, what };
        let line = serde_json::to_string(&order).expect("an order is JSON");
        self.shared.saw(Saw::Ordered { order: order.order, what: order.what });
        self.process.as_mut().expect("it was started").tell(&line).await;
        self.ordered
    }

    /// Starts the client again, on what it stored or on what is left of it.
    async fn start_again(&mut self) -> Result<Option<Outcome>, String> {
        if let Some(damage) = self.trial.case.damage {
            std::fs::write(self.state(), damage).map_err(|e| format!("the state file cannot be damaged: {e}"))?;
        }
        self.start().await
    }

    async fn play(&mut self) -> Result<Outcome, String> {
        if let Some(outcome) = self.start().await? {
            return Ok(outcome);
        }
        let mut growth = self.shared.growth();
        let mut published = false;
        let mut running = true;
        loop {
            growth.mark_unchanged();
            if self.shared.is_in_trouble().is_some() {
                return Ok(Outcome::Played);
            }
            if let Some((backend, reference)) = self.backend.as_ref().zip(self.trial.case.reference.as_ref())
                && !published
                && self.shared.applied(&reference.last_before(), Duration::ZERO).await
            {
                published = true;
                backend.go_on(reference).await?;
            }
            if self.is_betrayed() {
                return Ok(Outcome::Played);
            }
            if running && self.trial.client.adapter && self.has_said_closed() && self.is_last_word() {
                // There are no more orders in this life: an adapter ends by itself.
                self.process.as_mut().expect("it was started").hang_up();
            }
            if !running || self.has_asked_too_often() || self.is_closed() {
                return self.finish(running).await;
            }
            let left = self.patience().saturating_sub(self.shared.silent_for());
            if left.is_zero() && self.responder.busy.load(Ordering::SeqCst) == 0 {
                return self.out_of_patience();
            }
            let process = self.process.as_mut().expect("it was started");
            tokio::select! {
                biased;
                demand = self.demands.recv() => {
                    let demand = demand.ok_or("the responder is gone")?;
                    if let Some(outcome) = self.meet(demand).await? {
                        return Ok(outcome);
                    }
                }
                status = process.ended() => {
                    let status = status?;
                    self.shared.saw(Saw::Exited { life: self.lives, status });
                    if status == Some(UNSUPPORTED) {
                        return Ok(Outcome::Unsupported);
                    }
                    if self.trial.case.again && self.lives == 1 {
                        if let Some(outcome) = self.start_again().await? {
                            return Ok(outcome);
                        }
                    } else {
                        running = false;
                    }
                }
                _ = growth.changed() => {}
                () = sleep(left.max(Duration::from_millis(20))) => {}
            }
        }
    }

    /// Does to the client what a step asks for.
    async fn meet(&mut self, demand: Demand) -> Result<Option<Outcome>, String> {
        let adapter = self.trial.client.adapter;
        let done = match demand {
            Demand::Kill(done) => {
                if let Some(mut process) = self.process.take() {
                    process.kill().await;
                }
                self.shared.saw(Saw::Killed { life: self.lives });
                // The connection is over before the next life begins.
                let _ = done.send(());
                return self.start_again().await;
            }
            Demand::Close(done) => {
                self.shared.saw(Saw::ToldToClose);
                if adapter {
                    self.order(Ordered::Close {}).await;
                } else {
                    self.process.as_mut().expect("it was started").tell(r#"{"close":true}"#).await;
                }
                done
            }
            Demand::Publish(publish, done) => {
                let headers = if self.trial.case.needs.contains(&Need::Headers) { header_lines() } else { BTreeMap::new() };
                let (key, body) = (publish_key(publish), publish_body(publish));
                self.order(Ordered::Publish(orders::Publish { url: self.beside("publish"), headers, key, body })).await;
                done
            }
            Demand::Restart(done) => {
                self.order(Ordered::Restart {}).await;
                done
            }
        };
        // Fails only when the client has left the connection that asks for it.
        let _ = done.send(());
        Ok(None)
    }

    /// How long nothing may happen now.
    fn patience(&self) -> Duration {
        let patience = self.trial.patience;
        let log = self.shared.log();
        let first = log.iter().find(|entry| matches!(entry.what, Saw::Request(_)));
        let Some(first) = first else { return patience.start };
        let start = Duration::from_micros(first.at.0);
        drop(log);
        let wait = if self.is_all_sent() { patience.watch } else { patience.step };
        wait + start * 4
    }

    /// True when every reply has been given whole.
    fn is_all_sent(&self) -> bool {
        let replies = self.trial.case.replies.len() as u32;
        let log = self.shared.log();
        replies > 0
            && log
                .iter()
                .any(|entry| matches!(entry.what, Saw::Ended { nth, .. } | Saw::Left { nth } | Saw::Refused { nth } if nth >= replies))
    }

    /// True when a request came that is answered with 204 because nothing was planned for it.
    fn has_asked_too_often(&self) -> bool {
        let replies = self.trial.case.replies.len() as u32;
        replies > 0 && self.shared.log().iter().any(|entry| matches!(&entry.what, Saw::Request(request) if request.nth > replies))
    }

    /// True when an adapter says that it cannot carry out an order, although it declared that it can.
    fn is_betrayed(&self) -> bool {
        let is = |saw: &Saw| matches!(saw, Saw::Said(Said::Answer(answer)) if answer.unsupported.is_some());
        self.shared.log().iter().any(|entry| is(&entry.what))
    }

    /// True when nothing is left to be asked of a client that has closed.
    fn is_last_word(&self) -> bool {
        self.trial.case.again || self.trial.case.reference.is_some() || self.is_all_sent()
    }

    /// True when the client has said in this life that the stream is over for it.
    fn has_said_closed(&self) -> bool {
        let log = self.shared.log();
        let this_life = log.iter().rev().take_while(|entry| !matches!(entry.what, Saw::Started { .. }));
        this_life.into_iter().any(|entry| matches!(entry.what, Saw::Said(Said::Closed)))
    }

    /// True when everything was sent and the client said that it has ended: by words, or by the terminal event.
    fn is_closed(&self) -> bool {
        let ended = || {
            self.shared.log().iter().rev().any(|entry| match &entry.what {
                Saw::Said(Said::Closed) => true,
                Saw::Said(Said::Error) => self.trial.case.needs.is_empty(),
                _ => false,
            })
        };
        !self.trial.case.again && self.is_all_sent() && ended()
    }

    /// The client has ended, or says so, or asks for what there is not: it has a moment to end, and to apply what it holds.
    async fn finish(&mut self, running: bool) -> Result<Outcome, String> {
        if running && let Some(process) = &mut self.process {
            if self.trial.client.adapter {
                process.hang_up();
            }
            let within = self.trial.patience.watch.min(Duration::from_secs(2));
            if let Ok(status) = timeout(within, process.ended()).await {
                self.shared.saw(Saw::Exited { life: self.lives, status: status? });
            }
        }
        self.shared.saw(Saw::Over);
        Ok(Outcome::Played)
    }

    fn out_of_patience(&self) -> Result<Outcome, String> {
        if self.is_all_sent() {
            self.shared.saw(Saw::Over);
            return Ok(Outcome::Played);
        }
        let asked = self.responder.asked.load(Ordering::SeqCst);
        if asked == 0 {
            let waited = self.trial.patience.start.as_secs_f64();
            return Err(format!(
                "the client asked for nothing within {waited:.0} s; it is told the URL as its last argument and in STREAMSPEC_URL"
            ));
        }
        self.shared.saw(Saw::InVain { what: format!("request {}", asked + 1) });
        Ok(Outcome::Played)
    }
}

/// The headers that a client is given where a case needs them.
fn header_lines() -> BTreeMap<String, String> {
    let line = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    HEADERS.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::case::{BOUNDARY, GAP, SEALED, TERMINAL};

    #[test]
    fn the_terminal_of_the_cases_is_the_one_of_the_profile() {
        let frames = crate::contract::Profile::load("sse").unwrap().binding.frames;
        let is = |frame: Option<crate::contract::FrameMatch>, name: &str| frame.unwrap().event_type.unwrap().contains(name);
        let dispatch = crate::contract::Profile::load("dispatch").unwrap().binding.frames;
        assert!(is(dispatch.terminal, SEALED));
        assert!(is(frames.terminal, TERMINAL) && is(frames.gap, GAP) && is(frames.boundary, BOUNDARY));
    }
}
