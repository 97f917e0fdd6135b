//! Reading the answers to operations.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::{Format, Operation, StatusSet, Subscribe};

use super::pointer;

/// The headers of an answer, by name without regard to case.
pub type Headers<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Operation {
    /// Whether this status means that the operation was done.
    pub fn done(&self, status: u16) -> bool {
        self.ok.as_ref().map_or_else(|| (200..300).contains(&status), |ok| ok.contains(status))
    }
}

/// How a subscription was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// With a stream, or with a document of a long-poll.
    Stream,
    /// Long-poll: nothing yet, ask again.
    Empty,
    /// With a refusal.
    Refused,
}

impl Subscribe {
    /// What this status means.
    pub fn answer(&self, status: u16) -> Accepted {
        match self.format {
            Format::Sse | Format::Ndjson => {
                if status == 200 {
                    Accepted::Stream
                } else {
                    Accepted::Refused
                }
            }
            Format::LongPoll if self.empty.as_ref().unwrap_or(&StatusSet::One(204)).contains(status) => Accepted::Empty,
            Format::LongPoll => {
                if (200..300).contains(&status) {
                    Accepted::Stream
                } else {
                    Accepted::Refused
                }
            }
        }
    }
}

/// What `wanted` names in an answer: name → value. What is not there is left out.
pub fn take(wanted: &BTreeMap<String, String>, headers: Headers<'_>, body: &[u8]) -> BTreeMap<String, String> {
    let json = wanted.values().any(|source| !source.starts_with("header:")).then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
    wanted.iter().filter_map(|(name, source)| Some((name.clone(), value(source, headers, json.as_ref())?))).collect()
}

/// The value at `/pointer` or `header:Name`.
pub(super) fn value(source: &str, headers: Headers<'_>, json: Option<&Value>) -> Option<String> {
    match source.strip_prefix("header:") {
        Some(name) => headers(name.trim()),
        None => pointer::text(json?.pointer(source)?.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_from_body_and_headers() {
        let wanted = [("session", "/session/id"), ("cursor", "header:X-Next"), ("n", "/n"), ("gone", "/x/y"), ("none", "/none")];
        let wanted = wanted.map(|(name, source)| (name.to_owned(), source.to_owned())).into();
        let headers = |name: &str| name.eq_ignore_ascii_case("x-next").then(|| "0_17".to_owned());
        let taken = take(&wanted, &headers, br#"{"session":{"id":"s 1"},"n":7,"none":null}"#);
        let expected = [("cursor", "0_17"), ("n", "7"), ("session", "s 1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(taken, expected.into());
        assert_eq!(take(&wanted, &headers, b"<html>").into_keys().collect::<Vec<_>>(), ["cursor"]);
    }
}
