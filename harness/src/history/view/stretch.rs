//! Stretches of a connection on which everything is as it should be.

use std::ops::Range;

/// Arrivals one right behind the other of events one right behind the other.
///
/// Each is a frame of [`Kind::Event`](crate::history::Kind::Event) that says nothing of a machine's key, and brings a durable
/// event of the connection's session, with the payload that was published and the cursor that the event is known by. No event
/// is hostile, none holds a secret. Each cursor but the first is the next one behind that of the event before: its number is
/// one more, behind the same text, and it is greater as a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The place of the first among the connection's deliveries.
    pub(super) got: u32,
    /// The place of its event in the session.
    pub(super) event: u32,
    pub(super) len: u32,
}

impl Stretch {
    /// A stretch of one arrival.
    pub(super) fn new(got: usize, event: u32) -> Stretch {
        Stretch { got: got as u32, event, len: 1 }
    }

    /// How many arrivals it has; there is none without any.
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }

    /// Their places among the connection's deliveries.
    pub(crate) fn got(self) -> Range<usize> {
        self.got as usize..(self.got + self.len) as usize
    }

    /// The places of their events in the session.
    pub(crate) fn events(self) -> Range<usize> {
        self.event as usize..(self.event + self.len) as usize
    }

    /// Its arrivals of events before a place; `None` when there is none.
    pub(crate) fn before(self, event: usize) -> Option<Stretch> {
        let len = event.saturating_sub(self.event as usize).min(self.len());
        (len > 0).then_some(Stretch { len: len as u32, ..self })
    }
}

/// A part of what arrived on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// All as it should be.
    Stretch(Stretch),
    /// Anything else, by its places among the connection's deliveries.
    Loose(Range<usize>),
}

/// Shorter stretches are not worth telling from what is beside them.
const SHORT: usize = 4;

/// The deliveries of a connection, piece by piece.
#[derive(Clone, Debug)]
pub(crate) struct Pieces<'c> {
    stretches: std::slice::Iter<'c, Stretch>,
    /// Stretches reach as far as to the events before this place.
    bound: usize,
    at: usize,
    end: usize,
}

impl<'c> Pieces<'c> {
    /// The pieces of `got` deliveries with these stretches, of which only what lies before the event at `bound` counts.
    pub(super) fn new(got: usize, stretches: &'c [Stretch], bound: usize) -> Pieces<'c> {
        Pieces { stretches: stretches.iter(), bound, at: 0, end: got }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let begin = self.at;
        let stretch = loop {
            let Some(next) = self.stretches.as_slice().first() else { break None };
            match next.before(self.bound).filter(|stretch| stretch.len() >= SHORT) {
                Some(stretch) => break Some(stretch),
                None => self.stretches.next(),
            };
        };
        if let Some(stretch) = stretch.filter(|stretch| stretch.got().start == begin) {
            self.stretches.next();
            self.at = stretch.got().end;
            return Some(Piece::Stretch(stretch));
        }
        self.at = stretch.map_or(self.end, |stretch| stretch.got().start);
        (begin < self.at).then_some(Piece::Loose(begin..self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(got: u32, event: u32, len: u32) -> Stretch {
        Stretch { got, event, len }
    }

    #[test]
    fn pieces_are_all_deliveries_in_order() {
        let stretches = [stretch(0, 3, 5), stretch(7, 8, 2), stretch(9, 20, 4), stretch(13, 24, 10)];
        let pieces = |bound| Pieces::new(25, &stretches, bound).collect::<Vec<_>>();
        let whole = [stretches[0], stretches[2], stretches[3]].map(Piece::Stretch);
        let [first, second, third] = whole.clone();
        assert_eq!(pieces(usize::MAX), [first.clone(), Piece::Loose(5..9), second.clone(), third, Piece::Loose(23..25)]);
        let cut = Piece::Stretch(stretch(13, 24, 6));
        assert_eq!(pieces(30), [first.clone(), Piece::Loose(5..9), second.clone(), cut, Piece::Loose(19..25)]);
        assert_eq!(pieces(26), [first, Piece::Loose(5..9), second, Piece::Loose(13..25)]);
        assert_eq!(pieces(0), [Piece::Loose(0..25)]);
        assert_eq!(Pieces::new(0, &[], usize::MAX).next(), None);
        assert_eq!(Pieces::new(4, &stretches[..0], 9).collect::<Vec<_>>(), [Piece::Loose(0..4)]);
    }
}
