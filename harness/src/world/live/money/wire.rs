//! The bytes of the scheme `Payment`: challenges in headers, receipts and requests for payment. A server under test may
//! send anything; what cannot be read is absent.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use streamspec_reference_server::money::scheme;

use crate::history::{Says, Told, ToldBy};
use crate::world::Whole;

/// A challenge as the server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The header, for a program that signs.
    pub(super) header: String,
    fields: BTreeMap<String, String>,
}

impl Challenge {
    /// The challenge in a `WWW-Authenticate` header, when it has what a credential must repeat.
    pub(super) fn of(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("payment") {
            return None;
        }
        let challenge = Challenge { header: header.to_owned(), fields: parameters(rest)? };
        let whole = ["id", "realm", "method", "intent", "request", "expires"].iter().all(|name| challenge.fields.contains_key(*name));
        (whole && scheme::decode(challenge.field("request")).is_some()).then_some(challenge)
    }

    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The same with another name.
    pub(super) fn forged(&self) -> Challenge {
        let mut forged = self.clone();
        let id = forged.fields.entry("id".to_owned()).or_default();
        *id = id.chars().rev().collect();
        forged
    }

    /// What its request says of a field.
    pub(super) fn asks(&self, name: &str) -> String {
        scheme::decode(self.field("request")).and_then(|request| Some(request.get(name)?.as_str()?.to_owned())).unwrap_or_default()
    }

    /// The value of `Authorization`.
    pub(super) fn credential(&self, payload: &Value, source: &str) -> String {
        let fields: Map<String, Value> = self.fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let credential = json!({ "challenge": fields, "payload": payload, "source": source });
        format!("Payment {}", scheme::encode(&credential.to_string()))
    }
}

/// `a="b", c="d"` with `\` before quotes and backslashes in values.
fn parameters(text: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"")?;
        let mut text = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next()? {
                (_, '\\') => text.push(chars.next()?.1),
                (at, '"') => break at,
                (_, other) => text.push(other),
            }
        };
        fields.insert(name.trim().to_owned(), text);
        rest = value[end + 1..].trim_start_matches([',', ' ']);
    }
    Some(fields)
}

/// An amount: a decimal text, or a number.
fn amount(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// A statement of an account, and the name it gives the account.
pub(super) fn told(value: &Value, says: Says, by: ToldBy) -> (String, Told) {
    let of = |name: &str| value.get(name).and_then(amount);
    let told = Told {
        account: None,
        by,
        says,
        accepted: of("acceptedCumulative"),
        spent: of("spent"),
        units: of("units"),
        deposit: of("deposit"),
        required: of("requiredCumulative").filter(|_| says == Says::Due),
    };
    (value.get("channelId").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase(), told)
}

/// The statement in an answer's headers.
pub(super) fn told_in(whole: &Whole, by: ToldBy) -> Option<(String, Told)> {
    let receipt = whole.header("payment-receipt").and_then(scheme::decode).map(|value| told(&value, Says::Receipt, by));
    receipt
        .or_else(|| whole.header("payment-session-snapshot").and_then(scheme::decode_padded).map(|value| told(&value, Says::Snapshot, by)))
}

/// The challenge in an answer's headers.
pub(super) fn challenge_in(whole: &Whole) -> Option<Challenge> {
    whole.header("www-authenticate").and_then(Challenge::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_with_its_escapes() {
        let header =
            r#"Payment id="a\"b\\c", realm="r", method="test", intent="session", request="e30", expires="2026-11-21T07:42:20.174Z""#;
        let challenge = Challenge::of(header).unwrap();
        assert_eq!(challenge.field("id"), r#"a"b\c"#);
        assert_eq!(Challenge::of("Basic realm=\"x\""), None);
        assert_eq!(Challenge::of("Payment id=\"x"), None);
        assert_eq!(Challenge::of(&header.replace("e30", "%%")), None);
    }

    #[test]
    fn amounts_are_decimal_texts_or_numbers() {
        let value = json!({ "channelId": "0xAB", "acceptedCumulative": "2", "spent": 1, "units": -1, "deposit": "x" });
        let (channel, told) = told(&value, Says::Receipt, ToldBy::Frame(crate::history::ConnId(0)));
        assert_eq!((channel.as_str(), told.accepted, told.spent, told.units, told.deposit), ("0xab", Some(2), Some(1), None, None));
    }
}
