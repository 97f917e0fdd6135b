//! Where the next scenario comes from: out of nothing, or out of one that reached something new.
//!
//! Everything here follows from the seed; two sources of one seed that are told the same give the same scenarios.

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::generate;
use super::mend::{mend, scenario};
use super::palette::Palette;
use crate::scenario::{Scenario, Step};

/// A scenario that has fewer steps says nothing.
const FEWEST_STEPS: usize = 2;
/// What is changed again and again grows no longer than this.
const MOST_CHANGED: usize = 24;

/// A source of scenarios.
pub(crate) struct Source {
    palette: Palette,
    runner: TestRunner,
    random: SmallRng,
    /// Without and with steps that touch the process.
    whole: [BoxedStrategy<Vec<Step>>; 2],
    parts: [BoxedStrategy<Vec<Step>>; 2],
}

impl Source {
    pub(crate) fn new(palette: Palette, seed: u64) -> Source {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let whole = [false, true].map(|process| generate::steps(&palette, process));
        let parts = [false, true].map(|process| generate::stretches(&palette, process));
        Source { palette, runner, random: SmallRng::seed_from_u64(seed), whole, parts }
    }

    /// The next scenario: without steps that touch the process, or with some; `kept` are those worth changing a little.
    pub(crate) fn next(&mut self, with_process: bool, kept: &[Scenario]) -> Scenario {
        loop {
            let steps =
                if kept.is_empty() || self.random.random_bool(0.5) { self.fresh(with_process) } else { self.changed(with_process, kept) };
            let steps = mend(&steps, &self.palette);
            if steps.len() >= FEWEST_STEPS && touches_the_process(&steps) == with_process {
                return named(steps);
            }
        }
    }

    /// A scenario about each theme that comes seldom because it takes long: a campaign begins with them, so that none is left out
    /// of a short one.
    pub(crate) fn seldom(&mut self) -> Vec<Scenario> {
        let mut all = Vec::new();
        for strategy in generate::seldom(&self.palette) {
            let steps = strategy.new_tree(&mut self.runner).map(|tree| tree.current()).unwrap_or_default();
            let steps = mend(&steps, &self.palette);
            if steps.len() >= FEWEST_STEPS {
                all.push(named(steps));
            }
        }
        all
    }

    /// A random number, for choices that others make.
    pub(crate) fn number(&mut self) -> u64 {
        self.random.random()
    }

    fn draw(&mut self, from: usize, whole: bool) -> Vec<Step> {
        let strategy = if whole { &self.whole[from] } else { &self.parts[from] };
        // A strategy that filters nothing rejects nothing.
        strategy.new_tree(&mut self.runner).map(|tree| tree.current()).unwrap_or_default()
    }

    fn fresh(&mut self, with_process: bool) -> Vec<Step> {
        self.draw(usize::from(with_process), true)
    }

    /// One of `kept`, changed in one to three places.
    fn changed(&mut self, with_process: bool, kept: &[Scenario]) -> Vec<Step> {
        let mut steps = kept[self.random.random_range(0..kept.len())].steps.clone();
        for _ in 0..self.random.random_range(1..=3) {
            let at = self.random.random_range(0..=steps.len());
            match self.random.random_range(0..10) {
                0..=4 => {
                    let part = self.draw(usize::from(with_process), false);
                    steps.splice(at..at, part);
                }
                5 if at < steps.len() => {
                    steps.remove(at);
                }
                6 if at < steps.len() => {
                    let again = steps[at].clone();
                    let to = self.random.random_range(at..=steps.len());
                    steps.insert(to, again);
                }
                7 if at < steps.len() => {
                    let moved = steps.remove(at);
                    let to = self.random.random_range(0..=steps.len());
                    steps.insert(to, moved);
                }
                _ => {
                    // The beginning of one, the end of another.
                    let other = &kept[self.random.random_range(0..kept.len())].steps;
                    let from = self.random.random_range(0..=other.len());
                    steps.truncate(at);
                    steps.extend(other[from..].iter().cloned());
                }
            }
        }
        steps.truncate(MOST_CHANGED);
        steps
    }
}

fn named(steps: Vec<Step>) -> Scenario {
    scenario("generated", "nothing is lost, repeated, reordered or leaked", steps)
}

/// True when some step stops, pauses or starts the process.
pub(crate) fn touches_the_process(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step {
        Step::Restart(_) | Step::Pause(_) | Step::Continue(_) | Step::Sample(_) => true,
        Step::Repeat(repeat) => touches_the_process(&repeat.steps),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contract::Profile;
    use crate::scenario::Capabilities;

    fn source(seed: u64) -> Source {
        let palette = Palette::new(Arc::new(Profile::load("sse").unwrap()), Capabilities::all(), &[]);
        Source::new(palette, seed)
    }

    #[test]
    fn every_scenario_is_applicable_reads_as_a_file_and_follows_from_the_seed() {
        let (mut one, mut same) = (source(7), source(7));
        let seldom = one.seldom();
        assert_eq!(seldom, same.seldom());
        let words: Vec<String> = seldom.iter().flat_map(|made| &made.steps).map(crate::run::in_words).collect();
        assert!(words.iter().any(|step| step.contains("upto=heartbeat")), "{words:?}");
        assert!(words.iter().any(|step| step.contains("count=900")), "{words:?}");
        for made in &seldom {
            assert_eq!((one.palette.allows(made), mend(&made.steps, &one.palette) == made.steps), (Ok(()), true));
        }
        let mut kinds = std::collections::BTreeSet::new();
        for n in 0..400 {
            let process = n % 4 == 0;
            let made = one.next(process, &[]);
            assert_eq!(made, same.next(process, &[]));
            assert_eq!(one.palette.allows(&made), Ok(()));
            let text = made.to_toml("");
            let read = Scenario::parse("it", &text).unwrap_or_else(|e| panic!("{e}: {}\n{text}", e.place()));
            assert_eq!(read, made);
            assert_eq!(mend(&made.steps, &one.palette), made.steps, "mending twice changes it:\n{text}");
            kinds.extend(made.steps.iter().map(|step| crate::run::in_words(step).split(' ').next().unwrap_or_default().to_owned()));
        }
        for kind in ["cut", "seam", "restart", "evict", "close", "hold", "stall", "writer", "snapshot", "read", "delete", "pause", "probe"]
        {
            assert!(kinds.contains(kind), "{kind} never came");
        }
    }
}
