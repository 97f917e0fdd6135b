//! The ring: one session of the core that holds what is replayable, of all directories together, for one life of the process.
//!
//! The core numbers on for ever; a boot is a stretch of these numbers. An event's cursor is the boot in which it was
//! appended and how many numbers lie between that boot's beginning and the event.

use std::sync::{Arc, Mutex, MutexGuard};

use serde::Deserialize;

use super::boot::{boot, parse};
use crate::bugs::{Bug, BugSet};
use crate::dialect::follow::{self, Subscribed};
use crate::hub::{Answer, Cell, Hub, now};
use crate::session::{Append, Cursor, Event, Session, Start};

/// The name of the core's session.
const NAME: &str = "global";
/// Boots that are remembered, for readers that are behind the newest ones.
const MOST_BOOTS: usize = 64;

/// What is replayable (b.4). The rest is live-only.
const REPLAYABLE: [&str; 7] = [
    "permission.asked",
    "permission.replied",
    "session.created",
    "session.updated",
    "session.deleted",
    "session.status",
    "server.instance.disposed",
];

/// The event that tells of a disposal.
const DISPOSED: &str = "server.instance.disposed";

#[derive(Clone, Debug)]
struct Boot {
    /// The core's newest number when it began.
    base: u64,
    id: String,
}

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    hub: Arc<Hub>,
    cell: Arc<Cell>,
    /// Ascending by base; the newest is the one that counts. Locked inside the session's lock.
    boots: Mutex<Vec<Boot>>,
}

/// How a connection begins.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) subscription: Subscribed,
    /// Whether its first frame is `server.connected`: there was no cursor, or none that can be resumed from.
    pub(super) connected: bool,
    /// The number that its fence has in the boot of its opening.
    pub(super) fence: u64,
}

impl Ring {
    /// An empty ring, in a boot of its own.
    ///
    /// # Errors
    /// When the hub has stopped.
    pub(super) async fn open(hub: Arc<Hub>) -> Result<Ring, Answer> {
        hub.open(NAME.to_owned(), hub.retention).await?;
        let cell = hub.find(NAME).expect("it was just opened");
        let first = Boot { base: 0, id: boot(now(), rand::random()) };
        Ok(Ring { hub, cell, boots: Mutex::new(vec![first]) })
    }

    /// The bugs that are switched on.
    pub(super) fn bugs(&self) -> BugSet {
        self.hub.bugs
    }

    /// Says something: kept and numbered where its type is replayable, else to those who listen now. `properties` is JSON.
    ///
    /// What is said in order has that order before this is waited for.
    pub(super) fn say(
        &self,
        directory: &str,
        event_type: &str,
        properties: &str,
    ) -> impl Future<Output = Result<(), Answer>> + Send + use<> {
        let forgotten = self.bugs().has(Bug::UpdatesNotKept) && event_type == "session.updated";
        let kept = if REPLAYABLE.contains(&event_type) && !forgotten {
            Some(self.hub.append_soon(NAME, append(directory, event_type, properties)))
        } else {
            self.announce(Some(directory), event_type, properties);
            None
        };
        async move {
            match kept {
                Some(kept) => kept.await.map(|_| ()),
                None => Ok(()),
            }
        }
    }

    /// Says something to those who listen now.
    pub(super) fn announce(&self, directory: Option<&str>, event_type: &str, properties: &str) {
        self.cell.lock().announce(event_type, &envelope(directory, event_type, properties));
        self.cell.ring();
    }

    /// Removes the records of a directory, and appends that it was disposed (b.7).
    pub(super) async fn dispose(&self, directory: &str) -> Result<(), Answer> {
        let properties = format!(r#"{{"directory":{}}}"#, quoted(directory));
        let own = directory.to_owned();
        let gone = move |event: &Event| Envelope::of(&event.data).directory.as_deref() == Some(own.as_str());
        let end = self.hub.append_removing(NAME, append(directory, DISPOSED, &properties), gone).await?;
        if self.bugs().has(Bug::DisposeRepeatsIds) {
            let id = self.newest().id;
            self.boots().push(Boot { base: end.seq, id });
        }
        Ok(())
    }

    /// Begins a new boot with nothing in it.
    pub(super) fn reset(&self) {
        let mut session = self.cell.lock();
        session.remove(|_| true);
        let (base, mut boots) = (session.head().seq, self.boots());
        let newest = &boots.last().expect("there is always a boot").id;
        let id = if self.bugs().has(Bug::DisposeKeepsBoot) { newest.clone() } else { boot(now(), rand::random()) };
        boots.push(Boot { base, id });
        if boots.len() > MOST_BOOTS {
            boots.remove(0);
        }
    }

    /// Opens a connection with the cursor that was presented (b.6): the answer is fixed, the reader registered and its fence
    /// taken as if in one step.
    pub(super) async fn connect(&self, presented: Option<&str>) -> Opened {
        loop {
            let (start, fence, newest) = {
                let mut session = self.cell.lock();
                session.prune_on_read(now());
                let newest = self.newest();
                (self.start(&session, &newest, presented), session.head().seq - newest.base, newest)
            };
            let subscription = follow::subscribe(&self.hub, &self.cell, start).await;
            // A boot that began in between makes another answer out of it.
            if self.newest().base == newest.base {
                let connected = start == Start::Live || self.bugs().has(Bug::ConnectedOnResume);
                return Opened { subscription, connected, fence };
            }
        }
    }

    fn start(&self, session: &Session, boot: &Boot, presented: Option<&str>) -> Start {
        let (bugs, head) = (self.bugs(), session.head());
        let Some(text) = presented.filter(|text| !text.is_empty()) else { return Start::Live };
        let lenient = || {
            let number = Cursor::parse_leniently(text, head.epoch).filter(|_| bugs.has(Bug::LenientCursor))?;
            Some((text.rsplit_once(':')?.0, number.seq))
        };
        let Some((named, number)) = parse(text).or_else(lenient) else { return Start::Live };
        if named != boot.id && !bugs.has(Bug::NoEpoch) {
            return Start::Live;
        }
        let seq = boot.base + number;
        if seq > head.seq && !bugs.has(Bug::AheadSwallows) && !bugs.has(Bug::NoEpoch) {
            return Start::Live;
        }
        // Everything behind the cursor is kept, or nothing is replayed: a partial replay looks like a whole one.
        let oldest = session.oldest();
        let next = seq + 1 + u64::from(bugs.has(Bug::GapOneLate)) - u64::from(bugs.has(Bug::FalseGap));
        let lost = seq < head.seq && next < oldest && !bugs.has(Bug::SilentEviction);
        let overlooked = bugs.has(Bug::EmptyIsNoGap) && session.is_empty();
        if lost && !overlooked { Start::Live } else { Start::After(Cursor { seq, ..head }) }
    }

    /// The cursor of an event by its number in the core.
    pub(super) fn cursor_of(&self, seq: u64) -> String {
        self.named(|boot| boot.base < seq, seq)
    }

    /// The cursor of a fence: with nothing appended yet it is the beginning of the newest boot, not the end of the one before.
    pub(super) fn cursor_at(&self, seq: u64) -> String {
        self.named(|boot| boot.base <= seq, seq)
    }

    fn named(&self, is_in: impl Fn(&Boot) -> bool, seq: u64) -> String {
        let boots = self.boots();
        let boot = boots.iter().rev().find(|boot| is_in(boot)).unwrap_or(&boots[0]);
        format!("{}:{}", boot.id, seq.saturating_sub(boot.base))
    }

    fn newest(&self) -> Boot {
        self.boots().last().expect("there is always a boot").clone()
    }

    fn boots(&self) -> MutexGuard<'_, Vec<Boot>> {
        self.boots.lock().expect("nobody panics while holding the boots")
    }
}

/// The frame of an event, as far as the server looks at it again.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) directory: Option<String>,
    #[serde(borrow)]
    pub(super) payload: Option<&'a serde_json::value::RawValue>,
}

impl Envelope<'_> {
    pub(super) fn of(frame: &str) -> Envelope<'_> {
        serde_json::from_str(frame).expect("the server wrote the frame")
    }
}

/// The frame of an event. Properties stand in it as they are: a detour through a JSON value would change numbers and refuse
/// escapes of lone surrogates.
pub(super) fn envelope(directory: Option<&str>, event_type: &str, properties: &str) -> String {
    let place = directory.map_or_else(String::new, |directory| format!(r#""directory":{},"project":"global","#, quoted(directory)));
    format!(r#"{{{place}"payload":{{"type":"{event_type}","properties":{properties}}}}}"#)
}

fn append(directory: &str, event_type: &str, properties: &str) -> Append {
    let data = envelope(Some(directory), event_type, properties);
    Append { event_type: event_type.into(), data: data.into(), key: None, terminal: false }
}

/// Text as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
