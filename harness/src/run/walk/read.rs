//! Readers: connecting, resuming, waiting, and the passage from replay to live.

use std::rc::Rc;
use std::time::Duration;

use smol_str::SmolStr;

use crate::contract::{BoundarySent, CursorAnswer, StreamAnswer};
use crate::history::{CursorClass, From, Role, Until, Wait, What};
use crate::scenario::{Resume, Seam, SeamTime, Start, Step, Subscribe, Text, Upto};
use crate::world::{ConnFault, Opening, Watch, World};

use super::cast::{Connection, class_of};
use super::{Abort, Walk, faults};

/// How often a reader whose stream the server ended connects again while something is awaited.
const RECONNECTS: u32 = 5;

/// How many deadlines a wait may take while events keep coming.
const PATIENCE: u32 = 20;

/// For how many deadlines a program is waited for.
const PROGRAMS: u32 = 5;

/// The name of the reader that is never disturbed, by session.
pub(super) fn witness_of(session: &str) -> String {
    format!("witness-{session}")
}

/// For how many times the promised time a response head is waited for, until one did not come.
const LATE_HEADS: u64 = 4;

/// How long a response head is waited for that is not promised before the first event.
const HEADS_WITH_EVENTS: Duration = Duration::from_secs(1);

impl<W: World> Walk<'_, W> {
    /// Opens a connection for `reader` and returns at once.
    pub(super) fn connect(
        &self,
        reader: &str,
        session: &str,
        from: From,
        role: Role,
        faults: Vec<ConnFault>,
    ) -> Result<Rc<Connection>, Abort> {
        let (ix, address) = self.with(session, |s| (s.ix, Rc::clone(&s.address)))?;
        let conn = self.world.recorder().connection();
        let nth = {
            let mut cast = self.cast.borrow_mut();
            let entry = cast.readers.entry(reader.into()).or_default();
            entry.session = session.into();
            entry.connections.len() as u32 + 1
        };
        let funding = self.cast.borrow().fundings.get(reader).cloned().unwrap_or_default();
        let content = self.cast.borrow().contents.get(reader).cloned();
        let role = if self.cast.borrow().driven.contains(reader) { Role::Driven } else { role };
        let opening = Opening {
            conn,
            reader: reader.into(),
            nth,
            session: ix,
            address,
            from: from.clone(),
            role,
            faults,
            cut_on_command: faults::cuts_on_command(self.whole, reader),
            funding,
            content,
        };
        let progress = self.world.connect(opening);
        let connection = Rc::new(Connection { conn, reader: reader.into(), from, progress });
        let mut cast = self.cast.borrow_mut();
        cast.readers.get_mut(reader).expect("it was just entered").connections.push(Rc::clone(&connection));
        Ok(connection)
    }

    pub(super) async fn witness(&self, session: &str) -> Result<(), Abort> {
        let from = self.with(session, |s| s.beginning(self.profile))?;
        let witness = self.connect(&witness_of(session), session, from, Role::Witness, Vec::new())?;
        // A witness that connects later than the first event would have a seam of its own to cross.
        self.established(&witness).await;
        Ok(())
    }

    /// Reconnects witnesses that a restart cut off.
    pub(super) async fn resume_witnesses(&self) -> Result<(), Abort> {
        let names: Vec<SmolStr> = self.cast.borrow().readers.keys().filter(|name| name.starts_with("witness-")).cloned().collect();
        for name in names {
            let session = self.cast.borrow().readers[name.as_str()].session.clone();
            if self.with(&session, |s| s.closed || s.deleted)? {
                continue;
            }
            let newest = self.newest(&name)?;
            self.close_connection(&newest).await;
            let from = self.own_cursor(&name, false)?;
            let witness = self.connect(&name, &session, from, Role::Witness, Vec::new())?;
            self.established(&witness).await;
        }
        Ok(())
    }

    pub(super) async fn subscribe(&self, subscribe: &Subscribe, ahead: &[Step]) -> Result<(), Abort> {
        let starts = self.known_starts(&subscribe.from, &subscribe.session).await?;
        let several = starts.len() > 1;
        for from in starts {
            let from = if subscribe.beside { self.beside(from, &subscribe.session)? } else { from };
            for k in 1..=subscribe.readers.max(1) {
                let name = if k == 1 { subscribe.reader.clone() } else { format!("{}{k}", subscribe.reader) };
                if let Some(funding) = &subscribe.pay {
                    self.cast.borrow_mut().fundings.insert(name.clone(), funding.clone());
                }
                if let Some(content) = &subscribe.content {
                    self.cast.borrow_mut().contents.insert(name.clone(), content.clone());
                }
                if subscribe.role == Role::Driven {
                    self.cast.borrow_mut().driven.insert(name.clone());
                }
                let faults = if k == 1 { faults::armed(&name, ahead) } else { Vec::new() };
                self.connect(&name, &subscribe.session, from.clone(), subscribe.role, faults)?;
            }
            let connection = self.newest(&subscribe.reader)?;
            if several || matches!(from, From::Cursor { class, .. } if class != CursorClass::Own) {
                self.answered(&connection).await;
                self.caught_up(&connection, &subscribe.session).await?;
            }
            if several {
                self.close_connection(&connection).await;
            }
        }
        Ok(())
    }

    /// Sends an older cursor beside the one of `from`.
    fn beside(&self, from: From, session: &str) -> Result<From, Abort> {
        let older = {
            let cast = self.cast.borrow();
            cast.sessions.get(session).and_then(|s| s.nth(1)).and_then(|p| cast.cursor_of(session, p.marker))
        };
        match (from, older) {
            (From::Cursor { value, class, .. }, Some(older)) => Ok(From::Cursor { value, class, beside: Some(older) }),
            (_, None) | (From::Start | From::Live, _) => self.could_not("there are no two cursors to send at once"),
        }
    }

    /// Where a reader goes on: its newest cursor, or how it began.
    fn own_cursor(&self, reader: &str, same: bool) -> Result<From, Abort> {
        let cast = self.cast.borrow();
        let Some(state) = cast.readers.get(reader) else { return self.could_not(format!("reader `{reader}` never subscribed")) };
        for connection in state.connections.iter().rev() {
            if same {
                return Ok(connection.from.clone());
            }
            if let Some((value, kind)) = connection.progress.state().cursor() {
                return Ok(From::Cursor { value: value.clone(), class: class_of(kind, self.profile), beside: None });
            }
            // SSE-28: a connection that dies before its first id leaves the one it was opened with.
            if let From::Cursor { value, class, .. } = &connection.from {
                return Ok(From::Cursor { value: value.clone(), class: *class, beside: None });
            }
        }
        Ok(state.connections.first().map_or(From::Start, |c| c.from.clone()))
    }

    pub(super) async fn resume(&self, resume: &Resume, ahead: &[Step]) -> Result<(), Abort> {
        let session = match self.cast.borrow().readers.get(resume.reader.as_str()) {
            Some(reader) => reader.session.clone(),
            None => return self.could_not(format!("reader `{}` never subscribed", resume.reader)),
        };
        let newest = self.newest(&resume.reader)?;
        if !resume.overlap {
            self.close_connection(&newest).await;
        }
        let from = self.own_cursor(&resume.reader, resume.same_cursor)?;
        let from = if resume.beside { self.beside(from, &session)? } else { from };
        let mut faults = faults::armed(&resume.reader, ahead);
        if resume.refuse_first > 0 {
            faults.push(ConnFault::RefuseFirst(resume.refuse_first));
        }
        let role = if resume.overlap { Role::Overlap } else { Role::Plain };
        self.connect(&resume.reader, &session, from, role, faults)?;
        Ok(())
    }

    /// Waits for a response head, or for the reason why there is none. Where heads are late, a reader with nothing due gets none.
    pub(super) async fn answered(&self, connection: &Connection) -> bool {
        let promised = self.profile.contract.liveness.headers_ms.filter(|_| self.world.heads_are_late());
        let within = promised.map_or(self.deadline(), |ms| Duration::from_millis(ms * LATE_HEADS).min(self.deadline()));
        self.world
            .wait(within, || {
                let state = connection.progress.state();
                state.answer.is_some() || state.ended.is_some()
            })
            .await
    }

    /// Waits until a connection has surely registered: by its boundary where one is promised, else by its headers.
    pub(super) async fn established(&self, connection: &Connection) {
        let boundary = match self.profile.contract.boundary.as_ref().map(|b| b.sent) {
            Some(BoundarySent::Always | BoundarySent::AtLeastOnce) => true,
            Some(BoundarySent::WithoutReplay) => match &connection.from {
                From::Start | From::Live => true,
                From::Cursor { class, .. } => {
                    self.profile.contract.answers.get(class) == Some(&CursorAnswer::Stream(StreamAnswer::Boundary))
                }
            },
            None => false,
        };
        if self.profile.contract.liveness.headers_ms.is_none() && !boundary {
            // Nothing shows that the reader has arrived; what it misses shows as an event published in its seam.
            return;
        }
        let since = self.world.now();
        let reached = self
            .world
            .wait(if boundary { self.deadline() } else { self.heads_within() }, || {
                let state = connection.progress.state();
                state.ended.is_some()
                    || state.terminals > 0
                    || state.answer.is_some_and(|(_, accepted)| !accepted)
                    || if boundary { state.boundaries > 0 } else { state.answer.is_some() }
            })
            .await;
        if !reached {
            // A head that comes with the first event says nothing of the events.
            if boundary {
                self.missed.set(self.missed.get() + 1);
            }
            if connection.progress.state().answer.is_none() {
                if !boundary {
                    self.world.head_was_late();
                }
                let waited = self.world.now().0.saturating_sub(since.0);
                let (reader, conn) = (connection.reader.clone(), Some(connection.conn));
                self.record(What::Wait(Box::new(Wait { reader, conn, until: Until::Headers, reached, waited, judges: None })));
            }
        }
    }

    /// How long a response head is waited for. Who breaks the promise about heads is known then; that others wait as well shows
    /// nothing more, and every reader of an idle session would. Where nothing is promised they come with the first event.
    pub(super) fn heads_within(&self) -> Duration {
        let within = match self.profile.contract.liveness.headers_ms {
            Some(ms) if self.world.heads_are_late() => Duration::from_millis(ms),
            Some(ms) => Duration::from_millis(ms * LATE_HEADS),
            None => HEADS_WITH_EVENTS,
        };
        within.min(self.deadline())
    }

    /// Waits until an accepted connection has what it can have by now.
    async fn caught_up(&self, connection: &Connection, session: &str) -> Result<(), Abort> {
        if connection.progress.state().answer.is_none_or(|(_, accepted)| !accepted) {
            return Ok(());
        }
        if self.with(session, |s| s.closed || s.deleted)? {
            self.ended(connection).await;
        } else {
            self.established(connection).await;
        }
        Ok(())
    }

    /// Waits for something at a reader and records whether it came. A stream that the server ended is resumed, as an
    /// ordinary client would.
    pub(super) async fn await_at(&self, reader: &str, upto: &Upto) -> Result<(), Abort> {
        self.await_judged(reader, upto, None).await
    }

    /// As [`Walk::await_at`]; when it does not come, the requirement `judges` is violated.
    pub(super) async fn await_judged(&self, reader: &str, upto: &Upto, judges: Option<String>) -> Result<(), Abort> {
        let session = match self.cast.borrow().readers.get(reader) {
            Some(state) => state.session.clone(),
            None => return self.could_not(format!("reader `{reader}` never subscribed")),
        };
        let until = self.until(upto, &session)?;
        if until == Until::Closed && self.stays_open(reader)? {
            return Ok(());
        }
        let since = self.world.now();
        let mut reached = false;
        // A program takes the time that it takes; what is slow about it says nothing of the server.
        let deadline = match until {
            _ if self.cast.borrow().driven.contains(reader) => self.deadline() * PROGRAMS,
            Until::Headers => self.heads_within(),
            // A wait that is shorter says nothing of a promised interval.
            Until::Heartbeat => self.profile.contract.liveness.heartbeat_wait().unwrap_or_default().max(self.deadline()),
            _ => self.deadline(),
        };
        for _ in 0..=RECONNECTS {
            let connection = self.newest(reader)?;
            let heartbeats = connection.progress.state().heartbeats;
            let met = || self.met(reader, &connection, until, heartbeats);
            let over = || met() || connection.progress.state().ended.is_some();
            // As long as events come, or are being paid for, nothing is known to be missing: a slow machine is not a slow server.
            for _ in 0..PATIENCE {
                let goes_on = || {
                    let state = connection.progress.state();
                    (state.events, state.payments)
                };
                let before = goes_on();
                let paying = || connection.progress.state().paying > 0;
                let watch = until.marker().map_or(Watch::All, Watch::Event);
                if self.world.wait_for(watch, deadline, over).await || goes_on() == before && !paying() {
                    break;
                }
            }
            reached = met();
            let ended = connection.progress.state().ended.clone();
            let again = !reached
                && matches!(until, Until::Marker(_) | Until::Terminal)
                && ended.is_some_and(|how| faults::reconnects(&how) && connection.progress.state().faults == 0)
                && !self.world.absent();
            if !again {
                break;
            }
            let from = self.own_cursor(reader, false)?;
            self.connect(reader, &session, from, Role::Plain, Vec::new())?;
        }
        match until {
            Until::Headers if !reached => self.world.head_was_late(),
            _ if !reached => self.missed.set(self.missed.get() + 1),
            _ => {}
        }
        let waited = self.world.now().0.saturating_sub(since.0);
        let conn = Some(self.newest(reader)?.conn);
        self.record(What::Wait(Box::new(Wait { reader: reader.into(), conn, until, reached, waited, judges })));
        Ok(())
    }

    /// Whether a reader has its terminal on a stream that goes on behind one: its end is not to be waited for.
    fn stays_open(&self, reader: &str) -> Result<bool, Abort> {
        let goes_on = self.profile.contract.terminal.as_ref().is_some_and(|terminal| !terminal.closes);
        Ok(goes_on && self.newest(reader)?.progress.state().terminals > 0)
    }

    fn until(&self, upto: &Upto, session: &str) -> Result<Until, Abort> {
        Ok(match upto {
            Upto::Last => match self.with(session, |s| s.newest_of_any_kind().map(|p| p.marker))? {
                Some(marker) => Until::Marker(marker),
                None => {
                    let refusal = self.with(session, |s| s.refusal.clone())?.map(|how| format!("; the last publish: {how}"));
                    let none = format!("nothing was acknowledged in session `{session}`, so there is no last event");
                    return self.could_not(none + &refusal.unwrap_or_default());
                }
            },
            Upto::Event(n) => match self.with(session, |s| s.nth(*n).map(|p| p.marker))? {
                Some(marker) => Until::Marker(marker),
                None => return self.could_not(format!("session `{session}` has no event {n}")),
            },
            Upto::Count(n) => Until::Events(*n),
            Upto::Headers => Until::Headers,
            Upto::Boundary => Until::Boundary,
            Upto::Gap => Until::Gap,
            Upto::Terminal => Until::Terminal,
            Upto::Due(n) => Until::Due(*n),
            Upto::Heartbeat => Until::Heartbeat,
            Upto::Closed => Until::Closed,
        })
    }

    fn met(&self, reader: &str, connection: &Connection, until: Until, heartbeats: u32) -> bool {
        match until {
            // Late delivery and overlap: any of the reader's connections may bring it.
            Until::Marker(marker) => self
                .cast
                .borrow()
                .readers
                .get(reader)
                .is_some_and(|r| r.connections.iter().any(|c| c.progress.state().markers.contains_key(&marker))),
            Until::Events(n) => connection.progress.state().events >= n,
            Until::Headers => connection.progress.state().answer.is_some(),
            Until::Boundary => connection.progress.state().boundaries > 0,
            Until::Gap => connection.progress.state().gaps > 0,
            Until::Terminal => connection.progress.state().terminals > 0,
            Until::Due(n) => connection.progress.state().dues >= n,
            Until::Heartbeat => connection.progress.state().heartbeats > heartbeats,
            Until::Closed => connection.progress.state().ended.is_some(),
        }
    }

    pub(super) async fn seam(&self, seam: &Seam) -> Result<(), Abort> {
        for _ in 0..seam.times.max(1) {
            let from = match (&seam.from, self.known_starts(&seam.from, &seam.session).await?.pop()) {
                (_, Some(from)) => from,
                (start, None) => return self.could_not(format!("{start:?} names no place in session `{}`", seam.session)),
            };
            let faults = match seam.when {
                SeamTime::InReplay => vec![ConnFault::Stall(crate::scenario::Stall { reader: seam.reader.clone(), after_events: 1 })],
                SeamTime::WithRequest | SeamTime::AtHeaders | SeamTime::AtBoundary => Vec::new(),
            };
            let connection = self.connect(&seam.reader, &seam.session, from, Role::Plain, faults)?;
            match seam.when {
                SeamTime::WithRequest => {}
                SeamTime::AtHeaders => {
                    self.answered(&connection).await;
                }
                SeamTime::InReplay => {
                    let progress = connection.progress.clone();
                    self.world.wait(self.deadline(), || progress.state().faults > 0 || progress.state().ended.is_some()).await;
                }
                SeamTime::AtBoundary => self.established(&connection).await,
            }
            for _ in 0..seam.publish {
                self.publish_one(&seam.session, Text::Plain, true, None).await;
            }
            if seam.when == SeamTime::InReplay {
                self.tell(&seam.reader, crate::world::Command::Unstall)?;
            }
            self.await_at(&seam.reader, &Upto::Last).await?;
            let newest = self.newest(&seam.reader)?;
            self.close_connection(&newest).await;
        }
        Ok(())
    }

    /// Reads a session once more from `start` with a new reader, up to its newest event or its end.
    pub(super) async fn reread(&self, reader: &str, session: &str, start: &Start) -> Result<(), Abort> {
        let Some(from) = self.known_starts(start, session).await?.pop() else { return Ok(()) };
        self.connect(reader, session, from, Role::Plain, Vec::new())?;
        let (closed, any) = self.with(session, |s| (s.closed, s.newest().is_some()))?;
        if closed {
            let replayed = self.profile.contract.terminal.as_ref().is_some_and(|terminal| terminal.replayed);
            match (self.ends_streams(), replayed) {
                (true, _) => self.await_at(reader, &Upto::Closed).await?,
                (false, true) => self.await_at(reader, &Upto::Terminal).await?,
                (false, false) => {}
            }
        } else if any {
            let newest = self.with(session, |s| s.newest().map(|p| p.marker))?;
            if newest.is_some() {
                self.await_at(reader, &Upto::Last).await?;
            }
        }
        let newest = self.newest(reader)?;
        self.close_connection(&newest).await;
        Ok(())
    }
}
