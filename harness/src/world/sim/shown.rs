//! What readers see of a session: cursors as text, and events. Every schedule of a scenario shows the same ones, each to all
//! who are there, so a thread works them out once.

use std::cell::RefCell;
use std::sync::Arc;

use smol_str::SmolStr;
use streamspec_reference_server::session::{Cursor, Epoch, Event};

use super::letters::LONG;
use crate::history::{Item, SharedItem};

/// For how many epochs there is a memory: few schedules have more sessions.
const MOST_EPOCHS: usize = 8;
/// Up to which number.
const MOST_NUMBERS: u64 = 1 << 16;
/// How many events are remembered, each with a payload of at most [`LONG`] bytes, before all is forgotten.
const MOST_EVENTS: usize = 1 << 16;

/// Things by epoch and number.
#[derive(Debug)]
struct Places<E, T> {
    epochs: Vec<(E, Vec<T>)>,
    /// Which epoch was asked for last.
    last: usize,
}

impl<E, T> Default for Places<E, T> {
    fn default() -> Self {
        Places { epochs: Vec::new(), last: 0 }
    }
}

impl<E: Copy + PartialEq, T> Places<E, T> {
    /// The places of an epoch.
    fn row(&mut self, epoch: E) -> &mut Vec<T> {
        if self.epochs.get(self.last).is_none_or(|(other, _)| *other != epoch) {
            self.last = self.epochs.iter().position(|(other, _)| *other == epoch).unwrap_or_else(|| {
                if !self.has_room_for(epoch) {
                    self.epochs.clear();
                }
                self.epochs.push((epoch, Vec::new()));
                self.epochs.len() - 1
            });
        }
        &mut self.epochs[self.last].1
    }

    /// False where another epoch is one too many.
    fn has_room_for(&self, epoch: E) -> bool {
        self.epochs.len() < MOST_EPOCHS || self.epochs.iter().any(|(other, _)| *other == epoch)
    }
}

/// The place of a number below the bound.
fn place<T: Clone + Default>(row: &mut Vec<T>, number: u64) -> &mut T {
    let number = number as usize;
    if number >= row.len() {
        row.resize(number + 1, T::default());
    }
    &mut row[number]
}

/// An event that was shown. The memory holds a share of it, so that no other can come to stand at its address, nor at its payload's.
#[derive(Clone, Debug)]
struct Known {
    event: Arc<Event>,
    item: Arc<SharedItem>,
}

impl Known {
    fn is_of(&self, event: &Arc<Event>) -> bool {
        Arc::ptr_eq(&self.event, event) || Arc::ptr_eq(&self.event.data, &event.data) && self.event.event_type == event.event_type
    }
}

/// The events that were last shown, each in its place; those without a cursor have no epoch. One memory may serve all profiles: where
/// epochs are not shown they are 0, and no other is.
#[derive(Debug, Default)]
pub(super) struct Shown {
    places: Places<Option<Epoch>, Option<Known>>,
    /// How many were put into places since all was forgotten.
    events: usize,
}

/// Those of an epoch.
#[derive(Debug)]
pub(super) struct Row<'s> {
    places: &'s mut Vec<Option<Known>>,
    events: &'s mut usize,
}

thread_local! {
    static TEXTS: RefCell<Places<Epoch, SmolStr>> = RefCell::default();
    static SHOWN: RefCell<Shown> = RefCell::default();
}

/// The text of a cursor.
pub(super) fn text(cursor: Cursor) -> SmolStr {
    if cursor.seq >= MOST_NUMBERS {
        return cursor.text().as_str().into();
    }
    TEXTS.with_borrow_mut(|texts| {
        let text = place(texts.row(cursor.epoch), cursor.seq);
        if text.is_empty() {
            *text = cursor.text().as_str().into();
        }
        text.clone()
    })
}

/// Lets `use_it` look at what this thread has shown.
pub(super) fn with<R>(use_it: impl FnOnce(&mut Shown) -> R) -> R {
    SHOWN.with_borrow_mut(use_it)
}

impl Shown {
    /// What was shown of an epoch. When there are too many events, or epochs, all is forgotten.
    pub(super) fn row(&mut self, epoch: Option<Epoch>) -> Row<'_> {
        if self.events >= MOST_EVENTS || !self.places.has_room_for(epoch) {
            *self = Shown::default();
        }
        Row { places: self.places.row(epoch), events: &mut self.events }
    }
}

impl Row<'_> {
    /// An event as its readers see it with a cursor of this number: what `item` makes of it.
    #[inline]
    pub(super) fn event(&mut self, event: &Arc<Event>, number: u64, item: impl FnOnce() -> Item) -> Arc<SharedItem> {
        let known = usize::try_from(number).ok().and_then(|number| self.places.get(number)).and_then(Option::as_ref);
        if let Some(known) = known.filter(|known| known.is_of(event)) {
            return Arc::clone(&known.item);
        }
        self.keep(event, number, item().into())
    }

    fn keep(&mut self, event: &Arc<Event>, number: u64, item: Arc<SharedItem>) -> Arc<SharedItem> {
        if number < MOST_NUMBERS && event.data.len() <= LONG && *self.events < MOST_EVENTS {
            *self.events += 1;
            *place(self.places, number) = Some(Known { event: Arc::clone(event), item: Arc::clone(&item) });
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Body;
    use streamspec_reference_server::session::Millis;

    #[test]
    fn what_is_remembered_is_what_the_cursor_says() {
        for round in 0..3 {
            for epoch in 0..2 * MOST_EPOCHS as u32 {
                for seq in [0, 7, MOST_NUMBERS - 1, MOST_NUMBERS, 3, u64::MAX] {
                    let cursor = Cursor { epoch: Epoch(epoch), seq };
                    assert_eq!(text(cursor), cursor.to_string(), "round {round}");
                }
            }
        }
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let (label, at, event_type): (u64, Millis, Arc<str>) = (0, Millis(0), "a".into());
        for n in 0..2 * MOST_EVENTS as u64 + 5 {
            let data: Arc<str> = n.to_string().into();
            let made = Item { body: Some(Body::of(&data)), ..Item::default() };
            let event = Event { seq: n % 7, label, at, event_type: Arc::clone(&event_type), data, terminal: false, batch: 0 };
            with(|shown| {
                let (number, event) = (event.seq, Arc::new(event));
                let mut row = shown.row(None);
                let [first, again] = [(); 2].map(|()| row.event(&event, number, || made.clone()));
                assert!(**first == made && Arc::ptr_eq(&first, &again), "event {n}");
                assert!(shown.events <= MOST_EVENTS);
            });
        }
    }

    #[test]
    fn what_is_remembered_of_an_event_is_that_event() {
        let of = |seq: u64, event_type: &str, data: &str| {
            let (event_type, data) = (event_type.into(), data.into());
            Arc::new(Event { seq, label: seq, at: Millis(0), event_type, data, terminal: false, batch: 0 })
        };
        let shown = |event: &Arc<Event>, cursor: Option<Cursor>, made: &Item| {
            let (epoch, number) = (cursor.map(|cursor| cursor.epoch), cursor.map_or(event.seq, |cursor| cursor.seq));
            with(|shown| shown.row(epoch).event(event, number, || made.clone()))
        };
        let long = "x".repeat(LONG + 1);
        let events = [of(1, "a", "one"), of(1, "b", "one"), of(1, "a", "two"), of(MOST_NUMBERS, "a", "one"), of(2, "a", &long)];
        for _ in 0..2 {
            for (nth, event) in events.iter().chain([&events[0], &events[2]]).enumerate() {
                let cursors = [None, Some(Cursor { epoch: Epoch(1), seq: event.seq }), Some(Cursor { epoch: Epoch(2), seq: event.seq })];
                for cursor in cursors {
                    let made = Item { event_type: event.event_type.as_ref().into(), cursor: cursor.map(text), ..Item::default() };
                    let made = Item { body: Some(Body::of(&event.data)), ..made };
                    assert_eq!(**shown(event, cursor, &made), made, "event {nth}");
                    assert_eq!(**shown(event, cursor, &made), made, "event {nth} again");
                }
            }
        }
    }
}
