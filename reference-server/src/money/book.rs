//! The book: accounts by name, and the journal that makes each change durable before it is seen.
//!
//! The journal is one SQLite table; a change is one committed row, which outlives the process that wrote it. Changes of one
//! account are made one after the other under one lock, so that no two of them can see the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, params};
use tokio::sync::{Notify, watch};

use super::Account;
use crate::bugs::{Bug, BugSet};

/// The book.
#[derive(Debug)]
pub struct Book {
    inner: Mutex<Inner>,
    /// Rings at every change of any account.
    bell: watch::Sender<u64>,
    /// For the bug that wakes one waiting stream, whichever it is.
    one: Notify,
    secret: String,
    bugs: BugSet,
}

#[derive(Debug)]
struct Inner {
    journal: Connection,
    accounts: BTreeMap<String, Account>,
    /// Names of accounts in the order of their opening.
    order: Vec<String>,
    proofs: BTreeSet<String>,
}

/// The journal cannot be used.
#[derive(Debug)]
pub struct BookError(pub String);

impl From<rusqlite::Error> for BookError {
    fn from(error: rusqlite::Error) -> BookError {
        BookError(format!("the journal of accounts: {error}"))
    }
}

impl Book {
    /// The book in the folder, or one that is kept nowhere.
    ///
    /// # Errors
    /// When the journal cannot be opened or read.
    pub fn open(folder: Option<&Path>, bugs: BugSet) -> Result<Book, BookError> {
        let journal = match folder {
            Some(folder) => Connection::open(folder.join("accounts.db"))?,
            None => Connection::open_in_memory()?,
        };
        // NORMAL in WAL mode: a commit outlives the process at once, and a power cut from the next checkpoint on.
        journal.execute_batch(
            "PRAGMA busy_timeout = 2000; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS record (kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, name));",
        )?;
        let mut records = Vec::new();
        {
            let mut read = journal.prepare("SELECT kind, name, value FROM record ORDER BY rowid")?;
            let rows = read.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))?;
            for row in rows {
                records.push(row?);
            }
        }
        let (mut accounts, mut order, mut proofs, mut secret) = (BTreeMap::new(), Vec::new(), BTreeSet::new(), None);
        for (kind, name, value) in records {
            match kind.as_str() {
                "account" => {
                    let account: Account = serde_json::from_str(&value).map_err(|e| BookError(format!("account {name}: {e}")))?;
                    order.push(name.clone());
                    accounts.insert(name, account);
                }
                "proof" => {
                    proofs.insert(name);
                }
                _ => secret = Some(value),
            }
        }
        let secret = match secret {
            Some(secret) => secret,
            None => {
                let fresh = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
                put(&journal, "secret", "", &fresh)?;
                fresh
            }
        };
        let inner = Mutex::new(Inner { journal, accounts, order, proofs });
        Ok(Book { inner, bell: watch::Sender::new(0), one: Notify::new(), secret, bugs })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds the book")
    }

    /// The key under which challenges are signed; the same for the life of the data.
    pub fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }

    /// The account of this name.
    pub fn find(&self, id: &str) -> Option<Account> {
        self.lock().accounts.get(id).cloned()
    }

    /// The newest open account of a payer.
    pub fn newest_of(&self, payer: &str) -> Option<Account> {
        let inner = self.lock();
        let own =
            |id: &&String| inner.accounts.get(*id).is_some_and(|a| a.descriptor.payer.eq_ignore_ascii_case(payer) && a.settled.is_none());
        inner.order.iter().rev().find(own).and_then(|id| inner.accounts.get(id)).cloned()
    }

    /// Changes an account, or makes it from `fresh`: durable first, then seen. Nothing is changed when `change` refuses.
    ///
    /// # Errors
    /// What `change` says, `None` when there is no such account, or the journal's own.
    pub fn change<E>(
        &self,
        id: &str,
        fresh: Option<Account>,
        change: impl FnOnce(&mut Account) -> Result<(), E>,
    ) -> Result<Result<Account, Option<E>>, BookError> {
        let mut inner = self.lock();
        let before = inner.accounts.get(id).cloned();
        let new = before.is_none();
        let Some(mut account) = before.clone().or(fresh) else { return Ok(Err(None)) };
        if let Err(refused) = change(&mut account) {
            return Ok(Err(Some(refused)));
        }
        if before.as_ref() != Some(&account) {
            let mut written = account.clone();
            if self.bugs.has(Bug::AcceptedInMemory) {
                written.accepted = if new { written.accepted } else { written.spent };
            }
            put(&inner.journal, "account", id, &serde_json::to_string(&written).expect("an account is data"))?;
            if new {
                inner.order.push(id.to_owned());
            }
            inner.accounts.insert(id.to_owned(), account.clone());
        }
        drop(inner);
        self.bell.send_modify(|changes| *changes += 1);
        self.one.notify_one();
        Ok(Ok(account))
    }

    /// Uses a proof; false when it was used before.
    ///
    /// # Errors
    /// When the journal does not take it.
    pub fn use_proof(&self, challenge: &str) -> Result<bool, BookError> {
        let mut inner = self.lock();
        if inner.proofs.contains(challenge) && !self.bugs.has(Bug::ProofReplay) {
            return Ok(false);
        }
        put(&inner.journal, "proof", challenge, "")?;
        inner.proofs.insert(challenge.to_owned());
        Ok(true)
    }

    /// What a stream waits on for payment; subscribe before looking at the account.
    pub fn bell(&self) -> watch::Receiver<u64> {
        self.bell.subscribe()
    }

    /// Waits for a change behind the last one that `bell` has seen.
    pub async fn changed(&self, bell: &mut watch::Receiver<u64>) {
        if self.bugs.has(Bug::WakesOneStream) {
            return self.one.notified().await;
        }
        // The sender lives as long as the book.
        let _ = bell.changed().await;
    }
}

fn put(journal: &Connection, kind: &str, name: &str, value: &str) -> Result<(), rusqlite::Error> {
    journal
        .prepare_cached("INSERT INTO record VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value")?
        .execute(params![kind, name, value])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::scheme::Descriptor;
    use super::*;
    use crate::money::Refused;

    fn account() -> Account {
        Account {
            id: "0xa".to_owned(),
            descriptor: Descriptor::default(),
            accepted: 2,
            signature: String::new(),
            spent: 0,
            units: 0,
            deposit: 5,
            settled: None,
            transactions: BTreeSet::new(),
        }
    }

    #[test]
    fn what_was_answered_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let secret = {
            let book = Book::open(Some(dir.path()), BugSet::default()).unwrap();
            book.change("0xa", Some(account()), |_| Ok::<(), Refused>(())).unwrap().unwrap();
            book.change("0xa", None, |a| a.accept(4, "s")).unwrap().unwrap();
            book.change("0xa", None, |a| a.charge(1)).unwrap().unwrap();
            assert!(book.use_proof("p").unwrap());
            book.secret().to_vec()
        };
        let book = Book::open(Some(dir.path()), BugSet::default()).unwrap();
        let account = book.find("0xa").unwrap();
        assert_eq!((account.accepted, account.spent, account.units, account.deposit), (4, 1, 1, 5));
        assert_eq!(book.secret(), secret);
        assert!(!book.use_proof("p").unwrap());
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let book = Book::open(None, BugSet::default()).unwrap();
        assert_eq!(book.change("0xb", None, |a| a.accept(1, "s")).unwrap().unwrap_err(), None);
        book.change("0xa", Some(account()), |_| Ok::<(), Refused>(())).unwrap().unwrap();
        assert_eq!(book.change("0xa", None, |a| a.accept(1, "s")).unwrap().unwrap_err(), Some(Refused::Lower));
        assert_eq!(book.find("0xa").unwrap(), account());
    }
}
