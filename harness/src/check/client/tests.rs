//! Stories of logs: what a client did, and what the judge says of it.

use super::*;
use crate::check::Finding;
use crate::client::trial::{Due, cases};
use crate::history::Micros;

/// A log that is told.
#[derive(Default)]
struct Story {
    log: Vec<Entry>,
    now: u64,
}

impl Story {
    /// A client that starts and asks within 10 ms.
    fn asks(cursor: &str) -> Story {
        let mut story = Story::default();
        story.push(Saw::Started { life: 1 });
        story.pass(10).request(1, cursor)
    }

    fn push(&mut self, what: Saw) {
        self.log.push(Entry { at: Micros(self.now), what });
    }

    fn pass(mut self, ms: u64) -> Story {
        self.now += ms * 1000;
        self
    }

    fn saw(mut self, what: Saw) -> Story {
        self.push(what);
        self
    }

    fn request(self, nth: u32, cursor: &str) -> Story {
        let headers = if cursor.is_empty() { Vec::new() } else { vec![("Last-Event-ID".to_owned(), cursor.as_bytes().to_vec())] };
        self.saw(Saw::Request(Request { nth, method: "GET".to_owned(), target: "/stream".to_owned(), headers, body: Vec::new() }))
    }

    fn applies(self, data: &str) -> Story {
        self.saw(Saw::Said(Said::Event(Event { id: None, event_type: None, data: data.to_owned() })))
    }

    fn sent(self, nth: u32) -> Story {
        self.saw(Saw::Sent { nth, says: "events".to_owned() })
    }

    fn ended(self, nth: u32) -> Story {
        self.saw(Saw::Ended { nth, how: "end of body" })
    }

    fn finding(&self, check: Check) -> Finding {
        let mut case = cases().remove(0);
        case.checks = vec![("C-RESUME-2", check)];
        judge_client(&case, &self.log).remove(0).finding
    }

    #[track_caller]
    fn holds(&self, check: Check) {
        let finding = self.finding(check);
        assert!(matches!(finding, Finding::Pass { judged } if judged > 0), "{finding:?}");
    }

    #[track_caller]
    fn violates(&self, check: Check, shape: &str) {
        match self.finding(check) {
            Finding::Fail { violations, .. } => assert_eq!(violations[0].shape, shape, "{violations:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn leaves_open(&self, check: Check) {
        let finding = self.finding(check);
        assert!(matches!(finding, Finding::Inconclusive { .. }), "{finding:?}");
    }
}

fn due(events: &[(u32, &str)]) -> Vec<Due> {
    let due = |(reply, data): &(u32, &str)| Due { reply: *reply, event: Event { data: (*data).to_owned(), ..Event::default() } };
    events.iter().map(due).collect()
}

fn applies(events: &[(u32, &str)]) -> Check {
    Check::Applies(due(events))
}

#[test]
fn events_are_applied_each_once_and_in_order() {
    let told = |events: &[&str]| events.iter().fold(Story::asks("").sent(1), |story, data| story.applies(data)).ended(1);
    told(&["a", "b"]).holds(applies(&[(1, "a"), (1, "b")]));
    told(&["a"]).violates(applies(&[(1, "a"), (1, "b")]), "missing");
    told(&["a", "a", "b"]).violates(applies(&[(1, "a"), (1, "b")]), "repeated");
    told(&["a", "b", "b"]).violates(applies(&[(1, "a"), (1, "b")]), "surplus");
    told(&["b", "a"]).violates(applies(&[(1, "a"), (1, "b")]), "other-event");
    told(&[]).holds(applies(&[]));
    told(&["x"]).violates(applies(&[]), "surplus");
}

#[test]
fn only_what_was_sent_is_due() {
    Story::asks("").sent(1).applies("a").ended(1).holds(applies(&[(1, "a"), (2, "b")]));
    Story::asks("").leaves_open(applies(&[(1, "a")]));
}

#[test]
fn a_cursor_is_the_header_of_its_request() {
    let presents = |want: Want| Check::Header { nth: 2, name: "Last-Event-ID", want };
    let story = |cursor: &str| Story::asks("").ended(1).request(2, cursor);
    story("7").holds(presents(Want::Is(b"7".to_vec())));
    story("6").violates(presents(Want::Is(b"7".to_vec())), "header");
    story("").violates(presents(Want::Is(b"7".to_vec())), "header");
    story("").holds(presents(Want::Absent));
    story("7").violates(presents(Want::Absent), "header");
    Story::asks("").ended(1).leaves_open(presents(Want::Absent));
}

#[test]
fn a_wait_has_two_bounds() {
    let waits = |least, most| Check::Waits { nth: 2, least, most };
    let story = |ms| Story::asks("").ended(1).pass(ms).request(2, "");
    story(95).holds(waits(Some(90), None));
    story(80).violates(waits(Some(90), None), "early");
    // Four times the 10 ms of the start are allowed beside the bound.
    story(139).holds(waits(None, Some(100)));
    story(141).violates(waits(None, Some(100)), "late");
    let vain = |ms| Story::asks("").ended(1).pass(ms).saw(Saw::InVain { what: "request 2".to_owned() });
    vain(141).violates(waits(None, Some(100)), "late");
    vain(100).leaves_open(waits(None, Some(100)));
}

#[test]
fn a_final_answer_is_followed_by_no_request() {
    Story::asks("").ended(1).saw(Saw::Over).holds(Check::StopsAfter(1));
    Story::asks("").ended(1).request(2, "").saw(Saw::Over).violates(Check::StopsAfter(1), "asks-again");
    Story::asks("").ended(1).leaves_open(Check::StopsAfter(1));
}

#[test]
fn a_request_that_should_come_comes() {
    Story::asks("").ended(1).request(2, "").holds(Check::Comes(2));
    Story::asks("").ended(1).saw(Saw::Refused { nth: 2 }).holds(Check::Comes(2));
    Story::asks("").ended(1).violates(Check::Comes(2), "no-request");
    Story::asks("").leaves_open(Check::Comes(2));
}

#[test]
fn a_gap_is_told_and_leads_to_a_refetch() {
    let fetch = || {
        Saw::Request(Request { nth: 0, method: "GET".to_owned(), target: "/snapshot".to_owned(), headers: Vec::new(), body: Vec::new() })
    };
    let gap = || Story::asks("").sent(1);
    gap().saw(Saw::Said(Said::Gap)).saw(fetch()).applies("b").holds(Check::TellsGap { after: 1 });
    gap().applies("b").saw(Saw::Said(Said::Gap)).violates(Check::TellsGap { after: 1 }, "silent");
    gap().violates(Check::TellsGap { after: 1 }, "silent");
    gap().saw(fetch()).request(2, "").holds(Check::Refetches { after: 1 });
    gap().request(2, "").saw(fetch()).violates(Check::Refetches { after: 1 }, "no-refetch");
    gap().applies("b").saw(fetch()).violates(Check::Refetches { after: 1 }, "no-refetch");
}

#[test]
fn behind_a_close_it_is_quiet() {
    let told = || Story::asks("").applies("a").saw(Saw::ToldToClose);
    told().saw(Saw::Said(Said::Closed)).holds(Check::QuietAfterClose);
    told().saw(Saw::Exited { life: 1, status: Some(0) }).holds(Check::QuietAfterClose);
    told().saw(Saw::Said(Said::Closed)).applies("b").violates(Check::QuietAfterClose, "late-event");
    told().applies("b").saw(Saw::Said(Said::Closed)).violates(Check::QuietAfterClose, "late-event");
    told().saw(Saw::Said(Said::Closed)).request(2, "").violates(Check::QuietAfterClose, "late-event");
    told().violates(Check::QuietAfterClose, "not-closed");
    Story::asks("").leaves_open(Check::QuietAfterClose);
}

#[test]
fn a_restart_neither_repeats_nor_skips() {
    let lives = |events: &[&str]| {
        let first = Story::asks("").applies("e1").applies("e2").applies("e3").saw(Saw::Killed { life: 1 });
        let second = first.saw(Saw::Left { nth: 1 }).saw(Saw::Started { life: 2 }).request(2, "2");
        events.iter().fold(second, |story, data| story.applies(data)).ended(2)
    };
    let once = || Check::Once { but: vec!["e3".to_owned()] };
    lives(&["e3", "e4"]).holds(once());
    lives(&["e2", "e3", "e4"]).violates(once(), "repeated");
    lives(&["e4"]).holds(Check::Misses(due(&[(1, "e1"), (2, "e4")])));
    lives(&["e5"]).violates(Check::Misses(due(&[(1, "e1"), (2, "e4")])), "missing");
    Story::asks("").applies("e1").leaves_open(once());
}

#[test]
fn an_event_that_is_held_back_is_no_prompt_one() {
    let prompt = || Check::Prompt("a".to_owned());
    let vain = || Saw::InVain { what: "the client to apply `a`".to_owned() };
    Story::asks("").sent(1).applies("a").ended(1).holds(prompt());
    Story::asks("").sent(1).saw(vain()).sent(1).applies("a").ended(1).violates(prompt(), "held-back");
    Story::asks("").leaves_open(prompt());
}
