//! Planted secrets in what the server sends.

/// How much is shown on each side.
const AROUND: usize = 40;
/// How much of the secret itself is shown on each side.
const SHOWN: usize = 8;

/// What is around each planted secret in `text`, with the middle of the secret left out, at most one for each.
pub(super) fn found(planted: &[String], text: &str) -> Vec<String> {
    let one = |secret: &String| {
        let at = text.find(secret.as_str())?;
        let before = &text[text.floor_char_boundary(at.saturating_sub(AROUND))..at];
        let end = at + secret.len();
        let after = &text[end..text.floor_char_boundary((end + AROUND).min(text.len()))];
        let (head, tail) = (&secret[..SHOWN.min(secret.len())], &secret[secret.len().saturating_sub(SHOWN)..]);
        Some(format!("{before}{head}…{tail}{after}"))
    };
    planted.iter().filter_map(one).collect()
}

/// Secrets in a text that comes in pieces: what may be the beginning of one is kept for the next piece.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    kept: Vec<u8>,
}

impl Scanner {
    /// Looks at the next piece.
    pub(super) fn feed(&mut self, planted: &[String], piece: &[u8]) -> Vec<String> {
        let Some(longest) = planted.iter().map(String::len).max() else { return Vec::new() };
        self.kept.extend_from_slice(piece);
        let text = String::from_utf8_lossy(&self.kept).into_owned();
        let found = found(planted, &text);
        let keep = if found.is_empty() { longest - 1 } else { 0 };
        self.kept.drain(..self.kept.len().saturating_sub(keep));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_across_pieces_and_shown_without_its_middle() {
        let planted = vec!["ghp_0000000000000000000000000000St0Sp1Ec".to_owned()];
        let text = format!("data: the key is {} and", planted[0]);
        for cut in 0..text.len() {
            let mut scanner = Scanner::default();
            let mut all = scanner.feed(&planted, &text.as_bytes()[..cut]);
            all.extend(scanner.feed(&planted, &text.as_bytes()[cut..]));
            assert_eq!(all.len(), 1, "cut at {cut}");
            assert!(all[0].contains("ghp_0000…") && !all[0].contains(&planted[0]), "{}", all[0]);
        }
        let mut scanner = Scanner::default();
        assert!(scanner.feed(&planted, b"ghp_00...p1Ec").is_empty());
    }
}
