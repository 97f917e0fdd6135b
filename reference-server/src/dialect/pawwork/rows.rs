//! What survives a restart: sessions, and the messages that were said in them. Nothing of it is replayed (b.9).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::hub::{Answer, Hub, now};
use crate::session::{Append, Millis, Retention};

/// A session as REST shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Info {
    pub(super) id: String,
    #[serde(rename = "projectID")]
    project: String,
    pub(super) directory: String,
    /// JSON text, as it was given: escapes of lone surrogates survive.
    pub(super) title: Box<RawValue>,
    version: String,
    pub(super) time: Times,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Times {
    created: u64,
    updated: u64,
}

impl Info {
    pub(super) fn new(directory: String, title: Box<RawValue>, at: Millis) -> Info {
        let time = Times { created: at.0, updated: at.0 };
        Info { id: super::id("ses", at), project: "global".to_owned(), directory, title, version: "local".to_owned(), time }
    }

    /// Notes that something happened in it.
    pub(super) fn touch(&mut self, at: Millis) {
        self.time.updated = self.time.updated.max(at.0);
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("it is made of JSON")
    }

    /// The properties of its events.
    pub(super) fn event(&self) -> String {
        format!(r#"{{"sessionID":"{}","info":{}}}"#, self.id, self.json())
    }
}

/// The rows.
#[derive(Debug)]
pub(super) struct Rows {
    hub: Arc<Hub>,
    /// The sessions as they were last asked to be stored.
    newest: Mutex<HashMap<String, Info>>,
}

fn info_log(session: &str) -> String {
    format!("info/{session}")
}

fn message_log(session: &str) -> String {
    format!("messages/{session}")
}

fn row(event_type: &str, data: String) -> Append {
    Append { event_type: event_type.into(), data: data.into(), key: None, terminal: false }
}

impl Rows {
    pub(super) fn new(hub: Arc<Hub>) -> Rows {
        let newest = hub.all().into_iter().filter_map(|cell| {
            let mut log = cell.lock();
            let newest = log.id.starts_with("info/").then(|| log.snapshot(now()).events.pop())??;
            serde_json::from_str::<Info>(&newest.data).ok()
        });
        let newest = Mutex::new(newest.map(|info| (info.id.clone(), info)).collect());
        Rows { hub, newest }
    }

    pub(super) async fn create(&self, info: &Info) -> Result<(), Answer> {
        self.hub.open(message_log(&info.id), Retention::default()).await?;
        self.hub.open(info_log(&info.id), Retention { records: Some(1), ..Retention::default() }).await?;
        self.update(info).await
    }

    /// Stores a session. What is asked for in order has that order before this is waited for.
    pub(super) fn update(&self, info: &Info) -> impl Future<Output = Result<(), Answer>> + Send + use<> {
        self.newest().insert(info.id.clone(), info.clone());
        let stored = self.hub.append_soon(&info_log(&info.id), row("info", info.json()));
        async move { stored.await.map(|_| ()) }
    }

    pub(super) async fn remove(&self, session: &str) -> Result<(), Answer> {
        self.newest().remove(session);
        self.hub.delete(&info_log(session)).await?;
        self.hub.delete(&message_log(session)).await
    }

    pub(super) fn find(&self, session: &str) -> Option<Info> {
        self.newest().get(session).cloned()
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<String, Info>> {
        self.newest.lock().expect("nobody panics while holding the sessions")
    }

    /// Every session, the oldest first.
    pub(super) fn all(&self) -> Vec<Info> {
        let mut all: Vec<Info> = self.newest().values().cloned().collect();
        all.sort_by(|a, b| (a.time.created, &a.id).cmp(&(b.time.created, &b.id)));
        all
    }

    /// Stores a message, `{ info, parts }`; the newest of an id counts.
    pub(super) async fn put(&self, session: &str, message: &Value) -> Result<(), Answer> {
        self.hub.append(&message_log(session), row("message", message.to_string())).await.map(|_| ())
    }

    /// The messages of a session, in the order in which they began.
    pub(super) fn messages(&self, session: &str) -> Vec<Value> {
        let Some(cell) = self.hub.find(&message_log(session)) else { return Vec::new() };
        let events = cell.lock().snapshot(now()).events;
        let (mut all, mut places) = (Vec::new(), HashMap::new());
        for message in events.iter().filter_map(|event| serde_json::from_str::<Value>(&event.data).ok()) {
            let place = *places.entry(message["info"]["id"].to_string()).or_insert(all.len());
            if place == all.len() { all.push(message) } else { all[place] = message }
        }
        all
    }

    /// Ends what a stop of the process has interrupted, so that it is not shown as running for ever.
    pub(super) async fn repair(&self) -> Result<(), Answer> {
        for info in self.all() {
            for mut message in self.messages(&info.id) {
                if message["info"]["role"] != "assistant" || !message["info"]["time"]["completed"].is_null() {
                    continue;
                }
                message["info"]["time"]["completed"] = json!(now().0);
                message["info"]["error"] = interrupted();
                for part in message["parts"].as_array_mut().into_iter().flatten().filter(|part| part["state"]["status"] == "running") {
                    part["state"]["status"] = json!("error");
                    part["state"]["error"] = json!("interrupted");
                }
                self.put(&info.id, &message).await?;
            }
        }
        Ok(())
    }
}

/// The error of a turn that was stopped.
pub(super) fn interrupted() -> Value {
    json!({ "name": "MessageAbortedError", "data": { "message": "interrupted" } })
}
