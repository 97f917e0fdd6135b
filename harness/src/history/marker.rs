//! Markers and digests: how the harness recognises its own events wherever they come back.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A unique token in a payload, written `«s3.17»`: the 17th event of the session numbered 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Marker {
    /// Number of the session within the run.
    pub session: u32,
    /// Number of the event within the session, from 1.
    pub n: u32,
}

impl Marker {
    /// The first marker in `text`, if there is one. `text` is decoded text: JSON escapes are no longer in it.
    pub fn find(text: &str) -> Option<Marker> {
        let mut rest = text;
        while let Some(at) = rest.find("«s") {
            rest = &rest[at + "«s".len()..];
            let end = rest.find('»')?;
            if let Some(marker) = Marker::parse_inner(&rest[..end]) {
                return Some(marker);
            }
        }
        None
    }

    /// Every marker in `text`, in order, repetitions included.
    pub fn find_all(text: &str) -> Vec<Marker> {
        let inner = |rest: &str| Marker::parse_inner(&rest[..rest.find('»')?]);
        text.split("«s").skip(1).filter_map(inner).collect()
    }

    fn parse_inner(text: &str) -> Option<Marker> {
        let (session, n) = text.split_once('.')?;
        Some(Marker { session: number(session)?, n: number(n)? })
    }
}

fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "«s{}.{}»", self.session, self.n)
    }
}

impl FromStr for Marker {
    type Err = String;

    /// Reads the short form of history files, `s3.17`.
    fn from_str(text: &str) -> Result<Marker, String> {
        text.strip_prefix('s').and_then(Marker::parse_inner).ok_or_else(|| format!("`{text}` is no marker (expected s3.17)"))
    }
}

impl Serialize for Marker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("s{}.{}", self.session, self.n))
    }
}

impl<'de> Deserialize<'de> for Marker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Marker, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Marker;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a marker such as s3.17")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Marker, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Digest of a payload: enough to tell two payloads apart and to show one to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// Length in bytes of UTF-8.
    pub len: u64,
    /// FNV-1a over the bytes; the same in every version of streamspec.
    pub digest: u64,
    /// The beginning, at most 60 bytes, cut at a character.
    pub head: Arc<str>,
}

impl Hash for Body {
    /// Of length and digest alone, which tell texts apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.len, self.digest).hash(state);
    }
}

/// What FNV-1a begins with.
pub(crate) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a over `bytes`, going on from `hash`.
pub(crate) fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Body {
    /// The digest of `text`.
    pub fn of(text: &str) -> Body {
        let digest = fnv(FNV_START, text.as_bytes());
        let end = text.floor_char_boundary(60);
        Body { len: text.len() as u64, digest, head: text[..end].into() }
    }

    /// True when both digests are of the same text.
    pub fn same(&self, other: &Body) -> bool {
        self.len == other.len && self.digest == other.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marker_is_found_among_look_alikes() {
        assert_eq!(Marker::find("«s» «sx.1» «s3.17» «s4.1»"), Some(Marker { session: 3, n: 17 }));
        assert_eq!(Marker::find("«s3.17"), None);
        assert_eq!(Marker::find("«s3.99999999999»"), None);
    }

    #[test]
    fn marker_survives_its_file_form() {
        let marker = Marker { session: 3, n: 17 };
        let json = serde_json::to_string(&marker).unwrap();
        assert_eq!(json, "\"s3.17\"");
        assert_eq!(serde_json::from_str::<Marker>(&json).unwrap(), marker);
        assert_eq!(Marker::find(&format!("x{marker}y")), Some(marker));
    }

    #[test]
    fn digest_sees_one_changed_byte() {
        assert!(!Body::of("a\u{2028}b").same(&Body::of("a\nb")));
        assert!(Body::of(&"x".repeat(1 << 20)).same(&Body::of(&"x".repeat(1 << 20))));
    }
}
