//! Deliveries: what arrived, and on which connection.

use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::{ConnId, Kind, Said, is_true, yes};
use crate::history::marker::{Body, Marker};

/// What one event or control frame (or a record of a batch) is.
#[derive(Clone, Debug, PartialEq)]
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

impl Hash for Item {
    /// In few words: a simulation hashes every delivery of every run.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Item { kind, event_type, cursor, marker, body, durable, points_to, said } = self;
        let there = [*durable, cursor.is_some(), marker.is_some(), body.is_some(), points_to.is_some(), said.is_some()];
        state.write_u64(there.into_iter().fold(*kind as u64, |all, one| all << 1 | u64::from(one)));
        event_type.as_str().hash(state);
        if let Some(marker) = marker {
            state.write_u64(u64::from(marker.session) << 32 | u64::from(marker.n));
        }
        if let Some(body) = body {
            body.hash(state);
        }
        for text in [cursor, points_to].into_iter().flatten() {
            text.as_str().hash(state);
        }
        if let Some(said) = said {
            said.hash(state);
        }
    }
}

impl Item {
    /// Its arrival on a connection, in a frame of this number.
    pub(crate) fn delivery(self, conn: ConnId, frame: u32) -> Delivery {
        Delivery { conn, frame, item: self.into() }
    }
}

/// An item that deliveries may share. Its digest is worked out when it is hashed for the first time: a simulation hashes every
/// delivery of every run, and nearly all of them share their items.
#[derive(Debug)]
pub struct SharedItem {
    item: Item,
    /// 0 while nobody has asked for it.
    digest: AtomicU64,
}

impl Clone for SharedItem {
    fn clone(&self) -> Self {
        SharedItem { item: self.item.clone(), digest: AtomicU64::new(self.digest.load(Ordering::Relaxed)) }
    }
}

impl PartialEq for SharedItem {
    fn eq(&self, other: &Self) -> bool {
        self.item == other.item
    }
}

impl Hash for SharedItem {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let known = self.digest.load(Ordering::Relaxed);
        let digest = if known == 0 { FxBuildHasher.hash_one(&self.item) } else { known };
        if known == 0 {
            self.digest.store(digest, Ordering::Relaxed);
        }
        state.write_u64(digest);
    }
}

impl Deref for SharedItem {
    type Target = Item;

    fn deref(&self) -> &Item {
        &self.item
    }
}

impl From<Item> for Arc<SharedItem> {
    fn from(item: Item) -> Self {
        Arc::new(SharedItem { item, digest: AtomicU64::new(0) })
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
    pub item: Arc<SharedItem>,
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
        let shared = Arc::make_mut(&mut self.item);
        *shared.digest.get_mut() = 0;
        &mut shared.item
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
        let Item { kind, event_type, cursor, marker, body, durable, points_to, said } = Item::clone(self);
        Flat { conn, frame, kind, event_type, cursor, marker, body, durable, points_to, said }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Delivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Delivery, D::Error> {
        let Flat { conn, frame, kind, event_type, cursor, marker, body, durable, points_to, said } = Flat::deserialize(deserializer)?;
        let item = Item { kind, event_type, cursor, marker, body, durable, points_to, said };
        Ok(item.delivery(conn, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Stage;
    use std::hash::BuildHasher;

    fn varied() -> Vec<Item> {
        let base = Item::default();
        let said = Said { machine: 0, key: "a".to_owned(), stage: Stage::Start, text: None };
        vec![
            base.clone(),
            Item { kind: Kind::Boundary, ..base.clone() },
            Item { durable: false, ..base.clone() },
            Item { event_type: "message".into(), ..base.clone() },
            Item { cursor: Some("a:1".into()), ..base.clone() },
            Item { points_to: Some("a:1".into()), ..base.clone() },
            Item { cursor: Some("a:1".into()), points_to: Some("a:2".into()), ..base.clone() },
            Item { cursor: Some("a:2".into()), points_to: Some("a:1".into()), ..base.clone() },
            Item { marker: Some(Marker { session: 1, n: 2 }), ..base.clone() },
            Item { marker: Some(Marker { session: 2, n: 1 }), ..base.clone() },
            Item { body: Some(Body::of("x")), ..base.clone() },
            Item { said: Some(Box::new(said)), ..base },
        ]
    }

    #[test]
    fn items_that_differ_in_anything_have_another_hash() {
        let all = varied();
        let hash = |item: &Item| rustc_hash::FxBuildHasher.hash_one(item);
        for (a, one) in all.iter().enumerate() {
            for (b, other) in all.iter().enumerate() {
                assert_eq!(hash(one) == hash(other), a == b, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn a_delivery_survives_its_file_form_as_one_object() {
        for (frame, item) in (0..).zip(varied()) {
            let delivery = item.delivery(ConnId(7), frame);
            let json = serde_json::to_value(&delivery).unwrap();
            assert!(json["conn"] == 7 && json["frame"] == frame && json.get("item").is_none(), "{json}");
            assert_eq!(serde_json::from_value::<Delivery>(json).unwrap(), delivery);
        }
    }

    #[test]
    fn a_changed_delivery_leaves_those_that_shared_its_item_as_they_were() {
        let one = Item::default().delivery(ConnId(0), 0);
        let mut other = one.clone();
        other.cursor = Some("x".into());
        assert_eq!((one.cursor.as_deref(), other.cursor.as_deref()), (None, Some("x")));
    }

    #[test]
    fn a_changed_delivery_has_the_digest_of_what_it_became() {
        let hash = |delivery: &Delivery| FxBuildHasher.hash_one(delivery);
        for item in varied() {
            let (made, mut changed) = (item.clone().delivery(ConnId(0), 0), Item::default().delivery(ConnId(0), 0));
            assert_eq!(hash(&changed), hash(&changed.clone()));
            *changed = item;
            assert_eq!((hash(&changed), hash(&changed.clone())), (hash(&made), hash(&made)));
        }
    }
}
