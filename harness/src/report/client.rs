//! The timeline of a client's failure: what both sides did, the offending line marked.

use crate::check::Violation;
use crate::client::orders::{Answer, Ordered};
use crate::client::trial::{Entry, Event, PublishAnswer, Request, Said, Saw};

use super::page::visible;
use super::picture::Picture;
use super::tally::Failure;
use super::timeline::{Line, Mark};

/// Lines kept around a marked one.
const AROUND: usize = 6;
/// Requests that are shown wherever they stand: the first ones.
const LANDMARKS: u32 = 4;
/// Characters of a text that are shown.
const MOST: usize = 60;

/// A failure of a client in a case.
pub fn client_failure(case: &str, log: &[Entry], violation: &Violation, output: &str) -> Failure {
    let timeline = timeline(log, violation);
    let picture = Picture::of_lines(&timeline);
    Failure {
        case: case.to_owned(),
        scenario: case.to_owned(),
        violation: violation.clone(),
        timeline,
        curl: None,
        output: output.to_owned(),
        picture,
    }
}

fn timeline(log: &[Entry], violation: &Violation) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut elided = 0;
    for (at, entry) in log.iter().enumerate() {
        let near = violation.records.iter().any(|record| record.abs_diff(at) <= AROUND);
        let landmark = match &entry.what {
            Saw::Request(request) => request.nth <= LANDMARKS,
            what => matches!(what, Saw::Started { .. } | Saw::Killed { .. } | Saw::Exited { .. }),
        };
        if !near && !landmark {
            elided += 1;
            continue;
        }
        if elided > 0 {
            lines.push(Line { ms: 0, lane: String::new(), text: format!("({elided} more)"), mark: Mark::Elided });
            elided = 0;
        }
        let mark = match violation.records.iter().position(|record| *record == at) {
            Some(0) => Mark::Offending,
            Some(_) => Mark::Part,
            None => Mark::None,
        };
        let (lane, text) = said(&entry.what);
        lines.push(Line { ms: entry.at.0 / 1000, lane: lane.to_owned(), text, mark });
    }
    lines
}

fn said(saw: &Saw) -> (&'static str, String) {
    match saw {
        Saw::Started { life: 1 } => ("client", "starts".to_owned()),
        Saw::Started { .. } => ("client", "starts again".to_owned()),
        Saw::Request(request) => ("client", asked(request)),
        Saw::Ponged { nth } => ("client", format!("#{nth} sends a pong")),
        Saw::Heard { nth, text } => ("client", format!("#{nth} sends {}", visible(&text.chars().take(MOST).collect::<String>()))),
        Saw::Refused { nth } => ("server", format!("refuses connection {nth}")),
        Saw::Sent { nth, says } => ("server", format!("#{nth} sends {says}")),
        Saw::Ended { nth, how } => ("server", format!("#{nth} is over: {how}")),
        Saw::Left { nth } => ("client", format!("leaves #{nth}")),
        Saw::Said(said) => ("client", applied(said)),
        Saw::Ordered { order, what } => ("streamspec", ordered(*order, what)),
        Saw::Posted { request, answer } => ("server", posted(request, *answer)),
        Saw::ToldToClose => ("streamspec", "tells the client to close".to_owned()),
        Saw::Killed { .. } => ("streamspec", "kills the client".to_owned()),
        Saw::Exited { status: Some(status), .. } => ("client", format!("ends with exit status {status}")),
        Saw::Exited { status: None, .. } => ("client", "is ended by a signal".to_owned()),
        Saw::InVain { what } => ("streamspec", format!("waits in vain for {what}")),
        Saw::Over => ("streamspec", "ends the case".to_owned()),
    }
}

fn asked(request: &Request) -> String {
    let number = if request.nth == 0 { String::new() } else { format!("#{} ", request.nth) };
    let cursor = request.header("last-event-id").map(|id| format!(", Last-Event-ID {:?}", String::from_utf8_lossy(id)));
    format!("asks {number}{} {}{}", request.method, request.target, cursor.unwrap_or_default())
}

fn applied(said: &Said) -> String {
    match said {
        Said::Event(Event { id, data, .. }) => {
            let kind = if let Said::Event(event) = said { event.type_name() } else { "" };
            let shown: String = data.chars().take(MOST).collect();
            let id = id.as_ref().filter(|id| !id.is_empty()).map(|id| format!(", id {id:?}")).unwrap_or_default();
            format!("applies {kind} {shown:?}{id}")
        }
        Said::Gap => "tells of a gap".to_owned(),
        Said::Reset => "starts over from the state".to_owned(),
        Said::Closed => "says that it has closed".to_owned(),
        Said::Error => "tells of an error".to_owned(),
        Said::Answer(answer) => answered(answer),
    }
}

fn ordered(order: u32, what: &Ordered) -> String {
    let about = match what {
        Ordered::Publish(publish) => format!(" with the key {:?}", publish.key),
        Ordered::Init { .. } | Ordered::Subscribe(_) | Ordered::Close {} | Ordered::Restart {} => String::new(),
    };
    format!("order {order}: {}{about}", what.word())
}

fn answered(answer: &Answer) -> String {
    let number = answer.answer;
    match (answer.outcome, &answer.unsupported, &answer.features) {
        (_, Some(why), _) => format!("answers order {number}: unsupported, {why}"),
        (Some(outcome), None, _) => format!("answers order {number}: {}", outcome.word()),
        (None, None, Some(features)) => format!("answers order {number}: it can {}", features.join(", ")),
        (None, None, None) => format!("answers order {number}"),
    }
}

fn posted(request: &Request, answer: PublishAnswer) -> String {
    let key = request.header("idempotency-key").map(|key| format!(", Idempotency-Key {:?}", String::from_utf8_lossy(key)));
    let what = match answer {
        PublishAnswer::Accept => "accepts".to_owned(),
        PublishAnswer::Lose => "has, and resets instead of answering,".to_owned(),
        PublishAnswer::Refuse(status) => format!("answers with {status}"),
        PublishAnswer::PutOff(seconds) => format!("puts off for {seconds} s"),
    };
    format!("{what} {} {}{}", request.method, request.target, key.unwrap_or_default())
}
