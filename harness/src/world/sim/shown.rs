//! Cursors as text. Every schedule of a scenario shows the same ones, each to all who are there, so they are written once.

use std::cell::RefCell;

use smol_str::SmolStr;
use streamspec_reference_server::session::{Cursor, Epoch};

/// For how many epochs texts are kept: few schedules have more sessions.
const MOST_EPOCHS: usize = 8;
/// Up to which number texts are kept.
const MOST_NUMBERS: u64 = 1 << 16;

thread_local! {
    /// By epoch: the texts of its cursors by their numbers, empty where none was asked for.
    static SHOWN: RefCell<Vec<(Epoch, Vec<SmolStr>)>> = const { RefCell::new(Vec::new()) };
}

/// The text of a cursor.
pub(super) fn text(cursor: Cursor) -> SmolStr {
    if cursor.seq >= MOST_NUMBERS {
        return cursor.text().as_str().into();
    }
    SHOWN.with_borrow_mut(|shown| {
        let at = shown.iter().position(|(epoch, _)| *epoch == cursor.epoch).unwrap_or_else(|| {
            if shown.len() >= MOST_EPOCHS {
                shown.clear();
            }
            shown.push((cursor.epoch, Vec::new()));
            shown.len() - 1
        });
        let (texts, number) = (&mut shown[at].1, cursor.seq as usize);
        if number >= texts.len() {
            texts.resize(number + 1, SmolStr::default());
        }
        if texts[number].is_empty() {
            texts[number] = cursor.text().as_str().into();
        }
        texts[number].clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_what_the_cursor_says() {
        for round in 0..3 {
            for epoch in 0..2 * MOST_EPOCHS as u32 {
                for seq in [0, 7, MOST_NUMBERS - 1, MOST_NUMBERS, 3, u64::MAX] {
                    let cursor = Cursor { epoch: Epoch(epoch), seq };
                    assert_eq!(text(cursor), cursor.to_string(), "round {round}");
                }
            }
        }
    }
}
