//! Finite reads: history pages and snapshots, recorded as connections of their own surfaces.

use crate::contract::placeholder_used;
use crate::history::{Answer, Connect, CursorClass, End, Ended, From, Item, Kind, Role, SessionIx, Surface, What};
use crate::scenario::{Read, Text};
use crate::world::{Address, PageAnswer, PageRead, World};

use super::{Abort, Walk};

/// A history that takes more pages than this never ends.
const MOST_PAGES: u32 = 10_000;

impl<W: World> Walk<'_, W> {
    pub(super) async fn read_history(&self, read: &Read) -> Result<(), Abort> {
        let Some(from) = self.known_starts(&read.from, &read.session).await?.pop() else { return Ok(()) };
        let (ix, address) = self.with(&read.session, |s| (s.ix, s.address.clone()))?;
        let reader = self.fresh_name("history");
        // A protocol without page sizes gives what it gives.
        let sized = self.profile.binding.history.as_ref().is_some_and(|history| placeholder_used(&history.operation, "limit"));
        let limit = read.limit.filter(|_| sized);
        let mut from = from;
        for nth in 1..=MOST_PAGES {
            let cursor = match &from {
                From::Start | From::Live => None,
                From::Cursor { value, .. } => Some(value.clone()),
            };
            let conn = self.world.recorder().connection();
            let ask = PageRead { conn, surface: Surface::History, address: Address::clone(&address), cursor: cursor.clone(), limit };
            let page = self.finite(reader.clone(), nth, ix, from, ask).await;
            let Some(answer) = page else { return Ok(()) };
            let next = answer.cursor.or_else(|| answer.seen.iter().rev().find_map(|seen| seen.cursor.clone()));
            let ends = !answer.accepted || answer.more.map_or(answer.seen.is_empty(), |more| !more);
            match next {
                // A page that leads to itself would be read for ever.
                Some(next) if !ends && Some(next.as_str()) != cursor.as_deref() => {
                    from = From::Cursor { value: next, class: CursorClass::Own, beside: None };
                }
                Some(_) | None => return Ok(()),
            }
            if read.moving && nth <= 5 {
                self.publish_one(&read.session, Text::Plain, true, None).await;
            }
        }
        Ok(())
    }

    pub(super) async fn read_snapshot(&self, session: &str) -> Result<(), Abort> {
        let (ix, address) = self.with(session, |s| (s.ix, s.address.clone()))?;
        let reader = self.fresh_name("snapshot");
        let conn = self.world.recorder().connection();
        let ask = PageRead { conn, surface: Surface::Snapshot, address: Address::clone(&address), cursor: None, limit: None };
        let answer = self.finite(reader, 1, ix, From::Start, ask).await;
        if let Some(cursor) = answer.and_then(|answer| answer.cursor) {
            self.with(session, |s| s.snapshot_cursor = Some(cursor))?;
        }
        Ok(())
    }

    fn fresh_name(&self, what: &str) -> String {
        let mut cast = self.cast.borrow_mut();
        cast.finite_reads += 1;
        format!("{what}-{}", cast.finite_reads)
    }

    /// One finite read, recorded from its request to its end. `None` when it got no answer.
    async fn finite(&self, reader: String, nth: u32, session: SessionIx, from: From, ask: PageRead) -> Option<PageAnswer> {
        let (conn, surface) = (ask.conn, ask.surface);
        self.record(What::Connect(Box::new(Connect {
            conn,
            reader: reader.into(),
            nth,
            session,
            surface,
            from,
            role: Role::Plain,
            limit: ask.limit,
            request: self.world.describe(&ask),
        })));
        let answer = match self.world.read(ask).await {
            Ok(answer) => answer,
            Err(why) => {
                self.record(What::End(End { conn, how: Ended::NoAnswer { why }, unfinished: 0 }));
                return None;
            }
        };
        self.record(What::Answer(Box::new(Answer {
            conn,
            status: answer.status,
            accepted: answer.accepted,
            content_type: answer.content_type.clone(),
            cache_control: None,
            body: answer.body.clone(),
        })));
        for (frame, seen) in answer.seen.iter().enumerate() {
            self.record(What::Delivery(seen.clone().delivery(conn, frame as u32)));
        }
        if surface == Surface::Snapshot && answer.cursor.is_some() {
            // The cursor at which the snapshot is true commits everything before it.
            let commit = Item { kind: Kind::Commit, cursor: answer.cursor.clone(), ..Item::default() };
            self.record(What::Delivery(commit.delivery(conn, answer.seen.len() as u32)));
        }
        self.record(What::End(End { conn, how: Ended::Done, unfinished: 0 }));
        Some(answer)
    }
}
