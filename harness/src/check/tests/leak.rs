//! LEAK.

use crate::check::Finding;
use crate::check::story::Story;
use crate::history::{Resources, What};

/// The samples before, after and after twice a thousand connections, as (descriptors, threads, MiB).
fn sampled(samples: [(u64, u64, u64); 3]) -> Story {
    let mut story = Story::new();
    for (nth, (label, (descriptors, threads, mebibytes))) in ["before", "after", "after-twice"].into_iter().zip(samples).enumerate() {
        let (resident, connections) = (mebibytes << 20, nth as u64 * 1_000);
        story.push(What::Resources(Box::new(Resources { label: label.to_owned(), descriptors, threads, resident, connections })));
    }
    story
}

#[test]
fn resources_that_return_are_right() {
    sampled([(12, 4, 20), (20, 6, 60), (20, 6, 62)]).holds(&["LEAK-1", "LEAK-2", "LEAK-3"]);
}

#[test]
fn descriptors_that_stay_are_seen() {
    sampled([(12, 4, 20), (1_012, 4, 20), (1_012, 4, 20)]).violates("LEAK-1");
}

#[test]
fn threads_that_stay_are_seen() {
    sampled([(12, 4, 20), (12, 504, 20), (12, 504, 20)]).violates("LEAK-2");
}

#[test]
fn memory_that_grows_with_each_round_is_seen() {
    sampled([(12, 4, 20), (12, 4, 60), (12, 4, 100)]).violates("LEAK-3");
}

#[test]
fn samples_of_two_processes_decide_nothing() {
    let sample = |label: &str, descriptors, connections| {
        What::Resources(Box::new(Resources { label: label.to_owned(), descriptors, threads: 4, resident: 0, connections }))
    };
    let mut story = Story::new();
    story.push(sample("before", 12, 0));
    story.restart("KILL");
    story.push(sample("after", 1_012, 1_000));
    assert!(matches!(story.finding("LEAK-1"), Finding::Inconclusive { .. }));
}
