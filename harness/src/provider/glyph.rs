//! Lone surrogates in Rust text.
//!
//! JSON can carry half a surrogate pair (`"\ud83d"`), a Rust string cannot. Until it is written as JSON, a lone surrogate
//! stands as the private-use character 0x100000 above it, which no script may use for itself.

/// Distance between a surrogate and the character that stands for it.
const STAND_IN: u32 = 0x10_0000;

/// The character for a code point; a stand-in for a surrogate. `None` when it is no code point, or one of the stand-ins.
pub(super) fn code_point(code: u32) -> Option<char> {
    match code {
        0xD800..=0xDFFF => char::from_u32(code + STAND_IN),
        0x10_D800..=0x10_DFFF => None,
        _ => char::from_u32(code),
    }
}

/// `value` as JSON, stand-ins written as the escapes of their surrogates.
pub(super) fn to_json(value: &serde_json::Value) -> String {
    use std::fmt::Write;
    let json = value.to_string();
    let Some(first) = json.find(is_stand_in) else { return json };
    let mut out = String::with_capacity(json.len() + 16);
    out.push_str(&json[..first]);
    for c in json[first..].chars() {
        if is_stand_in(c) {
            write!(out, "\\u{:04x}", u32::from(c) - STAND_IN).expect("writing to a string does not fail");
        } else {
            out.push(c);
        }
    }
    out
}

/// True for a character that stands for a surrogate.
pub(super) fn is_stand_in(c: char) -> bool {
    ('\u{10d800}'..='\u{10dfff}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_written_as_an_escape() {
        let text: String = [0x61, 0xD83D, 0x85, 0x2028].iter().map(|c| code_point(*c).unwrap()).collect();
        assert_eq!(to_json(&serde_json::json!({ "t": text })), "{\"t\":\"a\\ud83d\u{85}\u{2028}\"}");
        assert_eq!(code_point(0x11_0000), None);
        assert_eq!(code_point(0x10_D83D), None);
    }
}
