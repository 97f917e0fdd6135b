//! CAUSE and FINAL: what the contract's machines say of keys, walked along every connection.
//!
//! | id | judged once for each | violated by | left open |
//! |---|---|---|---|
//! | CAUSE-1 | event that goes on with a key or ends it | its start missing on a connection that was sent everything, or its end before it | keys that began before the connection's cursor |
//! | CAUSE-2 | end with a whole text on a connection that was sent the key from its start | pieces that do not add up to it | keys seen in part; texts too long to be kept; redelivered pieces |
//! | CAUSE-3 | start of a key of a single machine | a start while another key is open | keys cut off by a stop of the process |
//! | FINAL-1 | end of a key | a second end of the key on the same connection, or under another cursor on another one | repetitions of one cursor: DELIVER-2, RESUME-1 |
//! | FINAL-2 | start of a key of a machine whose keys do not come again | a start behind its end on the same connection | |

use rustc_hash::FxHashMap;

use super::expect::Expect;
use super::judge::Judge;
use super::verdict::Violation;
use crate::contract::{Contract, Machine, Profile};
use crate::history::{ConnView, Delivery, Kind, Said, Seen, Stage};

/// One key on one connection.
#[derive(Debug, Default)]
struct Walk {
    /// Record of its start.
    started: Option<usize>,
    /// Record of its end.
    ended: Option<usize>,
    /// The pieces since its start; `None` when one was too long to be kept.
    pieces: Option<String>,
}

/// The ends of keys seen in a session: the cursor and record of each one's first.
type Ends<'h> = FxHashMap<(u16, &'h str), (Option<&'h str>, usize)>;

/// What no machine of the contract can show, unless an expectation has asked for it.
pub(super) fn not_shown(contract: &Contract, judge: &mut Judge) {
    let none = |id: &'static str, has: &dyn Fn(&Machine) -> bool, judge: &mut Judge| {
        if !contract.machines.iter().any(has) {
            judge.not_asked(id, "the contract has no machine that shows it");
        }
    };
    none("CAUSE-1", &|m| m.start.is_some(), judge);
    none("CAUSE-2", &|m| m.piece.is_some() && m.whole.is_some(), judge);
    none("CAUSE-3", &|m| m.single && m.start.is_some(), judge);
    none("FINAL-1", &|_| true, judge);
    none("FINAL-2", &|m| m.once && m.start.is_some(), judge);
}

pub(super) fn check(profile: &Profile, expects: &[Expect<'_, '_>], judge: &mut Judge) {
    let machines = &profile.contract.machines;
    if machines.is_empty() {
        return;
    }
    // Without a cursor that replays from the beginning, a connection may begin in the middle of a key.
    let replays = profile.contract.cursor.is_some() || profile.contract.boundary.is_none();
    for expect in expects {
        let mut ends = Ends::default();
        for conn in expect.conns().filter(|c| c.accepted()) {
            let whole = replays && conn.from_the_beginning(expect.session) && conn.frames(Kind::Gap).next().is_none();
            along(expect, conn, machines, whole, &mut ends, judge);
        }
    }
}

fn along<'h>(expect: &Expect<'_, 'h>, conn: &ConnView<'h>, machines: &[Machine], whole: bool, ends: &mut Ends<'h>, judge: &mut Judge) {
    let mut walks: FxHashMap<(u16, &'h str), Walk> = FxHashMap::default();
    let mut open: FxHashMap<u16, (&'h str, usize)> = FxHashMap::default();
    let mut seen: FxHashMap<(u16, &'h str, bool), Option<&'h str>> = FxHashMap::default();
    for (got, _) in expect.loose_frames(conn) {
        let Some(said) = &got.what.said else { continue };
        let Some(machine) = machines.get(usize::from(said.machine)) else { continue };
        let step = Step { conn, machine, said, got };
        let key = (said.machine, said.key.as_str());
        // The same frame once more is a duplicate delivery, which is another requirement's.
        if said.stage != Stage::More {
            let cursor = got.what.cursor.as_deref();
            let before = seen.insert((key.0, key.1, said.stage == Stage::End), cursor);
            if cursor.is_some() && before == Some(cursor) {
                continue;
            }
        }
        let walk = walks.entry(key).or_default();
        match said.stage {
            Stage::Start => step.start(walk, &mut open, judge),
            Stage::More => step.more(walk, whole, judge),
            Stage::End => step.end(walk, &mut open, whole, ends, judge),
        }
    }
}

/// One event that says something of a key.
struct Step<'c, 'h> {
    conn: &'c ConnView<'h>,
    machine: &'c Machine,
    said: &'h Said,
    got: &'c Seen<&'h Delivery>,
}

impl<'h> Step<'_, 'h> {
    fn name(&self) -> String {
        let key = if self.said.key.is_empty() { String::new() } else { format!(" {}", self.said.key) };
        format!("{}{key}", self.machine.name)
    }

    fn violation(&self, says: &str, expected: &str, seen: &str, shape: &str, other: Option<usize>) -> Violation {
        Violation {
            says: format!("on {}: {} {says}", self.conn.name(), self.name()),
            expected: expected.to_owned(),
            seen: seen.to_owned(),
            records: [self.got.record].into_iter().chain(other).collect(),
            shape: shape.to_owned(),
        }
    }

    fn start(&self, walk: &mut Walk, open: &mut FxHashMap<u16, (&'h str, usize)>, judge: &mut Judge) {
        if self.machine.once {
            judge.require("FINAL-2", walk.ended.is_none(), || {
                self.violation("starts again behind its end", "nothing more of it", "a start", "again", walk.ended)
            });
        }
        if self.machine.single {
            let other = open.get(&self.said.machine).filter(|(key, _)| *key != self.said.key);
            judge.require("CAUSE-3", other.is_none(), || {
                let other_key = other.map_or("", |(key, _)| key);
                self.violation(
                    &format!("starts while {other_key} is open"),
                    "its start behind that one's end",
                    "two open at once",
                    "two-open",
                    other.map(|o| o.1),
                )
            });
            open.insert(self.said.machine, (&self.said.key, self.got.record));
        }
        *walk = Walk { started: Some(self.got.record), ended: None, pieces: Some(String::new()) };
    }

    /// CAUSE-1 for an event that needs a start before it.
    fn caused(&self, walk: &Walk, whole: bool, judge: &mut Judge) {
        if self.machine.start.is_none() || walk.started.is_none() && !whole {
            return;
        }
        judge.require("CAUSE-1", walk.started.is_some(), || {
            let what = if self.said.stage == Stage::End { "ends" } else { "goes on" };
            self.violation(&format!("{what} without its start"), "its start before it", "none on this connection", "no-start", None)
        });
    }

    fn more(&self, walk: &mut Walk, whole: bool, judge: &mut Judge) {
        self.caused(walk, whole, judge);
        if let Some(ended) = walk.ended {
            let violation = self.violation("goes on behind its end", "nothing more of it", "more of it", "behind-end", Some(ended));
            judge.violated("CAUSE-1", violation);
        }
        match (&mut walk.pieces, &self.said.text) {
            (Some(pieces), Some(piece)) => pieces.push_str(piece),
            (pieces, None) if self.machine.piece.is_some() => *pieces = None,
            (_, _) => {}
        }
    }

    fn end(&self, walk: &mut Walk, open: &mut FxHashMap<u16, (&'h str, usize)>, whole: bool, ends: &mut Ends<'h>, judge: &mut Judge) {
        self.caused(walk, whole, judge);
        let cursor = self.got.what.cursor.as_deref();
        let first = *ends.entry((self.said.machine, &self.said.key)).or_insert((cursor, self.got.record));
        let again = walk.ended.or((first.0 != cursor && first.0.is_some() && cursor.is_some()).then_some(first.1));
        if self.machine.once {
            judge.require("FINAL-1", again.is_none(), || self.violation("ends a second time", "one end", "two", "twice", again));
        }
        if let (Some(pieces), Some(text), Some(started)) = (&walk.pieces, &self.said.text, walk.started)
            && self.machine.piece.is_some()
            // A reader that gets no pieces at all reads a stream that has none.
            && (!pieces.is_empty() || text.is_empty())
        {
            judge.require("CAUSE-2", pieces == text, || {
                let (expected, seen) =
                    (format!("{} bytes: {:?}", text.len(), head(text)), format!("{} bytes: {:?}", pieces.len(), head(pieces)));
                self.violation("has pieces that do not add up to its whole", &expected, &seen, "pieces", Some(started))
            });
        }
        walk.ended = Some(self.got.record);
        if open.get(&self.said.machine).is_some_and(|(key, _)| *key == self.said.key) {
            open.remove(&self.said.machine);
        }
    }
}

fn head(text: &str) -> &str {
    &text[..text.floor_char_boundary(80)]
}
