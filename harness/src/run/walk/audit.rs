//! The end of every scenario: settle each session with a last event, then read it back by every way there is.
//!
//! The last event closes the window in which a late duplicate could hide, and the views that are read afterwards must
//! agree with each other and with everything that was seen on the way (design 4).

use smol_str::SmolStr;

use crate::scenario::{Read, Start, Text, Upto};
use crate::world::World;

use super::read::witness_of;
use super::{Abort, Walk};

impl<W: World> Walk<'_, W> {
    pub(super) async fn audit(&self) -> Result<(), Abort> {
        let names: Vec<String> = {
            let cast = self.cast.borrow();
            cast.sessions.iter().filter(|(_, s)| !s.refused && !s.deleted).map(|(name, _)| name.clone()).collect()
        };
        for session in &names {
            self.settle(session).await?;
        }
        for session in &names {
            if self.profile.replays() {
                self.reread(&format!("auditor-{session}"), session, &Start::Oldest).await?;
            }
            if self.profile.binding.history.is_some() {
                self.read_history(&Read { session: session.clone(), limit: None, from: Start::Oldest, moving: false }).await?;
            }
            if self.profile.binding.snapshot.is_some() {
                self.read_snapshot(session).await?;
                if self.with(session, |s| s.snapshot_cursor.is_some() && !s.closed)? {
                    self.publish_one(session, Text::Plain, true, None).await;
                    self.reread(&format!("after-snapshot-{session}"), session, &Start::Snapshot).await?;
                }
            }
        }
        for session in &names {
            let witness = witness_of(session);
            if self.cast.borrow().readers.contains_key(witness.as_str()) && self.with(session, |s| !s.closed && s.newest().is_some())? {
                self.await_at(&witness, &Upto::Last).await?;
            }
        }
        self.health().await
    }

    /// Publishes a last event and waits for it at every reader that still has a stream.
    async fn settle(&self, session: &str) -> Result<(), Abort> {
        let closed = self.with(session, |s| s.closed)?;
        if !closed && self.profile.binding.publish.is_some() {
            self.publish_one(session, Text::Plain, true, None).await;
        }
        let readers: Vec<SmolStr> = {
            let cast = self.cast.borrow();
            let open = |r: &super::cast::Reader| r.session == session && r.newest().is_some_and(|c| c.progress.state().ended.is_none());
            cast.readers.iter().filter(|(_, r)| open(r)).map(|(name, _)| name.clone()).collect()
        };
        for reader in readers {
            self.settle_older(&reader, session).await?;
            let connection = self.newest(&reader)?;
            let accepted = connection.progress.state().answer.is_some_and(|(_, accepted)| accepted);
            let withholds = self.cast.borrow().fundings.get(reader.as_str()).is_some_and(|funding| funding.upto.is_some());
            if !accepted || withholds || self.is_stalled(&connection) {
                continue;
            }
            if closed {
                // Where streams stay open after the terminal, its coming is for the scenario to await.
                if self.ends_streams() {
                    self.await_at(&reader, &Upto::Closed).await?;
                }
            } else if self.with(session, |s| s.newest_of_any_kind().is_some())? {
                self.await_at(&reader, &Upto::Last).await?;
            }
        }
        Ok(())
    }

    /// True when the end of a session ends its streams.
    pub(super) fn ends_streams(&self) -> bool {
        self.profile.contract.terminal.as_ref().is_none_or(|terminal| terminal.closes)
    }

    /// Waits for the last event at connections of a reader that newer ones overlap.
    async fn settle_older(&self, reader: &str, session: &str) -> Result<(), Abort> {
        let Some(marker) = self.with(session, |s| s.newest().map(|p| p.marker))? else { return Ok(()) };
        let older: Vec<std::rc::Rc<super::cast::Connection>> = {
            let cast = self.cast.borrow();
            let all = cast.readers.get(reader).map_or(&[][..], |r| &r.connections);
            all.split_last().map_or_else(Vec::new, |(_, older)| older.to_vec())
        };
        for connection in older {
            let open =
                connection.progress.state().ended.is_none() && connection.progress.state().answer.is_some_and(|(_, accepted)| accepted);
            if !open || self.is_stalled(&connection) {
                continue;
            }
            let since = self.world.now();
            let came = || connection.progress.state().markers.contains_key(&marker);
            let reached = self.world.wait(self.deadline(), || came() || connection.progress.state().ended.is_some()).await && came();
            let waited = self.world.now().0.saturating_sub(since.0);
            let until = crate::history::Until::Marker(marker);
            let wait = crate::history::Wait { reader: reader.into(), conn: Some(connection.conn), until, reached, waited, judges: None };
            self.record(crate::history::What::Wait(Box::new(wait)));
        }
        Ok(())
    }

    /// True for a connection that the scenario stopped on purpose and never let go on.
    fn is_stalled(&self, connection: &super::cast::Connection) -> bool {
        connection.progress.state().faults > 0 && connection.progress.state().held
    }
}
