//! Which events the cursors of a session were seen with.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use crate::history::{Ascending, Micros};

/// From a cursor to the events that it was seen with.
#[derive(Debug, Default)]
pub struct Cursors<'h> {
    /// What is known of them from a beginning that many histories share.
    begun: Option<&'h Cursors<'h>>,
    /// The first sights of those that the beginning has not.
    first: Ascending<Text<'h>, Sight>,
    /// Sights with another event than the first time.
    second: FxHashMap<&'h str, Sight>,
}

/// The first two events that a cursor was seen with.
#[derive(Clone, Copy, Debug)]
pub struct Sights {
    /// The first.
    pub first: Sight,
    /// Another, which there should not be.
    pub second: Option<Sight>,
}

/// A cursor seen together with an event.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// The event, by its place in the session.
    pub event: usize,
    /// Index of the record.
    pub record: usize,
    /// When.
    pub at: Micros,
}

/// A cursor, ordered by its length first: so numbers that grow, which most cursors end with, come in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Text<'h>(&'h str);

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'h> Cursors<'h> {
    pub(super) fn with_capacity(cursors: usize) -> Self {
        Cursors { begun: None, first: Ascending::with_capacity(cursors), second: FxHashMap::default() }
    }

    /// Cursors that go on from these.
    pub(super) fn go_on(&'h self) -> Cursors<'h> {
        Cursors { begun: Some(self), ..Cursors::default() }
    }

    /// A cursor was seen with an event.
    pub(super) fn seen(&mut self, cursor: &'h str, sight: Sight) {
        let first = match self.begun.and_then(|begun| begun.get(cursor)) {
            Some(Sights { second: Some(_), .. }) => return,
            Some(Sights { first, second: None }) => first,
            None => *self.first.or_insert(Text(cursor), || sight).0,
        };
        if first.event != sight.event {
            self.second.entry(cursor).or_insert(sight);
        }
    }

    /// The events that a cursor was seen with.
    pub fn get(&self, cursor: &str) -> Option<Sights> {
        let begun = self.begun.and_then(|begun| begun.get(cursor));
        let sights = begun.or_else(|| self.first.get(&Text(cursor)).map(|first| Sights { first: *first, second: None }))?;
        Some(Sights { second: sights.second.or_else(|| self.second.get(cursor).copied()), ..sights })
    }

    /// How many cursors there are.
    pub fn len(&self) -> usize {
        self.lineage().map(|cursors| cursors.first.len()).sum()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All cursors, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&'h str, Sights)> {
        let all = self.lineage().flat_map(|cursors| cursors.first.iter());
        all.filter_map(|(cursor, _)| Some((cursor.0, self.get(cursor.0)?)))
    }

    /// Those that were seen with two events, with both, in the order in which that was seen.
    pub fn shared(&self) -> Vec<(&'h str, Sight, Sight)> {
        let second = self.lineage().flat_map(|cursors| &cursors.second);
        let mut shared: Vec<_> = second.filter_map(|(cursor, second)| Some((*cursor, self.get(cursor)?.first, *second))).collect();
        shared.sort_by_key(|(_, _, second)| second.record);
        shared
    }

    /// These, and those that they go on from.
    fn lineage(&self) -> impl Iterator<Item = &Cursors<'h>> {
        std::iter::successors(Some(self), |cursors| cursors.begun.map(|begun| begun as &Cursors<'h>))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(event: usize, record: usize) -> Sight {
        Sight { event, record, at: Micros(record as u64) }
    }

    /// Cursors with the places of the events that they were seen with, sorted.
    fn all<'h>(cursors: &Cursors<'h>) -> Vec<(&'h str, usize, Option<usize>)> {
        let mut all: Vec<_> = cursors.iter().map(|(cursor, s)| (cursor, s.first.event, s.second.map(|s| s.event))).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_first_two_events_of_a_cursor_are_kept_wherever_the_beginning_ends() {
        let seen = [("e-9", 0), ("e-10", 1), ("e-9", 0), ("e-2", 2), ("e-10", 3), ("e-10", 4), ("", 5), ("e-9", 6), ("e-11", 7)];
        let expected = [("", 5, None), ("e-10", 1, Some(3)), ("e-11", 7, None), ("e-2", 2, None), ("e-9", 0, Some(6))];
        for begun in 0..=seen.len() {
            let mut beginning = Cursors::default();
            for (record, (cursor, event)) in seen.iter().enumerate().take(begun) {
                beginning.seen(cursor, sight(*event, record));
            }
            let before = all(&beginning);
            let mut cursors = beginning.go_on();
            for (record, (cursor, event)) in seen.iter().enumerate().skip(begun) {
                cursors.seen(cursor, sight(*event, record));
            }
            assert_eq!(all(&cursors), expected, "{begun}");
            assert_eq!((cursors.len(), cursors.is_empty()), (5, false));
            let shared: Vec<_> = cursors.shared().iter().map(|(cursor, first, second)| (*cursor, first.record, second.record)).collect();
            assert_eq!(shared, [("e-10", 1, 4), ("e-9", 0, 7)], "{begun}");
            assert!(cursors.get("e-3").is_none());
            assert_eq!(all(&beginning), before);
        }
    }
}
