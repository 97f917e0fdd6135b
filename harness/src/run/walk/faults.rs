//! Faults of connections: arming them ahead, and waiting until they strike.

use std::rc::Rc;
use std::time::Duration;

use crate::history::{Ended, From};
use crate::scenario::{Cut, How, Step};
use crate::world::{Command, ConnFault, Watch, World};

use super::cast::Connection;
use super::{Abort, Walk};

/// How long nothing more may come before a place is taken for one that the stream does not have.
const QUIET: Duration = Duration::from_millis(200);

/// The faults among the steps `ahead` that belong to the connection that `reader` is about to open: those up to the
/// reader's next connection.
pub(super) fn armed(reader: &str, ahead: &[Step]) -> Vec<ConnFault> {
    let mut faults = Vec::new();
    for step in ahead {
        match step {
            Step::Subscribe(s) if s.reader == reader => break,
            Step::Resume(r) if r.reader == reader => break,
            Step::Seam(s) if s.reader == reader => break,
            Step::Cut(cut) if cut.reader == reader && has_place(cut) => faults.push(ConnFault::Cut(cut.clone())),
            Step::Stall(stall) if stall.reader == reader => faults.push(ConnFault::Stall(stall.clone())),
            Step::Hold(hold) if hold.reader == reader => faults.push(ConnFault::Hold(hold.clone())),
            Step::Shape(shape) if shape.reader == reader => faults.push(ConnFault::Shape(shape.clone())),
            Step::Open(_)
            | Step::Publish(_)
            | Step::Writer(_)
            | Step::Join(_)
            | Step::Subscribe(_)
            | Step::Resume(_)
            | Step::Drop(_)
            | Step::Cut(_)
            | Step::Stall(_)
            | Step::Unstall(_)
            | Step::Hold(_)
            | Step::Release(_)
            | Step::Shape(_)
            | Step::Await(_)
            | Step::Seam(_)
            | Step::Evict(_)
            | Step::Read(_)
            | Step::Snapshot(_)
            | Step::Close(_)
            | Step::Delete(_)
            | Step::Restart(_)
            | Step::Pause(_)
            | Step::Continue(_)
            | Step::Probe(_)
            | Step::Churn(_)
            | Step::Sample(_)
            | Step::Repeat(_)
            | Step::Pay(_)
            | Step::Do(_) => {}
        }
    }
    faults
}

/// True when one of these steps, or one inside of them, cuts a connection of `reader` when it comes to it.
pub(super) fn cuts_on_command(steps: &[Step], reader: &str) -> bool {
    let cuts = |step: &Step| matches!(step, Step::Cut(cut) if cut.reader == reader && !has_place(cut));
    let inside = |step: &Step| matches!(step, Step::Repeat(repeat) if cuts_on_command(&repeat.steps, reader));
    steps.iter().any(|step| cuts(step) || inside(step))
}

/// True when the cut stands at a place in the connection's bytes, false when it means "now".
fn has_place(cut: &Cut) -> bool {
    cut.after_events.is_some() || cut.inside.is_some() || cut.after_bytes.is_some() || cut.before_headers || cut.before_terminal
}

impl<W: World> Walk<'_, W> {
    /// The newest connection of a reader.
    pub(super) fn newest(&self, reader: &str) -> Result<Rc<Connection>, Abort> {
        let cast = self.cast.borrow();
        match cast.readers.get(reader).and_then(|r| r.newest()) {
            Some(connection) => Ok(Rc::clone(connection)),
            None => Err(Abort::CouldNot(format!("reader `{reader}` has no connection"))),
        }
    }

    /// Waits until the fault armed on a reader's newest connection was applied; false when it has no place there.
    pub(super) async fn fault_applied(&self, reader: &str) -> Result<bool, Abort> {
        let newest = self.newest(reader)?;
        let Connection { progress, from, .. } = &*newest;
        let session = self.cast.borrow().readers.get(reader).map(|r| r.session.clone()).unwrap_or_default();
        let newest_event = self.with(&session, |s| s.newest().map(|p| p.marker))?;
        let applied = || {
            let state = progress.state();
            state.faults > 0 || state.ended.is_some()
        };
        // Who resumed at the head has nothing to come but from a writer; where heads are late, not even a response head.
        let at_head = match (from, newest_event.and_then(|marker| self.cast.borrow().cursor_of(&session, marker))) {
            (From::Cursor { value, .. }, Some(head)) => *value == head,
            (From::Cursor { .. }, None) | (From::Start | From::Live, _) => false,
        };
        let within = if at_head { self.heads_within() } else { self.deadline() };
        let all_there = || newest_event.is_some_and(|marker| progress.state().markers.contains_key(&marker));
        let watch = newest_event.map_or(Watch::NoEvent, Watch::Event);
        let mut struck = self.world.wait_for(watch, within, || applied() || all_there()).await && applied();
        if !struck && all_there() {
            // Everything has come and nothing struck: a place behind all bytes, as the last ones of a sweep are.
            struck = self.world.wait_for(Watch::NoEvent, QUIET.min(self.deadline()), applied).await || all_there();
        }
        if !struck && !at_head {
            self.missed.set(self.missed.get() + 1);
        }
        Ok(applied())
    }

    pub(super) async fn cut(&self, cut: &Cut) -> Result<(), Abort> {
        let connection = self.newest(&cut.reader)?;
        if !has_place(cut) {
            self.world.command(connection.conn, Command::Cut(cut.how));
        }
        let struck = self.fault_applied(&cut.reader).await?;
        if cut.how == How::Silence {
            // Nobody tells the reader; a real one leaves when its own watchdog barks.
            self.world.command(connection.conn, Command::Close);
        }
        // A connection that was not struck goes on; waiting for its end would take the whole deadline.
        if struck || cut.how == How::Silence {
            self.ended(&connection).await;
        }
        self.health().await
    }

    /// Closes a reader's newest connection from its side.
    pub(super) async fn drop_connection(&self, reader: &str) -> Result<(), Abort> {
        let connection = self.newest(reader)?;
        self.close_connection(&connection).await;
        Ok(())
    }

    pub(super) async fn close_connection(&self, connection: &Connection) {
        if connection.progress.state().ended.is_none() {
            self.world.command(connection.conn, Command::Close);
            self.ended(connection).await;
        }
    }

    pub(super) async fn ended(&self, connection: &Connection) {
        self.world.wait_for(Watch::NoEvent, self.deadline(), || connection.progress.state().ended.is_some()).await;
    }

    /// Closes whatever is still open at the end of a run.
    pub(super) async fn leave(&self) {
        let open: Vec<Rc<Connection>> = {
            let cast = self.cast.borrow();
            cast.readers.values().flat_map(|r| &r.connections).filter(|c| c.progress.state().ended.is_none()).cloned().collect()
        };
        for connection in &open {
            self.world.command(connection.conn, Command::Close);
        }
        self.world.wait_for(Watch::NoEvent, self.deadline(), || open.iter().all(|c| c.progress.state().ended.is_some())).await;
    }
}

/// True when a connection ended without the harness's doing and a reconnecting reader would try again.
pub(super) fn reconnects(ended: &Ended) -> bool {
    match ended {
        Ended::Eof | Ended::Broken { .. } => true,
        Ended::Done | Ended::Ours | Ended::NoAnswer { .. } | Ended::Undecodable { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn a_cut_without_a_place_is_seen_wherever_it_stands_and_one_with_a_place_is_none_on_command() {
        let text = r#"
            name = "cuts"
            says = "two readers are cut"
            needs = ["publish", "resume", "proxy"]
            steps = [
              { open = { session = "s" } },
              { publish = { session = "s", count = 3 } },
              { subscribe = { reader = "a", session = "s" } },
              { subscribe = { reader = "b", session = "s" } },
              { cut = { reader = "b", after_events = 2 } },
              { repeat = { times = 2, steps = [{ cut = { reader = "a" } }, { resume = { reader = "a" } }] } },
            ]
        "#;
        let steps = Scenario::parse("cuts.toml", text).unwrap().steps;
        assert!(cuts_on_command(&steps, "a"));
        assert!(!cuts_on_command(&steps[..5], "a"));
        assert!(!cuts_on_command(&steps, "b"));
        assert_eq!(armed("b", &steps[4..]).len(), 1);
    }
}
