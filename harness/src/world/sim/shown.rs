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

/// What is known of a number of an epoch.
#[derive(Clone, Debug, Default)]
struct Place {
    /// The cursor's text, empty while nobody has asked for it.
    text: SmolStr,
    /// The event that was last shown there.
    event: Option<Known>,
}

/// An event that was shown. The memory holds a share of its payload, so that no other can come to stand at its address.
#[derive(Clone, Debug)]
struct Known {
    data: Arc<str>,
    event_type: Arc<str>,
    item: Arc<SharedItem>,
}

impl Known {
    fn is_of(&self, event: &Event) -> bool {
        let same_type = Arc::ptr_eq(&self.event_type, &event.event_type) || self.event_type == event.event_type;
        Arc::ptr_eq(&self.data, &event.data) && same_type
    }
}

/// Places by epoch and number; those of events without a cursor have no epoch.
#[derive(Default)]
struct Shown {
    epochs: Vec<(Option<Epoch>, Vec<Place>)>,
    /// How many events were put into places.
    events: usize,
}

thread_local! {
    static SHOWN: RefCell<Shown> = const { RefCell::new(Shown { epochs: Vec::new(), events: 0 }) };
}

impl Shown {
    /// What is known of a place whose number is not above the bound.
    fn place(&mut self, epoch: Option<Epoch>, number: u64) -> &mut Place {
        let at = self.epochs.iter().position(|(other, _)| *other == epoch).unwrap_or_else(|| {
            if self.epochs.len() >= MOST_EPOCHS {
                *self = Shown::default();
            }
            self.epochs.push((epoch, Vec::new()));
            self.epochs.len() - 1
        });
        let (places, number) = (&mut self.epochs[at].1, number as usize);
        if number >= places.len() {
            places.resize(number + 1, Place::default());
        }
        &mut places[number]
    }

    fn keep(&mut self, epoch: Option<Epoch>, number: u64, event: Known) {
        if self.events >= MOST_EVENTS {
            *self = Shown::default();
        }
        self.events += 1;
        self.place(epoch, number).event = Some(event);
    }
}

/// The text of a cursor.
pub(super) fn text(cursor: Cursor) -> SmolStr {
    if cursor.seq >= MOST_NUMBERS {
        return cursor.text().as_str().into();
    }
    SHOWN.with_borrow_mut(|shown| {
        let text = &mut shown.place(Some(cursor.epoch), cursor.seq).text;
        if text.is_empty() {
            *text = cursor.text().as_str().into();
        }
        text.clone()
    })
}

/// An event as its readers see it with a cursor: what `item` makes of it. Whether epochs are shown follows from the cursor's.
pub(super) fn event(event: &Event, cursor: Option<Cursor>, item: impl FnOnce() -> Item) -> Arc<SharedItem> {
    let number = cursor.map_or(event.seq, |cursor| cursor.seq);
    if number >= MOST_NUMBERS || event.data.len() > LONG {
        return item().into();
    }
    let epoch = cursor.map(|cursor| cursor.epoch);
    let known = |shown: &mut Shown| match &shown.place(epoch, number).event {
        Some(known) if known.is_of(event) => Some(Arc::clone(&known.item)),
        Some(_) | None => None,
    };
    if let Some(known) = SHOWN.with_borrow_mut(known) {
        return known;
    }
    // It may ask for the text of a cursor.
    let item = Arc::from(item());
    let known = Known { data: Arc::clone(&event.data), event_type: Arc::clone(&event.event_type), item: Arc::clone(&item) };
    SHOWN.with_borrow_mut(|shown| shown.keep(epoch, number, known));
    item
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
            assert_eq!(**super::event(&event, None, || made.clone()), made);
            assert!(SHOWN.with_borrow(|shown| shown.events) <= MOST_EVENTS);
        }
    }

    #[test]
    fn what_is_remembered_of_an_event_is_that_event() {
        let of = |seq: u64, event_type: &str, data: &str| Event {
            seq,
            label: seq,
            at: Millis(0),
            event_type: event_type.into(),
            data: data.into(),
            terminal: false,
            batch: 0,
        };
        let long = "x".repeat(LONG + 1);
        let events = [of(1, "a", "one"), of(1, "b", "one"), of(1, "a", "two"), of(MOST_NUMBERS, "a", "one"), of(2, "a", &long)];
        for _ in 0..2 {
            for (nth, event) in events.iter().chain([&events[0], &events[2]]).enumerate() {
                let cursors = [None, Some(Cursor { epoch: Epoch(1), seq: event.seq }), Some(Cursor { epoch: Epoch(2), seq: event.seq })];
                for cursor in cursors {
                    let made = Item { event_type: event.event_type.as_ref().into(), cursor: cursor.map(text), ..Item::default() };
                    let made = Item { body: Some(Body::of(&event.data)), ..made };
                    assert_eq!(**super::event(event, cursor, || made.clone()), made, "event {nth}");
                    assert_eq!(**super::event(event, cursor, || made.clone()), made, "event {nth} again");
                }
            }
        }
    }
}
