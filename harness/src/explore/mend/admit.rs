//! Steps of sessions, writers and the process.

use crate::contract::{CursorOrder, RetainKind};
use crate::history::{CursorClass, Probe, Retain};
use crate::scenario::{
    Again, Churn, Close, Count, Evict, EvictBy, Need, Open, ProbeStep, Publish, PublishFault, Read, Restart, Start, Step, Stop, Text,
    Writer,
};

use super::stage::{Held, Session};
use super::{MOST_EVENTS, MOST_HEAPED, Mending};

/// No more sessions in one scenario.
const MOST_SESSIONS: usize = 4;
/// No more events of a mebibyte by one step.
const MOST_LARGE: u32 = 2;
/// No more operations at once.
const MOST_AT_ONCE: u32 = 8;

impl Mending<'_> {
    pub(super) fn admit(&mut self, step: Step) -> Option<Step> {
        match step {
            Step::Open(open) => self.open(open).map(Step::Open),
            Step::Publish(publish) => self.publish(publish).map(Step::Publish),
            Step::Writer(writer) => self.writer(writer).map(Step::Writer),
            Step::Join(join) => {
                let (session, count) = self.stage.writers.remove(&join.writer)?;
                let session = self.stage.sessions.get_mut(&session)?;
                if session.takes() && !session.unsure {
                    session.publish(count);
                }
                Some(Step::Join(join))
            }
            Step::Subscribe(subscribe) => self.subscribe(subscribe).map(Step::Subscribe),
            Step::Resume(resume) => self.resume(resume).map(Step::Resume),
            Step::Drop(of) => {
                let reader = self.stage.readers.get_mut(&of.reader).filter(|r| r.open)?;
                reader.close(self.stage.sessions[&reader.session].events);
                Some(Step::Drop(of))
            }
            Step::Cut(cut) => self.cut(cut).map(Step::Cut),
            Step::Stall(stall) => self.hold(stall, super::stage::Held::Stalled).map(Step::Stall),
            Step::Hold(hold) => self.hold(hold, super::stage::Held::Held).map(Step::Hold),
            Step::Unstall(of) => self.release(of, super::stage::Held::Stalled).map(Step::Unstall),
            Step::Release(of) => self.release(of, super::stage::Held::Held).map(Step::Release),
            Step::Shape(shape) => self.shape(shape).map(Step::Shape),
            Step::Await(wait) => self.wait(wait).map(Step::Await),
            Step::Seam(seam) => self.seam(seam).map(Step::Seam),
            Step::Evict(evict) => self.evict(evict).map(Step::Evict),
            Step::Read(read) => self.read(read).map(Step::Read),
            Step::Snapshot(snapshot) => {
                let there = self.palette.has(Need::Snapshot);
                let session = self.stage.sessions.get_mut(&snapshot.session).filter(|s| there && !s.deleted)?;
                session.snapshot = true;
                Some(Step::Snapshot(snapshot))
            }
            Step::Close(close) => self.close(close).map(Step::Close),
            Step::Delete(of) => {
                let there = self.palette.has(Need::Delete) && !self.stage.written_to(&of.session);
                let session = self.stage.sessions.get_mut(&of.session).filter(|s| there && !s.deleted)?;
                session.deleted = true;
                self.stage.break_connections(Some(&of.session));
                Some(Step::Delete(of))
            }
            Step::Restart(restart) => self.restart(restart).map(Step::Restart),
            Step::Pause(empty) => {
                self.stage.paused = self.palette.has(Need::Pause);
                self.stage.paused.then_some(Step::Pause(empty))
            }
            Step::Continue(empty) => std::mem::take(&mut self.stage.paused).then_some(Step::Continue(empty)),
            Step::Probe(probe) => self.probe(probe).map(Step::Probe),
            Step::Churn(churn) => {
                let churn = Churn { connections: churn.connections.clamp(1, 20), concurrent: churn.concurrent.clamp(1, 10), ..churn };
                self.session(&churn.session).filter(|s| !s.deleted)?;
                Some(Step::Churn(churn))
            }
            // Leaks show over many connections, not in one case; repetitions were unrolled before; what a protocol has of its
            // own is asked by its own scenarios.
            Step::Sample(_) | Step::Repeat(_) | Step::Do(_) | Step::Pay(_) => None,
        }
    }

    /// A session that was opened.
    pub(super) fn session(&self, name: &str) -> Option<&Session> {
        self.stage.sessions.get(name)
    }

    fn open(&mut self, open: Open) -> Option<Open> {
        let taken = self.stage.sessions.contains_key(&open.session) || self.stage.sessions.len() >= MOST_SESSIONS;
        if taken || (open.refuse && !self.palette.has(Need::RetainValidated)) {
            return None;
        }
        if open.refuse {
            self.stage.sessions.insert(open.session.clone(), Session { deleted: true, replaced: true, ..Session::default() });
            return Some(open);
        }
        let retain = open.retain.map(|retain| self.retain(retain)).filter(|retain| *retain != Retain::default());
        let mut session = Session { retain, newest_kept: true, ..Session::default() };
        if let Some(old) = &open.reborn_of {
            // On one stream for all, the readers of the old one would be the new one's.
            if self.palette.profile().is_one_stream() {
                return None;
            }
            let old = self.stage.sessions.get_mut(old).filter(|old| old.deleted && !old.replaced)?;
            old.replaced = true;
            session.reborn = old.events > 0;
        }
        self.stage.sessions.insert(open.session.clone(), session);
        Some(Open { retain, ..open })
    }

    /// The bounds that can be set, within reach.
    fn retain(&self, asked: Retain) -> Retain {
        let bound = |kind: RetainKind, asked: Option<i64>, low: i64, high: i64| {
            asked.filter(|_| self.palette.settable(kind) && self.palette.has(Need::Gap)).map(|n| n.clamp(low, high))
        };
        Retain {
            records: bound(RetainKind::Records, asked.records, 1, 64),
            bytes: bound(RetainKind::Bytes, asked.bytes, 16 << 10, 128 << 10),
            age_ms: bound(RetainKind::Age, asked.age_ms, 200, 1_000),
        }
    }

    fn text(&self, text: Text) -> Text {
        match text {
            Text::Plain | Text::Bulky | Text::Large => text,
            Text::HostileType if self.palette.has(Need::EventType) => text,
            Text::HostileType => Text::Plain,
            Text::Secret if self.palette.has(Need::Redacts) => text,
            Text::Secret => Text::Plain,
            Text::Hostile | Text::Separators | Text::LineBreaks | Text::Controls | Text::Unicode | Text::FrameLike | Text::Surrogates => {
                if self.palette.has(Need::Text) {
                    text
                } else {
                    Text::Plain
                }
            }
        }
    }

    fn publish(&mut self, publish: Publish) -> Option<Publish> {
        let palette = self.palette;
        let keys = palette.profile().contract.idempotency.as_ref();
        let text = self.text(publish.text);
        let running = self.stage.written_to(&publish.session);
        let unread = self.stage.readers.values().any(|r| r.session == publish.session && r.held == Some(Held::Stalled));
        let session = self.stage.sessions.get_mut(&publish.session).filter(|s| palette.has(Need::Publish) && !s.deleted)?;
        if publish.retry {
            let (count, lost) = session.keyed.filter(|_| keys.is_some() && !session.closed && !running)?;
            session.publish(lost.min(count));
            session.keyed = Some((count, 0));
            return Some(Publish { count: Count::N(0), retry: true, ..Publish::plain(&publish.session, 1) });
        }
        if session.closed {
            // What a closed session answers is promised or not; one event shows it.
            let promised = palette.profile().contract.terminal.as_ref().is_some_and(|t| t.refuses_publish);
            return promised.then(|| Publish::plain(&publish.session, 1));
        }
        let most = match text {
            Text::Large => MOST_LARGE,
            Text::Bulky if unread && publish.durable => MOST_HEAPED,
            _ => MOST_EVENTS,
        };
        let count = match publish.count {
            Count::N(n) => n.clamp(1, most),
            Count::Each(_) => 1,
        };
        let concurrent = publish.concurrent.clamp(1, MOST_AT_ONCE).min(count);
        if !publish.durable {
            if !palette.has(Need::Ephemeral) {
                return None;
            }
            session.newest_ephemeral = true;
            return Some(Publish { count: Count::N(count), durable: false, ..Publish::plain(&publish.session, 1) });
        }
        let keyed = (publish.keyed || publish.again.is_some()) && keys.is_some();
        let again = publish.again.filter(|again| keyed && (*again == Again::Same || keys.is_some_and(|k| k.conflict_refused)));
        let fault =
            publish.fault.filter(|fault| palette.has(Need::Proxy) && (keyed || *fault == PublishFault::DropAnswer) && again.is_none());
        if keyed {
            session.keyed = Some((count, if fault.is_some() { count } else { 0 }));
        }
        if fault.is_some() {
            session.unsure = true;
            session.newest_ephemeral = false;
        } else if text == Text::HostileType {
            // A server may refuse such a type, and then there is no event.
            session.unsure = true;
        } else {
            session.publish(count);
        }
        // The repetition of a key under concurrency would race with the event that it repeats.
        Some(Publish {
            by: None,
            session: publish.session,
            count: Count::N(count),
            text,
            durable: true,
            keyed,
            concurrent,
            fault,
            again,
            retry: false,
        })
    }

    fn writer(&mut self, writer: Writer) -> Option<Writer> {
        let session = self.session(&writer.session).filter(|s| s.takes())?;
        if !self.palette.has(Need::Publish) || session.unsure && !writer.keyed && self.stage.writers.len() > 1 {
            return None;
        }
        if self.stage.writers.contains_key(&writer.name) || self.stage.writers.len() >= 3 {
            return None;
        }
        let text = self.text(writer.text);
        let most = if text == Text::Large { MOST_LARGE } else { MOST_EVENTS };
        let count = writer.count.clamp(1, most);
        let keyed = writer.keyed && self.palette.profile().contract.idempotency.is_some();
        self.stage.writers.insert(writer.name.clone(), (writer.session.clone(), count));
        Some(Writer { count, concurrent: writer.concurrent.clamp(1, MOST_AT_ONCE).min(count), text, keyed, ..writer })
    }

    fn evict(&mut self, evict: Evict) -> Option<Evict> {
        let session = self.stage.sessions.get_mut(&evict.session).filter(|s| s.takes())?;
        let retain = session.retain?;
        let beyond = evict.beyond.min(8);
        match evict.by {
            EvictBy::Records => session.publish(u32::try_from(retain.records?).unwrap_or(0) + beyond),
            EvictBy::Bytes => {
                retain.bytes?;
                session.publish(1);
                // How many events that takes is the runner's business.
                session.unsure = true;
            }
            EvictBy::Age => {
                retain.age_ms?;
                session.newest_kept = false;
            }
        }
        Some(Evict { beyond, ..evict })
    }

    fn read(&mut self, read: Read) -> Option<Read> {
        let takes = self.session(&read.session).filter(|s| self.palette.has(Need::History) && !s.deleted)?.takes();
        let from = match self.start(read.from, &read.session)? {
            from @ (Start::Oldest | Start::After(_) | Start::Head) => from,
            Start::Live | Start::Snapshot | Start::Synthetic | Start::EveryId | Start::Class(_) | Start::Of(_) | Start::Text(_) => {
                Start::Oldest
            }
        };
        let most = self.palette.profile().binding.history.as_ref().and_then(|h| h.max_limit).unwrap_or(100);
        let limit = read.limit.map(|limit| limit.clamp(1, most));
        let moving = read.moving && takes && limit.is_some();
        if moving {
            // Up to five events, one a page.
            let session = self.stage.sessions.get_mut(&read.session)?;
            session.unsure = true;
            session.newest_ephemeral = false;
        }
        Some(Read { from, limit, moving, ..read })
    }

    fn close(&mut self, close: Close) -> Option<Close> {
        let there = self.palette.has(Need::Close);
        let session = self.stage.sessions.get_mut(&close.session).filter(|s| there && s.takes())?;
        session.closed = true;
        let racing = close.racing.min(4);
        session.unsure |= racing > 0;
        let ends = self.palette.profile().contract.terminal.as_ref().is_some_and(|t| t.closes);
        for reader in self.stage.readers.values_mut().filter(|r| r.session == close.session && r.open) {
            reader.ending = ends && reader.held.is_none();
        }
        Some(Close { racing, ..close })
    }

    fn restart(&mut self, restart: Restart) -> Option<Restart> {
        let palette = self.palette;
        let (may, promised) = match restart.how {
            Stop::Kill => (Need::Kill, Need::SurvivesKill),
            Stop::Term => (Need::Restart, Need::SurvivesRestart),
        };
        let running = !self.stage.writers.is_empty();
        let wipe = restart.wipe && palette.has(Need::Wipe) && !running;
        if !palette.has(may) || (!wipe && !palette.has(promised)) {
            return None;
        }
        let written: u32 = self.stage.writers.values().map(|(_, count)| *count).sum();
        let after_acks = restart.after_acks.filter(|_| running).map(|count| match count {
            Count::N(n) => Count::N(n.clamp(1, written.max(1))),
            Count::Each(_) => Count::N(1),
        });
        let survives = palette.profile().contract.idempotency.as_ref().is_some_and(|k| k.survives_restart);
        for (name, session) in &mut self.stage.sessions {
            let busy = self.stage.writers.values().any(|(of, _)| of == name);
            session.unsure |= busy;
            session.deleted |= wipe;
            session.wiped |= wipe;
            session.keyed = session.keyed.filter(|_| survives && !wipe);
            // A live-only event of before is nobody's business any more, but may still be the newest one.
        }
        self.stage.break_connections(None);
        Some(Restart { how: restart.how, wipe, after_acks, after_events: None, twice: restart.twice })
    }

    fn probe(&mut self, probe: ProbeStep) -> Option<ProbeStep> {
        let palette = self.palette;
        let there = |name: &Option<String>| name.as_ref().filter(|name| self.session(name).is_some_and(|s| !s.deleted)).cloned();
        match probe.about {
            Probe::UnknownSession | Probe::PublishUnknown => {
                // Credentials come with a session.
                let allowed = palette.profile().contract.auth.is_none() || !self.stage.sessions.is_empty();
                (allowed && palette.has(Need::UnknownSession)).then_some(ProbeStep { about: probe.about, session: None })
            }
            Probe::WrongMethod => Some(ProbeStep { session: Some(there(&probe.session)?), ..probe }),
            Probe::SenselessLimit => {
                let validated = palette.profile().binding.history.as_ref().is_some_and(|h| h.limit_validated);
                Some(ProbeStep { session: Some(there(&probe.session)?), ..probe }).filter(|_| validated)
            }
            Probe::NoCredentials | Probe::Escape => None,
        }
    }

    /// Where a connection to `session` can start; `None` when it cannot start so.
    pub(super) fn start(&self, from: Start, session: &str) -> Option<Start> {
        let state = self.session(session)?;
        let (palette, resume) = (self.palette, self.palette.has(Need::Resume));
        let promised = |class: CursorClass| palette.answers(class).is_some();
        match from {
            Start::Oldest => Some(Start::Oldest),
            Start::Live => palette.has(Need::Live).then_some(Start::Live),
            Start::After(Count::N(n)) if resume => Some(if state.certain == 0 { Start::Oldest } else { after(n.min(state.certain)) }),
            Start::After(_) => None,
            Start::Head => (resume && state.certain > 0).then_some(Start::Head),
            Start::Snapshot => (resume && state.snapshot).then_some(Start::Snapshot),
            Start::Synthetic | Start::EveryId => resume.then_some(from),
            Start::Of(other) => {
                let known = other != session && self.session(&other).is_some_and(|s| s.certain > 0);
                (resume && known && promised(CursorClass::OtherSession)).then_some(Start::Of(other))
            }
            // A text of one's own belongs to a scenario that a person wrote.
            Start::Text(_) => None,
            Start::Class(class) => {
                let numbers = palette.profile().contract.cursor.as_ref().is_some_and(|c| c.order == CursorOrder::Number);
                let can = match class {
                    CursorClass::Own => return self.start(Start::Head, session),
                    CursorClass::Snapshot => return self.start(Start::Snapshot, session),
                    CursorClass::Synthetic => return self.start(Start::Synthetic, session),
                    CursorClass::OtherSession => {
                        // The runner takes the first of the others.
                        let first = self.stage.sessions.iter().find(|(name, _)| *name != session).map(|(_, s)| s);
                        promised(class) && first.is_some_and(|s| s.certain > 0)
                    }
                    CursorClass::OtherEpoch => promised(class) && state.reborn,
                    CursorClass::Ahead => promised(class) && numbers && state.certain > 0,
                    CursorClass::Malformed | CursorClass::Empty => promised(class),
                };
                (resume && can).then_some(Start::Class(class))
            }
        }
    }
}

/// After the n-th event; after none of them is the start.
fn after(n: u32) -> Start {
    if n == 0 { Start::Oldest } else { Start::After(Count::N(n)) }
}
