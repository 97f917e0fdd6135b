//! HAR files, as browsers and proxies export them.

use ::base64::Engine;
use serde::Deserialize;

use super::{Body, Captured, header};
use crate::history::Micros;

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    started_date_time: String,
    request: Request,
    response: Response,
    /// What Chromium saw an EventSource dispatch.
    #[serde(default, rename = "_eventSourceMessages")]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Request {
    url: String,
    #[serde(default)]
    headers: Vec<Pair>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    status: i64,
    #[serde(default)]
    headers: Vec<Pair>,
    #[serde(default)]
    content: Content,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    mime_type: String,
    text: Option<String>,
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    /// Seconds since 1970.
    #[serde(default)]
    time: f64,
    #[serde(default)]
    event_name: String,
    #[serde(default)]
    event_id: String,
    #[serde(default)]
    data: String,
}

/// The streams in a HAR file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Captured>, String> {
    let har: Har = serde_json::from_slice(bytes).map_err(|e| format!("the file is no HAR: {e}"))?;
    let streams: Vec<&Entry> = har.log.entries.iter().filter(|entry| is_stream(entry)).collect();
    if streams.is_empty() {
        let n = har.log.entries.len();
        return Err(format!("none of the {n} requests in it was answered with an event stream"));
    }
    let first = streams.iter().filter_map(|entry| seconds(&entry.started_date_time)).fold(f64::INFINITY, f64::min);
    let first = if first.is_finite() { first } else { 0.0 };
    streams.iter().map(|entry| captured(entry, first)).collect()
}

fn is_stream(entry: &Entry) -> bool {
    let media = |text: &str| ["text/event-stream", "ndjson", "jsonl"].iter().any(|known| text.contains(known));
    let named = entry.response.headers.iter().any(|pair| pair.name.eq_ignore_ascii_case("content-type") && media(&pair.value));
    named || media(&entry.response.content.mime_type) || !entry.messages.is_empty()
}

fn captured(entry: &Entry, first: f64) -> Result<Captured, String> {
    let after = |seconds: f64| Micros(((seconds - first).max(0.0) * 1e6) as u64);
    let pairs = |pairs: &[Pair]| -> Vec<(String, String)> { pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect() };
    let at = after(seconds(&entry.started_date_time).unwrap_or(first));
    let body = match &entry.response.content.text {
        Some(text) if entry.response.content.encoding.as_deref() == Some("base64") => {
            let bytes = base64(text).ok_or_else(|| format!("the body of {} is no base64", entry.request.url))?;
            Body::Bytes(vec![(at, bytes)])
        }
        Some(text) if !text.is_empty() || entry.messages.is_empty() => Body::Bytes(vec![(at, text.clone().into_bytes())]),
        Some(_) | None => {
            let one = |message: &Message| {
                let kind = if message.event_name.is_empty() { "message" } else { &message.event_name };
                (after(message.time), kind.to_owned(), message.data.clone(), message.event_id.clone())
            };
            Body::Events(entry.messages.iter().map(one).collect())
        }
    };
    let target = entry.request.url.split_once("://").map_or(entry.request.url.as_str(), |(_, rest)| rest);
    let target = target.find('/').map_or("/", |at| &target[at..]);
    let mut answer = pairs(&entry.response.headers);
    if header(&answer, "content-type").is_none() && !entry.response.content.mime_type.is_empty() {
        answer.push(("Content-Type".to_owned(), entry.response.content.mime_type.clone()));
    }
    Ok(Captured {
        target: Some(target.to_owned()),
        request: pairs(&entry.request.headers),
        status: u16::try_from(entry.response.status).ok().filter(|status| *status >= 100),
        answer,
        at,
        ..Captured::of(body)
    })
}

/// Seconds since 1970 of `2026-11-21T11:22:33.123Z`, or with an offset behind it.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute) = (number(11, 13)?, number(14, 16)?);
    let rest = text.get(17..)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let second: f64 = rest[..end].parse().ok()?;
    // Days by the civil calendar, March first, so that a leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1 - 719_468;
    let zone = &rest[end..];
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let offset = zone.get(1..3).and_then(|h| h.parse::<i64>().ok()).zip(zone.get(4..6).and_then(|m| m.parse::<i64>().ok()));
    let offset = offset.map_or(0, |(h, m)| sign * (h * 60 + m));
    Some((((days * 24 + hour) * 60 + minute - offset) * 60) as f64 + second)
}

/// Standard base64; white space is passed over.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    ::base64::prelude::BASE64_STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_1970() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(seconds("2026-11-21T11:22:33.500Z"), Some(1_795_260_153.5));
        assert_eq!(seconds("2026-11-21T13:22:33.500+02:00"), Some(1_795_260_153.5));
        assert_eq!(seconds("yesterday"), None);
    }

    #[test]
    fn a_body_in_base64_is_bytes() {
        assert_eq!(base64("ZGF0\nYTogMQoK"), Some(b"data: 1\n\n".to_vec()));
        assert_eq!(base64("ZGE="), Some(b"da".to_vec()));
        assert_eq!(base64("«"), None);
    }

    #[test]
    fn streams_are_found_among_other_requests() {
        let har = r#"{"log":{"entries":[
            {"startedDateTime":"2026-11-21T11:00:00Z","request":{"url":"http://h/page"},"response":{"status":200,"content":{"mimeType":"text/html","text":"x"}}},
            {"startedDateTime":"2026-11-21T11:00:01Z","request":{"url":"http://h:1/s?after=3","headers":[]},"response":{"status":200,"content":{"mimeType":"text/event-stream","text":"data: 1\n\n"}}},
            {"startedDateTime":"2026-11-21T11:00:02Z","request":{"url":"http://h:1/s"},"response":{"status":200,"headers":[{"name":"content-type","value":"text/event-stream"}]},
             "_eventSourceMessages":[{"time":1795258803.5,"eventName":"message","eventId":"4","data":"x"}]}]}}"#;
        let all = read(har.as_bytes()).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].target.as_deref(), &all[0].body),
            (Some("/s?after=3"), &Body::Bytes(vec![(Micros(0), b"data: 1\n\n".to_vec())]))
        );
        let Body::Events(events) = &all[1].body else { panic!("{:?}", all[1].body) };
        assert_eq!((events[0].0, events[0].3.as_str()), (Micros(2_500_000), "4"));
        assert!(read(br#"{"log":{"entries":[]}}"#).is_err());
    }
}
