//! Words for messages: what was meant, and what there is.

/// The word nearest to `wrong`, if one is near enough to have been meant.
pub(crate) fn nearest<'a>(wrong: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong: String = wrong.chars().take(64).collect::<String>().to_lowercase().replace('_', "-");
    let within = (wrong.chars().count() / 3).clamp(1, 3);
    let near = words.into_iter().map(|word| (distance(&wrong, &word.to_lowercase().replace('_', "-")), word));
    near.filter(|(far, _)| *far <= within).min_by_key(|(far, _)| *far).map(|(_, word)| word)
}

/// Edits between two texts; two neighbours that changed places are one edit.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (above[j - 1] + same).min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// `did you mean `x`?` and what is known, in one sentence.
pub(crate) fn suggest(wrong: &str, known: &[&str], there: &str) -> String {
    let list = known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? {there}: {list}"),
        None if known.is_empty() => format!("{there}: nothing"),
        None => format!("{there}: {list}"),
    }
}

/// `text` for a message: at most 60 characters, on one line.
pub(crate) fn short(text: &str) -> String {
    let mut short: String =
        text.chars().take(60).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_keyboard_is_understood_and_another_word_is_not() {
        let words = ["publish", "open", "close", "cursor_precedence"];
        assert_eq!(nearest("pubilsh", words), Some("publish"));
        assert_eq!(nearest("Publish", words), Some("publish"));
        assert_eq!(nearest("cursor-precedense", words), Some("cursor_precedence"));
        assert_eq!(nearest("retention", words), None);
        assert_eq!(nearest("x", ["open"]), None);
    }
}
