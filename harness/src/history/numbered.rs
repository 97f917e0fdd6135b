//! Cursors that end with a number.

/// A cursor and the number at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbered<'c> {
    pub(crate) text: &'c str,
    /// What stands before the number.
    pub(crate) epoch: &'c str,
    pub(crate) number: Option<u64>,
}

impl<'c> Numbered<'c> {
    pub(crate) fn of(text: &'c str) -> Numbered<'c> {
        let digits = text.len() - text.bytes().rev().take_while(u8::is_ascii_digit).count();
        Numbered { text, epoch: &text[..digits], number: text[digits..].parse().ok() }
    }

    /// True when `now` is the number behind this one, and greater as a text as well: the next cursor in whatever way cursors
    /// are compared.
    pub(crate) fn is_next(self, now: Numbered<'_>) -> bool {
        let next = self.number.and_then(|number| number.checked_add(1));
        next.is_some() && next == now.number && self.epoch == now.epoch && self.text < now.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_cursor_is_the_next_number_and_a_greater_text() {
        let next = |before, now| Numbered::of(before).is_next(Numbered::of(now));
        assert!(next("e-1", "e-2") && next("7", "8") && next("e-099", "e-100"));
        assert!(!next("e-1", "e-1") && !next("e-2", "e-1") && !next("e-1", "e-3"));
        // Not where texts are compared.
        assert!(!next("e-9", "e-10"));
        assert!(!next("e-1", "f-2") && !next("e", "f") && !next("", "") && !next("e-18446744073709551615", "e-0"));
    }
}
