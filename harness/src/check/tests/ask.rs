//! What scenarios expect, and planted secrets.

use crate::check::Finding;
use crate::check::story::Story;
use crate::history::{Expectation, From, Leaked, Publish, Until, Wait, What};

fn expected(held: bool) -> Story {
    let mut story = Story::new();
    story.push(What::Expectation(Box::new(Expectation {
        judges: "COMPACT-1".to_owned(),
        says: "the answer to an old cursor".to_owned(),
        held,
        expected: "true at /reset".to_owned(),
        seen: "status 200 {}".to_owned(),
        op: None,
    })));
    story
}

#[test]
fn an_expectation_judges_the_requirement_that_it_names_and_no_other() {
    expected(true).holds(&["COMPACT-1"]);
    let violations = expected(false).violates("COMPACT-1");
    assert!(violations[0].says.contains("the answer to an old cursor"), "{:?}", violations[0]);
    assert!(matches!(expected(true).finding("COMPACT-2"), Finding::NotApplicable { .. }), "nothing asks for it");
}

#[test]
fn a_wait_in_vain_violates_what_it_judges() {
    for reached in [true, false] {
        let mut story = Story::new();
        let conn = Some(story.stream("a", From::Start));
        let judges = Some("CRASH-1".to_owned());
        story.push(What::Wait(Box::new(Wait { reader: "a".into(), conn, until: Until::Terminal, reached, waited: 4_000_000, judges })));
        assert_eq!(story.violated().iter().any(|id| id == "CRASH-1"), !reached);
    }
}

#[test]
fn a_secret_that_comes_back_is_seen_and_a_masked_one_is_what_was_promised() {
    let masked = || {
        let mut story = Story::new().under(|contract| contract.redacts = true);
        let conn = story.stream("a", From::Start);
        story.boundary(conn);
        let secret = Publish { secret: true, ..story.event(1) };
        let op = story.send(secret);
        story.ack(op);
        let other = crate::history::Body::of("«s0.1» the key is ghp_…");
        story.got_but(conn, 1, |delivery| delivery.body = Some(other));
        (story, conn)
    };
    let (story, _) = masked();
    story.holds(&["REDACT-1"]);
    assert!(!story.violated().iter().any(|id| id == "DELIVER-4"), "what is masked comes back altered on purpose");
    let (mut story, conn) = masked();
    story.push(What::Leaked(Box::new(Leaked {
        conn: Some(conn),
        surface: "the stream".to_owned(),
        around: "the key is ghp_0000…p1Ec".to_owned(),
    })));
    story.violates("REDACT-1");
}

fn expectation(held: bool) -> What {
    let (judges, says) = ("CAUSE-2".to_owned(), "the transcript".to_owned());
    What::Expectation(Box::new(Expectation { judges, says, held, expected: "the words".to_owned(), seen: "others".to_owned(), op: None }))
}

#[test]
fn what_a_scenario_asks_for_is_judged_whatever_the_contract_has_of_it() {
    // The contract of these stories has no machine, which is how the checker of CAUSE-2 sees it.
    assert!(matches!(Story::new().finding("CAUSE-2"), Finding::NotApplicable { .. }));
    let mut story = Story::new();
    story.push(expectation(true));
    story.holds(&["CAUSE-2"]);
    story.push(expectation(false));
    assert_eq!(story.violates("CAUSE-2").len(), 1);
}
