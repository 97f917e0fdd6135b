//! Scenarios out of nothing, as proptest strategies.
//!
//! A scenario is a handful of stretches, each about one theme that the palette offers; what the stretches ask of each other
//! is not looked after here: `mend` makes them one scenario.

mod plain;
mod stretch;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::{BoxedStrategy, Union};

use super::mend::MOST_HEAPED;
use super::palette::{Palette, Theme};
use crate::history::Retain;
use crate::scenario::{Open, Step};
use plain::{open, publish};
use stretch::{idle_readers, stretch, unread};

/// Steps of whole scenarios, not yet mended; with steps that touch the process, if that is asked for.
pub(crate) fn steps(palette: &Palette, with_process: bool) -> BoxedStrategy<Vec<Step>> {
    let themes = palette.themes(with_process);
    let stretches = vec(Union::new_weighted(themes.iter().map(|(weight, theme)| (*weight, stretch(*theme))).collect()), 1..5);
    let asked = with_process.then(|| themes.iter().filter(|(_, theme)| theme.touches_the_process()).copied().collect::<Vec<_>>());
    let touched = match asked {
        Some(asked) if !asked.is_empty() => Union::new_weighted(asked.into_iter().map(|(w, theme)| (w, stretch(theme))).collect()).boxed(),
        Some(_) | None => Just(Vec::new()).boxed(),
    };
    (opening(palette), stretches, touched, any::<prop::sample::Index>())
        .prop_map(|(mut steps, mut stretches, touched, at)| {
            let at = at.index(stretches.len() + 1);
            stretches.insert(at, touched);
            steps.extend(stretches.into_iter().flatten());
            steps
        })
        .boxed()
}

/// One stretch about any theme of the palette, to be put into a scenario that is there.
pub(crate) fn stretches(palette: &Palette, with_process: bool) -> BoxedStrategy<Vec<Step>> {
    Union::new_weighted(palette.themes(with_process).into_iter().map(|(weight, theme)| (weight, stretch(theme))).collect()).boxed()
}

fn opening(palette: &Palette) -> BoxedStrategy<Vec<Step>> {
    let bounded = palette.themes(false).iter().find(|(_, theme)| *theme == Theme::Retention).map_or(0, |(weight, _)| *weight);
    let retain = prop_oneof![80 => Just(None), bounded.max(1) => bounds().prop_map(Some)];
    (retain, prop::bool::weighted(0.25), mostly_few(0..13))
        .prop_map(|(retain, two, events)| {
            let mut steps = vec![Step::Open(Open { session: "s".to_owned(), retain, refuse: false, reborn_of: None, unwatched: false })];
            if two {
                steps.push(open("t"));
            }
            if events > 0 {
                steps.push(publish("s", events));
            }
            steps
        })
        .boxed()
}

fn bounds() -> BoxedStrategy<Retain> {
    prop_oneof![
        6 => (2_i64..12).prop_map(|records| Retain { records: Some(records), ..Retain::default() }),
        1 => Just(Retain { bytes: Some(16 << 10), ..Retain::default() }),
        1 => Just(Retain { age_ms: Some(200), ..Retain::default() }),
    ]
    .boxed()
}

/// Whole scenarios about each of the palette's themes that come seldom because they take long.
pub(crate) fn seldom(palette: &Palette) -> Vec<BoxedStrategy<Vec<Step>>> {
    let there = |theme: Theme| palette.themes(false).iter().any(|(_, other)| *other == theme);
    let heaps = there(Theme::Slow).then(|| unread(Just((MOST_HEAPED, 8, true, true)).boxed()));
    let idle = there(Theme::Idle).then(idle_readers);
    let whole = |stretch| (Just(open("s")), stretch).prop_map(|(open, stretch): (Step, Vec<Step>)| [vec![open], stretch].concat()).boxed();
    idle.into_iter().chain(heaps).map(whole).collect()
}

/// A number within `range`, three times of four from its lowest quarter: most bugs need few events, some need many, and
/// what few events take is run more often in the same time.
fn mostly_few(range: std::ops::Range<u32>) -> BoxedStrategy<u32> {
    let quarter = range.start..range.start + (range.end - range.start).div_ceil(4);
    prop_oneof![3 => quarter, 1 => range].boxed()
}
