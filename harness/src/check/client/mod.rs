//! What a client's log shows of a case: a pure function, as the checkers of servers are.
//!
//! A check is judged as far as its cause was reached: an event is due when its reply was sent, a request when the one before
//! it was answered. What was not reached, because the client had failed at something else before, is undecided.

mod orders;
mod sequence;
mod socket;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::judge::Judge;
use super::verdict::{Verdict, Violation};
use crate::client::trial::{Case, Check, Entry, Event, Request, Said, Saw, TERMINAL, Want};
use crate::contract::{CLIENT_CATALOGUE, Requirement};

/// The verdicts on the requirements that `case` is about, in the order of the catalogue.
pub fn judge_client(case: &Case, log: &[Entry]) -> Vec<Verdict> {
    let view = View { log };
    let mut judge = Judge::default();
    for (id, check) in &case.checks {
        match view.check(check, case) {
            Found::Held => judge.held(id),
            Found::HeldTimes(times) => judge.held_n(id, times),
            Found::Violated(violation) => judge.violated(id, violation),
            Found::Undecided(why) => judge.undecided(id, why),
        }
    }
    let about: BTreeSet<&str> = case.judges().into_iter().collect();
    judge.verdicts_on(CLIENT_CATALOGUE.iter().filter(|r: &&Requirement| about.contains(r.id)))
}

/// What a check finds.
enum Found {
    Held,
    HeldTimes(u64),
    Violated(Violation),
    Undecided(String),
}

fn violated(shape: &str, says: String, expected: String, seen: String, records: Vec<usize>) -> Found {
    Found::Violated(Violation { says, expected, seen, records, shape: shape.to_owned() })
}

/// The log, asked.
struct View<'l> {
    log: &'l [Entry],
}

impl<'l> View<'l> {
    fn check(&self, check: &Check, case: &Case) -> Found {
        match check {
            Check::Applies(due) => self.applies(due, case.reference.is_some()),
            Check::Once { but } => self.once(but),
            Check::Misses(due) => self.misses(due),
            Check::Prompt(data) => self.prompt(data),
            Check::Comes(nth) => self.comes(*nth),
            Check::StopsAfter(nth) => self.stops_after(*nth),
            Check::Header { nth, name, want } => self.header(*nth, name, want),
            Check::Path { nth, want } => self.same(*nth, "path", want.as_bytes(), |request| request.target.clone().into_bytes()),
            Check::Method { nth, want } => self.same(*nth, "method", want.as_bytes(), |request| request.method.clone().into_bytes()),
            Check::Body { nth, want } => self.same(*nth, "body", want.as_bytes(), |request| request.body.clone()),
            Check::Waits { nth, least, most } => self.waits(*nth, *least, *most),
            Check::TellsGap { after } => self.tells_gap(*after),
            Check::Refetches { after } => self.refetches(*after),
            Check::QuietAfterClose => self.quiet_after_close(),
            Check::Subscribes(nth) => self.subscribes(*nth),
            Check::Pongs(nth) => self.pongs(*nth),
            Check::EndsOrWaits(nth, least) => self.ends_or_waits(*nth, *least),
            Check::Leaves(nth) => self.leaves(*nth),
            Check::KeepsKey(publish) => self.keeps_key(*publish),
            Check::Reports { publish, outcome } => self.reports(*publish, *outcome),
            Check::PublishesInOrder => self.publishes_in_order(),
            Check::PublishesOnce(publish) => self.publishes_once(*publish),
            Check::PutsOff(publish, least) => self.puts_off(*publish, *least),
            Check::Carries { publish, header } => self.carries(*publish, header),
            Check::Introduces => self.introduces(),
            Check::Answers => self.each_order_answered(),
            Check::KeepsWord => self.keeps_word(),
        }
    }

    /// Where something was seen first.
    fn at(&self, is: impl Fn(&Saw) -> bool) -> Option<usize> {
        self.log.iter().position(|entry| is(&entry.what))
    }

    fn at_behind(&self, from: usize, is: impl Fn(&Saw) -> bool) -> Option<usize> {
        self.log.iter().skip(from + 1).position(|entry| is(&entry.what)).map(|at| from + 1 + at)
    }

    /// A request for the stream, or a connection that was refused.
    fn asked(&self, nth: u32) -> Option<usize> {
        self.at(|saw| matches!(saw, Saw::Request(request) if request.nth == nth) || matches!(saw, Saw::Refused { nth: n } if *n == nth))
    }

    fn request(&self, nth: u32) -> Option<(usize, &'l Request)> {
        self.log.iter().enumerate().find_map(|(at, entry)| match &entry.what {
            Saw::Request(request) if request.nth == nth => Some((at, request)),
            _ => None,
        })
    }

    /// The end of a reply.
    fn ended(&self, nth: u32) -> Option<usize> {
        self.at(|saw| matches!(saw, Saw::Ended { nth: n, .. } | Saw::Refused { nth: n } | Saw::Left { nth: n } if *n == nth))
    }

    /// What the client applied, in order.
    fn applied(&self) -> impl Iterator<Item = (usize, &'l Event)> {
        self.log.iter().enumerate().filter_map(|(at, entry)| match &entry.what {
            Saw::Said(Said::Event(event)) => Some((at, event)),
            _ => None,
        })
    }

    /// Why something that should have come did not, for undecided findings.
    fn not_reached(&self, what: &str) -> Found {
        let why = self.log.iter().rev().find_map(|entry| match &entry.what {
            Saw::InVain { what } => Some(format!("waited in vain for {what}")),
            Saw::Exited { status, .. } => Some(match status {
                Some(status) => format!("the client ended with exit status {status}"),
                None => "a signal ended the client".to_owned(),
            }),
            _ => None,
        });
        Found::Undecided(format!("{what} was not reached: {}", why.unwrap_or_else(|| "the client had stopped".to_owned())))
    }

    fn comes(&self, nth: u32) -> Found {
        match (self.asked(nth), self.ended(nth - 1)) {
            (Some(_), _) => Found::Held,
            (None, None) if nth > 1 => self.not_reached(&format!("the end of connection {}", nth - 1)),
            (None, before) => violated(
                "no-request",
                format!("request {nth} never came{}", self.last_words()),
                format!("a request behind the end of connection {}", nth - 1),
                "none".to_owned(),
                before.into_iter().collect(),
            ),
        }
    }

    /// `, the client ended with exit status 1`, where that is known.
    fn last_words(&self) -> String {
        let exit = self.log.iter().rev().find_map(|entry| match &entry.what {
            Saw::Exited { status: Some(status), .. } => Some(format!("; the client ended with exit status {status}")),
            Saw::Said(Said::Error) => Some("; the client told of an error".to_owned()),
            _ => None,
        });
        exit.unwrap_or_default()
    }

    fn stops_after(&self, nth: u32) -> Found {
        let Some(before) = self.ended(nth) else { return self.not_reached(&format!("the end of answer {nth}")) };
        match self.asked(nth + 1) {
            Some(at) => violated(
                "asks-again",
                format!("the client asks again {} ms behind answer {nth}, which is final", self.millis(before, at)),
                "no further request".to_owned(),
                format!("request {}", nth + 1),
                vec![at, before],
            ),
            None if self.at(|saw| *saw == Saw::Over).is_some() => Found::Held,
            None => self.not_reached("the end of the case"),
        }
    }

    fn millis(&self, from: usize, to: usize) -> u64 {
        self.log[to].at.0.saturating_sub(self.log[from].at.0) / 1000
    }

    fn header(&self, nth: u32, name: &str, want: &Want) -> Found {
        let Some((at, request)) = self.request(nth) else { return self.not_reached(&format!("request {nth}")) };
        let value = request.header(name);
        let shown = |bytes: &[u8]| format!("`{}`", String::from_utf8_lossy(bytes));
        let (holds, expected) = match want {
            Want::Is(bytes) => (value == Some(bytes), shown(bytes)),
            Want::OneOf(all) => {
                let words: Vec<String> = all.iter().map(|bytes| shown(bytes)).collect();
                (all.iter().any(|bytes| value == Some(bytes)), words.join(" or "))
            }
            Want::Has(part) => {
                (value.is_some_and(|v| memchr::memmem::find(v, part.as_bytes()).is_some()), format!("something with `{part}`"))
            }
            Want::Absent => (value.is_none_or(<[u8]>::is_empty), "no such header".to_owned()),
        };
        if holds {
            return Found::Held;
        }
        let seen = value.map_or_else(|| "no such header".to_owned(), shown);
        violated("header", format!("request {nth} has a wrong {name}"), expected, seen, vec![at])
    }

    fn same(&self, nth: u32, what: &str, want: &[u8], of: impl Fn(&Request) -> Vec<u8>) -> Found {
        let Some((at, request)) = self.request(nth) else { return self.not_reached(&format!("request {nth}")) };
        let seen = of(request);
        if seen == want {
            return Found::Held;
        }
        let shown = |bytes: &[u8]| format!("`{}`", String::from_utf8_lossy(bytes));
        violated("request", format!("request {nth} has another {what}"), shown(want), shown(&seen), vec![at])
    }

    /// An upper bound allows for the machine: four times what the client's start took, to its first request.
    fn waits(&self, nth: u32, least: Option<u64>, most: Option<u64>) -> Found {
        let Some(before) = self.ended(nth - 1) else { return self.not_reached(&format!("the end of connection {}", nth - 1)) };
        let start = self.at(|saw| matches!(saw, Saw::Started { .. })).zip(self.asked(1)).map_or(0, |(from, to)| self.millis(from, to));
        let most = most.map(|most| most + 4 * start);
        let Some(at) = self.asked(nth) else {
            let waited = self.millis(before, self.log.len() - 1);
            return match most {
                Some(most) if waited > most && self.at(|saw| matches!(saw, Saw::Exited { .. })).is_none() => violated(
                    "late",
                    format!("request {nth} did not come within {waited} ms"),
                    format!("at most {most} ms"),
                    "no request".to_owned(),
                    vec![before],
                ),
                Some(_) | None => self.not_reached(&format!("request {nth}")),
            };
        };
        let waited = self.millis(before, at);
        let says = format!("request {nth} comes {waited} ms behind the end of connection {}", nth - 1);
        let seen = format!("{waited} ms");
        if let Some(least) = least.filter(|least| waited < *least) {
            return violated("early", says, format!("at least {least} ms"), seen, vec![at, before]);
        }
        if let Some(most) = most.filter(|most| waited > *most) {
            return violated("late", says, format!("at most {most} ms"), seen, vec![at, before]);
        }
        Found::Held
    }

    fn tells_gap(&self, after: u32) -> Found {
        let Some(cause) = self.ended(after).or_else(|| self.first_sent(after)) else { return self.not_reached(&format!("answer {after}")) };
        let from = self.first_sent(after).unwrap_or(cause);
        let told = self.at_behind(from, |saw| matches!(saw, Saw::Said(Said::Gap | Said::Reset)));
        let next = self.at_behind(from, |saw| matches!(saw, Saw::Said(Said::Event(_))));
        let expected = "`{\"gap\":…}` or `{\"reset\":…}` before the next event".to_owned();
        match (told, next) {
            (Some(told), next) if next.is_none_or(|next| told < next) => Found::Held,
            (_, Some(next)) => violated(
                "silent",
                "the client goes on behind a gap as if nothing were missing".to_owned(),
                expected,
                "an event".to_owned(),
                vec![next, from],
            ),
            (_, None) => violated(
                "silent",
                format!("the client says nothing of the gap{}", self.last_words()),
                expected,
                "nothing".to_owned(),
                vec![from],
            ),
        }
    }

    /// Where the server began to write an answer; of one without a body, where it ended.
    fn first_sent(&self, nth: u32) -> Option<usize> {
        self.at(|saw| matches!(saw, Saw::Sent { nth: n, .. } if *n == nth)).or_else(|| self.ended(nth))
    }

    fn refetches(&self, after: u32) -> Found {
        let Some(from) = self.first_sent(after) else { return self.not_reached(&format!("answer {after}")) };
        let fetch = self.at_behind(from, |saw| matches!(saw, Saw::Request(request) if request.nth == 0));
        let next = self.at_behind(from, |saw| match saw {
            Saw::Said(Said::Event(_)) => true,
            Saw::Request(request) => request.nth > after,
            _ => false,
        });
        let expected = "a request for the snapshot first".to_owned();
        match (fetch, next) {
            (Some(fetch), next) if next.is_none_or(|next| fetch < next) => Found::Held,
            (_, Some(next)) => violated(
                "no-refetch",
                "the client goes on behind a gap without fetching the state".to_owned(),
                expected,
                "an event or another request".to_owned(),
                vec![next, from],
            ),
            (_, None) => violated(
                "no-refetch",
                format!("the state is never fetched{}", self.last_words()),
                expected,
                "nothing".to_owned(),
                vec![from],
            ),
        }
    }

    fn quiet_after_close(&self) -> Found {
        let Some(told) = self.at(|saw| *saw == Saw::ToldToClose) else { return self.not_reached("the close") };
        let said = self.at_behind(told, |saw| matches!(saw, Saw::Said(Said::Closed) | Saw::Exited { .. }));
        // The server was quiet when the client was told, and goes on only when the client has answered or was waited for.
        let noise = self.at_behind(told, |saw| match saw {
            Saw::Said(Said::Event(_)) => true,
            Saw::Request(request) => request.nth > 0,
            _ => false,
        });
        match noise {
            Some(at) => {
                let what = if matches!(self.log[at].what, Saw::Request(_)) { "asks for the stream" } else { "applies an event" };
                let expected = "nothing behind the close".to_owned();
                violated("late-event", format!("the client {what} although it was closed"), expected, what.to_owned(), vec![at, told])
            }
            None if said.is_some() => Found::Held,
            None => violated(
                "not-closed",
                "the client was told to close and did not".to_owned(),
                "`{\"closed\":…}`, or its end".to_owned(),
                "neither".to_owned(),
                vec![told],
            ),
        }
    }

    fn prompt(&self, data: &str) -> Found {
        let applied = self.applied().find(|(_, event)| event.data == data).map(|(at, _)| at);
        let waited = self.at(|saw| matches!(saw, Saw::InVain { .. }));
        match (applied, waited, self.first_sent(1)) {
            (_, _, None) => self.not_reached("the event"),
            (Some(at), waited, _) if waited.is_none_or(|waited| at < waited) => Found::Held,
            (_, waited, Some(sent)) => violated(
                "held-back",
                format!("`{data}` is complete, and is applied only when more comes{}", self.last_words()),
                "the event, while the stream is quiet".to_owned(),
                "nothing".to_owned(),
                waited.into_iter().chain([sent]).collect(),
            ),
        }
    }
}
