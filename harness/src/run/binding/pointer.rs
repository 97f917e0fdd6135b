//! Several JSON pointers, read in one pass over a text, without building what they do not point at.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// The pointers of one shape as a tree; each has a slot for what it finds.
#[derive(Clone, Debug, Default)]
pub(super) struct Pointers {
    root: Node,
    slots: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    slot: Option<usize>,
    children: Vec<(String, Node)>,
}

/// What the pointers of a [`Pointers`] found, by slot.
pub(super) type Slots = Vec<Option<Value>>;

impl Pointers {
    /// The slot for `pointer` (`/a/b`, or nothing for the whole document).
    pub(super) fn slot(&mut self, pointer: &str) -> usize {
        let mut node = &mut self.root;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let at = node.children.iter().position(|(name, _)| *name == token).unwrap_or_else(|| {
                node.children.push((token, Node::default()));
                node.children.len() - 1
            });
            node = &mut node.children[at].1;
        }
        *node.slot.get_or_insert_with(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    /// True when there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.slots == 0
    }

    /// Reads the JSON `text`; `None` when it is none (or is nested too deeply to be read whole where that is asked for).
    pub(super) fn read(&self, text: &str) -> Option<Slots> {
        let mut slots = vec![None; self.slots];
        let mut json = serde_json::Deserializer::from_str(text);
        Seed { node: &self.root, slots: &mut slots }.deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(slots)
    }

    /// Looks into a document that was read already.
    pub(super) fn look(&self, document: &Value) -> Slots {
        let mut slots = vec![None; self.slots];
        self.root.look(document, &mut slots);
        slots
    }
}

impl Node {
    fn look(&self, value: &Value, slots: &mut Slots) {
        if let Some(slot) = self.slot {
            slots[slot] = Some(value.clone());
        }
        for (name, child) in &self.children {
            let inner = match value {
                Value::Object(map) => map.get(name),
                Value::Array(items) => index(name).and_then(|index| items.get(index)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            if let Some(inner) = inner {
                child.look(inner, slots);
            }
        }
    }
}

/// A token as an index: digits without leading zeros (RFC 6901).
fn index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    plain.then(|| token.parse().ok()).flatten()
}

struct Seed<'a> {
    node: &'a Node,
    slots: &'a mut Slots,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if let Some(slot) = self.node.slot {
            let value = <Value as serde::Deserialize>::deserialize(deserializer)?;
            if self.node.children.is_empty() {
                self.slots[slot] = Some(value);
            } else {
                self.node.look(&value, self.slots);
            }
            Ok(())
        } else if self.node.children.is_empty() {
            <IgnoredAny as serde::Deserialize>::deserialize(deserializer).map(drop)
        } else {
            deserializer.deserialize_any(self)
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Key(self.node))? {
            match child {
                Some(child) => map.next_value_seed(Seed { node: &self.node.children[child].1, slots: &mut *self.slots })?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let nowhere = Node::default();
        for at in 0.. {
            let child = self.node.children.iter().find(|(name, _)| index(name) == Some(at)).map_or(&nowhere, |(_, child)| child);
            if seq.next_element_seed(Seed { node: child, slots: &mut *self.slots })?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Which child a key leads to.
struct Key<'a>(&'a Node);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.children.iter().position(|(name, _)| name == key))
    }
}

/// The text of a value: of a text itself, of anything else its JSON; `null` is nothing.
pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_find_the_same_in_a_text_and_in_a_document() {
        let document = json!({ "a": { "b": [1, { "c/d": "x" }], "e": null }, "f": true, "": { "": 0 } });
        let wanted = ["/a/b/1/c~1d", "/a/b/0", "/a/b", "/a/b/01", "/a/missing", "/f/g", "/f", "/a/e", "", "//"];
        let mut pointers = Pointers::default();
        let slots: Vec<usize> = wanted.iter().map(|pointer| pointers.slot(pointer)).collect();
        assert_eq!(pointers.slot("/f"), slots[6], "one pointer, one slot");
        let read = pointers.read(&document.to_string()).unwrap();
        assert_eq!(read, pointers.look(&document));
        for (pointer, slot) in wanted.iter().zip(slots) {
            assert_eq!(read[slot].as_ref(), document.pointer(pointer), "{pointer}");
        }
    }

    #[test]
    fn a_pointer_among_others_is_found_without_reading_those() {
        let mut pointers = Pointers::default();
        let data = pointers.slot("/data/text");
        let deep = format!(r#"{{"junk":{}{},"data":{{"text":"«s0.1»","n":[[1]]}}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(pointers.read(&deep).unwrap()[data], Some(json!("«s0.1»")));
    }

    #[test]
    fn hostile_texts_are_no_json_and_nothing_worse() {
        let mut pointers = Pointers::default();
        pointers.slot("/data");
        for text in ["", "{", r#"{"data":"#, r#"{"data":1} x"#, "nul", &format!(r#"{{"data":{}"#, "[".repeat(1_000_000))] {
            assert_eq!(pointers.read(text), None);
        }
        assert_eq!(pointers.read("17"), Some(vec![None]));
    }
}
