//! A store in one SQLite file, in WAL mode with full synchronisation: what a commit has confirmed survives a power cut.
//!
//! The file is locked for the life of its process: a second server on the same data would number on its own.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{Change, Store, StoreError};
use crate::session::{Event, KeyUse, Millis, Retention, Stored};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS session (
        id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, head INTEGER NOT NULL, closed INTEGER,
        records INTEGER, bytes INTEGER, age_ms INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS event (
        session TEXT NOT NULL, seq INTEGER NOT NULL, label INTEGER NOT NULL, at INTEGER NOT NULL,
        type TEXT NOT NULL, data TEXT NOT NULL, terminal INTEGER NOT NULL, PRIMARY KEY (session, seq)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS idempotency (
        session TEXT NOT NULL, key TEXT NOT NULL, digest INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (session, key)
    ) WITHOUT ROWID;";

/// The store.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
}

fn failed(what: &str, error: &rusqlite::Error) -> StoreError {
    StoreError(format!("{what}: {error}"))
}

impl Sqlite {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// When it cannot be opened or is no database of ours.
    pub fn open(path: &Path) -> Result<Sqlite, StoreError> {
        let what = format!("cannot open {}", path.display());
        let connection = Connection::open(path).map_err(|e| failed(&what, &e))?;
        connection
            .execute_batch(
                "PRAGMA busy_timeout = 2000; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
            )
            .and_then(|()| connection.execute_batch(SCHEMA))
            .map_err(|e| match e.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy) => {
                    StoreError(format!("{what}: it is locked; is another server using this folder?"))
                }
                Some(_) | None => failed(&what, &e),
            })?;
        Ok(Sqlite { connection })
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Vec<Stored>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Stored>> {
            let mut sessions = self.connection.prepare("SELECT id, epoch, head, closed, records, bytes, age_ms FROM session")?;
            let mut events =
                self.connection.prepare("SELECT seq, label, at, type, data, terminal FROM event WHERE session = ? ORDER BY seq")?;
            let mut keys = self.connection.prepare("SELECT key, digest, seq FROM idempotency WHERE session = ?")?;
            let rows = sessions.query_map([], |row| {
                Ok(Stored {
                    id: row.get(0)?,
                    epoch: row.get(1)?,
                    head: unsigned(row.get(2)?),
                    closed: row.get::<_, Option<i64>>(3)?.map(unsigned),
                    retention: Retention {
                        records: row.get::<_, Option<i64>>(4)?.map(unsigned),
                        bytes: row.get::<_, Option<i64>>(5)?.map(unsigned),
                        age_ms: row.get::<_, Option<i64>>(6)?.map(unsigned),
                    },
                    events: Vec::new(),
                    keys: Vec::new(),
                })
            })?;
            let mut all = Vec::new();
            for stored in rows {
                let mut stored = stored?;
                let rows = events.query_map([&stored.id], |row| {
                    Ok(Event {
                        seq: unsigned(row.get(0)?),
                        label: unsigned(row.get(1)?),
                        at: Millis(unsigned(row.get(2)?)),
                        event_type: row.get(3)?,
                        data: row.get(4)?,
                        terminal: row.get(5)?,
                        batch: 0,
                    })
                })?;
                stored.events = rows.collect::<rusqlite::Result<_>>()?;
                // Events of before the start are concurrent with nothing.
                stored.events.iter_mut().for_each(|e| e.batch = u64::MAX - e.seq);
                let rows = keys
                    .query_map([&stored.id], |row| Ok((row.get(0)?, KeyUse { digest: bits(row.get(1)?), seq: unsigned(row.get(2)?) })))?;
                stored.keys = rows.collect::<rusqlite::Result<_>>()?;
                all.push(stored);
            }
            Ok(all)
        };
        read().map_err(|e| failed("cannot read the stored sessions", &e))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let write = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for change in changes {
                apply(&transaction, change)?;
            }
            transaction.commit()
        };
        write(&mut self.connection).map_err(|e| failed("cannot write", &e))
    }
}

fn apply(to: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Open { id, epoch, retention } => {
            let bound = |n: Option<u64>| n.map(|n| n as i64);
            to.prepare_cached("INSERT INTO session (id, epoch, head, records, bytes, age_ms) VALUES (?, ?, 0, ?, ?, ?)")?
                .execute(params![id, epoch, bound(retention.records), bound(retention.bytes), bound(retention.age_ms)])?;
        }
        Change::Append { id, event, key } => {
            to.prepare_cached("INSERT INTO event (session, seq, label, at, type, data, terminal) VALUES (?, ?, ?, ?, ?, ?, ?)")?.execute(
                params![id, event.seq as i64, event.label as i64, event.at.0 as i64, event.event_type, event.data, event.terminal],
            )?;
            to.prepare_cached("UPDATE session SET head = ?, closed = coalesce(closed, ?) WHERE id = ?")?.execute(params![
                event.seq as i64,
                event.terminal.then_some(event.seq as i64),
                id
            ])?;
            if let Some((key, used)) = key {
                to.prepare_cached("INSERT OR REPLACE INTO idempotency (session, key, digest, seq) VALUES (?, ?, ?, ?)")?
                    .execute(params![id, key, used.digest as i64, used.seq as i64])?;
            }
        }
        Change::Prune { id, oldest } => {
            to.prepare_cached("DELETE FROM event WHERE session = ? AND seq < ?")?.execute(params![id, *oldest as i64])?;
        }
        Change::Delete { id } => {
            for table in ["event WHERE session", "idempotency WHERE session", "session WHERE id"] {
                to.prepare_cached(&format!("DELETE FROM {table} = ?"))?.execute([id])?;
            }
        }
        Change::Truncate { id } => {
            to.execute("DELETE FROM event WHERE session = ?1 AND terminal = 0 AND seq = (SELECT head FROM session WHERE id = ?1)", [id])?;
        }
    }
    Ok(())
}

/// SQLite's integers are signed; what we store was never negative.
fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// A digest is any 64 bits.
fn bits(n: i64) -> u64 {
    n as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn event(seq: u64) -> Event {
        let data = "\"\u{2028}\"".into();
        Event { seq, label: seq, at: Millis(5), event_type: "m".into(), data, terminal: seq == 3, batch: u64::MAX - seq }
    }

    #[test]
    fn what_was_committed_is_there_after_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.db");
        let id: Arc<str> = "a".into();
        let retention = Retention { records: Some(9), ..Retention::default() };
        let used = KeyUse { digest: u64::MAX, seq: 1 };
        let changes = [
            Change::Open { id: id.clone(), epoch: u32::MAX, retention },
            Change::Append { id: id.clone(), event: event(1), key: Some(("k".to_owned(), used.clone())) },
            Change::Append { id: id.clone(), event: event(2), key: None },
            Change::Append { id: id.clone(), event: event(3), key: None },
            Change::Prune { id: id.clone(), oldest: 2 },
        ];
        Sqlite::open(&path).unwrap().commit(&changes).unwrap();
        let stored = Sqlite::open(&path).unwrap().load().unwrap();
        assert_eq!(
            stored,
            [Stored {
                id: "a".to_owned(),
                epoch: u32::MAX,
                head: 3,
                retention,
                closed: Some(3),
                events: vec![event(2), event(3)],
                keys: vec![("k".to_owned(), used)]
            }]
        );
    }

    #[test]
    fn a_group_is_stored_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(&dir.path().join("log.db")).unwrap();
        let open = Change::Open { id: "a".into(), epoch: 1, retention: Retention::default() };
        assert!(store.commit(&[open.clone(), open.clone()]).is_err());
        assert!(store.load().unwrap().is_empty());
        store.commit(&[open]).unwrap();
        assert_eq!(store.load().unwrap().len(), 1);
    }
}
