//! The payment method `test`: the wire of real payment channels with Ed25519 keys and without a chain.
//!
//! An address is the beginning of a key's hash; a signature carries its key, so that whoever checks it learns the signer's
//! address, as with the curves of real chains. A channel's name is the hash of its descriptor, and a challenge's name a keyed
//! hash of its content: the server needs no memory to recognise its own.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::KeyPair as _;
use ring::{digest, hmac, signature};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The method's name in challenges and credentials.
pub const METHOD: &str = "test";
/// The chain that every channel pretends to live on.
pub const CHAIN: u64 = 42431;
/// The contract that every channel pretends to live in.
pub const ESCROW: &str = "0x4d50500000000000000000000000000000000000";
/// What is paid with; amounts are counts of items.
pub const CURRENCY: &str = "0x20c0000000000000000000000000000000000001";
/// Who is paid.
pub const PAYEE: &str = "0x15630000000000000000000000000000000000fe";

/// Who pays whom, by which key; its hash is the channel's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The address whose signature vouchers need.
    pub authorized_signer: String,
    /// 32 random bytes of the payer.
    pub expiring_nonce_hash: String,
    /// Unused by this method.
    pub operator: String,
    /// Who is paid.
    pub payee: String,
    /// Who pays.
    pub payer: String,
    /// 32 random bytes of the payer.
    pub salt: String,
    /// What is paid with.
    pub token: String,
}

impl Descriptor {
    /// The channel's name.
    pub fn channel(&self) -> String {
        let mut whole = serde_json::to_value(self).expect("a descriptor is data");
        for field in whole.as_object_mut().expect("it is an object").values_mut() {
            *field = json!(field.as_str().unwrap_or_default().to_ascii_lowercase());
        }
        whole["escrow"] = json!(ESCROW);
        whole["chainId"] = json!(CHAIN);
        hash(canonical(&whole).as_bytes())
    }
}

/// A payer's key.
pub struct Key(signature::Ed25519KeyPair);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({})", self.address())
    }
}

impl Key {
    /// The key of this seed.
    pub fn of(seed: [u8; 32]) -> Key {
        Key(signature::Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed"))
    }

    /// Its address.
    pub fn address(&self) -> String {
        address(self.0.public_key().as_ref())
    }

    /// The signature of a text, with the key in it.
    pub fn sign(&self, text: &str) -> String {
        let bytes = [self.0.public_key().as_ref(), self.0.sign(text.as_bytes()).as_ref()].concat();
        format!("0x{}", hex(&bytes))
    }
}

/// The address that signed `text`, if the signature is one.
pub fn signer(signed: &str, text: &str) -> Option<String> {
    let bytes = unhex(signed.strip_prefix("0x")?)?;
    let (public, signature) = bytes.split_at_checked(32)?;
    signature::UnparsedPublicKey::new(&signature::ED25519, public).verify(text.as_bytes(), signature).ok()?;
    Some(address(public))
}

fn address(public: &[u8]) -> String {
    hash(public)[..42].to_owned()
}

/// The identity of an address on the wire.
pub fn source(address: &str) -> String {
    format!("did:pkh:eip155:{CHAIN}:{address}")
}

/// What a voucher signs; the close is a voucher, too.
pub fn voucher(channel: &str, amount: u64) -> String {
    format!("voucher\n{}\n{amount}", channel.to_ascii_lowercase())
}

/// What the transaction of an opening signs.
pub fn opening(channel: &str, deposit: u64) -> String {
    format!("open\n{}\n{deposit}", channel.to_ascii_lowercase())
}

/// What the transaction of a top-up signs.
pub fn top_up(channel: &str, amount: u64, nonce: &str) -> String {
    format!("topUp\n{}\n{amount}\n{nonce}", channel.to_ascii_lowercase())
}

/// What a proof of identity signs.
pub fn proof(challenge: &str, source: &str) -> String {
    format!("proof\n{challenge}\n{source}")
}

/// `0x` and the SHA-256 of `bytes` in hexadecimal digits.
pub fn hash(bytes: &[u8]) -> String {
    format!("0x{}", hex(digest::digest(&digest::SHA256, bytes).as_ref()))
}

/// The name of a challenge: a keyed hash over all that it says, so that a changed one is recognised.
pub fn challenge_id(secret: &[u8], slots: [&str; 7]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, slots.join("|").as_bytes()).as_ref())
}

/// JSON as RFC 8785 writes it: keys sorted, no blanks. (Texts here are ASCII and numbers whole, so no more is needed.)
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            let fields: Vec<String> = sorted.iter().map(|(key, value)| format!("{}:{}", json!(key), canonical(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// base64url without padding, as headers carry JSON.
pub fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The JSON behind base64url; padding is tolerated.
pub fn decode(text: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?).ok()
}

/// Standard base64 with padding, as the snapshot header has it.
pub fn encode_padded(text: &str) -> String {
    STANDARD.encode(text)
}

/// The JSON behind [`encode_padded`].
pub fn decode_padded(text: &str) -> Option<Value> {
    serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        write!(out, "{byte:02x}").expect("writing to a string does not fail");
        out
    })
}

/// The bytes of hexadecimal digits.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    text.len().is_multiple_of(2).then(|| text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_tells_its_signer_and_binds_its_text() {
        let key = Key::of([0x11; 32]);
        let signed = key.sign(&voucher("0xAB", 3));
        assert_eq!(signer(&signed, &voucher("0xab", 3)), Some(key.address()));
        assert_eq!(signer(&signed, &voucher("0xab", 4)), None);
        assert_eq!(signer("0x00", "x"), None);
        assert_eq!(signer("0xé", "x"), None);
    }

    #[test]
    fn a_channel_is_named_for_every_part_of_its_descriptor_whatever_the_letters() {
        let one = Descriptor { payer: "0xAA".to_owned(), ..Descriptor::default() };
        let same = Descriptor { payer: "0xaa".to_owned(), ..Descriptor::default() };
        let other = Descriptor { salt: "0x01".to_owned(), ..one.clone() };
        assert_eq!(one.channel(), same.channel());
        assert_ne!(one.channel(), other.channel());
    }

    #[test]
    fn canonical_json_is_sorted_at_every_level() {
        let value = json!({ "b": { "z": 1, "a": "\"" }, "a": [true, null] });
        assert_eq!(canonical(&value), r#"{"a":[true,null],"b":{"a":"\"","z":1}}"#);
    }
}
