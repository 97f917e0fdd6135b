//! How the transcripts of a protocol are made the same for every run of a right server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OneOrMany;

/// What a transcript shows, and what it replaces. Sessions, cursors, times, addresses and UUIDs are replaced without being
/// named here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TranscriptRules {
    /// Headers of answers that are shown, beside the usual ones and those that the binding reads.
    pub headers: Vec<String>,
    /// What is replaced. Of several rules that fit, the first decides.
    pub redact: Vec<Redaction>,
    /// Types of events that are left out, because it is not promised when they come. Heartbeats always are.
    pub leave_out: Vec<String>,
}

impl TranscriptRules {
    /// True when they say nothing.
    pub fn is_empty(&self) -> bool {
        *self == TranscriptRules::default()
    }

    /// These and `others`; where both replace something, these decide.
    pub fn and(&self, others: &TranscriptRules) -> TranscriptRules {
        let both = |a: &[String], b: &[String]| [a, b].concat();
        TranscriptRules {
            headers: both(&self.headers, &others.headers),
            redact: [self.redact.as_slice(), &others.redact].concat(),
            leave_out: both(&self.leave_out, &others.leave_out),
        }
    }
}

/// A replacement: what is found by any of the four ways stands as `[class-1]`, `[class-2]`, … in the order of appearance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// The class, one word.
    #[serde(rename = "as")]
    pub class: String,
    /// False where it says nothing which one it is: every one then stands as `[class]`. Default true, but for the class `time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbered: Option<bool>,
    /// Members of JSON objects, by name, wherever they stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<OneOrMany>,
    /// Pointers into JSON texts; `*` stands for any member or element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<OneOrMany>,
    /// Headers of requests and answers, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<OneOrMany>,
    /// A regular expression; what it matches, or its first group if it has one, is replaced in any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}
