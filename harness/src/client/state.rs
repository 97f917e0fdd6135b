//! What a reader remembers, and its file.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::Path;

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

/// Ids of applied events that are recognised when they come again.
const REMEMBERED: usize = 65_536;
/// How many of them are stored.
const STORED: usize = 256;

/// Where a reader stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// What the next request presents; empty for none.
    pub cursor: String,
    /// Ids of events that were applied, the newest last.
    order: VecDeque<String>,
    known: FxHashSet<String>,
    /// Of a stream without cursors: the turn that is being told.
    pub(super) turn: Turn,
}

/// A turn, and how much of it was applied. Whoever comes back is told it from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    /// The server's name for it; empty before the first one.
    pub(super) id: String,
    /// How many of its events were applied.
    pub(super) applied: u64,
}

impl Turn {
    fn is_none(&self) -> bool {
        self.id.is_empty()
    }
}

/// The form in which it is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    cursor: String,
    recent: VecDeque<String>,
    #[serde(default, skip_serializing_if = "Turn::is_none")]
    turn: Turn,
}

impl Position {
    /// Behind this cursor, with nothing applied.
    pub fn at(cursor: String) -> Position {
        Position { cursor, ..Position::default() }
    }

    /// True when the event with this id was applied before. Ids further back than 65,536 events are forgotten.
    pub fn knows(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    /// True when it is the newest event that was applied.
    pub(super) fn is_newest(&self, id: &str) -> bool {
        self.order.back().is_some_and(|newest| newest == id)
    }

    /// Takes note that the event with this id was applied.
    pub(super) fn applied(&mut self, id: &str) {
        if self.known.insert(id.to_owned()) {
            self.order.push_back(id.to_owned());
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Reads what was stored; `None` when there is nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or is no state of a reader.
    pub fn load(path: &Path) -> io::Result<Option<Position>> {
        let text = match std::fs::read(path) {
            Ok(text) if text.is_empty() => return Ok(None),
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let stored: Stored = serde_json::from_slice(&text).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        let known = stored.recent.iter().cloned().collect();
        Ok(Some(Position { cursor: stored.cursor, order: stored.recent, known, turn: stored.turn }))
    }

    /// Replaces what is stored, atomically.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let recent = self.order.iter().skip(self.order.len().saturating_sub(STORED)).cloned().collect();
        let stored = Stored { cursor: self.cursor.clone(), recent, turn: self.turn.clone() };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, &stored)?;
        file.write_all(b"\n")?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }

    /// Removes what is stored.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn clear(path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert_eq!(Position::load(&path).unwrap(), None);
        let mut position = Position::at("e:7\u{2028}".to_owned());
        (0..300).for_each(|n| position.applied(&format!("e:{n}")));
        position.turn = Turn { id: "t".to_owned(), applied: 3 };
        position.save(&path).unwrap();
        let back = Position::load(&path).unwrap().unwrap();
        assert_eq!((back.cursor.as_str(), &back.turn), (position.cursor.as_str(), &position.turn));
        assert!(back.knows("e:299") && back.knows("e:44") && !back.knows("e:43"), "the newest 256 are stored");
        Position::clear(&path).unwrap();
        Position::clear(&path).unwrap();
        assert_eq!(Position::load(&path).unwrap(), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut position = Position::default();
        (0..REMEMBERED + 10).for_each(|n| position.applied(&n.to_string()));
        assert!(!position.knows("9") && position.knows("10"));
        assert_eq!((position.order.len(), position.known.len()), (REMEMBERED, REMEMBERED));
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        std::fs::write(&path, "{\"cursor\": \"3").unwrap();
        assert_eq!(Position::load(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
