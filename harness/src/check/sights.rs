//! Which events of its session a connection showed, and where first.

use crate::history::{ConnView, Delivery, Seen};

/// The first deliveries of events on one connection, by event. Events mostly arrive in the order in which they were sent, and
/// then this is a list that was never sorted and no table.
pub(super) struct Firsts<'c, 'h>(Vec<(usize, &'c Seen<&'h Delivery>)>);

impl<'c, 'h> Firsts<'c, 'h> {
    /// Those among some arrivals of a connection, which are in their order.
    pub(super) fn of(arrivals: impl Iterator<Item = (&'c Seen<&'h Delivery>, usize)>) -> Firsts<'c, 'h> {
        let mut all: Vec<_> = arrivals.map(|(got, event)| (event, got)).collect();
        if !all.is_sorted_by(|(event, _), (next, _)| event < next) {
            // Stable: of several deliveries of one event the first one stays the first.
            all.sort_by_key(|(event, _)| *event);
            all.dedup_by_key(|(event, _)| *event);
        }
        Firsts(all)
    }

    /// The first delivery of an event.
    pub(super) fn get(&self, event: usize) -> Option<&'c Seen<&'h Delivery>> {
        self.0.binary_search_by_key(&event, |(event, _)| *event).ok().map(|at| self.0[at].1)
    }

    /// The events, each once, ascending.
    pub(super) fn events(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(event, _)| *event)
    }
}

/// What arrived on one connection more than once. On most connections nothing did, and then nothing is looked up.
pub(super) struct Repeats<'c, 'h>(Option<Firsts<'c, 'h>>);

impl<'c, 'h> Repeats<'c, 'h> {
    /// Those among some arrivals of a connection, which are in their order.
    pub(super) fn of(conn: &ConnView<'h>, arrivals: impl Iterator<Item = (&'c Seen<&'h Delivery>, usize)>) -> Repeats<'c, 'h> {
        Repeats((!conn.ascends).then(|| Firsts::of(arrivals)))
    }

    /// The first delivery of an event, if it is another one than `got`, which is among the arrivals.
    pub(super) fn before(&self, event: usize, got: &Seen<&'h Delivery>) -> Option<&'c Seen<&'h Delivery>> {
        self.0.as_ref()?.get(event).filter(|first| first.record != got.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ConnId, Item, Micros};

    #[test]
    fn the_first_of_several_deliveries_counts_in_whatever_order_they_come() {
        let delivery = Item::default().delivery(ConnId(0), 0);
        for order in [vec![0, 1, 2, 3], vec![0, 2, 1, 2, 0, 3], vec![3, 3, 0], vec![]] {
            let got: Vec<Seen<&Delivery>> =
                (0..order.len()).map(|record| Seen { record, at: Micros(record as u64), what: &delivery }).collect();
            let arrivals = || got.iter().zip(order.iter().copied());
            let (firsts, repeats) = (Firsts::of(arrivals()), Repeats(Some(Firsts::of(arrivals()))));
            for (record, event) in order.iter().enumerate() {
                let first = order.iter().position(|other| other == event).unwrap();
                assert_eq!(firsts.get(*event).unwrap().record, first);
                assert_eq!(repeats.before(*event, &got[record]).map(|before| before.record), (first != record).then_some(first));
            }
            let mut distinct = order.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(firsts.events().collect::<Vec<_>>(), distinct);
            assert!(firsts.get(9).is_none());
        }
    }
}
