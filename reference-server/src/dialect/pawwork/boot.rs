//! Boots and cursors: `boot:seq`, the boot being base-36 milliseconds, `-` and 8 hexadecimal digits (b.3).

use crate::session::Millis;

/// The largest number that every client can hold.
const MOST_SAFE: u64 = (1 << 53) - 1;

/// A new boot.
pub(super) fn boot(at: Millis, random: u32) -> String {
    let mut digits = Vec::new();
    let mut rest = at.0;
    while rest > 0 || digits.is_empty() {
        digits.push(char::from_digit((rest % 36) as u32, 36).expect("a remainder of 36 is a digit"));
        rest /= 36;
    }
    format!("{}-{random:08x}", digits.iter().rev().collect::<String>())
}

/// Boot and number of a cursor; `None` for anything that is not exactly one.
pub(super) fn parse(text: &str) -> Option<(&str, u64)> {
    let (boot, number) = text.rsplit_once(':')?;
    let plain = number.bytes().all(|b| b.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
    let number = number.parse().ok().filter(|number| plain && *number <= MOST_SAFE)?;
    (!boot.is_empty()).then_some((boot, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strict_decimals_are_numbers() {
        assert_eq!(parse("mwpsxbov-42ce3abd:17"), Some(("mwpsxbov-42ce3abd", 17)));
        assert_eq!(parse("a:b:0"), Some(("a:b", 0)), "the last colon counts");
        assert_eq!(parse("b:9007199254740991"), Some(("b", MOST_SAFE)));
        for bad in ["", "junk", "17", ":1", "b:", "b:-1", "b:+1", "b:1.5", "b:0x1", "b:1e0", "b: 1", "b:01", "b:9007199254740992", "b:١"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_boot_shows_its_time() {
        assert_eq!(boot(Millis(35), 0xabc), "z-00000abc");
        assert_eq!(boot(Millis(36), 1), "10-00000001");
        assert_eq!(boot(Millis(0), 0), "0-00000000");
    }
}
