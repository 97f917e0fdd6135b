//! Which events of its session a connection showed, and where first.

use rustc_hash::FxHashMap;

use crate::history::{ConnView, Delivery, Seen};

/// For each event that `conn` delivered its first delivery there.
pub(super) fn first<'c, 'h>(conn: &'c ConnView<'h>) -> FxHashMap<usize, &'c Seen<&'h Delivery>> {
    // Of several entries with one key the last stays.
    conn.arrivals().rev().map(|(got, event)| (event, got)).collect()
}
