//! Logs of others, a JSON value a line, read as a profile's `[log]` says.

use serde_json::Value;

use super::har::seconds;
use super::{Body, Captured, Logged};
use crate::contract::{CursorCarrier, LogMapping, OneOrMany, Subscribe};
use crate::history::Micros;
use crate::run::binding::encode;

/// The connections in a log, in the order in which they begin.
///
/// # Errors
/// In words, with the line, when one is no JSON value, or an event has no data.
pub(super) fn read(text: &str, log: &LogMapping, subscribe: &Subscribe) -> Result<Vec<Captured>, String> {
    let mut reading = Reading { log, subscribe, first: None, now: Micros(0), lines: Vec::new(), passed_over: 0 };
    for (nth, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let shown = || line.chars().take(80).collect::<String>();
        let value = serde_json::from_str(line).map_err(|e| format!("line {}: no JSON ({e}): `{}`", nth + 1, shown()))?;
        reading.line(&value).map_err(|why| format!("line {}: {why}: `{}`", nth + 1, shown()))?;
    }
    if !reading.lines.iter().any(|line| !line.events.is_empty()) {
        let n = reading.passed_over;
        return Err(format!("no line of it is an event by the profile's `[log]`; {n} are of other kinds"));
    }
    Ok(reading.lines.into_iter().map(Line::captured).collect())
}

struct Reading<'l> {
    log: &'l LogMapping,
    subscribe: &'l Subscribe,
    /// The time of the first line that has one, in microseconds since 1970.
    first: Option<u64>,
    now: Micros,
    lines: Vec<Line>,
    passed_over: u64,
}

/// One connection.
struct Line {
    key: (String, String, String),
    captured: Captured,
    events: Vec<Logged>,
    closed: bool,
}

impl Line {
    fn captured(self) -> Captured {
        Captured { body: Body::Logged(self.events), ..self.captured }
    }
}

/// What a line is.
enum What {
    Opens,
    Event,
    Closes,
    Other,
}

impl Reading<'_> {
    fn line(&mut self, line: &Value) -> Result<(), String> {
        self.clock(line)?;
        let of = |place: &Option<String>| place.as_deref().and_then(|place| at(line, place)).unwrap_or_default();
        let key = (of(&self.log.session), of(&self.log.reader), of(&self.log.connection));
        let open = self.lines.iter().rposition(|known| known.key == key && !known.closed);
        match self.what(line) {
            What::Other => self.passed_over += 1,
            What::Closes => {
                if let Some(open) = open {
                    self.lines[open].closed = true;
                }
            }
            What::Opens => {
                if let Some(open) = open {
                    self.lines[open].closed = true;
                }
                self.begin(key, Some(line));
            }
            What::Event => {
                let data = at(line, &self.log.data).ok_or_else(|| format!("an event without data at {}", self.log.data))?;
                let event = Logged {
                    at: self.now,
                    event: self.log.event_type.as_deref().and_then(|place| at(line, place)).unwrap_or_else(|| "message".to_owned()),
                    data,
                    id: self.log.id.as_deref().and_then(|place| at(line, place)),
                };
                let open = open.unwrap_or_else(|| self.begin(key, None));
                self.lines[open].events.push(event);
            }
        }
        Ok(())
    }

    /// A connection that opens by this line, or with its first event.
    fn begin(&mut self, key: (String, String, String), opened: Option<&Value>) -> usize {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut captured = Captured { session: some(&key.0), reader: some(&key.1), at: self.now, ..Captured::of(Body::Logged(Vec::new())) };
        if let Some(line) = opened {
            let path = format!("/{}", encode(&key.0));
            captured.status = self.log.status.as_deref().and_then(|place| at(line, place)).and_then(|status| status.parse().ok());
            let cursor = self.log.cursor.as_deref().and_then(|place| at(line, place)).filter(|cursor| !cursor.is_empty());
            captured.target = Some(path.clone());
            match (cursor, self.subscribe.cursor.first()) {
                (Some(cursor), Some(CursorCarrier::Header(name))) => captured.request.push((name.clone(), cursor)),
                (Some(cursor), Some(CursorCarrier::Query(name))) => {
                    captured.target = Some(format!("{path}?{}={}", encode(name), encode(&cursor)));
                }
                // Of a cursor in a body nobody knows where the stream began.
                (Some(_), Some(CursorCarrier::Body(_) | CursorCarrier::BodyNumber(_)) | None) => captured.target = None,
                (None, _) => {}
            }
        }
        self.lines.push(Line { key, captured, events: Vec::new(), closed: false });
        self.lines.len() - 1
    }

    fn what(&self, line: &Value) -> What {
        let kind = self.log.kind.as_deref().and_then(|place| at(line, place));
        let is = |kinds: &Option<OneOrMany>| kinds.as_ref().zip(kind.as_ref()).is_some_and(|(kinds, kind)| kinds.contains(kind));
        match () {
            () if is(&self.log.opens) => What::Opens,
            () if is(&self.log.closes) => What::Closes,
            () if self.log.events.as_ref().map_or_else(|| at(line, &self.log.data).is_some(), |_| is(&self.log.events)) => What::Event,
            () => What::Other,
        }
    }

    /// Takes over a line's time; one that goes back stands still.
    fn clock(&mut self, line: &Value) -> Result<(), String> {
        let Some(place) = &self.log.time else {
            self.now.0 += 1;
            return Ok(());
        };
        let micros = match line.pointer(place) {
            None | Some(Value::Null) => return Ok(()),
            Some(Value::Number(number)) => number.as_f64().and_then(since_1970),
            Some(Value::String(text)) => seconds(text).map(|seconds| seconds * 1e6).or_else(|| text.parse().ok().and_then(since_1970)),
            Some(_) => None,
        };
        let micros = micros.filter(|micros| *micros >= 0.0).ok_or_else(|| format!("no time at {place}"))? as u64;
        let first = *self.first.get_or_insert(micros);
        self.now = self.now.max(Micros(micros.saturating_sub(first)));
        Ok(())
    }
}

/// Microseconds of a number of seconds, milliseconds or microseconds: which it is shows in its size, up to the year 5138.
fn since_1970(number: f64) -> Option<f64> {
    let unit = match number {
        number if !number.is_finite() => return None,
        ..1e11 => 1e6,
        ..1e14 => 1e3,
        _ => 1.0,
    };
    Some(number * unit)
}

/// What stands at a place, as text.
fn at(line: &Value, place: &str) -> Option<String> {
    match line.pointer(place)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::history;
    use crate::check::{Finding, judge};
    use crate::contract::Profile;

    const LOG: &str = r#"
time = "/t"
connection = "/conn"
reader = "/who"
session = "/session"
id = "/event/id"
type = "/event/type"
data = "/event/data"
kind = "/kind"
opens = "open"
cursor = "/after"
status = "/status"
closes = ["close", "error"]
"#;

    fn profile() -> Profile {
        Profile { log: Some(toml::from_str(LOG).unwrap()), ..Profile::load("sse").unwrap() }
    }

    fn read_log(text: &str) -> Result<Vec<Captured>, String> {
        let profile = profile();
        read(text, profile.log.as_ref().unwrap(), &profile.binding.subscribe)
    }

    fn line(t: u64, conn: u32, n: u32) -> String {
        let event = serde_json::json!({ "id": format!("e:{n}"), "type": "message", "data": { "session": "s", "data": format!("w{n}") } });
        serde_json::json!({ "t": t, "conn": conn, "who": "phone", "session": "s", "kind": "event", "event": event }).to_string()
    }

    fn open(t: u64, conn: u32, after: Option<&str>) -> String {
        serde_json::json!({ "t": t, "conn": conn, "who": "phone", "session": "s", "kind": "open", "after": after, "status": 200 })
            .to_string()
    }

    fn violated(text: &str) -> Vec<String> {
        let profile = profile();
        let told = history(&read_log(text).unwrap(), &profile).unwrap();
        let failed = judge(&told.history, &profile).into_iter().filter(|verdict| matches!(verdict.finding, Finding::Fail { .. }));
        failed.map(|verdict| verdict.requirement.to_string()).collect()
    }

    #[test]
    fn connections_of_a_log_are_told_apart_and_judged() {
        let right = [
            open(1_763_724_153_000, 1, None),
            line(1_763_724_153_100, 1, 1),
            line(1_763_724_153_200, 1, 2),
            open(1_763_724_154_000, 2, Some("e:2")),
            line(1_763_724_154_100, 2, 3),
        ];
        let read = read_log(&right.join("\n")).unwrap();
        let seen: Vec<_> = read.iter().map(|one| (one.reader.as_deref(), one.session.as_deref(), one.at, one.request.len())).collect();
        assert_eq!(seen, [(Some("phone"), Some("s"), Micros(0), 0), (Some("phone"), Some("s"), Micros(1_000_000), 1)]);
        assert_eq!(violated(&right.join("\n")), Vec::<String>::new());
        let inclusive = [&right[..4], &[line(1_763_724_154_050, 2, 2), right[4].clone()]].concat();
        assert_eq!(violated(&inclusive.join("\n")), ["RESUME-1"]);
        let swapped = [open(1, 1, None), line(2, 1, 2), line(3, 1, 1)];
        assert!(violated(&swapped.join("\n")).iter().any(|id| id.starts_with("ORDER")));
    }

    #[test]
    fn readers_of_one_session_are_not_taken_for_one() {
        let other = |text: String| text.replace("phone", "desk");
        let both = [open(1, 1, None), other(open(2, 2, None)), line(3, 1, 1), other(line(4, 2, 1)), line(5, 1, 2), other(line(6, 2, 2))];
        assert_eq!(read_log(&both.join("\n")).unwrap().len(), 2);
        assert_eq!(violated(&both.join("\n")), Vec::<String>::new());
    }

    #[test]
    fn times_of_every_usual_form_are_read() {
        for (first, second) in [
            ("1763724153", "1763724154.5"),
            ("1763724153000", "1763724154500"),
            ("1763724153000000", "1763724154500000"),
            ("\"2025-11-21T11:22:33Z\"", "\"2025-11-21T11:22:34.500Z\""),
        ] {
            let at = |time: &str, n: u32| line(0, 1, n).replace("\"t\":0", &format!("\"t\":{time}"));
            let read = read_log(&[at(first, 1), at(second, 2)].join("\n")).unwrap();
            let Body::Logged(events) = &read[0].body else { panic!("{read:?}") };
            assert_eq!(events[1].at, Micros(1_500_000), "{first}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_log_is_named_with_its_line() {
        let no_data = r#"{"t":1,"conn":1,"kind":"event"}"#;
        for (text, says) in [
            (format!("{}\nnonsense", line(1, 1, 1)), "line 2: no JSON"),
            (line(1, 1, 1).replace("\"t\":1", "\"t\":\"noon\""), "line 1: no time at /t"),
            (no_data.to_owned(), "no line of it is an event"),
        ] {
            let why = read_log(&text).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }
}
