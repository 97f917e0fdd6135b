//! What the proxy hears of a program that reads: the requests it makes for one connection of its reader, and the heads of
//! their answers.
//!
//! A client makes more requests than the one that brings the stream: it asks, pays, asks again. The answer to the
//! connection is the first stream that it gets; when it gets none, the last head that it was given.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smol_str::SmolStr;

use super::money::{Purse, Sent};
use super::proxy::{self, Happened};
use crate::contract::Format;
use crate::history::{Answer, ConnId, Micros, SessionIx, What};
use crate::run::progress::Progress;
use crate::run::recorder::Recorder;

/// One connection of a reader, as the proxy hears it.
pub(super) struct Overheard {
    pub(super) conn: ConnId,
    pub(super) reader: SmolStr,
    pub(super) format: Format,
    pub(super) recorder: Recorder,
    pub(super) progress: Progress,
    /// Whose stream it is, and where payments are recorded, where streams are paid.
    pub(super) paid: Option<(Arc<Purse>, SessionIx)>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// Requests without an answer, by the proxy's connection.
    asked: HashMap<proxy::ConnId, VecDeque<Asked>>,
    /// The newest head that was no stream, until it is known whether it was the answer.
    refusal: Option<Answer>,
}

struct Asked {
    reads: bool,
    paid: Option<Sent>,
}

impl Overheard {
    pub(super) fn new(
        (conn, reader): (ConnId, SmolStr),
        format: Format,
        recorder: Recorder,
        progress: Progress,
        paid: Option<(Arc<Purse>, SessionIx)>,
    ) -> Overheard {
        Overheard { conn, reader, format, recorder, progress, paid, heard: Mutex::default() }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what happened on one of the proxy's connections; true when it turns out to carry the stream.
    pub(super) fn happened(&self, at: Micros, on: proxy::ConnId, what: &Happened) -> bool {
        match what {
            Happened::RequestHead { method, headers, .. } => {
                let purse = self.paid.as_ref();
                let paid = purse.map(|(purse, session)| purse.overhear(self.conn, *session, &self.reader, method, headers));
                self.heard().asked.entry(on).or_default().push_back(Asked { reads: method == "GET", paid });
                false
            }
            Happened::ResponseHead { status, headers } => {
                let asked = self.heard().asked.get_mut(&on).and_then(VecDeque::pop_front);
                let Some(Asked { reads, paid }) = asked else { return false };
                if let (Some((purse, _)), Some(sent)) = (&self.paid, paid) {
                    purse.overhear_answer(sent, *status, headers);
                }
                reads && self.answered(at, *status, headers)
            }
            Happened::Closed { .. } => {
                let lost = self.heard().asked.remove(&on).into_iter().flatten();
                for sent in lost.filter_map(|asked| asked.paid) {
                    if let Some((purse, _)) = &self.paid {
                        purse.overhear_loss(sent);
                    }
                }
                false
            }
            _ => false,
        }
    }

    fn answered(&self, at: Micros, status: u16, headers: &[(String, String)]) -> bool {
        let header = |name: &str| {
            let found = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.chars().take(200).collect::<SmolStr>())
        };
        let content_type = header("content-type");
        let stream = content_type.as_deref().is_some_and(|media| media.trim_start().to_ascii_lowercase().starts_with("text/event-stream"));
        let accepted = status == 200 && (stream || self.format != Format::Sse);
        let answer =
            Answer { conn: self.conn, status, accepted, content_type, cache_control: header("cache-control"), body: String::new() };
        let already = self.progress.state().answer.is_some_and(|(_, accepted)| accepted);
        if accepted && !already {
            self.heard().refusal = None;
            self.record(at, answer);
        } else if !already {
            self.heard().refusal = Some(answer);
        }
        accepted
    }

    /// The last head was the answer: the program has made something of it.
    pub(super) fn settle(&self, at: Micros) {
        let refusal = self.heard().refusal.take();
        if let Some(refusal) = refusal {
            self.record(at, refusal);
        }
    }

    fn record(&self, at: Micros, answer: Answer) {
        self.progress.state().answer = Some((answer.status, answer.accepted));
        self.recorder.record(at, What::Answer(Box::new(answer)));
    }
}
