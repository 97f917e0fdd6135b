//! What the format forbids or advises against.

/// A finding of the lint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub rule: Rule,
    /// Offset of the offending line (or byte) in the stream.
    pub offset: u64,
    /// The offending text, at most 60 bytes, lossily decoded.
    pub text: String,
}

/// Rules of the lint, each a rule of the SSE dossier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Bytes that are not UTF-8 (SSE-5): a client sees U+FFFD.
    InvalidUtf8,
    /// A field that nobody knows (SSE-17): most often the rest of a payload whose line break was not escaped.
    UnknownField,
    /// NUL in an id (SSE-21): the whole line is ignored.
    NulInId,
    /// A reconnection time that is no number (SSE-23).
    BogusRetry,
    /// An event type without data (SSE-19): nothing is dispatched.
    TypeWithoutData,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The format forbids it.
    Error,
    /// Clients ignore it, so something the server meant to say is lost.
    Warning,
}

impl Rule {
    /// The rule's id in the dossier.
    pub fn id(self) -> &'static str {
        match self {
            Rule::InvalidUtf8 => "SSE-5",
            Rule::UnknownField => "SSE-17",
            Rule::NulInId => "SSE-21",
            Rule::BogusRetry => "SSE-23",
            Rule::TypeWithoutData => "SSE-19",
        }
    }

    /// How bad it is.
    pub fn severity(self) -> Severity {
        match self {
            Rule::InvalidUtf8 => Severity::Error,
            Rule::UnknownField | Rule::NulInId | Rule::BogusRetry | Rule::TypeWithoutData => Severity::Warning,
        }
    }

    /// What is wrong, in words.
    pub fn says(self) -> &'static str {
        match self {
            Rule::InvalidUtf8 => "bytes that are not UTF-8",
            Rule::UnknownField => "a field that no client knows",
            Rule::NulInId => "NUL in an id, which makes clients ignore it",
            Rule::BogusRetry => "a reconnection time that is no number",
            Rule::TypeWithoutData => "an event type without data, which is not dispatched",
        }
    }
}

/// Bounded text for a finding.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
    let end = text.floor_char_boundary(60);
    text[..end].to_owned()
}
