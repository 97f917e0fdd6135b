//! Pursuits of servers that answer by a rule, in virtual time.

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::contract::Profile;
use crate::explore::measured::tests::{faces, ran, signature};
use crate::scenario::{Await, Capabilities, Publish, Subscribe, Upto};

/// As the profile `sse` has it.
const DEADLINE: Duration = Duration::from_secs(4);
const MINUTE: Duration = Duration::from_secs(60);

/// Two publishes and two readers, the most that is written here by hand.
fn found() -> Vec<Step> {
    let open = crate::scenario::from_plain(&serde_json::json!({ "open": { "session": "s" } })).unwrap();
    let subscribe = |reader: &str| {
        let all = serde_json::json!({ "subscribe": { "session": "s", "reader": reader } });
        crate::scenario::from_plain(&all).unwrap()
    };
    let wait = |reader: &str| Step::Await(Await { reader: reader.to_owned(), upto: Upto::Last, judges: None });
    let publish = |count| Step::Publish(Publish::plain("s", count));
    vec![open, publish(5), subscribe("a"), subscribe("b"), publish(7), wait("a"), wait("b")]
}

fn publishes(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Publish(_))).count()
}

fn readers(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Subscribe(Subscribe { .. }))).count()
}

/// The requirements that the nth run of these steps violates, under waits of so long.
type Rule<'s> = dyn Fn(u32, &[Step], Duration) -> Vec<&'static str> + 's;

/// A server, the rule by which its runs show something, and how it was asked.
struct Server<'s> {
    rule: &'s Rule<'s>,
    /// How long a run takes.
    takes: Duration,
    begun: Cell<u32>,
    ended: Cell<u32>,
    most: Cell<u32>,
}

impl<'s> Server<'s> {
    fn new(takes: Duration, rule: &'s Rule<'s>) -> Server<'s> {
        Server { rule, takes, begun: Cell::new(0), ended: Cell::new(0), most: Cell::new(0) }
    }

    async fn run(&self, scenario: &Scenario, patience: Duration) -> Result<Ran, ServerError> {
        let nth = self.begun.replace(self.begun.get() + 1);
        self.most.set(self.most.get().max(self.begun.get() - self.ended.get()));
        tokio::time::sleep(self.takes).await;
        self.ended.set(self.ended.get() + 1);
        Ok(Ran { elapsed: self.takes, ..ran(&(self.rule)(nth, &scenario.steps, patience)) })
    }

    /// What becomes of the pursuit of `of`, which was found in a run of `found` that took so long; and after how long.
    fn pursued(&self, of: &str, took: Duration, hurried: bool, interrupted: &dyn Fn() -> bool) -> (Option<Failure>, Duration) {
        let palette = Palette::new(Arc::new(Profile::load("sse").unwrap()), Capabilities::all(), &[]);
        let scenario = scenario(&signature(of), found());
        let run = async |scenario: &Scenario, patience: Duration| self.run(scenario, patience).await;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let pursuit = Pursuit {
                run: &run,
                most: 10,
                palette: &palette,
                began: Instant::now(),
                deadline: DEADLINE,
                shrink_for: MINUTE,
                hurried: &|| hurried,
                interrupted,
                known: &|_| false,
                seed: "0x1",
            };
            let ran = Ran { elapsed: took, ..ran(&[of]) };
            let failure = pursuit.pursue(&scenario, ran, &signature(of)).await.unwrap();
            (failure, pursuit.began.elapsed())
        })
    }

    fn shown(&self, of: &str) -> Failure {
        self.pursued(of, self.takes, false, &|| false).0.expect("it is of no busy machine")
    }
}

fn as_it_was_found(failure: &Failure, of: &str) -> bool {
    failure.about.signature == signature(of)
        && failure.about.never_alone
        && failure.about.rate.failed == 1
        && failure.scenario.steps == found()
}

const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn what_matters_is_left_with_a_label_of_ten_runs() {
    let [of, _] = faces();
    let rule = |_, steps: &[Step], _| if publishes(steps) > 0 && readers(steps) > 0 { vec![of] } else { vec![] };
    let server = Server::new(MOMENT, &rule);
    let failure = server.shown(of);
    assert_eq!((failure.scenario.steps.len(), failure.about.rate), (3, Rate { failed: 10, of: 10 }));
    assert!(!failure.about.never_alone && !failure.about.gave_up);
    assert!(server.most.get() <= 3, "{} at once", server.most.get());
}

/// A server that delivers after two seconds was called one that delivers nothing: every run with short waits showed it.
#[test]
fn what_shows_only_under_short_waits_is_kept_as_it_was_found() {
    let [of, _] = faces();
    let rule = |_, _: &[Step], patience| if patience < Duration::from_secs(2) { vec![of] } else { vec![] };
    let failure = Server::new(MOMENT, &rule).shown(of);
    assert!(as_it_was_found(&failure, of), "{}", failure.text());
}

#[test]
fn what_cannot_be_made_smaller_is_labelled_with_the_full_deadline() {
    let [of, _] = faces();
    let whole = |steps: &[Step]| steps == found();
    let rule = |_, steps: &[Step], patience| if whole(steps) && patience < Duration::from_secs(2) { vec![of] } else { vec![] };
    let failure = Server::new(MOMENT, &rule).shown(of);
    assert!(as_it_was_found(&failure, of), "{}", failure.text());
    let patiently =
        |nth: u32, steps: &[Step], patience| if whole(steps) && (patience < DEADLINE || nth.is_multiple_of(2)) { vec![of] } else { vec![] };
    let failure = Server::new(MOMENT, &patiently).shown(of);
    assert_eq!((failure.about.rate, failure.scenario.steps), (Rate { failed: 5, of: 10 }, found()));
}

/// A face that every run with short waits showed was taken in place of the one that was found, and handed over.
#[test]
fn another_face_is_taken_only_if_it_shows_with_the_full_deadline() {
    let [of, other] = faces();
    for (is_real, expected) in [(false, of), (true, other)] {
        let rule = |nth: u32, _: &[Step], patience| {
            let often = (is_real || patience < DEADLINE).then_some(other);
            let seldom = (nth.is_multiple_of(5)).then_some(of);
            [often, seldom].into_iter().flatten().collect()
        };
        let failure = Server::new(MOMENT, &rule).shown(of);
        assert_eq!(failure.about.signature, signature(expected));
        assert_eq!(failure.about.rate.is_certain(), is_real, "{}", failure.text());
    }
}

/// What was made anew around the case was measured under short waits alone.
#[test]
fn what_is_made_anew_must_show_with_the_full_deadline() {
    let [of, _] = faces();
    let rule = |nth: u32, steps: &[Step], patience| {
        let made_anew = steps.len() <= 4 && patience < DEADLINE;
        if made_anew || steps == found() && nth.is_multiple_of(10) { vec![of] } else { vec![] }
    };
    let failure = Server::new(MOMENT, &rule).shown(of);
    assert_eq!(failure.scenario.steps, found(), "{}", failure.text());
    assert!(!failure.about.never_alone && failure.about.rate.failed <= 2, "{}", failure.text());
}

/// What showed only under long waits was looked for under short ones.
#[test]
fn what_shows_only_under_long_waits_is_looked_for_under_long_ones() {
    let [of, _] = faces();
    let hasty = Cell::new(0);
    let rule = |nth: u32, steps: &[Step], patience| {
        hasty.set(hasty.get() + u32::from(patience < DEADLINE));
        let small = steps.len() <= 4 && publishes(steps) > 0;
        if patience >= DEADLINE && (small || nth % 10 == 9) { vec![of] } else { vec![] }
    };
    let failure = Server::new(MOMENT, &rule).shown(of);
    assert!(failure.about.rate.is_nearly_certain() && failure.scenario.steps.len() <= 3, "{}", failure.text());
    // Those that were to reproduce it, and none after them.
    assert_eq!(hasty.get(), RUNS);
}

#[test]
fn no_more_runs_go_on_at_once_than_there_are_servers_for() {
    let [of, _] = faces();
    let seldom = |nth: u32, _: &[Step], _| if nth.is_multiple_of(4) { vec![of] } else { vec![] };
    let always = |_, _: &[Step], _| vec![of];
    let rules: [&Rule<'_>; 2] = [&seldom, &always];
    for rule in rules {
        for takes in [MOMENT, Duration::from_secs(1)] {
            let server = Server::new(takes, rule);
            server.shown(of);
            assert!(server.most.get() <= 10, "{} at once", server.most.get());
        }
    }
}

/// What was kept for the label was more than a hurried pursuit had altogether.
#[test]
fn there_is_time_to_shrink_also_when_hurried() {
    let [of, _] = faces();
    let rule = |_, steps: &[Step], _| if publishes(steps) > 0 { vec![of] } else { vec![] };
    // They take longer beside each other than the first did: so there are but three at once, and four rounds make a label.
    let server = Server::new(Duration::from_secs(4), &rule);
    let (failure, after) = server.pursued(of, Duration::from_secs(1), true, &|| false);
    let failure = failure.unwrap();
    assert!(failure.scenario.steps.len() < found().len() && failure.about.gave_up, "{}", failure.text());
    assert!(after <= HURRIED + HURRIED / PART + Duration::from_secs(8), "{after:?}");
}

/// A label was looked for by halves, without regard to the time or to who waited for the end.
#[test]
fn the_search_for_a_label_has_an_end() {
    let [of, _] = faces();
    let rule = |_, steps: &[Step], patience| if patience < DEADLINE || steps == found() { vec![of] } else { vec![] };
    let takes = Duration::from_secs(9);
    let (failure, after) = Server::new(takes, &rule).pursued(of, takes, false, &|| false);
    let failure = failure.unwrap();
    assert!(failure.scenario.steps == found() && failure.about.rate.is_certain(), "{}", failure.text());
    assert!(after <= MINUTE + MINUTE / PART + 2 * takes, "{after:?}");
    let server = Server::new(takes, &rule);
    let interrupted = || server.begun.get() > 20;
    let (failure, after) = server.pursued(of, takes, false, &interrupted);
    assert_eq!(failure.unwrap().scenario.steps, found());
    // The third round is under way, and then two labels: of what is smallest, which does not hold, and of what it began with.
    assert!(after <= 5 * takes, "{after:?}");
}
