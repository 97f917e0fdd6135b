//! Readers that are programs: what an implementation's own client hands to its application, read off JSON lines.
//!
//! One program serves all such readers of a run. It is greeted with `{"do":"hello","run":…}` and then asked
//! `{"do":"subscribe","conn":3,"reader":"a","url":…,"headers":{…}}`, once for each connection. It answers
//! `{"conn":3,"event":…,"data":…,"id":…}` for everything that its client delivers, and at last `{"conn":3,"end":true}` or
//! `{"conn":3,"error":…}`. With `{"do":"close","conn":3}` the reader leaves, and nothing more is expected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Mutex as Lock, mpsc, watch};

use super::lines::{Input, Output, Program};
use super::overheard::Overheard;
use super::stream::{Follow, Over};
use crate::history::ConnId;
use crate::run::binding::{Raw, Request, see};

/// Reports that wait for a connection; beyond them the program waits.
const WAITING: usize = 256;

/// A program that reads.
pub(super) struct Driver {
    program: Lock<Input>,
    routes: Arc<Mutex<Routes>>,
    /// Its process, with its output: it is stopped with the driver.
    listening: tokio::task::JoinHandle<()>,
}

/// What a connection of such a reader is made of.
pub(super) struct Driven {
    pub(super) driver: Arc<Driver>,
    pub(super) overheard: Arc<Overheard>,
}

/// Where the reports of each connection go.
#[derive(Default)]
struct Routes {
    to: HashMap<u32, mpsc::Sender<Report>>,
    /// Why nothing more comes.
    over: Option<String>,
}

/// A line of the program.
#[derive(Debug, Deserialize)]
struct Line {
    conn: u32,
    event: Option<String>,
    data: Option<String>,
    id: Option<String>,
    #[serde(default)]
    end: bool,
    error: Option<String>,
}

/// What a program says of a connection.
enum Report {
    /// It hands this to its application.
    Event { event: String, data: String, id: Option<String> },
    /// The stream ended in order.
    End,
    /// It failed.
    Failed(String),
}

impl Driver {
    /// Starts the program of these words. `run` is unique, for names and keys that another run must not share.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub(super) async fn start(words: &[String], run: &str) -> Result<Driver, String> {
        let Program { child, input, output } =
            Program::start(words, "the program that reads", &json!({ "do": "hello", "run": run })).await?;
        let routes = Arc::new(Mutex::new(Routes::default()));
        let heard = Arc::clone(&routes);
        let listening = tokio::spawn(async move {
            let why = listen(output, &heard).await;
            drop(child);
            let mut routes = heard.lock().unwrap_or_else(PoisonError::into_inner);
            // Readers that wait hear it by the end of their channel.
            routes.over = Some(why);
            routes.to.clear();
        });
        Ok(Driver { program: Lock::new(input), routes, listening })
    }

    /// Asks for a stream.
    async fn subscribe(&self, conn: ConnId, reader: &str, url: &str, request: &Request) -> Result<mpsc::Receiver<Report>, String> {
        let (send, receive) = mpsc::channel(WAITING);
        {
            let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(why) = &routes.over {
                return Err(why.clone());
            }
            routes.to.insert(conn.0, send);
        }
        let headers: serde_json::Map<_, _> = request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let asked = json!({ "do": "subscribe", "conn": conn.0, "reader": reader, "url": url, "headers": headers });
        self.program.lock().await.say(&asked).await?;
        Ok(receive)
    }

    /// Lets a reader leave.
    async fn close(&self, conn: ConnId) {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).to.remove(&conn.0);
        // A program that is gone has left already.
        let _ = self.program.lock().await.say(&json!({ "do": "close", "conn": conn.0 })).await;
    }

    /// Why the program says nothing more.
    fn over(&self) -> String {
        let over = self.routes.lock().unwrap_or_else(PoisonError::into_inner).over.clone();
        over.unwrap_or_else(|| "the program that reads forgot the connection".to_owned())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Passes reports on until the program ends or says something that is none; returns why.
async fn listen(mut output: Output, routes: &Mutex<Routes>) -> String {
    loop {
        let line = match output.hear().await {
            Ok(line) => line,
            Err(why) => return why,
        };
        let Line { conn, event, data, id, end, error } = match serde_json::from_str(&line) {
            Ok(line) => line,
            Err(error) => {
                return format!("the program that reads wrote no report ({error}): {}", line.trim().chars().take(200).collect::<String>());
            }
        };
        let report = match (error, end) {
            (Some(why), _) => Report::Failed(why),
            (None, true) => Report::End,
            (None, false) => Report::Event { event: event.unwrap_or_else(|| "message".to_owned()), data: data.unwrap_or_default(), id },
        };
        let to = routes.lock().unwrap_or_else(PoisonError::into_inner).to.get(&conn).cloned();
        // Nobody waits for what comes behind a close.
        if let Some(to) = to {
            let _ = to.send(report).await;
        }
    }
}

impl Follow {
    /// What a reported event says of payments; the program pays by itself.
    fn told(&self, event: &str, data: &str) {
        if let Some(paying) = &self.paying
            && paying.purse.frame(self.conn, event, data).is_some()
        {
            self.progress.state().dues += 1;
            self.recorder.wake();
        }
    }

    /// Lets a program read the stream, and takes what it reports as what was delivered.
    pub(super) async fn driven(&self, driven: &Driven, base: &str, request: &Request, closing: &mut watch::Receiver<bool>) -> Over {
        let Driven { driver, overheard } = driven;
        let url = format!("{base}{}", request.target);
        let mut reports = match driver.subscribe(self.conn, &overheard.reader, &url, request).await {
            Ok(reports) => reports,
            Err(why) => return Over::NoAnswer(why),
        };
        let mut frame = 0;
        loop {
            let report = tokio::select! {
                report = reports.recv() => Some(report),
                _ = closing.wait_for(|closing| *closing) => None,
            };
            let Some(report) = report else {
                driver.close(self.conn).await;
                return Over::Closed;
            };
            overheard.settle(self.now());
            match report {
                Some(Report::Event { event, data, id }) => {
                    self.told(&event, &data);
                    let raw = Raw::Sse { event: &event, data: Some(&data), id: id.as_deref() };
                    for seen in see(self.lens(), raw) {
                        self.deliver(seen, frame);
                    }
                    frame += 1;
                }
                Some(Report::End) => return Over::Eof(0),
                Some(Report::Failed(why)) => {
                    let accepted = self.progress.state().answer.is_some_and(|(_, accepted)| accepted);
                    return if accepted { Over::Broken(why) } else { Over::Done };
                }
                None => return Over::Broken(driver.over()),
            }
            if let Some(over) = self.too_much() {
                return over;
            }
        }
    }
}
