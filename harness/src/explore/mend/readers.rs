//! Steps of readers and of their connections.

use crate::contract::BoundarySent;
use crate::history::{CursorClass, Role};
use crate::scenario::{Await, Count, Cut, How, Need, OfReader, Resume, Seam, SeamTime, Shape, Stall, Start, Step, Subscribe, Upto};

use super::stage::{Held, Reader};
use super::{MOST_READERS, Mending};

/// The longest delay of a write.
const LONGEST_DELAY_MS: u32 = 5;
/// Bytes of a stream that surely come with one event.
const BYTES_AN_EVENT: u32 = 40;

impl Mending<'_> {
    fn reader(&mut self, name: &str) -> Option<&mut Reader> {
        self.stage.readers.get_mut(name)
    }

    /// Enters the newest connection of a reader.
    fn connected(&mut self, reader: &str, session: &str, start: u32) {
        let opened_at = self.done.len();
        let ending = self.session(session).is_some_and(|s| s.closed);
        let reader_now = Reader {
            session: session.to_owned(),
            opened_at,
            open: true,
            start,
            seen: start,
            placed: false,
            held: None,
            older_held: None,
            overlaps_held: false,
            shaped: false,
            ending,
        };
        self.stage.readers.insert(reader.to_owned(), reader_now);
    }

    pub(super) fn subscribe(&mut self, subscribe: Subscribe) -> Option<Subscribe> {
        let from = self.start(subscribe.from, &subscribe.session)?;
        // Under the name of a session that was replaced answers the one that replaced it; what one answers that was lost
        // with the data is promised nowhere.
        let session = self.session(&subscribe.session).filter(|s| !s.replaced && !s.wiped)?;
        let elsewhere = self.stage.readers.get(&subscribe.reader).is_some_and(|r| r.session != subscribe.session);
        if elsewhere || self.stage.retired.contains(&subscribe.reader) {
            return None;
        }
        let own = matches!(from, Start::After(_) | Start::Head);
        let beside = subscribe.beside && own && self.palette.has(Need::TwoCarriers);
        // A slow reader is one that is told to stop reading; a witness is the runner's own.
        let role = match subscribe.role {
            Role::Slow | Role::Compressed => subscribe.role,
            Role::Plain | Role::Witness | Role::Overlap | Role::Churn | Role::Driven => Role::Plain,
        };
        let start = match &from {
            Start::Oldest => Some(0),
            Start::After(Count::N(n)) => Some(*n),
            Start::Head | Start::Live | Start::Snapshot => Some(session.events),
            Start::Class(CursorClass::Empty) => Some(0),
            // Connections that come and go within the step, or are refused.
            Start::Synthetic | Start::EveryId | Start::Class(_) | Start::Of(_) | Start::Text(_) | Start::After(Count::Each(_)) => None,
        };
        let replays = start.is_some() && !session.deleted;
        if replays {
            self.connected(&subscribe.reader, &subscribe.session, start.unwrap_or(0));
        } else {
            self.stage.readers.remove(&subscribe.reader);
            self.stage.retired.insert(subscribe.reader.clone());
        }
        let readers = if replays { subscribe.readers.clamp(1, MOST_READERS) } else { 1 };
        Some(Subscribe { reader: subscribe.reader, session: subscribe.session, from, role, beside, readers, pay: None, content: None })
    }

    pub(super) fn resume(&mut self, resume: Resume) -> Option<Resume> {
        let (there, proxy) = (self.palette.has(Need::Resume), self.palette.has(Need::Proxy));
        let reader = self.stage.readers.get(&resume.reader).filter(|_| there)?.clone();
        let session = self.session(&reader.session).filter(|s| !s.deleted)?;
        let overlap = resume.overlap && reader.open && !reader.ending;
        let seen = match (resume.same_cursor, reader.open) {
            (true, _) => reader.start,
            (false, true) if reader.held.is_none() => session.events,
            (false, _) => reader.seen,
        };
        let name = resume.reader.clone();
        self.connected(&name, &reader.session, seen);
        let newest = self.reader(&name)?;
        newest.older_held = reader.held.filter(|_| overlap);
        newest.overlaps_held = newest.older_held.is_some();
        Some(Resume { overlap, refuse_first: if proxy { resume.refuse_first.min(3) } else { 0 }, beside: false, ..resume })
    }

    /// Makes way for a fault that strikes at a place of the newest connection's bytes: nothing was waited for on that
    /// connection that would not come. `None` when nothing passes there.
    fn place(&mut self, name: &str, after: u32) -> Option<u32> {
        let reader = self.stage.readers.get(name).filter(|r| r.open && !r.placed && r.held.is_none() && self.palette.has(Need::Proxy))?;
        let session = &self.stage.sessions[&reader.session];
        let due = reader.due(session);
        if due == 0 || session.deleted || reader.ending || session.newest_ephemeral || !session.newest_kept {
            return None;
        }
        let opened_at = reader.opened_at;
        let mut at = 0;
        let waits_for = |step: &Step| match step {
            Step::Await(wait) => wait.reader == name,
            _ => false,
        };
        self.done.retain(|step| {
            at += 1;
            at <= opened_at || !waits_for(step)
        });
        Some(after.min(due))
    }

    pub(super) fn cut(&mut self, cut: Cut) -> Option<Cut> {
        let terminal = self.palette.has(Need::Close);
        let placed = cut.after_events.is_some() || cut.inside.is_some() || cut.after_bytes.is_some() || cut.before_headers;
        if cut.before_terminal {
            // The terminal must be on its way to a connection that is open.
            let reader = self.reader(&cut.reader).filter(|r| terminal && r.open && r.ending && !r.placed && r.held.is_none())?;
            reader.placed = true;
            let (session, opened_at) = (reader.session.clone(), reader.opened_at);
            let seen = self.stage.sessions[&session].events;
            if !self.palette.has(Need::Proxy) || opened_at >= self.done.len() && !self.stage.sessions[&session].closed {
                return None;
            }
            self.reader(&cut.reader)?.close(seen);
            return Some(Cut { how: cut.how, before_terminal: true, ..now(cut.reader) });
        }
        if !placed {
            let proxy = self.palette.has(Need::Proxy);
            let reader = self.stage.readers.get_mut(&cut.reader).filter(|r| r.open && !r.ending)?;
            let seen = self.stage.sessions[&reader.session].events;
            let how = if proxy { cut.how } else { How::Fin };
            let seen = if reader.held.is_some() { reader.seen } else { seen };
            reader.close(seen);
            return Some(Cut { how, ..now(cut.reader) });
        }
        let whole = match (cut.after_events, cut.inside) {
            (Some(Count::N(n)), _) => n,
            (None, Some(inside)) => inside.after_events,
            (Some(Count::Each(_)) | None, _) => 0,
        };
        let whole = self.place(&cut.reader, whole)?;
        let reader = self.stage.readers.get_mut(&cut.reader)?;
        let due = reader.due(&self.stage.sessions[&reader.session]);
        reader.placed = true;
        let start = reader.start;
        if let Some(Count::N(bytes)) = cut.after_bytes {
            let bytes = bytes.clamp(1, due * BYTES_AN_EVENT);
            reader.close(start + due);
            return Some(Cut { how: cut.how, after_bytes: Some(Count::N(bytes)), ..now(cut.reader) });
        }
        reader.close(start + whole);
        if cut.before_headers {
            return Some(Cut { how: cut.how, before_headers: true, ..now(cut.reader) });
        }
        if let Some(mut inside) = cut.inside {
            inside.after_events = whole.min(due - 1);
            return Some(Cut { how: cut.how, inside: Some(inside), ..now(cut.reader) });
        }
        Some(Cut { how: cut.how, after_events: Some(Count::N(whole)), ..now(cut.reader) })
    }

    pub(super) fn hold(&mut self, stall: Stall, held: Held) -> Option<Stall> {
        self.reader(&stall.reader).filter(|r| !r.overlaps_held)?;
        let after_events = self.place(&stall.reader, stall.after_events)?;
        let reader = self.reader(&stall.reader)?;
        reader.placed = true;
        reader.held = Some(held);
        reader.seen = reader.start + after_events;
        Some(Stall { after_events, ..stall })
    }

    pub(super) fn release(&mut self, of: OfReader, held: Held) -> Option<OfReader> {
        let reader = self.reader(&of.reader).filter(|r| r.open)?;
        let [newest, older] = [&mut reader.held, &mut reader.older_held].map(|place| place.take_if(|kept| *kept == held));
        newest.or(older).map(|_| of)
    }

    pub(super) fn shape(&mut self, shape: Shape) -> Option<Shape> {
        let there = self.palette.has(Need::Proxy);
        let reader = self.reader(&shape.reader).filter(|r| there && r.open && !r.shaped)?;
        reader.shaped = true;
        let rechunk = shape.rechunk.map(|size| size.clamp(1, 4096));
        // A delay before each byte would make the case last for ever.
        let delay_ms = shape.delay_ms.filter(|_| rechunk.is_none_or(|size| size >= 512)).map(|ms| ms.clamp(1, LONGEST_DELAY_MS));
        (rechunk.is_some() || delay_ms.is_some()).then_some(Shape { rechunk, delay_ms, ..shape })
    }

    pub(super) fn wait(&mut self, wait: Await) -> Option<Await> {
        let reader = self.stage.readers.get(&wait.reader).filter(|r| r.open && r.held.is_none())?;
        let session = &self.stage.sessions[&reader.session];
        let contract = &self.palette.profile().contract;
        let alive = session.takes();
        let newest_comes = alive && reader.due(session) > 0 && session.newest_kept && !session.newest_ephemeral;
        let comes = match wait.upto {
            Upto::Last => newest_comes,
            Upto::Event(n) => newest_comes && n > reader.start && n <= session.certain && session.retain.is_none(),
            Upto::Count(n) => newest_comes && n <= reader.due(session) && session.retain.is_none() && !session.unsure,
            Upto::Headers => !session.deleted,
            Upto::Boundary => {
                let always = contract.boundary.as_ref().is_some_and(|b| b.sent != BoundarySent::WithoutReplay);
                alive && always && !reader.ending
            }
            Upto::Terminal => reader.ending && reader.start < session.events && self.palette.has(Need::Close),
            Upto::Closed => reader.ending && contract.terminal.as_ref().is_some_and(|t| t.closes),
            // On a stream that may be busy none need come.
            Upto::Heartbeat => alive && !reader.ending && self.stage.writers.is_empty() && self.palette.has(Need::Heartbeat),
            // Whether and when these come is known only in scenarios made for them.
            Upto::Gap | Upto::Due(_) => false,
        };
        comes.then_some(wait)
    }

    pub(super) fn seam(&mut self, seam: Seam) -> Option<Seam> {
        let session = self.session(&seam.session).filter(|s| s.takes() && self.palette.has(Need::Publish))?;
        let busy = self.stage.readers.get(&seam.reader).is_some_and(|r| r.session != seam.session || r.held.is_some());
        if busy || self.stage.retired.contains(&seam.reader) {
            return None;
        }
        let (events, kept) = (session.events, session.newest_kept && !session.newest_ephemeral);
        let from = match self.start(seam.from, &seam.session)? {
            from @ (Start::Oldest | Start::After(_) | Start::Head) => from,
            Start::Live | Start::Snapshot | Start::Synthetic | Start::EveryId | Start::Class(_) | Start::Of(_) | Start::Text(_) => {
                Start::Oldest
            }
        };
        let replayed = match from {
            Start::Oldest => events,
            Start::After(Count::N(n)) => events.saturating_sub(n),
            _ => 0,
        };
        let stoppable = replayed > 0 && kept && self.palette.has(Need::Proxy);
        let when = match seam.when {
            SeamTime::InReplay if !stoppable => SeamTime::WithRequest,
            when => when,
        };
        let (publish, times) = (seam.publish.clamp(1, 8), seam.times.clamp(1, 4));
        let session = self.stage.sessions.get_mut(&seam.session)?;
        session.publish(publish * times);
        let seen = session.events;
        self.connected(&seam.reader, &seam.session, 0);
        self.reader(&seam.reader)?.close(seen);
        Some(Seam { from, when, publish, times, ..seam })
    }
}

/// A cut without a place.
fn now(reader: String) -> Cut {
    Cut { reader, how: How::Rst, after_events: None, inside: None, after_bytes: None, before_headers: false, before_terminal: false }
}
