//! What is wrong in the rules of a transcript.

use regex::Regex;

use super::parts::pointer;
use crate::contract::TranscriptRules;
use crate::contract::file::{Problems, Seg, short, spot};

/// Looks for what is wrong in the rules that stand at `at`.
pub(crate) fn transcript(rules: &TranscriptRules, at: &[Seg], problems: &mut Problems<'_>) {
    for (index, rule) in rules.redact.iter().enumerate() {
        let here = [at, &spot!["redact", index]].concat();
        let field = |name: &str| [here.as_slice(), &spot![name]].concat();
        if rule.class.is_empty() || !rule.class.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            let what = format!("`{}` is no class of values", short(&rule.class));
            problems.at(&field("as"), what, "not one word", "use one word; `turn` makes `[turn-1]`, `[turn-2]`");
        }
        if rule.key.is_none() && rule.pointer.is_none() && rule.header.is_none() && rule.pattern.is_none() {
            let help = "say what is replaced with `key`, `pointer`, `header` or `pattern`";
            problems.at(&here, "a redaction that finds nothing", "nothing to look for", help);
        }
        if let Some(pattern) = &rule.pattern
            && let Err(error) = Regex::new(pattern)
        {
            // The library draws the pattern over several lines; what is wrong stands in the last one.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            let help = "mend the expression; in TOML, one in single quotes needs no doubled backslashes";
            problems.at(&field("pattern"), format!("`{}` is no regular expression: {why}", short(pattern)), "here", help);
        } else if rule.pattern.as_ref().is_some_and(|pattern| Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(""))) {
            let help = "let it match at least one character";
            problems.at(&field("pattern"), "a pattern that matches nothing at all", "matches the empty text", help);
        }
        for (nth, one) in rule.pointer.iter().flat_map(|pointers| pointers.iter()).enumerate() {
            let many = matches!(rule.pointer, Some(crate::contract::OneOrMany::Many(_)));
            let place = if many { [here.as_slice(), &spot!["pointer", nth]].concat() } else { field("pointer") };
            pointer(one, &place, problems);
        }
    }
}
