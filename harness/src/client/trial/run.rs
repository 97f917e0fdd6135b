//! One case with one client, from its start to its end.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::case::{Case, Need};
use super::cases::{BODY, HEADERS};
use super::log::{Entry, Said, Saw};
use super::process::{ClientCommand, Process};
use super::reference::Backend;
use super::responder::{Order, Responder, serve};
use super::shared::Shared;

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
    let shared = Arc::new(Shared::new());
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
        Ok(Outcome::Unsupported) => (None, Some(format!("the client does not support: {}", needs.join(", ")))),
        Err(why) => (Some(why), None),
    };
    let log = shared.log().clone();
    Ran { log, aborted, unsupported, errors }
}

/// How a case was left.
enum Outcome {
    Played,
    Unsupported,
}

/// Everything that a case needs while it runs.
struct Stage<'t> {
    trial: &'t Trial,
    shared: Arc<Shared>,
    responder: Arc<Responder>,
    serving: tokio::task::JoinHandle<()>,
    orders: mpsc::Receiver<Order>,
    url: String,
    folder: tempfile::TempDir,
    process: Option<Process>,
    backend: Option<Backend>,
    lives: u32,
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
        let (sender, orders) = mpsc::channel(1);
        let responder = Arc::new(Responder {
            case: trial.case.clone(),
            shared: Arc::clone(shared),
            orders: sender,
            patience: trial.patience.step,
            upstream: backend.as_ref().map(|backend| backend.link.address()),
            asked: AtomicU32::new(0),
            busy: AtomicUsize::new(0),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&responder)));
        let url = format!("http://{address}/stream");
        let shared = Arc::clone(shared);
        Ok(Stage { trial, shared, responder, serving, orders, url, folder, process: None, backend, lives: 0 })
    }

    /// The state file of the client.
    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn start(&mut self) -> Result<(), String> {
        let case = &self.trial.case;
        let needs: Vec<&str> = case.needs.iter().map(|need| need.word()).collect();
        let mut told =
            vec![("STREAMSPEC_URL", self.url.clone()), ("STREAMSPEC_CASE", case.name.clone()), ("STREAMSPEC_NEEDS", needs.join(","))];
        for need in &case.needs {
            match need {
                Need::Headers => told.push(("STREAMSPEC_HEADERS", HEADERS.to_owned())),
                Need::Post => {
                    told.push(("STREAMSPEC_METHOD", "POST".to_owned()));
                    told.push(("STREAMSPEC_BODY", BODY.to_owned()));
                }
                Need::Gap => told.push(("STREAMSPEC_SNAPSHOT", self.url.replace("/stream", "/snapshot"))),
                Need::State => told.push(("STREAMSPEC_STATE", self.state().display().to_string())),
                Need::Close => told.push(("STREAMSPEC_CONTROL", "true".to_owned())),
                Need::Dedup => {}
            }
        }
        self.lives += 1;
        self.shared.saw(Saw::Started { life: self.lives });
        let listens = case.needs.contains(&Need::Close);
        self.process = Some(Process::start(&self.trial.client, &self.url, &told, listens, &self.shared)?);
        Ok(())
    }

    /// Starts the client again, on what it stored or on what is left of it.
    fn start_again(&mut self) -> Result<(), String> {
        if let Some(damage) = self.trial.case.damage {
            std::fs::write(self.state(), damage).map_err(|e| format!("the state file cannot be damaged: {e}"))?;
        }
        self.start()
    }

    async fn play(&mut self) -> Result<Outcome, String> {
        self.start()?;
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
                order = self.orders.recv() => match order {
                    Some(Order::Kill(done)) => self.kill(done).await?,
                    Some(Order::Close(done)) => {
                        self.shared.saw(Saw::ToldToClose);
                        process.tell(r#"{"close":true}"#).await;
                        let _ = done.send(());
                    }
                    None => return Err("the responder is gone".to_owned()),
                },
                status = process.ended() => {
                    let status = status?;
                    self.shared.saw(Saw::Exited { life: self.lives, status });
                    if status == Some(UNSUPPORTED) {
                        return Ok(Outcome::Unsupported);
                    }
                    if self.trial.case.again && self.lives == 1 {
                        self.start_again()?;
                    } else {
                        running = false;
                    }
                }
                _ = growth.changed() => {}
                () = sleep(left.max(Duration::from_millis(20))) => {}
            }
        }
    }

    async fn kill(&mut self, done: oneshot::Sender<()>) -> Result<(), String> {
        if let Some(mut process) = self.process.take() {
            process.kill().await;
        }
        self.shared.saw(Saw::Killed { life: self.lives });
        // The connection is over before the next life begins.
        let _ = done.send(());
        self.start_again()
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

#[cfg(test)]
mod tests {
    use super::super::case::{GAP, TERMINAL};

    #[test]
    fn the_terminal_of_the_cases_is_the_one_of_the_profile() {
        let frames = crate::contract::Profile::load("sse").unwrap().binding.frames;
        let is = |frame: Option<crate::contract::FrameMatch>, name: &str| frame.unwrap().event_type.unwrap().contains(name);
        assert!(is(frames.terminal, TERMINAL) && is(frames.gap, GAP));
    }
}
