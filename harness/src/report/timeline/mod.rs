//! The timeline of a failure: the smallest stretch of a history that shows it, one line an observation, the offending one
//! marked, and a line where something should have come and did not.

mod money;
mod say;

use crate::check::Violation;
use crate::history::{History, Marker, What};

pub(super) use crate::history::words::{lane, short};
pub(super) use say::Cast;
use say::Said;

/// A line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// Milliseconds since the run began.
    pub ms: u64,
    /// Whose line it is: `writer`, `server`, `a#2`.
    pub lane: String,
    /// What happened.
    pub text: String,
    /// How it stands out.
    pub mark: Mark,
}

/// How a line stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Not at all.
    None,
    /// It belongs to the violation.
    Part,
    /// It is the offending one.
    Offending,
    /// Something is missing here.
    Missing,
    /// Lines were left out here.
    Elided,
}

/// At most this many lines are shown, beside those that are marked.
const MOST: usize = 24;
/// Lines kept before a marked one.
const BEFORE: usize = 5;
/// Lines kept behind a marked one.
const BEHIND: usize = 3;
/// Landmarks kept before the first marked line.
const LANDMARKS: usize = 4;

struct Drawn {
    line: Line,
    landmark: bool,
    /// Of a run of alike observations the first event's.
    first: Option<Marker>,
}

/// The timeline of `violation` in `history`.
pub fn timeline(history: &History, violation: &Violation) -> Vec<Line> {
    let cast = Cast::of(history, &violation.records);
    let mut lines: Vec<Drawn> = Vec::new();
    for (record, entry) in history.records.iter().enumerate() {
        let mark = match violation.records.iter().position(|r| *r == record) {
            Some(0) => Mark::Offending,
            Some(_) => Mark::Part,
            None => Mark::None,
        };
        let Some(said) = cast.say(&entry.what) else { continue };
        if mark == Mark::None && lines.last_mut().is_some_and(|last| join(last, &said)) {
            continue;
        }
        let line = Line { ms: entry.at.0 / 1000, lane: said.lane, text: said.text, mark };
        lines.push(Drawn { line, landmark: said.landmark, first: said.event });
    }
    if violation.shape.starts_with("lost") || violation.shape == "neither" {
        missing(history, &cast, violation, &mut lines);
    }
    elide(lines)
}

/// Tells an observation together with the line before it, where both are of one kind: `event «s0.1» [e:1]` and
/// `event «s0.2» [e:2]` are `event «s0.1» … «s0.2» [e:2]`.
fn join(last: &mut Drawn, said: &Said) -> bool {
    let (Some(first), Some(event)) = (last.first, said.event) else { return false };
    let kind = |text: &str| text.split('«').next().map(str::to_owned);
    if last.line.mark != Mark::None || last.line.lane != said.lane || kind(&last.line.text) != kind(&said.text) {
        return false;
    }
    last.line.text = said.text.replacen(&event.to_string(), &format!("{first} … {event}"), 1);
    true
}

/// Adds a line where the lost event should have come: before the delivery that came in its place, else at the end of the
/// connection that should have brought it.
fn missing(history: &History, cast: &Cast<'_>, violation: &Violation, lines: &mut Vec<Drawn>) {
    let of = |nth: usize| violation.records.get(nth).and_then(|r| history.records.get(*r)).map(|r| &r.what);
    let Some(marker) = of(0).and_then(|what| cast.published(what)) else { return };
    let lane = if let Some(What::Connect(connect)) = of(1) { lane(connect) } else { "reader".to_owned() };
    let instead = lines.iter().position(|l| l.line.mark == Mark::Part && l.line.lane == lane && l.line.text.starts_with("event"));
    let behind = || lines.iter().rposition(|l| l.line.lane == lane && !l.landmark).map(|at| at + 1);
    let at = instead.or_else(behind).unwrap_or(lines.len());
    let ms = lines.get(at).or(lines.last()).map_or(0, |l| l.line.ms);
    let text = format!("✗ {marker} belongs here and never came");
    lines.insert(at, Drawn { line: Line { ms, lane, text, mark: Mark::Missing }, landmark: true, first: None });
}

/// Keeps the lines around the marked ones, and the landmarks among them.
fn elide(lines: Vec<Drawn>) -> Vec<Line> {
    let marked: Vec<usize> = lines.iter().enumerate().filter(|(_, l)| l.line.mark != Mark::None).map(|(at, _)| at).collect();
    let (Some(first), Some(last)) = (marked.first(), marked.last()) else {
        return lines.into_iter().take(MOST).map(|l| l.line).collect();
    };
    let early: Vec<usize> = (0..*first).rev().filter(|at| lines[*at].landmark).take(LANDMARKS).collect();
    let keep = |before: usize, behind: usize, landmarks: bool| -> Vec<bool> {
        let near = |at: usize| marked.iter().any(|m| (*m <= at && at - m <= behind) || (at <= *m && m - at <= before));
        let stands = |at: usize| landmarks && lines[at].landmark && ((first..=last).contains(&&at) || early.contains(&at));
        (0..lines.len()).map(|at| near(at) || stands(at)).collect()
    };
    let widths = [(BEFORE, BEHIND, true), (2, 1, true), (BEFORE, BEHIND, false), (1, 1, false)];
    let fits = |kept: &Vec<bool>| kept.iter().filter(|k| **k).count() <= MOST + marked.len();
    let mut tried = widths.into_iter().map(|(before, behind, landmarks)| keep(before, behind, landmarks));
    let kept = tried.clone().find(fits).or_else(|| tried.next_back()).unwrap_or_default();

    let mut shown: Vec<Line> = Vec::new();
    let mut left_out = 0;
    let note = |n: usize| Line { ms: 0, lane: String::new(), text: format!("… {n} more"), mark: Mark::Elided };
    for (drawn, keep) in lines.into_iter().zip(kept) {
        if keep {
            if left_out > 0 {
                shown.push(Line { ms: drawn.line.ms, ..note(left_out) });
                left_out = 0;
            }
            shown.push(drawn.line);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        shown.push(Line { ms: shown.last().map_or(0, |line| line.ms), ..note(left_out) });
    }
    shown
}
