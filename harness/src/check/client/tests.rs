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

/// Stories of orders: what an adapter was told and answered.
mod orders {
    use super::*;
    use crate::client::orders::{Answer, Ordered, Outcome, Publish};
    use crate::client::trial::{PublishAnswer, publish_body, publish_key};

    impl Story {
        fn ordered(self, order: u32, what: Ordered) -> Story {
            self.saw(Saw::Ordered { order, what })
        }

        fn told_to_publish(self, order: u32, publish: u32) -> Story {
            let (key, body) = (publish_key(publish), publish_body(publish));
            self.ordered(order, Ordered::Publish(Publish { url: "/publish".to_owned(), key, body, ..Publish::default() }))
        }

        fn answers(self, answer: Answer) -> Story {
            self.saw(Saw::Said(Said::Answer(answer)))
        }

        fn posts(self, publish: u32, key: &str, answer: PublishAnswer) -> Story {
            let headers = vec![("idempotency-key".to_owned(), key.as_bytes().to_vec()), ("X-Reader".to_owned(), b"r-17".to_vec())];
            let body = publish_body(publish).into_bytes();
            let request = Request { nth: 0, method: "POST".to_owned(), target: "/publish".to_owned(), headers, body };
            self.saw(Saw::Posted { request, answer })
        }
    }

    fn outcome(order: u32, outcome: Outcome) -> Answer {
        Answer { outcome: Some(outcome), ..Answer::done(order) }
    }

    fn introduced(version: u32, features: &[&str]) -> Story {
        let features = features.iter().map(|feature| (*feature).to_owned()).collect();
        let answer = Answer { version: Some(version), features: Some(features), ..Answer::done(1) };
        Story::default().ordered(1, Ordered::Init { version: 1, case: "c".to_owned() }).answers(answer)
    }

    #[test]
    fn init_is_answered_with_its_version_and_features_that_there_are() {
        introduced(1, &["close", "publish"]).holds(Check::Introduces);
        introduced(2, &[]).violates(Check::Introduces, "version");
        introduced(1, &["flight"]).violates(Check::Introduces, "odd-feature");
        let asked = || Story::default().ordered(1, Ordered::Init { version: 1, case: "c".to_owned() });
        asked().leaves_open(Check::Introduces);
        asked().saw(Saw::InVain { what: "an answer".to_owned() }).violates(Check::Introduces, "mute");
    }

    #[test]
    fn each_order_is_answered_once_unless_the_client_was_killed() {
        let closed = || introduced(1, &["close"]).ordered(2, Ordered::Close {});
        closed().answers(Answer::done(2)).saw(Saw::Over).holds(Check::Answers);
        closed().saw(Saw::Over).violates(Check::Answers, "unanswered");
        closed().saw(Saw::Killed { life: 1 }).saw(Saw::Over).holds(Check::Answers);
        closed().answers(Answer::done(2)).answers(Answer::done(2)).violates(Check::Answers, "twice");
        closed().answers(Answer::done(7)).violates(Check::Answers, "no-such-order");
        closed().told_to_publish(3, 1).answers(Answer::done(3)).violates(Check::Answers, "no-outcome");
    }

    #[test]
    fn what_was_declared_is_done() {
        let published = |answer| introduced(1, &["publish"]).told_to_publish(2, 1).answers(answer);
        published(outcome(2, Outcome::Accepted)).holds(Check::KeepsWord);
        published(Answer { unsupported: Some("no".to_owned()), ..Answer::done(2) }).violates(Check::KeepsWord, "boasts");
        introduced(1, &[]).leaves_open(Check::KeepsWord);
    }

    #[test]
    fn a_lost_answer_is_repeated_by_its_key_or_not_at_all() {
        let lost = || Story::default().told_to_publish(1, 1).posts(1, "k-1", PublishAnswer::Lose);
        lost().holds(Check::KeepsKey(1));
        lost().posts(1, "k-1", PublishAnswer::Accept).holds(Check::KeepsKey(1));
        lost().posts(1, "k-1.1", PublishAnswer::Accept).violates(Check::KeepsKey(1), "other-key");
        lost().leaves_open(Check::KeepsKey(2));
    }

    #[test]
    fn the_outcome_is_told_as_it_was() {
        let check = |outcome| Check::Reports { publish: 1, outcome };
        let told = || Story::default().told_to_publish(1, 1).posts(1, "k-1", PublishAnswer::Refuse(409));
        told().answers(outcome(1, Outcome::Refused)).holds(check(Outcome::Refused));
        told().answers(outcome(1, Outcome::Accepted)).violates(check(Outcome::Refused), "misreported");
        told().saw(Saw::Over).violates(check(Outcome::Refused), "silent");
        told().leaves_open(check(Outcome::Refused));
        // That nobody knows need not be said before the case is over.
        told().saw(Saw::Over).leaves_open(check(Outcome::Unknown));
    }

    #[test]
    fn publishes_arrive_once_and_in_their_order() {
        let first = || Story::default().told_to_publish(1, 1).told_to_publish(2, 2).posts(1, "k-1", PublishAnswer::PutOff(1));
        let right = first().pass(1000).posts(1, "k-1", PublishAnswer::Accept).posts(2, "k-2", PublishAnswer::Accept).saw(Saw::Over);
        right.holds(Check::PublishesInOrder);
        right.holds(Check::PublishesOnce(1));
        right.holds(Check::PutsOff(1, 950));
        right.holds(Check::Carries { publish: 2, header: "X-Reader: r-17" });
        right.violates(Check::Carries { publish: 2, header: "X-Reader: r-18" }, "header");
        let overtaken = first().posts(2, "k-2", PublishAnswer::Accept).posts(1, "k-1", PublishAnswer::Accept);
        overtaken.violates(Check::PublishesInOrder, "overtaken");
        overtaken.violates(Check::PutsOff(1, 950), "early");
        first().posts(2, "k-2", PublishAnswer::Accept).posts(2, "k-2", PublishAnswer::Accept).violates(Check::PublishesOnce(2), "again");
        first().leaves_open(Check::PublishesInOrder);
        // The server has what it lost the answer to: its repetition comes where the first one was.
        let lost = Story::default().posts(1, "k-1", PublishAnswer::Lose).posts(2, "k-2", PublishAnswer::Accept);
        lost.posts(1, "k-1", PublishAnswer::Accept).holds(Check::PublishesInOrder);
    }
}
