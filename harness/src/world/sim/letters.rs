//! Payloads as they stand on the simulated wire.
//!
//! Every run publishes the same payloads, so a thread writes each of them once, and reads long ones once. Texts are recognised
//! by their address: the memory holds a share of each, so that no other text can come to stand there.

use std::cell::RefCell;
use std::sync::Arc;

use crate::history::{Body, Item, Kind, Marker};
use crate::run::payload::Remembered;

/// By the address of a payload: it, and its JSON text.
type Written = Remembered<usize, (Arc<str>, Arc<str>)>;

/// By the address of a long JSON text: it, and the event in it.
type Read = Remembered<usize, (Arc<str>, Item)>;

/// Texts that are longer are remembered when they are read, in bytes. What is shorter is read in no time, and
/// [`shown`](super::shown) remembers the newest of each place.
pub(super) const LONG: usize = 1 << 10;

thread_local! {
    static WRITTEN: RefCell<Written> = RefCell::default();
    static READ: RefCell<Read> = RefCell::default();
}

/// The JSON text of a payload.
pub(super) fn write(payload: &Arc<str>) -> Arc<str> {
    WRITTEN.with_borrow_mut(|written| {
        if let Some((_, data)) = written.get(&address(payload)) {
            return Arc::clone(data);
        }
        let data: Arc<str> = serde_json::to_string(payload).expect("text is always JSON").into();
        written.keep(address(payload), payload.len() + data.len(), (Arc::clone(payload), data)).1
    })
}

/// An event of no type and without a cursor whose payload stands in a JSON text.
pub(super) fn read(data: &Arc<str>) -> Item {
    if data.len() <= LONG {
        return item(data);
    }
    READ.with_borrow_mut(|read| {
        if let Some((_, item)) = read.get(&address(data)) {
            return item.clone();
        }
        read.keep(address(data), data.len(), (Arc::clone(data), item(data))).1
    })
}

/// As [`read`], of a text that nobody will read again.
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
