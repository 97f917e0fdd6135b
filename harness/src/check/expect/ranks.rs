//! An order of events.
//!
//! Nearly always it is the order of their places, with few holes: then it is a handful of runs, and what is asked of it costs a
//! search among them.

use std::ops::Range;

/// Up to how many runs are searched; for more there is a table.
const FEW: usize = 16;

/// Events one behind the other by their places, which stand one behind the other in an order.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The place of the first one in the order.
    rank: u32,
    /// Its place in the session.
    event: u32,
    len: u32,
}

/// Events in an order; an event may come again.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    runs: Vec<Run>,
    len: u32,
}

impl Sequence {
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
    }

    /// Events of these places come, one behind the other.
    pub(super) fn extend(&mut self, events: Range<usize>) {
        let (event, len) = (events.start as u32, events.len() as u32);
        match self.runs.last_mut() {
            Some(run) if run.event + run.len == event => run.len += len,
            Some(_) | None => self.runs.push(Run { rank: self.len, event, len }),
        }
        self.len += len;
    }

    /// True while each event comes behind all of lower places, and none again.
    pub(super) fn ascends(&self) -> bool {
        self.runs.is_sorted_by(|run, next| run.event + run.len <= next.event)
    }

    pub(super) fn events(&self) -> impl Iterator<Item = u32> {
        self.runs.iter().flat_map(|run| run.event..run.event + run.len)
    }
}

/// The places that events have in an order in which none comes twice.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    order: Sequence,
    ascends: bool,
    /// For each event its place in the order, where there are many runs or they do not ascend.
    table: Option<Vec<Option<u32>>>,
}

impl Ranks {
    /// The places of `order` for a session with so many events.
    pub(super) fn new(order: Sequence, events: usize) -> Ranks {
        let ascends = order.ascends();
        let table = (!ascends || order.runs.len() > FEW).then(|| {
            let mut table = vec![None; events];
            for (rank, event) in (0..).zip(order.events()) {
                table[event as usize] = Some(rank);
            }
            table
        });
        Ranks { order, ascends, table }
    }

    /// How many events have a place.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// True when the order is that of the events' places in the session.
    pub(super) fn ascends(&self) -> bool {
        self.ascends
    }

    /// The place of an event in the order.
    pub(super) fn of(&self, event: usize) -> Option<u32> {
        if let Some(table) = &self.table {
            return table[event];
        }
        let event = event as u32;
        let run = self.order.runs.iter().rev().find(|run| run.event <= event)?;
        (event - run.event < run.len).then(|| run.rank + (event - run.event))
    }

    /// The events at these places of the order.
    pub(super) fn events(&self, places: Range<usize>) -> impl Iterator<Item = usize> {
        let runs = &self.order.runs;
        let first = runs.partition_point(|run| ((run.rank + run.len) as usize) <= places.start);
        let within = move |run: &Run| {
            let (begin, end) = (places.start.max(run.rank as usize), places.end.min((run.rank + run.len) as usize));
            (begin < end).then(|| begin - run.rank as usize + run.event as usize..end - run.rank as usize + run.event as usize)
        };
        runs[first..].iter().map_while(within).flatten()
    }

    /// How many of the events of these places in the session have a place in the order, which ascends.
    pub(super) fn count(&self, events: Range<usize>) -> usize {
        debug_assert!(self.ascends);
        let runs = &self.order.runs;
        let first = runs.partition_point(|run| ((run.event + run.len) as usize) <= events.start);
        let within = runs[first..].iter().take_while(|run| (run.event as usize) < events.end);
        within.map(|run| events.end.min((run.event + run.len) as usize) - events.start.max(run.event as usize)).sum()
    }

    /// The events of a session with so many that have no place.
    pub(super) fn others(&self, events: usize) -> impl Iterator<Item = usize> {
        // Between the runs where they ascend; else among all.
        let runs = if self.ascends { self.order.runs.as_slice() } else { &[] };
        let ends = runs.iter().map(|run| (run.event + run.len) as usize);
        let starts = runs.iter().map(|run| run.event as usize).chain([events]);
        let holes = std::iter::once(0).chain(ends).zip(starts);
        holes.flat_map(|(begin, end)| begin..end).filter(|event| self.ascends || self.of(*event).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_order_whatever_it_is() {
        let odd: Vec<usize> = (0..60).map(|n| n * 2 + 1).collect();
        let orders: [&[usize]; 7] = [&[], &[0, 1, 2, 3], &[2, 3, 4, 7, 8, 11], &[5, 1, 2, 3], &[9, 8, 7, 0], &[3, 4, 0, 1], &odd];
        for order in orders {
            let mut sequence = Sequence::default();
            order.iter().for_each(|event| sequence.extend(*event..event + 1));
            assert_eq!((sequence.len(), sequence.ascends()), (order.len(), order.is_sorted()));
            let ranks = Ranks::new(sequence, 121);
            for event in 0..121 {
                assert_eq!(ranks.of(event), order.iter().position(|other| *other == event).map(|at| at as u32), "{event} in {order:?}");
            }
            for begin in 0..=order.len() {
                for end in begin..=order.len() {
                    assert!(ranks.events(begin..end).eq(order[begin..end].iter().copied()), "{begin}..{end} of {order:?}");
                }
            }
            assert!(ranks.others(121).eq((0..121).filter(|event| !order.contains(event))));
            for begin in (0..14).filter(|_| ranks.ascends()) {
                for end in begin..14 {
                    assert_eq!(ranks.count(begin..end), order.iter().filter(|event| (begin..end).contains(event)).count());
                }
            }
        }
    }

    #[test]
    fn an_event_that_comes_again_does_not_ascend() {
        for again in [[4..8, 7..9], [4..8, 4..8], [4..8, 0..4]] {
            let mut sequence = Sequence::default();
            again.into_iter().for_each(|events| sequence.extend(events));
            assert!(!sequence.ascends());
        }
    }
}
