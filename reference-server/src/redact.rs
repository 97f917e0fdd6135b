//! Redaction: masks what looks like a credential, in whole texts and in text that comes in pieces.
//!
//! A mask keeps the first six and the last four characters, so that a human recognises which secret it was. Masking a text
//! again changes nothing.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// How credentials begin that are one word.
const PREFIXES: [&str; 24] = [
    "sk-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "pk_live_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxa-",
    "xoxp-",
    "xoxr-",
    "xoxs-",
    "AKIA",
    "ASIA",
    "AIza",
    "hf_",
    "npm_",
    "pypi-",
    "dop_v1_",
];

static SECRETS: LazyLock<Regex> = LazyLock::new(|| {
    let prefixes = PREFIXES.map(regex::escape).join("|");
    let all = format!(
        r"(?P<key>-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z))|(?P<before>(?i:\bbearer)\s+)(?P<bearer>[A-Za-z0-9._~+/=-]{{8,}})|(?P<scheme>//)(?P<user>[^\s/@:'\x22]+:[^\s/@'\x22]+)@|\b(?P<word>(?:{prefixes})[A-Za-z0-9_-]{{8,}})"
    );
    Regex::new(&all).expect("the pattern is right")
});

/// What may still become a credential, or be one that is not over, at the end of a text.
static OPEN: LazyLock<Regex> = LazyLock::new(|| {
    let begun = |whole: &str| {
        let beginnings: Vec<String> = whole.char_indices().skip(1).map(|(at, _)| regex::escape(&whole[..at])).collect();
        beginnings.join("|")
    };
    let words = PREFIXES.map(|prefix| format!("{}[A-Za-z0-9_-]*|{}", regex::escape(prefix), begun(prefix))).join("|");
    let all = format!(
        r"(?:-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-)*|-----BEGIN [A-Z ]*-{{0,5}}|{dashes}|\b(?i:{bearers})|(?i:\bbearer)(?:\s+[A-Za-z0-9._~+/=-]*)?|/|//[^\s/@'\x22]*|\b(?:{words}))\z",
        dashes = begun("-----BEGIN "),
        bearers = begun("bearer"),
    );
    Regex::new(&all).expect("the pattern is right")
});

fn mask(secret: &str) -> String {
    let count = secret.chars().count();
    let first: String = secret.chars().take(6).collect();
    let last: String = secret.chars().skip(count.saturating_sub(4)).collect();
    if count < 12 { "***".to_owned() } else { format!("{first}...{last}") }
}

/// The text with every credential masked.
pub fn redact(text: &str) -> String {
    let masked = SECRETS.replace_all(text, |found: &Captures| {
        let group = |name| found.name(name).map_or("", |m| m.as_str());
        if found.name("key").is_some() {
            return "[private key]".to_owned();
        }
        if found.name("bearer").is_some() {
            return format!("{}{}", group("before"), mask(group("bearer")));
        }
        if found.name("user").is_some() {
            return format!("{}***@", group("scheme"));
        }
        mask(group("word"))
    });
    masked.into_owned()
}

/// The JSON value with every credential in its texts and names masked.
pub fn redact_json(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(redact(text)),
        Value::Array(items) => Value::Array(items.iter().map(redact_json).collect()),
        Value::Object(members) => Value::Object(members.iter().map(|(name, value)| (redact(name), redact_json(value))).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Redaction of a text that comes in pieces: what may be the beginning of a credential waits for the piece behind it.
#[derive(Debug, Default)]
pub struct Redactor {
    /// The last character shown, which says whether a word begins behind it, and what waits.
    held: String,
    shown: usize,
}

impl Redactor {
    /// What can be shown of the text so far and was not shown before; it may be empty.
    pub fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let open = OPEN.find_at(&self.held, self.shown).map_or(self.held.len(), |found| found.start());
        self.show(open)
    }

    /// The rest, when no further piece will come.
    pub fn finish(&mut self) -> String {
        self.show(self.held.len())
    }

    fn show(&mut self, upto: usize) -> String {
        let masked = redact(&self.held[..upto]);
        let before = self.held[..upto].char_indices().next_back().map_or(0, |(at, _)| at);
        let show = masked.get(self.shown..).unwrap_or_default().to_owned();
        self.shown = upto - before;
        self.held.drain(..before);
        show
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [&str; 6] = [
        "ghp_A1b2C3d4E5f6G7h8",
        "sk-proj-abcdefghijklmnop",
        "Authorization: Bearer abc.def-ghi_jkl",
        "https://me:hunter22222@example.org/x",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE-vQ\n-----END RSA PRIVATE KEY-----",
        "AKIAIOSFODNN7EXAMPLE",
    ];

    #[test]
    fn credentials_are_masked_and_nothing_else_is() {
        assert_eq!(redact("a ghp_A1b2C3d4E5f6G7h8, b"), "a ghp_A1...G7h8, b");
        assert_eq!(redact(SECRETS[2]), "Authorization: Bearer abc.de..._jkl");
        assert_eq!(redact(SECRETS[3]), "https://***@example.org/x");
        assert_eq!(redact(&format!("x{}y", SECRETS[4])), "x[private key]y");
        for plain in ["", "task-force", "risk-averse-people-here", "sk-1", "the bearer of news", "http://127.0.0.1:80/a", "«s3.17»", "a@b"]
        {
            assert_eq!(redact(plain), plain);
        }
        for secret in SECRETS {
            let once = redact(secret);
            assert_ne!(once, secret);
            assert_eq!(redact(&once), once, "masking again changes nothing");
        }
        let value = serde_json::json!({ "a": ["ghp_A1b2C3d4E5f6G7h8", 1] });
        assert_eq!(redact_json(&value), serde_json::json!({ "a": ["ghp_A1...G7h8", 1] }));
    }

    #[test]
    fn pieces_give_what_the_whole_gives_wherever_they_are_cut() {
        for secret in SECRETS {
            let whole = format!("before {secret} behind é");
            let places = || whole.char_indices().map(|(at, _)| at);
            for (first, second) in places().flat_map(|a| places().filter(move |b| a <= *b).map(move |b| (a, b))) {
                let mut redactor = Redactor::default();
                let mut shown = String::new();
                for piece in [&whole[..first], &whole[first..second], &whole[second..]] {
                    shown.push_str(&redactor.push(piece));
                }
                shown.push_str(&redactor.finish());
                assert_eq!(shown, redact(&whole), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn ordinary_words_do_not_wait() {
        let mut redactor = Redactor::default();
        for word in ["w0001 ", "ta", "sk-force-of-all-people", "«s3.17»", "word", "1. ", "\u{2028}", "end."] {
            assert_eq!(redactor.push(word), word);
        }
    }
}
