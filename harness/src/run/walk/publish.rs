//! Publishing: single events, batches, background writers, retries.

use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use crate::contract::{Acknowledged, Profile};
use crate::history::{self, Action, Marker, OpId, Outcome};
use crate::run::payload;
use crate::scenario::{Again, Publish, PublishFault, Text, Writer};
use crate::world::{Call, World};

use super::cast::{Keyed, Published};
use super::{Abort, Walk, places};

/// How often a background writer sends an event again before it gives the event up.
const TRIES: u32 = 20;

/// How an event is sent, where it is not the plain way.
#[derive(Clone, Debug, Default)]
pub(super) struct Sending {
    pub(super) key: Option<String>,
    pub(super) repeats: Option<(OpId, Marker)>,
    pub(super) conflict: bool,
    pub(super) by: Option<String>,
    pub(super) fault: Option<PublishFault>,
}

/// Bytes of a bulky payload under this profile.
pub(super) fn bulk(profile: &Profile) -> u64 {
    profile.contract.max_payload.unwrap_or(u64::MAX).min(payload::BULKY as u64).max(1)
}

impl<W: World> Walk<'_, W> {
    pub(super) async fn publish(&self, publish: &Publish) -> Result<(), Abort> {
        if publish.retry {
            return self.retry(&publish.session).await;
        }
        let count = places::number(publish.count)?;
        let keyed = publish.keyed || publish.again.is_some();
        let lanes = publish.concurrent.max(1) as usize;
        if keyed {
            self.with(&publish.session, |s| s.keyed.clear())?;
        } else {
            self.with(&publish.session, |_| ())?;
        }
        let one = || async {
            let sending =
                Sending { key: keyed.then(|| self.fresh_key()), by: publish.by.clone(), fault: publish.fault, ..Sending::default() };
            let Some((op, marker)) = self.publish_one(&publish.session, publish.text, publish.durable, Some(sending.clone())).await else {
                return;
            };
            let Some(again) = publish.again else { return };
            let repeat = Sending { repeats: Some((op, marker)), conflict: again == Again::Conflict, fault: None, ..sending };
            self.publish_one(&publish.session, publish.text, publish.durable, Some(repeat)).await;
        };
        if lanes == 1 {
            for _ in 0..count {
                one().await;
            }
        } else {
            stream::iter((0..count).map(|_| one())).buffer_unordered(lanes).collect::<Vec<()>>().await;
        }
        if publish.fault.is_some() {
            self.health().await?;
        }
        Ok(())
    }

    /// Repeats the last keyed publishes of the session with the same keys and contents.
    async fn retry(&self, session: &str) -> Result<(), Abort> {
        let keyed = self.with(session, |s| s.keyed.clone())?;
        for Keyed { op, marker, key, text } in keyed {
            let sending = Sending { key: Some(key), repeats: Some((op, marker)), ..Sending::default() };
            self.publish_one(session, text, true, Some(sending)).await;
        }
        Ok(())
    }

    fn fresh_key(&self) -> String {
        let mut cast = self.cast.borrow_mut();
        cast.keys += 1;
        format!("key-{:016x}-{}", self.patience.salt, cast.keys)
    }

    /// Publishes one event. `None` when the session does not exist.
    pub(super) async fn publish_one(&self, session: &str, text: Text, durable: bool, sending: Option<Sending>) -> Option<(OpId, Marker)> {
        let sending = sending.unwrap_or_default();
        let (op, ix, address, marker) = self
            .with(session, |s| {
                let marker = match sending.repeats {
                    Some((_, marker)) if !sending.conflict => marker,
                    Some(_) | None => {
                        s.next_n += 1;
                        Marker { session: s.ix.0, n: s.next_n - 1 }
                    }
                };
                let op = self.world.recorder().operation();
                if sending.repeats.is_none() {
                    Rc::make_mut(&mut s.published).push(Published { marker, durable, acknowledged: false, cursor: None });
                    if let Some(key) = &sending.key {
                        s.keyed.push(Keyed { op, marker, key: key.clone(), text });
                    }
                }
                (op, s.ix, Rc::clone(&s.address), marker)
            })
            .ok()?;
        let (payload, body) = payload::digested(marker, text, self.profile.contract.max_payload);
        if text == Text::Secret {
            self.world.recorder().plant(payload::secret(marker));
        }
        let action = Action::Publish(history::Publish {
            session: ix,
            marker,
            durable,
            body,
            key: sending.key.clone(),
            repeats: sending.repeats.map(|r| r.0),
            conflict: sending.conflict,
            hostile: payload::hostile(text),
            hostile_type: text == Text::HostileType,
            secret: text == Text::Secret,
        });
        let call = Call::Publish {
            payload,
            event_type: payload::event_type(text),
            key: sending.key.clone(),
            durable,
            by: sending.by.clone(),
            fault: sending.fault,
        };
        self.record(history::What::Invoke(Box::new(history::Invoke { op, action })));
        let mut reply = self.world.call(op, &address, call).await;
        if self.profile.contract.acknowledged == Acknowledged::ByDelivery {
            let over = self.with(session, |s| s.closed || s.deleted).ok()?;
            reply.outcome = self.seen_by_anybody(marker, reply.outcome, over).await;
        }
        self.record(history::What::Complete(history::Complete { op, outcome: reply.outcome.clone() }));
        if sending.by.is_some() {
            self.with(session, |s| Rc::make_mut(&mut s.address).taken.extend(std::mem::take(&mut reply.taken))).ok()?;
        }
        self.with(session, |s| match reply.outcome {
            // Content that a key's first use did not have is no event of its own, whatever the answer says.
            Outcome::Ok { .. } if sending.conflict => {}
            Outcome::Ok { cursor, .. } => {
                if let Some(published) = Rc::make_mut(&mut s.published).iter_mut().rev().find(|p| p.marker == marker) {
                    published.acknowledged = true;
                    published.cursor = cursor.or(published.cursor.take());
                }
            }
            Outcome::Failed { status, body } => s.refusal = Some(format!("status {status} {body}").trim_end().to_owned()),
            Outcome::Unknown { why } => s.refusal = Some(why),
        })
        .ok()?;
        Some((op, marker))
    }

    /// What became of an event whose publish the server does not answer itself: acknowledged when any reader has it. When
    /// nobody gets it although the server was there all the time, it is acknowledged too, so that its loss is found.
    async fn seen_by_anybody(&self, marker: Marker, sent: Outcome, over: bool) -> Outcome {
        let Outcome::Ok { .. } = sent else { return sent };
        let seen = || {
            let cast = self.cast.borrow();
            let mut connections = cast.readers.values().flat_map(|reader| &reader.connections);
            connections.any(|connection| connection.progress.state().markers.contains_key(&marker))
        };
        if over {
            return Outcome::Unknown { why: "the session had ended: nobody can have it".to_owned() };
        }
        let starts = self.cast.borrow().restarts;
        let reached = self.world.wait(self.deadline(), || seen() || self.world.absent() || self.cast.borrow().restarts != starts).await;
        match reached && !seen() {
            true => Outcome::Unknown { why: "the server was stopped before any reader had it".to_owned() },
            false => sent,
        }
    }

    /// Runs a background writer to its end.
    pub(super) async fn write(&self, writer: Writer) {
        let lanes = writer.concurrent.max(1) as usize;
        let sends = (0..writer.count).map(|_| self.write_one(&writer));
        stream::iter(sends).buffer_unordered(lanes).collect::<Vec<()>>().await;
        if let Some(state) = self.cast.borrow_mut().writers.get_mut(&writer.name) {
            state.done = true;
        }
        self.world.recorder().wake();
    }

    /// Publishes one event of a background writer. A refused connection is tried again, for the server may be away; an
    /// event without answer is sent again only when it has a key.
    async fn write_one(&self, writer: &Writer) {
        let key = writer.keyed.then(|| self.fresh_key());
        let mut sending = Sending { key, ..Sending::default() };
        for _ in 0..TRIES {
            let Some((op, marker)) = self.publish_one(&writer.session, writer.text, true, Some(sending.clone())).await else { return };
            let acknowledged =
                self.with(&writer.session, |s| s.published.iter().rev().any(|p| p.marker == marker && p.acknowledged)).unwrap_or(false);
            if acknowledged {
                self.cast.borrow_mut().background_acks += 1;
                self.world.recorder().wake();
                return;
            }
            if !self.world.absent() && sending.key.is_none() {
                return;
            }
            if sending.key.is_some() && sending.repeats.is_none() {
                sending.repeats = Some((op, marker));
            }
            if !self.world.wait(Duration::from_secs(10), || !self.world.absent()).await {
                return;
            }
            if sending.key.is_none() {
                // The event was lost with the server or never reached it; the next one gets a marker of its own.
                return;
            }
        }
    }
}
