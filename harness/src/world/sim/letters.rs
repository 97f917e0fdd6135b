//! Payloads as they stand on the simulated wire, and what a reader sees of an event.
//!
//! Every run publishes the same payloads, and most runs show them with the same cursors, so a thread works each of them out
//! once. Texts are recognised by their address: the memory holds a share of each, so that no other text can come to stand
//! there.

use std::cell::RefCell;
use std::sync::Arc;

use smol_str::SmolStr;
use streamspec_reference_server::session::Cursor;

use super::rules::NOTE;
use crate::history::{Body, Item, Kind, Marker};
use crate::run::payload::Remembered;

#[derive(Default)]
struct Letters {
    /// By the address of a payload: it, and its JSON text.
    written: Remembered<usize, (Arc<str>, Arc<str>)>,
    /// By the address of a JSON text: the event that was seen with it last.
    seen: Remembered<usize, Known>,
}

/// An event, and what it looks like.
#[derive(Clone)]
struct Known {
    data: Arc<str>,
    event_type: Arc<str>,
    cursor: Option<Shown>,
    item: Arc<Item>,
}

impl Known {
    fn is_of(&self, data: &Arc<str>, event_type: &Arc<str>, cursor: Option<Shown>) -> bool {
        let same_type = Arc::ptr_eq(&self.event_type, event_type) || *self.event_type == **event_type;
        Arc::ptr_eq(&self.data, data) && self.cursor == cursor && same_type
    }
}

/// A cursor, and whether its epoch is shown.
pub(super) type Shown = (Cursor, bool);

thread_local! {
    static LETTERS: RefCell<Letters> = RefCell::default();
}

/// The JSON text of a payload.
pub(super) fn write(payload: &Arc<str>) -> Arc<str> {
    LETTERS.with_borrow_mut(|letters| {
        if let Some((_, data)) = letters.written.get(&address(payload)) {
            return Arc::clone(data);
        }
        let data: Arc<str> = serde_json::to_string(payload).expect("text is always JSON").into();
        letters.written.keep(address(payload), payload.len() + data.len(), (Arc::clone(payload), data)).1
    })
}

/// What a reader sees of an event with this JSON text. `text` is the type, or the cursor, as it stands on the wire.
pub(super) fn see(
    data: &Arc<str>,
    event_type: &Arc<str>,
    cursor: Option<Shown>,
    text: (impl FnOnce(&str) -> SmolStr, impl FnOnce(Cursor) -> SmolStr),
) -> Arc<Item> {
    LETTERS.with_borrow_mut(|letters| {
        let known = letters.seen.get(&address(data));
        if let Some(known) = known.filter(|known| known.is_of(data, event_type, cursor)) {
            return Arc::clone(&known.item);
        }
        let payload = known.map_or_else(|| item(data), |known| Item::clone(&known.item));
        let (event_type_text, cursor_text) = text;
        let item = Item {
            event_type: event_type_text(event_type),
            cursor: cursor.map(|(cursor, _)| cursor_text(cursor)),
            durable: **event_type != *NOTE,
            ..payload
        };
        let known = Known { data: Arc::clone(data), event_type: Arc::clone(event_type), cursor, item: Arc::new(item) };
        letters.seen.keep(address(data), data.len(), known).item
    })
}

/// An event of no type and without a cursor whose payload stands in a JSON text.
pub(super) fn item(data: &str) -> Item {
    // What is no JSON any more stands for itself, as it would on the wire.
    let payload = serde_json::from_str::<String>(data).unwrap_or_else(|_| data.to_owned());
    let marker = Marker::find(&payload);
    let kind = if marker.is_some() { Kind::Event } else { Kind::Other };
    Item { kind, marker, body: marker.map(|_| Body::of(&payload)), ..Item::default() }
}

fn address(text: &Arc<str>) -> usize {
    Arc::as_ptr(text).cast::<u8>() as usize
}
