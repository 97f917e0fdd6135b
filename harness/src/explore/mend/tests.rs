use std::sync::Arc;

use super::*;
use crate::contract::Profile;
use crate::scenario::Capabilities;

fn palette(change: impl FnOnce(&mut Profile)) -> Palette {
    let mut profile = Profile::load("sse").unwrap();
    change(&mut profile);
    Palette::new(Arc::new(profile), Capabilities::all(), &[])
}

/// What is left of these steps, as they stand in a file.
fn mended(steps: &str, palette: &Palette) -> Vec<String> {
    let text = format!("name = \"x\"\nsays = \"y\"\nsteps = [{steps}]");
    let steps: toml::Table = toml::from_str(&text).unwrap();
    let steps: Vec<Step> = steps["steps"].as_array().unwrap().iter().map(|s| s.clone().try_into().unwrap()).collect();
    let made = scenario("x", "y", mend(&steps, palette));
    made.to_toml("").lines().filter_map(|l| l.strip_prefix("  { ")).map(|l| l.trim_end_matches(" },").to_owned()).collect()
}

const OPEN: &str =
    "{ open = { session = \"s\" } }, { publish = { session = \"s\", count = 5 } }, { subscribe = { reader = \"a\", session = \"s\" } }";

#[test]
fn what_was_never_introduced_is_left_out() {
    let palette = palette(|_| {});
    let left = mended("{ resume = { reader = \"a\" } }, { publish = { session = \"s\" } }, { join = { writer = \"w\" } }", &palette);
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn nothing_is_awaited_before_a_cut_that_it_lies_behind() {
    let palette = palette(|_| {});
    let steps = format!(
        "{OPEN}, {{ await = {{ reader = \"a\", upto = \"last\" }} }}, {{ cut = {{ reader = \"a\", after_events = 9 }} }},
         {{ await = {{ reader = \"a\", upto = \"last\" }} }}, {{ resume = {{ reader = \"a\" }} }}"
    );
    let left = mended(&steps, &palette);
    assert_eq!(left[3..], ["cut = { reader = \"a\", after_events = 5 }", "resume = { reader = \"a\" }"]);
}

#[test]
fn one_reader_is_held_on_one_of_two_overlapping_connections_only() {
    let palette = palette(|_| {});
    let steps = format!(
        "{OPEN}, {{ hold = {{ reader = \"a\", after_events = 1 }} }}, {{ resume = {{ reader = \"a\", overlap = true }} }},
         {{ release = {{ reader = \"a\" }} }}, {{ stall = {{ reader = \"a\", after_events = 1 }} }}"
    );
    assert_eq!(mended(&steps, &palette)[5..], ["release = { reader = \"a\" }"]);
}

#[test]
fn what_is_not_promised_is_not_asked() {
    let palette = palette(|p| {
        p.contract.cursor = None;
        p.contract.durability.kill = false;
        p.contract.ephemeral = None;
    });
    let steps = format!(
        "{OPEN}, {{ resume = {{ reader = \"a\" }} }}, {{ restart = {{}} }}, {{ publish = {{ session = \"s\", durable = false }} }},
         {{ restart = {{ how = \"term\" }} }}"
    );
    let left = mended(&steps, &palette);
    assert_eq!(left[3..], ["restart = { how = \"term\" }"]);
}

#[test]
fn a_pause_and_a_writer_come_to_their_ends() {
    let palette = palette(|_| {});
    let steps = format!("{OPEN}, {{ writer = {{ name = \"w\", session = \"s\", count = 3 }} }}, {{ pause = {{}} }}");
    let left = mended(&steps, &palette);
    assert_eq!(left[4..], ["pause = {}", "continue = {}", "join = { writer = \"w\" }"]);
}

#[test]
fn every_event_that_is_named_was_acknowledged() {
    let palette = palette(|_| {});
    let steps = "{ open = { session = \"s\" } }, { publish = { session = \"s\", count = 2 } },
         { publish = { session = \"s\", count = 3, fault = \"drop-answer\" } }, { publish = { session = \"s\", count = 3 } },
         { subscribe = { reader = \"a\", session = \"s\", from = { after = 7 } } }";
    assert_eq!(mended(steps, &palette)[4], "subscribe = { reader = \"a\", session = \"s\", from = { after = 2 } }");
}

#[test]
fn an_event_whose_type_may_be_refused_is_not_awaited() {
    let palette = palette(|_| {});
    let steps = "{ open = { session = \"s\" } }, { publish = { session = \"s\", count = 2, text = \"hostile-type\" } },
         { subscribe = { reader = \"a\", session = \"s\" } }, { await = { reader = \"a\", upto = \"last\" } }";
    assert_eq!(mended(steps, &palette)[2..], ["subscribe = { reader = \"a\", session = \"s\" }"]);
}

#[test]
fn what_makes_sense_is_left_as_it_is() {
    let palette = palette(|_| {});
    for scenario in ["resume-after-cut", "late-delivery", "kill-under-a-writer", "retry-after-a-kill", "seam-in-replay", "two-sessions"] {
        let built_in = Scenario::built_in("sse").unwrap().into_iter().find(|s| s.name == scenario).unwrap();
        let steps = flat(&built_in.steps);
        let mended = mend(&steps, &palette);
        assert_eq!(mended, steps, "{scenario}");
        assert_eq!(mend(&mended, &palette), mended);
    }
}
