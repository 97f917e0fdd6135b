//! What arrived on a connection, for checkers: stretches on which all is as it should be, and the rest.
//!
//! A checker counts what holds of a stretch at once, and walks over the rest. Where anything on the connection or in its
//! session is out of order, all of it is rest.

use std::ops::Range;

use super::Expect;
use crate::history::{ConnView, Delivery, EventView, Piece, Pieces, Seen, Stretch};

impl<'h> Expect<'_, 'h> {
    /// All that arrived, piece by piece.
    ///
    /// Where there are stretches, the whole connection is in order: each event of the session on it has a higher place than
    /// all before it, no event surely comes before one of a lower place, none was refused. The events of a stretch were
    /// acknowledged; they were sent, and acknowledged, in their order.
    pub(crate) fn pieces<'c>(&self, conn: &'c ConnView<'h>) -> Pieces<'c> {
        conn.pieces(if self.in_order && conn.ascends && !conn.astray { self.session.course.acked } else { 0 })
    }

    /// The stretches on a connection.
    pub(crate) fn stretches<'c>(&self, conn: &'c ConnView<'h>) -> impl Iterator<Item = Stretch> + use<'c, 'h> {
        self.pieces(conn).filter_map(|piece| match piece {
            Piece::Stretch(stretch) => Some(stretch),
            Piece::Loose(_) => None,
        })
    }

    /// How many arrivals are in stretches of which, from the first one on, `settled` says for how many nothing needs to be
    /// looked at.
    pub(crate) fn settled(&self, conn: &ConnView<'h>, settled: impl Fn(Stretch) -> usize) -> u64 {
        self.stretches(conn).map(|stretch| settled(stretch) as u64).sum()
    }

    /// The other arrivals of events of the session.
    pub(crate) fn unsettled<'c>(
        &self,
        conn: &'c ConnView<'h>,
        settled: impl Fn(Stretch) -> usize,
    ) -> impl Iterator<Item = (&'c Seen<&'h Delivery>, usize)> {
        let places = self.pieces(conn).map(move |piece| match piece {
            Piece::Stretch(stretch) => stretch.got().start + settled(stretch)..stretch.got().end,
            Piece::Loose(places) => places,
        });
        places.flat_map(|places: Range<usize>| conn.frames_at(places)).filter_map(|(got, event)| Some((got, event?)))
    }

    /// The arrivals of events of the session outside of stretches.
    pub(crate) fn loose<'c>(&self, conn: &'c ConnView<'h>) -> impl Iterator<Item = (&'c Seen<&'h Delivery>, usize)> {
        self.unsettled(conn, Stretch::len)
    }

    /// All that arrived outside of stretches, each with the event of the session in it, if there is one.
    pub(crate) fn loose_frames<'c>(&self, conn: &'c ConnView<'h>) -> impl Iterator<Item = (&'c Seen<&'h Delivery>, Option<usize>)> {
        let loose = self.pieces(conn).filter_map(|piece| match piece {
            Piece::Stretch(_) => None,
            Piece::Loose(places) => Some(places),
        });
        loose.flat_map(|places| conn.frames_at(places))
    }

    /// How many events of a stretch, from the first one on, satisfy `before`, which none does behind one that does not.
    pub(crate) fn count(&self, stretch: Stretch, before: impl Fn(&EventView<'h>) -> bool) -> usize {
        let (events, places) = (&self.session.events, stretch.events());
        let (mut low, mut high) = (places.start, places.end);
        // Mostly it is all of them.
        if before(&events[high - 1]) {
            return stretch.len();
        }
        while low < high {
            let middle = low.midpoint(high);
            (low, high) = if before(&events[middle]) { (middle + 1, high) } else { (low, middle) };
        }
        low - places.start
    }

    /// How many events of a stretch were due as replay, in the seam and live.
    pub(crate) fn phases(&self, stretch: Stretch, conn: &ConnView<'h>) -> [usize; 3] {
        let replay = self.count(stretch, |event| event.acked_at().is_some_and(|acked| acked < conn.connect.at));
        let live_at = self.live_at(conn);
        let live = self.count(stretch, |event| event.invoked.at <= live_at).max(replay);
        [replay, live - replay, stretch.len() - live]
    }

    /// How many events of a stretch the strongest view has.
    pub(crate) fn ranked(&self, stretch: Stretch) -> usize {
        self.ranks.count(stretch.events())
    }

    /// The first arrival of an event that is `new` and, where it is in no stretch, `other`. In a stretch all events behind a
    /// new one must be new as well.
    pub(crate) fn first<'c>(
        &self,
        conn: &'c ConnView<'h>,
        new: impl Fn(&EventView<'h>) -> bool,
        other: impl Fn(&Delivery) -> bool,
    ) -> Option<&'c Seen<&'h Delivery>> {
        self.pieces(conn).find_map(|piece| match piece {
            Piece::Stretch(stretch) => conn.got[stretch.got()].get(self.count(stretch, |event| !new(event))),
            Piece::Loose(places) => {
                let is_new = |event: Option<usize>| event.is_some_and(|event| new(&self.session.events[event]));
                conn.frames_at(places).find(|(got, event)| is_new(*event) && other(got.what)).map(|(got, _)| got)
            }
        })
    }
}
