//! Deliveries: what arrived, and on which connection.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::{ConnId, Kind, Said, is_true, yes};
use crate::history::marker::{Body, Marker};

/// What one event or control frame (or a record of a batch) is.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// The type it names, bounded to 100 bytes.
    pub event_type: SmolStr,
    /// The cursor that it carries itself.
    pub cursor: Option<SmolStr>,
    /// The token found in it.
    pub marker: Option<Marker>,
    /// Digest of its payload, where the binding says how to find it.
    pub body: Option<Body>,
    /// False when the profile says that this type is live-only.
    pub durable: bool,
    /// The cursor in its payload: the fence of a boundary, the oldest of a gap.
    pub points_to: Option<SmolStr>,
    /// What it says of a key of the contract's machines.
    pub said: Option<Box<Said>>,
}

impl Default for Item {
    fn default() -> Self {
        Item {
            kind: Kind::Event,
            event_type: SmolStr::default(),
            cursor: None,
            marker: None,
            body: None,
            durable: true,
            points_to: None,
            said: None,
        }
    }
}

impl Item {
    /// Its arrival on a connection, in a frame of this number.
    pub(crate) fn delivery(self, conn: ConnId, frame: u32) -> Delivery {
        Delivery { conn, frame, item: Arc::new(self) }
    }
}

/// An item that arrived on a connection. Whoever has a delivery has its item; deliveries of one item may share it.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Delivery {
    /// On which connection.
    pub conn: ConnId,
    /// The frame's number on its connection, from 0; records of one batch share it.
    pub frame: u32,
    /// What arrived.
    pub item: Arc<Item>,
}

impl Deref for Delivery {
    type Target = Item;

    fn deref(&self) -> &Item {
        &self.item
    }
}

impl DerefMut for Delivery {
    /// The item of this delivery alone: others that shared it keep it as it was.
    fn deref_mut(&mut self) -> &mut Item {
        Arc::make_mut(&mut self.item)
    }
}

/// A delivery as it stands in files: one object.
#[derive(Serialize, Deserialize)]
struct Flat {
    conn: ConnId,
    frame: u32,
    kind: Kind,
    #[serde(rename = "type", default, skip_serializing_if = "SmolStr::is_empty")]
    event_type: SmolStr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<SmolStr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    marker: Option<Marker>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    durable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    points_to: Option<SmolStr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<Box<Said>>,
}

impl Serialize for Delivery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (conn, frame) = (self.conn, self.frame);
        let Item { kind, event_type, cursor, marker, body, durable, points_to, said } = Item::clone(&self.item);
        Flat { conn, frame, kind, event_type, cursor, marker, body, durable, points_to, said }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Delivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Delivery, D::Error> {
        let Flat { conn, frame, kind, event_type, cursor, marker, body, durable, points_to, said } = Flat::deserialize(deserializer)?;
        let item = Item { kind, event_type, cursor, marker, body, durable, points_to, said };
        Ok(Delivery { conn, frame, item: Arc::new(item) })
    }
}
