//! Expectations of scenarios.

use crate::check::Finding;
use crate::check::story::Story;
use crate::history::{Expectation, What};

fn expectation(held: bool) -> What {
    let (judges, says) = ("CAUSE-2".to_owned(), "the transcript".to_owned());
    What::Expectation(Expectation { judges, says, held, expected: "the words".to_owned(), seen: "others".to_owned(), op: None })
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
